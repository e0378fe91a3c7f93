package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

const declared = `openapi: 3.0.3
info: {title: Shop, version: "1"}
paths:
  /orders/w0: {get: {responses: {"200": {description: ok}}}}
  /refunds: {get: {responses: {"200": {description: ok}}}}
`

func TestADocumentIsImportedComparedAndForgotten(t *testing.T) {
	srv, c := serve(t, 50)
	cl := client(srv)
	services, err := cl.Observed(t.Context(), "")
	require.NoError(t, err)
	own, err := c.Observed(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, len(own), len(services))
	name := services[0].Service
	rows, err := cl.Drift(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []spec.Drift{}, rows, "nothing is declared")
	d, err := cl.Import(t.Context(), spec.Document{Service: name, Source: "shop.yaml", Imported: 7, Raw: []byte(declared)})
	require.NoError(t, err)
	require.Equal(t, "Shop", d.Title)
	require.Equal(t, 2, d.Operations)
	list, err := cl.Documents(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, []spec.Document{d}, list)
	whole, err := cl.Document(t.Context(), d.ID[:5])
	require.NoError(t, err)
	require.Equal(t, declared, string(whole.Raw))
	rows, err = cl.Drift(t.Context(), name)
	require.NoError(t, err)
	require.NotEmpty(t, rows)
	orphans, _, err := cl.Endpoints(t.Context(), inventory.Query{State: "orphan"})
	require.NoError(t, err)
	require.Equal(t, "/refunds", orphans[0].Template)
	_, err = cl.Remove(t.Context(), d.ID)
	require.NoError(t, err)
	_, err = cl.Remove(t.Context(), d.ID)
	require.ErrorIs(t, err, inventory.ErrNotFound)
	require.ErrorContains(t, err, "gnomon spec list")
	rows, err = cl.Drift(t.Context(), name)
	require.NoError(t, err)
	require.Empty(t, rows)
}

func TestABadDocumentIsRefusedWithItsLine(t *testing.T) {
	srv, _ := serve(t, 1)
	cl := client(srv)
	_, err := cl.Import(t.Context(), spec.Document{Source: "bad.yaml", Raw: []byte("openapi: 3.0.0\npaths: [\n")})
	require.ErrorContains(t, err, "bad.yaml:")
	_, err = cl.Import(t.Context(), spec.Document{Source: "x.yaml", Raw: []byte(declared)})
	require.ErrorContains(t, err, "--service")
	_, err = cl.Import(t.Context(), spec.Document{Source: "big", Raw: make([]byte, maxDocument+1)})
	require.Error(t, err)
	req, err := http.NewRequest(http.MethodPost, srv.URL+"/v1/documents?service=a", strings.NewReader(declared))
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, 401, res.StatusCode)
}

func TestAnswersAboutDocumentsAreWhatTheOpenAPIDocumentSays(t *testing.T) {
	srv, _ := serve(t, 50)
	_, body := get(t, srv.URL+"/openapi.json", nil)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(body))
	require.NoError(t, err)
	router, err := legacy.NewRouter(doc)
	require.NoError(t, err)
	d, err := client(srv).Import(t.Context(), spec.Document{Service: "svc0:80", Source: "s", Raw: []byte(declared)})
	require.NoError(t, err)
	for _, path := range []string{"/v1/documents", "/v1/document?id=" + d.ID, "/v1/drift", "/v1/observed", "/v1/document?id=none"} {
		req, err := http.NewRequest(http.MethodGet, srv.URL+path, nil)
		require.NoError(t, err)
		route, params, err := router.FindRoute(req)
		require.NoError(t, err, path)
		in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route}
		status, body := get(t, srv.URL+path, nil)
		require.NotContains(t, body, "null", path)
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: status, Header: http.Header{"Content-Type": {"application/json"}}}
		require.NoError(t, openapi3filter.ValidateResponse(t.Context(), out.SetBodyBytes([]byte(body))), path)
	}
}
