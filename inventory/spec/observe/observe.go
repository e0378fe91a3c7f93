// Package observe holds what traffic shows of the contract of an API: which parameters, headers, media types, statuses,
// body fields and credentials an endpoint really has, how often, and since when.
//
// In: redacted event.Calls, one by one. Out: Traits, which merge in any order, are bounded, and can be saved; and, grouped
// by endpoint, the Service that inventory/spec compares with a declaration and inventory/spec/export writes down. It never
// sees a value and never judges: what is right is the business of those who read it.
package observe

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Service is what was seen of one service.
type Service struct {
	Service   string     `json:"service"`
	Hosts     []string   `json:"hosts"`         // by which clients named it, most used first
	TLS       bool       `json:"tls,omitempty"` // some calls came inside TLS
	First     event.Time `json:"first,omitzero"`
	Last      event.Time `json:"last,omitzero"` // newest call of the whole inventory: what was not called is measured against it
	Endpoints []Endpoint `json:"endpoints"`
}

// Endpoint is what was seen of one endpoint.
type Endpoint struct {
	ID        string      `json:"id"`
	Method    string      `json:"method"`
	Template  string      `json:"template"`            // values as {name}: "/orders/{orderId}", "/report-{id}.pdf"
	Operation string      `json:"operation,omitempty"` // what the body asked for, where one path serves many: "query orders", "tools/call"
	Served    bool        `json:"served,omitempty"`    // something other than silence, 404, 405, 410, 421 and 501 came back
	Probe     bool        `json:"probe,omitempty"`     // only health checks and metric scrapes call it
	Calls     uint64      `json:"calls"`               // probes included
	First     event.Time  `json:"first,omitzero"`
	Last      event.Time  `json:"last,omitzero"`
	Callers   []Caller    `json:"callers,omitempty"` // most calls first
	Path      []PathParam `json:"path,omitempty"`
	Traits    Traits      `json:"traits"`
}

// Caller is one who called an endpoint.
type Caller struct {
	Name  string `json:"name"`
	Calls uint64 `json:"calls"`
}

// PathParam is one parameter of a Template, in its order.
type PathParam struct {
	Name  string        `json:"name"`
	Kinds event.KindSet `json:"kinds,omitempty"`
	Words []string      `json:"words,omitempty"` // the values, where all were words of the built-in list and few
}

// Count is how often a thing was seen and when. OK counts the calls that were answered below 400: what a server rejects says
// nothing about its contract.
type Count struct {
	Calls uint64     `json:"calls"`
	OK    uint64     `json:"ok,omitempty"`
	First event.Time `json:"first,omitzero"`
	Last  event.Time `json:"last,omitzero"`
}

func (c *Count) add(o Count) {
	c.Calls += o.Calls
	c.OK += o.OK
	if o.First != 0 && (c.First == 0 || o.First < c.First) {
		c.First = o.First
	}
	c.Last = max(c.Last, o.Last)
}

// Named is a name with its Count.
type Named struct {
	Name string `json:"name"`
	Count
}

// Param is what was seen of a parameter in query, header or cookie.
type Param struct {
	In   event.In `json:"in"`
	Name string   `json:"name"`
	Count
	Single uint64        `json:"single,omitempty"` // of OK, those that came as Calls of their own rather than in a Tally
	Kinds  event.KindSet `json:"kinds,omitempty"`
	Words  []string      `json:"words,omitempty"` // values that are listed API words, sorted
	Free   bool          `json:"free,omitempty"`  // other values were seen too: it is no enumeration
	// Distinct is how many values there were at least, as the Tally with the most of them says: a Tally does not carry words.
	Distinct uint64 `json:"distinct,omitempty"`
}

// Message is what was seen of requests, or of the responses with one status.
type Message struct {
	Status int `json:"status,omitempty"` // of a response; 0: none was seen
	Count
	Types   []Named    `json:"types,omitempty"`   // media types
	Headers []Named    `json:"headers,omitempty"` // names, of Calls that came alone: compare with Single
	Body    event.Body `json:"body,omitzero"`     // of a request: only of requests answered below 400
}

// Traits is what was seen of the contract of one endpoint, or of a part of it. Every list is sorted and bounded; what a
// bound cuts is counted in Cut. The zero value is empty.
type Traits struct {
	Request  Message   `json:"request"`
	Single   uint64    `json:"single,omitempty"` // of Request.OK, those that came as Calls of their own rather than in a Tally
	Answers  []Message `json:"answers,omitempty"`
	Params   []Param   `json:"params,omitempty"`
	Auth     []Named   `json:"auth,omitempty"` // by event.AuthKind
	Cut      uint64    `json:"cut,omitempty"`  // things not kept for a bound
	overhead int       // bytes that lists take, about; 0: to be worked out
}

// Bounds of one Traits. An honest endpoint stays far below them; a flood of made-up names costs detail.
const (
	maxAnswers = 32
	maxNames   = 48
	maxParams  = 64
	maxWords   = 16
)

// Approximate bytes of an element, its share of a grown slice included. Names are interned by who makes the Calls.
const (
	namedBytes   = 64
	paramBytes   = 128
	messageBytes = 256
	fieldBytes   = 64
)

// Size is about how many bytes t takes beyond its own struct.
func (t *Traits) Size() int {
	if t.overhead == 0 {
		messages := append([]Message{t.Request}, t.Answers...)
		for i := range messages {
			m := &messages[i]
			t.overhead += namedBytes*(len(m.Types)+len(m.Headers)) + fieldBytes*len(m.Body.Fields)
		}
		t.overhead += messageBytes*len(t.Answers) + paramBytes*len(t.Params) + namedBytes*len(t.Auth)
	}
	return t.overhead
}

// Add counts call, which is borrowed. It keeps nothing new once the Traits would grow by more than room bytes; what is known
// goes on being counted. The result is by how many bytes it grew. In steady state it does not allocate.
func (t *Traits) Add(call *event.Call, room int) (grown int) {
	before := t.Size()
	t.count(call, call.Calls(), before+max(room, 0))
	return t.overhead - before
}

// Sub takes back what Add counted for call, an older revision of one that lasts. Names, times, kinds and shapes stay: the
// newer revision has them too.
func (t *Traits) Sub(call *event.Call) {
	if t.Size() > 0 {
		t.count(call, -call.Calls(), 0)
	}
}

// count adds n calls alike; the wrapped negative of a number takes it back.
func (t *Traits) count(call *event.Call, n uint64, limit int) {
	c, single := Count{Calls: n}, uint64(0)
	if int64(n) > 0 {
		c.First, c.Last = call.Time, max(call.Time, call.Until)
	}
	if call.Status > 0 && call.Status < 400 {
		if c.OK = n; call.Calls() == 1 {
			single = n
		}
	}
	shapes := int64(n) > 0 && call.State == event.Done // of a call that lasts once, at its end
	t.Request.add(c)
	t.Single += single
	t.named(&t.Request.Types, call.RequestType, c, limit)
	alone := call.Calls() == 1 // a Tally has the headers of its first call, which came as a Call of its own
	for _, h := range call.RequestHeaders {
		if alone {
			t.named(&t.Request.Headers, h, c, limit)
		}
	}
	if shapes && call.RequestBody != nil && c.OK > 0 {
		t.body(&t.Request.Body, call.RequestBody, limit)
	}
	t.named(&t.Auth, call.Auth.Kind.String(), c, limit)
	for i := range call.Params {
		if p := &call.Params[i]; p.In == event.InQuery || p.In == event.InHeader || p.In == event.InCookie {
			t.param(p, c, single, call.Sums, limit)
		}
	}
	m := t.answer(call.Status, limit)
	if m == nil {
		return
	}
	m.add(c)
	t.named(&m.Types, call.ResponseType, c, limit)
	for _, h := range call.ResponseHeaders {
		if alone {
			t.named(&m.Headers, h, c, limit)
		}
	}
	if shapes && call.ResponseBody != nil {
		t.body(&m.Body, call.ResponseBody, limit)
	}
}

func (t *Traits) named(list *[]Named, name string, c Count, limit int) {
	if name == "" {
		return
	}
	i, ok := slices.BinarySearchFunc(*list, name, func(n Named, name string) int { return cmp.Compare(n.Name, name) })
	if !ok {
		if len(*list) >= maxNames || t.overhead+namedBytes > limit {
			t.Cut++
			return
		}
		*list = slices.Insert(*list, i, Named{Name: strings.Clone(name)})
		t.overhead += namedBytes
	}
	(*list)[i].add(c)
}

func (t *Traits) answer(status, limit int) *Message {
	i, ok := slices.BinarySearchFunc(t.Answers, status, func(m Message, s int) int { return cmp.Compare(m.Status, s) })
	if !ok {
		if len(t.Answers) >= maxAnswers || t.overhead+messageBytes > limit {
			t.Cut++
			return nil
		}
		t.Answers = slices.Insert(t.Answers, i, Message{Status: status})
		t.overhead += messageBytes
	}
	return &t.Answers[i]
}

func (t *Traits) body(b, from *event.Body, limit int) {
	before := len(b.Fields)
	if t.overhead+fieldBytes*len(from.Fields) <= limit {
		b.Merge(from)
		t.overhead += fieldBytes * (len(b.Fields) - before)
		return
	}
	for i := range from.Fields { // no room for new fields: count it only if it has none
		if b.Find(from.Fields[i].At) == nil {
			t.Cut++
			return
		}
	}
	b.Merge(from)
}

func byParam(p Param, q *event.Param) int {
	return cmp.Or(cmp.Compare(p.In, q.In), cmp.Compare(p.Name, q.Name))
}

func (t *Traits) param(q *event.Param, c Count, single uint64, tally *event.Sketch, limit int) {
	i, ok := slices.BinarySearchFunc(t.Params, q, byParam)
	if !ok {
		if len(t.Params) >= maxParams || t.overhead+paramBytes > limit {
			t.Cut++
			return
		}
		t.Params = slices.Insert(t.Params, i, Param{In: q.In, Name: strings.Clone(q.Name)})
		t.overhead += paramBytes
	}
	p := &t.Params[i]
	p.add(c)
	p.Single += single
	if int64(c.Calls) < 0 {
		return
	}
	if c.OK > 0 || p.OK == 0 { // the kinds of accepted values, once there are any
		if c.OK > 0 && p.OK == c.OK {
			p.Kinds, p.Words, p.Free = 0, p.Words[:0], false
		}
		p.Kinds.Add(q.Kind)
		if q.Word != "" || q.Kind != event.KindWord || tally == nil {
			p.word(q.Word)
		}
	}
	if tally == nil || p.Free {
		return
	}
	for i := range tally.Distinct {
		if d := &tally.Distinct[i]; d.In == q.In && d.Name == q.Name {
			p.Distinct = max(p.Distinct, d.Values.Count())
		}
	}
}

func (p *Param) word(w string) {
	if w == "" {
		p.Free = true
	}
	if p.Free {
		p.Words, p.Distinct = p.Words[:0], 0
		return
	}
	if i, ok := slices.BinarySearch(p.Words, w); !ok {
		if p.Free = len(p.Words) >= maxWords; !p.Free {
			p.Words = slices.Insert(p.Words, i, w)
		}
	}
}

// Merge adds what o tells to t. The limits are those of one Traits.
func (t *Traits) Merge(o *Traits) {
	const limit = math.MaxInt
	t.Size()
	t.message(&t.Request, &o.Request, limit)
	t.Single += o.Single
	t.Cut += o.Cut
	for i := range o.Answers {
		if m := t.answer(o.Answers[i].Status, limit); m != nil {
			t.message(m, &o.Answers[i], limit)
		}
	}
	for i := range o.Auth {
		t.named(&t.Auth, o.Auth[i].Name, o.Auth[i].Count, limit)
	}
	for i := range o.Params {
		q := &o.Params[i]
		j, ok := slices.BinarySearchFunc(t.Params, &event.Param{In: q.In, Name: q.Name}, byParam)
		if !ok {
			if len(t.Params) >= maxParams {
				t.Cut++
				continue
			}
			t.Params = slices.Insert(t.Params, j, Param{In: q.In, Name: q.Name})
			t.overhead += paramBytes
		}
		t.Params[j].merge(q)
	}
}

// merge keeps the kinds of the side that was accepted, where only one was.
func (p *Param) merge(q *Param) {
	switch {
	case p.OK == 0 && q.OK > 0 || p.Calls == 0:
		p.Kinds, p.Words, p.Free = q.Kinds, slices.Clone(q.Words), q.Free
	case q.OK == 0 && p.OK > 0:
	default:
		p.Kinds |= q.Kinds
		if q.Free {
			p.word("")
		}
		for _, w := range q.Words {
			p.word(w)
		}
	}
	p.add(q.Count)
	p.Single += q.Single
	if p.Distinct = max(p.Distinct, q.Distinct); p.Free {
		p.Distinct = 0
	}
}

func (t *Traits) message(m, o *Message, limit int) {
	m.add(o.Count)
	for i := range o.Types {
		t.named(&m.Types, o.Types[i].Name, o.Types[i].Count, limit)
	}
	for i := range o.Headers {
		t.named(&m.Headers, o.Headers[i].Name, o.Headers[i].Count, limit)
	}
	t.body(&m.Body, &o.Body, limit)
}

// Param returns the parameter, nil where it was not seen.
func (t *Traits) Param(in event.In, name string) *Param {
	if i, ok := slices.BinarySearchFunc(t.Params, &event.Param{In: in, Name: name}, byParam); ok {
		return &t.Params[i]
	}
	return nil
}

// Find returns the Named of that name in a sorted list, nil where there is none.
func Find(list []Named, name string) *Named {
	if i, ok := slices.BinarySearchFunc(list, name, func(n Named, name string) int { return cmp.Compare(n.Name, name) }); ok {
		return &list[i]
	}
	return nil
}
