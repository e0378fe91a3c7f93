package detect

import (
	"fmt"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// schema sees one principal that sends body fields which nobody else sends. A new version of a client brings new fields
// too, but soon from several callers; what a client sends by mistake comes once.
type schema struct{}

type paramUse struct {
	Name  uint64
	By    uint64 // the only principal so far
	Known bool   // seen before the endpoint was warm, or from two principals
	Last  event.Time
}

type schemaState struct {
	Endpoint    uint64
	K           float64 // calls with unknown fields
	Names       few
	First, Last event.Time
	Sample      string
}

func (schema) observe(e *Engine, s *sight) {
	if s.ep == nil || s.relay || s.c.Count > 1 || s.w != nil && s.pairAge < day {
		return // what a workload sends where it never called is judged by that
	}
	ep := s.ep
	learning := !e.warm(ep.First) || ep.N < 40
	unknown := 0
	st := &s.p.Schema
	for i := range s.c.Params {
		p := &s.c.Params[i]
		if p.In != event.InBody {
			continue
		}
		name := hash(p.Name)
		var use *paramUse
		victim := &ep.Params[0]
		for j := range ep.Params {
			u := &ep.Params[j]
			if u.Name == name {
				use = u
				break
			}
			if rank(u) < rank(victim) {
				victim = u
			}
		}
		if use == nil {
			*victim = paramUse{Name: name, By: s.who, Known: learning, Last: s.t}
			use = victim
		}
		use.Last = s.t
		if !use.Known && use.By != s.who {
			use.Known = true
		}
		if use.Known {
			continue
		}
		if learning {
			use.Known = true
			continue
		}
		if unknown == 0 {
			if st.Endpoint != s.epKey || int64(s.t-st.Last) > day {
				*st = schemaState{Endpoint: s.epKey, First: s.t}
			}
			st.K++
			st.Last = s.t
		}
		unknown++
		if st.Names.add(name) && len(st.Sample) < 60 {
			st.Sample = strings.TrimPrefix(st.Sample+", "+p.Name, ", ")
		}
	}
	if unknown == 0 {
		return
	}
	d := st.Names.count()
	enough := st.K >= 2 && d > 1.5 || st.K >= 3
	if s.p.Workload || s.p.Machine {
		enough = st.K >= 3 && d > 2.5
	}
	calls := s.p.Inject.Calls.N + s.p.Inject.Calls.Prev
	if !enough || poissonTail(st.K, 0.001*max(calls, 3)) < 6 || s.w != nil && s.w.deployed(s.c.Client.Address, s.t) {
		return
	}
	e.raise(s, evidence{
		kind: "schema_probe", score: 7 * st.K, first: st.First, parameter: "body fields that no other caller sends",
		expected: "none", observed: fmt.Sprintf("%.0f fields in %.0f calls: %s", d, st.K, st.Sample), baseline: uint64(ep.N),
	})
}

// rank orders what a full table forgets: free places, then what one principal alone sent, oldest first.
func rank(u *paramUse) int64 {
	switch {
	case u.Name == 0:
		return -1 << 62
	case !u.Known:
		return int64(u.Last) - 1<<61
	}
	return int64(u.Last)
}
