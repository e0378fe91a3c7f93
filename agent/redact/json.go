package redact

// Small readers of JSON (RFC 8259) for what is not worth a tree: they never allocate, and take what is cut or wrong as the end.

// skipSpace returns the index of the first byte at or after i that is not white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns the index after the string that starts at b[i], a quotation mark; len(b)+1 when it is cut.
func stringEnd(b []byte, i int) int {
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

// valueEnd returns the index after the value that starts at b[i]; len(b)+1 when it is cut.
func valueEnd(b []byte, i int) int {
	if i >= len(b) {
		return len(b) + 1
	}
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				i = stringEnd(b, i)
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

// walkObject calls f with key (without quotation marks, escapes as they are) and raw value of each member of the object b.
func walkObject(b []byte, f func(key, value []byte)) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return
	}
	i++
	for {
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != '"' {
			return
		}
		end := stringEnd(b, i)
		if end > len(b) {
			return
		}
		key := b[i+1 : end-1]
		i = skipSpace(b, end)
		if i >= len(b) || b[i] != ':' {
			return
		}
		i = skipSpace(b, i+1)
		end = valueEnd(b, i)
		if end > len(b) || end == i {
			return
		}
		f(key, b[i:end])
		i = skipSpace(b, end)
		if i >= len(b) || b[i] != ',' {
			return
		}
		i++
	}
}

// unquote is the raw string value without its quotation marks, escapes as they are; other values as they stand.
func unquote(v []byte) []byte {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		return v[1 : len(v)-1]
	}
	return v
}

// firstString is the first string in b with its quotation marks, nil when there is none.
func firstString(b []byte) []byte {
	i := indexByte(b, '"')
	if i < 0 {
		return nil
	}
	if end := stringEnd(b, i); end <= len(b) {
		return b[i:end]
	}
	return nil
}

// indexSlice is where the subslice s of b starts.
func indexSlice(b, s []byte) int { return cap(b) - cap(s) }

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
					v = v<<4 | rune(hexval[d]&15)
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
