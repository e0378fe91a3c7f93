package tcp

import (
	"net/netip"
	"time"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Config bounds an Assembler. Zero fields take the defaults.
type Config struct {
	// MaxConns is how many connections are remembered, ended ones included. Default 131,072, about 60 MB. At the bound
	// ended ones go first, then those without data, then the one that was silent longest.
	MaxConns int
	// MaxPending bounds the bytes that wait for others, over all connections. Default 64 MiB.
	MaxPending int
	// MaxConnPending bounds them for one connection. Default 4 MiB: a receive window that is often seen on fast links.
	MaxConnPending int
	// HoldPackets is how many further packets of a connection may pass before acknowledged bytes that the recording
	// lacks become a gap. Default 128.
	HoldPackets int
	// HoldTime is the same in packet time. Default 5 s.
	HoldTime time.Duration
	// Idle closes a connection without packets. Default 15 min: a keep-alive connection that goes on after it is taken
	// over anew and loses nothing but a call that was under way.
	Idle time.Duration
	// Embryonic forgets a connection that carried no data. Default 60 s.
	Embryonic time.Duration
	// Linger is how long a reset connection takes late data, and Remember how long an ended one is remembered. Defaults
	// 2 s and 60 s.
	Linger, Remember time.Duration
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	defd := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.MaxConns, 131_072)
	def(&c.MaxPending, 64<<20)
	def(&c.MaxConnPending, 4<<20)
	def(&c.HoldPackets, 128)
	defd(&c.HoldTime, 5*time.Second)
	defd(&c.Idle, 15*time.Minute)
	defd(&c.Embryonic, time.Minute)
	defd(&c.Linger, 2*time.Second)
	defd(&c.Remember, time.Minute)
	return c
}

const (
	maxPieces = 2048     // waiting pieces per direction: bounds what an insertion moves
	lag       = 32       // packets that time lags behind: a recording is in no hurry
	ackWindow = 16 << 20 // an acknowledgement further ahead of what was seen than this is not believed
	rstWindow = 1 << 20  // a reset further off than this is not believed
	origin    = 1 << 40  // internal position of the first byte known of a direction: room for bytes found before it later
	startHold = 4        // HoldPackets/startHold packets are the wait for the start of a direction
)

// Stats counts what an Assembler did. Bytes are payload bytes.
type Stats struct {
	Segments       uint64 `json:"segments"`
	Conns          uint64 `json:"connections"`     // with at least one packet
	MidStream      uint64 `json:"mid_stream"`      // of Conns: the start is not in the recording
	Bytes          uint64 `json:"bytes"`           // handed on as data
	Retransmitted  uint64 `json:"retransmitted"`   // copies of bytes already there
	OutOfOrder     uint64 `json:"out_of_order"`    // segments that had to wait
	Missing        uint64 `json:"missing"`         // bytes reported as a gap
	Gaps           uint64 `json:"gaps"`            //
	Cut            uint64 `json:"cut"`             // bytes cut by the snapshot length
	Resets         uint64 `json:"resets"`          //
	Reused         uint64 `json:"ports_reused"`    // connections that ended because their ports were used anew
	Evicted        uint64 `json:"evicted"`         // forgotten to keep MaxConns
	OverBudget     uint64 `json:"over_budget"`     // gaps declared early to keep the budget of waiting bytes
	AfterEnd       uint64 `json:"after_end"`       // bytes past a FIN or of an ended connection
	Backwards      uint64 `json:"times_backwards"` // packets more than a second older than one before
	PendingHighest uint64 `json:"pending_highest"` // most bytes that waited at once
}

// piece is a part of a segment that waits. end-pos may exceed len(data) when the recording cut it.
type piece struct {
	pos, end uint64
	data     []byte // from the pool
	ack      uint32
	hasAck   bool
	fin      bool
	at       uint32 // the connection's packet count when it came
	time     event.Time
}

// half is one direction.
type half struct {
	base  uint64 // internal position of the first byte of the stream
	next  uint64 // of the next byte to hand on
	seq   uint32 // its sequence number
	isn   uint32
	acked uint64 // highest position that the receiver acknowledged
	top   uint64 // highest position seen
	pend  []piece

	seen     bool // a packet came from this end
	ready    bool // next is right: SYN seen, or the wait for earlier bytes is over
	syn      bool // isn is right
	known    bool // seq is set (provisional while !ready)
	hasLow   bool // ackLow is set
	eof      bool
	ackLow   uint32     // lowest acknowledgement of a direction that is not ready
	waitFrom uint32     // packet count since which something waits here
	waitTime event.Time // and the time
}

type state uint8

const (
	opening state = iota // no data yet
	live
	reset
	ended // remembered only
)

type key struct {
	a, b  Addr
	ports uint64
}

type conn struct {
	key       key
	half      [2]half // 0: from key.a
	id        chunk.ConnID
	pkts      uint32
	state     state
	started   bool // a chunk was handed on
	blocked   bool // in Assembler.blocked
	takenOver bool
	role      chunk.Role
	localIs   uint8 // which half's sender is the local end, from started on
	client    int8  // which half's sender is the client; -1 unknown
	pending   int   // bytes of buffers
	last      event.Time
	touched   event.Time // last, when the connection last moved in its list
	deadline  event.Time // of a reset
	clock     event.Time // of the newest chunk
	addr      [2]netip.AddrPort
	prev, nxt *conn // list
}

// Assembler makes chunks from segments. It is not safe for concurrent use.
type Assembler struct {
	cfg     Config
	out     chunk.Handler
	conns   map[key]*conn
	lists   [4]list // by state, most silent first
	hot     *conn
	blocked []*conn
	pool    pool
	pending int
	ids     chunk.ConnID
	now     event.Time // packet time: the least of the last packets', so that neither a wrong time nor disorder moves it
	recent  [lag]event.Time
	packets uint64
	swept   event.Time // when time-outs were last looked at
	tick    event.Time // that was emitted last
	c       chunk.Chunk
	stats   Stats
}

// New returns an Assembler that hands its chunks to out.
func New(cfg Config, out chunk.Handler) *Assembler {
	a := &Assembler{cfg: cfg.withDefaults(), out: out, conns: make(map[key]*conn)}
	for i := range a.lists {
		a.lists[i].init()
	}
	return a
}

// Stats returns the counts so far.
func (a *Assembler) Stats() Stats { return a.stats }

// Now returns the packet time that was reached.
func (a *Assembler) Now() event.Time { return a.now }

// Segment takes the next segment of the recording.
func (a *Assembler) Segment(s *Segment) {
	a.stats.Segments++
	a.Advance(s.Time)
	k := key{s.Src, s.Dst, uint64(s.SrcPort)<<16 | uint64(s.DstPort)}
	d := 0
	if s.Dst.less(s.Src) || s.Dst == s.Src && s.DstPort < s.SrcPort {
		k = key{s.Dst, s.Src, uint64(s.DstPort)<<16 | uint64(s.SrcPort)}
		d = 1
	}
	c := a.hot
	if c == nil || c.key != k {
		if c = a.conns[k]; c == nil {
			if s.Flags&RST != 0 {
				return // of a connection that is not in the recording
			}
			c = a.add(k)
		}
		a.hot = c
	}
	if c.state == ended {
		if !a.revive(c, d, s) {
			a.stats.AfterEnd += uint64(s.Len)
			return
		}
		c = a.replace(c)
	}
	if s.Flags&SYN != 0 {
		c = a.synchronise(c, d, s)
	}
	c.pkts++
	c.last = s.Time
	if s.Time-c.touched >= event.Time(time.Second) {
		a.lists[c.state].remove(c)
		a.lists[c.state].push(c)
		c.touched = s.Time
	}
	a.data(c, d, s)
}

// data takes sequence and acknowledgement numbers, payload and FIN.
func (a *Assembler) data(c *conn, d int, s *Segment) {
	h, o := &c.half[d], &c.half[d^1]
	h.seen = true
	waits := false // for bytes of the other direction
	if s.Flags&ACK != 0 {
		waits = a.acknowledge(c, o, s.Ack)
	}
	seq := s.Seq
	if s.Flags&SYN != 0 {
		seq++
	}
	if s.Flags&RST != 0 {
		a.resetBy(c, h, s)
		return
	}
	fin := s.Flags&FIN != 0
	if s.Len == 0 && !fin {
		if !h.known && s.Flags&SYN == 0 {
			// A bare acknowledgement tells where its sender's next byte will be, but for a keep-alive one before it.
			if !h.hasLow {
				h.hasLow, h.ackLow = true, seq
			}
		}
		a.settle(c)
		return
	}
	if !h.known {
		h.known, h.seq, h.base, h.next, h.top = true, seq, origin, origin, origin
		if !h.ready {
			h.waitFrom, h.waitTime = c.pkts, s.Time
		}
	}
	pos := h.next + uint64(int64(int32(seq-h.seq)))
	if h.ready && pos == h.next && len(h.pend) == 0 && !waits && !h.eof {
		p := piece{pos: pos, end: pos + uint64(s.Len), data: s.Data, time: s.Time, fin: fin}
		a.deliver(c, d, &p)
		if len(o.pend) > 0 {
			a.settle(c)
		}
		return
	}
	a.keep(c, d, s, pos, fin)
	a.settle(c)
}

// acknowledge notes that h's receiver has h's bytes up to ack, and says whether some of them are still to come.
func (a *Assembler) acknowledge(c *conn, h *half, ack uint32) (waits bool) {
	if !h.ready {
		if !h.hasLow || int32(ack-h.ackLow) < 0 {
			h.hasLow, h.ackLow = true, ack
		}
		return a.unready(c, h, ack)
	}
	n := int64(int32(ack - h.seq))
	if n <= 0 {
		return false
	}
	p := h.next + uint64(n)
	if p > h.top+ackWindow {
		return false
	}
	if p > h.acked {
		h.acked = p
	}
	return n > 1 && a.expected(c, h) && !h.eof // one more may be the FIN
}

// unready says whether bytes before ack are to come of a direction whose start is not known: some wait, or a lower
// acknowledgement came.
func (a *Assembler) unready(c *conn, h *half, ack uint32) bool {
	n := int32(ack - h.ackLow)
	return len(h.pend) > 0 || h.hasLow && n > 1 && n <= ackWindow && a.expected(c, h)
}

// expected says whether packets of h may come: some did, or the connection is so young that the recording may not be
// taken to have one direction only.
func (a *Assembler) expected(c *conn, h *half) bool {
	return h.seen || c.pkts <= uint32(a.cfg.HoldPackets/startHold)
}

// blockedBy says whether p, of direction d, must wait for bytes of the other direction.
func (a *Assembler) blockedBy(c *conn, d int, p *piece) bool {
	o := &c.half[d^1]
	if !p.hasAck || o.eof || !a.expected(c, o) {
		return false
	}
	if !o.ready {
		return a.unready(c, o, p.ack)
	}
	n := int64(int32(p.ack - o.seq))
	return n > 1 && o.next+uint64(n) <= o.top+ackWindow
}

// keep copies what is new of a segment into the pieces that wait, around those that are there: the first copy wins.
func (a *Assembler) keep(c *conn, d int, s *Segment, pos uint64, fin bool) {
	h := &c.half[d]
	end := pos + uint64(s.Len)
	data := s.Data
	if h.ready {
		if h.eof || end < h.next || end == h.next && !fin {
			a.stats.Retransmitted += uint64(s.Len)
			return
		}
		if pos < h.next {
			cut := h.next - pos
			a.stats.Retransmitted += cut
			data = data[min(cut, uint64(len(data))):]
			pos = h.next
		}
	}
	if len(h.pend) == 0 {
		h.waitFrom, h.waitTime = c.pkts, s.Time
	}
	a.stats.OutOfOrder++
	i := len(h.pend)
	for i > 0 && h.pend[i-1].pos > pos {
		i--
	}
	if i > 0 && h.pend[i-1].end > pos {
		i--
	}
	for pos < end || fin {
		stop := end
		if i < len(h.pend) {
			if e := &h.pend[i]; e.pos <= pos && e.end > pos { // there already
				n := min(e.end, end) - pos
				a.stats.Retransmitted += n
				pos += n
				data = data[min(n, uint64(len(data))):]
				if pos == end && e.end == end {
					e.fin = e.fin || fin
					fin = false
				}
				i++
				continue
			}
			stop = min(end, h.pend[i].pos)
		}
		n := stop - pos
		last := stop == end
		if n == 0 && !(last && fin) {
			if last {
				break
			}
			i++
			continue
		}
		if n == 0 && i > 0 && h.pend[i-1].pos == pos && h.pend[i-1].end == pos {
			break // that FIN waits already
		}
		p := piece{pos: pos, end: stop, ack: s.Ack, hasAck: s.Flags&ACK != 0, fin: last && fin, at: c.pkts, time: s.Time}
		p.data = a.pool.copy(data[:min(n, uint64(len(data)))])
		c.pending += cap(p.data) + pieceCost
		a.pending += cap(p.data) + pieceCost
		h.pend = append(h.pend, piece{})
		copy(h.pend[i+1:], h.pend[i:])
		h.pend[i] = p
		data = data[min(n, uint64(len(data))):]
		pos = stop
		i++
		if last {
			break
		}
	}
	h.top = max(h.top, end)
	a.stats.PendingHighest = max(a.stats.PendingHighest, uint64(a.pending))
	if !c.blocked && len(h.pend) > 0 {
		c.blocked = true
		a.blocked = append(a.blocked, c)
	}
	for len(h.pend) > maxPieces || c.pending > a.cfg.MaxConnPending {
		a.stats.OverBudget++
		a.force(c, true)
		a.drain(c)
	}
	for i := 0; i < len(a.blocked) && a.pending > a.cfg.MaxPending; i++ { // the one that waits longest first
		a.stats.OverBudget++
		a.flush(a.blocked[i])
	}
}

// deliver hands on a piece whose turn it is.
func (a *Assembler) deliver(c *conn, d int, p *piece) {
	h := &c.half[d]
	if p.end > p.pos {
		a.start(c)
		n := p.end - p.pos
		a.c.Kind, a.c.Pos, a.c.Len, a.c.Data, a.c.Why = chunk.Data, p.pos-h.base, n, p.data, chunk.WhyNone
		if uint64(len(p.data)) < n {
			a.c.Why = chunk.WhySnaplen
			a.stats.Cut += n - uint64(len(p.data))
		}
		a.stats.Bytes += uint64(len(p.data))
		a.emit(c, d, p.time)
		h.next = p.end
		h.seq += uint32(n)
		h.top = max(h.top, h.next)
	}
	if p.fin && !h.eof {
		h.eof = true
		if c.started {
			a.c.Kind, a.c.Pos, a.c.Len, a.c.Data, a.c.Why = chunk.EOF, h.next-h.base, 0, nil, chunk.WhyNone
			a.emit(c, d, p.time)
		}
		if c.half[d^1].eof {
			a.finish(c, true)
		}
	}
}

// gap reports that the bytes of d up to position to will not come.
func (a *Assembler) gap(c *conn, d int, to uint64, at event.Time) {
	h := &c.half[d]
	if to <= h.next {
		return
	}
	n := to - h.next
	a.start(c)
	a.c.Kind, a.c.Pos, a.c.Len, a.c.Data, a.c.Why = chunk.Data, h.next-h.base, n, nil, chunk.WhyMissing
	a.stats.Missing += n
	a.stats.Gaps++
	a.emit(c, d, at)
	h.next = to
	h.seq += uint32(n)
	h.top = max(h.top, to)
}

func (a *Assembler) emit(c *conn, d int, at event.Time) {
	// A piece that came late may be older than one of the other direction that was not held: time never steps back
	// within a connection.
	c.clock = max(c.clock, at)
	k := &a.c
	k.Conn, k.Role, k.Flags, k.Time = c.id, c.role, 0, c.clock
	if c.takenOver {
		k.Flags = chunk.TakenOver
	}
	k.Dir = chunk.Received
	if uint8(d) == c.localIs {
		k.Dir = chunk.Sent
	}
	k.Local, k.Remote = c.addr[c.localIs], c.addr[c.localIs^1]
	a.out.Chunk(k)
}

// start gives the connection its identity before its first chunk.
func (a *Assembler) start(c *conn) {
	if c.started {
		return
	}
	c.started = true
	a.ids++
	c.id = a.ids
	c.addr[0] = netip.AddrPortFrom(c.key.a.Netip(), uint16(c.key.ports>>16))
	c.addr[1] = netip.AddrPortFrom(c.key.b.Netip(), uint16(c.key.ports))
	if c.client >= 0 {
		c.role, c.localIs = chunk.Server, uint8(c.client)^1
	} else {
		c.role, c.localIs = chunk.Unknown, likelyServer(c.addr[0].Port(), c.addr[1].Port())
		a.stats.MidStream++
	}
	c.takenOver = !c.half[0].syn && !c.half[1].syn
	if c.state == opening {
		a.move(c, live)
	}
}

// likelyServer says which of two ports is the server's, for a connection whose start was not seen. The table's sniff of
// the first bytes has the last word.
func likelyServer(a, b uint16) uint8 {
	rank := func(p uint16) int {
		switch {
		case p == 80 || p == 8080 || p == 8000 || p == 443:
			return 0
		case p < 1024:
			return 1
		case p < 32768:
			return 2
		}
		return 3
	}
	ra, rb := rank(a), rank(b)
	if ra < rb || ra == rb && a < b {
		return 0
	}
	return 1
}
