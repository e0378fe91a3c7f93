package enrich

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

const start = event.Time(1_764_000_000_000_000_000)

type table map[uint32]Process

func (t table) Process(pid uint32, _ event.Time) Process { return t[pid] }

func conn(side event.Side, client, server string) *proto.Conn {
	return &proto.Conn{Side: side, Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server)}
}

func TestWhoseCallItIs(t *testing.T) {
	procs := table{1: {"java", "orders"}, 2: {"curl", "curl"}}
	for what, k := range map[string]struct {
		change func(*proto.Conn)
		cfg    Config
		want   event.Call
	}{
		"a recording": {func(*proto.Conn) {}, Config{}, event.Call{Service: "10.0.0.9:8080", Encryption: event.Plaintext}},
		"a recording, IPv6": {func(c *proto.Conn) { c.Server = netip.MustParseAddrPort("[2001:db8::9]:80") }, Config{},
			event.Call{Service: "[2001:db8::9]:80", Encryption: event.Plaintext, Server: event.Peer{Address: "2001:db8::9", Port: 80}}},
		"IPv4 mapped": {func(c *proto.Conn) { c.Server = netip.MustParseAddrPort("[::ffff:10.0.0.9]:8080") }, Config{},
			event.Call{Service: "10.0.0.9:8080", Encryption: event.Plaintext}},
		"a log": {func(c *proto.Conn) { c.Told, c.Service, c.Server = true, "web", netip.AddrPort{} }, Config{},
			event.Call{Service: "web", Server: event.Peer{Address: "none"}}},
		"the server's side": {func(c *proto.Conn) { c.Side, c.PID = event.SideServer, 1 }, Config{Node: "n", Processes: procs},
			event.Call{Service: "orders:8080", Encryption: event.Plaintext, Server: event.Peer{Workload: "host/n/orders", Process: "java"}}},
		"both ends here": {func(c *proto.Conn) { c.Side, c.PID, c.PeerPID = event.SideServer, 1, 2 }, Config{Node: "n", Processes: procs},
			event.Call{Service: "orders:8080", Encryption: event.Plaintext, Server: event.Peer{Workload: "host/n/orders", Process: "java"}, Client: event.Peer{Workload: "host/n/curl", Process: "curl"}}},
		"a callee elsewhere": {func(c *proto.Conn) { c.Side, c.PID = event.SideClient, 2 }, Config{Node: "n", Processes: procs},
			event.Call{Service: "10.0.0.9:8080", Encryption: event.Plaintext, Client: event.Peer{Workload: "host/n/curl", Process: "curl"}}},
		"a callee that TLS verified": {func(c *proto.Conn) { c.Side, c.PID, c.TLS = event.SideClient, 2, &event.TLSFacts{SNI: "api.example"} },
			Config{Node: "n", Processes: procs, HostName: func(s string) string { return "~" + s }},
			event.Call{Service: "~api.example:8080", Encryption: event.TLS, Client: event.Peer{Workload: "host/n/curl", Process: "curl"}}},
		"an unknown process": {func(c *proto.Conn) { c.Side, c.PID = event.SideServer, 99 }, Config{Node: "n", Processes: procs},
			event.Call{Service: "10.0.0.9:8080", Encryption: event.Plaintext}},
	} {
		c := conn(event.SideUnknown, "10.0.0.7:5000", "10.0.0.9:8080")
		k.change(c)
		k.want.Side, k.want.Node = c.Side, k.cfg.Node
		k.want.Client.Address, k.want.Client.Port = "10.0.0.7", 5000
		switch k.want.Server.Address {
		case "":
			k.want.Server.Address, k.want.Server.Port = "10.0.0.9", 8080
		case "none":
			k.want.Server.Address = ""
		}
		var got event.Call
		New(k.cfg).Call(&got, c, start)
		require.Equal(t, k.want, got, what)
	}
}

func TestAProcessThatIsNotKnownYetIsAskedForAgain(t *testing.T) {
	procs := table{}
	e := New(Config{Node: "n", Processes: procs})
	c := conn(event.SideServer, "10.0.0.7:5000", "10.0.0.9:8080")
	c.PID = 1
	var got event.Call
	e.Call(&got, c, start)
	procs[1] = Process{"java", "orders"}
	e.Call(&got, c, start+5e8)
	require.Equal(t, "10.0.0.9:8080", got.Service, "not within a second")
	e.Call(&got, c, start+2e9)
	require.Equal(t, "orders:8080", got.Service)
	procs[1] = Process{"go", "other"}
	e.Call(&got, c, start+9e9)
	require.Equal(t, "orders:8080", got.Service, "a connection keeps its identity")
	c.PID = 2
	procs[2] = Process{"node", "node"}
	e.Call(&got, c, start+9e9)
	require.Equal(t, "node:8080", got.Service, "unless another process has it now")
}

func TestAKnownConnectionCostsNoAllocation(t *testing.T) {
	e := New(Config{Node: "n", Processes: table{1: {"java", "orders"}}})
	c := conn(event.SideServer, "10.0.0.7:5000", "10.0.0.9:8080")
	c.PID = 1
	var got event.Call
	e.Call(&got, c, start)
	require.Zero(t, testing.AllocsPerRun(100, func() { e.Call(&got, c, start) }))
}

func TestProbes(t *testing.T) {
	for _, k := range []struct {
		line, agent string
		status      int
		want        event.Probe
	}{
		{"GET /healthz", "", 200, event.HealthProbe}, {"HEAD /healthz", "", 503, event.HealthProbe}, {"GET /HealthZ/", "", 200, event.HealthProbe}, {"GET /actuator/health/readiness", "", 200, event.HealthProbe},
		{"GET /metrics", "", 200, event.MetricsProbe}, {"GET /", "kube-probe/1.34", 200, event.HealthProbe}, {"GET /app", "ELB-HealthChecker/2.0", 200, event.HealthProbe},
		{"GET /federate", "Prometheus/3.0", 200, event.MetricsProbe},
		{"GET /healthz", "", 404, event.NoProbe}, {"POST /healthz", "", 200, event.NoProbe}, {"GET /healthz?full=1", "", 200, event.NoProbe}, {"GET /api/orders", "curl/8", 200, event.NoProbe},
		{"GET /users/health", "", 200, event.NoProbe}, {"GET /metrics/daily/report", "", 200, event.NoProbe}, {"GET /", "curl/8", 200, event.NoProbe}, {"GET /status", "", 200, event.NoProbe},
		{"GET /admin/users/export/everything/in/one/big/file", "kube-probe/1.34", 200, event.NoProbe}, {"GET /admin?x=1", "kube-probe/1.34", 200, event.NoProbe},
	} {
		var method, target string
		_, err := fmt.Sscanf(k.line, "%s %s", &method, &target)
		require.NoError(t, err)
		x := &proto.Exchange{Method: []byte(method), Target: []byte(target), Status: k.status, Start: start}
		x.Req.Fields = []proto.Field{{Name: []byte("user-agent"), Value: []byte(k.agent)}}
		require.Equal(t, k.want, New(Config{}).Probe(&event.Call{}, x), k.line+" "+k.agent)
	}
}

func TestASmallRequestAtRegularIntervalsIsAProbe(t *testing.T) {
	series := func(target string, bytes int64, gaps ...event.Time) (last event.Probe) {
		e := New(Config{})
		at := start
		for i := range 12 {
			at += gaps[i%len(gaps)]
			x := &proto.Exchange{Method: []byte("GET"), Target: []byte(target), Status: 200, Start: at}
			x.Res.Bytes = bytes
			last = e.Probe(&event.Call{Service: "s", Client: event.Peer{Address: "10.0.0.7"}}, x)
		}
		return last
	}
	require.Equal(t, event.HealthProbe, series("/ping", 2, 5e9))
	require.Equal(t, event.HealthProbe, series("/", 15, 10e9, 10e9+4e8))
	require.Equal(t, event.NoProbe, series("/ping", 2, 5e9, 12e9), "irregular")
	require.Equal(t, event.NoProbe, series("/ping", 2, 1e7), "a loop, not a watch")
	require.Equal(t, event.NoProbe, series("/orders/new", 2, 5e9), "polling an API is using it")
	require.Equal(t, event.NoProbe, series("/", 50_000, 5e9), "a page")
}
