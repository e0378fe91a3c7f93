package redact

import "github.com/gnomon-sensor/gnomon/inventory/event"

// piece is one piece of a segment: punctuation b[sep:from], then b[from:to].
type piece struct{ sep, from, to int }

// joins says which bytes separate the pieces of a segment. Dashes and underscores are part of names and separate only a
// typed rest ("report-2026-11-24"), see pieces.
func joins(c byte) bool {
	switch c {
	case '.', ',', ':', '(', ')', '\'', '"', '=', '@', '!', '$', '*', '|', '~', '+', '&', '[', ']', '{', '}', '<', '>', '^', '`':
		return true
	}
	return false
}

// pieces fills p.bounds with the pieces of b and returns how many there are: 0 or 1 means that b is of one piece. A
// segment of more than maxParts pieces, or with punctuation longer than 4 bytes, is free text and of one piece.
func (p *Paths) pieces(b []byte, k event.Kind, s *event.Shape) int {
	switch k {
	case event.KindWord, event.KindString, event.KindFile, event.KindHost:
	default:
		return 0
	}
	if s.Len == maxShape || s.Seps == 0 || s.Word != 0 {
		return 0
	}
	n, i := 0, 0
	add := func(q piece) bool {
		if n == len(p.bounds) || q.from-q.sep > 4 {
			n = 0
			return false
		}
		p.bounds[n] = q
		n++
		return true
	}
	for i < len(b) {
		q := piece{sep: i}
		for i < len(b) && joins(b[i]) {
			i++
		}
		q.from = i
		for i < len(b) && !joins(b[i]) {
			i++
		}
		q.to = i
		if s.Digits >= 3 {
			if k, _ := Classify(b[q.from:q.to]); k != event.KindWord && k != event.KindString {
				// a UUID has dashes of its own
			} else if cut := typedRest(b[q.from:q.to]); cut > 0 {
				if !add(piece{q.sep, q.from, q.from + cut}) {
					return 0
				}
				q = piece{q.from + cut, q.from + cut + 1, q.to}
			}
		}
		if !add(q) {
			return 0
		}
	}
	return n
}

// typedRest returns where in b a dash or underscore stands that is followed by a typed value up to b's end: an integer of
// three digits or more, a UUID, ULID, date or hexadecimal number. 0 when there is none. Only the first four are tried.
func typedRest(b []byte) int {
	tried := 0
	for i := 1; i < len(b)-3 && tried < 4; i++ {
		if k := classes[b[i]]; k != cDash && k != cUnder {
			continue
		}
		tried++
		switch k, _ := Classify(b[i+1:]); k {
		case event.KindInteger, event.KindUUID, event.KindULID, event.KindDate, event.KindDateTime, event.KindHex:
			return i
		}
	}
	return 0
}

// seps returns b, at most 4 bytes of punctuation, as a string; the usual ones cost no allocation.
func seps(b []byte) string {
	switch string(b) {
	case "":
		return ""
	case ".":
		return "."
	case ",":
		return ","
	case ":":
		return ":"
	case "..":
		return ".."
	case "('":
		return "('"
	case "')":
		return "')"
	case "(":
		return "("
	case ")":
		return ")"
	case "=":
		return "="
	case "='":
		return "='"
	case "@":
		return "@"
	case "-":
		return "-"
	case "_":
		return "_"
	case "+":
		return "+"
	case "'":
		return "'"
	}
	return string(b)
}
