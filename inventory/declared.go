package inventory

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// Declare replaces the documents that services are declared by. Endpoints take the templates of their declaration, also those of the
// past; without the document they take the learned ones again. The documents are not changed and stay the caller's.
func (c *Catalog) Declare(docs []*spec.Document) {
	c.learning.Lock()
	defer c.learning.Unlock()
	c.mu.Lock()
	c.docs = slices.Clone(docs)
	c.mu.Unlock()
	for _, s := range c.sorted(&Query{}) {
		c.mu.Lock()
		if c.cover(s) {
			c.regroup(s)
		}
		c.mu.Unlock()
	}
}

// Documents returns what Declare was given last.
func (c *Catalog) Documents() []*spec.Document {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.docs
}

// cover finds the documents that declare s, by its name or by the hosts that it answers to by now, and says whether that
// changed anything.
func (c *Catalog) cover(s *service) (changed bool) {
	var set *spec.Set
	if len(c.docs) > 0 {
		var hosts multiset
		paths := make([]string, 0, len(s.leaves))
		for _, l := range s.leaves {
			hosts.merge(&l.ev.hosts, viewLimit)
			paths = append(paths, l.typed())
		}
		names := namesOf(c.counted(&hosts))
		var docs []*spec.Document
		for _, d := range c.docs {
			if d.Covers(s.name, names) {
				docs = append(docs, d)
			}
		}
		if len(docs) > 0 {
			set = spec.NewSet(docs, paths)
		}
	}
	if set.Same(s.declared) {
		return false
	}
	s.declared = set
	return true
}

// typed is l's path with its values as kinds.
func (l *leaf) typed() string {
	if len(l.segs) == 0 {
		return l.fixed
	}
	return endpoint.Typed(l.segs).Text
}

// declaration gives the declared template of l, nil where there is none. It is looked up once per set of documents.
func (s *service) declaration(l *leaf) *endpoint.Template {
	if s.declared == nil {
		return nil
	}
	if l.sought != s.declared {
		l.sought, l.declared = s.declared, nil
		if m := s.declared.Find(l.method, l.typed(), l.operation); m != nil {
			t := &endpoint.Template{Text: m.Template(), Confidence: 1}
			for _, p := range m.Params() {
				q := endpoint.Param{Name: p.Name, Segment: p.Segment, Part: -1}
				if !p.Whole {
					q.Part = p.Piece
				}
				if p.Segment < len(l.segs) {
					q.Kinds = 1 << l.segs[p.Segment].Kind
				}
				t.Params = append(t.Params, q)
			}
			l.declared = t
		}
	}
	return l.declared
}

// compare measures s against its documents by what is cheap: which endpoints there are, not what their messages look like.
func (c *Catalog) compare(s *service, now event.Time) *spec.Compared {
	if s.declared == nil {
		return nil
	}
	o := observe.Service{Service: s.name, Last: now}
	for _, g := range s.endpoints {
		e := observe.Endpoint{ID: g.id, Method: g.key.method, Template: g.key.template, Operation: g.key.operation, Served: g.tier > Attempted}
		e.Probe = true
		for _, l := range g.leaves {
			e.Probe = e.Probe && l.probe != event.NoProbe
			e.Calls += l.ev.calls
			e.Last = max(e.Last, l.ev.last)
			if o.First == 0 || l.ev.first != 0 && l.ev.first < o.First {
				o.First = l.ev.first
			}
		}
		if g.key.template != OtherTemplate {
			o.Endpoints = append(o.Endpoints, e)
		}
	}
	r := c.cfg.Spec.CompareWith(&o, s.declared)
	return &r
}

// newest is the time of the newest call of all: what was not called lately is measured against it.
func (c *Catalog) newest() (t event.Time) {
	for _, s := range c.services {
		for _, l := range s.leaves {
			t = max(t, l.ev.last)
		}
	}
	return t
}

// state is the endpoint's among r, which is nil where no document covers the service.
func state(r *spec.Compared, g *endpointGroup) string {
	if r == nil {
		return States[0]
	}
	return cmp.Or(string(r.States[g.id]), States[0])
}

// orphans are rows for what is declared and was never called.
func orphans(s *service, r *spec.Compared) []Endpoint {
	if r == nil {
		return nil
	}
	var rows []Endpoint
	for i := range r.Orphans {
		m := &r.Orphans[i]
		key := endpointKey{m.Op.Method, m.Template(), m.Op.Selector}
		if s.endpoints[key] != nil {
			continue // called once, and a row of its own
		}
		rows = append(rows, Endpoint{ID: endpointID(s.name, key), Service: s.name, Method: key.method, Template: key.template, Operation: key.operation,
			Tier: Unseen, State: string(spec.StateOrphan), Statuses: map[string]uint64{}, Auth: []string{}, Encryption: []string{}, Protocols: []string{},
			Data: []string{}, Signs: []string{}})
	}
	return rows
}

// Drift compares what was observed of the services that match (see Observed) with the documents.
func (c *Catalog) Drift(service string) []spec.Drift {
	rows := []spec.Drift{}
	docs := c.Documents()
	if len(docs) == 0 {
		return rows
	}
	for _, o := range c.Observed(service) {
		rows = append(rows, c.cfg.Spec.Compare(&o, docs).Drift...)
	}
	return rows
}

// Uncovered lists the documents that declare no service that was observed, of those that match.
func (c *Catalog) Uncovered(service string) []*spec.Document {
	list := []*spec.Document{}
	all := c.Observed("")
	for _, d := range c.Documents() {
		if q := (Query{Service: service}); d.Service != "" && !q.service(d.Service) {
			continue
		}
		if !slices.ContainsFunc(all, func(o observe.Service) bool { return d.Covers(o.Service, o.Hosts) }) {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b *spec.Document) int { return strings.Compare(a.ID, b.ID) })
	return list
}
