package load

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

// openapi reads an OpenAPI document at path p of s.
func (s *source) openapi(ctx context.Context, p string, raw []byte) (*spec.Document, error) {
	root, err := s.tree(raw)
	if err != nil {
		return nil, err
	}
	t, format, external, err := s.model(ctx, p, root)
	if err != nil {
		return nil, err
	}
	d := &spec.Document{Format: format, Raw: raw}
	if external { // the store gets one text that stands by itself
		t.InternalizeRefs(ctx, nil)
		if d.Raw, err = json.Marshal(t); err != nil {
			return nil, s.fail(0, "joining the files that it refers to: %v", err)
		}
		if format == spec.OpenAPI20 {
			d.Format = spec.OpenAPI30 // what it was converted to
		}
	}
	c := &converter{doc: d, model: t, schemas: map[*openapi3.Schema]*spec.Schema{}}
	c.convert()
	if err := t.Validate(ctx, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaPatternValidation(),
		openapi3.DisableSchemaDefaultsValidation(), openapi3.AllowExtensionsWithRef()); err != nil {
		d.Warnings = append(d.Warnings, oneLine("not wholly valid: "+err.Error()))
	}
	return d, nil
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// model makes kin-openapi's model, version 3 also of a version 2 document. external: it refers to other files.
func (s *source) model(ctx context.Context, p string, root *node) (t *openapi3.T, format spec.Format, external bool, err error) {
	if format, err = s.format(root); err != nil {
		return nil, "", false, err
	}
	if external, err = s.refs(root, root); err != nil {
		return nil, "", false, err
	}
	coerce(root)
	s.inline(root)
	data := root.appendJSON(nil)
	loader := openapi3.NewLoader()
	loader.Context = ctx
	loader.ReadFromURIFunc = func(_ *openapi3.Loader, at *url.URL) ([]byte, error) { return s.external(at) }
	at := &url.URL{Path: "/" + p}
	defer func() { // a document that the library stumbles over is refused, not a crash
		if r := recover(); r != nil {
			t, err = nil, s.fail(0, "the OpenAPI reader failed: %v", r)
		}
	}()
	if format == spec.OpenAPI20 {
		var v2 openapi2.T
		if err = json.Unmarshal(data, &v2); err == nil {
			t, err = openapi2conv.ToV3WithLoader(&v2, loader, at)
		}
	} else {
		// Through YAML inside; decoding as JSON took half the memory, but minutes instead of 19 s for 11,000 operations.
		t, err = loader.LoadFromDataWithPath(data, at)
	}
	if err != nil {
		var own *Error
		if errors.As(err, &own) {
			return nil, "", false, own
		}
		return nil, "", false, s.fail(locate(root, err.Error()), "not OpenAPI: %s", oneLine(err.Error()))
	}
	if t.Paths == nil {
		t.Paths = openapi3.NewPaths()
	}
	return t, format, external, nil
}

func (s *source) format(root *node) (spec.Format, error) {
	switch version := root.get("openapi"); {
	case root.kind != '{':
	case root.get("swagger") != nil:
		if v := strings.Trim(root.get("swagger").scalar, `"`); v != "2.0" && v != "2" {
			return "", s.fail(root.get("swagger").line, "swagger %.20s: 2.0 is read, and OpenAPI 3.0 and 3.1", v)
		}
		return spec.OpenAPI20, nil
	case version != nil:
		v := strings.Trim(version.scalar, `"`)
		switch {
		case v == "3.0" || strings.HasPrefix(v, "3.0."):
			return spec.OpenAPI30, nil
		case v == "3.1" || strings.HasPrefix(v, "3.1."):
			return spec.OpenAPI31, nil
		}
		return "", s.fail(version.line, "openapi %.20s: 3.0 and 3.1 are read, and Swagger 2.0", v)
	}
	return "", fmt.Errorf("%w: %w", s.fail(0, "neither openapi nor swagger stands at the top"), ErrNotADocument)
}

// refDepth bounds a chain of references that lead to nothing but references.
const refDepth = 64

// refs checks every reference of a tree: those into the tree must lead somewhere, and not in a circle of nothing but
// references; those to other files must be allowed.
func (s *source) refs(root, n *node) (external bool, err error) {
	n.each(func(o *node) {
		ref := o.get("$ref")
		if err != nil || ref == nil || ref.text() == "" {
			return
		}
		target := ref.text()
		frag, internal := strings.CutPrefix(target, "#")
		switch {
		case !internal:
			external = true
			switch {
			case strings.Contains(target, "://") || strings.HasPrefix(target, "//"):
				err = s.fail(ref.line, "refers to another place, %.200q: save it in the folder and refer to it there", target)
			case !s.cfg.Refs:
				err = s.fail(ref.line, "refers to another file, %.200q: allow that with --follow-refs", target)
			}
		case frag == "" || frag[0] == '/':
			err = s.chase(root, o, ref)
		}
	})
	return external, err
}

// chase follows a reference until something that is none.
func (s *source) chase(root, o, ref *node) error {
	line := ref.line
	for range refDepth {
		frag, internal := strings.CutPrefix(ref.text(), "#")
		if !internal || frag != "" && frag[0] != '/' {
			return nil // of another file, or an anchor: the library resolves it
		}
		to := root
		if frag != "" {
			to = root.pointer(frag)
		}
		if to == nil {
			return s.fail(ref.line, "refers to %.200q, which is not there", ref.text())
		}
		if to == o {
			return s.fail(line, "references lead in a circle, through %.200q", ref.text())
		}
		if ref = to.get("$ref"); ref == nil || ref.text() == "" {
			return nil
		}
	}
	return s.fail(line, "references lead in a circle, through %.200q", ref.text())
}

// external gives the text of another file of the folder as JSON, once it is within the bounds.
func (s *source) external(at *url.URL) ([]byte, error) {
	if !s.cfg.Refs || at.Host != "" || at.Scheme != "" && at.Scheme != "file" {
		return nil, s.fail(0, "refers to another place, %.200q", at.String())
	}
	p := strings.TrimPrefix(path.Clean("/"+at.Path), "/")
	raw, err := s.read(p)
	if err != nil {
		return nil, err
	}
	part := &source{cfg: s.cfg, name: path.Join(path.Dir(s.name), p)}
	tree, err := part.tree(raw)
	if err != nil {
		return nil, err
	}
	if _, err := part.refs(tree, tree); err != nil {
		return nil, err
	}
	coerce(tree)
	return tree.appendJSON(nil), nil
}

// coerce makes a document as lenient authors write it fit for a strict reader: text of the numbers and dates that they leave
// unquoted, and no examples, of which nothing is compared and many are broken.
func coerce(root *node) {
	var walk func(n *node, names bool)
	walk = func(n *node, names bool) {
		if n.kind == '{' && !names {
			for i := len(n.keys) - 1; i >= 0; i-- {
				switch k, v := n.keys[i], n.kids[i]; k {
				case "title", "version", "description", "summary", "operationId", "openapi", "swagger":
					if v.kind == 's' && v.scalar != "null" && v.scalar[0] != '"' {
						v.scalar = quoted(v.scalar)
					}
				case "example", "examples":
					n.keys, n.kids = slices.Delete(n.keys, i, i+1), slices.Delete(n.kids, i, i+1)
				}
			}
		}
		for i, v := range n.kids {
			walk(v, n.kind == '{' && !names && named[n.keys[i]])
		}
	}
	walk(root, false)
}

// named are the keys whose objects have names of the author's choice for keys.
var named = map[string]bool{"properties": true, "patternProperties": true, "schemas": true, "definitions": true, "$defs": true, "parameters": true, "responses": true,
	"headers": true, "requestBodies": true, "paths": true, "content": true, "securitySchemes": true, "securityDefinitions": true, "callbacks": true, "links": true,
	"variables": true, "mapping": true, "dependentSchemas": true, "dependentRequired": true, "enum": true, "default": true, "const": true}

// inline puts the targets of references in their place where a reference leads elsewhere than to a component: the library cannot
// follow all of those. A reference that leads back to where it stands is left as it is.
func (s *source) inline(root *node) {
	var odd []*node
	root.each(func(o *node) {
		if frag, ok := strings.CutPrefix(o.get("$ref").text(), "#/"); ok {
			parts := strings.Split(frag, "/")
			component := len(parts) == 3 && parts[0] == "components" || len(parts) == 2 && (parts[0] == "definitions" || parts[0] == "parameters" || parts[0] == "responses")
			if !component {
				odd = append(odd, o)
			}
		}
	})
	size := make(map[*node]int, len(odd))
	total := 0
	for _, o := range odd {
		to := root.pointer(strings.TrimPrefix(o.get("$ref").text(), "#"))
		if to == nil || to.kind != '{' || to.get("$ref") != nil || to.holds(o, s.cfg.MaxDepth) {
			continue
		}
		if size[to] == 0 {
			size[to] = to.size(s.cfg.MaxValues)
		}
		if total += size[to]; total > s.cfg.MaxValues {
			return // the library says what it makes of the rest
		}
		*o = *to
	}
}

// holds says whether x is n or below it. Deeper than depth it says so to be safe.
func (n *node) holds(x *node, depth int) bool {
	if n == x || depth == 0 {
		return true
	}
	for _, k := range n.kids {
		if k.holds(x, depth-1) {
			return true
		}
	}
	return false
}

// size is how many values n has, up to limit.
func (n *node) size(limit int) int {
	sum := 1
	for _, k := range n.kids {
		if sum > limit {
			break
		}
		sum += k.size(limit - sum)
	}
	return sum
}

// locate finds the line of what a message of the library quotes: the longest key or text that stands in the document.
func locate(root *node, message string) (line int) {
	best := 0
	try := func(word string, at int) {
		if len(word) > best && len(word) > 3 && strings.Contains(message, word) {
			best, line = len(word), at
		}
	}
	root.each(func(o *node) {
		for i, k := range o.keys {
			try(k, o.kids[i].line)
			if o.kids[i].kind == 's' {
				try(strings.Trim(o.kids[i].scalar, `"`), o.kids[i].line)
			}
		}
	})
	return line
}

// converter makes the Document of kin-openapi's model.
type converter struct {
	doc     *spec.Document
	model   *openapi3.T
	schemas map[*openapi3.Schema]*spec.Schema
}

func (c *converter) convert() {
	d, t := c.doc, c.model
	if t.Info != nil {
		d.Title, d.Version = t.Info.Title, t.Info.Version
	}
	hosts, bases := servers(t.Servers)
	d.Hosts, d.Bases = hosts, bases
	for p, item := range t.Paths.Map() {
		if item == nil {
			continue
		}
		for method, op := range item.Operations() {
			if op != nil {
				c.operation(p, method, item, op)
			}
		}
	}
}

// servers gives the hosts and path prefixes. Variables stand for their defaults.
func servers(list openapi3.Servers) (hosts, bases []string) {
	for _, s := range list {
		if s == nil {
			continue
		}
		raw := s.URL
		for name, v := range s.Variables {
			if v != nil {
				raw = strings.ReplaceAll(raw, "{"+name+"}", v.Default)
			}
		}
		u, err := url.Parse(raw)
		if err != nil {
			continue
		}
		if h := strings.ToLower(u.Hostname()); h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
		base := strings.TrimRight(path.Clean("/"+u.Path), "/")
		if !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
	}
	return hosts, bases
}

func (c *converter) operation(p, method string, item *openapi3.PathItem, op *openapi3.Operation) {
	o := spec.Operation{Method: strings.ToUpper(method), Path: "/" + strings.TrimPrefix(p, "/"), ID: op.OperationID, Summary: oneLine(op.Summary),
		Deprecated: op.Deprecated, Sunset: extension(op.Extensions, "x-sunset")}
	if i := strings.IndexAny(o.Path, "?#"); i >= 0 { // no path has them (RFC 3986 section 3.3), but authors tell operations apart by them
		o.Path = o.Path[:i]
		c.doc.Warnings = append(c.doc.Warnings, "a path with a query or fragment, which is left out: "+oneLine(p))
	}
	own := op.Servers
	if own == nil && len(item.Servers) > 0 {
		own = &item.Servers
	}
	if own != nil && len(*own) > 0 {
		var hosts []string
		hosts, o.Bases = servers(*own)
		c.doc.Hosts = append(c.doc.Hosts, hosts...)
	}
	c.parameters(&o, op.Parameters)
	c.parameters(&o, item.Parameters) // what the operation says itself stands first
	if op.RequestBody != nil && op.RequestBody.Value != nil {
		b := op.RequestBody.Value
		o.Body = &spec.RequestBody{Required: b.Required, Content: c.content(b.Content)}
	}
	if op.Responses != nil {
		for status, ref := range op.Responses.Map() {
			if ref == nil || ref.Value == nil {
				continue
			}
			r := spec.Response{Status: strings.ToUpper(status), Content: c.content(ref.Value.Content)}
			if status == "default" {
				r.Status = status
			}
			for h := range ref.Value.Headers {
				r.Headers = append(r.Headers, strings.ToLower(h))
			}
			slices.Sort(r.Headers)
			o.Responses = append(o.Responses, r)
		}
		slices.SortFunc(o.Responses, func(a, b spec.Response) int { return cmp.Compare(a.Status, b.Status) })
	}
	o.Security = c.security(op)
	c.doc.Ops = append(c.doc.Ops, o)
}

func extension(x map[string]any, name string) string {
	s, _ := x[name].(string)
	return s
}

func (c *converter) parameters(o *spec.Operation, list openapi3.Parameters) {
	for _, ref := range list {
		if ref == nil || ref.Value == nil {
			continue
		}
		q := ref.Value
		p := spec.Parameter{Name: q.Name, Required: q.Required}
		switch q.In {
		case "path":
			p.In = event.InPath
		case "query":
			p.In = event.InQuery
		case "header":
			p.In, p.Name = event.InHeader, strings.ToLower(q.Name)
		case "cookie":
			p.In = event.InCookie
		default:
			continue
		}
		if q.Schema != nil {
			p.Schema = c.schema(q.Schema)
		} else {
			for _, m := range q.Content {
				if m != nil && m.Schema != nil {
					p.Schema = &spec.Schema{} // serialised in another language: its kind is not compared
				}
			}
		}
		if !slices.ContainsFunc(o.Params, func(x spec.Parameter) bool { return x.In == p.In && x.Name == p.Name }) {
			o.Params = append(o.Params, p)
		}
	}
}

func (c *converter) content(content openapi3.Content) []spec.Media {
	var list []spec.Media
	for t, m := range content {
		media := spec.Media{Type: spec.MediaType(t)}
		if m != nil && m.Schema != nil {
			media.Schema = c.schema(m.Schema)
		}
		list = append(list, media)
	}
	slices.SortFunc(list, func(a, b spec.Media) int { return cmp.Compare(a.Type, b.Type) })
	return list
}

// schema converts each schema once: what refers to itself stays a circle, which nobody walks whole.
func (c *converter) schema(ref *openapi3.SchemaRef) *spec.Schema {
	if ref == nil || ref.Value == nil {
		return nil
	}
	v := ref.Value
	if s := c.schemas[v]; s != nil {
		return s
	}
	s := &spec.Schema{Format: v.Format}
	c.schemas[v] = s
	if v.Type != nil {
		for _, t := range *v.Type {
			s.Types |= jsonType(t)
		}
	}
	if v.Nullable && s.Types != 0 {
		s.Types |= event.JSONNull
	}
	for _, e := range v.Enum {
		switch e := e.(type) {
		case nil:
			s.Types |= event.JSONNull & nullable(s.Types)
		case string:
			s.Enum = append(s.Enum, e)
		default:
			s.Enum = append(s.Enum, fmt.Sprint(e))
		}
	}
	if v.Const != nil {
		s.Enum = append(s.Enum, fmt.Sprint(v.Const))
	}
	if len(v.Properties) > 0 {
		s.Props = make(map[string]*spec.Schema, len(v.Properties))
		for name, p := range v.Properties {
			if p := c.schema(p); p != nil {
				s.Props[name] = p
			} else {
				s.Props[name] = &spec.Schema{}
			}
		}
	}
	s.Required = v.Required
	if a := v.AdditionalProperties; a.Has != nil {
		s.Closed = !*a.Has
	} else if a.Schema != nil {
		s.Additional = c.schema(a.Schema)
	}
	if len(v.PatternProperties) > 0 {
		s.Closed, s.Additional = false, nil
	}
	s.Items = c.schema(v.Items)
	if len(v.PrefixItems) > 0 {
		s.Items = nil
	}
	for _, x := range v.AllOf {
		s.All = appendSchema(s.All, c.schema(x))
	}
	for _, list := range []openapi3.SchemaRefs{v.OneOf, v.AnyOf} {
		for _, x := range list {
			s.Any = appendSchema(s.Any, c.schema(x))
		}
	}
	for _, x := range []*openapi3.SchemaRef{v.Then, v.Else} {
		s.Any = appendSchema(s.Any, c.schema(x))
	}
	return s
}

func appendSchema(list []*spec.Schema, s *spec.Schema) []*spec.Schema {
	if s == nil {
		return list
	}
	return append(list, s)
}

func nullable(t event.JSONTypes) event.JSONTypes {
	if t == 0 {
		return 0
	}
	return ^event.JSONTypes(0)
}

func jsonType(t string) event.JSONTypes {
	switch t {
	case "null":
		return event.JSONNull
	case "boolean":
		return event.JSONBoolean
	case "integer":
		return event.JSONInteger
	case "number":
		return event.JSONNumber | event.JSONInteger
	case "string", "file":
		return event.JSONString
	case "array":
		return event.JSONArray
	case "object":
		return event.JSONObject
	}
	return 0
}

// security gives the alternatives; nil where nothing is needed or said. An alternative of no scheme makes the others optional.
func (c *converter) security(op *openapi3.Operation) [][]spec.Scheme {
	list := c.model.Security
	if op.Security != nil {
		list = *op.Security
	}
	var alternatives [][]spec.Scheme
	for _, req := range list {
		all := make([]spec.Scheme, 0, len(req))
		for name := range req {
			s := spec.Scheme{Name: name}
			if c.model.Components != nil {
				if ref := c.model.Components.SecuritySchemes[name]; ref != nil && ref.Value != nil {
					s.Kinds = kindsOf(ref.Value)
					if strings.EqualFold(ref.Value.Type, "apiKey") {
						s.Param = ref.Value.Name
						s.In = map[string]event.In{"query": event.InQuery, "cookie": event.InCookie}[strings.ToLower(ref.Value.In)]
						if s.In == event.InPath { // neither
							s.In = event.InHeader
						}
					}
				}
			}
			all = append(all, s)
		}
		slices.SortFunc(all, func(a, b spec.Scheme) int { return cmp.Compare(a.Name, b.Name) })
		alternatives = append(alternatives, all)
	}
	return alternatives
}

// kindsOf lists how traffic that follows the scheme may look.
func kindsOf(s *openapi3.SecurityScheme) []event.AuthKind {
	bearer := []event.AuthKind{event.AuthBearerJWT, event.AuthBearerOpaque}
	switch strings.ToLower(s.Type) {
	case "http":
		switch strings.ToLower(s.Scheme) {
		case "basic":
			return []event.AuthKind{event.AuthBasic, event.AuthOAuth2Client}
		case "bearer":
			return bearer
		}
		return []event.AuthKind{event.AuthCustom, event.AuthHMAC, event.AuthSigV4}
	case "apikey":
		switch strings.ToLower(s.In) {
		case "cookie":
			return []event.AuthKind{event.AuthSessionCookie, event.AuthAPIKey}
		case "query":
			return []event.AuthKind{event.AuthAPIKey, event.AuthSigV4}
		}
		if strings.EqualFold(s.Name, "authorization") { // written so by authors of version 2, for anything
			return append(bearer, event.AuthAPIKey, event.AuthBasic, event.AuthCustom, event.AuthHMAC, event.AuthSigV4)
		}
		return []event.AuthKind{event.AuthAPIKey, event.AuthCustom, event.AuthHMAC}
	case "oauth2", "openidconnect":
		return append(bearer, event.AuthOAuth2Client)
	case "mutualtls":
		return []event.AuthKind{event.AuthMTLS}
	}
	return nil
}

// Model reads an OpenAPI document into kin-openapi's model of version 3, for those who hand it on to a library. The bounds and
// refusals are those of Parse.
func (c Config) Model(name string, raw []byte) (*openapi3.T, error) {
	c = c.withDefaults()
	c.Refs = false
	s := &source{cfg: c, left: c.MaxBytes, name: name}
	root, err := s.tree(raw)
	if err != nil {
		return nil, err
	}
	t, _, _, err := s.model(context.Background(), path.Base(name), root)
	return t, err
}
