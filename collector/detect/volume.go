package detect

import (
	"fmt"
	"math"
	"slices"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// volume sees a machine that calls an endpoint far more often than it ever did: beyond the tail of a negative binomial
// around its mean, and beyond a multiple of the most it ever did in a window of one minute, ten or sixty. What
// all services see at once (a campaign), what a server only hands on, and what is tried again during an outage do not count.
type volume struct{}

var volumeWindows = [3]int64{minute, 10 * minute, hour}

type volumeState struct {
	Win  [3]window
	Most [3]float64 // most in a window, forgotten slowly
	Mean [3]float64 // over windows that had any
	Var  [3]float64
	Used [3]float64 // windows that had any
}

func (volume) observe(e *Engine, s *sight) {
	if s.ep == nil || s.failed || s.relay || !s.p.Workload && !s.p.Machine {
		return
	}
	st := &s.pr.Volume
	suspect := e.suspected(s.p)
	driven := s.w != nil && s.w.Served > 0 // what it calls follows what it is asked
	for i, length := range volumeWindows {
		ended, had := st.Win[i].roll(s.t, length)
		if ended > 0 && had > 0 && !suspect {
			st.Most[i] *= decay(ended, length)
			if st.Used[i] >= 20 && !driven {
				had = min(had, 1.3*st.Most[i]+4) // slow growth becomes normal, a surge does not
			}
			st.Most[i] = max(st.Most[i], had)
			st.Used[i]++
			d := had - st.Mean[i]
			st.Mean[i] += d / min(st.Used[i], 200)
			st.Var[i] += (d*(had-st.Mean[i]) - st.Var[i]) / min(st.Used[i], 200)
		}
		st.Win[i].N += s.n
	}
	if s.pairAge < 3*day || st.Used[2] < 3 {
		return
	}
	factor := 0.0
	for i, length := range volumeWindows {
		n := st.Win[i].sliding(s.t, length)
		if n < 1.4*st.Most[i]+8 {
			continue
		}
		if factor == 0 {
			factor = e.shared.factor()
			if driven && s.w.InMost > 0 {
				factor = max(factor, s.w.Inbound.sliding(s.t, 10*minute)/s.w.InMost)
			}
		}
		// either far beyond anything it did, or impossible for how evenly it calls
		shape := st.shape(i)
		x := negativeBinomialTail(n, max(st.Mean[i], st.Most[i]/2)*factor, shape)
		if far := n > (2.5*st.Most[i]+8)*factor && x > 4; !far {
			x = negativeBinomialTail(n, st.Mean[i]*factor, shape)
			if n < (1.4*st.Most[i]+8)*factor || x < 20 || st.Mean[i] < 5 || st.Used[i] < 40 || st.Used[i] < 0.7*float64(s.pairAge/length) || driven || shape < 8 {
				continue
			}
		}
		e.raise(s, evidence{
			kind: "volume_surge", score: min(10+2*x, 60), first: max(s.pr.First, s.t-event.Time(length)), parameter: "calls in " + span(length),
			expected: fmt.Sprintf("about %.1f, at most %.0f", st.Mean[i], st.Most[i]), observed: fmt.Sprintf("%.0f", n), baseline: uint64(st.Used[i]),
		})
		return
	}
}

// shape is that of the gamma which the pair's rate follows, from the variance of its windows: high for what keeps a beat, 4
// until there are enough windows to tell.
func (st *volumeState) shape(i int) float64 {
	if st.Used[i] < 12 {
		return 4
	}
	if st.Var[i] <= st.Mean[i] {
		return 40
	}
	return min(max(st.Mean[i]*st.Mean[i]/(st.Var[i]-st.Mean[i]), 1.5), 40)
}

// shared is how much busier than ever the services are, all together: the median over services, so that an attack on one
// does not excuse itself.
type shared struct {
	Factor float64
	At     event.Time
}

func (x *shared) factor() float64 { return max(1, x.Factor) }

// sharedWindows are the windows over which services are measured: the short one sees a campaign begin.
var sharedWindows = [2]int64{2 * minute, 10 * minute}

func (e *Engine) measureShared() {
	now := 1.0
	for i, length := range sharedWindows {
		ratios := e.ratios[:0]
		e.services.each(func(_ uint64, v *service) {
			if v.Most[i] >= 12 && !v.Outside {
				ratios = append(ratios, v.Win[i].sliding(e.now, length)/v.Most[i])
			}
		})
		e.ratios = ratios
		if len(ratios) >= 3 {
			slices.Sort(ratios)
			now = max(now, ratios[len(ratios)/2])
		}
	}
	// quick up, slowly down: windows of an hour still hold a campaign that is over
	if now > e.shared.Factor {
		e.shared.Factor = now
	} else {
		elapsed := float64(e.now-e.shared.At) / float64(3*hour)
		e.shared.Factor = now + (e.shared.Factor-now)*math.Exp(-elapsed)
	}
	e.shared.At = e.now
}
