package conn

import "github.com/gnomon-sensor/gnomon/agent/ledger"

// keep appends b to what is kept of s.
func (t *Table) keep(s *stream, b []byte) {
	if s.tail == nil {
		if n := len(t.buffers); n > 0 {
			s.tail, t.buffers = t.buffers[n-1], t.buffers[:n-1]
		} else {
			s.tail = make([]byte, 0, max(1024, len(b)))
		}
	}
	s.tail = append(s.tail, b...)
}

// discard takes the first n bytes off what is kept.
func (t *Table) discard(s *stream, n int) {
	if n == len(s.tail) {
		t.free(s)
	} else if n > 0 {
		s.tail = s.tail[:copy(s.tail, s.tail[n:])]
	}
}

// discardUsed does so when b, of which n bytes were used, may be what is kept.
func (t *Table) discardUsed(s *stream, b []byte, n int) {
	if len(s.tail) > 0 && &s.tail[0] == &b[0] {
		t.discard(s, n)
	}
}

// lose accounts for what is kept as lost and frees it.
func (t *Table) lose(s *stream, why ledger.Reason) {
	if len(s.tail) > 0 {
		t.cfg.Ledger.Bytes.Lose(why, uint64(len(s.tail)))
	}
	t.free(s)
}

// free gives the buffer back, unless an odd message has made it large: 256 buffers of at most 16 KiB are kept.
func (t *Table) free(s *stream) {
	if s.tail != nil && cap(s.tail) <= 16<<10 && len(t.buffers) < 256 {
		t.buffers = append(t.buffers, s.tail[:0])
	}
	s.tail, s.need = nil, 0
}

// list is a list of connections in the order of their activity. head.next is the newest.
type list struct{ head conn }

func (l *list) init() { l.head.next, l.head.prev = &l.head, &l.head }

func (l *list) push(k *conn) {
	k.prev, k.next = &l.head, l.head.next
	k.prev.next, k.next.prev = k, k
}

func (l *list) remove(k *conn) {
	k.prev.next, k.next.prev = k.next, k.prev
	k.prev, k.next = nil, nil
}

func (l *list) touch(k *conn) {
	l.remove(k)
	l.push(k)
}

func (l *list) oldest() *conn {
	if k := l.head.prev; k != &l.head {
		return k
	}
	return nil
}
