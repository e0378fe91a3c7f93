package conn

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/agent/proto/http1"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const second = event.Time(1e9)

var (
	serverAddr = netip.MustParseAddrPort("10.0.0.9:8080")
	clientAddr = netip.MustParseAddrPort("10.0.0.7:51324")
)

// world is a table with an emitter that writes down what it is given, and a source that counts what it hands over.
type world struct {
	*Table
	ledger *ledger.Ledger
	calls  []string
	at     event.Time
	pos    map[chunk.ConnID]*[2]uint64
	role   chunk.Role
	flags  chunk.Flags
}

func newWorld(cfg Config) *world {
	w := &world{ledger: new(ledger.Ledger), role: chunk.Server, at: 1, pos: map[chunk.ConnID]*[2]uint64{}}
	cfg.Ledger, cfg.Emitter = w.ledger, w
	if cfg.Protocols == nil {
		cfg.Protocols = []proto.Protocol{http1.New(http1.Config{})}
	}
	w.Table = New(cfg)
	return w
}

func (w *world) Emit(c *proto.Conn, x *proto.Exchange) {
	s := fmt.Sprintf("%d: %s %s %d %d/%d", c.ID, x.Method, x.Target, x.Status, x.Req.Bytes, x.Res.Bytes)
	if x.State != event.Done {
		s += " " + x.State.String()
	}
	if n := x.Req.Lost + x.Res.Lost; n > 0 {
		s += fmt.Sprintf(" lost %d", n)
	}
	w.calls = append(w.calls, s)
}

func (w *world) hand(c chunk.Chunk) {
	c.Time, c.Role, c.Local, c.Remote = w.at, w.role, serverAddr, clientAddr
	c.Flags |= w.flags
	if c.Role == chunk.Client {
		c.Local, c.Remote = clientAddr, serverAddr
	}
	if c.Kind == chunk.Data {
		w.ledger.Chunks.Capture(1)
		w.ledger.Bytes.Capture(uint64(len(c.Data)))
	}
	w.Chunk(&c)
}

// data hands over the next bytes of d, of which the last lost ones were not seen.
func (w *world) data(id chunk.ConnID, d chunk.Dir, b string, lost int) {
	p := w.pos[id]
	if p == nil {
		p = new([2]uint64)
		w.pos[id] = p
	}
	n := uint64(len(b) + lost)
	w.hand(chunk.Chunk{Conn: id, Dir: d, Pos: p[d], Len: n, Data: []byte(b), Why: chunk.WhyBudget})
	p[d] += n
}

func (w *world) in(id chunk.ConnID, b string)  { w.data(id, chunk.Received, b, 0) }
func (w *world) out(id chunk.ConnID, b string) { w.data(id, chunk.Sent, b, 0) }

// skip moves on in d's stream without a chunk.
func (w *world) skip(id chunk.ConnID, d chunk.Dir, n int) { w.pos[id][d] += uint64(n) }

func (w *world) tick(d event.Time) {
	w.at += d
	w.hand(chunk.Chunk{Kind: chunk.Tick})
}

// finish closes the table and holds the ledger to account.
func (w *world) finish(t *testing.T) event.Ledger {
	t.Helper()
	w.Close(w.at)
	e := w.ledger.Event()
	require.Zero(t, e.Bytes.Balance(), "bytes: %+v", e.Bytes)
	require.Zero(t, e.Chunks.Balance(), "chunks: %+v", e.Chunks)
	require.Zero(t, e.Calls.Balance(), "calls: %+v", e.Calls)
	require.Zero(t, w.memory, "memory is given back")
	require.Zero(t, w.Stats.Open.Load())
	return e
}

const (
	get = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
	ok  = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

func TestARequestAndItsResponseMakeACall(t *testing.T) {
	w := newWorld(Config{})
	w.in(1, get)
	w.out(1, ok)
	require.Equal(t, []string{"1: GET /a 200 0/2"}, w.calls)
	e := w.finish(t)
	require.Equal(t, event.Account{Captured: 2, Delivered: 2, Lost: map[string]uint64{}}, e.Chunks)
	require.EqualValues(t, len(get)+len(ok), e.Bytes.Delivered)
}

func TestBytesThatCameBeforeAreDroppedAndCounted(t *testing.T) {
	w := newWorld(Config{})
	w.in(1, get)
	w.hand(chunk.Chunk{Conn: 1, Pos: 0, Len: uint64(len(get)), Data: []byte(get)})
	w.hand(chunk.Chunk{Conn: 1, Pos: 10, Len: uint64(len(get)), Data: []byte(get[10:] + get[:10])})
	w.pos[1][chunk.Received] += 10
	w.in(1, get[10:])
	w.out(1, ok)
	w.out(1, ok)
	require.Equal(t, []string{"1: GET /a 200 0/2", "1: GET /a 200 0/2"}, w.calls)
	e := w.finish(t)
	require.Equal(t, map[string]uint64{"duplicate": uint64(2*len(get) - 10)}, e.Bytes.Lost)
	require.Equal(t, map[string]uint64{"duplicate": 1}, e.Chunks.Lost)
}

func TestAGapInABodyOfKnownLengthIsCountedIntoIt(t *testing.T) {
	w := newWorld(Config{})
	w.in(1, get)
	w.data(1, chunk.Sent, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nstart", 495) // cut by the budget
	w.out(1, strings.Repeat("x", 100))
	w.skip(1, chunk.Sent, 300) // a chunk that never came
	w.out(1, strings.Repeat("x", 100))
	w.in(1, get)
	w.out(1, ok)
	require.Equal(t, []string{"1: GET /a 200 0/1000 lost 795", "1: GET /a 200 0/2"}, w.calls)
	w.finish(t)
}

func TestWithoutARoleTheFirstBytesTellWhoIsTheClient(t *testing.T) {
	for name, requests := range map[string]chunk.Dir{"received": chunk.Received, "sent": chunk.Sent} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(Config{Recording: true})
			w.role = chunk.Unknown
			var seen proto.Conn
			w.cfg.Emitter = emitter(func(c *proto.Conn, x *proto.Exchange) { seen = *c; w.Emit(c, x) })
			w.data(1, requests, get, 0)
			w.data(1, requests.Other(), ok, 0)
			require.Equal(t, []string{"1: GET /a 200 0/2"}, w.calls)
			want := clientAddr
			if requests == chunk.Sent {
				want = serverAddr
			}
			require.Equal(t, want, seen.Client)
			require.Equal(t, event.SideUnknown, seen.Side)
			w.finish(t)
		})
	}
}

type emitter func(*proto.Conn, *proto.Exchange)

func (e emitter) Emit(c *proto.Conn, x *proto.Exchange) { e(c, x) }

func TestAClientsConnectionIsOfTheClientSide(t *testing.T) {
	w := newWorld(Config{})
	w.role = chunk.Client
	var seen proto.Conn
	w.cfg.Emitter = emitter(func(c *proto.Conn, x *proto.Exchange) { seen = *c })
	w.out(1, get)
	w.in(1, ok)
	require.Equal(t, clientAddr, seen.Client)
	require.Equal(t, serverAddr, seen.Server)
	require.Equal(t, event.SideClient, seen.Side)
	w.finish(t)
}

func TestAConnectionOlderThanTheSourceIsJoinedAtTheNextMessage(t *testing.T) {
	w := newWorld(Config{})
	w.flags = chunk.TakenOver
	w.pos[1] = &[2]uint64{4711, 815}
	w.out(1, "the end of a body\n")
	w.in(1, get)
	w.out(1, ok)
	require.Equal(t, []string{"1: GET /a 200 0/2"}, w.calls)
	e := w.finish(t)
	require.EqualValues(t, len("the end of a body\n"), e.Bytes.Lost["resync"]+e.Bytes.Lost["not_decoded"])
}

func TestAResponseWhoseRequestWasNotSeenIsCountedAndMakesNoCall(t *testing.T) {
	w := newWorld(Config{})
	w.flags = chunk.TakenOver
	w.out(1, ok)
	w.in(1, get)
	w.out(1, ok)
	require.Equal(t, []string{"1: GET /a 200 0/2"}, w.calls)
	e := w.finish(t)
	require.Equal(t, map[string]uint64{"orphan": 1}, e.Calls.Lost)
	require.Equal(t, map[string]uint64{"orphan": uint64(len(ok))}, e.Bytes.Lost)
}

func unhex(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestWhatSpeaksNothingKnownIsCountedByWhatItSeemsToBe(t *testing.T) {
	for want, first := range map[Guess][2]string{ // what the client and the server say first
		TLS:      {unhex("16030100c0010000bc0303") + strings.Repeat("r", 180), unhex("160303007a020000760303") + "r"},
		HTTP2:    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + unhex("000000040000000000"), unhex("000006040000000000000300000064")},
		SSH:      {"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2\r\n"},
		Postgres: {unhex("0000000804d2162f"), "N"},
		MySQL:    {"", unhex("4a0000000a") + "8.0.36\x00" + strings.Repeat("s", 70)},
		Redis:    {"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
		Kafka:    {unhex("00000023001200040000000000067264") + "kafka-client-0123456789", ""},
		DNS:      {unhex("001d 1a2b 0100 0001 0000 0000 0000 076578616d706c65 03636f6d 00 0001 0001"), ""},
		SMTP:     {"EHLO client.example\r\n", "220 mail.example ESMTP\r\n"},
		FTP:      {"USER anonymous\r\n", "220 ftp ready\r\n"},
		MongoDB:  {unhex("3f00000001000000000000 00dd070000") + strings.Repeat("m", 47), ""},
		MQTT:     {unhex("101200044d51545404") + "\x02\x00\x3cabcdef", unhex("20020000")},
		AMQP:     {"AMQP\x00\x00\x09\x01", ""},
		Unknown:  {"\x01\x02hello there", "\x03general"},
		Silent:   {"", ""},
	} {
		t.Run(want.String(), func(t *testing.T) {
			w := newWorld(Config{})
			w.out(1, first[1])
			w.in(1, first[0])
			for range 100 {
				w.in(1, strings.Repeat("x", 1000))
				w.out(1, strings.Repeat("y", 1000))
			}
			if want == Silent {
				w = newWorld(Config{})
				w.hand(chunk.Chunk{Conn: 1, Len: 5, Why: chunk.WhyFault})
			}
			require.LessOrEqual(t, w.memory, fixed+4096)
			e := w.finish(t)
			require.Empty(t, w.calls)
			require.Zero(t, e.Bytes.Delivered)
			for _, g := range Guesses() {
				n := uint64(0)
				if g == want {
					n = 1
				}
				require.Equal(t, n, w.Stats.Undecoded[g].Load(), g.String())
			}
		})
	}
}

func TestHTTPBehindASOCKSHandshakeIsRead(t *testing.T) {
	for name, v := range map[string][2][]string{ // what client and server say in turn
		"4":                 {{"\x04\x01\x00\x50\xc0\x00\x02\x01me\x00"}, {"\x00\x5a\x00\x00\x00\x00\x00\x00"}},
		"4a":                {{"\x04\x01\x00\x50\x00\x00\x00\x01\x00h.example\x00"}, {"\x00\x5a\x00\x00\x00\x00\x00\x00"}},
		"5":                 {{"\x05\x01\x00", "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"}, {"\x05\x00", "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"}},
		"5 with a password": {{"\x05\x02\x00\x02", "\x01\x02me\x03pwd", "\x05\x01\x00\x03\x09h.example\x00\x50"}, {"\x05\x02", "\x01\x00", "\x05\x00\x00\x04" + strings.Repeat("0", 18)}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(Config{})
			for i := range v[0] {
				for _, c := range []byte(v[0][i]) { // byte by byte
					w.in(1, string([]byte{c}))
				}
				w.out(1, v[1][i])
			}
			w.in(1, get)
			w.out(1, ok)
			require.Equal(t, []string{"1: GET /a 200 0/2"}, w.calls)
			e := w.finish(t)
			require.EqualValues(t, len(get)+len(ok), e.Bytes.Delivered)
		})
	}
}

func TestATLSConnectionJoinedInMidStreamIsGivenUpAtOnce(t *testing.T) {
	w := newWorld(Config{})
	w.flags = chunk.TakenOver
	w.in(1, "\x17\x03\x03\x40\x00"+strings.Repeat("c", 0x4000))
	w.out(1, "\x17\x03\x03\x40\x00"+strings.Repeat("c", 0x4000))
	require.EqualValues(t, 1, w.Stats.Undecoded[TLS].Load())
	w.finish(t)
}

func TestARequestToAServerThatSpokeFirstIsACallWithoutStatus(t *testing.T) {
	w := newWorld(Config{})
	w.out(1, "SSH-2.0-OpenSSH_9.2\r\n")
	w.in(1, get)
	w.out(1, "Invalid SSH identification string.\r\n")
	w.finish(t)
	require.Equal(t, []string{"1: GET /a 0 0/0"}, w.calls)
}

func TestWhatComesInATunnelIsCallsWhereItIsHTTP(t *testing.T) {
	connect, established := "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", "HTTP/1.1 200 Connection established\r\n\r\n"
	w := newWorld(Config{})
	w.in(1, connect)
	w.out(1, established)
	w.in(1, get)
	w.out(1, ok)
	require.Equal(t, []string{"1: CONNECT h:1 200 0/0", "1: GET /a 200 0/2"}, w.calls)
	w.in(2, connect)
	w.in(2, unhex("1603010200010001fc0303")) // sent before the answer: held until it is there
	w.out(2, established)
	w.in(2, strings.Repeat("x", 1000))
	e := w.finish(t)
	require.Equal(t, "2: CONNECT h:1 200 0/0", w.calls[2])
	require.Len(t, w.calls, 3)
	require.EqualValues(t, 1, w.Stats.Undecoded[Tunnel].Load())
	require.EqualValues(t, 1011, e.Bytes.Lost["not_decoded"])
}

func TestAClientSideThatIsCoveredIsNotRead(t *testing.T) {
	w := newWorld(Config{})
	w.role = chunk.Client
	var covered bool
	w.cfg.Emitter = emitter(func(c *proto.Conn, x *proto.Exchange) { covered = c.Covered; w.Emit(c, x) })
	w.out(1, get)
	w.flags = chunk.EndCovered
	w.in(1, ok)
	w.out(1, get)
	require.Equal(t, []string{"1: GET /a 0 0/0"}, w.calls)
	require.True(t, covered, "the emitter is told")
	e := w.finish(t)
	require.EqualValues(t, len(ok)+len(get), e.Bytes.Lost["covered"])
	require.Len(t, w.calls, 1)
}

func TestPlaintextInsideTLSHasPositionsOfItsOwn(t *testing.T) {
	w := newWorld(Config{})
	var tls bool
	w.cfg.Emitter = emitter(func(c *proto.Conn, x *proto.Exchange) { tls = c.TLS != nil; w.Emit(c, x) })
	w.in(1, unhex("16030100c0010000bc0303")+strings.Repeat("r", 186))
	w.pos[1] = new([2]uint64)
	w.flags = chunk.Plain | chunk.Encrypted
	w.in(1, get)
	w.out(1, ok)
	w.flags = chunk.Encrypted
	w.hand(chunk.Chunk{Conn: 1, Pos: 500, Len: 3, Data: []byte("\x17\x03\x03")})
	require.Equal(t, []string{"1: GET /a 200 0/2"}, w.calls)
	require.True(t, tls)
	w.finish(t)
}

func TestAnEncryptedConnectionWithoutPlaintextIsABlindSpot(t *testing.T) {
	w := newWorld(Config{})
	w.flags = chunk.Encrypted
	w.in(1, "\x16")
	w.in(1, "\x03\x01")
	w.finish(t)
	require.EqualValues(t, 1, w.Stats.Undecoded[TLS].Load())
	require.EqualValues(t, 3, w.Stats.Bytes[TLS].Load())
}

func TestTheEndOfAStreamEndsABodyWithoutLength(t *testing.T) {
	w := newWorld(Config{})
	w.in(1, get)
	w.out(1, "HTTP/1.0 200 OK\r\n\r\nall of it")
	require.Empty(t, w.calls)
	w.hand(chunk.Chunk{Kind: chunk.EOF, Conn: 1, Dir: chunk.Sent})
	require.Equal(t, []string{"1: GET /a 200 0/9"}, w.calls)
	w.hand(chunk.Chunk{Kind: chunk.Close, Conn: 1})
	w.hand(chunk.Chunk{Kind: chunk.Close, Conn: 1})
	require.Zero(t, w.Stats.Open.Load())
	w.finish(t)
}

func TestACallThatLastsIsReportedWhileItDoes(t *testing.T) {
	w := newWorld(Config{})
	w.in(1, get)
	w.out(1, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")
	w.tick(second)
	require.Empty(t, w.calls)
	w.tick(second)
	require.Equal(t, []string{"1: GET /a 200 0/1 open"}, w.calls)
	w.out(1, "b")
	w.tick(9 * second)
	w.tick(second)
	w.tick(10 * second) // nothing new: no report
	w.out(1, "c")
	require.Equal(t, []string{"1: GET /a 200 0/1 open", "1: GET /a 200 0/2 progress", "1: GET /a 200 0/3"}, w.calls)
	w.finish(t)
}

func TestSilentConnectionsAreDropped(t *testing.T) {
	w := newWorld(Config{})
	w.in(1, get)
	w.in(2, "SSH-2.0-x\r\n")
	w.tick(6 * 60 * second)
	require.EqualValues(t, 1, w.Stats.Open.Load(), "undecoded ones after 5 minutes")
	w.tick(25 * 60 * second)
	require.Zero(t, w.Stats.Open.Load(), "decoded ones after 30")
	require.Equal(t, []string{"1: GET /a 0 0/0 open", "1: GET /a 0 0/0"}, w.calls)
	w.finish(t)
}

func TestCloseEndsConnectionsInTheOrderOfTheirActivity(t *testing.T) {
	w := newWorld(Config{})
	for id := chunk.ConnID(1); id <= 50; id++ {
		w.in(id, get)
	}
	w.at += 2 * second
	w.out(1, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
	w.finish(t)
	require.Len(t, w.calls, 50)
	require.Equal(t, "2: GET /a 0 0/0", w.calls[0])
	require.Equal(t, "1: GET /a 200 0/0", w.calls[49])
}

func TestAFloodOfHalfOpenConnectionsIsBoundedAndHonestTrafficGoesOn(t *testing.T) {
	const bound = 16 << 20
	w := newWorld(Config{Memory: bound})
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const honest = 1 << 40
	for id := chunk.ConnID(1); id <= 100_000; id++ {
		w.in(id, "GET /"+strings.Repeat("a", int(id%700))) // a request line that does not end
		require.LessOrEqual(t, w.memory, bound+perConn)
		if id%100 == 0 {
			w.at += second / 10
			w.in(honest, get)
			w.out(honest, ok)
		}
	}
	require.Len(t, w.calls, 1000)
	require.NotZero(t, w.Stats.Evicted.Load())
	runtime.GC()
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(2*bound), "what is accounted for is what is used")
	e := w.finish(t)
	require.NotZero(t, e.Bytes.Lost["conn_budget"])
}

func TestWaitingRequestsOfManyConnectionsAreBounded(t *testing.T) {
	const bound = 8 << 20
	w := newWorld(Config{Memory: bound})
	for id := chunk.ConnID(1); id <= 2000; id++ {
		w.in(id, "GET / HTTP/1.1\r\nA: "+strings.Repeat("a", 15000)+"\r\n\r\n")
		require.LessOrEqual(t, w.memory, bound+perConn)
	}
	w.finish(t)
	require.Len(t, w.calls, 2000, "each request leaves, with or without a status")
}

func TestOneConnectionCannotTakeAllMemory(t *testing.T) {
	w := newWorld(Config{})
	w.in(2, get)
	for range 1000 {
		w.in(1, "GET / HTTP/1.1\r\nA: "+strings.Repeat("a", 15000)+"\r\n\r\n")
		require.LessOrEqual(t, w.memory, perConn+4*fixed)
	}
	w.out(2, ok)
	w.finish(t)
	require.Len(t, w.calls, 1001)
	require.Contains(t, w.calls, "2: GET /a 200 0/2")
}

func TestUndecodedConnectionsAreDroppedBeforeOthers(t *testing.T) {
	w := newWorld(Config{Memory: 10 * fixed})
	w.in(1, get)
	w.out(1, ok)
	for id := chunk.ConnID(2); id < 40; id++ {
		w.in(id, "SSH-2.0-x\r\n")
	}
	require.NotZero(t, w.Stats.Evicted.Load())
	w.in(1, get)
	w.out(1, ok)
	require.Len(t, w.calls, 2)
	w.finish(t)
}

func TestADroppedConnectionIsJoinedAnew(t *testing.T) {
	w := newWorld(Config{})
	w.in(1, get)
	w.out(1, ok)
	w.evict(w.conns[1])
	w.in(1, get)
	w.out(1, ok)
	require.Equal(t, []string{"1: GET /a 200 0/2", "1: GET /a 200 0/2"}, w.calls)
	w.finish(t)
}

// FuzzTable hands over any sequence of chunks of three connections and holds the table to its ledger and its bounds.
func FuzzTable(f *testing.F) {
	f.Add([]byte(get+get), []byte(ok+ok), []byte{0, 200, 1, 200, 0, 200, 1, 200}, uint8(0))
	f.Add([]byte(get+"x"), []byte("SSH-2.0-x\r\n"+ok), []byte{1, 9, 0, 99, 4, 5, 65, 77, 8, 1, 9, 0, 12, 9, 0, 0}, uint8(2))
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"+get), []byte("\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"+ok), []byte{0, 3, 1, 2, 0, 10, 1, 10, 0, 99, 1, 99}, uint8(2))
	f.Add([]byte("CONNECT a:1 HTTP/1.1\r\n\r\n\x16\x03\x01"), []byte("HTTP/1.1 200 k\r\n\r\n\x16"), []byte{0, 200, 1, 200, 1, 3}, uint8(1))
	f.Fuzz(func(t *testing.T, q, r, order []byte, kind uint8) {
		w := newWorld(Config{Memory: 4 << 10, Tail: 1 << 10, Sniff: 1 << 10, Recording: kind&16 != 0})
		w.role, w.flags = chunk.Role(kind%3), chunk.Flags(kind>>2&2)
		for i := 0; i+1 < len(order) && i < 256; i += 2 {
			o, n := order[i], int(order[i+1])
			d, id := chunk.Dir(o&1), chunk.ConnID(o>>1&3)
			b := q
			if d == chunk.Sent {
				b = r
			}
			if p := w.pos[id]; p != nil {
				b = b[min(len(b), int(p[d]%uint64(len(b)+1))):]
			}
			b = b[:min(n, len(b))]
			switch o >> 3 {
			case 1:
				w.hand(chunk.Chunk{Kind: chunk.EOF, Conn: id, Dir: d})
			case 2:
				w.hand(chunk.Chunk{Kind: chunk.Close, Conn: id})
			case 3:
				w.tick(event.Time(n) * second)
			case 4:
				if w.pos[id] != nil {
					w.skip(id, d, n<<(n&15))
				}
			case 5: // a step back
				if p := w.pos[id]; p != nil {
					w.hand(chunk.Chunk{Conn: id, Dir: d, Pos: p[d] - min(p[d], uint64(n)), Len: uint64(len(b)), Data: b})
				}
			case 6:
				w.data(id, d, string(b), n)
			case 7:
				w.hand(chunk.Chunk{Conn: id, Dir: d, Pos: uint64(n), Len: uint64(len(b)), Data: b, Flags: chunk.Flags(n)})
			default:
				w.data(id, d, string(b), 0)
			}
			if w.memory > 4<<10+perConn {
				t.Fatalf("holds %d bytes", w.memory)
			}
		}
		w.finish(t)
	})
}

const (
	wrkRequest    = "GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: wrk\r\n\r\n"
	nginxResponse = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 12\r\n" +
		"Last-Modified: Mon, 23 Nov 2026 10:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"6565\"\r\nAccept-Ranges: bytes\r\n\r\nhello world\n"
)

// pairs returns a function that hands one request and its response on one of n connections, in turn.
func pairs(n int) (step func(), calls *int) {
	calls = new(int)
	t := New(Config{Protocols: []proto.Protocol{http1.New(http1.Config{})}, Emitter: emitter(func(_ *proto.Conn, x *proto.Exchange) {
		if x.Status == 200 && x.Res.Bytes == 12 {
			*calls++
		}
	})})
	q, r := []byte(wrkRequest), []byte(nginxResponse)
	pos := make([][2]uint64, n)
	c := chunk.Chunk{Role: chunk.Server, Local: serverAddr, Remote: clientAddr}
	i := 0
	return func() {
		p := &pos[i%n]
		c.Conn, c.Time = chunk.ConnID(i%n), event.Time(i)*10_000
		c.Dir, c.Pos, c.Len, c.Data = chunk.Received, p[0], uint64(len(q)), q
		t.Chunk(&c)
		c.Dir, c.Pos, c.Len, c.Data = chunk.Sent, p[1], uint64(len(r)), r
		t.Chunk(&c)
		p[0] += uint64(len(q))
		p[1] += uint64(len(r))
		i++
	}, calls
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	step, calls := pairs(16)
	for range 64 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(1000, step))
	require.Equal(t, 64+1001, *calls)
}

func BenchmarkPair(b *testing.B) {
	for _, n := range []int{1, 16, 10_000} {
		b.Run(fmt.Sprintf("conns=%d", n), func(b *testing.B) {
			step, calls := pairs(n)
			b.SetBytes(int64(len(wrkRequest) + len(nginxResponse)))
			b.ReportAllocs()
			done := 0
			for b.Loop() {
				step()
				done++
			}
			if *calls != done {
				b.Fatalf("%d calls of %d", *calls, done)
			}
		})
	}
}
