// Package ledger counts what was captured, delivered and lost, from kernel to store.
//
// In: counts from the place where each thing happens. Out: event.Ledger. It never computes one number from the others.
package ledger

import (
	"sync/atomic"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Reason is why something captured was not delivered. The set is closed.
type Reason uint8

// The reasons, in the order of the way of the data.
const (
	RingFull      Reason = iota // kernel: no room in the ring buffer
	CopyFault                   // kernel: the user buffer could not be read
	PayloadBudget               // kernel: bytes past the payload budget of one socket call
	Splice                      // kernel: sendfile, splice: bytes never in a user buffer
	Stopped                     // in the ring when the agent stopped
	QueueFull                   // agent: a queue between two rooms was full
	ConnBudget                  // agent: connection table or stream buffers at their bound
	NotDecoded                  // agent: speaks no protocol that gnomon decodes
	ParserGaveUp                // agent: parsing ended by an error
	Resync                      // agent: skipped while looking for the next message
	Orphan                      // agent: a response whose request was not seen
	FoldBudget                  // agent: detail folded away at a bound (the count is kept)
	StoreFailed                 // collector: could not be written
	Snaplen                     // recording: cut
	Missing                     // recording: segments not there
	Covered                     // the other end on this host counts
	Own                         // gnomon's own traffic
	Duplicate                   // agent: bytes that had come before
	Incomplete                  // agent: the beginning of a message whose rest never came
	reasons
)

var names = [reasons]string{"ring_full", "copy_fault", "payload_budget", "splice", "stopped", "queue_full", "conn_budget", "not_decoded",
	"parser_gave_up", "resync", "orphan", "fold_budget", "store_failed", "snaplen", "missing", "covered", "own", "duplicate", "incomplete"}

func (r Reason) String() string { return names[r] }

// Account counts one unit. Safe for concurrent use; the zero value is empty.
type Account struct {
	captured, delivered atomic.Uint64
	lost                [reasons]atomic.Uint64
}

// Capture counts n as captured.
func (a *Account) Capture(n uint64) { a.captured.Add(n) }

// Deliver counts n as delivered.
func (a *Account) Deliver(n uint64) { a.delivered.Add(n) }

// Lose counts n as lost for r.
func (a *Account) Lose(r Reason, n uint64) { a.lost[r].Add(n) }

// Event returns the account as of now. While data is in flight it need not balance.
func (a *Account) Event() event.Account {
	e := event.Account{Captured: a.captured.Load(), Delivered: a.delivered.Load(), Lost: map[string]uint64{}}
	for r := range a.lost {
		if n := a.lost[r].Load(); n > 0 {
			e.Lost[names[r]] = n
		}
	}
	return e
}

// Ledger is the account in each unit. Captured chunks and bytes are the kernel's own counters (or the reader's, for a
// recording), added by the source; delivered ones are counted where a parser has used them.
type Ledger struct {
	Chunks, Bytes, Calls Account
}

// Event returns the ledger as of now.
func (l *Ledger) Event() event.Ledger {
	return event.Ledger{Chunks: l.Chunks.Event(), Bytes: l.Bytes.Event(), Calls: l.Calls.Event()}
}
