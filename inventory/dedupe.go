package inventory

import "github.com/gnomon-sensor/gnomon/inventory/event"

// seen remembers the newest call ids as hashes in two generations of an open-addressing table: when the younger one is
// half full the older is dropped. 8 bytes an id at half load, no allocation, and no list to keep in order.
type seen struct {
	young, old []uint64
	n          int
}

func newSeen(ids int) seen {
	size := 1
	for size < 2*ids {
		size <<= 1
	}
	return seen{young: make([]uint64, size), old: make([]uint64, size)}
}

// add says whether h is new, and remembers it.
func (s *seen) add(h uint64) bool {
	h |= 1 // 0 marks an empty slot
	if find(s.old, h) >= 0 {
		return false
	}
	at := find(s.young, h)
	if at >= 0 {
		return false
	}
	s.young[^at] = h
	if s.n++; 2*s.n >= len(s.young) {
		s.young, s.old, s.n = s.old, s.young, 0
		clear(s.young)
	}
	return true
}

func (s *seen) has(h uint64) bool {
	return find(s.young, h|1) >= 0 || find(s.old, h|1) >= 0
}

// find returns the slot of h, or the complement of the free slot where it belongs. The tables are never full.
func find(t []uint64, h uint64) int {
	mask := len(t) - 1
	for i := int(h>>20) & mask; ; i = (i + 1) & mask {
		switch t[i] {
		case h:
			return i
		case 0:
			return ^i
		}
	}
}

// lasting is the last revision of a call that is not done, kept so that the next one replaces it.
type lasting struct {
	leaf *leaf
	call *event.Call
}
