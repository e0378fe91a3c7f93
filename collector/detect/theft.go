package detect

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// theft sees a credential that is used from a workload or network where it never was, beside its owner who goes on using
// it. A rotation, a partner that moves and a traveller have in common that the old place falls silent; a thief alternates
// with the owner. What a workload passes on after it was delivered to it counts for nobody's place.
type theft struct{}

// credential is a credential that lasts, or a subject over all of its credentials.
type credential struct {
	Kind        event.AuthKind
	First, Last event.Time
	N           float64
	Principal   uint64       // whose it is: itself, or the machine whose rotated credential it is
	Delivered   [12]delivery // a request may pass a dozen workloads
	Homes       [6]home
}

type delivery struct {
	Workload uint64
	At       event.Time
}

// home is a place that a credential was used from: a workload, or a network.
type home struct {
	Key         uint64
	Name        string // the workload, or the last address
	Workload    bool
	First, Last event.Time
	N           float64
	Slots       float64 // 10-minute slots with calls
	Slot        int64
	Recent      window  // slots in the last hour
	Others      float64 // slots of all other homes when this one was first seen
	Alternated  float64 // how often it was used, then another, then this one again, 5 minutes apart
	Left        event.Time
	Counted     event.Time
	Told        bool
}

const slotLength = 10 * minute

// deliver notes that the credential arrived at a workload, which may pass it on from now on.
func (c *credential) deliver(w uint64, t event.Time) {
	oldest := 0
	for i := range c.Delivered {
		if c.Delivered[i].Workload == w {
			c.Delivered[i].At = max(c.Delivered[i].At, t)
			return
		}
		if c.Delivered[i].At < c.Delivered[oldest].At {
			oldest = i
		}
	}
	c.Delivered[oldest] = delivery{w, t}
}

func (c *credential) deliveredTo(w uint64, t event.Time) bool {
	for i := range c.Delivered {
		if c.Delivered[i].Workload == w && int64(t-c.Delivered[i].At) < hour {
			return true
		}
	}
	return false
}

// network is the part of an address that a person keeps while a carrier hands out the rest: 16 bits of IPv4, 48 of IPv6.
func network(address string) uint64 {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return hash(address)
	}
	bits := 16
	if a.Is6() && !a.Is4In6() {
		bits = 48
	}
	p, err := a.Unmap().Prefix(bits)
	if err != nil {
		return hash(address)
	}
	b, _ := p.MarshalBinary()
	return hash(string(b))
}

func (theft) observe(e *Engine, s *sight) {
	c := s.cred
	if c == nil || s.relay || s.w != nil && s.w.Relayed > 20 && c.N == 0 {
		return
	}
	if s.w != nil && s.w.Relayed > 20 && s.w.Relayed > 0.05*s.w.N && !c.lasts() {
		return // it passes on the credentials of people all day long
	}
	var key uint64
	if s.external {
		key = network(s.c.Client.Address)
		s.group.used(key, s.n)
	} else {
		key = s.wKey
	}
	var h *home
	others, oldest := 0.0, 0
	for i := range c.Homes {
		o := &c.Homes[i]
		if o.Key == key {
			h = o
			continue
		}
		others += o.Slots
		if o.Last < c.Homes[oldest].Last || c.Homes[oldest].Key == key {
			oldest = i
		}
	}
	slot := int64(s.t) / slotLength
	if h == nil {
		h = &c.Homes[oldest]
		*h = home{Key: key, Workload: !s.external, First: s.t, Others: others}
	}
	// was another home used since this one was last used, and after this one began?
	if h.N > 0 {
		for i := range c.Homes {
			o := &c.Homes[i]
			if o.Key != 0 && o.Key != key && o.Last > h.Last && int64(s.t-h.Counted) > 5*minute {
				h.Alternated++
				h.Counted = s.t
				break
			}
		}
	}
	h.N += s.n
	if h.Slot != slot {
		h.Slot = slot
		h.Slots++
		h.Recent.roll(s.t, hour)
		h.Recent.N++
	}
	h.Last = s.t
	if h.Name != s.callerName {
		h.Name = strings.Clone(s.callerName)
	}
	if h.Told && int64(s.t-h.Left) < 12*hour {
		h.Left = s.t
		e.raise(s, evidence{kind: "token_theft", more: true})
		return
	}
	if others == 0 {
		return
	}
	if !e.warm(e.start) {
		for i := range c.Homes {
			if o := &c.Homes[i]; h.Workload && o.Workload && o.Key != key {
				e.edges.put(o.Key ^ key ^ 'S')
			}
		}
		return
	}
	score, why := theftScore(e, s, c, h)
	if score <= 0 {
		return
	}
	h.Told, h.Left = true, s.t
	ev := evidence{
		kind: "token_theft", score: score, parameter: "places that the credential is used from",
		expected: "only " + c.owners(key), observed: fmt.Sprintf("%.0f calls from %s, %s", h.N, s.callerName, why), baseline: uint64(c.N),
	}
	for i := range c.Homes {
		if o := &c.Homes[i]; o.Key != 0 && o.Key != key {
			ev.peers = append(ev.peers, o.Name)
		}
	}
	e.raise(s, ev)
}

// shares says whether two workloads are known to hold the same secret: they held one in common while that was still learned.
// After a rotation they share the next.
func (e *Engine) shares(c *credential, h *home) bool {
	for i := range c.Homes {
		if o := &c.Homes[i]; o.Workload && o.Key != h.Key && e.edges.peek(o.Key^h.Key^'S') != nil {
			return true
		}
	}
	return false
}

func theftScore(e *Engine, s *sight, c *credential, h *home) (float64, string) {
	if h.Others == 0 && age0(s, c) > day {
		return 0, ""
	}
	known := c.knownHomes(h)
	age := int64(h.First - c.First)
	switch {
	case h.Workload:
		// an established workload that shows what belongs to another; a new one may be the old one under a new name
		if known < 20 || h.N < 2 || c.atWorkload() && e.shares(c, h) {
			return 0, ""
		}
		if s.w != nil && !e.warm(s.w.First) && h.Alternated < 1 {
			return 0, ""
		}
		return 25, "to which it was never delivered"
	case c.atWorkload():
		if known < 20 || age < day || h.N < 2 {
			return 0, ""
		}
		return 25, "while it belongs to a workload"
	case s.p.Machine:
		if known < 20 || age < 2*day || h.Alternated < 2 || int64(s.t-h.First) > 2*day {
			return 0, ""
		}
		return 15 + h.Alternated, fmt.Sprintf("alternating %.0f times with the old place", h.Alternated)
	}
	if int64(s.t-h.First) > day {
		return 0, ""
	}
	since := 0.0
	for i := range c.Homes {
		if o := &c.Homes[i]; o.Key != 0 && o.Key != h.Key {
			since += o.Slots
		}
	}
	since -= h.Others
	if age > day && h.Others >= 8 {
		// a person with a past: how likely is it that after h.Others slots elsewhere so many of the next lie here?
		// the rarer the network is among people of this kind, the less likely it is a new home of this one
		x := betaBinomial(h.Slots, since, min(0.5, max(0.05, 10*s.group.share(h.Key))), h.Others)
		if h.Slots >= 4 && (x > 12 && h.Alternated >= 2 || x > 8.5 && h.Alternated >= 3 && s.group.share(h.Key) < 0.015) {
			return x, fmt.Sprintf("in %.0f of the last %.0f ten-minute slots, alternating with the usual place", h.Slots, h.Slots+since)
		}
		return 0, ""
	}
	// A session without a past: two places at the same time, of which one is a network that hardly anyone of the group uses. Which of
	// them came first says nothing.
	alternated := 0.0
	var odd *home
	for i := range c.Homes {
		o := &c.Homes[i]
		if o.Key == 0 || int64(s.t-o.Last) > hour || int64(s.t-o.First) > 4*hour {
			continue
		}
		alternated += o.Alternated
		if o.N >= 15 && o.Recent.sliding(s.t, hour) >= 2.5 && s.group.share(o.Key) < 0.015 {
			odd = o
		}
	}
	if odd != nil && alternated >= 3 {
		return -math.Log(s.group.share(odd.Key)+1e-6) + 3*alternated, fmt.Sprintf("%.0f of them from %s, at the same time as from the other", odd.N, odd.Name)
	}
	return 0, ""
}

// age0 is how long the credential has been known.
func age0(s *sight, c *credential) int64 { return int64(s.t - c.First) }

// betaBinomial is -ln of the chance that k of k+m draws fall into a class that was never among others draws before.
func betaBinomial(k, m, a, others float64) float64 {
	lb := func(x, y float64) float64 {
		a, _ := math.Lgamma(x)
		b, _ := math.Lgamma(y)
		c, _ := math.Lgamma(x + y)
		return a + b - c
	}
	n, _ := math.Lgamma(k + m + 1)
	kk, _ := math.Lgamma(k + 1)
	mm, _ := math.Lgamma(m + 1)
	return -(lb(a+k, others+m) - lb(a, others) + n - kk - mm)
}

// knownHomes counts the calls from other homes.
func (c *credential) knownHomes(h *home) (n float64) {
	for i := range c.Homes {
		if o := &c.Homes[i]; o.Key != 0 && o.Key != h.Key && o.First < h.First {
			n += o.N
		}
	}
	return n
}

func (c *credential) atWorkload() bool {
	var most *home
	for i := range c.Homes {
		if o := &c.Homes[i]; o.Key != 0 && (most == nil || o.N > most.N) {
			most = o
		}
	}
	return most != nil && most.Workload
}

// lasts says whether the credential is one of a machine, as far as can be told from where it is used.
func (c *credential) lasts() bool {
	return c.Kind != event.AuthSessionCookie && c.Kind != event.AuthBearerJWT || c.atWorkload()
}

func (c *credential) owners(except uint64) string {
	var names []string
	for i := range c.Homes {
		if o := &c.Homes[i]; o.Key != 0 && o.Key != except && len(names) < 3 {
			names = append(names, o.Name)
		}
	}
	return strings.Join(names, ", ")
}

// used counts calls by network, to know which networks are usual for callers of this kind.
func (g *group) used(net uint64, n float64) {
	least := 0
	for i := range g.Nets {
		if g.Nets[i].Net == net {
			g.Nets[i].N += n
			return
		}
		if g.Nets[i].N < g.Nets[least].N {
			least = i
		}
	}
	if g.Nets[least].N > 0 { // as in the space-saving sketch, but that newcomers start low: shares matter here, not the top
		g.Nets[least].N /= 2
		if g.Nets[least].N >= 1 {
			return
		}
	}
	g.Nets[least] = netUse{net, n}
}

func (g *group) share(net uint64) float64 {
	all, mine := 0.0, 0.0
	for i := range g.Nets {
		all += g.Nets[i].N
		if g.Nets[i].Net == net {
			mine = g.Nets[i].N
		}
	}
	if all == 0 {
		return 1
	}
	return mine / all
}
