package accesslog

import (
	"bytes"
	"strconv"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// what a key of a JSON log means.
type meaning uint8

const (
	other meaning = iota
	kTime
	kTimeStart // of the start, where kTime is that of the line
	kClient
	kClientPort
	kServer
	kServerPort
	kMethod
	kTarget
	kPath
	kQuery
	kRequestLine
	kProtocol
	kHost
	kStatus
	kSent
	kReceived
	kSeconds // durations by unit
	kMillis
	kNanos
	kFirstSeconds
	kFirstMillis
	kScheme
	kTLS
	kSNI
	kAgent
	kReferer
	kForwarded
	kRequestID
	kAuthorization
	kType
	meanings
)

// keys are those of nginx's and Apache's usual JSON formats, Envoy's and Istio's defaults, Caddy, Traefik and the Elastic
// common schema, in lower case. The first of several with one meaning wins.
var keys = map[string]meaning{
	"time": kTime, "time_local": kTime, "time_iso8601": kTime, "timestamp": kTime, "@timestamp": kTime, "msec": kTime, "ts": kTime, "date": kTime,
	"start_time": kTimeStart, "startutc": kTimeStart, "request_start": kTimeStart,
	"remote_addr": kClient, "remote_ip": kClient, "client_ip": kClient, "clientip": kClient, "client": kClient, "remotehost": kClient, "remote_host": kClient,
	"downstream_remote_address": kClient, "downstream_direct_remote_address": kClient, "clientaddr": kClient, "source.ip": kClient, "client.ip": kClient, "source.address": kClient, "client_addr": kClient,
	"remote_port": kClientPort, "client_port": kClientPort, "source.port": kClientPort, "clientport": kClientPort,
	"server_addr": kServer, "upstream_host": kServer, "downstream_local_address": kServer, "destination.ip": kServer, "server_ip": kServer,
	"server_port": kServerPort, "destination.port": kServerPort,
	"request_method": kMethod, "method": kMethod, "http.request.method": kMethod, "requestmethod": kMethod, "verb": kMethod, "http_method": kMethod,
	"request_uri": kTarget, "uri": kTarget, "path": kTarget, "requestpath": kTarget, "url": kTarget, "url.original": kTarget, "request_path": kTarget, "target": kTarget,
	"url.path": kPath, "args": kQuery, "query_string": kQuery, "url.query": kQuery, "query": kQuery,
	"request": kRequestLine, "request_line": kRequestLine,
	"protocol": kProtocol, "server_protocol": kProtocol, "proto": kProtocol, "requestprotocol": kProtocol, "request_protocol": kProtocol, "http.version": kProtocol,
	"host": kHost, "http_host": kHost, "authority": kHost, "server_name": kHost, "requesthost": kHost, "vhost": kHost, "url.domain": kHost, ":authority": kHost,
	"status": kStatus, "response_code": kStatus, "downstreamstatus": kStatus, "status_code": kStatus, "http.response.status_code": kStatus, "response": kStatus,
	"body_bytes_sent": kSent, "bytes_sent": kSent, "size": kSent, "downstreamcontentsize": kSent, "http.response.body.bytes": kSent, "response_bytes": kSent, "bytes": kSent,
	"bytes_received": kReceived, "bytes_read": kReceived, "requestcontentsize": kReceived, "http.request.body.bytes": kReceived, "content_length": kReceived,
	"request_time": kSeconds, "duration_s": kSeconds, "duration_ms": kMillis, "event.duration": kNanos,
	"upstream_header_time": kFirstSeconds, "upstream_service_time": kFirstMillis,
	"scheme": kScheme, "requestscheme": kScheme, "url.scheme": kScheme, "ssl_protocol": kTLS, "tlsversion": kTLS, "requested_server_name": kSNI, "ssl_server_name": kSNI,
	"http_user_agent": kAgent, "user_agent": kAgent, "agent": kAgent, "user_agent.original": kAgent, "request_user-agent": kAgent,
	"http_referer": kReferer, "referer": kReferer, "referrer": kReferer, "http.request.referrer": kReferer,
	"http_x_forwarded_for": kForwarded, "x_forwarded_for": kForwarded, "request_id": kRequestID, "http_authorization": kAuthorization,
	"content_type": kType, "http_content_type": kType,
}

// jsonLine takes one JSON object.
func (p *parser) jsonLine(line []byte) error {
	j := jsonEntry{p: p}
	p.json.Reset(line)
	if b := bytes.TrimLeft(line, " \t"); len(b) == 0 || b[0] != '{' {
		return wrong("an object", line)
	}
	j.object("", 0)
	if !p.json.End() {
		return p.json.Err()
	}
	return j.finish()
}

type jsonEntry struct {
	p           *parser
	seen        [meanings]bool
	path, query []byte
	clientPort  int64
	serverPort  int64
	line        []byte
	protocol    []byte
	duration    []byte // of a key whose unit depends on who wrote the log
	caddy       bool
	traefik     bool
	key         [64]byte
}

// object takes the members of the object that comes next; prefix is that of their names.
func (j *jsonEntry) object(prefix string, depth int) {
	s := &j.p.json
	if !s.Enter('{') {
		return
	}
	for {
		key, ok := s.Key()
		if !ok {
			return
		}
		full := append(append(j.key[:0], prefix...), key...)
		if len(full) > len(j.key) {
			s.Skip()
			continue
		}
		for i, c := range full {
			if 'A' <= c && c <= 'Z' {
				full[i] = c + 32
			}
		}
		j.member(full, depth)
	}
}

func (j *jsonEntry) member(key []byte, depth int) {
	s, e := &j.p.json, &j.p.e
	raw := s.Raw()
	if len(raw) == 0 || string(raw) == "null" {
		return
	}
	if raw[0] == '{' {
		if depth < 3 {
			j.nested(string(key), raw, depth)
		}
		return
	}
	if raw[0] == '[' {
		return
	}
	switch string(key) {
	case "startutc", "downstreamstatus":
		j.traefik = true
	case "duration":
		j.duration = j.value(raw)
		return
	}
	k := keys[string(key)]
	if k == other || j.seen[k] {
		return
	}
	v := j.value(raw)
	if len(v) == 0 || string(v) == "-" {
		return
	}
	j.seen[k] = true
	switch k {
	case kTime, kTimeStart:
		t, ok := anyTime(v)
		if !ok {
			j.seen[k] = false
			return
		}
		if k == kTimeStart || !j.seen[kTimeStart] {
			e.time, e.end = t, k == kTime
		}
	case kClient:
		if e.client, _ = address(v); !e.client.IsValid() {
			j.seen[k] = false
		}
	case kServer:
		if e.server, _ = address(v); !e.server.IsValid() {
			j.seen[k] = false
		}
	case kClientPort:
		j.clientPort, _ = number(v)
	case kServerPort:
		j.serverPort, _ = number(v)
	case kMethod:
		e.method = v
	case kTarget:
		e.target = v
	case kPath:
		j.path = v
	case kQuery:
		j.query = v
	case kRequestLine:
		j.line = v
	case kProtocol:
		j.protocol = v
	case kHost:
		e.host = v
	case kStatus:
		j.seen[k] = e.setStatus(v)
	case kSent:
		e.sent = size(v)
	case kReceived:
		e.received = size(v)
	case kSeconds:
		e.duration = scaled(v, 1e9)
	case kMillis:
		e.duration = scaled(v, 1e6)
	case kNanos:
		e.duration = scaled(v, 1)
	case kFirstSeconds:
		e.first = scaled(v, 1e9)
	case kFirstMillis:
		e.first = scaled(v, 1e6)
	case kScheme:
		e.secure, e.plain = string(v) == "https", string(v) == "http"
	case kTLS:
		e.secure = true
		e.tls.Version = tlsVersion(string(v))
	case kSNI:
		e.tls.SNI = string(v)
	case kAgent:
		e.field("user-agent", v)
	case kReferer:
		e.field("referer", v)
	case kForwarded:
		e.field("x-forwarded-for", v)
	case kRequestID:
		e.field("x-request-id", v)
	case kAuthorization:
		e.field("authorization", v)
	case kType:
		e.field("content-type", v)
	}
}

// value returns a string without its quotes, or a number or word as it stands, good until the next line.
func (j *jsonEntry) value(raw []byte) []byte {
	if raw[0] != '"' {
		return raw
	}
	j.p.sub.Reset(raw)
	v := j.p.sub.String()
	if bytes.IndexByte(raw, '\\') >= 0 {
		return j.p.keep(v)
	}
	return v
}

// nested takes Caddy's request object, whose members have the plain names, and others as a.b.
func (j *jsonEntry) nested(key string, raw []byte, depth int) {
	prefix := key + "."
	if key == "request" {
		prefix, j.caddy = "", true
	}
	if key == "headers" || key == "resp_headers" || key == "tls" {
		if key == "tls" && j.caddy {
			j.p.e.secure = true
		}
		return
	}
	saved := j.p.json
	j.p.json.Reset(raw)
	j.object(prefix, depth+1)
	j.p.json = saved // what is wrong inside ends the object early; the rest of the line is still read
}

func (j *jsonEntry) finish() error {
	e := &j.p.e
	if e.time == 0 {
		return wrong("a time", nil)
	}
	if j.line != nil && (len(e.method) == 0 || len(e.target) == 0) {
		if err := e.requestLine(j.line); err != nil {
			return err
		}
	}
	if len(e.target) == 0 && len(j.path) > 0 {
		e.target = j.path
	}
	if len(e.method) == 0 || len(e.target) == 0 {
		if j.seen[kStatus] && (j.seen[kMethod] || j.seen[kTarget] || j.line != nil || j.seen[kProtocol]) {
			return errNoCall // a time-out before the request, a TCP proxy's line
		}
		return wrong("a method and a path", nil)
	}
	for _, c := range e.method {
		if !isToken(c) {
			return errNoCall
		}
	}
	if len(j.query) > 0 && bytes.IndexByte(e.target, '?') < 0 {
		e.target = append(append(j.p.keep(e.target), '?'), bytes.TrimPrefix(j.query, []byte{'?'})...)
	}
	if j.protocol != nil && !e.protocol(j.protocol) {
		switch string(j.protocol) { // the version alone
		case "1.1":
			e.proto = event.HTTP11
		case "1.0":
			e.proto = event.HTTP10
		case "2", "2.0":
			e.proto = event.HTTP2
		}
	}
	if a := e.client; a.IsValid() && a.Port() == 0 && j.clientPort > 0 && j.clientPort < 1<<16 {
		e.client = withPort(a, j.clientPort)
	}
	if a := e.server; a.IsValid() && a.Port() == 0 && j.serverPort > 0 && j.serverPort < 1<<16 {
		e.server = withPort(a, j.serverPort)
	}
	if e.duration < 0 && j.duration != nil {
		switch { // Caddy writes seconds with a fraction, Envoy whole milliseconds, Traefik whole nanoseconds
		case j.caddy:
			e.duration = scaled(j.duration, 1e9)
		case j.traefik:
			e.duration = scaled(j.duration, 1)
		case bytes.IndexByte(j.duration, '.') >= 0:
			e.duration = scaled(j.duration, 1e9)
		default:
			e.duration = scaled(j.duration, 1e6)
		}
	}
	return nil
}

func size(b []byte) int64 {
	if n, ok := number(b); ok {
		return n
	}
	return -1
}

// scaled reads a decimal number of units of so many nanoseconds; -1 if it is none.
func scaled(b []byte, unit float64) int64 {
	f, err := strconv.ParseFloat(string(b[:min(len(b), 32)]), 64)
	if err != nil || f < 0 || f*unit > 1<<60 {
		return -1
	}
	return int64(f*unit + 0.5)
}

// anyTime reads RFC 3339, the common log form, or seconds or milliseconds since the epoch.
func anyTime(b []byte) (event.Time, bool) {
	if t, ok := isoTime(b); ok {
		return t, true
	}
	if t, ok := clfTime(b); ok {
		return t, true
	}
	f, err := strconv.ParseFloat(string(b[:min(len(b), 32)]), 64)
	switch {
	case err != nil || f < 1e8:
		return 0, false
	case f < 1e11: // seconds: split, since a float64 has no nanoseconds at this size
		whole := int64(f)
		return event.Time(whole*1e9 + int64((f-float64(whole))*1e6+0.5)*1000), true
	case f < 1e14:
		return event.Time(f * 1e6), true
	}
	return 0, false
}

func tlsVersion(s string) string {
	switch s {
	case "TLSv1.3", "1.3":
		return "1.3"
	case "TLSv1.2", "1.2":
		return "1.2"
	case "TLSv1.1", "1.1":
		return "1.1"
	case "TLSv1", "TLSv1.0", "1.0":
		return "1.0"
	}
	return ""
}
