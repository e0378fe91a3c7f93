// Package chunk is the one thing that every source makes and the connection table takes.
//
// In: what a source saw of a socket or a recording. Out: Chunk values. It never parses and never holds bytes of its own.
package chunk

import (
	"net/netip"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// ConnID names one connection within one life of a source: the kernel's socket cookie, or an ordinal in a recording.
type ConnID uint64

// Dir is the direction of bytes, seen from the local end of the connection. In a recording taken between the ends, the
// local end is the server as far as it is known (Conn.Role says).
type Dir uint8

// Sent bytes left the local socket, Received bytes came to it.
const (
	Received Dir = iota
	Sent
)

// Other is the opposite direction.
func (d Dir) Other() Dir { return d ^ 1 }

// Kind is what a Chunk reports.
type Kind uint8

// The kinds. Only Data has Pos, Len and Data.
const (
	Data  Kind = iota // bytes, or the absence of bytes that are known to have passed
	EOF               // Dir will carry no more bytes (FIN, shutdown)
	Close             // the connection is gone
	Tick              // no connection: time has come to Time; emitted by the source at least once a second
)

// Role is what the local end did to make the connection.
type Role uint8

// Unknown where the birth was not seen; the sniff of first bytes then decides.
const (
	Unknown Role = iota
	Client
	Server
)

// Flags qualify a Chunk.
type Flags uint8

// The flags.
const (
	// Plain marks plaintext seen inside TLS. Its positions are those of the plaintext stream.
	Plain Flags = 1 << iota
	// TakenOver marks a connection older than the source: its first position in each direction is arbitrary.
	TakenOver
	// EndCovered marks a client-side connection whose server side this source sees too; its calls do not count.
	EndCovered
	// Encrypted marks a connection whose wire bytes were recognised as TLS: only Plain chunks will follow, or none.
	Encrypted
)

// Chunk is one event of one connection. It and all that it points to is borrowed: valid until the handler returns.
type Chunk struct {
	Kind  Kind
	Dir   Dir
	Role  Role
	Flags Flags
	Why   Why // for Len > len(Data): why bytes are missing

	Conn ConnID
	// Pos is the position of the first byte in Dir's stream: the count of bytes that this direction carried before.
	// A jump past what came so far is a gap (lost chunks); a step back is a retransmission that the table drops.
	Pos uint64
	// Len is how many bytes passed; Data may hold fewer, and the missing ones are at the end.
	Len  uint64
	Data []byte
	Time event.Time

	Local, Remote netip.AddrPort // unmapped; the same on every chunk of a connection
	PID           uint32         // process (thread group) that made the socket call; 0 unknown
	TID           uint32
	PeerPID       uint32 // process that made the connection's other end, where that is on this host; 0 unknown
	Cgroup        uint64 // cgroup id (v2); 0 unknown
	NetNS         uint32 // network namespace inode; 0 unknown
}

// Why says where bytes went that a Chunk reports but does not hold. It names a reason of the ledger.
type Why uint8

// The reasons a source can give.
const (
	WhyNone     Why = iota
	WhyBudget       // payload budget per socket call
	WhyFault        // the buffer could not be read
	WhySplice       // sendfile or splice: bytes never were in a user buffer
	WhySnaplen      // cut by the recording
	WhyMissing      // segments that the recording lacks
	WhyRingFull     // known lost in the kernel
)

// Handler takes chunks in order of time per connection. It is called from one goroutine at a time.
type Handler interface {
	Chunk(*Chunk)
}

var whyNames = [...]string{"", "payload_budget", "copy_fault", "splice", "snaplen", "missing", "ring_full"}

// String is the name of the ledger's reason.
func (w Why) String() string {
	if int(w) < len(whyNames) {
		return whyNames[w]
	}
	return "missing"
}
