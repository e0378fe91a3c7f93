package inventory

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzWhatAStoreHoldsIsReadOrRefused gives LoadLeaf what a damaged or foreign store may hold: it is refused, or counted and shown.
func FuzzWhatAStoreHoldsIsReadOrRefused(f *testing.F) {
	c := New(Config{})
	apply(c, traffic(rand.New(rand.NewPCG(9, 9)), 60))
	_, leaves, _, err := c.Changed(8)
	require.NoError(f, err)
	for _, l := range leaves {
		f.Add(l.Path, l.Evidence, l.Fixed)
	}
	f.Add([]byte(`[{"kind":"mixed","parts":[{"kind":"word"}]}]`), []byte(`{"latency":{"low":-9,"counts":[1,2]},"request_size":{"low":32767,"counts":[3]},"caller_set":"AQ=="}`), "")
	f.Add([]byte(nil), []byte(`{"calls":18446744073709551615,"params":[{"in":"path","h":18446744073709551615}]}`), "/a/{b}")
	f.Fuzz(func(t *testing.T, path, evidence []byte, fixed string) {
		c := New(Config{SeenCalls: 16})
		err := c.LoadLeaf(LeafRecord{Service: "s", Key: 1, Method: "GET", Path: path, Fixed: fixed, Evidence: evidence})
		if err != nil {
			require.Zero(t, c.Stats().Calls)
			require.Empty(t, c.Stats().Leaves)
			return
		}
		x := call(1, "GET", 200, "orders", "3")
		c.Apply(&x)
		c.Relearn(true)
		rows, _ := c.Endpoints(Query{Probes: true})
		for _, r := range rows {
			_, err := c.Endpoint(r.ID, "")
			require.NoError(t, err)
		}
		_, again, _, err := c.Changed(10)
		require.NoError(t, err)
		for _, l := range again {
			require.True(t, json.Valid(l.Evidence))
			require.NoError(t, New(Config{SeenCalls: 16}).LoadLeaf(l))
		}
	})
}
