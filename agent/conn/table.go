package conn

import (
	"errors"
	"net/netip"
	"unsafe"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// state of a connection, in the order in which connections are dropped at the bound of memory.
type state uint8

const (
	undecoded state = iota // nothing is kept but positions
	sniffing               // not recognised yet
	decoding
	states
)

const (
	// fixed is what a connection costs without any bytes: the struct and its place in the map.
	fixed = int(unsafe.Sizeof(conn{})) + 32
	// perConn bounds one connection: half of it is 1,000 requests of 1 KiB that wait for their responses.
	perConn = 2 << 20
	// midWindow is how much of a stream joined in the middle is kept while no message start was found: the longest line
	// tail that parsers look at, with the beginning of the line after it.
	midWindow = 12 << 10
	// forGuess is how much is kept of a direction that speaks nothing known, until it is known of the other one.
	forGuess = 64
	// touchEvery is how fine the order of activity is: moving a connection to the front for each chunk cost 30 ns with
	// 10,000 connections.
	touchEvery = event.Time(1e9)
)

// conn is one connection.
type conn struct {
	pc       proto.Conn
	parser   proto.Parser
	dir      [2]stream // by chunk.Dir
	state    state
	role     chunk.Role
	requests chunk.Dir     // direction of requests, once decoding
	reason   ledger.Reason // undecoded: why
	guess    Guess
	mid      bool // the start of a stream was not seen
	plain    bool // the chunks are plaintext seen inside TLS
	socks    bool // whether a SOCKS handshake came first is settled
	gone     bool // no longer in the table
	local    netip.AddrPort
	remote   netip.AddrPort

	cost          int
	last, touched event.Time
	prev, next    *conn
}

// stream is one direction.
type stream struct {
	pos     uint64 // of the next byte
	tail    []byte // came, not yet used; from Table.buffers
	need    int    // unread bytes worth another call
	first   event.Time
	pending uint64 // chunks that wait for recognition
	sniffed int    // bytes looked at while joining in mid-stream
	skipped uint64 // bytes after tail that were not kept
	started bool
	ended   bool
	never   bool // speaks nothing known
}

// Table is the connection table of one shard. It implements chunk.Handler.
type Table struct {
	cfg   Config
	Stats Stats

	conns   map[chunk.ConnID]*conn
	recent  *conn // of the chunk before: requests and responses alternate on one connection
	lists   [states]list
	memory  int
	now     event.Time
	spare   []*conn
	buffers [][]byte
}

// New returns an empty Table.
func New(cfg Config) *Table {
	t := &Table{cfg: cfg.withDefaults(), conns: map[chunk.ConnID]*conn{}}
	for i := range t.lists {
		t.lists[i].init()
	}
	return t
}

// Chunk implements chunk.Handler. c is not kept.
func (t *Table) Chunk(c *chunk.Chunk) {
	t.now = max(t.now, c.Time)
	if c.Kind == chunk.Tick {
		t.tick()
		return
	}
	k := t.recent
	if k == nil || k.pc.ID != c.Conn {
		if k = t.conns[c.Conn]; k == nil {
			if c.Kind != chunk.Data {
				return
			}
			k = t.open(c)
		}
		t.recent = k
	}
	k.last = c.Time
	if t.now-k.touched >= touchEvery {
		k.touched = t.now
		t.lists[k.state].touch(k)
	}
	if c.PID != 0 {
		k.pc.PID = c.PID
	}
	if c.PeerPID != 0 {
		k.pc.PeerPID = c.PeerPID
	}
	if c.Flags != 0 {
		t.flags(k, c)
	}
	switch c.Kind {
	case chunk.Data:
		t.data(k, c)
	case chunk.EOF:
		t.eof(k, c.Dir, c.Time)
	case chunk.Close:
		t.drop(k, c.Time, ledger.Incomplete)
		return
	}
	if k.gone {
		return
	}
	if t.weigh(k); k.cost > perConn {
		t.evict(k)
	}
	for t.memory > t.cfg.Memory {
		t.evict(t.leastUseful())
	}
}

func (t *Table) open(c *chunk.Chunk) *conn {
	var k *conn
	if n := len(t.spare); n > 0 {
		k, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		k = new(conn)
	}
	*k = conn{
		pc: proto.Conn{
			ID: c.Conn, Opened: c.Time, PID: c.PID, Cgroup: c.Cgroup, NetNS: c.NetNS,
			TakenOver: c.Flags&chunk.TakenOver != 0,
		},
		state: sniffing, role: c.Role, local: c.Local, remote: c.Remote, touched: t.now,
	}
	if k.mid = k.pc.TakenOver; k.mid {
		t.Stats.TakenOver.Add(1)
	}
	t.conns[c.Conn] = k
	t.lists[sniffing].push(k)
	t.Stats.Opened.Add(1)
	t.Stats.Open.Add(1)
	return k
}

// flags acts on what the source says of a connection beside its bytes.
func (t *Table) flags(k *conn, c *chunk.Chunk) {
	if c.Flags&chunk.EndCovered != 0 && !k.pc.Covered {
		k.pc.Covered = true
		t.stop(k, ledger.Covered, Silent)
	}
	if c.Flags&chunk.Plain != 0 && !k.plain && !k.pc.Covered {
		t.stop(k, ledger.NotDecoded, TLS) // what came before was ciphertext
		k.plain = true
		k.pc.TLS = new(event.TLSFacts)
		k.dir[0], k.dir[1] = stream{}, stream{}
		k.mid = k.pc.TakenOver
		t.move(k, sniffing)
	}
	if c.Flags&(chunk.Encrypted|chunk.Plain) == chunk.Encrypted && !k.plain && k.state != undecoded {
		t.stop(k, ledger.NotDecoded, TLS)
	}
}

// data takes a Data chunk: duplicates go, jumps become gaps, the rest is handed on.
func (t *Table) data(k *conn, c *chunk.Chunk) {
	l := t.cfg.Ledger
	if k.plain && c.Flags&chunk.Plain == 0 {
		l.Bytes.Lose(ledger.NotDecoded, uint64(len(c.Data)))
		l.Chunks.Lose(ledger.NotDecoded, 1)
		return
	}
	s := &k.dir[c.Dir]
	b := c.Data
	length := max(c.Len, uint64(len(b)))
	if !s.started {
		s.started, s.first = true, c.Time
		if c.Pos > 0 && (k.state != decoding || k.mid) {
			s.pos, k.mid = c.Pos, true
		}
	}
	switch {
	case c.Pos < s.pos:
		over := min(s.pos-c.Pos, length)
		cut := min(over, uint64(len(b)))
		l.Bytes.Lose(ledger.Duplicate, cut)
		if over == length && length > 0 {
			l.Chunks.Lose(ledger.Duplicate, 1)
			return
		}
		b, length = b[cut:], length-over
	case c.Pos > s.pos:
		why := chunk.WhyRingFull
		if t.cfg.Recording {
			why = chunk.WhyMissing
		}
		t.gap(k, c.Dir, c.Pos-s.pos, why)
		s.pos = c.Pos
	}
	s.pos += length
	switch k.state {
	case decoding:
		l.Chunks.Deliver(1)
		if len(b) > 0 {
			t.feed(k, c.Dir, b, c.Time)
		}
	case sniffing:
		s.pending++
		t.sniff(k, c.Dir, b, c.Time)
	case undecoded:
		l.Chunks.Lose(k.reason, 1)
		l.Bytes.Lose(k.reason, uint64(len(b)))
		t.Stats.Bytes[k.guess].Add(uint64(len(b)))
	}
	if n := length - uint64(len(b)); n > 0 {
		t.gap(k, c.Dir, n, c.Why)
	}
}

// gap takes n bytes that passed and were not seen.
func (t *Table) gap(k *conn, d chunk.Dir, n uint64, why chunk.Why) {
	s := &k.dir[d]
	n = min(n, 1<<48) // more is a fault of the source; sums of it must not overflow
	switch k.state {
	case decoding:
		t.lose(s, ledger.Resync)
		k.parser.Gap(k.way(d), n, why)
	case sniffing:
		k.mid = true
		if s.never {
			s.skipped += n
		} else {
			t.lose(s, ledger.NotDecoded)
		}
	}
}

// way is what d means.
func (k *conn) way(d chunk.Dir) proto.Dir {
	if d == k.requests {
		return proto.Request
	}
	return proto.Response
}

// feed hands b to the parser, behind what is kept.
func (t *Table) feed(k *conn, d chunk.Dir, b []byte, at event.Time) {
	s := &k.dir[d]
	var used int
	if len(s.tail) == 0 {
		used = t.offer(k, s, d, b, at)
		if k.state == decoding && used < len(b) {
			t.keep(s, b[used:])
		} else if used < len(b) {
			t.cfg.Ledger.Bytes.Lose(k.reason, uint64(len(b)-used))
		}
	} else {
		t.keep(s, b)
		used = t.again(k, d, at)
	}
	// What one direction said may be what the other waited for: the answer to CONNECT.
	for o := d.Other(); used > 0 && k.state == decoding && len(s.tail)+len(k.dir[o].tail) > 0; {
		used = t.again(k, o, at)
		used += t.again(k, d, at)
	}
	if k.state == decoding && len(s.tail) > t.cfg.Tail {
		n := uint64(len(s.tail))
		t.lose(s, ledger.ConnBudget)
		k.parser.Gap(k.way(d), n, chunk.WhyBudget)
	}
}

// again offers what is kept of d.
func (t *Table) again(k *conn, d chunk.Dir, at event.Time) int {
	s := &k.dir[d]
	if len(s.tail) == 0 || len(s.tail) < s.need || k.state != decoding {
		return 0
	}
	used := t.offer(k, s, d, s.tail, at)
	if len(s.tail) > 0 { // 0: parsing has ended
		t.discard(s, used)
	}
	return used
}

// offer calls the parser and accounts for what it used.
func (t *Table) offer(k *conn, s *stream, d chunk.Dir, b []byte, at event.Time) int {
	used, need, err := k.parser.Feed(k.way(d), b, at)
	s.need = need
	t.account(k, uint64(used))
	if err != nil {
		t.discardUsed(s, b, used)
		if errors.Is(err, proto.ErrPass) {
			t.stop(k, ledger.NotDecoded, Tunnel)
		} else {
			t.stop(k, ledger.ParserGaveUp, Unknown)
		}
	}
	return used
}

func (t *Table) account(k *conn, used uint64) {
	l := t.cfg.Ledger
	if u := k.pc.Unused; u != (proto.Unused{}) {
		k.pc.Unused = proto.Unused{}
		l.Bytes.Lose(ledger.Orphan, u.Orphan)
		l.Bytes.Lose(ledger.Resync, u.Resync)
		l.Calls.Capture(u.Orphans)
		l.Calls.Lose(ledger.Orphan, u.Orphans)
		used -= u.Orphan + u.Resync
	}
	l.Bytes.Deliver(used)
}

// sniff looks at the first bytes of a connection.
func (t *Table) sniff(k *conn, d chunk.Dir, b []byte, at event.Time) {
	s := &k.dir[d]
	if s.never {
		t.cfg.Ledger.Bytes.Lose(ledger.NotDecoded, uint64(len(b)))
		t.cfg.Ledger.Chunks.Lose(ledger.NotDecoded, 1)
		s.pending--
		s.skipped += uint64(len(b))
		return
	}
	if len(b) == 0 {
		return
	}
	t.keep(s, b)
	s.sniffed += len(b)
	if k.mid && s.sniffed == len(b) && guess(b, nil) == TLS { // else 256 KiB of each such connection would be looked through
		t.setNever(k, d)
		return
	}
	if t.passSocks(k) {
		return
	}
	if len(s.tail) > 0 {
		t.recognise(k, d, at)
	}
	if o := &k.dir[d.Other()]; k.state == sniffing && k.socks && !o.never && len(o.tail) > 0 {
		t.recognise(k, d.Other(), at)
	}
}

// recognise asks the protocols about what is kept of d.
func (t *Table) recognise(k *conn, d chunk.Dir, at event.Time) {
	s := &k.dir[d]
	never := true
	for _, way := range [...]proto.Dir{proto.Request, proto.Response} {
		requests := d
		if way == proto.Response {
			requests = d.Other()
		}
		if k.role == chunk.Server && requests != chunk.Received || k.role == chunk.Client && requests != chunk.Sent {
			continue
		}
		for _, p := range t.cfg.Protocols {
			switch p.Sniff(way, s.tail, k.mid) {
			case proto.Yes:
				t.start(k, p, requests, at)
				return
			case proto.NotYet:
				never = false
			}
		}
	}
	if k.mid {
		never = never || s.sniffed > t.cfg.Sniff
		if n := len(s.tail) - midWindow; n > 0 && !never {
			t.cfg.Ledger.Bytes.Lose(ledger.NotDecoded, uint64(n))
			t.discard(s, n)
		}
	}
	if !never && len(s.tail) <= t.cfg.Tail {
		return
	}
	t.setNever(k, d)
}

// setNever is called when direction d speaks nothing known.
func (t *Table) setNever(k *conn, d chunk.Dir) {
	s := &k.dir[d]
	s.never = true
	if n := len(s.tail) - forGuess; n > 0 {
		t.cfg.Ledger.Bytes.Lose(ledger.NotDecoded, uint64(n))
		s.tail = s.tail[:forGuess]
		s.skipped += uint64(n)
	}
	// The client's word counts: a server may speak first, and something else, and the client HTTP all the same.
	if o := &k.dir[d.Other()]; o.never || !k.mid && (k.role == chunk.Server && d == chunk.Received || k.role == chunk.Client && d == chunk.Sent) {
		t.stop(k, ledger.NotDecoded, t.guess(k))
	}
}

func (t *Table) guess(k *conn) Guess {
	client := chunk.Received
	if k.role == chunk.Client {
		client = chunk.Sent
	}
	return guess(k.dir[client].tail, k.dir[client.Other()].tail)
}

// SetRecording changes Config.Recording for the connections from now on.
func (t *Table) SetRecording(on bool) { t.cfg.Recording = on }

// start begins to decode k.
func (t *Table) start(k *conn, p proto.Protocol, requests chunk.Dir, at event.Time) {
	k.requests = requests
	if requests == chunk.Received {
		k.pc.Client, k.pc.Server, k.pc.Side = k.remote, k.local, event.SideServer
	} else {
		k.pc.Client, k.pc.Server, k.pc.Side = k.local, k.remote, event.SideClient
	}
	if t.cfg.Recording {
		k.pc.Side = event.SideUnknown
	}
	t.Stats.Decoded.Add(1)
	k.parser = p.New(&k.pc, t.cfg.Emitter, k.mid)
	t.move(k, decoding)
	order := [...]chunk.Dir{requests, requests.Other()}
	if o := &k.dir[order[1]]; o.started && o.first < k.dir[order[0]].first {
		order[0], order[1] = order[1], order[0]
	}
	for _, d := range order {
		s := &k.dir[d]
		t.cfg.Ledger.Chunks.Deliver(s.pending)
		s.pending = 0
	}
	for _, d := range order {
		s := &k.dir[d]
		if k.state == decoding && len(s.tail) > 0 {
			t.again(k, d, at)
		}
		if k.state == decoding && s.skipped > 0 {
			t.lose(s, ledger.Resync)
			k.parser.Gap(k.way(d), s.skipped, chunk.WhyBudget)
		}
		if s.ended && k.state == decoding {
			s.ended = false
			t.eof(k, d, at)
		}
	}
}

// eof ends direction d.
func (t *Table) eof(k *conn, d chunk.Dir, at event.Time) {
	s := &k.dir[d]
	if s.ended {
		return
	}
	s.ended = true
	if k.state != decoding {
		return
	}
	if s.need = 0; len(s.tail) > 0 {
		t.again(k, d, at)
	}
	if k.state == decoding {
		t.lose(s, ledger.Incomplete)
		k.parser.End(k.way(d), at)
	}
}

// stop ends decoding, or the attempt to recognise k: from here on nothing is kept of it.
func (t *Table) stop(k *conn, why ledger.Reason, g Guess) {
	if k.state == sniffing {
		for _, s := range k.dir {
			t.Stats.Bytes[g].Add(uint64(len(s.tail)) + s.skipped)
		}
	}
	t.finish(k, k.last, why)
	if k.state == undecoded {
		k.reason = why
		return
	}
	k.reason, k.guess = why, g
	if why != ledger.Covered {
		t.Stats.Undecoded[g].Add(1)
		if t.cfg.Stopped != nil {
			t.cfg.Stopped(k.pc.ID)
		}
	}
	t.move(k, undecoded)
}

// finish closes k's parser and accounts for what was not used.
func (t *Table) finish(k *conn, at event.Time, why ledger.Reason) {
	for d := range k.dir {
		s := &k.dir[d]
		if k.state != decoding {
			t.cfg.Ledger.Chunks.Lose(why, s.pending)
			s.pending = 0
		}
		t.lose(s, why)
	}
	if k.parser != nil {
		k.parser.Close(at)
		k.parser = nil
		k.pc.Held = 0
	}
}

// drop takes k out of the table.
func (t *Table) drop(k *conn, at event.Time, why ledger.Reason) {
	if k.state == sniffing {
		g := t.guess(k)
		if why == ledger.Incomplete {
			why = ledger.NotDecoded
		}
		t.Stats.Undecoded[g].Add(1)
		t.Stats.Bytes[g].Add(uint64(len(k.dir[0].tail) + len(k.dir[1].tail)))
	}
	t.finish(k, at, why)
	t.lists[k.state].remove(k)
	delete(t.conns, k.pc.ID)
	t.memory -= k.cost
	t.Stats.Memory.Store(int64(t.memory))
	t.Stats.Open.Add(-1)
	if t.recent == k {
		t.recent = nil
	}
	*k = conn{gone: true}
	if len(t.spare) < 1024 {
		t.spare = append(t.spare, k)
	}
}

func (t *Table) move(k *conn, s state) {
	t.lists[k.state].remove(k)
	k.state = s
	t.lists[s].push(k)
}

// weigh brings the count of memory up to date with k.
func (t *Table) weigh(k *conn) {
	cost := fixed + k.pc.Held + cap(k.dir[0].tail) + cap(k.dir[1].tail)
	if cost != k.cost {
		t.memory += cost - k.cost
		k.cost = cost
		t.Stats.Memory.Store(int64(t.memory))
	}
}

func (t *Table) leastUseful() *conn {
	for i := range t.lists {
		if k := t.lists[i].oldest(); k != nil {
			return k
		}
	}
	return nil
}

func (t *Table) evict(k *conn) {
	t.Stats.Evicted.Add(1)
	t.drop(k, t.now, ledger.ConnBudget)
}

// tick lets parsers report what lasts, and drops what has been silent for long.
func (t *Table) tick() {
	for k := t.lists[decoding].head.prev; k != &t.lists[decoding].head; k = k.prev {
		k.parser.Tick(t.now)
		t.weigh(k)
	}
	for i := range t.lists {
		idle := event.Time(t.cfg.Idle)
		if state(i) == undecoded {
			idle = event.Time(t.cfg.IdleUndecoded)
		}
		for k := t.lists[i].oldest(); k != nil && t.now-k.last > idle && t.now-k.touched > idle; k = t.lists[i].oldest() {
			t.drop(k, k.last, ledger.Incomplete)
		}
	}
}

// Close ends all connections, those silent the longest first. The Table may be used on.
func (t *Table) Close(at event.Time) {
	t.now = max(t.now, at)
	for i := range t.lists {
		for k := t.lists[i].oldest(); k != nil; k = t.lists[i].oldest() {
			t.drop(k, t.now, ledger.Incomplete)
		}
	}
}
