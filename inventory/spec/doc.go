// Package spec holds declared APIs and compares them with what was observed.
//
// In: Documents, which inventory/spec/load reads from OpenAPI, gRPC and GraphQL files, and observe.Services. Out: for each endpoint
// its state (declared, shadow, zombie, orphan, undeclared), and drift: one row for each difference, with its counts and
// times. It reads no file and no clock, and nothing here is a judgement by volume: one call is enough for a row.
package spec

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// What can be wrong with what is asked for.
var (
	ErrNotFound  = errors.New("no such document")
	ErrNoService = errors.New("no service is known to be declared by it: name one with --service")
)

// Document is one declared API.
type Document struct {
	ID         string     `json:"id"`                // of the text and the service; see Assign
	Service    string     `json:"service,omitempty"` // that it declares; "" means every service that answers to one of Hosts
	Format     Format     `json:"format"`
	Title      string     `json:"title,omitempty"`
	Version    string     `json:"version,omitempty"` // its own, as the author wrote it
	Source     string     `json:"source"`            // file or URL
	Digest     string     `json:"digest"`            // SHA-256 of Raw
	Imported   event.Time `json:"imported,omitzero"`
	Hosts      []string   `json:"hosts"`      // of its servers, lower case, without port
	Bases      []string   `json:"bases"`      // path prefixes of its servers, "" for none; no trailing slash
	Operations int        `json:"operations"` // how many
	Warnings   []string   `json:"warnings"`   // what was not understood, and goes unchecked

	Ops []Operation `json:"-"`
	Raw []byte      `json:"-"` // self-contained; load.Parse gives the Document again
}

// Format is the language of a Document.
type Format string

// The formats.
const (
	OpenAPI20 Format = "openapi-2.0"
	OpenAPI30 Format = "openapi-3.0"
	OpenAPI31 Format = "openapi-3.1"
	Protobuf  Format = "protobuf" // a FileDescriptorSet
	GraphQL   Format = "graphql"  // schema definition language
)

// Operation is one declared operation.
type Operation struct {
	Method     string
	Path       string // template under the Document's bases: "/pets/{petId}"
	ID         string // operationId, "pkg.Service/Method", or "query pets"
	Selector   string // of GraphQL, where one path serves many: what event.Call.Operations says
	Summary    string
	Deprecated bool
	Sunset     string   // date, as declared (x-sunset)
	Bases      []string // where the operation's own servers differ from the Document's; nil: the Document's
	Params     []Parameter
	Body       *RequestBody
	Responses  []Response // nil: the format does not declare any
	Security   [][]Scheme // alternatives, each of schemes that are all needed; nil: not declared, or none needed
	Opaque     bool       // bodies and parameters are not in clear text JSON: not compared
	Optional   bool       // another way to call what another operation declares: never an orphan

	pattern pattern
}

// Parameter is a declared parameter.
type Parameter struct {
	In       event.In
	Name     string
	Required bool
	Schema   *Schema // nil: not declared
}

// RequestBody is a declared request body.
type RequestBody struct {
	Required bool
	Content  []Media
}

// Media is one media type of a body.
type Media struct {
	Type   string // lower case, without parameters; may be a range: "application/*"
	Schema *Schema
}

// Response is a declared response.
type Response struct {
	Status  string   // "200", "2XX", "default"
	Headers []string // lower case
	Content []Media
}

// Scheme is a declared way to authenticate.
type Scheme struct {
	Name string // as the document calls it
	// Kinds are the event.AuthKinds that fit it; nil: not understood.
	Kinds []event.AuthKind
	// In and Param are where a key stands, Param "" for schemes that use the Authorization field.
	In    event.In
	Param string
}

// Schema is what a declaration says of a value. It is a graph: schemas may refer to themselves. Walk it along observed
// places, never whole.
type Schema struct {
	Types      event.JSONTypes // 0: any
	Format     string
	Enum       []string // of strings and numbers, as text
	Props      map[string]*Schema
	Required   []string
	Closed     bool    // no other properties
	Additional *Schema // of other properties, nil: anything
	Items      *Schema
	All        []*Schema // all of them apply
	Any        []*Schema // one of them at least applies
}

// Assign sets ID, which depends on the service that d declares: one text may declare several.
func (d *Document) Assign() { d.ID = id(d.Service, d.Digest) }

// CompareDocuments orders by service, title and version, the newest version last.
func CompareDocuments(a, b Document) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Title, b.Title), compareVersions(a.Version, b.Version), cmp.Compare(a.ID, b.ID))
}

// Covers says whether d declares the service, which answers to hosts.
func (d *Document) Covers(service string, hosts []string) bool {
	if d.Service != "" {
		return d.Service == service
	}
	return slices.ContainsFunc(d.Hosts, func(h string) bool { return slices.Contains(hosts, h) })
}

// Finish makes d ready to be matched: to be called once, after Ops, Hosts and Bases are complete.
func (d *Document) Finish() {
	slices.SortStableFunc(d.Ops, func(a, b Operation) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Selector, b.Selector))
	})
	for i := range d.Ops {
		d.Ops[i].pattern = compile(d.Ops[i].Path)
	}
	d.Operations = len(d.Ops)
	for _, list := range []*[]string{&d.Hosts, &d.Bases, &d.Warnings} {
		slices.Sort(*list)
		if *list = slices.Compact(*list); *list == nil {
			*list = []string{}
		}
	}
}

// Find returns the operation with the id or, as "GET /pets/{petId}", with the method and path.
func (d *Document) Find(name string) *Operation {
	for i := range d.Ops {
		if o := &d.Ops[i]; o.ID == name || o.Method+" "+o.Path == name {
			return o
		}
	}
	return nil
}

// MediaType cuts a media type's parameters off: "text/html; charset=utf-8" is "text/html".
func MediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(s))
}
