package detect

import (
	"fmt"
	"math"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// exposure sees a class of sensitive data in answers of an endpoint that never held it. The sensor errs now and then: an
// occurrence must come back, at the same place, and more often than its long absence allows.
type exposure struct{}

type classUse struct {
	Class, At string
	N         float64 // answers with it
	First     event.Time
	Before    float64 // answers without it before the first
	Since     float64 // answers of the endpoint when it was first seen
	Known     bool
	Told      event.Time
}

func (exposure) observe(e *Engine, s *sight) {
	if s.ep == nil || len(s.c.Data.Response) == 0 || s.c.Lost != nil {
		return
	}
	ep := s.ep
	learning := !e.warm(ep.First) || ep.OK < 40
	for i := range s.c.Data.Response {
		d := &s.c.Data.Response[i]
		var use *classUse
		known := false
		victim := &ep.Classes[0]
		for j := range ep.Classes {
			u := &ep.Classes[j]
			if u.Class == d.Class {
				known = known || u.Known
				if u.At == d.At {
					use = u
				}
			}
			if u.N == 0 && victim.N != 0 || !u.Known && victim.N != 0 && (victim.Known || u.First < victim.First) {
				victim = u
			}
		}
		if use == nil {
			*victim = classUse{Class: strings.Clone(d.Class), At: strings.Clone(d.At), First: s.t, Before: ep.OK, Since: ep.OK}
			use = victim
		}
		use.N += s.n
		switch {
		case use.Known:
			continue
		case known: // the class moved to another place
			use.Known = true
			continue
		case learning:
			// a mistake of the sensor must not become normal
			use.Known = use.N >= 3
			continue
		}
		if int64(s.t-use.First) > 2*day && use.Told == 0 {
			*use = classUse{Class: use.Class, At: use.At, First: s.t, Before: ep.OK, Since: ep.OK, N: s.n}
			continue
		}
		since := ep.OK - use.Since + 1
		share := use.N / since
		if use.N < 2 || use.Told == 0 && use.N < 3 && (since > 400 || s.t == use.First) {
			continue
		}
		// chance that so common a class was absent by luck before, and that the sensor made it all up
		absent := -use.Before * math.Log1p(-min(share, 0.95))
		mistakes := poissonTail(use.N, since*1e-5)
		score := min(absent, mistakes)
		if score < 7 {
			continue
		}
		more := use.Told > 0
		use.Told = s.t
		e.raise(s, evidence{
			kind: "data_exposure", score: score, key: e.ref('d', d.Class, d.At), keyName: "class " + d.Class + " at " + d.At, everyone: true, more: more, first: use.First, parameter: "classes of data in answers",
			expected: "no " + d.Class + " in the answers of this operation", observed: fmt.Sprintf("%s at %s in %.0f of %.0f answers", d.Class, d.At, use.N, since), baseline: uint64(use.Before),
		})
	}
}
