package event

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Sketch holds a Tally's distributions. Mergeable.
type Sketch struct {
	Latency, RequestSize, ResponseSize Histogram
	Distinct                           []Distinct // by parameter, in order of first appearance
}

// Distinct estimates how many different values a parameter had.
type Distinct struct {
	In     In
	Name   string
	Values Set
}

// Histogram counts values ≥ 0 in buckets of 1/16 of a power of two (log-linear, as HdrHistogram has them): a quantile is
// within 3.2 % of the true value, values under 16 are exact, and two of them merge by adding. Finding the bucket is a
// count of leading zeros and a shift (1 ns) where DDSketch's logarithm costs 10. Counts is a window over the buckets that
// were used, so one that saw a single value is a few bytes. The zero value is empty.
type Histogram struct {
	Low    int16    `json:"low"`    // bucket of Counts[0]
	Counts []uint64 `json:"counts"` //
}

// HistogramBuckets is how many buckets there are: every int64 ≥ 0 has one.
const HistogramBuckets = 16*59 + 16

func bucket(v int64) int16 {
	if v < 16 {
		return int16(max(v, 0))
	}
	e := bits.Len64(uint64(v)) - 5 // v>>e is 16…31
	return int16(e<<4 + int(v>>e))
}

// middle is the value that stands for a bucket.
func middle(b int16) int64 {
	if b < 32 {
		return int64(b)
	}
	e := int(b>>4) - 1
	low := int64(b&15|16) << e
	return low + int64(1)<<e>>1
}

// Add counts v n times. It allocates only when v lies outside of the window.
func (h *Histogram) Add(v int64, n uint64) {
	i := int(bucket(v)) - int(h.Low)
	if uint(i) >= uint(len(h.Counts)) {
		i = h.widen(i)
	}
	h.Counts[i] += n
}

// Remove takes n of v back, which Add counted before.
func (h *Histogram) Remove(v int64, n uint64) {
	if i := int(bucket(v)) - int(h.Low); uint(i) < uint(len(h.Counts)) {
		h.Counts[i] -= min(n, h.Counts[i])
	}
}

// widen grows the window so that it holds index i of the old one, and returns i in the new.
func (h *Histogram) widen(i int) int {
	switch {
	case len(h.Counts) == 0:
		h.Low += int16(i)
		h.Counts = append(h.Counts, 0)
		return 0
	case i < 0:
		n := len(h.Counts)
		if n-i > cap(h.Counts) {
			grown := make([]uint64, n-i, n-i+4)
			copy(grown[-i:], h.Counts)
			h.Counts = grown
		} else {
			h.Counts = h.Counts[:n-i]
			copy(h.Counts[-i:], h.Counts[:n])
			clear(h.Counts[:-i])
		}
		h.Low += int16(i)
		return 0
	default:
		for len(h.Counts) <= i {
			h.Counts = append(h.Counts, 0)
		}
		return i
	}
}

// Merge adds what o counted.
func (h *Histogram) Merge(o *Histogram) {
	if len(o.Counts) == 0 {
		return
	}
	for _, b := range [2]int{int(o.Low), int(o.Low) + len(o.Counts) - 1} {
		if i := b - int(h.Low); uint(i) >= uint(len(h.Counts)) {
			h.widen(i)
		}
	}
	at := h.Counts[o.Low-h.Low:]
	for i, n := range o.Counts {
		at[i] += n
	}
}

// Reset empties h and keeps its memory.
func (h *Histogram) Reset() { h.Low, h.Counts = 0, h.Counts[:0] }

// Count is how many values were added.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Quantile returns the value at q of 0…1, 0 when nothing was added.
func (h *Histogram) Quantile(q float64) int64 {
	rank := uint64(math.Ceil(q * float64(h.Count())))
	for i, c := range h.Counts {
		if c >= rank && c > 0 {
			return middle(h.Low + int16(i))
		}
		rank -= c
	}
	return 0
}

// Set counts distinct values by their hashes: exactly up to 32, and beyond it with HyperLogLog (Flajolet et al. 2007, 256
// registers, standard error 6.5 %). The result does not depend on the order, and two of them merge. As bytes: a multiple of 8 with
// the hashes as they came, or one byte 1 and the registers. The zero value is empty.
type Set []byte

const (
	setExact     = 32
	setRegisters = 256
)

// Add counts the value whose 64-bit hash is v. v must be well mixed. It says whether v is certainly new.
func (s *Set) Add(v uint64) bool {
	b := *s
	if len(b)%8 != 0 {
		b.register(v)
		return false
	}
	for i := 0; i+8 <= len(b); i += 8 {
		if binary.LittleEndian.Uint64(b[i:]) == v {
			return false
		}
	}
	if len(b) < 8*setExact {
		*s = binary.LittleEndian.AppendUint64(b, v)
		return true
	}
	*s = b.dense()
	(*s).register(v)
	return true
}

func (s Set) dense() Set {
	d := make(Set, 1+setRegisters)
	d[0] = 1
	for i := 0; i+8 <= len(s); i += 8 {
		d.register(binary.LittleEndian.Uint64(s[i:]))
	}
	return d
}

func (s Set) register(v uint64) {
	if len(s) != 1+setRegisters {
		return
	}
	r := byte(bits.LeadingZeros64(v<<8|1<<7) + 1)
	if at := &s[1+v>>56]; r > *at {
		*at = r
	}
}

// Merge adds what o counted.
func (s *Set) Merge(o Set) {
	if len(o)%8 == 0 {
		for i := 0; i+8 <= len(o); i += 8 {
			s.Add(binary.LittleEndian.Uint64(o[i:]))
		}
		return
	}
	if len(o) != 1+setRegisters {
		return
	}
	if len(*s)%8 == 0 {
		*s = s.dense()
	}
	for i := 1; i < len(*s) && i < len(o); i++ {
		(*s)[i] = max((*s)[i], o[i])
	}
}

// Count is how many different values were added, exact up to 32.
func (s Set) Count() uint64 {
	if len(s)%8 == 0 {
		return uint64(len(s) / 8)
	}
	var sum float64
	zero := 0
	for _, r := range s[1:] {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			zero++
		}
	}
	const m = setRegisters
	e := 0.7182725932495458 * m * m / sum // alpha of 256 registers
	if e <= 2.5*m && zero > 0 {
		e = m * math.Log(float64(m)/float64(zero))
	}
	return uint64(e + 0.5)
}

// HashOf is the 64-bit hash that stands in a Set for the value whose Param.Hash is hash: the same whether the value was counted
// from a Call or in a Tally.
func HashOf(hash string) uint64 {
	v := uint64(14695981039346656037) // FNV-1a
	for i := range len(hash) {
		v = (v ^ uint64(hash[i])) * 1099511628211
	}
	v ^= v >> 32
	v *= 0xbf58476d1ce4e5b9
	v ^= v >> 29
	v *= 0x94d049bb133111eb
	return v ^ v>>32
}
