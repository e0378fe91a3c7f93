package endpoint

import (
	"cmp"
	"math"
	"slices"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// estimates[k] is how many different values set k of 64 bits when hashed (linear counting).
var estimates = func() (t [65]float64) {
	for k := range 64 {
		t[k] = math.Round(-64 * math.Log(1-float64(k)/64))
	}
	t[64] = 270
	return t
}()

// A group is what is judged: the nodes with one token under one place of the API. A place is several nodes of the trie
// once parameters before it were merged.
type group struct {
	nodes   []uint32
	token   uint64
	kind    event.Kind
	shape   event.Shape
	calls   uint64 // through it
	ended   end    // of those that end here
	ends    uint64 // their sum
	c1, c2  []uint64
	f1      []flow // what follows with how many calls, sorted by token: words and typed segments, and ends by method
	all     []flow // the same of all that follows to the end, by hash
	typed1  bool   // a typed segment follows
	kids    int    // nodes that follow
	below   int    // how deep it goes on
	cluster int
	p       float32
	param   bool
	headed  bool // a name, a dot and a value: see headed
	parts   []event.Part
	text    string
}

// flow is how many calls go on with a token.
type flow struct {
	token uint64
	calls uint64
}

// flatten sorts fs, adds up equal tokens and keeps the first maxConts.
func flatten(fs []flow) []flow {
	slices.SortFunc(fs, func(a, b flow) int { return cmp.Compare(a.token, b.token) })
	out := fs[:0]
	for _, f := range fs {
		if n := len(out); n > 0 && out[n-1].token == f.token {
			out[n-1].calls += f.calls
		} else if n < maxConts {
			out = append(out, f)
		}
	}
	return out
}

// place is what is known of where groups stand.
type place struct {
	depth  int
	name   uint64 // token of the last literal, mixed with how many parameters followed it
	shape  event.Shape
	params int  // parameters since that literal
	grand  bool // what stands before that literal is a parameter
	root   bool
	calls  uint64
	ended  end
	ends   uint64
	p      float32
	out    int32 // the place's node in the Matcher being built
}

// tally is a sum of probabilities and how many they are.
type tally struct{ sum, n float64 }

func (t tally) without(o tally) (mean float64, n float64) {
	n = t.n - o.n
	if n < 1e-6 {
		return -1, 0
	}
	return (t.sum - o.sum) / n, n
}

type nameStat struct{ kids, typed, listed int }

// judge runs one or both passes over a Learner.
type judge struct {
	l       *Learner
	through []uint64 // calls through each node
	deep    []uint8  // how deep each node's subtree is
	tokens  map[uint64]int
	parents map[uint64]int // different names that a token stands behind
	names   map[uint64]nameStat
	total   uint64  // calls
	perEnd  float64 // calls of a path (typed segments alike), and
	once    float64 // the share of paths with one call: how thin the evidence is
	enough  float32 // what p must exceed

	second bool
	p1, w1 []float32        // the first pass's answer for each node, and its share of its group
	tokP   map[uint64]tally // the first pass's answers by token,
	nameP  map[uint64]tally // by name before,
	styleP map[uint16]tally // and by style of word

	oracle func(g *group) bool             // when fitting: the truth
	answer func(g *group, x []float32)     // when fitting: a row
	out    *Matcher                        // when building
	visit  func(at *place, groups []group) // after a place is judged

	x     []float32
	df    map[uint64]int
	df2   map[uint64]int
	owner map[uint64]int
}

func newJudge(l *Learner) *judge {
	j := &judge{l: l, through: make([]uint64, len(l.nodes)), deep: make([]uint8, len(l.nodes)), tokens: map[uint64]int{}, parents: map[uint64]int{},
		names: map[uint64]nameStat{}, df: map[uint64]int{}, df2: map[uint64]int{}, owner: map[uint64]int{}}
	l.order()
	j.count(0)
	j.total = j.through[0]
	ends, once := 0.0, 0.0
	l.each(0, func(i uint32) {
		if e := l.nodes[i].end; e != 0 {
			n := uint64(0)
			for _, k := range l.ends[e] {
				n += k
			}
			ends++
			once += one(n <= 1)
		}
	})
	j.perEnd, j.once = frac(float64(j.total), ends), frac(once, ends)
	// With one call a path a wrong merge costs more than a missed one: measured on 1/5 to 1/50 of the traffic.
	j.enough = float32(0.5 + 0.42*math.Exp(1-max(1, j.perEnd)))
	seen := map[key]struct{}{}
	l.each(0, func(i uint32) {
		nd := &l.nodes[i]
		if i == 0 {
			return
		}
		name := j.rawName(nd.parent)
		ns := j.names[name]
		ns.kids++
		if !Learnable(nd.kind) {
			ns.typed++
		} else {
			j.tokens[nd.token]++
			if nd.shape.Word != 0 {
				ns.listed++
			}
			k := key{0, mix(nd.token) ^ name}
			if _, ok := seen[k]; !ok {
				seen[k] = struct{}{}
				j.parents[nd.token]++
			}
		}
		j.names[name] = ns
	})
	return j
}

// order sorts the children of each node by token, so that sums of floating-point numbers over them do not depend on the
// order in which they were first seen.
func (l *Learner) order() {
	var kids []uint32
	l.each(0, func(i uint32) {
		sorted := true
		kids = kids[:0]
		for c := l.nodes[i].child; c != 0; c = l.nodes[c].next {
			sorted = sorted && (len(kids) == 0 || l.nodes[kids[len(kids)-1]].token < l.nodes[c].token)
			kids = append(kids, c)
		}
		if sorted {
			return
		}
		slices.SortFunc(kids, func(a, b uint32) int { return cmp.Compare(l.nodes[a].token, l.nodes[b].token) })
		for k, c := range kids {
			l.nodes[c].next = 0
			if k > 0 {
				l.nodes[kids[k-1]].next = c
			}
		}
		l.nodes[i].child = kids[0]
	})
}

// each calls f for i and all under it.
func (l *Learner) each(i uint32, f func(uint32)) {
	f(i)
	for c := l.nodes[i].child; c != 0; c = l.nodes[c].next {
		l.each(c, f)
	}
}

func (j *judge) rawName(i uint32) uint64 { return j.l.nodes[i].token }

func (j *judge) count(i uint32) {
	nd := &j.l.nodes[i]
	var n uint64
	if nd.end != 0 {
		for _, k := range j.l.ends[nd.end] {
			n += k
		}
	}
	deep := uint8(0)
	for c := nd.child; c != 0; c = j.l.nodes[c].next {
		j.count(c)
		n += j.through[c]
		deep = max(deep, j.deep[c]+1)
	}
	j.through[i], j.deep[i] = n, deep
}

// first runs the first pass and keeps its answers for the second.
func (j *judge) first(m *ensemble) {
	j.p1, j.w1 = make([]float32, len(j.l.nodes)), make([]float32, len(j.l.nodes))
	j.tokP, j.nameP, j.styleP = map[uint64]tally{}, map[uint64]tally{}, map[uint16]tally{}
	visit, oracle, answer := j.visit, j.oracle, j.answer
	j.oracle, j.answer = nil, nil
	j.visit = func(at *place, groups []group) {
		name := j.names1(at)
		t := j.nameP[name]
		for i := range groups {
			g := &groups[i]
			w := 1 / float32(len(g.nodes))
			for _, n := range g.nodes {
				j.p1[n], j.w1[n] = g.p, w
			}
			t.sum += float64(g.p)
			t.n++
			if Learnable(g.kind) {
				k := j.tokP[g.token]
				k.sum += float64(g.p)
				k.n++
				j.tokP[g.token] = k
				k = j.styleP[style(g)]
				k.sum += float64(g.p)
				k.n++
				j.styleP[style(g)] = k
				j.styleP[anyStyle] = tally{j.styleP[anyStyle].sum + float64(g.p), j.styleP[anyStyle].n + 1}
			}
		}
		j.nameP[name] = t
	}
	j.second = false
	j.start(m)
	j.visit, j.oracle, j.answer = visit, oracle, answer
}

// names1 is the name under which a place's children are pooled over the service.
func (j *judge) names1(at *place) uint64 { return at.name + uint64(at.params) }

func (j *judge) start(m *ensemble) {
	at := place{root: true, calls: j.through[0], p: 0}
	if e := j.l.nodes[0].end; e != 0 {
		at.ended = j.l.ends[e]
		for _, n := range at.ended {
			at.ends += n
		}
	}
	j.level([]uint32{0}, at, m)
}

// level judges the children of the merged nodes, then goes on below them.
func (j *judge) level(nodes []uint32, at place, m *ensemble) {
	groups := j.groups(nodes)
	if len(groups) == 0 {
		return
	}
	j.decide(groups, &at, nodes, m)
	if j.visit != nil {
		j.visit(&at, groups)
	}
	for i := range groups {
		if g := &groups[i]; !g.param {
			next := place{depth: at.depth + 1, name: g.token, shape: g.shape, grand: at.params > 0, calls: g.calls, ended: g.ended, ends: g.ends, p: g.p}
			if j.out != nil {
				next.out = j.out.literal(&at, g)
			}
			j.level(g.nodes, next, m)
		}
	}
	for _, s := range slots(groups) {
		next := place{depth: at.depth + 1, name: at.name, shape: at.shape, params: at.params + 1, grand: at.grand, p: 1}
		var merged []uint32
		for _, g := range s.groups {
			merged = append(merged, g.nodes...)
			next.calls += g.calls
			next.ends += g.ends
			for k, n := range g.ended {
				next.ended[k] += n
			}
		}
		if j.out != nil {
			next.out = j.out.slot(&at, &s)
		}
		j.level(merged, next, m)
	}
}

const maxConts = 128

// typedFlow stands for all typed segments as a continuation.
const typedFlow = numMethods

// groups gathers the children of nodes by token, in the order of their tokens.
func (j *judge) groups(nodes []uint32) []group {
	type pair struct {
		token uint64
		node  uint32
	}
	var all []pair
	for _, n := range nodes {
		for c := j.l.nodes[n].child; c != 0; c = j.l.nodes[c].next {
			all = append(all, pair{j.l.nodes[c].token, c})
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b pair) int { return cmp.Compare(a.token, b.token) })
	var gs []group
	for i := 0; i < len(all); {
		k := i
		for k < len(all) && all[k].token == all[i].token {
			k++
		}
		first := &j.l.nodes[all[i].node]
		g := group{token: first.token, kind: first.kind, shape: first.shape}
		for ; i < k; i++ {
			n := all[i].node
			nd := &j.l.nodes[n]
			g.nodes = append(g.nodes, n)
			if g.text == "" {
				g.text, g.parts = nd.text, nd.parts
			}
			g.calls += j.through[n]
			g.below = max(g.below, int(j.deep[n]))
			g.kids += int(nd.kids)
			if nd.end != 0 {
				for m, c := range j.l.ends[nd.end] {
					g.ended[m] += c
					g.ends += c
					if c > 0 {
						g.f1 = append(g.f1, flow{uint64(m), c})
					}
				}
			}
			for c := nd.child; c != 0; c = j.l.nodes[c].next {
				t, typed := j.cont(c)
				if typed {
					g.typed1 = true
					t = typedFlow
				}
				if len(g.f1) < 8*maxConts {
					g.f1 = append(g.f1, flow{t, j.through[c]})
				}
				for d := j.l.nodes[c].child; d != 0 && len(g.c2) < 8*maxConts; d = j.l.nodes[d].next {
					if u, typed := j.cont(d); !typed {
						g.c2 = append(g.c2, u)
					}
				}
			}
			g.all = j.suffixes(g.all, n, 0)
		}
		if g.kind == event.KindFile && len(g.parts) == 2 && format(&g.parts[1]) {
			// reviews.json is to be judged as reviews is
			g.kind, g.shape = event.KindWord, g.parts[0].Shape
		}
		g.f1, g.all = flatten(g.f1), flatten(g.all)
		for _, f := range g.f1 {
			if f.token > typedFlow {
				g.c1 = append(g.c1, f.token)
			}
		}
		slices.Sort(g.c2)
		g.c2 = slices.Compact(g.c2)
		g.c2 = g.c2[:min(len(g.c2), maxConts)]
		gs = append(gs, g)
	}
	return gs
}

// suffixes appends how many calls end where under node i, and with which method; typed segments are alike.
func (j *judge) suffixes(fs []flow, i uint32, h uint64) []flow {
	if len(fs) >= 16*maxConts {
		return fs
	}
	nd := &j.l.nodes[i]
	if nd.end != 0 {
		for m, n := range j.l.ends[nd.end] {
			if n > 0 {
				fs = append(fs, flow{mix(h ^ uint64(m)), n})
			}
		}
	}
	for c := nd.child; c != 0; c = j.l.nodes[c].next {
		t, typed := j.cont(c)
		if typed {
			t = typedFlow
		}
		fs = j.suffixes(fs, c, mix(h^t))
	}
	return fs
}

// cont is what node c is as a continuation: its token, or typed. In the second pass what the first judged a parameter
// counts as typed.
func (j *judge) cont(c uint32) (uint64, bool) {
	nd := &j.l.nodes[c]
	if !Learnable(nd.kind) && nd.kind != event.KindEmpty || j.second && j.p1[c] > 0.5 {
		return 0, true
	}
	return nd.token, false
}

// certain: what the first pass is that sure of is not judged again. It is more than half of all words, and the scores on
// the benchmark stay as they are.
const certain = 0.005

// decide sets p and param of each group.
func (j *judge) decide(groups []group, at *place, nodes []uint32, m *ensemble) {
	headed(groups)
	words := 0
	for i := range groups {
		g := &groups[i]
		switch {
		case g.kind == event.KindEmpty:
			g.p, g.param = 0, false
		case !Learnable(g.kind):
			g.p, g.param = 1, true
		case g.headed:
			g.p, g.param = 0.9, true
		default:
			words++
		}
	}
	if words == 0 {
		return
	}
	c := j.context(groups, at, nodes)
	for i := range groups {
		g := &groups[i]
		if !Learnable(g.kind) || g.headed {
			continue
		}
		if p := float32(c.p[i]); j.second && j.answer == nil && (p < certain || p > 1-certain) {
			g.p, g.param = p, p > j.enough
			continue
		}
		j.x = j.features(j.x[:0], i, groups, at, c)
		g.p = m.eval(j.x)
		g.param = g.p > j.enough
		if j.oracle != nil {
			g.param = j.oracle(g)
		}
		if j.answer != nil {
			j.answer(g, j.x)
		}
	}
}
