package event

// ID is a Call's id as a number: 80 bits of a keyed hash. Rooms on the hot path pass it on instead of a string, and only
// a Call that leaves the node has its string made.
type ID struct {
	Hi uint64
	Lo uint16
}

const idDigits = "0123456789abcdefghjkmnpqrstvwxyz"

// String is id in 16 digits of Crockford's base 32, lower case.
func (id ID) String() string {
	var b [16]byte
	hi, lo := id.Hi, uint64(id.Lo)
	for i := 15; i >= 0; i-- {
		b[i] = idDigits[lo&31]
		lo = lo>>5 | hi&31<<11
		hi >>= 5
	}
	return string(b[:])
}
