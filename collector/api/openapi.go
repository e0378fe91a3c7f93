package api

import (
	"cmp"
	"encoding"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// route is one thing that can be asked for.
type route struct {
	method          string // "": GET
	path, id, about string
	params          []param
	body            any  // of the answer
	lines           bool // the answer is many of them, one a line, that goes on
	serve           func(http.ResponseWriter, *http.Request) error
}

type param struct {
	name, kind, about string
	required          bool
}

var (
	serviceParam  = param{name: "service", kind: "string", about: "a service, or the beginning of some with * at the end"}
	sinceParam    = param{name: "since", kind: "string", about: "seen at or after this RFC 3339 time"}
	beforeParam   = param{name: "before", kind: "string", about: "last seen before this RFC 3339 time"}
	limitParam    = param{name: "limit", kind: "integer", about: "at most so many, 1000 by default and at most (of calls 10000)"}
	afterParam    = param{name: "after", kind: "integer", about: "above this sequence number"}
	stateParam    = param{name: "state", kind: "string", about: "one of " + strings.Join(inventory.States, ", ")}
	probesParam   = param{name: "probes", kind: "boolean", about: "with endpoints that only health checks and metric scrapes call"}
	idParam       = param{"id", "string", "of a document", true}
	sourceParam   = param{name: "source", kind: "string", about: "where the document is from, for people"}
	importedParam = param{name: "imported", kind: "string", about: "when, as an RFC 3339 time"}
	listParams    = []param{serviceParam, sinceParam, limitParam,
		{name: "offset", kind: "integer", about: "rows to skip: next of the page before"},
		{name: "sort", kind: "string", about: "one of " + strings.Join(inventory.SortKeys, ", ") + "; with - before it the largest first"}}
)

type object = map[string]any

// document is the OpenAPI 3.1 description of routes, made from the Go types that are sent, so that it cannot be out of date.
func document(routes []route, version string) []byte {
	schemas := object{}
	failure := object{"description": "What went wrong, and what to do.", "content": object{"application/json": object{"schema": schema(reflect.TypeFor[Failure](), schemas)}}}
	paths := object{}
	for _, r := range routes {
		media := "application/json"
		if r.lines {
			media = "application/jsonl"
		}
		params := []object{}
		for _, p := range r.params {
			params = append(params, object{"name": p.name, "in": "query", "required": p.required, "description": p.about, "schema": object{"type": p.kind}})
		}
		item, _ := paths[r.path].(object)
		if item == nil {
			item = object{}
			paths[r.path] = item
		}
		operation := object{
			"operationId": r.id, "summary": r.about, "parameters": params,
			"responses": object{
				"200":     object{"description": r.about, "content": object{media: object{"schema": schema(reflect.TypeOf(r.body), schemas)}}},
				"default": failure,
			},
		}
		if r.method == http.MethodPost {
			operation["requestBody"] = object{"required": true, "content": object{"application/octet-stream": object{}}}
		}
		item[strings.ToLower(cmp.Or(r.method, http.MethodGet))] = operation
	}
	open := func(id, about, media string) object {
		return object{"get": object{"operationId": id, "summary": about, "security": []object{}, "responses": object{"200": object{"description": about, "content": object{media: object{}}}}}}
	}
	paths["/openapi.json"] = open("openapi", "This document.", "application/json")
	paths["/healthz"] = open("health", "That the server runs.", "text/plain")
	if version == "" {
		version = "dev"
	}
	b, err := json.MarshalIndent(object{
		"openapi":    "3.1.0",
		"info":       object{"title": "gnomon", "version": version, "description": "What gnomon observed on this machine, and what is declared."},
		"security":   []object{{"token": []string{}}},
		"paths":      paths,
		"components": object{"schemas": schemas, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}},
	}, "", "  ")
	if err != nil {
		panic(err) // maps of strings only
	}
	return append(b, '\n')
}

// schema describes t; structs are named and put into all.
func schema(t reflect.Type, all object) object {
	switch t {
	case reflect.TypeFor[event.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[raw]():
		return schema(reflect.TypeFor[event.Call](), all)
	case reflect.TypeFor[finding]():
		return object{"type": "object", "description": "OCSF 1.8 Detection Finding, class 2004"}
	case reflect.TypeFor[event.JSONTypes](), reflect.TypeFor[event.KindSet]():
		return object{"type": "array", "items": object{"type": "string"}}
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schema(t.Elem(), all)
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": schema(t.Elem(), all)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schema(t.Elem(), all)}
	case reflect.Struct:
		name := t.String() // with its package: event.Param is not inventory.Param
		if _, known := all[name]; !known {
			all[name] = object{} // one that holds itself ends here
			properties, required := object{}, []string{}
			fields(t, all, properties, &required)
			all[name] = object{"type": "object", "properties": properties, "required": required}
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	return object{"type": "integer"}
}

func fields(t reflect.Type, all, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
			continue
		case f.Anonymous && name == "":
			fields(f.Type, all, properties, required)
			continue
		}
		if properties[name] = schema(f.Type, all); strings.Contains(options, ",string") || options == "string" {
			properties[name] = object{"type": "string"}
		}
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}
