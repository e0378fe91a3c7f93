package detect

// table is a map of bounded size that forgets what was used longest ago. Its order is that of use, not that of Go's maps, so
// that the same calls always lead to the same evictions, hence to the same alerts. Pointers it returns stay valid until the
// next put.
type table[V any] struct {
	at   map[uint64]*slot[V]
	head *slot[V] // newest
	tail *slot[V]
	max  int
	cut  uint64 // how many were forgotten to keep to max
}

type slot[V any] struct {
	key        uint64
	prev, next *slot[V]
	val        V
}

func newTable[V any](most int) table[V] {
	return table[V]{at: make(map[uint64]*slot[V]), max: most}
}

// get returns the value of k and counts that as a use; nil if there is none.
func (t *table[V]) get(k uint64) *V {
	s := t.at[k]
	if s == nil {
		return nil
	}
	t.touch(s)
	return &s.val
}

// peek is get without a use.
func (t *table[V]) peek(k uint64) *V {
	if s := t.at[k]; s != nil {
		return &s.val
	}
	return nil
}

// put returns the value of k, making a zero one if there is none; fresh says so.
func (t *table[V]) put(k uint64) (v *V, fresh bool) {
	if v := t.get(k); v != nil {
		return v, false
	}
	var s *slot[V]
	if len(t.at) >= t.max && t.tail != nil {
		s = t.tail
		t.unlink(s)
		delete(t.at, s.key)
		*s = slot[V]{}
		t.cut++
	} else {
		s = new(slot[V])
	}
	s.key = k
	t.at[k] = s
	t.link(s)
	return &s.val, true
}

func (t *table[V]) touch(s *slot[V]) {
	if t.head != s {
		t.unlink(s)
		t.link(s)
	}
}

func (t *table[V]) link(s *slot[V]) {
	s.prev, s.next = nil, t.head
	if t.head != nil {
		t.head.prev = s
	}
	t.head = s
	if t.tail == nil {
		t.tail = s
	}
}

func (t *table[V]) unlink(s *slot[V]) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		t.head = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		t.tail = s.prev
	}
	s.prev, s.next = nil, nil
}

// each visits all, that used longest ago first.
func (t *table[V]) each(f func(k uint64, v *V)) {
	for s := t.tail; s != nil; {
		prev := s.prev
		f(s.key, &s.val)
		s = prev
	}
}

// saved is a table as it is written: oldest use first.
type saved[V any] struct {
	Keys []uint64
	Vals []V
	Cut  uint64
}

func (t *table[V]) save() saved[V] {
	s := saved[V]{Keys: make([]uint64, 0, len(t.at)), Vals: make([]V, 0, len(t.at)), Cut: t.cut}
	t.each(func(k uint64, v *V) {
		s.Keys = append(s.Keys, k)
		s.Vals = append(s.Vals, *v)
	})
	return s
}

func (t *table[V]) load(s saved[V]) {
	*t = newTable[V](t.max)
	for i, k := range s.Keys {
		if i < len(s.Vals) {
			v, _ := t.put(k)
			*v = s.Vals[i]
		}
	}
	t.cut = s.Cut
}
