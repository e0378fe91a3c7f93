package api

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// WriteToken makes a random token for the server that listens on address and keeps it in dir, where only the same user can read it.
// It returns the token and its file.
func WriteToken(dir, address string) (token, file string, err error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", "", fmt.Errorf("make a token: %w", err)
	}
	token = base64.RawURLEncoding.EncodeToString(b)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", fmt.Errorf("make a place for the API's token: %w", err)
	}
	file = tokenFile(dir, address)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("replace the API's token: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", "", fmt.Errorf("keep the API's token: %w", err)
	}
	_, err = f.WriteString(token + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return "", "", fmt.Errorf("keep the API's token: %w", err)
	}
	return token, file, nil
}

// ReadToken returns the token of the server at address ("127.0.0.1:7466").
func ReadToken(dir, address string) (string, error) {
	b, err := os.ReadFile(tokenFile(dir, address))
	return strings.TrimSpace(string(b)), err
}

// OnlyServer returns the address of the only server that has a token in dir, "" when there are none or several.
func OnlyServer(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.token"))
	if len(files) != 1 {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(files[0]), ".token"), "_", ":")
}

func tokenFile(dir, address string) string {
	return filepath.Join(dir, strings.NewReplacer(":", "_", "/", "_").Replace(address)+".token")
}
