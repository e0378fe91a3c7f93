package tcp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// stream is what came of one direction.
type stream struct {
	data []byte // gaps as zeros
	gaps uint64
	cut  uint64
	eof  bool
}

type connection struct {
	first  chunk.Chunk
	dir    [2]stream
	order  []string // every chunk, for tests of order
	closed bool
	clock  event.Time
}

// handler checks what every chunk promises while it puts the streams together.
type handler struct {
	tb    testing.TB
	conns map[chunk.ConnID]*connection
	ids   []chunk.ConnID
	ticks int
}

func newHandler(tb testing.TB) *handler {
	return &handler{tb: tb, conns: map[chunk.ConnID]*connection{}}
}

func (h *handler) Chunk(k *chunk.Chunk) {
	if k.Kind == chunk.Tick {
		h.ticks++
		return
	}
	require.NotZero(h.tb, k.Conn)
	c := h.conns[k.Conn]
	if c == nil {
		c = &connection{first: *k, clock: k.Time}
		h.conns[k.Conn] = c
		h.ids = append(h.ids, k.Conn)
	}
	require.False(h.tb, c.closed, "a chunk after Close")
	require.Equal(h.tb, c.first.Local, k.Local)
	require.Equal(h.tb, c.first.Remote, k.Remote)
	require.Equal(h.tb, c.first.Role, k.Role)
	require.Equal(h.tb, c.first.Flags, k.Flags)
	require.GreaterOrEqual(h.tb, k.Time, c.clock, "time steps back within a connection")
	c.clock = k.Time
	s := &c.dir[k.Dir]
	switch k.Kind {
	case chunk.Data:
		require.False(h.tb, s.eof, "data after EOF")
		require.Equal(h.tb, uint64(len(s.data)), k.Pos, "positions have no jumps: what is missing is a chunk without data")
		require.LessOrEqual(h.tb, uint64(len(k.Data)), k.Len)
		require.NotZero(h.tb, k.Len)
		require.Less(h.tb, k.Len, uint64(1<<28))
		s.data = append(s.data, k.Data...)
		lost := k.Len - uint64(len(k.Data))
		s.data = append(s.data, make([]byte, lost)...)
		switch k.Why {
		case chunk.WhyMissing:
			s.gaps += lost
		case chunk.WhySnaplen:
			s.cut += lost
		default:
			require.Zero(h.tb, lost, "bytes are missing for no reason")
		}
		c.order = append(c.order, fmt.Sprintf("%d:%d+%d", k.Dir, k.Pos, k.Len))
	case chunk.EOF:
		require.False(h.tb, s.eof, "two EOF")
		require.Equal(h.tb, uint64(len(s.data)), k.Pos)
		s.eof = true
	case chunk.Close:
		c.closed = true
	}
}

func (h *handler) one() *connection {
	require.Len(h.tb, h.ids, 1)
	return h.conns[h.ids[0]]
}

var (
	client = AddrFrom4(0x0a000001)
	server = AddrFrom4(0x0a000002)
)

const start = event.Time(1_764_000_000_000_000_000)

// play is a connection that a test makes segments of. 0 is the client, 1 the server.
type play struct {
	cport uint16
	seq   [2]uint32
	now   event.Time
	out   []Segment
}

func newPlay(cport uint16, isn0, isn1 uint32) *play {
	return &play{cport: cport, seq: [2]uint32{isn0, isn1}, now: start}
}

func (p *play) add(from int, flags uint8, data string) *Segment {
	p.now += event.Time(time.Millisecond)
	s := Segment{Src: client, Dst: server, SrcPort: p.cport, DstPort: 80, Seq: p.seq[from], Ack: p.seq[from^1], Flags: flags, Len: uint32(len(data)), Data: []byte(data), Time: p.now}
	if from == 1 {
		s.Src, s.Dst, s.SrcPort, s.DstPort = s.Dst, s.Src, s.DstPort, s.SrcPort
	}
	p.seq[from] += uint32(len(data))
	if flags&(SYN|FIN) != 0 {
		p.seq[from]++
	}
	p.out = append(p.out, s)
	return &p.out[len(p.out)-1]
}

func (p *play) open() *play {
	p.add(0, SYN, "").Ack = 0
	p.add(1, SYN|ACK, "")
	p.add(0, ACK, "")
	return p
}

func (p *play) close() *play {
	p.add(0, FIN|ACK, "")
	p.add(1, FIN|ACK, "")
	p.add(0, ACK, "")
	return p
}

func run(tb testing.TB, cfg Config, segments []Segment) (*handler, *Assembler) {
	h := newHandler(tb)
	a := New(cfg, h)
	for i := range segments {
		a.Segment(&segments[i])
	}
	a.Close()
	require.Zero(tb, a.pending, "every waiting byte is accounted for")
	for _, c := range h.conns {
		require.True(tb, c.closed)
	}
	return h, a
}

const req, res = "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

func simple() *play {
	p := newPlay(4000, 0xfffffff0, 0x7ffffff0).open() // both wrap their sign or their word
	for range 5 {
		p.add(0, ACK, req)
		p.add(1, ACK, res)
	}
	return p.close()
}

func requireWhole(t *testing.T, c *connection, n int) {
	t.Helper()
	require.Equal(t, string(bytes.Repeat([]byte(req), n)), string(c.dir[chunk.Received].data))
	require.Equal(t, string(bytes.Repeat([]byte(res), n)), string(c.dir[chunk.Sent].data))
	require.Zero(t, c.dir[0].gaps+c.dir[1].gaps)
	require.True(t, c.dir[0].eof && c.dir[1].eof)
}

func TestAConnectionInOrderComesWholeAcrossTheWrapOfSequenceNumbers(t *testing.T) {
	h, a := run(t, Config{}, simple().out)
	c := h.one()
	requireWhole(t, c, 5)
	require.Equal(t, chunk.Server, c.first.Role)
	require.EqualValues(t, 80, c.first.Local.Port())
	require.Equal(t, "10.0.0.1:4000", c.first.Remote.String())
	require.Zero(t, c.first.Flags)
	require.Zero(t, a.stats.OutOfOrder)
}

func TestAResponseComesAfterTheRequestThatItAcknowledges(t *testing.T) {
	p := simple()
	for i := 3; i+1 < len(p.out)-3; i += 2 {
		p.out[i], p.out[i+1] = p.out[i+1], p.out[i]
	}
	h, _ := run(t, Config{}, p.out)
	requireWhole(t, h.one(), 5)
	want, _ := run(t, Config{}, simple().out)
	require.Equal(t, want.one().order, h.one().order)
}

func TestKeepAlivesAndRetransmissionsAddNothing(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	p.add(0, ACK, req)
	again := *p.add(0, ACK, "x") // keep-alive: one byte before the next, its content does not matter
	p.seq[0]--
	again.Seq = p.seq[0] - 1
	p.out[len(p.out)-1] = again
	p.out = append(p.out, p.out[3]) // the request again
	p.add(1, ACK, res)
	p.close()
	h, a := run(t, Config{}, p.out)
	requireWhole(t, h.one(), 1)
	require.EqualValues(t, len(req)+1, a.stats.Retransmitted)
}

func TestOfOverlappingCopiesTheFirstWins(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	base := p.seq[0]
	put := func(off int, text string) {
		s := *p.add(0, ACK, text)
		s.Seq = base + uint32(off)
		p.out[len(p.out)-1] = s
	}
	put(4, "EEEE")     // waits
	put(2, "ccCCCC")   // only cc is new
	put(10, "KK")      // waits
	put(6, "zzgghhii") // overlaps EEEE's end, fills 8-9, stops at KK, adds 12-13
	put(0, "aabb")     // fills the start
	h, _ := run(t, Config{}, p.out)
	require.Equal(t, "aaccEEEEggKKii", string(h.one().dir[chunk.Received].data))
}

func TestMissingBytesThatWereAcknowledgedBecomeAGap(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	p.add(0, ACK, req)
	p.add(1, ACK, "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n")
	head := len("HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n")
	p.add(1, ACK, string(bytes.Repeat([]byte("a"), 1000)))
	p.add(1, ACK, string(bytes.Repeat([]byte("b"), 1000)))
	p.out = p.out[:len(p.out)-1] // lost by the recorder
	p.add(1, ACK, string(bytes.Repeat([]byte("c"), 1000)))
	p.add(0, ACK, "")
	p.add(0, ACK, req)
	p.add(1, ACK, res)
	p.close()
	h, a := run(t, Config{}, p.out)
	s := h.one().dir[chunk.Sent]
	require.EqualValues(t, 1000, s.gaps)
	require.Equal(t, make([]byte, 1000), s.data[head+1000:head+2000])
	require.Equal(t, "ccc", string(s.data[head+2000:head+2003]))
	require.Equal(t, res, string(s.data[head+3000:]))
	require.EqualValues(t, 1000, a.stats.Missing)
}

func TestAHoleThatWasNotReceivedWaitsForItsRetransmission(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	base := p.seq[0]
	lost := *p.add(0, ACK, "lost ")
	p.out = p.out[:len(p.out)-1]
	for range 500 { // far more than HoldPackets
		p.add(0, ACK, "x")
		s := *p.add(1, ACK, "")
		s.Ack = base // the server does not have it
		p.out[len(p.out)-1] = s
	}
	p.now += event.Time(time.Minute)
	lost.Time = p.now
	p.out = append(p.out, lost)
	h, a := run(t, Config{}, p.out)
	require.Equal(t, "lost "+string(bytes.Repeat([]byte("x"), 500)), string(h.one().dir[chunk.Received].data))
	require.Zero(t, a.stats.Missing)
}

func TestAOneWayRecordingNeedsNoAcknowledgements(t *testing.T) {
	for side := range 2 {
		p := simple()
		var one []Segment
		for _, s := range p.out {
			if (s.Src == client) == (side == 0) {
				one = append(one, s)
			}
		}
		h, _ := run(t, Config{}, one)
		c := h.one()
		got := c.dir[0].data
		want := req
		if side == 1 {
			got, want = c.dir[1].data, res
		}
		require.Equal(t, string(bytes.Repeat([]byte(want), 5)), string(got))
		require.Equal(t, chunk.Server, c.first.Role)
	}
}

func TestAOneWayRecordingWithAHoleGoesOnAfterTheWait(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	for range 300 {
		p.add(0, ACK, "x")
	}
	out := slices.DeleteFunc(slices.Clone(p.out), func(s Segment) bool { return s.Src == server })
	out = slices.Delete(out, 10, 13)
	h := newHandler(t)
	a := New(Config{}, h)
	for i := range out {
		a.Segment(&out[i])
	}
	require.Zero(t, len(a.conns[key{client, server, 4000<<16 | 80}].half[0].pend), "it does not wait for the end of the recording")
	a.Close()
	require.EqualValues(t, 3, h.one().dir[chunk.Received].gaps)
}

func TestARecordingThatJoinsLateBeginsAtTheFirstByteSeen(t *testing.T) {
	p := simple()
	mid := p.out[5:]
	mid[0], mid[2] = mid[2], mid[0] // and out of order at once
	h, a := run(t, Config{}, mid)
	c := h.one()
	require.Equal(t, string(bytes.Repeat([]byte(req), 4)), string(c.dir[chunk.Received].data))
	require.Equal(t, string(bytes.Repeat([]byte(res), 4)), string(c.dir[chunk.Sent].data))
	require.Equal(t, chunk.Unknown, c.first.Role)
	require.Equal(t, chunk.TakenOver, c.first.Flags)
	require.EqualValues(t, 80, c.first.Local.Port(), "the likelier server")
	require.EqualValues(t, 1, a.stats.MidStream)
}

func TestASynAckAloneTellsWhoIsTheServer(t *testing.T) {
	h, _ := run(t, Config{}, simple().out[1:])
	requireWhole(t, h.one(), 5)
	require.Equal(t, chunk.Server, h.one().first.Role)
}

func TestASynThatComesAfterItsDataIsTheSameConnection(t *testing.T) {
	p := simple()
	p.out[0], p.out[1], p.out[3], p.out[4] = p.out[3], p.out[4], p.out[0], p.out[1]
	h, a := run(t, Config{}, p.out)
	requireWhole(t, h.one(), 5)
	require.Equal(t, chunk.Server, h.one().first.Role)
	require.Zero(t, a.stats.Reused)
}

func TestPortsUsedAnewAreAnotherConnection(t *testing.T) {
	ends := map[string]func(*play){
		"after FIN":      func(p *play) { p.close() },
		"after RST":      func(p *play) { p.add(1, RST|ACK, "") },
		"after nothing":  func(*play) {},
		"half closed":    func(p *play) { p.add(0, FIN|ACK, "") },
		"a minute later": func(p *play) { p.close(); p.now += event.Time(2 * time.Minute) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			p := newPlay(4000, 100, 200).open()
			p.add(0, ACK, req)
			p.add(1, ACK, res)
			end(p)
			p.seq = [2]uint32{500_000, 900_000_000}
			p.open()
			p.add(0, ACK, req)
			p.add(1, ACK, res)
			p.close()
			h, _ := run(t, Config{}, p.out)
			require.Len(t, h.ids, 2)
			for _, c := range h.conns {
				require.Equal(t, req, string(c.dir[chunk.Received].data))
				require.Equal(t, res, string(c.dir[chunk.Sent].data))
			}
		})
	}
}

func TestLateCopiesOfAnEndedConnectionOpenNone(t *testing.T) {
	p := simple()
	for _, s := range slices.Clone(p.out) {
		p.now += event.Time(time.Millisecond)
		s.Time = p.now
		p.out = append(p.out, s)
	}
	h, a := run(t, Config{}, p.out)
	requireWhole(t, h.one(), 5)
	require.NotZero(t, a.stats.AfterEnd)
}

func TestDataRecordedAfterTheResetStillCounts(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	p.add(0, ACK, req)
	late := *p.add(1, ACK, res)
	p.out = p.out[:len(p.out)-1]
	p.add(1, RST|ACK, "")
	p.out = append(p.out, late)
	h, a := run(t, Config{}, p.out)
	require.Equal(t, res, string(h.one().dir[chunk.Sent].data))
	require.EqualValues(t, 1, a.stats.Resets)
}

func TestAForgedResetFarOffEndsNothing(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	p.add(0, ACK, req)
	s := *p.add(1, RST, "")
	s.Seq += 1 << 30
	p.out[len(p.out)-1] = s
	p.add(1, ACK, res)
	p.close()
	h, a := run(t, Config{}, p.out)
	requireWhole(t, h.one(), 1)
	require.Zero(t, a.stats.Resets)
}

func TestAHalfClosedConnectionStillCarriesTheOtherDirection(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	p.add(0, FIN|ACK, req) // FIN with data
	p.add(1, ACK, res)
	p.add(1, FIN|ACK, "")
	h, _ := run(t, Config{}, p.out)
	requireWhole(t, h.one(), 1)
}

func TestASegmentCutByTheSnapshotLengthKeepsItsLength(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	p.add(0, ACK, req)
	s := p.add(1, ACK, res)
	s.Data = s.Data[:5]
	p.add(0, ACK, req)
	p.close()
	h, a := run(t, Config{}, p.out)
	require.EqualValues(t, len(res)-5, h.one().dir[chunk.Sent].cut)
	require.EqualValues(t, len(res)-5, a.stats.Cut)
	require.Len(t, h.one().dir[chunk.Sent].data, len(res))
}

func TestTheEndOfTheRecordingTellsOfAcknowledgedBytesThatAreNotThere(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	p.add(0, ACK, req)
	p.add(1, ACK, res)
	p.out = p.out[:len(p.out)-1]
	p.add(0, ACK, "")
	h, _ := run(t, Config{}, p.out)
	require.EqualValues(t, len(res), h.one().dir[chunk.Sent].gaps)
}

func TestAnAcknowledgementOfBytesFarOffIsNotBelieved(t *testing.T) {
	p := newPlay(4000, 100, 200).open()
	s := *p.add(0, ACK, req)
	s.Ack += 1 << 29
	p.out[len(p.out)-1] = s
	p.add(1, ACK, res)
	p.close()
	h, _ := run(t, Config{}, p.out)
	requireWhole(t, h.one(), 1)
}

func TestOnePacketWithAWrongTimeEndsNothing(t *testing.T) {
	p := simple()
	p.out[6].Time += event.Time(100 * 24 * time.Hour)
	h, a := run(t, Config{}, p.out)
	requireWhole(t, h.one(), 5)
	require.Less(t, a.Now(), start.Add(time.Hour))
	p = simple()
	p.out[6].Time = 0
	h, a = run(t, Config{}, p.out)
	requireWhole(t, h.one(), 5)
	require.EqualValues(t, 1, a.stats.Backwards)
}

func TestARecordingThatStartsOverKeepsTimeGoing(t *testing.T) {
	first, second := newPlay(4000, 1, 2).open(), newPlay(4001, 1, 2)
	first.now += event.Time(24 * time.Hour)
	first.add(0, ACK, req)
	second.open().add(0, ACK, req)
	for range 2 * lag {
		second.now += event.Time(time.Second)
		second.add(1, ACK, res)
	}
	h, a := run(t, Config{}, append(first.out, second.out...))
	require.Len(t, h.ids, 2)
	require.Less(t, a.Now(), start.Add(time.Hour))
	require.NotZero(t, h.ticks)
}

func TestATickComesForEachSecondOfPacketTime(t *testing.T) {
	p := newPlay(4000, 1, 2).open()
	for range 100 {
		p.now += event.Time(99 * time.Millisecond)
		p.add(0, ACK, "x")
	}
	h, _ := run(t, Config{}, p.out)
	require.InDelta(t, 10-lag/10, h.ticks, 1, "but for the last packets")
}

func TestSilentConnectionsEndByTimeInTheRecording(t *testing.T) {
	p := newPlay(4000, 1, 2).open()
	p.add(0, ACK, req)
	other := newPlay(4001, 1, 2)
	other.now = p.now + event.Time(time.Hour)
	other.open()
	for range lag {
		other.add(0, ACK, req)
	}
	h := newHandler(t)
	a := New(Config{}, h)
	for _, s := range append(p.out, other.out...) {
		a.Segment(&s)
	}
	require.True(t, h.conns[h.ids[0]].closed)
	require.Len(t, a.conns, 1)
	a.Close()
}

func TestMemoryStaysBoundedWhateverComes(t *testing.T) {
	cfg := Config{MaxConns: 100, MaxPending: 1 << 20, MaxConnPending: 128 << 10}
	a := New(cfg, discard{})
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 { // every second byte range is missing, in 300 connections that never end
		s := Segment{Src: client, Dst: server, SrcPort: uint16(1000 + rnd.IntN(300)), DstPort: 80, Seq: uint32(2*i) * 700, Ack: 1, Flags: ACK, Len: 700, Data: make([]byte, 700), Time: start + event.Time(i)}
		if i%2 == 0 {
			s.Src, s.Dst, s.SrcPort, s.DstPort = s.Dst, s.Src, s.DstPort, s.SrcPort
		}
		a.Segment(&s)
		require.LessOrEqual(t, len(a.conns), cfg.MaxConns)
		require.LessOrEqual(t, a.pending, cfg.MaxPending)
		for _, c := range a.conns {
			require.LessOrEqual(t, c.pending, cfg.MaxConnPending)
			break
		}
	}
	require.NotZero(t, a.stats.Evicted)
	a.Close()
	require.Zero(t, a.pending)
}

func TestEndedAndEmptyConnectionsAreForgottenBeforeLiveOnes(t *testing.T) {
	h := newHandler(t)
	a := New(Config{MaxConns: 10}, h)
	keep := newPlay(1, 1, 2).open()
	keep.add(0, ACK, req)
	for i := range keep.out {
		a.Segment(&keep.out[i])
	}
	for port := uint16(100); port < 200; port++ { // a SYN flood and short connections
		p := newPlay(port, 1, 2)
		p.now = keep.now
		p.open()
		if port%2 == 0 {
			p.add(0, ACK, req)
			p.close()
		}
		for i := range p.out {
			a.Segment(&p.out[i])
		}
	}
	require.False(t, h.conns[h.ids[0]].closed)
	a.Close()
}

func TestSegmentsInOrderDoNotAllocate(t *testing.T) {
	a := New(Config{}, discard{})
	p := newPlay(4000, 1, 2).open()
	for range 4000 {
		p.add(0, ACK, req)
		p.add(1, ACK, res)
	}
	i := 0
	require.Zero(t, testing.AllocsPerRun(3000, func() { a.Segment(&p.out[i]); i++ }))
	for ; i+1 < len(p.out); i += 2 { // swapped pairs: the buffers are recycled
		p.out[i], p.out[i+1] = p.out[i+1], p.out[i]
	}
	i = 3100
	for ; i < 4000; i++ {
		a.Segment(&p.out[i])
	}
	require.Zero(t, testing.AllocsPerRun(3000, func() { a.Segment(&p.out[i]); i++ }))
}

type discard struct{}

func (discard) Chunk(*chunk.Chunk) {}

// conversation makes several connections at once, cut into segments at random, some of them pipelined.
func conversation(rnd *rand.Rand, conns int) (all []Segment, want map[uint16][2]string) {
	want = map[uint16][2]string{}
	now := start
	var plays []*play
	for i := range conns {
		p := newPlay(uint16(5000+i), rnd.Uint32(), rnd.Uint32())
		p.open()
		plays = append(plays, p)
	}
	letter := byte('a')
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			letter = 'a' + (letter-'a'+1)%26
			b[i] = letter
		}
		return string(b)
	}
	for range 30 * conns {
		p := plays[rnd.IntN(conns)]
		w := want[p.cport]
		for side := range 2 {
			msg := text(1 + rnd.IntN(400))
			w[side] += msg
			for msg != "" {
				n := 1 + rnd.IntN(len(msg))
				p.add(side, ACK, msg[:n])
				msg = msg[n:]
			}
		}
		want[p.cport] = w
		if rnd.IntN(3) == 0 {
			p.add(0, ACK, "")
		}
	}
	for _, p := range plays {
		p.close()
	}
	for len(plays) > 0 { // take turns
		i := rnd.IntN(len(plays))
		p := plays[i]
		s := p.out[0]
		now += event.Time(50 * time.Microsecond)
		s.Time = now
		all = append(all, s)
		if p.out = p.out[1:]; len(p.out) == 0 {
			plays = slices.Delete(plays, i, i+1)
		}
	}
	return all, want
}

// Shuffle moves each packet at most window places and sends some twice.
func shuffle(rnd *rand.Rand, in []Segment, window int) []Segment {
	type at struct {
		place float64
		s     Segment
	}
	var list []at
	for i, s := range in {
		list = append(list, at{float64(i) + rnd.Float64()*float64(window), s})
		if rnd.IntN(5) == 0 {
			list = append(list, at{float64(i) + rnd.Float64()*float64(window), s})
		}
	}
	slices.SortStableFunc(list, func(a, b at) int {
		if a.place < b.place {
			return -1
		}
		return 1
	})
	out := make([]Segment, len(list))
	for i := range list {
		out[i] = list[i].s
	}
	return out
}

func TestShuffledAndDuplicatedPacketsGiveTheSameStreams(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		in, want := conversation(rnd, 1+rnd.IntN(4))
		h, a := run(t, Config{}, shuffle(rnd, in, 1+rnd.IntN(24)))
		require.Len(t, h.ids, len(want), "seed %d", seed)
		for _, c := range h.conns {
			w := want[c.first.Remote.Port()]
			require.Equal(t, w[0], string(c.dir[chunk.Received].data), "seed %d", seed)
			require.Equal(t, w[1], string(c.dir[chunk.Sent].data), "seed %d", seed)
			require.Equal(t, chunk.Server, c.first.Role)
			require.True(t, c.dir[0].eof && c.dir[1].eof)
		}
		require.Zero(t, a.stats.Missing, "seed %d", seed)
	}
}

func TestLostPacketsLeaveGapsOfTheirSizeAndTheRestInPlace(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		in, want := conversation(rnd, 1+rnd.IntN(3))
		lossy := slices.DeleteFunc(shuffle(rnd, in, 1+rnd.IntN(8)), func(s Segment) bool { return s.Flags&(SYN|FIN) == 0 && rnd.IntN(10) == 0 })
		h, _ := run(t, Config{}, lossy)
		for _, c := range h.conns {
			w := want[c.first.Remote.Port()]
			for side := range 2 {
				got, gaps := c.dir[side].data, uint64(0)
				require.LessOrEqual(t, len(got), len(w[side]), "seed %d", seed)
				for i, b := range got {
					if b == 0 {
						gaps++
					} else if b != w[side][i] {
						t.Fatalf("seed %d: byte %d of direction %d is %q, not %q", seed, i, side, b, w[side][i])
					}
				}
				require.Equal(t, gaps, c.dir[side].gaps, "seed %d", seed)
				require.Len(t, got, len(w[side]), "seed %d: FIN says where the end is", seed)
			}
		}
	}
}

// BenchmarkKeys compares the key of a connection with what the standard library's types would make of it.
func BenchmarkKeys(b *testing.B) {
	const n = 4096
	b.Run("words", func(b *testing.B) {
		m := map[key]int{}
		var keys []key
		for i := range uint32(n) {
			keys = append(keys, key{AddrFrom4(0x0a000000 + i), server, uint64(i)<<16 | 80})
			m[keys[i]] = int(i)
		}
		for i := 0; b.Loop(); i++ {
			if m[keys[i%n]] != i%n {
				b.Fatal("not found")
			}
		}
	})
	b.Run("netip", func(b *testing.B) {
		type pair struct{ a, b netip.AddrPort }
		m := map[pair]int{}
		var keys []pair
		for i := range uint32(n) {
			keys = append(keys, pair{netip.AddrPortFrom(AddrFrom4(0x0a000000+i).Netip(), uint16(i)), netip.AddrPortFrom(server.Netip(), 80)})
			m[keys[i]] = int(i)
		}
		for i := 0; b.Loop(); i++ {
			if m[keys[i%n]] != i%n {
				b.Fatal("not found")
			}
		}
	})
}

func TestAFloodOfConnectionsCostsWhatTheConfigurationSays(t *testing.T) {
	a := New(Config{}, discard{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range uint32(150_000) {
		a.Segment(&Segment{Src: AddrFrom4(i), Dst: server, SrcPort: uint16(i), DstPort: 80, Flags: SYN, Seq: 1, Time: start})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Len(t, a.conns, 131_072)
	require.Less(t, after.HeapAlloc-before.HeapAlloc, uint64(80<<20))
	runtime.KeepAlive(a)
}

// FuzzSegments plays any segments between two ends. The handler checks what chunks promise.
func FuzzSegments(f *testing.F) {
	f.Add([]byte("\x00\x02\x00\x00\x05\x01\x12\x00\x00\x05\x00\x10\x01\x01\x20\x01\x10\x01\x01\x30"))
	f.Add(bytes.Repeat([]byte{0, 16, 9, 1, 7, 1, 17, 2, 5, 200}, 40))
	f.Fuzz(func(t *testing.T, in []byte) {
		h := newHandler(t)
		a := New(Config{MaxConns: 4, MaxPending: 8 << 10, MaxConnPending: 4 << 10, HoldPackets: 8}, h)
		now := start
		payload := bytes.Repeat([]byte("p"), 300)
		for len(in) >= 5 {
			b := in[:5]
			in = in[5:]
			n := int(b[4])
			s := Segment{Src: client, Dst: server, SrcPort: 1000 + uint16(b[0]>>1&7), DstPort: 80, Flags: b[1] & (FIN | SYN | RST | ACK),
				Seq: uint32(b[2]) << 4 << (b[0] >> 4), Ack: uint32(b[3]) << 4, Len: uint32(n), Data: payload[:n], Time: now}
			if b[0]&1 != 0 {
				s.Src, s.Dst, s.SrcPort, s.DstPort = s.Dst, s.Src, s.DstPort, s.SrcPort
			}
			if b[1]&0x80 != 0 {
				s.Data = s.Data[:n/2]
			}
			now += event.Time(b[1]>>5) * event.Time(500*time.Millisecond)
			a.Segment(&s)
			require.LessOrEqual(t, a.pending, 8<<10)
			require.LessOrEqual(t, len(a.conns), 4)
		}
		a.Close()
		require.Zero(t, a.pending)
		for _, c := range h.conns {
			require.True(t, c.closed)
		}
	})
}
