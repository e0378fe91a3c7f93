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
	Own         normal  // ln(1+response bytes)
	Up, UpSent  float64 // CUSUM
	K, KSent    float64
	Calls       window  // in 6 h
	Rare        float64 // nats of single answers that are too large among so many
	KRare       float64
	RareAt      event.Time
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
	judge := e.warm(ep.First) && ep.Response.N >= 40 && (s.w == nil || !s.w.driven())
	odd := false
	if judge {
		if int64(s.t-st.Last) > 6*hour {
			st.Up, st.UpSent, st.K, st.KSent, st.First, st.Rare, st.KRare = 0, 0, 0, 0, 0, 0, 0
		}
		mean, sd, slack := ep.Response.Mean, max(ep.Response.sd(), 0.25), 3.0
		if st.Own.N >= 10 && s.pairAge > day {
			mean, slack = st.Own.Mean, 1.5
			sd = max(0.25, min(sd, 1.3*st.Own.sd()))
		}
		odd = e.sum(s, "exfiltration", x, mean, sd, slack, ep, &st.Up, &st.K)
		e.rare(s, x, mean, sd, ep)
		if ep.leadsToModel() && y > 4 {
			odd = e.sum(s, "llm_abuse", y, ep.Request.Mean, max(ep.Request.sd(), 0.25), 2, ep, &st.UpSent, &st.KSent) || odd
		}
		st.Last = s.t
	}
	if odd || suspect {
		return
	}
	ep.Response.add(x)
	ep.Request.add(y)
	st.Own.add(x)
}

// rare adds up answers that are each too large to be met among the calls of six hours: a few among many ordinary ones, which
// the CUSUM would forget. How heavy the tail really is was learned at the endpoint.
func (e *Engine) rare(s *sight, x, mean, sd float64, ep *endpoint) {
	st := &s.pr.Size
	st.Calls.roll(s.t, 6*hour)
	st.Calls.N += s.n
	z := (x - mean) / sd
	large := z > 4 && x-mean > math.Ln2*1.6
	tail := max(math.Exp(-z*z/2), ep.Large.at(0, 100), 1e-5)
	if !e.suspected(s.p) && st.KRare < 2 {
		ep.Large.add(s.n, large)
	}
	if !large {
		return
	}
	nats := -math.Log(tail) - math.Log(max(1, st.Calls.N+st.Calls.Prev))
	if nats <= 1 {
		return
	}
	if st.KRare == 0 || int64(s.t-st.RareAt) > 6*hour {
		st.First, st.Rare, st.KRare = s.t, 0, 0
	}
	st.RareAt = s.t
	st.Rare += nats
	st.KRare++
	st.Most = max(st.Most, math.Expm1(x))
	if st.KRare < 2 || st.Rare < 8 {
		return
	}
	kind := "exfiltration"
	if ep.leadsToModel() {
		kind = "llm_abuse"
	}
	e.raise(s, evidence{
		kind: kind, score: st.Rare, first: st.First, parameter: "bytes of the answer",
		expected: fmt.Sprintf("about %.0f, seldom over %.0f", math.Expm1(mean), math.Expm1(mean+2*sd)),
		observed: fmt.Sprintf("up to %.0f in %.0f calls among %.0f", st.Most, st.KRare, st.Calls.N+st.Calls.Prev), baseline: uint64(ep.Response.N),
	})
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
