package http1

import (
	"bytes"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const versionPrefix = "HTTP/"

// tchar is the set of token characters (RFC 9110 section 5.6.2).
var tchar = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

func isDigit(c byte) bool { return c-'0' <= 9 }
func isAlpha(c byte) bool { return (c|0x20)-'a' <= 'z'-'a' }
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// upper says whether a token has no lower-case letters.
func upper(b []byte) bool {
	for _, c := range b {
		if c-'a' <= 'z'-'a' {
			return false
		}
	}
	return true
}

// equalFold compares b with s without regard to ASCII case. s may have upper-case letters only where b may have either.
func equalFold[T string | []byte](b []byte, s T) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range len(b) {
		x, y := b[i], s[i]
		if x != y && (x^y != 0x20 || !isAlpha(x)) {
			return false
		}
	}
	return true
}

// lineEnd returns the index after the first LF of b, searching from scan, or 0.
func lineEnd(b []byte, scan int) int {
	if i := bytes.IndexByte(b[scan:], '\n'); i >= 0 {
		return scan + i + 1
	}
	return 0
}

// trimLine cuts the line end; bare says that it was LF alone.
func trimLine(line []byte) (l []byte, bare bool) {
	n := len(line)
	if n > 0 && line[n-1] == '\n' {
		n--
		bare = n == 0 || line[n-1] != '\r'
	}
	if n > 0 && line[n-1] == '\r' {
		n--
	}
	return line[:n], bare
}

// emptyLines returns how many bytes of empty lines b begins with (RFC 9112 section 2.2).
func emptyLines(b []byte) int {
	n := 0
	for n < len(b) && (b[n] == '\r' || b[n] == '\n') {
		n++
	}
	return n
}

// proxyHeader returns the length of a header of the PROXY protocol that b begins with, 0 for none
// (haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2). wait: more bytes are needed to tell.
func proxyHeader(b []byte) (n int, wait bool) {
	const v1, v2 = "PROXY ", "\r\n\r\n\x00\r\nQUIT\n"
	if k := min(len(b), len(v2)); string(b[:k]) == v2[:k] {
		if len(b) < 16 {
			return 0, true
		}
		n = 16 + int(b[14])<<8 + int(b[15])
		return n, len(b) < n
	}
	if k := min(len(b), len(v1)); string(b[:k]) == v1[:k] {
		n = lineEnd(b[:min(len(b), 107)], 0)
		return n, n == 0 && len(b) < 107
	}
	return 0, false
}

// requestLine holds the parts of a request line as offsets into it.
type requestLine struct {
	method    int // end of the method
	target    int
	targetEnd int
	protocol  event.Protocol
	signs     proto.Signs
	simple    bool // HTTP/0.9, no fields follow
}

// couldBeRequest says whether a request line may begin with b: a method and a space, as far as b goes.
func couldBeRequest(b []byte) bool {
	n := 0
	for n < len(b) && n <= maxMethod && tchar[b[n]] {
		n++
	}
	switch {
	case n == 0 || n > maxMethod || !isAlpha(b[0]):
		return false
	case n < len(b):
		return b[n] == ' '
	}
	return true
}

// parseRequestLine takes apart a whole line (RFC 9112 section 3), more tolerant than a server should be: the target may be
// empty or hold blanks, the version may be unknown. Without a version it must be the simple request of HTTP/0.9.
func parseRequestLine(line []byte) (r requestLine, ok bool) {
	line, bare := trimLine(line)
	if bare {
		r.signs |= proto.SignBareLF
	}
	if !couldBeRequest(line) {
		return r, false
	}
	m := bytes.IndexByte(line, ' ')
	if m < 0 {
		return r, false
	}
	r.method = m
	end := len(line)
	for end > m+1 && isBlank(line[end-1]) {
		end--
	}
	t := m + 1
	for t < end && line[t] == ' ' {
		t++
	}
	r.target, r.targetEnd = t, end
	v := m + 1 + bytes.LastIndexByte(line[m+1:end], ' ') + 1 // the last word; the whole rest if there is one only
	if v+len(versionPrefix) < end && equalFold(line[v:v+len(versionPrefix)], versionPrefix) && isDigit(line[v+len(versionPrefix)]) {
		r.protocol = event.HTTP11
		switch {
		case string(line[v:end]) == "HTTP/1.1":
		case string(line[v:end]) == "HTTP/1.0":
			r.protocol = event.HTTP10
		case string(line[v:end]) == "HTTP/2.0" && string(line[:v]) == "PRI * ":
			return r, false // the preface of HTTP/2 (RFC 9113 section 3.4)
		default:
			r.signs |= proto.SignBadVersion
		}
		r.targetEnd = max(v-1, t)
		for r.targetEnd > t && line[r.targetEnd-1] == ' ' {
			r.targetEnd--
		}
		if v < t {
			r.target, r.targetEnd = m+1, m+1
		}
		return r, true
	}
	r.protocol, r.simple = event.HTTP09, true
	ok = (string(line[:m]) == "GET" || string(line[:m]) == "POST" || string(line[:m]) == "HEAD") && t < end && (line[t] == '/' || bytes.HasPrefix(line[t:], []byte("http://")))
	return r, ok
}

// couldBeStatus says whether a status line may begin with b, as far as b goes. Shoutcast servers say ICY instead of a version.
func couldBeStatus(b []byte) bool {
	k, i := min(len(b), len(versionPrefix)), min(len(b), len(icy))
	return equalFold(b[:k], versionPrefix[:k]) || string(b[:i]) == icy[:i]
}

const icy = "ICY "

// parseStatusLine returns the status code of a whole line (RFC 9112 section 4), 0 if it is no status line.
func parseStatusLine(line []byte) (status int, signs proto.Signs) {
	line, bare := trimLine(line)
	if bare {
		signs |= proto.SignBareLF
	}
	i := bytes.IndexByte(line, ' ')
	if i < 0 || !couldBeStatus(line) {
		return 0, 0
	}
	if v := line[:i]; string(v) != "HTTP/1.1" && string(v) != "HTTP/1.0" {
		if line[0] != icy[0] && (i <= len(versionPrefix) || !isDigit(line[len(versionPrefix)])) {
			return 0, 0
		}
		signs |= proto.SignBadVersion
	}
	for i < len(line) && line[i] == ' ' {
		i++
	}
	if len(line) < i+3 || !isDigit(line[i]) || !isDigit(line[i+1]) || !isDigit(line[i+2]) || len(line) > i+3 && line[i+3] != ' ' {
		return 0, 0
	}
	status = int(line[i]-'0')*100 + int(line[i+1]-'0')*10 + int(line[i+2]-'0')
	if status < 100 {
		return 0, 0
	}
	return status, signs
}

// parseLength reads a Content-Length: digits, or the same digits several times with commas (RFC 9112 section 6.3, 5).
func parseLength(v []byte) (n int64, ok bool) {
	n = -1
	for {
		item, rest, more := bytes.Cut(v, []byte{','})
		item = bytes.Trim(item, " \t")
		if len(item) == 0 || len(item) > 18 {
			return 0, false
		}
		var x int64
		for _, c := range item {
			if !isDigit(c) {
				return 0, false
			}
			x = x*10 + int64(c-'0')
		}
		if n >= 0 && x != n {
			return 0, false
		}
		n = x
		if !more {
			return n, true
		}
		v = rest
	}
}

// parseChunkSize reads the size in a whole chunk-size line (RFC 9112 section 7.1).
func parseChunkSize(line []byte) (n int64, signs proto.Signs, ok bool) {
	line, bare := trimLine(line)
	if bare {
		signs |= proto.SignBareLF
	}
	i := 0
	for ; i < len(line); i++ {
		c := line[i]
		switch {
		case isDigit(c):
			c -= '0'
		case (c|0x20)-'a' <= 5:
			c = (c | 0x20) - 'a' + 10
		default:
			c = 0xff
		}
		if c == 0xff {
			break
		}
		if n >= 1<<56 {
			return 0, signs, false
		}
		n = n<<4 | int64(c)
	}
	if i == 0 {
		return 0, signs, false
	}
	for i < len(line) && isBlank(line[i]) {
		i++
	}
	return n, signs, i == len(line) || line[i] == ';'
}

// hasToken says whether the comma-separated list v holds the token (in lower case).
func hasToken(v []byte, token string) bool {
	for len(v) > 0 {
		item, rest, _ := bytes.Cut(v, []byte{','})
		if equalFold(bytes.Trim(item, " \t"), token) {
			return true
		}
		v = rest
	}
	return false
}
