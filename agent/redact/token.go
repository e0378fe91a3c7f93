package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/dchest/siphash"
	"github.com/gnomon-sensor/gnomon/agent/redact/sensitive"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/event/words"
)

// sipKey is a key of SipHash-2-4, a keyed pseudo-random function of 128-bit keys (Aumasson, Bernstein 2012).
type sipKey struct{ k0, k1 uint64 }

// derive makes the key for one purpose from the installation's: HMAC-SHA-256 (RFC 2104), so that no token of one purpose
// tells anything about those of another.
func derive(master []byte, purpose string) (k sipKey, raw [16]byte) {
	m := hmac.New(sha256.New, master)
	m.Write([]byte(purpose))
	copy(raw[:], m.Sum(nil))
	return sipKey{binary.LittleEndian.Uint64(raw[:8]), binary.LittleEndian.Uint64(raw[8:])}, raw
}

func (k sipKey) sum(b []byte) uint64 { return siphash.Hash(k.k0, k.k1, b) }

// sub is the key for what b names under k.
func (k sipKey) sub(b []byte) sipKey {
	var s sipKey
	s.k0, s.k1 = siphash.Hash128(k.k0, k.k1, b)
	return s
}

// hash is a value's keyed hash as it leaves: 40 bits, so that a chance collision among the values of one parameter is rare
// (1 % among 150,000) and the value's own bits are not all there. SipHash rather than HMAC-SHA-256 under a key that HMAC
// derived: the same one-wayness without the key, 20 ns instead of 500.
func (k sipKey) hash(b []byte) string {
	const n = 5
	var v [8]byte
	binary.BigEndian.PutUint64(v[:], k.sum(b))
	var t [2 * n]byte
	hex.Encode(t[:], v[:n])
	return string(t[:])
}

// fingerprint is a credential's keyed hash: HMAC-SHA-256 cut to 64 bits. It is computed once per distinct credential.
func (r *Redactor) fingerprint(kind string, b []byte) string {
	m := r.mac
	m.Reset()
	r.small = append(append(r.small[:0], kind...), 0)
	m.Write(r.small)
	m.Write(b)
	r.small = m.Sum(r.small[:0])
	return hex.EncodeToString(r.small[:8])
}

// names is a bounded table of strings that many calls share.
type names struct {
	m map[string]string
	n int
}

func newNames(n int) names { return names{m: make(map[string]string), n: n} }

// get returns b as a string; one that is known costs no allocation.
func (t *names) get(b []byte) string {
	if s, ok := t.m[string(b)]; ok {
		return s
	}
	if len(t.m) >= t.n {
		clear(t.m)
	}
	s := string(b)
	t.m[s] = s
	return s
}

const (
	maxName = 64 // bytes of a name that may leave as text; longer ones are data
	maxRun  = 4  // digits in a row in such a name: a year fits, a number of an account does not
)

// name is what of the name b of a parameter, field or header may leave: b itself when it reads like a name and the policy
// lets it, else its kind and token, "{email:9f2c41d07a}".
func (r *Redactor) name(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	v, known := r.named.At(b)
	if !known {
		*v = r.nameOf(b)
	}
	return *v
}

func (r *Redactor) nameOf(b []byte) string {
	kind, shape := Classify(b)
	if readsLikeName(b, kind) && (r.cfg.Names == NamesClear || r.listed(b, &shape)) {
		return r.texts.get(b)
	}
	if kind == event.KindEmpty {
		return ""
	}
	return "{" + kind.String() + ":" + r.nameKey.hash(b) + "}"
}

// listed says that every piece of b is an API word.
func (r *Redactor) listed(b []byte, s *event.Shape) bool {
	if s.Word != 0 {
		return true
	}
	if _, ok := r.paths.revealed[r.paths.Token(b)]; ok {
		return true
	}
	return s.Pieces > 0 && s.Hits == s.Pieces && s.Digits == 0
}

// readsLikeName says that b is made of letters with little else: "page", "filter[status]", "$top", "items[].sku", "x-tenant-id".
func readsLikeName(b []byte, kind event.Kind) bool {
	switch kind {
	case event.KindWord, event.KindVersion, event.KindFile, event.KindHost, event.KindBoolean:
	default:
		return false
	}
	if len(b) > maxName || hasKey(b) {
		return false
	}
	letters, digits, run, from := 0, 0, 0, 0
	for i := 0; i <= len(b); i++ {
		if i < len(b) {
			switch classes[b[i]] {
			case cLower, cUpper:
				letters++
				run = 0
				continue
			case cDigit:
				digits++
				if run++; run > maxRun {
					return false
				}
				continue
			case cDash, cUnder:
				run = 0
				continue
			case cDot:
			default:
				switch b[i] {
				case '[', ']', '$', ':', '/', '*', '#':
				default:
					return false
				}
			}
		}
		// a piece ends: a key between brackets is one however harmless the whole looks
		if i-from >= 10 && i-from < len(b) {
			if k, _ := Classify(b[from:i]); k != event.KindWord {
				return false
			}
		}
		run, from = 0, i+1
	}
	return letters > 0 && digits <= 8 && digits <= letters+2
}

// classify is Classify, but that what reads like a word and holds a secret is none: a key of a known issuer, or a number as long as a card's.
func classify(b []byte) (event.Kind, event.Shape) {
	kind, shape := Classify(b)
	if shape.Len >= 13 && textual(kind) && holdsSecret(b, &shape) {
		kind = event.KindBase64
	}
	return kind, shape
}

func holdsSecret(b []byte, s *event.Shape) bool {
	if s.Digits == 0 {
		return false
	}
	run := 0
	for _, c := range b {
		if classes[c] != cDigit {
			run = 0
		} else if run++; run > 12 {
			return true
		}
	}
	// base64 with its slashes escaped
	if s.Digits > 1 && s.Upper > 3 && s.Lower > 3 && len(b) >= 24 && indexByte(b, '/') > 0 {
		return true
	}
	return sensitive.KeyPrefix(b)
}

// hasKey says that a key of a known issuer stands in the name b: "x[AKIA…]", "X-ghp_…".
func hasKey(b []byte) bool {
	for from := 0; from < len(b); {
		end := from
		for end < len(b) && nameByte(b[end]) {
			end++
		}
		for i := from; i < end; i++ {
			if (i == from || b[i-1] == '-' || b[i-1] == '_') && sensitive.KeyPrefix(b[i:end]) {
				return true
			}
		}
		from = end + 1
	}
	return false
}

func nameByte(c byte) bool {
	switch classes[c] {
	case cLower, cUpper, cDigit, cDash, cUnder:
		return true
	}
	return false
}

// word is b as text when it is exactly a word of the list, else "".
func word(b []byte) string {
	if w := words.Text(words.Index(b)); w == string(b) { // the list ignores case, an enumeration does not
		return w
	}
	return ""
}

// publicName is an issuer, an audience or a scope as it may leave: a URL's scheme, host and words of its path, or a name.
func (r *Redactor) publicName(b []byte) string {
	if len(b) > 256 {
		b = b[:256]
	}
	i := strings.Index(string(b), "://")
	if i < 2 || i > 8 {
		return r.name(b)
	}
	rest := b[i+3:]
	end := len(rest)
	for j, c := range rest {
		if c == '/' || c == '?' || c == '#' {
			end = j
			break
		}
	}
	scheme := r.name(b[:i])
	host, _ := r.host(rest[:end])
	if host == "" {
		return r.name(b)
	}
	t := scheme + "://" + host
	if segs, _ := r.paths.Path(r.segs[:0], rest[end:]); len(segs) > 0 {
		r.segs = segs
		for i := range segs {
			t += "/" + r.publicSegment(&segs[i])
		}
	}
	return t
}

// publicSegment is a segment of a public name's path: its text where it reads like a name, else its kind.
func (r *Redactor) publicSegment(s *event.Segment) string {
	if s.Kind == event.KindEmpty {
		return ""
	}
	r.small = append(r.small[:0], s.Text...)
	if s.Text != "" && readsLikeName(r.small, s.Kind) {
		return s.Text
	}
	return "{" + s.Kind.String() + "}"
}

func has(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

func ends(b []byte, suffix string) bool {
	return len(b) >= len(suffix) && string(b[len(b)-len(suffix):]) == suffix
}
