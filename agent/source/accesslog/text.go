package accesslog

import (
	"bytes"
	"time"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// cursor takes a line apart by blanks, quotes and brackets.
type cursor struct{ b []byte }

func (c *cursor) blanks() {
	for len(c.b) > 0 && c.b[0] == ' ' {
		c.b = c.b[1:]
	}
}

// word returns what is up to the next blank.
func (c *cursor) word() []byte {
	c.blanks()
	n := bytes.IndexByte(c.b, ' ')
	if n < 0 {
		n = len(c.b)
	}
	w := c.b[:n]
	c.b = c.b[n:]
	return w
}

// bracketed returns what is between [ and ].
func (c *cursor) bracketed() ([]byte, bool) {
	c.blanks()
	if len(c.b) == 0 || c.b[0] != '[' {
		return nil, false
	}
	n := bytes.IndexByte(c.b, ']')
	if n < 0 {
		return nil, false
	}
	w := c.b[1:n]
	c.b = c.b[n+1:]
	return w, true
}

// quoted returns what is between quotes, still escaped.
func (c *cursor) quoted() ([]byte, bool) {
	c.blanks()
	if len(c.b) == 0 || c.b[0] != '"' {
		return nil, false
	}
	for i := 1; i < len(c.b); i++ {
		switch c.b[i] {
		case '\\':
			i++
		case '"':
			w := c.b[1:i]
			c.b = c.b[i+1:]
			return w, true
		}
	}
	return nil, false
}

// unescape undoes \xHH, \", \\, \n, \r, \t as nginx and Apache write them.
func (p *parser) unescape(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	out := p.keep(b)[:0]
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c != '\\' || i+1 == len(b) {
			out = append(out, c)
			continue
		}
		i++
		switch b[i] {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'b':
			out = append(out, '\b')
		case 'v':
			out = append(out, '\v')
		case 'x':
			if i+2 < len(b) {
				if h, l := nibble(b[i+1]), nibble(b[i+2]); h < 16 && l < 16 {
					out = append(out, h<<4|l)
					i += 2
					continue
				}
			}
			out = append(out, '\\', 'x')
		default:
			out = append(out, b[i])
		}
	}
	return out
}

func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// combined takes `[vhost:port ]client ident user [time] "request" status bytes[ "referer" "agent"[ …]]`. What follows is of
// the user's own making and is left aside.
func (p *parser) combined(line []byte) error {
	e := &p.e
	c := cursor{line}
	first := c.word()
	open := bytes.IndexByte(c.b, '[')
	if open < 0 {
		return wrong("a time in brackets", line)
	}
	var isAddress bool
	e.client, isAddress = address(first) // where the server resolved names, it is none
	ahead := c
	next := ahead.word()
	after, second := address(next)
	if second || !isAddress && bytes.Count(bytes.TrimSpace(c.b[:open]), []byte{' '}) == 2 { // a virtual host comes first
		e.host, e.client, c = first, after, ahead
	}
	c.word() // ident
	// The user may hold blanks: up to the bracket.
	if open = bytes.IndexByte(c.b, '['); open < 0 {
		return wrong("a time in brackets", c.b)
	}
	c.b = c.b[open:]
	at, ok := c.bracketed()
	if !ok {
		return wrong("a time in brackets", c.b)
	}
	if e.time, ok = clfTime(at); !ok {
		return wrong("a time like 10/Oct/2000:13:55:36 -0700", at)
	}
	request, ok := c.quoted()
	if !ok {
		return wrong("a quoted request", c.b)
	}
	if !e.setStatus(c.word()) {
		return wrong("a status", line)
	}
	size := c.word()
	if n, ok := number(size); ok {
		e.sent = n
	} else if string(size) != "-" {
		return wrong("a size", size)
	}
	if referer, ok := c.quoted(); ok {
		e.field("referer", p.unescape(referer))
	}
	if agent, ok := c.quoted(); ok {
		e.field("user-agent", p.unescape(agent))
	}
	return e.requestLine(p.unescape(request))
}

// envoy takes Envoy's default form, and Istio's, which has three more fields after the flags.
func (p *parser) envoy(line []byte) error {
	e := &p.e
	c := cursor{line}
	at, ok := c.bracketed()
	if !ok {
		return wrong("a time in brackets", line)
	}
	if e.time, ok = isoTime(at); !ok {
		return wrong("a time like 2026-11-24T10:00:00.000Z", at)
	}
	request, ok := c.quoted()
	if !ok {
		return wrong("a quoted request", c.b)
	}
	if !e.setStatus(c.word()) {
		return wrong("a status", line)
	}
	c.word() // response flags
	rest := c
	if _, isNumber := number(rest.word()); !isNumber { // Istio: details, termination details, "transport failure reason"
		c.word()
		c.word()
		if _, ok := c.quoted(); !ok {
			return wrong("a quoted reason", c.b)
		}
	}
	var n [4]int64
	for i := range n {
		w := c.word()
		if n[i], ok = number(w); !ok {
			if string(w) != "-" {
				return wrong("a number", w)
			}
			n[i] = -1
		}
	}
	const ms = int64(time.Millisecond)
	e.received, e.sent = n[0], n[1]
	if n[2] >= 0 && n[2] < 1<<40 {
		e.duration = n[2] * ms
	}
	if n[3] >= 0 && n[3] < 1<<40 {
		e.first = n[3] * ms
	}
	for _, name := range [...]string{"x-forwarded-for", "user-agent", "x-request-id", ":authority"} {
		v, ok := c.quoted()
		if !ok {
			return wrong("a quoted "+name, c.b)
		}
		if name == ":authority" {
			if string(v) != "-" {
				e.host = v
			}
			continue
		}
		e.field(name, v)
	}
	upstream, ok := c.quoted()
	if !ok {
		return wrong("a quoted upstream", c.b)
	}
	e.server, _ = address(upstream)
	if c.word(); len(c.b) > 0 { // Istio goes on: cluster, upstream local, downstream local, downstream remote
		c.word()
		local, remote := c.word(), c.word()
		if a, ok := address(local); ok && !e.server.IsValid() {
			e.server = a
		}
		if a, ok := address(remote); ok {
			e.client = a
		}
	}
	return e.requestLine(request)
}

var months = map[string]time.Month{"Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6, "Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12}

// clfTime reads 10/Oct/2000:13:55:36 -0700.
func clfTime(b []byte) (event.Time, bool) {
	if len(b) != 26 || b[2] != '/' || b[6] != '/' || b[11] != ':' || b[14] != ':' || b[17] != ':' || b[20] != ' ' {
		return 0, false
	}
	var v [7]int64
	for i, at := range [...][2]int{{0, 2}, {7, 11}, {12, 14}, {15, 17}, {18, 20}, {22, 24}, {24, 26}} {
		n, ok := number(b[at[0]:at[1]])
		if !ok {
			return 0, false
		}
		v[i] = n
	}
	month, ok := months[string(b[3:6])]
	if !ok || v[0] < 1 || v[0] > 31 || v[1] < 1970 || v[1] > 2200 || v[2] > 23 || v[3] > 59 || v[4] > 60 || v[5] > 14 || v[6] > 59 {
		return 0, false
	}
	zone := (v[5]*60 + v[6]) * 60
	switch b[21] {
	case '-':
		zone = -zone
	case '+':
	default:
		return 0, false
	}
	t := time.Date(int(v[1]), month, int(v[0]), int(v[2]), int(v[3]), int(v[4]), 0, time.UTC)
	return event.TimeOf(t) - event.Time(zone)*event.Time(time.Second), true
}

// isoTime reads any RFC 3339 time.
func isoTime(b []byte) (event.Time, bool) {
	if len(b) < len("2026-11-24T10:00:00Z") || len(b) > 40 {
		return 0, false
	}
	s := string(b)
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		if t, err = time.Parse("2006-01-02T15:04:05.999999999Z0700", s); err != nil {
			return 0, false
		}
	}
	if t.Year() < 1970 || t.Year() > 2200 {
		return 0, false
	}
	return event.TimeOf(t), true
}
