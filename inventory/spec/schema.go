package spec

import (
	"slices"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// maxAlternatives bounds how many schemas are followed at one place: oneOf within oneOf multiplies.
const maxAlternatives = 128

// at follows a place of a body ("$.items[].sku") and gives the schemas that may apply there. known is false where some object
// on the way is declared and lacks the name; no alternatives with known true means that anything may stand there.
//
// candidates are the schemas before allOf, oneOf and anyOf were written out.
func (s *Schema) at(place string) (alternatives, candidates []*Schema, known bool) {
	next := []*Schema{s}
	now := expand(next)
	for step := range steps(place) {
		var open bool
		next = nil
		for _, a := range now {
			n, free := a.step(step)
			next, open = append(next, n...), open || free
		}
		if len(next) == 0 {
			return nil, nil, open
		}
		if open {
			next = append(next, &Schema{})
		}
		now = expand(next)
	}
	if slices.ContainsFunc(now, (*Schema).silent) {
		return nil, nil, true
	}
	return now, next, true
}

// steps cuts a place: "$.a[].b" into "a", "[]", "b".
func steps(place string) func(func(string) bool) {
	return func(yield func(string) bool) {
		rest := strings.TrimPrefix(place, "$")
		for rest != "" {
			if r, ok := strings.CutPrefix(rest, "[]"); ok {
				if !yield("[]") {
					return
				}
				rest = r
				continue
			}
			rest = strings.TrimPrefix(rest, ".")
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			for end >= 2 && rest[end-2:end] == "[]" {
				end -= 2
			}
			if end == 0 {
				return
			}
			if !yield(rest[:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

// step goes one step down. free says that anything may stand there as far as this schema goes.
func (s *Schema) step(name string) (next []*Schema, free bool) {
	if name == "[]" {
		if s.Items != nil {
			return []*Schema{s.Items}, false
		}
		return nil, s.mayBe(event.JSONArray)
	}
	if p := s.Props[name]; p != nil {
		return []*Schema{p}, false
	}
	if s.Additional != nil {
		return []*Schema{s.Additional}, false
	}
	switch {
	case !s.mayBe(event.JSONObject), s.Closed:
		return nil, false
	case name == "*", slices.Contains(s.Required, name): // a name that is not told, or one that is declared by this alone
		return nil, true
	}
	// JSON Schema would allow any further name where properties are listed; who writes a list means it.
	return nil, len(s.Props) == 0 && len(s.Required) == 0
}

// expand writes out allOf, oneOf and anyOf. A schema that has them stands in the result too, when it says something itself.
// All are taken as alternatives: places are looked up one by one, so that what any part declares is declared.
func expand(list []*Schema) []*Schema {
	var out []*Schema
	seen := map[*Schema]bool{}
	var walk func(s *Schema)
	walk = func(s *Schema) {
		if s == nil || seen[s] || len(seen) >= maxAlternatives {
			return
		}
		seen[s] = true
		if len(s.All) == 0 && len(s.Any) == 0 || !s.vague() {
			out = append(out, s)
		}
		for _, x := range s.All {
			if len(x.All) > 0 || len(x.Any) > 0 || !x.vague() { // one that adds nothing loosens nothing either
				walk(x)
			}
		}
		for _, x := range s.Any {
			walk(x)
		}
	}
	for _, s := range list {
		walk(s)
	}
	return out
}

// silent says that s declares nothing itself.
func (s *Schema) silent() bool {
	return s.Types == 0 && s.Format == "" && len(s.Enum) == 0 && len(s.Props) == 0 && len(s.Required) == 0 && s.Items == nil && s.Additional == nil && !s.Closed
}

// vague says that s declares at most a type.
func (s *Schema) vague() bool {
	t := *s
	t.Types = 0
	return t.silent()
}

func (s *Schema) mayBe(t event.JSONTypes) bool {
	if s.Types != 0 {
		return s.Types&t != 0
	}
	switch { // what it speaks of tells its type
	case len(s.Props) > 0 || s.Additional != nil || len(s.Required) > 0:
		return t&event.JSONObject != 0
	case s.Items != nil:
		return t&event.JSONArray != 0
	}
	return true
}

// wrongTypes names the types at f that no alternative allows, "" for none. A null where a value is declared counts.
func wrongTypes(alternatives []*Schema, f *event.Field) string {
	var ok event.JSONTypes
	for _, a := range alternatives {
		if a.Types == 0 {
			switch {
			case len(a.Props) > 0 || a.Additional != nil || len(a.Required) > 0 || a.Closed:
				ok |= event.JSONObject
			case a.Items != nil:
				ok |= event.JSONArray
			default:
				ok = ^event.JSONTypes(0)
			}
			continue
		}
		ok |= a.Types
	}
	if ok&event.JSONNumber != 0 {
		ok |= event.JSONInteger
	}
	bad := strings.Join((f.Types &^ ok).Names(), ", ")
	if bad == "" && f.Types&event.JSONString != 0 {
		bad = wrongFormat(alternatives, f.Kinds)
	}
	return bad
}

// wrongFormat names the kinds of string that cannot have the declared format, where all alternatives declare one.
func wrongFormat(alternatives []*Schema, kinds event.KindSet) string {
	for _, a := range alternatives {
		if a.Format == "" || a.Types&event.JSONString == 0 {
			return ""
		}
	}
	var bad []string
	for k := event.KindString; k <= event.KindMixed; k++ {
		if kinds.Has(k) && !slices.ContainsFunc(alternatives, func(a *Schema) bool { return fits(a.Format, k) }) {
			bad = append(bad, k.String())
		}
	}
	return strings.Join(bad, ", ")
}

// fits says whether a value of the kind can have the format; unknown formats take anything, and so do kinds that are no more
// than a guess.
func fits(format string, k event.Kind) bool {
	switch format {
	case "uuid":
		return k == event.KindUUID
	case "date":
		return k == event.KindDate
	case "date-time":
		return k == event.KindDateTime || k == event.KindMixed || k == event.KindString
	case "email", "idn-email":
		return k == event.KindEmail || k == event.KindString || k == event.KindMixed
	case "uri", "url", "iri":
		return k == event.KindURL || k == event.KindString || k == event.KindMixed
	case "ipv4", "ipv6", "ip":
		return k == event.KindIP
	}
	return true
}

// requiredBy lists what each of the candidates requires: what it says itself and by allOf, and of oneOf and anyOf what all agree
// on.
func requiredBy(candidates []*Schema) []string {
	var all []string
	for i, s := range candidates {
		names := s.requires(map[*Schema]bool{})
		if i > 0 {
			names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(all, n) })
		}
		all = names
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (s *Schema) requires(walked map[*Schema]bool) []string {
	if walked[s] || len(walked) > maxAlternatives {
		return nil
	}
	walked[s] = true
	names := slices.Clone(s.Required)
	for _, x := range s.All {
		names = append(names, x.requires(walked)...)
	}
	if len(s.Any) > 0 {
		var common []string
		for i, x := range s.Any {
			list := x.requires(walked)
			if i > 0 {
				list = slices.DeleteFunc(list, func(n string) bool { return !slices.Contains(common, n) })
			}
			common = list
		}
		names = append(names, common...)
	}
	return names
}

// rejects names the kinds of a parameter's values that s does not allow, "" where it allows all.
func (s *Schema) rejects(kinds event.KindSet, words []string) string {
	list := expand([]*Schema{s})
	var bad []string
	for k := event.KindString; k <= event.KindMixed; k++ {
		if kinds.Has(k) && !slices.ContainsFunc(list, func(a *Schema) bool { return a.allows(k) }) {
			bad = append(bad, k.String())
		}
	}
	for _, w := range words {
		if len(bad) == 0 && len(list) == 1 && len(list[0].Enum) > 0 && !slices.Contains(list[0].Enum, w) {
			bad = append(bad, w)
		}
	}
	return strings.Join(bad, ", ")
}

func (s *Schema) allows(k event.Kind) bool {
	if s.Types == 0 || s.Types&(event.JSONArray|event.JSONObject) != 0 || k == event.KindEmpty {
		return true
	}
	if s.Types&event.JSONString != 0 {
		return fits(s.Format, k)
	}
	switch k {
	case event.KindInteger:
		return s.Types&(event.JSONInteger|event.JSONNumber) != 0 || s.Types&event.JSONBoolean != 0 // 0 and 1
	case event.KindNumber:
		return s.Types&event.JSONNumber == event.JSONNumber
	case event.KindBoolean:
		return s.Types&event.JSONBoolean != 0
	}
	return false
}

// String is the type as people write it: "integer", "string (uuid)", "array of string".
func (s *Schema) String() string { return describe(expand([]*Schema{s})) }

func describe(alternatives []*Schema) string {
	var list []string
	for _, s := range alternatives {
		t := s.Types
		if t&event.JSONNumber != 0 {
			t &^= event.JSONInteger
		}
		text := strings.Join(t.Names(), " or ")
		switch {
		case text == "" && len(s.Props) > 0:
			text = "object"
		case text == "" && len(s.Enum) > 0:
			text = "one of " + strings.Join(s.Enum[:min(len(s.Enum), 8)], ", ")
		case text == "":
			text = "anything"
		case len(s.Enum) > 0:
			text += " among " + strings.Join(s.Enum[:min(len(s.Enum), 8)], ", ")
		}
		if s.Format != "" {
			text += " (" + s.Format + ")"
		}
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
		if len(list) == 4 {
			break
		}
	}
	return strings.Join(list, " or ")
}

// pathParams lists the names of the path's parameters in their order.
func (o *Operation) pathParams() []string {
	var list []string
	for i := range o.pattern {
		list = append(list, o.pattern[i].names...)
	}
	return list
}
