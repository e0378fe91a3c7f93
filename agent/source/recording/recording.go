// Package recording reads files that tell of API calls, whatever they are.
//
// In: files or standard input; .gz and .zst are unpacked on the way. The format is found from the content. Out: chunks
// (packet captures, gnomon's own recordings), Exchanges (HAR, access logs) or Calls (Call lines), each to its target, and
// a Summary of what was read, what could not be, and where a file is broken. It never reads more of a file than it needs
// at once and never writes.
package recording

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/agent/source/accesslog"
	"github.com/gnomon-sensor/gnomon/agent/source/calls"
	"github.com/gnomon-sensor/gnomon/agent/source/har"
	"github.com/gnomon-sensor/gnomon/agent/source/pcap"
	"github.com/gnomon-sensor/gnomon/agent/source/pcap/tcp"
	"github.com/gnomon-sensor/gnomon/agent/source/record"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Format is a kind of file.
type Format string

// The formats, by the words that --format takes.
const (
	Auto     Format = "auto"
	Pcap     Format = "pcap" // pcapng too
	HAR      Format = "har"
	Combined Format = "combined"
	Envoy    Format = "envoy"
	JSONLog  Format = "jsonlog"
	Calls    Format = "calls"
	Chunks   Format = "chunks"
)

// Formats lists the words of --format.
func Formats() []string {
	return []string{string(Auto), string(Pcap), string(HAR), string(Combined), string(Envoy), string(JSONLog), string(Calls), string(Chunks)}
}

// ParseFormat returns the format of a word.
func ParseFormat(s string) (Format, error) {
	if !slices.Contains(Formats(), s) {
		return "", fmt.Errorf("format %q is not known: take one of %s", s, strings.Join(Formats(), ", "))
	}
	return Format(s), nil
}

// Targets take what is read. Only those of the formats that come are needed.
type Targets struct {
	Chunks    chunk.Handler
	Exchanges proto.Emitter
	Calls     func(*event.Call)
	Facts     record.Facts // takes what gnomon's own recordings know beyond chunks, and an empty node before any other capture; may be nil
}

// Config is what a Reader needs besides its targets.
type Config struct {
	Format  Format // Auto, or what every file is
	Service string // the callee's name for access logs and HAR, "" to take what the file knows
	TCP     tcp.Config
	Ledger  *ledger.Ledger // takes what was captured; nil: no account is kept
}

// Reader reads files one after the other. It is not safe for concurrent use, but for Progress.
type Reader struct {
	cfg     Config
	to      Targets
	pcap    *pcap.Source
	sum     Summary
	read    atomic.Int64 // bytes of files, before unpacking
	newest  event.Time   // of Exchanges and Calls
	emitter proto.Emitter
}

// New returns a Reader. Close it when all files were read.
func New(cfg Config, to Targets) *Reader {
	r := &Reader{cfg: cfg, to: to}
	if cfg.Ledger != nil && to.Chunks != nil {
		r.to.Chunks = meter{to.Chunks, cfg.Ledger}
	}
	r.emitter = timed{r}
	return r
}

// timed notes how far time came.
type timed struct{ r *Reader }

func (t timed) Emit(c *proto.Conn, x *proto.Exchange) {
	t.r.newest = max(t.r.newest, x.End)
	t.r.sum.Exchanges++
	t.r.to.Exchanges.Emit(c, x)
}

// clocked notes how far time came.
type clocked struct{ r *Reader }

func (c clocked) Chunk(k *chunk.Chunk) {
	c.r.newest = max(c.r.newest, k.Time)
	c.r.to.Chunks.Chunk(k)
}

// Node implements record.Facts.
func (c clocked) Node(name string, own uint32) {
	if c.r.to.Facts != nil {
		c.r.to.Facts.Node(name, own)
	}
}

// Process implements record.Facts.
func (c clocked) Process(pid uint32, name, workload string) {
	if c.r.to.Facts != nil {
		c.r.to.Facts.Process(pid, name, workload)
	}
}

// Progress returns how many bytes of the files were read, packed as they are.
func (r *Reader) Progress() int64 { return r.read.Load() }

// Time returns the time that the recordings came to.
func (r *Reader) Time() event.Time {
	if r.pcap != nil {
		return max(r.newest, r.pcap.Now())
	}
	return r.newest
}

// Open opens a file that can be read.
func Open(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err == nil && st.IsDir() {
		f.Close()
		return nil, fmt.Errorf("%s is a directory: name the files in it", name)
	}
	return f, nil
}

// Interruptible reads r in a goroutine of its own, so that ctx ends a read that waits for more: a pipe that nobody writes
// to would hold up the end of the program. The goroutine ends with r's next bytes.
func Interruptible(ctx context.Context, r io.Reader) io.Reader {
	in := &interruptible{ctx: ctx, full: make(chan []byte, 1), empty: make(chan []byte, 2)}
	in.empty <- make([]byte, 256<<10)
	in.empty <- make([]byte, 256<<10)
	go func() {
		defer close(in.full)
		for b := range in.empty {
			n, err := r.Read(b)
			in.failed = err // read by the other side after the channel says so
			if n > 0 {
				in.full <- b[:n]
			}
			if err != nil {
				return
			}
			if n == 0 {
				in.empty <- b
			}
		}
	}()
	return in
}

type interruptible struct {
	ctx         context.Context //nolint:containedctx // of the one file that is read
	full, empty chan []byte
	now, rest   []byte
	failed      error
}

func (in *interruptible) Read(p []byte) (int, error) {
	if len(in.rest) == 0 {
		if in.now != nil {
			in.empty <- in.now[:cap(in.now)]
			in.now = nil
		}
		select {
		case <-in.ctx.Done():
			return 0, in.ctx.Err()
		case b, ok := <-in.full:
			if !ok {
				return 0, in.failed
			}
			in.now, in.rest = b, b
		}
	}
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	return n, nil
}

const peekSize = 64 << 10 // what the format is found from

// unpack undoes gzip and zstd, which are known by their first bytes.
func unpack(in io.Reader) (*bufio.Reader, func(), error) {
	br := bufio.NewReaderSize(in, peekSize)
	done := func() {}
	for range 2 { // a second time for .gz inside .zst and the like
		b, _ := br.Peek(4)
		switch {
		case len(b) >= 2 && b[0] == 0x1f && b[1] == 0x8b:
			z, err := gzip.NewReader(br)
			if err != nil {
				return nil, done, fmt.Errorf("gzip: %w", err)
			}
			br = bufio.NewReaderSize(z, peekSize)
		case bytes.Equal(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
			z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderLowmem(true))
			if err != nil {
				return nil, done, fmt.Errorf("zstd: %w", err)
			}
			before := done
			done = func() { z.Close(); before() }
			br = bufio.NewReaderSize(z, peekSize)
		default:
			return br, done, nil
		}
	}
	return br, done, nil
}

type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// ErrUnknown says that a file is in no format that is read.
var ErrUnknown = errors.New("not a format that gnomon reads")

// Read reads one file. What was read before a fault counts; the fault is returned, and kept in the Summary.
func (r *Reader) Read(ctx context.Context, name string, in io.Reader) error {
	start := r.read.Load()
	f := File{Name: name, Format: r.cfg.Format}
	err := r.file(ctx, &f, counted{in, &r.read})
	f.Bytes = r.read.Load() - start
	if err != nil {
		f.Fault = err.Error()
	}
	r.sum.Files = append(r.sum.Files, f)
	return err
}

func (r *Reader) file(ctx context.Context, f *File, in io.Reader) error {
	br, done, err := unpack(in)
	if err != nil {
		return err
	}
	defer done()
	b, err := br.Peek(peekSize)
	if len(b) == 0 {
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("byte 0: %w", err)
		}
		return errors.New("byte 0: the file is empty")
	}
	if f.Format == Auto || f.Format == "" {
		if f.Format = Detect(b); f.Format == "" {
			f.Format = Auto
			return fmt.Errorf("byte 0: %w (it begins with %.24q): a packet capture, HAR, an access log or Call lines are; --format forces one", ErrUnknown, b[:min(len(b), 24)])
		}
	}
	if bytes.HasPrefix(b, bom) && f.Format != Pcap && f.Format != Chunks {
		if _, err := br.Discard(len(bom)); err != nil {
			return err
		}
	}
	switch f.Format {
	case Pcap:
		clocked{r}.Node("", 0)
		if r.pcap == nil {
			r.pcap = pcap.New(pcap.Config{TCP: r.cfg.TCP}, r.to.Chunks)
		}
		if r.sum.Chunks > 0 {
			clocked{r}.Node("", 0) // captured between the ends, not where a recording before it was made
		}
		err = r.pcap.Read(ctx, br)
	case Chunks:
		clocked{r}.Node("", 0) // until the recording says where it was made
		var st record.Stats
		st, err = record.Read(ctx, br, clocked{r})
		r.sum.Chunks += st.Chunks
	case HAR:
		var st har.Stats
		st, err = har.Read(ctx, har.Config{Service: r.cfg.Service}, br, r.emitter)
		r.sum.add("not_http", uint64(st.NotHTTP), "HAR entries of other URLs (data:, blob:, extensions)")
		err = r.bad(err, st.First, st.Bad, 0, "entries")
	case Combined, Envoy, JSONLog:
		form := map[Format]accesslog.Form{Combined: accesslog.Combined, Envoy: accesslog.Envoy, JSONLog: accesslog.JSON}[f.Format]
		var st accesslog.Stats
		st, err = accesslog.Read(ctx, accesslog.Config{Form: form, Service: r.cfg.Service}, br, r.emitter)
		r.sum.add("no_request", uint64(st.NoCall), "log lines about something else than an HTTP request")
		err = r.bad(err, st.First, st.Bad, st.TooLong, "lines")
	case Calls:
		var st calls.Stats
		st, err = calls.Read(ctx, br, func(c *event.Call) {
			r.newest = max(r.newest, c.Time, c.Until)
			r.to.Calls(c)
		})
		r.sum.Calls += uint64(st.Lines)
		err = r.bad(err, st.First, st.Bad, st.TooLong, "lines")
	}
	return err
}

// bad makes one fault of what is wrong with a file of lines or entries.
func (r *Reader) bad(err, first error, bad, long int, what string) error {
	r.sum.add("bad_"+what, uint64(bad), what+" that are not in the file's format")
	r.sum.add("too_long", uint64(long), what+" of more than 1 MiB")
	if err != nil {
		return err
	}
	if first != nil {
		return fmt.Errorf("%w (%d %s in all; the others were read)", first, bad, what)
	}
	if long > 0 {
		return fmt.Errorf("%d %s of more than 1 MiB were passed over", long, what)
	}
	return nil
}

// Close ends what goes on from file to file.
func (r *Reader) Close() {
	if r.pcap != nil {
		r.pcap.Close()
	}
}
