package http1

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const (
	chunkedHead = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	uploadHead  = "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
)

// Ways in which servers make writes of a head and chunks of these sizes. The last chunk is "0\r\n\r\n".

func oneChunk(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, long(n)) }

// eachAlone is a write for the head, for each chunk and for the last.
func eachAlone(sizes []int) []string {
	w := []string{chunkedHead}
	for _, n := range sizes {
		w = append(w, oneChunk(n))
	}
	return append(w, "0\r\n\r\n")
}

// inWritesOf is a writer that buffers n bytes.
func inWritesOf(n int) func([]int) []string {
	return func(sizes []int) (w []string) {
		for s := strings.Join(eachAlone(sizes), ""); s != ""; {
			k := min(n, len(s))
			w, s = append(w, s[:k]), s[k:]
		}
		return w
	}
}

// flushed is Go's server with a Flush after each chunk: a buffer of 4096 bytes, and what does not fill it.
func flushed(sizes []int) (w []string) {
	for i, s := range eachAlone(sizes) {
		if i == 1 {
			s, w = w[0]+s, nil
		}
		for s != "" {
			k := min(4096, len(s))
			w, s = append(w, s[:k]), s[k:]
		}
	}
	return w
}

// corked is Node.js when all is written at once: the head and the first chunk, and the rest in one writev.
func corked(sizes []int) []string {
	w := eachAlone(sizes)
	return []string{w[0] + w[1], strings.Join(w[2:], "")}
}

// several puts n chunks into one write, and the head and the last into writes of their own.
func several(n int) func([]int) []string {
	return func(sizes []int) (w []string) {
		all := eachAlone(sizes)
		w = append(w, all[0])
		for c := range slices.Chunk(all[1:len(all)-1], n) {
			w = append(w, strings.Join(c, ""))
		}
		return append(w, all[len(all)-1])
	}
}

// lastJoined puts the last chunk into the write of the one before it.
func lastJoined(sizes []int) []string {
	w := eachAlone(sizes)
	n := len(w) - 2
	return append(w[:n:n], w[n]+w[n+1])
}

// linesApart is a write for each chunk-size line, with the line end before it.
func linesApart(sizes []int) (w []string) {
	end := chunkedHead
	for _, n := range sizes {
		w = append(w, fmt.Sprintf("%s%x\r\n", end, n), long(n))
		end = "\r\n"
	}
	return append(w, "\r\n0\r\n\r\n")
}

func equal(n, size, last int) []int { return append(slices.Repeat([]int{size}, n), last) }

func sum(sizes []int) (n int) {
	for _, s := range sizes {
		n += s
	}
	return n
}

// captured is what a source makes of writes of which it captures a prefix.
func captured(d proto.Dir, writes []string, prefix int) (p []part) {
	for _, w := range writes {
		k := min(prefix, len(w))
		p = append(p, part{dir: d, data: w[:k]})
		if k < len(w) {
			p = append(p, part{dir: d, gap: uint64(len(w) - k)})
		}
	}
	return p
}

// lengths notes of each call the status and the length of the response's body, and whether its end was seen.
type lengths []string

func (l *lengths) Emit(_ *proto.Conn, x *proto.Exchange) {
	if x.State == event.Done {
		*l = append(*l, fmt.Sprintf("%s %d %d %v", x.Target, x.Status, x.Res.Bytes, x.Res.Open))
	}
}

// uploads is the same of the request's body.
type uploads []string

func (l *uploads) Emit(_ *proto.Conn, x *proto.Exchange) {
	if x.State == event.Done {
		*l = append(*l, fmt.Sprintf("%s %d %d %v", x.Target, x.Status, x.Req.Bytes, x.Req.Open))
	}
}

func TestChunksAreCountedExactlyThoughWritesAreCutToTheirBeginnings(t *testing.T) {
	shorter := equal(20, 32<<10, 5000)
	random := []int{700, 9000, 5001, 12_345, 88, 20_000, 3000, 4096, 6000}
	for _, v := range []struct {
		name   string
		writes func([]int) []string
		sizes  []int
	}{
		{"Go, 4 KiB and a flush", flushed, equal(15, 4096, 4096)},
		{"Go, 4 KiB and a flush, a shorter last one", flushed, equal(15, 4096, 100)},
		{"Go, 4 KiB without a flush", inWritesOf(4096), equal(15, 4096, 4096)},
		{"Node.js, a write for each chunk", eachAlone, equal(15, 4096, 4096)},
		{"Node.js, the end with the newest chunk", lastJoined, equal(15, 4096, 4096)},
		{"Node.js, all at once", corked, equal(15, 4096, 4096)},
		{"Node.js, all at once, 64 KiB", corked, equal(40, 65536, 65536)},
		{"32 KiB and a shorter one", eachAlone, shorter},
		{"32 KiB and a shorter one with the end", lastJoined, shorter},
		{"32 KiB, four in a write, and a shorter one", several(4), shorter},
		{"three in a write", several(3), equal(16, 2000, 2000)},
		{"the whole body in one write", several(100), equal(9, 2000, 2000)},
		{"all in one write", inWritesOf(1 << 30), equal(9, 2000, 2000)},
		{"a large buffer", inWritesOf(32 << 10), equal(99, 4096, 4096)},
		{"an odd buffer", inWritesOf(10_007), equal(99, 3000, 3000)},
		{"lines apart from data", linesApart, equal(9, 3000, 77)},
		{"random sizes, a write for each", eachAlone, random},
		{"random sizes, flushed", flushed, random},
		{"random sizes, lines apart", linesApart, random},
	} {
		for _, prefix := range []int{1024, 1500, 2048} {
			t.Run(fmt.Sprintf("%s, %d captured", v.name, prefix), func(t *testing.T) {
				for _, size := range []int{0, 1, 100} {
					var sizes func() int
					if size > 0 {
						sizes = func() int { return size }
					}
					cut := captured(proto.Response, v.writes(v.sizes), prefix)
					want := fmt.Sprintf("/a 200 %d false", sum(v.sizes))
					for name, rest := range map[string][]part{
						"then another call":   {req(get2), res(ok)},
						"then the end":        {ends(proto.Response), req(get2)},
						"then nothing":        nil,
						"then it rests":       {after(5, part{}), req(get2), res(ok)},
						"then a second alike": append([]part{req(get2)}, cut...),
					} {
						var got lengths
						runTo(&got, New(Config{}), false, sizes, slices.Concat([]part{req(get)}, cut, rest)...)
						require.NotEmpty(t, got)
						require.Equal(t, want, got[0], name)
						switch name {
						case "then another call", "then it rests":
							require.Equal(t, lengths{want, "/b 200 2 false"}, got, name)
						case "then a second alike":
							require.Equal(t, lengths{want, strings.Replace(want, "/a", "/b", 1)}, got, name)
						}
					}
					up := v.writes(v.sizes)
					up[0] = strings.Replace(up[0], chunkedHead, uploadHead, 1)
					var got uploads
					runTo(&got, New(Config{}), false, sizes, slices.Concat(captured(proto.Request, up, prefix), []part{res(ok), req(get2), res(ok)})...)
					require.Equal(t, uploads{fmt.Sprintf("/p 200 %d false", sum(v.sizes)), "/b 200 0 false"}, got)
				}
			})
		}
	}
}

func TestChunksThatAreNotAsTheOneBeforeAGapAreCountedAsBytes(t *testing.T) {
	random := []int{700, 9000, 5001, 12_345, 88, 20_000, 3000, 4096, 6000}
	for _, v := range []struct {
		name   string
		writes []string
		end    bool
	}{
		{"random sizes, all at once", corked(random), false},
		{"random sizes, three in a write", several(3)(random), true},
		{"a shorter last one with others", corked(equal(15, 4096, 77)), false},
		{"a shorter last one between", several(4)(equal(14, 4096, 77)), true},
		{"chunks too short to be followed", corked(slices.Repeat([]int{50}, 100)), false},
	} {
		t.Run(v.name, func(t *testing.T) {
			total := len(strings.Join(v.writes, "")) - len(chunkedHead)
			cut := slices.Concat([]part{req(get)}, captured(proto.Response, v.writes, 1024), []part{req(get2), res(ok)})
			var got, split lengths
			runTo(&got, New(Config{}), false, nil, cut...)
			require.Len(t, got, 2)
			require.Equal(t, "/b 200 2 false", got[1])
			var bytes int
			var open bool
			_, err := fmt.Sscanf(got[0], "/a 200 %d %v", &bytes, &open)
			require.NoError(t, err)
			require.Equal(t, !v.end, open)
			require.LessOrEqual(t, bytes, total)
			require.Greater(t, bytes, total*9/10)
			runTo(&split, New(Config{}), false, func() int { return 3 }, cut...)
			require.Equal(t, got, split)
		})
	}
}

func TestAGapThatEndsWhereTheBodyMightIsNoEndWhenMoreChunksFollow(t *testing.T) {
	// After the data of the first chunk the gap takes seven bytes, as many as "\r\n0\r\n\r\n": the line end and "800\r\n".
	body := "800\r\n" + long(0x800) + "\r\n"
	for _, next := range []string{long(0x800) + "\r\n0\r\n\r\n", "HTTP/1.1 is no start of a message\r\n" + long(0x800-35) + "\r\n0\r\n\r\n"} {
		for _, size := range []int{0, 1, 3} {
			var sizes func() int
			if size > 0 {
				sizes = func() int { return size }
			}
			var got lengths
			runTo(&got, New(Config{}), false, sizes, req(get), res(chunkedHead+body[:1000]), lost(proto.Response, uint64(len(body)-1000+5)), res(next), req(get2), res(ok))
			require.Equal(t, lengths{"/a 200 4096 false", "/b 200 2 false"}, got)
		}
	}
}

func TestOnceNothingFollowsAGapThatEndsWithTheBodyTheCallIsTold(t *testing.T) {
	body := strings.Repeat(oneChunk(3000), 5) + "0\r\n\r\n"
	cut := []part{req(get), res(chunkedHead + body[:1000]), lost(proto.Response, uint64(len(body)-1000))}
	s := &seen{}
	p := New(Config{}).New(&proto.Conn{}, s, false)
	for _, c := range cut[:2] {
		_, _, err := p.Feed(c.dir, []byte(c.data), 5)
		require.NoError(t, err)
	}
	p.Gap(proto.Response, cut[2].gap, 0)
	p.Tick(100e6)
	require.Empty(t, s.all, "what follows may be a part of it")
	p.Tick(300e6)
	require.Len(t, s.all, 1)
	require.Contains(t, s.all[0], `15000/14005 "xxx`)
	require.Contains(t, s.all[0], " 5 5 5 5 signs=0", "it ended when it was last seen")
}

func TestACallDoesNotEndBeforeItsResponse(t *testing.T) {
	body := strings.Repeat(oneChunk(3000), 5) + "0\r\n\r\n"
	got := run(New(Config{}), false, nil, req(uploadHead+body[:1000]), lost(proto.Request, uint64(len(body)-1000)), after(3, res(ok)), req(get2))
	require.Contains(t, got[len(got)-2], "#0.1 done")
	require.Contains(t, got[len(got)-2], " 1 1 3000000000 3000000000 signs=0")
}
