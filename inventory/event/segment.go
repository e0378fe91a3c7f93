package event

// Segment is one path segment as it may leave the node.
type Segment struct {
	Kind  Kind   `json:"kind"`
	Text  string `json:"text,omitempty"`  // only where the names policy allows
	Token uint64 `json:"token,omitempty"` // keyed, the same for the same text within one installation and key epoch
}

// Kind is what a value looks like.
type Kind uint8

// KindString is text that looks like nothing else; KindWord, a path segment that may be a literal.
const (
	KindString Kind = iota
	KindWord
	KindInteger
	KindUUID
)

var kindNames = []string{"string", "word", "integer", "uuid"}

func (v Kind) String() string                { return name(kindNames, v) }
func (v Kind) MarshalText() ([]byte, error)  { return []byte(v.String()), nil }
func (v *Kind) UnmarshalText(b []byte) error { return parse("kind", kindNames, b, v) }
