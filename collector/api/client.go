package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

// Client asks a server of another process. It is an Inventory.
type Client struct {
	URL, Token string
	HTTP       *http.Client // nil: one that waits 30 s for an answer to begin
}

// maxAnswer bounds what one answer may hold: 1,000 endpoints are 1 MB.
const maxAnswer = 64 << 20

func (c *Client) do(ctx context.Context, path string, v url.Values) (*http.Response, error) {
	return c.send(ctx, http.MethodGet, path, v, nil)
}

func (c *Client) send(ctx context.Context, method, path string, v url.Values, body io.Reader) (*http.Response, error) {
	base := strings.TrimRight(c.URL, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path+"?"+v.Encode(), body)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w: want a URL such as http://%s", c.URL, err, DefaultAddress)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	client := c.HTTP
	if client == nil {
		client = &http.Client{Transport: &http.Transport{Proxy: nil, ResponseHeaderTimeout: 30 * time.Second}}
	}
	res, err := client.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("nothing listens at %s: start `gnomon run`, name another with --server, or read a file with --store", base)
		}
		return nil, fmt.Errorf("ask %s: %w", base, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	var f Failure
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if json.Unmarshal(b, &f) != nil || f.Error == "" {
		return nil, fmt.Errorf("%s answered %s: is it a gnomon server?", base, res.Status)
	}
	switch res.StatusCode {
	case http.StatusNotFound:
		return nil, remote{f.Error, inventory.ErrNotFound}
	case http.StatusConflict:
		return nil, remote{f.Error, inventory.ErrAmbiguous}
	}
	return nil, fmt.Errorf("%s: %s", base, f.Error)
}

// remote is an error that the server told, with what it is here.
type remote struct {
	text string
	is   error
}

func (r remote) Error() string { return r.text }
func (r remote) Unwrap() error { return r.is }

func (c *Client) get(ctx context.Context, path string, v url.Values, into any) error {
	res, err := c.do(ctx, path, v)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("answer of %s%s: %w", c.URL, path, err)
	}
	return nil
}

func values(q inventory.Query) url.Values {
	v := url.Values{}
	set := func(name, s string) {
		if s != "" && s != "0" {
			v.Set(name, s)
		}
	}
	set("service", q.Service)
	set("state", q.State)
	set("sort", q.Sort)
	set("limit", strconv.Itoa(q.Limit))
	set("offset", strconv.Itoa(q.Offset))
	if q.Since != 0 {
		v.Set("since", q.Since.String())
	}
	if q.Before != 0 {
		v.Set("before", q.Before.String())
	}
	if q.Probes {
		v.Set("probes", "true")
	}
	return v
}

// pages asks for page after page until q.Limit rows are there, or all.
func pages[T any](q inventory.Query, ask func(url.Values) ([]T, int, int, error)) ([]T, int, error) {
	rows := []T{}
	for want := q.Limit; ; {
		if q.Limit = pageLimit; want > 0 {
			q.Limit = min(pageLimit, want-len(rows))
		}
		got, total, next, err := ask(values(q))
		if err != nil {
			return nil, 0, err
		}
		rows = append(rows, got...)
		if next == 0 || want > 0 && len(rows) >= want {
			return rows, total, nil
		}
		q.Offset = next
	}
}

// Services asks for services.
func (c *Client) Services(ctx context.Context, q inventory.Query) ([]inventory.Service, int, error) {
	return pages(q, func(v url.Values) ([]inventory.Service, int, int, error) {
		var p ServicesPage
		err := c.get(ctx, "/v1/services", v, &p)
		return p.Services, p.Total, p.Next, err
	})
}

// Endpoints asks for endpoints.
func (c *Client) Endpoints(ctx context.Context, q inventory.Query) ([]inventory.Endpoint, int, error) {
	return pages(q, func(v url.Values) ([]inventory.Endpoint, int, int, error) {
		var p EndpointsPage
		err := c.get(ctx, "/v1/endpoints", v, &p)
		return p.Endpoints, p.Total, p.Next, err
	})
}

// Endpoint asks for one endpoint.
func (c *Client) Endpoint(ctx context.Context, name, service string) (d inventory.Detail, err error) {
	v := url.Values{"name": {name}}
	if service != "" {
		v.Set("service", service)
	}
	return d, c.get(ctx, "/v1/endpoint", v, &d)
}

// Calls asks for recent calls.
func (c *Client) Calls(ctx context.Context, q inventory.Query, after uint64, limit int) ([]store.Sequenced, uint64, error) {
	q.Limit = limit
	v := values(q)
	v.Set("after", strconv.FormatUint(after, 10))
	var p CallsPage
	if err := c.get(ctx, "/v1/calls", v, &p); err != nil {
		return nil, 0, err
	}
	list := make([]store.Sequenced, len(p.Calls))
	for i, x := range p.Calls {
		list[i] = store.Sequenced{Seq: x.Seq, JSON: x.Call}
	}
	return list, p.Last, nil
}

// Follow hands each new call to f until ctx ends, the server stops or f fails.
func (c *Client) Follow(ctx context.Context, q inventory.Query, after uint64, f func(store.Sequenced) error) error {
	return follow(ctx, c, "/v1/calls/stream", q, after, func(x *Sequenced) error { return f(store.Sequenced{Seq: x.Seq, JSON: x.Call}) })
}

// Alerts asks for recent alerts. Of each only Seq and JSON are set.
func (c *Client) Alerts(ctx context.Context, q inventory.Query, after uint64, limit int) ([]store.Alert, uint64, error) {
	q.Limit = limit
	v := values(q)
	v.Set("after", strconv.FormatUint(after, 10))
	var p AlertsPage
	if err := c.get(ctx, "/v1/alerts", v, &p); err != nil {
		return nil, 0, err
	}
	list := make([]store.Alert, len(p.Alerts))
	for i, x := range p.Alerts {
		list[i] = store.Alert{Seq: x.Seq, JSON: x.Finding.raw}
	}
	return list, p.Last, nil
}

// FollowAlerts hands each new alert to f likewise.
func (c *Client) FollowAlerts(ctx context.Context, q inventory.Query, after uint64, f func(store.Alert) error) error {
	return follow(ctx, c, "/v1/alerts/stream", q, after, func(x *Alert) error { return f(store.Alert{Seq: x.Seq, JSON: x.Finding.raw}) })
}

func follow[T any](ctx context.Context, c *Client, path string, q inventory.Query, after uint64, f func(*T) error) error {
	v := values(inventory.Query{Service: q.Service, Since: q.Since})
	v.Set("after", strconv.FormatUint(after, 10))
	res, err := c.do(ctx, path, v)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 64<<10), 4<<20)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var x T
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			return fmt.Errorf("stream of %s: %w", c.URL, err)
		}
		if err := f(&x); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("stream of %s: %w", c.URL, err)
	}
	return ctx.Err()
}

// Sensors asks for the state of each node.
func (c *Client) Sensors(ctx context.Context) ([]event.Sensor, error) {
	var p SensorsPage
	err := c.get(ctx, "/v1/sensors", nil, &p)
	return p.Sensors, err
}

// Status asks for the inventory's account of itself.
func (c *Client) Status(ctx context.Context) (inventory.Stats, error) {
	var s Status
	err := c.get(ctx, "/v1/status", nil, &s)
	return s.Stats, err
}
