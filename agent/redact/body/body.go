// Package body reads the beginnings of bodies: which fields stand where with what types, and which kinds of personal or secret data.
//
// In: what was captured of a JSON, form or text body, compressed or not. Out: its shape, classes of data, signs of hostile content, and each
// scalar of a request to a Sink. Nothing of a value is in what it gives but to the Sink. It reads within a budget of bytes per second of event
// time and is linear in the body, with bounds on depth and places; what a bound cuts is noted in the shape.
package body

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gnomon-sensor/gnomon/agent/redact/cache"
	"github.com/gnomon-sensor/gnomon/agent/redact/hostile"
	"github.com/gnomon-sensor/gnomon/agent/redact/sensitive"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Bounds of one body. The prefix that parsers keep is 4 KiB by default, so these seldom cut.
const (
	maxDepth    = 32
	maxPlaces   = 256  // different places in one body; further ones are left out, and the body counts as cut
	maxNodes    = 8192 // places known in all; then they are learned anew
	maxName     = 64   // bytes of a key that can be a name
	maxValue    = 2048 // bytes of a value that are decoded; the rest stays as it is
	maxClasses  = 32   // different (class, place) of one body
	sampled     = 32   // beyond the budget one body in so many is read
	maxString   = 512
	inflateCost = 16  // times as much does a compressed body take of the budget
	callCost    = 256 // bytes that a call with a body takes of the budget besides
)

// Config is what a Reader needs.
type Config struct {
	// Kind says what a decoded value looks like, and Name what of a field's decoded name may leave: "" when it is data. Both required.
	Kind func(value []byte) event.Kind
	Name func(key []byte) string
	// Bytes is the budget of one second of event time; each call with a body takes 256 besides, and a compressed byte counts 16-fold. Beyond
	// it one call in 32 is read. Default 2 MiB.
	Bytes int
	// Orders is how many orders of fields are remembered. Default 512.
	Orders int
}

// Sink takes the scalars of requests. Everything is borrowed.
type Sink interface {
	// Scalar takes the value at a place ("$.items[].sku"), whose last key is raw as it was sent; at each place the first of a body comes first.
	Scalar(at, raw string, about sensitive.Field, kind event.Kind, value []byte)
}

// Message is one body, as far as it was captured.
type Message struct {
	Body   []byte
	Whole  bool   // it is all there
	Media  string // media type, lower case
	Coding string // content coding, lower case; "" none
}

// Found is what a body holds. It is valid until the Reader reads another body of the same direction.
type Found struct {
	Shape *event.Body // nil: it has none that is understood
	Data  []event.DataClass
	Signs hostile.Signs // of requests only
}

// Reader reads bodies. Places are nodes of a tree that is kept from body to body, so that a field known from before costs a
// comparison with the key that followed its sibling last time (5 ns) and no string is built. Not safe for concurrent use, but for
// Unread.
type Reader struct {
	cfg   Config
	seed  maphash.Seed
	nodes []place
	kids  map[kidKey]int32
	epoch uint32

	second event.Time // whose budget left is
	left   int
	over   uint32        // calls with a body beyond the budget
	passed atomic.Uint64 // of them, whose bodies were not read

	touched  []int32
	object   uint32
	stack    []frame
	seen     []int32
	key      []byte
	name     []byte
	text     []byte
	found    []finding
	orders   cache.Cache[[]uint16]
	out      [2]event.Body
	classes  [2][]event.DataClass
	inflater inflater
	scanner  hostile.Scanner

	cut   bool
	signs hostile.Signs
	sink  Sink // nil: a response
}

// New returns a Reader.
func New(cfg Config) *Reader {
	if cfg.Bytes <= 0 {
		cfg.Bytes = 2 << 20
	}
	if cfg.Orders <= 0 {
		cfg.Orders = 512
	}
	b := &Reader{cfg: cfg, seed: maphash.MakeSeed(), orders: cache.New[[]uint16](cfg.Orders)}
	b.Clear()
	return b
}

type kidKey struct {
	parent int32
	hash   uint64
}

// place is one place of bodies, "$.items[].sku".
type place struct {
	at    string
	key   string // as the name may leave; "*" for data
	raw   string // the key as it is in JSON, to know it again
	next  int32  // the sibling that came after it last time
	first int32  // the kid that came first last time
	elem  int32  // what stands in the array, 0 unknown
	about sensitive.Field

	epoch   uint32
	object  uint32 // the object that counted it last
	types   event.JSONTypes
	kinds   event.KindSet
	n       uint64
	objects uint64
}

type frame struct {
	node  int32
	array bool
	prev  int32 // last kid
	seen  int
	obj   uint32
}

type finding struct {
	class sensitive.Class
	node  int32
	count int
}

// Clear forgets the places: names that may leave have changed.
func (b *Reader) Clear() {
	b.nodes = append(b.nodes[:0], place{at: "$"})
	b.kids = make(map[kidKey]int32)
	b.orders.Clear()
	b.epoch = 0
}

// Unread is how many calls had bodies that were not read, the budget being spent. Safe for concurrent use.
func (b *Reader) Unread() uint64 { return b.passed.Load() }

// Allow says whether the bodies of one call at the time at may be read, and takes what they cost from the budget.
func (b *Reader) Allow(request, response *Message, at event.Time) bool {
	n := callCost
	for _, m := range [...]*Message{request, response} {
		if n += len(m.Body); m.Coding != "" {
			n += inflateCost * len(m.Body)
		}
	}
	if n == callCost {
		return false
	}
	if s := at / 1e9; s != b.second {
		b.second, b.left = s, b.cfg.Bytes
	}
	if b.left >= n {
		b.left -= n
		return true
	}
	b.over++
	if b.over%sampled == 0 {
		return true
	}
	b.passed.Add(1)
	return false
}

// Request reads the body of a request, and hands its scalars to sink.
func (b *Reader) Request(m *Message, sink Sink) Found {
	b.sink = sink
	f := b.read(0, m)
	b.sink = nil
	return f
}

// Response reads the body of a response.
func (b *Reader) Response(m *Message) Found { return b.read(1, m) }

func (b *Reader) read(d int, m *Message) Found {
	body, whole, media := m.Body, m.Whole, m.Media
	if m.Coding != "" && m.Coding != "identity" && len(body) > 0 {
		var all bool
		body, all = b.inflater.inflate(m.Coding, body)
		whole = whole && all
	}
	if len(body) == 0 {
		return Found{}
	}
	if len(b.nodes) > maxNodes {
		b.Clear()
	}
	b.epoch++
	b.object, b.signs = 0, 0
	b.touched, b.found, b.seen, b.stack = b.touched[:0], b.found[:0], b.seen[:0], b.stack[:0]
	b.cut = !whole
	shaped := false
	switch i := SkipSpace(body, 0); {
	case media == "application/x-www-form-urlencoded":
		b.form(body)
		shaped = true
	case media == "multipart/form-data":
		b.multipart(body)
		shaped = len(b.touched) > 0
	case i < len(body) && (body[i] == '{' || body[i] == '[') && (media == "" || isJSON(media)):
		b.json(body[i:])
		shaped = true
	case strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "xml") || isJSON(media) || media == "":
		b.free(body)
	default:
		if b.sink != nil && len(body) < hostile.MaxScan {
			b.signs |= b.scanner.Scan(body)
		}
	}
	f := Found{Data: b.report(d), Signs: b.signs}
	if shaped {
		f.Shape = b.shape(d)
	}
	return f
}

func isJSON(media string) bool {
	return strings.HasSuffix(media, "json") || media == "text/javascript" || media == "application/x-ndjson"
}

// shape puts the touched places in order into the Body of d.
func (b *Reader) shape(d int) *event.Body {
	k := b.key[:0]
	for _, n := range b.touched {
		k = binary.LittleEndian.AppendUint16(k, uint16(n))
	}
	b.key = k
	order, known := b.orders.At(k)
	if !known {
		o := (*order)[:0]
		for i := range b.touched {
			o = append(o, uint16(i))
		}
		slices.SortFunc(o, func(x, y uint16) int {
			return strings.Compare(b.nodes[b.touched[x]].at, b.nodes[b.touched[y]].at)
		})
		*order = o
	}
	out := &b.out[d]
	out.Fields, out.Bodies, out.CutOff = out.Fields[:0], 1, 0
	if b.cut {
		out.CutOff = 1
	}
	for _, i := range *order {
		p := &b.nodes[b.touched[i]]
		if n := len(out.Fields); n > 0 && out.Fields[n-1].At == p.at {
			f := &out.Fields[n-1]
			f.Types, f.Kinds, f.N, f.Objects = f.Types|p.types, f.Kinds|p.kinds, f.N+p.n, f.Objects+p.objects
			continue
		}
		out.Fields = append(out.Fields, event.Field{At: p.at, Types: p.types, Kinds: p.kinds, N: p.n, Objects: p.objects})
	}
	return out
}

// touch makes node part of this body.
func (b *Reader) touch(node int32) *place {
	p := &b.nodes[node]
	if p.epoch != b.epoch {
		p.epoch, p.object, p.types, p.kinds, p.n, p.objects = b.epoch, 0, 0, 0, 0, 0
		if len(b.touched) >= maxPlaces {
			b.cut = true
		} else {
			b.touched = append(b.touched, node)
		}
	}
	return p
}

// kid is the node of key in the object at parent; prev is the kid before it.
func (b *Reader) kid(parent, prev int32, key []byte) int32 {
	hint := b.nodes[parent].first
	if prev != 0 {
		hint = b.nodes[prev].next
	}
	if hint != 0 && b.nodes[hint].raw == string(key) {
		return hint
	}
	k := kidKey{parent, maphash.Bytes(b.seed, key)}
	n, known := b.kids[k]
	if !known || b.nodes[n].raw != string(key) && b.nodes[n].key != "*" {
		n = b.newKid(parent, k, key)
	}
	if prev != 0 {
		b.nodes[prev].next = n
	} else {
		b.nodes[parent].first = n
	}
	return n
}

func (b *Reader) newKid(parent int32, k kidKey, key []byte) int32 {
	b.text = unescape(b.text[:0], key)
	name := "*"
	if len(key) <= maxName {
		if t := b.cfg.Name(b.text); t != "" {
			name = t
		}
	}
	if name == "*" { // all data keys of one object are one place
		k = kidKey{parent, 0}
		if n, ok := b.kids[k]; ok {
			return n
		}
	}
	p := place{at: b.nodes[parent].at + "." + name, key: name}
	if name != "*" {
		p.raw = string(key)
		p.about = sensitive.FieldOf(b.text)
	}
	return b.add(k, p)
}

func (b *Reader) add(k kidKey, p place) int32 {
	n := int32(len(b.nodes))
	b.nodes = append(b.nodes, p)
	b.kids[k] = n
	return n
}

// element is the node of what stands in the array at parent; it is about what the array is about.
func (b *Reader) element(parent int32) int32 {
	if e := b.nodes[parent].elem; e != 0 {
		return e
	}
	n := b.add(kidKey{parent, 1}, place{at: b.nodes[parent].at + "[]", key: b.nodes[parent].key, about: b.nodes[parent].about})
	b.nodes[parent].elem = n
	return n
}

// json reads the value that starts at s[0]. What is cut or wrong ends it, with cut set.
func (b *Reader) json(s []byte) {
	i := 0
	node := int32(0)
	for {
		// a value for node
		i = SkipSpace(s, i)
		if i >= len(s) {
			b.cut = true
			return
		}
		p := b.touch(node)
		if len(b.stack) == 0 || b.stack[len(b.stack)-1].array {
			p.n++
		} else if f := &b.stack[len(b.stack)-1]; p.object != f.obj {
			p.object = f.obj
			b.seen = append(b.seen, node)
		}
		switch s[i] {
		case '{', '[':
			if len(b.stack) == maxDepth {
				b.cut = true
				return
			}
			if s[i] == '{' {
				p.types |= event.JSONObject
				b.object++
				b.stack = append(b.stack, frame{node: node, seen: len(b.seen), obj: b.object})
			} else {
				p.types |= event.JSONArray
				b.stack = append(b.stack, frame{node: node, array: true, seen: len(b.seen)})
			}
			i++
			if j := SkipSpace(s, i); j < len(s) && (s[j] == '}' || s[j] == ']') {
				i = j
				break
			}
			if node, i = b.nextNode(s, i); node < 0 {
				return
			}
			continue
		case '"':
			end := StringEnd(s, i)
			if end > len(s) {
				b.cut = true
				p.types |= event.JSONString
				return
			}
			p.types |= event.JSONString
			b.stringAt(node, s[i+1:end-1])
			i = end
		default:
			end := ValueEnd(s, i)
			if end == i || end >= len(s) && len(b.stack) > 0 {
				b.cut = true
				return
			}
			b.scalar(node, s[i:end])
			i = end
		}
		// what follows a value
		for {
			if len(b.stack) == 0 {
				return
			}
			i = SkipSpace(s, i)
			if i >= len(s) {
				b.cut = true
				return
			}
			c := s[i]
			i++
			if c == '}' || c == ']' {
				b.pop(c == '}')
				continue
			}
			if c != ',' {
				b.cut = true
				return
			}
			break
		}
		if node, i = b.nextNode(s, i); node < 0 {
			return
		}
	}
}

// nextNode is the node of the next value and where it starts: behind the key in an object. -1: cut or wrong.
func (b *Reader) nextNode(s []byte, i int) (int32, int) {
	f := &b.stack[len(b.stack)-1]
	if f.array {
		return b.element(f.node), i
	}
	i = SkipSpace(s, i)
	if i >= len(s) || s[i] != '"' {
		b.cut = true
		return -1, i
	}
	end := StringEnd(s, i)
	if end > len(s) {
		b.cut = true
		return -1, i
	}
	key := s[i+1 : end-1]
	i = SkipSpace(s, end)
	if i >= len(s) || s[i] != ':' {
		b.cut = true
		return -1, i
	}
	if b.sink != nil && len(key) > 1 && key[0] == '$' && hostile.Operator(key[1:]) {
		b.signs |= hostile.NoSQL
	}
	f.prev = b.kid(f.node, f.prev, key)
	return f.prev, i + 1
}

func (b *Reader) pop(object bool) {
	f := b.stack[len(b.stack)-1]
	b.stack = b.stack[:len(b.stack)-1]
	if object && !f.array {
		for _, n := range b.seen[f.seen:] {
			b.nodes[n].n++
		}
		b.touch(f.node).objects++
	}
	b.seen = b.seen[:f.seen]
}

// form reads an urlencoded body (WHATWG URL, section 5.1).
func (b *Reader) form(s []byte) {
	b.openForm()
	f := frame{}
	for len(s) > 0 && f.seen < maxPlaces {
		pair := s
		last := true
		if i := bytes.IndexByte(s, '&'); i >= 0 {
			pair, s, last = s[:i], s[i+1:], false
		} else {
			s = nil
		}
		if last && b.cut {
			break // its value is not all there
		}
		if i := bytes.IndexByte(pair, '='); i > 0 {
			b.name = Decode(b.name[:0], pair[:i])
			b.key = Decode(b.key[:0], pair[i+1:])
			b.formField(&f, b.name, b.key, true)
		}
	}
	b.closeForm()
}

// multipart reads a multipart/form-data body (RFC 7578): the names of its parts, and the values of those that are no files. The boundary
// is the body's first line.
func (b *Reader) multipart(s []byte) {
	end := bytes.Index(s, crlf)
	if end < 3 || end > 74 || s[0] != '-' || s[1] != '-' { // RFC 2046 section 5.1.1: 70 characters at most
		return
	}
	boundary := s[:end]
	b.openForm()
	f := frame{}
	for f.seen < maxPlaces {
		s = s[end+2:]
		head := bytes.Index(s, crlf2)
		if head < 0 {
			break
		}
		name, file := partName(s[:head])
		s = s[head+4:]
		stop := bytes.Index(s, boundary)
		if stop < 2 {
			if name != nil {
				b.formField(&f, name, nil, false) // its value is not all there
			}
			break
		}
		if name != nil {
			b.formField(&f, name, s[:stop-2], !file)
		}
		s = s[stop:]
		if end = len(boundary); len(s) < end+2 || s[end] == '-' {
			break
		}
	}
	b.closeForm()
}

var crlf, crlf2 = []byte("\r\n"), []byte("\r\n\r\n")

// partName is the field's name in the head of a part, and whether the part is a file (RFC 7578 section 4.2).
func partName(head []byte) (name []byte, file bool) {
	for len(head) > 0 {
		line := head
		if i := bytes.Index(head, crlf); i >= 0 {
			line, head = head[:i], head[i+2:]
		} else {
			head = nil
		}
		if !foldPrefix(line, "content-disposition:") {
			continue
		}
		for len(line) > 0 {
			field := line
			if i := bytes.IndexByte(line, ';'); i >= 0 {
				field, line = line[:i], line[i+1:]
			} else {
				line = nil
			}
			switch field = bytes.TrimSpace(field); {
			case foldPrefix(field, "name="):
				name = bytes.Trim(field[len("name="):], `"`)
			case foldPrefix(field, "filename"):
				file = true
			}
		}
	}
	return name, file
}

func (b *Reader) openForm() {
	root := b.touch(0)
	root.n, root.types = 1, event.JSONObject
	b.object++
}

func (b *Reader) closeForm() {
	if !b.cut {
		b.touch(0).objects = 1
	}
}

// formField takes one field; f keeps the field before and their number.
func (b *Reader) formField(f *frame, name, value []byte, text bool) {
	f.seen++
	f.prev = b.kid(0, f.prev, name)
	p := b.touch(f.prev)
	if p.object != b.object {
		p.object = b.object
		p.n++
	}
	p.types |= event.JSONString
	if !text {
		return
	}
	b.value(f.prev, value)
}

// stringAt takes a JSON string, escapes as they are.
func (b *Reader) stringAt(node int32, s []byte) {
	if len(s) > maxString {
		s = s[:maxString]
	}
	if bytes.IndexByte(s, '\\') >= 0 {
		b.text = unescape(b.text[:0], s)
		s = b.text
	}
	b.value(node, s)
}

// value takes a string value.
func (b *Reader) value(node int32, s []byte) {
	kind := b.cfg.Kind(s)
	p := &b.nodes[node]
	p.kinds.Add(kind)
	b.observe(node, sensitive.Of(p.about, kind, s))
	if b.sink != nil {
		b.signs |= b.scanner.Scan(s)
		b.scalarOut(node, kind, s)
	}
}

// scalar takes a number or a literal name.
func (b *Reader) scalar(node int32, s []byte) {
	p := &b.nodes[node]
	kind := event.KindInteger
	switch s[0] {
	case 't', 'f':
		p.types |= event.JSONBoolean
		kind = event.KindBoolean
	case 'n':
		p.types |= event.JSONNull
		return
	default:
		for _, c := range s {
			if c == '.' || c == 'e' || c == 'E' {
				kind = event.KindNumber
				break
			}
		}
		if kind == event.KindInteger {
			p.types |= event.JSONInteger
		} else {
			p.types |= event.JSONNumber
		}
		b.observe(node, sensitive.OfNumber(p.about, s))
	}
	if b.sink != nil {
		b.scalarOut(node, kind, s)
	}
}

// scalarOut hands a scalar of the request's body to the sink; data has no name to hand it over by.
func (b *Reader) scalarOut(node int32, kind event.Kind, s []byte) {
	if p := &b.nodes[node]; p.key != "*" && len(p.at) > 2 {
		b.sink.Scalar(p.at, p.raw, p.about, kind, s)
	}
}

// observe counts a value of class c at node.
func (b *Reader) observe(node int32, c sensitive.Class) {
	if c == sensitive.None {
		return
	}
	for i := range b.found {
		if f := &b.found[i]; f.class == c && f.node == node {
			f.count++
			return
		}
	}
	if len(b.found) < maxClasses {
		b.found = append(b.found, finding{c, node, 1})
	}
}

// report makes what was found the DataClasses of d.
func (b *Reader) report(d int) []event.DataClass {
	list := b.classes[d][:0]
	for _, f := range b.found {
		at := ""
		if f.node >= 0 {
			at = b.nodes[f.node].at
		}
		list = append(list, event.DataClass{Class: f.class.String(), At: at, Count: f.count})
	}
	b.classes[d] = list
	return list
}

// free looks through text that has no structure we read, word by word.
func (b *Reader) free(s []byte) {
	if b.sink != nil {
		b.signs |= b.scanner.Scan(s)
	}
	from := -1
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] > ' ' && s[i] != '<' && s[i] != '>' && s[i] != '"' && s[i] != '\'' && s[i] != ',' && s[i] != ';' && s[i] != '(' && s[i] != ')' && s[i] != '=' {
			if from < 0 {
				from = i
			}
			continue
		}
		if from >= 0 && i-from >= 7 && i-from <= 255 {
			w := s[from:i]
			if kind := b.cfg.Kind(w); kind != event.KindWord && kind != event.KindString || w[len(w)-1] == '.' {
				if w[len(w)-1] == '.' {
					w = w[:len(w)-1]
					kind = b.cfg.Kind(w)
				}
				b.observe(-1, sensitive.Of(sensitive.Field{}, kind, w))
			}
		}
		from = -1
	}
}

// Decode appends b with %XX and + decoded as forms have them; of what is longer than 2,048 bytes the rest as it stands.
func Decode(dst, b []byte) []byte {
	if bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '+') < 0 {
		return append(dst, b...)
	}
	for i := 0; i < len(b); i++ {
		c := b[i]
		if i >= maxValue {
			return append(dst, b[i:]...)
		}
		if c == '+' {
			c = ' '
		} else if c == '%' && i+2 < len(b) && isHex(b[i+1]) && isHex(b[i+2]) {
			c = hexval(b[i+1])<<4 | hexval(b[i+2])
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}

func isHex(c byte) bool { return c-'0' < 10 || (c|0x20)-'a' < 6 }

func foldPrefix(b []byte, low string) bool {
	return len(b) >= len(low) && bytes.EqualFold(b[:len(low)], []byte(low))
}
