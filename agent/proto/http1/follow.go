package http1

import (
	"bytes"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/proto"
)

// Bounds of following a chunked body through gaps.
const (
	minFollowed = 64          // bytes of a chunk; the position in a shorter cycle tells too little
	maxVerified = 64          // bytes of the chunk-size line that confirms a cycle
	lastLen     = 5           // bytes of "0\r\n\r\n"
	afterLast   = 2 + lastLen // bytes from the end of the newest data to the end of the message
)

// cycle follows a chunked body through gaps that took chunk-size lines. Servers write equal chunks again and again, so it
// supposes that the chunks in the gap are as the newest one, and works out where the next one begins. What a live source
// captures are the beginnings of writes; without this the framing of every body of which several chunks go into one write
// was lost, and counted as body.
//
// A cycle is the line end after a chunk's data, a chunk-size line, and data. The msg counts all bytes as body until a line
// end and a chunk-size line are read where the cycle has them; fix then corrects the count.
type cycle struct {
	line     [16]byte // the newest chunk-size line
	n        uint8    // its length with CRLF; 0: there is none that can be followed
	follows  bool     // the cycle was not contradicted
	ends     bool     // a gap ended where the message does if its newest bytes were a last chunk; nothing was used since
	odd      bool     // the unread bytes end in a part of a chunk-size line that is not line
	size     int64    // what line says
	pos      int64    // of the first unread byte: 0 CR, 1 LF, 2 the line, 2+n data
	fix      int64    // what the cycle adds to msg.bytes
	lessLost int64    // and takes from msg.lost
}

// note remembers a chunk-size line.
func (y *cycle) note(line []byte, size int64, signs proto.Signs) {
	y.size, y.odd = size, false
	if size < minFollowed || len(line) > len(y.line) || signs != 0 {
		y.n = 0
		return
	}
	y.n = uint8(copy(y.line[:], line))
}

func (y *cycle) period() int64 { return 2 + int64(y.n) + y.size }

// move passes over k bytes and returns how many of them are framing.
func (y *cycle) move(k int64) (framing int64) {
	period, f := y.period(), 2+int64(y.n)
	end := y.pos + k
	framing = end/period*f + min(end%period, f) - min(y.pos, f)
	y.pos = end % period
	return framing
}

// gap passes over unread bytes that the caller dropped, of which msg knows nothing, and over n bytes that were lost.
func (y *cycle) gap(unread, n int64) {
	if unread > 0 && y.odd {
		y.follows, y.ends = false, false
		return
	}
	y.fix += unread - y.move(unread)
	f := y.move(n)
	y.fix -= f
	y.lessLost += f
	y.ends = n >= lastLen && y.pos == afterLast
}

// atEnd corrects m for a message whose last chunk ended the gap.
func (y *cycle) atEnd(m *msg) {
	data := max(0, lastLen-int64(y.n)) // what the cycle took for data
	m.bytes += y.fix - data
	m.lost -= y.lessLost + data
}

// followable says whether the chunks of c's message can be followed: one is known, and a gap cannot hold the start of another
// message, for then the cycle would be that of two.
func (p *parser) followable(d proto.Dir, h *half, c *call) bool {
	return h.cycle.n > 0 && !c.orphan && !p.pipelines && p.n <= 1 && (d == proto.Response || c.status == 0)
}

// follow is a gap of n bytes in a chunked body that takes a chunk-size line or a part of one. It begins after unread bytes
// from pos of the cycle.
func (p *parser) follow(d proto.Dir, h *half, c *call, pos, unread int64, n uint64, why chunk.Why) {
	c.msg(d).lose(n, why)
	p.torn(d, h, c)
	h.inBody = true
	if y := &h.cycle; p.followable(d, h, c) {
		y.follows, y.pos, y.fix, y.lessLost = true, pos, 0, 0
		y.gap(unread, int64(n))
	}
}

// verify compares b with the cycle. ok: a chunk-size line is where it should be, at b[n:], before any message begins.
func (p *parser) verify(d proto.Dir, h *half, b []byte) (n int, ok bool) {
	y := &h.cycle
	y.odd = false
	var rest []byte // of a line that a gap took the beginning of
	end := -y.pos   // of the data, in b
	if y.pos > 2 {
		end = y.period() - y.pos
		if y.pos < 2+int64(y.n) {
			rest = y.line[y.pos-2 : y.n]
		}
	}
	if k := min(len(rest), len(b)); !bytes.Equal(b[:k], rest[:k]) {
		y.follows = false
		return 0, false
	}
	if end >= int64(len(b)) {
		return 0, false
	}
	cr, lf := int(end), int(end)+1
	n = lf + 1
	if cr >= 0 && b[cr] != '\r' || lf >= 0 && lf < len(b) && b[lf] != '\n' {
		y.follows = false
		return 0, false
	}
	if n >= len(b) {
		return 0, false
	}
	line := b[n:min(len(b), n+maxVerified)]
	e := lineEnd(line, 0)
	if e == 0 {
		y.follows = len(line) < maxVerified
		y.odd = !bytes.HasPrefix(y.line[:y.n], line)
		return 0, false
	}
	if _, signs, ok := parseChunkSize(line[:e]); !ok || signs != 0 {
		y.follows = false
		return 0, false
	}
	zero := h.zero
	if _, what := find(d, b[:n+e], &zero); what != nothing {
		return 0, false
	}
	m := h.cur.msg(d)
	m.bytes += y.fix + max(0, end) - int64(len(rest))
	m.lost -= y.lessLost
	y.follows, y.ends = false, false
	h.state, h.scan = stChunkSize, 0
	h.inBody, h.zero, h.missed = false, false, false
	return n, true
}
