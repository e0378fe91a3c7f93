package har

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

type call struct {
	c *proto.Conn
	x proto.Exchange
}

type keeper struct{ calls []call }

func (k *keeper) Emit(c *proto.Conn, x *proto.Exchange) {
	k.calls = append(k.calls, call{c, *x}) // the reader makes each anew
}

// Two entries in the shape that Chromium and Firefox export, one that is no HTTP, one that is broken.
const archive = `{"log":{"version":"1.2","creator":{"name":"WebInspector","version":"537.36"},"pages":[{"id":"p","title":"]}"}],"entries":[
{"startedDateTime":"2026-11-24T10:00:00.000Z","time":60.5,"request":{"method":"POST","url":"https://shop.example:8443/api/orders?x=1#frag","httpVersion":"h2",
 "headers":[{"name":":authority","value":"shop.example:8443"},{"name":":method","value":"POST"},{"name":"authorization","value":"Bearer abc"}],"queryString":[],"cookies":[],"headersSize":-1,"bodySize":13,
 "postData":{"mimeType":"application/json","text":"{\"a\":\"b@c.de\"}"}},
 "response":{"status":201,"statusText":"","httpVersion":"h2","headers":[{"name":"content-type","value":"application/json"},{"name":"content-encoding","value":"gzip"}],"cookies":[],
 "content":{"size":40,"mimeType":"application/json","compression":10,"text":"eyJpZCI6MX0=","encoding":"base64"},"redirectURL":"","headersSize":-1,"bodySize":-1},
 "cache":{},"timings":{"blocked":10,"dns":-1,"connect":20,"ssl":15,"send":0.5,"wait":25,"receive":5},"serverIPAddress":"[2001:db8::5]","connection":"443"},
{"startedDateTime":"2026-11-24T11:00:00+01:00","time":7,"request":{"method":"GET","url":"http://user:pw@plain.example?q","httpVersion":"HTTP/1.1","headers":[],"bodySize":0},
 "response":{"status":0,"httpVersion":"","headers":[],"content":{"size":0,"mimeType":"x-unknown"},"bodySize":-1},"timings":{"send":0,"wait":0,"receive":0}},
{"startedDateTime":"2026-11-24T10:00:00Z","request":{"method":"GET","url":"data:text/plain,hi"},"response":{},"timings":{}},
{"startedDateTime":"yesterday","request":{"method":"GET","url":"http://a/"},"response":{},"timings":{}}
],"comment":{"after":[1,2]}}}`

func TestEachEntryIsACallWithWhatTheArchiveKnows(t *testing.T) {
	var k keeper
	st, err := Read(context.Background(), Config{}, strings.NewReader(archive), &k)
	require.NoError(t, err)
	require.Equal(t, Stats{Entries: 2, NotHTTP: 1, Bad: 1, First: st.First}, st)
	require.ErrorContains(t, st.First, "entry 4: startedDateTime")

	c, x := k.calls[0].c, k.calls[0].x
	start := event.TimeOf(time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC))
	require.Equal(t, "POST", string(x.Method))
	require.Equal(t, "/api/orders?x=1", string(x.Target))
	require.Equal(t, "shop.example:8443", string(x.Host))
	require.Equal(t, 201, x.Status)
	require.Equal(t, event.HTTP2, x.Protocol)
	require.Equal(t, "[2001:db8::5]:8443", c.Server.String())
	require.False(t, c.Client.IsValid(), "an archive does not name the client")
	require.NotNil(t, c.TLS)
	require.EqualValues(t, 13, x.Req.Bytes)
	require.JSONEq(t, `{"a":"b@c.de"}`, string(x.Req.Body))
	require.JSONEq(t, `{"id":1}`, string(x.Res.Body))
	require.EqualValues(t, 30, x.Res.Bytes, "what was transferred: the size less what compression saved")
	require.Equal(t, start.Add(30*time.Millisecond), x.Start, "after waiting and connecting")
	require.Equal(t, start.Add(55500*time.Microsecond), x.FirstByte)
	require.Equal(t, start.Add(60500*time.Microsecond), x.End)
	for _, f := range x.Res.Fields {
		require.NotEqual(t, "content-encoding", string(f.Name), "the body is decoded")
	}

	c, x = k.calls[1].c, k.calls[1].x
	require.Equal(t, "/?q", string(x.Target))
	require.Equal(t, "plain.example", string(x.Host), "user and password are not part of the host")
	require.Zero(t, x.Status)
	require.Nil(t, c.TLS)
	require.False(t, c.Server.IsValid())
	require.Equal(t, start, x.Start)
}

func TestABrokenArchiveKeepsTheEntriesBeforeTheFault(t *testing.T) {
	second := strings.Index(archive, `{"startedDateTime":"2026-11-24T11`)
	for _, cut := range []int{second, second + 100, len(archive) - 3} {
		var k keeper
		_, err := Read(context.Background(), Config{}, strings.NewReader(archive[:cut]), &k)
		var f *Fault
		require.ErrorAs(t, err, &f)
		require.NotEmpty(t, k.calls)
		require.LessOrEqual(t, f.Offset, int64(cut))
	}
	for _, in := range []string{"", "[]", "{}", `{"log":{}}`, `{"log":{"entries":{}}}`, `{"log":1}`} {
		_, err := Read(context.Background(), Config{}, strings.NewReader(in), &keeper{})
		var f *Fault
		require.ErrorAs(t, err, &f, "%q", in)
	}
}

// endless is an archive whose first entry never ends.
type endless struct{ head string }

func (e *endless) Read(p []byte) (int, error) {
	if e.head != "" {
		n := copy(p, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestAnEntryWithoutEndIsRefusedAtABound(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 64 MiB")
	}
	_, err := Read(context.Background(), Config{}, &endless{`{"log":{"entries":[{"startedDateTime":"`}, &keeper{})
	require.ErrorIs(t, err, errTooLong)
}

func FuzzRead(f *testing.F) {
	f.Add(archive)
	f.Add(`{"log":{"entries":[]}}`)
	f.Fuzz(func(t *testing.T, in string) {
		var k keeper
		st, err := Read(context.Background(), Config{}, strings.NewReader(in), &k)
		require.Len(t, k.calls, st.Entries)
		var f *Fault
		require.True(t, err == nil || errors.As(err, &f), "every fault has its place")
		for _, c := range k.calls {
			require.NotEmpty(t, c.x.Method)
			require.True(t, strings.HasPrefix(string(c.x.Target), "/"))
			require.GreaterOrEqual(t, c.x.End, c.x.Start)
			require.GreaterOrEqual(t, c.x.Res.Bytes, int64(0))
		}
	})
}
