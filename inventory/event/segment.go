package event

import (
	"encoding/hex"
	"fmt"
)

// Segment is one path segment as it may leave the node: what kind of thing it is, a keyed token that is the same for
// the same text, and its shape. The template learner decides on these alone; Text is there to print.
type Segment struct {
	Kind  Kind   `json:"kind"`
	Text  string `json:"text,omitempty"`         // decoded; only of words, and only where the names policy allows
	Token uint64 `json:"token,omitempty,string"` // keyed, the same for the same text within one installation and key epoch
	Shape Shape  `json:"shape,omitzero"`
	Parts []Part `json:"parts,omitempty"` // a segment of several pieces, in order: "report-17.pdf", "a..b", "items('17')", "17:cancel"
}

// Part is one piece of a Segment. The punctuation between pieces is text: it says how values are joined, not what they are.
type Part struct {
	Sep   string `json:"sep,omitempty"` // punctuation before the piece, at most 4 bytes
	Kind  Kind   `json:"kind"`          // KindEmpty: nothing after Sep, the segment ends
	Text  string `json:"text,omitempty"`
	Token uint64 `json:"token,omitempty,string"`
	Shape Shape  `json:"shape,omitzero"`
}

// Clone returns a Segment that shares no memory with s but its strings.
func (s Segment) Clone() Segment {
	if s.Parts != nil {
		s.Parts = append([]Part(nil), s.Parts...)
	}
	return s
}

// Shape is what may be said of a word without telling it: lengths, character classes and which of its pieces are in the
// built-in list of API words (inventory/event/words). Pieces are what punctuation, camelCase and digits separate. All
// counts stop at 255. Fixed size and no pointer, so that a million of them are cheap to keep.
type Shape struct {
	Word   uint16     // index of the whole segment in words, 0 when not listed
	Head   uint16     // index of its first piece
	Tail   uint16     // index of its last piece
	Len    uint8      // bytes
	Lower  uint8      // ASCII a-z
	Upper  uint8      // ASCII A-Z
	Digits uint8      // ASCII 0-9
	Seps   uint8      // punctuation
	Other  uint8      // everything else
	Pieces uint8      // pieces of letters
	Hits   uint8      // pieces that are listed
	Vowels uint8      // among the letters
	Run    uint8      // longest run of consonants
	Turns  uint8      // changes between letter and digit
	Flags  ShapeFlags //
}

// ShapeFlags are the yes-or-no facts of a Shape.
type ShapeFlags uint8

// The facts. FlagPlural: the last piece ends in s, but not in ss.
const (
	FlagPlural ShapeFlags = 1 << iota
	FlagDigitFirst
	FlagUpperFirst
	FlagCamel
	FlagDash
	FlagUnderscore
	FlagDot
	FlagPunct // any other punctuation
)

const shapeLen = 18

func (s Shape) bytes() (b [shapeLen]byte) {
	b[0], b[1], b[2], b[3], b[4], b[5] = byte(s.Word>>8), byte(s.Word), byte(s.Head>>8), byte(s.Head), byte(s.Tail>>8), byte(s.Tail)
	b[6], b[7], b[8], b[9], b[10], b[11] = s.Len, s.Lower, s.Upper, s.Digits, s.Seps, s.Other
	b[12], b[13], b[14], b[15], b[16], b[17] = s.Pieces, s.Hits, s.Vowels, s.Run, s.Turns, byte(s.Flags)
	return b
}

// MarshalText gives the fields in their order as 36 hexadecimal digits: it travels in every Call.
func (s Shape) MarshalText() ([]byte, error) {
	b := s.bytes()
	return hex.AppendEncode(nil, b[:]), nil
}

// UnmarshalText reads what MarshalText gives.
func (s *Shape) UnmarshalText(t []byte) error {
	var b [shapeLen]byte
	if len(t) != 2*shapeLen {
		return fmt.Errorf("shape %.40q: want %d hexadecimal digits", t, 2*shapeLen)
	}
	if _, err := hex.Decode(b[:], t); err != nil {
		return fmt.Errorf("shape %.40q: %w", t, err)
	}
	be := func(i int) uint16 { return uint16(b[i])<<8 | uint16(b[i+1]) }
	*s = Shape{Word: be(0), Head: be(2), Tail: be(4), Len: b[6], Lower: b[7], Upper: b[8], Digits: b[9], Seps: b[10], Other: b[11],
		Pieces: b[12], Hits: b[13], Vowels: b[14], Run: b[15], Turns: b[16], Flags: ShapeFlags(b[17])}
	return nil
}

// Kind is what a value looks like.
type Kind uint8

// The kinds. KindString is text that looks like nothing else. KindWord is text that may be a literal of the API: in a
// path the only kind, with KindVersion and short integers, that a template keeps as it stands.
const (
	KindString   Kind = iota
	KindWord          // letters, digits and joining punctuation that read like a name
	KindInteger       // decimal digits, a sign allowed
	KindUUID          // RFC 9562, any version, with its dashes (without, it is hex)
	KindEmpty         // no bytes: the segment after a trailing slash
	KindNumber        // decimal fraction
	KindBoolean       // true, false
	KindULID          // 26 characters of Crockford's base 32, first 0-7
	KindHex           // 8 or more hexadecimal digits, letters and digits among them
	KindDate          // 2026-11-24 and its like
	KindDateTime      // date with time of day
	KindEmail         //
	KindBase64        // standard or URL-safe, long and mixed: keys, cursors, nanoids
	KindPrefixed      // cus_9s6XKzkNRiz8i3: a word, _ or -, and a random rest
	KindVersion       // v1, 2.0, 1.1.3, v2beta1
	KindLocale        // en, de-AT, pt_BR; only where the position says so, since "me" and "id" look alike
	KindIP            // IPv4 or IPv6
	KindHost          // a domain name, a port allowed
	KindURL           // with a scheme
	KindFile          // a name with a known extension
	KindJWT           //
	KindPhone         // + and digits
	KindRandom        // letters and digits without the rhythm of words
	KindMixed         // several typed pieces joined by punctuation
)

var kindNames = []string{"string", "word", "integer", "uuid", "empty", "number", "boolean", "ulid", "hex", "date", "datetime", "email",
	"base64", "prefixed", "version", "locale", "ip", "host", "url", "file", "jwt", "phone", "random", "mixed"}

// NumKinds is how many kinds there are; the learner keeps tables of that size.
const NumKinds = int(KindMixed) + 1

func (v Kind) String() string                { return name(kindNames, v) }
func (v Kind) MarshalText() ([]byte, error)  { return []byte(v.String()), nil }
func (v *Kind) UnmarshalText(b []byte) error { return parse("kind", kindNames, b, v) }
