package endpoint

import (
	"slices"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/event/words"
)

// A slot is what one parameter segment of a template stands for: values that are free ({id}), or that follow a pattern
// of pieces ({id}.json, {from}..{to}, report-{date}.pdf).
type slot struct {
	groups []*group
	pieces []slotPiece // nil: the whole segment is the parameter
}

type slotPiece struct {
	sep     string
	token   uint64 // of a piece that is always the same; 0: a parameter, or nothing
	text    string
	literal bool
	rest    bool // all that is left of the segment
	kinds   uint32
}

// slots sorts the groups that were judged parameters into slots, the free one last.
func slots(groups []group) []slot {
	var free slot
	var out []slot
	var parted []*group
	var calls uint64
	byHead := map[uint64]int{}
	for i := range groups {
		g := &groups[i]
		if !g.param {
			continue
		}
		calls += g.calls
		switch {
		case g.headed:
			k, ok := byHead[g.parts[0].Token]
			if !ok {
				k = len(out)
				byHead[g.parts[0].Token] = k
				h := g.parts[0]
				out = append(out, slot{pieces: []slotPiece{{sep: h.Sep, token: h.Token, text: h.Text, literal: true, kinds: 1 << h.Kind}, {sep: g.parts[1].Sep, rest: true, kinds: 1 << event.KindWord}}})
			}
			out[k].groups = append(out[k].groups, g)
		case len(g.parts) > 0 && g.kind != event.KindHost:
			parted = append(parted, g)
		default:
			free.groups = append(free.groups, g)
		}
	}
	if s, other := extended(parted); s != nil {
		out, parted = append(out, *s), other
	}
	for len(parted) > 0 {
		// all that are joined like the first
		var alike, other []*group
		for _, g := range parted {
			if sameJoins(g.parts, parted[0].parts) {
				alike = append(alike, g)
			} else {
				other = append(other, g)
			}
		}
		parted = other
		if made := patterns(alike, calls); made != nil {
			out = append(out, made...)
		} else {
			free.groups = append(free.groups, alike...)
		}
	}
	if len(free.groups) > 0 {
		out = append(out, free)
	}
	return out
}

// format says whether p is an extension that names the form of an answer, not the type of a file.
func format(p *event.Part) bool {
	return p.Sep == "." && (p.Shape.Word == jsonWord || p.Shape.Word == xmlWord) && p.Shape.Word != 0
}

var jsonWord, xmlWord = words.Index([]byte("json")), words.Index([]byte("xml"))

// extended finds {id}.{name}: an id, a dot, and words that vary.
func extended(gs []*group) (*slot, []*group) {
	var out slot
	var other []*group
	tails := map[uint64]struct{}{}
	for _, g := range gs {
		p := g.parts
		if g.kind == event.KindMixed && !Learnable(p[0].Kind) && p[0].Sep == "" && p[1].Sep == "." && Learnable(p[1].Kind) {
			h := uint64(0)
			for _, q := range p[1:] {
				h = mix(h ^ q.Token)
			}
			tails[h] = struct{}{}
			out.groups = append(out.groups, g)
		} else {
			other = append(other, g)
		}
	}
	if len(tails) < 2 {
		return nil, gs
	}
	out.pieces = []slotPiece{{kinds: 1 << out.groups[0].parts[0].Kind}, {sep: ".", rest: true, kinds: 1 << event.KindWord}}
	return &out, other
}

// headed marks the words that are a fixed name, a dot and a value: entities.{id} and features.{id}, where what stands
// before the dot is always an API word and what stands behind it hardly ever is one. users.list and users.info, names of
// operations, are not: their tails are API words too.
func headed(groups []group) {
	type head struct {
		groups []*group
		tails  map[uint64]struct{}
		listed int
	}
	heads := map[uint64]*head{}
	for i := range groups {
		g := &groups[i]
		if !Learnable(g.kind) || len(g.parts) < 2 || g.parts[0].Sep != "" || g.parts[1].Sep != "." || g.kind == event.KindFile {
			continue
		}
		h := heads[g.parts[0].Token]
		if h == nil {
			h = &head{tails: map[uint64]struct{}{}}
			heads[g.parts[0].Token] = h
		}
		h.groups = append(h.groups, g)
		for _, q := range g.parts[1:] {
			if q.Shape.Hits > 0 {
				h.listed++
				break
			}
		}
		h.tails[g.parts[1].Token] = struct{}{}
	}
	// Names joined by dots have the same words before and behind them: not a fixed name and a value.
	behind := map[uint64]struct{}{}
	for _, h := range heads {
		for t := range h.tails {
			behind[t] = struct{}{}
		}
	}
	for t := range behind {
		delete(heads, t)
	}
	// What proves the pattern are API words with three values or more; the other heads follow if they have the same values.
	values := map[uint64]struct{}{}
	for _, h := range heads {
		if h.groups[0].parts[0].Shape.Word != 0 && len(h.tails) >= 3 && h.listed*4 <= len(h.groups) {
			for t := range h.tails {
				values[t] = struct{}{}
			}
		}
	}
	for _, h := range heads {
		known := 0
		for t := range h.tails {
			if _, ok := values[t]; ok {
				known++
			}
		}
		if known > 0 && 2*known >= len(h.tails) {
			for _, g := range h.groups {
				g.headed = true
			}
		}
	}
}

func sameJoins(a, b []event.Part) bool {
	return slices.EqualFunc(a, b, func(x, y event.Part) bool {
		return x.Sep == y.Sep && (x.Kind == event.KindEmpty) == (y.Kind == event.KindEmpty)
	})
}

// patterns makes slots of groups whose segments are joined alike, or nil when the joins are part of free values: slugs
// with a number, user names with a dot. calls is how many the whole place has.
func patterns(gs []*group, calls uint64) []slot {
	parts := gs[0].parts
	pieces := make([]slotPiece, len(parts))
	var sum uint64
	for _, g := range gs {
		sum += g.calls
	}
	typed, fixed := 0, 0
	for k := range parts {
		p := slotPiece{sep: parts[k].Sep, token: parts[k].Token, text: parts[k].Text, literal: Learnable(parts[k].Kind)}
		anyTyped := false
		for _, g := range gs {
			q := &g.parts[k]
			p.kinds |= 1 << q.Kind
			if !Learnable(q.Kind) && q.Kind != event.KindEmpty {
				anyTyped = true
			}
			if q.Token != p.token {
				p.literal = false
			}
			if p.text == "" {
				p.text = q.Text
			}
		}
		if anyTyped {
			typed++
			p.literal = false
		} else if p.literal {
			fixed++
		}
		if !p.literal {
			p.token, p.text = 0, ""
		}
		pieces[k] = p
	}
	last := parts[len(parts)-1]
	whole := sum*5 >= calls*3
	plain := true // joined as names are
	for _, p := range parts {
		if p.Sep != "" && p.Sep != "." && p.Sep != "-" && p.Sep != "_" {
			plain = false
		}
	}
	switch {
	case typed > 0 && fixed > 0 && last.Kind != event.KindEmpty && pieces[len(pieces)-1].literal && parts[len(parts)-1].Sep == ".":
		// {id}.json
	case typed > 0 && !plain:
		// {a},{b}, items('{id}'), {id}:cancel
		if last.Sep == ":" && Learnable(last.Kind) {
			return verbs(gs, pieces)
		}
	case typed > 0 && whole && len(parts) == 2 && last.Sep == ".":
		// {sha}.{format}
	case typed > 0 && whole && fixed > 0:
		// report-{date}.pdf
	case typed == 0 && !plain && whole && len(gs) > 1:
		// {from}..{to}
	case typed == 0 && len(gs) > 1 && len(parts) == 2 && pieces[1].literal && format(&parts[1]):
		// {name}.json
	default:
		return nil
	}
	return []slot{{groups: gs, pieces: pieces}}
}

// splitBy makes a slot of each value of piece k, which becomes a literal.
func splitBy(gs []*group, pieces []slotPiece, k int) []slot {
	var out []slot
	for _, g := range gs {
		tok := g.parts[k].Token
		i := slices.IndexFunc(out, func(s slot) bool { return s.pieces[k].token == tok })
		if i < 0 {
			ps := slices.Clone(pieces)
			ps[k].literal, ps[k].token, ps[k].text = true, tok, g.parts[k].Text
			out = append(out, slot{pieces: ps})
			i = len(out) - 1
		}
		out[i].groups = append(out[i].groups, g)
	}
	return out
}

// verbs: {id}:cancel and {id}:undelete are different operations (AIP-136 custom methods).
func verbs(gs []*group, pieces []slotPiece) []slot { return splitBy(gs, pieces, len(pieces)-1) }

// matches says whether the pieces of s are those of the slot.
func (p pieceSet) matches(s *event.Segment) bool {
	rest := len(p) > 0 && p[len(p)-1].rest
	if len(s.Parts) != len(p) && !(rest && len(s.Parts) > len(p)) {
		return false
	}
	for k := range p {
		q := &s.Parts[k]
		if p[k].rest {
			return q.Sep == p[k].sep && q.Kind != event.KindEmpty
		}
		if q.Sep != p[k].sep || p[k].literal && q.Token != p[k].token || (q.Kind == event.KindEmpty) != (p[k].kinds == 1<<event.KindEmpty) {
			return false
		}
	}
	return true
}

type pieceSet []slotPiece
