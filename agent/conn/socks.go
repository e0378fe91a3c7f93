package conn

import (
	"bytes"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/proto"
)

// maxSocks bounds the handshake: a version 5 one with a user name, a password and a host of 255 bytes each has 1,040.
const maxSocks = 1100

// socks looks for a handshake of SOCKS version 4, 4a or 5 (RFC 1928, RFC 1929) at the beginning of both directions. Yes: it
// is whole, and what follows the first cn bytes of the client and sn of the server is between client and target.
func socks(client, server []byte) (cn, sn int, v proto.Verdict) {
	c, s := reader{b: client}, reader{b: server}
	switch c.byte() {
	case 4: // VN CD DSTPORT DSTIP USERID NUL [HOST NUL]; the answer has 8 bytes
		if cd := c.byte(); c.ok() && cd != 1 {
			return 0, 0, proto.Never
		}
		c.take(2)
		ip := c.take(4)
		c.text()
		if len(ip) == 4 && ip[0]|ip[1]|ip[2] == 0 && ip[3] != 0 {
			c.text()
		}
		if a := s.take(8); len(a) == 8 && (a[0] != 0 || a[1] != 90) {
			return 0, 0, proto.Never
		}
	case 5: // VER NMETHODS METHODS; VER METHOD; [user name and password]; VER CMD RSV ATYP ADDR PORT; the same with REP
		if n := c.byte(); c.ok() && n == 0 {
			return 0, 0, proto.Never
		} else {
			c.take(int(n))
		}
		if ver, method := s.byte(), s.byte(); s.ok() && (ver != 5 || method != 0 && method != 2) {
			return 0, 0, proto.Never
		} else if method == 2 {
			c.take(1)
			c.take(int(c.byte()))
			c.take(int(c.byte()))
			s.take(2)
		}
		if ver, cmd := c.byte(), c.byte(); c.ok() && (ver != 5 || cmd != 1) {
			return 0, 0, proto.Never
		}
		c.address()
		if ver, rep := s.byte(), s.byte(); s.ok() && (ver != 5 || rep != 0) {
			return 0, 0, proto.Never
		}
		s.address()
	default:
		return 0, 0, proto.Never
	}
	switch {
	case c.ok() && s.ok():
		return c.n, s.n, proto.Yes
	case len(client)+len(server) > maxSocks:
		return 0, 0, proto.Never
	}
	return 0, 0, proto.NotYet
}

// reader takes fields off b; n > len(b) once it was too short.
type reader struct {
	b []byte
	n int
}

func (r *reader) ok() bool { return r.n <= len(r.b) }

func (r *reader) take(n int) []byte {
	if r.n += n; r.n > len(r.b) {
		r.n = len(r.b) + 1
		return nil
	}
	return r.b[r.n-n : r.n]
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// text takes what ends with NUL.
func (r *reader) text() {
	if r.ok() {
		if i := bytes.IndexByte(r.b[r.n:], 0); i >= 0 {
			r.n += i + 1
			return
		}
	}
	r.n = len(r.b) + 1
}

// address takes RSV, ATYP, the address and the port. An unknown type is one that never ends.
func (r *reader) address() {
	r.take(1)
	switch r.byte() {
	case 1:
		r.take(4 + 2)
	case 3:
		r.take(int(r.byte()) + 2)
	case 4:
		r.take(16 + 2)
	default:
		r.n = len(r.b) + 1
	}
}

// passSocks passes over a SOCKS handshake. wait: it is one as far as it goes.
func (t *Table) passSocks(k *conn) (wait bool) {
	client := chunk.Received
	if k.role == chunk.Client {
		client = chunk.Sent
	}
	c, s := &k.dir[client], &k.dir[client.Other()]
	if k.socks || k.mid || k.role == chunk.Unknown || len(c.tail) == 0 || c.tail[0] != 4 && c.tail[0] != 5 {
		return false
	}
	cn, sn, v := socks(c.tail, s.tail)
	if v == proto.Yes {
		t.cfg.Ledger.Bytes.Lose(ledger.NotDecoded, uint64(cn+sn))
		t.discard(c, cn)
		t.discard(s, sn)
	}
	k.socks = v != proto.NotYet
	return !k.socks
}
