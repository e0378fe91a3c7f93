// Package http1 decodes HTTP/0.9, 1.0 and 1.1 (RFC 9112) as seen from beside a connection.
//
// In: the bytes and gaps of both directions, in any pieces. Out: one proto.Exchange per request, with the response that
// answers it, through a proto.Emitter; more than one for a call that lasts. Any split of the same bytes gives the same
// Exchanges. It never guesses a pairing that a gap has made unknowable: such a request leaves without a status.
//
// How it reads:
//   - A head is taken line by line. Whole lines are used at once and copied into a pooled buffer in one piece per Feed;
//     only the line that is not complete stays with the caller. A body is used as it comes, its beginning kept.
//   - Framing follows RFC 9112 section 6.3 as a strict recipient would, with a proto.Sign for each shape that recipients
//     are known to read differently. Where the standard has the recipient close the connection, the parser looks for
//     the next message instead, so that what a laxer server serves is seen too.
//   - A gap inside a body of known length, or inside one chunk, is counted into the body. Any other gap makes the parser
//     look for the next start line that is followed by a field line. Bytes passed over are counted (proto.Unused).
//   - In a gap over several chunks it supposes that they are as the one before. Once a chunk-size line is found where that
//     puts one, or the gap ended with the message, the body is counted without the framing that was lost; until then, and
//     where bytes contradict it, with it.
//   - Responses answer requests in order. When responses were lost, the next one answers the newest request if the client
//     waits for its responses. If it pipelines, all that are under way leave without a status, and pairing begins anew
//     with the next batch if the client sends batches, or once the connection was quiet, or requests and responses came
//     in turn for a while.
package http1

import (
	"time"

	"github.com/gnomon-sensor/gnomon/agent/proto"
)

// Config bounds what a parser keeps. Zero fields take the defaults.
type Config struct {
	// BodyPrefix is how many bytes of each body are kept. Default 4096; at most 32768.
	BodyPrefix int
	// Outstanding is how many requests of one connection may wait for their responses. Beyond it they leave without a
	// status. Default 1024.
	Outstanding int
	// Lasting is the age at which a call is reported before it ends. Default 2 s.
	Lasting time.Duration
	// Every is the shortest time between two reports of the progress of a call. Default 10 s.
	Every time.Duration
	// Quiet is how long a connection must rest before requests and responses are paired again after a loss among
	// pipelined ones. Default 200 ms: longer than the time in which most servers answer.
	Quiet time.Duration
}

func (c Config) withDefaults() Config {
	if c.BodyPrefix <= 0 {
		c.BodyPrefix = 4096
	}
	c.BodyPrefix = min(c.BodyPrefix, 32768)
	if c.Outstanding <= 0 {
		c.Outstanding = 1024
	}
	if c.Lasting <= 0 {
		c.Lasting = 2 * time.Second
	}
	if c.Every <= 0 {
		c.Every = 10 * time.Second
	}
	if c.Quiet <= 0 {
		c.Quiet = 200 * time.Millisecond
	}
	return c
}

// What is kept of a head, and how far one is read. nginx refuses heads over 32 KiB and Apache over 64 KiB as they come;
// Go's server stops at 1 MiB.
const (
	maxFields   = 128      // fields kept of a message
	keepHead    = 16 << 10 // bytes kept of a head, start line included
	keepExtra   = 20 << 10 // the same, for fields that frame the message
	maxHead     = 1 << 20  // bytes read of a head; a longer one ends parsing
	maxStart    = 64 << 10 // bytes read of a start line; a longer one is no HTTP
	maxLine     = 16 << 10 // bytes looked at of a field line; the rest is passed over
	maxChunk    = 4 << 10  // bytes of a chunk-size line with its extensions
	maxTrailers = 32       // trailer fields kept
	keepTrailer = 4 << 10  // bytes kept of a trailer section
	maxTrailer  = 64 << 10 // bytes read of a trailer section
	maxMethod   = 32       // bytes of a method; the longest registered one has 17
	window      = 8 << 10  // bytes before a line end in which a start line is looked for after a gap
	maxHold     = 32 << 10 // bytes kept after a request that asked for another protocol
	inTurn      = 8        // requests and responses in turn after which a client is taken to wait for its responses again
	maxStray    = 64 << 10 // bytes that are no response after which a server is taken not to speak HTTP
)

// Protocol makes parsers that share buffers. It belongs to one shard.
type Protocol struct {
	cfg Config

	parsers []*parser
	calls   []*call
	x       proto.Exchange // built anew for each Emit
	fields  [4][]proto.Field
}

var _ proto.Protocol = (*Protocol)(nil)

// New returns a Protocol.
func New(cfg Config) *Protocol { return &Protocol{cfg: cfg.withDefaults()} }

// New returns a parser for c. It implements proto.Protocol.
func (pr *Protocol) New(c *proto.Conn, e proto.Emitter, mid bool) proto.Parser {
	var p *parser
	if n := len(pr.parsers); n > 0 {
		p, pr.parsers = pr.parsers[n-1], pr.parsers[:n-1]
	} else {
		p = new(parser)
	}
	*p = parser{pr: pr, c: c, e: e, mid: mid, begun: mid}
	c.Held += parserSize
	if mid {
		p.half[proto.Request].state, p.half[proto.Response].state = stResync, stResync
	}
	return p
}

// Sniff implements proto.Protocol.
func (pr *Protocol) Sniff(d proto.Dir, b []byte, mid bool) proto.Verdict {
	if mid {
		if _, what := find(d, b, nil); what == start {
			return proto.Yes
		}
		return proto.NotYet
	}
	if d == proto.Response {
		switch n := min(len(b), len(versionPrefix)); {
		case !equalFold(b[:n], versionPrefix[:n]):
			return proto.Never
		case len(b) <= len(versionPrefix):
			return proto.NotYet
		case !isDigit(b[len(versionPrefix)]):
			return proto.Never
		}
		return proto.Yes
	}
	n, wait := proxyHeader(b)
	if wait {
		return proto.NotYet
	}
	b = b[n:]
	b = b[emptyLines(b):]
	if len(b) == 0 {
		return proto.NotYet
	}
	if !couldBeRequest(b) {
		return proto.Never
	}
	n = lineEnd(b, 0)
	switch {
	case n > maxStart || n == 0 && len(b) > maxStart:
		return proto.Never
	case n == 0:
		return proto.NotYet
	}
	if _, ok := parseRequestLine(b[:n]); !ok {
		return proto.Never
	}
	return proto.Yes
}

// recycle takes back a parser that was closed.
func (pr *Protocol) recycle(p *parser) {
	*p = parser{}
	if len(pr.parsers) < 256 {
		pr.parsers = append(pr.parsers, p)
	}
}
