package redact

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/agent/redact/hostile"
	"github.com/gnomon-sensor/gnomon/agent/redact/sensitive"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Bounds of one body. The prefix that parsers keep is 4 KiB by default, so these seldom cut.
const (
	maxDepth      = 32
	maxPlaces     = 256  // different places in one body; further ones are left out, and the body counts as cut
	maxNodes      = 8192 // places known in all; then they are learned anew
	maxBodyParams = 24
	maxClasses    = 32 // different (class, place) of one body
	sampled       = 32 // beyond the budget one body in so many is read
	maxString     = 512
	inflateCost   = 16  // times as much does a compressed body take of the budget
	callCost      = 256 // bytes that a call with a body takes of the budget besides
)

// bodyReader reads JSON and form bodies: which fields stand where with what types, and which kinds of personal or secret data. Places are
// nodes of a tree that is kept from body to body, so that a field known from before costs a comparison with the key that
// followed its sibling last time (5 ns) and no string is built.
type bodyReader struct {
	r     *Redactor
	seed  maphash.Seed
	nodes []place
	kids  map[kidKey]int32
	epoch uint32

	second event.Time // whose budget left is
	left   int
	over   uint32        // calls with a body beyond the budget
	passed atomic.Uint64 // of them, whose bodies were not read

	touched []int32
	object  uint32
	stack   []frame
	seen    []int32
	text    []byte
	found   []finding
	orders  cache[[]uint16]
	out     [2]event.Body
	classes [2][]event.DataClass

	request   bool
	cut       bool
	signs     hostile.Signs
	inflater  inflater
	scope     sipKey
	dst       *event.Call
	bodyParam int
	client    bool // saw what an OAuth 2 client sends
	clientID  string
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

func (b *bodyReader) init(r *Redactor) {
	b.r, b.seed = r, maphash.MakeSeed()
	b.orders = newCache[[]uint16](r.cfg.Entries / 4)
	b.clear()
}

func (b *bodyReader) clear() {
	b.nodes = append(b.nodes[:0], place{at: "$"})
	b.kids = make(map[kidKey]int32)
	b.orders.clear()
	b.epoch = 0
}

// read fills dst's body shapes, data classes and body parameters from x, as far as the budget lets it.
func (b *bodyReader) read(dst *event.Call, scope sipKey, x *proto.Exchange, auth *credential) hostile.Signs {
	dst.RequestBody, dst.ResponseBody = nil, nil
	dst.Data.Request, dst.Data.Response = b.classes[0][:0], b.classes[1][:0]
	n := len(x.Req.Body) + len(x.Res.Body)
	if n == 0 {
		return 0
	}
	for d, m := range [...]*proto.Message{proto.Request: &x.Req, proto.Response: &x.Res} {
		if b.r.encoding[d] != "" {
			n += inflateCost * len(m.Body)
		}
	}
	if !b.allow(n+callCost, x.Start) {
		return 0
	}
	if len(b.nodes) > maxNodes {
		b.clear()
	}
	b.dst, b.scope, b.signs, b.client, b.clientID = dst, scope, 0, false, ""
	b.bodyParam = 0
	dst.RequestBody = b.message(proto.Request, &x.Req, dst.RequestType)
	if b.client {
		if b.clientID != "" {
			*auth = credential{kind: event.AuthOAuth2Client, fingerprint: b.clientID}
		} else if auth.kind == event.AuthBasic {
			auth.kind = event.AuthOAuth2Client
		}
	}
	dst.ResponseBody = b.message(proto.Response, &x.Res, dst.ResponseType)
	dst.Data.Request, dst.Data.Response = b.classes[0], b.classes[1]
	b.dst = nil
	return b.signs
}

// allow says whether n bytes of bodies may be read at the time at.
func (b *bodyReader) allow(n int, at event.Time) bool {
	if s := at / 1e9; s != b.second {
		b.second, b.left = s, b.r.cfg.BodyBytes
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

// message reads the body of one direction; nil when it has no shape.
func (b *bodyReader) message(d proto.Dir, m *proto.Message, media string) *event.Body {
	b.classes[d] = b.classes[d][:0]
	body, whole := m.Body, int64(len(m.Body)) >= m.Bytes
	if c := b.r.encoding[d]; c != "" && c != "identity" && len(body) > 0 {
		var all bool
		body, all = b.inflater.inflate(c, body)
		whole = whole && all
	}
	if len(body) == 0 {
		return nil
	}
	b.request = d == proto.Request
	b.epoch++
	b.object = 0
	b.touched, b.found, b.seen, b.stack = b.touched[:0], b.found[:0], b.seen[:0], b.stack[:0]
	b.cut = !whole || m.Open
	shaped := false
	switch i := skipSpace(body, 0); {
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
		if b.request && len(body) < hostile.MaxScan {
			b.signs |= b.r.scanner.Scan(body)
		}
	}
	b.report(d)
	if !shaped {
		return nil
	}
	return b.shape(d)
}

func isJSON(media string) bool {
	return strings.HasSuffix(media, "json") || media == "text/javascript" || media == "application/x-ndjson"
}

// shape puts the touched places in order into the Body of d.
func (b *bodyReader) shape(d proto.Dir) *event.Body {
	k := b.r.key[:0]
	for _, n := range b.touched {
		k = binary.LittleEndian.AppendUint16(k, uint16(n))
	}
	b.r.key = k
	order, known := b.orders.at(k)
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
func (b *bodyReader) touch(node int32) *place {
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
func (b *bodyReader) kid(parent, prev int32, key []byte) int32 {
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

func (b *bodyReader) newKid(parent int32, k kidKey, key []byte) int32 {
	b.text = unescape(b.text[:0], key)
	name := "*"
	if len(key) <= maxName {
		if t := b.r.name(b.text); t != "" && t[0] != '{' {
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

func (b *bodyReader) add(k kidKey, p place) int32 {
	n := int32(len(b.nodes))
	b.nodes = append(b.nodes, p)
	b.kids[k] = n
	return n
}

// element is the node of what stands in the array at parent; it is about what the array is about.
func (b *bodyReader) element(parent int32) int32 {
	if e := b.nodes[parent].elem; e != 0 {
		return e
	}
	n := b.add(kidKey{parent, 1}, place{at: b.nodes[parent].at + "[]", key: b.nodes[parent].key, about: b.nodes[parent].about})
	b.nodes[parent].elem = n
	return n
}

// json reads the value that starts at s[0]. What is cut or wrong ends it, with cut set.
func (b *bodyReader) json(s []byte) {
	i := 0
	node := int32(0)
	for {
		// a value for node
		i = skipSpace(s, i)
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
			if j := skipSpace(s, i); j < len(s) && (s[j] == '}' || s[j] == ']') {
				i = j
				break
			}
			if node, i = b.nextNode(s, i); node < 0 {
				return
			}
			continue
		case '"':
			end := stringEnd(s, i)
			if end > len(s) {
				b.cut = true
				p.types |= event.JSONString
				return
			}
			p.types |= event.JSONString
			b.stringAt(node, s[i+1:end-1])
			i = end
		default:
			end := valueEnd(s, i)
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
			i = skipSpace(s, i)
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
func (b *bodyReader) nextNode(s []byte, i int) (int32, int) {
	f := &b.stack[len(b.stack)-1]
	if f.array {
		return b.element(f.node), i
	}
	i = skipSpace(s, i)
	if i >= len(s) || s[i] != '"' {
		b.cut = true
		return -1, i
	}
	end := stringEnd(s, i)
	if end > len(s) {
		b.cut = true
		return -1, i
	}
	key := s[i+1 : end-1]
	i = skipSpace(s, end)
	if i >= len(s) || s[i] != ':' {
		b.cut = true
		return -1, i
	}
	if b.request && len(key) > 1 && key[0] == '$' && hostile.Operator(key[1:]) {
		b.signs |= hostile.NoSQL
	}
	f.prev = b.kid(f.node, f.prev, key)
	return f.prev, i + 1
}

func (b *bodyReader) pop(object bool) {
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
func (b *bodyReader) form(s []byte) {
	b.openForm()
	f := frame{}
	for len(s) > 0 && f.seen < maxPlaces {
		pair := s
		last := true
		if i := indexByte(s, '&'); i >= 0 {
			pair, s, last = s[:i], s[i+1:], false
		} else {
			s = nil
		}
		if last && b.cut {
			break // its value is not all there
		}
		if i := indexByte(pair, '='); i > 0 {
			b.r.nameBuf = decode(b.r.nameBuf[:0], pair[:i])
			b.r.valueBuf = decode(b.r.valueBuf[:0], pair[i+1:])
			b.formField(&f, b.r.nameBuf, b.r.valueBuf, true)
		}
	}
	b.closeForm()
}

// multipart reads a multipart/form-data body (RFC 7578): the names of its parts, and the values of those that are no files. The boundary
// is the body's first line.
func (b *bodyReader) multipart(s []byte) {
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
		if !hasFold(line, "content-disposition:") {
			continue
		}
		for len(line) > 0 {
			field := line
			if i := indexByte(line, ';'); i >= 0 {
				field, line = line[:i], line[i+1:]
			} else {
				line = nil
			}
			switch field = trim(field); {
			case hasFold(field, "name="):
				name = unquote(field[len("name="):])
			case hasFold(field, "filename"):
				file = true
			}
		}
	}
	return name, file
}

func (b *bodyReader) openForm() {
	root := b.touch(0)
	root.n, root.types = 1, event.JSONObject
	b.object++
}

func (b *bodyReader) closeForm() {
	if !b.cut {
		b.touch(0).objects = 1
	}
}

// formField takes one field; f keeps the field before and their number.
func (b *bodyReader) formField(f *frame, name, value []byte, text bool) {
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
	switch b.nodes[f.prev].raw {
	case "grant_type":
		b.client = b.client || string(value) == "client_credentials"
	case "client_secret", "client_assertion":
		b.client = true
	case "client_id":
		b.clientID = b.r.fingerprint("oauth2_client", value)
	}
}

// stringAt takes a JSON string, escapes as they are.
func (b *bodyReader) stringAt(node int32, s []byte) {
	if len(s) > maxString {
		s = s[:maxString]
	}
	if indexByte(s, '\\') >= 0 {
		b.text = unescape(b.text[:0], s)
		s = b.text
	}
	b.value(node, s)
}

// value takes a string value.
func (b *bodyReader) value(node int32, s []byte) {
	kind := event.KindString
	if len(s) <= maxName {
		kind, _ = Classify(s)
	} else if isJWT(s) {
		kind = event.KindJWT
	}
	p := &b.nodes[node]
	p.kinds.Add(kind)
	b.observe(node, sensitive.Of(p.about, kind, s))
	if b.request {
		b.signs |= b.r.scanner.Scan(s)
		b.param(node, kind, s)
	}
}

// scalar takes a number or a literal name.
func (b *bodyReader) scalar(node int32, s []byte) {
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
		p.types |= event.JSONInteger
		for _, c := range s {
			if c == '.' || c == 'e' || c == 'E' {
				p.types = p.types&^event.JSONInteger | event.JSONNumber
				kind = event.KindNumber
				break
			}
		}
		b.observe(node, sensitive.OfNumber(p.about, s))
	}
	if b.request {
		b.param(node, kind, s)
	}
}

// param makes a scalar of the request's body a parameter, the first one at each place.
func (b *bodyReader) param(node int32, kind event.Kind, s []byte) {
	p := &b.nodes[node]
	if b.bodyParam >= maxBodyParams || p.key == "*" || len(p.at) < 3 || p.n > 0 && len(b.stack) == 0 && p.n > 1 {
		return
	}
	for i := len(b.dst.Params) - 1; i >= 0 && b.dst.Params[i].In == event.InBody; i-- {
		if b.dst.Params[i].Name == p.at[2:] {
			return
		}
	}
	r := b.r
	r.key = append(append(append(r.key[:0], 255), b.dst.Service...), 0)
	r.key = append(append(append(r.key, p.at...), 0), s...)
	v, known := r.values.at(r.key)
	if !known {
		*v = value{params: v.params[:0]}
		q := event.Param{In: event.InBody, Name: p.at[2:], Kind: kind}
		if len(s) == 0 {
			q.Kind = event.KindEmpty
		} else {
			r.small = append(append(append(r.small[:0], byte(event.InBody)), p.at...), 0)
			q.Hash = b.scope.sub(r.small).hash(s)
			if len(s) <= 24 && !p.about.Personal() {
				q.Word = word(s)
			}
		}
		v.params = append(v.params, q)
	}
	b.bodyParam++
	b.dst.Params = append(b.dst.Params, v.params...)
}

// observe counts a value of class c at node.
func (b *bodyReader) observe(node int32, c sensitive.Class) {
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
func (b *bodyReader) report(d proto.Dir) {
	for _, f := range b.found {
		at := ""
		if f.node >= 0 {
			at = b.nodes[f.node].at
		}
		b.classes[d] = append(b.classes[d], event.DataClass{Class: f.class.String(), At: at, Count: f.count})
	}
}

// free looks through text that has no structure we read, word by word.
func (b *bodyReader) free(s []byte) {
	if b.request {
		b.signs |= b.r.scanner.Scan(s)
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
			if kind, _ := Classify(w); kind != event.KindWord && kind != event.KindString || w[len(w)-1] == '.' {
				if w[len(w)-1] == '.' {
					w = w[:len(w)-1]
					kind, _ = Classify(w)
				}
				b.observe(-1, sensitive.Of(sensitive.Field{}, kind, w))
			}
		}
		from = -1
	}
}
