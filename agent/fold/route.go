package fold

import (
	"hash/maphash"

	"github.com/dchest/siphash"
	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// service is what is kept of one callee.
type service struct {
	name    string
	hash    uint64
	matcher *endpoint.Matcher
	routes  map[uint64]*route             // by path with typed segments as kinds
	shared  map[*endpoint.Template]*route // takes the words of a parameter beyond the first ones
	keys    int                           // entries
	absent  int                           // of them, answered as a path that is not there

	calls, novel, attempts int // what may leave in full in this interval
	samples                []sample
	used                   int // of samples
}

// absent says that an answer tells nothing of an endpoint: there was none, or it says that there is no such path, host or method.
func absent(status int) bool {
	switch status {
	case 0, 404, 405, 410, 421, 501:
		return true
	}
	return false
}

// budget is what is left for first sightings with this answer.
func (s *service) budget(status int) *int {
	if absent(status) {
		return &s.attempts
	}
	return &s.novel
}

// renew fills the budgets for an interval.
func (s *service) renew(c *Config) {
	s.calls, s.novel, s.attempts = c.Calls, c.Novel, c.Novel/2
}

// route is what paths have in common that are one leaf to the inventory: words are themselves, typed segments their kinds.
type route struct {
	hash   uint64
	text   string
	path   []event.Segment // tokens of typed segments are 0: they are one of many
	params []pathParam
	words  int // distinct words of parameters that have leaves of their own
}

type pathParam struct {
	name    string
	segment int
	part    int
}

// maxWords is how many words of one parameter are kept apart, for the learner: with as many it has judged, and further ones
// would cost a leaf each.
const maxWords = 64

// mix combines hashes that are seeded and well mixed already.
func mix(h, v uint64) uint64 {
	h ^= v + 0x9e3779b97f4a7c15
	h *= 0xbf58476d1ce4e5b9
	return h ^ h>>29
}

func (f *Fold) str(s string) uint64 { return maphash.String(f.seed, s) }

// leaf hashes what makes the paths of two calls the same leaf.
func (f *Fold) leaf(c *event.Call) uint64 {
	if len(c.Path) == 0 {
		return mix(1, f.str(c.Template))
	}
	h := uint64(len(c.Path))
	for i := range c.Path {
		s := &c.Path[i]
		h = mix(h, uint64(s.Kind)<<8|uint64(len(s.Parts)))
		if endpoint.Learnable(s.Kind) {
			h = mix(h, s.Token)
		}
		for j := range s.Parts {
			p := &s.Parts[j]
			h = mix(h, f.str(p.Sep)+uint64(p.Kind))
			if endpoint.Learnable(p.Kind) {
				h = mix(h, p.Token)
			}
		}
	}
	return h
}

// route returns the route of c's path.
func (f *Fold) route(s *service, c *event.Call) *route {
	h := f.leaf(c)
	if r, ok := s.routes[h]; ok {
		return r
	}
	if f.routes >= f.cfg.MaxRoutes {
		for _, o := range f.order {
			clear(o.routes)
			clear(o.shared)
		}
		f.routes = 0
		f.stats.routes.Add(1)
	}
	r := f.newRoute(s, c, h)
	s.routes[h] = r
	f.routes++
	return r
}

func (f *Fold) newRoute(s *service, c *event.Call, h uint64) *route {
	r := &route{hash: h, text: c.Template}
	if len(c.Path) == 0 {
		return r
	}
	var t *endpoint.Template
	if s.matcher != nil {
		var novel bool
		if t, novel = s.matcher.Match(c.Path); novel && c.Status == 404 {
			t = nil
		}
	}
	if t != nil && f.wordy(t, c.Path) {
		if first := s.shared[t]; first == nil {
			s.shared[t] = r
		} else if first.words++; first.words > maxWords {
			return first
		}
	}
	if t == nil {
		typed := endpoint.Typed(c.Path)
		t = &typed
	}
	r.text = t.Text
	for _, p := range t.Params {
		r.params = append(r.params, pathParam{p.Name, p.Segment, p.Part})
	}
	r.path = make([]event.Segment, len(c.Path))
	for i := range c.Path {
		r.path[i] = c.Path[i].Clone()
		if !endpoint.Learnable(r.path[i].Kind) {
			r.path[i].Token = 0
		}
		for j := range r.path[i].Parts {
			if p := &r.path[i].Parts[j]; !endpoint.Learnable(p.Kind) {
				p.Token = 0
			}
		}
	}
	return r
}

// wordy says that a parameter of t is a word in path: its values would be as many leaves.
func (f *Fold) wordy(t *endpoint.Template, path []event.Segment) bool {
	for _, p := range t.Params {
		if p.Segment < len(path) && p.Part < 0 && endpoint.Learnable(path[p.Segment].Kind) {
			return true
		}
	}
	return false
}

// value is the token and kind of the parameter p in path.
func (p *pathParam) value(path []event.Segment) (uint64, event.Kind) {
	if p.segment >= len(path) {
		return 0, event.KindEmpty
	}
	s := &path[p.segment]
	if p.part >= 0 && p.part < len(s.Parts) {
		return s.Parts[p.part].Token, s.Parts[p.part].Kind
	}
	return s.Token, s.Kind
}

const hexDigits = "0123456789abcdef"

// hash scopes a path parameter's token to its service and name, as the hashes of other parameters are: 40 bits in hexadecimal digits.
func (f *Fold) hash(s *service, p *pathParam, token uint64) string {
	b := f.buf[:0]
	for i := range 8 {
		b = append(b, byte(token>>(8*i)))
	}
	b = append(append(append(b, s.name...), 0), p.name...)
	f.buf = b
	v := siphash.Hash(f.k0, f.k1, b)
	var t [10]byte
	for i := range t {
		t[i] = hexDigits[v>>(60-4*i)&15]
	}
	return string(t[:])
}
