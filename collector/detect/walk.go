package detect

import (
	"fmt"
	"math"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// walk sees one principal over many distinct objects: more than its peers on the same endpoint and more than its own
// habit, or with many of them refused. On an endpoint that needs a credential that is enumeration (BOLA), on an open one
// scraping.
type walk struct{}

type walkState struct {
	Hour   int64
	IDs    few
	Extra  float64 // distinct values that only a Tally's estimate tells of
	Calls  float64
	Denied float64 // 403, 404
	Most   float64 // habit: most distinct in an hour, forgotten slowly
	Hours  float64 // hours with calls
	At     int64   // hour of the last forgetting
	Listed uint8   // bucket of the endpoint's Peers that this hour stands in, plus 1
}

// idSource says which parameters name objects.
type idSource struct {
	Path bool // those of the path; as long as none was seen, numbers and UUIDs of the query
}

func (walk) observe(e *Engine, s *sight) {
	if s.ep == nil || s.relay {
		return
	}
	ep := s.ep
	id, found := uint64(14695981039346656037), false
	for i := range s.c.Params {
		p := &s.c.Params[i]
		if p.In == event.InPath || p.In == event.InQuery && !ep.IDs.Path && p.Kind != event.KindString {
			id, found = (id^hash(p.Hash))*1099511628211, true
			ep.IDs.Path = ep.IDs.Path || p.In == event.InPath
		}
	}
	extra := 0.0
	if s.c.Sums != nil {
		for i := range s.c.Sums.Distinct {
			d := &s.c.Sums.Distinct[i]
			if d.In == event.InPath || d.In == event.InQuery && !ep.IDs.Path {
				extra, found = max(extra, float64(d.Values.Count())), true
			}
		}
	}
	if !found {
		return
	}
	st := &s.pr.Walk
	suspect := e.suspected(s.p)
	at := int64(s.t) / hour
	if at > st.Hour {
		st.close(at, suspect)
	}
	if extra > 0 {
		st.Extra += extra
	} else {
		st.IDs.add(id)
	}
	st.Calls += s.n
	refused := s.c.Status == 403 || s.c.Status == 404
	if refused {
		st.Denied += s.n
	}
	if !suspect {
		ep.Fails.Share.add(s.n, refused)
	}
	d := st.IDs.count() + st.Extra
	st.list(ep, d, suspect || st.Most >= 40)
	if d < 6 || !e.warm(e.start) || !e.warm(ep.First) || s.w != nil && s.w.driven() {
		return
	}
	score, expected, baseline := 0.0, "", 0.0
	established := s.pairAge > 2*day && st.Hours >= 6
	over, all := ep.Peers.over(d / 2)
	switch {
	case established:
		if f := e.shared.factor(hour); d > (2.5*st.Most+8)*f {
			score = 6 + d/(st.Most+1)
			expected, baseline = fmt.Sprintf("at most %.0f, as in %.0f hours before", st.Most, st.Hours), st.Hours
		}
	case s.p.Machine || s.p.Workload:
		return
	}
	shared := e.shared.factor(hour)
	if (!established || st.Most < 12) && !s.p.Machine && !s.p.Workload && all >= 60 && d >= 10 && d > shared*min(2.2*ep.Peers.quantile(0.999)+4, 4*ep.Peers.quantile(0.99)+6) && d > 2*st.Most+4 {
		x := max(6, math.Log((all+1)/(over+1)))
		if x > score {
			score, baseline = x+d/10, all
			expected = fmt.Sprintf("at most %.0f, as in 99 of 100 hours of its peers", ep.Peers.quantile(0.99))
		}
	}
	if st.Denied >= 5 && !s.p.Machine {
		p := ep.Fails.Share.at(0.02, 100)
		if x := binomialTail(st.Denied, st.Calls, min(3*p, 0.5)); x > 10 && x > score {
			score, expected, baseline = x, fmt.Sprintf("%.1f %% refused or not there", 100*p), ep.Fails.Share.All
		}
	}
	if score < 6 {
		return
	}
	kind := "enumeration"
	if ep.WithAuth < 0.7*ep.N {
		kind = "scraping"
	}
	e.raise(s, evidence{
		kind: kind, score: score, first: s.t - event.Time(int64(s.t)%hour), parameter: "distinct objects in an hour", expected: expected,
		observed: fmt.Sprintf("%.0f in %.0f calls, %.0f of them refused or not there", d, st.Calls, st.Denied), baseline: uint64(baseline),
	})
}

// close ends an hour: what was seen becomes habit, unless an incident explains it.
func (st *walkState) close(at int64, suspect bool) {
	if d := st.IDs.count() + st.Extra; d > 0 && !suspect {
		if st.At > 0 {
			st.Most *= decay(at-st.At, hour)
		}
		st.At = at
		if st.Hours >= 12 {
			d = min(d, 2*st.Most+4) // habits change slowly
		}
		st.Most = max(st.Most, d)
		st.Hours++
	}
	st.Hour, st.IDs, st.Extra, st.Calls, st.Denied, st.Listed = at, few{}, 0, 0, 0, 0
}

// list keeps the endpoint's histogram of its callers' hours current: most callers never come back to close theirs. Who is suspected or known
// to read a lot is not listed.
func (st *walkState) list(ep *endpoint, d float64, not bool) {
	at := uint8(tailBucket(d) + 1)
	if not {
		at = 0
	}
	if at == st.Listed {
		return
	}
	if st.Listed > 0 && ep.Peers[st.Listed-1] > 0 {
		ep.Peers[st.Listed-1]--
	}
	if at > 0 {
		ep.Peers[at-1]++
	}
	st.Listed = at
}

func (h *tail) quantile(q float64) float64 {
	all := 0.0
	for _, n := range h {
		all += float64(n)
	}
	rest := all * (1 - q)
	for i := len(h) - 1; i > 0; i-- {
		rest -= float64(h[i])
		if rest < 0 {
			return math.Exp2(float64(i) / 4)
		}
	}
	return 1
}
