package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/enrich"
	"github.com/gnomon-sensor/gnomon/agent/fold"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/process"
	"github.com/gnomon-sensor/gnomon/agent/sink"
	"github.com/gnomon-sensor/gnomon/agent/source/live"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// LiveConfig is what a live agent needs.
type LiveConfig struct {
	Config
	// Source is what to capture and how. Its Ledger is set here.
	Source live.Config
	// Sink takes the batches, through a Bus of these bounds.
	Sink sink.Sink
	Bus  sink.Config
	// ID names this life of the agent, Version the program, Started when it began; for Sensor.
	ID, Version string
	Started     event.Time
	// Tee wraps the handler of a shard, to keep the chunks that it takes; nil: nothing is kept.
	Tee func(shard int, h chunk.Handler) chunk.Handler
	// Log takes what goes wrong behind the scenes. Default none.
	Log *slog.Logger
}

// Live is the agent on this host's sockets.
type Live struct {
	cfg  LiveConfig
	src  *live.Source
	pipe *Pipeline
	led  *ledger.Ledger
	bus  *sink.Bus
	tpl  *fold.Templates

	mu    sync.Mutex
	state string
	now   event.Time
	facts *live.Facts // the last ones, once the source is closed
}

// processes is process.Table as enrich wants it.
type processes struct{ t *process.Table }

func (p processes) Process(pid uint32, at event.Time) enrich.Process {
	i := p.t.Lookup(pid, at)
	return enrich.Process{Name: i.Name, Workload: i.Workload()}
}

// Open starts to capture: what is captured waits in the kernel's rings until Run reads it. The error is one of package live's sentinels
// wherever one fits.
func Open(cfg LiveConfig) (*Live, error) {
	if cfg.Sink == nil {
		return nil, errors.New("agent: no sink")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Live{cfg: cfg, led: new(ledger.Ledger), tpl: new(fold.Templates), state: "capturing", now: cfg.Started}
	l.cfg.Source.Ledger = l.led
	l.cfg.Source.Shards = max(cfg.Source.Shards, 1)
	if l.cfg.Source.Log == nil {
		l.cfg.Source.Log = cfg.Log
	}
	src, err := live.Open(l.cfg.Source)
	if err != nil {
		return nil, err
	}
	l.src = src
	l.cfg.Processes = processes{src.Processes()}
	l.cfg.OwnPID = src.PID()
	l.cfg.Fold.Templates = l.tpl
	l.cfg.Conn.Stopped = func(id chunk.ConnID) {
		if err := src.Mute(id); err != nil {
			l.cfg.Log.Debug("a connection that is not decoded goes on being captured", "error", err)
		}
	}
	l.bus = sink.NewBus(cfg.Bus, l.led)
	outs := make([]Out, l.cfg.Source.Shards)
	for i := range outs {
		outs[i] = l.bus.Lane()
	}
	if l.pipe, err = New(l.cfg.Config, l.led, outs...); err != nil {
		return nil, errors.Join(err, src.Close())
	}
	return l, nil
}

// Templates takes what the collector learns.
func (l *Live) Templates() *fold.Templates { return l.tpl }

// Process names a process as of a time, and its workload.
func (l *Live) Process(pid uint32, at event.Time) (name, workload string) {
	p := l.cfg.Processes.Process(pid, at)
	return p.Name, p.Workload
}

// Facts is what the source runs on and what it cannot see.
func (l *Live) Facts() live.Facts {
	l.mu.Lock()
	last := l.facts
	l.mu.Unlock()
	if last != nil {
		return *last
	}
	return l.src.Facts()
}

// Run reads, decodes and hands over until ctx is done; then it drains: all that was captured reaches the sink. It closes the source.
func (l *Live) Run(ctx context.Context) error {
	handlers := l.pipe.Handlers()
	clocks := make([]*clock, len(handlers))
	for i := range handlers {
		if l.cfg.Tee != nil {
			handlers[i] = l.cfg.Tee(i, handlers[i])
		}
		clocks[i] = &clock{l: l, next: handlers[i]}
		handlers[i] = clocks[i]
	}
	handed := make(chan error, 1)
	go func() { handed <- l.bus.Run(context.WithoutCancel(ctx), l.cfg.Sink) }()

	err := l.src.Run(ctx, handlers)
	if err != nil {
		err = fmt.Errorf("read what was captured: %w", err)
	}
	facts := l.src.Facts()
	l.mu.Lock()
	l.state, l.facts = "stopped", &facts
	now := l.now
	l.mu.Unlock()
	for _, c := range clocks {
		now = max(now, c.newest)
	}
	l.pipe.Flush(now)
	l.bus.Close()
	return errors.Join(err, <-handed, l.src.Close())
}

// clock notes how far time came: the newest chunk for Flush, the newest tick for Sensor.
type clock struct {
	l      *Live
	next   chunk.Handler
	newest event.Time // read when Run of the source has returned
}

// Chunk implements chunk.Handler.
func (c *clock) Chunk(k *chunk.Chunk) {
	c.newest = max(c.newest, k.Time)
	if k.Kind == chunk.Tick {
		c.l.mu.Lock()
		c.l.now = max(c.l.now, k.Time)
		c.l.mu.Unlock()
	}
	c.next.Chunk(k)
}

// Sensor is the state of this agent as of the newest tick.
func (l *Live) Sensor() event.Sensor {
	f := l.Facts()
	s := l.pipe.Sensor()
	l.mu.Lock()
	s.State, s.Updated = l.state, l.now
	l.mu.Unlock()
	s.Node, s.Agent, s.Version, s.Started = l.cfg.Node, l.cfg.ID, l.cfg.Version, l.cfg.Started
	s.Kernel, s.Arch, s.Backend = f.Kernel, f.Arch, f.Backend.String()
	s.BlindSpots = append(s.BlindSpots, f.BlindSpots...)
	return s
}
