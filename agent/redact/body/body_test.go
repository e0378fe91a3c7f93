package body

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-sensor/gnomon/agent/redact/sensitive"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

// reader takes keys of lower-case letters for names.
func reader() *Reader {
	return New(Config{Bytes: 1 << 40, Kind: func(v []byte) event.Kind {
		if bytes.IndexByte(v, '@') > 0 {
			return event.KindEmail
		}
		return event.KindWord
	}, Name: func(k []byte) string {
		for _, c := range k {
			if c < 'a' || c > 'z' {
				return ""
			}
		}
		return string(k)
	}})
}

// scalars keeps what it is handed.
type scalars []string

func (s *scalars) Scalar(at, raw string, _ sensitive.Field, kind event.Kind, v []byte) {
	*s = append(*s, fmt.Sprintf("%s=%s", at, v))
}

func show(b *event.Body) string {
	if b == nil {
		return ""
	}
	var s strings.Builder
	for _, f := range b.Fields {
		fmt.Fprintf(&s, "%s %s %d/%d; ", f.At, strings.Join(f.Types.Names(), ","), f.N, f.Objects)
	}
	return strings.TrimSuffix(s.String(), "; ")
}

func TestShapesOfJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{}`: "$ object 1/1", `[]`: "$ array 1/0", ` { "a" : 1 } `: "$ object 1/1; $.a integer 1/0", `[1,"x",null,2.5,true]`: "$ array 1/0; $[] null,boolean,integer,number,string 5/0",
		`{"a":{"b":[{"c":1},{"c":2,"d":""}]}}`: "$ object 1/1; $.a object 1/1; $.a.b array 1/0; $.a.b[] object 2/2; $.a.b[].c integer 2/0; $.a.b[].d string 1/0",
		`{"a":1,"a":2}`:                        "$ object 1/1; $.a integer 1/0",
		`{"7":1,"8":{"x":1},"a@b":"y"}`:        "$ object 1/1; $.* integer,string,object 1/1; $.*.x integer 1/0",
		`{"a":"\"}{\\","b":1}`:                 "$ object 1/1; $.a string 1/0; $.b integer 1/0",
		`{"a":1`:                               "$ object 1/0; $.a  0/0", // more digits may have followed
		`{"a":`:                                "$ object 1/0",
		`{"a":1}{"b":2}`:                       "$ object 1/1; $.a integer 1/0",
		`{"a":1,}`:                             "$ object 1/0; $.a integer 0/0",
		`{"\u0061":1}`:                         "$ object 1/1; $.a integer 1/0",
		strings.Repeat("[", 100):               "",
		`{"a":[[1],[2,3]]}`:                    "$ object 1/1; $.a array 1/0; $.a[] array 2/0; $.a[][] integer 3/0",
		`{"a":1e3,"b":-0}`:                     "$ object 1/1; $.a number 1/0; $.b integer 1/0",
	} {
		f := reader().Response(&Message{Body: []byte(in), Whole: true, Media: "application/json"})
		if want == "" {
			require.EqualValues(t, 1, f.Shape.CutOff)
			require.LessOrEqual(t, len(f.Shape.Fields), maxDepth+1)
			continue
		}
		require.Equal(t, want, show(f.Shape), in)
	}
}

func TestOnlyRequestsHandOverScalars(t *testing.T) {
	var s scalars
	r := reader()
	m := &Message{Body: []byte(`{"a":"x","b":[1,2],"c":null,"D1":"data"}`), Whole: true, Media: "application/json"}
	r.Request(m, &s)
	require.Equal(t, scalars{"$.a=x", "$.b[]=1", "$.b[]=2"}, s)
	r.Response(m)
	require.Len(t, s, 3)
}

func TestBeyondTheBudgetOneCallIn32IsReadAndTheOthersAreCounted(t *testing.T) {
	r := New(Config{Bytes: 1000, Kind: func([]byte) event.Kind { return 0 }, Name: func([]byte) string { return "" }})
	m, none := &Message{Body: make([]byte, 100)}, &Message{}
	read := 0
	for range 64 + 2 {
		if r.Allow(m, none, 1e9) {
			read++
		}
	}
	require.Equal(t, 2+2, read)
	require.EqualValues(t, 62, r.Unread())
	require.True(t, r.Allow(m, none, 2e9), "a new second")
	require.False(t, r.Allow(none, none, 3e9), "no body")
}

func TestAKnownShapeCostsNoAllocation(t *testing.T) {
	r := reader()
	m := &Message{Body: []byte(`{"items":[{"id":1,"name":"lamp"},{"id":2,"name":"desk"}],"mail":"a@b.example"}`), Whole: true, Media: "application/json"}
	r.Response(m)
	r.cfg.Name = func([]byte) string { panic("asked for a name that is known") }
	require.Zero(t, testing.AllocsPerRun(100, func() { r.Response(m) }))
}

func TestHostileBodiesTakeBoundedTime(t *testing.T) {
	r := reader()
	for _, in := range []string{strings.Repeat(`{"a":`, 1<<16), strings.Repeat("[", 1<<18), "{" + strings.Repeat(`"k":1,`, 1<<16), `{"a":"` + strings.Repeat(`\`, 1<<18), strings.Repeat("a=b&", 1<<16),
		"--b\r\n" + strings.Repeat("Content-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\n", 1<<13)} {
		for _, media := range []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"} {
			start := time.Now()
			f := r.Response(&Message{Body: []byte(in), Whole: true, Media: media})
			require.Less(t, time.Since(start), time.Second)
			if f.Shape != nil {
				require.LessOrEqual(t, len(f.Shape.Fields), maxPlaces)
			}
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":"x"},{"c":1}],"D":2}`), "application/json", "")
	f.Add([]byte("a=b&c=%41"), "application/x-www-form-urlencoded", "")
	f.Add([]byte("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv\r\n--x--"), "multipart/form-data", "")
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), "text/plain", "gzip")
	f.Fuzz(func(t *testing.T, in []byte, media, coding string) {
		r := reader()
		var s scalars
		m := &Message{Body: in, Whole: true, Media: media, Coding: coding}
		a := r.Request(m, &s)
		first := show(a.Shape)
		n := len(s)
		b := r.Request(m, &s)
		require.Equal(t, first, show(b.Shape), "the second time as the first")
		require.Len(t, s, 2*n)
		for _, x := range s {
			require.True(t, strings.HasPrefix(x, "$."), x)
		}
		if b.Shape == nil {
			return
		}
		fields := b.Shape.Fields
		require.LessOrEqual(t, len(fields), maxPlaces)
		for i := range fields {
			if i > 0 {
				require.Less(t, fields[i-1].At, fields[i].At)
			}
			if dot := strings.LastIndexByte(fields[i].At, '.'); dot > 0 && !strings.HasSuffix(fields[i].At, "[]") {
				if up := b.Shape.Find(fields[i].At[:dot]); up != nil {
					require.LessOrEqual(t, fields[i].N, up.Objects, fields[i].At)
				}
			}
		}
	})
}
