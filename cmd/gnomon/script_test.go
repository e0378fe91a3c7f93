package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/collector"
	"github.com/gnomon-sensor/gnomon/collector/api"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gnomon": main,
		"seed":   seedMain,
		"serve":  serveMain,
	})
}

// TestScripts runs testdata/script: what the commands print, byte for byte, and their exit codes.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GNOMON_RUNTIME_DIR", e.WorkDir+"/run")
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/config")
			e.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// code N CMD…: CMD ends with exit code N.
			"code": func(ts *testscript.TestScript, neg bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				err = ts.Exec(args[1], args[2:]...)
				got := 0
				if err != nil {
					got = 1
					if e, ok := err.(interface{ ExitCode() int }); ok {
						got = e.ExitCode()
					}
				}
				if got != want {
					ts.Fatalf("%v ended with %d, want %d", args[1:], got, want)
				}
			},
			// setenv NAME FILE: the variable to what the file holds.
			"setenv": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
			},
			// waitfile FILE: until it is there.
			"waitfile": func(ts *testscript.TestScript, _ bool, args []string) {
				for range 200 {
					if st, err := os.Stat(ts.MkAbs(args[0])); err == nil && st.Size() > 0 {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
				ts.Fatalf("%s does not come", args[0])
			},
		},
	})
}

// seeded is the inventory that the scripts ask for, with hostile names among it.
func seeded() []event.Call {
	at := event.Time(1795514400e9) // 2026-11-24T10:00:00Z
	word := func(s string) event.Segment {
		return event.Segment{Kind: event.KindWord, Text: s, Token: uint64(len(s))<<32 | uint64(s[0])<<8 | uint64(s[len(s)-1])}
	}
	var list []event.Call
	add := func(c event.Call) {
		c.ID = fmt.Sprintf("call%d", len(list))
		c.Time = at.Add(time.Duration(len(list)) * time.Second)
		c.Side, c.Protocol = event.SideServer, event.HTTP11
		list = append(list, c)
	}
	orders := event.Call{Service: "orders.service:8080", Method: "GET", Host: "orders.example", Path: []event.Segment{word("orders"), {Kind: event.KindInteger, Token: 5}},
		Status: 200, Client: event.Peer{Address: "10.0.0.7", Workload: "host/web1/nginx.service"}, Server: event.Peer{Address: "10.0.0.9", Port: 8080, Process: "java"},
		Encryption: event.Plaintext, ResponseBytes: 512, DurationNS: 1400000, ResponseType: "application/json",
		Auth: event.Auth{Kind: event.AuthBearerJWT, Credential: "c5d1f0", Issuer: "https://id.example", Algorithm: "RS256", Scopes: []string{"orders.read"}},
		Data: event.Data{Response: []event.DataClass{{Class: "email", At: "$.contact", Count: 1}}}}
	for i := range 5 {
		c := orders
		c.Path = []event.Segment{word("orders"), {Kind: event.KindInteger, Token: uint64(10 + i)}}
		add(c)
	}
	post := orders
	post.Method, post.Path, post.Status, post.Auth = "POST", []event.Segment{word("orders")}, 201, event.Auth{}
	post.Params = []event.Param{{In: event.InQuery, Name: "dry_run", Kind: event.KindBoolean, Hash: "aa"}}
	add(post)
	fail := orders
	fail.Status = 500
	add(fail)
	health := event.Call{Service: "orders.service:8080", Method: "GET", Path: []event.Segment{word("healthz")}, Status: 200, Probe: event.HealthProbe, Client: event.Peer{Address: "10.0.0.2"}, Encryption: event.Plaintext}
	add(health)
	add(event.Call{Service: "10.0.0.5:80", Method: "GET", Path: []event.Segment{word(".env")}, Status: 404, Client: event.Peer{Address: "203.0.113.9"}, Encryption: event.Plaintext, Signs: []string{"traversal"}})
	add(event.Call{Service: "10.0.0.5:80", Method: "=cmd|'/c calc'!A1", Host: "a\x1b[31m\u202eb", Path: []event.Segment{word("\x1b]0;owned\x07")}, Status: 200,
		Client: event.Peer{Address: "203.0.113.9"}, Encryption: event.Plaintext})
	return list
}

func seededSensor() event.Sensor {
	return event.Sensor{Node: "web1", Agent: "a1", State: "capturing", Started: 1795514000e9, Updated: 1795514500e9, Version: "1.2.3", Kernel: "6.12.1", Arch: "amd64", Backend: "socket",
		BlindSpots: []event.BlindSpot{{Kind: "tls", Count: 12, Bytes: 4096, Detail: "node"}, {Kind: "quic", Count: 3}, {Kind: "io_uring"}},
		Ledger: event.Ledger{Chunks: event.Account{Captured: 20, Delivered: 20, Lost: map[string]uint64{}},
			Bytes: event.Account{Captured: 1000, Delivered: 900, Lost: map[string]uint64{"not_decoded": 100}},
			Calls: event.Account{Captured: 10, Delivered: 9, Lost: map[string]uint64{"orphan": 1}}}}
}

func seedCollector(ctx context.Context, st store.Store) (*collector.Collector, error) {
	c, err := collector.New(ctx, collector.Config{Sensors: func() []event.Sensor { return []event.Sensor{seededSensor()} }}, inventory.New(inventory.Config{}), st)
	if err != nil {
		return nil, err
	}
	return c, c.Put(seeded())
}

// seedMain is the command `seed FILE`: a store with the seeded inventory.
func seedMain() {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	st, err := store.Open(ctx, os.Args[1])
	check(err)
	c, err := seedCollector(ctx, st)
	check(err)
	check(c.Close(ctx))
	check(st.Close())
}

// serveMain is the command `serve ADDRESSFILE`: a server of the seeded inventory that goes on adding a call every 50 ms, for 20 s
// at most.
func serveMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	c, err := seedCollector(ctx, nil)
	if err == nil {
		var l, lerr = listen("127.0.0.1:0")
		err = lerr
		if err == nil {
			token, _, terr := api.WriteToken(runtimeDir(), l.Addr().String())
			if err = terr; err == nil {
				go func() { _ = api.New(ctx, api.Config{Token: token, Address: l.Addr().String()}, c).Serve(l) }()
				err = os.WriteFile(os.Args[1], []byte(l.Addr().String()), 0o600)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := 0; ctx.Err() == nil; i++ {
		x := seeded()[0]
		x.ID = fmt.Sprint("new", i)
		_ = c.Put([]event.Call{x})
		time.Sleep(50 * time.Millisecond)
	}
}

func TestEveryCommandHasAnExampleAndSaysWhatItDoes(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		require.NotEmpty(t, c.Example, "%s has no example", c.CommandPath())
		require.NotEmpty(t, c.Short, c.CommandPath())
		require.NotContains(t, c.Short, "\n", c.CommandPath())
		for _, line := range strings.Split(c.Example, "\n") {
			require.Regexp(t, `gnomon`, line, "an example of %s", c.CommandPath())
		}
		for _, s := range c.Commands() {
			walk(s)
		}
	}
	walk(newRootCmd())
}

func TestSinceTakesDurationsAndTimes(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-24T10:00Z": "2026-11-24T10:00:00.000000000Z", "2026-11-24T10:00:01.5Z": "2026-11-24T10:00:01.500000000Z",
		"2026-11-24": "2026-11-24T00:00:00.000000000Z", "2026-11-24T12:00+02:00": "2026-11-24T10:00:00.000000000Z", "2026-11-24T10:00": "2026-11-24T10:00:00.000000000Z",
	} {
		var s sinceFlag
		require.NoError(t, s.Set(in), in)
		require.Equal(t, want, s.at.String(), in)
	}
	for in, want := range map[string]time.Duration{"1h": time.Hour, "90m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "0s": 0} {
		var s sinceFlag
		require.NoError(t, s.Set(in), in)
		require.WithinDuration(t, time.Now().Add(-want), s.at.Std(), time.Second, in)
	}
	for _, in := range []string{"", "yesterday", "-1h", "10:00", "d"} {
		require.Error(t, new(sinceFlag).Set(in), in)
	}
}

func TestWrongUsageIsToldApartFromFailure(t *testing.T) {
	for _, c := range []struct {
		code int
		args []string
	}{
		{0, []string{"version"}}, {0, []string{"--help"}}, {0, []string{"endpoints", "-h"}}, {2, []string{"nonsense"}}, {2, []string{"endpoints", "nonsense"}},
		{2, []string{"endpoints", "--nonsense"}}, {2, []string{"endpoints", "-o", "xml"}}, {2, []string{"endpoints", "--state", "new"}}, {2, []string{"endpoints", "--sort", "size"}},
		{2, []string{"endpoints", "--limit", "-1"}}, {2, []string{"endpoints", "--since", "yesterday"}}, {2, []string{"show"}}, {2, []string{"version", "x"}},
		{2, []string{"completion", "tcsh"}}, {2, []string{"completion"}}, {2, []string{"run", "--backend", "magic"}}, {2, []string{"run", "--names", "some"}},
		{2, []string{"apis", "--server", "ftp://x"}}, {2, []string{"apis", "--server", "http://x", "--store", "y"}}, {1, []string{"apis", "--store", filepath.Join(t.TempDir(), "none")}},
	} {
		var stderr strings.Builder
		code := run(c.args, strings.NewReader(""), io.Discard, &stderr)
		require.Equal(t, c.code, code, "%v: %s", c.args, stderr.String())
		if c.code != 0 {
			require.Regexp(t, "^gnomon: ", stderr.String())
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "one message: %s", stderr.String())
		}
	}
}
