package detect

import (
	"fmt"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// scan sees who tries many paths that nothing answers at. Every public address is tried by strangers that leave after a few
// paths; a scanner goes on, or comes back. Inside, even a few such paths are odd.
type scan struct{}

type scanState struct {
	Paths  few
	First  event.Time
	Last   event.Time
	Visits uint16 // runs of attempts, at least 5 minutes apart
	Same   uint16 // attempts in a row at
	Key    uint64 // this one
}

func (scan) observe(e *Engine, s *sight) {
	if s.ep != nil || s.relay {
		return
	}
	switch s.c.Status {
	case 404, 405, 401, 403, 400, 501:
	default:
		return
	}
	st := &s.p.Scan
	if st.First == 0 || int64(s.t-st.Last) > 12*hour {
		*st = scanState{First: s.t}
	}
	if st.Visits == 0 || int64(s.t-st.Last) > 5*minute {
		st.Visits++
	}
	st.Last = s.t
	if st.Key != s.epKey {
		st.Key, st.Same = s.epKey, 0
	}
	st.Same++
	path := s.epKey
	for i := range s.c.Params {
		if s.c.Params[i].In == event.InPath {
			path = path*31 ^ hash(s.c.Params[i].Hash)
		}
	}
	st.Paths.add(path)
	d := st.Paths.count()
	enough := d >= 14 || d >= 5 && st.Visits >= 3
	switch {
	case s.p.Workload:
		enough = d >= 4 && !s.w.driven() || d >= 6
	case !s.p.Anonymous:
		enough = d >= 6
	}
	if !enough {
		return
	}
	e.raise(s, evidence{
		kind: "scanning", score: 8 + d, first: st.First, parameter: "distinct paths without an operation", noTemplate: true,
		expected: "a stranger's one to five paths at most", observed: fmt.Sprintf("%.0f such paths in %d visits", d, st.Visits),
	})
}
