package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

func parse(t *testing.T, text string) *spec.Document {
	t.Helper()
	d, err := Config{}.Parse("api.yaml", []byte(text))
	require.NoError(t, err)
	return d
}

// refuse parses text, which must be refused at the line for the reason.
func refuse(t *testing.T, c Config, text string, line int, reason string) {
	t.Helper()
	_, err := c.Parse("api.yaml", []byte(text))
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Contains(t, e.Reason, reason)
	require.Equal(t, line, e.Line, e.Reason)
	require.Less(t, len(err.Error()), 700)
}

const shop31 = `openapi: 3.1.0
info: {title: Shop, version: 2}
servers:
  - url: https://{env}.shop.example:8443/api/v2/
    variables: {env: {default: EU}}
security: [{token: []}]
paths:
  /orders/{orderId}:
    parameters:
      - {name: orderId, in: path, required: true, schema: {type: integer}}
    get:
      operationId: getOrder
      deprecated: true
      x-sunset: "2026-01-01"
      parameters:
        - {name: X-Tenant, in: header, required: true, schema: {type: string}}
        - {name: orderId, in: path, required: true, schema: {type: string, format: uuid}}
      responses:
        200:
          description: ok
          headers: {ETag: {schema: {type: string}}}
          content:
            application/json: {schema: {$ref: "#/components/schemas/Order"}}
        default: {description: error}
components:
  securitySchemes:
    token: {type: http, scheme: bearer}
  schemas:
    Order:
      type: [object, "null"]
      required: [id]
      properties:
        id: {type: integer}
        parent: {$ref: "#/components/schemas/Order"}
        state: {enum: [open, closed]}
      additionalProperties: false
`

func TestAnOpenAPI31DocumentIsReadWhole(t *testing.T) {
	d := parse(t, shop31)
	require.Equal(t, spec.OpenAPI31, d.Format)
	require.Equal(t, "Shop", d.Title)
	require.Equal(t, "2", d.Version)
	require.Equal(t, []string{"eu.shop.example"}, d.Hosts)
	require.Equal(t, []string{"/api/v2"}, d.Bases)
	require.Len(t, d.Ops, 1)
	o := d.Ops[0]
	require.Equal(t, "GET", o.Method)
	require.Equal(t, "/orders/{orderId}", o.Path)
	require.True(t, o.Deprecated)
	require.Equal(t, "2026-01-01", o.Sunset)
	require.Len(t, o.Params, 2, "the operation's own parameter replaces the path's")
	require.Equal(t, "x-tenant", o.Params[0].Name)
	require.Equal(t, "uuid", o.Params[1].Schema.Format)
	require.Equal(t, []string{"200", "default"}, []string{o.Responses[0].Status, o.Responses[1].Status})
	require.Equal(t, []string{"etag"}, o.Responses[0].Headers)
	s := o.Responses[0].Content[0].Schema
	require.Equal(t, event.JSONObject|event.JSONNull, s.Types)
	require.True(t, s.Closed)
	require.Same(t, s, s.Props["parent"], "a schema that refers to itself is a circle")
	require.Equal(t, []string{"open", "closed"}, s.Props["state"].Enum)
	require.Equal(t, []event.AuthKind{event.AuthBearerJWT, event.AuthBearerOpaque}, o.Security[0][0].Kinds)
	again, err := Config{}.Parse("stored", d.Raw)
	require.NoError(t, err)
	require.Equal(t, d.Digest, again.Digest)
}

func TestSwagger20IsReadAsWell(t *testing.T) {
	d := parse(t, `{"swagger":"2.0","info":{"title":"Pets","version":"1.0"},"host":"pets.example","basePath":"/v1","schemes":["https"],
"consumes":["application/json"],"produces":["application/json"],
"securityDefinitions":{"key":{"type":"apiKey","in":"header","name":"X-Key"}},"security":[{"key":[]}],
"paths":{"/pets":{"post":{"parameters":[{"in":"body","name":"pet","required":true,"schema":{"$ref":"#/definitions/Pet"}},
 {"in":"query","name":"limit","type":"integer"}],"responses":{"201":{"description":"made","schema":{"$ref":"#/definitions/Pet"}}}}}},
"definitions":{"Pet":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}}}`)
	require.Equal(t, spec.OpenAPI20, d.Format)
	require.Equal(t, []string{"pets.example"}, d.Hosts)
	require.Equal(t, []string{"/v1"}, d.Bases)
	o := d.Ops[0]
	require.True(t, o.Body.Required)
	require.Equal(t, []string{"name"}, o.Body.Content[0].Schema.Required)
	require.Equal(t, "limit", o.Params[0].Name)
	require.Equal(t, "application/json", o.Responses[0].Content[0].Type)
	require.Contains(t, o.Security[0][0].Kinds, event.AuthAPIKey)
}

func TestBadDocumentsAreRefusedWithLineAndReason(t *testing.T) {
	refuse(t, Config{}, "openapi: 3.0.0\npaths:\n  /a: [\n", 3, "not YAML")
	refuse(t, Config{}, "{\"openapi\": \"3.0.0\",\n \"paths\": {,}}", 2, "not JSON")
	refuse(t, Config{}, "{\"openapi\": \"3.0.0\",\n \"paths\": {}", 2, "not JSON")
	refuse(t, Config{}, "openapi: 3.0.0\npaths: {}\npaths: {}\n", 3, "twice")
	refuse(t, Config{}, "{\"openapi\": \"3.0.0\",\n\"openapi\": \"3.0.0\"}", 2, "twice")
	refuse(t, Config{}, "info: {}\nopenapi: 4.0.0\n", 2, "3.0 and 3.1 are read")
	refuse(t, Config{}, "openapi: 3.0.0\ninfo: {title: a, version: b}\npaths:\n  /a:\n    get:\n      responses:\n        '200': {$ref: '#/components/responses/No'}\n", 7, "not there")
	refuse(t, Config{}, "openapi: 3.0.0\ncomponents:\n  schemas:\n    A: {$ref: '#/components/schemas/B'}\n    B: {$ref: '#/components/schemas/A'}\n", 4, "circle")
	refuse(t, Config{}, "openapi: 3.0.0\npaths:\n  /a: {$ref: 'http://169.254.169.254/latest'}\n", 3, "another place")
	refuse(t, Config{}, "openapi: 3.0.0\npaths:\n  /a: {$ref: '/etc/passwd'}\n", 3, "--follow-refs")
	refuse(t, Config{}, "openapi: 3.0.0\ninfo: {title: a, version: b}\npaths:\n  /a:\n    get:\n      parameters: 7\n", 6, "not OpenAPI")
	refuse(t, Config{MaxBytes: 100}, strings.Repeat("# comment\n", 20), 11, "larger than 100 bytes")
	refuse(t, Config{}, "openapi: 3.0.0\nx: "+strings.Repeat("[", 300)+strings.Repeat("]", 300), 2, "nested deeper")
	refuse(t, Config{}, `{"openapi":"3.0.0","x":`+strings.Repeat("[", 300)+strings.Repeat("]", 300)+"}", 1, "nested deeper")
}

func TestAYAMLBombIsRefusedBeforeItGrows(t *testing.T) {
	var b strings.Builder
	b.WriteString("openapi: 3.0.0\na: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	for c := 'b'; c < 'k'; c++ {
		fmt.Fprintf(&b, "%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	_, err := Config{}.Parse("bomb.yaml", []byte(b.String()))
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Contains(t, e.Reason, "once its aliases are expanded")
	require.NotZero(t, e.Line)
	refuse(t, Config{}, "openapi: 3.0.0\nx: &x {y: *x}\n", 2, "inside of what it refers to")
	refuse(t, Config{MaxBytes: 2000}, "openapi: 3.0.0\nl: &l "+strings.Repeat("x", 1500)+"\nm: [*l, *l, *l, *l, *l, *l, *l]\n", 3, "larger than 8000 bytes once")
}

func TestAliasesAndMergeKeysAreExpanded(t *testing.T) {
	d := parse(t, `openapi: 3.0.3
info: {title: a, version: 2024-01-05}
x-common: &ok {description: fine}
x-more: &more
  <<: *ok
  content: {text/plain: {}}
paths:
  /a:
    get: {responses: {200: *ok}}
    put: {responses: {200: {<<: [*more], description: other}}}
`)
	require.Equal(t, "2024-01-05", d.Version)
	require.Len(t, d.Ops, 2)
	require.Equal(t, "text/plain", d.Ops[1].Responses[0].Content[0].Type)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
	require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
	return p
}

const parted = `openapi: 3.0.0
info: {title: Parted, version: "1"}
paths:
  /a:
    get:
      responses:
        "200":
          description: ok
          content: {application/json: {schema: {$ref: "parts/common.yaml#/Thing"}}}
`

func TestReferencesAreFollowedOnlyWhenAskedAndOnlyInsideOfTheFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "secret.yaml", "Thing: {type: string}\n")
	api := write(t, dir, "apis/api.yaml", parted)
	write(t, dir, "apis/parts/common.yaml", "Thing: {type: object, properties: {size: {type: integer}}}\n")
	_, err := Config{}.Open(context.Background(), api)
	require.ErrorContains(t, err, "api.yaml:9: refers to another file")
	docs, err := Config{Refs: true}.Open(context.Background(), api)
	require.NoError(t, err)
	size := docs[0].Ops[0].Responses[0].Content[0].Schema.Props["size"]
	require.Equal(t, event.JSONInteger, size.Types)
	again, err := Config{}.Parse("stored", docs[0].Raw)
	require.NoError(t, err, "what is stored stands by itself")
	require.Equal(t, event.JSONInteger, again.Ops[0].Responses[0].Content[0].Schema.Props["size"].Types)
	out := write(t, dir, "apis/out.yaml", strings.Replace(parted, "parts/common.yaml", "../secret.yaml", 1))
	_, err = Config{Refs: true}.Open(context.Background(), out)
	require.Error(t, err)
	require.NoError(t, os.Symlink(filepath.Join(dir, "secret.yaml"), filepath.Join(dir, "apis/link.yaml")))
	link := write(t, dir, "apis/linked.yaml", strings.Replace(parted, "parts/common.yaml", "link.yaml", 1))
	_, err = Config{Refs: true}.Open(context.Background(), link)
	require.ErrorContains(t, err, "escapes")
}

func TestAFolderGivesItsDocumentsAndTheReasonsForTheOthers(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/api.yaml", shop31)
	write(t, dir, "b.json", `{"name":"package","version":"1"}`)
	write(t, dir, "c.graphql", "type Query { orders: [String] }")
	write(t, dir, "bad.yml", "openapi: 3.0.0\npaths: {\n")
	write(t, dir, "readme.md", "openapi: 3.0.0")
	write(t, dir, ".git/x.yaml", "openapi: 3.0.0\n{")
	docs, err := Config{}.Open(context.Background(), dir)
	require.Len(t, docs, 2)
	require.ErrorContains(t, err, "bad.yml:")
	require.NotContains(t, err.Error(), "b.json")
	_, err = Config{}.Open(context.Background(), filepath.Join(dir, ".git"))
	require.Error(t, err)
	_, err = Config{}.Open(context.Background(), filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestADocumentComesFromAURLWithinBounds(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/api.yaml", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, parted) })
	mux.HandleFunc("/v1/parts/common.yaml", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "Thing: {type: integer}\n") })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		for range 200 {
			fmt.Fprint(w, strings.Repeat(" ", 1<<20))
		}
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.2:1/x", http.StatusFound)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	docs, err := Config{Refs: true}.Open(context.Background(), srv.URL+"/v1/api.yaml")
	require.NoError(t, err)
	require.Equal(t, srv.URL+"/v1/api.yaml", docs[0].Source)
	require.Equal(t, event.JSONInteger, docs[0].Ops[0].Responses[0].Content[0].Schema.Types)
	_, err = Config{MaxBytes: 1 << 20}.Open(context.Background(), srv.URL+"/big")
	require.ErrorContains(t, err, "larger than")
	_, err = Config{}.Open(context.Background(), srv.URL+"/away")
	require.ErrorContains(t, err, "redirected")
	_, err = Config{}.Open(context.Background(), srv.URL+"/none")
	require.ErrorContains(t, err, "404")
}

func TestAGraphQLSchemaGivesItsRootFields(t *testing.T) {
	d := parse(t, `# shop
schema { query: Root mutation: Change }
type Root { orders(first: Int): [Order!]! order(id: ID!): Order @deprecated(reason: "use orders") }
extend type Root { stock: Int }
type Change { pay(id: ID!): Order }
type Order { id: ID! }
`)
	require.Equal(t, spec.GraphQL, d.Format)
	s := spec.NewSet([]*spec.Document{d}, []string{"/graphql"})
	require.NotNil(t, s.Find("POST", "/graphql", "query orders"))
	require.NotNil(t, s.Find("POST", "/graphql", "query stock"))
	require.True(t, s.Find("GET", "/graphql", "query order").Op.Deprecated)
	require.NotNil(t, s.Find("POST", "/graphql", "mutation pay"))
	require.Nil(t, s.Find("POST", "/graphql", "query users"))
	_, err := Config{}.Parse("x.graphql", []byte("type Query {\n  a: [\n}\n"))
	require.ErrorContains(t, err, "x.graphql:3: not GraphQL")
}

func TestADescriptorSetGivesItsMethodsAndTheirHTTPRules(t *testing.T) {
	rule := protowire.AppendTag(nil, 2, protowire.BytesType) // get
	rule = protowire.AppendString(rule, "/v1/{name=shelves/*}/books")
	more := protowire.AppendTag(nil, 4, protowire.BytesType) // post
	more = protowire.AppendString(more, "/v1/books:list")
	rule = protowire.AppendTag(rule, 11, protowire.BytesType)
	rule = protowire.AppendBytes(rule, more)
	opts := &descriptorpb.MethodOptions{Deprecated: proto.Bool(true)}
	ext := protowire.AppendTag(nil, 72295728, protowire.BytesType)
	opts.ProtoReflect().SetUnknown(protowire.AppendBytes(ext, rule))
	raw, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{Name: proto.String("l.proto"), Package: proto.String("lib.v1"),
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Library"), Method: []*descriptorpb.MethodDescriptorProto{{Name: proto.String("List"), Options: opts}}}}}}})
	require.NoError(t, err)
	d, err := Config{}.Parse("lib.binpb", raw)
	require.NoError(t, err)
	var got []string
	for _, o := range d.Ops {
		got = append(got, o.Method+" "+o.Path)
		require.True(t, o.Deprecated)
	}
	require.Equal(t, []string{"POST /lib.v1.Library/List", "POST /v1/books:list", "GET /v1/shelves/{name}/books"}, got)
	_, err = Config{}.Parse("x", []byte{0xff, 0, 1, 2})
	require.ErrorContains(t, err, "FileDescriptorSet")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(shop31))
	f.Add([]byte(parted))
	f.Add([]byte("swagger: '2.0'\npaths: {/a: {get: {responses: {200: {description: a}}}}}\n"))
	f.Add([]byte("type Query { a: Int }"))
	f.Add([]byte("\x0a\x05\x0a\x03\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := Config{MaxBytes: 1 << 20, MaxValues: 20_000, MaxDepth: 60}
		d, err := c.Parse("fuzz", raw)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%v is no Error", err)
			}
			return
		}
		again, err := c.Parse("fuzz", d.Raw)
		require.NoError(t, err, "what was read once is read again")
		require.Equal(t, len(d.Ops), len(again.Ops))
	})
}

// Real documents have references into other operations, examples that are no JSON Schema, unquoted versions and queries in paths.
func TestLenientAuthorsAreRead(t *testing.T) {
	d := parse(t, `openapi: 3.0.0
info: {title: L, version: 1.0}
paths:
  "/a?x={x}":
    get:
      parameters: [{name: x, in: query, schema: {type: string, examples: {one: {value: 1}}}}]
      responses:
        "200": {description: ok, content: {application/json: {schema: {type: object, properties: {deep: {type: object, properties: {n: {type: integer}, example: {type: string}}}}}}}}
  /b:
    get:
      parameters: [{$ref: "#/paths/~1a%3Fx=%7Bx%7D/get/parameters/0"}]
      responses:
        "200": {description: ok, content: {application/json: {schema: {$ref: "#/paths/~1a%3Fx=%7Bx%7D/get/responses/200/content/application~1json/schema/properties/deep"}}}}
`)
	require.Equal(t, []string{"/a", "/b"}, []string{d.Ops[0].Path, d.Ops[1].Path})
	require.Equal(t, "x", d.Ops[1].Params[0].Name)
	deep := d.Ops[1].Responses[0].Content[0].Schema
	require.Equal(t, event.JSONInteger, deep.Props["n"].Types)
	require.NotNil(t, deep.Props["example"], "a property may have that name")
	require.Contains(t, strings.Join(d.Warnings, "\n"), "left out: /a?x={x}")
}
