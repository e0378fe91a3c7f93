package inventory

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// ServiceRecord is what the store keeps of a service.
type ServiceRecord struct {
	Name, Node, Workload, Process, Address string
	Port                                   uint16
}

// LeafRecord is what the store keeps of a leaf, whole each time it changed: writing one twice changes nothing.
type LeafRecord struct {
	Service     string
	Key         uint64 // with Service: identity within one store, whose seed it depends on
	Method      string
	Template    string
	Operation   string
	Probe       event.Probe
	Tier        Tier
	Calls       uint64
	First, Last event.Time
	Path        []byte // JSON segments; nil where Fixed is the path
	Fixed       string
	Evidence    []byte // JSON, see evidenceRecord
	Gone        bool   // merged into another leaf: delete
}

// evidenceRecord is evidence as JSON. Fields may be added; their absence means none.
type evidenceRecord struct {
	First         event.Time      `json:"first,omitzero"`
	Last          event.Time      `json:"last,omitzero"`
	Calls         uint64          `json:"calls"`
	RequestBytes  uint64          `json:"request_bytes,omitempty"`
	ResponseBytes uint64          `json:"response_bytes,omitempty"`
	LostCalls     uint64          `json:"lost_calls,omitempty"`
	LostBytes     uint64          `json:"lost_bytes,omitempty"`
	Statuses      listRecord      `json:"statuses"`
	Facts         listRecord      `json:"facts"`
	Callers       listRecord      `json:"callers"`
	Creds         listRecord      `json:"credentials"`
	Hosts         listRecord      `json:"hosts"`
	Words         listRecord      `json:"words"`
	CallerSet     event.Set       `json:"caller_set,omitempty"`
	CredSet       event.Set       `json:"credential_set,omitempty"`
	Latency       event.Histogram `json:"latency"`
	RequestSize   event.Histogram `json:"request_size"`
	ResponseSize  event.Histogram `json:"response_size"`
	Params        []paramRecord   `json:"params,omitempty"`
	Merged        bool            `json:"merged,omitempty"`
	Traits        *observe.Traits `json:"traits,omitempty"`
}

type listRecord struct {
	Entries []entryRecord `json:"e,omitempty"`
	Other   uint64        `json:"other,omitempty"`
}

type entryRecord struct {
	H    uint64 `json:"h"`
	N    uint64 `json:"n"`
	Name string `json:"s,omitempty"`
}

type paramRecord struct {
	H      uint64    `json:"h"`
	Name   string    `json:"s,omitempty"`
	In     event.In  `json:"in"`
	Kinds  uint32    `json:"kinds"`
	Calls  uint64    `json:"calls"`
	Values event.Set `json:"values,omitempty"`
}

func (c *Catalog) listRecord(m *multiset) listRecord {
	r := listRecord{Other: m.other}
	for _, e := range m.e {
		r.Entries = append(r.Entries, entryRecord{e.h, e.n, c.names[e.h]})
	}
	return r
}

func (c *Catalog) list(r listRecord) multiset {
	m := multiset{other: r.Other}
	for _, e := range r.Entries {
		m.e = append(m.e, entry{e.H, e.N})
		if e.Name != "" {
			c.name(e.H, e.Name)
		}
	}
	return m
}

func (c *Catalog) record(l *leaf) (LeafRecord, error) {
	r := LeafRecord{Service: l.svc.name, Key: l.key, Gone: l.into != nil}
	if r.Gone {
		return r, nil
	}
	e := &l.ev
	r.Method, r.Operation, r.Probe, r.Tier, r.Fixed = l.method, l.operation, l.probe, l.tier, l.fixed
	r.Template, r.Calls, r.First, r.Last = l.group.key.template, e.calls, e.first, e.last
	er := evidenceRecord{First: e.first, Last: e.last, Calls: e.calls, RequestBytes: e.requestBytes, ResponseBytes: e.responseByte, LostCalls: e.lostCalls, LostBytes: e.lostBytes,
		Statuses: c.listRecord(&e.statuses), Facts: c.listRecord(&e.facts), Callers: c.listRecord(&e.callers), Creds: c.listRecord(&e.creds),
		Hosts: c.listRecord(&e.hosts), Words: c.listRecord(&e.words), CallerSet: e.callerSet, CredSet: e.credSet,
		Latency: e.latency, RequestSize: e.requestSize, ResponseSize: e.responseSize, Traits: e.traits}
	for i := range e.params {
		p := &e.params[i]
		er.Params = append(er.Params, paramRecord{p.h, c.names[p.h], p.in, p.kinds, p.calls, p.values})
	}
	var err1, err2 error
	if len(l.segs) > 0 {
		r.Path, err1 = json.Marshal(l.segs)
	}
	r.Evidence, err2 = json.Marshal(&er)
	return r, errors.Join(err1, err2)
}

// Changed hands over what changed since it was last asked, at most limit leaves, and says whether there is more. The records are the
// caller's.
func (c *Catalog) Changed(limit int) (services []ServiceRecord, leaves []LeafRecord, more bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.dirtySvc {
		s.dirty = false
		services = append(services, ServiceRecord{s.name, s.node, s.workload, s.process, s.address, s.port})
	}
	c.dirtySvc = c.dirtySvc[:0]
	leaves, c.gone = c.gone, nil
	n := min(limit, len(c.dirty))
	for _, l := range c.dirty[len(c.dirty)-n:] {
		l.dirty = false
		r, e := c.record(l)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("encode %s %s of %s: %w", l.method, l.fixed, l.svc.name, e))
			continue
		}
		leaves = append(leaves, r)
	}
	c.dirty = c.dirty[:len(c.dirty)-n]
	if len(c.dirty) == 0 && cap(c.dirty) > 4096 {
		c.dirty = nil // a flood's list is not kept
	}
	return services, leaves, len(c.dirty) > 0, err
}

// Failed takes back what Changed gave and the store could not write, so that Changed gives it again.
func (c *Catalog) Failed(services []ServiceRecord, leaves []LeafRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range services {
		if s := c.services[services[i].Name]; s != nil && !s.dirty {
			s.dirty = true
			c.dirtySvc = append(c.dirtySvc, s)
		}
	}
	for i := range leaves {
		if leaves[i].Gone {
			c.gone = append(c.gone, leaves[i])
			continue
		}
		s := c.services[leaves[i].Service]
		if s == nil {
			continue
		}
		if l := s.leaves[leaves[i].Key]; l != nil && !l.dirty {
			l.dirty = true
			c.dirty = append(c.dirty, l)
		}
	}
}

// LoadService puts back a service that the store kept.
func (c *Catalog) LoadService(r ServiceRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[r.Name]
	if s == nil {
		s = c.addService(strings.Clone(r.Name))
	}
	s.node, s.workload, s.process, s.address, s.port = r.Node, r.Workload, r.Process, r.Address, r.Port
}

// LoadLeaf puts back a leaf that the store kept.
func (c *Catalog) LoadLeaf(r LeafRecord) error {
	var er evidenceRecord
	if err := json.Unmarshal(r.Evidence, &er); err != nil {
		return fmt.Errorf("evidence of %s %s of %s: %w", r.Method, r.Template, r.Service, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[r.Service]
	if s == nil {
		s = c.addService(strings.Clone(r.Service))
	}
	c.cur = s
	l := &leaf{svc: s, key: r.Key, method: r.Method, fixed: r.Fixed, operation: r.Operation, probe: r.Probe, tier: r.Tier}
	if len(r.Path) > 0 {
		if err := json.Unmarshal(r.Path, &l.segs); err != nil {
			return fmt.Errorf("path of %s %s of %s: %w", r.Method, r.Template, r.Service, err)
		}
	}
	l.ev = evidence{calls: er.Calls, first: er.First, last: er.Last, requestBytes: er.RequestBytes, responseByte: er.ResponseBytes,
		lostCalls: er.LostCalls, lostBytes: er.LostBytes, statuses: c.list(er.Statuses), facts: c.list(er.Facts),
		callers: c.list(er.Callers), creds: c.list(er.Creds), hosts: c.list(er.Hosts), words: c.list(er.Words),
		callerSet: er.CallerSet, credSet: er.CredSet, latency: er.Latency, requestSize: er.RequestSize, responseSize: er.ResponseSize, traits: er.Traits}
	for _, p := range er.Params {
		l.ev.params = append(l.ev.params, param{h: p.H, in: p.In, kinds: p.Kinds, calls: p.Calls, values: p.Values})
		if p.Name != "" {
			c.name(p.H, p.Name)
		}
	}
	c.growTraits(l.ev.traitsBytes())
	c.calls += l.ev.calls
	l.merged = er.Merged
	t := s.template(l)
	c.addLeaf(l, &t, l.ev.first)
	if len(l.segs) > 0 {
		l.fresh = true
		s.learn.fresh = append(s.learn.fresh, l)
		s.learn.added++
	}
	c.changes = c.changes[:0]
	return nil
}
