package http1

import (
	"bytes"

	"github.com/gnomon-sensor/gnomon/agent/proto"
)

// found is what find found.
type found uint8

const (
	nothing   found = iota
	start           // a start line of HTTP/1.0 or 1.1, followed by a field line or an empty one
	lastChunk       // the end of a chunked body without trailers
)

// find looks in b for the start of a message of direction d, and where zero is not nil also for the end of a chunked
// body: zero says that the line before b was a last chunk, and is kept up to date. It returns the offset of the one, the
// offset after the other, or how many bytes of b can belong to neither.
//
// A start line need not begin a line: a body before it may end without one. It must lie within the last window bytes of
// its line.
func find(d proto.Dir, b []byte, zero *bool) (off int, what found) {
	for i := 0; ; {
		n := lineEnd(b[i:], 0)
		if n == 0 {
			return max(i, len(b)-window), nothing
		}
		if c, maybe, yes := startIn(d, b, i, i+n); yes {
			return c, start
		} else if maybe {
			return c, nothing
		}
		if zero != nil {
			line, _ := trimLine(b[i : i+n])
			if *zero && len(line) == 0 {
				return i + n, lastChunk
			}
			*zero = string(line) == "0"
		}
		i += n
	}
}

// startIn looks for a start line that ends the line b[i:end]. maybe without yes: more bytes are needed to tell.
func startIn(d proto.Dir, b []byte, i, end int) (off int, maybe, yes bool) {
	line, _ := trimLine(b[max(i, end-window):end])
	var o int
	if d == proto.Request {
		o = requestIn(line, end-i <= window)
	} else {
		o = statusIn(line)
	}
	if o < 0 {
		return 0, false, false
	}
	off = max(i, end-window) + o
	rest := b[end:]
	for n, c := range rest {
		switch {
		case n == 0 && c == '\n', n == 1 && rest[0] == '\r' && c == '\n', n > 0 && c == ':' && rest[0] != '\r':
			return off, true, true
		case n == 0 && c == '\r':
		case !tchar[c] || n > 256:
			return 0, false, false
		}
	}
	return off, true, false
}

// requestIn returns the offset of a request line that ends line, or -1. whole: line is not cut at its beginning.
func requestIn(line []byte, whole bool) int {
	const v = len(" HTTP/1.1")
	n := len(line)
	if n < len("GET / HTTP/1.1") || string(line[n-v:n-1]) != " HTTP/1." || line[n-1]&^1 != '0' {
		return -1
	}
	t := bytes.LastIndexByte(line[:n-v], ' ')
	if t <= 0 || t+1 == n-v {
		return -1
	}
	if c := line[t+1]; c != '/' && c != '*' && c != '[' && !isAlpha(c) && !isDigit(c) {
		return -1
	}
	m := t
	for m > 0 && t-m <= maxMethod && (line[m-1]-'A' <= 'Z'-'A' || line[m-1] == '-' || line[m-1] == '_') {
		m--
	}
	switch {
	case t-m <= maxMethod && t > m && isAlpha(line[m]) && (m == 0 && whole || known(line[m:t])):
		return m
	case whole && t <= maxMethod && couldBeRequest(line[:t+1]): // lower case, at the start of a line
		return 0
	}
	for _, k := range methods { // the body before it ends in capital letters
		if bytes.HasSuffix(line[:t], []byte(k)) {
			return t - len(k)
		}
	}
	return -1
}

// statusIn returns the offset of the last status line in line, or -1.
func statusIn(line []byte) int {
	const p = "HTTP/1."
	if !bytes.Contains(line, []byte(p)) { // ten times as fast as LastIndex
		return -1
	}
	for end := len(line); ; {
		i := bytes.LastIndex(line[:end], []byte(p))
		if i < 0 {
			return -1
		}
		l := line[i:]
		if len(l) >= len("HTTP/1.1 200") && l[7]&^1 == '0' && l[8] == ' ' && l[9]-'1' <= 4 && isDigit(l[10]) && isDigit(l[11]) && (len(l) == 12 || l[12] == ' ') {
			return i
		}
		end = i
	}
}

// methods are looked for where a request line is glued to something else. Longer ones come before their endings.
var methods = []string{"OPTIONS", "PROPFIND", "PROPPATCH", "CONNECT", "DELETE", "PATCH", "TRACE", "QUERY", "HEAD", "POST", "PUT", "GET"}

func known(m []byte) bool {
	for _, k := range methods {
		if string(m) == k {
			return true
		}
	}
	return false
}
