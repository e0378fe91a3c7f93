package api

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

// Config is what a Server can be told.
type Config struct {
	// Token is what requests must bear. Required.
	Token string
	// Address is what is listened on; its host is a name that requests may use beside the loopback ones.
	Address string
	// MaxRequests bounds the requests in progress, streams included; one beyond it gets 503. Default 64.
	MaxRequests int
	// Log takes what goes wrong behind the scenes. Default none.
	Log *slog.Logger
	// Version is told by /v1/status.
	Version string
}

// Status is the body of /v1/status.
type Status struct {
	Version string `json:"version"`
	inventory.Stats
}

type server struct {
	cfg  Config
	inv  Inventory
	host string
	busy chan struct{}
}

// New returns the server of inv. The caller gives it a listener and shuts it down; streams end when ctx does.
func New(ctx context.Context, cfg Config, inv Inventory) *http.Server {
	if cfg.MaxRequests == 0 {
		cfg.MaxRequests = 64
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{cfg: cfg, inv: inv, busy: make(chan struct{}, cfg.MaxRequests)}
	s.host, _, _ = net.SplitHostPort(cfg.Address)
	return &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
}

// routes are what is served; the OpenAPI document is made from the same list.
func (s *server) routes() []route {
	const lines = ", one JSON object a line; an empty line now and then shows that the stream lives."
	since := []param{serviceParam, sinceParam, afterParam}
	newest := append(slices.Clone(since), limitParam)
	return []route{
		{path: "/v1/services", id: "services", about: "One row per service.", params: listParams, body: ServicesPage{}, serve: s.services},
		{path: "/v1/endpoints", id: "endpoints", about: "One row per endpoint.", params: append(slices.Clone(listParams), beforeParam, stateParam, probesParam), body: EndpointsPage{}, serve: s.endpoints},
		{path: "/v1/endpoint", id: "endpoint", about: "One endpoint whole.", params: []param{{"name", "string", "id, or METHOD and template with a space between", true}, serviceParam}, body: inventory.Detail{}, serve: s.endpoint},
		{path: "/v1/calls", id: "calls", about: "Recent calls, oldest first.", params: newest, body: CallsPage{}, serve: s.calls},
		{path: "/v1/calls/stream", id: "followCalls", about: "Calls as they come" + lines, params: since, body: Sequenced{}, lines: true, serve: s.followCalls},
		{path: "/v1/alerts", id: "alerts", about: "Recent alerts, oldest first, of each incident the last word.", params: newest, body: AlertsPage{}, serve: s.alerts},
		{path: "/v1/alerts/stream", id: "followAlerts", about: "Alerts as they come" + lines, params: since, body: Alert{}, lines: true, serve: s.followAlerts},
		{path: "/v1/sensors", id: "sensors", about: "The state of each node, with its loss ledger.", body: SensorsPage{}, serve: s.sensors},
		{path: "/v1/status", id: "status", about: "What the inventory holds, and what detail its bounds cut.", body: Status{}, serve: s.status},
		{path: "/v1/documents", id: "documents", about: "The declared APIs.", params: []param{serviceParam}, body: DocumentsPage{}, serve: s.documents},
		{method: "POST", path: "/v1/documents", id: "importDocument", about: "Declare an API: the body is an OpenAPI document, a GraphQL schema or a gRPC descriptor set.",
			params: []param{serviceParam, sourceParam, importedParam}, body: spec.Document{}, serve: s.importDocument},
		{path: "/v1/document", id: "document", about: "One declared API with its text.", params: []param{idParam}, body: DocumentText{}, serve: s.document},
		{method: "DELETE", path: "/v1/document", id: "removeDocument", about: "Forget a declared API; the answer is what it was.", params: []param{idParam}, body: spec.Document{}, serve: s.removeDocument},
		{path: "/v1/drift", id: "drift", about: "The differences between what is declared and what was observed.", params: []param{serviceParam}, body: DriftPage{}, serve: s.drift},
		{path: "/v1/observed", id: "observed", about: "What was seen of the contracts of services.", params: []param{serviceParam}, body: ObservedPage{}, serve: s.observed},
	}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	routes := s.routes()
	for _, r := range routes {
		mux.HandleFunc(cmp.Or(r.method, http.MethodGet)+" "+r.path, s.authorised(r.serve))
	}
	doc := document(routes, s.cfg.Version)
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		send(w, doc)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { send(w, []byte("ok\n")) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, fmt.Errorf("nothing at %.100q: /openapi.json says what there is", r.URL.Path))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'")
		if !s.ours(r.Host) || !s.sameOrigin(r.Header.Get("Origin")) {
			fail(w, http.StatusForbidden, errors.New("this API answers to names of its own machine only, such as 127.0.0.1"))
			return
		}
		select {
		case s.busy <- struct{}{}:
			defer func() { <-s.busy }()
		default:
			h.Set("Retry-After", "1")
			fail(w, http.StatusServiceUnavailable, errors.New("too many requests at one time: try again"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ours says whether host, of a Host field, is a name of this machine.
func (s *server) ours(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") || host == s.host && host != "" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || s.anyAddress())
}

// anyAddress says that it was asked to listen on every address: any IP is its name then. A rebound DNS name never is an IP.
func (s *server) anyAddress() bool {
	ip, err := netip.ParseAddr(s.host)
	return s.host == "" || err == nil && ip.IsUnspecified()
}

func (s *server) sameOrigin(origin string) bool {
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && s.ours(u.Host)
}

func (s *server) authorised(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(kind, "Bearer") || s.cfg.Token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(s.cfg.Token)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="gnomon"`)
			fail(w, http.StatusUnauthorized, errors.New("a bearer token is needed: the one in the token file that `gnomon run` names, or GNOMON_TOKEN"))
			return
		}
		err := h(w, r)
		var bad badRequest
		switch {
		case err == nil:
		case errors.As(err, &bad):
			fail(w, http.StatusBadRequest, err)
		case errors.Is(err, inventory.ErrNotFound), errors.Is(err, spec.ErrNotFound):
			fail(w, http.StatusNotFound, err)
		case errors.Is(err, inventory.ErrAmbiguous):
			fail(w, http.StatusConflict, err)
		case r.Context().Err() != nil: // the client went away
		default:
			s.cfg.Log.Warn("a request failed", "path", r.URL.Path, "error", err)
			fail(w, http.StatusInternalServerError, err)
		}
	}
}

type badRequest struct{ error }

func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	b, _ := json.Marshal(Failure{err.Error()})
	send(w, append(b, '\n'))
}

// send writes the body; that a client went away is nobody's concern.
func send(w http.ResponseWriter, b []byte) { _, _ = w.Write(b) }

func reply(w http.ResponseWriter, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	send(w, append(b, '\n'))
	return nil
}

// query reads the parameters of r; one that the route does not know is refused rather than ignored.
func query(r *http.Request, known ...string) (q inventory.Query, after uint64, err error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, 0, badRequest{fmt.Errorf("query: %w", err)}
	}
	for name, v := range values {
		if !slices.Contains(known, name) {
			return q, 0, badRequest{fmt.Errorf("unknown parameter %.40q: want some of %s", name, strings.Join(known, ", "))}
		}
		if len(v) > 1 {
			return q, 0, badRequest{fmt.Errorf("parameter %s: given %d times", name, len(v))}
		}
		switch name {
		case "service":
			q.Service = v[0]
		case "since":
			t, terr := time.Parse(time.RFC3339Nano, v[0])
			if terr != nil {
				err = errors.New("want an RFC 3339 time such as 2026-11-24T10:00:00Z")
			}
			q.Since = event.TimeOf(t)
		case "before":
			t, terr := time.Parse(time.RFC3339Nano, v[0])
			if terr != nil {
				err = errors.New("want an RFC 3339 time such as 2026-11-24T10:00:00Z")
			}
			q.Before = event.TimeOf(t)
		case "state":
			q.State = v[0]
		case "sort":
			q.Sort = v[0]
		case "probes":
			q.Probes, err = strconv.ParseBool(v[0])
		case "limit":
			q.Limit, err = strconv.Atoi(v[0])
		case "offset":
			q.Offset, err = strconv.Atoi(v[0])
		case "after":
			after, err = strconv.ParseUint(v[0], 10, 64)
		}
		if err != nil {
			return q, 0, badRequest{fmt.Errorf("parameter %s %.40q: %w", name, v[0], err)}
		}
	}
	if err := q.Check(); err != nil {
		return q, 0, badRequest{err}
	}
	if q.Limit == 0 {
		q.Limit = pageLimit
	}
	return q, after, nil
}

func next(q *inventory.Query, rows, total int) int {
	if n := q.Offset + rows; n < total && rows > 0 {
		return n
	}
	return 0
}

func (s *server) services(w http.ResponseWriter, r *http.Request) error {
	q, _, err := query(r, "service", "since", "sort", "limit", "offset")
	if err != nil {
		return err
	}
	q.Limit = min(q.Limit, pageLimit)
	rows, total, err := s.inv.Services(r.Context(), q)
	if err != nil {
		return err
	}
	return reply(w, ServicesPage{rows, total, next(&q, len(rows), total)})
}

func (s *server) endpoints(w http.ResponseWriter, r *http.Request) error {
	q, _, err := query(r, "service", "since", "before", "sort", "limit", "offset", "state", "probes")
	if err != nil {
		return err
	}
	q.Limit = min(q.Limit, pageLimit)
	rows, total, err := s.inv.Endpoints(r.Context(), q)
	if err != nil {
		return err
	}
	return reply(w, EndpointsPage{rows, total, next(&q, len(rows), total)})
}

func (s *server) endpoint(w http.ResponseWriter, r *http.Request) error {
	q, _, err := query(r, "name", "service")
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("name")
	if name == "" {
		return badRequest{errors.New("parameter name: want an endpoint's id, or METHOD and template with a space between")}
	}
	d, err := s.inv.Endpoint(r.Context(), name, q.Service)
	if err != nil {
		return err
	}
	return reply(w, d)
}

func (s *server) calls(w http.ResponseWriter, r *http.Request) error {
	q, after, err := query(r, "service", "since", "limit", "after")
	if err != nil {
		return err
	}
	list, last, err := s.inv.Calls(r.Context(), q, after, min(q.Limit, store.KeepCalls))
	if err != nil {
		return err
	}
	page := CallsPage{Calls: make([]Sequenced, len(list)), Last: last}
	for i, c := range list {
		page.Calls[i] = Sequenced{c.Seq, c.JSON}
	}
	return reply(w, page)
}

func (s *server) alerts(w http.ResponseWriter, r *http.Request) error {
	q, after, err := query(r, "service", "since", "limit", "after")
	if err != nil {
		return err
	}
	list, last, err := s.inv.Alerts(r.Context(), q, after, min(q.Limit, store.KeepAlerts))
	if err != nil {
		return err
	}
	page := AlertsPage{Alerts: make([]Alert, len(list)), Last: last}
	for i, a := range list {
		page.Alerts[i] = Alert{a.Seq, finding{a.JSON}}
	}
	return reply(w, page)
}

func (s *server) followCalls(w http.ResponseWriter, r *http.Request) error {
	return s.stream(w, r, func(ctx context.Context, q inventory.Query, after uint64, send func(any) error) error {
		return s.inv.Follow(ctx, q, after, func(c store.Sequenced) error { return send(Sequenced{c.Seq, c.JSON}) })
	})
}

func (s *server) followAlerts(w http.ResponseWriter, r *http.Request) error {
	return s.stream(w, r, func(ctx context.Context, q inventory.Query, after uint64, send func(any) error) error {
		return s.inv.FollowAlerts(ctx, q, after, func(a store.Alert) error { return send(Alert{a.Seq, finding{a.JSON}}) })
	})
}

// stream writes what follow finds as it comes, one a line. A client that does not read for 10 s is cut off.
func (s *server) stream(w http.ResponseWriter, r *http.Request, follow func(context.Context, inventory.Query, uint64, func(any) error) error) error {
	q, after, err := query(r, "service", "since", "after")
	if err != nil {
		return err
	}
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	send := func(line []byte) error {
		if err := rc.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
		return rc.Flush()
	}
	if err := send(nil); err != nil {
		return nil
	}
	found := make(chan any)
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = follow(ctx, q, after, func(x any) error {
			select {
			case found <- x:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	for {
		var line []byte
		select {
		case x := <-found:
			if line, err = json.Marshal(x); err != nil {
				s.cfg.Log.Warn("a line could not be encoded", "error", err)
				continue
			}
		case <-alive.C:
		case <-done:
			return nil
		}
		if err := send(line); err != nil {
			stop()
			<-done
			return nil // too late for another status
		}
	}
}

func (s *server) sensors(w http.ResponseWriter, r *http.Request) error {
	if _, _, err := query(r); err != nil {
		return err
	}
	list, err := s.inv.Sensors(r.Context())
	if err != nil {
		return err
	}
	return reply(w, SensorsPage{list})
}

func (s *server) status(w http.ResponseWriter, r *http.Request) error {
	if _, _, err := query(r); err != nil {
		return err
	}
	st, err := s.inv.Status(r.Context())
	if err != nil {
		return err
	}
	return reply(w, Status{s.cfg.Version, st})
}
