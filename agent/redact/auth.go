package redact

import (
	"encoding/base64"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// credential is how a caller said who it is, without what it said.
type credential struct {
	kind        event.AuthKind
	fingerprint string
	subject     string
	issuer      string
	audience    string
	scopes      []string
	algorithm   string
	expires     event.Time
}

// fill puts c into a; at is the time that expiry is judged by.
func (c *credential) fill(a *event.Auth, at event.Time) {
	a.Kind, a.Credential, a.Subject = c.kind, c.fingerprint, c.subject
	a.Issuer, a.Audience, a.Algorithm, a.Expires = c.issuer, c.audience, c.algorithm, c.expires
	a.Scopes = append(a.Scopes[:0], c.scopes...)
	a.Expired = nil
	if c.expires != 0 {
		a.Expired = &no
		if at > c.expires {
			a.Expired = &yes
		}
	}
}

// What Auth.Expired points to: it tells absent from false, and a Call is not worth an allocation. Never written.
var yes, no = true, false

func (r *Redactor) credential(kind event.AuthKind, b []byte) credential {
	return credential{kind: kind, fingerprint: r.fingerprint(kind.String(), b)}
}

// authorization reads the value of an Authorization or Proxy-Authorization field (RFC 9110 section 11.6.2).
func (r *Redactor) authorization(v []byte) credential {
	scheme, rest := v, []byte(nil)
	for i, c := range v {
		if c == ' ' || c == '\t' {
			scheme, rest = v[:i], trim(v[i:])
			break
		}
	}
	if len(v) == 0 {
		return credential{}
	}
	switch {
	case equalFold(scheme, "bearer") || equalFold(scheme, "dpop") || equalFold(scheme, "jwt"):
		return r.bearer(rest)
	case equalFold(scheme, "basic"):
		return r.basic(rest)
	case equalFold(scheme, "token") && len(rest) > 0:
		if t := afterEquals(rest, "token"); len(t) > 0 { // Token token="…"
			rest = t
		}
		return r.bearer(rest)
	case equalFold(scheme, "apikey") || equalFold(scheme, "api-key") || equalFold(scheme, "x-api-key") || equalFold(scheme, "key"):
		return r.credential(event.AuthAPIKey, rest)
	case equalFold(scheme, "aws4-hmac-sha256") || equalFold(scheme, "aws4-ecdsa-p256-sha256"):
		return r.credential(event.AuthSigV4, beforeSlash(afterEquals(rest, "credential")))
	case equalFold(scheme, "aws"):
		c := r.credential(event.AuthHMAC, beforeColon(rest))
		return c
	case equalFold(scheme, "signature") || equalFold(scheme, "hmac") || hasFold(scheme, "hmac-") || equalFold(scheme, "hmac-sha256") || equalFold(scheme, "sharedkey") || equalFold(scheme, "hawk"):
		key := afterEquals(rest, "keyid")
		if len(key) == 0 {
			key = afterEquals(rest, "id")
		}
		if len(key) == 0 {
			key = afterEquals(rest, "credential")
		}
		if len(key) == 0 && equalFold(scheme, "sharedkey") {
			key = beforeColon(rest)
		}
		if len(key) == 0 {
			return credential{kind: event.AuthHMAC} // the signature itself is another for each request
		}
		return r.credential(event.AuthHMAC, key)
	case equalFold(scheme, "digest"):
		c := credential{kind: event.AuthCustom}
		if user := afterEquals(rest, "username"); len(user) > 0 {
			c.fingerprint, c.subject = r.fingerprint("digest", user), r.fingerprint("subject", user)
		}
		return c
	case len(rest) == 0: // no scheme: a bare key or token
		if isJWT(v) {
			return r.bearer(v)
		}
		return r.credential(event.AuthCustom, v)
	}
	return r.credential(event.AuthCustom, v)
}

// bearer reads a token (RFC 6750 section 2.1): a JWT's claims where it is one, nobody having verified them.
func (r *Redactor) bearer(token []byte) credential {
	if len(token) == 0 {
		return credential{kind: event.AuthBearerOpaque}
	}
	c := r.credential(event.AuthBearerOpaque, token)
	if isJWT(token) {
		r.claims(&c, token)
	}
	return c
}

const maxClaims = 8 << 10 // bytes of a token that are decoded

// claims reads header and payload of a JWT (RFC 7519): who issued it for whom, what for, until when. Nothing personal is kept, the
// subject as a keyed hash only.
func (r *Redactor) claims(c *credential, token []byte) {
	if len(token) > maxClaims {
		return
	}
	head := token[:indexByte(token, '.')]
	rest := token[len(head)+1:]
	payload := rest[:max(indexByte(rest, '.'), 0)]
	var h, p []byte
	var err error
	if h, err = base64.RawURLEncoding.AppendDecode(r.jwtBuf[:0], trimPad(head)); err != nil || len(h) < 2 || h[0] != '{' {
		return
	}
	n := len(h)
	if p, err = base64.RawURLEncoding.AppendDecode(h, trimPad(payload)); err != nil || len(p)-n < 2 || p[n] != '{' {
		return
	}
	r.jwtBuf, h, p = p, p[:n], p[n:]
	c.kind = event.AuthBearerJWT
	walkObject(h, func(key, value []byte) {
		if string(key) == "alg" {
			c.algorithm = algorithm(unquote(value))
		}
	})
	walkObject(p, func(key, value []byte) {
		switch string(key) {
		case "iss":
			c.issuer = r.publicName(unquote(value))
		case "aud":
			if len(value) > 0 && value[0] == '[' {
				value = firstString(value)
			}
			c.audience = r.publicName(unquote(value))
		case "sub":
			if s := unquote(value); len(s) > 0 {
				c.subject = r.fingerprint("subject", s)
			}
		case "exp":
			c.expires = seconds(value)
		case "scope", "scp", "scopes", "permissions":
			c.scopes = r.scopes(c.scopes, value)
		}
	})
}

const maxScopes = 16

// scopes reads a list of scopes, separated by spaces (RFC 8693 section 4.2) or as an array.
func (r *Redactor) scopes(dst []string, v []byte) []string {
	if len(v) > 2 && v[0] == '[' {
		for rest := v[1:]; len(rest) > 0 && len(dst) < maxScopes; {
			s := firstString(rest)
			if s == nil {
				break
			}
			dst = append(dst, r.publicName(unquote(s)))
			rest = rest[indexSlice(rest, s)+len(s):]
		}
		return dst
	}
	from := 0
	s := unquote(v)
	for i := 0; i <= len(s) && len(dst) < maxScopes; i++ {
		if i == len(s) || s[i] == ' ' {
			if i > from {
				dst = append(dst, r.publicName(s[from:i]))
			}
			from = i + 1
		}
	}
	return dst
}

var algorithms = [...]string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES256K", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA", "none"}

// algorithm is the registered name (RFC 7518 section 3.1), "none" however it is spelt, or "other".
func algorithm(b []byte) string {
	for _, a := range algorithms {
		if string(b) == a {
			return a
		}
	}
	if equalFold(b, "none") {
		return "none"
	}
	return "other"
}

// seconds is a NumericDate (RFC 7519 section 2).
func seconds(b []byte) event.Time {
	var n int64
	for i, c := range b {
		if classes[c] != cDigit || i > 10 {
			break
		}
		n = n*10 + int64(c-'0')
	}
	if n > 9_000_000_000 { // past the range of event.Time
		n = 9_000_000_000
	}
	return event.Time(n * 1e9)
}

// basic reads user-id and password (RFC 7617 section 2).
func (r *Redactor) basic(b []byte) credential {
	c := credential{kind: event.AuthBasic}
	if len(b) > maxClaims {
		b = b[:maxClaims]
	}
	plain, err := base64.RawStdEncoding.AppendDecode(r.jwtBuf[:0], trimPad(b))
	if err != nil {
		if len(b) > 0 {
			c.fingerprint = r.fingerprint("basic", b)
		}
		return c
	}
	r.jwtBuf = plain
	c.fingerprint = r.fingerprint("basic", plain)
	if user := beforeColon(plain); len(user) > 0 {
		c.subject = r.fingerprint("subject", user)
	}
	return c
}

var sessionCookies = [...]string{"session", "sessionid", "sess", "jsessionid", "phpsessid", "aspnetsessionid", "connectsid", "sid", "authtoken", "accesstoken", "token", "jwt", "laravelsession",
	"sessiontoken", "authsession", "idtoken", "auth", "aspnetcoreidentityapplication", "remembertoken", "ssid", "cfidsession"}

// sessionName says that a cookie of this name holds a session.
func sessionName(b []byte) bool {
	var t [40]byte
	n := 0
	for _, c := range b {
		if c == '-' || c == '_' || c == '.' {
			continue
		}
		if n == len(t) {
			return false
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		t[n] = c
		n++
	}
	s := t[:n]
	for _, p := range [...]string{"host", "secure"} { // __Host- and __Secure- (RFC 6265bis section 4.1.3)
		if len(b) > 2 && b[0] == '_' && b[1] == '_' && has(s, p) {
			s = s[len(p):]
		}
	}
	for _, name := range sessionCookies {
		if string(s) == name {
			return true
		}
	}
	return ends(s, "session") || ends(s, "sessionid") || ends(s, "sessid")
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func trimPad(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '=' {
		b = b[:len(b)-1]
	}
	return b
}

func beforeColon(b []byte) []byte {
	if i := indexByte(b, ':'); i >= 0 {
		return b[:i]
	}
	return b
}

func hasFold(b []byte, lower string) bool {
	return len(b) >= len(lower) && equalFold(b[:len(lower)], lower)
}

// afterEquals is the value of the parameter name in a list like `a="b", c=d`, without its quotes; nil when it is not there.
func afterEquals(b []byte, name string) []byte {
	for i := 0; i+len(name) < len(b); i++ {
		if i > 0 && b[i-1] != ' ' && b[i-1] != ',' && b[i-1] != '\t' || !hasFold(b[i:], name) {
			continue
		}
		v := trim(b[i+len(name):])
		if len(v) == 0 || v[0] != '=' {
			continue
		}
		v = trim(v[1:])
		if len(v) > 0 && v[0] == '"' {
			if end := indexByte(v[1:], '"'); end >= 0 {
				return v[1 : 1+end]
			}
			return v[1:]
		}
		for j, c := range v {
			if c == ',' || c == ' ' {
				return v[:j]
			}
		}
		return v
	}
	return nil
}
