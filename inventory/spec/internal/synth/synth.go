// Package synth makes the Calls that a perfect client and server of a declared API would make. Tests of drift and of inferred
// documents use it: such traffic must show no drift, and a document that is inferred from it must declare what this does.
package synth

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

// depth bounds how deep bodies go: schemas may refer to themselves.
const depth = 5

// Calls gives, for each operation of d, two calls for each declared status: one with everything that is declared, one with
// what is required. Arrays have one element.
func Calls(d *spec.Document, service string) []event.Call {
	var calls []event.Call
	at := event.Time(1_790_000_000_000_000_000)
	for i := range d.Ops {
		op := &d.Ops[i]
		base := ""
		if len(d.Bases) > 0 {
			base = d.Bases[0]
		}
		if len(op.Bases) > 0 {
			base = op.Bases[0]
		}
		for _, r := range op.Responses {
			status, err := strconv.Atoi(strings.ReplaceAll(strings.ReplaceAll(r.Status, "XX", "00"), "default", "500"))
			if err != nil {
				continue
			}
			for _, all := range []bool{true, false} {
				at++
				c := event.Call{ID: strconv.FormatInt(int64(at), 36), Time: at, Service: service, Method: op.Method, Status: status, Protocol: event.HTTP11,
					Encryption: event.Plaintext, Client: event.Peer{Address: "10.0.0.7"}, Server: event.Peer{Address: "10.0.0.9", Port: 80}}
				if len(d.Hosts) > 0 {
					c.Host = d.Hosts[0]
				}
				c.Path = path(op, base+op.Path)
				for _, p := range op.Params {
					switch {
					case p.In == event.InPath || !all && !p.Required:
					case p.In == event.InHeader:
						c.RequestHeaders = append(c.RequestHeaders, p.Name)
					default:
						c.Params = append(c.Params, event.Param{In: p.In, Name: p.Name, Kind: kind(p.Schema)})
					}
				}
				if op.Body != nil && (all || op.Body.Required) && len(op.Body.Content) > 0 {
					m := op.Body.Content[0]
					c.RequestType = concrete(m.Type)
					c.RequestBody = body(m, all)
				}
				if all {
					c.ResponseHeaders = slices.Clone(r.Headers)
				}
				if len(r.Content) > 0 {
					c.ResponseType = concrete(r.Content[0].Type)
					c.ResponseBody = body(r.Content[0], all)
				}
				if len(op.Security) > 0 && len(op.Security[0]) > 0 && len(op.Security[0][0].Kinds) > 0 {
					c.Auth.Kind = op.Security[0][0].Kinds[0]
					if s := op.Security[0][0]; s.Param != "" && s.In == event.InHeader {
						c.RequestHeaders = append(c.RequestHeaders, strings.ToLower(s.Param))
					}
				}
				slices.Sort(c.RequestHeaders)
				calls = append(calls, c)
			}
		}
	}
	return calls
}

func concrete(t string) string {
	if t == "*/*" {
		return "application/json"
	}
	return strings.ReplaceAll(t, "*", "plain")
}

// path is the template as segments: parameters as values of their declared kinds.
func path(op *spec.Operation, template string) []event.Segment {
	var segs []event.Segment
	for _, s := range strings.Split(strings.TrimPrefix(template, "/"), "/") {
		if s == "" {
			segs = append(segs, event.Segment{Kind: event.KindEmpty})
			continue
		}
		open, end := strings.IndexByte(s, '{'), strings.LastIndexByte(s, '}')
		if open != 0 || end != len(s)-1 || strings.Count(s, "{") != 1 {
			segs = append(segs, event.Segment{Kind: event.KindWord, Text: strings.NewReplacer("{", "", "}", "").Replace(s), Shape: event.Shape{Len: uint8(len(s))}})
			continue
		}
		k := event.KindUUID
		for _, p := range op.Params {
			if p.In == event.InPath && p.Name == s[1:end] {
				if declared := kind(p.Schema); declared != event.KindString {
					k = declared
				}
			}
		}
		segs = append(segs, event.Segment{Kind: k, Token: uint64(len(segs) + 7), Shape: event.Shape{Len: 30}})
	}
	return segs
}

var formats = map[string]event.Kind{"uuid": event.KindUUID, "date": event.KindDate, "date-time": event.KindDateTime, "email": event.KindEmail,
	"uri": event.KindURL, "url": event.KindURL, "ipv4": event.KindIP, "ipv6": event.KindIP, "ip": event.KindIP}

func kind(s *spec.Schema) event.Kind {
	t, f := only(s)
	switch t {
	case event.JSONInteger:
		return event.KindInteger
	case event.JSONNumber:
		return event.KindNumber
	case event.JSONBoolean:
		return event.KindBoolean
	}
	return formats[f]
}

// only is one type that s allows, with its format.
func only(s *spec.Schema) (event.JSONTypes, string) {
	for range 8 {
		switch {
		case s == nil:
			return event.JSONString, ""
		case s.Types&event.JSONNumber != 0:
			return event.JSONNumber, ""
		case s.Types&event.JSONObject != 0 || s.Types == 0 && (len(s.Props) > 0 || s.Additional != nil):
			return event.JSONObject, ""
		case s.Types&event.JSONArray != 0 || s.Types == 0 && s.Items != nil:
			return event.JSONArray, ""
		case s.Types == 0 && len(s.All) > 0:
			s = s.All[len(s.All)-1] // what goes before is often no more than a remark
		case s.Types == 0 && len(s.Any) > 0:
			s = s.Any[0]
		default:
			for _, t := range []event.JSONTypes{event.JSONInteger, event.JSONBoolean, event.JSONString} {
				if s.Types&t != 0 {
					return t, s.Format
				}
			}
			return event.JSONString, s.Format
		}
	}
	return event.JSONString, ""
}

func body(m spec.Media, all bool) *event.Body {
	if m.Schema == nil || !strings.HasSuffix(m.Type, "json") && m.Type != "*/*" && m.Type != "application/x-www-form-urlencoded" {
		return nil
	}
	b := &event.Body{Bodies: 1}
	fill(b, "$", m.Schema, all, depth)
	return b
}

func fill(b *event.Body, at string, s *spec.Schema, all bool, left int) {
	props, required := map[string]*spec.Schema{}, []string{}
	collect(s, props, &required, 8)
	t, format := only(s)
	if len(props) > 0 {
		t = event.JSONObject
	}
	f := event.Field{At: at, Types: t, N: 1}
	if t == event.JSONString {
		f.Kinds.Add(formats[format])
	}
	if t == event.JSONObject {
		f.Objects = 1
	}
	one := &event.Body{Fields: []event.Field{f}}
	b.Merge(one)
	if left == 0 {
		b.CutOff = 1
		if g := b.Find(at); g != nil && g.Objects > 0 {
			g.Objects = 0
		}
		return
	}
	switch t {
	case event.JSONArray:
		for x := s; x != nil; {
			if x.Items != nil {
				fill(b, at+"[]", x.Items, all, left-1)
				break
			}
			if len(x.All) == 0 {
				break
			}
			x = x.All[0]
		}
	case event.JSONObject:
		for _, name := range required {
			if props[name] == nil && !strings.ContainsAny(name, ".[]") {
				props[name] = &spec.Schema{}
			}
		}
		for name, p := range props {
			if all && !strings.ContainsAny(name, ".[]") || slices.Contains(required, name) {
				fill(b, at+"."+name, p, all, left-1)
			}
		}
	}
}

// collect gathers the properties of s and of what it is composed of: all of allOf, the first of oneOf.
func collect(s *spec.Schema, props map[string]*spec.Schema, required *[]string, left int) {
	if s == nil || left == 0 {
		return
	}
	for name, p := range s.Props {
		props[name] = p
	}
	*required = append(*required, s.Required...)
	for _, x := range s.All {
		collect(x, props, required, left-1)
	}
	if len(s.Any) > 0 {
		collect(s.Any[0], props, required, left-1)
	}
}
