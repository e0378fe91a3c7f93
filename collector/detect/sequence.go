package detect

import (
	"fmt"
	"math"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// sequence sees a step of a flow that is taken again and again without any of the steps that come before it for everybody
// else. It learns which operations people call in the hour before one that changes something.
type sequence struct{}

// trail is the last distinct operations of a principal.
type trail struct {
	Steps [12]step
	Break step // where a flow was last broken
	K     float64
	First event.Time
	Score float64
}

type step struct {
	Endpoint uint64
	At       event.Time
}

// before is an operation that comes before an endpoint, and how often.
type before struct {
	Endpoint uint64
	N        float64
}

func (sequence) observe(e *Engine, s *sight) {
	if s.ep == nil || !s.external || s.cred == nil || s.p.Machine {
		return
	}
	ep, tr := s.ep, &s.p.Trail
	if !safe(s.c.Method) && (s.c.Status < 400 || s.c.Status == 402 || s.c.Status == 409) {
		usual, any := false, false
		suspect := e.suspected(s.p)
		for i := range tr.Steps {
			st := &tr.Steps[i]
			if st.Endpoint == 0 || st.Endpoint == s.epKey || int64(s.t-st.At) > hour {
				continue
			}
			any = true
			if n := ep.preceded(st.Endpoint, !suspect); n >= 0.02*ep.Missing.All {
				usual = true
			}
		}
		missing := !any || !usual && ep.Missing.All > 30
		p := ep.Missing.at(0.02, 20)
		if missing && ep.Missing.All >= 30 && p < 0.06 && e.warm(ep.First) {
			if tr.Break.Endpoint != s.epKey || int64(s.t-tr.Break.At) > 12*hour {
				tr.K, tr.First, tr.Score = 0, s.t, 0
			}
			tr.Break = step{s.epKey, s.t}
			tr.K++
			tr.Score -= math.Log(p)
			if tr.K >= 3 && tr.Score > 10 {
				e.raise(s, evidence{
					kind: "sequence_break", score: tr.Score, first: tr.First, parameter: "steps taken in the hour before",
					expected: fmt.Sprintf("one of the usual steps, as before %.1f %% of such calls", 100*(1-p)), observed: fmt.Sprintf("%.0f times none of them", tr.K), baseline: uint64(ep.Missing.All),
				})
			}
		}
		if !suspect && tr.K < 2 {
			ep.Missing.add(1, missing)
		}
	}
	oldest := 0
	for i := range tr.Steps {
		if tr.Steps[i].Endpoint == s.epKey {
			tr.Steps[i].At = s.t
			return
		}
		if tr.Steps[i].At < tr.Steps[oldest].At {
			oldest = i
		}
	}
	tr.Steps[oldest] = step{s.epKey, s.t}
}

// preceded returns how often other came before ep, and counts it.
func (ep *endpoint) preceded(other uint64, learn bool) float64 {
	least := 0
	for i := range ep.Before {
		b := &ep.Before[i]
		if b.Endpoint == other {
			n := b.N
			if learn {
				b.N++
			}
			return n
		}
		if b.N < ep.Before[least].N {
			least = i
		}
	}
	if learn {
		b := &ep.Before[least]
		if b.N > 0 {
			b.N-- // a newcomer wears the least down before it takes the place
		}
		if b.N < 1 {
			*b = before{other, 1}
		}
	}
	return 0
}
