package http1

import (
	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// resync passes over bytes until a message begins.
func (p *parser) resync(d proto.Dir, h *half, b []byte, at event.Time) (n int, wait bool) {
	var zero *bool
	if h.cur != nil && h.inBody {
		zero = &h.zero
	}
	if h.follows {
		if n, ok := p.verify(d, h, b); ok {
			return n, false
		}
	}
	n, what := find(d, b, zero)
	if n > 0 {
		h.ends = false
	}
	if h.follows {
		h.fix -= h.move(int64(n))
	}
	if h.cur != nil && h.inBody {
		h.cur.msg(d).bytes += int64(n)
	}
	if h.stray += n; h.stray > maxStray && d == proto.Response && !p.answered && !p.mid {
		p.err = proto.ErrPass
		return n, true
	}
	switch what {
	case nothing:
		h.scan = len(b) - n
		return n, true
	case lastChunk:
		p.end(d, h, at, false)
		return n, false
	}
	if h.cur != nil {
		if h.scan = 0; n > 0 {
			h.last = at
		}
		p.end(d, h, h.last, true)
	}
	if d == proto.Response && h.missed {
		p.skipLost(h, at)
	}
	p.seek(h)
	h.state, h.stray = stIdle, 0
	return n, false
}

// Gap implements proto.Parser.
func (p *parser) Gap(d proto.Dir, n uint64, why chunk.Why) {
	h := &p.half[d]
	unread := int64(h.scan)
	h.scan = 0
	if h.state == stMaybe {
		h.state = h.then
	}
	c := h.cur
	var m *msg
	if c != nil {
		m = c.msg(d)
	}
	switch h.state {
	case stLength:
		k := min(n, uint64(h.left))
		m.lose(k, why)
		if h.left -= int64(k); h.left == 0 {
			p.end(d, h, p.at, false)
		}
		if n > k {
			p.gapBetween(d, h, n-k, why)
		}
	case stClose, stRaw:
		m.lose(n, why)
	case stChunkData:
		left := uint64(h.left)
		if n == left+2 || n == left+afterLast && !p.followable(d, h, c) { // the rest of a write that ends with the chunk, or with the last one after it
			m.lose(left, why)
			if h.state = stChunkSize; n > left+2 {
				p.end(d, h, p.at, false)
			}
			return
		}
		if n > left {
			p.follow(d, h, c, h.period()-h.left, 0, n, why)
			return
		}
		m.lose(n, why)
		if h.left -= int64(n); h.left == 0 {
			h.state = stChunkEnd
		}
	case stChunkEnd:
		p.follow(d, h, c, 0, unread, n, why)
	case stChunkSize:
		if unread > 0 && h.odd {
			h.cycle.n = 0
		}
		p.follow(d, h, c, 2, unread, n, why)
	case stTrailer:
		m.lose(n, why)
		p.torn(d, h, c)
		h.inBody = true
	case stHead:
		p.gapInHead(d, h, c, n, why)
	case stResync:
		if c != nil {
			if h.inBody {
				m.lose(n, why)
				h.ends = false
				if h.follows = h.follows && (d == proto.Response || c.status == 0); h.follows {
					h.gap(unread, int64(n))
				}
			} else {
				m.lost += int64(n)
			}
			h.missed = d == proto.Response
			return
		}
		h.lost += n
		h.why = why
		h.missed = d == proto.Response
		p.gapBefore = p.gapBefore || d == proto.Request
	default:
		p.gapBetween(d, h, n, why)
	}
}

// torn leaves the message at hand without a known end.
func (p *parser) torn(d proto.Dir, h *half, c *call) {
	p.seek(h)
	h.cur = c
	h.missed = d == proto.Response
}

// gapBetween is a gap that begins where a message should.
func (p *parser) gapBetween(d proto.Dir, h *half, n uint64, why chunk.Why) {
	p.seek(h)
	h.lost, h.why = n, why
	if h.missed = d == proto.Response; !h.missed {
		p.gapBefore = true
		if p.pipelines {
			p.unpair(p.at) // requests may be among what was lost
		}
	}
}

// gapInHead is a gap after a start line. The call is real; the length of its body is what the fields said so far.
func (p *parser) gapInHead(d proto.Dir, h *half, c *call, n uint64, why chunk.Why) {
	m := c.msg(d)
	if d == proto.Response && c.status < 200 {
		m.reset()
		c.status = 0
		if h.cur = nil; c.orphan {
			p.release(c)
		}
		p.gapBetween(d, h, n, why)
		return
	}
	m.cut, m.torn, m.why = true, true, why
	m.body, m.bodyEnd = len(m.buf), len(m.buf)
	m.lost = int64(n)
	if kind, length, _ := m.framing(d == proto.Request, c.protocol); kind == bodyLength && !c.head {
		m.bytes, m.lost = length, length
	}
	if d == proto.Request {
		c.reqHead = true
		p.end(d, h, p.at, true)
		p.seek(h)
		return
	}
	c.firstByte = h.since
	if c.orphan {
		p.end(d, h, p.at, true)
		p.seek(h)
		return
	}
	p.torn(d, h, c)
}

// End implements proto.Parser.
func (p *parser) End(d proto.Dir, at event.Time) {
	h := &p.half[d]
	if h.cur == nil || h.state == stRaw {
		h.scan, h.since = 0, 0
		return
	}
	p.end(d, h, h.last, h.state != stClose)
	p.seek(h)
}

// Tick implements proto.Parser.
func (p *parser) Tick(at event.Time) {
	for d := range p.half {
		if h := &p.half[d]; h.ends && h.scan == 0 && at.Sub(p.at) >= p.pr.cfg.Quiet {
			p.end(proto.Dir(d), h, h.last, false)
		}
	}
	for c := p.first; c != nil; c = c.next {
		switch {
		case !c.reqHead:
		case c.rev == 0:
			if at.Sub(c.start) >= p.pr.cfg.Lasting {
				p.report(c, at)
			}
		case at.Sub(c.emitted) >= p.pr.cfg.Every && c.progress() != c.emittedBytes:
			p.report(c, at)
		}
	}
}

// progress is a number that changes when there is something new to report of c.
func (c *call) progress() int64 { return c.req.bytes + c.res.bytes + int64(c.status) }

// report emits c while it lasts.
func (p *parser) report(c *call, at event.Time) {
	state := event.Progress
	if c.rev == 0 {
		state = event.Open
	}
	c.emitted, c.emittedBytes = at, c.progress()
	p.emit(c, state, at)
}

// Close implements proto.Parser.
func (p *parser) Close(at event.Time) {
	for _, d := range [...]proto.Dir{proto.Request, proto.Response} {
		h := &p.half[d]
		switch {
		case h.cur == nil:
		case h.state == stRaw:
			h.cur.reqDone = true
		default:
			p.end(d, h, h.last, h.state != stClose)
		}
	}
	for c := p.first; c != nil; c = p.first {
		p.first = c.next
		if !c.resDone && !c.socket {
			c.res.open = true
		}
		end := at
		if c.socket && c.resLast != 0 {
			end = c.resLast
		}
		p.emit(c, event.Done, end)
		p.release(c)
	}
	p.c.Held -= parserSize
	p.pr.recycle(p)
}
