package endpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const saveMagic = "gnomon-learner-1\n"

// MarshalBinary writes the state. Learners that observed the same have the same bytes.
func (l *Learner) MarshalBinary() ([]byte, error) {
	b := append(make([]byte, 0, 64+48*l.used), saveMagic...)
	for _, v := range [...]uint64{uint64(l.children), l.lost.Calls, l.lost.Words, l.attempts} {
		b = binary.AppendUvarint(b, v)
	}
	return l.save(b, 0)
}

func (l *Learner) save(b []byte, i uint32) ([]byte, error) {
	nd := &l.nodes[i]
	if i != 0 {
		b = binary.LittleEndian.AppendUint64(b, nd.token)
		b = append(b, byte(nd.kind))
		shape := shapeBytes(&nd.shape)
		b = append(b, shape[:]...)
		b = binary.LittleEndian.AppendUint64(b, nd.distinct)
		b = appendString(b, nd.text)
		b = binary.AppendUvarint(b, uint64(len(nd.parts)))
		for k := range nd.parts {
			p := &nd.parts[k]
			b = appendString(b, p.Sep)
			b = append(b, byte(p.Kind))
			b = binary.LittleEndian.AppendUint64(b, p.Token)
			shape := shapeBytes(&p.Shape)
			b = append(b, shape[:]...)
			b = appendString(b, p.Text)
		}
	}
	var calls end
	if nd.end != 0 {
		calls = l.ends[nd.end]
	}
	mask := byte(0)
	for m, n := range calls {
		if n > 0 {
			mask |= 1 << m
		}
	}
	b = append(b, mask)
	for _, n := range calls {
		if n > 0 {
			b = binary.AppendUvarint(b, n)
		}
	}
	kids := make([]uint32, 0, nd.kids)
	for c := nd.child; c != 0; c = l.nodes[c].next {
		kids = append(kids, c)
	}
	slices.SortFunc(kids, func(x, y uint32) int {
		if l.nodes[x].token < l.nodes[y].token {
			return -1
		}
		return 1
	})
	b = binary.AppendUvarint(b, uint64(len(kids)))
	var err error
	for _, c := range kids {
		if b, err = l.save(b, c); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

const shapeSize = 18

func shapeBytes(s *event.Shape) (b [shapeSize]byte) {
	binary.LittleEndian.PutUint16(b[0:], s.Word)
	binary.LittleEndian.PutUint16(b[2:], s.Head)
	binary.LittleEndian.PutUint16(b[4:], s.Tail)
	copy(b[6:], []byte{s.Len, s.Lower, s.Upper, s.Digits, s.Seps, s.Other, s.Pieces, s.Hits, s.Vowels, s.Run, s.Turns, byte(s.Flags)})
	return b
}

func shapeOf(b []byte) event.Shape {
	return event.Shape{Word: binary.LittleEndian.Uint16(b), Head: binary.LittleEndian.Uint16(b[2:]), Tail: binary.LittleEndian.Uint16(b[4:]),
		Len: b[6], Lower: b[7], Upper: b[8], Digits: b[9], Seps: b[10], Other: b[11], Pieces: b[12], Hits: b[13], Vowels: b[14], Run: b[15],
		Turns: b[16], Flags: event.ShapeFlags(b[17])}
}

// ErrState is the error of a saved state that cannot be read: written by a newer version, or damaged. Learn anew.
var ErrState = errors.New("endpoint: saved state cannot be read")

// UnmarshalBinary replaces the state with what MarshalBinary wrote. l keeps its Config; what exceeds its bounds is cut
// and counted as if it had been observed.
func (l *Learner) UnmarshalBinary(b []byte) error {
	if len(b) < len(saveMagic) || string(b[:len(saveMagic)]) != saveMagic {
		return fmt.Errorf("%w: not a learner's state of this version", ErrState)
	}
	if l.cfg.MaxNodes == 0 {
		l.cfg = Config{}.withDefaults()
	}
	l.reset()
	r := reader{b: b[len(saveMagic):]}
	children := r.uvarint()
	l.lost.Calls, l.lost.Words, l.attempts = r.uvarint(), r.uvarint(), r.uvarint()
	if children < uint64(l.children) {
		l.children = max(1, int(children))
	}
	l.load(&r, 0, 0, false)
	if r.bad || len(r.b) != 0 {
		l.reset()
		return fmt.Errorf("%w: damaged", ErrState)
	}
	if l.used > l.cfg.MaxNodes {
		l.shrink()
	}
	return nil
}

// load reads what follows node i; skip: it was refused, and only its calls are counted.
func (l *Learner) load(r *reader, i uint32, depth int, skip bool) {
	mask := r.byte()
	for m := range numMethods {
		if mask&(1<<m) != 0 {
			n := r.uvarint()
			if skip {
				l.lost.Calls += n
			} else if n > 0 && !r.bad {
				l.endAt(i)[m] += n
			}
		}
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		tok := r.uint64()
		s := event.Segment{Kind: event.Kind(r.byte()), Token: tok}
		if sh := r.bytes(shapeSize); sh != nil {
			s.Shape = shapeOf(sh)
		}
		distinct := r.uint64()
		s.Text = r.string()
		parts := r.uvarint()
		if parts > 64 {
			r.bad = true
		}
		for ; parts > 0 && !r.bad; parts-- {
			p := event.Part{Sep: r.string(), Kind: event.Kind(r.byte()), Token: r.uint64()}
			if sh := r.bytes(shapeSize); sh != nil {
				p.Shape = shapeOf(sh)
			}
			p.Text = r.string()
			s.Parts = append(s.Parts, p)
		}
		if r.bad || int(s.Kind) >= event.NumKinds || depth > 1<<10 {
			r.bad = true
			return
		}
		c, ok := uint32(0), false
		if !skip && depth < l.cfg.MaxDepth {
			if c, ok = l.find(i, tok), true; c == 0 {
				c, ok = l.add(i, tok, &s)
			}
		}
		if ok {
			l.nodes[c].distinct |= distinct
		} else if !skip {
			l.lost.Words++
		}
		l.load(r, c, depth+1, !ok)
	}
}

// reader reads bounded pieces; after the end everything is zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if v := r.bytes(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string { return string(r.bytes(r.uvarint())) }
