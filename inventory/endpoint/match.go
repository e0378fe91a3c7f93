package endpoint

import (
	"strconv"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Template is what the paths of an endpoint have in common. Immutable.
type Template struct {
	Text       string  // "/orders/{orderId}"
	Params     []Param // in the order of the text
	Confidence float64 // 0 to 1: the least of what its segments were judged with
}

// Param is one parameter of a Template.
type Param struct {
	Name    string
	Segment int    // which segment it stands in
	Part    int    // which of its pieces, -1: it is the whole segment
	Kinds   uint32 // bit k: values of event.Kind k were seen
}

// Kind returns the kind of the parameter's values: KindString when they differ or are words.
func (p Param) Kind() event.Kind {
	for k := range event.NumKinds {
		if p.Kinds == 1<<k && event.Kind(k) != event.KindWord {
			return event.Kind(k)
		}
	}
	return event.KindString
}

// Matcher maps paths to templates. It is an immutable snapshot of what a Learner knew, safe for concurrent use.
type Matcher struct {
	nodes   []mnode
	index   map[key]int32     // every child that was seen, of literals and of parameters
	slots   map[int32][]mslot // of the few nodes that have any
	unknown []uint64
}

type mnode struct {
	tmpl  Template
	name  string // text of the last literal
	plain uint16 // parameters since
	depth uint16
	free  int32 // child for any other value, 0: none
}

type mslot struct {
	pieces pieceSet
	child  int32
}

// Matcher judges what was observed and returns the templates. It takes time linear in the number of nodes, some 20 µs
// each.
func (l *Learner) Matcher() *Matcher {
	j := newJudge(l)
	m := &Matcher{nodes: []mnode{{tmpl: Template{Text: "", Confidence: 1}}}, index: map[key]int32{}, slots: map[int32][]mslot{}}
	j.first(&shipped.first)
	j.out, j.second = m, true
	j.start(&shipped.second)
	m.nodes[0].tmpl.Text = "/"
	m.nodes = append(make([]mnode, 0, len(m.nodes)), m.nodes...) // it stays as it is for long: without room to grow
	return m
}

// Unknown returns the tokens of the literals whose text did not leave its node: what to ask the agents to reveal.
func (m *Matcher) Unknown() []uint64 { return m.unknown }

// Len returns how many places the templates have.
func (m *Matcher) Len() int { return len(m.nodes) }

// literal adds the child of at that g is.
func (m *Matcher) literal(at *place, g *group) int32 {
	i := int32(len(m.nodes))
	up := &m.nodes[at.out]
	n := mnode{name: g.text, depth: up.depth + 1}
	n.tmpl = Template{Params: up.tmpl.Params, Confidence: min(up.tmpl.Confidence, 1-float64(g.p))}
	text := escape(g.text)
	if g.kind == event.KindEmpty {
		n.name, n.plain = up.name, up.plain
	} else if text == "" {
		text = "~" + strconv.FormatUint(g.token, 16)
		m.unknown = append(m.unknown, g.token)
	}
	n.tmpl.Text = up.tmpl.Text + "/" + text
	m.nodes = append(m.nodes, n)
	m.index[key{uint32(at.out), g.token}] = i
	return i
}

// slot adds the child of at for the values of s.
func (m *Matcher) slot(at *place, s *slot) int32 {
	i := int32(len(m.nodes))
	up := &m.nodes[at.out]
	n := mnode{name: up.name, plain: up.plain + 1, depth: up.depth + 1}
	n.tmpl = Template{Text: up.tmpl.Text + "/", Params: up.tmpl.Params[:len(up.tmpl.Params):len(up.tmpl.Params)], Confidence: up.tmpl.Confidence}
	kinds, doubt, calls := uint32(0), 0.0, 0.0
	for _, g := range s.groups {
		kinds |= 1 << g.kind
		doubt += (1 - float64(g.p)) * float64(g.calls)
		calls += float64(g.calls)
		m.index[key{uint32(at.out), g.token}] = i
	}
	n.tmpl.Confidence = min(n.tmpl.Confidence, 1-doubt/max(calls, 1))
	if s.pieces == nil {
		p := Param{Name: n.tmpl.param(up, kinds), Segment: int(up.depth), Part: -1, Kinds: kinds}
		n.tmpl.Params = append(n.tmpl.Params, p)
		n.tmpl.Text += "{" + p.Name + "}"
		up.free = i
	} else {
		for k, q := range s.pieces {
			n.tmpl.Text += escape(q.sep)
			switch {
			case q.literal && q.text == "":
				n.tmpl.Text += "~" + strconv.FormatUint(q.token, 16)
				m.unknown = append(m.unknown, q.token)
			case q.literal:
				n.tmpl.Text += escape(q.text)
			case q.kinds != 1<<event.KindEmpty:
				p := Param{Name: n.tmpl.param(up, q.kinds), Segment: int(up.depth), Part: k, Kinds: q.kinds}
				n.tmpl.Params = append(n.tmpl.Params, p)
				n.tmpl.Text += "{" + p.Name + "}"
			}
		}
		m.slots[at.out] = append(m.slots[at.out], mslot{s.pieces, i})
	}
	m.nodes = append(m.nodes, n)
	return i
}

// Match returns the template of the path segs. It is nil when the path leads where nothing was observed: Typed gives a
// template for it. novel says that the first segment is a word in a parameter's place that was not seen there before: with
// a 404 such a path is a scanner's guess. Further down a 404 more often means that an endpoint did not find its object
// (FGA .9749 against .9698 with every place). Match allocates nothing.
func (m *Matcher) Match(segs []event.Segment) (t *Template, novel bool) {
	at := int32(0)
	for i := range segs {
		s := &segs[i]
		c, ok := m.index[key{uint32(at), trieToken(s)}]
		if !ok {
			for _, x := range m.slots[at] {
				if x.pieces.matches(s) {
					c, ok = x.child, true
					break
				}
			}
			if !ok {
				if c = m.nodes[at].free; c == 0 || s.Kind == event.KindEmpty {
					return nil, false
				}
				novel = novel || i == 0 && Learnable(s.Kind)
			}
		}
		at = c
	}
	return &m.nodes[at].tmpl, novel
}

// Typed returns the template that the kinds of the segments alone give: what is not learned yet.
func Typed(segs []event.Segment) Template {
	t := Template{Confidence: 0.3}
	up := mnode{}
	for i := range segs {
		s := &segs[i]
		t.Text += "/"
		switch {
		case s.Kind == event.KindEmpty:
		case Learnable(s.Kind):
			text := escape(s.Text)
			if text == "" {
				text = "~" + strconv.FormatUint(s.Token, 16)
			}
			t.Text += text
			up.name, up.plain = s.Text, 0
		default:
			p := Param{Name: t.param(&up, 1<<s.Kind), Segment: i, Part: -1, Kinds: 1 << s.Kind}
			t.Params = append(t.Params, p)
			t.Text += "{" + p.Name + "}"
			up.plain++
		}
	}
	if len(segs) == 0 {
		t.Text = "/"
	}
	return t
}

// escape writes what a template cannot hold as it stands (RFC 3986 section 3.3, and braces) as percent escapes.
func escape(s string) string {
	ok := true
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '/' || c == '%' || c == '?' || c == '#' || c == '{' || c == '}' || c == 0x7f {
			ok = false
		}
	}
	if ok {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '/' || c == '%' || c == '?' || c == '#' || c == '{' || c == '}' || c == 0x7f {
			const digits = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Infer returns the text of the template of segs and how sure it is, for a path that was answered with status: that of
// Match, but of Typed when a 404 is all that speaks for a word in a parameter's place at the root.
func (m *Matcher) Infer(segs []event.Segment, status int) (text string, confidence float64) {
	t, novel := m.Match(segs)
	if t == nil || novel && status == 404 {
		typed := Typed(segs)
		return typed.Text, typed.Confidence
	}
	return t.Text, t.Confidence
}
