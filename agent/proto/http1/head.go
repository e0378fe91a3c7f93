package http1

import (
	"bytes"
	"errors"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

var (
	errLongHead = errors.New("http/1: a head longer than 1 MiB")
	errFraming  = errors.New("http/1: more fields that frame the message than are read")
)

// section is the state of reading field lines: of a head, or of trailers.
type section struct {
	read    int  // bytes read
	limit   int  // bytes read before giving up
	keep    int  // length of msg.buf up to which lines are kept
	fields  int  // number of fields kept
	trailer bool // fields that frame a message mean nothing here
	skip    bool // passing over the rest of a line longer than maxLine
	kept    bool // the line before was kept as a field: it may be folded
	crs     int  // CR seen in what was kept
	crlf    int  // and how many of them end a line
}

// fieldLines reads field lines from b into m (RFC 9112 section 5). done: the empty line was read too.
//
// Lines that are kept are copied in one piece per call: a copy per line cost a third more.
func (h *half) fieldLines(m *msg, b []byte, signs *proto.Signs) (used int, done bool, err error) {
	s := &h.section
	base, run, i, scan := len(m.buf), 0, 0, h.scan // b[x] comes to m.buf[base+x-run]
	h.scan = 0
	for {
		rest := b[i:]
		k := bytes.IndexByte(rest[scan:], '\n')
		if s.skip {
			if k < 0 {
				i = len(b)
				run, base = i, len(m.buf)
				break
			}
			i += k + 1
			run, base = i, len(m.buf)
			s.skip = false
			continue
		}
		if k < 0 && len(rest) <= maxLine {
			h.scan = len(rest)
			break
		}
		if k += scan; k < scan || k > maxLine {
			k, s.skip = maxLine, true
		}
		scan = 0
		if s.read+i+k > s.limit {
			err = errLongHead
			break
		}
		e, next, crlf := k, i+k, 0
		if !s.skip {
			next++
			if e > 0 && rest[e-1] == '\r' {
				e--
				crlf = 1
			} else {
				*signs |= proto.SignBareLF
			}
			if e == 0 {
				m.flush(s, b[run:i], signs)
				if s.crs != s.crlf {
					*signs |= proto.SignBareCR
				}
				s.read += next
				return next, true, nil
			}
		}
		line := rest[:e]
		j := 0
		for j < len(line) && tchar[line[j]] {
			j++
		}
		v := j + 1
		if j == 0 || j == len(line) || line[j] != ':' {
			if isBlank(line[0]) {
				*signs |= proto.SignObsFold
				m.flush(s, b[run:i], signs)
				s.crlf += m.fold(s, line, b[i:next], crlf, signs)
				i, run, base = next, next, len(m.buf)
				continue
			}
			if j, v = oddField(line); j == 0 {
				*signs |= proto.SignJunk
			} else {
				*signs |= proto.SignSpaceColon
			}
		}
		f := -1
		if !s.trailer {
			f = classify(line[:j])
		}
		end := base + next - run
		keep := len(m.fields) < s.fields && end <= s.keep
		if !keep && f >= 0 && f != fType && f != fExpect {
			if keep = len(m.fields) < s.fields+16 && end <= keepExtra; !keep {
				err = errFraming
				break
			}
		}
		if s.kept = keep && j > 0; !s.kept {
			m.cut = m.cut || j > 0
			m.flush(s, b[run:i], signs)
			i, run, base = next, next, len(m.buf)
			continue
		}
		w := len(line)
		for v < w && isBlank(line[v]) {
			v++
		}
		for w > v && isBlank(line[w-1]) {
			w--
		}
		m.cut = m.cut || s.skip
		s.crlf += crlf
		o := base + i - run
		if f >= 0 {
			bit := uint8(1) << f
			if m.has&bit == 0 {
				m.at[f] = uint8(len(m.fields))
			} else {
				m.dup |= bit
			}
			m.has |= bit
		}
		m.fields = append(m.fields, span{uint16(o), uint16(o + j), uint16(o + v), uint16(o + w)})
		i = next
	}
	m.flush(s, b[run:i], signs)
	if s.read += i; s.read > s.limit && err == nil {
		err = errLongHead
	}
	return i, false, err
}

// flush keeps the lines b.
func (m *msg) flush(s *section, b []byte, signs *proto.Signs) {
	if len(b) == 0 {
		return
	}
	if bytes.IndexByte(b, 0) >= 0 {
		*signs |= proto.SignNul
	}
	s.crs += bytes.Count(b, cr)
	m.buf = append(m.buf, b...)
}

var cr = []byte{'\r'}

// fold joins the folded line to the field before it with blanks (RFC 9112 section 5.2). It returns how many line ends of
// CRLF it kept.
func (m *msg) fold(s *section, line, whole []byte, crlf int, signs *proto.Signs) int {
	if !s.kept {
		return 0
	}
	f := &m.fields[len(m.fields)-1]
	limit := s.keep
	if !s.trailer && classify(m.buf[f.name:f.nameEnd]) >= 0 {
		limit = max(limit, keepExtra)
	}
	if len(m.buf)+len(whole) > limit {
		m.cut = true
		return 0
	}
	o := len(m.buf)
	m.flush(s, whole, signs)
	for i := int(f.end); i < o; i++ {
		m.buf[i] = ' '
	}
	e, v := o+len(line), o
	for e > int(f.end) && isBlank(m.buf[e-1]) {
		e--
	}
	if f.value == f.end {
		for v < e && isBlank(m.buf[v]) {
			v++
		}
		f.value = uint16(v)
	}
	f.end = uint16(max(e, int(f.value)))
	return crlf
}

// oddField takes apart a field line whose name is followed by white space; 0 if it is no field line.
func oddField(line []byte) (nameEnd, value int) {
	c := bytes.IndexByte(line, ':')
	if c <= 0 {
		return 0, 0
	}
	n := c
	for n > 0 && isBlank(line[n-1]) {
		n--
	}
	for _, x := range line[:n] {
		if !tchar[x] {
			return 0, 0
		}
	}
	return n, c + 1
}

// classify tells which field the parser needs to know a name is, or -1.
func classify(name []byte) int {
	var f int
	var want string
	switch len(name) {
	case len("Host"):
		f, want = fHost, "Host"
	case len("Expect"):
		f, want = fExpect, "Expect"
	case len("Upgrade"):
		f, want = fUpgrade, "Upgrade"
	case len("Connection"):
		f, want = fConnection, "Connection"
	case len("Content-Type"):
		f, want = fType, "Content-Type"
	case len("Content-Length"):
		f, want = fLength, "Content-Length"
	case len("Transfer-Encoding"):
		f, want = fCoding, "Transfer-Encoding"
	default:
		return -1
	}
	if string(name) == want || name[0]|0x20 == want[0]|0x20 && equalFold(name, want) {
		return f
	}
	return -1
}

// each calls do with every value of the known field f.
func (m *msg) each(f int, do func(v []byte)) {
	for _, s := range m.fields {
		if classify(m.buf[s.name:s.nameEnd]) == f {
			do(m.buf[s.value:s.end])
		}
	}
}

// body says how a message's body is framed.
type body uint8

const (
	bodyNone    body = iota
	bodyLength       // Content-Length
	bodyChunked      //
	bodyClose        // until the connection closes
	bodyUnknown      // cannot be told
)

// framing follows RFC 9112 section 6.3 for what the fields say; methods and statuses that have no body come before it.
func (m *msg) framing(request bool, v event.Protocol) (kind body, n int64, signs proto.Signs) {
	kind, fault := bodyNone, bodyUnknown
	if !request {
		kind, fault = bodyClose, bodyClose
	}
	if m.has&(1<<fCoding) != 0 {
		final, regular, identity := m.coding()
		if !regular || v == event.HTTP10 {
			signs |= proto.SignTE
		}
		if !identity {
			if m.has&(1<<fLength) != 0 {
				signs |= proto.SignBothLengths
			}
			if final {
				return bodyChunked, 0, signs
			}
			if request {
				signs |= proto.SignTE
			}
			return fault, 0, signs
		}
	}
	if m.has&(1<<fLength) == 0 {
		return kind, 0, signs
	}
	n, ok := parseLength(m.value(fLength))
	if m.dup&(1<<fLength) != 0 {
		m.each(fLength, func(v []byte) {
			x, k := parseLength(v)
			ok = ok && k && x == n
		})
	}
	if !ok {
		return fault, 0, signs | proto.SignLengthConflict
	}
	return bodyLength, n, signs
}

// coding reads Transfer-Encoding. final: chunked is the last coding. regular: all codings are registered ones, chunked
// at most once and last. identity: it says nothing but identity, which RFC 7230 took out.
func (m *msg) coding() (final, regular, identity bool) {
	regular, identity = true, true
	m.each(fCoding, func(v []byte) {
		for more := true; more; {
			var item []byte
			item, v, more = bytes.Cut(v, []byte{','})
			item = bytes.Trim(item, " \t")
			switch {
			case len(item) == 0:
				continue
			case equalFold(item, "identity"):
				regular = false
				continue
			case final: // something after chunked
				regular = false
			case !equalFold(item, "gzip") && !equalFold(item, "x-gzip") && !equalFold(item, "deflate") && !equalFold(item, "compress") && !equalFold(item, "x-compress") && !equalFold(item, "chunked"):
				regular = false
			}
			identity = false
			final = equalFold(item, "chunked")
		}
	})
	return final, regular, identity
}
