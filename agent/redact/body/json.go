package body

// Small readers of JSON (RFC 8259): they never allocate, and take what is cut or wrong as the end.

// SkipSpace returns the index of the first byte at or after i that is not white space.
func SkipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// StringEnd returns the index after the string that starts at b[i], a quotation mark; len(b)+1 when it is cut.
func StringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b) + 1
}

// ValueEnd returns the index after the value that starts at b[i]; len(b)+1 when it is cut.
func ValueEnd(b []byte, i int) int {
	if i >= len(b) {
		return len(b) + 1
	}
	switch b[i] {
	case '"':
		return StringEnd(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				i = StringEnd(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return len(b) + 1
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

// unescape appends the string s with its escapes resolved.
func unescape(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '\\' || i+1 >= len(s) {
			dst = append(dst, c)
			continue
		}
		i++
		switch s[i] {
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b', 'f':
			dst = append(dst, ' ')
		case 'u':
			if i+4 < len(s) {
				var v rune
				for _, d := range s[i+1 : i+5] {
					v = v<<4 | rune(hexval(d))
				}
				i += 4
				dst = appendRune(dst, v)
			}
		default:
			dst = append(dst, s[i])
		}
	}
	return dst
}

func appendRune(dst []byte, v rune) []byte {
	switch {
	case v < 0x80:
		return append(dst, byte(v))
	case v < 0x800:
		return append(dst, 0xc0|byte(v>>6), 0x80|byte(v&63))
	}
	return append(dst, 0xe0|byte(v>>12), 0x80|byte(v>>6&63), 0x80|byte(v&63))
}

// hexval is a hexadecimal digit's value, 0 for any other byte.
func hexval(c byte) byte {
	switch {
	case c-'0' < 10:
		return c - '0'
	case (c|0x20)-'a' < 6:
		return c | 0x20 - 'a' + 10
	}
	return 0
}
