package http1

import (
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// pairing is the queue of requests that wait, and what is known of how this client uses the connection. Without loss the
// queue is all there is to it; the rest decides which request a response answers after bytes were lost.
type pairing struct {
	first, last *call // requests whose calls are not done, in order
	n           int
	seq         uint64
	pipelines   bool // the client sends requests before it has the response to the one before:
	batches     bool // several, and then it waits for all the responses,
	window      bool // or it does not
	overlap     bool // which the next response will tell: requests followed while others were under way
	unpaired    bool // after a loss among pipelined requests: no statuses
	gapBefore   bool // requests may have been lost since the last one
	orphans     int  // responses without a request since the last request
	answers     int  // responses since the last request
	turns       int  // requests in a row that came after exactly one response
}

// begin makes a call for the next request and puts it into the queue.
func (p *parser) begin(at event.Time) *call {
	r := &p.half[proto.Response]
	if r.state == stResync && r.cur != nil && !p.pipelines {
		whole := r.ends && r.scan == 0
		p.end(proto.Response, r, r.last, true) // it was over when the client asked again
		if !whole {
			p.seek(r)
		}
	}
	if p.turns++; p.answers != 1 || r.state != stIdle {
		p.turns = 0
	}
	if p.answers > 0 && !p.unpaired {
		p.overlap = p.n > 0
		p.batches = p.batches || p.n == 0 && p.pipelines
	}
	if p.unpaired && p.n == 0 {
		quiet := at.Sub(p.at) >= p.pr.cfg.Quiet
		newBatch := p.answers > 0 && p.batches && !p.window && (r.state == stIdle || r.state == stResync)
		p.unpaired = !quiet && !newBatch && p.turns < inTurn
	}
	if p.n >= p.pr.cfg.Outstanding {
		p.unpair(at)
	}
	c := p.pr.newCall()
	c.seq = p.seq
	p.seq++
	c.resDone, c.res.open = p.unpaired, p.unpaired
	c.doubt = p.gapBefore && p.orphans == 0
	c.clean = p.n == 0 && r.state == stIdle && !c.doubt
	p.gapBefore, p.orphans, p.answers = false, 0, 0
	if p.last == nil {
		p.first = c
	} else {
		p.last.next = c
	}
	p.last = c
	p.n++
	return c
}

// unpair lets all requests go without a status.
func (p *parser) unpair(at event.Time) {
	p.unpaired, p.turns = true, 0
	r := &p.half[proto.Response]
	if r.cur != nil && !r.cur.orphan {
		p.seek(r)
	}
	for c := p.first; c != nil; c = c.next {
		c.res.open = c.res.open || !c.resDone
		c.resDone = true
	}
	p.settle(at)
}

// settle emits and drops the calls at the head of the queue that are done.
func (p *parser) settle(at event.Time) {
	for c := p.first; c != nil && c.reqDone && c.resDone; c = p.first {
		if p.first = c.next; p.first == nil {
			p.last = nil
		}
		p.n--
		p.emit(c, event.Done, max(at, c.resLast)) // the request may be found to have ended before the response
		p.release(c)
	}
}

// respondent returns the call whose response begins: the oldest that waits for one, or one made up for a response whose
// request was not seen.
func (p *parser) respondent(at event.Time) *call {
	if c := p.first; c != nil && c.doubt && !c.resDone {
		p.pipelines = true // the response to one that was lost: it would have come before c had the client waited for it
		p.unpair(at)
	}
	c := p.first
	if c == nil || c.resDone {
		c = p.pr.newCall()
		c.orphan = true
		p.c.Unused.Orphans++
		if !p.unpaired {
			p.orphans++
		}
	} else if p.n > 1 && c.rev == 0 {
		p.pipelines = true
		p.window = p.window || p.overlap
	}
	p.overlap = false
	return c
}

// skipLost is called when a response begins after a gap that may have held the starts of others. It decides which request
// it answers:
//   - One is under way, and was the only one when it was sent: its response began in the gap, so this is another's.
//   - One is under way, and others were unanswered or lost before it: the gap held theirs.
//   - Two are under way: the gap held the first one's, whether the client waits for responses (then it sent the second after
//     the first one's) or not.
//   - With more, or when the client is known not to wait, it cannot be known.
func (p *parser) skipLost(h *half, at event.Time) {
	c := p.first
	p.overlap = false
	if c == nil || c.resDone {
		return
	}
	if p.n > 2 || p.pipelines && p.n > 1 {
		p.pipelines = true
		p.unpair(at)
		return
	}
	p.last.doubt = false
	if p.n == 1 && (!c.clean || h.lost <= 64 && c.req.has&(1<<fExpect) != 0) { // 64: room for no more than an interim response
		return
	}
	c.res.lost, c.res.why = int64(h.lost), h.why
	c.resDone, c.res.open = true, true
	p.settle(at)
}
