package event

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Body is the shape of one JSON or form body, or of many alike: what stood at each place, never what it was. It is a flat
// list rather than a tree, since that is filled in one pass over a body without allocating once the places are interned,
// and merges by merging two sorted lists. A required field is one that was in every object: its N is its parent's Objects.
type Body struct {
	Fields []Field `json:"fields"`            // sorted by At, each place once; Fields[0].At is "$"
	Bodies uint64  `json:"bodies"`            // how many bodies this tells of, those cut included
	CutOff uint64  `json:"cut_off,omitempty"` // of them, how many were captured in part or had more than a bound allows
}

// Field is one place of a Body.
type Field struct {
	// At is the place: "$", "$.items", "$.items[]", "$.items[].sku". A key that looks like data rather than like a field's name,
	// or that may not leave, is one of "*".
	At    string    `json:"at"`
	Types JSONTypes `json:"types"`
	Kinds KindSet   `json:"kinds,omitempty"` // of the strings
	// N counts how often it was there. Inside of objects it is counted when the object ends, so that one cut off in the middle
	// tells which fields exist (with N unchanged) but not which are missing.
	N       uint64 `json:"n"`
	Objects uint64 `json:"objects,omitempty"` // how many objects stood here that were seen to their end
}

// JSONTypes is a set of the types of RFC 8259, with integers apart from other numbers.
type JSONTypes uint8

// The types. Form fields are JSONString.
const (
	JSONNull JSONTypes = 1 << iota
	JSONBoolean
	JSONInteger
	JSONNumber
	JSONString
	JSONArray
	JSONObject
)

var jsonTypeNames = [...]string{"null", "boolean", "integer", "number", "string", "array", "object"}

// Names lists the types of t in a fixed order, by the names that JSON Schema gives them.
func (t JSONTypes) Names() []string {
	list := make([]string, 0, 2)
	for i, n := range jsonTypeNames {
		if t&(1<<i) != 0 {
			list = append(list, n)
		}
	}
	return list
}

// KindSet is a set of Kinds.
type KindSet uint32

// Add puts k into s.
func (s *KindSet) Add(k Kind) { *s |= 1 << k }

// Has says whether k is in s.
func (s KindSet) Has(k Kind) bool { return s&(1<<k) != 0 }

// One is the only kind in s, else KindString.
func (s KindSet) One() Kind {
	for k := range Kind(len(kindNames)) {
		if s == 1<<k {
			return k
		}
	}
	return KindString
}

// MaxBodyFields bounds Fields; a merge that would pass it drops the places that sort last and counts a cut.
const MaxBodyFields = 512

// Merge adds what o tells to b. Fields of o are copied. It allocates only when o has places that b lacks.
func (b *Body) Merge(o *Body) {
	b.Bodies += o.Bodies
	b.CutOff += o.CutOff
	i, missing := 0, 0
	for j := range o.Fields {
		f := &o.Fields[j]
		for i < len(b.Fields) && b.Fields[i].At < f.At {
			i++
		}
		if i < len(b.Fields) && b.Fields[i].At == f.At {
			b.Fields[i].add(f)
		} else {
			missing++
		}
	}
	if missing == 0 {
		return
	}
	known := len(b.Fields)
	for j := range o.Fields {
		f := &o.Fields[j]
		if _, ok := slices.BinarySearchFunc(b.Fields[:known], f.At, byPlace); !ok {
			b.Fields = append(b.Fields, *f)
		}
	}
	slices.SortFunc(b.Fields, func(x, y Field) int { return strings.Compare(x.At, y.At) })
	if len(b.Fields) > MaxBodyFields {
		b.Fields = slices.Clip(b.Fields[:MaxBodyFields])
		b.CutOff = max(b.CutOff, 1)
	}
}

func byPlace(f Field, at string) int { return strings.Compare(f.At, at) }

// Find returns the field at the place, nil where there is none.
func (b *Body) Find(at string) *Field {
	if i, ok := slices.BinarySearchFunc(b.Fields, at, byPlace); ok {
		return &b.Fields[i]
	}
	return nil
}

func (f *Field) add(o *Field) {
	f.Types |= o.Types
	f.Kinds |= o.Kinds
	f.N += o.N
	f.Objects += o.Objects
}

// CopyFrom makes b a copy of src that may be kept, reusing b's memory.
func (b *Body) CopyFrom(src *Body) {
	fields := append(b.Fields[:0], src.Fields...)
	*b = *src
	b.Fields = fields
}

// MarshalJSON gives the names.
func (t JSONTypes) MarshalJSON() ([]byte, error) { return t.appendJSON(nil), nil }

func (t JSONTypes) appendJSON(b []byte) []byte {
	b = append(b, '[')
	start := len(b)
	for i, n := range jsonTypeNames {
		if t&(1<<i) != 0 {
			b = append(append(append(comma(b, start), '"'), n...), '"')
		}
	}
	return append(b, ']')
}

// UnmarshalJSON reads what MarshalJSON gives.
func (t *JSONTypes) UnmarshalJSON(b []byte) error {
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return fmt.Errorf("JSON types %.40q: want a list of names", b)
	}
	*t = 0
	for _, n := range names {
		i := slices.Index(jsonTypeNames[:], n)
		if i < 0 {
			return fmt.Errorf("JSON type %.40q: want one of %q", n, jsonTypeNames)
		}
		*t |= 1 << i
	}
	return nil
}

// MarshalJSON gives the names of the kinds.
func (s KindSet) MarshalJSON() ([]byte, error) { return s.appendJSON(nil), nil }

func (s KindSet) appendJSON(b []byte) []byte {
	b = append(b, '[')
	start := len(b)
	for k := range Kind(len(kindNames)) {
		if s.Has(k) {
			b = append(append(append(comma(b, start), '"'), kindNames[k]...), '"')
		}
	}
	return append(b, ']')
}

// UnmarshalJSON reads what MarshalJSON gives.
func (s *KindSet) UnmarshalJSON(b []byte) error {
	var kinds []Kind
	if err := json.Unmarshal(b, &kinds); err != nil {
		return fmt.Errorf("kinds %.40q: %w", b, err)
	}
	*s = 0
	for _, k := range kinds {
		s.Add(k)
	}
	return nil
}
