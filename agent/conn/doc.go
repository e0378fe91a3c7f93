// Package conn keeps the table of connections and their byte streams.
//
// In: the chunks of one shard (it implements chunk.Handler). Out: the bytes and gaps of each connection that speaks a known
// protocol, in order and by direction, into that protocol's parser, which gives its Exchanges to the emitter. It never
// parses beyond recognising a protocol, never reads the clock (time comes with the chunks) and takes no locks: one
// goroutine owns a Table. Only Stats and the ledger may be read from others.
//
// What it keeps: positions, and of the bytes only those that a parser or the detection could not use yet. Memory has a
// bound in total and for each direction; at the bound connections are dropped, those first that are worth least:
// undecoded ones, then those not recognised yet, then decoded ones, each in order of their last activity. A dropped
// connection that goes on is joined anew in mid-stream.
//
// Ledger: the table accounts for each Data chunk and for its len(Data) bytes, as delivered where a parser has used them,
// else as lost for a reason. What a chunk reports without holding it (Len > len(Data), jumps of Pos) was lost at the source
// and is accounted for there. A chunk counts as delivered when a parser was offered it.
package conn

import (
	"time"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/proto"
)

// Config is what a Table needs. Zero numbers take the defaults.
type Config struct {
	// Protocols are asked in order. They belong to this Table alone.
	Protocols []proto.Protocol
	// Emitter takes the Exchanges.
	Emitter proto.Emitter
	// Ledger takes the account of chunks, bytes and responses without requests. Nil: none is kept.
	Ledger *ledger.Ledger
	// Stopped is told of each connection that will not be decoded any more, so that its source can stop sending it. Nil: nobody is.
	Stopped func(chunk.ConnID)
	// Recording says that the chunks were captured between the ends: Conn.Side stays unknown.
	Recording bool

	// Memory is the bound in bytes for connections, what is kept of their streams and what parsers hold. Default 64 MiB,
	// which is 100,000 connections that were opened and say nothing.
	Memory int
	// Tail is the bound in bytes of what is kept of one direction because its parser could not use it yet. Default 68 KiB:
	// the longest start line, 64 KiB, and one more read.
	Tail int
	// Idle is how long a connection may be silent before it is taken to be gone. Default 30 min: sources tell of most ends,
	// so this is only for those whose end was missed.
	Idle time.Duration
	// IdleUndecoded is the same for connections that speak nothing known. Default 5 min.
	IdleUndecoded time.Duration
	// Sniff is how many bytes of a direction that was joined in mid-stream are looked at for the start of a message.
	// Default 256 KiB.
	Sniff int
}

func (c Config) withDefaults() Config {
	if c.Memory <= 0 {
		c.Memory = 64 << 20
	}
	if c.Tail <= 0 {
		c.Tail = 68 << 10
	}
	if c.Idle <= 0 {
		c.Idle = 30 * time.Minute
	}
	if c.IdleUndecoded <= 0 {
		c.IdleUndecoded = 5 * time.Minute
	}
	if c.Sniff <= 0 {
		c.Sniff = 256 << 10
	}
	if c.Ledger == nil {
		c.Ledger = new(ledger.Ledger)
	}
	return c
}
