package collector_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/collector"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

func call(n int) event.Call {
	return event.Call{ID: fmt.Sprint("id", n), Time: event.Time(1763978400e9 + n), Service: fmt.Sprintf("svc%d:80", n%2), Method: "GET",
		Path: []event.Segment{{Kind: event.KindWord, Text: "orders", Token: 7}}, Status: 200, Client: event.Peer{Address: "10.0.0.1"}}
}

func batch(from, n int) (b []event.Call) {
	for i := range n {
		b = append(b, call(from+i))
	}
	return b
}

func open(t *testing.T, path string) store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	return st
}

func TestARestartGoesOnWithTheSameCountsAndCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	for life := range 3 {
		st := open(t, path)
		cat := inventory.New(inventory.Config{})
		c, err := collector.New(t.Context(), collector.Config{}, cat, st)
		require.NoError(t, err)
		require.EqualValues(t, 1000*life, cat.Stats().Calls)
		recent, last, err := c.Calls(t.Context(), inventory.Query{}, 0, 5000)
		require.NoError(t, err)
		require.Len(t, recent, 1000*life)
		require.EqualValues(t, 1000*life, last)
		require.NoError(t, c.Put(batch(1000*life, 1000)))
		recent, last, err = c.Calls(t.Context(), inventory.Query{}, 0, 5000)
		require.NoError(t, err)
		require.Len(t, recent, 1000*(life+1))
		for i, x := range recent {
			require.EqualValues(t, i+1, x.Seq)
			require.Contains(t, string(x.JSON), fmt.Sprintf(`{"id":"id%d",`, i))
		}
		require.EqualValues(t, 1000*(life+1), last)
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, st.Close())
	}
}

// failing is a store that cannot write for a while.
type failing struct {
	store.Store
	down bool
}

var errDown = errors.New("disk full")

func (f *failing) Save(ctx context.Context, b *store.Batch) error {
	if f.down {
		return errDown
	}
	return f.Store.Save(ctx, b)
}

func TestWhatCannotBeStoredNowIsStoredLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	st := &failing{Store: open(t, path), down: true}
	c, err := collector.New(t.Context(), collector.Config{Batch: 3}, inventory.New(inventory.Config{}), st)
	require.NoError(t, err)
	require.NoError(t, c.Put(batch(0, 500)))
	require.ErrorIs(t, c.Flush(t.Context()), errDown)
	require.ErrorIs(t, c.Flush(t.Context()), errDown)
	st.down = false
	require.NoError(t, c.Flush(t.Context()))
	again := inventory.New(inventory.Config{})
	require.NoError(t, st.Load(t.Context(), again))
	require.EqualValues(t, 500, again.Stats().Calls)
	kept, _, err := st.Calls(t.Context(), inventory.Query{}, 0, 1000)
	require.NoError(t, err)
	require.Len(t, kept, 500)
	services, _ := again.Services(inventory.Query{})
	require.Len(t, services, 2)
}

type observer struct {
	seen  int
	ticks []event.Time
}

func (o *observer) Observe(*event.Call) { o.seen++ }
func (o *observer) Tick(at event.Time)  { o.ticks = append(o.ticks, at) }

func TestEveryCallIsObservedAndNoveltyIsTold(t *testing.T) {
	var o observer
	news := 0
	c, err := collector.New(t.Context(), collector.Config{Observers: []collector.Observer{&o}, Changed: func(x *event.Call, ch []inventory.Change) { news += len(ch) }},
		inventory.New(inventory.Config{}), nil)
	require.NoError(t, err)
	require.NoError(t, c.Put(batch(0, 100)))
	require.Equal(t, 100, o.seen)
	require.Equal(t, 4, news, "two services with an endpoint each")
	require.Equal(t, []event.Time{call(99).Time}, o.ticks)
}

func TestAlertsAreKeptAndFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	st := open(t, path)
	c, err := collector.New(t.Context(), collector.Config{}, inventory.New(inventory.Config{}), st)
	require.NoError(t, err)
	alert := func(uid, service string, severity int) store.Alert {
		return store.Alert{UID: uid, Service: service, Severity: severity, Time: 5, JSON: []byte(`{"uid":"` + uid + `"}`)}
	}
	c.Alert(alert("a", "x", 2))
	c.Alert(alert("b", "y", 2))
	require.NoError(t, c.Flush(t.Context()))
	c.Alert(alert("a", "x", 4))
	list, last, err := c.Alerts(t.Context(), inventory.Query{}, 0, 10)
	require.NoError(t, err)
	require.EqualValues(t, 3, last)
	require.Len(t, list, 2)
	require.Equal(t, "b", list[0].UID)
	require.Equal(t, 4, list[1].Severity)
	var uids []string
	enough := errors.New("enough")
	require.ErrorIs(t, c.FollowAlerts(t.Context(), inventory.Query{Service: "x"}, 1, func(a store.Alert) error {
		if uids = append(uids, a.UID); len(uids) == 2 {
			return enough
		}
		c.Alert(alert("z", "y", 1))
		c.Alert(alert("d", "x", 1))
		return nil
	}), enough)
	require.Equal(t, []string{"a", "d"}, uids)
	require.NoError(t, c.Close(t.Context()))
	again, err := collector.New(t.Context(), collector.Config{}, inventory.New(inventory.Config{}), st)
	require.NoError(t, err)
	list, last, err = again.Alerts(t.Context(), inventory.Query{}, 0, 10)
	require.NoError(t, err)
	require.Len(t, list, 4)
	require.EqualValues(t, 5, last)
}

func TestFollowersGetEachCallOnceInOrder(t *testing.T) {
	c, err := collector.New(t.Context(), collector.Config{}, inventory.New(inventory.Config{}), nil)
	require.NoError(t, err)
	require.NoError(t, c.Put(batch(0, 10)))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var got []uint64
	var wg sync.WaitGroup
	wg.Go(func() {
		err := c.Follow(ctx, inventory.Query{Service: "svc1*"}, 4, func(x store.Sequenced) error {
			if got = append(got, x.Seq); len(got) == 503 {
				stop()
			}
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
	})
	for i := range 10 {
		time.Sleep(time.Millisecond)
		require.NoError(t, c.Put(batch(10+100*i, 100)))
	}
	wg.Wait()
	require.Len(t, got, 503)
	for i, seq := range got {
		require.EqualValues(t, 6+2*i, seq)
	}
}

func TestFollowersOfAFileSeeWhatAnotherProcessWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	w, err := collector.New(t.Context(), collector.Config{}, inventory.New(inventory.Config{}), open(t, path))
	require.NoError(t, err)
	st, err := store.OpenReader(t.Context(), path)
	require.NoError(t, err)
	defer st.Close()
	r, err := collector.New(t.Context(), collector.Config{}, inventory.New(inventory.Config{}), st)
	require.NoError(t, err)
	require.NoError(t, w.Put(batch(0, 10)))
	require.NoError(t, w.Flush(t.Context()))
	n := 0
	done := errors.New("enough")
	require.ErrorIs(t, r.Follow(t.Context(), inventory.Query{}, 0, func(store.Sequenced) error {
		if n++; n == 10 {
			return done
		}
		return nil
	}), done)
}

func TestFollowEndsWhenTheCollectorDoes(t *testing.T) {
	c, err := collector.New(t.Context(), collector.Config{}, inventory.New(inventory.Config{}), nil)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Follow(t.Context(), inventory.Query{}, 0, func(store.Sequenced) error { return nil })
	}()
	time.Sleep(10 * time.Millisecond)
	require.NoError(t, c.Close(t.Context()))
	require.Error(t, <-ended)
}

func TestPutDoesNotAllocateOnceTheRingIsFull(t *testing.T) {
	c, err := collector.New(t.Context(), collector.Config{Ring: 100}, inventory.New(inventory.Config{}), nil)
	require.NoError(t, err)
	b := batch(0, 100)
	for range 3 {
		require.NoError(t, c.Put(b))
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = c.Put(b) }))
}

func BenchmarkPut(b *testing.B) {
	c, err := collector.New(b.Context(), collector.Config{}, inventory.New(inventory.Config{}), nil)
	require.NoError(b, err)
	calls := batch(0, 1000)
	for i := range calls {
		calls[i].ID = ""
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Put(calls)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/call")
}
