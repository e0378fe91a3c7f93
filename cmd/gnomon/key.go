package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const rootStateDir = "/var/lib/gnomon"

// stateDir is where what outlives a run is kept: GNOMON_STATE_DIR, else the place for it of root or of this user.
func stateDir() (string, error) {
	if d := os.Getenv("GNOMON_STATE_DIR"); d != "" {
		return d, nil
	}
	if os.Geteuid() == 0 {
		return rootStateDir, nil
	}
	d, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(d, "gnomon"), nil
}

// installationKey reads the secret that all tokens and fingerprints of this installation are keyed by, and makes it the
// first time. Who has it can try guesses against tokens: it is readable by its owner only and never printed.
func installationKey() (key [32]byte, err error) {
	dir, err := stateDir()
	if err != nil {
		return key, fmt.Errorf("find a place for the installation's key: %w", err)
	}
	name := filepath.Join(dir, "key")
	for range 2 {
		b, err := os.ReadFile(name)
		if err == nil {
			if copy(key[:], b) != len(key) || len(b) != len(key) {
				return key, fmt.Errorf("%s is %d bytes long, not %d: restore it, or remove it and start with new tokens", name, len(b), len(key))
			}
			return key, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return key, fmt.Errorf("read the installation's key: %w", err)
		}
		if err := makeKey(dir, name); err != nil && !errors.Is(err, fs.ErrExist) {
			return key, fmt.Errorf("make the installation's key: %w", err)
		}
	}
	return key, fmt.Errorf("%s comes and goes: is something else removing it?", name)
}

// makeKey puts a whole key in place at once, so that two who start together agree on one.
func makeKey(dir, name string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	var key [32]byte
	rand.Read(key[:])
	_, err = f.Write(key[:])
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), name)
}
