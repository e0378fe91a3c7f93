package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/gnomon-sensor/gnomon/cmd/internal/out"
	"github.com/gnomon-sensor/gnomon/collector"
	"github.com/gnomon-sensor/gnomon/collector/api"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

// outputFlag is -o.
type outputFlag struct{ format string }

func (o *outputFlag) add(c *cobra.Command) {
	o.format = "table"
	c.Flags().VarP(o, "output", "o", "how to print: "+strings.Join(out.Formats, ", "))
	words(c, "output", out.Formats)
}

// words lets shells complete a flag's value.
func words(c *cobra.Command, flag string, list []string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is not there, or has words already
	}
}

// Set, String and Type make it a pflag.Value.
func (o *outputFlag) Set(s string) error {
	if !slices.Contains(out.Formats, s) {
		return fmt.Errorf("want one of %s", strings.Join(out.Formats, ", "))
	}
	o.format = s
	return nil
}
func (o *outputFlag) String() string { return o.format }
func (o *outputFlag) Type() string   { return "FORMAT" }

// printer prints to c's standard output, with colour and to width only where that is a terminal.
func (o *outputFlag) printer(c *cobra.Command) *out.Printer {
	p := &out.Printer{W: c.OutOrStdout(), Format: o.format}
	if f, ok := p.W.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		p.Width = 80
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			p.Width = w
		}
	}
	return p
}

// sinceFlag is a point in time, absolute or as far back as a duration says.
type sinceFlag struct {
	at   event.Time
	text string
}

var sinceLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"}

// Set, String and Type make it a pflag.Value.
func (s *sinceFlag) Set(v string) error {
	s.text = v
	if days, ok := strings.CutSuffix(v, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 1e5 {
			v = strconv.Itoa(24*n) + "h"
		}
	}
	if d, err := time.ParseDuration(v); err == nil && d >= 0 {
		s.at = event.TimeOf(time.Now().Add(-d))
		return nil
	}
	for _, layout := range sinceLayouts {
		if t, err := time.Parse(layout, v); err == nil {
			s.at = event.TimeOf(t)
			return nil
		}
	}
	return errors.New("want a duration such as 1h or 7d, or a time such as 2026-11-24T10:00Z")
}
func (s *sinceFlag) String() string { return s.text }
func (s *sinceFlag) Type() string   { return "TIME" }

// source is where the inventory is: a server or a file.
type source struct {
	server, store string
}

func (s *source) add(f *pflag.FlagSet) {
	f.StringVar(&s.server, "server", "", "`URL` of a running gnomon (environment GNOMON_SERVER; default http://"+api.DefaultAddress+")")
	f.StringVar(&s.store, "store", "", "read this `FILE` instead of asking a server")
}

// open gives the inventory; done is to be called when it is not needed any more.
func (s *source) open(ctx context.Context) (inv api.Inventory, done func(), err error) {
	if s.server != "" && s.store != "" {
		return nil, nil, usageError{errors.New("--server and --store: give one of them")}
	}
	if s.store != "" {
		return openStore(ctx, s.store)
	}
	c, err := s.client()
	return c, func() {}, err
}

// openStore reads a store file, which another process may be writing.
func openStore(ctx context.Context, path string) (api.Inventory, func(), error) {
	st, err := store.OpenReader(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	cat := inventory.New(inventory.Config{MaxBytes: 1 << 40}) // it was bounded when it was written
	c, err := collector.New(ctx, collector.Config{}, cat, st)
	if err != nil {
		st.Close()
		return nil, nil, err
	}
	return c, func() { st.Close() }, nil
}

func (s *source) client() (*api.Client, error) {
	dir := runtimeDir()
	server := s.server
	if server == "" {
		server = os.Getenv("GNOMON_SERVER")
	}
	token := os.Getenv("GNOMON_TOKEN")
	if server == "" {
		server = api.DefaultAddress
		if _, err := os.Stat(filepath.Join(dir, strings.ReplaceAll(server, ":", "_")+".token")); errors.Is(err, fs.ErrNotExist) && token == "" {
			if only := api.OnlyServer(dir); only != "" {
				server = only
			}
		}
	}
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError{fmt.Errorf("server %q: want a URL such as http://%s", server, api.DefaultAddress)}
	}
	if token == "" {
		token, err = api.ReadToken(dir, u.Host)
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("the token of %s belongs to another user: ask as that user, for example with sudo, or set GNOMON_TOKEN", u.Host)
		}
		if errors.Is(err, fs.ErrNotExist) {
			if os.Geteuid() != 0 {
				if _, err := os.Stat(rootRuntimeDir); err == nil {
					return nil, fmt.Errorf("no token for %s among this user's: if it was started with sudo, ask with sudo too, or set GNOMON_TOKEN", u.Host)
				}
			}
			return nil, fmt.Errorf("no token for %s: start `sudo gnomon run`, name another with --server, read a file with --store, or set GNOMON_TOKEN", u.Host)
		}
		if err != nil {
			return nil, fmt.Errorf("read the token of %s: %w", u.Host, err)
		}
	}
	return &api.Client{URL: u.Scheme + "://" + u.Host, Token: token}, nil
}

const rootRuntimeDir = "/run/gnomon"

// runtimeDir is where tokens are kept: a directory that only this user can read.
func runtimeDir() string {
	if d := os.Getenv("GNOMON_RUNTIME_DIR"); d != "" {
		return d
	}
	if os.Geteuid() == 0 {
		return rootRuntimeDir
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "gnomon")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("gnomon-%d", os.Geteuid()))
}

// listOptions are the flags of commands that print a list.
type listOptions struct {
	source
	output  outputFlag
	service string
	since   sinceFlag
	sort    string
	limit   int
}

func (o *listOptions) add(c *cobra.Command, sorted bool) {
	f := c.Flags()
	o.source.add(f)
	o.output.add(c)
	f.StringVar(&o.service, "service", "", "of this `SERVICE` only, or of those that begin so when it ends in *")
	f.Var(&o.since, "since", "seen since then only: 1h, 7d, 2026-11-24T10:00Z")
	f.IntVar(&o.limit, "limit", 0, "at most so many `ROWS`")
	if sorted {
		f.StringVar(&o.sort, "sort", "", "by this `COLUMN`, with - before it the largest first: "+strings.Join(inventory.SortKeys, ", "))
		words(c, "sort", inventory.SortKeys)
	}
}

func (o *listOptions) query() (inventory.Query, error) {
	q := inventory.Query{Service: o.service, Since: o.since.at, Sort: o.sort, Limit: o.limit}
	if err := q.Check(); err != nil {
		return q, usageError{err}
	}
	return q, nil
}

// note prints a message for people on standard error.
func note(w io.Writer, format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
