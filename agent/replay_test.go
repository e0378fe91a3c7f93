package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/gnomon-sensor/gnomon/agent"
	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/agent/source/record"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

// player takes what a recording holds to a Pipeline.
type player struct {
	*agent.Pipeline
	newest event.Time
}

func (p *player) Chunk(c *chunk.Chunk) {
	p.newest = max(p.newest, c.Time)
	p.Handlers()[0].Chunk(c)
}

func TestTheReplayOfALiveCaptureGivesTheSameBytes(t *testing.T) {
	lines := func(calls []event.Call) string {
		var b []byte
		for i := range calls {
			b = append(calls[i].AppendJSON(b), '\n')
		}
		return string(b)
	}
	for _, all := range []bool{true, false} {
		who := names{10: {Name: "python3", Workload: "orders"}, 20: {Name: "curl", Workload: "curl"}, 99: {Name: "gnomon", Workload: "gnomon"}}
		p, got, _ := pipeline(t, agent.Config{Node: "n1", Names: redact.NamesClear, Processes: who, OwnPID: 99, All: all})
		var file bytes.Buffer
		w, err := record.NewWriter(&file)
		require.NoError(t, err)
		w.Know("n1", 99, func(pid uint32, _ event.Time) (string, string) { return who[pid].Name, who[pid].Workload })
		h := w.Tee(p.Handlers()[0])
		var last event.Time
		for id := range 6 {
			c := newWire(h, chunk.ConnID(id))
			if id == 5 {
				c.c.PeerPID = 99 // gnomon's own client
			}
			for i := range 40 {
				c.call("GET", fmt.Sprintf("/users/%d/posts?x=%d", i%7, i), "", 200+i%3*100, `{"a":1}`)
			}
			c.data(chunk.Received, "GET /open HTTP/1.1\r\nHost: a\r\n\r\n")
			last = max(last, c.now)
		}
		p.Flush(last)
		require.NoError(t, w.Close())
		require.Contains(t, lines(*got), `"workload":"host/n1/curl"`)

		q, again, led := pipeline(t, agent.Config{Names: redact.NamesClear, Recording: true, All: all})
		to := &player{Pipeline: q}
		_, err = record.Read(context.Background(), &file, to)
		require.NoError(t, err)
		q.Flush(to.newest)
		require.Equal(t, lines(*got), lines(*again))
		require.EqualValues(t, 41, led.Event().Calls.Lost["own"])
	}
}
