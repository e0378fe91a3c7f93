package detect

import (
	"fmt"
	"math"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// function sees a caller from outside that uses an operation which only other groups of callers use: broken function level
// authorisation. A group is callers with the same kind of credential from the same issuer at a service. What a whole group
// begins to use is a new feature.
type function struct{}

type functionState struct {
	K, Wrote    float64
	First, Last event.Time
}

func (function) observe(e *Engine, s *sight) {
	ep := s.ep
	if ep == nil || !s.external {
		return
	}
	var use *groupUse
	least := 0
	for i := range ep.Groups {
		if ep.Groups[i].Group == s.groupKey {
			use = &ep.Groups[i]
			break
		}
		if ep.Groups[i].N < ep.Groups[least].N {
			least = i
		}
	}
	ok := s.c.Status >= 200 && s.c.Status < 400
	if use != nil && use.First == 0 { // known
		use.N += s.n
		return
	}
	judge := s.cred != nil && int64(s.t-ep.First) > 2*day && ep.N >= 8 && ep.WithAuth > 0.8*ep.N &&
		(s.group.Members >= 20 || int64(s.t-s.p.First) > 2*day) && e.warm(s.group.First)
	if !judge {
		if s.cred == nil || s.denied || !ok {
			return // a stranger's attempt opens no door for others
		}
		if use == nil {
			use = &ep.Groups[least]
		}
		*use = groupUse{Group: s.groupKey, N: s.n}
		return
	}
	// the first callers of a group are under suspicion until three principals use it: First names the first, OK counts others
	if use == nil {
		if ep.Groups[least].N > 3 {
			return
		}
		use = &ep.Groups[least]
		*use = groupUse{Group: s.groupKey, N: s.n, First: s.t, OK: 1, By: s.who}
	} else if use.By != s.who {
		use.By = s.who
		use.OK++
		if use.OK >= 4 {
			use.First = 0
			return
		}
	}
	st := &s.p.Func
	if int64(s.t-st.Last) > day {
		*st = functionState{First: s.t}
	}
	st.Last = s.t
	st.K += s.n
	if ok && !safe(s.c.Method) {
		st.Wrote += s.n
	}
	// one successful call is enough where thousands of calls of a large group never did it
	never := ok && s.group.Members >= 50 && s.group.Calls >= 2000 && ep.N >= 50
	if st.K < 2 && st.Wrote == 0 && !never {
		return
	}
	e.raise(s, evidence{
		kind: "bfla", score: 8 + 4*st.K + 4*st.Wrote, first: st.First, parameter: "operations of another group of callers",
		expected: "none: in " + fmt.Sprintf("%.0f calls this operation was used by another kind of caller only", ep.N),
		observed: fmt.Sprintf("%.0f calls, %.0f of them changed something", st.K, st.Wrote), baseline: uint64(ep.N),
	})
}

// novelty sees workloads that do what their program never did: call another service (lateral movement), a host outside
// (egress), an operation that changes things (BFLA) or a tool (LLM misuse). New pods, a new endpoint of its own or a new one of the
// callee explain that; so does that all pods begin to do it, for which it waits a little.
type novelty struct{}

// edge is a workload on a service.
type edge struct {
	First event.Time
	N     float64
}

// pending is something new that waits to be explained or told.
type pending struct {
	Kind                         string
	Workload, Service, Endpoint  uint64
	First                        event.Time
	N                            float64
	Pods                         few
	Live                         float64
	Process                      bool // by a program that this workload does not run otherwise
	Call                         string
	Caller, Credential           string
	ServiceName, Method          string
	Template, Operation, Address string
	Why                          string // ordinary change that explains it, if it stays alone
	New                          bool   // that change is new pods
	Told                         bool
}

const maxPending = 1024

func (novelty) observe(e *Engine, s *sight) {
	w := s.w
	if w == nil {
		return
	}
	strange := w.Process != "" && s.c.Client.Process != "" && s.c.Client.Process != w.Process
	if w.Process == "" && s.c.Client.Process != "" {
		w.Process = strings.Clone(s.c.Client.Process)
	}
	if s.ep == nil {
		return
	}
	ed, fresh := e.edges.put(e.ref('x', w.Name, s.c.Service))
	if fresh {
		ed.First = s.t
	}
	ed.N += s.n
	for i := range e.pending {
		if p := &e.pending[i]; p.Workload == s.wKey && p.Service == s.svcKey && (p.Endpoint == 0 || p.Endpoint == s.epKey) {
			if p.Told {
				e.raise(s, evidence{kind: p.Kind, more: true})
				continue
			}
			p.N += s.n
			p.Pods.add(hash(s.c.Client.Address))
			p.Process = p.Process || strange
		}
	}
	kind := ""
	endpoint := uint64(0)
	switch {
	case fresh && s.outside:
		kind = "egress"
		w.Outside++
		if int64(s.t-w.First) > day {
			w.Later++
		}
	case fresh:
		kind = "lateral_movement"
		switch s.c.Method {
		case "PUT", "DELETE", "PATCH":
			kind = "bfla"
		}
	case s.freshPair && tool(s.ep.Operation):
		kind, endpoint = "llm_abuse", s.epKey
	case s.freshPair && !s.freshEndpoint && s.ep.WithAuth > 0.8*s.ep.N && !safe(s.c.Method) && !s.outside && e.warm(s.ep.First):
		kind, endpoint = "bfla", s.epKey
	}
	if kind == "bfla" && reads(s.ep.Operation) {
		return
	}
	if kind == "" || s.relay || !e.warm(w.First) || len(e.pending) >= maxPending {
		return
	}
	why := ""
	fresher := w.deployed(s.c.Client.Address, s.t)
	switch {
	case fresher:
		why = "its pods are new, so its program probably is"
	case w.NewEP > 0 && int64(s.t-w.NewEP) < 6*hour && int64(w.NewEP-w.First) > hour:
		why = "it has a new endpoint of its own"
	case kind == "egress" && w.Later >= 2 && w.Outside >= 8:
		why = "it meets new hosts all the time"
	case kind != "egress" && kind != "llm_abuse" && (s.freshEndpoint || int64(s.t-s.ep.First) < day) && (s.sw == nil || int64(s.t-s.svc.First) < day || int64(s.t-s.sw.Newest) < day):
		why = "what it calls is new, too"
	}
	p := pending{
		Why:  why,
		Kind: kind, Workload: s.wKey, Service: s.svcKey, Endpoint: endpoint, First: s.t, N: s.n, Live: float64(w.livePods(s.t)), Process: strange,
		Call: strings.Clone(s.c.ID), Caller: w.Name, Credential: strings.Clone(s.credName), ServiceName: s.svc.Name, Method: s.ep.Method, Template: s.ep.Template,
		Operation: s.ep.Operation, Address: strings.Clone(s.c.Client.Address),
	}
	p.Pods.add(hash(s.c.Client.Address))
	e.pending = append(e.pending, p)
	e.decide()
}

// reads says whether a gRPC or GraphQL operation, whose method is always POST, reads by the standard method names of
// https://google.aip.dev/130 and the like.
func reads(op string) bool {
	if i := strings.LastIndexAny(op, "/."); i >= 0 {
		op = op[i+1:]
	}
	for _, verb := range [...]string{"Get", "BatchGet", "List", "Search", "Find", "Read", "Query", "Check", "Watch", "Count", "Describe", "Lookup"} {
		if strings.HasPrefix(op, verb) {
			return true
		}
	}
	return false
}

// tool says whether an operation calls a tool of the Model Context Protocol.
func tool(op string) bool { return strings.HasPrefix(op, "tools/call") }

// decide tells or drops what waits.
func (e *Engine) decide() {
	keep := e.pending[:0]
	for i := range e.pending {
		p := e.pending[i]
		age := int64(e.now - p.First)
		w := e.workloads.peek(p.Workload)
		if w == nil || age > 12*hour {
			continue
		}
		if p.Told {
			keep = append(keep, p)
			continue
		}
		// A feature that is switched on without a deploy mostly adds calls between services, seldom tools, hosts or changes: there, that it
		// was one and the same pod may be by luck once in a hundred times, else once in eight.
		chance, patience := 100.0, 40*minute
		if p.Kind != "lateral_movement" {
			chance, patience = 7, 15*minute
		}
		at := map[uint64]bool{}
		for j := range e.pending {
			if o := &e.pending[j]; o.Workload == p.Workload && int64(p.First-o.First) < hour && int64(o.First-p.First) < hour {
				at[o.Service] = true
			}
		}
		switch {
		case p.Why != "":
			if len(at) < 3 || p.New && !p.Process {
				if age > hour {
					e.informOf(&p, p.Why)
					continue
				}
				break
			}
			p.Told = true
			e.tellNew(&p, w, len(at))
		case len(at) < 2 && p.Pods.count() > 1.5 && !p.Process:
			e.informOf(&p, "all pods began to do it: a feature was switched on")
			continue
		case w.Trouble > 0 && int64(p.First-w.Trouble) < 10*second && int64(w.Trouble-p.First) < 10*second:
			e.counts.Suppressed++
			continue
		case len(at) >= 2, p.Process, p.Live <= 1, math.Pow(p.Live, p.N-1) > chance, age > 15*minute && p.N == 1, age > patience:
			p.Told = true
			e.tellNew(&p, w, len(at))
		}
		keep = append(keep, p)
	}
	clear(e.pending[len(keep):])
	e.pending = keep
}
