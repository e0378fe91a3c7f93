// Package load reads declared APIs: OpenAPI 2.0, 3.0 and 3.1 as YAML or JSON, gRPC file descriptor sets, GraphQL schemas.
//
// In: a file, a folder or a URL, all of them untrusted. Out: spec.Documents, or an error that says file, line and reason. Every
// read is bounded: bytes, values after expanding aliases, depth, files and time. A reference to another file is followed only
// when asked for, and only inside of the folder; one to another host never.
package load

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

// Config bounds what is read. The zero value of a field takes its default.
type Config struct {
	// MaxBytes bounds a document together with the files that it refers to. Default 32 MiB; GitHub's, one of the largest, has 12.
	MaxBytes int64
	// MaxValues bounds the values in a document once its YAML aliases are expanded. Default 3,000,000.
	MaxValues int
	// MaxDepth bounds how deep values may be nested. Default 250.
	MaxDepth int
	// MaxFiles bounds the files that are looked at in a folder, and those that one document may refer to. Default 2,000.
	MaxFiles int
	// Refs allows references to other files, inside of the folder that was named or that the document is in. Default: none.
	Refs bool
	// GraphQLPath is where a GraphQL schema is served. Default "/graphql".
	GraphQLPath string
	// Timeout bounds a download. Default 30 s.
	Timeout time.Duration
	// Client downloads. Default: one that follows at most three redirections, to the same host.
	Client *http.Client
}

func (c Config) withDefaults() Config {
	if c.MaxBytes == 0 {
		c.MaxBytes = 32 << 20
	}
	if c.MaxValues == 0 {
		c.MaxValues = 3_000_000
	}
	if c.MaxDepth == 0 {
		c.MaxDepth = 250
	}
	if c.MaxFiles == 0 {
		c.MaxFiles = 2000
	}
	if c.GraphQLPath == "" {
		c.GraphQLPath = "/graphql"
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Client == nil {
		c.Client = &http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
				return fmt.Errorf("redirected to %s: give that address if it is trusted", r.URL.Redacted())
			}
			return nil
		}}
	}
	return c
}

// Error is why a document was refused. Line is 0 where the reason has no single place.
type Error struct {
	File   string
	Line   int
	Reason string
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason)
	}
	return e.File + ": " + e.Reason
}

// ErrNotADocument says that a file declares no API in a language that is read here.
var ErrNotADocument = errors.New("no OpenAPI, GraphQL or gRPC descriptor document")

// Open reads what name names: a URL, a file, or a folder with everything in it. Of a folder, documents that are refused do
// not keep the others from being returned; the error then joins the reasons.
func (c Config) Open(ctx context.Context, name string) ([]*spec.Document, error) {
	c = c.withDefaults()
	if u, err := url.Parse(name); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		d, err := c.download(ctx, u)
		if err != nil {
			return nil, err
		}
		return []*spec.Document{d}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", name, err)
	}
	if info.IsDir() {
		return c.folder(ctx, name)
	}
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", name, err)
	}
	defer root.Close()
	d, err := c.file(ctx, root, filepath.Base(name), name)
	if err != nil {
		return nil, err
	}
	return []*spec.Document{d}, nil
}

func (c Config) folder(ctx context.Context, name string) ([]*spec.Document, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", name, err)
	}
	defer root.Close()
	var docs []*spec.Document
	var bad []error
	files := 0
	err = fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("import %s: %w", name, err)
		}
		if e.IsDir() && p != "." && strings.HasPrefix(e.Name(), ".") {
			return fs.SkipDir
		}
		if !e.Type().IsRegular() || !known(p) {
			return ctx.Err()
		}
		if files++; files > c.MaxFiles {
			return fmt.Errorf("import %s: more than %d documents: import parts of the folder", name, c.MaxFiles)
		}
		d, err := c.file(ctx, root, p, filepath.Join(name, p))
		switch {
		case errors.Is(err, ErrNotADocument): // part of another one, or something else that is JSON
		case err != nil:
			bad = append(bad, err)
		default:
			docs = append(docs, d)
		}
		return ctx.Err()
	})
	if err == nil && len(docs) == 0 && len(bad) == 0 {
		err = fmt.Errorf("import %s: %w in the folder", name, ErrNotADocument)
	}
	return docs, errors.Join(append(bad, err)...)
}

// known says whether the file's name may be that of a document.
func known(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".json", ".yaml", ".yml", ".graphql", ".graphqls", ".gql", ".pb", ".binpb", ".protoset", ".desc":
		return true
	}
	return false
}

func (c Config) file(ctx context.Context, root *os.Root, name, shown string) (*spec.Document, error) {
	s := &source{cfg: c, left: c.MaxBytes, name: shown, open: func(p string) (io.ReadCloser, error) { return root.Open(filepath.FromSlash(p)) }}
	return s.document(ctx, filepath.ToSlash(name))
}

func (c Config) download(ctx context.Context, u *url.URL) (*spec.Document, error) {
	ctx, stop := context.WithTimeout(ctx, c.Timeout)
	defer stop()
	folder := *u
	folder.Path = path.Dir(u.Path)
	s := &source{cfg: c, left: c.MaxBytes, name: u.Redacted(), open: func(p string) (io.ReadCloser, error) {
		at := folder
		if at.Path = path.Join("/", folder.Path, p); p != path.Base(u.Path) {
			at.RawQuery = ""
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Accept", "application/json, application/yaml, */*")
		res, err := c.Client.Do(r)
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusOK {
			res.Body.Close()
			return nil, fmt.Errorf("the server answered %s", res.Status)
		}
		return res.Body, nil
	}}
	return s.document(ctx, path.Base("/"+u.Path))
}

// Parse reads a document that is self-contained: Raw of one that Open gave, or what the store kept. name is for messages.
func (c Config) Parse(name string, raw []byte) (*spec.Document, error) {
	c = c.withDefaults()
	s := &source{cfg: c, left: c.MaxBytes, name: name, open: func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw)), nil
	}}
	s.cfg.Refs = false
	return s.document(context.Background(), path.Base(filepath.ToSlash(name)))
}

// source is one document being read, with the files that it refers to. Paths are slash-separated and relative to its folder.
type source struct {
	cfg   Config
	name  string // of the document, for people
	open  func(path string) (io.ReadCloser, error)
	left  int64
	files int
}

func (s *source) fail(line int, format string, args ...any) error {
	return &Error{File: s.name, Line: line, Reason: fmt.Sprintf(format, args...)}
}

// read reads one file whole, within what is left of the bytes.
func (s *source) read(p string) ([]byte, error) {
	if s.files++; s.files > s.cfg.MaxFiles {
		return nil, s.fail(0, "refers to more than %d files", s.cfg.MaxFiles)
	}
	f, err := s.open(p)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.name, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, s.left+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.name, err)
	}
	if int64(len(raw)) > s.left {
		return nil, s.fail(1+bytes.Count(raw, []byte("\n")), "larger than %d bytes: raise the limit with --max-bytes if it is trusted", s.cfg.MaxBytes)
	}
	s.left -= int64(len(raw))
	return raw, nil
}

func (s *source) document(ctx context.Context, p string) (*spec.Document, error) {
	raw, err := s.read(p)
	if err != nil {
		return nil, err
	}
	var d *spec.Document
	switch ext := strings.ToLower(path.Ext(p)); {
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, fmt.Errorf("%w: %w", s.fail(0, "empty"), ErrNotADocument)
	case ext == ".graphql" || ext == ".graphqls" || ext == ".gql":
		d, err = s.graphql(raw)
	case !utf8.Valid(raw) || bytes.IndexByte(raw, 0) >= 0 || ext == ".pb" || ext == ".binpb" || ext == ".protoset" || ext == ".desc":
		d, err = s.protobuf(raw)
	case looksLikeGraphQL(raw):
		d, err = s.graphql(raw)
	default:
		d, err = s.openapi(ctx, p, raw)
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(d.Raw)
	d.Digest = hex.EncodeToString(sum[:])
	if d.Source == "" {
		d.Source = s.name
	}
	d.Finish()
	d.Assign()
	return d, nil
}
