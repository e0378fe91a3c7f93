package inventory

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
	"sync"

	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

// Cut is why detail was given up. The set is closed; calls are never among what is given up.
type Cut uint8

// The cuts.
const (
	CutServices  Cut = iota // calls counted under "(other)"
	CutPaths                // calls counted under "(other paths)"
	CutMerged               // leaves merged into their template for good
	CutNames                // names not kept
	CutParams               // parameters not listed
	CutLasting              // calls that last whose later numbers were not kept
	CutDuplicate            // calls that came twice; nothing is lost by it
	cuts
)

var cutNames = [cuts]string{"services", "paths", "leaves_merged", "names", "params", "lasting", "duplicates"}

func (c Cut) String() string { return cutNames[c] }

// Names under which what did not fit is counted.
const (
	OtherService  = "(other)"
	OtherTemplate = "(other paths)"
)

// Change is something that Apply or Relearn made new.
type Change struct {
	Kind     ChangeKind
	Service  string
	Endpoint string // id
	Method   string
	Template string
	Tier     Tier
	Time     event.Time
}

// ChangeKind says what a Change is.
type ChangeKind uint8

// The kinds of Change.
const (
	ServiceAdded ChangeKind = iota
	EndpointAdded
	EndpointRaised  // its tier rose
	EndpointRemoved // its leaves now have another template
)

// Catalog is the inventory of one installation. Safe for concurrent use.
type Catalog struct {
	cfg  Config
	seed uint64

	mu       sync.Mutex
	services map[string]*service
	names    map[uint64]string
	bytes    int64    // what leaves and names take, about
	traits   int64    // of bytes, what the leaves' traits take
	cur      *service // whom growth is accounted to
	lastSvc  *service
	seen     seen
	lasting  map[uint64]lasting
	cuts     [cuts]uint64
	calls    uint64
	changes  []Change
	dirty    []*leaf
	dirtySvc []*service
	gone     []LeafRecord // that the store could not forget yet

	docs []*spec.Document // declared

	learning sync.Mutex // held by Relearn; taken before mu
}

type endpointKey struct{ method, template, operation string }

type service struct {
	name      string
	leaves    map[uint64]*leaf
	endpoints map[endpointKey]*endpointGroup
	attempted int // leaves of that tier
	bytes     int64
	full      bool // compacting did not help; asked again after the next Relearn
	dirty     bool
	learn     learning
	declared  *spec.Set // nil: no document covers it

	node, workload, process, address string
	port                             uint16
}

// endpointGroup is the leaves of one template.
type endpointGroup struct {
	id         string
	key        endpointKey
	params     []endpoint.Param
	confidence float64
	tier       Tier
	merged     *leaf // takes new paths of this template, when leaves were merged for want of room
	leaves     []*leaf
}

// leaf is a method with a path whose typed segments are kinds and whose words are themselves.
type leaf struct {
	svc       *service
	key       uint64
	method    string
	segs      []event.Segment
	fixed     string // template that came with the Call (no path), or of merged leaves
	operation string
	probe     event.Probe
	tier      Tier
	dirty     bool
	fresh     bool               // has counts that the learner lacks
	merged    bool               // of leaves that had paths, for want of room
	into      *leaf              // what it was merged into
	sought    *spec.Set          // that declared was looked up in
	declared  *endpoint.Template // nil: none declares it
	group     *endpointGroup
	fed       [2]uint64 // calls that the learner has had: all but 404, and 404
	ev        evidence
}

// New returns an empty Catalog.
func New(cfg Config) *Catalog {
	cfg = cfg.withDefaults()
	return &Catalog{cfg: cfg, seed: mix(cfg.Seed, k0), services: map[string]*service{}, names: map[uint64]string{},
		lasting: map[uint64]lasting{}, seen: newSeen(cfg.SeenCalls)}
}

// Reseed sets the seed of an empty Catalog to that of the store which it is to be filled from.
func (c *Catalog) Reseed(seed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.services) == 0 && c.calls == 0 {
		c.seed = mix(seed, k0)
	}
}

// Apply counts call, once however often it comes; of a call that lasts, its highest revision. call is borrowed. The
// result says what is new and is valid until the next Apply; it is nil in steady state, where Apply does not allocate.
func (c *Catalog) Apply(call *event.Call) []Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apply(call)
}

// ApplyAll is Apply for each of calls, with what it changed.
func (c *Catalog) ApplyAll(calls []event.Call, changed func(*event.Call, []Change)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range calls {
		if ch := c.apply(&calls[i]); len(ch) > 0 && changed != nil {
			changed(&calls[i], ch)
		}
	}
}

func (c *Catalog) apply(call *event.Call) []Change {
	c.changes = c.changes[:0]
	if call.ID == "" {
		c.count(call)
		return c.changes
	}
	id := hashString(c.seed, call.ID)
	if call.State == event.Done && call.Rev == 0 {
		if c.seen.add(id) {
			c.count(call)
		} else {
			c.cuts[CutDuplicate]++
		}
		return c.changes
	}
	before, lasts := c.lasting[id]
	if c.seen.has(id) || lasts && call.Rev <= before.call.Rev {
		c.cuts[CutDuplicate]++
		return c.changes
	}
	if lasts {
		l := before.leaf
		for l.into != nil {
			l = l.into
		}
		c.calls -= before.call.Calls()
		l.ev.sub(c, before.call)
		c.touch(l)
	}
	l := c.count(call)
	switch {
	case call.State == event.Done:
		delete(c.lasting, id)
		c.seen.add(id)
	case !lasts && len(c.lasting) >= c.cfg.MaxLasting:
		c.seen.add(id)
		c.cuts[CutLasting]++
	default:
		kept := call.Clone()
		c.lasting[id] = lasting{leaf: l, call: &kept}
	}
	return c.changes
}

func (c *Catalog) count(call *event.Call) *leaf {
	s := c.service(call.Service, call)
	c.cur = s
	if call.Side != event.SideClient || s.workload == "" {
		s.place(c, call)
	}
	op := ""
	if len(call.Operations) == 1 {
		op = call.Operations[0]
	}
	key := c.leafKey(call, op)
	l := s.leaves[key]
	if l == nil {
		l = c.newLeaf(s, key, call, op)
	}
	c.calls += call.Calls()
	l.ev.add(c, call)
	s.learn.calls += call.Calls()
	if t := tierOf(call.Status); t > l.tier {
		c.raise(l, t, call.Time)
	}
	c.touch(l)
	return l
}

func (c *Catalog) markDirty(l *leaf) {
	if !l.dirty {
		l.dirty = true
		c.dirty = append(c.dirty, l)
	}
}

func (c *Catalog) touch(l *leaf) {
	c.markDirty(l)
	if !l.fresh && len(l.segs) > 0 {
		l.fresh = true
		l.svc.learn.fresh = append(l.svc.learn.fresh, l)
	}
}

// raise notes that l's tier rose to t. A path that was a guess until now may turn out to be an instance of a template.
func (c *Catalog) raise(l *leaf, t Tier, at event.Time) {
	guess := l.tier == Attempted
	if guess {
		l.svc.attempted--
	}
	l.tier = t
	if tmpl := l.svc.template(l); guess && tmpl.Text != l.group.key.template {
		g := l.group
		if i := slices.Index(g.leaves, l); i >= 0 {
			g.leaves = slices.Delete(g.leaves, i, i+1)
		}
		if len(g.leaves) == 0 {
			delete(l.svc.endpoints, g.key)
			c.changed(EndpointRemoved, l.svc, g, at)
		}
		c.group(l, &tmpl, at)
		return
	}
	if g := l.group; t > g.tier {
		g.tier = t
		c.changed(EndpointRaised, l.svc, g, at)
	}
}

func (c *Catalog) changed(kind ChangeKind, s *service, g *endpointGroup, at event.Time) {
	ch := Change{Kind: kind, Service: s.name, Time: at}
	if g != nil {
		ch.Endpoint, ch.Method, ch.Template, ch.Tier = g.id, g.key.method, g.key.template, g.tier
	}
	c.changes = append(c.changes, ch)
}

func (c *Catalog) service(name string, call *event.Call) *service {
	if s := c.lastSvc; s != nil && s.name == name {
		return s
	}
	s := c.services[name]
	if s == nil {
		if len(c.services) >= c.cfg.MaxServices {
			c.cuts[CutServices] += call.Calls()
			name = OtherService
			s = c.services[name]
		}
		if s == nil {
			s = c.addService(strings.Clone(name))
			c.changed(ServiceAdded, s, nil, call.Time)
		}
	}
	c.lastSvc = s
	return s
}

func (c *Catalog) addService(name string) *service {
	s := &service{name: name, leaves: map[uint64]*leaf{}, endpoints: map[endpointKey]*endpointGroup{}}
	c.services[name] = s
	c.cur = s
	c.grow(512 + int64(len(name)))
	return s
}

// place notes where the service runs, by the newest call that says so.
func (s *service) place(c *Catalog, call *event.Call) {
	p := &call.Server
	if s.address == p.Address && s.port == p.Port && s.workload == p.Workload && s.process == p.Process && s.node == call.Node {
		return
	}
	s.address, s.port, s.workload, s.process, s.node = p.Address, p.Port, p.Workload, p.Process, call.Node
	if !s.dirty {
		s.dirty = true
		c.dirtySvc = append(c.dirtySvc, s)
	}
}

// leafKey hashes what makes two calls the same leaf. Tokens are keyed, so traffic cannot be made to collide.
func (c *Catalog) leafKey(call *event.Call, op string) uint64 {
	h := hashString(c.seed, call.Method)
	if len(call.Path) == 0 {
		h = mix(h, hashString(c.seed, call.Template))
	}
	for i := range call.Path {
		s := &call.Path[i]
		h = mix(h, uint64(s.Kind)<<32|uint64(len(s.Parts)))
		if endpoint.Learnable(s.Kind) {
			h = mix(h, c.token(s.Token, s.Text))
		}
		for j := range s.Parts {
			p := &s.Parts[j]
			h = mix(h, hashString(uint64(p.Kind), p.Sep))
			if endpoint.Learnable(p.Kind) {
				h = mix(h, c.token(p.Token, p.Text))
			}
		}
	}
	if op != "" {
		h = mix(h, hashString(c.seed, op))
	}
	return mix(h, uint64(call.Probe))
}

func (c *Catalog) token(token uint64, text string) uint64 {
	if token == 0 {
		return hashString(c.seed, text)
	}
	return token
}

// keyOf is leafKey of a leaf that comes back from the store.
func (c *Catalog) keyOf(l *leaf) uint64 {
	call := event.Call{Method: l.method, Path: l.segs, Template: l.fixed, Probe: l.probe}
	return c.leafKey(&call, l.operation)
}

const leafSize = evidenceSize + 160

// newLeaf makes the leaf for a path that s has not seen, or gives one that counts for it when there is no room.
func (c *Catalog) newLeaf(s *service, key uint64, call *event.Call, op string) *leaf {
	l := &leaf{svc: s, key: key, method: call.Method, operation: op, probe: call.Probe, tier: tierOf(call.Status)}
	if len(call.Path) == 0 {
		l.fixed = call.Template
	} else {
		l.segs = call.Path // borrowed until it is known to stay
	}
	t := s.template(l)
	if g := s.endpoints[endpointKey{l.method, t.Text, op}]; g != nil && g.merged != nil {
		return g.merged
	}
	if c.noRoom(s) {
		c.compact(s)
	}
	if c.noRoom(s) || l.tier == Attempted && s.attempted >= c.cfg.MaxAttempted {
		c.cuts[CutPaths] += call.Calls()
		return c.otherLeaf(s)
	}
	l.method, l.operation, l.fixed = strings.Clone(l.method), strings.Clone(op), strings.Clone(l.fixed)
	l.segs = make([]event.Segment, len(call.Path))
	for i := range call.Path {
		l.segs[i] = call.Path[i].Clone()
		if s := &l.segs[i]; !endpoint.Learnable(s.Kind) {
			s.Token, s.Text = 0, "" // one of many
			for j := range s.Parts {
				if p := &s.Parts[j]; !endpoint.Learnable(p.Kind) {
					p.Token, p.Text = 0, ""
				}
			}
		}
	}
	c.addLeaf(l, &t, call.Time)
	s.learn.added++
	return l
}

// noRoom says that s may have no more leaves: at its own bound, or the Catalog at its bytes and s not among the small.
func (c *Catalog) noRoom(s *service) bool {
	return len(s.leaves) >= c.cfg.MaxLeaves || c.bytes > c.cfg.MaxBytes && s.bytes > c.cfg.MaxBytes/int64(2*len(c.services))
}

func (c *Catalog) addLeaf(l *leaf, t *endpoint.Template, at event.Time) {
	s := l.svc
	s.leaves[l.key] = l
	if l.tier == Attempted {
		s.attempted++
	}
	size := int64(leafSize + len(l.method) + len(l.fixed))
	for i := range l.segs {
		size += 48 + int64(len(l.segs[i].Text)) + 48*int64(len(l.segs[i].Parts))
	}
	c.cur = s
	c.grow(size)
	c.group(l, t, at)
}

// group puts l under its template.
func (c *Catalog) group(l *leaf, t *endpoint.Template, at event.Time) {
	s := l.svc
	key := endpointKey{l.method, t.Text, l.operation}
	g := s.endpoints[key]
	if g == nil {
		g = &endpointGroup{id: endpointID(s.name, key), key: key, tier: l.tier}
		s.endpoints[key] = g
		c.changed(EndpointAdded, s, g, at)
	}
	g.params, g.confidence = t.Params, t.Confidence
	if l.tier > g.tier {
		g.tier = l.tier
		c.changed(EndpointRaised, s, g, at)
	}
	g.leaves = append(g.leaves, l)
	if l.merged {
		g.merged = l
	}
	l.group = g
}

// endpointID is the same for the same endpoint in every installation.
func endpointID(service string, k endpointKey) string {
	h := sha256.New()
	for _, s := range [...]string{service, k.method, k.template, k.operation} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)[:10]))[:12]
}

func (c *Catalog) otherLeaf(s *service) *leaf {
	key := mix(c.seed, k1)
	l := s.leaves[key]
	if l == nil {
		l = &leaf{svc: s, key: key, method: "*", fixed: OtherTemplate}
		t := fixedTemplate(OtherTemplate)
		c.addLeaf(l, &t, 0)
	}
	return l
}

// compact merges the leaves that differ in learned parameters alone, in each template that has many.
func (c *Catalog) compact(s *service) {
	if s.full {
		return
	}
	before := len(s.leaves)
	for key, g := range s.endpoints {
		if len(g.leaves) < 8 || len(g.params) == 0 {
			continue
		}
		for probe := event.NoProbe; probe <= event.MetricsProbe; probe++ {
			c.mergeGroup(s, key, g, probe)
		}
	}
	s.full = len(s.leaves) > c.cfg.MaxLeaves*3/4
	if len(s.leaves) == before {
		return
	}
	c.bytes -= s.bytes
	s.bytes = 512
	for _, l := range s.leaves {
		s.bytes += l.size()
	}
	c.bytes += s.bytes
	c.sweepNames()
}

func (c *Catalog) mergeGroup(s *service, key endpointKey, g *endpointGroup, probe event.Probe) {
	var into *leaf
	kept := g.leaves[:0:0]
	for _, l := range g.leaves {
		if l.probe != probe {
			kept = append(kept, l)
			continue
		}
		if into == nil {
			into = &leaf{svc: s, method: l.method, fixed: g.key.template, operation: l.operation, probe: probe, group: g, merged: probe == event.NoProbe}
			into.key = c.keyOf(into)
			if l.key == into.key { // merged before
				into = l
				continue
			}
		}
		c.cuts[CutMerged]++
		c.traits -= into.ev.traitsBytes() + l.ev.traitsBytes()
		into.ev.merge(&l.ev, c.cfg.MaxCallers)
		into.ev.mergeTraits(&l.ev)
		c.traits += into.ev.traitsBytes()
		into.tier = max(into.tier, l.tier)
		l.into = into
		if l.tier == Attempted {
			s.attempted--
		}
		delete(s.leaves, l.key)
		c.touch(l) // so that the store forgets it
	}
	if into == nil {
		return
	}
	if into.tier == Attempted {
		s.attempted++
	}
	s.leaves[into.key] = into
	g.leaves = append(kept, into)
	if into.merged {
		g.merged = into
	}
	c.touch(into)
}

func (e *evidence) traitsBytes() int64 {
	if e.traits == nil {
		return 0
	}
	return traitsSize + int64(e.traits.Size())
}

func (l *leaf) size() int64 {
	e := &l.ev
	n := leafSize + len(l.method) + len(l.fixed)
	for i := range l.segs {
		n += 48 + len(l.segs[i].Text) + 48*len(l.segs[i].Parts)
	}
	for _, m := range [...]*multiset{&e.statuses, &e.facts, &e.callers, &e.creds, &e.hosts, &e.words} {
		n += 16 * cap(m.e)
	}
	n += cap(e.callerSet) + cap(e.credSet) + 8*(cap(e.latency.Counts)+cap(e.requestSize.Counts)+cap(e.responseSize.Counts))
	for i := range e.params {
		n += 64 + cap(e.params[i].values)
	}
	return int64(n) + e.traitsBytes()
}

// sweepNames drops the names that no list holds.
func (c *Catalog) sweepNames() {
	keep := make(map[uint64]string, len(c.names))
	var bytes int64
	for _, s := range c.services {
		for _, l := range s.leaves {
			for _, m := range [...]*multiset{&l.ev.callers, &l.ev.creds, &l.ev.hosts, &l.ev.words} {
				for _, e := range m.e {
					if n, ok := c.names[e.h]; ok {
						keep[e.h] = n
					}
				}
			}
			for i := range l.ev.params {
				if n, ok := c.names[l.ev.params[i].h]; ok {
					keep[l.ev.params[i].h] = n
				}
			}
		}
	}
	for _, n := range c.names {
		bytes -= nameSize + int64(len(n))
	}
	for _, n := range keep {
		bytes += nameSize + int64(len(n))
	}
	c.names = keep
	c.bytes += bytes
}

const nameSize = 64

// name keeps s for h, while there is room.
func (c *Catalog) name(h uint64, s string) {
	c.grow(32) // the entry in the list that h is new to
	if _, ok := c.names[h]; ok {
		return
	}
	if c.bytes > c.cfg.MaxBytes+c.cfg.MaxBytes/4 {
		c.cuts[CutNames]++
		return
	}
	if len(s) > maxName {
		s = s[:maxName]
	}
	c.names[h] = strings.Clone(s)
	c.bytes += nameSize + int64(len(s))
}

const maxName = 1024

func (c *Catalog) grow(n int64) {
	c.bytes += n
	c.cur.bytes += n
}

func (c *Catalog) growTraits(n int64) {
	if n != 0 {
		c.traits += n
		c.grow(n)
	}
}

func (c *Catalog) cut(why Cut, n uint64) { c.cuts[why] += n }

// Stats is the Catalog's account of itself.
type Stats struct {
	Calls     uint64            `json:"calls"`
	Services  int               `json:"services"`
	Endpoints int               `json:"endpoints"`
	Leaves    int               `json:"leaves"`
	Bytes     int64             `json:"bytes"`
	Cut       map[string]uint64 `json:"cut"` // detail given up, by what
}

// Stats returns the account as of now.
func (c *Catalog) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := Stats{Calls: c.calls, Services: len(c.services), Bytes: c.bytes, Cut: map[string]uint64{}}
	for _, s := range c.services {
		st.Endpoints += len(s.endpoints)
		st.Leaves += len(s.leaves)
	}
	for i, n := range c.cuts {
		if n > 0 {
			st.Cut[cutNames[i]] = n
		}
	}
	return st
}
