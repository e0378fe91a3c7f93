package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// Kind is what kind of difference a Drift is.
type Kind string

// The kinds.
const (
	Shadow                  Kind = "shadow"                    // served, but not declared
	Zombie                  Kind = "zombie"                    // declared as deprecated or superseded, and still called
	Orphan                  Kind = "orphan"                    // declared, but never called, or no longer
	UndocumentedMethod      Kind = "undocumented_method"       // the path is declared, but not with this method
	UndocumentedStatus      Kind = "undocumented_status"       //
	UndocumentedParameter   Kind = "undocumented_parameter"    // in query or cookie
	UndocumentedHeader      Kind = "undocumented_header"       //
	UndocumentedContentType Kind = "undocumented_content_type" //
	UndocumentedField       Kind = "undocumented_field"        // of a body
	TypeMismatch            Kind = "type_mismatch"             //
	MissingRequired         Kind = "missing_required"          // and accepted all the same
	UndeclaredAuth          Kind = "undeclared_auth"           // a way to authenticate that is not declared
	MissingAuth             Kind = "missing_auth"              // declared as needed, and accepted without
)

// Kinds are all kinds, the worst first.
var Kinds = []Kind{Shadow, Zombie, MissingAuth, UndocumentedMethod, UndeclaredAuth, TypeMismatch, MissingRequired, UndocumentedField,
	UndocumentedParameter, UndocumentedContentType, UndocumentedStatus, UndocumentedHeader, Orphan}

// Severity orders kinds by what they may mean for whoever answers for the API.
func (k Kind) Severity() string {
	switch k {
	case Shadow, MissingAuth:
		return "high"
	case Zombie, UndocumentedMethod, UndeclaredAuth, TypeMismatch, MissingRequired, UndocumentedField:
		return "medium"
	}
	return "low"
}

// Explain says in one sentence what the kind means and what to do.
func (k Kind) Explain() string {
	return explanations[k]
}

var explanations = map[Kind]string{
	Shadow:                  "The service answers here, but no imported document declares it: declare it, or find out who serves it.",
	Zombie:                  "Declared as deprecated or superseded, and still called: move the callers, then switch it off.",
	Orphan:                  "Declared, but not called: remove it, or find out why nobody uses it.",
	UndocumentedMethod:      "The path is declared, but the service also answers to this method: declare it or refuse it.",
	UndocumentedStatus:      "The service answers with a status that the document does not declare.",
	UndocumentedParameter:   "Callers send a parameter that the document does not declare, and the service accepts the call.",
	UndocumentedHeader:      "A header goes over the wire that the document does not declare.",
	UndocumentedContentType: "A body has a media type that the document does not declare.",
	UndocumentedField:       "A body has a field that the document does not declare: it may carry data that nobody reviewed.",
	TypeMismatch:            "A value is of another type than the document declares.",
	MissingRequired:         "Something that the document calls required is not there, and the service accepts the call or answers without it.",
	UndeclaredAuth:          "Callers authenticate in a way that the document does not declare, and the service accepts it.",
	MissingAuth:             "The document requires authentication, and the service answers without any.",
}

// Drift is one difference between what is declared and what was observed. It explains itself.
type Drift struct {
	ID       string           `json:"id"` // the same for the same difference
	Kind     Kind             `json:"kind"`
	Severity string           `json:"severity"`
	Service  string           `json:"service"`
	Method   string           `json:"method"`
	Template string           `json:"template"` // the declared one where there is one
	Endpoint string           `json:"endpoint,omitempty"`
	Document string           `json:"document,omitempty"` // id of the document, or of the newest that covers the service
	At       string           `json:"at,omitempty"`       // "query limit", "response 200 $.items[].sku"
	Declared string           `json:"declared,omitempty"`
	Observed string           `json:"observed,omitempty"`
	Calls    uint64           `json:"calls"` // that show the difference
	First    event.Time       `json:"first_seen,omitzero"`
	Last     event.Time       `json:"last_seen,omitzero"`
	Callers  []observe.Caller `json:"callers"`
	Message  string           `json:"message"`
}

// Config says what counts as drift.
type Config struct {
	// Idle is after how long without a call a declared operation is an orphan. Default 30 days; it was never called where the
	// observation is younger.
	Idle time.Duration
	// Callers bounds the callers that a row lists. Default 5.
	Callers int
	// Headers are names of headers, lower case, that need no declaration, beyond the standard ones.
	Headers []string
}

func (c Config) withDefaults() Config {
	if c.Idle == 0 {
		c.Idle = 30 * 24 * time.Hour
	}
	if c.Callers == 0 {
		c.Callers = 5
	}
	return c
}

// State is what an endpoint is, measured against declarations.
type State string

// The states, as CLI.md names them. StateUndeclared: no document covers the service, or nothing answers there.
const (
	StateUndeclared State = "undeclared"
	StateShadow     State = "shadow"
	StateZombie     State = "zombie"
	StateOrphan     State = "orphan"
	StateDeclared   State = "declared"
)

// Compared is a service measured against the documents that cover it.
type Compared struct {
	Service string
	States  map[string]State // of the observed endpoints, by id
	Orphans []Match          // declared, current, and not called; sorted
	Drift   []Drift          // sorted by severity, then place
}

// Compare measures a service against documents, of which it takes those that cover it. Without any, every endpoint is
// undeclared and there is no drift.
func (c Config) Compare(svc *observe.Service, docs []*Document) Compared {
	var cover []*Document
	for _, d := range docs {
		if d.Covers(svc.Service, svc.Hosts) {
			cover = append(cover, d)
		}
	}
	paths := make([]string, len(svc.Endpoints))
	for i := range svc.Endpoints {
		paths[i] = svc.Endpoints[i].Template
	}
	return c.CompareWith(svc, NewSet(cover, paths))
}

// CompareWith is Compare with documents that are known to cover the service; set may be nil.
func (c Config) CompareWith(svc *observe.Service, set *Set) Compared {
	r := Compared{Service: svc.Service, States: map[string]State{}, Orphans: []Match{}, Drift: []Drift{}}
	k := &comparison{cfg: c.withDefaults(), svc: svc, set: set, out: &r, used: map[*Operation]usage{}}
	for i := range svc.Endpoints {
		e := &svc.Endpoints[i]
		r.States[e.ID] = k.endpoint(e)
	}
	k.orphans()
	order := func(d *Drift) int { return slices.Index(Kinds, d.Kind) }
	slices.SortStableFunc(r.Drift, func(a, b Drift) int {
		return cmp.Or(cmp.Compare(order(&a), order(&b)), cmp.Compare(a.Template, b.Template), cmp.Compare(a.Method, b.Method), cmp.Compare(a.At, b.At), cmp.Compare(a.Observed, b.Observed))
	})
	return r
}

// names are the documents, as a sentence has them.
func (s *Set) names() string {
	var list []string
	for _, d := range s.docs {
		if name := strings.TrimSpace(d.Title + " " + d.Version); !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	if len(list) > 3 {
		return count(len(s.docs), "document")
	}
	return strings.Join(list, " and ")
}

type usage struct {
	endpoints   []string // ids
	calls       uint64
	first, last event.Time
}

type comparison struct {
	cfg  Config
	svc  *observe.Service
	set  *Set
	out  *Compared
	used map[*Operation]usage
	// of the endpoint being compared
	e *observe.Endpoint
	m *Match
}

// row adds a difference of the current endpoint.
func (k *comparison) row(kind Kind, at, declared, observed string, n observe.Count, message string, args ...any) {
	e := k.e
	d := Drift{Kind: kind, Severity: kind.Severity(), Service: k.svc.Service, Method: e.Method, Template: e.Template, Endpoint: e.ID, At: at, Declared: declared,
		Observed: observed, Calls: n.Calls, First: n.First, Last: n.Last, Callers: e.Callers, Message: fmt.Sprintf(message, args...)}
	if k.m != nil {
		d.Document, d.Template = k.m.Doc.ID, k.m.Template()
	} else if k.set.Len() > 0 {
		d.Document = k.set.docs[0].ID
	}
	d.Callers = slices.Clone(d.Callers[:min(len(d.Callers), k.cfg.Callers)])
	if d.Callers == nil {
		d.Callers = []observe.Caller{}
	}
	d.ID = id(d.Service, string(kind), d.Method, d.Template, e.Operation, at, observed)
	k.out.Drift = append(k.out.Drift, d)
}

func (k *comparison) endpoint(e *observe.Endpoint) State {
	if k.set.Len() == 0 {
		return StateUndeclared
	}
	all := observe.Count{Calls: e.Calls, First: e.First, Last: e.Last}
	k.e, k.m = e, k.set.Find(e.Method, e.Template, e.Operation)
	if k.m == nil {
		if !e.Served || e.Probe { // what machines ask to watch a service is no API that somebody forgot to declare
			return StateUndeclared
		}
		if methods := k.set.Methods(e.Template); len(methods) > 0 && e.Operation == "" {
			k.row(UndocumentedMethod, "", strings.Join(methods, ", "), e.Method, all, "%s is answered, declared are %s", e.Method, strings.Join(methods, ", "))
		} else {
			k.row(Shadow, "", "", cmp.Or(e.Operation, e.Method+" "+e.Template), all, "served, and declared by none of %s", k.set.names())
		}
		return StateShadow
	}
	u := k.used[k.m.Op]
	if u.first == 0 || e.First != 0 && e.First < u.first {
		u.first = e.First
	}
	u.endpoints = append(u.endpoints, e.ID)
	u.calls, u.last = u.calls+e.Calls, max(u.last, e.Last)
	k.used[k.m.Op] = u
	state := StateDeclared
	if why := k.zombie(); why != "" {
		k.row(Zombie, "", why, count(int(e.Calls), "call"), all, "%s, and still called by %s", why, callers(e))
		state = StateZombie
	}
	if e.Served && !k.m.Op.Opaque && e.Method == k.m.Op.Method {
		k.contract()
	}
	return state
}

// zombie says why the operation should no longer be called, "" where it may.
func (k *comparison) zombie() string {
	op := k.m.Op
	if newer := k.set.newer[k.m.Doc]; newer != nil {
		return fmt.Sprintf("declared by version %s alone, superseded by %s", k.m.Doc.Version, newer.Version)
	}
	if t, err := time.Parse(time.DateOnly, op.Sunset); err == nil && event.TimeOf(t) < k.svc.Last {
		return "sunset on " + op.Sunset
	}
	if op.Deprecated {
		return "deprecated"
	}
	return ""
}

// orphans finds the operations of current documents that nobody calls.
func (k *comparison) orphans() {
	if k.set.Len() == 0 {
		return
	}
	alternatives := map[string]bool{} // ids that were called in another way
	for op := range k.used {
		alternatives[op.ID] = true
	}
	seen := map[*Operation]bool{}
	for _, d := range k.set.docs {
		if k.set.newer[d] != nil {
			continue
		}
		for i := range d.Ops {
			op := &d.Ops[i]
			u, called := k.used[op]
			idle := called && k.svc.Last.Sub(u.last) > k.cfg.Idle
			if seen[op] || op.Deprecated || op.Optional || called && !idle || !called && op.ID != "" && d.Format == Protobuf && alternatives[op.ID] {
				continue
			}
			seen[op] = true
			m := k.set.match(d, op)
			k.out.Orphans = append(k.out.Orphans, m)
			k.e = &observe.Endpoint{Method: op.Method, Template: m.Template(), Operation: op.Selector}
			k.m = &m
			if called {
				for _, id := range u.endpoints {
					k.out.States[id] = StateOrphan
				}
				k.row(Orphan, "", cmp.Or(op.ID, op.Method+" "+m.Template()), "last called "+u.last.String(), observe.Count{Calls: u.calls, First: u.first, Last: u.last},
					"not called since %s, %d calls before", u.last, u.calls)
				continue
			}
			k.row(Orphan, "", cmp.Or(op.ID, op.Method+" "+m.Template()), "no calls", observe.Count{}, "never called since %s, when the service was first seen", k.svc.First)
		}
	}
	slices.SortFunc(k.out.Orphans, func(a, b Match) int {
		return cmp.Or(cmp.Compare(a.Template(), b.Template()), cmp.Compare(a.Op.Method, b.Op.Method))
	})
}

// match gives the Match of an operation under the first of its prefixes.
func (s *Set) match(d *Document, op *Operation) Match {
	m := Match{Doc: d, Op: op}
	if !s.bare {
		m.Base = op.bases(d)[0]
	}
	return m
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func callers(e *observe.Endpoint) string {
	if len(e.Callers) == 0 {
		return "unknown callers"
	}
	names := make([]string, 0, 3)
	for _, c := range e.Callers[:min(len(e.Callers), 3)] {
		names = append(names, c.Name)
	}
	s := strings.Join(names, ", ")
	if more := len(e.Callers) - len(names); more > 0 {
		s += " and " + count(more, "other")
	}
	return s
}
