package tcp

import (
	"time"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// settle hands on what can be and gives up what was waited for long enough.
func (a *Assembler) settle(c *conn) {
	for len(c.half[0].pend)+len(c.half[1].pend) > 0 {
		a.drain(c)
		if !a.force(c, false) {
			return
		}
	}
}

// drain hands on every piece whose turn it is. Where both directions have one, the older packet goes first.
func (a *Assembler) drain(c *conn) {
	for {
		best := -1
		for d := range c.half {
			h := &c.half[d]
			for h.ready && len(h.pend) > 0 && (h.eof || h.pend[0].end < h.next || h.pend[0].end == h.next && !h.pend[0].fin) {
				a.stats.Retransmitted += h.pend[0].end - h.pend[0].pos
				a.release(c, a.pop(h))
			}
			if !h.ready || len(h.pend) == 0 || h.pend[0].pos > h.next || a.blockedBy(c, d, &h.pend[0]) {
				continue
			}
			if best < 0 || h.pend[0].time < c.half[best].pend[0].time {
				best = d
			}
		}
		if best < 0 {
			return
		}
		h := &c.half[best]
		p := a.pop(h)
		whole := p
		if p.pos < h.next {
			p.data = p.data[min(h.next-p.pos, uint64(len(p.data))):]
			p.pos = h.next
		}
		a.deliver(c, best, &p)
		a.release(c, whole)
	}
}

// pop takes the first piece off. What waits behind it has waited since it came.
func (a *Assembler) pop(h *half) piece {
	p := h.pend[0]
	n := copy(h.pend, h.pend[1:])
	h.pend[n] = piece{}
	h.pend = h.pend[:n]
	if n > 0 {
		h.waitFrom, h.waitTime = h.pend[0].at, h.pend[0].time
	} else if cap(h.pend) > 64 {
		h.pend = nil
	}
	return p
}

func (a *Assembler) release(c *conn, p piece) {
	n := cap(p.data) + pieceCost
	c.pending -= n
	a.pending -= n
	a.pool.put(p.data)
}

// force ends one wait of c: the oldest that may end, or with over any. It says whether it did.
func (a *Assembler) force(c *conn, over bool) bool {
	best := -1
	for d := range c.half {
		h := &c.half[d]
		if len(h.pend) == 0 || !over && !a.waited(c, d) {
			continue
		}
		if best < 0 || int32(h.waitFrom-c.half[best].waitFrom) < 0 {
			best = d
		}
	}
	if best < 0 {
		return false
	}
	d := best
	h, o := &c.half[d], &c.half[d^1]
	p := &h.pend[0]
	switch {
	case !h.ready:
		a.begin(c, d)
	case p.pos > h.next:
		a.gap(c, d, p.pos, p.time)
	case !a.blockedBy(c, d, p):
	case !o.ready && len(o.pend) > 0:
		a.begin(c, d^1)
	case !o.ready:
		o.beginAt(o.ackLow)
	case len(o.pend) > 0 && o.pend[0].pos <= o.next:
		p.hasAck = false // each waits for the other: no order satisfies both
	default:
		to := o.next + uint64(int64(int32(p.ack-o.seq)))
		if len(o.pend) > 0 {
			to = min(to, o.pend[0].pos)
		}
		a.gap(c, d^1, to, p.time)
	}
	return true
}

// waited says whether the first piece of d has waited long enough and may be served without what it waits for.
func (a *Assembler) waited(c *conn, d int) bool {
	h, o := &c.half[d], &c.half[d^1]
	n, packets := c.pkts-h.waitFrom, uint32(a.cfg.HoldPackets)
	if !h.ready {
		packets /= startHold
	} else if h.pend[0].pos > h.next && o.seen && h.acked <= h.next {
		return false // not received either: a retransmission will come
	}
	return n >= packets || a.now.Sub(h.waitTime) >= a.cfg.HoldTime
}

// begin lets a direction whose start was not seen start with the lowest byte known.
func (a *Assembler) begin(c *conn, d int) {
	h := &c.half[d]
	first := h.pend[0].pos
	base := first
	if h.hasLow {
		// One byte less is where a keep-alive or a FIN counts, not a lost byte.
		low := h.next + uint64(int64(int32(h.ackLow-h.seq)))
		if low+1 < first && first-low <= ackWindow {
			base = low
		}
	}
	h.begin(base)
	a.gap(c, d, first, h.pend[0].time)
}

func (h *half) begin(base uint64) {
	h.seq += uint32(base - h.next)
	h.base, h.next, h.acked = base, base, base
	h.top = max(h.top, base)
	h.ready = true
}

// beginAt starts the direction at a sequence number that is known to be its first.
func (h *half) beginAt(seq uint32) {
	if !h.known {
		h.known, h.seq, h.next, h.top = true, seq, origin, origin
	}
	h.begin(h.next + uint64(int64(int32(seq-h.seq))))
}

// synchronise takes a SYN and returns the connection that it is of, which may be a new one.
func (a *Assembler) synchronise(c *conn, d int, s *Segment) *conn {
	h := &c.half[d]
	if h.syn && h.isn == s.Seq {
		return c
	}
	late := false // the SYN of a connection whose later segments came first
	if h.known && !h.syn {
		p := h.next + uint64(int64(int32(s.Seq+1-h.seq)))
		if h.ready {
			late = p == h.base
		} else {
			late = len(h.pend) == 0 || p <= h.pend[0].pos && h.pend[0].pos-p <= ackWindow
		}
	}
	if (h.syn || h.known) && !late {
		if c.started {
			a.stats.Reused++
		}
		c = a.replace(c)
		h = &c.half[d]
	}
	if !h.ready {
		h.beginAt(s.Seq + 1)
	}
	h.syn, h.isn = true, s.Seq
	c.client = int8(d)
	if s.Flags&ACK != 0 {
		c.client = int8(d ^ 1)
		if o := &c.half[d^1]; !o.ready {
			o.beginAt(s.Ack)
		}
	}
	return c
}

// resetBy takes an RST.
func (a *Assembler) resetBy(c *conn, h *half, s *Segment) {
	if off := int64(int32(s.Seq - h.seq)); h.ready && (off < -rstWindow || off > rstWindow) {
		a.settle(c)
		return
	}
	if c.state != reset {
		a.stats.Resets++
		c.deadline = s.Time.Add(a.cfg.Linger)
		a.move(c, reset)
	}
	a.settle(c)
}

// revive says whether a segment of an ended connection's ports opens another one.
func (a *Assembler) revive(c *conn, d int, s *Segment) bool {
	h := &c.half[d]
	switch {
	case s.Flags&RST != 0:
		return false
	case s.Flags&SYN != 0:
		return !h.syn || h.isn != s.Seq
	case s.Len == 0:
		return false
	case !h.known:
		return true
	}
	off := int64(int32(s.Seq - h.seq))
	return off > 1 || off < -(1<<30)
}

// flush hands on all that waits, with gaps for what did not come.
func (a *Assembler) flush(c *conn) {
	for len(c.half[0].pend)+len(c.half[1].pend) > 0 {
		a.drain(c)
		a.force(c, true)
	}
}

// finish ends a connection. With remember its ports are kept in mind.
func (a *Assembler) finish(c *conn, remember bool) {
	if c.state == ended {
		return
	}
	a.flush(c)
	if c.state == ended { // the flush delivered the last FIN
		return
	}
	for d := range c.half {
		h, o := &c.half[d], &c.half[d^1]
		to := h.acked
		if o.eof || c.state == reset {
			to-- // that may be the FIN, which was not seen
		}
		if c.started && h.ready && h.seen && !h.eof && to > h.next+1 {
			a.gap(c, d, to, c.clock)
		}
	}
	if c.started {
		a.c = chunk.Chunk{Kind: chunk.Close}
		a.emit(c, 0, max(c.clock, c.last))
	}
	for d := range c.half {
		for _, p := range c.half[d].pend { // past a FIN
			a.stats.AfterEnd += p.end - p.pos
			a.release(c, p)
		}
		c.half[d].pend = nil
	}
	a.move(c, ended)
	if !remember {
		a.remove(c)
	}
}

func (a *Assembler) replace(c *conn) *conn {
	a.finish(c, false)
	if c.nxt != nil {
		a.remove(c)
	}
	n := a.add(c.key)
	a.hot = n
	return n
}

func (a *Assembler) add(k key) *conn {
	if len(a.conns) >= a.cfg.MaxConns {
		for _, s := range [...]state{ended, opening, reset, live} {
			if c := a.lists[s].front(); c != nil {
				a.stats.Evicted++
				a.finish(c, false)
				if c.nxt != nil {
					a.remove(c)
				}
				break
			}
		}
	}
	c := &conn{key: k, client: -1, last: a.recent[(a.packets-1)%lag], touched: a.recent[(a.packets-1)%lag]}
	a.stats.Conns++
	a.conns[k] = c
	a.lists[opening].push(c)
	return c
}

func (a *Assembler) remove(c *conn) {
	a.lists[c.state].remove(c)
	delete(a.conns, c.key)
	if a.hot == c {
		a.hot = nil
	}
}

func (a *Assembler) move(c *conn, s state) {
	a.lists[c.state].remove(c)
	c.state = s
	a.lists[s].push(c)
}

// Advance tells that the recording came to time t. The clock is the least time of the last packets, so that one packet
// with a wrong time ends nothing, and packets out of order are not taken for late; when the recording starts over, it
// steps back.
func (a *Assembler) Advance(t event.Time) {
	a.recent[a.packets%lag] = t
	if a.packets++; a.packets == 1 {
		a.now, a.swept, a.tick = t, t, t
	}
	if t < a.now-event.Time(time.Second) {
		a.stats.Backwards++
	}
	if t-a.swept < event.Time(time.Second) && t > a.now-event.Time(5*time.Minute) || a.packets < lag {
		return
	}
	lo, hi := a.recent[0], a.recent[0]
	for _, v := range a.recent[1:] {
		lo, hi = min(lo, v), max(hi, v)
	}
	switch {
	case hi < a.now-event.Time(5*time.Minute):
		a.now, a.swept, a.tick = hi, hi, hi
	case lo-a.swept >= event.Time(time.Second):
		a.now, a.swept = lo, lo
		a.sweep()
	}
}

// sweep ends what timed out and emits a Tick. Its time is not past that of bytes that still wait, unless they have waited
// long: who gets it may believe that what came by then was handed on.
func (a *Assembler) sweep() {
	at := a.now
	keep := a.blocked[:0]
	for _, c := range a.blocked {
		if c.state != ended {
			a.settle(c)
		}
		if len(c.half[0].pend)+len(c.half[1].pend) > 0 {
			keep = append(keep, c)
			for d := range c.half {
				if h := &c.half[d]; len(h.pend) > 0 {
					at = min(at, h.waitTime)
				}
			}
		} else {
			c.blocked = false
		}
	}
	clear(a.blocked[len(keep):])
	a.blocked = keep
	old := func(s state, age time.Duration) *conn {
		if c := a.lists[s].front(); c != nil && a.now.Sub(c.last) >= age {
			return c
		}
		return nil
	}
	for c := old(opening, a.cfg.Embryonic); c != nil; c = old(opening, a.cfg.Embryonic) {
		a.finish(c, false)
	}
	for c := old(live, a.cfg.Idle); c != nil; c = old(live, a.cfg.Idle) {
		a.finish(c, false)
	}
	for c := a.lists[reset].front(); c != nil && c.deadline <= a.now; c = a.lists[reset].front() {
		a.finish(c, true)
	}
	for c := old(ended, a.cfg.Remember); c != nil; c = old(ended, a.cfg.Remember) {
		a.remove(c)
	}
	if at = max(at, a.now-event.Time(a.cfg.HoldTime)); at > a.tick {
		a.tick = at
		a.c = chunk.Chunk{Kind: chunk.Tick, Time: at}
		a.out.Chunk(&a.c)
	}
}

// Close ends every connection: the recording is over.
func (a *Assembler) Close() {
	for _, s := range [...]state{opening, reset, live} {
		for c := a.lists[s].front(); c != nil; c = a.lists[s].front() {
			a.finish(c, false)
		}
	}
	a.lists[ended].init()
	clear(a.conns)
	a.hot, a.blocked = nil, nil
}
