// Package calls reads Call lines: the JSON that `gnomon calls -o jsonl` and `gnomon replay --calls` print.
//
// In: lines. Out: event.Calls, which were redacted when they were written. Fields that it does not know are ignored, as
// are words that a newer version may have added to a closed set; both are what CLI.md promises to readers. A line that is
// no Call is counted and named by its place, and the lines after it are read.
package calls

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/gnomon-sensor/gnomon/agent/source/internal/scan"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Stats counts lines.
type Stats struct {
	Lines   int // with a Call
	Blank   int
	Bad     int   // no Call
	TooLong int   // longer than scan.MaxLine
	First   error // where the first bad one is, and why; nil if none
}

// Read hands each Call to emit, which borrows it. The error is that of the input; bad lines are in Stats.
func Read(ctx context.Context, r io.Reader, emit func(*event.Call)) (Stats, error) {
	var st Stats
	lines := scan.NewLines(r)
	var d Decoder
	var c event.Call
	bad := func(err error) {
		if st.Bad++; st.First == nil {
			st.First = lines.Fault(err)
		}
	}
	for n := 1; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return st, ctx.Err()
		}
		line, err := lines.Next()
		st.TooLong = lines.TooBig
		if errors.Is(err, io.EOF) {
			return st, nil
		}
		if err != nil {
			return st, lines.Fault(err)
		}
		if len(line) == 0 {
			st.Blank++
			continue
		}
		if err := d.Decode(&c, line); err != nil {
			bad(err)
			continue
		}
		st.Lines++
		emit(&c)
	}
}

// Decoder decodes Call lines. The zero value is ready. What it fills in belongs to it: a Call is good until the next one,
// its strings for ever.
type Decoder struct {
	s       scan.JSON
	strings scan.Strings
	tls     event.TLSFacts
	lost    event.Lost
	expired bool
	day     int64 // nanoseconds of the day that date is
	date    string
}

// ErrNotCall says that a line is JSON but not a Call.
var ErrNotCall = errors.New("not a Call: no method, or no time")

// rare are the fields of event.Call that Decode leaves to encoding/json, which then decodes the whole line.
var rare = func() map[string]bool {
	m := map[string]bool{}
	t := reflect.TypeFor[event.Call]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		m[name] = true
	}
	for _, name := range [...]string{"id", "rev", "state", "time", "node", "side", "service", "protocol", "client", "server", "encryption", "tls",
		"method", "host", "template", "operations", "params", "status", "request_bytes", "response_bytes", "first_byte_ns", "duration_ns",
		"request_type", "response_type", "request_headers", "response_headers", "auth", "data", "signs", "probe", "count", "until", "lost", "-"} {
		delete(m, name)
	}
	return m
}()

// Decode fills c from one line.
func (d *Decoder) Decode(c *event.Call, line []byte) error {
	*c = event.Call{Operations: c.Operations[:0], Params: c.Params[:0], RequestHeaders: c.RequestHeaders[:0], ResponseHeaders: c.ResponseHeaders[:0],
		Signs: c.Signs[:0], Data: event.Data{Request: c.Data.Request[:0], Response: c.Data.Response[:0]}, Auth: event.Auth{Scopes: c.Auth.Scopes[:0]}}
	s := &d.s
	s.Reset(line)
	if !s.Enter('{') {
		return fmt.Errorf("%w: no object", scan.ErrSyntax)
	}
	slow := false
	for {
		key, ok := s.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "id":
			c.ID = string(s.String())
		case "rev":
			c.Rev = uint32(s.Int())
		case "state":
			word(&c.State, s.String())
		case "time":
			c.Time = d.time()
		case "node":
			c.Node = d.text()
		case "side":
			word(&c.Side, s.String())
		case "service":
			c.Service = d.text()
		case "protocol":
			word(&c.Protocol, s.String())
		case "client":
			d.peer(&c.Client)
		case "server":
			d.peer(&c.Server)
		case "encryption":
			word(&c.Encryption, s.String())
		case "tls":
			c.TLS = d.tlsFacts()
		case "method":
			c.Method = d.text()
		case "host":
			c.Host = d.text()
		case "template":
			c.Template = d.text()
		case "operations":
			c.Operations = d.texts(c.Operations)
		case "params":
			c.Params = d.params(c.Params)
		case "status":
			c.Status = int(s.Int())
		case "request_bytes":
			c.RequestBytes = s.Int()
		case "response_bytes":
			c.ResponseBytes = s.Int()
		case "first_byte_ns":
			c.FirstByteNS = s.Int()
		case "duration_ns":
			c.DurationNS = s.Int()
		case "request_type":
			c.RequestType = d.text()
		case "response_type":
			c.ResponseType = d.text()
		case "request_headers":
			c.RequestHeaders = d.texts(c.RequestHeaders)
		case "response_headers":
			c.ResponseHeaders = d.texts(c.ResponseHeaders)
		case "auth":
			d.auth(&c.Auth)
		case "data":
			d.data(&c.Data)
		case "signs":
			c.Signs = d.texts(c.Signs)
		case "probe":
			word(&c.Probe, s.String())
		case "count":
			c.Count = uint64(max(s.Int(), 0))
		case "until":
			c.Until = d.time()
		case "lost":
			c.Lost = d.lostFacts()
		default:
			slow = slow || rare[string(key)]
			s.Skip()
		}
	}
	if !s.End() {
		return s.Err()
	}
	if c.Method == "" || c.Time == 0 {
		return ErrNotCall
	}
	if slow {
		return d.slow(c, line)
	}
	return nil
}

// slow adds the rare fields.
func (d *Decoder) slow(c *event.Call, line []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(line, &all); err != nil {
		return err
	}
	for name := range all {
		if !rare[name] {
			delete(all, name)
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, c)
}

// word decodes a word of a closed set. One that is not in it, as a newer version may write, is its zero value.
func word[T any, P interface {
	*T
	UnmarshalText([]byte) error
}](v P, b []byte) {
	if len(b) > 0 && v.UnmarshalText(b) != nil {
		*v = *new(T)
	}
}

func (d *Decoder) text() string { return d.strings.Of(d.s.String()) }

func (d *Decoder) texts(list []string) []string {
	if !d.s.Enter('[') {
		return list
	}
	for d.s.Next() {
		list = append(list, d.text())
	}
	return list
}

func (d *Decoder) peer(p *event.Peer) {
	if !d.s.Enter('{') {
		return
	}
	for {
		key, ok := d.s.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "address":
			p.Address = d.text()
		case "port":
			p.Port = uint16(d.s.Int())
		case "workload":
			p.Workload = d.text()
		case "process":
			p.Process = d.text()
		default:
			d.s.Skip()
		}
	}
}

func (d *Decoder) tlsFacts() *event.TLSFacts {
	if !d.s.Enter('{') {
		return nil
	}
	t := &d.tls
	*t = event.TLSFacts{}
	for {
		key, ok := d.s.Key()
		if !ok {
			return t
		}
		switch string(key) {
		case "version":
			t.Version = d.text()
		case "sni":
			t.SNI = d.text()
		case "alpn":
			t.ALPN = d.text()
		case "cipher":
			t.Cipher = d.text()
		case "client_cert":
			t.ClientCert = d.s.Bool()
		default:
			d.s.Skip()
		}
	}
}

func (d *Decoder) params(list []event.Param) []event.Param {
	if !d.s.Enter('[') {
		return list
	}
	for d.s.Next() {
		if !d.s.Enter('{') {
			continue
		}
		list = append(list, event.Param{})
		p := &list[len(list)-1]
		for {
			key, ok := d.s.Key()
			if !ok {
				break
			}
			switch string(key) {
			case "in":
				word(&p.In, d.s.String())
			case "name":
				p.Name = d.text()
			case "kind":
				word(&p.Kind, d.s.String())
			case "hash":
				p.Hash = d.text()
			case "word":
				p.Word = d.text()
			default:
				d.s.Skip()
			}
		}
	}
	return list
}

func (d *Decoder) auth(a *event.Auth) {
	if !d.s.Enter('{') {
		return
	}
	for {
		key, ok := d.s.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "kind":
			word(&a.Kind, d.s.String())
		case "credential":
			a.Credential = d.text()
		case "subject":
			a.Subject = d.text()
		case "issuer":
			a.Issuer = d.text()
		case "audience":
			a.Audience = d.text()
		case "scopes":
			a.Scopes = d.texts(a.Scopes)
		case "algorithm":
			a.Algorithm = d.text()
		case "expires":
			a.Expires = d.time()
		case "expired":
			d.expired = d.s.Bool()
			a.Expired = &d.expired
		default:
			d.s.Skip()
		}
	}
}

func (d *Decoder) data(v *event.Data) {
	if !d.s.Enter('{') {
		return
	}
	for {
		key, ok := d.s.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "request":
			v.Request = d.classes(v.Request)
		case "response":
			v.Response = d.classes(v.Response)
		default:
			d.s.Skip()
		}
	}
}

func (d *Decoder) classes(list []event.DataClass) []event.DataClass {
	if !d.s.Enter('[') {
		return list
	}
	for d.s.Next() {
		if !d.s.Enter('{') {
			continue
		}
		list = append(list, event.DataClass{})
		c := &list[len(list)-1]
		for {
			key, ok := d.s.Key()
			if !ok {
				break
			}
			switch string(key) {
			case "class":
				c.Class = d.text()
			case "at":
				c.At = d.text()
			case "count":
				c.Count = int(d.s.Int())
			default:
				d.s.Skip()
			}
		}
	}
	return list
}

func (d *Decoder) lostFacts() *event.Lost {
	if !d.s.Enter('{') {
		return nil
	}
	d.lost = event.Lost{}
	for {
		key, ok := d.s.Key()
		if !ok {
			return &d.lost
		}
		switch string(key) {
		case "bytes":
			d.lost.Bytes = d.s.Int()
		case "reason":
			d.lost.Reason = d.text()
		default:
			d.s.Skip()
		}
	}
}

// time reads an RFC 3339 time. The form that gnomon writes is read by hand, and its date once a day.
func (d *Decoder) time() event.Time {
	b := d.s.String()
	const form = "2026-11-24T10:00:00.000000000Z"
	if len(b) == len(form) && b[10] == 'T' && b[13] == ':' && b[16] == ':' && b[19] == '.' && b[29] == 'Z' && string(b[:10]) == d.date {
		h, m, s, ns := digits(b[11:13]), digits(b[14:16]), digits(b[17:19]), digits(b[20:29])
		if h >= 0 && h < 24 && m >= 0 && m < 60 && s >= 0 && s < 60 && ns >= 0 {
			return event.Time(d.day + ((h*60+m)*60+s)*1e9 + ns)
		}
	}
	var t event.Time
	quoted := append(append(append(make([]byte, 0, len(b)+2), '"'), b...), '"')
	if len(b) == 0 || t.UnmarshalJSON(quoted) != nil {
		return 0
	}
	if len(b) == len(form) && b[29] == 'Z' && t > 0 {
		d.date, d.day = string(b[:10]), int64(t)-int64(t)%86_400_000_000_000
	}
	return t
}

func digits(b []byte) (v int64) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		v = v*10 + int64(c-'0')
	}
	return v
}
