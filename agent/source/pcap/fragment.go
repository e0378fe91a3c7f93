package pcap

import (
	"slices"
	"time"

	"github.com/gnomon-sensor/gnomon/agent/source/pcap/tcp"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const (
	maxDatagram      = 65535
	maxDatagrams     = 256              // under reassembly at once: at most 16 MiB
	maxFragments     = 1024             // of one datagram: 64-byte fragments of the largest
	fragmentLifetime = 30 * time.Second // in packet time, as Linux has it
)

type fragKey struct {
	src, dst tcp.Addr
	id       uint32
	proto    uint8
}

type span struct{ from, to int }

// datagram is an IP packet under reassembly.
type datagram struct {
	key   fragKey
	buf   []byte
	have  []span // sorted, disjoint, not adjacent
	size  int    // -1 until the last fragment is there
	count int
	born  event.Time
}

type fragments struct {
	open  map[fragKey]*datagram
	order []*datagram // by age
	free  []*datagram
	now   event.Time
}

func (f *fragments) init() { f.open = make(map[fragKey]*datagram) }

// fragment takes a fragment at off; b is what was captured of size bytes. The first copy of a byte wins.
func (d *Decoder) fragment(k fragKey, off int, more bool, b []byte, size int) {
	d.stats.Fragments++
	f := &d.frags
	if size < 0 || off+size > maxDatagram || size == 0 && more {
		d.skip(Malformed)
		return
	}
	if len(b) < size {
		d.skip(FragmentCut)
		return
	}
	for len(f.order) > 0 && (len(f.order) >= maxDatagrams || f.now.Sub(f.order[0].born) > fragmentLifetime) {
		d.stats.Skipped[FragmentLost] += uint64(f.order[0].count)
		f.drop(f.order[0])
	}
	g := f.open[k]
	if g == nil {
		if n := len(f.free); n > 0 {
			g, f.free = f.free[n-1], f.free[:n-1]
		} else {
			g = new(datagram)
		}
		g.key, g.buf, g.have, g.size, g.count, g.born = k, g.buf[:0], g.have[:0], -1, 0, f.now
		f.open[k] = g
		f.order = append(f.order, g)
	}
	if g.count++; g.count > maxFragments {
		d.stats.Skipped[FragmentLost] += uint64(g.count)
		f.drop(g)
		return
	}
	g.add(off, b)
	if !more && g.size < 0 {
		g.size = off + size
	}
	if g.size < 0 || len(g.have) != 1 || g.have[0].from != 0 || g.have[0].to < g.size {
		return
	}
	f.forget(g)
	saved := d.extra
	d.extra = 0
	d.transport(k.proto, g.buf[:g.size], g.size)
	d.extra = saved
	f.recycle(g)
}

// Flush counts the fragments that still wait.
func (d *Decoder) Flush() {
	for _, g := range d.frags.order {
		d.stats.Skipped[FragmentLost] += uint64(g.count)
	}
	d.frags = fragments{}
	d.frags.init()
}

func (g *datagram) add(off int, b []byte) {
	end := off + len(b)
	if end > len(g.buf) {
		if end > cap(g.buf) {
			grown := make([]byte, end, min(maxDatagram, max(2*end, 4096)))
			copy(grown, g.buf)
			g.buf = grown
		}
		g.buf = g.buf[:end]
	}
	// Copy around what is there, then join the spans.
	at := off
	for _, s := range g.have {
		if s.to <= at {
			continue
		}
		if s.from >= end {
			break
		}
		if s.from > at {
			copy(g.buf[at:s.from], b[at-off:])
		}
		at = max(at, s.to)
	}
	if at < end {
		copy(g.buf[at:end], b[at-off:])
	}
	i := 0
	for i < len(g.have) && g.have[i].to < off {
		i++
	}
	j := i
	joined := span{off, end}
	for ; j < len(g.have) && g.have[j].from <= end; j++ {
		joined.from, joined.to = min(joined.from, g.have[j].from), max(joined.to, g.have[j].to)
	}
	g.have = slices.Replace(g.have, i, j, joined)
}

func (f *fragments) drop(g *datagram) {
	f.forget(g)
	f.recycle(g)
}

func (f *fragments) forget(g *datagram) {
	delete(f.open, g.key)
	for i, o := range f.order {
		if o == g {
			f.order = append(f.order[:i], f.order[i+1:]...)
			break
		}
	}
}

func (f *fragments) recycle(g *datagram) {
	if len(f.free) < 16 {
		f.free = append(f.free, g)
	}
}
