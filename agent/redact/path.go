package redact

import (
	"unicode/utf8"

	"github.com/dchest/siphash"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Names is the policy for words in paths, field names and host labels.
type Names uint8

// NamesLate keeps a word on the node as keyed token and shape unless it is in the list of API words or was revealed;
// NamesClear sends words at once, for where nothing leaves the machine. Typed values leave as text under neither.
const (
	NamesLate Names = iota
	NamesClear
)

// PathConfig configures Paths. The zero value of a bound takes its default.
type PathConfig struct {
	Key         [16]byte // of the tokens: SipHash-2-4, one key per installation and key epoch
	Names       Names
	MaxBytes    int // of a path that are read; default 8,192, what most servers accept. The rest is cut and noted
	MaxSegments int // default 64; the rest is cut and noted
	MaxTexts    int // words kept as strings so that a known word costs no allocation; default 16,384, then they start over
}

// PathNotes says what was normalised or cut in a path.
type PathNotes uint16

// The notes. A path with NoteRefused gives no segments.
const (
	NoteCut       PathNotes = 1 << iota // longer than MaxBytes or MaxSegments
	NoteBadEscape                       // % without two hexadecimal digits: taken as it stands
	NoteDots                            // dot segments were removed (RFC 3986 section 5.2.4)
	NoteAboveRoot                       // and there were more .. than segments: what path traversal does
	NoteSlashes                         // empty segments were removed
	NoteControl                         // control characters, NUL among them
	NoteNotUTF8                         //
	NoteSlash                           // an encoded slash inside a segment
	NoteMatrix                          // matrix parameters (";v=1", RFC 3986 section 3.3) were removed
	NoteRefused                         // does not start with a slash
)

// Paths splits request targets into segments. It is not safe for concurrent use: each shard has one.
type Paths struct {
	cfg      PathConfig
	k0, k1   uint64
	buf      []byte       // decoded bytes of one segment
	parts    []event.Part // arena of the segments of one call
	bounds   [maxParts + 1]piece
	texts    map[string]string
	known    [1 << knownBits]known
	revealed map[uint64]struct{}
}

const (
	maxParts    = 6
	maxRevealed = 1 << 16
)

// NewPaths returns a splitter with cfg's key and policy.
func NewPaths(cfg PathConfig) *Paths {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 8192
	}
	if cfg.MaxSegments <= 0 {
		cfg.MaxSegments = 64
	}
	if cfg.MaxTexts <= 0 {
		cfg.MaxTexts = 16384
	}
	le := func(b []byte) (v uint64) {
		for i := range 8 {
			v |= uint64(b[i]) << (8 * i)
		}
		return v
	}
	return &Paths{cfg: cfg, k0: le(cfg.Key[:8]), k1: le(cfg.Key[8:]), texts: map[string]string{}, revealed: map[uint64]struct{}{}}
}

// Reveal lets the words with these tokens leave as text from now on: they were declared, or the collector judged them
// literals. At most 65,536 are kept; Reveal returns how many were not.
func (p *Paths) Reveal(tokens ...uint64) (refused int) {
	for _, t := range tokens {
		if len(p.revealed) >= maxRevealed {
			refused++
			continue
		}
		p.revealed[t] = struct{}{}
	}
	clear(p.known[:]) // their texts may leave now
	return refused
}

// Token is the keyed token of b: what a Segment with that text carries.
func (p *Paths) Token(b []byte) uint64 { return siphash.Hash(p.k0, p.k1, b) }

// Path appends the segments of raw, the path of a request target, to dst. It stops at ? and #, decodes percent
// escapes, removes dot segments, empty segments and matrix parameters, and keeps a trailing slash as a last segment of
// KindEmpty. Segments' Parts are valid until the next call; raw is not kept. Time and memory are linear in
// min(len(raw), MaxBytes).
func (p *Paths) Path(dst []event.Segment, raw []byte) ([]event.Segment, PathNotes) {
	var notes PathNotes
	if len(raw) == 0 || raw[0] != '/' {
		return dst, NoteRefused
	}
	if len(raw) > p.cfg.MaxBytes {
		raw, notes = raw[:p.cfg.MaxBytes], NoteCut
	}
	first := len(dst)
	p.parts = p.parts[:0]
	for i := 1; ; {
		p.buf = p.buf[:0]
		matrix, ended := false, true
		for ; i < len(raw); i++ {
			from := i
			for i < len(raw) && itself[raw[i]] {
				i++
			}
			if !matrix {
				p.buf = append(p.buf, raw[from:i]...)
			}
			if i == len(raw) {
				break
			}
			c := raw[i]
			if c == '/' {
				ended = false
				break
			}
			if c == '?' || c == '#' {
				i = len(raw)
				break
			}
			if c == ';' && !matrix {
				matrix, notes = true, notes|NoteMatrix
			}
			if matrix {
				continue
			}
			if c == '%' {
				if i+2 < len(raw) {
					if v, ok := unhex(raw[i+1], raw[i+2]); ok {
						c = v
						i += 2
						if c == '/' {
							notes |= NoteSlash
						}
					} else {
						notes |= NoteBadEscape
					}
				} else {
					notes |= NoteBadEscape
				}
			}
			if c < 0x20 || c == 0x7f {
				notes |= NoteControl
			}
			p.buf = append(p.buf, c)
		}
		switch {
		case len(p.buf) == 0 && !ended:
			notes |= NoteSlashes
		case len(p.buf) == 0:
			if len(dst) > first {
				dst = append(dst, event.Segment{Kind: event.KindEmpty})
			}
		case len(p.buf) == 1 && p.buf[0] == '.':
			notes |= NoteDots
		case len(p.buf) == 2 && p.buf[0] == '.' && p.buf[1] == '.':
			notes |= NoteDots
			if len(dst) > first {
				dst = dst[:len(dst)-1]
			} else {
				notes |= NoteAboveRoot
			}
		default:
			if len(dst)-first >= p.cfg.MaxSegments {
				return dst, notes | NoteCut
			}
			dst = append(dst, event.Segment{})
			if !p.segment(&dst[len(dst)-1]) {
				notes |= NoteNotUTF8
			}
		}
		if ended {
			return dst, notes
		}
		i++
	}
}

// Segment fills s from text that is decoded already and is one segment: a gRPC method, a host label, a field name.
func (p *Paths) Segment(text []byte) event.Segment {
	var s event.Segment
	p.parts, p.buf = p.parts[:0], append(p.buf[:0], text...)
	if len(text) == 0 {
		s.Kind = event.KindEmpty
		return s
	}
	p.segment(&s)
	return s
}

// segment fills s from p.buf; false when that is not UTF-8.
func (p *Paths) segment(s *event.Segment) bool {
	b := p.buf
	slot := p.slot(b)
	if slot != nil && string(slot.text[:slot.len]) == string(b) {
		*s = slot.seg
		return true
	}
	s.Token = p.Token(b)
	s.Kind, s.Shape = classify(b)
	ok := s.Shape.Other == 0 || utf8.Valid(b)
	if n := p.pieces(b, s.Kind, &s.Shape); n > 1 {
		p.split(s, b, n, ok)
	}
	if ok && s.Text == "" && textual(s.Kind) {
		s.Text = p.text(b, s.Token, s.Shape.Word)
	}
	if slot != nil && ok && s.Parts == nil && textual(s.Kind) {
		slot.len, slot.seg = uint8(copy(slot.text[:], b)), *s
	}
	return ok
}

// known is a word that came lately. Most segments of most paths are the same few words ("api", "v1", "orders"): looking
// them up took the splitting of a path with one id in it from 340 to 200 ns.
type known struct {
	text [knownLen]byte
	len  uint8
	seg  event.Segment
}

const (
	knownBits = 9
	knownLen  = 24 // longer ones are rarely words
)

// slot is where b is if it is known, nil when it is too long to be kept.
func (p *Paths) slot(b []byte) *known {
	n := len(b)
	if n > knownLen {
		return nil
	}
	h := uint32(n)*0x9e3779b1 ^ uint32(b[0])*0x85ebca6b ^ uint32(b[n/2])*0xc2b2ae35 ^ uint32(b[n-1])*0x27d4eb2f
	return &p.known[h>>(32-knownBits)]
}

// split makes the parts of s from the first n of p.bounds and settles its kind.
func (p *Paths) split(s *event.Segment, b []byte, n int, utf8ok bool) {
	from := len(p.parts)
	typed, words := 0, 0
	for _, q := range p.bounds[:n] {
		part := event.Part{Sep: seps(b[q.sep:q.from]), Kind: event.KindEmpty}
		if q.from < q.to {
			t := b[q.from:q.to]
			part.Token = p.Token(t)
			part.Kind, part.Shape = classify(t)
			if textual(part.Kind) {
				words++
				if utf8ok {
					part.Text = p.text(t, part.Token, part.Shape.Word)
				}
			} else {
				typed++
			}
		}
		p.parts = append(p.parts, part)
	}
	if typed > 0 && s.Kind != event.KindHost {
		s.Kind = event.KindMixed
	}
	s.Parts = p.parts[from:len(p.parts):len(p.parts)]
}

// text returns b as a string where the policy lets it leave, else "".
func (p *Paths) text(b []byte, token uint64, word uint16) string {
	if p.cfg.Names == NamesLate && word == 0 {
		if _, ok := p.revealed[token]; !ok {
			return ""
		}
	}
	if t, ok := p.texts[string(b)]; ok {
		return t
	}
	if len(p.texts) >= p.cfg.MaxTexts {
		clear(p.texts)
	}
	t := string(b)
	p.texts[t] = t
	return t
}

// textual says whether a segment of kind k may be a literal, so that its text may leave.
func textual(k event.Kind) bool {
	switch k {
	case event.KindWord, event.KindVersion, event.KindFile, event.KindHost, event.KindBoolean:
		return true
	}
	return false
}

func unhex(a, b byte) (byte, bool) {
	x, y := hexval[a], hexval[b]
	return x<<4 | y, x|y < 16
}

// itself are the bytes that mean nothing but themselves in a path, and are taken as they come, many at once.
var itself = func() (t [256]bool) {
	for i := range t {
		t[i] = i >= 0x20 && i != 0x7f
	}
	for _, c := range "/?#;%" {
		t[c] = false
	}
	return t
}()

// hexval is a hexadecimal digit's value, 255 for any other byte.
var hexval = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i := range 10 {
		t['0'+i] = byte(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = byte(10+i), byte(10+i)
	}
	return t
}()
