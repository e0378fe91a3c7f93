package inventory

import (
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// Facts are the closed-set words of a call, one multiset for all: the group in the high byte, the value in the low.
const (
	factAuth uint64 = (iota + 1) << 8
	factEncryption
	factProtocol
	factExpired
)

// wordClass is what a word in evidence.words is. It stands in the top bits of the word's hash.
type wordClass uint64

const (
	wordRequestType wordClass = iota
	wordResponseType
	wordRequestData
	wordResponseData
	wordSign
	wordIssuer
	wordAlgorithm
	wordScope
)

const (
	classShift   = 61
	maxStatuses  = 64
	maxFacts     = 64
	maxWords     = 64
	maxParams    = 48
	maxTraits    = 32 << 10 // bytes of the traits of one leaf
	evidenceSize = 480      // bytes of an evidence without what its slices point to
)

// evidence is all that is known of one leaf. Two of them merge by adding.
type evidence struct {
	calls                      uint64
	first, last                event.Time
	requestBytes, responseByte uint64
	lostCalls, lostBytes       uint64
	statuses                   multiset // by code, 0 for no answer
	facts                      multiset
	callers, creds, hosts      multiset
	words                      multiset
	callerSet, credSet         event.Set // distinct, where the lists are cut
	latency                    event.Histogram
	requestSize, responseSize  event.Histogram
	params                     []param
	traits                     *observe.Traits // what inventory/spec compares with a declaration
}

// param is one parameter. In a path it is named by its position, since its name is the template's.
type param struct {
	h      uint64 // of name; of a path parameter: the index of its segment
	in     event.In
	kinds  uint32 // bit set of event.Kind
	calls  uint64
	values event.Set
	fed    int // bytes of values that the learner has had
}

func (p *param) kind() event.Kind {
	if p.kinds == 0 || p.kinds&(p.kinds-1) != 0 {
		return event.KindString
	}
	return event.Kind(bits.TrailingZeros32(p.kinds))
}

// add counts call. Names that are new to a list go to names.
func (e *evidence) add(c *Catalog, call *event.Call) {
	n := call.Calls()
	e.calls += n
	if e.first == 0 || call.Time < e.first {
		e.first = call.Time
	}
	e.last = max(e.last, call.Time, call.Until)
	e.requestBytes += uint64(max(call.RequestBytes, 0))
	e.responseByte += uint64(max(call.ResponseBytes, 0))
	if call.Lost != nil {
		e.lostCalls += n
		e.lostBytes += uint64(max(call.Lost.Bytes, 0))
	}
	e.statuses.add(uint64(call.Status), n, maxStatuses)
	e.facts.add(factAuth|uint64(call.Auth.Kind), n, maxFacts)
	e.facts.add(factEncryption|uint64(call.Encryption), n, maxFacts)
	e.facts.add(factProtocol|uint64(call.Protocol), n, maxFacts)
	if call.Auth.Expired != nil && *call.Auth.Expired {
		e.facts.add(factExpired, n, maxFacts)
	}
	caller := callerOf(call)
	h := hashString(c.seed, caller)
	if e.callers.add(h, n, c.cfg.MaxCallers) {
		c.name(h, caller)
	}
	if e.callers.other > 0 {
		e.callerSet.Add(h)
	}
	if call.Auth.Credential != "" {
		h := mix(hashString(c.seed, call.Auth.Credential), uint64(call.Auth.Kind))
		if e.creds.add(h, n, c.cfg.MaxCredentials) {
			c.name(h, call.Auth.Kind.String()+"\x00"+call.Auth.Credential)
		}
		if e.creds.other > 0 {
			e.credSet.Add(h)
		}
	}
	if call.Host != "" && admitsHost(call.Status) {
		h := hashString(c.seed, call.Host)
		if e.hosts.add(h, n, c.cfg.MaxHosts) {
			c.name(h, call.Host)
		}
	}
	e.word(c, wordRequestType, call.RequestType, n)
	e.word(c, wordResponseType, call.ResponseType, n)
	e.word(c, wordIssuer, call.Auth.Issuer, n)
	e.word(c, wordAlgorithm, call.Auth.Algorithm, n)
	for _, s := range call.Auth.Scopes {
		e.word(c, wordScope, s, n)
	}
	for _, s := range call.Signs {
		e.word(c, wordSign, s, n)
	}
	for i := range call.Data.Request {
		e.data(c, wordRequestData, &call.Data.Request[i])
	}
	for i := range call.Data.Response {
		e.data(c, wordResponseData, &call.Data.Response[i])
	}
	if s := call.Sums; s != nil {
		e.latency.Merge(&s.Latency)
		e.requestSize.Merge(&s.RequestSize)
		e.responseSize.Merge(&s.ResponseSize)
	} else {
		if call.DurationNS > 0 {
			e.latency.Add(call.DurationNS, n)
		}
		e.requestSize.Add(call.RequestBytes/int64(n), n)
		e.responseSize.Add(call.ResponseBytes/int64(n), n)
	}
	e.addParams(c, call, n)
	e.addTraits(c, call)
}

const traitsSize = int64(unsafe.Sizeof(observe.Traits{}))

// addTraits counts call for the contract of the API. Traits take at most half of the Catalog's bytes: that an endpoint
// exists matters more than what its answers look like.
func (e *evidence) addTraits(c *Catalog, call *event.Call) {
	room := min(c.cfg.MaxBytes/2-c.traits, maxTraits)
	if e.traits == nil {
		if room < traitsSize {
			return
		}
		e.traits = new(observe.Traits)
		c.growTraits(traitsSize)
	}
	c.growTraits(int64(e.traits.Add(call, int(room)-e.traits.Size())))
}

// sub takes back what add counted for call. Sets, names and the first and last time stay: an older revision of the same
// call had nothing that the newer lacks.
func (e *evidence) sub(c *Catalog, call *event.Call) {
	n := call.Calls()
	if e.traits != nil {
		e.traits.Sub(call)
	}
	e.calls -= min(n, e.calls)
	e.requestBytes -= min(uint64(max(call.RequestBytes, 0)), e.requestBytes)
	e.responseByte -= min(uint64(max(call.ResponseBytes, 0)), e.responseByte)
	if call.Lost != nil {
		e.lostCalls -= min(n, e.lostCalls)
		e.lostBytes -= min(uint64(max(call.Lost.Bytes, 0)), e.lostBytes)
	}
	e.statuses.sub(uint64(call.Status), n)
	e.facts.sub(factAuth|uint64(call.Auth.Kind), n)
	e.facts.sub(factEncryption|uint64(call.Encryption), n)
	e.facts.sub(factProtocol|uint64(call.Protocol), n)
	if call.Auth.Expired != nil && *call.Auth.Expired {
		e.facts.sub(factExpired, n)
	}
	e.callers.sub(hashString(c.seed, callerOf(call)), n)
	if call.Auth.Credential != "" {
		e.creds.sub(mix(hashString(c.seed, call.Auth.Credential), uint64(call.Auth.Kind)), n)
	}
	if call.Host != "" && admitsHost(call.Status) {
		e.hosts.sub(hashString(c.seed, call.Host), n)
	}
	for class, s := range map[wordClass]string{wordRequestType: call.RequestType, wordResponseType: call.ResponseType,
		wordIssuer: call.Auth.Issuer, wordAlgorithm: call.Auth.Algorithm} {
		if s != "" {
			e.words.sub(wordHash(c.seed, class, s), n)
		}
	}
	for _, s := range call.Auth.Scopes {
		e.words.sub(wordHash(c.seed, wordScope, s), n)
	}
	for _, s := range call.Signs {
		e.words.sub(wordHash(c.seed, wordSign, s), n)
	}
	for i := range call.Data.Request {
		d := &call.Data.Request[i]
		e.words.sub(dataHash(c.seed, wordRequestData, d), uint64(max(d.Count, 1)))
	}
	for i := range call.Data.Response {
		d := &call.Data.Response[i]
		e.words.sub(dataHash(c.seed, wordResponseData, d), uint64(max(d.Count, 1)))
	}
	if call.DurationNS > 0 {
		e.latency.Remove(call.DurationNS, n)
	}
	e.requestSize.Remove(call.RequestBytes/int64(n), n)
	e.responseSize.Remove(call.ResponseBytes/int64(n), n)
	for i := range e.params {
		p := &e.params[i]
		if p.in == event.InPath && len(call.Path) > 0 {
			p.calls -= min(n, p.calls)
			continue
		}
		for j := range call.Params {
			if q := &call.Params[j]; q.In == p.in && hashString(c.seed, q.Name) == p.h {
				p.calls -= min(n, p.calls)
			}
		}
	}
}

func (e *evidence) addParams(c *Catalog, call *event.Call, n uint64) {
	for i := range call.Path {
		if s := &call.Path[i]; !endpoint.Learnable(s.Kind) {
			if p := e.param(c, uint64(i), event.InPath, n); p != nil {
				p.kinds |= 1 << s.Kind
				if call.Count <= 1 && s.Token != 0 {
					c.bytes += p.observe(s.Token)
				}
			}
		}
	}
	for i := range call.Params {
		q := &call.Params[i]
		if q.In == event.InPath && len(call.Path) > 0 {
			continue
		}
		h := hashString(c.seed, q.Name)
		known := len(e.params)
		p := e.param(c, h, q.In, n)
		if p == nil {
			continue
		}
		if len(e.params) > known {
			c.name(h, q.Name)
		}
		p.kinds |= 1 << q.Kind
		if q.Hash != "" {
			c.bytes += p.observe(event.HashOf(q.Hash)) // as Tallies have it
		}
	}
	if call.Sums == nil {
		return
	}
	for i := range call.Sums.Distinct {
		d := &call.Sums.Distinct[i]
		h := hashString(c.seed, d.Name)
		if d.In == event.InPath && len(call.Path) > 0 {
			h, _ = strconv.ParseUint(d.Name, 10, 64) // the fold names path parameters by their segment
		}
		if p := e.find(h, d.In); p != nil {
			p.values.Merge(d.Values)
		}
	}
}

func (e *evidence) find(h uint64, in event.In) *param {
	for i := range e.params {
		if p := &e.params[i]; p.h == h && p.in == in {
			return p
		}
	}
	return nil
}

func (e *evidence) param(c *Catalog, h uint64, in event.In, n uint64) *param {
	p := e.find(h, in)
	if p == nil {
		if len(e.params) >= maxParams {
			c.cut(CutParams, n)
			return nil
		}
		e.params = append(e.params, param{h: h, in: in})
		c.bytes += 64
		p = &e.params[len(e.params)-1]
	}
	p.calls += n
	return p
}

func (p *param) observe(h uint64) (grown int64) {
	before := cap(p.values)
	p.values.Add(h)
	return int64(cap(p.values) - before)
}

func wordHash(seed uint64, class wordClass, s string) uint64 {
	return hashString(seed, s)>>3 | uint64(class)<<classShift
}

func dataHash(seed uint64, class wordClass, d *event.DataClass) uint64 {
	return mix(hashString(seed, d.Class), hashString(seed, d.At))>>3 | uint64(class)<<classShift
}

func (e *evidence) word(c *Catalog, class wordClass, s string, n uint64) {
	if s == "" {
		return
	}
	if h := wordHash(c.seed, class, s); e.words.add(h, n, maxWords) {
		c.name(h, s)
	}
}

func (e *evidence) data(c *Catalog, class wordClass, d *event.DataClass) {
	if h := dataHash(c.seed, class, d); e.words.add(h, uint64(max(d.Count, 1)), maxWords) {
		c.name(h, d.Class+"\x00"+d.At)
	}
}

// merge adds what o counted; limits are those of a view, which is wider than a leaf's.
func (e *evidence) merge(o *evidence, limit int) {
	e.calls += o.calls
	if o.first != 0 && (e.first == 0 || o.first < e.first) {
		e.first = o.first
	}
	e.last = max(e.last, o.last)
	e.requestBytes += o.requestBytes
	e.responseByte += o.responseByte
	e.lostCalls += o.lostCalls
	e.lostBytes += o.lostBytes
	e.statuses.merge(&o.statuses, limit)
	e.facts.merge(&o.facts, limit)
	for _, s := range []struct {
		to, from       *multiset
		toSet, fromSet *event.Set
	}{{&e.callers, &o.callers, &e.callerSet, &o.callerSet}, {&e.creds, &o.creds, &e.credSet, &o.credSet}} {
		if s.from.other > 0 || len(s.from.e)+len(s.to.e) > limit || len(*s.toSet) > 0 {
			for _, side := range [2]*multiset{s.to, s.from} {
				for _, x := range side.e {
					s.toSet.Add(x.h)
				}
			}
			s.toSet.Merge(*s.fromSet)
		}
		s.to.merge(s.from, limit)
	}
	e.hosts.merge(&o.hosts, limit)
	e.words.merge(&o.words, limit)
	e.latency.Merge(&o.latency)
	e.requestSize.Merge(&o.requestSize)
	e.responseSize.Merge(&o.responseSize)
	for i := range o.params {
		q := &o.params[i]
		p := e.find(q.h, q.in)
		if p == nil {
			if len(e.params) >= limit {
				continue
			}
			e.params = append(e.params, param{h: q.h, in: q.in})
			p = &e.params[len(e.params)-1]
		}
		p.calls += q.calls
		p.kinds |= q.kinds
		p.values.Merge(q.values)
	}
}

// mergeTraits is apart from merge since few who look at evidence look at traits.
func (e *evidence) mergeTraits(o *evidence) {
	if o.traits != nil {
		if e.traits == nil {
			e.traits = new(observe.Traits)
		}
		e.traits.Merge(o.traits)
	}
}

// distinct is how many callers or credentials there were: those listed, or the estimate where the list is cut.
func distinct(m *multiset, s event.Set) int {
	if m.other == 0 {
		return len(m.e)
	}
	for _, e := range m.e {
		s.Add(e.h)
	}
	return max(int(s.Count()), len(m.e))
}

// callerOf names who made the call: the workload where it is known, else the address.
func callerOf(call *event.Call) string {
	if call.Client.Workload != "" {
		return call.Client.Workload
	}
	return call.Client.Address
}

// admitsHost says whether an answer shows that the server knows the host it was asked for: a Host flood makes no hosts.
func admitsHost(status int) bool { return status != 0 && status != 404 && status != 421 }

// Tier is how sure it is that an endpoint exists.
type Tier uint8

// Attempted: nothing but silence, 404, 405, 410, 421 and 501 came back. Failed: answers, but only errors. Confirmed: at
// least one answer below 400. No volume is asked for: one answer is enough.
const (
	Attempted Tier = iota
	Failed
	Confirmed
	Unseen // declared, and never called
)

var tierNames = [...]string{"attempted", "failed", "confirmed", "unseen"}

func (t Tier) String() string { return tierNames[min(int(t), len(tierNames)-1)] }

// MarshalText gives the word of CLI.md.
func (t Tier) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText gives.
func (t *Tier) UnmarshalText(b []byte) error {
	for i, n := range tierNames {
		if n == string(b) {
			*t = Tier(i)
		}
	}
	return nil
}

func tierOf(status int) Tier {
	switch {
	case status == 0, status == 404, status == 405, status == 410, status == 421, status == 501:
		return Attempted
	case status < 400:
		return Confirmed
	}
	return Failed
}

func (e *evidence) tier() (t Tier) {
	for _, s := range e.statuses.e {
		t = max(t, tierOf(int(s.h)))
	}
	return t
}
