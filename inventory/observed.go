package inventory

import (
	"cmp"
	"slices"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// maxEnum is how many words a path parameter may have had to count as an enumeration.
const maxEnum = 16

// Observed gives what was seen of the services that match (a name, a prefix that ends in "*", "" for all), in order of name,
// as inventory/spec compares it with declarations. The result shares nothing with the Catalog.
func (c *Catalog) Observed(service string) []observe.Service {
	q := Query{Service: service}
	list := []observe.Service{}
	c.mu.Lock()
	last := c.newest()
	c.mu.Unlock()
	for _, s := range c.sorted(&q) {
		if s.name != OtherService {
			o := c.observed(s)
			o.Last = max(o.Last, last)
			list = append(list, o)
		}
	}
	return list
}

// observed is one service; its Last is its own newest call.
func (c *Catalog) observed(s *service) observe.Service {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := observe.Service{Service: s.name, Hosts: []string{}, Endpoints: []observe.Endpoint{}}
	var hosts multiset
	for _, g := range s.endpoints {
		if g.key.template == OtherTemplate || len(g.leaves) == 0 {
			continue
		}
		var ev evidence
		probe := true
		for _, l := range g.leaves {
			probe = probe && l.probe != event.NoProbe
			ev.merge(&l.ev, viewLimit)
			ev.mergeTraits(&l.ev)
		}
		e := observe.Endpoint{ID: g.id, Method: g.key.method, Template: g.key.template, Operation: g.key.operation, Served: ev.tier() > Attempted, Probe: probe,
			Calls: ev.calls, First: ev.first, Last: ev.last, Path: c.pathParams(g)}
		if ev.traits != nil {
			e.Traits = *ev.traits
		}
		for _, x := range c.counted(&ev.callers) {
			e.Callers = append(e.Callers, observe.Caller{Name: x.Name, Calls: x.Calls})
		}
		for _, x := range c.facts(&ev, factEncryption, encryptionWord) {
			o.TLS = o.TLS || x.Name == event.TLS.String()
		}
		hosts.merge(&ev.hosts, viewLimit)
		if o.First == 0 || ev.first != 0 && ev.first < o.First {
			o.First = ev.first
		}
		o.Last = max(o.Last, ev.last)
		o.Endpoints = append(o.Endpoints, e)
	}
	for _, h := range c.counted(&hosts) {
		if h.Name != "(others)" && h.Name != "(unnamed)" {
			o.Hosts = append(o.Hosts, h.Name)
		}
	}
	slices.SortFunc(o.Endpoints, func(a, b observe.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Template, b.Template), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Operation, b.Operation))
	})
	return o
}

// pathParams says what kinds of value the parameters of g's template had.
func (c *Catalog) pathParams(g *endpointGroup) []observe.PathParam {
	list := make([]observe.PathParam, 0, len(g.params))
	for i := range g.params {
		at := g.params[i].Segment
		p := observe.PathParam{Name: g.params[i].Name}
		listed := true
		for _, l := range g.leaves {
			if at >= len(l.segs) || g.params[i].Part >= 0 {
				listed = false
				continue
			}
			sg := &l.segs[at]
			p.Kinds.Add(sg.Kind)
			if listed = listed && sg.Kind == event.KindWord && sg.Shape.Word != 0 && sg.Text != ""; listed && !slices.Contains(p.Words, sg.Text) {
				p.Words = append(p.Words, sg.Text)
			}
		}
		if slices.Sort(p.Words); !listed || len(p.Words) > maxEnum {
			p.Words = nil
		}
		list = append(list, p)
	}
	return list
}
