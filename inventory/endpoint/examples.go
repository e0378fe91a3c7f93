package endpoint

import "github.com/gnomon-sensor/gnomon/inventory/event"

// Sample is one request whose template is known, to fit the judge with.
type Sample struct {
	Method string
	Segs   []event.Segment
	Status int
	Params []bool // of each segment: whether it is a parameter
}

// Examples calls emit for each word that is to be judged in the traffic of one service: x is what the trees of the pass
// see (borrowed), param the truth, calls how many calls the judgement concerns. What lies before a word is judged as it
// truly is; for the second pass the answers of the first are those of the shipped model.
func Examples(samples []Sample, second bool, emit func(x []float32, param bool, calls uint64)) {
	l := New(Config{})
	votes := map[uint32]int64{}
	for i := range samples {
		s := &samples[i]
		if s.Status == 404 {
			continue
		}
		l.Observe(s.Method, s.Segs, s.Status, 1)
	}
	for i := range samples {
		s := &samples[i]
		if s.Status == 404 {
			continue
		}
		at := uint32(0)
		for k := range s.Segs {
			c := l.find(at, trieToken(&s.Segs[k]))
			if c == 0 {
				break
			}
			if k < len(s.Params) && s.Params[k] {
				votes[c]++
			} else {
				votes[c]--
			}
			at = c
		}
	}
	j := newJudge(l)
	truth := func(g *group) bool {
		var n int64
		for _, i := range g.nodes {
			n += votes[i]
		}
		return n > 0
	}
	m := &shipped.first
	if second {
		j.first(m)
		j.second = true
		m = &shipped.second
	}
	j.oracle = truth
	j.answer = func(g *group, x []float32) { emit(x, truth(g), g.calls) }
	j.start(m)
}

// NumFeatures returns how many features a pass has.
func NumFeatures(second bool) int {
	if second {
		return numSecond
	}
	return numFirst
}
