// Package detect learns what is normal for each caller on each endpoint and reports what is not.
//
// In: Calls and Tallies in the order of their time (Observe) and the passing of event time (Tick). Out: alert.Findings, a
// few per incident, through Config.Emit. It never reads a clock, keeps a value of a parameter or looks at names for their
// meaning: thresholds come from counts, peers and the caller's own past.
//
// A call is first read into a sight: who made it (the principal: a workload, else a subject, a credential, an address), on
// which endpoint, for whom (a workload that passes on a credential delivered to it acts for somebody else). Each detector
// takes the sight, keeps its own part of the state of principals, endpoints and pairs of both, and raises evidence. The
// incident engine pools evidence by who is behind it, so that an attack is told once when it opens and once when it turns
// out to be something else, and what ordinary change explains is told as information.
package detect

import (
	"time"
	"unsafe"

	"github.com/dchest/siphash"

	"github.com/gnomon-sensor/gnomon/collector/alert"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Config is what an Engine can be told. The zero value of a field takes its default.
type Config struct {
	// Emit receives each finding. The finding is the receiver's.
	Emit func(*alert.Finding)
	// Key keys the hashes by which state is found, so that nobody can make names that collide. Keep it with the state.
	Key [2]uint64
	// Warmup is how long an endpoint, a caller or a credential is only learned from by detectors that need a baseline. Default 4 days:
	// of three days one may be a Sunday.
	Warmup time.Duration
	// Quiet is how long after its last evidence an incident closes; what comes later is another one. Default 2 h.
	Quiet time.Duration
	// Principals, Endpoints and Pairs bound the state: 1.9 KB (with the credential), 3.3 KB and 0.44 KB each. Defaults 50,000, 10,000 and
	// 200,000; what was used longest ago is forgotten and counted.
	Principals, Endpoints, Pairs int
	// Budget is how many alerts a service may cause on one day before further ones of less than high severity go out as
	// information. Default 20.
	Budget int
	// Services tunes single services by name.
	Services map[string]Tuning
}

// Tuning is what is different for one service.
type Tuning struct {
	// Sensitivity below 1 asks for more evidence than the detectors do by themselves: 0.5 for 12 nats, 0.25 for 24. 0 is taken as 1.
	Sensitivity float64
	// Mute lists kinds that are told as information only.
	Mute []string
}

func (c *Config) defaults() {
	set := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	if c.Warmup == 0 {
		c.Warmup = 4 * 24 * time.Hour
	}
	if c.Quiet == 0 {
		c.Quiet = 2 * time.Hour
	}
	set(&c.Principals, 50_000)
	set(&c.Endpoints, 10_000)
	set(&c.Pairs, 200_000)
	set(&c.Budget, 20)
	if c.Emit == nil {
		c.Emit = func(*alert.Finding) {}
	}
}

const (
	second = int64(time.Second)
	minute = int64(time.Minute)
	hour   = int64(time.Hour)
	day    = 24 * hour
)

// detector is one way to see that something is not normal. What it remembers lies in the entities of the sight.
type detector interface {
	observe(e *Engine, s *sight)
}

// Engine runs all detectors. Not safe for concurrent use.
type Engine struct {
	cfg       Config
	start     event.Time // of the first call
	now       event.Time // highest time seen: the watermark
	beat      event.Time // of the last round of tick
	detectors []detector

	principals table[principal]
	endpoints  table[endpoint]
	pairs      table[pair]
	services   table[service]
	workloads  table[workload]
	edges      table[edge]
	creds      table[credential]
	places     table[place]
	groups     table[group]
	incidents  table[incident]
	pending    []pending
	signs      signRates
	shared     shared
	ratios     []float64
	s          sight
	scratch    []byte
	counts     Stats
}

// Stats counts what the engine did, for metrics.
type Stats struct {
	Calls         uint64 // calls observed, a Tally's all
	Late          uint64 // calls older than the watermark by more than an hour, which were left out
	Evidence      uint64
	Incidents     uint64
	Findings      uint64
	Informational uint64
	Suppressed    uint64 // evidence that an upstream incident or an outage explained
	Forgotten     uint64 // entities forgotten to keep to the bounds
}

// New returns an Engine with nothing learned.
func New(cfg Config) *Engine {
	cfg.defaults()
	e := &Engine{cfg: cfg}
	e.principals = newTable[principal](cfg.Principals)
	e.endpoints = newTable[endpoint](cfg.Endpoints)
	e.pairs = newTable[pair](cfg.Pairs)
	e.services = newTable[service](cfg.Endpoints/4 + 16)
	e.workloads = newTable[workload](cfg.Endpoints/4 + 16)
	e.edges = newTable[edge](cfg.Endpoints)
	e.creds = newTable[credential](cfg.Principals)
	e.places = newTable[place](cfg.Principals)
	e.groups = newTable[group](1024)
	e.incidents = newTable[incident](4096)
	e.detectors = []detector{&theft{}, &dormant{}, &scan{}, &signin{}, &inject{}, &schema{}, &function{}, &novelty{}, &walk{}, &size{}, &exposure{}, &hours{}, &sequence{}, &failures{}, &volume{}}
	return e
}

// Observe learns from c and reports what is not normal. c is borrowed.
func (e *Engine) Observe(c *event.Call) {
	if c.State != event.Done || c.Hop || c.Service == "" || c.Probe != event.NoProbe {
		return
	}
	e.counts.Calls += c.Calls()
	if e.start == 0 {
		e.start = c.Time
	}
	if c.Time > e.now {
		e.Tick(c.Time)
	} else if int64(e.now-c.Time) > hour {
		e.counts.Late++
		return
	}
	s := &e.s
	e.look(s, c)
	for _, d := range e.detectors {
		d.observe(e, s)
	}
	e.learn(s)
}

// Tick tells that event time has come to at.
func (e *Engine) Tick(at event.Time) {
	if at <= e.now {
		return
	}
	e.now = at
	if int64(at-e.beat) < 10*second {
		return
	}
	e.beat = at
	e.settle()
}

// Flush decides what still waits for more calls. At the end of a recording.
func (e *Engine) Flush() { e.settle() }

// Stats returns what was counted so far.
func (e *Engine) Stats() Stats {
	c := e.counts
	c.Forgotten = e.principals.cut + e.endpoints.cut + e.pairs.cut + e.services.cut + e.workloads.cut + e.edges.cut + e.creds.cut + e.places.cut + e.groups.cut + e.incidents.cut
	return c
}

// warm says whether what began at since has been watched for long enough to be a baseline, which also takes the engine
// itself to be old enough.
func (e *Engine) warm(since event.Time) bool {
	return int64(e.now-since) >= int64(e.cfg.Warmup)
}

// ref hashes names into the key of an entity. The parts are joined by a byte that no name holds.
func (e *Engine) ref(kind byte, parts ...string) uint64 {
	b := append(e.scratch[:0], kind)
	for _, p := range parts {
		b = append(append(b, p...), 0)
	}
	e.scratch = b
	return siphash.Hash(e.cfg.Key[0], e.cfg.Key[1], b)
}

func hash(s string) uint64 {
	return siphash.Hash(0x676e6f6d6f6e, 1, unsafe.Slice(unsafe.StringData(s), len(s)))
}
