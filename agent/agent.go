// Package agent wires the rooms of one node: connections, parsers, redaction, enrichment, fold and sink.
//
// In: chunks of live sockets or of a recording, or Exchanges that a log tells of. Out: event.Calls through an Out, one per shard, and the state of
// the sensor. A shard runs its connections through the whole pipeline by direct calls; nothing raw leaves redact. The package
// itself parses nothing and keeps nothing but the wiring.
package agent

import (
	"errors"
	"fmt"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/conn"
	"github.com/gnomon-sensor/gnomon/agent/enrich"
	"github.com/gnomon-sensor/gnomon/agent/fold"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/agent/proto/http1"
	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Out takes the Calls of one shard. sink.Lane and sink.Direct are Outs.
type Out interface {
	// Call takes a borrowed Call.
	Call(*event.Call)
	// Full says that what need not leave in full should be summed up.
	Full() bool
	// Flush is called when time has passed.
	Flush()
}

// Config is what a Pipeline needs. The zero value of a part takes that room's defaults.
type Config struct {
	// Node is this host's name; it stands in workloads, in Calls and in their ids. Empty for a recording from elsewhere.
	Node string
	// Key is the installation's secret: all tokens, hashes and ids are keyed by it. Required.
	Key [32]byte
	// Names says which names may leave as text. Default redact.NamesLate.
	Names redact.Names
	// Recording says that chunks come from between the ends, without processes.
	Recording bool
	// All lets every call leave as a Call of its own; else only what is new or odd, and the rest in Tallies.
	All bool
	// BodyBytes is redact.Config's.
	BodyBytes int
	// Processes names local processes; nil: none are known.
	Processes enrich.Processes
	// OwnPID is the process whose connections are not to be seen: gnomon's own. 0: none.
	OwnPID uint32
	// Conn, HTTP1 and Fold bound those rooms; what is set above is set in them too.
	Conn  conn.Config
	HTTP1 http1.Config
	Fold  fold.Config
}

// Pipeline is the agent but for its source. Each shard belongs to one goroutine at a time; Stats may be read from anywhere.
type Pipeline struct {
	shards []*shard
	led    *ledger.Ledger
	told   told
}

// New returns a Pipeline with a shard for each of outs. It counts in led what it captured of calls and what it lost.
func New(cfg Config, led *ledger.Ledger, outs ...Out) (*Pipeline, error) {
	if cfg.Key == ([32]byte{}) {
		return nil, errors.New("agent: no key: without the installation's key tokens could be guessed")
	}
	if len(outs) == 0 {
		return nil, fmt.Errorf("agent: no out")
	}
	p := &Pipeline{led: led, told: told{}}
	if cfg.Processes == nil {
		cfg.Processes = p.told
	}
	for i, out := range outs {
		p.shards = append(p.shards, newShard(&cfg, led, i, out))
	}
	return p, nil
}

// Handlers returns the shards as takers of chunks.
func (p *Pipeline) Handlers() []chunk.Handler {
	h := make([]chunk.Handler, len(p.shards))
	for i, s := range p.shards {
		h[i] = s
	}
	return h
}

// Emitter takes Exchanges that a log or a HAR file tells of.
func (p *Pipeline) Emitter(shard int) proto.Emitter { return p.shards[shard] }

// Node says where the chunks that follow were captured, and which process there was gnomon's own: at the sockets of the node name, whose processes
// Process tells of, or with an empty name between the ends. It makes the replay of a live capture give the same Calls. Not while shards run.
func (p *Pipeline) Node(name string, own uint32) {
	clear(p.told)
	for _, s := range p.shards {
		s.own = own
		s.table.SetRecording(name == "")
		s.redact.SetNode(name)
		s.enrich.SetNode(name)
	}
}

// Process says who pid is from here on. Not while shards run.
func (p *Pipeline) Process(pid uint32, name, workload string) {
	if len(p.told) >= maxTold {
		clear(p.told)
	}
	p.told[pid] = enrich.Process{Name: name, Workload: workload}
}

// told is what a recording says of processes.
type told map[uint32]enrich.Process

// Process implements enrich.Processes.
func (t told) Process(pid uint32, _ event.Time) enrich.Process { return t[pid] }

// maxTold is how many processes of a recording are known at one time; a recording tells anew of those that it forgot.
const maxTold = 1 << 20

// Flush ends all connections and lets leave all that is held back. The source must have ended.
func (p *Pipeline) Flush(at event.Time) {
	for _, s := range p.shards {
		s.table.Close(at)
		s.fold.Flush(at)
		s.out.Flush()
	}
}

// shard is one way through the pipeline.
type shard struct {
	table  *conn.Table
	redact *redact.Redactor
	enrich *enrich.Enricher
	fold   *fold.Fold
	out    Out
	led    *ledger.Ledger
	own    uint32
	call   event.Call
}

func newShard(cfg *Config, led *ledger.Ledger, i int, out Out) *shard {
	s := &shard{out: out, led: led, own: cfg.OwnPID}
	s.redact = redact.New(redact.Config{Key: cfg.Key, Names: cfg.Names, Node: cfg.Node, BodyBytes: cfg.BodyBytes})
	s.enrich = enrich.New(enrich.Config{Node: cfg.Node, Processes: cfg.Processes, HostName: s.redact.HostName, Seed: s.redact.Seed("enrich")})
	f := cfg.Fold
	f.Key, f.All, f.Shard = s.redact.SubKey("fold"), cfg.All, i
	s.fold = fold.New(f, out)
	c := cfg.Conn
	c.Protocols, c.Emitter, c.Ledger, c.Recording = []proto.Protocol{http1.New(cfg.HTTP1)}, s, led, cfg.Recording
	s.table = conn.New(c)
	return s
}

// Chunk implements chunk.Handler.
func (s *shard) Chunk(c *chunk.Chunk) {
	s.table.Chunk(c)
	if c.Kind == chunk.Tick {
		s.fold.Tick(c.Time)
		s.out.Flush()
	}
}

// Emit implements proto.Emitter: from a raw Exchange to the fold.
func (s *shard) Emit(c *proto.Conn, x *proto.Exchange) {
	done := x.State == event.Done
	if done {
		s.led.Calls.Capture(1)
	}
	switch {
	case c.Covered:
		if done {
			s.led.Calls.Lose(ledger.Covered, 1)
		}
		return
	case s.own != 0 && (c.PID == s.own || c.PeerPID == s.own):
		if done {
			s.led.Calls.Lose(ledger.Own, 1)
		}
		return
	}
	call := &s.call
	s.redact.Reset(call)
	s.enrich.Call(call, c, x.Start)
	s.redact.Call(call, c, x)
	if len(call.Signs) == 0 {
		call.Probe = s.enrich.Probe(call, x)
	}
	s.fold.Add(call, s.redact.ID(c, x), max(x.End, x.Start))
}
