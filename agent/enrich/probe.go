package enrich

import (
	"bytes"

	"github.com/dchest/siphash"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Paths that exist to be probed, without a query. Lower case.
var (
	healthPaths = map[string]bool{"/healthz": true, "/livez": true, "/readyz": true, "/startupz": true, "/health": true, "/healthcheck": true, "/health-check": true, "/health_check": true,
		"/health/live": true, "/health/ready": true, "/health/liveness": true, "/health/readiness": true, "/healthz/live": true, "/healthz/ready": true, "/_health": true, "/_healthz": true,
		"/liveness": true, "/readiness": true, "/actuator/health": true, "/actuator/health/liveness": true, "/actuator/health/readiness": true, "/-/healthy": true, "/-/ready": true,
		"/api/health": true, "/api/healthz": true, "/q/health": true, "/q/health/live": true, "/q/health/ready": true, "/v1/health": true, "/v1/sys/health": true, "/healthz/ping": true,
		"/grpc.health.v1.health/check": true}
	metricsPaths = map[string]bool{"/metrics": true, "/actuator/prometheus": true, "/stats/prometheus": true, "/prometheus": true, "/metrics/cadvisor": true, "/metrics/probes": true,
		"/metrics/resource": true, "/q/metrics": true, "/api/metrics": true, "/_prometheus/metrics": true, "/nginx_status": true, "/stub_status": true, "/server-status": true}
	// Paths that are probed and used alike: probes only when asked for at regular intervals.
	maybePaths = map[string]bool{"/": true, "/ping": true, "/status": true, "/up": true, "/alive": true, "/live": true, "/ready": true, "/heartbeat": true, "/_ping": true, "/version": true}
)

const maxProbePath = 40

// Probe says whether x was made to watch the service: by its path, by a user agent that does nothing else, or because the same small request comes
// again and again at the same interval. dst has its identities; signs of hostile content are looked at by the caller. Only GET and HEAD
// without a query and, but for user agents of Kubernetes and load balancers, only short paths count: a request that names itself a probe to
// hide would have to stay one.
func (e *Enricher) Probe(dst *event.Call, x *proto.Exchange) event.Probe {
	switch string(x.Method) {
	case "GET", "HEAD":
	case "POST":
		if x.Protocol != event.GRPC {
			return event.NoProbe
		}
	default:
		return event.NoProbe
	}
	t := x.Target
	if x.Status == 404 || len(t) == 0 || len(t) > maxProbePath || t[0] != '/' {
		return event.NoProbe
	}
	var buf [maxProbePath]byte
	for i, c := range t {
		if c == '?' || c == '%' {
			return event.NoProbe
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	path := buf[:len(t)]
	if n := len(path); n > 1 && path[n-1] == '/' {
		path = path[:n-1]
	}
	switch {
	case healthPaths[string(path)]:
		return event.HealthProbe
	case metricsPaths[string(path)]:
		return event.MetricsProbe
	}
	switch agent(x) {
	case event.HealthProbe:
		return event.HealthProbe
	case event.MetricsProbe:
		return event.MetricsProbe
	}
	if maybePaths[string(path)] && x.Res.Bytes <= 1024 && e.regular.seen(e.cfg.Seed, dst, path, x.Start) {
		return event.HealthProbe
	}
	return event.NoProbe
}

var agents = [...]struct {
	prefix string
	probe  event.Probe
}{
	{"kube-probe/", event.HealthProbe}, {"ELB-HealthChecker/", event.HealthProbe}, {"GoogleHC/", event.HealthProbe}, {"Amazon-Route53-Health-Check", event.HealthProbe},
	{"Envoy/HC", event.HealthProbe}, {"Consul Health Check", event.HealthProbe}, {"HAProxy", event.HealthProbe}, {"Load Balancer Agent", event.HealthProbe},
	{"Prometheus/", event.MetricsProbe}, {"vm_promscrape", event.MetricsProbe}, {"vmagent", event.MetricsProbe}, {"GrafanaAgent/", event.MetricsProbe},
	{"Alloy/", event.MetricsProbe}, {"Telegraf/", event.MetricsProbe}, {"Datadog Agent/", event.MetricsProbe},
}

// agent is what x's user agent does for a living.
func agent(x *proto.Exchange) event.Probe {
	for i := range x.Req.Fields {
		f := &x.Req.Fields[i]
		if len(f.Name) != len("user-agent") || !bytes.EqualFold(f.Name, []byte("user-agent")) {
			continue
		}
		for j := range agents {
			if a := &agents[j]; len(f.Value) >= len(a.prefix) && string(f.Value[:len(a.prefix)]) == a.prefix {
				return a.probe
			}
		}
		return event.NoProbe
	}
	return event.NoProbe
}

// regular finds requests that come at the same interval: a table of fixed size in which a newcomer takes the place of who was there, since one
// that is regular comes back.
type regular struct {
	slots [512]beat
}

type beat struct {
	key      uint64
	last     event.Time
	interval event.Time
	hits     uint8
}

const (
	regularHits = 6                 // so many equal intervals in a row
	minInterval = event.Time(1e9)   // a second
	maxInterval = event.Time(12e10) // two minutes
)

// seen says whether the caller's request for path is one of a regular series.
func (r *regular) seen(seed uint64, c *event.Call, path []byte, at event.Time) bool {
	caller := c.Client.Workload
	if caller == "" {
		caller = c.Client.Address
	}
	var b [256]byte
	k := append(append(append(append(b[:0], caller...), 0), c.Service...), 0)
	key := siphash.Hash(seed, ^seed, append(k, path...)) | 1
	s := &r.slots[key>>32%uint64(len(r.slots))]
	if s.key != key {
		*s = beat{key: key, last: at}
		return false
	}
	gap := at - s.last
	s.last = at
	if gap < minInterval || gap > maxInterval {
		s.hits, s.interval = 0, 0
		return false
	}
	if d := gap - s.interval; s.interval != 0 && d < s.interval/8 && -d < s.interval/8 {
		s.hits = min(s.hits+1, regularHits)
	} else {
		s.hits, s.interval = 0, gap
	}
	return s.hits == regularHits
}
