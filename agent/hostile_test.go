package agent_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/gnomon-sensor/gnomon/agent"
	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/agent/sink"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

func TestFloodsCostDetailAndNeverMemoryOrCounts(t *testing.T) {
	const n = 30_000
	id := func(i int) string { return fmt.Sprintf("%c%c%c%c", 'a'+i%26, 'a'+i/26%26, 'a'+i/676%26, 'a'+i/17576) }
	for what, send := range map[string]func(w *wire, i int){
		"paths":      func(w *wire, i int) { w.call("GET", "/x/"+id(i)+"/"+id(i*7), "", 404, "") },
		"hosts":      func(w *wire, i int) { w.call("GET", "http://"+id(i)+".example/", "", 200, "") },
		"parameters": func(w *wire, i int) { w.call("GET", "/s?"+id(i)+"=1&"+id(i*7)+"=2", "", 200, "") },
		"headers":    func(w *wire, i int) { w.call("GET", "/s", "X-"+id(i)+": "+id(i)+"\r\n", 200, "") },
		"credentials": func(w *wire, i int) {
			w.call("GET", "/s", "Authorization: Bearer "+id(i)+strings.Repeat("x", 400)+"\r\n", 200, "")
		},
		"methods": func(w *wire, i int) { w.call(strings.ToUpper(id(i)), "/s", "", 200, "") },
		"body fields": func(w *wire, i int) {
			w.call("GET", "/s", "", 200, fmt.Sprintf(`{"%s":{"%s":1},"%s":[{"%s":"x"}]}`, id(i), id(i*3), id(i*5), id(i*7)))
		},
		"statuses": func(w *wire, i int) { w.call("GET", "/s", "", 100+100*(1+i%5)+i%100, "") },
	} {
		t.Run(what, func(t *testing.T) {
			led := new(ledger.Ledger)
			var calls, left uint64
			p, err := agent.New(agent.Config{Key: key, Names: redact.NamesClear, Recording: true}, led,
				sink.NewDirect(led, func(c *event.Call) { calls += c.Calls(); left++ }))
			require.NoError(t, err)
			w := newWire(p.Handlers()[0], 1)
			w.c.Local = netip.MustParseAddrPort("10.0.0.9:8080")
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range n {
				send(w, i)
				w.now -= 1_900_000 // 0.1 ms a call
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(48<<20))
			p.Flush(w.now)
			require.EqualValues(t, n, calls)
			require.Zero(t, led.Event().Calls.Balance())
		})
	}
}

func TestUnderLateNamesNoWordOfTheTrafficIsInCallOrTally(t *testing.T) {
	led := new(ledger.Ledger)
	var out []byte
	p, err := agent.New(agent.Config{Key: key, Node: "n1"}, led, sink.NewDirect(led, func(c *event.Call) { out = append(c.AppendJSON(out), '\n') }))
	require.NoError(t, err)
	w := newWire(p.Handlers()[0], 1)
	for range 300 {
		w.call("GET", "/users/zorblax/qwibble?frobnitz=7&page=2", "X-Grunthos: 1\r\nCookie: plugh=xyzzy\r\n", 200, `{"vogon":{"poetry":"zorblax"}}`)
		w.call("FNORD", "/zorblax.json", "Host: qwibble.frobnitz.example\r\n", 503, "")
	}
	p.Flush(w.now)
	require.Contains(t, string(out), `"count":`)
	for _, word := range []string{"zorblax", "qwibble", "frobnitz", "grunthos", "plugh", "xyzzy", "vogon", "poetry", "fnord"} {
		require.NotContains(t, strings.ToLower(string(out)), word)
	}
	require.Contains(t, string(out), "users", "a word of the list")
}

func TestAConnectionThatNeverEndsItsRequestIsBounded(t *testing.T) {
	p, got, _ := pipeline(t, agent.Config{Recording: true})
	for id := range 2000 {
		w := newWire(p.Handlers()[0], chunk.ConnID(id))
		w.data(chunk.Received, "GET /slow HTTP/1.1\r\nHost: a\r\nX-A: b\r\n")
	}
	require.Less(t, p.Stats().Memory, int64(16<<20))
	require.EqualValues(t, 2000, p.Stats().Open)
	p.Flush(start + 1e12)
	require.LessOrEqual(t, len(*got), 2000)
}
