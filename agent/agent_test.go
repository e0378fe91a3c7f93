package agent_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/gnomon-sensor/gnomon/agent"
	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/conn"
	"github.com/gnomon-sensor/gnomon/agent/enrich"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/agent/sink"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

const start = event.Time(1_764_000_000_000_000_000)

var key = [32]byte{1, 2, 3}

type names map[uint32]enrich.Process

func (n names) Process(pid uint32, _ event.Time) enrich.Process { return n[pid] }

// wire feeds one connection to a shard.
type wire struct {
	h   chunk.Handler
	c   chunk.Chunk
	pos [2]uint64
	now event.Time
}

func newWire(h chunk.Handler, id chunk.ConnID) *wire {
	return &wire{h: h, now: start, c: chunk.Chunk{Conn: id, Role: chunk.Server, PID: 10, PeerPID: 20,
		Local: netip.MustParseAddrPort("127.0.0.1:8080"), Remote: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(40000+id))}}
}

func (w *wire) data(d chunk.Dir, s string) {
	w.now += 1e6
	c := w.c
	c.Kind, c.Dir, c.Pos, c.Len, c.Data, c.Time = chunk.Data, d, w.pos[d], uint64(len(s)), []byte(s), w.now
	w.pos[d] += c.Len
	w.h.Chunk(&c)
}

func (w *wire) call(method, target string, header string, status int, body string) {
	w.data(chunk.Received, method+" "+target+" HTTP/1.1\r\nHost: Shop.example:8080\r\n"+header+"\r\n")
	w.data(chunk.Sent, fmt.Sprintf("HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body))
}

func pipeline(t *testing.T, cfg agent.Config) (*agent.Pipeline, *[]event.Call, *ledger.Ledger) {
	t.Helper()
	var got []event.Call
	led := new(ledger.Ledger)
	cfg.Key = key
	p, err := agent.New(cfg, led, sink.NewDirect(led, func(c *event.Call) { got = append(got, c.Clone()) }))
	require.NoError(t, err)
	return p, &got, led
}

func TestACallFromTheWireHasItsIdentitiesPathAndSizes(t *testing.T) {
	p, got, led := pipeline(t, agent.Config{Node: "n1", Names: redact.NamesClear,
		Processes: names{10: {Name: "python3", Workload: "orders"}, 20: {Name: "curl", Workload: "curl"}}})
	w := newWire(p.Handlers()[0], 1)
	w.call("GET", "/orders/42?expand=items&page=2", "Authorization: Bearer abcdef0123456789\r\n", 200, `{"id":42,"mail":"a@example.org"}`)
	p.Flush(w.now)
	require.Len(t, *got, 1)
	c := (*got)[0]
	require.Equal(t, "orders:8080", c.Service)
	require.Equal(t, event.SideServer, c.Side)
	require.Equal(t, "host/n1/orders", c.Server.Workload)
	require.Equal(t, "host/n1/curl", c.Client.Workload)
	require.Equal(t, "curl", c.Client.Process)
	require.Equal(t, "shop.example", c.Host)
	require.Equal(t, "/orders/{orderId}", c.Template)
	require.Equal(t, 200, c.Status)
	require.EqualValues(t, 32, c.ResponseBytes)
	require.EqualValues(t, 1e6, c.FirstByteNS)
	require.Equal(t, event.AuthBearerOpaque, c.Auth.Kind)
	require.Equal(t, event.Plaintext, c.Encryption)
	require.Len(t, c.ID, 16)
	require.Equal(t, []event.DataClass{{Class: "email", At: "$.mail", Count: 1}}, c.Data.Response)
	var params []string
	for _, q := range c.Params {
		params = append(params, q.In.String()+":"+q.Name+":"+q.Kind.String())
	}
	require.Equal(t, []string{"path:orderId:integer", "query:expand:word", "query:page:integer"}, params)
	acc := led.Event().Calls
	require.EqualValues(t, 1, acc.Captured)
	require.Zero(t, acc.Balance())
}

func TestTheSameChunksGiveTheSameBytes(t *testing.T) {
	run := func() string {
		p, got, _ := pipeline(t, agent.Config{Names: redact.NamesClear, Recording: true})
		for id := range 5 {
			w := newWire(p.Handlers()[0], chunk.ConnID(id))
			for i := range 200 {
				w.call("GET", fmt.Sprintf("/users/%d/posts?x=%d", i%7, i), "", 200+i%3*100, "{}")
			}
		}
		p.Flush(start + 1e10)
		var b strings.Builder
		for i := range *got {
			b.Write((*got)[i].AppendJSON(nil))
			b.WriteByte('\n')
		}
		return b.String()
	}
	first := run()
	require.Contains(t, first, `"count":`)
	require.Equal(t, first, run())
}

func TestCallsOfCoveredConnectionsAndOfGnomonItselfDoNotCount(t *testing.T) {
	p, got, led := pipeline(t, agent.Config{OwnPID: 20})
	w := newWire(p.Handlers()[0], 1)
	w.call("GET", "/own", "", 200, "")
	w = newWire(p.Handlers()[0], 2)
	w.c.PeerPID, w.c.Flags, w.c.Role = 0, chunk.EndCovered, chunk.Client
	w.data(chunk.Sent, "GET /covered HTTP/1.1\r\nHost: a\r\n\r\n")
	w.data(chunk.Received, "HTTP/1.1 204 No Content\r\n\r\n")
	p.Flush(w.now)
	require.Empty(t, *got)
	acc := led.Event().Calls
	require.EqualValues(t, 1, acc.Captured) // a covered connection is not even parsed
	require.Equal(t, map[string]uint64{"own": 1}, acc.Lost)
	require.Zero(t, acc.Balance())
}

func TestWithoutAKeyThereIsNoPipeline(t *testing.T) {
	_, err := agent.New(agent.Config{}, new(ledger.Ledger), sink.NewDirect(new(ledger.Ledger), func(*event.Call) {}))
	require.ErrorContains(t, err, "no key")
}

func TestTheSourceIsToldOfConnectionsThatAreNotDecoded(t *testing.T) {
	var stopped []chunk.ConnID
	p, _, _ := pipeline(t, agent.Config{Conn: conn.Config{Stopped: func(id chunk.ConnID) { stopped = append(stopped, id) }}})
	w := newWire(p.Handlers()[0], 7)
	w.data(chunk.Received, "SSH-2.0-OpenSSH_9.2\r\n")
	w.data(chunk.Sent, "SSH-2.0-OpenSSH_9.2\r\n")
	w = newWire(p.Handlers()[0], 8)
	w.call("GET", "/", "", 200, "")
	p.Flush(w.now)
	require.Equal(t, []chunk.ConnID{7}, stopped)
	require.EqualValues(t, 1, p.Stats().Undecoded["ssh"])
}
