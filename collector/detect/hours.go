package detect

import (
	"fmt"
	"math"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// hours sees people who keep regular hours and are active far outside of them. A person is compared with the own past, and
// the own past with that of the group: somebody who was never seen at night in a group that works around the clock keeps
// office hours; somebody who was seen only twice does not.
type hours struct{}

// dormant sees a credential or workload that was in steady use, fell silent for days, and is used again.
type dormant struct{}

// hourProfile is when a principal is active, in hours of the day in UTC.
type hourProfile struct {
	Count   [24]uint16 // active hours: each counts once, however many calls
	Total   float64
	First   int64 // number of the first active hour since 1970
	Last    int64
	Gap     int64 // longest silence so far, in hours
	Days    uint16
	Day     int64
	Odd     float64 // calls in hours that were found odd
	OddHour int64   // when the oddness began
	Told    int64
	Revived int64
}

// learn counts the hour of t, unless it is odd: what an intruder does must not become habit.
func (p *hourProfile) learn(t event.Time) bool {
	at := int64(t) / hour
	if at <= p.Last {
		return false
	}
	if p.Total == 0 {
		p.First = at
	} else {
		p.Gap = max(p.Gap, at-p.Last)
	}
	p.Last = at
	p.Total++
	p.Count[at%24]++
	if d := at / 24; d != p.Day {
		p.Day = d
		p.Days++
	}
	return true
}

// silence returns how many hours before and after hour h of the day were without any activity, h itself not counted; -1 when h was not.
func (p *hourProfile) silence(h int) (before, after int) {
	if p.Count[h] > 0 {
		return -1, -1
	}
	for before < 23 && p.Count[(h-before-1+24)%24] == 0 {
		before++
	}
	for after < 23 && p.Count[(h+after+1)%24] == 0 {
		after++
	}
	return before, after
}

func (hours) observe(e *Engine, s *sight) {
	if !s.external || s.p.Anonymous || s.p.Machine || s.cred == nil {
		return
	}
	h := &s.p.Hours
	at := int64(s.t) / hour
	odd := false
	if h.Total >= 20 && h.Days >= 4 && e.warm(e.start) {
		hourOfDay := int(at % 24)
		before, after := h.silence(hourOfDay)
		if before+after >= 7 && min(before, after) >= 2 {
			all, here := 0.0, 0.0
			for _, n := range s.group.Hours {
				all += n
			}
			for d := 1 - before; d < after; d++ { // without the edges, which are habit's grey zone
				here += s.group.Hours[(hourOfDay+d+24)%24]
			}
			if all >= 60 {
				share := (here + 0.5) / (all + 1)
				individual := -h.Total * math.Log1p(-min(share, 0.9))
				nobody := here/all < 0.004
				odd = individual > 6 || nobody
				if odd {
					if at-h.OddHour > 3 {
						h.Odd, h.OddHour = 0, at
					}
					h.Odd += s.n
					if h.Odd >= 3 {
						e.raise(s, evidence{
							kind: "off_hours", score: 6 + min(individual, 20) + h.Odd/2, parameter: "hours of activity in UTC",
							expected: fmt.Sprintf("activity in the hours seen on %d days, none within %d hours of this one", h.Days, min(before, after)),
							observed: fmt.Sprintf("%.0f calls around %02d:00", h.Odd, hourOfDay), baseline: uint64(h.Total), more: h.Told == at,
						})
						h.Told = at
					}
				}
			}
		}
	}
	if !odd && h.learn(s.t) {
		s.group.Hours[at%24]++
	}
}

func (dormant) observe(e *Engine, s *sight) {
	if s.relay || s.p.Anonymous {
		return
	}
	h := &s.p.Hours
	at := int64(s.t) / hour
	if s.p.Machine || s.p.Workload {
		defer h.learn(s.t)
	}
	if h.Revived > 0 && at-h.Revived < 12 {
		e.raise(s, evidence{kind: "dormant_credential", more: true})
		return
	}
	gap := at - h.Last
	if h.Total < 10 || gap < 4*24 || gap < 2*h.Gap {
		return
	}
	steady := h.Total / float64(h.Last-h.First+1)
	surprise := steady * float64(gap)
	if !s.p.Machine && !s.p.Workload && surprise < 40 || surprise < 12 {
		return
	}
	h.Revived = at
	e.raise(s, evidence{
		kind: "dormant_credential", score: min(surprise, 40), parameter: "silence of the credential",
		expected: fmt.Sprintf("use at least every %d hours, as in %.0f active hours before", max(h.Gap, 1), h.Total),
		observed: fmt.Sprintf("used again after %d hours", gap), baseline: uint64(h.Total),
	})
}
