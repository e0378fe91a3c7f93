package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/collector"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

const token = "s3cret"

func call(n int) event.Call {
	return event.Call{ID: fmt.Sprint("id", n), Time: event.Time(1763978400e9 + n), Service: fmt.Sprintf("svc%d:80", n%3), Method: "GET",
		Path: []event.Segment{{Kind: event.KindWord, Text: "orders", Token: 7}, {Kind: event.KindWord, Text: fmt.Sprint("w", n%40), Token: uint64(n%40 + 100)}}, Status: 200,
		Client: event.Peer{Address: "10.0.0.1"}, Auth: event.Auth{Kind: event.AuthAPIKey, Credential: "c1"}, DurationNS: 100,
		Data:   event.Data{Response: []event.DataClass{{Class: "email", At: "$.contact", Count: 2}}},
		Params: []event.Param{{In: event.InQuery, Name: "page", Kind: event.KindInteger, Hash: "h"}}}
}

// serve starts a server with some calls in it.
func serve(t *testing.T, calls int) (*httptest.Server, *collector.Collector) {
	t.Helper()
	sensors := func() []event.Sensor {
		s := event.Sensor{Node: "n1", State: "capturing", Started: 1, Updated: 2, Version: "v", BlindSpots: []event.BlindSpot{{Kind: "tls", Count: 1}}}
		for _, a := range []*event.Account{&s.Ledger.Chunks, &s.Ledger.Bytes, &s.Ledger.Calls} {
			a.Lost = map[string]uint64{}
		}
		return []event.Sensor{s}
	}
	c, err := collector.New(t.Context(), collector.Config{Sensors: sensors}, inventory.New(inventory.Config{}), nil)
	require.NoError(t, err)
	for i := range calls {
		require.NoError(t, c.Put([]event.Call{call(i)}))
	}
	ctx, stop := context.WithCancel(context.Background())
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = New(ctx, Config{Token: token, Address: srv.Listener.Addr().String(), MaxRequests: 8, Version: "1.2.3"}, c)
	srv.Start()
	t.Cleanup(func() { stop(); srv.Close() })
	return srv, c
}

func get(t *testing.T, url string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	if change != nil {
		change(req)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(b)
}

func TestOnlyTheBearerOfTheTokenIsAnswered(t *testing.T) {
	srv, _ := serve(t, 3)
	for _, value := range []string{"", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crett", "Basic " + token, token} {
		for _, path := range []string{"/v1/services", "/v1/endpoints", "/v1/endpoint?name=x", "/v1/calls", "/v1/calls/stream", "/v1/alerts", "/v1/alerts/stream", "/v1/sensors", "/v1/status"} {
			status, body := get(t, srv.URL+path, func(r *http.Request) { r.Header.Set("Authorization", value) })
			require.Equal(t, 401, status, "%q %s", value, path)
			require.Contains(t, body, "bearer token")
		}
	}
	status, _ := get(t, srv.URL+"/v1/services", nil)
	require.Equal(t, 200, status)
	status, _ = get(t, srv.URL+"/v1/services", func(r *http.Request) { r.Header.Set("Authorization", "bearer "+token) })
	require.Equal(t, 200, status, "the scheme is case-insensitive (RFC 9110 section 11.1)")
	open := New(t.Context(), Config{}, nil)
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/v1/services", nil)
	r.Header.Set("Authorization", "Bearer ")
	open.Handler.ServeHTTP(rec, r)
	require.Equal(t, 401, rec.Code, "a server without a token answers nobody")
}

func TestARequestForAnotherHostOrFromAnotherOriginIsRefused(t *testing.T) {
	srv, _ := serve(t, 1)
	for _, host := range []string{"evil.example", "evil.example:7466", "127.0.0.1.evil.example", "10.1.2.3", "[2001:db8::1]:80", "localhost.evil", ""} {
		status, _ := get(t, srv.URL+"/healthz", func(r *http.Request) { r.Host = host })
		if host == "" {
			require.Equal(t, 200, status) // the client sends the URL's own
			continue
		}
		require.Equal(t, 403, status, host)
	}
	for _, host := range []string{"localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:9", "127.9.9.9"} {
		status, _ := get(t, srv.URL+"/healthz", func(r *http.Request) { r.Host = host })
		require.Equal(t, 200, status, host)
	}
	status, _ := get(t, srv.URL+"/v1/services", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
	require.Equal(t, 403, status)
	status, _ = get(t, srv.URL+"/v1/services", func(r *http.Request) { r.Header.Set("Origin", srv.URL) })
	require.Equal(t, 200, status)
}

func TestWrongParametersAreRefusedWithWhatIsWanted(t *testing.T) {
	srv, _ := serve(t, 200)
	for query, want := range map[string]string{
		"/v1/endpoints?state=new":               "want one of undeclared",
		"/v1/endpoints?sort=size":               "want one of service",
		"/v1/endpoints?limit=-1":                "negative",
		"/v1/endpoints?limit=x":                 "parameter limit",
		"/v1/endpoints?since=yesterday":         "RFC 3339",
		"/v1/endpoints?probes=perhaps":          "parameter probes",
		"/v1/endpoints?srvice=x":                "unknown parameter",
		"/v1/endpoints?service=a&service=b":     "2 times",
		"/v1/endpoint":                          "parameter name",
		"/v1/calls?after=-1":                    "parameter after",
		"/v1/sensors?x=1":                       "unknown parameter",
		"/v1/endpoints?service=%zz":             "query",
		"/v1/services?offset=1&limit=1&limit=2": "2 times",
	} {
		status, body := get(t, srv.URL+query, nil)
		require.Equal(t, 400, status, query)
		var f Failure
		require.NoError(t, json.Unmarshal([]byte(body), &f))
		require.Contains(t, f.Error, want, query)
	}
	status, body := get(t, srv.URL+"/v1/endpoint?name=nope", nil)
	require.Equal(t, 404, status)
	require.Contains(t, body, "no such endpoint")
	status, _ = get(t, srv.URL+"/v1/endpoint?name=GET%20/orders/w0", nil)
	require.Equal(t, 409, status)
	status, body = get(t, srv.URL+"/v2", nil)
	require.Equal(t, 404, status)
	require.Contains(t, body, "openapi.json")
	res, err := http.Post(srv.URL+"/v1/services", "text/plain", nil)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, 404, res.StatusCode, "it only reads")
}

// TestAnswersAreWhatTheOpenAPIDocumentSays checks the document with one independent implementation, and every answer against it.
func TestAnswersAreWhatTheOpenAPIDocumentSays(t *testing.T) {
	srv, c := serve(t, 50)
	status, body := get(t, srv.URL+"/openapi.json", func(r *http.Request) { r.Header.Del("Authorization") })
	require.Equal(t, 200, status)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(body))
	require.NoError(t, err)
	require.Equal(t, "1.2.3", doc.Info.Version)
	router, err := legacy.NewRouter(doc)
	require.NoError(t, err)
	rows, _, err := c.Endpoints(t.Context(), inventory.Query{})
	require.NoError(t, err)
	c.Alert(store.Alert{UID: "a", JSON: []byte(`{"finding_info":{"uid":"a"}}`)})
	paths := []string{"/v1/services", "/v1/endpoints?service=svc1*&probes=true&sort=-calls&limit=3&since=2020-01-01T00:00:00Z&state=undeclared",
		"/v1/endpoint?name=" + rows[0].ID, "/v1/calls?after=9223372036854775807", "/v1/alerts?after=9223372036854775807", "/v1/endpoint?name=nope", "/v1/calls?limit=7", "/v1/alerts", "/v1/sensors", "/v1/status", "/v1/endpoints?state=x"}
	for _, path := range paths {
		req, err := http.NewRequest(http.MethodGet, srv.URL+path, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		route, params, err := router.FindRoute(req)
		require.NoError(t, err, path)
		in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
		require.NoError(t, openapi3filter.ValidateRequest(t.Context(), in), path)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		require.NoError(t, err)
		require.NotContains(t, string(b), "null", path)
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: res.StatusCode, Header: res.Header}
		require.NoError(t, openapi3filter.ValidateResponse(t.Context(), out.SetBodyBytes(b)), path)
	}
	served := map[string]bool{}
	for _, r := range (&server{}).routes() {
		served[r.path] = true
		require.NotNil(t, doc.Paths.Find(r.path), "%s is not described", r.path)
	}
	for path := range doc.Paths.Map() {
		require.True(t, served[path] || path == "/openapi.json" || path == "/healthz", "%s is described and not served", path)
	}
}

func client(srv *httptest.Server) *Client { return &Client{URL: srv.URL, Token: token} }

func TestTheClientGivesWhatTheCollectorDoes(t *testing.T) {
	srv, c := serve(t, 500)
	var _ Inventory = c
	cl := client(srv)
	ctx := t.Context()
	for _, q := range []inventory.Query{{}, {Service: "svc1:80", Sort: "-calls", Limit: 5}, {Offset: 100}, {Since: 1}} {
		wantE, wantN, err := c.Endpoints(ctx, q)
		require.NoError(t, err)
		gotE, gotN, err := cl.Endpoints(ctx, q)
		require.NoError(t, err)
		require.Equal(t, wantE, gotE)
		require.Equal(t, wantN, gotN)
		wantS, _, _ := c.Services(ctx, q)
		gotS, _, err := cl.Services(ctx, q)
		require.NoError(t, err)
		require.Equal(t, wantS, gotS)
	}
	rows, _, _ := c.Endpoints(ctx, inventory.Query{})
	want, err := c.Endpoint(ctx, rows[3].ID, "")
	require.NoError(t, err)
	got, err := cl.Endpoint(ctx, rows[3].ID, "")
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = cl.Endpoint(ctx, "nope", "")
	require.ErrorIs(t, err, inventory.ErrNotFound)
	_, err = cl.Endpoint(ctx, "GET /orders/w1", "")
	require.ErrorIs(t, err, inventory.ErrAmbiguous)

	wantC, wantLast, _ := c.Calls(ctx, inventory.Query{Service: "svc2:80"}, 100, 20)
	gotC, gotLast, err := cl.Calls(ctx, inventory.Query{Service: "svc2:80"}, 100, 20)
	require.NoError(t, err)
	require.Equal(t, wantLast, gotLast)
	require.Len(t, gotC, 20)
	for i := range gotC {
		require.Equal(t, wantC[i].Seq, gotC[i].Seq)
		require.JSONEq(t, string(wantC[i].JSON), string(gotC[i].JSON))
	}
	sensors, err := cl.Sensors(ctx)
	require.NoError(t, err)
	require.Equal(t, "n1", sensors[0].Node)
	st, err := cl.Status(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 500, st.Calls)
}

func TestLongListsComeInPages(t *testing.T) {
	srv, c := serve(t, 0)
	for i := range 2500 {
		x := call(i)
		x.Path = []event.Segment{{Kind: event.KindWord, Text: fmt.Sprint("w", i), Token: uint64(i + 1)}}
		require.NoError(t, c.Put([]event.Call{x}))
	}
	rows, total, err := client(srv).Endpoints(t.Context(), inventory.Query{})
	require.NoError(t, err)
	require.Equal(t, 2500, total)
	require.Equal(t, 2500, len(rows))
	rows, total, err = client(srv).Endpoints(t.Context(), inventory.Query{Limit: 1200})
	require.NoError(t, err)
	require.Equal(t, 2500, total)
	require.Equal(t, 1200, len(rows))
	calls, _, err := client(srv).Calls(t.Context(), inventory.Query{}, 0, 2200)
	require.NoError(t, err)
	require.Equal(t, 2200, len(calls))
	require.EqualValues(t, 2500, calls[len(calls)-1].Seq)
}

func TestCallsAreStreamedAsTheyCome(t *testing.T) {
	srv, c := serve(t, 5)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var seqs []uint64
	enough := errors.New("enough")
	go func() {
		for i := 5; i < 30; i++ {
			time.Sleep(2 * time.Millisecond)
			_ = c.Put([]event.Call{call(i)})
		}
	}()
	err := client(srv).Follow(ctx, inventory.Query{}, 3, func(x store.Sequenced) error {
		if seqs = append(seqs, x.Seq); len(seqs) == 20 {
			return enough
		}
		return nil
	})
	require.ErrorIs(t, err, enough)
	for i, s := range seqs {
		require.EqualValues(t, 4+i, s)
	}
}

func TestAlertsAreListedAndStreamed(t *testing.T) {
	srv, c := serve(t, 1)
	for i := range 5 {
		c.Alert(store.Alert{UID: fmt.Sprint("u", i), Service: fmt.Sprint("s", i%2), JSON: fmt.Appendf(nil, `{"n":%d}`, i)})
	}
	list, last, err := client(srv).Alerts(t.Context(), inventory.Query{Service: "s0"}, 1, 10)
	require.NoError(t, err)
	require.EqualValues(t, 5, last)
	require.Len(t, list, 2)
	require.JSONEq(t, `{"n":2}`, string(list[0].JSON))
	enough := errors.New("enough")
	n := 0
	require.ErrorIs(t, client(srv).FollowAlerts(t.Context(), inventory.Query{}, 2, func(a store.Alert) error {
		require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, a.Seq-1), string(a.JSON))
		if n++; n == 4 {
			return enough
		}
		if n == 3 {
			c.Alert(store.Alert{UID: "new", JSON: []byte(`{"n":5}`)})
		}
		return nil
	}), enough)
}

func TestTooManyRequestsAtOneTimeAreTurnedAway(t *testing.T) {
	srv, _ := serve(t, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var bodies []io.Closer
	for range 8 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/v1/calls/stream", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		bodies = append(bodies, res.Body)
	}
	status, body := get(t, srv.URL+"/v1/services", nil)
	require.Equal(t, 503, status)
	require.Contains(t, body, "try again")
	stop()
	for _, b := range bodies {
		b.Close()
	}
	require.Eventually(t, func() bool { status, _ := get(t, srv.URL+"/v1/services", nil); return status == 200 }, 5*time.Second, 10*time.Millisecond)
}

func TestTheClientSaysWhatToDoWhenNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	l.Close()
	_, _, err = (&Client{URL: "http://" + addr}).Services(t.Context(), inventory.Query{})
	require.ErrorContains(t, err, "gnomon run")
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	_, _, err = (&Client{URL: other.URL}).Services(t.Context(), inventory.Query{})
	require.ErrorContains(t, err, "is it a gnomon server")
}

func TestATokenIsForItsUserAloneAndFoundByAddress(t *testing.T) {
	dir := t.TempDir() + "/run"
	a, file, err := WriteToken(dir, "127.0.0.1:7466")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(a), 32)
	st, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, st.Mode().Perm())
	st, err = os.Stat(dir)
	require.NoError(t, err)
	require.EqualValues(t, 0o700, st.Mode().Perm())
	got, err := ReadToken(dir, "127.0.0.1:7466")
	require.NoError(t, err)
	require.Equal(t, a, got)
	require.Equal(t, "127.0.0.1:7466", OnlyServer(dir))
	b, _, err := WriteToken(dir, "[::1]:9")
	require.NoError(t, err)
	require.NotEqual(t, a, b)
	require.Empty(t, OnlyServer(dir))
	_, err = ReadToken(dir, "127.0.0.1:1")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.Symlink("/etc/passwd", dir+"/127.0.0.1_5.token"))
	_, file, err = WriteToken(dir, "127.0.0.1:5")
	require.NoError(t, err, "a link in the way is replaced, not followed")
	st, err = os.Lstat(file)
	require.NoError(t, err)
	require.True(t, st.Mode().IsRegular())
}

func TestEveryAnswerSaysThatItIsNoPage(t *testing.T) {
	srv, _ := serve(t, 1)
	res, err := http.Get(srv.URL + "/openapi.json")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
	require.True(t, strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'"))
}
