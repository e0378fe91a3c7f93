package redact

import (
	"net/netip"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// hostNote is what a host name was like.
type hostNote struct {
	text string
	bad  bool // not a host name or address
}

const maxHost = 253 // RFC 1035 section 2.3.4

// host is the authority b without user information and port, in lower case: an address as it stands, and of a name those labels as text that
// the policy allows, the others as "~" and token. "" and false when b is no host name.
func (r *Redactor) host(b []byte) (string, bool) {
	if len(b) == 0 {
		return "", true
	}
	v, known := r.hosts.At(b)
	if !known {
		v.text = r.hostOf(b)
		v.bad = v.text == ""
	}
	return v.text, !v.bad
}

func (r *Redactor) hostOf(b []byte) string {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '@' { // user information, RFC 3986 section 3.2.1: may be a credential
			b = b[i+1:]
			break
		}
	}
	if len(b) > maxHost+6 || len(b) == 0 {
		return ""
	}
	if b[0] == '[' {
		end := indexByte(b, ']')
		if end < 0 {
			return ""
		}
		b = b[1:end]
		if a, err := netip.ParseAddr(string(b)); err == nil && a.Zone() == "" {
			return a.String()
		}
		return ""
	}
	for i, c := range b {
		if c == ':' {
			if rest := b[i+1:]; len(rest) > 5 || len(rest) > 0 && !allDigits(rest) {
				return ""
			}
			b = b[:i]
			break
		}
	}
	if isIPv4(b) {
		return r.texts.get(b)
	}
	if n := len(b); n > 0 && b[n-1] == '.' {
		b = b[:n-1]
	}
	if len(b) == 0 || len(b) > maxHost {
		return ""
	}
	t := r.small[:0]
	from := 0
	for i := 0; i <= len(b); i++ {
		if i < len(b) && b[i] != '.' {
			switch classes[b[i]] {
			case cLower, cUpper, cDigit, cDash, cUnder:
			default:
				return ""
			}
			continue
		}
		if i == from || i-from > 63 {
			return ""
		}
		if from > 0 {
			t = append(t, '.')
		}
		t = r.label(t, b[from:i])
		from = i + 1
	}
	r.small = t[:0]
	return r.texts.get(t)
}

// label appends one label of a host name. Short numbers are part of names ("api2", "10"); long ones, ids and keys are data.
func (r *Redactor) label(t, b []byte) []byte {
	at := len(t)
	for _, c := range b {
		if classes[c] == cUpper {
			c |= 0x20
		}
		t = append(t, c)
	}
	low := t[at:]
	kind, shape := Classify(b) // as it came: lower case hides a key among words
	switch {
	case kind == event.KindInteger && len(low) <= maxRun:
		return t
	case r.cfg.Names == NamesClear && labelText(low, kind) && !hasKey(b):
		return t
	case r.cfg.Names == NamesLate && readsLikeName(low, kind) && (r.listed(low, &shape) || topLevel(low)):
		return t
	}
	h := r.nameKey.hash(low)
	return append(append(t[:at], '~'), h...)
}

// labelText says that a label may leave where nothing leaves the machine: names of machines and shards look random ("r4---sn-5hne",
// "ip-10-0-0-7") and are looked up in the open, but a long number or key is somebody's.
func labelText(b []byte, kind event.Kind) bool {
	switch kind {
	case event.KindInteger, event.KindUUID, event.KindULID, event.KindJWT, event.KindPhone, event.KindPrefixed:
		return false
	case event.KindHex, event.KindBase64, event.KindRandom:
		return len(b) < 20
	}
	run, digits, letters := 0, 0, 0
	for _, c := range b {
		switch classes[c] {
		case cDigit:
			digits++
			if run++; run > 8 {
				return false
			}
			continue
		case cLower, cUpper:
			letters++
		}
		run = 0
	}
	return letters > 0 || digits <= maxRun
}

// topLevel says that b is one of the top-level names that say nothing of whose host it is.
func topLevel(b []byte) bool {
	switch string(b) {
	case "com", "org", "net", "io", "dev", "local", "internal", "localhost", "svc", "cluster", "test", "example":
		return true
	}
	return len(b) == 2 && classes[b[0]] == cLower && classes[b[1]] == cLower
}
