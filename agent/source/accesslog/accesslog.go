// Package accesslog reads what web servers and proxies wrote about the calls that they served.
//
// In: lines in the common and combined forms of Apache and nginx (with or without a virtual host before them), Envoy's
// and Istio's default text form, or one JSON object a line (nginx, Apache, Envoy, Istio, Caddy, Traefik: any log whose
// keys are among those in json.go). Out: proto.Exchanges to an Emitter, as raw as the log has them, so that they pass
// through the same redaction as live traffic.
//
// What a form does not tell stays absent: there is no encryption, no body, no header but the few that are logged, and
// in the common form no server. It never guesses a client from X-Forwarded-For.
package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/agent/source/internal/scan"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Form is how a log is written.
type Form uint8

// The forms. Unknown lets Read find out from the first lines.
const (
	Unknown Form = iota
	Combined
	Envoy
	JSON
)

// Config says what is known of the log from elsewhere.
type Config struct {
	Form    Form
	Service string // the callee's name, "" where only the log can tell
}

// Stats counts lines.
type Stats struct {
	Lines   int // with a call
	Blank   int // empty, or a comment
	NoCall  int // well-formed, about something else than an HTTP request: garbage that the server refused, a time-out before it
	Bad     int // in another form
	TooLong int
	First   error // where the first bad one is, and why; nil if none
}

// entry is what one line tells. The slices are of the line or of the reader's buffers.
type entry struct {
	client, server       netip.AddrPort
	time                 event.Time // of start
	end                  bool       // time is that of the end
	method, target, host []byte
	proto                event.Protocol
	status               int
	sent, received       int64 // body bytes to and from the client; -1 unknown
	duration, first      int64 // ns; -1 unknown
	tls                  event.TLSFacts
	secure, plain        bool // the log tells whether it was TLS
	fields               []proto.Field
	resFields            []proto.Field
}

func (e *entry) reset() {
	*e = entry{sent: -1, received: -1, duration: -1, first: -1, fields: e.fields[:0], resFields: e.resFields[:0]}
}

func (e *entry) field(name string, value []byte) {
	if len(value) > 0 && string(value) != "-" {
		e.fields = append(e.fields, proto.Field{Name: []byte(name), Value: value})
	}
}

var (
	errForm   = errors.New("not in this form")
	errNoCall = errors.New("no request")
)

// Detect says which form a line is in, Unknown if none.
func Detect(line []byte) Form {
	var p parser
	for _, f := range [...]Form{JSON, Envoy, Combined} {
		if err := p.parse(f, line); err == nil || errors.Is(err, errNoCall) {
			return f
		}
	}
	return Unknown
}

// Read hands the call of each line to e. The error is that of the input; bad lines are in Stats.
func Read(ctx context.Context, cfg Config, r io.Reader, e proto.Emitter) (Stats, error) {
	var (
		st    Stats
		p     parser
		conn  proto.Conn
		x     proto.Exchange
		form  = cfg.Form
		lines = scan.NewLines(r)
	)
	for n := 1; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return st, ctx.Err()
		}
		line, err := lines.Next()
		st.TooLong = lines.TooBig
		if errors.Is(err, io.EOF) {
			return st, nil
		}
		if err != nil {
			return st, lines.Fault(err)
		}
		if len(line) == 0 || line[0] == '#' {
			st.Blank++
			continue
		}
		if form == Unknown {
			form = Detect(line)
		}
		err = errForm
		if form != Unknown {
			err = p.parse(form, line)
		}
		switch {
		case err == nil:
			st.Lines++
			p.e.fill(&conn, &x, cfg.Service, uint64(lines.Number()))
			e.Emit(&conn, &x)
		case errors.Is(err, errNoCall):
			st.NoCall++
		default:
			if st.Bad++; st.First == nil {
				st.First = lines.Fault(err)
			}
		}
	}
}

// fill makes the Exchange of an entry.
func (e *entry) fill(c *proto.Conn, x *proto.Exchange, service string, seq uint64) {
	*c = proto.Conn{Client: e.client, Server: e.server, Side: event.SideServer, Told: true, Service: service}
	if e.secure {
		c.TLS = &e.tls
	}
	start := e.time
	if e.end && e.duration > 0 {
		start -= event.Time(e.duration)
	}
	*x = proto.Exchange{Seq: seq, Protocol: e.proto, Method: e.method, Target: e.target, Host: e.host, Status: e.status, Start: start, ReqEnd: start, End: start}
	c.Opened = start
	x.Req.Fields, x.Res.Fields = e.fields, e.resFields
	x.Req.Bytes, x.Res.Bytes = max(e.received, 0), max(e.sent, 0)
	if e.duration > 0 {
		x.End = start + event.Time(e.duration)
	}
	if e.first > 0 {
		x.FirstByte = start + event.Time(e.first)
	}
}

type parser struct {
	e    entry
	json scan.JSON
	sub  scan.JSON
	bufs [8][]byte // of unescaped values
	used int
}

func (p *parser) parse(f Form, line []byte) error {
	p.e.reset()
	p.used = 0
	switch f {
	case Combined:
		return p.combined(line)
	case Envoy:
		return p.envoy(line)
	case JSON:
		return p.jsonLine(line)
	}
	return errForm
}

// keep returns a copy of b that is good until the next line.
func (p *parser) keep(b []byte) []byte {
	if p.used == len(p.bufs) {
		return append([]byte(nil), b...)
	}
	buf := append(p.bufs[p.used][:0], b...)
	if cap(buf) <= 64<<10 {
		p.bufs[p.used] = buf
	}
	p.used++
	return buf
}

// requestLine takes `GET /path HTTP/1.1`.
func (e *entry) requestLine(b []byte) error {
	i := 0
	for i < len(b) && isToken(b[i]) {
		i++
	}
	if i == 0 || i == len(b) || b[i] != ' ' {
		return errNoCall
	}
	e.method = b[:i]
	rest := b[i+1:]
	j := len(rest) - 1
	for j >= 0 && rest[j] != ' ' {
		j--
	}
	if j < 0 { // no version: HTTP/0.9, or no HTTP
		if string(e.method) != "GET" || len(rest) == 0 || rest[0] != '/' {
			return errNoCall
		}
		e.target, e.proto = rest, event.HTTP09
		return nil
	}
	e.target = rest[:j]
	if len(e.target) == 0 || !e.protocol(rest[j+1:]) {
		return errNoCall
	}
	return nil
}

func (e *entry) protocol(b []byte) bool {
	switch string(b) {
	case "HTTP/1.1":
		e.proto = event.HTTP11
	case "HTTP/1.0":
		e.proto = event.HTTP10
	case "HTTP/2", "HTTP/2.0", "h2", "h2c":
		e.proto = event.HTTP2
	case "HTTP/0.9":
		e.proto = event.HTTP09
	case "HTTP/3", "HTTP/3.0", "h3": // its protocol has no word of its own yet
	default:
		return false
	}
	return true
}

// isToken says whether c may be in a method (RFC 9110 section 5.6.2).
func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

// address reads an address with or without a port; a zone and brackets are dropped.
func address(b []byte) (netip.AddrPort, bool) {
	if len(b) == 0 || len(b) > 64 || b[0] == '-' {
		return netip.AddrPort{}, false
	}
	s := string(b)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), true
	}
	if s[0] == '[' && s[len(s)-1] == ']' {
		s = s[1 : len(s)-1]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap().WithZone(""), 0), true
}

func withPort(a netip.AddrPort, port int64) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), uint16(port))
}

func number(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var v int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	return v, true
}

// status takes a status code; 0, 000 and - mean that none was sent.
func (e *entry) setStatus(b []byte) bool {
	if string(b) == "-" {
		return true
	}
	v, ok := number(b)
	if !ok || len(b) > 3 || v != 0 && v < 100 {
		return false
	}
	e.status = int(v)
	return true
}

// wrong says what was expected.
func wrong(what string, b []byte) error { return fmt.Errorf("%w: want %s at %.40q", errForm, what, b) }
