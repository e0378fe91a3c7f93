package export

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// Postman makes a collection of the format 2.1.0: a folder for each first word of a path, a request for each operation, with
// made-up values and variables for the server and for credentials.
func (c Config) Postman(svc *observe.Service) *Document {
	list, omitted := c.operations(svc)
	w := &writer{cfg: c, schemes: map[string]object{}}
	var folders object
	for _, o := range list {
		tag := cmp.Or(o.tag, "root")
		items, _ := folders.get(tag).([]any)
		item := object{{"name", o.method + " " + o.path}, {"request", w.postman(o)}}
		if items == nil {
			folders.set(tag, []any{item})
			continue
		}
		for i := range folders {
			if folders[i].key == tag {
				folders[i].value = append(items, item)
			}
		}
	}
	slices.SortFunc(folders, func(a, b member) int { return cmp.Compare(a.key, b.key) })
	items := []any{}
	for _, f := range folders {
		items = append(items, object{{"name", f.key}, {"item", f.value}})
	}
	url := "http://localhost"
	if s := servers(svc); len(s) > 0 {
		url, _ = s[0].(object).get("url").(string)
	}
	vars := []any{object{{"key", "baseUrl"}, {"value", url}}}
	for _, v := range []string{"apiKey", "password", "token", "username"} {
		vars = append(vars, object{{"key", v}, {"value", ""}})
	}
	root := object{
		{"info", object{{"name", cmp.Or(c.Title, svc.Service)}, {"description", "Inferred by gnomon from observed traffic. All values are made up."},
			{"schema", "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"}}},
		{"item", items}, {"variable", vars}}
	return &Document{root: clean(root).(object), Omitted: omitted}
}

func (w *writer) postman(o *operation) object {
	t := &o.traits
	_, keys := w.security(o)
	r := object{{"method", o.method}}
	header := []any{}
	add := func(list *[]any, name string, value any) {
		*list = append(*list, object{{"key", name}, {"value", text(value)}})
	}
	for i := range t.Request.Headers {
		if h := &t.Request.Headers[i]; !spec.StandardHeader(h.Name) && (h.OK > 0 || t.Request.OK == 0) && !keys["header "+h.Name] {
			add(&header, h.Name, "text")
		}
	}
	body := object(nil)
	if b := w.request(o); b != nil {
		for _, m := range b.get("content").(object) {
			media := m.value.(object)
			example := media.get("example")
			if example == nil {
				continue
			}
			add(&header, "Content-Type", m.key)
			if fields, ok := example.(object); ok && m.key == "application/x-www-form-urlencoded" {
				form := []any{}
				for _, f := range fields {
					add(&form, f.key, f.value)
				}
				body = object{{"mode", "urlencoded"}, {"urlencoded", form}}
			} else {
				body = object{{"mode", "raw"}, {"raw", key(object{{"", example}})}, {"options", object{{"raw", object{{"language", "json"}}}}}}
				raw := body.get("raw").(string)
				body[1].value = raw[len(`{"":`) : len(raw)-1]
			}
			break
		}
	}
	r.set("header", header)
	if body != nil {
		r.set("body", body)
	}
	r.set("url", w.postmanURL(o, keys))
	if a := postmanAuth(t); a != nil {
		r.set("auth", a)
	}
	return r
}

func (w *writer) postmanURL(o *operation, keys map[string]bool) object {
	path, variables := []any{}, []any{}
	raw := "{{baseUrl}}"
	for _, seg := range strings.Split(strings.TrimPrefix(o.path, "/"), "/") {
		if name, ok := strings.CutPrefix(seg, "{"); ok && strings.HasSuffix(seg, "}") && strings.Count(seg, "{") == 1 {
			seg = ":" + strings.TrimSuffix(name, "}")
		}
		path = append(path, seg)
		raw += "/" + seg
	}
	for i, name := range o.names {
		v := values[event.KindString]
		if len(o.params) == len(o.names) {
			v = valueOf(o.params[i].Kinds)
		}
		variables = append(variables, object{{"key", name}, {"value", text(v.example)}})
	}
	query := []any{}
	for i := range o.traits.Params {
		p := &o.traits.Params[i]
		if p.In == event.InQuery && (p.OK > 0 || o.traits.Request.OK == 0) && !keys["query "+p.Name] && p.Name != "" && p.Name != "*" {
			example := text(valueOf(p.Kinds).example)
			if len(p.Words) > 0 {
				example = p.Words[0]
			}
			query = append(query, object{{"key", p.Name}, {"value", example}})
		}
	}
	u := object{{"raw", raw}, {"host", []any{"{{baseUrl}}"}}, {"path", path}}
	if len(query) > 0 {
		u.set("query", query)
	}
	if len(variables) > 0 {
		u.set("variable", variables)
	}
	return u
}

// text is a value as it stands in a URL or header.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	s := key(object{{"", v}})
	return s[len(`{"":`) : len(s)-1]
}

func postmanAuth(t *observe.Traits) object {
	pair := func(k, v string) any { return object{{"key", k}, {"value", v}, {"type", "string"}} }
	for i := range t.Auth {
		if t.Auth[i].OK == 0 && t.Request.OK > 0 {
			continue
		}
		name, s, _ := scheme(t.Auth[i].Name, t)
		switch name {
		case "basic", "clientCredentials":
			return object{{"type", "basic"}, {"basic", []any{pair("username", "{{username}}"), pair("password", "{{password}}")}}}
		case "bearer", "bearerJWT":
			return object{{"type", "bearer"}, {"bearer", []any{pair("token", "{{token}}")}}}
		case "apiKey":
			in, _ := s.get("in").(string)
			carrier, _ := s.get("name").(string)
			return object{{"type", "apikey"}, {"apikey", []any{pair("key", carrier), pair("value", "{{apiKey}}"), pair("in", in)}}}
		}
	}
	return nil
}
