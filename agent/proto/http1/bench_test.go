package http1

import (
	"strings"
	"testing"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// A browser's request with a head of 700 bytes, and small messages as wrk and nginx exchange them.
var (
	browser = func() string {
		s := "GET /api/v2/orders/8812771/items?expand=product,price&page=3 HTTP/1.1\r\nHost: shop.example.com\r\nConnection: keep-alive\r\n" +
			"sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n" +
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
			"Accept: application/json, text/plain, */*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nReferer: https://shop.example.com/orders/8812771\r\n" +
			"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: sid=7f3c2a9e51; theme=dark; "
		return s + strings.Repeat("x", 700-len(s)-4) + "\r\n\r\n"
	}()
	noContent     = "HTTP/1.1 204 No Content\r\n\r\n"
	smallRequest  = "GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: wrk\r\n\r\n"
	smallResponse = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 12\r\n" +
		"Last-Modified: Mon, 23 Nov 2026 10:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"6565\"\r\nAccept-Ranges: bytes\r\n\r\nhello world\n"
)

// count counts Exchanges and checks what they say.
type count struct{ n, status, fields, host, bytes int }

func (c *count) Emit(_ *proto.Conn, x *proto.Exchange) {
	c.n++
	c.status += x.Status
	c.fields += len(x.Req.Fields) + len(x.Res.Fields)
	c.host += len(x.Host)
	c.bytes += int(x.Res.Bytes)
}

func benchmark(b *testing.B, request, response string, want count) {
	e := &count{}
	p := New(Config{}).New(&proto.Conn{}, e, false)
	q, r := []byte(request), []byte(response)
	b.SetBytes(int64(len(q) + len(r)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		p.Feed(proto.Request, q, event.Time(n))
		p.Feed(proto.Response, r, event.Time(n))
		n++
	}
	want = count{n, want.status * n, want.fields * n, want.host * n, want.bytes * n}
	if *e != want {
		b.Fatalf("got %+v, want %+v", *e, want)
	}
}

func BenchmarkRequestsWithHeadsOf700Bytes(b *testing.B) {
	benchmark(b, browser, noContent, count{status: 204, fields: 12, host: len("shop.example.com")})
}

func BenchmarkSmallMessages(b *testing.B) {
	benchmark(b, smallRequest, smallResponse, count{status: 200, fields: 10, host: len("127.0.0.1:8080"), bytes: 12})
}

func BenchmarkChunkedDownload(b *testing.B) {
	chunk := "4000\r\n" + strings.Repeat("x", 0x4000) + "\r\n"
	benchmark(b, smallRequest, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, 4)+"0\r\n\r\n", count{status: 200, fields: 3, host: len("127.0.0.1:8080"), bytes: 4 * 0x4000})
}

func TestParsingAllocatesNothingInSteadyState(t *testing.T) {
	e := &count{}
	p := New(Config{}).New(&proto.Conn{}, e, false)
	for name, m := range map[string][2]string{"head of 700 bytes": {browser, noContent}, "small": {smallRequest, smallResponse}} {
		q, r := []byte(m[0]), []byte(m[1])
		allocs := testing.AllocsPerRun(100, func() {
			p.Feed(proto.Request, q, 1)
			p.Feed(proto.Response, r, 1)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations per call", name, allocs)
		}
	}
	if e.n != 202 {
		t.Errorf("%d calls seen, want 202", e.n)
	}
}

func TestFollowingChunksThroughGapsAllocatesNothing(t *testing.T) {
	e := &count{}
	p := New(Config{}).New(&proto.Conn{}, e, false)
	chunk := "800\r\n" + strings.Repeat("x", 0x800) + "\r\n"
	q, head, mid := []byte(smallRequest), []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk[:1000]), []byte(chunk[:1000])
	allocs := testing.AllocsPerRun(100, func() {
		p.Feed(proto.Request, q, 1)
		p.Feed(proto.Response, head, 1)
		for range 4 { // three chunks in a write
			p.Gap(proto.Response, uint64(3*len(chunk)-1000), 0)
			p.Feed(proto.Response, mid, 1)
		}
		p.Gap(proto.Response, uint64(3*len(chunk)+5-1000), 0)
	})
	p.Close(1)
	if allocs != 0 {
		t.Errorf("%v allocations per call", allocs)
	}
	if e.n != 101 || e.bytes != 101*15*0x800 {
		t.Errorf("%d calls of %d bytes seen, want 101 of %d", e.n, e.bytes, 101*15*0x800)
	}
}
