// Package collector joins what agents send into one inventory: fetch, apply, detect, store.
//
// In: batches of event.Calls (Put), from the agent of the same process. Out: the Catalog, its store, recent calls and
// what observers make of them; and the answers that collector/api and the CLI ask for. It never sees traffic or raw values.
// Memory is bounded by the Catalog's Config and the ring of recent calls.
package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec/load"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

// Observer sees every call after it was counted, in the order of arrival, and the passing of event time: the detectors. The
// call is borrowed. It is called by one goroutine at a time, and may call Alert.
type Observer interface {
	Observe(*event.Call)
	Tick(event.Time)
}

// Config is what a Collector can be told. The zero value of a field takes its default.
type Config struct {
	// Ring is how many recent calls are kept for `gnomon calls`. Default store.KeepCalls; negative keeps none.
	Ring int
	// Flush is how often what changed goes to the store. Default 1 s.
	Flush time.Duration
	// Batch is how many leaves one transaction writes at most; the Catalog is held up while they are encoded, 10 µs each. Default 500.
	Batch int
	// Sensors tells the state of the agents of this process. Asked at each flush.
	Sensors func() []event.Sensor
	// Observers see every call.
	Observers []Observer
	// Changed is told what became new, with the call that made it so. Both are borrowed.
	Changed func(*event.Call, []inventory.Change)
	// Templates is told the matchers of services where something new was learned: agents fold by them.
	Templates func([]inventory.Learned)
	// Documents bounds declared APIs.
	Documents load.Config
	// Log takes what goes wrong behind the scenes. Default none.
	Log *slog.Logger
}

// Collector is the central half of gnomon in one process. Safe for concurrent use.
type Collector struct {
	cfg Config
	cat *inventory.Catalog
	st  store.Store // nil: in memory only

	documents sync.Mutex // orders Import and Remove

	mu      sync.Mutex // orders Put
	now     event.Time // event time that observers were told
	ring    ring
	alerts  alerts
	flushMu sync.Mutex
	stored  uint64 // sequence number of the newest call in the store
	skipped int    // flushes with nothing but sensors
}

// New returns a Collector over cat, which it fills from st. st may be nil.
func New(ctx context.Context, cfg Config, cat *inventory.Catalog, st store.Store) (*Collector, error) {
	if cfg.Ring == 0 {
		cfg.Ring = store.KeepCalls
	}
	if cfg.Flush == 0 {
		cfg.Flush = time.Second
	}
	if cfg.Batch == 0 {
		cfg.Batch = 500
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Collector{cfg: cfg, cat: cat, st: st}
	c.ring.init(max(cfg.Ring, 0))
	if st == nil {
		return c, nil
	}
	if err := st.Load(ctx, cat); err != nil {
		return nil, err
	}
	if err := c.loadDocuments(ctx); err != nil {
		return nil, err
	}
	c.learn(true)
	_, last, err := st.Calls(ctx, inventory.Query{}, 0, 0)
	if err != nil {
		return nil, err
	}
	c.ring.last, c.stored = last, last
	if _, c.alerts.last, err = st.Alerts(ctx, inventory.Query{}, 0, 0); err != nil {
		return nil, err
	}
	c.alerts.stored = c.alerts.last
	return c, nil
}

// Put counts a batch. It is borrowed. The error is nil: what cannot be stored now stays in memory and is stored later.
func (c *Collector) Put(batch []event.Call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cat.ApplyAll(batch, c.cfg.Changed)
	c.ring.add(batch)
	if len(c.cfg.Observers) == 0 {
		return nil
	}
	newest := c.now
	for i := range batch {
		for _, o := range c.cfg.Observers {
			o.Observe(&batch[i])
		}
		newest = max(newest, batch[i].Time, batch[i].Until)
	}
	c.tick(newest)
	return nil
}

// tick tells observers the event time, at most once a second of it. mu is held.
func (c *Collector) tick(at event.Time) {
	if at < c.now.Add(time.Second) {
		return
	}
	c.now = at
	for _, o := range c.cfg.Observers {
		o.Tick(at)
	}
}

// Run stores what changed now and then, and learns templates, until ctx ends. Close does it a last time.
func (c *Collector) Run(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Flush)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.learn(false)
		c.quiet()
		err := c.flush(ctx, false)
		if err != nil && !failing && ctx.Err() == nil {
			c.cfg.Log.Error("the inventory could not be stored; it is kept in memory and tried again", "error", err)
		} else if err == nil && failing {
			c.cfg.Log.Info("the inventory is stored again")
		}
		failing = err != nil
	}
}

// quiet tells observers the time of the sensors, which goes on without traffic.
func (c *Collector) quiet() {
	if c.cfg.Sensors == nil || len(c.cfg.Observers) == 0 {
		return
	}
	var at event.Time
	for _, s := range c.cfg.Sensors() {
		if at == 0 || s.Updated < at {
			at = s.Updated
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick(at)
}

func (c *Collector) learn(now bool) {
	if found := c.cat.Relearn(now); len(found) > 0 && c.cfg.Templates != nil {
		c.cfg.Templates(found)
	}
}

// Flush stores what changed.
func (c *Collector) Flush(ctx context.Context) error { return c.flush(ctx, true) }

// flush leaves it at times when there is nothing but the state of the sensors, unless all is to be stored.
func (c *Collector) flush(ctx context.Context, all bool) error {
	if c.st == nil {
		return nil
	}
	c.flushMu.Lock()
	defer c.flushMu.Unlock()
	var b store.Batch
	if c.cfg.Sensors != nil {
		b.Sensors = c.cfg.Sensors()
	}
	var lastAlert uint64
	b.Alerts, lastAlert = c.alerts.after(c.alerts.savedUpTo(), nil)
	end := c.ring.newest()
	for more, moreCalls := true, true; more || moreCalls; {
		var err error
		if b.Services, b.Leaves, more, err = c.cat.Changed(c.cfg.Batch); err != nil {
			c.cfg.Log.Error("part of the inventory could not be encoded", "error", err)
		}
		b.Calls = c.ring.oldest(c.stored, batchCalls)
		moreCalls = len(b.Calls) == batchCalls && b.Calls[batchCalls-1].Seq < end // what comes meanwhile is for the next time
		if len(b.Services)+len(b.Leaves)+len(b.Calls)+len(b.Alerts) > 0 {
			c.skipped = 0
		} else if c.skipped++; len(b.Sensors) == 0 || c.skipped%idleFlushes != 0 && !all {
			break
		}
		if err := c.st.Save(ctx, &b); err != nil {
			c.cat.Failed(b.Services, b.Leaves)
			return err
		}
		if n := len(b.Calls); n > 0 {
			c.stored = b.Calls[n-1].Seq
		}
		c.alerts.saved(lastAlert)
		b.Alerts, b.Sensors = nil, nil
	}
	return nil
}

// idleFlushes is how many flushes pass between two writes of the state of the sensors alone: an idle host's disk is left alone.
const idleFlushes = 5

// batchCalls is how many recent calls one transaction writes at most: 1 MB of JSON.
const batchCalls = 1000

// Close learns and stores a last time. The store stays open.
func (c *Collector) Close(ctx context.Context) error {
	c.learn(true)
	c.ring.close()
	c.alerts.close()
	if err := c.Flush(ctx); err != nil {
		return fmt.Errorf("store the last of the inventory: %w", err)
	}
	return nil
}

// Learned is what is known by now, for agents that start.
func (c *Collector) Learned() []inventory.Learned { return c.cat.Learned() }

// Catalog is the inventory.
func (c *Collector) Catalog() *inventory.Catalog { return c.cat }

// Services answers `gnomon apis`.
func (c *Collector) Services(_ context.Context, q inventory.Query) ([]inventory.Service, int, error) {
	if err := q.Check(); err != nil {
		return nil, 0, err
	}
	rows, n := c.cat.Services(q)
	return rows, n, nil
}

// Endpoints answers `gnomon endpoints`.
func (c *Collector) Endpoints(_ context.Context, q inventory.Query) ([]inventory.Endpoint, int, error) {
	if err := q.Check(); err != nil {
		return nil, 0, err
	}
	rows, n := c.cat.Endpoints(q)
	return rows, n, nil
}

// Endpoint answers `gnomon show`.
func (c *Collector) Endpoint(_ context.Context, name, service string) (inventory.Detail, error) {
	return c.cat.Endpoint(name, service)
}

// Sensors answers `gnomon sensors`: the agents of this process, and what the store has of others.
func (c *Collector) Sensors(ctx context.Context) ([]event.Sensor, error) {
	list := []event.Sensor{}
	if c.cfg.Sensors != nil {
		list = append(list, c.cfg.Sensors()...)
	}
	if c.st == nil {
		return list, nil
	}
	kept, err := c.st.Sensors(ctx)
	if err != nil {
		return nil, err
	}
next:
	for _, k := range kept {
		for i := range list {
			if list[i].Node == k.Node {
				continue next
			}
		}
		list = append(list, k)
	}
	return list, nil
}

// Status is the Catalog's account of itself.
func (c *Collector) Status(context.Context) (inventory.Stats, error) { return c.cat.Stats(), nil }

// Calls returns the newest limit calls above the sequence number after that q selects, oldest first, and the newest sequence number.
func (c *Collector) Calls(ctx context.Context, q inventory.Query, after uint64, limit int) ([]store.Sequenced, uint64, error) {
	list, last := c.ring.after(after, &q)
	if len(list) < limit && c.st != nil {
		first := c.ring.first()
		older, top, err := c.st.Calls(ctx, q, after, limit)
		if err != nil {
			return nil, 0, err
		}
		for len(older) > 0 && older[len(older)-1].Seq >= first {
			older = older[:len(older)-1]
		}
		list, last = append(older, list...), max(last, top)
	}
	if len(list) > limit {
		list = list[len(list)-limit:]
	}
	return list, last, nil
}

// Alert takes a finding of an observer, or the update of one. JSON is kept, the sequence number is given here.
func (c *Collector) Alert(a store.Alert) { c.alerts.add(a) }

// Alerts returns the newest limit alerts above the sequence number after that q selects, oldest first, and the newest sequence number.
func (c *Collector) Alerts(ctx context.Context, q inventory.Query, after uint64, limit int) ([]store.Alert, uint64, error) {
	list, last := c.alerts.after(after, &q)
	if c.st != nil {
		kept, top, err := c.st.Alerts(ctx, q, after, limit)
		if err != nil {
			return nil, 0, err
		}
		list, last = newestOfEach(kept, list), max(last, top)
	}
	if len(list) > limit {
		list = list[len(list)-limit:]
	}
	return list, last, nil
}

// FollowAlerts hands each new alert that q selects to f, likewise.
func (c *Collector) FollowAlerts(ctx context.Context, q inventory.Query, after uint64, f func(store.Alert) error) error {
	return follow(ctx, after, &c.alerts.bell, func(after uint64) ([]store.Alert, uint64, error) {
		return c.Alerts(ctx, q, after, store.KeepAlerts)
	}, f)
}

// Follow hands each new call that q selects to f, from the sequence number after on, until ctx ends or f fails.
func (c *Collector) Follow(ctx context.Context, q inventory.Query, after uint64, f func(store.Sequenced) error) error {
	return follow(ctx, after, &c.ring.bell, func(after uint64) ([]store.Sequenced, uint64, error) {
		return c.Calls(ctx, q, after, store.KeepCalls)
	}, f)
}

// errClosed ends Follow when the Collector closes.
var errClosed = errors.New("the collector has stopped")

// follow asks for what is new whenever b rings. A store that another process writes is asked twice a second.
func follow[T any](ctx context.Context, after uint64, b *bell, ask func(uint64) ([]T, uint64, error), f func(T) error) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		rung, closed := b.wait()
		list, last, err := ask(after)
		if err != nil {
			return err
		}
		for _, x := range list {
			if err := f(x); err != nil {
				return err
			}
		}
		after = last
		if closed {
			return errClosed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rung:
		case <-tick.C:
		}
	}
}
