package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-sensor/gnomon/agent"
	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/agent/source/live"
	"github.com/gnomon-sensor/gnomon/agent/source/record"
	"github.com/gnomon-sensor/gnomon/collector"
	"github.com/gnomon-sensor/gnomon/collector/alert"
	"github.com/gnomon-sensor/gnomon/collector/api"
	"github.com/gnomon-sensor/gnomon/collector/detect"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

// runOptions are the flags of `gnomon run`.
type runOptions struct {
	listen, store, ready, record string
	backend, names               string
	all, verbose                 bool
}

func newRunCmd() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run",
		Short: "Watch this machine: sensor, collector and inventory in one",
		Long: `Watches the API calls of this machine with eBPF and keeps an inventory of them, which the other commands ask for. Needs root.
It listens on the loopback address only, and answers only who has the token that it keeps in a file of its user.
SIGINT and SIGTERM let it finish what it captured, store it and end.`,
		Example: `  sudo gnomon run
  sudo gnomon run --store /tmp/try.db --listen 127.0.0.1:9000 --ready-file /tmp/ready
  sudo gnomon run --backend syscall --record /root/traffic.gnomon`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", api.DefaultAddress, "`ADDRESS` that the other commands ask at")
	f.StringVar(&o.store, "store", "", "`FILE` that keeps the inventory (default gnomon.db in "+rootStateDir+")")
	f.StringVar(&o.ready, "ready-file", "", "make this `FILE` once traffic is captured")
	f.StringVar(&o.record, "record", "", "keep the raw traffic, secrets included, in this new `FILE`, for `gnomon replay`")
	f.StringVar(&o.backend, "backend", "auto", "how to capture: auto, socket or syscall (see `gnomon doctor`)")
	f.StringVar(&o.names, "names", "clear", "clear: words of paths and fields as they are; late: only words that any API has, others as tokens")
	f.BoolVar(&o.all, "all", false, "keep every call apart instead of summing up the frequent ones: costs more")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log more")
	words(c, "backend", []string{"auto", "socket", "syscall"})
	words(c, "names", []string{"clear", "late"})
	c.RunE = func(c *cobra.Command, _ []string) error { return o.run(c) }
	return c
}

// handover is the agent's sink, which is known before the collector is there.
type handover struct{ to *collector.Collector }

func (h *handover) Put(batch []event.Call) error { return h.to.Put(batch) }

func (o *runOptions) run(c *cobra.Command) (err error) {
	ctx := c.Context()
	backend, err := parseBackend(o.backend)
	if err != nil {
		return usageError{fmt.Errorf("--backend: %w", err)}
	}
	names, ok := map[string]redact.Names{"clear": redact.NamesClear, "late": redact.NamesLate}[o.names]
	if !ok {
		return usageError{fmt.Errorf("--names %q: want clear or late", o.names)}
	}
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	if o.ready != "" {
		if err := os.Remove(o.ready); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the ready file of an earlier run: %w: name another with --ready-file", err)
		}
	}
	sink := new(handover)
	cfg := agent.LiveConfig{Source: live.Config{Backend: backend, Log: log}, Sink: sink, Version: buildVersion().Version, ID: randomID(), Started: event.TimeOf(time.Now()), Log: log}
	cfg.Names, cfg.All = names, o.all
	if cfg.Node, err = os.Hostname(); err != nil {
		return fmt.Errorf("find this machine's name: %w", err)
	}
	if cfg.Key, err = installationKey(); err != nil {
		if os.Geteuid() != 0 {
			return fmt.Errorf("%w (and as this user: %w)", live.ErrNotRoot, err)
		}
		return err
	}
	var rec *record.Writer
	if o.record != "" {
		var closeRecord func() error
		if rec, closeRecord, err = o.openRecord(c); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closeRecord()) }()
		cfg.Tee = func(_ int, h chunk.Handler) chunk.Handler { return rec.Tee(h) }
	}
	sensor, err := agent.Open(cfg)
	if err != nil {
		return err
	}
	if rec != nil {
		rec.Know(cfg.Node, uint32(os.Getpid()), sensor.Process)
	}
	running := false
	defer func() {
		if !running { // it captures already: let go of the kernel's hooks
			gone, stop := context.WithCancel(context.Background())
			stop()
			err = errors.Join(err, sensor.Run(gone))
		}
	}()

	listener, err := listen(o.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	st, err := o.openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	var col *collector.Collector
	detectors := newDetectors(cfg.Key, func(a store.Alert) { col.Alert(a) }, log)
	col, err = collector.New(ctx, collector.Config{Sensors: func() []event.Sensor { return []event.Sensor{sensor.Sensor()} }, Log: log,
		Observers: []collector.Observer{detectors},
		Templates: func(list []inventory.Learned) {
			for _, l := range list {
				sensor.Templates().Set(l.Service, l.Matcher)
			}
		}}, inventory.New(inventory.Config{}), st)
	if err != nil {
		return err
	}
	for _, l := range col.Learned() {
		sensor.Templates().Set(l.Service, l.Matcher)
	}
	sink.to = col
	address := listener.Addr().String()
	token, tokenFile, err := o.token(address)
	if err != nil {
		return err
	}
	if tokenFile != "" {
		defer os.Remove(tokenFile)
	}

	// In the order of their end: the sensor drains into the collector, which stores; the server answers until then.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	server := api.New(background, api.Config{Token: token, Address: address, Log: log, Version: cfg.Version}, col)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	collected := make(chan struct{})
	go func() { col.Run(background); close(collected) }()
	sensed := make(chan error, 1)
	capturing, end := context.WithCancel(ctx)
	defer end()
	running = true
	go func() { sensed <- sensor.Run(capturing) }()

	frugal()
	if err := o.announce(c, sensor, address, tokenFile); err != nil {
		end()
		return errors.Join(err, <-sensed)
	}
	if o.ready != "" {
		defer os.Remove(o.ready)
	}
	select {
	case err = <-sensed: // ended by a signal, or by a fault
	case serr := <-served:
		end()
		err = errors.Join(fmt.Errorf("serve at %s: %w", address, serr), <-sensed)
	}
	if ctx.Err() != nil {
		note(c.ErrOrStderr(), "stopping: storing what was captured")
	}
	stop()
	<-collected
	detectors.Flush()
	err = errors.Join(err, col.Close(context.WithoutCancel(ctx)))
	drained, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(drained) != nil {
		server.Close() // who follows is cut off
	}
	return err
}

// frugal keeps the process small: it runs beside the work of the host. Starting leaves 20 MB of garbage, of the kernel's types above all; and
// since nothing is allocated in steady state, collecting at half the usual growth costs nothing and takes a third off the peak of a flood.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	debug.FreeOSMemory()
}

// newDetectors returns the detectors, which hand what they find to emit. Their state is bounded to 40 MB: a host has fewer callers than a
// cluster.
func newDetectors(key [32]byte, emit func(store.Alert), log *slog.Logger) *detect.Engine {
	return detect.New(detect.Config{
		Key:        [2]uint64{binary.LittleEndian.Uint64(key[:]), binary.LittleEndian.Uint64(key[8:])},
		Principals: 20_000, Endpoints: 5_000, Pairs: 50_000,
		Emit: func(f *alert.Finding) {
			b, err := f.AppendJSON(nil)
			if err != nil {
				log.Error("a finding could not be encoded", "finding", f.FindingInfo.UID, "error", err)
				return
			}
			emit(store.Alert{UID: f.FindingInfo.UID, Service: f.Unmapped.Gnomon.Service, Kind: f.Kind(), Severity: f.SeverityID,
				Time: event.Time(f.Time * int64(time.Millisecond)), JSON: b})
		},
	})
}

func parseBackend(s string) (live.Backend, error) {
	if s == "sock" { // as it was called in the beginning
		s = "socket"
	}
	return live.ParseBackend(s)
}

func randomID() string { return strings.ToLower(rand.Text()[:16]) }

// openRecord starts a recording of the raw traffic.
func (o *runOptions) openRecord(c *cobra.Command) (*record.Writer, func() error, error) {
	f, err := record.Create(o.record)
	if err != nil {
		return nil, nil, fmt.Errorf("record: %w: give a new file with --record", err)
	}
	w, err := record.NewWriter(f)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("record to %s: %w", o.record, err)
	}
	note(c.ErrOrStderr(), "warning: %s will hold the traffic as it is, with passwords and personal data in it", o.record)
	return w, func() error {
		if err := errors.Join(w.Close(), f.Close()); err != nil {
			return fmt.Errorf("record to %s: %w", o.record, err)
		}
		return nil
	}, nil
}

func (o *runOptions) openStore(ctx context.Context) (*store.SQLite, error) {
	path := o.store
	if path == "" {
		dir, err := stateDir()
		if err != nil {
			return nil, fmt.Errorf("find a place for the store: %w: give a file with --store", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make a place for the store: %w: give a file with --store", err)
		}
		path = filepath.Join(dir, "gnomon.db")
	}
	return store.Open(ctx, path)
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is in use, perhaps by another gnomon: stop that, or give another address with --listen", address)
	case err != nil:
		return nil, fmt.Errorf("listen: %w: give an address of this machine such as %s with --listen", err, api.DefaultAddress)
	}
	return l, nil
}

// token is GNOMON_TOKEN, else one made now and kept in a file.
func (o *runOptions) token(address string) (token, file string, err error) {
	if token = os.Getenv("GNOMON_TOKEN"); token != "" {
		return token, "", nil
	}
	return api.WriteToken(runtimeDir(), address)
}

// announce says where to look, and makes the ready file.
func (o *runOptions) announce(c *cobra.Command, sensor *agent.Live, address, tokenFile string) error {
	f := sensor.Facts()
	w := c.ErrOrStderr()
	note(w, "capturing with the %s backend on Linux %s", f.Backend, f.Kernel)
	ask := "gnomon endpoints"
	if address != api.DefaultAddress {
		ask += " --server http://" + address
	}
	if os.Geteuid() == 0 {
		ask = "sudo " + ask
	}
	note(w, "look with: %s", ask)
	if tokenFile != "" {
		note(w, "API at http://%s, described at /openapi.json; its token is in %s", address, tokenFile)
	} else {
		note(w, "API at http://%s, described at /openapi.json; its token is GNOMON_TOKEN", address)
	}
	if o.ready == "" {
		return nil
	}
	if err := os.WriteFile(o.ready, []byte("http://"+address+"\n"), 0o644); err != nil {
		return fmt.Errorf("make the ready file: %w", err)
	}
	return nil
}
