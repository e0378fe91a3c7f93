package endpoint

import (
	"strconv"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// param names a parameter that stands under up and whose values are of kinds: after the literal before it ("orders"
// gives orderId), else after its kind. No two parameters of a template share a name.
func (t *Template) param(up *mnode, kinds uint32) string {
	name := ""
	only := func(ks ...event.Kind) bool {
		var set uint32
		for _, k := range ks {
			set |= 1 << k
		}
		return kinds&^set == 0
	}
	base := ""
	if up.plain == 0 {
		base = camel(singular(up.name))
	}
	switch {
	case only(event.KindDate, event.KindDateTime):
		name = "date"
	case only(event.KindEmail):
		name = "email"
	case only(event.KindIP):
		name = "ip"
	case only(event.KindVersion):
		name = "version"
	case only(event.KindFile):
		name = "file"
	case base == "":
		name = "id"
		if only(event.KindWord, event.KindFile, event.KindHost) {
			name = "name"
		}
	case only(event.KindWord, event.KindFile, event.KindHost):
		name = base
	default:
		name = base + "Id"
	}
	for n, want := 2, name; ; n++ {
		taken := false
		for i := range t.Params {
			taken = taken || t.Params[i].Name == name
		}
		if !taken {
			return name
		}
		name = want + strconv.Itoa(n)
	}
}

func singular(s string) string {
	low := strings.ToLower(s)
	switch {
	case len(s) < 4 || strings.HasSuffix(low, "ss") || strings.HasSuffix(low, "us") || strings.HasSuffix(low, "is"):
		return s
	case low == "series" || low == "species":
		return s
	case strings.HasSuffix(low, "movies") || strings.HasSuffix(low, "cookies"):
		return s[:len(s)-1]
	case strings.HasSuffix(low, "ies"):
		return s[:len(s)-3] + "y"
	case strings.HasSuffix(low, "sses") || strings.HasSuffix(low, "xes") || strings.HasSuffix(low, "ches") || strings.HasSuffix(low, "shes"):
		return s[:len(s)-2]
	case strings.HasSuffix(low, "s"):
		return s[:len(s)-1]
	}
	return s
}

// camel joins the pieces of a name; what is not a letter or digit of ASCII separates them.
func camel(s string) string {
	var b strings.Builder
	up := false
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			if up && b.Len() > 0 && c >= 'a' {
				c -= 'a' - 'A'
			}
			up = false
		case c >= 'A' && c <= 'Z':
			if b.Len() == 0 || !up && i > 0 && s[i-1] >= 'A' && s[i-1] <= 'Z' {
				c += 'a' - 'A'
			}
			up = false
		default:
			up = true
			continue
		}
		b.WriteByte(c)
	}
	if n := b.String(); n == "" || n[0] >= 'a' {
		return n
	}
	return ""
}
