package inventory

import (
	"math/bits"
	"unsafe"
)

const (
	k0 = 0xa0761d6478bd642f
	k1 = 0xe7037ed1a0b428db
)

// mix folds the 128-bit product, as wyhash does: 1 ns, every bit of both reaches every bit of the result.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^k0, b^k1)
	return hi ^ lo
}

// hashString is a keyed hash of s, 3 ns for 20 bytes. Not cryptographic: a collision joins two names of one list and never
// changes a count.
func hashString(seed uint64, s string) uint64 {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	h := seed ^ uint64(len(b))*k1
	for len(b) >= 8 {
		h = mix(h, le64(b))
		b = b[8:]
	}
	var last uint64
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	return mix(mix(h, last), k0)
}

func le64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
