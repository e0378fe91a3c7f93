// Package proto is the contract between the connection table and the protocol parsers.
//
// In: bytes and gaps of one connection, both directions, in order. Out: Exchanges, through an Emitter. A parser never
// reads the clock, never imports another parser, and is bounded in memory and in time per byte whatever the bytes are.
package proto

import (
	"errors"
	"net/netip"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Dir is the direction of bytes by their meaning.
type Dir uint8

// Request bytes go from client to server.
const (
	Request Dir = iota
	Response
)

// Parser decodes both directions of one connection and emits Exchanges.
//
// Feed takes the next bytes of one direction; b is borrowed until return. It uses the first used ≤ len(b) bytes; the
// table hands the rest again together with what follows, once at least need unread bytes are there (0: any more) or the
// direction ends. A non-nil error ends parsing of this connection.
type Parser interface {
	Feed(d Dir, b []byte, at event.Time) (used, need int, err error)
	// Gap says that the next n bytes of d are lost, for the reason why: resynchronise, count them into the body that
	// they are part of, or give up.
	Gap(d Dir, n uint64, why chunk.Why)
	// End says that d will carry no more bytes.
	End(d Dir, at event.Time)
	// Tick emits the progress of calls that last.
	Tick(at event.Time)
	// Close flushes what is unanswered. The parser is not used again.
	Close(at event.Time)
}

// Conn is what is known of a connection. It is owned by the table; parsers and emitters may read it until Close.
type Conn struct {
	ID             chunk.ConnID
	Client, Server netip.AddrPort
	Side           event.Side // SideUnknown for a recording taken between the ends
	Opened         event.Time // first chunk
	PID            uint32     // of the local process, as of the newest chunk
	PeerPID        uint32     // process at the other end, where that is on this host; 0 unknown
	Cgroup         uint64
	NetNS          uint32
	TLS            *event.TLSFacts // nil: plaintext
	TakenOver      bool            // older than the source
	Covered        bool            // a client side whose server side is seen too
	// Told marks a call that a log or a HAR file tells of: nothing is known of its connection but what is set here. Its
	// encryption is unknown unless TLS is set.
	Told bool
	// Service is the callee's name where the source has a better one than the address ("" otherwise).
	Service string
	// Ext is for the emitter's use (what it worked out about this connection once). The table never reads it, and clears it
	// when the connection is gone.
	Ext any

	// Held is how many bytes of memory the parser holds for this connection. The parser sets it, the table reads it.
	Held int
	// Unused is what the parser used of its input without showing it in an Exchange, since the table last asked. The parser
	// adds, the table reads and clears.
	Unused Unused
}

// Unused counts input that no Exchange shows.
type Unused struct {
	Orphan  uint64 // bytes of responses whose request was not seen
	Resync  uint64 // bytes skipped while looking for the next message
	Orphans uint64 // responses whose request was not seen
}

// ErrPass ends parsing of a connection that from here on speaks nothing that gnomon decodes (after CONNECT, 101).
var ErrPass = errors.New("the connection switched to a protocol that is not decoded")

// Verdict is what a Protocol thinks of the first bytes of a connection.
type Verdict uint8

// NotYet: more bytes may tell. Never: whatever follows, it is another protocol.
const (
	NotYet Verdict = iota
	Yes
	Never
)

// Protocol recognises a protocol and makes its parsers. One shard owns it: it is not safe for concurrent use, so that its
// parsers can share buffers without locks.
type Protocol interface {
	// Sniff judges b, the bytes of direction d from the connection's first one on. With mid they begin anywhere in the
	// stream. It is asked again with more bytes while it says NotYet, and must be cheap for any b up to 64 KiB.
	Sniff(d Dir, b []byte, mid bool) Verdict
	// New returns a parser for c, which gives its Exchanges to e. With mid either direction may begin anywhere.
	New(c *Conn, e Emitter, mid bool) Parser
}

// Field is one header field as sent; a repeated name gives repeated fields.
type Field struct {
	Name, Value []byte
}

// Message is one direction of an Exchange.
type Message struct {
	Fields   []Field // header fields in order, capped (Cut says so); values without surrounding white space
	Trailers []Field
	Body     []byte // the captured prefix of the body after removing transfer framing; may be shorter than Bytes
	Bytes    int64  // body bytes as sent, without framing, with what gaps lost counted in
	Lost     int64  // of Bytes, how many were not seen; where the head was lost too, all that is known to be lost
	Why      chunk.Why
	Cut      bool // fields or their values were dropped for a bound
	Open     bool // the end of the message was not seen
}

// Exchange is one request with its response, raw. It is borrowed: valid until Emit returns. It never leaves the node:
// agent/redact turns it into an event.Call.
type Exchange struct {
	Seq      uint64 // ordinal of the request on its connection (or stream id)
	Rev      uint32
	State    event.State
	Protocol event.Protocol

	Method []byte
	Target []byte // as sent: origin, absolute, authority or asterisk form (RFC 9112 section 3.2)
	Host   []byte // the effective one: absolute-form target's authority before the Host field (RFC 9112 section 3.2.2)

	Status   int    // 0: no response seen
	Upgrade  []byte // protocol switched to after 101 or a 2xx to CONNECT ("tunnel")
	Req, Res Message

	Start     event.Time // first byte of the request
	ReqEnd    event.Time // last byte of the request, 0 if not seen
	FirstByte event.Time // first byte of the final response, 0 if none
	End       event.Time // last byte of the response, or the time of this emission
	Signs     Signs
}

// Signs are shapes of a message that attackers use or that make parsers disagree.
type Signs uint32

// The signs that parsers see. RFC 9112 sections in parentheses.
const (
	SignBothLengths    Signs = 1 << iota // Content-Length and Transfer-Encoding (6.3)
	SignLengthConflict                   // differing Content-Length values (6.3)
	SignBadChunk                         // a chunk size that is no hexadecimal number, or too large (7.1)
	SignSpaceColon                       // white space before a field's colon (5.1)
	SignObsFold                          // a folded field (5.2)
	SignBareLF                           // a line ended by LF alone (2.2)
	SignBareCR                           // CR without LF inside a line
	SignNul                              // NUL in a field
	SignBadVersion                       // a version other than HTTP/1.0 or 1.1
	SignHostConflict                     // several Host fields, or one that differs from the target (3.2)
	SignTE                               // a Transfer-Encoding that is not exactly "chunked" at the end (6.1)
	SignBodyOnGet                        // a body where it has no meaning
	SignJunk                             // bytes between messages
)

// Emitter takes what parsers find. Conn and Exchange are borrowed.
type Emitter interface {
	Emit(*Conn, *Exchange)
}
