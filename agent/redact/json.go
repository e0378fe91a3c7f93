package redact

import "github.com/gnomon-sensor/gnomon/agent/redact/body"

// walkObject calls f with key (without quotation marks, escapes as they are) and raw value of each member of the object b.
func walkObject(b []byte, f func(key, value []byte)) {
	i := body.SkipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return
	}
	i++
	for {
		i = body.SkipSpace(b, i)
		if i >= len(b) || b[i] != '"' {
			return
		}
		end := body.StringEnd(b, i)
		if end > len(b) {
			return
		}
		key := b[i+1 : end-1]
		i = body.SkipSpace(b, end)
		if i >= len(b) || b[i] != ':' {
			return
		}
		i = body.SkipSpace(b, i+1)
		end = body.ValueEnd(b, i)
		if end > len(b) || end == i {
			return
		}
		f(key, b[i:end])
		i = body.SkipSpace(b, end)
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
	if end := body.StringEnd(b, i); end <= len(b) {
		return b[i:end]
	}
	return nil
}

// indexSlice is where the subslice s of b starts.
func indexSlice(b, s []byte) int { return cap(b) - cap(s) }
