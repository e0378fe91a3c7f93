package http1

import (
	"unsafe"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// span is a field in msg.buf. Offsets of 16 bits: buf is bounded by keepExtra + BodyPrefix + keepTrailer < 64 KiB, and a
// span of 8 bytes instead of a Field of 48 keeps waiting calls small.
type span struct{ name, nameEnd, value, end uint16 }

// known fields, as bits of msg.has and indexes of msg.at
const (
	fHost = iota
	fLength
	fCoding
	fConnection
	fUpgrade
	fExpect
	fType
	nKnown
)

// msg is one direction of a call.
type msg struct {
	buf      []byte // head without what the bounds cut, then the kept part of the body, then trailers
	fields   []span
	trailers int // index of the first trailer in fields; 0 none
	at       [nKnown]uint8
	has, dup uint8 // bits of known fields that are there, that are there twice
	body     int   // offset of the body in buf
	bodyEnd  int
	bytes    int64
	lost     int64
	why      chunk.Why
	cut      bool
	open     bool
	torn     bool // bytes are missing: what follows is not kept
}

func (m *msg) reset() {
	*m = msg{buf: m.buf[:0], fields: m.fields[:0]}
}

func (m *msg) value(f int) []byte {
	if m.has&(1<<f) == 0 {
		return nil
	}
	s := m.fields[m.at[f]]
	return m.buf[s.value:s.end]
}

// lose counts n bytes of the body that were not seen.
func (m *msg) lose(n uint64, why chunk.Why) {
	m.bytes += int64(n)
	m.lost += int64(n)
	m.why = why
	m.torn = true
}

// add takes body bytes.
func (m *msg) add(b []byte, prefix int) {
	m.bytes += int64(len(b))
	if room := prefix - (m.bodyEnd - m.body); room > 0 && !m.torn {
		m.buf = append(m.buf, b[:min(room, len(b))]...)
		m.bodyEnd = len(m.buf)
	}
}

// call is a request and the response to it.
type call struct {
	next *call
	held int // what is counted of it in Conn.Held

	seq      uint64
	rev      uint32
	protocol event.Protocol
	status   int
	method   int // end of the method in req.buf
	target   int
	tEnd     int

	req, res msg

	start, reqEnd, firstByte, resLast event.Time
	signs                             proto.Signs
	emitted                           event.Time // of the newest Open or Progress
	emittedBytes                      int64

	reqHead, reqDone, resDone bool
	orphan                    bool // a response without a request; never emitted
	simple                    bool // HTTP/0.9
	head, connect             bool // methods whose responses are framed otherwise
	socket                    bool // a WebSocket
	upgraded                  bool // 101, or 2xx to CONNECT
	clean                     bool // nothing was under way, and nothing lost, when it began
	doubt                     bool // requests were lost before it whose responses were not seen either
}

func (pr *Protocol) newCall() *call {
	if n := len(pr.calls); n > 0 {
		c := pr.calls[n-1]
		pr.calls = pr.calls[:n-1]
		return c
	}
	return &call{
		req: msg{buf: make([]byte, 0, 1024), fields: make([]span, 0, 16)},
		res: msg{buf: make([]byte, 0, 1024), fields: make([]span, 0, 16)},
	}
}

// freeCall keeps c for another use unless an odd message has made it large: 512 records of at most 13 KiB are kept.
func (pr *Protocol) freeCall(c *call) {
	if len(pr.calls) >= 512 || cap(c.req.buf)+cap(c.res.buf) > 12<<10 {
		return
	}
	c.req.reset()
	c.res.reset()
	*c = call{req: c.req, res: c.res}
	pr.calls = append(pr.calls, c)
}

// What the records occupy without their buffers.
const (
	callSize   = int(unsafe.Sizeof(call{}))
	parserSize = int(unsafe.Sizeof(parser{}))
)

// size is what c occupies.
func (c *call) size() int {
	return callSize + cap(c.req.buf) + cap(c.res.buf) + 8*(cap(c.req.fields)+cap(c.res.fields))
}

// weigh brings Conn.Held up to date with c.
func (p *parser) weigh(c *call) {
	if c != nil {
		n := c.size()
		p.c.Held += n - c.held
		c.held = n
	}
}

func (p *parser) release(c *call) {
	p.c.Held -= c.held
	p.pr.freeCall(c)
}

// emit gives c as it is now to the emitter.
func (p *parser) emit(c *call, state event.State, at event.Time) {
	pr, x := p.pr, &p.pr.x
	*x = proto.Exchange{
		Seq: c.seq, Rev: c.rev, State: state, Protocol: c.protocol,
		Method: c.req.buf[:c.method:c.method], Target: c.req.buf[c.target:c.tEnd:c.tEnd],
		Status: c.status, Start: c.start, ReqEnd: c.reqEnd, FirstByte: c.firstByte, End: at, Signs: c.signs,
	}
	c.rev++
	if c.socket {
		x.Protocol = event.WebSocket
	}
	x.Host = host(x.Method, x.Target, c.req.value(fHost))
	if c.upgraded {
		if x.Upgrade = c.res.value(fUpgrade); x.Upgrade == nil {
			x.Upgrade = c.req.value(fUpgrade)
		}
		if c.connect {
			x.Upgrade = tunnel
		}
	}
	pr.message(&x.Req, &c.req, 0)
	pr.message(&x.Res, &c.res, 2)
	p.e.Emit(p.c, x)
}

var tunnel = []byte("tunnel")

// message shows m as a proto.Message. It uses the scratch fields k and k+1.
func (pr *Protocol) message(to *proto.Message, m *msg, k int) {
	n := len(m.fields)
	if m.trailers > 0 {
		n = m.trailers
		pr.fields[k+1] = m.show(pr.fields[k+1][:0], m.fields[n:])
		to.Trailers = pr.fields[k+1]
	}
	pr.fields[k] = m.show(pr.fields[k][:0], m.fields[:n])
	to.Fields = pr.fields[k]
	to.Body = m.buf[m.body:m.bodyEnd:m.bodyEnd]
	to.Bytes, to.Lost, to.Why, to.Cut, to.Open = m.bytes, m.lost, m.why, m.cut, m.open
}

// show turns spans into fields. Filling the slice in place took a third less time than appending to it.
func (m *msg) show(to []proto.Field, spans []span) []proto.Field {
	if cap(to) < len(spans) {
		to = make([]proto.Field, 0, maxFields+16)
	}
	to = to[:len(spans)]
	b := m.buf
	for i, s := range spans {
		f := &to[i]
		f.Name, f.Value = b[s.name:s.nameEnd:s.nameEnd], b[s.value:s.end:s.end]
	}
	return to
}

// host returns the effective host (RFC 9112 section 3.3): that of the target before that of the field.
func host(method, target, field []byte) []byte {
	if a := authority(method, target); a != nil {
		return a
	}
	return field
}

// authority returns the authority that the target names (absolute-form, authority-form), without user information; nil
// if it names none.
func authority(method, target []byte) []byte {
	if len(target) == 0 || target[0] == '/' || target[0] == '*' {
		return nil
	}
	a := target
	if string(method) != "CONNECT" {
		i := 0
		for i < len(a) && (isAlpha(a[i]) || isDigit(a[i]) || a[i] == '+' || a[i] == '-' || a[i] == '.') {
			i++
		}
		if i == 0 || len(a) < i+3 || string(a[i:i+3]) != "://" {
			return nil
		}
		a = a[i+3:]
	}
	for i, c := range a {
		if c == '/' || c == '?' || c == '#' || c == ' ' {
			a = a[:i]
			break
		}
	}
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] == '@' {
			a = a[i+1:]
			break
		}
	}
	return a
}
