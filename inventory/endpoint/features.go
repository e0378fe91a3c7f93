package endpoint

import (
	"math"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/event/words"
)

// pool sums what a set of groups is like.
type pool struct {
	n, typed, listed, digits, seps, upper, singles, ends, conts, typed1, plural, post, item float64
	hits, pieces, calls, length, length2, providers                                         float64
	p                                                                                       float64
	pmin, pmax                                                                              float64
}

func (s *pool) add(g *group, p float64) {
	s.n++
	if !Learnable(g.kind) {
		s.typed++
	}
	if g.shape.Word != 0 {
		s.listed++
	}
	s.digits += one(g.shape.Digits > 0)
	s.seps += one(g.shape.Seps > 0)
	s.upper += one(g.shape.Flags&event.FlagUpperFirst != 0)
	s.singles += one(g.calls == 1)
	s.ends += one(g.ends > 0)
	s.conts += one(g.kids > 0)
	s.typed1 += one(g.typed1)
	s.plural += one(g.shape.Flags&event.FlagPlural != 0)
	s.post += one(g.ended[1] > 0)
	s.item += one(g.ended[2]+g.ended[3]+g.ended[4] > 0)
	s.hits += float64(g.shape.Hits)
	s.pieces += float64(g.shape.Pieces)
	s.calls += float64(g.calls)
	s.length += float64(g.shape.Len)
	s.length2 += float64(g.shape.Len) * float64(g.shape.Len)
	s.providers += lg(float64(words.StatOf(g.shape.Word).Providers))
	if s.n == 1 || p < s.pmin {
		s.pmin = p
	}
	s.pmax = max(s.pmax, p)
	s.p += p
}

// less returns s without g. pmin and pmax stay those of the whole.
func (s pool) less(g *group, p float64) pool {
	var o pool
	o.add(g, p)
	s.n -= o.n
	s.typed -= o.typed
	s.listed -= o.listed
	s.digits -= o.digits
	s.seps -= o.seps
	s.upper -= o.upper
	s.singles -= o.singles
	s.ends -= o.ends
	s.conts -= o.conts
	s.typed1 -= o.typed1
	s.plural -= o.plural
	s.post -= o.post
	s.item -= o.item
	s.hits -= o.hits
	s.pieces -= o.pieces
	s.calls -= o.calls
	s.length -= o.length
	s.length2 -= o.length2
	s.providers -= o.providers
	s.p -= p
	return s
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func lg(x float64) float64 { return math.Log2(1 + x) }

func frac(a, b float64) float64 {
	if b <= 0 {
		return -1
	}
	return a / b
}

// flows sums what follows several groups.
type flows struct {
	by      map[uint64]uint64
	sum     uint64
	squares float64 // of the values of by
}

func (f *flows) add(fs []flow) {
	if f.by == nil {
		f.by = map[uint64]uint64{}
	}
	for _, x := range fs {
		old := float64(f.by[x.token])
		f.by[x.token] += x.calls
		f.sum += x.calls
		f.squares += (old + float64(x.calls)) * (old + float64(x.calls))
		f.squares -= old * old
	}
}

// context is what the features of one place's groups have in common.
type context struct {
	next, ends flows   // calls by what follows, of all groups, and by where they end
	byCluster  []flows // the latter by cluster
	all        pool
	clusters   []pool
	withC1     int // groups that go on
	withC2     int
	maxCalls   uint64
	distinct   float64 // values of the typed groups
	ownName    tally
	ownKids    nameStat
	sigs       map[uint64]int
	sig        []uint64
	p          []float64
	elsewhere  tally // the first pass's answers for the groups' words at other places
	styles     map[uint16]int
}

// style is a coarse class of shapes: which flags, which case, digits.
func style(g *group) uint16 {
	f := uint16(g.shape.Flags &^ (event.FlagPlural))
	if g.shape.Digits > 0 {
		f |= 1 << 8
	}
	if g.shape.Lower == 0 {
		f |= 1 << 9
	}
	return f | uint16(g.kind)<<10
}

func (j *judge) prior(g *group) (p float64, own tally) {
	for _, n := range g.nodes {
		own.sum += float64(j.p1[n] * j.w1[n])
		own.n += float64(j.w1[n])
	}
	return own.sum / own.n, own
}

func (j *judge) context(groups []group, at *place, nodes []uint32) *context {
	c := &context{sigs: map[uint64]int{}, styles: map[uint16]int{}, sig: make([]uint64, len(groups)), p: make([]float64, len(groups))}
	clear(j.df)
	clear(j.df2)
	clear(j.owner)
	root := make([]int, len(groups))
	find := func(a int) int {
		for root[a] != a {
			root[a] = root[root[a]]
			a = root[a]
		}
		return a
	}
	leaf := -1
	for i := range groups {
		g := &groups[i]
		root[i] = i
		sig := uint64(0)
		for _, t := range g.c1 {
			j.df[t]++
			sig += mix(t)
		}
		for _, t := range g.c2 {
			j.df2[t]++
		}
		c.next.add(g.f1)
		c.ends.add(g.all)
		for m, n := range g.ended {
			if n > 0 {
				sig += mix(uint64(m) + 77)
			}
		}
		if g.typed1 {
			sig += mix(99)
		}
		c.sig[i] = sig
		c.sigs[sig]++
		c.styles[style(g)]++
		if g.kids > 0 {
			c.withC1++
		}
		if len(g.c2) > 0 {
			c.withC2++
		}
		c.maxCalls = max(c.maxCalls, g.calls)
		if !Learnable(g.kind) {
			for _, n := range g.nodes {
				c.distinct += distinctOf(j.l.nodes[n].distinct)
			}
		}
		p := 1.0
		if Learnable(g.kind) {
			p = 0.5
			if j.second {
				var own tally
				p, own = j.prior(g)
				if e, n := j.tokP[g.token].without(own); n > 0 {
					c.elsewhere.sum += e
					c.elsewhere.n++
				}
			}
		}
		c.p[i] = p
		c.all.add(g, p)
		// Siblings whose subtrees have a word in common are one cluster, and so are those that end here.
		join := func(t uint64) {
			if o, ok := j.owner[t]; ok {
				root[find(i)] = find(o)
			} else {
				j.owner[t] = i
			}
		}
		for _, t := range g.c1 {
			join(t)
		}
		for _, t := range g.c2 {
			join(t ^ 0xdeadbeef)
		}
		if g.kids == 0 {
			if leaf < 0 {
				leaf = i
			} else {
				root[find(i)] = find(leaf)
			}
		}
	}
	at2 := map[int]int{}
	for i := range groups {
		r := find(i)
		k, ok := at2[r]
		if !ok {
			k = len(c.clusters)
			at2[r] = k
			c.clusters = append(c.clusters, pool{})
			c.byCluster = append(c.byCluster, flows{})
		}
		groups[i].cluster = k
		c.clusters[k].add(&groups[i], c.p[i])
		c.byCluster[k].add(groups[i].all)
	}
	for _, n := range nodes {
		for k := j.l.nodes[n].child; k != 0; k = j.l.nodes[k].next {
			kid := &j.l.nodes[k]
			c.ownKids.kids++
			if !Learnable(kid.kind) {
				c.ownKids.typed++
			} else if kid.shape.Word != 0 {
				c.ownKids.listed++
			}
			if j.second {
				c.ownName.sum += float64(j.p1[k] * j.w1[k])
				c.ownName.n += float64(j.w1[k])
			}
		}
	}
	return c
}

const anyStyle = 1<<16 - 1

// homogeneity compares what follows one group with what follows the others together. Values of one parameter go on
// alike: missing is how many of the group's calls should have gone where none went, extra how many of the others' calls
// should have gone where only the group's go, cosine the likeness of the two flows, z how many standard deviations a G
// test of "both are shares of one distribution" is off, places how many places both go to; -1 when there is nothing to
// compare.
func homogeneity(own []flow, all *flows) (missing, extra, cosine, z, places float64) {
	var n uint64
	for _, f := range own {
		n += f.calls
	}
	rest := float64(all.sum - n)
	if n == 0 || rest == 0 {
		return -1, -1, -1, -99, -1
	}
	var dot, a, b, g float64
	mine, theirs := float64(n)/(float64(n)+rest), rest/(float64(n)+rest)
	covered := uint64(0)
	for _, f := range own {
		v := all.by[f.token]
		o := v - f.calls
		covered += o
		if o == 0 {
			extra += float64(f.calls) / float64(n) * rest
		} else {
			places++
			g += float64(o) * math.Log(float64(o)/(float64(v)*theirs))
		}
		g += float64(f.calls) * math.Log(float64(f.calls)/(float64(v)*mine))
		dot += float64(f.calls) * float64(o)
		a += float64(f.calls) * float64(f.calls)
		b += float64(o) * float64(o)
	}
	// where only the others go
	uncovered := rest - float64(covered)
	g += uncovered * math.Log(1/theirs)
	squares := all.squares
	for _, f := range own {
		v := float64(all.by[f.token])
		squares -= v * v
	}
	b += squares
	missing = float64(n) * uncovered / rest
	if a > 0 && b > 0 {
		cosine = dot / math.Sqrt(a*b)
	}
	if df := float64(len(all.by) - 1); df > 0 {
		z = (2*g - df) / math.Sqrt(2*df)
	}
	return missing, extra, cosine, z, places
}

// overlap says how alike g's continuation is to its siblings': the share of siblings that have one of its words, the
// share of its words that a sibling has, and the greatest share of siblings that one of its words has.
func overlap(set []uint64, df map[uint64]int, siblings int) (words, top, mean float64) {
	if len(set) == 0 || siblings < 2 {
		return -1, -1, -1
	}
	shared, most, sum := 0, 0, 0
	for _, t := range set {
		n := df[t] - 1
		if n > 0 {
			shared++
		}
		most = max(most, n)
		sum += n
	}
	return float64(shared) / float64(len(set)), float64(most) / float64(siblings-1), float64(sum) / float64(len(set)) / float64(siblings-1)
}

// features appends what the trees see of g. The order is the model's; a change needs a new fit.
func (j *judge) features(x []float32, i int, groups []group, at *place, c *context) []float32 {
	g := &groups[i]
	add := func(vs ...float64) {
		for _, v := range vs {
			x = append(x, float32(v))
		}
	}
	s := &g.shape
	letters := float64(s.Lower) + float64(s.Upper)
	whole, head, tail := words.StatOf(s.Word), words.StatOf(s.Head), words.StatOf(s.Tail)
	// 0: what it is
	add(float64(g.kind), float64(s.Len), float64(s.Upper), float64(s.Digits), float64(s.Seps), float64(s.Pieces),
		float64(s.Hits), frac(float64(s.Hits), float64(s.Pieces)), frac(float64(s.Vowels), letters), float64(s.Run), float64(s.Turns))
	// 11
	f := s.Flags
	add(one(f&event.FlagPlural != 0), one(f&event.FlagDigitFirst != 0), one(f&event.FlagUpperFirst != 0), one(f&event.FlagCamel != 0),
		one(f&event.FlagDash != 0), one(f&event.FlagUnderscore != 0), one(f&event.FlagDot != 0))
	// 18
	add(lg(float64(whole.Providers)), float64(whole.Follow), lg(float64(head.Providers)), lg(float64(tail.Providers)))
	// 22: how it is called
	n := float64(g.calls)
	add(lg(n), frac(n, float64(at.calls)), lg(float64(g.ends)), frac(float64(g.ends), n), lg(float64(g.kids)), lg(float64(len(g.c1))), float64(g.below), float64(len(g.nodes)))
	// 30
	methods := 0.0
	for _, k := range g.ended {
		methods += one(k > 0)
	}
	add(methods, one(g.ended[0] > 0), one(g.ended[1] > 0), one(g.ended[2] > 0), one(g.ended[3] > 0), one(g.ended[4] > 0))
	// 36: where it stands
	ps := words.StatOf(at.shape.Word)
	pt := words.StatOf(at.shape.Tail)
	add(float64(at.depth), float64(at.params), one(at.grand), lg(float64(ps.Providers)), float64(ps.Follow), one(at.shape.Flags&event.FlagPlural != 0),
		float64(at.shape.Len), lg(float64(pt.Providers)), float64(pt.Follow))
	// 45
	add(lg(float64(at.calls)), frac(float64(at.ends), float64(at.calls)), one(at.ended[0] > 0), one(at.ended[1] > 0), one(at.ended[3] > 0))
	// 50: its siblings
	a := &c.all
	rest := a.less(g, c.p[i])
	others := rest.n - rest.typed
	add(a.n, a.typed, frac(rest.typed, rest.n), lg(c.distinct), frac(float64(at.calls), a.n), frac(float64(c.maxCalls), float64(at.calls)))
	// 56
	add(frac(rest.listed, others), frac(rest.hits, rest.pieces), frac(rest.digits, others), frac(rest.seps, others), frac(rest.upper, others),
		frac(rest.singles, rest.n), frac(rest.conts, rest.n), frac(rest.typed1, rest.n), frac(rest.plural, others), frac(rest.post, rest.n), frac(rest.item, rest.n))
	// 67
	mean := frac(rest.length, others)
	spread := 0.0
	if others > 0 {
		spread = math.Sqrt(max(0, rest.length2/others-mean*mean))
	}
	add(mean, spread, math.Abs(mean-float64(s.Len)), frac(rest.providers, others), float64(c.styles[style(g)]-1), frac(float64(c.styles[style(g)]-1), others))
	// 73: how alike its subtree is to theirs
	w1, t1, m1 := overlap(g.c1, j.df, c.withC1)
	w2, t2, m2 := overlap(g.c2, j.df2, c.withC2)
	add(w1, t1, m1, w2, t2, m2, float64(c.withC1), float64(c.sigs[c.sig[i]]-1), frac(float64(c.sigs[c.sig[i]]-1), rest.n), one(g.typed1))
	// 83
	listed := 0.0
	for _, t := range g.c1 {
		listed += one(j.tokens[t] > 1)
	}
	add(frac(listed, float64(len(g.c1))))
	// 84: the cluster of those alike
	k := c.clusters[g.cluster].less(g, c.p[i])
	words1 := k.n - k.typed
	add(k.n, frac(k.n, rest.n), k.typed, frac(k.listed, words1), frac(k.hits, k.pieces), frac(k.digits, words1), frac(k.seps, words1), frac(k.upper, words1),
		frac(k.calls, float64(at.calls)), frac(k.singles, k.n), frac(k.providers, words1), frac(k.length, words1), frac(k.plural, words1))
	// 97: elsewhere in the service
	add(lg(float64(j.tokens[g.token]-len(g.nodes))), lg(float64(j.parents[g.token])))
	ns := j.names[at.name]
	ok := float64(ns.kids - c.ownKids.kids)
	if at.root || at.params > 0 {
		ok = 0
	}
	add(lg(ok), frac(float64(ns.typed-c.ownKids.typed), ok), frac(float64(ns.listed-c.ownKids.listed), ok))
	// 102: whether what follows is shared out alike
	o1, e1, s1, z1, _ := homogeneity(g.f1, &c.next)
	o2, e2, s2, z2, p2 := homogeneity(g.all, &c.ends)
	o3, e3, s3, z3, p3 := homogeneity(g.all, &c.byCluster[g.cluster])
	add(lg(max(o1, 0)), lg(max(e1, 0)), s1, z1, lg(max(o2, 0)), lg(max(e2, 0)), s2, z2, p2, frac(o2, n), lg(max(o3, 0)), lg(max(e3, 0)), s3, z3, p3, frac(o3, n), lg(float64(len(g.all))))
	// 119: the pieces of it
	stem, last := s, s
	if k := len(g.parts); k > 0 {
		stem, last = &g.parts[0].Shape, &g.parts[k-1].Shape
	}
	sameLast := 0.0
	for q := range groups {
		if o := &groups[q]; q != i && len(o.parts) > 0 && len(g.parts) > 0 && o.parts[len(o.parts)-1].Token == g.parts[len(g.parts)-1].Token {
			sameLast++
		}
	}
	add(float64(len(g.parts)), lg(float64(words.StatOf(stem.Word).Providers)), frac(float64(stem.Hits), float64(stem.Pieces)), lg(float64(words.StatOf(last.Word).Providers)), sameLast)
	// 124: how thin the evidence is
	add(lg(float64(j.total)), j.perEnd, j.once)
	if !j.second {
		return x
	}
	// 127: what the first pass said
	p, own := j.prior(g)
	te, tn := j.tokP[g.token].without(own)
	ne, nn := j.nameP[j.names1(at)].without(c.ownName)
	add(p, te, lg(tn), ne, lg(nn), frac(rest.p, rest.n), frac(rest.p-rest.typed, others), a.pmin, a.pmax, frac(k.p, k.n), frac(k.p-k.typed, words1))
	// 138: what it says of what follows, and where the same values stand
	var sum, cnt float64
	for _, nd := range g.nodes {
		for ch := j.l.nodes[nd].child; ch != 0; ch = j.l.nodes[ch].next {
			sum += float64(j.p1[ch])
			cnt++
		}
	}
	add(frac(sum, cnt), float64(at.p))
	vs, vn := c.elsewhere.sum, c.elsewhere.n
	if tn > 0 {
		vs, vn = vs-te, vn-1
	}
	add(frac(vs, vn), frac(vn, others))
	// 142: words of its style in the service
	st, sn := j.styleP[style(g)].without(tally{p, 1})
	any, _ := j.styleP[anyStyle].without(tally{p, 1})
	add(st, lg(sn), any)
	litN, parN := j.styleP[anyStyle].n-1-any*(j.styleP[anyStyle].n-1), any*(j.styleP[anyStyle].n-1)
	add(frac(max(0, sn*(1-st)), max(litN, 1)), frac(max(0, sn*st), max(parN, 1)))
	return x
}
