package redact

import (
	"bytes"
	"slices"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/agent/redact/cache"
	"github.com/gnomon-sensor/gnomon/agent/redact/hostile"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// role is what a header field is to us.
type role uint8

const (
	roleNone        role = iota // its name is all that is told
	roleAuth                    // Authorization
	roleCookie                  // Cookie
	roleType                    // Content-Type
	roleEncoding                // Content-Encoding
	roleKey                     // carries an API key
	roleToken                   // carries a token
	roleSignature               // carries a keyed signature of the request
	roleScan                    // looked at for hostile content
	roleParam                   // a field that is no standard one: a parameter of the API, and looked at
	roleAWSSecurity             // X-Amz-Security-Token: its own secret, the key id is in Authorization
)

// headerSet is what a sequence of header names says: sorted names and each field's role.
type headerSet struct {
	names []string
	roles []role
	hot   []uint16 // indices of the fields whose value matters
	memo  []memo   // by hot: what the value was last time
}

// memo is the last value of a field: clients repeat themselves, and a comparison costs a tenth of a look-up in the cache.
type memo struct {
	service string
	raw     []byte
	value   value
}

const maxMemos = 12 // of one set; with values of at most cache.MaxKey bytes

const maxHeaders = 64 // names of one message that leave

// headers returns the set of f's names, borrowed until the next call.
func (r *Redactor) headers(f []proto.Field) *headerSet {
	r.key = r.key[:0]
	for i := range f {
		r.key = append(append(r.key, f[i].Name...), '\n')
	}
	s, known := r.sets.At(r.key)
	if known {
		return s
	}
	*s = headerSet{names: s.names[:0], roles: s.roles[:0], hot: s.hot[:0], memo: s.memo[:0]}
	for i := range f {
		name := r.lower(f[i].Name)
		ro := roleOf(name)
		s.roles = append(s.roles, ro)
		if ro != roleNone {
			s.hot = append(s.hot, uint16(i))
		}
		if len(s.names) < maxHeaders {
			s.names = append(s.names, r.headerName(f[i].Name))
		}
	}
	if n := min(len(s.hot), maxMemos); cap(s.memo) >= n {
		s.memo = s.memo[:n]
		for i := range s.memo {
			s.memo[i].raw = nil
		}
	} else {
		s.memo = make([]memo, n)
	}
	slices.Sort(s.names)
	s.names = slices.Compact(s.names)
	if cap(s.names) > 2*maxHeaders || cap(s.roles) > 4*maxHeaders {
		r.oddSet = *s
		*s = headerSet{}
		r.sets.Forget(r.key)
		return &r.oddSet
	}
	return s
}

// headerName is what of a field's name may leave, in lower case. It is judged as it came: lower case hides a key among words.
func (r *Redactor) headerName(b []byte) string {
	if t := r.name(b); t == "" || t[0] == '{' {
		return t
	}
	return r.name(r.lower(b))
}

func (r *Redactor) lower(b []byte) []byte {
	r.nameBuf = r.nameBuf[:0]
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		r.nameBuf = append(r.nameBuf, c)
	}
	return r.nameBuf
}

// roleOf says what the field of that name, in lower case, is to us. Fields that proxies and tracers write are no parameters of the API,
// and standard ones carry nothing that is.
func roleOf(name []byte) role {
	switch string(name) {
	case "authorization", "proxy-authorization", "x-authorization":
		return roleAuth
	case "cookie":
		return roleCookie
	case "content-type":
		return roleType
	case "content-encoding":
		return roleEncoding
	case "x-api-key", "api-key", "apikey", "x-apikey", "x-api-token", "x-app-key", "ocp-apim-subscription-key", "x-functions-key", "dd-api-key", "x-rapidapi-key",
		"x-goog-api-key", "x-mbx-apikey", "x-application-key", "x-access-key", "x-subscription-token", "x-parse-rest-api-key", "anthropic-api-key", "xi-api-key", "x-master-key":
		return roleKey
	case "x-auth-token", "x-access-token", "x-vault-token", "private-token", "x-gitlab-token", "job-token", "x-session-token", "x-shopify-access-token", "x-jwt-assertion",
		"x-consul-token", "x-amz-access-token", "x-goog-iap-jwt-assertion", "cf-access-jwt-assertion":
		return roleToken
	case "x-signature", "x-hub-signature", "x-hub-signature-256", "x-hmac-signature", "x-request-signature", "stripe-signature", "x-slack-signature", "x-shopify-hmac-sha256",
		"x-twilio-signature", "x-line-signature", "x-signature-ed25519", "webhook-signature", "x-content-signature", "signature", "x-square-hmacsha256-signature":
		return roleSignature
	case "x-amz-security-token":
		return roleAWSSecurity
	case "user-agent", "referer", "origin", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "true-client-ip", "client-ip", "x-client-ip", "x-original-url",
		"x-rewrite-url", "from", "accept-language", "x-wap-profile", "via", "accept", "if-modified-since", "range":
		return roleScan
	case "host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "keep-alive", "accept-encoding", "accept-charset", "cache-control", "pragma",
		"expect", "date", "dnt", "upgrade-insecure-requests", "if-none-match", "if-match", "if-unmodified-since", "if-range", "content-disposition", "content-language", "content-location",
		"content-md5", "max-forwards", "trailer", "priority", "save-data", "traceparent", "tracestate", "baggage", "x-request-id", "x-correlation-id", "x-forwarded-proto",
		"x-forwarded-port", "x-forwarded-server", "x-forwarded-client-cert", "x-amzn-trace-id", "x-cloud-trace-context", "b3", "x-envoy-attempt-count", "x-envoy-internal",
		"x-envoy-external-address", "x-envoy-expected-rq-timeout-ms", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-datadog-trace-id", "uber-trace-id",
		"x-amz-date", "x-amz-content-sha256", "cf-ray", "cf-connecting-ip", "cf-visitor", "cf-ipcountry", "cdn-loop", "sec-websocket-key", "sec-websocket-version",
		"sec-websocket-extensions", "sec-websocket-protocol", "http2-settings", "proxy-connection", "x-forwarded-prefix", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding":
		return roleNone
	}
	if has(name, "sec-") || has(name, "access-control-") {
		return roleNone
	}
	return roleParam
}

// value is what was worked out for one header value, under one service where parameters are in it.
type value struct {
	signs  hostile.Signs
	auth   credential
	text   string // media type, content encoding
	params []event.Param
}

// request reads the header fields of a request.
func (r *Redactor) request(dst *event.Call, scope sipKey, x *proto.Exchange) (signs hostile.Signs, auth credential) {
	fields := x.Req.Fields
	set := r.headers(fields)
	dst.RequestHeaders = set.names
	params := 0
	signature := false
	for k, i := range set.hot {
		ro, f := set.roles[i], &fields[i]
		if params >= maxParams && (ro == roleCookie || ro == roleParam) {
			continue
		}
		var v *value
		if k < len(set.memo) && set.memo[k].raw != nil && set.memo[k].service == dst.Service && bytes.Equal(set.memo[k].raw, f.Value) {
			v = &set.memo[k].value
		} else {
			v = r.value(dst.Service, ro, scope, f)
			if k < len(set.memo) && len(f.Value) <= cache.MaxKey {
				set.memo[k].keep(dst.Service, f.Value, v)
			}
		}
		signs |= v.signs
		switch ro {
		case roleType:
			dst.RequestType = v.text
		case roleEncoding:
			r.encoding[proto.Request] = v.text
		case roleSignature:
			signature = true
		case roleAuth:
			auth = v.auth
		case roleKey, roleToken:
			if auth.kind == event.AuthNone || auth.kind == event.AuthSessionCookie {
				auth = v.auth
			}
		case roleCookie:
			if auth.kind == event.AuthNone {
				auth = v.auth
			}
		}
		params += len(v.params)
		dst.Params = append(dst.Params, v.params...)
	}
	if signature && auth.kind == event.AuthNone {
		auth.kind = event.AuthHMAC
	}
	return signs, auth
}

// response reads the header fields of a response.
func (r *Redactor) response(dst *event.Call, x *proto.Exchange) {
	fields := x.Res.Fields
	set := r.headers(fields)
	dst.ResponseHeaders = set.names
	for _, i := range set.hot {
		ro, f := set.roles[i], &fields[i]
		if ro != roleType && ro != roleEncoding {
			continue
		}
		v := r.value("", ro, sipKey{}, f)
		if ro == roleType {
			dst.ResponseType = v.text
		} else {
			r.encoding[proto.Response] = v.text
		}
	}
}

// keep makes v what the value raw says.
func (m *memo) keep(service string, raw []byte, v *value) {
	m.service = service
	m.raw = append(m.raw[:0], raw...)
	if m.raw == nil {
		m.raw = []byte{}
	}
	params := append(m.value.params[:0], v.params...)
	m.value = *v
	m.value.params = params
}

// value returns what f's value says. Parameters are scoped to service.
func (r *Redactor) value(service string, ro role, scope sipKey, f *proto.Field) *value {
	r.key = append(append(r.key[:0], byte(ro)), f.Value...)
	if ro == roleCookie || ro == roleParam {
		r.key = append(append(append(r.key, 0), service...), 0)
		r.key = append(r.key, f.Name...)
	}
	v, known := r.values.At(r.key)
	if !known {
		r.readValue(v, ro, scope, f)
	}
	return v
}

func (r *Redactor) readValue(v *value, ro role, scope sipKey, f *proto.Field) {
	*v = value{params: v.params[:0]}
	if cap(v.params) > maxParams {
		v.params = nil
	}
	switch ro {
	case roleAuth:
		v.auth = r.authorization(f.Value)
	case roleKey:
		if len(f.Value) > 0 {
			v.auth = r.credential(event.AuthAPIKey, f.Value)
		}
	case roleToken:
		if len(f.Value) > 0 {
			v.auth = r.bearer(f.Value)
		}
	case roleType:
		v.text = r.mediaType(f.Value)
		v.signs = r.scanner.Scan(f.Value)
	case roleEncoding:
		v.text = contentCoding(f.Value)
	case roleScan:
		v.signs = r.scanner.Scan(f.Value)
	case roleCookie:
		r.cookies(v, scope, f.Value)
	case roleParam:
		var p event.Param
		p, v.signs = r.param(scope, event.InHeader, r.lower(f.Name), f.Value)
		p.Name = r.headerName(f.Name)
		v.params = append(v.params, p)
	}
}

// cookies reads the pairs of a Cookie field (RFC 6265 section 4.2.1).
func (r *Redactor) cookies(v *value, scope sipKey, b []byte) {
	for len(b) > 0 && len(v.params) < maxParams {
		pair := b
		if i := indexByte(b, ';'); i >= 0 {
			pair, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		pair = trim(pair)
		i := indexByte(pair, '=')
		if i <= 0 {
			v.signs |= r.scanner.Scan(pair)
			continue
		}
		name, val := pair[:i], pair[i+1:]
		p, h := r.param(scope, event.InCookie, name, val)
		v.signs |= h
		v.params = append(v.params, p)
		if v.auth.kind == event.AuthNone && len(val) >= 8 && sessionName(name) {
			if v.auth = r.bearer(val); v.auth.kind != event.AuthBearerJWT {
				v.auth = r.credential(event.AuthSessionCookie, val)
			} else {
				v.auth.kind = event.AuthSessionCookie
			}
		}
	}
}

// mediaType is the type of a Content-Type without parameters, in lower case; "" when it is none (RFC 9110 section 8.3.1).
func (r *Redactor) mediaType(b []byte) string {
	if i := indexByte(b, ';'); i >= 0 {
		b = b[:i]
	}
	b = r.lower(trim(b))
	slash := indexByte(b, '/')
	if slash <= 0 || slash == len(b)-1 || len(b) > maxName {
		return ""
	}
	run := 0
	for i, c := range b {
		switch classes[c] {
		case cLower, cDash, cDot:
			run = 0
		case cDigit:
			if run++; run > maxRun {
				return ""
			}
		default:
			if i != slash && c != '+' && c != '*' && c != '_' {
				return ""
			}
		}
	}
	return r.texts.get(b)
}

func contentCoding(b []byte) string {
	for _, c := range [...]string{"gzip", "deflate", "br", "zstd", "identity", "compress"} {
		if equalFold(trim(b), c) {
			return c
		}
	}
	return "other"
}
