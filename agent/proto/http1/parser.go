package http1

import (
	"bytes"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// state is where one direction stands.
type state uint8

const (
	stIdle      state = iota // between messages
	stHead                   // in field lines
	stLength                 // in a body of known length
	stChunkSize              //
	stChunkData              //
	stChunkEnd               // the line end after a chunk
	stTrailer                //
	stClose                  // in a body until the connection closes
	stMaybe                  // before a body that may not come
	stHold                   // after a request for another protocol, before the answer
	stRaw                    // in a WebSocket
	stResync                 // looking for a start line
)

// half is one direction.
type half struct {
	section
	cycle
	state, then state // then: after stMaybe
	scan        int   // of the unread bytes, how many hold no LF; in a chunked body, how many are unread
	since, last event.Time
	cur         *call  // whose message is at hand
	left        int64  // of the body or chunk
	lost        uint64 // while looking for a start line between messages: what the gaps took
	why         chunk.Why
	stray       int  // bytes passed over
	missed      bool // the start of a response is among what was lost
	inBody      bool // bytes passed over belong to cur's body
	zero        bool // the line before was a last chunk
	tunnel      bool // what follows need not be HTTP
}

// parser implements proto.Parser.
type parser struct {
	pr *Protocol
	c  *proto.Conn
	e  proto.Emitter

	half [2]half
	pairing
	at       event.Time // of what came last
	mid      bool       // the start of the connection was not seen
	begun    bool       // the first bytes of a request were seen
	answered bool       // a response was seen
	yield    bool       // what is held of the other direction comes before the rest of this one
	err      error
}

// Feed implements proto.Parser. It asks for any more bytes, never for a number.
func (p *parser) Feed(d proto.Dir, b []byte, at event.Time) (used, need int, err error) {
	h := &p.half[d]
	for p.err == nil {
		skips := h.state == stResync && !h.inBody
		orphan := h.cur != nil && h.cur.orphan
		n, wait := p.step(d, h, b[used:], at)
		if used += n; n > 0 {
			p.at, h.last = at, at
		}
		switch {
		case skips:
			p.c.Unused.Resync += uint64(n)
		case orphan || h.cur != nil && h.cur.orphan:
			p.c.Unused.Orphan += uint64(n)
		}
		if wait || used == len(b) {
			break
		}
	}
	p.weigh(h.cur)
	return used, 0, p.err
}

// step reads as far as one state goes. wait: more bytes are needed.
func (p *parser) step(d proto.Dir, h *half, b []byte, at event.Time) (n int, wait bool) {
	switch h.state {
	case stIdle:
		if d == proto.Request && !p.begun {
			if n, wait = proxyHeader(b); wait {
				return 0, true
			}
			if p.begun = true; n > 0 {
				return n, false
			}
		}
		if n := emptyLines(b); n > 0 && h.since == 0 {
			return n, false
		}
		if d == proto.Request {
			return p.requestLine(h, b, at)
		}
		return p.statusLine(h, b, at)
	case stHead:
		return p.head(d, h, b, at)
	case stLength:
		n = int(min(int64(len(b)), h.left))
		p.body(d, h, b[:n], at)
		if h.left -= int64(n); h.left == 0 {
			p.end(d, h, at, false)
		}
		return n, false
	case stChunkSize, stChunkData, stChunkEnd, stTrailer:
		return p.chunked(d, h, b, at)
	case stClose, stRaw:
		p.body(d, h, b, at)
		return len(b), false
	case stMaybe:
		return p.maybe(d, h, b, at)
	case stHold:
		return p.hold(h, b)
	}
	return p.resync(d, h, b, at)
}

func (c *call) msg(d proto.Dir) *msg {
	if d == proto.Request {
		return &c.req
	}
	return &c.res
}

// requestLine starts a call.
func (p *parser) requestLine(h *half, b []byte, at event.Time) (n int, wait bool) {
	if !couldBeRequest(b) {
		return p.junk(proto.Request, h)
	}
	if n = lineEnd(b, h.scan); n == 0 {
		if len(b) > maxStart {
			return p.junk(proto.Request, h)
		}
		if h.scan = len(b); h.since == 0 {
			h.since = at
		}
		return 0, true
	}
	r, ok := parseRequestLine(b[:n])
	if !ok || n > maxStart || r.simple && (p.seq > 0 || p.answered) {
		return p.junk(proto.Request, h)
	}
	h.scan, h.tunnel = 0, false
	c := p.begin(at)
	if c.start = h.since; c.start == 0 {
		c.start = at
	}
	c.signs |= r.signs
	c.protocol, c.simple = r.protocol, r.simple
	m := &c.req
	m.buf = append(m.buf, b[:r.method]...)
	c.method = len(m.buf)
	if c.target, c.tEnd = r.target, r.targetEnd; c.tEnd > keepHead/2 {
		c.tEnd = max(keepHead/2, c.target)
		m.cut = true
	}
	m.buf = append(m.buf, b[r.method:c.tEnd]...)
	m.buf = append(m.buf, '\n')
	if bytes.IndexByte(m.buf, 0) >= 0 {
		c.signs |= proto.SignNul
	}
	if bytes.IndexByte(m.buf, '\r') >= 0 {
		c.signs |= proto.SignBareCR
	}
	c.head, c.connect = string(b[:r.method]) == "HEAD", string(b[:r.method]) == "CONNECT"
	h.cur = c
	h.section = section{limit: maxHead, keep: keepHead, fields: maxFields}
	if h.state = stHead; r.simple {
		c.reqHead = true
		p.end(proto.Request, h, at, false)
		p.seek(h)
	}
	return n, false
}

// statusLine starts a response.
func (p *parser) statusLine(h *half, b []byte, at event.Time) (n int, wait bool) {
	if h.since == 0 {
		h.since = at
	}
	if !couldBeStatus(b) {
		return p.noResponse(h, at)
	}
	if n = lineEnd(b, h.scan); n == 0 || n > maxStart {
		if len(b) > maxStart {
			return p.noResponse(h, at)
		}
		h.scan = len(b)
		return 0, true
	}
	status, signs := parseStatusLine(b[:n])
	if status == 0 {
		return p.noResponse(h, at)
	}
	h.scan, h.tunnel, p.answered = 0, false, true
	c := p.respondent(at)
	c.status = status
	c.signs |= signs
	h.cur = c
	h.section = section{limit: maxHead, keep: keepHead, fields: maxFields}
	h.state = stHead
	return n, false
}

// noResponse is called where a response should begin and something else does.
func (p *parser) noResponse(h *half, at event.Time) (n int, wait bool) {
	if c := p.first; c != nil && c.simple && !c.resDone && !p.answered {
		p.answered = true
		c.firstByte = h.since
		h.cur, h.scan = c, 0
		h.state = stClose
		return 0, false
	}
	return p.junk(proto.Response, h)
}

// junk is called where a message should begin and something else does.
func (p *parser) junk(d proto.Dir, h *half) (n int, wait bool) {
	if h.tunnel {
		p.err = proto.ErrPass
		return 0, true
	}
	if p.first != nil {
		p.first.signs |= proto.SignJunk
	}
	p.seek(h)
	return 0, false
}

// seek makes h look for a start line.
func (p *parser) seek(h *half) {
	h.state, h.cur, h.scan, h.since = stResync, nil, 0, 0
	h.inBody, h.zero, h.missed, h.lost = false, false, false, 0
	h.follows, h.ends = false, false
	h.why = chunk.WhyNone
}

// head reads the fields of a message and settles how its body is framed.
func (p *parser) head(d proto.Dir, h *half, b []byte, at event.Time) (n int, wait bool) {
	c := h.cur
	m := c.msg(d)
	n, done, err := h.fieldLines(m, b, &c.signs)
	if p.err = err; !done {
		return n, true
	}
	m.body, m.bodyEnd = len(m.buf), len(m.buf)
	if d == proto.Request {
		p.requestHead(h, c, at)
	} else {
		p.responseHead(h, c, at)
	}
	wait, p.yield = p.yield, false
	return n, wait
}

func (p *parser) requestHead(h *half, c *call, at event.Time) {
	m := &c.req
	c.reqHead = true
	kind, n, signs := m.framing(true, c.protocol)
	c.signs |= signs
	if m.has&(1<<fHost) != 0 {
		p.checkHost(c)
	}
	if c.connect {
		kind = bodyNone
	}
	p.frame(proto.Request, h, c, kind, n, at)
	if h.cur == c && m.has&(1<<fExpect) != 0 && hasToken(m.value(fExpect), "100-continue") {
		h.then = h.state
		h.state = stMaybe
	}
}

// checkHost compares what names the host (RFC 9112 section 3.2).
func (p *parser) checkHost(c *call) {
	v := c.req.value(fHost)
	if a := authority(c.req.buf[:c.method], c.req.buf[c.target:c.tEnd]); a != nil && !equalFold(a, v) {
		c.signs |= proto.SignHostConflict
	}
	if c.req.dup&(1<<fHost) != 0 {
		c.signs |= proto.SignHostConflict
	}
}

func (p *parser) responseHead(h *half, c *call, at event.Time) {
	m := &c.res
	switch {
	case c.status == 101:
		p.switchTo(h, c, at)
		return
	case c.status < 200: // interim
		m.reset()
		c.status = 0
		if h.cur, h.state, h.since = nil, stIdle, 0; c.orphan {
			p.release(c)
		} else if q := &p.half[proto.Request]; q.state == stMaybe && q.cur == c {
			q.state = q.then
		}
		return
	}
	c.firstByte = h.since
	p.answers++
	kind, n, signs := m.framing(false, event.HTTP11)
	c.signs |= signs
	switch {
	case c.connect && c.status < 300:
		c.upgraded = true
		q := &p.half[proto.Request]
		p.frame(proto.Response, h, c, bodyNone, 0, at)
		if h.tunnel = true; q.state == stHold {
			q.state, q.tunnel = stIdle, true
			p.yield = true
		}
		return
	case c.head, c.status == 204, c.status == 304:
		kind = bodyNone
	}
	if q := &p.half[proto.Request]; q.state == stHold && c == p.last {
		q.state = stIdle
		p.yield = true
	}
	p.frame(proto.Response, h, c, kind, n, at)
	if h.cur != c {
		return
	}
	if c.orphan { // whether it answers HEAD is not known
		h.then = h.state
		h.state = stMaybe
	} else if t := m.value(fType); len(t) >= len(eventStream) && equalFold(t[:len(eventStream)], eventStream) {
		p.report(c, at)
	}
}

const eventStream = "text/event-stream"

// switchTo follows a 101 response.
func (p *parser) switchTo(h *half, c *call, at event.Time) {
	c.firstByte, c.upgraded = h.since, true
	q := &p.half[proto.Request]
	if c.orphan || !hasToken(c.res.value(fUpgrade), "websocket") && !hasToken(c.req.value(fUpgrade), "websocket") {
		p.frame(proto.Response, h, c, bodyNone, 0, at)
		p.err = proto.ErrPass
		return
	}
	c.socket = true
	c.req.body, c.req.bodyEnd = len(c.req.buf), len(c.req.buf)
	c.res.torn, c.req.torn = true, true // frames are no body: they are counted, not kept
	h.state, q.state, q.cur, q.scan = stRaw, stRaw, c, 0
	p.report(c, at)
}

// frame goes on to the body.
func (p *parser) frame(d proto.Dir, h *half, c *call, kind body, n int64, at event.Time) {
	h.scan = 0
	switch {
	case kind == bodyNone || kind == bodyLength && n == 0:
		p.end(d, h, at, false)
		return
	case kind == bodyLength:
		h.state, h.left = stLength, n
	case kind == bodyChunked:
		h.state = stChunkSize
	case kind == bodyClose:
		h.state = stClose
	default:
		p.end(d, h, at, true)
		p.seek(h)
		return
	}
	if d == proto.Request && (c.head || string(c.req.buf[:c.method]) == "GET" || string(c.req.buf[:c.method]) == "TRACE") {
		c.signs |= proto.SignBodyOnGet
	}
}

// body takes body bytes.
func (p *parser) body(d proto.Dir, h *half, b []byte, at event.Time) {
	if !h.cur.orphan {
		h.cur.msg(d).add(b, p.pr.cfg.BodyPrefix)
		if d == proto.Response {
			h.cur.resLast = at
		}
	}
}

// end ends the message at hand. open: its end was not seen.
func (p *parser) end(d proto.Dir, h *half, at event.Time, open bool) {
	c := h.cur
	p.weigh(c)
	if h.ends && h.scan == 0 {
		h.atEnd(c.msg(d))
		open = false
	}
	h.cur, h.state, h.since, h.scan = nil, stIdle, 0, 0
	h.follows, h.ends = false, false
	if c.orphan {
		p.release(c)
		return
	}
	if d == proto.Request {
		c.req.open = open
		if c.reqDone = true; !open {
			c.reqEnd = at
		}
		if c.status == 0 && !c.resDone && (c.connect || c.req.has&(1<<fUpgrade|1<<fConnection) == 1<<fUpgrade|1<<fConnection && hasToken(c.req.value(fConnection), "upgrade")) {
			h.state = stHold
		}
	} else {
		c.res.open = open
		c.resDone = true
		c.resLast = at
	}
	p.settle(at)
}

// chunked reads a chunked body (RFC 9112 section 7.1). Bytes are counted without the framing.
func (p *parser) chunked(d proto.Dir, h *half, b []byte, at event.Time) (n int, wait bool) {
	c := h.cur
	m := c.msg(d)
	switch h.state {
	case stChunkData:
		n = int(min(int64(len(b)), h.left))
		p.body(d, h, b[:n], at)
		if h.left -= int64(n); h.left == 0 {
			h.state = stChunkEnd
		}
		return n, false
	case stChunkEnd:
		switch {
		case b[0] == '\n':
			c.signs |= proto.SignBareLF
			n = 1
		case b[0] == '\r' && len(b) == 1:
			h.scan = 1
			return 0, true
		case b[0] == '\r' && b[1] == '\n':
			n = 2
		default:
			return p.badChunk(d, h)
		}
		h.state, h.scan = stChunkSize, 0
		return n, false
	case stTrailer:
		n, done, err := h.fieldLines(m, b, &c.signs)
		switch {
		case err != nil:
			p.badChunk(d, h)
			return n, false
		case !done:
			return n, true
		}
		if m.trailers == len(m.fields) {
			m.trailers = 0
		}
		p.end(d, h, at, false)
		return n, false
	}
	if n = lineEnd(b, h.scan); n == 0 || n > maxChunk {
		if len(b) > maxChunk {
			return p.badChunk(d, h)
		}
		h.scan = len(b)
		h.odd = !bytes.HasPrefix(h.line[:h.cycle.n], b)
		return 0, true
	}
	size, signs, ok := parseChunkSize(b[:n])
	if c.signs |= signs; !ok {
		return p.badChunk(d, h)
	}
	h.scan = 0
	if size > 0 {
		h.state, h.left = stChunkData, size
		h.note(b[:n], size, signs)
		return n, false
	}
	h.state = stTrailer
	m.trailers = len(m.fields)
	h.section = section{limit: maxTrailer, keep: len(m.buf) + keepTrailer, fields: len(m.fields) + maxTrailers, trailer: true}
	return n, false
}

// badChunk gives up the framing of the message at hand: what follows belongs to its body until a message begins.
func (p *parser) badChunk(d proto.Dir, h *half) (n int, wait bool) {
	c := h.cur
	c.signs |= proto.SignBadChunk
	c.msg(d).torn = true
	h.state, h.scan = stResync, 0
	h.inBody, h.zero, h.missed = true, false, false
	return 0, false
}

// maybe decides whether a body comes: after a response to an unknown request, which may have been HEAD, and after a
// request with Expect: 100-continue that got its final answer first (RFC 9110 section 10.1.1).
func (p *parser) maybe(d proto.Dir, h *half, b []byte, at event.Time) (n int, wait bool) {
	if d == proto.Response {
		if k := min(len(b), len(versionPrefix)); !equalFold(b[:k], versionPrefix[:k]) {
			h.state = h.then
		} else if k < len(versionPrefix) {
			return 0, true
		} else {
			p.end(d, h, at, false)
		}
		return 0, false
	}
	if h.cur.status == 0 || !couldBeRequest(b) {
		h.state = h.then
		return 0, false
	}
	k := lineEnd(b, 0)
	if k == 0 && len(b) <= window {
		return 0, true
	}
	if r, ok := parseRequestLine(b[:k]); ok && !r.simple && k <= window && upper(b[:r.method]) {
		p.end(d, h, at, false)
	} else {
		h.state = h.then
	}
	return 0, false
}

// hold keeps what follows a request for another protocol until the answer, unless it is a request too.
func (p *parser) hold(h *half, b []byte) (n int, wait bool) {
	if n := emptyLines(b); n > 0 {
		return n, false
	}
	if couldBeRequest(b) {
		if k := lineEnd(b, 0); k > 0 && k <= maxHold {
			if r, ok := parseRequestLine(b[:k]); ok && !r.simple {
				h.state = stIdle
				return 0, false
			}
		}
	}
	if len(b) > maxHold {
		p.seek(h)
		return 0, false
	}
	return 0, true
}
