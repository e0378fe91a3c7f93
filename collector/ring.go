package collector

import (
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

// bell tells who waits that something came, or that nothing will any more.
type bell struct {
	lock   sync.Mutex
	rung   chan struct{} // closed by the next ring; nil while nobody waits
	closed bool
}

// wait returns a channel that is closed at the next ring, and whether there will be one.
func (b *bell) wait() (rung <-chan struct{}, closed bool) {
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung, b.closed
}

func (b *bell) strike() {
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}

func (b *bell) close() {
	b.lock.Lock()
	b.closed = true
	b.lock.Unlock()
	b.strike()
}

// ring keeps the newest calls. Slots are reused, so that it allocates only while it fills.
type ring struct {
	bell
	mu    sync.Mutex
	slots []event.Call
	size  int
	last  uint64 // sequence number of the newest; the first call is 1
	held  int
}

func (r *ring) init(size int) { r.size = size }

func (r *ring) add(batch []event.Call) {
	if r.size == 0 || len(batch) == 0 {
		return
	}
	r.mu.Lock()
	for i := range batch {
		r.last++
		at := int(r.last % uint64(r.size))
		for at >= len(r.slots) {
			r.slots = append(r.slots, event.Call{})
		}
		r.slots[at].CopyFrom(&batch[i])
		r.held = min(r.held+1, r.size)
	}
	r.mu.Unlock()
	r.strike()
}

// first is the sequence number of the oldest call held; above all where none is.
func (r *ring) first() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == 0 {
		return math.MaxUint64
	}
	return r.last - uint64(r.held) + 1
}

// newest is the sequence number of the newest call.
func (r *ring) newest() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// after encodes the calls above seq that q selects (nil: all), oldest first, and says the newest sequence number.
func (r *ring) after(seq uint64, q *inventory.Query) ([]store.Sequenced, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []store.Sequenced{}
	for s := max(min(seq, r.last), r.last-uint64(r.held)) + 1; s <= r.last; s++ {
		c := &r.slots[s%uint64(r.size)]
		if q == nil || c.Time >= q.Since && matches(q.Service, c.Service) {
			list = append(list, store.Sequenced{Seq: s, Service: c.Service, Time: c.Time, JSON: c.AppendJSON(nil)})
		}
	}
	return list, r.last
}

// oldest encodes the first limit calls above seq.
func (r *ring) oldest(seq uint64, limit int) []store.Sequenced {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []store.Sequenced
	for s := max(min(seq, r.last), r.last-uint64(r.held)) + 1; s <= r.last && len(list) < limit; s++ {
		c := &r.slots[s%uint64(r.size)]
		list = append(list, store.Sequenced{Seq: s, Service: c.Service, Time: c.Time, JSON: c.AppendJSON(nil)})
	}
	return list
}

func matches(want, service string) bool {
	if p, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(service, p)
	}
	return want == "" || want == service
}

// alerts keeps the newest alerts, of each incident the last word.
type alerts struct {
	bell
	mu     sync.Mutex
	list   []store.Alert
	last   uint64 // sequence number of the newest
	stored uint64 // of the newest in the store
}

// heldAlerts is how many alerts are kept in memory: 5 KB each.
const heldAlerts = 1000

func (a *alerts) add(x store.Alert) {
	a.mu.Lock()
	a.last++
	x.Seq = a.last
	a.list = slices.DeleteFunc(a.list, func(y store.Alert) bool { return y.UID == x.UID })
	if a.list = append(a.list, x); len(a.list) > heldAlerts {
		a.list = slices.Delete(a.list, 0, 1)
	}
	a.mu.Unlock()
	a.strike()
}

func (a *alerts) savedUpTo() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stored
}

func (a *alerts) saved(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stored = max(a.stored, seq)
}

func (a *alerts) after(seq uint64, q *inventory.Query) ([]store.Alert, uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []store.Alert{}
	for _, x := range a.list {
		if x.Seq > seq && (q == nil || x.Time >= q.Since && matches(q.Service, x.Service)) {
			list = append(list, x)
		}
	}
	return list, a.last
}

// newestOfEach joins what the store has with what is held, of each incident the last word.
func newestOfEach(kept, held []store.Alert) []store.Alert {
	newer := map[string]bool{}
	for _, x := range held {
		newer[x.UID] = true
	}
	kept = slices.DeleteFunc(kept, func(x store.Alert) bool { return newer[x.UID] })
	return append(kept, held...)
}
