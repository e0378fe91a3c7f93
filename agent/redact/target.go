package redact

import (
	"github.com/gnomon-sensor/gnomon/agent/redact/body"
	"github.com/gnomon-sensor/gnomon/agent/redact/hostile"
	"github.com/gnomon-sensor/gnomon/agent/redact/sensitive"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// pathInfo is what the path of a request target says.
type pathInfo struct {
	segs     []event.Segment
	parts    []event.Part // what segs' Parts point to
	template string       // where there is no path
	signs    hostile.Signs
}

// queryInfo is what a query says, under one service.
type queryInfo struct {
	params    []event.Param
	signs     hostile.Signs
	auth      credential // an API key
	signature bool       // a signed URL (X-Amz-Signature, sig)
}

const (
	maxParams     = 64 // of one Call, in each place
	keptSegments  = 24 // a longer path is not cached
	malformedText = "{malformed}"
)

// split cuts a request target into the path, of an absolute form without scheme and authority, and the query, nil when there is none.
func (r *Redactor) split(raw []byte, connect bool) (path, query []byte) {
	if connect && (len(raw) == 0 || raw[0] != '/') {
		return raw, nil
	}
	if len(raw) > 0 && raw[0] != '/' {
		if at := r.absolute(raw); at > 0 {
			raw = raw[at:]
		}
	}
	for i, c := range raw {
		if c == '#' {
			return raw[:i], nil
		}
		if c == '?' {
			query = raw[i+1:]
			if j := indexByte(query, '#'); j >= 0 {
				query = query[:j]
			}
			return raw[:i], query
		}
	}
	return raw, nil
}

// path returns what the path raw says. The result is borrowed until the next call.
func (r *Redactor) path(raw []byte, connect bool) *pathInfo {
	key := raw
	if connect {
		r.key = append(append(r.key[:0], "CONNECT "...), raw...)
		key = r.key
	}
	p, known := r.pathCache.At(key)
	if known {
		return p
	}
	*p = pathInfo{segs: p.segs[:0], parts: p.parts[:0]}
	r.readPath(p, raw, connect)
	if len(p.segs) > keptSegments {
		// one odd path must not pin memory in its slot
		r.oddPath = *p
		*p = pathInfo{}
		r.pathCache.Forget(key)
		return &r.oddPath
	}
	return p
}

func (r *Redactor) readPath(p *pathInfo, raw []byte, connect bool) {
	switch {
	case connect && (len(raw) == 0 || raw[0] != '/'):
		p.template = r.authority(raw)
		return
	case len(raw) == 0:
		p.template = "/"
		return
	case len(raw) == 1 && raw[0] == '*':
		p.template = "*"
		return
	}
	var notes PathNotes
	p.segs, notes = r.paths.Path(p.segs, raw)
	for i := range p.segs { // the splitter's parts are its own
		if s := &p.segs[i]; len(s.Parts) > 0 {
			from := len(p.parts)
			p.parts = append(p.parts, s.Parts...)
			s.Parts = p.parts[from:len(p.parts):len(p.parts)]
		}
	}
	if notes&NoteAboveRoot != 0 {
		p.signs |= hostile.Traversal
	}
	p.signs |= r.scanner.Scan(raw)
	switch {
	case notes&NoteRefused != 0:
		p.template = malformed(raw)
	case len(p.segs) == 0:
		p.template = "/"
	}
}

// query returns what the query raw says under service. The result is borrowed until the next call.
func (r *Redactor) query(scope sipKey, service string, raw []byte) *queryInfo {
	r.key = append(append(append(r.key[:0], service...), 0), raw...)
	q, known := r.queryCache.At(r.key)
	if known {
		return q
	}
	*q = queryInfo{params: q.params[:0]}
	if cap(q.params) > maxParams/2 {
		q.params = nil
	}
	r.readQuery(q, scope, raw)
	return q
}

// absolute returns where the path of an absolute-form target starts, 0 when raw has another form.
func (r *Redactor) absolute(raw []byte) int {
	i := 0
	for i < len(raw) && i < 16 && (classes[raw[i]] == cLower || classes[raw[i]] == cUpper || i > 0 && classes[raw[i]] == cDigit) {
		i++
	}
	if i == 0 || len(raw) < i+3 || raw[i] != ':' || raw[i+1] != '/' || raw[i+2] != '/' {
		return 0
	}
	for i += 3; i < len(raw); i++ {
		if c := raw[i]; c == '/' || c == '?' || c == '#' {
			break
		}
	}
	return i
}

// authority is the target of CONNECT, host and port, without what is not one.
func (r *Redactor) authority(raw []byte) string {
	host, ok := r.host(raw)
	if !ok || host == "" {
		return malformedText
	}
	for i := len(raw) - 1; i >= 0 && len(raw)-i <= 6; i-- {
		if raw[i] == ':' {
			if allDigits(raw[i+1:]) {
				return r.texts.get(append(append(r.small[:0], host...), raw[i:]...))
			}
			break
		}
	}
	return host
}

// malformed is the template of a target that is none: as many pieces, at most eight, none of them told.
func malformed(path []byte) string {
	t, n := malformedText, 1
	for _, c := range path {
		if c == '/' && n < 8 {
			t += "/" + malformedText
			n++
		}
	}
	return t
}

// readQuery reads a query string as forms encode it (WHATWG URL, section 5.1).
func (r *Redactor) readQuery(t *queryInfo, scope sipKey, q []byte) {
	if len(q) > 16<<10 {
		q = q[:16<<10]
	}
	for len(q) > 0 {
		pair := q
		if i := indexByte(q, '&'); i >= 0 {
			pair, q = q[:i], q[i+1:]
		} else {
			q = nil
		}
		if len(pair) == 0 {
			continue
		}
		name, value := pair, []byte(nil)
		if i := indexByte(pair, '='); i >= 0 {
			name, value = pair[:i], pair[i+1:]
		}
		if len(t.params) >= maxParams {
			t.signs |= r.scanner.Scan(value)
			continue
		}
		r.nameBuf = body.Decode(r.nameBuf[:0], name)
		r.valueBuf = body.Decode(r.valueBuf[:0], value)
		p, h := r.param(scope, event.InQuery, r.nameBuf, r.valueBuf)
		t.signs |= h
		t.params = append(t.params, p)
		switch sensitive.NameOf(r.nameBuf) {
		case sensitive.Key:
			if len(r.valueBuf) >= 8 && t.auth.kind == event.AuthNone {
				t.auth = r.credential(event.AuthAPIKey, r.valueBuf)
			}
		case sensitive.Token:
			if len(r.valueBuf) >= 8 && t.auth.kind == event.AuthNone {
				t.auth = r.bearer(r.valueBuf)
			}
		case sensitive.Signature:
			t.signature = true
		}
		if equalFold(r.nameBuf, "x-amz-credential") {
			t.auth = r.credential(event.AuthSigV4, beforeSlash(r.valueBuf))
		}
	}
	if t.signature && t.auth.kind == event.AuthNone {
		t.auth = credential{kind: event.AuthHMAC}
	}
}

// param is the parameter name with value, both decoded. What is a word of the list and no secret's leaves as such.
func (r *Redactor) param(scope sipKey, in event.In, name, value []byte) (event.Param, hostile.Signs) {
	p := event.Param{In: in, Name: r.name(name)}
	h := r.scanner.Scan(value) | r.scanner.Scan(name)
	if len(value) == 0 {
		p.Kind = event.KindEmpty
		return p, h
	}
	if p.Kind, _ = Classify(value); p.Kind == event.KindWord && (string(value) == "true" || string(value) == "false") {
		p.Kind = event.KindBoolean // a word in a path, a flag in a query
	}
	r.small = append(append(append(r.small[:0], byte(in)), name...), 0)
	p.Hash = scope.sub(r.small).hash(value)
	if (in == event.InQuery || in == event.InBody) && sensitive.NameOf(name) == sensitive.Open && len(value) <= 24 {
		p.Word = word(value)
	}
	return p, h
}

func beforeSlash(b []byte) []byte {
	if i := indexByte(b, '/'); i >= 0 {
		return b[:i]
	}
	return b
}
