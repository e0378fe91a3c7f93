package export_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/pb33f/libopenapi"
	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/export"
	"github.com/gnomon-sensor/gnomon/inventory/spec/internal/synth"
	"github.com/gnomon-sensor/gnomon/inventory/spec/load"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

var update = flag.Bool("update", false, "write the golden files anew")

// observed puts calls through the inventory.
func observed(t *testing.T, calls []event.Call) *observe.Service {
	t.Helper()
	c := inventory.New(inventory.Config{})
	for i := range calls {
		c.Apply(&calls[i])
	}
	list := c.Observed("")
	require.Len(t, list, 1)
	return &list[0]
}

func segment(s string) event.Segment {
	sg := event.Segment{Kind: event.KindWord, Text: s, Shape: event.Shape{Len: uint8(len(s))}}
	if strings.HasPrefix(s, "{") {
		sg.Text, sg.Token, sg.Shape.Len = "", 7, 30
		if err := sg.Kind.UnmarshalText([]byte(strings.Trim(s, "{}"))); err != nil {
			panic(err)
		}
	}
	return sg
}

var serial int

func call(method, path string, status int, with func(*event.Call)) event.Call {
	serial++
	c := event.Call{ID: fmt.Sprint(serial), Time: event.Time(1_790_000_000_000_000_000 + serial), Service: "orders:8080", Host: "shop.example", Method: method, Status: status,
		Encryption: event.TLS, Auth: event.Auth{Kind: event.AuthBearerJWT}, Client: event.Peer{Address: "10.0.0.1"}}
	for _, s := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		c.Path = append(c.Path, segment(s))
	}
	if with != nil {
		with(&c)
	}
	return c
}

func shape(list ...string) *event.Body {
	b := &event.Body{Bodies: 1}
	for _, s := range list {
		at, t, _ := strings.Cut(s, ":")
		f := event.Field{At: at, N: 1}
		if err := f.Types.UnmarshalJSON([]byte(`["` + t + `"]`)); err != nil {
			var k event.Kind
			if err := k.UnmarshalText([]byte(t)); err != nil {
				panic(err)
			}
			f.Types = event.JSONString
			f.Kinds.Add(k)
		}
		if f.Types == event.JSONObject {
			f.Objects = 1
		}
		b.Merge(&event.Body{Fields: []event.Field{f}})
	}
	return b
}

// shop is the traffic of a small service, with a scanner, an internal header, a tally, and what goes wrong now and then.
func shop() (calls []event.Call) {
	for i := range 24 {
		calls = append(calls,
			call("GET", "/api/v1/orders", 200, func(c *event.Call) {
				c.Params = []event.Param{{In: event.InQuery, Name: "order", Kind: event.KindWord, Word: []string{"asc", "desc"}[i%2]}, {In: event.InQuery, Name: "limit", Kind: event.KindInteger}}
				if i%3 == 0 {
					c.Params = c.Params[:1]
				}
				c.RequestHeaders = []string{"user-agent", "x-tenant"}
				c.ResponseHeaders = []string{"content-type", "link", "x-total"}
				c.ResponseType = "application/json"
				c.ResponseBody = shape("$:array", "$[]:object", "$[].id:uuid", "$[].total:number", "$[].placed:datetime")
			}),
			call("GET", "/api/v1/orders/{uuid}", 200, func(c *event.Call) {
				c.ResponseType = "application/json"
				c.ResponseBody = shape("$:object", "$.id:uuid", "$.total:number", "$.placed:datetime")
			}),
			call("POST", "/api/v1/orders", 201, func(c *event.Call) {
				c.RequestType = "application/json"
				c.RequestBody = shape("$:object", "$.lines:array", "$.lines[]:object", "$.lines[].sku:string", "$.lines[].count:integer", "$.email:email")
				if i%4 == 0 {
					c.RequestBody.Merge(shape("$.note:null"))
					c.RequestBody.Bodies--
				}
				c.ResponseHeaders = []string{"location"}
			}))
	}
	calls = append(calls,
		call("POST", "/api/v1/orders", 422, func(c *event.Call) {
			c.RequestType, c.ResponseType = "application/json", "application/problem+json"
			c.RequestBody = shape("$:array")
			c.ResponseBody = shape("$:object", "$.title:string")
		}),
		call("GET", "/api/v1/orders/{uuid}", 404, nil),
		call("DELETE", "/api/v1/orders/{uuid}", 204, nil),
		call("GET", "/public/logo.png", 200, func(c *event.Call) { c.Auth.Kind, c.ResponseType = event.AuthNone, "image/png" }),
		call("GET", "/wp-login.php", 404, nil),
		call("PROPFIND", "/api/v1/orders", 207, nil),
		call("GET", "/healthz", 200, func(c *event.Call) { c.Probe = event.HealthProbe }),
		call("POST", "/graphql", 200, func(c *event.Call) { c.Operations = []string{"query orders"}; c.Count = 40 }),
		call("POST", "/graphql", 200, func(c *event.Call) { c.Operations = []string{"mutation pay"} }),
		call("GET", "/report/{integer}", 200, func(c *event.Call) {
			c.Auth.Kind = event.AuthAPIKey
			c.RequestHeaders = []string{"x-api-key"}
			c.Params = []event.Param{{In: event.InQuery, Name: "junk", Kind: event.KindRandom}}
		}))
	return calls
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

// valid has two independent readers look at a document.
func valid(t *testing.T, text []byte) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(text)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()))
	other, err := libopenapi.NewDocument(text)
	require.NoError(t, err)
	_, err = other.BuildV3Model()
	require.NoError(t, err)
	return doc
}

func TestTheInferredDocumentIsWhatADeveloperWouldWrite(t *testing.T) {
	d := export.Config{}.OpenAPI(observed(t, shop()))
	text, err := d.YAML()
	require.NoError(t, err)
	golden(t, "shop.yaml", text)
	valid(t, text)
	j, err := d.JSON()
	require.NoError(t, err)
	valid(t, j)
	require.Equal(t, []string{"PROPFIND /api/v1/orders: the method has no place in an OpenAPI document"}, d.Omitted)
}

func TestTheCollectionHasEveryRequestWithMadeUpValues(t *testing.T) {
	d := export.Config{}.Postman(observed(t, shop()))
	j, err := d.JSON()
	require.NoError(t, err)
	golden(t, "shop.postman.json", j)
	require.True(t, json.Valid(j))
}

func TestTheSameTrafficInAnyOrderGivesTheSameDocument(t *testing.T) {
	calls := shop()
	want, err := export.Config{}.OpenAPI(observed(t, calls)).YAML()
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 1))
	for range 10 {
		r.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		got, err := export.Config{}.OpenAPI(observed(t, calls)).YAML()
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
}

func TestMoreOfTheSameTrafficChangesNothing(t *testing.T) {
	calls := shop()
	want, err := export.Config{}.OpenAPI(observed(t, calls)).YAML()
	require.NoError(t, err)
	calls = append(calls, shop()...)
	got, err := export.Config{}.OpenAPI(observed(t, calls)).YAML()
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func lines(b []byte) map[string]int {
	m := map[string]int{}
	for _, l := range bytes.Split(b, []byte("\n")) {
		m[string(l)]++
	}
	return m
}

func TestANewEndpointAddsLinesAndChangesNone(t *testing.T) {
	before, err := export.Config{}.OpenAPI(observed(t, shop())).YAML()
	require.NoError(t, err)
	after, err := export.Config{}.OpenAPI(observed(t, append(shop(), call("GET", "/api/v1/carts", 200, nil)))).YAML()
	require.NoError(t, err)
	have := lines(after)
	for l, n := range lines(before) {
		require.GreaterOrEqual(t, have[l], n, "the line %q went away", l)
	}
}

const library = `openapi: 3.0.3
info: {title: Library, version: "1.0"}
servers: [{url: https://lib.example/v1}]
security: [{key: []}, {}]
paths:
  /books:
    get:
      parameters:
        - {name: q, in: query, required: true, schema: {type: string}}
        - {name: page, in: query, schema: {type: integer}}
        - {name: X-Reader, in: header, schema: {type: string}}
      responses:
        "200": {description: ok, headers: {X-Total: {schema: {type: integer}}}, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Book"}}}}}
        "400": {description: bad, content: {application/json: {schema: {type: object, properties: {error: {type: string}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Book"}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: "#/components/schemas/Book"}}}}}
  /books/{isbn}:
    get:
      parameters: [{name: isbn, in: path, required: true, schema: {type: integer}}]
      responses:
        "200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Book"}}}}
    delete:
      security: [{basic: []}]
      parameters: [{name: isbn, in: path, required: true, schema: {type: integer}}]
      responses: {"204": {description: gone}}
  /login:
    post:
      security: []
      requestBody: {content: {application/x-www-form-urlencoded: {schema: {type: object, required: [user], properties: {user: {type: string}, pass: {type: string}}}}}}
      responses: {"200": {description: ok}, "401": {description: no}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Lib-Key}
    basic: {type: http, scheme: basic}
  schemas:
    Book:
      type: object
      required: [isbn, title]
      properties:
        isbn: {type: integer}
        title: {type: string}
        price: {type: number}
        lent: {type: boolean}
        due: {type: string, format: date, nullable: true}
        author: {type: object, required: [name], properties: {name: {type: string}, mail: {type: string, format: email}}}
        tags: {type: array, items: {type: string}}
        sequel: {$ref: "#/components/schemas/Book"}
`

// Traffic that follows a declared document is observed, a document is inferred, and the same traffic held against that one: there is
// nothing that it does not declare, and what it calls required was there.
func TestWhatIsInferredMatchesTheTrafficThatItWasInferredFrom(t *testing.T) {
	var sources []string
	for _, v := range []string{"v0.21.0", "v0.28.1"} {
		raw, err := os.ReadFile("../testdata/alertmanager/" + v + ".yaml")
		require.NoError(t, err)
		sources = append(sources, string(raw))
	}
	for i, text := range append(sources, library) {
		d, err := load.Config{}.Parse(fmt.Sprint("source", i), []byte(text))
		require.NoError(t, err)
		var calls []event.Call
		for n := range 6 { // so that what is always there is taken to be required
			for _, c := range synth.Calls(d, "s") {
				c.ID += fmt.Sprint("-", n)
				calls = append(calls, c)
			}
		}
		seen := observed(t, calls)
		j, err := export.Config{}.OpenAPI(seen).JSON()
		require.NoError(t, err)
		valid(t, j)
		inferred, err := load.Config{}.Parse("inferred.json", j)
		require.NoError(t, err)
		require.Empty(t, inferred.Warnings)
		inferred.Service = "s"
		require.Empty(t, spec.Config{}.Compare(seen, []*spec.Document{inferred}).Drift)
		d.Service = "s"
		require.Empty(t, spec.Config{}.Compare(observed(t, synth.Calls(inferred, "s")), []*spec.Document{inferred}).Drift, "traffic generated from it matches it")
		require.Empty(t, spec.Config{}.Compare(observed(t, strip(synth.Calls(inferred, "s"))), []*spec.Document{d}).Drift, "and matches the original as well")
	}
}

// strip takes the answers out that synth makes of nothing but "default".
func strip(calls []event.Call) (out []event.Call) {
	for _, c := range calls {
		if c.Method != "" {
			out = append(out, c)
		}
	}
	return out
}

func TestNamesOfTrafficCannotBreakTheDocument(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	nasty := []string{"{", "}", "{}", "{a", "a}b", "?x=1", "#frag", "a b", "\"", "\\", "'", "\x00\x1b[31m", "\xff\xfe", "ünï", "$ref", "__proto__", "null", "0x1", "~1", "%2f", strings.Repeat("x", 3000), "*", "-", ": ", "- a", "&a", "!!str", "y", "2020-01-01"}
	pick := func() string { return nasty[r.IntN(len(nasty))] }
	for range 60 {
		var calls []event.Call
		for range 12 {
			calls = append(calls, call([]string{"GET", "POST", "X\x00", "options"}[r.IntN(4)], "/a", 200, func(c *event.Call) {
				c.Path = []event.Segment{{Kind: event.KindWord, Text: pick()}, {Kind: event.KindUUID}, {Kind: event.KindWord, Text: pick()}}
				c.Host = pick()
				c.Operations = []string{pick()}
				c.Params = []event.Param{{In: event.InQuery, Name: pick()}, {In: event.InCookie, Name: pick(), Word: pick()}}
				c.RequestHeaders, c.ResponseHeaders = []string{pick()}, []string{pick()}
				c.RequestType, c.ResponseType = "application/json", pick()+"/json"
				c.RequestBody = &event.Body{Bodies: 1, Fields: []event.Field{{At: "$", Types: event.JSONObject, N: 1, Objects: 1}, {At: "$." + pick(), Types: event.JSONString, N: 1}}}
			}))
		}
		d := export.Config{}.OpenAPI(observed(t, calls))
		j, err := d.JSON()
		require.NoError(t, err)
		_, err = openapi3.NewLoader().LoadFromData(j)
		require.NoError(t, err)
		y, err := d.YAML()
		require.NoError(t, err)
		_, err = openapi3.NewLoader().LoadFromData(y)
		require.NoError(t, err)
		p, err := export.Config{}.Postman(observed(t, calls)).JSON()
		require.NoError(t, err)
		require.True(t, json.Valid(p))
	}
}

// TestAThirdValidatorAgrees runs openapi-spec-validator of PyPI where it is installed.
func TestAThirdValidatorAgrees(t *testing.T) {
	exe, err := exec.LookPath("openapi-spec-validator")
	if err != nil {
		t.Skip("openapi-spec-validator is not installed: pip install openapi-spec-validator==0.7.2")
	}
	text, err := export.Config{}.OpenAPI(observed(t, shop())).YAML()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "openapi.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	out, err := exec.Command(exe, "--schema", "3.1", file).CombinedOutput()
	require.NoError(t, err, string(out))
}
