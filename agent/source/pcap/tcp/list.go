package tcp

// list is a ring of connections, the most silent first. Intrusive: a connection moves at most once a second of packet
// time, without allocation.
type list struct{ root conn }

func (l *list) init() { l.root.prev, l.root.nxt = &l.root, &l.root }

func (l *list) front() *conn {
	if c := l.root.nxt; c != &l.root {
		return c
	}
	return nil
}

func (l *list) push(c *conn) {
	c.prev, c.nxt = l.root.prev, &l.root
	c.prev.nxt, l.root.prev = c, c
}

func (l *list) remove(c *conn) {
	c.prev.nxt, c.nxt.prev = c.nxt, c.prev
	c.prev, c.nxt = nil, nil
}

// pieceCost is what a waiting piece takes besides its buffer.
const pieceCost = 80

// pool recycles the buffers of waiting pieces in four sizes; what is larger (jumbo segments of a sending host) is not kept.
type pool struct{ free [4][][]byte }

var classes = [4]int{512, 2048, 16 << 10, 64 << 10}

const keepPerClass = 64 // at most 5 MB in all: what one burst needed is given back

func (p *pool) copy(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	for i, size := range classes {
		if len(b) > size {
			continue
		}
		if n := len(p.free[i]); n > 0 {
			buf := p.free[i][n-1]
			p.free[i] = p.free[i][:n-1]
			return append(buf[:0], b...)
		}
		return append(make([]byte, 0, size), b...)
	}
	return append([]byte(nil), b...)
}

func (p *pool) put(b []byte) {
	for i, size := range classes {
		if cap(b) == size && len(p.free[i]) < keepPerClass {
			p.free[i] = append(p.free[i], b)
			return
		}
	}
}
