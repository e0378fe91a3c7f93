package http1

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// script turns fuzz input into parts: each byte of order is one part, its lowest bits what it is, the others its length.
func script(q, r, order []byte) (parts []part) {
	streams := [2][]byte{q, r}
	at := event.Time(0)
	for _, o := range order {
		d := proto.Dir(o & 1)
		p := part{dir: d}
		switch n := int(o >> 3); {
		case o&6 == 6 && n == 31:
			p.end = true
		case o&6 == 6 && n > 24:
			at += event.Time(n-24) * 1e9
			p.at = at
		case o&6 == 6:
			p.gap = uint64(1) << n
		case o&6 == 4: // the rest
			p.data = string(streams[d])
			streams[d] = nil
		default:
			n = min(n<<(o&6), len(streams[d]))
			p.data = string(streams[d][:n])
			streams[d] = streams[d][n:]
		}
		parts = append(parts, p)
	}
	return append(parts, part{dir: proto.Request, data: string(streams[0])}, part{dir: proto.Response, data: string(streams[1])})
}

// pieces gives sizes in turn.
func pieces(sizes []byte) func() int {
	i := 0
	return func() int {
		if len(sizes) == 0 {
			return 1
		}
		i++
		return int(sizes[i%len(sizes)])
	}
}

var requestSeeds = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhelloGET /2 HTTP/1.1\r\n\r\n",
	"\r\nPUT /x HTTP/1.0\nTransfer-Encoding: gzip,\n chunked\nContent-Length : 4\n\n3;e=1\nabc\n0\nT: 1\n\nDELETE /y HTTP/1.1\r\n\r\n",
	"CONNECT h:443 HTTP/1.1\r\n\r\nGET /in HTTP/1.1\r\nHost: h\r\n\r\n",
	"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
	"HEAD http://u@h/p HTTP/1.1\r\nHost: other\r\n\r\nOPTIONS * HTTP/1.1\r\n\r\n",
	"GET /simple\r\nrest",
	"junk junk\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n}PROPFIND /z HTTP/1.1\r\nA: b\r\n\r\n",
}

var responseSeeds = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
	"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x01x",
	"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\ndata: 2\n\n",
	"HTTP/1.1 200 established\r\n\r\nHTTP/1.1 404 Not\r\nContent-Length: 1, 1\r\n\r\nx",
	"SSH-2.0-x\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\nHTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n",
}

// FuzzSplit: the same bytes and gaps give the same Exchanges however the bytes are cut, used ≤ len, what must be kept is
// bounded, and all memory is given back (run checks the last three).
func FuzzSplit(f *testing.F) {
	for i, q := range requestSeeds {
		for j, r := range responseSeeds {
			f.Add([]byte(q), []byte(r), []byte{4, 5}, []byte{1}, false)
			f.Add([]byte(q), []byte(r), []byte{byte(i*8 + 0), byte(j*8 + 1), 0x5e, 0x2b, 0xd7, 4}, []byte{byte(3 + i), byte(1 + j)}, (i+j)%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, q, r, order, sizes []byte, mid bool) {
		if len(q)+len(r) > 1<<16 || len(order) > 64 {
			return
		}
		parts := script(q, r, order)
		whole := run(New(Config{Outstanding: 8}), mid, nil, parts...)
		split := run(New(Config{Outstanding: 8}), mid, pieces(sizes), parts...)
		if !slices.Equal(whole, split) {
			t.Fatalf("whole:\n%s\nsplit:\n%s", strings.Join(whole, "\n"), strings.Join(split, "\n"))
		}
	})
}

// chunkedCalls makes calls with chunked bodies, whose writes are cut to their beginnings. Each byte of sizes is a size and how
// often it comes; each of cuts the length of a write and how much of it is captured. body is repeated.
func chunkedCalls(body, sizes, cuts []byte, pipelined bool) (parts []part, calls int) {
	data := bytes.Repeat(append(body, 'x'), 4096/(len(body)+1)+1)
	var message strings.Builder
	for _, b := range sizes {
		for range 1 + int(b>>6)*3 {
			n := 8 + 24*int(b&0x3f)
			fmt.Fprintf(&message, "%x\r\n%s\r\n", n, data[:n])
		}
	}
	message.WriteString("0\r\n\r\n")
	next := pieces(cuts)
	write := func(d proto.Dir, s string) {
		for s != "" {
			c := next()
			n := min(len(s), (1+c&15)*(1+c&15)*23)
			k := max(1, n>>(c>>5))
			parts = append(parts, part{dir: d, data: s[:k]})
			if k < n {
				parts = append(parts, part{dir: d, gap: uint64(n - k)})
			}
			s = s[n:]
		}
	}
	const head = "Host: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	calls = 3
	for i := range calls {
		q := req(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i))
		if i == 1 && !pipelined {
			parts = append(parts, req("POST /1 HTTP/1.1\r\n"+head))
			write(proto.Request, message.String())
		} else {
			parts = append(parts, q)
		}
		if !pipelined {
			parts = append(parts, res("HTTP/1.1 200 OK\r\n"+head))
			write(proto.Response, message.String())
		}
	}
	for range calls {
		if pipelined {
			write(proto.Response, "HTTP/1.1 200 OK\r\n"+head+message.String())
		}
	}
	return parts, calls
}

// FuzzSplitOfChunks: as FuzzSplit, for bodies that are followed through gaps. Each request is told once.
func FuzzSplitOfChunks(f *testing.F) {
	for _, body := range []string{"x", "line\r\n", "0\r\n\r\n", "100\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n\r\n\xff"} {
		for i, sizes := range []string{"\xc5", "\xff\xff\x03", "\x85\x45\x85", "\x0a\x3f\x14"} {
			f.Add([]byte(body), []byte(sizes), []byte{0x4f, 0x6e, 0xaf}, []byte{3, 100}, i%2 == 0)
			f.Add([]byte(body), []byte(sizes), []byte{0x5f, 0x6b, 0x89, byte(0x60 + i)}, []byte{1}, false)
		}
	}
	f.Fuzz(func(t *testing.T, body, sizes, cuts, at []byte, pipelined bool) {
		if len(sizes) > 12 || len(body) > 4096 || len(cuts) > 64 {
			return
		}
		parts, calls := chunkedCalls(body, sizes, cuts, pipelined)
		whole := run(New(Config{}), false, nil, parts...)
		split := run(New(Config{}), false, pieces(at), parts...)
		if !slices.Equal(whole, split) {
			t.Fatalf("whole:\n%s\nsplit:\n%s", strings.Join(whole, "\n"), strings.Join(split, "\n"))
		}
		done := 0
		for _, x := range whole {
			if strings.Contains(x, ".0 done ") {
				done++
			}
		}
		if done != calls && !bytes.Contains(body, []byte("HTTP")) {
			t.Fatalf("%d calls are told, want %d:\n%s", done, calls, strings.Join(whole, "\n"))
		}
	})
}

// FuzzSniff: a verdict, once given, is not taken back by more bytes, but for lines that turn out too long.
func FuzzSniff(f *testing.F) {
	for _, s := range append(requestSeeds, responseSeeds...) {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		pr := New(Config{})
		for _, d := range []proto.Dir{proto.Request, proto.Response} {
			for _, mid := range []bool{false, true} {
				whole := pr.Sniff(d, b, mid)
				if n < 0 || n > len(b) {
					continue
				}
				if part := pr.Sniff(d, b[:n], mid); part != proto.NotYet && part != whole {
					t.Fatalf("%d bytes: %d, all %d: %d (%q)", n, part, len(b), whole, b)
				}
			}
		}
	})
}
