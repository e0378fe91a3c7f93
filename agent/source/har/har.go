// Package har reads HTTP archives, version 1.2, as browsers and proxies export them.
//
// In: one JSON document of any size; entries are decoded one at a time. Out: a proto.Exchange for each entry, raw, so
// that it passes through the same redaction as live traffic. What an archive does not tell (the client's address, the
// port of its end) stays absent; bodies are the decoded ones that the archive holds, sizes the transferred ones.
package har

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const (
	maxEntry = 64 << 20 // bytes of one entry: bodies are inside it
	maxBody  = 64 << 10 // of a body is handed on
)

// Config says what is known from elsewhere.
type Config struct {
	Service string // the callee's name; "" takes the address
}

// Stats counts entries.
type Stats struct {
	Entries int   // with a call
	NotHTTP int   // data:, blob:, about:, browser extensions
	Bad     int   // without a method, a URL or a time
	First   error // the first bad one; nil if none
}

// Fault is where and why an archive cannot be read on. The offset counts decompressed bytes.
type Fault struct {
	Offset int64
	Err    error
}

func (f *Fault) Error() string { return fmt.Sprintf("byte %d: %v", f.Offset, f.Err) }

func (f *Fault) Unwrap() error { return f.Err }

type header struct{ Name, Value string }

type entry struct {
	Started string  `json:"startedDateTime"`
	Time    float64 `json:"time"` // ms
	Request struct {
		Method   string   `json:"method"`
		URL      string   `json:"url"`
		Version  string   `json:"httpVersion"`
		Headers  []header `json:"headers"`
		BodySize float64  `json:"bodySize"`
		PostData *struct {
			MimeType string   `json:"mimeType"`
			Text     string   `json:"text"`
			Params   []header `json:"params"`
		} `json:"postData"`
	} `json:"request"`
	Response struct {
		Status   int      `json:"status"`
		Version  string   `json:"httpVersion"`
		Headers  []header `json:"headers"`
		BodySize float64  `json:"bodySize"`
		Content  struct {
			Size        float64 `json:"size"`
			Compression float64 `json:"compression"`
			Text        string  `json:"text"`
			Encoding    string  `json:"encoding"`
			MimeType    string  `json:"mimeType"`
		} `json:"content"`
	} `json:"response"`
	Timings struct {
		Blocked, DNS, Connect, Send, Wait, Receive, SSL float64
	} `json:"timings"`
	ServerIP   string `json:"serverIPAddress"`
	Connection string `json:"connection"`
}

// bound is a reader that fails when one entry takes more than maxEntry bytes.
type bound struct {
	r    io.Reader
	left int64
}

var errTooLong = fmt.Errorf("an entry of more than %d MiB", maxEntry>>20)

func (b *bound) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// Read hands the call of each entry to e, which borrows it.
func Read(ctx context.Context, cfg Config, r io.Reader, e proto.Emitter) (Stats, error) {
	var st Stats
	b := &bound{r: r, left: maxEntry}
	dec := json.NewDecoder(b)
	fault := func(err error) error {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return &Fault{Offset: dec.InputOffset(), Err: err}
	}
	if err := enter(dec, b, "log"); err != nil {
		return st, fault(err)
	}
	if err := enter(dec, b, "entries"); err != nil {
		return st, fault(err)
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return st, fault(errors.Join(errors.New("log.entries is no array"), err))
	}
	var seq uint64
	for dec.More() {
		if err := ctx.Err(); err != nil {
			return st, err
		}
		b.left = maxEntry
		at := dec.InputOffset()
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return st, fault(err)
		}
		seq++
		var in entry
		err := json.Unmarshal(raw, &in)
		if err == nil {
			err = in.emit(cfg, seq, e)
		}
		switch {
		case err == nil:
			st.Entries++
		case errors.Is(err, errNotHTTP):
			st.NotHTTP++
		default:
			if st.Bad++; st.First == nil {
				st.First = &Fault{Offset: at, Err: fmt.Errorf("entry %d: %w", seq, err)}
			}
		}
	}
	b.left = maxEntry
	if _, err := dec.Token(); err != nil { // the end of the array; what follows it is not needed, but must be there
		return st, fault(err)
	}
	for depth := 2; depth > 0; {
		b.left = maxEntry
		t, err := dec.Token()
		if err != nil {
			return st, fault(err)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return st, nil
}

// enter goes into the object that comes next, up to the value of the member name.
func enter(dec *json.Decoder, b *bound, name string) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(fmt.Errorf("not a HAR file: no object with %q", name), err)
	}
	for dec.More() {
		b.left = maxEntry
		t, err := dec.Token()
		if err != nil {
			return err
		}
		if t == name {
			return nil
		}
		var skipped json.RawMessage
		if err := dec.Decode(&skipped); err != nil {
			return err
		}
	}
	return fmt.Errorf("not a HAR file: no %q", name)
}

var errNotHTTP = errors.New("not an HTTP URL")

func (in *entry) emit(cfg Config, seq uint64, e proto.Emitter) error {
	if in.Request.Method == "" || in.Request.URL == "" {
		return errors.New("no method or no URL")
	}
	start, err := time.Parse(time.RFC3339Nano, in.Started)
	if err != nil {
		return fmt.Errorf("startedDateTime: %w", err)
	}
	if y := start.Year(); y < 1970 || y > 2200 {
		return fmt.Errorf("startedDateTime: year %d", y)
	}
	scheme, rest, ok := strings.Cut(in.Request.URL, "://")
	if !ok {
		return errNotHTTP
	}
	var secure bool
	port := uint16(80)
	switch strings.ToLower(scheme) {
	case "https", "wss":
		secure, port = true, 443
	case "http", "ws":
	default:
		return errNotHTTP
	}
	// The URL is cut by hand: what a server was really asked for may not be a valid URL.
	rest, _, _ = strings.Cut(rest, "#")
	n := strings.IndexAny(rest, "/?")
	if n < 0 {
		n = len(rest)
	}
	authority, target := rest[:n], rest[n:]
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	if u := (&url.URL{Host: authority}); u.Port() != "" {
		if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			port = uint16(p)
		}
	}
	c := &proto.Conn{Side: event.SideClient, Told: true, Service: cfg.Service}
	if a, err := netip.ParseAddr(strings.Trim(in.ServerIP, "[]")); err == nil {
		c.Server = netip.AddrPortFrom(a.Unmap().WithZone(""), port)
	}
	if secure {
		c.TLS = new(event.TLSFacts)
	}
	x := &proto.Exchange{Seq: seq, Method: []byte(in.Request.Method), Target: []byte(target), Status: in.status(), Start: event.TimeOf(start)}
	c.Opened = x.Start
	x.Protocol = version(in.Request.Version)
	if x.Protocol == event.ProtocolUnknown {
		x.Protocol = version(in.Response.Version)
	}
	x.Req.Fields = fields(in.Request.Headers)
	x.Res.Fields = fields(in.Response.Headers)
	x.Host = []byte(authority)
	for _, f := range x.Req.Fields {
		if strings.EqualFold(string(f.Name), "host") || strings.EqualFold(string(f.Name), ":authority") {
			x.Host = f.Value
		}
	}
	in.bodies(x)
	in.times(x)
	e.Emit(c, x)
	return nil
}

// status is 0 where the browser got none (blocked, aborted).
func (in *entry) status() int {
	if s := in.Response.Status; s >= 100 && s <= 999 {
		return s
	}
	return 0
}

func version(s string) event.Protocol {
	switch strings.ToLower(s) {
	case "http/2", "http/2.0", "h2":
		return event.HTTP2
	case "http/1.1":
		return event.HTTP11
	case "http/1.0":
		return event.HTTP10
	}
	return event.ProtocolUnknown
}

func fields(list []header) []proto.Field {
	const most = 128 // as the HTTP/1 parser keeps
	out := make([]proto.Field, 0, min(len(list), most))
	for _, h := range list[:min(len(list), most)] {
		if strings.HasPrefix(h.Name, ":") && h.Name != ":authority" {
			continue
		}
		out = append(out, proto.Field{Name: []byte(h.Name), Value: []byte(h.Value)})
	}
	return out
}

func (in *entry) bodies(x *proto.Exchange) {
	if p := in.Request.PostData; p != nil {
		text := p.Text
		if text == "" && len(p.Params) > 0 {
			form := url.Values{}
			for _, v := range p.Params {
				form.Add(v.Name, v.Value)
			}
			text = form.Encode()
		}
		x.Req.Bytes = int64(len(text))
		x.Req.Body = []byte(text[:min(len(text), maxBody)])
		x.Req.Fields = typed(x.Req.Fields, p.MimeType)
	}
	if n, ok := whole(in.Request.BodySize); ok && n > 0 {
		x.Req.Bytes = n
	}
	content := &in.Response.Content
	text := []byte(content.Text)
	if content.Encoding == "base64" {
		if b, err := base64.StdEncoding.DecodeString(content.Text); err == nil {
			text = b
		} else {
			text = nil
		}
	}
	x.Res.Body = text[:min(len(text), maxBody)]
	x.Res.Fields = typed(x.Res.Fields, content.MimeType)
	x.Res.Bytes = int64(len(text))
	if n, ok := whole(content.Size); ok && n > 0 {
		x.Res.Bytes = n
		if saved, ok := whole(content.Compression); ok && saved > 0 && saved <= n {
			x.Res.Bytes = n - saved
		}
	}
	if n, ok := whole(in.Response.BodySize); ok && n > 0 {
		x.Res.Bytes = n
	}
	// The archive holds bodies decoded: a coding that its headers name is gone.
	x.Res.Fields = without(x.Res.Fields, "content-encoding")
}

// typed adds a content type where the headers have none.
func typed(list []proto.Field, mime string) []proto.Field {
	if mime == "" || mime == "x-unknown" {
		return list
	}
	for _, f := range list {
		if strings.EqualFold(string(f.Name), "content-type") {
			return list
		}
	}
	return append(list, proto.Field{Name: []byte("content-type"), Value: []byte(mime)})
}

func without(list []proto.Field, name string) []proto.Field {
	out := list[:0]
	for _, f := range list {
		if !strings.EqualFold(string(f.Name), name) {
			out = append(out, f)
		}
	}
	return out
}

func whole(f float64) (int64, bool) {
	if math.IsNaN(f) || f < 0 || f > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// times takes the phases of an entry; those that did not happen are -1.
func (in *entry) times(x *proto.Exchange) {
	ms := func(list ...float64) (sum event.Time) {
		for _, v := range list {
			if v > 0 && v < 1e9 {
				sum += event.Time(v * 1e6)
			}
		}
		return sum
	}
	t := &in.Timings
	// startedDateTime is when the browser began to want it; the request's first byte left after the connection was there.
	// SSL is part of connect (HAR 1.2).
	began := x.Start
	x.Start += ms(t.Blocked, t.DNS, t.Connect)
	x.ReqEnd = x.Start + ms(t.Send)
	x.End = x.Start
	if x.Status == 0 {
		return
	}
	if wait := ms(t.Wait); wait > 0 {
		x.FirstByte = x.ReqEnd + wait
		x.End = x.FirstByte + ms(t.Receive)
	} else {
		x.End = max(x.Start, began+ms(in.Time))
	}
}
