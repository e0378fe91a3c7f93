package fold

import (
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Out takes what leaves. The Call is borrowed.
type Out interface {
	Call(*event.Call)
	// Full says that the way out is nearly full, so that only Tallies and what cannot be summed up should leave.
	Full() bool
}

// Config configures a Fold. The zero value of a number takes its default.
type Config struct {
	// Key decides, keyed, which calls are samples.
	Key [16]byte
	// All lets every call leave as a Call.
	All bool
	// Interval is how long a Tally sums up, in the time of the chunks. Default 2 s.
	Interval time.Duration
	// Calls is how many calls of one service leave in full in one interval, whatever they are. Default 20: a quiet service has no Tallies.
	Calls int
	// Novel is how many first sightings of one service leave in full in one interval beyond those, and half as many that
	// were answered as a path that is not there: a scanner must not use up what a new endpoint needs. Default 200.
	Novel int
	// Samples is how many calls of one service that failed or look hostile leave in full in one interval beyond those:
	// the ones with the lowest keyed hash of their id. Default 16.
	Samples int
	// MaxServices bounds the services; calls of further ones count under OtherService. Default 4,096.
	MaxServices int
	// MaxKeys bounds the entries of one service; those of paths that are not there, half of it. Default 4,096.
	MaxKeys int
	// MaxRoutes bounds the paths that are remembered, of all services; at the bound they are learned anew. Default 16,384, about 12 MiB.
	MaxRoutes int
	// MaxBytes bounds what all entries take. Default 16 MiB, about 8,000 entries.
	MaxBytes int
	// Idle is after how many intervals without a call an entry is dropped. Default 150, 5 minutes.
	Idle int
	// Shard tells the Folds of one agent apart.
	Shard int
	// Templates holds what the collector learned; nil: nothing.
	Templates *Templates
}

func (c Config) withDefaults() Config {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Interval == 0 {
		c.Interval = 2 * time.Second
	}
	set(&c.Calls, 20)
	set(&c.Novel, 200)
	set(&c.Samples, 16)
	set(&c.MaxServices, 4096)
	set(&c.MaxKeys, 4096)
	set(&c.MaxRoutes, 16384)
	set(&c.MaxBytes, 16<<20)
	set(&c.Idle, 150)
	return c
}

// What calls count under whose service or path found no room.
const (
	OtherService = "(other)"
	OtherPaths   = "(other paths)"
)

// Fold folds the calls of one shard. It is not safe for concurrent use, but for Stats.
type Fold struct {
	cfg      Config
	out      Out
	seed     maphash.Seed
	k0, k1   uint64
	now      event.Time
	next     event.Time // end of the interval
	round    int
	services map[string]*service
	order    []*service // in order of appearance
	last     *service
	entries  map[uint64]*entry
	active   []*entry // with calls in this interval, in order of appearance
	known    known
	routes   int
	bytes    int
	params   []event.Param
	buf      []byte
	stats    stats
}

type stats struct {
	calls, whole, tallies, folded, coarse, other, routes atomic.Uint64
	entries, bytes                                       atomic.Int64
}

// Stats is the Fold's account of itself.
type Stats struct {
	Calls   uint64 // taken
	Whole   uint64 // of them left as Calls of their own
	Folded  uint64 // of them counted in Tallies: Calls = Whole + Folded once flushed
	Tallies uint64 // that left
	Coarse  uint64 // calls whose caller, host and parameters were given up for a bound
	Other   uint64 // calls whose path was given up too
	Routes  uint64 // times that the remembered paths were dropped at their bound
	Entries int64
	Bytes   int64
}

// New returns a Fold that lets leave through out.
func New(cfg Config, out Out) *Fold {
	cfg = cfg.withDefaults()
	return &Fold{cfg: cfg, out: out, seed: maphash.MakeSeed(), k0: binary.LittleEndian.Uint64(cfg.Key[:8]), k1: binary.LittleEndian.Uint64(cfg.Key[8:]),
		services: map[string]*service{}, entries: map[uint64]*entry{}}
}

// Stats returns the account as of now. Safe for concurrent use.
func (f *Fold) Stats() Stats {
	s := &f.stats
	return Stats{s.calls.Load(), s.whole.Load(), s.folded.Load(), s.tallies.Load(), s.coarse.Load(), s.other.Load(), s.routes.Load(), s.entries.Load(), s.bytes.Load()}
}

// Add takes a call, whose id is id unless c has one; at is the time by which it was complete. c is borrowed; its Template, ID and
// Params may be set.
func (f *Fold) Add(c *event.Call, id event.ID, at event.Time) {
	f.advance(at)
	s := f.service(c.Service)
	r := f.route(s, c)
	whole := f.cfg.All || c.State != event.Done || c.Rev > 0 || c.Count > 1
	if c.State == event.Done {
		f.stats.calls.Add(1)
	}
	if whole {
		f.leave(s, r, c, id)
		return
	}
	e, novel := f.entry(s, r, c)
	novel = e.kinds(c) || novel
	switch {
	case f.out.Full():
		f.count(e, c)
	case novel && *s.budget(c.Status) > 0:
		*s.budget(c.Status)--
		f.leave(s, r, c, id)
	case s.calls > 0:
		s.calls--
		f.leave(s, r, c, id)
	case (c.Status == 0 || c.Status >= 400 || len(c.Signs) > 0) && f.sample(s, r, e, c, id):
	default:
		f.count(e, c)
	}
}

// Tick says that time has come to at.
func (f *Fold) Tick(at event.Time) { f.advance(at) }

// Flush lets leave all that is held back.
func (f *Fold) Flush(at event.Time) {
	f.now = max(f.now, at)
	f.end()
}

func (f *Fold) advance(at event.Time) {
	if at > f.now {
		f.now = at
	}
	if f.now < f.next {
		return
	}
	if f.next != 0 {
		f.end()
	}
	f.next = f.now + event.Time(f.cfg.Interval)
}

// end ends the interval: samples and Tallies leave, budgets are as new, idle entries go.
func (f *Fold) end() {
	for _, s := range f.order {
		s.renew(&f.cfg)
		for i := range s.samples[:s.used] {
			x := &s.samples[i]
			f.leave(s, x.route, &x.call, x.id)
		}
		s.used = 0
	}
	for _, e := range f.active {
		f.emit(e)
	}
	f.active = f.active[:0]
	if f.round++; f.round%16 == 0 {
		f.sweep()
	}
	f.stats.entries.Store(int64(len(f.entries)))
	f.stats.bytes.Store(int64(f.bytes))
}

func (f *Fold) service(name string) *service {
	s := f.last
	if s == nil || s.name != name {
		if s = f.services[name]; s == nil {
			if len(f.services) >= f.cfg.MaxServices && name != OtherService {
				return f.service(OtherService)
			}
			s = f.newService(name)
		}
		f.last = s
	}
	if m := f.cfg.Templates.get(name); m != s.matcher {
		s.matcher = m
		f.routes -= len(s.routes)
		clear(s.routes)
		clear(s.shared)
	}
	return s
}

func (f *Fold) newService(name string) *service {
	s := &service{name: name, hash: f.str(name), routes: map[uint64]*route{}, shared: map[*endpoint.Template]*route{}}
	s.renew(&f.cfg)
	f.services[name] = s
	f.order = append(f.order, s)
	return s
}

// leave lets c leave as a Call of its own, with the parameters of its path.
func (f *Fold) leave(s *service, r *route, c *event.Call, id event.ID) {
	if c.ID == "" {
		c.ID = id.String()
	}
	c.Template = r.text
	had := c.Params
	if len(r.params) > 0 && (len(had) == 0 || had[0].In != event.InPath) { // a Call line brings its own
		f.params = f.params[:0]
		for i := range r.params {
			p := &r.params[i]
			token, kind := p.value(c.Path)
			f.params = append(f.params, event.Param{In: event.InPath, Name: p.name, Kind: kind, Hash: f.hash(s, p, token)})
		}
		f.params = append(f.params, had...)
		c.Params = f.params
	}
	if c.State == event.Done {
		f.stats.whole.Add(1)
	}
	f.out.Call(c)
	c.Params = had
}

// sample is a call that may leave in full when the interval ends.
type sample struct {
	hash  uint64
	call  event.Call
	id    event.ID
	route *route
	entry *entry
}

// sample keeps c if its hash is among the lowest of its service in this interval; what it pushes out is counted.
func (f *Fold) sample(s *service, r *route, e *entry, c *event.Call, id event.ID) bool {
	h := mix(mix(f.k0, id.Hi), uint64(id.Lo))
	at := s.used
	if at == f.cfg.Samples {
		at = 0
		for i := range s.samples {
			if s.samples[i].hash > s.samples[at].hash {
				at = i
			}
		}
		x := &s.samples[at]
		if h >= x.hash {
			return false
		}
		f.count(x.entry, &x.call)
	} else {
		if s.used == len(s.samples) {
			s.samples = append(s.samples, sample{})
		}
		s.used++
	}
	x := &s.samples[at]
	x.hash, x.id, x.route, x.entry = h, id, r, e
	x.call.CopyFrom(c)
	return true
}

// Add sums o into s.
func (s *Stats) Add(o *Stats) {
	s.Calls += o.Calls
	s.Whole += o.Whole
	s.Folded += o.Folded
	s.Tallies += o.Tallies
	s.Coarse += o.Coarse
	s.Other += o.Other
	s.Routes += o.Routes
	s.Entries += o.Entries
	s.Bytes += o.Bytes
}
