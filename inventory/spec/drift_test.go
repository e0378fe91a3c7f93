package spec_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/internal/synth"
	"github.com/gnomon-sensor/gnomon/inventory/spec/load"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

const shop = `openapi: 3.0.3
info: {title: Shop, version: "1.0"}
servers: [{url: https://shop.example/api}]
security: [{token: []}]
paths:
  /orders:
    get:
      operationId: listOrders
      parameters:
        - {name: state, in: query, schema: {type: string, enum: [open, closed]}}
        - {name: limit, in: query, required: true, schema: {type: integer}}
        - {name: X-Tenant, in: header, required: true, schema: {type: string}}
      responses:
        "200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Order"}}}}}
    post:
      operationId: addOrder
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
      responses: {"201": {description: made}}
  /orders/{id}:
    get:
      operationId: getOrder
      deprecated: true
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: ok}, 4XX: {description: error}}
  /health:
    get: {operationId: health, security: [], responses: {default: {description: ok}}}
components:
  securitySchemes: {token: {type: http, scheme: bearer}}
  schemas:
    Order:
      type: object
      required: [id, lines]
      properties:
        id: {type: string, format: uuid}
        note: {type: string, nullable: true}
        lines: {type: array, items: {type: object, required: [sku], properties: {sku: {type: string}, count: {type: integer}}}}
`

func parse(t *testing.T, text string) *spec.Document {
	t.Helper()
	d, err := load.Config{}.Parse("api.yaml", []byte(text))
	require.NoError(t, err)
	d.Service = "s"
	return d
}

// observed puts calls through the inventory and gives what it saw of the one service.
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

func segs(path string) (list []event.Segment) {
	for _, s := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		sg := event.Segment{Kind: event.KindWord, Text: s, Shape: event.Shape{Len: uint8(len(s))}}
		if strings.HasPrefix(s, "{") {
			sg.Text, sg.Token, sg.Shape.Len = "", 7, 8
			if err := sg.Kind.UnmarshalText([]byte(strings.Trim(s, "{}"))); err != nil {
				panic(err)
			}
		}
		list = append(list, sg)
	}
	return list
}

var ids int

// call is a good call of shop; with changes it.
func call(method, path string, status int, with ...func(*event.Call)) event.Call {
	ids++
	c := event.Call{ID: fmt.Sprint(ids), Time: event.TimeOf(time.Date(2026, 11, 24, 10, 0, 0, ids, time.UTC)), Service: "s", Method: method, Path: segs(path), Status: status,
		Host: "shop.example", Client: event.Peer{Workload: "web"}, Auth: event.Auth{Kind: event.AuthBearerJWT}}
	for _, f := range with {
		f(&c)
	}
	return c
}

func list(with ...func(*event.Call)) event.Call {
	return call("GET", "/api/orders", 200, append([]func(*event.Call){func(c *event.Call) {
		c.Params = []event.Param{{In: event.InQuery, Name: "limit", Kind: event.KindInteger}}
		c.RequestHeaders = []string{"user-agent", "x-tenant"}
		c.ResponseType = "application/json"
		c.ResponseBody = fields("$:array", "$[]:object", "$[].id:uuid", "$[].lines:array", "$[].lines[]:object", "$[].lines[].sku:string")
	}}, with...)...)
}

// fields makes a Body of "place:type or kind".
func fields(list ...string) *event.Body {
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

func drift(t *testing.T, docs []*spec.Document, calls ...event.Call) []string {
	t.Helper()
	r := spec.Config{}.Compare(observed(t, calls), docs)
	out := []string{}
	for _, d := range r.Drift {
		if d.Kind != spec.Orphan {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", d.Kind, d.Method, d.Template, d.At)))
			require.NotEmpty(t, d.Message)
			require.NotZero(t, d.Calls, "a row says how often: %s", d.Message)
			require.NotZero(t, d.Last)
		}
	}
	return out
}

func TestTrafficAsDeclaredShowsNoDrift(t *testing.T) {
	d := parse(t, shop)
	require.Empty(t, drift(t, []*spec.Document{d}, list(), call("GET", "/api/health", 200, func(c *event.Call) { c.Auth.Kind = event.AuthNone }),
		call("GET", "/metrics", 200, func(c *event.Call) { c.Probe = event.MetricsProbe }), call("OPTIONS", "/api/orders", 204), call("HEAD", "/api/orders", 200), call("GET", "/api/nothing", 404)))
	require.Empty(t, drift(t, []*spec.Document{d}, synth.Calls(withoutDeprecated(d), "s")...))
}

// withoutDeprecated drops what would be reported as zombies.
func withoutDeprecated(d *spec.Document) *spec.Document {
	c := *d
	c.Ops = slices.DeleteFunc(slices.Clone(d.Ops), func(o spec.Operation) bool { return o.Deprecated })
	return &c
}

func TestEachKindOfDriftIsFound(t *testing.T) {
	d := parse(t, shop)
	param := func(in event.In, name string, k event.Kind, word string) func(*event.Call) {
		return func(c *event.Call) { c.Params = append(c.Params, event.Param{In: in, Name: name, Kind: k, Word: word}) }
	}
	for _, c := range []struct {
		name string
		call event.Call
		want []string
	}{
		{"a path that nobody declared", call("GET", "/api/debug", 200), []string{"shadow GET /api/debug"}},
		{"one that only fails is served too", call("GET", "/api/debug", 500), []string{"shadow GET /api/debug"}},
		{"a scanner's miss is nothing", call("GET", "/api/wp-admin", 404), []string{}},
		{"a method that nobody declared", call("DELETE", "/api/orders", 204), []string{"undocumented_method DELETE /api/orders"}},
		{"a deprecated operation", call("GET", "/api/orders/{integer}", 200), []string{"zombie GET /api/orders/{id}"}},
		{"a status", list(func(c *event.Call) { c.Status = 206 }), []string{"undocumented_status GET /api/orders response 206"}},
		{"a query parameter", list(param(event.InQuery, "debug", event.KindBoolean, "")), []string{"undocumented_parameter GET /api/orders query debug"}},
		{"one that the service rejects is nothing", list(param(event.InQuery, "debug", event.KindBoolean, ""), func(c *event.Call) { c.Status = 400 }), []string{"undocumented_status GET /api/orders response 400"}},
		{"a parameter of another type", list(func(c *event.Call) { c.Params[0].Kind = event.KindWord }), []string{"type_mismatch GET /api/orders query limit"}},
		{"a value outside of the enumeration", list(param(event.InQuery, "state", event.KindWord, "archived")), []string{"type_mismatch GET /api/orders query state"}},
		{"a path parameter of another type", call("GET", "/api/orders/{uuid}", 200), []string{"zombie GET /api/orders/{id}", "type_mismatch GET /api/orders/{id} path id"}},
		{"a required parameter that is absent", list(func(c *event.Call) { c.Params = nil }), []string{"missing_required GET /api/orders query limit"}},
		{"a required header that is absent", list(func(c *event.Call) { c.RequestHeaders = nil }), []string{"missing_required GET /api/orders header x-tenant"}},
		{"a request header", list(func(c *event.Call) { c.RequestHeaders = append(c.RequestHeaders, "x-user-role") }), []string{"undocumented_header GET /api/orders request header x-user-role"}},
		{"a response header", list(func(c *event.Call) { c.ResponseHeaders = []string{"server", "x-backend"} }), []string{"undocumented_header GET /api/orders response 200 header x-backend"}},
		{"a media type", list(func(c *event.Call) { c.ResponseType = "text/html" }), []string{"undocumented_content_type GET /api/orders response 200"}},
		{"a field", list(func(c *event.Call) { c.ResponseBody.Merge(fields("$[].lines[].cost:integer")) }), []string{"undocumented_field GET /api/orders response 200 $[].lines[].cost"}},
		{"what lies below an unknown field is told once", list(func(c *event.Call) { c.ResponseBody.Merge(fields("$[].owner:object", "$[].owner.email:email")) }), []string{"undocumented_field GET /api/orders response 200 $[].owner"}},
		{"a field of another type", list(func(c *event.Call) { c.ResponseBody.Merge(fields("$[].lines[].count:string")) }), []string{"type_mismatch GET /api/orders response 200 $[].lines[].count"}},
		{"a string of another format", list(func(c *event.Call) {
			c.ResponseBody = fields("$:array", "$[]:object", "$[].id:integer", "$[].lines:array")
		}), []string{"type_mismatch GET /api/orders response 200 $[].id"}},
		{"null where it is allowed is nothing", list(func(c *event.Call) { c.ResponseBody.Merge(fields("$[].note:null")) }), []string{}},
		{"a required field that is absent", list(func(c *event.Call) { c.ResponseBody = fields("$:array", "$[]:object", "$[].id:uuid") }), []string{"missing_required GET /api/orders response 200 $[].lines"}},
		{"no authentication", list(func(c *event.Call) { c.Auth.Kind = event.AuthNone }), []string{"missing_auth GET /api/orders auth"}},
		{"another authentication", list(func(c *event.Call) { c.Auth.Kind = event.AuthBasic }), []string{"undeclared_auth GET /api/orders auth basic"}},
		{"authentication where none is declared", call("GET", "/api/health", 200), []string{"undeclared_auth GET /api/health auth bearer_jwt"}},
		{"a request body where none is declared", call("POST", "/api/orders", 201, func(c *event.Call) { c.RequestType = "text/xml" }), []string{"undocumented_content_type POST /api/orders request"}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, drift(t, []*spec.Document{d}, c.call)) })
	}
}

func TestAServiceThatNoDocumentCoversIsUndeclaredAndHasNoDrift(t *testing.T) {
	d := parse(t, shop)
	d.Service = "another"
	r := spec.Config{}.Compare(observed(t, []event.Call{list()}), []*spec.Document{d})
	require.Empty(t, r.Drift)
	for _, s := range r.States {
		require.Equal(t, spec.StateUndeclared, s)
	}
	d.Service = "" // by its host
	r = spec.Config{}.Compare(observed(t, []event.Call{list()}), []*spec.Document{d})
	for _, s := range r.States {
		require.Equal(t, spec.StateDeclared, s)
	}
}

func TestOrphansAreDeclaredAndNotCalledSinceWhen(t *testing.T) {
	d := parse(t, shop)
	old := list()
	old.Time -= event.Time(40 * 24 * time.Hour)
	r := spec.Config{}.Compare(observed(t, []event.Call{old, call("GET", "/api/health", 200, func(c *event.Call) { c.Auth.Kind = event.AuthNone })}), []*spec.Document{d})
	var got []string
	for _, x := range r.Drift {
		require.Equal(t, spec.Orphan, x.Kind)
		got = append(got, x.Method+" "+x.Template+": "+x.Observed)
	}
	require.Equal(t, []string{"GET /api/orders: last called " + old.Time.String(), "POST /api/orders: no calls"}, got, "what is deprecated and not called is as it should be")
	require.Len(t, r.Orphans, 2)
}

func TestAnEndpointOfASupersededVersionIsAZombieWithItsCallers(t *testing.T) {
	v1, v2 := parse(t, shop), parse(t, strings.ReplaceAll(shop, `version: "1.0"`, `version: "2.0"`))
	v2.Ops = slices.DeleteFunc(v2.Ops, func(o spec.Operation) bool { return o.ID == "listOrders" })
	r := spec.Config{}.Compare(observed(t, []event.Call{list()}), []*spec.Document{v1, v2})
	require.Equal(t, spec.Zombie, r.Drift[0].Kind)
	require.Equal(t, "declared by version 1.0 alone, superseded by 2.0, and still called by web", r.Drift[0].Message)
	require.Equal(t, []observe.Caller{{Name: "web", Calls: 1}}, r.Drift[0].Callers)
}

func TestASunsetThatHasPassedMakesAZombie(t *testing.T) {
	d := parse(t, strings.Replace(shop, "operationId: listOrders", "operationId: listOrders\n      x-sunset: \"2026-06-01\"", 1))
	require.Equal(t, []string{"zombie GET /api/orders"}, drift(t, []*spec.Document{d}, list()))
	d = parse(t, strings.Replace(shop, "operationId: listOrders", "operationId: listOrders\n      x-sunset: \"2027-06-01\"", 1))
	require.Empty(t, drift(t, []*spec.Document{d}, list()))
}

func TestDriftHasTheSameIdsAndOrderEachTime(t *testing.T) {
	d := parse(t, shop)
	calls := []event.Call{list(func(c *event.Call) { c.Status = 206 }), call("GET", "/api/debug", 200), call("PUT", "/api/orders", 200)}
	a := spec.Config{}.Compare(observed(t, calls), []*spec.Document{d})
	slices.Reverse(calls)
	b := spec.Config{}.Compare(observed(t, calls), []*spec.Document{d})
	require.Equal(t, a.Drift, b.Drift)
	seen := map[string]bool{}
	for _, x := range a.Drift {
		require.False(t, seen[x.ID])
		seen[x.ID] = true
	}
}

func real(t *testing.T, file string) *spec.Document {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	d, err := load.Config{}.Parse(file, raw)
	require.NoError(t, err)
	d.Service = "s"
	return d
}

// Alertmanager's API at v0.21.0 and v0.28.1. What changed is what diff says of the two files: a base path, status 400 of
// GET /status, 404 of DELETE /silence, the parameter muted, and the fields isEqual and mutedBy.
func TestDriftBetweenTwoVersionsOfARealAPIIsWhatChangedBetweenThem(t *testing.T) {
	old, now := real(t, "testdata/alertmanager/v0.21.0.yaml"), real(t, "testdata/alertmanager/v0.28.1.yaml")
	require.Empty(t, drift(t, []*spec.Document{old}, synth.Calls(old, "s")...))
	require.Empty(t, drift(t, []*spec.Document{now}, synth.Calls(now, "s")...))
	old.Bases = now.Bases
	old.Finish()
	require.Equal(t, []string{
		"undocumented_field GET /api/v2/alerts response 200 $[].status.mutedBy",
		"undocumented_field GET /api/v2/alerts/groups response 200 $[].alerts[].status.mutedBy",
		"undocumented_field GET /api/v2/silence/{silenceID} response 200 $.matchers[].isEqual",
		"undocumented_field GET /api/v2/silences response 200 $[].matchers[].isEqual",
		"undocumented_field POST /api/v2/silences request $.matchers[].isEqual",
		"undocumented_parameter GET /api/v2/alerts/groups query muted",
		"undocumented_status DELETE /api/v2/silence/{silenceID} response 404",
		"undocumented_status GET /api/v2/silences response 400",
	}, drift(t, []*spec.Document{old}, synth.Calls(now, "s")...))
	require.Equal(t, []string{
		"missing_required GET /api/v2/alerts response 200 $[].status.mutedBy",
		"missing_required GET /api/v2/alerts/groups response 200 $[].alerts[].status.mutedBy",
	}, drift(t, []*spec.Document{now}, synth.Calls(old, "s")...))
}

func FuzzPlacesLeadSomewhereOrNowhereButNeverLoop(f *testing.F) {
	f.Add("$.items[].sku")
	f.Add("$[][].a..b[]")
	f.Add("[].[]$.")
	raw := []byte(strings.ReplaceAll(shop, "note: {type: string, nullable: true}", `note: {oneOf: [{$ref: "#/components/schemas/Order"}, {type: array, items: {$ref: "#/components/schemas/Order"}}]}`))
	d, err := load.Config{}.Parse("x", raw)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, at string) {
		svc := observe.Service{Service: "s", Endpoints: []observe.Endpoint{{ID: "a", Method: "GET", Template: "/api/orders", Served: true, Calls: 1}}}
		d.Service = "s"
		c := event.Call{Status: 200, ResponseType: "application/json", Params: []event.Param{{In: event.InQuery, Name: "limit", Kind: event.KindInteger}},
			RequestHeaders: []string{"x-tenant"}, Auth: event.Auth{Kind: event.AuthBearerJWT}, ResponseBody: &event.Body{Bodies: 1, Fields: []event.Field{{At: at, Types: event.JSONNull, N: 1}}}}
		svc.Endpoints[0].Traits.Add(&c, 1<<20)
		r := spec.Config{}.Compare(&svc, []*spec.Document{d})
		require.LessOrEqual(t, len(r.Drift), 4)
	})
}
