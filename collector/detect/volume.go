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
	driven := s.w != nil && s.w.driven() // what it calls follows what it is asked
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
	for i, length := range volumeWindows {
		n := st.Win[i].sliding(s.t, length)
		if n < 1.4*st.Most[i]+8 {
			continue
		}
		factor := e.shared.factor(length)
		if driven && s.w.InMost > 0 {
			factor = max(factor, s.w.Inbound.sliding(s.t, 10*minute)/s.w.InMost)
		}
		if i == 0 && n < 6*st.Most[i]+12 {
			continue // the first minute of a campaign looks like this; the longer windows will tell
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

// shared is how much busier than ever the whole is: by how many people come, and by the median of the services, so that an
// attack, which is one caller's or one service's, does not excuse itself.
type shared struct {
	Factor float64 // for windows of minutes
	Long   float64 // for windows of an hour
	At     event.Time
	People [2]crowd
}

// crowd counts distinct callers from outside in a window, by linear counting in 512 bytes: within 4 % up to 10,000.
type crowd struct {
	At   int64
	Bits [64]uint64
	N    float64 // bits set
	Prev float64 // callers in the window before
	Most float64
}

// sharedWindows are the windows over which the crowd and the services are measured: the short one sees a campaign begin.
var sharedWindows = [2]int64{2 * minute, 10 * minute}

func (c *crowd) count() float64 { return -4096 * math.Log(1-min(c.N, 4000)/4096) }

func (c *crowd) roll(t event.Time, length, age int64) {
	at := int64(t) / length
	if at <= c.At {
		return
	}
	if c.At > 0 {
		c.Most = slowMost(c.Most, c.count(), at-c.At, length, age)
	}
	c.Prev = 0
	if at == c.At+1 {
		c.Prev = c.count()
	}
	c.At, c.Bits, c.N = at, [64]uint64{}, 0
}

func (x *shared) factor(length int64) float64 {
	if length >= hour {
		return max(1, x.Long)
	}
	return max(1, x.Factor)
}

// seen counts a caller from outside.
func (x *shared) seen(who uint64, t event.Time, age int64) {
	for i, length := range sharedWindows {
		c := &x.People[i]
		c.roll(t, length, age)
		if w, b := who>>6&63, uint64(1)<<(who&63); c.Bits[w]&b == 0 {
			c.Bits[w] |= b
			c.N++
		}
	}
}

func fall(was, now, part float64) float64 {
	if now >= was {
		return now
	}
	return now + (was-now)*math.Exp(-part)
}

func (e *Engine) measureShared() {
	now := 1.0
	for i, length := range sharedWindows {
		c := &e.shared.People[i]
		c.roll(e.now, length, int64(e.now-e.start))
		part := float64(int64(e.now)%length) / float64(length)
		if n := c.count() + c.Prev*(1-part); negativeBinomialTail(n, c.Most+2, 20) > []float64{9, 6}[i] { // more than chance, bursts included
			now = max(now, n/(c.Most+1))
		}
		ratios := e.ratios[:0]
		e.services.each(func(_ uint64, v *service) {
			if v.Most[i] >= 12 && !v.Outside {
				ratios = append(ratios, v.Win[i].sliding(e.now, length)/v.Most[i])
			}
		})
		e.ratios = ratios
		if len(ratios) >= 3 {
			slices.Sort(ratios)
			if m := ratios[len(ratios)/2]; m > 1.25 {
				now = max(now, m)
			}
		}
	}
	// quick up, slowly down: a window of an hour still holds a campaign that is over
	elapsed := float64(e.now - e.shared.At)
	e.shared.Factor = fall(e.shared.Factor, now, elapsed/float64(20*minute))
	e.shared.Long = fall(e.shared.Long, now, elapsed/float64(90*minute))
	e.shared.At = e.now
}
