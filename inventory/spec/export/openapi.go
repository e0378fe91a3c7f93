// Package export writes what was observed of a service in the forms of other tools: OpenAPI 3.1 and Postman collections.
//
// In: an observe.Service. Out: a document that is the same for the same observations, sorted so that two of them differ only
// where the API does. Every example is made up. It claims only what was seen: something is required when it was there in
// each of several accepted calls, an enumeration when a few words from the built-in list came again and again.
package export

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// Config says what goes into a document.
type Config struct {
	// Title and Version name the document. Default: the service, and "observed".
	Title, Version string
	// Evidence adds to each operation how often and when it was called (x-gnomon-calls, -first-seen, -last-seen). Off, so that a
	// document changes only when the API does.
	Evidence bool
	// Probes includes endpoints that only health checks and metric scrapes call.
	Probes bool
}

// Document is what was made, with what could not be written in its form.
type Document struct {
	root    object
	Omitted []string // "PROPFIND /files": why
}

// JSON and YAML are its texts.
func (d *Document) JSON() ([]byte, error) { return d.root.JSON() }

// YAML is the document as YAML.
func (d *Document) YAML() ([]byte, error) { return d.root.YAML() }

// operation is an endpoint, or several that differ in what their bodies ask for, under the names that the document uses.
type operation struct {
	method, path string
	names        []string // of the path's parameters
	params       []observe.PathParam
	operations   []string
	calls        uint64
	first, last  event.Time
	traits       observe.Traits
	id, tag      string
}

var methods = []string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"}

// operations gathers what can be written as an operation, sorted by path and method.
func (c *Config) operations(svc *observe.Service) (list []*operation, omitted []string) {
	paths := map[string]*operation{} // by the path without names: its first operation
	byKey := map[string]*operation{}
	for i := range svc.Endpoints {
		e := &svc.Endpoints[i]
		switch {
		case !e.Served || e.Probe && !c.Probes:
			continue
		case !slices.Contains(methods, e.Method):
			omitted = append(omitted, e.Method+" "+e.Template+": the method has no place in an OpenAPI document")
			continue
		case !strings.HasPrefix(e.Template, "/"):
			omitted = append(omitted, e.Method+" "+e.Template+": no path")
			continue
		}
		bare, names := unname(e.Template)
		o := &operation{method: e.Method, params: e.Path, names: unique(names)}
		if same := paths[bare]; same != nil {
			o.names = same.names // names of one path are the same for all its methods
		} else {
			paths[bare] = o
		}
		o.path = rename(bare, o.names)
		if known := byKey[o.method+" "+o.path]; known != nil {
			o = known
		} else {
			byKey[o.method+" "+o.path] = o
			list = append(list, o)
		}
		if e.Operation != "" {
			o.operations = append(o.operations, e.Operation)
		}
		o.calls += e.Calls
		if o.first == 0 || e.First != 0 && e.First < o.first {
			o.first = e.First
		}
		o.last = max(o.last, e.Last)
		o.traits.Merge(&e.Traits)
	}
	slices.SortFunc(list, func(a, b *operation) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(slices.Index(methods, a.method), slices.Index(methods, b.method)))
	})
	ids := map[string]bool{}
	for _, o := range list {
		o.name(ids)
	}
	slices.Sort(omitted)
	return list, omitted
}

// unname takes the names of parameters out of a template: "/a/{x}" gives "/a/{}" and x.
func unname(template string) (bare string, names []string) {
	var b strings.Builder
	for {
		open := strings.IndexByte(template, '{')
		end := strings.IndexByte(template[max(open, 0):], '}')
		if open < 0 || end < 0 {
			break
		}
		b.WriteString(template[:open] + "{}")
		names = append(names, template[open+1:open+end])
		template = template[open+end+1:]
	}
	b.WriteString(strings.NewReplacer("{", "%7B", "}", "%7D", "?", "%3F", "#", "%23").Replace(template))
	return b.String(), names
}

func rename(bare string, names []string) string {
	for _, n := range names {
		bare = strings.Replace(bare, "{}", "{"+n+"}", 1)
	}
	return bare
}

// unique makes names that are not empty and differ.
func unique(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		n = strings.NewReplacer("/", "_", "{", "", "}", "").Replace(cmp.Or(n, "value"))
		base := n
		for i := 2; slices.Contains(out, n); i++ {
			n = base + strconv.Itoa(i)
		}
		out = append(out, n)
	}
	return out
}

// name makes the operation's id and tag of its method and path.
func (o *operation) name(taken map[string]bool) {
	id := strings.ToLower(o.method)
	for _, seg := range strings.Split(strings.Trim(o.path, "/"), "/") {
		if name, ok := strings.CutPrefix(seg, "{"); ok {
			id += "By" + pascal(strings.TrimSuffix(name, "}"))
			continue
		}
		if id += pascal(seg); o.tag == "" && seg != "" && !version(seg) {
			o.tag = seg
		}
	}
	if id == strings.ToLower(o.method) {
		id += "Root"
	}
	base := id
	for i := 2; taken[id]; i++ {
		id = base + strconv.Itoa(i)
	}
	taken[id], o.id = true, id
}

func version(s string) bool {
	return len(s) > 1 && (s[0] == 'v' || s[0] == 'V') && s[1] >= '0' && s[1] <= '9' || s == "api" || s == "rest"
}

// pascal writes words in one: "order-items" gives OrderItems.
func pascal(s string) string {
	var b strings.Builder
	up := true
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) || r > unicode.MaxASCII {
			up = true
			continue
		}
		if up {
			r = unicode.ToUpper(r)
		}
		up = false
		b.WriteRune(r)
	}
	return b.String()
}

// OpenAPI makes an OpenAPI 3.1 document of what was observed.
func (c Config) OpenAPI(svc *observe.Service) *Document {
	list, omitted := c.operations(svc)
	w := &writer{cfg: c, schemes: map[string]object{}}
	for _, o := range list { // which objects come more than once decides which are components: look at all first
		w.count(o)
	}
	paths := object{}
	for i := 0; i < len(list); {
		item, path := object{}, list[i].path
		for ; i < len(list) && list[i].path == path; i++ {
			item.set(strings.ToLower(list[i].method), w.operation(list[i]))
		}
		paths.set(path, item)
	}
	root := object{{"openapi", "3.1.0"}, {"info", object{{"title", cmp.Or(c.Title, svc.Service)}, {"version", cmp.Or(c.Version, "observed")},
		{"description", "Inferred by gnomon from observed traffic. It says what was seen, not what is meant: review it before use."}}}}
	if s := servers(svc); len(s) > 0 {
		root.set("servers", s)
	}
	root.set("paths", paths)
	components := object{}
	if len(w.components) > 0 {
		slices.SortFunc(w.components, func(a, b member) int { return cmp.Compare(a.key, b.key) })
		components.set("schemas", w.components)
	}
	if len(w.schemes) > 0 {
		var schemes object
		for name, s := range w.schemes {
			schemes.set(name, s)
		}
		slices.SortFunc(schemes, func(a, b member) int { return cmp.Compare(a.key, b.key) })
		components.set("securitySchemes", schemes)
	}
	if len(components) > 0 {
		root.set("components", components)
	}
	return &Document{root: clean(root).(object), Omitted: omitted}
}

// maxServers bounds the servers that are listed: hosts are what clients wrote.
const maxServers = 3

func servers(svc *observe.Service) []any {
	scheme, port := "http", ""
	if svc.TLS {
		scheme = "https"
	}
	if i := strings.LastIndexByte(svc.Service, ':'); i >= 0 {
		if p := svc.Service[i+1:]; p != map[string]string{"http": "80", "https": "443"}[scheme] {
			if _, err := strconv.ParseUint(p, 10, 16); err == nil {
				port = p
			}
		}
	}
	var list []any
	for _, h := range svc.Hosts[:min(len(svc.Hosts), maxServers)] {
		if port != "" {
			h = net.JoinHostPort(strings.Trim(h, "[]"), port)
		}
		list = append(list, object{{"url", scheme + "://" + h}})
	}
	return list
}

// writer makes the parts of one document.
type writer struct {
	cfg        Config
	seen       map[string]int    // schemas of objects, by their text
	names      map[string]string // components by the text of their schema
	components object
	schemes    map[string]object
}

// minShared is how many properties an object has at least to be worth a name.
const minShared = 2

// count notes the objects of o.
func (w *writer) count(o *operation) {
	if w.seen == nil {
		w.seen, w.names = map[string]int{}, map[string]string{}
	}
	var note func(p *place, noun string) object
	note = func(p *place, noun string) object {
		s := p.schema(noun, note)
		if p.object() {
			w.seen[key(s)]++
		}
		return s
	}
	for _, b := range o.bodies() {
		if p := tree(b); p != nil {
			note(p, "")
		}
	}
}

func (o *operation) bodies() []*event.Body {
	list := []*event.Body{&o.traits.Request.Body}
	for i := range o.traits.Answers {
		list = append(list, &o.traits.Answers[i].Body)
	}
	return list
}

// shared writes p with references to components for the objects that stand in more than one place.
func (w *writer) shared(p *place, noun string) object {
	s := p.schema(noun, w.shared)
	if !p.object() {
		return s
	}
	k := key(plain(p, noun))
	if props, _ := s.get("properties").(object); w.seen[k] < 2 || len(props) < minShared {
		return s
	}
	name := w.names[k]
	if name == "" {
		base := cmp.Or(pascal(singular(noun)), "Object")
		name = base
		for i := 2; w.components.get(name) != nil; i++ {
			name = base + strconv.Itoa(i)
		}
		w.names[k] = name
		w.components.set(name, s)
	}
	return object{{"$ref", "#/components/schemas/" + name}}
}

// singular is a guess at one of several: "orders", "boxes", "entries".
func singular(s string) string {
	switch {
	case len(s) > 4 && strings.HasSuffix(s, "ies"):
		return s[:len(s)-3] + "y"
	case len(s) > 4 && (strings.HasSuffix(s, "sses") || strings.HasSuffix(s, "xes") || strings.HasSuffix(s, "ches") || strings.HasSuffix(s, "shes")):
		return s[:len(s)-2]
	case len(s) > 3 && strings.HasSuffix(s, "s") && !strings.HasSuffix(s, "ss") && !strings.HasSuffix(s, "us") && !strings.HasSuffix(s, "is"):
		return s[:len(s)-1]
	}
	return s
}

// body is the schema of a body of o.
func (w *writer) body(o *operation, b *event.Body) object {
	p := tree(b)
	if p == nil {
		return nil
	}
	noun := ""
	for _, seg := range strings.Split(o.path, "/") {
		if seg != "" && !strings.Contains(seg, "{") {
			noun = seg
		}
	}
	return w.shared(p, noun)
}

func (w *writer) operation(o *operation) object {
	t := &o.traits
	op := object{}
	if o.tag != "" {
		op.set("tags", []any{o.tag})
	}
	op.set("operationId", o.id)
	if len(o.operations) > 0 {
		slices.Sort(o.operations)
		op.set("description", "Operations seen in bodies: "+strings.Join(slices.Compact(o.operations), ", ")+".")
	}
	if w.cfg.Evidence {
		op.set("x-gnomon-calls", o.calls)
		op.set("x-gnomon-first-seen", o.first.String())
		op.set("x-gnomon-last-seen", o.last.String())
	}
	security, keys := w.security(o)
	if params := w.parameters(o, keys); len(params) > 0 {
		op.set("parameters", params)
	}
	if b := w.request(o); b != nil {
		op.set("requestBody", b)
	}
	responses := object{}
	for i := range t.Answers {
		if a := &t.Answers[i]; a.Status >= 100 && a.Status <= 599 {
			responses.set(strconv.Itoa(a.Status), w.response(o, a))
		}
	}
	if len(responses) == 0 {
		responses.set("default", object{{"description", "No answer was seen."}})
	}
	op.set("responses", responses)
	if len(security) > 0 {
		op.set("security", security)
	}
	return op
}

func (w *writer) parameters(o *operation, keys map[string]bool) []any {
	var list []any
	for i, name := range o.names {
		v := values[event.KindString]
		var words []string
		if len(o.params) == len(o.names) {
			v, words = valueOf(o.params[i].Kinds), o.params[i].Words
		}
		s := enum(v.schema(), words, false, o.calls)
		list = append(list, parameter(name, "path", true, s, v.example))
	}
	t := &o.traits
	for _, in := range []event.In{event.InQuery, event.InHeader, event.InCookie} {
		for i := range t.Params {
			p := &t.Params[i]
			if p.In != in || in == event.InHeader || p.OK == 0 && t.Request.OK > 0 || keys[in.String()+" "+p.Name] || p.Name == "" || p.Name == "*" {
				continue
			}
			v := valueOf(p.Kinds)
			s := enum(v.schema(), p.Words, p.Free || p.Distinct > uint64(len(p.Words)), p.Calls)
			example := v.example
			if e, ok := s.get("enum").([]any); ok {
				example = e[0]
			}
			list = append(list, parameter(p.Name, in.String(), p.Single == t.Single && t.Single >= minAlways, s, example))
		}
		if in != event.InHeader {
			continue
		}
		for i := range t.Request.Headers {
			h := &t.Request.Headers[i]
			if spec.StandardHeader(h.Name) || h.OK == 0 && t.Request.OK > 0 || keys["header "+h.Name] {
				continue
			}
			v := values[event.KindString]
			if p := t.Param(event.InHeader, h.Name); p != nil {
				v = valueOf(p.Kinds)
			}
			list = append(list, parameter(h.Name, "header", h.OK == t.Single && h.OK >= minAlways, v.schema(), v.example))
		}
	}
	return list
}

func parameter(name, in string, required bool, schema object, example any) object {
	p := object{{"name", name}, {"in", in}}
	if required {
		p.set("required", true)
	}
	p.set("schema", schema)
	p.set("example", example)
	return p
}

// structured says that a media type's bodies have shapes.
func structured(t string) bool {
	return strings.HasSuffix(t, "/json") || strings.HasSuffix(t, "+json") || t == "application/x-www-form-urlencoded" || t == "multipart/form-data"
}

func (w *writer) request(o *operation) object {
	r := &o.traits.Request
	content := object{}
	var with uint64
	schema := w.body(o, &r.Body)
	for i := range r.Types {
		t := &r.Types[i]
		bodiless := (o.method == "GET" || o.method == "HEAD" || o.method == "DELETE" || o.method == "OPTIONS") && r.Body.Bodies == 0
		if bodiless || t.OK == 0 && r.OK > 0 || !strings.Contains(t.Name, "/") {
			continue
		}
		with += t.OK
		media := object{}
		if schema != nil && structured(t.Name) {
			media.set("schema", schema)
			media.set("example", tree(&r.Body).example())
		}
		content.set(t.Name, media)
	}
	if len(content) == 0 {
		return nil
	}
	b := object{}
	if with == r.OK && with >= minAlways {
		b.set("required", true)
	}
	b.set("content", content)
	return b
}

// told are standard response headers that say something about the API.
var told = []string{"location", "link", "retry-after"}

func (w *writer) response(o *operation, a *observe.Message) object {
	r := object{{"description", cmp.Or(http.StatusText(a.Status), "Status "+strconv.Itoa(a.Status))}}
	headers := object{}
	for i := range a.Headers {
		if h := a.Headers[i].Name; !spec.StandardHeader(h) || slices.Contains(told, h) {
			headers.set(h, object{{"schema", object{{"type", "string"}}}})
		}
	}
	if len(headers) > 0 {
		r.set("headers", headers)
	}
	if a.Status == 204 || a.Status == 304 || a.Status < 200 || o.method == "HEAD" {
		return r
	}
	schema := w.body(o, &a.Body)
	content := object{}
	for i := range a.Types {
		t := a.Types[i].Name
		if !strings.Contains(t, "/") {
			continue
		}
		media := object{}
		if schema != nil && structured(t) {
			media.set("schema", schema)
		}
		content.set(t, media)
	}
	if len(content) > 0 {
		r.set("content", content)
	}
	return r
}

// security gives the alternatives that were accepted, and which parameters ("header x-api-key") are keys.
func (w *writer) security(o *operation) (alternatives []any, keys map[string]bool) {
	keys = map[string]bool{}
	t := &o.traits
	anonymous := false
	for i := range t.Auth {
		a := &t.Auth[i]
		if a.OK == 0 && t.Request.OK > 0 {
			continue
		}
		if a.Name == event.AuthNone.String() {
			anonymous = true
			continue
		}
		name, s, at := scheme(a.Name, t)
		if name == "" {
			continue
		}
		if at != "" {
			keys[at] = true
		}
		if known, ok := w.schemes[name]; ok && key(known) != key(s) { // the same kind, with another key
			for n := 2; ok && key(known) != key(s); n++ {
				name = strings.TrimRight(name, "0123456789") + strconv.Itoa(n)
				known, ok = w.schemes[name]
			}
		}
		w.schemes[name] = s
		alternatives = append(alternatives, object{{name, []any{}}})
	}
	if anonymous && len(alternatives) > 0 {
		alternatives = append(alternatives, object{})
	}
	return alternatives, keys
}

// scheme writes a kind of authentication as a security scheme. at is the parameter that carries the key, where one does.
func scheme(kind string, t *observe.Traits) (name string, s object, at string) {
	authorization := func(what string) object {
		return object{{"type", "apiKey"}, {"in", "header"}, {"name", "Authorization"}, {"description", what}}
	}
	switch kind {
	case "basic":
		return "basic", object{{"type", "http"}, {"scheme", "basic"}}, ""
	case "bearer_jwt":
		return "bearerJWT", object{{"type", "http"}, {"scheme", "bearer"}, {"bearerFormat", "JWT"}}, ""
	case "bearer_opaque":
		return "bearer", object{{"type", "http"}, {"scheme", "bearer"}}, ""
	case "mtls":
		return "mutualTLS", object{{"type", "mutualTLS"}}, ""
	case "sigv4":
		return "awsSignatureV4", authorization("AWS Signature Version 4"), ""
	case "hmac":
		return "hmac", authorization("A signature over the request"), ""
	case "oauth2_client":
		return "clientCredentials", object{{"type", "http"}, {"scheme", "basic"}, {"description", "OAuth 2.0 client authentication"}}, ""
	case "custom":
		return "custom", authorization("A scheme of its own"), ""
	case "session_cookie":
		cookie := "session"
		if p := carrier(t, event.InCookie, "sess", "sid", "auth", "token"); p != "" {
			cookie = p
		}
		return "sessionCookie", object{{"type", "apiKey"}, {"in", "cookie"}, {"name", cookie}}, "cookie " + cookie
	case "api_key":
		for i := range t.Request.Headers {
			if h := t.Request.Headers[i].Name; !spec.StandardHeader(h) && (strings.Contains(h, "key") || strings.Contains(h, "token") || strings.Contains(h, "secret")) {
				return "apiKey", object{{"type", "apiKey"}, {"in", "header"}, {"name", h}}, "header " + h
			}
		}
		if p := carrier(t, event.InQuery, "key", "token", "secret"); p != "" {
			return "apiKey", object{{"type", "apiKey"}, {"in", "query"}, {"name", p}}, "query " + p
		}
		return "apiKey", object{{"type", "apiKey"}, {"in", "header"}, {"name", "X-API-Key"}}, ""
	}
	return "", nil, ""
}

// carrier finds the parameter that is most often sent and whose name says that it is a credential.
func carrier(t *observe.Traits, in event.In, hints ...string) (name string) {
	var best uint64
	for i := range t.Params {
		p := &t.Params[i]
		if p.In == in && p.OK > best && slices.ContainsFunc(hints, func(h string) bool { return strings.Contains(strings.ToLower(p.Name), h) }) {
			best, name = p.OK, p.Name
		}
	}
	return name
}

// Summary says in a line what the document holds.
func (d *Document) Summary() string {
	paths, _ := d.root.get("paths").(object)
	n := 0
	for _, p := range paths {
		item, _ := p.value.(object)
		n += len(item)
	}
	return fmt.Sprintf("%d operations on %d paths", n, len(paths))
}
