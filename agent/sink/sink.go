// Package sink takes the Calls that leave the agent to where they go: the collector in the same process, or a file.
//
// In: borrowed event.Calls, from one goroutine per shard. Out: batches to a Sink, or JSON lines. It never waits for the receiver
// while live traffic is read: at its bound it drops, counts what it dropped, and before that asks the fold to sum up instead. It
// never changes a Call.
package sink

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Sink takes batches. A batch is borrowed. An error means that none of it was taken.
type Sink interface {
	Put(batch []event.Call) error
}

// Config bounds a Bus. The zero value takes the defaults.
type Config struct {
	// Batch is how many Calls are handed over at once. Default 256.
	Batch int
	// Queue is how many batches may wait. Default 64: with Calls of 1.5 KiB 24 MiB when the receiver stands still, two or three batches else.
	Queue int
	// Wait lets a shard wait for room instead of dropping: for recordings, whose reader can wait.
	Wait bool
}

// Bus is the bounded queue between the shards and the one who takes batches. Safe for concurrent use.
type Bus struct {
	cfg  Config
	led  *ledger.Ledger
	full chan *batch
	free chan *batch
}

type batch struct{ calls []event.Call }

// keepFree is how many empty batches are kept for reuse: more were needed only in a burst, whose memory goes back.
const keepFree = 4

// NewBus returns a Bus that counts in led what was delivered and what was lost.
func NewBus(cfg Config, led *ledger.Ledger) *Bus {
	if cfg.Batch <= 0 {
		cfg.Batch = 256
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 64
	}
	return &Bus{cfg: cfg, led: led, full: make(chan *batch, cfg.Queue), free: make(chan *batch, keepFree)}
}

// Lane returns the way into the bus for one shard.
func (b *Bus) Lane() *Lane { return &Lane{bus: b} }

// Run hands batches to s until Close was called and all are handed over, or ctx ends. The error is the first that s gave.
func (b *Bus) Run(ctx context.Context, s Sink) (err error) {
	for {
		select {
		case x, ok := <-b.full:
			if !ok {
				return err
			}
			n := count(x.calls)
			if e := s.Put(x.calls); e != nil {
				b.led.Calls.Lose(ledger.StoreFailed, n)
				if err == nil {
					err = fmt.Errorf("hand over %d calls: %w", n, e)
				}
			} else {
				b.led.Calls.Deliver(n)
			}
			b.release(x)
		case <-ctx.Done():
			return err
		}
	}
}

// Close ends the bus. No Lane may be used from then on.
func (b *Bus) Close() { close(b.full) }

func (b *Bus) release(x *batch) {
	select {
	case b.free <- x:
	default:
	}
}

func (b *Bus) take() *batch {
	select {
	case x := <-b.free:
		x.calls = x.calls[:0]
		return x
	default:
		return &batch{calls: make([]event.Call, 0, b.cfg.Batch)}
	}
}

// Lane is used by one shard.
type Lane struct {
	bus *Bus
	cur *batch
}

// Call copies c into the batch under way.
func (l *Lane) Call(c *event.Call) {
	if l.cur == nil {
		l.cur = l.bus.take()
	}
	n := len(l.cur.calls)
	l.cur.calls = l.cur.calls[:n+1]
	l.cur.calls[n].CopyFrom(c)
	if n+1 == cap(l.cur.calls) {
		l.Flush()
	}
}

// Full says that the receiver is behind: what need not leave in full should not.
func (l *Lane) Full() bool { return !l.bus.cfg.Wait && len(l.bus.full) > cap(l.bus.full)/2 }

// Flush hands over the batch under way.
func (l *Lane) Flush() {
	if l.cur == nil || len(l.cur.calls) == 0 {
		return
	}
	x := l.cur
	l.cur = nil
	if l.bus.cfg.Wait {
		l.bus.full <- x
		return
	}
	select {
	case l.bus.full <- x:
	default:
		l.bus.led.Calls.Lose(ledger.QueueFull, count(x.calls))
		l.bus.release(x)
	}
}

// count is how many calls the batch stands for: a call that lasts counts when it is done.
func count(calls []event.Call) (n uint64) {
	for i := range calls {
		if c := &calls[i]; c.State == event.Done {
			n += c.Calls()
		}
	}
	return n
}

// Direct hands each Call to a function at once, without a copy: for replay, where the reader may wait. Not safe for concurrent use.
type Direct struct {
	led *ledger.Ledger
	f   func(*event.Call)
}

// NewDirect returns a Direct that counts what f took as delivered.
func NewDirect(led *ledger.Ledger, f func(*event.Call)) *Direct { return &Direct{led, f} }

// Call hands c over.
func (d *Direct) Call(c *event.Call) {
	d.f(c)
	if c.State == event.Done {
		d.led.Calls.Deliver(c.Calls())
	}
}

// Full says that there is always room.
func (d *Direct) Full() bool { return false }

// Flush does nothing: nothing is held back.
func (d *Direct) Flush() {}

// Lines is a Sink that writes each Call as a line of JSON. Safe for concurrent use.
type Lines struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// NewLines returns a Lines on w.
func NewLines(w io.Writer) *Lines { return &Lines{w: w} }

// Put writes batch.
func (l *Lines) Put(calls []event.Call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = l.buf[:0]
	for i := range calls {
		l.buf = append(calls[i].AppendJSON(l.buf), '\n')
	}
	if _, err := l.w.Write(l.buf); err != nil {
		return fmt.Errorf("write %d calls: %w", len(calls), err)
	}
	if cap(l.buf) > 1<<20 {
		l.buf = nil // one odd batch must not pin its memory
	}
	return nil
}
