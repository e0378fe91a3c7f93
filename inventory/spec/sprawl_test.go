package spec_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

func service(name string, templates ...string) observe.Service {
	s := observe.Service{Service: name}
	for i, t := range templates {
		s.Endpoints = append(s.Endpoints, observe.Endpoint{ID: name + t, Method: "GET", Template: t, Served: true, Calls: uint64(i + 1), Callers: []observe.Caller{{Name: "web", Calls: uint64(i + 1)}}})
	}
	return s
}

func TestVersionsSideBySideAreFoundWithTheirCallers(t *testing.T) {
	got := spec.Versions([]observe.Service{
		service("a", "/api/v2/pets/{petId}", "/api/v10/pets/{id}", "/api/v1/owners", "/vault", "/v1beta1/jobs"),
		service("b", "/api/v1/pets/{pet}", "/v1/jobs", "/v2x/other", "/v3/other"),
	})
	require.Len(t, got, 2)
	require.Equal(t, "/api/{version}/pets/{petId}", got[0].Template)
	var versions []string
	for _, v := range got[0].Versions {
		versions = append(versions, v.Service+" "+v.Version)
		require.NotEmpty(t, v.Callers)
	}
	require.Equal(t, []string{"b v1", "a v2", "a v10"}, versions)
	require.Equal(t, "/{version}/jobs", got[1].Template)
}

func TestServicesThatServeTheSameAPIAreDuplicates(t *testing.T) {
	list := []observe.Service{
		service("old", "/v1/pets", "/v1/pets/{id}", "/v1/owners", "/v1/legacy"),
		service("new", "/v2/pets", "/v2/pets/{petId}", "/v2/owners", "/v2/toys", "/v2/food"),
		service("other", "/", "/pets", "/cars"),
	}
	require.Equal(t, []spec.Duplicate{{Service: "old", Other: "new", Common: 3, Overlap: 0.75, Examples: []string{"GET /v1/owners", "GET /v1/pets", "GET /v1/pets/{id}"}}}, spec.Duplicates(list))
}
