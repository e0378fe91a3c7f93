package changes

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/load"
)

func read(t *testing.T, name string, text []byte) *spec.Document {
	t.Helper()
	d, err := load.Config{}.Parse(name, text)
	require.NoError(t, err)
	return d
}

func file(t *testing.T, name string) *spec.Document {
	t.Helper()
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	return read(t, name, raw)
}

func short(list []Change) (out []string) {
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s %s %s %s", c.Level, c.Kind, c.Method, c.Template))
	}
	return out
}

func TestChangesOfARealAPIAreThoseOfItsFiles(t *testing.T) {
	list, err := Between(load.Config{}, file(t, "../testdata/alertmanager/v0.21.0.yaml"), file(t, "../testdata/alertmanager/v0.28.1.yaml"))
	require.NoError(t, err)
	got := short(list)
	require.Contains(t, got, "info response-non-success-status-added DELETE /silence/{silenceID}")
	require.Contains(t, got, "info new-optional-request-parameter GET /alerts/groups")
	require.Contains(t, got, "info response-required-property-added GET /alerts")
	for _, c := range list {
		require.NotEmpty(t, c.Message)
	}
	back, err := Between(load.Config{}, file(t, "../testdata/alertmanager/v0.28.1.yaml"), file(t, "../testdata/alertmanager/v0.21.0.yaml"))
	require.NoError(t, err)
	require.NotEqual(t, Info, back[0].Level, "what is added one way is removed the other way")
	same, err := Between(load.Config{}, file(t, "../testdata/alertmanager/v0.28.1.yaml"), file(t, "../testdata/alertmanager/v0.28.1.yaml"))
	require.NoError(t, err)
	require.Equal(t, []Change{}, same)
}

func TestSchemasOfGraphQLAreComparedByTheirOperations(t *testing.T) {
	from := read(t, "a.graphql", []byte("type Query { a: Int b: Int }"))
	to := read(t, "b.graphql", []byte("type Query { a: Int @deprecated c: Int }"))
	list, err := Between(load.Config{}, from, to)
	require.NoError(t, err)
	require.Equal(t, []string{"breaking operation-removed POST /graphql", "info operation-added POST /graphql", "info operation-deprecated POST /graphql"}, short(list))
}
