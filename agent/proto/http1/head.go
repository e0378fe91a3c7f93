package http1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"

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
// Lines that are kept are copied in one piece per call: a copy per line cost a third more. What a line changes is held in
// locals, which a store through h, m or signs would force to memory: a fifth of the time on heads of 700 bytes.
func (h *half) fieldLines(m *msg, b []byte, signs *proto.Signs) (used int, done bool, err error) {
	s := &h.section
	base, run, i, scan := len(m.buf), 0, 0, h.scan // b[x] comes to m.buf[base+x-run]
	h.scan = 0
	fields, crlfs, sg := m.fields, s.crlf, proto.Signs(0)
	kept, skip := s.kept, s.skip
	for {
		if scan == 0 && !skip {
			m.fields = fields
			if n := m.plainFields(b, i, base-run, min(s.keep-base+run, s.limit-s.read), s.fields, s.trailer); n > i {
				crlfs += len(m.fields) - len(fields)
				fields, i, kept = m.fields, n, true
			}
		}
		rest := b[i:]
		k := bytes.IndexByte(rest[scan:], '\n')
		if skip {
			if k < 0 {
				i = len(b)
				run = i
				break
			}
			i += k + 1
			run, base = i, len(m.buf)
			skip = false
			continue
		}
		if k < 0 && len(rest) <= maxLine {
			h.scan = len(rest)
			break
		}
		if k += scan; k < scan || k > maxLine {
			k, skip = maxLine, true
		}
		scan = 0
		if s.read+i+k > s.limit {
			err = errLongHead
			break
		}
		e, next, crlf := k, i+k, 0
		if !skip {
			next++
			if e > 0 && rest[e-1] == '\r' {
				e--
				crlf = 1
			} else {
				sg |= proto.SignBareLF
			}
			if done = e == 0; done {
				break
			}
		}
		j := nameLen(rest)
		v := j + 1
		if j == 0 || j >= e || rest[j] != ':' {
			line := rest[:e]
			if isBlank(line[0]) {
				sg |= proto.SignObsFold
				m.flush(s, b[run:i], &sg)
				m.fields = fields
				if kept {
					crlfs += m.fold(s, line, b[i:next], crlf, &sg)
				}
				i, run, base = next, next, len(m.buf)
				continue
			}
			if j, v = oddField(line); j == 0 {
				sg |= proto.SignJunk
			} else {
				sg |= proto.SignSpaceColon
			}
		}
		f := -1
		if 1<<j&knownLengths != 0 && !s.trailer {
			f = classify(rest[:j])
		}
		end := base + next - run
		kept = len(fields) < s.fields && end <= s.keep && j > 0
		if !kept {
			if f >= 0 && f != fType && f != fExpect {
				if kept = len(fields) < s.fields+16 && end <= keepExtra; !kept {
					err = errFraming
					break
				}
			} else {
				m.cut = m.cut || j > 0
				m.flush(s, b[run:i], &sg)
				i, run, base = next, next, len(m.buf)
				continue
			}
		}
		w := e
		for v < w && isBlank(rest[v]) {
			v++
		}
		for w > v && isBlank(rest[w-1]) {
			w--
		}
		m.cut = m.cut || skip
		crlfs += crlf
		if f >= 0 {
			m.note(rest[:j], len(fields))
		}
		o := uint16(base + i - run)
		fields = append(fields, span{o, o + uint16(j), o + uint16(v), o + uint16(w)})
		i = next
	}
	m.flush(s, b[run:i], &sg)
	m.fields = fields
	s.crlf, s.kept, s.skip = crlfs, kept, skip
	if done {
		if b[i] == '\r' {
			i++
		}
		if i++; s.crs != s.crlf {
			sg |= proto.SignBareCR
		}
	}
	*signs |= sg
	s.read += i
	return i, done, err
}

// plainFields reads the well-formed field lines that b[i:] begins with, and returns the index after them. It stops at any line
// that asks for more care, or that ends after keep, or that would be one field too many. b[x] comes to m.buf[x+shift].
//
// It is a loop of its own so that all it needs stays in registers.
func (m *msg) plainFields(b []byte, i, shift, keep, count int, trailer bool) int {
	fields := m.fields
	for len(fields) < count {
		rest := b[i:]
		k := bytes.IndexByte(rest, '\n')
		if k < 2 || rest[k-1] != '\r' || k > maxLine || i+k+1 > keep {
			break
		}
		j := nameLen(rest)
		if j == 0 || rest[j] != ':' {
			break
		}
		if 1<<j&knownLengths != 0 && !trailer {
			m.note(rest[:j], len(fields))
		}
		v, w := j+1, k-1
		for v < w && isBlank(rest[v]) {
			v++
		}
		for w > v && isBlank(rest[w-1]) {
			w--
		}
		o := uint16(i + shift)
		fields = append(fields, span{o, o + uint16(j), o + uint16(v), o + uint16(w)})
		i += k + 1
	}
	m.fields = fields
	return i
}

// note remembers where the fields are that the parser needs to know.
func (m *msg) note(name []byte, index int) {
	if f := classify(name); f >= 0 {
		bit := uint8(1) << f
		if m.has&bit == 0 {
			m.at[f] = uint8(index)
		} else {
			m.dup |= bit
		}
		m.has |= bit
	}
}

// nameLen returns the index of the first byte of b that cannot be part of a field name: a colon, white space, a control, or
// a byte outside ASCII. Eight at a time: byte by byte it was a sixth of the time of a head.
//
// Names are not held against the token characters (RFC 9110 section 5.6.2) beyond that: no server tells a name with a
// bracket from an unknown one.
func nameLen(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	j := 0
	for ; j+8 <= len(b); j += 8 {
		w := binary.LittleEndian.Uint64(b[j:])
		x := w ^ ones*':'
		// Borrows make these wrong only above the first hit.
		if hit := ((x-ones)&^x | (w-ones*0x21)&^w | w) & tops; hit != 0 {
			return j + bits.TrailingZeros64(hit)/8
		}
	}
	for j < len(b) && b[j] != ':' && b[j] > ' ' && b[j] < 0x80 {
		j++
	}
	return j
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
	if nameLen(line[:n]) < n {
		return 0, 0
	}
	return n, c + 1
}

// knownLengths has a bit for each length of a name that the parser needs to know.
const knownLengths = 1<<len("Host") | 1<<len("Expect") | 1<<len("Upgrade") | 1<<len("Connection") | 1<<len("Content-Type") | 1<<len("Content-Length") | 1<<len("Transfer-Encoding")

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
	// The last letters differ from those of other common names of the same length; the first ones do not (Accept-*, Co*).
	if name[len(name)-1]|0x20 == want[len(want)-1] && (string(name) == want || equalFold(name, want)) {
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
