package inventory

import (
	"strconv"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// learning is a service's way to templates.
type learning struct {
	fresh []*leaf
}

// template is what a leaf's path is an instance of.
type template struct {
	text       string
	params     []string
	positions  []int
	confidence float64
}

// template says what l is an instance of: what came with the Call when it had no path, else what was learned.
func (s *service) template(l *leaf) template {
	if l.segs == nil {
		return template{text: l.fixed}
	}
	return typed(l)
}

// typed is l's path with typed segments as kinds.
func typed(l *leaf) template {
	if l.segs == nil {
		return template{text: l.fixed}
	}
	t := template{}
	for i := range l.segs {
		t.text += "/"
		if sg := &l.segs[i]; literal(sg) && sg.Text != "" {
			t.text += sg.Text
		} else if literal(sg) && sg.Kind != event.KindEmpty {
			t.text += "~" + strconv.FormatUint(sg.Token, 16)
		} else if !literal(sg) {
			t.text += "{" + sg.Kind.String() + "}"
		}
	}
	return t
}

// Relearn makes templates from what was counted since the last time, and regroups the leaves of the services where they changed. What it
// changed is the caller's.
func (c *Catalog) Relearn() []Change {
	c.learning.Lock()
	defer c.learning.Unlock()
	return nil
}
