package inventory

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

// Query selects and orders rows. The zero value asks for everything but probes.
type Query struct {
	Service string     // exact, or a prefix that ends in "*"
	Since   event.Time // last seen at or after
	Before  event.Time // of endpoints: last seen before; 0: no matter
	State   string     // of an endpoint
	Probes  bool       // endpoints that only probes call, too
	Sort    string     // a name of SortKeys, "-" before it for the largest first; "" for the default
	Limit   int        // 0: no limit
	Offset  int        // rows to skip
}

// States are the states of an endpoint. Without a declaration that covers its service an endpoint is undeclared.
var States = []string{"undeclared", "shadow", "zombie", "orphan", "declared"}

// SortKeys are the columns that services and endpoints can be ordered by.
var SortKeys = []string{"service", "endpoints", "method", "template", "calls", "callers", "errors", "p95", "first_seen", "last_seen"}

// Check says what is wrong with q.
func (q *Query) Check() error {
	if q.State != "" && !slices.Contains(States, q.State) {
		return fmt.Errorf("state %.40q: want one of %s", q.State, strings.Join(States, ", "))
	}
	if k := strings.TrimPrefix(q.Sort, "-"); k != "" && !slices.Contains(SortKeys, k) {
		return fmt.Errorf("sort by %.40q: want one of %s, with - before it for the largest first", k, strings.Join(SortKeys, ", "))
	}
	if q.Limit < 0 || q.Offset < 0 {
		return errors.New("limit and offset cannot be negative")
	}
	return nil
}

func (q *Query) service(name string) bool {
	if p, ok := strings.CutSuffix(q.Service, "*"); ok {
		return strings.HasPrefix(name, p)
	}
	return q.Service == "" || q.Service == name
}

// Service is one row of `gnomon apis`.
type Service struct {
	Service    string     `json:"service"`
	Workload   string     `json:"workload,omitempty"`
	Process    string     `json:"process,omitempty"`
	Node       string     `json:"node,omitempty"`
	Hosts      []string   `json:"hosts"`
	Endpoints  int        `json:"endpoints"` // confirmed or failed; attempted ones apart
	Attempted  int        `json:"attempted"`
	Calls      uint64     `json:"calls"`
	Probes     uint64     `json:"probes"` // health checks and metric scrapes, not in Calls
	Errors     uint64     `json:"errors"` // answers of 500 and above
	Callers    int        `json:"callers"`
	Undeclared int        `json:"undeclared"`
	Shadow     int        `json:"shadow"`
	Zombie     int        `json:"zombie"`
	Orphan     int        `json:"orphan"`
	Auth       []string   `json:"auth"`
	Encryption []string   `json:"encryption"`
	Protocols  []string   `json:"protocols"`
	Data       []string   `json:"data"`
	Risk       string     `json:"risk"`
	Reasons    []string   `json:"risk_reasons"`
	FirstSeen  event.Time `json:"first_seen,omitzero"`
	LastSeen   event.Time `json:"last_seen,omitzero"`
}

// Endpoint is one row of `gnomon endpoints`.
type Endpoint struct {
	ID         string            `json:"id"`
	Service    string            `json:"service"`
	Method     string            `json:"method"`
	Host       string            `json:"host,omitempty"` // the most called of Hosts
	Template   string            `json:"template"`
	Operation  string            `json:"operation,omitempty"`
	Tier       Tier              `json:"tier"`
	State      string            `json:"state"`
	Calls      uint64            `json:"calls"`
	Probes     uint64            `json:"probes,omitempty"`
	Statuses   map[string]uint64 `json:"statuses"` // "none" where no answer was seen
	Errors     uint64            `json:"errors"`
	Callers    int               `json:"callers"`
	Auth       []string          `json:"auth"`
	Encryption []string          `json:"encryption"`
	Protocols  []string          `json:"protocols"`
	Data       []string          `json:"data"`
	Signs      []string          `json:"signs"`

	RequestBytes  uint64     `json:"request_bytes"`
	ResponseBytes uint64     `json:"response_bytes"`
	P50           int64      `json:"p50_ns,omitempty"` // latency
	P95           int64      `json:"p95_ns,omitempty"`
	P99           int64      `json:"p99_ns,omitempty"`
	Paths         int        `json:"paths"` // leaves under the template
	Confidence    float64    `json:"confidence,omitempty"`
	FirstSeen     event.Time `json:"first_seen,omitzero"`
	LastSeen      event.Time `json:"last_seen,omitzero"`
}

// Detail is one endpoint whole, as `gnomon show` prints it.
type Detail struct {
	Endpoint
	Hosts         []Counted    `json:"hosts"`
	CallerList    []Counted    `json:"caller_list"`
	Credentials   []Credential `json:"credentials"`
	AuthCalls     []Counted    `json:"auth_calls"`
	Encryptions   []Counted    `json:"encryption_calls"`
	Issuers       []Counted    `json:"issuers"`
	Algorithms    []Counted    `json:"algorithms"`
	Scopes        []Counted    `json:"scopes"`
	ExpiredTokens uint64       `json:"expired_tokens,omitempty"`
	RequestTypes  []Counted    `json:"request_types"`
	ResponseTypes []Counted    `json:"response_types"`
	RequestData   []Placed     `json:"request_data"`
	ResponseData  []Placed     `json:"response_data"`
	Params        []Param      `json:"params"`
	RequestSize   Spread       `json:"request_size"`
	ResponseSize  Spread       `json:"response_size"`
	LostCalls     uint64       `json:"lost_calls,omitempty"` // calls of which something was not seen
	LostBytes     uint64       `json:"lost_bytes,omitempty"`
	Examples      []string     `json:"paths_seen"` // some of the paths under the template, typed segments as kinds
}

// Counted is a name with its calls.
type Counted struct {
	Name  string `json:"name"`
	Calls uint64 `json:"calls"`
}

// Credential is a keyed fingerprint with its kind.
type Credential struct {
	Credential string `json:"credential"`
	Kind       string `json:"kind"`
	Calls      uint64 `json:"calls"`
}

// Placed is a class of data at a place in a body.
type Placed struct {
	Class string `json:"class"`
	At    string `json:"at,omitempty"`
	Count uint64 `json:"count"`
}

// Param is a parameter of an endpoint.
type Param struct {
	In       event.In   `json:"in"`
	Name     string     `json:"name"`
	Kind     event.Kind `json:"kind"`
	Calls    uint64     `json:"calls"`
	Distinct uint64     `json:"distinct"` // estimate, exact up to 32
}

// Spread is the distribution of a size in bytes.
type Spread struct {
	P50 int64 `json:"p50"`
	P95 int64 `json:"p95"`
	Max int64 `json:"max"`
}

// viewLimit bounds the lists of one row.
const viewLimit = 256

// whole merges the evidence of a group's leaves; probes apart.
func (g *endpointGroup) whole() (ev, probes evidence) {
	for _, l := range g.leaves {
		if l.probe == event.NoProbe {
			ev.merge(&l.ev, viewLimit)
		} else {
			probes.merge(&l.ev, viewLimit)
		}
	}
	return ev, probes
}

func (c *Catalog) facts(e *evidence, group uint64, word func(uint8) string) []Counted {
	list := []Counted{}
	for _, x := range e.facts.e {
		if x.h&^0xff == group {
			if w := word(uint8(x.h)); w != "" {
				list = append(list, Counted{w, x.n})
			}
		}
	}
	byCalls(list)
	return list
}

func (c *Catalog) counted(m *multiset) []Counted {
	list := make([]Counted, 0, len(m.e))
	for _, x := range m.e {
		list = append(list, Counted{c.nameOf(x.h), x.n})
	}
	byCalls(list)
	if m.other > 0 {
		list = append(list, Counted{"(others)", m.other})
	}
	return list
}

func (c *Catalog) nameOf(h uint64) string {
	if n, ok := c.names[h]; ok {
		return n
	}
	return "(unnamed)"
}

func (c *Catalog) words(e *evidence, class wordClass) []Counted {
	list := []Counted{}
	for _, x := range e.words.e {
		if wordClass(x.h>>classShift) == class {
			list = append(list, Counted{c.nameOf(x.h), x.n})
		}
	}
	byCalls(list)
	return list
}

func (c *Catalog) placed(e *evidence, class wordClass) []Placed {
	list := []Placed{}
	for _, w := range c.words(e, class) {
		what, at, _ := strings.Cut(w.Name, "\x00")
		list = append(list, Placed{what, at, w.Calls})
	}
	return list
}

func byCalls(list []Counted) {
	sort.Slice(list, func(i, j int) bool {
		if list[i].Calls != list[j].Calls {
			return list[i].Calls > list[j].Calls
		}
		return list[i].Name < list[j].Name
	})
}

func namesOf(list []Counted) []string {
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return names
}

func authWord(v uint8) string       { return event.AuthKind(v).String() }
func encryptionWord(v uint8) string { return event.Encryption(v).String() }
func protocolWord(v uint8) string   { return event.Protocol(v).String() }

func (c *Catalog) dataClasses(e *evidence) []string {
	list := []string{}
	for _, class := range []wordClass{wordRequestData, wordResponseData} {
		for _, w := range c.words(e, class) {
			what, _, _ := strings.Cut(w.Name, "\x00")
			list = append(list, what)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func errorsOf(e *evidence) (n uint64) {
	for _, s := range e.statuses.e {
		if s.h >= 500 {
			n += s.n
		}
	}
	return n
}

func (c *Catalog) row(s *service, g *endpointGroup, ev, probes *evidence) Endpoint {
	if ev.calls == 0 { // only probes: they are all there is to tell
		n := probes.calls
		r := c.describe(s, g, probes)
		r.Calls, r.Probes = 0, n
		return r
	}
	r := c.describe(s, g, ev)
	r.Probes, r.Tier = probes.calls, max(r.Tier, probes.tier())
	return r
}

func (c *Catalog) describe(s *service, g *endpointGroup, e *evidence) Endpoint {
	r := Endpoint{ID: g.id, Service: s.name, Method: g.key.method, Template: g.key.template, Operation: g.key.operation, Tier: e.tier(),
		State: States[0], Calls: e.calls, Statuses: map[string]uint64{}, Errors: errorsOf(e), Callers: distinct(&e.callers, e.callerSet),
		Auth: namesOf(c.facts(e, factAuth, authWord)), Encryption: namesOf(c.facts(e, factEncryption, encryptionWord)),
		Protocols: namesOf(c.facts(e, factProtocol, protocolWord)), Data: c.dataClasses(e), Signs: namesOf(c.words(e, wordSign)),
		RequestBytes: e.requestBytes, ResponseBytes: e.responseByte, P50: e.latency.Quantile(.5), P95: e.latency.Quantile(.95),
		P99: e.latency.Quantile(.99), Paths: len(g.leaves), Confidence: math.Round(g.confidence*1000) / 1000, FirstSeen: e.first, LastSeen: e.last}
	for _, x := range e.statuses.e {
		r.Statuses[statusWord(x.h)] += x.n
	}
	if e.statuses.other > 0 {
		r.Statuses["other"] = e.statuses.other
	}
	if hosts := c.counted(&e.hosts); len(hosts) > 0 {
		r.Host = hosts[0].Name
	}
	return r
}

func statusWord(status uint64) string {
	if status == 0 {
		return "none"
	}
	return strconv.FormatUint(status, 10)
}

// sorted returns the services in order of name.
func (c *Catalog) sorted(q *Query) []*service {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*service
	for _, s := range c.services {
		if q.service(s.name) {
			list = append(list, s)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	return list
}

// Endpoints returns the endpoints that q asks for and how many there are without its limit. The lock is held per service, so that a long
// list does not hold up Apply.
func (c *Catalog) Endpoints(q Query) ([]Endpoint, int) {
	rows := []Endpoint{}
	var now event.Time
	for i, s := range c.sorted(&q) {
		c.mu.Lock()
		if i == 0 && len(c.docs) > 0 {
			now = c.newest()
		}
		declared := c.compare(s, now)
		if (q.State == "" || q.State == string(spec.StateOrphan)) && q.Since == 0 {
			rows = append(rows, orphans(s, declared)...)
		}
		for _, g := range s.endpoints {
			st := state(declared, g)
			if q.State != "" && q.State != st {
				continue
			}
			ev, probes := g.whole()
			if max(ev.last, probes.last) < q.Since || q.Before != 0 && max(ev.last, probes.last) >= q.Before || ev.calls == 0 && (probes.calls == 0 || !q.Probes) {
				continue
			}
			r := c.row(s, g, &ev, &probes)
			r.State = st
			rows = append(rows, r)
		}
		c.mu.Unlock()
	}
	sort.Slice(rows, func(i, j int) bool { return endpointLess(&rows[i], &rows[j]) })
	order(rows, q.Sort, map[string]func(a, b *Endpoint) int{
		"service":    func(a, b *Endpoint) int { return strings.Compare(a.Service, b.Service) },
		"method":     func(a, b *Endpoint) int { return strings.Compare(a.Method, b.Method) },
		"template":   func(a, b *Endpoint) int { return strings.Compare(a.Template, b.Template) },
		"calls":      func(a, b *Endpoint) int { return compare(a.Calls, b.Calls) },
		"callers":    func(a, b *Endpoint) int { return compare(a.Callers, b.Callers) },
		"errors":     func(a, b *Endpoint) int { return compare(a.Errors, b.Errors) },
		"p95":        func(a, b *Endpoint) int { return compare(a.P95, b.P95) },
		"first_seen": func(a, b *Endpoint) int { return compare(a.FirstSeen, b.FirstSeen) },
		"last_seen":  func(a, b *Endpoint) int { return compare(a.LastSeen, b.LastSeen) },
	})
	return page(rows, &q), len(rows)
}

func endpointLess(a, b *Endpoint) bool {
	for _, d := range [...]int{strings.Compare(a.Service, b.Service), strings.Compare(a.Template, b.Template),
		strings.Compare(a.Method, b.Method), strings.Compare(a.Operation, b.Operation)} {
		if d != 0 {
			return d < 0
		}
	}
	return false
}

func compare[T int | int64 | uint64 | event.Time](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func order[T any](rows []T, by string, keys map[string]func(a, b *T) int) {
	name, down := strings.CutPrefix(by, "-")
	key := keys[name]
	if key == nil {
		return
	}
	sort.SliceStable(rows, func(i, j int) bool {
		if d := key(&rows[i], &rows[j]); down {
			return d > 0
		} else {
			return d < 0
		}
	})
}

func page[T any](rows []T, q *Query) []T {
	rows = rows[min(q.Offset, len(rows)):]
	if q.Limit > 0 && len(rows) > q.Limit {
		rows = rows[:q.Limit]
	}
	return rows
}

// Services returns the services that q asks for and how many there are without its limit.
func (c *Catalog) Services(q Query) ([]Service, int) {
	rows := []Service{}
	var now event.Time
	for i, s := range c.sorted(&q) {
		c.mu.Lock()
		if i == 0 && len(c.docs) > 0 {
			now = c.newest()
		}
		r := c.summary(s, c.compare(s, now))
		c.mu.Unlock()
		if r.LastSeen >= q.Since && r.Calls+r.Probes > 0 {
			rows = append(rows, r)
		}
	}
	order(rows, q.Sort, map[string]func(a, b *Service) int{
		"service":    func(a, b *Service) int { return strings.Compare(a.Service, b.Service) },
		"endpoints":  func(a, b *Service) int { return compare(a.Endpoints, b.Endpoints) },
		"calls":      func(a, b *Service) int { return compare(a.Calls, b.Calls) },
		"callers":    func(a, b *Service) int { return compare(a.Callers, b.Callers) },
		"errors":     func(a, b *Service) int { return compare(a.Errors, b.Errors) },
		"first_seen": func(a, b *Service) int { return compare(a.FirstSeen, b.FirstSeen) },
		"last_seen":  func(a, b *Service) int { return compare(a.LastSeen, b.LastSeen) },
	})
	return page(rows, &q), len(rows)
}

func (c *Catalog) summary(s *service, declared *spec.Compared) Service {
	r := Service{Service: s.name, Workload: s.workload, Process: s.process, Node: s.node}
	var all evidence
	var risk risks
	for _, g := range s.endpoints {
		ev, probes := g.whole()
		r.Probes += probes.calls
		if all.last = max(all.last, probes.last); all.first == 0 || probes.first != 0 && probes.first < all.first {
			all.first = probes.first
		}
		if ev.calls == 0 {
			continue
		}
		if ev.tier() == Attempted {
			r.Attempted++
		} else {
			r.Endpoints++
			switch spec.State(state(declared, g)) {
			case spec.StateUndeclared:
				r.Undeclared++
			case spec.StateShadow:
				r.Shadow++
			case spec.StateZombie:
				r.Zombie++
			case spec.StateOrphan:
				r.Orphan++
			}
			risk.endpoint(c, g, &ev)
		}
		all.merge(&ev, viewLimit)
	}
	r.Orphan += len(orphans(s, declared))
	r.Hosts = namesOf(c.counted(&all.hosts))
	r.Calls, r.Errors, r.Callers = all.calls, errorsOf(&all), distinct(&all.callers, all.callerSet)
	r.Auth = namesOf(c.facts(&all, factAuth, authWord))
	r.Encryption = namesOf(c.facts(&all, factEncryption, encryptionWord))
	r.Protocols = namesOf(c.facts(&all, factProtocol, protocolWord))
	r.Data = c.dataClasses(&all)
	r.Risk, r.Reasons = risk.level()
	r.FirstSeen, r.LastSeen = all.first, all.last
	return r
}

// ErrNotFound says that no endpoint has that id or name; ErrAmbiguous, that several have the name.
var (
	ErrNotFound  = errors.New("no such endpoint")
	ErrAmbiguous = errors.New("several services have that endpoint")
)

// Endpoint returns the endpoint with that id, or with that "METHOD TEMPLATE" in service ("" for any).
func (c *Catalog) Endpoint(name, service string) (Detail, error) {
	method, tmpl, byName := strings.Cut(name, " ")
	var found []Detail
	for _, s := range c.sorted(&Query{Service: service}) {
		c.mu.Lock()
		for _, g := range s.endpoints {
			if g.id == name || byName && g.key.template == tmpl && strings.EqualFold(g.key.method, method) {
				found = append(found, c.detail(s, g))
			}
		}
		c.mu.Unlock()
	}
	switch len(found) {
	case 0:
		return Detail{}, fmt.Errorf("%.200q: %w", name, ErrNotFound)
	case 1:
		return found[0], nil
	}
	for _, d := range found[1:] {
		if d.Service != found[0].Service {
			return Detail{}, fmt.Errorf("%.200q: %w: %s and %s", name, ErrAmbiguous, found[0].Service, d.Service)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Operation < found[j].Operation })
	return Detail{}, fmt.Errorf("%.200q: %w: operations %.60s (%s) and %.60s (%s)", name, ErrAmbiguous, found[0].Operation, found[0].ID, found[1].Operation, found[1].ID)
}

func (c *Catalog) detail(s *service, g *endpointGroup) Detail {
	ev, probes := g.whole()
	d := Detail{Endpoint: c.row(s, g, &ev, &probes)}
	d.State = state(c.compare(s, c.newest()), g)
	e := &ev
	if ev.calls == 0 {
		e = &probes
	}
	d.Hosts, d.CallerList = c.counted(&e.hosts), c.counted(&e.callers)
	d.Credentials = []Credential{}
	for _, x := range c.counted(&e.creds) {
		kind, print, ok := strings.Cut(x.Name, "\x00")
		if !ok {
			kind, print = "", x.Name
		}
		d.Credentials = append(d.Credentials, Credential{print, kind, x.Calls})
	}
	d.AuthCalls = c.facts(e, factAuth, authWord)
	d.Encryptions = c.facts(e, factEncryption, encryptionWord)
	for _, x := range c.facts(e, factExpired, func(uint8) string { return "expired" }) {
		d.ExpiredTokens += x.Calls
	}
	d.Issuers, d.Algorithms, d.Scopes = c.words(e, wordIssuer), c.words(e, wordAlgorithm), c.words(e, wordScope)
	d.RequestTypes, d.ResponseTypes = c.words(e, wordRequestType), c.words(e, wordResponseType)
	d.RequestData, d.ResponseData = c.placed(e, wordRequestData), c.placed(e, wordResponseData)
	d.RequestSize, d.ResponseSize = spread(&e.requestSize), spread(&e.responseSize)
	d.LostCalls, d.LostBytes = e.lostCalls, e.lostBytes
	d.Params = c.params(g, e)
	d.Examples = []string{}
	for _, l := range g.leaves {
		if len(l.segs) == 0 {
			d.Examples = append(d.Examples, l.fixed)
		} else {
			d.Examples = append(d.Examples, endpoint.Typed(l.segs).Text)
		}
	}
	slices.Sort(d.Examples)
	if d.Examples = slices.Compact(d.Examples); len(d.Examples) > 20 {
		d.Examples = d.Examples[:20]
	}
	return d
}

func spread(h *event.Histogram) Spread {
	return Spread{P50: h.Quantile(.5), P95: h.Quantile(.95), Max: h.Quantile(1)}
}

// params are the template's own in their order, with what the leaves tell of them, then the others by place and name.
func (c *Catalog) params(g *endpointGroup, e *evidence) []Param {
	list := []Param{}
	for i := range g.params {
		t := &g.params[i]
		p := Param{In: event.InPath, Name: t.Name, Kind: t.Kind(), Calls: e.calls}
		var values event.Set
		if q := e.find(uint64(t.Segment), event.InPath); q != nil {
			values.Merge(q.values)
		}
		for _, l := range g.leaves {
			if t.Segment < len(l.segs) && endpoint.Learnable(l.segs[t.Segment].Kind) {
				values.Add(mix(c.token(l.segs[t.Segment].Token, l.segs[t.Segment].Text), k0))
			}
		}
		p.Distinct = values.Count()
		list = append(list, p)
	}
	rest := []Param{}
	for i := range e.params {
		q := &e.params[i]
		if q.in == event.InPath && len(g.leaves) > 0 && len(g.leaves[0].segs) > 0 {
			continue
		}
		rest = append(rest, Param{q.in, c.nameOf(q.h), q.kind(), q.calls, q.values.Count()})
	}
	sort.Slice(rest, func(i, j int) bool {
		if rest[i].In != rest[j].In {
			return rest[i].In < rest[j].In
		}
		return rest[i].Name < rest[j].Name
	})
	return append(list, rest...)
}
