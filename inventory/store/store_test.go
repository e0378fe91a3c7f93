package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

const start = event.Time(1763978400e9)

func call(n int) event.Call {
	return event.Call{ID: fmt.Sprint("id", n), Time: start.Add(time.Duration(n) * time.Second), Service: fmt.Sprintf("svc%d:80", n%3), Method: "GET",
		Path:   []event.Segment{{Kind: event.KindWord, Text: fmt.Sprint("w", n%7), Token: uint64(n%7 + 1)}, {Kind: event.KindInteger, Token: uint64(n)}},
		Status: 200 + n%2*204, Client: event.Peer{Address: "10.0.0.1"}, Server: event.Peer{Address: "10.1.1.1", Port: 80}, DurationNS: int64(n)}
}

func filled(n int) *inventory.Catalog {
	c := inventory.New(inventory.Config{})
	for i := range n {
		x := call(i)
		c.Apply(&x)
	}
	return c
}

// saveAll writes what changed in c.
func saveAll(t *testing.T, s store.Store, c *inventory.Catalog) {
	t.Helper()
	for more := true; more; {
		var b store.Batch
		var err error
		b.Services, b.Leaves, more, err = c.Changed(5)
		require.NoError(t, err)
		require.NoError(t, s.Save(t.Context(), &b))
	}
}

func rows(t *testing.T, s store.Store) ([]inventory.Service, []inventory.Endpoint, *inventory.Catalog) {
	t.Helper()
	c := inventory.New(inventory.Config{})
	require.NoError(t, s.Load(t.Context(), c))
	services, _ := c.Services(inventory.Query{})
	endpoints, _ := c.Endpoints(inventory.Query{})
	return services, endpoints, c
}

// conform is what every Store must do. reopen closes the store and gives it again.
func conform(t *testing.T, open func(t *testing.T) (s store.Store, reopen func() store.Store)) {
	t.Run("an empty store is empty", func(t *testing.T) {
		s, _ := open(t)
		services, endpoints, _ := rows(t, s)
		require.Empty(t, services)
		require.Empty(t, endpoints)
		calls, last, err := s.Calls(t.Context(), inventory.Query{}, 0, 10)
		require.NoError(t, err)
		require.Empty(t, calls)
		require.Zero(t, last)
		sensors, err := s.Sensors(t.Context())
		require.NoError(t, err)
		require.Equal(t, []event.Sensor{}, sensors)
	})
	t.Run("what was saved comes back after a restart, and counting goes on", func(t *testing.T) {
		s, reopen := open(t)
		c := filled(200)
		saveAll(t, s, c)
		wantServices, _ := c.Services(inventory.Query{})
		wantEndpoints, _ := c.Endpoints(inventory.Query{})
		s = reopen()
		services, endpoints, again := rows(t, s)
		require.Equal(t, wantServices, services)
		require.Equal(t, wantEndpoints, endpoints)
		require.EqualValues(t, 200, again.Stats().Calls)
		x := call(200)
		again.Apply(&x)
		saveAll(t, s, again)
		_, _, last := rows(t, s)
		require.EqualValues(t, 201, last.Stats().Calls)
	})
	t.Run("a document stays until it is replaced or dropped", func(t *testing.T) {
		s, reopen := open(t)
		list, err := s.Documents(t.Context())
		require.NoError(t, err)
		require.Equal(t, []spec.Document{}, list)
		a := spec.Document{ID: "a1", Service: "shop", Format: spec.OpenAPI31, Title: "Shop", Version: "1", Source: "shop.yaml", Imported: start, Raw: []byte("openapi: 3.1.0")}
		b, newer := a, a
		b.ID, b.Version = "b1", "2"
		newer.ID, newer.Raw = "a2", []byte("{}")
		for _, d := range []spec.Document{a, b, newer, newer} {
			require.NoError(t, s.PutDocument(t.Context(), &d))
		}
		s = reopen()
		list, err = s.Documents(t.Context())
		require.NoError(t, err)
		require.Equal(t, []spec.Document{newer, b}, list, "the one of the same service, title and version is replaced")
		require.NoError(t, s.DropDocument(t.Context(), "a2"))
		require.NoError(t, s.DropDocument(t.Context(), "none"))
		list, err = s.Documents(t.Context())
		require.NoError(t, err)
		require.Equal(t, []spec.Document{b}, list)
	})
	t.Run("saving the same twice changes nothing", func(t *testing.T) {
		s, _ := open(t)
		c := filled(50)
		var b store.Batch
		b.Services, b.Leaves, _, _ = c.Changed(1000)
		require.NoError(t, s.Save(t.Context(), &b))
		require.NoError(t, s.Save(t.Context(), &b))
		_, _, again := rows(t, s)
		require.EqualValues(t, 50, again.Stats().Calls)
	})
	t.Run("a leaf that is gone is forgotten", func(t *testing.T) {
		s, _ := open(t)
		c := filled(50)
		var b store.Batch
		b.Services, b.Leaves, _, _ = c.Changed(1000)
		require.NoError(t, s.Save(t.Context(), &b))
		for i := range b.Leaves {
			b.Leaves[i].Gone = i > 0
		}
		require.NoError(t, s.Save(t.Context(), &b))
		_, endpoints, _ := rows(t, s)
		require.Len(t, endpoints, 1)
	})
	t.Run("a batch is saved whole or not at all", func(t *testing.T) {
		s, _ := open(t)
		c := filled(50)
		var b store.Batch
		b.Services, b.Leaves, _, _ = c.Changed(1000)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, s.Save(ctx, &b))
		_, endpoints, _ := rows(t, s)
		require.Empty(t, endpoints)
		require.NoError(t, s.Save(t.Context(), &b))
	})
	t.Run("recent calls are kept up to a bound, in order, and selected", func(t *testing.T) {
		s, _ := open(t)
		for from := 1; from <= store.KeepCalls+500; from += 500 {
			var b store.Batch
			for i := from; i < from+500; i++ {
				x := call(i)
				b.Calls = append(b.Calls, store.Sequenced{Seq: uint64(i), Service: x.Service, Time: x.Time, JSON: x.AppendJSON(nil)})
			}
			require.NoError(t, s.Save(t.Context(), &b))
		}
		all, last, err := s.Calls(t.Context(), inventory.Query{}, 0, 1<<20)
		require.NoError(t, err)
		require.Len(t, all, store.KeepCalls)
		require.EqualValues(t, store.KeepCalls+500, last)
		require.EqualValues(t, last, all[len(all)-1].Seq)
		some, _, err := s.Calls(t.Context(), inventory.Query{Service: "svc1:80", Since: start.Add(9000 * time.Second)}, last-100, 10)
		require.NoError(t, err)
		require.Len(t, some, 10)
		for i, x := range some {
			require.Equal(t, "svc1:80", x.Service)
			require.Greater(t, x.Seq, last-100)
			require.Contains(t, string(x.JSON), `"service":"svc1:80"`)
			if i > 0 {
				require.Greater(t, x.Seq, some[i-1].Seq)
			}
		}
		prefixed, _, err := s.Calls(t.Context(), inventory.Query{Service: "svc*"}, last-5, 100)
		require.NoError(t, err)
		require.Len(t, prefixed, 5)
	})
	t.Run("an alert that is updated is told once, in its new place", func(t *testing.T) {
		s, _ := open(t)
		alert := func(seq int, uid, service string) store.Alert {
			return store.Alert{Seq: uint64(seq), UID: uid, Service: service, Kind: "k", Severity: 3, Time: start.Add(time.Duration(seq)), JSON: []byte("{}")}
		}
		require.NoError(t, s.Save(t.Context(), &store.Batch{Alerts: []store.Alert{alert(1, "a", "x"), alert(2, "b", "y"), alert(3, "c", "x")}}))
		require.NoError(t, s.Save(t.Context(), &store.Batch{Alerts: []store.Alert{alert(4, "a", "x")}}))
		got, last, err := s.Alerts(t.Context(), inventory.Query{}, 0, 10)
		require.NoError(t, err)
		require.Equal(t, []store.Alert{alert(2, "b", "y"), alert(3, "c", "x"), alert(4, "a", "x")}, got)
		require.EqualValues(t, 4, last)
		got, _, err = s.Alerts(t.Context(), inventory.Query{Service: "x"}, 3, 10)
		require.NoError(t, err)
		require.Equal(t, []store.Alert{alert(4, "a", "x")}, got)
	})
	t.Run("the state of a node is the last that it told", func(t *testing.T) {
		s, reopen := open(t)
		one := event.Sensor{Node: "a", State: "capturing", BlindSpots: []event.BlindSpot{{Kind: "tls", Count: 3}}}
		one.Ledger.Calls = event.Account{Captured: 5, Delivered: 4, Lost: map[string]uint64{"resync": 1}}
		require.NoError(t, s.Save(t.Context(), &store.Batch{Sensors: []event.Sensor{one, {Node: "b"}}}))
		one.State = "stopped"
		require.NoError(t, s.Save(t.Context(), &store.Batch{Sensors: []event.Sensor{one}}))
		got, err := reopen().Sensors(t.Context())
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, "stopped", got[0].State)
		require.Equal(t, one.Ledger.Calls, got[0].Ledger.Calls)
		require.Equal(t, one.BlindSpots, got[0].BlindSpots)
	})
	t.Run("a secret is made once and stays", func(t *testing.T) {
		s, reopen := open(t)
		a, err := s.Secret(t.Context(), "key", 16)
		require.NoError(t, err)
		require.Len(t, a, 16)
		other, err := s.Secret(t.Context(), "other", 16)
		require.NoError(t, err)
		require.NotEqual(t, a, other)
		b, err := reopen().Secret(t.Context(), "key", 16)
		require.NoError(t, err)
		require.Equal(t, a, b)
	})
}

func TestSQLiteConforms(t *testing.T) {
	conform(t, func(t *testing.T) (store.Store, func() store.Store) {
		path := filepath.Join(t.TempDir(), "a store ?#%.db")
		s, err := store.Open(t.Context(), path)
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		return s, func() store.Store {
			require.NoError(t, s.Close())
			s, err = store.Open(t.Context(), path)
			require.NoError(t, err)
			return s
		}
	})
}

func TestAStoreIsReadWhileItIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	w, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	defer w.Close()
	saveAll(t, w, filled(30))
	r, err := store.OpenReader(t.Context(), path)
	require.NoError(t, err)
	defer r.Close()
	_, _, c := rows(t, r)
	require.EqualValues(t, 30, c.Stats().Calls)
	saveAll(t, w, filled(90))
	_, _, c = rows(t, r)
	require.EqualValues(t, 90, c.Stats().Calls)
	require.Error(t, r.Save(t.Context(), &store.Batch{Sensors: []event.Sensor{{Node: "a"}}}), "a reader does not write")
}

func TestAStoreHasOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	w, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	_, err = store.Open(t.Context(), path)
	require.ErrorIs(t, err, store.ErrInUse)
	require.ErrorContains(t, err, "--store")
	require.NoError(t, w.Close())
	w, err = store.Open(t.Context(), path)
	require.NoError(t, err)
	w.Close()
}

func TestAStoreIsForItsUserAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	w, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	defer w.Close()
	saveAll(t, w, filled(10))
	for _, f := range []string{path, path + "-wal", path + ".lock"} {
		st, err := os.Stat(f)
		require.NoError(t, err)
		require.Zero(t, st.Mode().Perm()&0o077, "%s is open to others: %v", f, st.Mode())
	}
}

func TestAStoreOfANewerVersionIsRefusedAndLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	w, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	w.Close()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = store.Open(t.Context(), path)
	require.ErrorIs(t, err, store.ErrNewer)
	require.ErrorContains(t, err, "use the newer gnomon")
	_, err = store.OpenReader(t.Context(), path)
	require.ErrorIs(t, err, store.ErrNewer)
}

func TestWhatIsNoStoreIsRefusedWithTheNextStep(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte("this is not a database, but it is long enough to look at it twice; really, it is only text, line after line of it\n"), 0o600))
	_, err := store.Open(t.Context(), text)
	require.ErrorContains(t, err, "no gnomon store")
	_, err = store.OpenReader(t.Context(), text)
	require.ErrorContains(t, err, "no gnomon store")
	_, err = store.Open(t.Context(), dir)
	require.ErrorContains(t, err, "is a directory")
	_, err = store.Open(t.Context(), filepath.Join(dir, "no", "such", "dir.db"))
	require.ErrorContains(t, err, "--store")
	_, err = store.OpenReader(t.Context(), filepath.Join(dir, "missing.db"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "gnomon run")
	empty := filepath.Join(dir, "empty.db")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	_, err = store.OpenReader(t.Context(), empty)
	require.True(t, errors.Is(err, store.ErrOlder), "%v", err)
}

func BenchmarkSave(b *testing.B) {
	s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "s.db"))
	require.NoError(b, err)
	defer s.Close()
	c := filled(2000)
	var batch store.Batch
	batch.Services, batch.Leaves, _, _ = c.Changed(1 << 20)
	b.ReportMetric(float64(len(batch.Leaves)), "leaves")
	for b.Loop() {
		if err := s.Save(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
}
