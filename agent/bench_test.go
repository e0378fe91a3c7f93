package agent_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/gnomon-sensor/gnomon/agent"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/agent/sink"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

// exchanges are requests as a web client makes them, n different ones on one connection.
func exchanges(n int) (*proto.Conn, []*proto.Exchange) {
	c := &proto.Conn{Client: netip.MustParseAddrPort("10.0.0.7:51324"), Server: netip.MustParseAddrPort("10.0.0.9:8080"), Side: event.SideServer, PID: 10}
	var list []*proto.Exchange
	for i := range n {
		x := &proto.Exchange{Seq: uint64(i), Protocol: event.HTTP11, Method: []byte("GET"), Target: fmt.Appendf(nil, "/api/v1/orders/%d/items?page=%d&limit=50", 1000+i, i%40), Host: []byte("shop.example"), Status: 200}
		for _, f := range [][2]string{{"Host", "shop.example"}, {"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0"}, {"Accept", "application/json"},
			{"Accept-Encoding", "gzip, br"}, {"Connection", "keep-alive"}, {"Authorization", "Bearer mF_9.B5f-4.1JqMmF_9.B5f-4.1JqM"}, {"Cookie", "theme=dark; lang=en"}} {
			x.Req.Fields = append(x.Req.Fields, proto.Field{Name: []byte(f[0]), Value: []byte(f[1])})
		}
		for _, f := range [][2]string{{"Server", "nginx"}, {"Content-Type", "application/json"}, {"Content-Length", "60"}, {"Date", "now"}} {
			x.Res.Fields = append(x.Res.Fields, proto.Field{Name: []byte(f[0]), Value: []byte(f[1])})
		}
		x.Res.Body = []byte(`{"items":[{"id":1,"name":"lamp","price":12.5}],"next":null}`)
		x.Res.Bytes = int64(len(x.Res.Body))
		list = append(list, x)
	}
	return c, list
}

// emit runs x through the shard at the i-th 10 µs.
func emit(e proto.Emitter, c *proto.Conn, x *proto.Exchange, i int) {
	x.Start = start + event.Time(i)*10_000
	x.FirstByte, x.End = x.Start+500_000, x.Start+600_000
	e.Emit(c, x)
}

func TestAHotCallCostsNoAllocation(t *testing.T) {
	led := new(ledger.Ledger)
	p, err := agent.New(agent.Config{Key: key, Names: redact.NamesClear, Node: "n1", Processes: names{10: {Name: "nginx", Workload: "nginx"}}}, led, sink.NewDirect(led, func(*event.Call) {}))
	require.NoError(t, err)
	c, list := exchanges(64)
	i := 0
	one := func() { emit(p.Emitter(0), c, list[i%64], i); i++ }
	for range 1000 {
		one()
	}
	require.Zero(t, testing.AllocsPerRun(2000, one))
}

// BenchmarkExchange is redact, enrich and fold of one call. distinct: how many different paths there are; 64 fit the caches.
func BenchmarkExchange(b *testing.B) {
	for _, all := range []bool{false, true} {
		for _, distinct := range []int{1, 64, 50_000} {
			b.Run(fmt.Sprintf("all=%v/distinct=%d", all, distinct), func(b *testing.B) {
				led := new(ledger.Ledger)
				var n uint64
				p, err := agent.New(agent.Config{Key: key, Names: redact.NamesClear, Node: "n1", All: all}, led, sink.NewDirect(led, func(c *event.Call) { n += c.Calls() }))
				require.NoError(b, err)
				c, list := exchanges(distinct)
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					emit(p.Emitter(0), c, list[i%distinct], i)
				}
				p.Flush(start)
				require.EqualValues(b, b.N, n)
			})
		}
	}
}
