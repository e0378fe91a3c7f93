package endpoint

import (
	"math/bits"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// node is one segment under the segments before it. Typed segments have one node per kind (and per pattern, if they are
// mixed): their values say nothing that a count of different ones does not. 88 bytes and one pointer.
type node struct {
	token    uint64 // of the word, or pseudo(kind) or of the pattern
	parent   uint32
	child    uint32 // first child; 0: none
	next     uint32 // next sibling, or next free node
	end      uint32 // index in Learner.ends, 0: no path ends here
	kids     uint32
	kind     event.Kind
	shape    event.Shape
	distinct uint64 // one bit per hashed value of a typed node
	text     string // "" where the word did not leave its node
	parts    []event.Part
}

// end counts the calls of paths that end at a node, by method.
type end [numMethods]uint64

const numMethods = 8

func methodIndex(m string) int {
	switch m {
	case "GET":
		return 0
	case "POST":
		return 1
	case "PUT":
		return 2
	case "DELETE":
		return 3
	case "PATCH":
		return 4
	case "HEAD":
		return 5
	case "OPTIONS":
		return 6
	}
	return 7
}

type key struct {
	parent uint32
	token  uint64
}

// Lost counts what a Learner's bounds cut.
type Lost struct {
	Calls uint64 // calls whose paths are not, or no longer, in the trie
	Words uint64 // words dropped, each time one is
}

// Learner is the state of one service. It is not safe for concurrent use; a Matcher that it gave is.
type Learner struct {
	cfg      Config
	children int // MaxChildren as it is now
	nodes    []node
	ends     []end
	freeEnds []uint32
	index    map[key]uint32    // children of nodes with more than listed
	limits   map[uint32]uint64 // rank of the last child kept, of nodes that are full
	free     uint32
	used     int
	lost     Lost
	attempts uint64
}

// New returns an empty Learner.
func New(cfg Config) *Learner {
	l := &Learner{cfg: cfg.withDefaults()}
	l.reset()
	return l
}

func (l *Learner) reset() {
	l.children = l.cfg.MaxChildren
	l.nodes = append(l.nodes[:0], node{})
	l.ends = append(l.ends[:0], end{})
	l.freeEnds = l.freeEnds[:0]
	l.index, l.limits = map[key]uint32{}, map[uint32]uint64{}
	l.free, l.used, l.lost, l.attempts = 0, 1, Lost{}, 0
}

// Observe counts n calls of the path segs that were answered with status; 0 means that no answer was seen. A 404 is
// evidence of nothing and only counted: scanners make paths, services make endpoints.
func (l *Learner) Observe(method string, segs []event.Segment, status int, n uint64) {
	if status == 404 {
		l.attempts += n
		return
	}
	if at, ok := l.walk(segs, n); ok {
		l.endAt(at)[methodIndex(method)] += n
		if l.used > l.cfg.MaxNodes {
			l.shrink()
		}
	}
}

// Lost returns what the bounds cut, and Attempts how many calls were answered 404.
func (l *Learner) Lost() Lost { return l.lost }

// Attempts returns how many calls were answered with 404.
func (l *Learner) Attempts() uint64 { return l.attempts }

// Nodes returns how many nodes are in use.
func (l *Learner) Nodes() int { return l.used }

func (l *Learner) endAt(i uint32) *end {
	nd := &l.nodes[i]
	if nd.end == 0 {
		if n := len(l.freeEnds); n > 0 {
			nd.end = l.freeEnds[n-1]
			l.freeEnds = l.freeEnds[:n-1]
			l.ends[nd.end] = end{}
		} else {
			nd.end = uint32(len(l.ends))
			l.ends = append(l.ends, end{})
		}
	}
	return &l.ends[nd.end]
}

// walk returns the node of segs, made if need be; false when a bound refused it and n calls were counted as lost.
func (l *Learner) walk(segs []event.Segment, n uint64) (uint32, bool) {
	at := uint32(0)
	if len(segs) > l.cfg.MaxDepth {
		segs = segs[:l.cfg.MaxDepth]
	}
	for i := range segs {
		s := &segs[i]
		tok := trieToken(s)
		c := l.find(at, tok)
		if c == 0 {
			var ok bool
			if c, ok = l.add(at, tok, s); !ok {
				l.lost.Calls += n
				l.lost.Words++
				return 0, false
			}
		}
		nd := &l.nodes[c]
		if !Learnable(s.Kind) {
			nd.distinct |= 1 << (mix(s.Token) & 63)
		} else if nd.text == "" {
			nd.text = s.Text
		}
		nd.reveal(s.Parts)
		at = c
	}
	return at, true
}

// reveal takes over the texts of parts that were not known.
func (nd *node) reveal(parts []event.Part) {
	if len(parts) != len(nd.parts) {
		return
	}
	owned := false
	for k := range parts {
		if nd.parts[k].Text == "" && parts[k].Text != "" && nd.parts[k].Token == parts[k].Token {
			if !owned { // another Learner may share them
				nd.parts, owned = append([]event.Part(nil), nd.parts...), true
			}
			nd.parts[k].Text = parts[k].Text
		}
	}
}

// listed is how many children are looked for one by one: most nodes have one or two, and a map entry for each took a
// fifth of a Learner's memory.
const listed = 8

// find returns the child of parent with token tok, 0 if there is none.
func (l *Learner) find(parent uint32, tok uint64) uint32 {
	if l.nodes[parent].kids > listed {
		return l.index[key{parent, tok}]
	}
	c := l.nodes[parent].child
	for c != 0 && l.nodes[c].token != tok {
		c = l.nodes[c].next
	}
	return c
}

// trieToken is what tells s from its siblings.
func trieToken(s *event.Segment) uint64 {
	if Learnable(s.Kind) {
		return s.Token
	}
	if s.Kind == event.KindMixed {
		return pattern(s)
	}
	return pseudo(s.Kind)
}

// pseudo is the token of all typed segments of a kind.
func pseudo(k event.Kind) uint64 { return mix(0x5eed<<8 | uint64(k)) }

// pattern is the token of a mixed segment: its punctuation, the kinds of its typed pieces and the tokens of the others.
func pattern(s *event.Segment) uint64 {
	h := pseudo(event.KindMixed)
	for i := range s.Parts {
		p := &s.Parts[i]
		for j := range len(p.Sep) {
			h = mix(h ^ uint64(p.Sep[j]))
		}
		if Learnable(p.Kind) {
			h = mix(h ^ p.Token)
		} else {
			h = mix(h ^ pseudo(p.Kind))
		}
	}
	return h
}

// mix is the finaliser of MurmurHash3.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// rank orders the children of a full node: kinds and API words first, then by token.
func rank(kind event.Kind, shape *event.Shape, tok uint64) uint64 {
	r := mix(tok) >> 1
	if Learnable(kind) && shape.Word == 0 {
		r |= 1 << 63
	}
	return r
}

func (l *Learner) add(parent uint32, tok uint64, s *event.Segment) (uint32, bool) {
	p := &l.nodes[parent]
	if int(p.kids) >= l.children {
		limit, ok := l.limits[parent]
		if !ok {
			limit = l.rankOfLast(parent)
		}
		if rank(s.Kind, &s.Shape, tok) >= limit {
			l.limits[parent] = limit
			return 0, false
		}
		l.dropLast(parent)
		l.limits[parent] = l.rankOfLast(parent)
	}
	i := l.free
	if i != 0 {
		l.free = l.nodes[i].next
	} else {
		i = uint32(len(l.nodes))
		l.nodes = append(l.nodes, node{})
	}
	p = &l.nodes[parent]
	nd := node{token: tok, parent: parent, next: p.child, kind: s.Kind, shape: s.Shape, text: s.Text}
	if !Learnable(s.Kind) {
		nd.text = ""
		if s.Kind != event.KindMixed {
			nd.shape = event.Shape{}
		}
	}
	if len(s.Parts) > 0 {
		nd.parts = append([]event.Part(nil), s.Parts...)
	}
	if s.Kind == event.KindMixed {
		for j := range nd.parts {
			if q := &nd.parts[j]; !Learnable(q.Kind) {
				q.Token, q.Shape = 0, event.Shape{}
			}
		}
		nd.shape = event.Shape{}
	}
	l.nodes[i] = nd
	p.child = i
	p.kids++
	switch {
	case p.kids == listed+1:
		for c := i; c != 0; c = l.nodes[c].next {
			l.index[key{parent, l.nodes[c].token}] = c
		}
	case p.kids > listed:
		l.index[key{parent, tok}] = i
	}
	l.used++
	if lim, ok := l.limits[parent]; ok && int(p.kids) >= l.children {
		l.limits[parent] = max(lim, rank(s.Kind, &s.Shape, tok))
	}
	return i, true
}

func (l *Learner) nodeRank(i uint32) uint64 {
	nd := &l.nodes[i]
	return rank(nd.kind, &nd.shape, nd.token)
}

func (l *Learner) rankOfLast(parent uint32) (r uint64) {
	for c := l.nodes[parent].child; c != 0; c = l.nodes[c].next {
		r = max(r, l.nodeRank(c))
	}
	return r
}

func (l *Learner) dropLast(parent uint32) {
	last, prev, lastPrev, r := uint32(0), uint32(0), uint32(0), uint64(0)
	for c := l.nodes[parent].child; c != 0; prev, c = c, l.nodes[c].next {
		if k := l.nodeRank(c); last == 0 || k > r {
			last, lastPrev, r = c, prev, k
		}
	}
	if last == 0 {
		return
	}
	if lastPrev == 0 {
		l.nodes[parent].child = l.nodes[last].next
	} else {
		l.nodes[lastPrev].next = l.nodes[last].next
	}
	l.nodes[parent].kids--
	l.release(last)
	l.lost.Words++
}

// release frees i and all under it, which is out of its parent's list already.
func (l *Learner) release(i uint32) {
	for c := l.nodes[i].child; c != 0; {
		next := l.nodes[c].next
		l.release(c)
		c = next
	}
	nd := &l.nodes[i]
	if nd.end != 0 {
		for _, n := range l.ends[nd.end] {
			l.lost.Calls += n
		}
		l.freeEnds = append(l.freeEnds, nd.end)
	}
	delete(l.index, key{nd.parent, nd.token})
	delete(l.limits, i)
	*nd = node{next: l.free}
	l.free = i
	l.used--
}

// shrink halves MaxChildren until the nodes fit.
func (l *Learner) shrink() {
	for l.used > l.cfg.MaxNodes && l.children > 1 {
		l.children /= 2
		clear(l.limits)
		l.trim(0)
	}
}

func (l *Learner) trim(i uint32) {
	for int(l.nodes[i].kids) > l.children {
		l.dropLast(i)
	}
	for c := l.nodes[i].child; c != 0; c = l.nodes[c].next {
		l.trim(c)
	}
}

// Merge adds what o observed. o is not changed.
func (l *Learner) Merge(o *Learner) {
	if o.children < l.children {
		l.children = o.children
		clear(l.limits)
		l.trim(0)
	}
	l.lost.Calls += o.lost.Calls
	l.lost.Words += o.lost.Words
	l.attempts += o.attempts
	l.merge(0, o, 0)
	if l.used > l.cfg.MaxNodes {
		l.shrink()
	}
}

func (l *Learner) merge(at uint32, o *Learner, from uint32) {
	if e := o.nodes[from].end; e != 0 {
		mine := l.endAt(at)
		for m, n := range o.ends[e] {
			mine[m] += n
		}
	}
	for c := o.nodes[from].child; c != 0; c = o.nodes[c].next {
		src := &o.nodes[c]
		i := l.find(at, src.token)
		if i == 0 {
			var ok bool
			s := event.Segment{Kind: src.kind, Text: src.text, Token: src.token, Shape: src.shape, Parts: src.parts}
			if i, ok = l.add(at, src.token, &s); !ok {
				l.lost.Calls += o.callsUnder(c)
				l.lost.Words++
				continue
			}
		}
		nd := &l.nodes[i]
		if nd.text == "" {
			nd.text = src.text
		}
		nd.reveal(src.parts)
		nd.distinct |= src.distinct
		l.merge(i, o, c)
	}
}

func (l *Learner) callsUnder(i uint32) (n uint64) {
	if e := l.nodes[i].end; e != 0 {
		for _, k := range l.ends[e] {
			n += k
		}
	}
	for c := l.nodes[i].child; c != 0; c = l.nodes[c].next {
		n += l.callsUnder(c)
	}
	return n
}

// distinctOf estimates how many different values a typed node had, up to some 250 (linear counting on 64 bits).
func distinctOf(bitmap uint64) float64 {
	return estimates[bits.OnesCount64(bitmap)]
}
