package fold

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
)

// Templates holds what the collector learned, by service. Shards read it without a lock; safe for concurrent use.
type Templates struct {
	mu  sync.Mutex
	cur atomic.Pointer[map[string]*endpoint.Matcher]
}

// maxMatchers bounds the services with templates.
const maxMatchers = 4096

// Set makes m the matcher of service.
func (t *Templates) Set(service string, m *endpoint.Matcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := map[string]*endpoint.Matcher{}
	if old := t.cur.Load(); old != nil {
		if len(*old) >= maxMatchers {
			if _, ok := (*old)[service]; !ok {
				return
			}
		}
		next = maps.Clone(*old)
	}
	next[service] = m
	t.cur.Store(&next)
}

func (t *Templates) get(service string) *endpoint.Matcher {
	if t == nil {
		return nil
	}
	if m := t.cur.Load(); m != nil {
		return (*m)[service]
	}
	return nil
}
