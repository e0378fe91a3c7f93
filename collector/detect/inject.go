package detect

import (
	"fmt"
	"math"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// inject sees hostile content in calls of real operations, repeated by one principal. The sensor errs now and then, so one
// sign is nothing; each further one counts by how rare its class is among all calls.
type inject struct{}

type injectState struct {
	Calls window // per day
	K     float64
	Score float64
	First event.Time
	Last  event.Time
	Signs [3]string
}

// signRates is how often each class of sign is seen in calls of principals that are not suspected.
type signRates struct {
	Name [24]string
	N    [24]float64
	All  float64
}

func (r *signRates) at(name string) *float64 {
	for i := range r.Name {
		if r.Name[i] == name {
			return &r.N[i]
		}
		if r.Name[i] == "" {
			r.Name[i] = strings.Clone(name)
			return &r.N[i]
		}
	}
	return &r.N[len(r.N)-1]
}

func (inject) observe(e *Engine, s *sight) {
	if s.ep == nil || s.relay || s.w != nil && s.w.driven() { // a server hands on what others sent it
		return
	}
	e.signs.All += s.n
	st := &s.p.Inject
	st.Calls.roll(s.t, day)
	st.Calls.N += s.n
	if len(s.c.Signs) == 0 {
		return
	}
	if int64(s.t-st.First) > day {
		*st = injectState{Calls: st.Calls, First: s.t}
	}
	st.Last = s.t
	st.K += s.n
	calls := st.Calls.N + st.Calls.Prev
	for i, sign := range s.c.Signs {
		n := e.signs.at(sign)
		r := (*n + 0.5) / (e.signs.All + 2000)
		st.Score += max(-1, -math.Log(min(1, r*max(calls, 3))))
		if !e.suspected(s.p) && st.K < 3 {
			*n += s.n
		}
		if i < len(st.Signs) {
			st.Signs[i] = strings.Clone(sign)
		}
	}
	if st.K < 2 || st.Score < 14 {
		return
	}
	e.raise(s, evidence{
		kind: "injection", score: st.Score, first: st.First, parameter: "calls with hostile content",
		expected: fmt.Sprintf("a class that the sensor sees in %.4f %% of calls", 100**e.signs.at(s.c.Signs[0])/max(e.signs.All, 1)),
		observed: fmt.Sprintf("%.0f calls with signs of %s", st.K, strings.Join(s.c.Signs, ", ")), baseline: uint64(e.signs.All),
	})
}
