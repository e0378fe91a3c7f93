package accesslog

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

type got struct {
	conn proto.Conn
	x    proto.Exchange
	head map[string]string
}

type keeper struct{ calls []got }

func (k *keeper) Emit(c *proto.Conn, x *proto.Exchange) {
	g := got{conn: *c, x: *x, head: map[string]string{}}
	g.x.Method, g.x.Target, g.x.Host = []byte(string(x.Method)), []byte(string(x.Target)), []byte(string(x.Host))
	for _, f := range x.Req.Fields {
		g.head[string(f.Name)] = string(f.Value)
	}
	k.calls = append(k.calls, g)
}

func read(t *testing.T, text string) ([]got, Stats) {
	t.Helper()
	var k keeper
	st, err := Read(context.Background(), Config{}, strings.NewReader(text), &k)
	require.NoError(t, err)
	return k.calls, st
}

func at(s string) event.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return event.TimeOf(t)
}

func TestACallOfEachForm(t *testing.T) {
	type want struct {
		method, target, host string
		status               int
		proto                event.Protocol
		sent, received       int64
		start                string
		duration             time.Duration
		client, server       string
		tls                  bool
		head                 map[string]string
	}
	for name, c := range map[string]struct {
		line string
		want want
	}{
		"Apache's common form, from its documentation": {
			`127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326`,
			want{"GET", "/apache_pb.gif", "", 200, event.HTTP10, 2326, 0, "2000-10-10T20:55:36Z", 0, "127.0.0.1:0", "", false, nil}},
		"nginx combined with a quote, a byte outside ASCII and a user with a blank": {
			`2001:db8::7 - a b [24/Nov/2026:10:00:00 +0130] "GET /a\x22b/\xC3\xA9?q=1 HTTP/2.0" 404 0 "-" "curl/8 \x5Cx"`,
			want{"GET", "/a\"b/é?q=1", "", 404, event.HTTP2, 0, 0, "2026-11-24T08:30:00Z", 0, "[2001:db8::7]:0", "", false, map[string]string{"user-agent": `curl/8 \x`}}},
		"Apache with a virtual host and a port, a host name as client": {
			`shop.example:443 client.example - - [24/Nov/2026:10:00:00 +0000] "POST /orders HTTP/1.1" 201 - "https://shop.example/" "Mozilla/5.0 \"x\"" 1234`,
			want{"POST", "/orders", "shop.example:443", 201, event.HTTP11, 0, 0, "2026-11-24T10:00:00Z", 0, "", "", false, map[string]string{"referer": "https://shop.example/", "user-agent": `Mozilla/5.0 "x"`}}},
		"Envoy's default, from its documentation": {
			`[2016-04-15T20:17:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq2http" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80"`,
			want{"POST", "/api/v1/locations", "locations", 204, event.HTTP2, 0, 154, "2016-04-15T20:17:00.31Z", 226 * time.Millisecond, "", "", false,
				map[string]string{"x-forwarded-for": "10.0.35.28", "user-agent": "nsq2http", "x-request-id": "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2"}}},
		"Istio's default": {
			`[2020-11-25T21:26:18.409Z] "GET /status/418 HTTP/1.1" 418 - via_upstream - "-" 0 135 4 3 "-" "curl/7.73.0-DEV" "84961386-6d84-929d-98bd-c5aee93b5c88" "httpbin:8000" "127.0.0.1:80" inbound|8000|| 127.0.0.1:41854 10.44.1.27:80 10.44.1.23:37652 outbound_.8000_._.httpbin.foo.svc.cluster.local default`,
			want{"GET", "/status/418", "httpbin:8000", 418, event.HTTP11, 135, 0, "2020-11-25T21:26:18.409Z", 4 * time.Millisecond, "10.44.1.23:37652", "127.0.0.1:80", false,
				map[string]string{"user-agent": "curl/7.73.0-DEV", "x-request-id": "84961386-6d84-929d-98bd-c5aee93b5c88"}}},
		"nginx JSON, the time being that of the end": {
			`{"time_iso8601":"2026-11-24T10:00:01+00:00","remote_addr":"10.0.0.7","remote_port":"5000","request":"GET /a?b=c HTTP/1.1","status":"200","body_bytes_sent":"612","request_time":"0.250","http_host":"a.example","scheme":"https","ssl_protocol":"TLSv1.3","http_user_agent":"\"x\""}`,
			want{"GET", "/a?b=c", "a.example", 200, event.HTTP11, 612, 0, "2026-11-24T10:00:00.75Z", 250 * time.Millisecond, "10.0.0.7:5000", "", true, map[string]string{"user-agent": `"x"`}}},
		"Envoy and Istio JSON": {
			`{"start_time":"2026-11-24T10:00:00.5Z","method":"GET","path":"/x","protocol":"HTTP/1.1","response_code":503,"response_flags":"UF","bytes_received":7,"bytes_sent":91,"duration":12,"upstream_service_time":null,"authority":"x:8000","upstream_host":"10.44.1.27:80","downstream_remote_address":"10.44.1.23:37652","x_forwarded_for":null}`,
			want{"GET", "/x", "x:8000", 503, event.HTTP11, 91, 7, "2026-11-24T10:00:00.5Z", 12 * time.Millisecond, "10.44.1.23:37652", "10.44.1.27:80", false, nil}},
		"Caddy": {
			`{"level":"info","ts":1764000000.25,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"10.0.0.9","remote_port":"4000","proto":"HTTP/2.0","method":"PUT","host":"c.example","uri":"/u/1?x=%20","headers":{"User-Agent":["curl"]},"tls":{"resumed":false,"version":772}},"bytes_read":3,"duration":0.25,"size":10,"status":200}`,
			want{"PUT", "/u/1?x=%20", "c.example", 200, event.HTTP2, 10, 3, "2025-11-24T16:00:00Z", 250 * time.Millisecond, "10.0.0.9:4000", "", true, nil}},
		"Traefik": {
			`{"ClientAddr":"10.0.0.8:123","DownstreamContentSize":19,"DownstreamStatus":404,"Duration":1500000,"RequestContentSize":0,"RequestHost":"t.example","RequestMethod":"GET","RequestPath":"/n","RequestProtocol":"HTTP/1.1","RequestScheme":"http","StartUTC":"2026-11-24T10:00:00.000000001Z","time":"2026-11-24T10:00:00Z"}`,
			want{"GET", "/n", "t.example", 404, event.HTTP11, 19, 0, "2026-11-24T10:00:00.000000001Z", 1500 * time.Microsecond, "10.0.0.8:123", "", false, nil}},
		"the Elastic common schema": {
			`{"@timestamp":"2026-11-24T10:00:00Z","http":{"request":{"method":"GET"},"response":{"status_code":200,"body":{"bytes":5}},"version":"1.1"},"url":{"path":"/p","query":"q=1","domain":"e.example"},"source":{"ip":"10.0.0.1","port":99}}`,
			want{"GET", "/p?q=1", "e.example", 200, event.HTTP11, 5, 0, "2026-11-24T10:00:00Z", 0, "10.0.0.1:99", "", false, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			calls, st := read(t, c.line+"\n")
			require.NoError(t, st.First)
			require.Len(t, calls, 1)
			g, w := calls[0], c.want
			require.Equal(t, w.method, string(g.x.Method))
			require.Equal(t, w.target, string(g.x.Target))
			require.Equal(t, w.host, string(g.x.Host))
			require.Equal(t, w.status, g.x.Status)
			require.Equal(t, w.proto, g.x.Protocol)
			require.Equal(t, w.sent, g.x.Res.Bytes)
			require.Equal(t, w.received, g.x.Req.Bytes)
			require.Equal(t, at(w.start), g.x.Start)
			require.Equal(t, w.duration, g.x.End.Sub(g.x.Start))
			addr := func(s string) (a netip.AddrPort) {
				if s != "" {
					a = netip.MustParseAddrPort(s)
				}
				return a
			}
			require.Equal(t, addr(w.client), g.conn.Client)
			require.Equal(t, addr(w.server), g.conn.Server)
			require.Equal(t, w.tls, g.conn.TLS != nil)
			require.True(t, g.conn.Told)
			if w.head == nil {
				w.head = map[string]string{}
			}
			require.Equal(t, w.head, g.head)
		})
	}
}

func TestLinesThatTellOfNoCallMakeNone(t *testing.T) {
	calls, st := read(t, strings.Join([]string{
		`# comment`,
		`10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`,
		`10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "\x16\x03\x01\x02\x00\x01" 400 157 "-" "-"`,
		`10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "-" 408 0 "-" "-"`,
		`10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "" 400 0 "-" "-"`,
		`10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "GET / SSH-2.0" 400 0 "-" "-"`,
		`10.0.0.1 - - [99/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1`,
		`what is this`,
		`10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "GET /cut HT`,
	}, "\n"))
	require.Len(t, calls, 1)
	require.Equal(t, 4, st.NoCall)
	require.Equal(t, 3, st.Bad)
	require.Equal(t, 1, st.Blank)
	require.ErrorContains(t, st.First, "line 7, byte ")
}

func TestALogOfNothingKnownIsAllBad(t *testing.T) {
	calls, st := read(t, "hello\n{\"a\":1}\n[x] y\n")
	require.Empty(t, calls)
	require.Equal(t, 3, st.Bad)
}

func BenchmarkRead(b *testing.B) {
	line := `10.0.0.7 - - [24/Nov/2026:10:00:00 +0000] "GET /api/v1/orders/1234567?page=3 HTTP/1.1" 200 612 "-" "Mozilla/5.0 (X11; Linux x86_64)"` + "\n"
	text := strings.Repeat(line, 10_000)
	b.SetBytes(int64(len(text)))
	n := 0
	for b.Loop() {
		st, err := Read(context.Background(), Config{}, strings.NewReader(text), discard{})
		require.NoError(b, err)
		n += st.Lines
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}

type discard struct{}

func (discard) Emit(*proto.Conn, *proto.Exchange) {}

func FuzzRead(f *testing.F) {
	f.Add(`10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "a\x22"`)
	f.Add(`[2016-04-15T20:17:00.310Z] "POST /a HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "n" "c" "locations" "tcp://10.0.2.1:80"`)
	f.Add(`{"ts":1764000000.25,"request":{"remote_ip":"10.0.0.9","method":"PUT","uri":"/u/1"},"duration":0.25,"status":200}`)
	f.Fuzz(func(t *testing.T, text string) {
		var k keeper
		st, err := Read(context.Background(), Config{}, strings.NewReader(text), &k)
		require.NoError(t, err)
		require.Len(t, k.calls, st.Lines)
		for _, g := range k.calls {
			require.NotEmpty(t, g.x.Method)
			require.NotEmpty(t, g.x.Target)
			require.NotZero(t, g.x.Start)
			require.GreaterOrEqual(t, g.x.End, g.x.Start, fmt.Sprint(text))
			require.GreaterOrEqual(t, g.x.Res.Bytes, int64(0))
			require.True(t, g.x.Status == 0 || g.x.Status >= 100 && g.x.Status <= 999)
		}
	})
}
