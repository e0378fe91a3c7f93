package detect

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// BenchmarkObserve replays an ordinary day through all detectors.
func BenchmarkObserve(b *testing.B) {
	state, err := learnedState()
	require.NoError(b, err)
	w := newTown(9)
	for h := range 24 {
		w.hourOf(learned+1, h)
	}
	calls := w.sorted()
	e := New(Config{})
	require.NoError(b, e.Load(bytes.NewReader(state)))
	b.ReportAllocs()
	i, shift := 0, event.Time(0)
	for b.Loop() {
		c := &calls[i]
		c.Time += shift
		e.Observe(c)
		c.Time -= shift
		if i++; i == len(calls) {
			i, shift = 0, shift+event.Time(day)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func TestObservingKnownCallersDoesNotAllocate(t *testing.T) {
	state, err := learnedState()
	require.NoError(t, err)
	e := New(Config{})
	require.NoError(t, e.Load(bytes.NewReader(state)))
	w := newTown(9)
	w.hourOf(learned+1, 10)
	calls := w.sorted()
	for i := range calls {
		e.Observe(&calls[i])
	}
	i := 0
	shift := event.Time(hour)
	allocs := testing.AllocsPerRun(len(calls)-1, func() {
		c := &calls[i]
		c.Time += shift
		e.Observe(c)
		c.Time -= shift
		i++
	})
	require.LessOrEqual(t, allocs, 0.6, "names that change with each call of a caller (its address, its session) are copied")
}

func TestAPairTakesLessThanAKilobyte(t *testing.T) {
	var p slot[pair]
	require.Less(t, int(unsafe.Sizeof(p))+16+8, 1024, "with its key and pointer in the map")
	t.Logf("pair %d, principal %d, endpoint %d, credential %d, workload %d bytes", unsafe.Sizeof(slot[pair]{}), unsafe.Sizeof(slot[principal]{}), unsafe.Sizeof(slot[endpoint]{}),
		unsafe.Sizeof(slot[credential]{}), unsafe.Sizeof(slot[workload]{}))
}

// FuzzObserve holds the engine to its bounds and its promise not to panic, whatever calls hold; and saved state continues as if nothing had happened.
func FuzzObserve(f *testing.F) {
	f.Add([]byte("a short story of calls that mean nothing at all, but long enough for a few"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := Config{Principals: 8, Endpoints: 8, Pairs: 16, Warmup: 1}
		a := New(cfg)
		now := begin
		word := func() string {
			if len(data) == 0 {
				return ""
			}
			n := min(int(data[0]%4), len(data))
			s := string(data[:n])
			data = data[max(n, 1):]
			return s
		}
		number := func() int64 {
			if len(data) == 0 {
				return 0
			}
			n := int64(int8(data[0]))
			data = data[1:]
			return n
		}
		for len(data) > 0 {
			now += event.Time(number() * number() * second)
			c := event.Call{ID: word(), Time: now, Service: word(), Method: word(), Template: word(), Status: int(number()) * 5, ResponseBytes: number() * number() * number(), RequestBytes: number(),
				Client: event.Peer{Address: word(), Workload: word()}, Server: event.Peer{Address: word(), Workload: word()}, Operations: []string{word()}, Signs: []string{word()}, Count: uint64(number()),
				Auth: event.Auth{Kind: event.AuthKind(number()&7 + 1), Credential: word(), Subject: word()}, Params: []event.Param{{In: event.In(number() & 3), Name: word(), Hash: word()}},
				Data: event.Data{Response: []event.DataClass{{Class: word(), At: word(), Count: int(number())}}}}
			a.Observe(&c)
		}
		a.Flush()
		require.LessOrEqual(t, len(a.principals.at), 8)
		require.LessOrEqual(t, len(a.pairs.at), 16)
		var saved bytes.Buffer
		require.NoError(t, a.Save(&saved))
		require.NoError(t, New(cfg).Load(&saved))
	})
}
