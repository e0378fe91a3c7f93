package http1

import (
	"fmt"
	"strings"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// seen collects Exchanges as text, which shows all that a parser says and outlives what is borrowed.
type seen struct{ all []string }

func show(x *proto.Exchange) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d.%d %s %s %q %q host=%q -> %d", x.Seq, x.Rev, x.State, x.Protocol, x.Method, x.Target, x.Host, x.Status)
	if x.Upgrade != nil {
		fmt.Fprintf(&b, " upgrade=%q", x.Upgrade)
	}
	for i, m := range []*proto.Message{&x.Req, &x.Res} {
		fmt.Fprintf(&b, " %s(", []string{"req", "res"}[i])
		for _, f := range m.Fields {
			fmt.Fprintf(&b, "%q:%q ", f.Name, f.Value)
		}
		for _, f := range m.Trailers {
			fmt.Fprintf(&b, "+%q:%q ", f.Name, f.Value)
		}
		fmt.Fprintf(&b, "%d/%d %q", m.Bytes, m.Lost, m.Body)
		if m.Cut {
			b.WriteString(" cut")
		}
		if m.Open {
			b.WriteString(" open")
		}
		b.WriteString(")")
	}
	fmt.Fprintf(&b, " %d %d %d %d signs=%b", x.Start, x.ReqEnd, x.FirstByte, x.End, x.Signs)
	return b.String()
}

func (s *seen) Emit(_ *proto.Conn, x *proto.Exchange) {
	s.all = append(s.all, show(x))
	for _, m := range []*proto.Message{&x.Req, &x.Res} {
		if m.Bytes < 0 || m.Lost < 0 || len(m.Fields) > maxFields+16 || len(m.Trailers) > maxTrailers || len(m.Body) > 4096 {
			panic("out of bounds: " + show(x))
		}
	}
}

// part is a piece of one direction's stream: bytes, a gap, or its end.
type part struct {
	dir  proto.Dir
	data string
	gap  uint64
	end  bool
	at   event.Time
}

func req(s string) part { return part{dir: proto.Request, data: s} }
func res(s string) part { return part{dir: proto.Response, data: s} }

// drive feeds parts to a parser as the connection table does: what is not used is given again with what follows.
type drive struct {
	p    proto.Parser
	c    *proto.Conn
	tail [2][]byte
	done bool
	used [2]int
}

func (d *drive) feed(dir proto.Dir, b []byte, at event.Time) (used int) {
	d.tail[dir] = append(d.tail[dir], b...)
	return d.again(dir, at)
}

func (d *drive) again(dir proto.Dir, at event.Time) int {
	if d.done || len(d.tail[dir]) == 0 {
		return 0
	}
	n, _, err := d.p.Feed(dir, d.tail[dir], at)
	if n < 0 || n > len(d.tail[dir]) {
		panic(fmt.Sprintf("used %d of %d", n, len(d.tail[dir])))
	}
	if len(d.tail[dir])-n > maxStart+maxLine {
		panic(fmt.Sprintf("wants %d bytes kept", len(d.tail[dir])-n))
	}
	d.used[dir] += n
	d.tail[dir] = d.tail[dir][:copy(d.tail[dir], d.tail[dir][n:])]
	d.done = err != nil
	return n
}

// run feeds parts, cut into pieces of at most size bytes (0: as they are).
func run(pr *Protocol, mid bool, size func() int, parts ...part) []string {
	s := &seen{}
	runTo(s, pr, mid, size, parts...)
	return s.all
}

func runTo(e proto.Emitter, pr *Protocol, mid bool, size func() int, parts ...part) *proto.Conn {
	c := &proto.Conn{}
	d := &drive{p: pr.New(c, e, mid), c: c}
	at := event.Time(0)
	for _, p := range parts {
		if p.at != 0 {
			at = p.at
			d.p.Tick(at)
		} else {
			at++
		}
		if d.done {
			break
		}
		switch {
		case p.gap > 0:
			d.tail[p.dir] = d.tail[p.dir][:0]
			d.p.Gap(p.dir, p.gap, chunk.WhyMissing)
		case p.end:
			d.tail[p.dir] = d.tail[p.dir][:0]
			d.p.End(p.dir, at)
		}
		for b := []byte(p.data); len(b) > 0; {
			n := len(b)
			if size != nil {
				n = min(n, max(1, size()))
			}
			used := d.feed(p.dir, b[:n:n], at)
			for used > 0 {
				used = d.again(p.dir^1, at) + d.again(p.dir, at)
			}
			b = b[n:]
		}
	}
	d.p.Close(at + 1)
	if c.Held != 0 {
		panic(fmt.Sprintf("holds %d bytes after Close", c.Held))
	}
	return c
}
