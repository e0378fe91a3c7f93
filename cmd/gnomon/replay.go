package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gnomon-sensor/gnomon/agent"
	"github.com/gnomon-sensor/gnomon/agent/fold"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/agent/sink"
	"github.com/gnomon-sensor/gnomon/agent/source/recording"
	"github.com/gnomon-sensor/gnomon/collector"
	"github.com/gnomon-sensor/gnomon/collector/alert"
	"github.com/gnomon-sensor/gnomon/collector/detect"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

// replayOptions are the flags of `gnomon replay`.
type replayOptions struct {
	output                outputFlag
	store, calls, alerts  string
	format, service, name string
	quiet, revisions      bool
}

func newReplayCmd() *cobra.Command {
	var o replayOptions
	c := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Read recordings instead of live traffic",
		Long: `Reads recordings into the same calls and the same inventory as live traffic, without root: packet captures (pcap, pcapng),
HTTP archives (HAR), access logs of nginx, Apache, Envoy and others, Call lines that gnomon printed, and recordings of
"gnomon run --record". Files packed with gzip or zstd are read as they are, - is standard input, and the format is found from
the content. Captures that belong together are put in order of time, and connections go on from one to the next.

Without --store, --calls or --alerts it prints the endpoints that were found. What could not be decoded, and why, is told on
standard error. A file that is broken is read up to the fault; its place is told, and the exit code is 1.`,
		Example: `  gnomon replay capture.pcap
  gnomon replay --calls - capture.pcapng.gz | jq .template
  gnomon replay --store shop.db monday.pcap tuesday.pcap && gnomon apis --store shop.db
  zcat access.log.1.gz | gnomon replay --service shop -
  gnomon replay --alerts alerts.jsonl calls.jsonl.zst`,
		Args: cobra.MinimumNArgs(1),
	}
	f := c.Flags()
	o.output.add(c)
	f.StringVar(&o.store, "store", "", "keep the inventory in this `FILE`; what it holds already is added to")
	f.StringVar(&o.calls, "calls", "", "write each call as a line of JSON to this `FILE`, - for standard output")
	f.StringVar(&o.alerts, "alerts", "", "write each alert as a line of JSON to this `FILE`, - for standard output")
	f.StringVar(&o.format, "format", string(recording.Auto), "what all files are: "+strings.Join(recording.Formats(), ", "))
	f.StringVar(&o.service, "service", "", "the `NAME` of the service whose access log or HAR this is; a log that does not tell its server is of the service \"unknown\"")
	f.StringVar(&o.name, "names", "clear", "clear: words of paths and fields as they are; late: only words that any API has, others as tokens")
	f.BoolVar(&o.revisions, "revisions", false, "write calls that last also when they open and while they go on, not only when they end")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress and no summary")
	words(c, "format", recording.Formats())
	words(c, "names", []string{"clear", "late"})
	c.RunE = func(c *cobra.Command, files []string) error { return o.run(c, files) }
	return c
}

func (o *replayOptions) run(c *cobra.Command, files []string) error {
	// Reading is one pipeline of direct calls, and its memory is flat. A second processor has only idle threads of the garbage collector to
	// run, which cost a tenth of the whole: 200,000 calls in 0.60 s of processor time so, in 0.68 s as Go sets itself up.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	format, err := recording.ParseFormat(o.format)
	if err != nil {
		return usageError{err}
	}
	names, ok := map[string]redact.Names{"clear": redact.NamesClear, "late": redact.NamesLate}[o.name]
	if !ok {
		return usageError{fmt.Errorf("--names %q: want clear or late", o.name)}
	}
	if o.calls == "-" && o.alerts == "-" {
		return usageError{errors.New("--calls - and --alerts -: only one of them can go to standard output")}
	}
	if slices.Contains(files, "-") && len(files) != len(slices.Compact(slices.Sorted(slices.Values(files)))) {
		return usageError{errors.New("a file is named twice")}
	}
	key, err := installationKey()
	if err != nil {
		return err
	}
	p := &replay{cmd: c, start: time.Now(), revisions: o.revisions}
	defer p.cleanup()
	if err := p.open(o, names, key); err != nil {
		return err
	}
	faults := p.read(c.Context(), format, o.service, files, o.quiet)
	return errors.Join(p.finish(o), faults)
}

// replay is one run of the command.
type replay struct {
	cmd    *cobra.Command
	start  time.Time
	stop   context.CancelCauseFunc
	led    ledger.Ledger
	pipe   *agent.Pipeline
	reader *recording.Reader
	col    *collector.Collector // nil when only calls are asked for
	st     *store.SQLite
	engine *detect.Engine
	calls  *lines

	revisions bool
	alerts    *lines
	one       [1]event.Call
	given     bool // the call comes from a Call line
	direct    *sink.Direct
	tick      event.Time
	stopCol   func()
	undo      []func()
}

func (p *replay) cleanup() {
	for _, f := range slices.Backward(p.undo) {
		f()
	}
}

// lines writes lines of JSON. After the first fault nothing is written any more, and the run is stopped.
type lines struct {
	w    io.Writer
	file *os.File // nil: standard output, which is not closed
	buf  []byte   // lines that are not written yet
	err  error
	stop func(error)
}

const lineBuffer = 256 << 10

func (p *replay) lines(name, what string) (*lines, error) {
	l := &lines{w: p.cmd.OutOrStdout(), buf: make([]byte, 0, lineBuffer+64<<10)}
	l.stop = func(err error) {
		if p.stop != nil {
			p.stop(err)
		}
	}
	if name == "-" {
		return l, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("write the %s: %w", what, err)
	}
	l.w, l.file = f, f
	return l, nil
}

// end ends the line that was appended to buf.
func (l *lines) end() {
	if l.buf = append(l.buf, '\n'); len(l.buf) >= lineBuffer {
		l.write()
	}
}

func (l *lines) write() {
	if l.err == nil && len(l.buf) > 0 {
		if _, l.err = l.w.Write(l.buf); l.err != nil {
			l.stop(l.err)
		}
	}
	l.buf = l.buf[:0]
}

func (l *lines) finish() error {
	if l == nil {
		return nil
	}
	l.write()
	if l.file != nil {
		return errors.Join(l.err, l.file.Close())
	}
	return l.err
}

// open puts the rooms together. Only what is asked for is there: calls alone need no inventory.
func (p *replay) open(o *replayOptions, names redact.Names, key [32]byte) (err error) {
	ctx := p.cmd.Context()
	if o.calls != "" {
		if p.calls, err = p.lines(o.calls, "calls"); err != nil {
			return err
		}
	}
	if o.alerts != "" {
		if p.alerts, err = p.lines(o.alerts, "alerts"); err != nil {
			return err
		}
		p.engine = detect.New(detect.Config{Key: [2]uint64{binary.LittleEndian.Uint64(key[:]), binary.LittleEndian.Uint64(key[8:])}, Emit: func(f *alert.Finding) {
			n := len(p.alerts.buf)
			b, err := f.AppendJSON(p.alerts.buf)
			if err != nil { // it has no number or string that JSON cannot hold
				p.alerts.buf = b[:n]
				return
			}
			p.alerts.buf = b
			p.alerts.end()
		}})
	}
	templates := new(fold.Templates)
	if o.store != "" || o.calls != "-" && o.alerts != "-" {
		cfg := collector.Config{Ring: -1, Sensors: p.sensors, Templates: func(list []inventory.Learned) {
			for _, l := range list {
				templates.Set(l.Service, l.Matcher)
			}
		}}
		var st store.Store
		if o.store != "" {
			cfg.Ring = 0
			if p.st, err = store.Open(ctx, o.store); err != nil {
				return fmt.Errorf("open the store %s: %w", o.store, err)
			}
			p.undo = append(p.undo, func() { p.st.Close() })
			st = p.st
		}
		// Wider than a sensor's: who replays waits for the result and wants it whole.
		wide := inventory.Config{MaxBytes: 256 << 20, MaxLeaves: 100_000, MaxAttempted: 10_000}
		if p.col, err = collector.New(ctx, cfg, inventory.New(wide), st); err != nil {
			return err
		}
		run, stop := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan struct{})
		go func() { p.col.Run(run); close(done) }()
		p.stopCol = func() { stop(); <-done }
		p.undo = append(p.undo, p.stopCol)
	}
	p.direct = sink.NewDirect(&p.led, p.call)
	p.pipe, err = agent.New(agent.Config{Key: key, Names: names, Recording: true, All: o.calls != "" || o.alerts != "", Fold: fold.Config{Templates: templates}}, &p.led, p.direct)
	return err
}

// line takes a Call line. It was through the pipeline when it was written: its template and parameters are as they were
// left then, and the path that they were made from may not be there.
func (p *replay) line(c *event.Call) {
	if c.State == event.Done {
		p.led.Calls.Capture(c.Calls())
	}
	p.given = true
	p.direct.Call(c)
	p.given = false
}

// call takes each call where it leaves the pipeline.
func (p *replay) call(c *event.Call) {
	if p.col != nil {
		p.one[0] = *c
		p.col.Put(p.one[:]) //nolint:errcheck // it is nil: what cannot be stored now is stored later
	}
	if p.engine != nil {
		p.engine.Observe(c)
		if c.Time > p.tick+event.Time(time.Second) {
			p.tick = c.Time
			p.engine.Tick(c.Time)
		}
	}
	if p.calls != nil && (c.State == event.Done || p.revisions || p.given) {
		p.calls.buf = c.AppendJSON(p.calls.buf)
		p.calls.end()
	}
}

func (p *replay) sensors() []event.Sensor {
	s := p.pipe.Sensor()
	s.Node, s.State, s.Started, s.Updated = "recording", "stopped", event.TimeOf(p.start), event.TimeOf(time.Now())
	return []event.Sensor{s}
}

// read reads the files. The error names each fault, and is nil where all were read to their end or a signal ended it.
func (p *replay) read(parent context.Context, format recording.Format, service string, files []string, quiet bool) error {
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	p.stop = stop
	stderr := p.cmd.ErrOrStderr()
	p.reader = recording.New(recording.Config{Format: format, Service: service, Ledger: &p.led},
		recording.Targets{Chunks: p.pipe.Handlers()[0], Exchanges: p.pipe.Emitter(0), Calls: p.line, Facts: p.pipe})
	done := func() {}
	if f, ok := stderr.(*os.File); ok && !quiet && term.IsTerminal(int(f.Fd())) {
		done = p.progress(f, files)
	}
	var faults []error
	for _, name := range recording.Order(files) {
		if ctx.Err() != nil {
			break
		}
		err := p.file(ctx, name)
		if err != nil && ctx.Err() == nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	p.reader.Close()
	p.pipe.Flush(p.reader.Time())
	if p.engine != nil {
		p.engine.Flush()
	}
	done()
	if !quiet {
		p.summary(stderr)
	}
	if cause := context.Cause(ctx); cause != nil && parent.Err() == nil {
		return cause // what is written cannot be written on
	}
	return errors.Join(faults...)
}

func (p *replay) file(ctx context.Context, name string) error {
	if name == "-" {
		return p.reader.Read(ctx, "standard input", recording.Interruptible(ctx, p.cmd.InOrStdin()))
	}
	f, err := recording.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return p.reader.Read(ctx, name, f)
}

// progress shows how far it is, until the function that it returns is called.
func (p *replay) progress(w io.Writer, files []string) func() {
	var total int64
	for _, name := range files {
		st, err := os.Stat(name)
		if err != nil || !st.Mode().IsRegular() {
			total = 0
			break // one of unknown size: no share can be told
		}
		total += st.Size()
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				fmt.Fprint(w, "\r\x1b[K")
				return
			case <-tick.C:
			}
			read, spent := p.reader.Progress(), time.Since(p.start)
			rate := float64(read) / spent.Seconds()
			line := fmt.Sprintf("%s read, %s/s", size(uint64(read)), size(uint64(rate)))
			if total > 0 && read > 0 {
				left := time.Duration(float64(max(total-read, 0)) / rate * float64(time.Second))
				line = fmt.Sprintf("%3d %%, %s, %s left", min(read*100/total, 100), line, left.Round(time.Second))
			}
			fmt.Fprintf(w, "\r%s\x1b[K", line)
		}
	}()
	return func() { close(quit); <-done }
}

// summary says what was read, what gave no call, and why.
func (p *replay) summary(w io.Writer) {
	s := p.reader.Summary()
	var bytes int64
	for _, f := range s.Files {
		bytes += f.Bytes
	}
	led := p.led.Event()
	parts := []string{"1 file", size(uint64(bytes))}
	if len(s.Files) != 1 {
		parts[0] = fmt.Sprintf("%d files", len(s.Files))
	}
	for _, n := range []struct {
		n    uint64
		what string
	}{{s.Packets, "packets"}, {s.TCP.Conns, "TCP connections"}, {s.Chunks, "chunks"}, {s.Exchanges, "entries"}, {s.Calls, "Call lines"}} {
		if n.n > 0 {
			parts = append(parts, count(n.n)+" "+n.what)
		}
	}
	parts = append(parts, count(led.Calls.Delivered)+" calls", fmt.Sprintf("%.1f s", time.Since(p.start).Seconds()))
	note(w, "read: %s", strings.Join(parts, ", "))
	for _, r := range s.Notes {
		note(w, "  %-20s %12d  %s", r.Name, r.Count, r.Detail)
	}
	skipped := s.Skipped
	st := p.pipe.Stats()
	for _, guess := range sortedKeys(st.Undecoded) {
		if n := st.Undecoded[guess]; n > 0 {
			skipped = append(skipped, recording.Reason{Name: guess, Count: n, Detail: "connections, " + size(st.Bytes[guess])})
		}
	}
	for _, reason := range sortedKeys(led.Calls.Lost) {
		skipped = append(skipped, recording.Reason{Name: reason, Count: led.Calls.Lost[reason], Detail: "calls"})
	}
	for _, reason := range []string{"resync", "orphan", "parser_gave_up", "conn_budget"} {
		if n := led.Bytes.Lost[reason]; n > 0 {
			skipped = append(skipped, recording.Reason{Name: reason, Count: n, Detail: "bytes that could not be put into a call"})
		}
	}
	if len(skipped) > 0 {
		note(w, "not decoded:")
	}
	for _, r := range skipped {
		note(w, "  %-20s %12d  %s", r.Name, r.Count, r.Detail)
	}
}

func sortedKeys(m map[string]uint64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// finish learns templates, stores, prints, and closes the files.
func (p *replay) finish(o *replayOptions) error {
	err := errors.Join(p.calls.finish(), p.alerts.finish())
	if err != nil || p.col == nil {
		return err
	}
	p.stopCol()
	ctx := context.WithoutCancel(p.cmd.Context()) // a signal ended the reading; what was read is kept
	if err := p.col.Close(ctx); err != nil {
		return err
	}
	if o.store != "" || o.calls == "-" || o.alerts == "-" {
		return nil
	}
	return printEndpoints(p.cmd, o.output.printer(p.cmd), p.col, inventory.Query{})
}
