package detect

import (
	"fmt"
	"math"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// failures sees a caller most of whose calls are refused as malformed or break the server: fuzzing. It sums the log
// likelihood ratio of "most fail" against "a few fail" over the caller's calls (CUSUM), whatever their pace.
type failures struct{}

type cusum struct {
	Sum         float64
	K, N        float64
	First, Last event.Time
}

func (failures) observe(e *Engine, s *sight) {
	if s.ep == nil || s.relay || s.w != nil && s.w.driven() {
		return
	}
	bad := false
	switch s.c.Status {
	case 400, 422, 500, 501, 413, 414, 415, 431:
		bad = true
	case 0, 401, 403, 404, 405, 429, 502, 503, 504:
		return // each has a detector of its own, or is no fault of the caller
	}
	st := &s.p.Errors
	if !e.suspected(s.p) {
		s.ep.Errors.add(s.n, bad)
	}
	if int64(s.t-st.Last) > 12*hour {
		*st = cusum{}
	}
	st.Last = s.t
	few := 0.08
	most := 0.7
	if s.p.Machine || s.p.Workload {
		few, most = 0.35, 0.8 // machines repeat their mistakes, above all new ones
	}
	few = min(max(few, 3*s.ep.Errors.at(0.02, 50)), 0.5)
	if bad {
		if st.Sum == 0 {
			st.First, st.K, st.N = s.t, 0, 0
		}
		st.Sum += math.Log(most/few) * min(s.n, 3)
		st.K += s.n
	} else {
		st.Sum = max(0, st.Sum+math.Log((1-most)/(1-few))*min(s.n, 3))
	}
	st.N += s.n
	if st.Sum < 12 || st.K < 6 || !bad {
		return
	}
	if share, all := s.svc.Down.share(); share > 0.25 && all > 4*st.K {
		e.counts.Suppressed++
		return // an outage: everybody's calls fail
	}
	e.raise(s, evidence{
		kind: "error_burst", score: st.Sum, first: st.First, parameter: "calls that fail with 400, 422 or 500",
		expected: fmt.Sprintf("about %.1f %%", 100*s.ep.Errors.at(0.02, 50)), observed: fmt.Sprintf("%.0f of %.0f", st.K, st.N), baseline: uint64(s.ep.Errors.All),
	})
}
