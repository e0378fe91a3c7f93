package inventory

import (
	"encoding/binary"

	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// learning is a service's way to templates. The learner is touched under Catalog.learning only, the rest under mu.
type learning struct {
	learner *endpoint.Learner
	matcher *endpoint.Matcher
	fresh   []*leaf // have counts that the learner lacks
	added   int     // leaves since the matcher was made
	calls   uint64  // counted since then
	known   uint64  // counted before
	wait    int     // Relearns to let pass
}

// Learned is what a Relearn found for one service.
type Learned struct {
	Service string
	Matcher *endpoint.Matcher
}

// nodesPerWait spreads the work: a judgement costs 5 µs a node, so a service of 10,000 nodes is judged again after ten Relearns,
// one of a few hundred each time.
const nodesPerWait = 1000

// Relearn makes templates from what was counted since the last time, regroups the leaves of the services where something is new, and
// returns their matchers, which agents fold by. now: of all that changed, not only of those that are due. Apply goes on meanwhile, but for
// some milliseconds per service.
func (c *Catalog) Relearn(now bool) []Learned {
	c.learning.Lock()
	defer c.learning.Unlock()
	var found []Learned
	for _, s := range c.sorted(&Query{}) {
		c.mu.Lock()
		due := s.learn.due(now)
		if due {
			c.feed(s)
		}
		c.mu.Unlock()
		if !due {
			continue
		}
		m := s.learn.learner.Matcher()
		c.mu.Lock()
		s.learn.matcher = m
		s.learn.wait = s.learn.learner.Nodes() / nodesPerWait
		s.full = false
		c.cover(s)
		c.regroup(s)
		c.mu.Unlock()
		found = append(found, Learned{s.name, m})
	}
	return found
}

// due says whether there are new paths, or half as many calls again as were judged by.
func (l *learning) due(now bool) bool {
	switch {
	case len(l.fresh) == 0:
		return false
	case now:
		return true
	case l.added == 0 && l.calls*2 < l.known:
		return false
	case l.wait > 0:
		l.wait--
		return false
	}
	return true
}

// feed tells the learner what it lacks.
func (c *Catalog) feed(s *service) {
	l := &s.learn
	if l.learner == nil {
		l.learner = endpoint.New(endpoint.Config{MaxNodes: 2 * c.cfg.MaxLeaves})
	}
	var buf []event.Segment
	for _, f := range l.fresh {
		f.fresh = false
		if f.into != nil {
			continue
		}
		missing := f.ev.statuses.count(404)
		for i, n := range [2]uint64{f.ev.calls - min(missing, f.ev.calls), missing} { // all that it tells apart
			if n > f.fed[i] {
				l.learner.Observe(f.method, f.segs, [2]int{200, 404}[i], n-f.fed[i])
				f.fed[i] = n
			}
		}
		if f.tier != Attempted {
			buf = f.feedValues(l.learner, buf)
		}
	}
	l.fresh = l.fresh[:0]
	l.known += l.calls
	l.calls, l.added = 0, 0
}

// allDifferent is how many made-up values set each bit of the 64-bit sketch that the learner keeps of a typed segment's values: with fewer
// the sketch would tell which of the real ones had come before.
const allDifferent = 640

// feedValues shows the learner how varied the values of typed segments are: what a Set lists, or as good as all different.
func (l *leaf) feedValues(to *endpoint.Learner, buf []event.Segment) []event.Segment {
	for i := range l.ev.params {
		p := &l.ev.params[i]
		if p.in != event.InPath || p.h >= uint64(len(l.segs)) || p.fed == len(p.values) {
			continue
		}
		buf = append(buf[:0], l.segs...)
		one := func(token uint64) {
			buf[p.h].Token = token
			to.Observe(l.method, buf, 200, 0)
		}
		if len(p.values)%8 != 0 {
			for k := range uint64(allDifferent) {
				one(mix(k, k1))
			}
		} else {
			for k := p.fed; k+8 <= len(p.values); k += 8 {
				one(binary.LittleEndian.Uint64(p.values[k:]))
			}
		}
		p.fed = len(p.values)
	}
	return buf
}

// template says what l is an instance of: what is declared, else what came with the Call when it had no path, else what was
// learned, else what the kinds of its segments say. A word that only a 404 speaks for is no value of a parameter.
func (s *service) template(l *leaf) endpoint.Template {
	if t := s.declaration(l); t != nil {
		return *t
	}
	if len(l.segs) == 0 {
		return fixedTemplate(l.fixed)
	}
	if m := s.learn.matcher; m != nil {
		if t, novel := m.Match(l.segs); t != nil && (!novel || l.tier > Attempted) {
			return *t
		}
	}
	return endpoint.Typed(l.segs)
}

// fixedTemplate is a template known by its text alone.
func fixedTemplate(text string) endpoint.Template {
	if text == "" {
		text = "/"
	}
	return endpoint.Template{Text: text}
}

// regroup puts each leaf of s under the template that it has now.
func (c *Catalog) regroup(s *service) {
	before := s.endpoints
	s.endpoints = make(map[endpointKey]*endpointGroup, len(before))
	kept := len(c.changes) // those of the last Apply are somebody's
	for _, l := range s.leaves {
		old := l.group
		t := s.template(l)
		c.group(l, &t, l.ev.first)
		if old == nil || old.key != l.group.key {
			c.markDirty(l)
		}
	}
	c.changes = c.changes[:kept]
}

// Learned returns the matchers that there are, for an agent that starts.
func (c *Catalog) Learned() []Learned {
	var list []Learned
	for _, s := range c.sorted(&Query{}) {
		if m := c.Matcher(s.name); m != nil {
			list = append(list, Learned{s.name, m})
		}
	}
	return list
}

// Matcher returns the newest matcher of service, nil when nothing was learned.
func (c *Catalog) Matcher(service string) *endpoint.Matcher {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.services[service]; s != nil {
		return s.learn.matcher
	}
	return nil
}
