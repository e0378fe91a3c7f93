package agent_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gnomon-sensor/gnomon/agent"
	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

func TestTheInventoryIsTheSameFromCallsAndFromTallies(t *testing.T) {
	rows := func(all bool) (string, int) {
		p, got, led := pipeline(t, agent.Config{Names: redact.NamesClear, Recording: true, All: all})
		r := rand.New(rand.NewPCG(1, 2))
		for id := range 12 {
			w := newWire(p.Handlers()[0], chunk.ConnID(id))
			w.now = start + event.Time(id)*7e8
			for range 400 {
				switch r.IntN(5) {
				case 0:
					w.call("GET", "/orders", "", 200, `[{"id":1}]`)
				case 1:
					w.call("GET", fmt.Sprintf("/orders/%d?expand=items", r.IntN(60)), "Authorization: Bearer 0123456789abcdef\r\n", 200, `{"mail":"a@example.org"}`)
				case 2:
					w.call("POST", "/orders", "Content-Type: application/json\r\nContent-Length: 0\r\n", 201, "")
				case 3:
					w.call("GET", fmt.Sprintf("/orders/%d", r.IntN(60)), "", []int{404, 500}[r.IntN(2)], "{}")
				case 4:
					w.call("DELETE", fmt.Sprintf("/orders/%d/items/%d", r.IntN(20), r.IntN(20)), "X-Api-Key: 0123456789\r\n", 204, "")
				}
			}
		}
		p.Flush(start + 1e12)
		require.Zero(t, led.Event().Calls.Balance())
		cat := inventory.New(inventory.Config{})
		for i := range *got {
			cat.Apply(&(*got)[i])
		}
		cat.Relearn(true)
		list, _ := cat.Endpoints(inventory.Query{})
		var out []byte
		for i := range list {
			d, err := cat.Endpoint(list[i].ID, "")
			require.NoError(t, err)
			b, err := json.MarshalIndent(d, "", " ")
			require.NoError(t, err)
			out = append(out, b...)
		}
		return string(out), len(*got)
	}
	calls, many := rows(true)
	tallies, few := rows(false)
	require.Equal(t, 4800, many)
	require.Less(t, few, many/2)
	require.Equal(t, calls, tallies)
}
