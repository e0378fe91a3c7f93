package inventory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/load"
)

func document(t *testing.T, service, paths string) *spec.Document {
	t.Helper()
	d, err := load.Config{}.Parse("api.yaml", []byte("openapi: 3.0.0\ninfo: {title: T, version: '1'}\nservers: [{url: 'https://pets.example'}]\npaths:\n"+paths))
	require.NoError(t, err)
	d.Service = service
	return d
}

const pets = `  /pets/{petId}: {get: {parameters: [{name: petId, in: path, required: true, schema: {type: string}}], responses: {200: {description: ok}}}}
  /pets/mine: {get: {deprecated: true, responses: {200: {description: ok}}}}
  /pets/{petId}/photos/{n}.jpg: {get: {responses: {200: {description: ok}}}}
  /owners: {get: {responses: {200: {description: ok}}}}
`

var serial int

func visit(c *inventory.Catalog, service, path string, status int) {
	serial++
	call := event.Call{ID: fmt.Sprint(serial), Time: event.Time(serial) * 1e9, Service: service, Host: "pets.example", Method: "GET", Status: status, Client: event.Peer{Address: "10.0.0.1"}}
	for _, s := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		call.Path = append(call.Path, event.Segment{Kind: event.KindWord, Text: s, Token: uint64(len(s))<<8 | uint64(s[0]), Shape: event.Shape{Len: uint8(len(s)), Lower: uint8(len(s))}})
	}
	c.Apply(&call)
}

func table(c *inventory.Catalog, q inventory.Query) []string {
	rows, _ := c.Endpoints(q)
	out := []string{}
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s %s %s %d", r.State, r.Template, r.Tier, r.Calls))
	}
	return out
}

func TestDeclaredTemplatesWinOverLearnedOnesAlsoForThePast(t *testing.T) {
	c := inventory.New(inventory.Config{})
	for _, p := range []string{"/pets/rex", "/pets/tom", "/pets/mine", "/pets/rex/photos/one.jpg", "/debug"} {
		visit(c, "s", p, 200)
	}
	visit(c, "s", "/wp-login", 404)
	visit(c, "s", "/pets/ghost", 404)
	before := table(c, inventory.Query{})
	for _, r := range before {
		require.True(t, strings.HasPrefix(r, "undeclared "), r)
	}
	c.Declare([]*spec.Document{document(t, "s", pets)})
	want := []string{
		"shadow /debug confirmed 1",
		"orphan /owners unseen 0",
		"zombie /pets/mine confirmed 1",
		"declared /pets/{petId} confirmed 3",
		"declared /pets/{petId}/photos/{n}.jpg confirmed 1",
		"undeclared /wp-login attempted 1",
	}
	require.Equal(t, want, table(c, inventory.Query{}))
	visit(c, "s", "/pets/max", 200)
	want[3] = "declared /pets/{petId} confirmed 4"
	require.Equal(t, want, table(c, inventory.Query{}), "calls that come later too")
	require.Equal(t, want[2:3], table(c, inventory.Query{State: "zombie"}))
	require.Equal(t, want[1:2], table(c, inventory.Query{State: "orphan"}))
	services, _ := c.Services(inventory.Query{})
	require.Equal(t, []int{1, 1, 1, 0}, []int{services[0].Shadow, services[0].Zombie, services[0].Orphan, services[0].Undeclared})
	d, err := c.Endpoint("GET /pets/mine", "s")
	require.NoError(t, err)
	require.Equal(t, "zombie", d.State)
	d, err = c.Endpoint("GET /pets/{petId}", "s")
	require.NoError(t, err)
	require.Equal(t, "petId", d.Params[0].Name)
	c.Declare(nil)
	after := slices.DeleteFunc(table(c, inventory.Query{}), func(r string) bool { return strings.Contains(r, "/pets/max") })
	require.Equal(t, before, after, "without the document everything is as it was")
}

func TestADocumentOfNoServiceDeclaresThoseThatAnswerToItsHost(t *testing.T) {
	c := inventory.New(inventory.Config{})
	d := document(t, "", pets)
	c.Declare([]*spec.Document{d})
	require.Equal(t, []*spec.Document{d}, c.Uncovered(""))
	visit(c, "s", "/owners", 200)
	c.Relearn(true)
	require.Equal(t, "declared /owners confirmed 1", table(c, inventory.Query{})[0])
	require.Empty(t, c.Uncovered(""))
	require.Len(t, c.Drift("s"), 2, "the two that nobody called and that are not deprecated")
	require.Empty(t, c.Drift("other"))
}
