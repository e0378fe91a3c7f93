package detect

import (
	"fmt"
	"math"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// size sees answers many times as large as ever for a caller (exfiltration), and requests or answers of language models
// many times as long as anyone's (LLM misuse). Sizes are log-normal enough that the logarithm's deviation adds up over
// calls (CUSUM). What grows for all callers at once is a new version.
type size struct{}

type sizeState struct {
	Own         normal // ln(1+response bytes)
	Up, UpSent  float64
	K, KSent    float64
	Last        event.Time
	First       event.Time
	Most, Count float64
}

func (size) observe(e *Engine, s *sight) {
	c := s.c
	if s.ep == nil || c.Status < 200 || c.Status >= 300 || c.Lost != nil {
		return
	}
	ep, st := s.ep, &s.pr.Size
	e.markModel(s)
	if s.relay {
		return
	}
	x := math.Log1p(float64(c.ResponseBytes) / s.n)
	y := math.Log1p(float64(c.RequestBytes) / s.n)
	suspect := e.suspected(s.p)
	judge := e.warm(ep.First) && ep.Response.N >= 40 && !(s.p.Workload && s.w.Served > 0 && s.w.Relayed > 0)
	odd := false
	if judge {
		if int64(s.t-st.Last) > 6*hour {
			st.Up, st.UpSent, st.K, st.KSent, st.First = 0, 0, 0, 0, 0
		}
		mean, sd, slack := ep.Response.Mean, max(ep.Response.sd(), 0.25), 3.0
		if st.Own.N >= 10 && s.pairAge > day {
			mean, slack = st.Own.Mean, 1.5
			sd = max(0.25, min(sd, 1.3*st.Own.sd()))
		}
		odd = e.sum(s, "exfiltration", x, mean, sd, slack, ep, &st.Up, &st.K)
		if ep.leadsToModel() && y > 4 {
			odd = e.sum(s, "llm_abuse", y, ep.Request.Mean, max(ep.Request.sd(), 0.25), 2, ep, &st.UpSent, &st.KSent) || odd
		}
		st.Last = s.t
	}
	ep.Recent += 0.1 * (x - ep.Recent)
	if odd || suspect {
		return
	}
	ep.Response.add(x)
	ep.Request.add(y)
	st.Own.add(x)
}

// sum adds the deviation of x to up and raises evidence when it passes 7. It says whether x is odd in itself, so that it is not learned.
func (e *Engine) sum(s *sight, kind string, x, mean, sd, slack float64, ep *endpoint, up, k *float64) bool {
	z := (x - mean) / sd
	st := &s.pr.Size
	if z > slack && x-mean > math.Ln2*1.6 {
		*up += min(z-slack, 5) * min(s.n, 3)
		*k += s.n
		if st.First == 0 {
			st.First = s.t
		}
		st.Most = max(st.Most, math.Expm1(x))
	} else if *up > 0 {
		*up = max(0, *up+min(z-slack, 0))
		if *up == 0 {
			*k = 0
			st.First = 0
		}
	}
	*up = min(*up, 20)
	if *up > 7 && *k >= 2 && z > slack {
		if ep.leadsToModel() {
			kind = "llm_abuse"
		}
		direction := "bytes of the answer"
		if k == &st.KSent {
			direction = "bytes of the request"
		}
		e.raise(s, evidence{
			kind: kind, score: *up + 4, first: st.First, parameter: direction,
			expected: fmt.Sprintf("about %.0f, seldom over %.0f", math.Expm1(mean), math.Expm1(mean+2*sd)),
			observed: fmt.Sprintf("up to %.0f in %.0f calls", st.Most, *k), baseline: uint64(ep.Response.N),
		})
	}
	return z > 4
}
