package fold

import (
	"strconv"
	"unsafe"

	"github.com/dchest/siphash"
	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// entry sums up alike calls. What they have in common is in call, which is what leaves as the Tally.
type entry struct {
	key    uint64
	svc    *service
	route  *route
	call   event.Call // of the first; values removed
	path   []distinct // by path parameter
	params []distinct // by call.Params
	coarse bool       // caller, host and parameters were given up
	idle   int
	size   int

	count             uint64
	first, last       event.Time
	duration, toFirst int64
	answered          uint64 // calls with a duration
	sums              event.Sketch
	body              [2]event.Body
}

// distinct is the values of one parameter in this interval.
type distinct struct {
	in     event.In
	name   string
	index  int // of the path's segment
	kinds  event.KindSet
	values event.Set
}

const entrySize = int(unsafe.Sizeof(entry{}))

// key hashes what calls of one Tally have in common.
func (f *Fold) key(s *service, r *route, c *event.Call) uint64 {
	h := mix(s.hash, r.hash)
	h = mix(h, f.str(c.Method))
	h = mix(h, uint64(c.Status)<<40|uint64(c.Encryption)<<32|uint64(c.Probe)<<24|uint64(c.Protocol)<<16|uint64(c.Side)<<8|uint64(c.Auth.Kind))
	if c.Client.Workload != "" {
		h = mix(h, f.str(c.Client.Workload))
	} else {
		h = mix(h, f.str(c.Client.Address))
	}
	if c.Auth.Credential != "" {
		h = mix(h, f.str(c.Auth.Credential))
	}
	if c.Auth.Expired != nil && *c.Auth.Expired {
		h = mix(h, 3)
	}
	if c.Host != "" {
		h = mix(h, f.str(c.Host))
	}
	h = mix(h, f.str(c.RequestType))
	h = mix(h, f.str(c.ResponseType))
	for i := range c.Params {
		if p := &c.Params[i]; p.In != event.InBody {
			h = mix(h, f.str(p.Name)+uint64(p.In))
		}
	}
	for _, o := range c.Operations {
		h = mix(h, f.str(o))
	}
	for _, o := range c.Signs {
		h = mix(h, f.str(o)+1)
	}
	if c.Lost != nil {
		h = mix(h, f.str(c.Lost.Reason)+2)
	}
	if c.Hop {
		h = mix(h, 5)
	}
	return h
}

// entry returns the entry that c counts in. novel: nothing alike was seen before.
func (f *Fold) entry(s *service, r *route, c *event.Call) (e *entry, novel bool) {
	key := f.key(s, r, c)
	if e = f.entries[key]; e != nil {
		return e, false
	}
	novel = f.known.add(key)
	if f.room(s, c.Status, 4) {
		return f.newEntry(key, s, r, c), novel
	}
	// No room for this much detail: the path and status stay, who called and with what goes.
	f.stats.coarse.Add(1)
	key = mix(mix(mix(s.hash, r.hash), f.str(c.Method)), uint64(c.Status)<<16|uint64(c.Probe)<<8|uint64(c.Auth.Kind)|1<<60)
	if e = f.entries[key]; e != nil {
		return e, novel
	}
	if f.room(s, c.Status, 5) {
		e = f.newEntry(key, s, r, coarse(c))
		e.coarse = true
		return e, novel
	}
	// Nor for the path.
	f.stats.other.Add(1)
	if f.bytes >= 4*f.cfg.MaxBytes { // 40,000 pairs of service and status, by default
		s = f.other()
	}
	key = mix(s.hash, uint64(c.Status)<<16|uint64(c.Probe)<<8|1<<61)
	if e = f.entries[key]; e != nil {
		return e, novel
	}
	o := coarse(c)
	o.Method, o.Path, o.Auth, o.Service = "*", nil, event.Auth{}, s.name
	e = f.newEntry(key, s, &route{text: OtherPaths}, o)
	e.coarse = true
	return e, novel
}

// room says that s may have one more entry for that status, within so many quarters of the bounds.
func (f *Fold) room(s *service, status, quarters int) bool {
	keys := f.cfg.MaxKeys * quarters / 4
	return s.keys < keys && f.bytes < f.cfg.MaxBytes/4*quarters && (!absent(status) || s.absent < keys/2)
}

func (f *Fold) other() *service {
	if s := f.services[OtherService]; s != nil {
		return s
	}
	return f.newService(OtherService)
}

// coarse is what of c is kept when there is no room for its caller.
func coarse(c *event.Call) *event.Call {
	return &event.Call{State: c.State, Time: c.Time, Node: c.Node, Side: c.Side, Service: c.Service, Protocol: c.Protocol, Server: c.Server, Encryption: c.Encryption,
		Method: c.Method, Template: c.Template, Path: c.Path, Status: c.Status, Auth: event.Auth{Kind: c.Auth.Kind}, Probe: c.Probe}
}

func (f *Fold) newEntry(key uint64, s *service, r *route, c *event.Call) *entry {
	e := &entry{key: key, svc: s, route: r}
	e.call.CopyFrom(c)
	t := &e.call
	t.ID, t.Rev, t.Client.Port, t.Template, t.Path, t.Sums, t.Lost = "", 0, 0, r.text, r.path, nil, nil
	t.RequestBytes, t.ResponseBytes, t.FirstByteNS, t.DurationNS = 0, 0, 0, 0
	t.RequestBody, t.ResponseBody, t.Data = nil, nil, event.Data{}
	if c.Lost != nil {
		t.Lost = &event.Lost{Reason: c.Lost.Reason}
	}
	if t.TLS != nil {
		facts := *t.TLS
		t.TLS = &facts
	}
	for _, p := range r.params {
		if p.segment < len(r.path) && p.part < 0 && !endpoint.Learnable(r.path[p.segment].Kind) {
			e.path = append(e.path, distinct{in: event.InPath, name: strconv.Itoa(p.segment), index: p.segment})
		}
	}
	t.Params = t.Params[:0]
	for i := range c.Params {
		e.addParam(&c.Params[i])
	}
	f.entries[key] = e
	s.keys++
	if absent(c.Status) {
		s.absent++
	}
	e.size = e.measure()
	f.bytes += e.size
	return e
}

func (e *entry) addParam(p *event.Param) *distinct {
	e.call.Params = append(e.call.Params, event.Param{In: p.In, Name: p.Name, Kind: p.Kind})
	e.params = append(e.params, distinct{in: p.In, name: p.Name})
	return &e.params[len(e.params)-1]
}

// measure is about how many bytes e takes.
func (e *entry) measure() int {
	n := entrySize + 64
	for _, l := range [...]*event.Histogram{&e.sums.Latency, &e.sums.RequestSize, &e.sums.ResponseSize} {
		n += 8 * cap(l.Counts)
	}
	for _, l := range [...][]distinct{e.path, e.params} {
		n += 64 * cap(l)
		for i := range l {
			n += cap(l[i].values) + len(l[i].name)
		}
	}
	c := &e.call
	for i := range c.Path {
		n += 88 + 80*len(c.Path[i].Parts)
	}
	n += 72*cap(c.Params) + 16*(cap(c.RequestHeaders)+cap(c.ResponseHeaders)+cap(c.Signs)+cap(c.Operations)) + 40*(cap(c.Data.Request)+cap(c.Data.Response))
	n += 48*(cap(e.body[0].Fields)+cap(e.body[1].Fields)) + 48*cap(e.sums.Distinct)
	return n
}

// kinds notes the kinds of c's parameters and says whether one has a kind that it did not have before.
func (e *entry) kinds(c *event.Call) (novel bool) {
	j := 0
	for i := range c.Params {
		p := &c.Params[i]
		d := e.param(p, &j)
		if d == nil {
			continue
		}
		if !d.kinds.Has(p.Kind) {
			novel = novel || d.kinds != 0
			d.kinds.Add(p.Kind)
		}
	}
	return novel
}

// param finds p in e; *j is where the one before was found, since calls of one entry have their parameters in the same order.
func (e *entry) param(p *event.Param, j *int) *distinct {
	for range e.params {
		if *j >= len(e.params) {
			*j = 0
		}
		d := &e.params[*j]
		*j++
		if d.in == p.In && d.name == p.Name {
			return d
		}
	}
	if p.In == event.InBody && len(e.params) < maxBodyParams && !e.coarse { // bodies are not read each time
		return e.addParam(p)
	}
	return nil
}

const maxBodyParams = 64

// count adds c to e.
func (f *Fold) count(e *entry, c *event.Call) {
	f.stats.folded.Add(1)
	t := &e.call
	if e.count == 0 {
		e.first, e.last = c.Time, c.Time
		f.active = append(f.active, e)
	}
	e.count++
	e.first, e.last = min(e.first, c.Time), max(e.last, c.Time)
	t.RequestBytes += c.RequestBytes
	t.ResponseBytes += c.ResponseBytes
	if c.DurationNS > 0 {
		e.duration += c.DurationNS
		e.toFirst += c.FirstByteNS
		e.answered++
		e.sums.Latency.Add(c.DurationNS, 1)
	}
	e.sums.RequestSize.Add(c.RequestBytes, 1)
	e.sums.ResponseSize.Add(c.ResponseBytes, 1)
	for i := range e.path {
		d := &e.path[i]
		if d.index < len(c.Path) {
			d.values.Add(c.Path[d.index].Token)
		}
	}
	j := 0
	for i := range c.Params {
		p := &c.Params[i]
		if d := e.param(p, &j); d != nil && p.Hash != "" {
			d.values.Add(event.HashOf(p.Hash))
		}
	}
	if c.Lost != nil && t.Lost != nil {
		t.Lost.Bytes += c.Lost.Bytes
	}
	if c.RequestBody != nil {
		e.body[0].Merge(c.RequestBody)
	}
	if c.ResponseBody != nil {
		e.body[1].Merge(c.ResponseBody)
	}
	t.Data.Request = mergeData(t.Data.Request, c.Data.Request)
	t.Data.Response = mergeData(t.Data.Response, c.Data.Response)
}

// maxClasses bounds the places of data that one Tally lists.
const maxClasses = 64

func mergeData(to, from []event.DataClass) []event.DataClass {
next:
	for i := range from {
		d := &from[i]
		for j := range to {
			if x := &to[j]; x.Class == d.Class && x.At == d.At {
				x.Count += d.Count
				continue next
			}
		}
		if len(to) < maxClasses {
			to = append(to, *d)
		}
	}
	return to
}

// emit lets e's Tally leave and empties e.
func (f *Fold) emit(e *entry) {
	t := &e.call
	t.ID = f.tallyID(e)
	t.Time, t.Until, t.Count = e.first, e.last, e.count
	if e.answered > 0 {
		t.DurationNS, t.FirstByteNS = e.duration/int64(e.answered), e.toFirst/int64(e.answered)
	}
	e.sums.Distinct = e.sums.Distinct[:0]
	for _, l := range [...][]distinct{e.path, e.params} {
		for i := range l {
			if d := &l[i]; len(d.values) > 0 {
				e.sums.Distinct = append(e.sums.Distinct, event.Distinct{In: d.in, Name: d.name, Values: d.values})
			}
		}
	}
	t.Sums = &e.sums
	if e.body[0].Bodies > 0 {
		t.RequestBody = &e.body[0]
	}
	if e.body[1].Bodies > 0 {
		t.ResponseBody = &e.body[1]
	}
	for i := range t.Params {
		if d := &e.params[i]; d.kinds != 0 {
			t.Params[i].Kind = d.kinds.One()
		}
	}
	f.stats.tallies.Add(1)
	had := t.Params
	f.params = f.params[:0]
	for i := range e.route.params {
		p := &e.route.params[i]
		_, kind := p.value(t.Path)
		f.params = append(f.params, event.Param{In: event.InPath, Name: p.name, Kind: kind})
	}
	f.params = append(f.params, had...)
	t.Params = f.params
	f.out.Call(t)
	t.Params = had

	size := e.measure()
	f.bytes += size - e.size
	e.size = size
	e.count, e.answered, e.duration, e.toFirst, e.idle = 0, 0, 0, 0, 0
	t.RequestBytes, t.ResponseBytes, t.DurationNS, t.FirstByteNS = 0, 0, 0, 0
	t.RequestBody, t.ResponseBody = nil, nil
	t.Data.Request, t.Data.Response = t.Data.Request[:0], t.Data.Response[:0]
	if t.Lost != nil {
		t.Lost.Bytes = 0
	}
	for _, h := range [...]*event.Histogram{&e.sums.Latency, &e.sums.RequestSize, &e.sums.ResponseSize} {
		h.Reset()
	}
	for _, l := range [...][]distinct{e.path, e.params} {
		for i := range l {
			l[i].values = l[i].values[:0]
		}
	}
	for d := range e.body {
		b := &e.body[d]
		b.Fields, b.Bodies, b.CutOff = b.Fields[:0], 0, 0
	}
}

// tallyID is the same for the same calls: what the Tally counts and since when. The entry's key is seeded at random and does not go in.
func (f *Fold) tallyID(e *entry) string {
	t := &e.call
	b := append(f.buf[:0], t.Node...)
	for _, s := range [...]string{t.Service, t.Method, t.Template, t.Host, t.Client.Workload, t.Client.Address, t.Auth.Credential, t.RequestType, t.ResponseType} {
		b = append(append(b, 0), s...)
	}
	for i := range t.Path {
		s := &t.Path[i]
		b = append(b, byte(s.Kind))
		b = appendUint(b, s.Token)
	}
	for i := range t.Params {
		b = append(append(b, 1, byte(t.Params[i].In)), t.Params[i].Name...)
	}
	for _, s := range t.Signs {
		b = append(append(b, 2), s...)
	}
	for _, s := range t.Operations {
		b = append(append(b, 3), s...)
	}
	if t.Lost != nil {
		b = append(append(b, 4), t.Lost.Reason...)
	}
	b = append(b, byte(t.Encryption), byte(t.Probe), byte(t.Protocol), byte(t.Side), byte(t.Auth.Kind), byte(f.cfg.Shard))
	b = appendUint(appendUint(appendUint(b, uint64(t.Status)), uint64(e.first)), uint64(f.round))
	f.buf = b
	hi, lo := siphash.Hash128(f.k0, f.k1, b)
	return event.ID{Hi: hi, Lo: uint16(lo)}.String()
}

func appendUint(b []byte, v uint64) []byte {
	for i := range 8 {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

// sweep drops the entries that had no call for long.
func (f *Fold) sweep() {
	for key, e := range f.entries {
		if e.count > 0 {
			continue
		}
		if e.idle += 16; e.idle > f.cfg.Idle {
			delete(f.entries, key)
			e.svc.keys--
			if absent(e.call.Status) {
				e.svc.absent--
			}
			f.bytes -= e.size
		}
	}
}

// known remembers keys that were seen, so that an entry that was dropped is not new when it comes again: two generations of an
// open-addressing table, of which the older is dropped when the younger is half full.
type known struct {
	young, old []uint64
	n          int
}

const knownSlots = 1 << 16 // 512 KiB a generation

func (k *known) add(key uint64) bool {
	key |= 1
	if k.young == nil {
		k.young, k.old = make([]uint64, knownSlots), make([]uint64, knownSlots)
	}
	if probe(k.old, key) >= 0 {
		return false
	}
	at := probe(k.young, key)
	if at >= 0 {
		return false
	}
	k.young[^at] = key
	if k.n++; 2*k.n >= knownSlots {
		k.young, k.old, k.n = k.old, k.young, 0
		clear(k.young)
	}
	return true
}

func probe(t []uint64, key uint64) int {
	for i := int(key>>20) & (len(t) - 1); ; i = (i + 1) & (len(t) - 1) {
		switch t[i] {
		case key:
			return i
		case 0:
			return ^i
		}
	}
}
