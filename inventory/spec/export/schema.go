package export

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// value is how a kind of value is written in a schema, with an example that was made up.
type value struct {
	typ, format, pattern string
	example              any
}

var values = [...]value{
	event.KindString:   {typ: "string", example: "text"},
	event.KindWord:     {typ: "string", example: "word"},
	event.KindInteger:  {typ: "integer", example: 1},
	event.KindUUID:     {typ: "string", format: "uuid", example: "00000000-0000-4000-8000-000000000000"},
	event.KindEmpty:    {typ: "string", example: ""},
	event.KindNumber:   {typ: "number", example: 1.5},
	event.KindBoolean:  {typ: "boolean", example: true},
	event.KindULID:     {typ: "string", pattern: "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$", example: "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
	event.KindHex:      {typ: "string", pattern: "^[0-9A-Fa-f]+$", example: "00c0ffee"},
	event.KindDate:     {typ: "string", format: "date", example: "2000-01-01"},
	event.KindDateTime: {typ: "string", format: "date-time", example: "2000-01-01T00:00:00Z"},
	event.KindEmail:    {typ: "string", format: "email", example: "someone@example.com"},
	event.KindBase64:   {typ: "string", example: "ZXhhbXBsZQ=="},
	event.KindPrefixed: {typ: "string", example: "id_example"},
	event.KindVersion:  {typ: "string", example: "v1"},
	event.KindLocale:   {typ: "string", example: "en"},
	event.KindIP:       {typ: "string", example: "192.0.2.1"},
	event.KindHost:     {typ: "string", format: "hostname", example: "host.example"},
	event.KindURL:      {typ: "string", format: "uri", example: "https://example.com/"},
	event.KindFile:     {typ: "string", example: "file.txt"},
	event.KindJWT:      {typ: "string", example: "header.payload.signature"},
	event.KindPhone:    {typ: "string", example: "+15550100"},
	event.KindRandom:   {typ: "string", example: "a1b2c3"},
	event.KindMixed:    {typ: "string", example: "a-1"},
}

// valueOf is the one that covers all kinds.
func valueOf(kinds event.KindSet) value {
	kinds &^= 1 << event.KindEmpty
	number := event.KindSet(1<<event.KindInteger | 1<<event.KindNumber)
	switch kinds {
	case 0:
		return values[event.KindString]
	case number:
		return values[event.KindNumber]
	}
	if k := kinds.One(); k != event.KindString && int(k) < len(values) {
		return values[k]
	}
	return values[event.KindString]
}

func (v value) schema() object {
	s := object{{"type", v.typ}}
	s.text("format", v.format)
	s.text("pattern", v.pattern)
	return s
}

// minEnum is how many calls for each word it takes to believe that there are no others, minAlways how many to believe that
// what was always there is required.
const (
	minEnum   = 4
	minAlways = 5
)

// enum adds the words of a parameter, when they are few and were seen often.
func enum(s object, words []string, free bool, calls uint64) object {
	if free || len(words) == 0 || calls < uint64(minEnum*max(len(words), 2)) || s.get("type") != "string" {
		return s
	}
	s.set("enum", texts(words))
	return s
}

// place is a node of a body's tree.
type place struct {
	field event.Field
	names []string // sorted
	kids  map[string]*place
	items *place
}

// object says that nothing but objects stood here.
func (p *place) object() bool { return p.field.Types&^event.JSONNull == event.JSONObject }

// tree makes a tree of the flat list. Places whose parents are missing (a bound cut them) are left out.
func tree(b *event.Body) *place {
	root := b.Find("$")
	if root == nil {
		return nil
	}
	all := map[string]*place{"$": {field: *root}}
	for _, f := range b.Fields { // sorted: parents stand before their children
		if f.At == "$" {
			continue
		}
		var parent *place
		var name string
		if up, ok := strings.CutSuffix(f.At, "[]"); ok {
			parent = all[up]
		} else if i := strings.LastIndexByte(f.At, '.'); i >= 0 {
			parent, name = all[f.At[:i]], f.At[i+1:]
		}
		if parent == nil {
			continue
		}
		p := &place{field: f}
		all[f.At] = p
		if name == "" {
			parent.items = p
			continue
		}
		if parent.kids == nil {
			parent.kids = map[string]*place{}
		}
		parent.kids[name] = p
		parent.names = append(parent.names, name)
	}
	for _, p := range all {
		slices.Sort(p.names)
	}
	return all["$"]
}

// schema writes a place down, and what is below it as child does. noun is what the place may be called.
func (p *place) schema(noun string, child func(p *place, noun string) object) object {
	t := p.field.Types
	if t&event.JSONNumber != 0 {
		t &^= event.JSONInteger
	}
	names := t.Names()
	slices.Sort(names)
	if i := slices.Index(names, "null"); i >= 0 { // last, as people write it
		names = append(slices.Delete(names, i, i+1), "null")
	}
	s := object{}
	switch len(names) {
	case 0:
		return s
	case 1:
		if t == event.JSONNull { // says nothing of what it is when it is there
			return s
		}
		s.set("type", names[0])
	default:
		s.set("type", texts(names))
	}
	if t&^event.JSONNull == event.JSONString {
		v := valueOf(p.field.Kinds)
		if v.typ == "string" {
			s.text("format", v.format)
			s.text("pattern", v.pattern)
		}
	}
	if t&event.JSONObject != 0 {
		var required []string
		props := object{}
		for _, name := range p.names {
			k := p.kids[name]
			if name == "*" {
				continue
			}
			props.set(name, child(k, name))
			if k.field.N >= p.field.Objects && p.field.Objects >= minAlways {
				required = append(required, name)
			}
		}
		if len(required) > 0 {
			s.set("required", texts(required))
		}
		if len(props) > 0 {
			s.set("properties", props)
		}
		if k := p.kids["*"]; k != nil {
			s.set("additionalProperties", child(k, noun))
		}
	}
	if t&event.JSONArray != 0 {
		items := object{}
		if p.items != nil {
			items = child(p.items, noun)
		}
		s.set("items", items)
	}
	return s
}

// plain is the schema of a place without references.
func plain(p *place, noun string) object { return p.schema(noun, plain) }

// example is a made-up value for a place. A body is as deep as the agent that saw it allows.
func (p *place) example() any {
	t := p.field.Types
	switch {
	case t&event.JSONObject != 0:
		o := object{}
		for _, name := range p.names {
			if name != "*" {
				o.set(name, p.kids[name].example())
			}
		}
		return o
	case t&event.JSONArray != 0:
		if p.items == nil {
			return []any{}
		}
		return []any{p.items.example()}
	case t&event.JSONString != 0:
		if v := valueOf(p.field.Kinds); v.typ == "string" {
			return v.example
		}
		return "1" // a number within quotes
	case t&event.JSONNumber != 0:
		return 1.5
	case t&event.JSONInteger != 0:
		return 1
	case t&event.JSONBoolean != 0:
		return true
	}
	return nil
}

// key is the text by which schemas are compared.
func key(s object) string {
	b, err := json.Marshal(s)
	if err != nil {
		return "" // of texts and numbers only: does not fail
	}
	return string(b)
}
