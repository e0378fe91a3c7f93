package spec

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// standardHeaders need no declaration: HTTP itself, browsers, proxies and tracing send them (RFC 9110, Fetch, W3C Trace
// Context, and what reverse proxies add).
var standardHeaders = func() map[string]bool {
	m := map[string]bool{}
	for _, h := range strings.Fields(`accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers access-control-max-age
access-control-request-headers access-control-request-method age allow alt-svc authorization b3 baggage cache-control cf-ray connection
content-disposition content-encoding content-language content-length content-location content-range content-security-policy
content-security-policy-report-only content-type cookie cross-origin-embedder-policy cross-origin-opener-policy cross-origin-resource-policy
date dnt etag expect expires forwarded from grpc-accept-encoding grpc-encoding grpc-message grpc-status grpc-timeout host http2-settings
if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive last-modified link location max-forwards nel origin
permissions-policy pragma priority proxy-authenticate proxy-authorization proxy-connection range referer referrer-policy report-to
retry-after sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc
sec-websocket-accept sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version server server-timing
set-cookie strict-transport-security te timing-allow-origin traceparent tracestate trailer transfer-encoding upgrade
upgrade-insecure-requests user-agent vary via warning www-authenticate x-amzn-trace-id x-b3-flags x-b3-parentspanid x-b3-sampled
x-b3-spanid x-b3-traceid x-cache x-cloud-trace-context x-content-type-options x-correlation-id x-envoy-attempt-count
x-envoy-decorator-operation x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-internal x-envoy-peer-metadata
x-envoy-peer-metadata-id x-envoy-upstream-service-time x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port
x-forwarded-prefix x-forwarded-proto x-forwarded-server x-frame-options x-original-uri x-powered-by x-real-ip x-request-id
x-requested-with x-runtime x-scheme x-served-by x-xss-protection`) {
		m[h] = true
	}
	return m
}()

// StandardHeader says that a header, in lower case, is no API's own.
func StandardHeader(name string) bool { return standardHeaders[name] || strings.HasPrefix(name, ":") }

// contract compares the current endpoint with the operation that declares it.
func (k *comparison) contract() {
	k.pathParams()
	k.params()
	k.auth()
	k.request()
	for i := range k.e.Traits.Answers {
		k.answer(&k.e.Traits.Answers[i])
	}
}

func (k *comparison) pathParams() {
	t := &k.e.Traits
	names := k.m.Op.pathParams()
	for i := range k.e.Path {
		p := &k.e.Path[i]
		if i >= len(names) || len(names) != len(k.e.Path) {
			return // the learner saw other pieces than the author: nothing to compare by position
		}
		d := k.m.Op.param(event.InPath, names[i])
		if d == nil || d.Schema == nil || t.Request.OK == 0 {
			continue
		}
		if bad := d.Schema.rejects(p.Kinds, p.Words); bad != "" {
			k.row(TypeMismatch, "path "+names[i], d.Schema.String(), bad, t.Request.Count, "%s is declared as %s, values are %s", names[i], d.Schema, bad)
		}
	}
}

func (o *Operation) param(in event.In, name string) *Parameter {
	for i := range o.Params {
		if p := &o.Params[i]; p.In == in && (p.Name == name || in == event.InHeader && strings.EqualFold(p.Name, name)) {
			return p
		}
	}
	return nil
}

// accepts says whether a parameter of that name is declared, also as a part of one that is an object or array ("filter[state]",
// "ids[]").
func (o *Operation) accepts(in event.In, name string) bool {
	if o.param(in, name) != nil {
		return true
	}
	base, _, ok := strings.Cut(name, "[")
	if ok && (o.param(in, base) != nil || o.param(in, base+"[]") != nil) {
		return true
	}
	for i := range o.Params { // style form, exploded: the properties of an object stand alone
		if p := &o.Params[i]; p.In == in && p.Schema != nil && p.Schema.mayBe(event.JSONObject) && (p.Schema.Props[name] != nil || p.Schema.Props == nil && p.Schema.Types == event.JSONObject) {
			return true
		}
	}
	return false
}

func (k *comparison) params() {
	op, t := k.m.Op, &k.e.Traits
	for i := range t.Params {
		p := &t.Params[i]
		if p.OK == 0 || p.Name == "" || p.Name == "*" {
			continue // only in calls that were rejected, or with a name that is not told
		}
		at := p.In.String() + " " + p.Name
		n := p.Count
		n.Calls = p.OK
		d := op.param(p.In, p.Name)
		switch {
		case d == nil && p.In == event.InHeader:
			// told by the names of headers
		case d == nil && op.accepts(p.In, p.Name), d == nil && k.isCredential(p):
		case d == nil:
			k.row(UndocumentedParameter, at, "", p.Kinds.One().String(), n, "the %s parameter %s is not declared", p.In, p.Name)
		case d.Schema != nil && !d.Schema.mayBe(event.JSONArray|event.JSONObject):
			if bad := d.Schema.rejects(p.Kinds, p.Words); bad != "" {
				k.row(TypeMismatch, at, d.Schema.String(), bad, n, "%s is declared as %s, values are %s", p.Name, d.Schema, bad)
			}
		}
	}
	for i := range op.Params {
		d := &op.Params[i]
		if !d.Required || d.In == event.InPath || t.Single == 0 || d.Schema != nil && d.Schema.mayBe(event.JSONArray|event.JSONObject) {
			continue // arrays and objects are spelt in many ways
		}
		var with uint64
		if p := t.Param(d.In, d.Name); p != nil {
			with = p.Single
		}
		if d.In == event.InHeader {
			if StandardHeader(d.Name) {
				continue
			}
			if h := observe.Find(t.Request.Headers, d.Name); h != nil {
				with = max(with, h.OK)
			}
		}
		if with < t.Single {
			n := t.Request.Count
			n.Calls = t.Single - with
			k.row(MissingRequired, d.In.String()+" "+d.Name, "required", "absent", n, "%d of %d accepted calls lack the %s parameter %s", n.Calls, t.Single, d.In, d.Name)
		}
	}
}

// isCredential says that a parameter is how a declared scheme carries its key; the scheme's name is not known here, so any
// declared key in query or cookie excuses one whose name says so.
func (k *comparison) isCredential(p *observe.Param) bool {
	for _, all := range k.m.Op.Security {
		for _, s := range all {
			if s.In == p.In && strings.EqualFold(s.Param, p.Name) {
				return true
			}
		}
	}
	return p.In == event.InCookie && p.Kinds.Has(event.KindJWT)
}

func (k *comparison) auth() {
	op, t := k.m.Op, &k.e.Traits
	optional := len(op.Security) == 0
	var names []string
	known := map[string]bool{}
	for _, all := range op.Security {
		optional = optional || len(all) == 0
		for _, s := range all {
			names = append(names, s.Name)
			for _, kind := range s.Kinds {
				known[kind.String()] = true
			}
			if s.Kinds == nil { // a scheme that is not understood excuses everything
				return
			}
		}
	}
	slices.Sort(names)
	declared := cmp.Or(strings.Join(slices.Compact(names), ", "), "none")
	for i := range t.Auth {
		a := &t.Auth[i]
		n := a.Count
		if n.Calls = a.OK; a.OK == 0 {
			continue
		}
		switch {
		case a.Name == event.AuthNone.String():
			if !optional && !known[event.AuthMTLS.String()] { // whose certificates the sensor may not see
				k.row(MissingAuth, "auth", declared, a.Name, n, "%s without authentication, declared is %s", count(int(n.Calls), "accepted call"), declared)
			}
		case len(op.Security) > 0 && !known[a.Name]:
			k.row(UndeclaredAuth, "auth "+a.Name, declared, a.Name, n, "callers authenticate with %s, declared is %s", a.Name, declared)
		case len(op.Security) == 0 && a.Name != event.AuthSessionCookie.String(): // browsers send cookies everywhere
			k.row(UndeclaredAuth, "auth "+a.Name, declared, a.Name, n, "callers authenticate with %s, the document declares no authentication here", a.Name)
		}
	}
}

func (k *comparison) header(where string, list []observe.Named, declared func(string) bool) {
	for i := range list {
		h := &list[i]
		if h.OK == 0 || StandardHeader(h.Name) || slices.Contains(k.cfg.Headers, h.Name) || declared(h.Name) {
			continue
		}
		n := h.Count
		n.Calls = h.OK
		k.row(UndocumentedHeader, where+" header "+h.Name, "", h.Name, n, "the %s header %s is not declared", where, h.Name)
	}
}

func (k *comparison) request() {
	op, r := k.m.Op, &k.e.Traits.Request
	k.header("request", r.Headers, func(h string) bool {
		if op.param(event.InHeader, h) != nil {
			return true
		}
		for _, all := range op.Security {
			for _, s := range all {
				if s.In == event.InHeader && strings.EqualFold(s.Param, h) || s.Kinds == nil {
					return true
				}
			}
		}
		return false
	})
	for i := range r.Types {
		t := &r.Types[i]
		n := t.Count
		if n.Calls = t.OK; t.OK == 0 || !strings.Contains(t.Name, "/") {
			continue
		}
		if op.Body == nil {
			if k.e.Method != "GET" && k.e.Method != "HEAD" && k.e.Method != "DELETE" { // clients set the field there without a body
				k.row(UndocumentedContentType, "request", "none", t.Name, n, "requests carry %s, the document declares no body", t.Name)
			}
			continue
		}
		if media(op.Body.Content, t.Name) == nil && len(op.Body.Content) > 0 {
			k.row(UndocumentedContentType, "request", types(op.Body.Content), t.Name, n, "requests carry %s, declared is %s", t.Name, types(op.Body.Content))
		}
	}
	if op.Body == nil {
		return
	}
	if r.Body.Bodies > 0 {
		if m := structured(op.Body.Content, r.Types); m != nil {
			k.body("request", m.Schema, &r.Body, r.Count)
		}
	}
}

func (k *comparison) answer(a *observe.Message) {
	op := k.m.Op
	if a.Status == 0 || op.Responses == nil {
		return
	}
	status := strconv.Itoa(a.Status)
	d := op.response(status)
	if d == nil {
		// 101, 304 and what proxies and frameworks answer before the API is asked are HTTP's own; 2xx is the API's word, 4xx and
		// 5xx worth knowing.
		if a.Status >= 200 && a.Status != 304 {
			k.row(UndocumentedStatus, "response "+status, op.statuses(), status, a.Count, "status %s is not declared, declared are %s", status, op.statuses())
		}
		return
	}
	where := "response " + status
	if a.Status < 400 {
		k.header(where, a.Headers, func(h string) bool { return slices.Contains(d.Headers, h) })
	}
	for i := range a.Types {
		t := &a.Types[i]
		if len(d.Content) == 0 && a.Status >= 400 || k.e.Method == "HEAD" || a.Status == 204 || a.Status == 304 || !strings.Contains(t.Name, "/") || media(d.Content, t.Name) != nil {
			continue
		}
		k.row(UndocumentedContentType, where, cmp.Or(types(d.Content), "none"), t.Name, t.Count, "the answer is %s, declared is %s", t.Name, cmp.Or(types(d.Content), "no body"))
	}
	if a.Body.Bodies > 0 {
		if m := structured(d.Content, a.Types); m != nil {
			k.body(where, m.Schema, &a.Body, a.Count)
		}
	}
}

func (o *Operation) statuses() string {
	list := make([]string, len(o.Responses))
	for i := range o.Responses {
		list[i] = o.Responses[i].Status
	}
	return strings.Join(list, ", ")
}

// response finds what is declared for a status: itself, its range, or the default (OpenAPI 3.1.0, Responses Object).
func (o *Operation) response(status string) *Response {
	var ranged, other *Response
	for i := range o.Responses {
		switch r := &o.Responses[i]; r.Status {
		case status:
			return r
		case status[:1] + "XX":
			ranged = r
		case "default":
			other = r
		}
	}
	return cmp.Or(ranged, other)
}

// media finds the declared media type that t is an instance of: itself, then a range.
func media(content []Media, t string) *Media {
	var ranged *Media
	for i := range content {
		m := &content[i]
		if m.Type == t {
			return m
		}
		if before, after, ok := strings.Cut(m.Type, "*"); ok && (m.Type == "*/*" || strings.HasPrefix(t, before) && strings.HasSuffix(t, after)) {
			ranged = m
		}
	}
	return ranged
}

func types(content []Media) string {
	list := make([]string, len(content))
	for i := range content {
		list[i] = content[i].Type
	}
	return strings.Join(list, ", ")
}

// structured finds the declared media type whose schema the observed body can be held against: JSON or a form, and the only
// one of them that was observed.
func structured(content []Media, seen []observe.Named) *Media {
	var found *Media
	for i := range seen {
		t := seen[i].Name
		if !strings.HasSuffix(t, "/json") && !strings.HasSuffix(t, "+json") && t != "application/x-www-form-urlencoded" && t != "multipart/form-data" {
			continue
		}
		m := media(content, t)
		if m == nil || found != nil && found.Schema != m.Schema {
			return nil
		}
		found = m
	}
	if found == nil || found.Schema == nil {
		return nil
	}
	return found
}

// body holds the places that were observed against a schema.
func (k *comparison) body(where string, schema *Schema, b *event.Body, n observe.Count) {
	reported := map[string]bool{} // places below which nothing more is said
	for i := range b.Fields {
		f := &b.Fields[i]
		at := where + " " + f.At
		if parent, ok := parentOf(f.At); ok && reported[parent] {
			reported[f.At] = true
			continue
		}
		count := n
		if f.N > 0 {
			count.Calls = min(count.Calls, f.N)
		}
		alternatives, candidates, known := schema.at(f.At)
		switch {
		case !known:
			reported[f.At] = true
			k.row(UndocumentedField, at, "", strings.Join(f.Types.Names(), ", "), count, "the %s has %s, which is not declared", strings.SplitN(where, " ", 2)[0], f.At)
			continue
		case len(alternatives) == 0: // anything goes from here on
			reported[f.At] = true
			continue
		}
		if bad := wrongTypes(alternatives, f); bad != "" {
			reported[f.At] = true
			want := describe(alternatives)
			k.row(TypeMismatch, at, want, bad, count, "%s is declared as %s, values are %s", f.At, want, bad)
			continue
		}
		if f.Objects > 0 {
			k.required(where, f, candidates, b, n)
		}
	}
}

// required reports fields that the object at f requires, whatever it is, and that some of its objects lacked.
func (k *comparison) required(where string, f *event.Field, candidates []*Schema, b *event.Body, n observe.Count) {
	for _, name := range requiredBy(candidates) {
		at := f.At + "." + name
		var with uint64
		if g := b.Find(at); g != nil {
			with = g.N
		} else if b.Find(f.At+".*") != nil || b.CutOff > 0 && len(b.Fields) >= event.MaxBodyFields {
			continue // its name may be among those that are not told
		}
		if with >= f.Objects {
			continue
		}
		count := n
		count.Calls = min(n.Calls, f.Objects-with)
		k.row(MissingRequired, where+" "+at, "required", "absent", count, "%d of %d objects lack %s, which is required", f.Objects-with, f.Objects, at)
	}
}

// parentOf is the place that holds the place: of "$.a[].b" "$.a[]", of "$.a[]" "$.a".
func parentOf(at string) (string, bool) {
	if p, ok := strings.CutSuffix(at, "[]"); ok {
		return p, true
	}
	i := strings.LastIndexByte(at, '.')
	if i < 0 {
		return "", false
	}
	return at[:i], true
}

func id(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
