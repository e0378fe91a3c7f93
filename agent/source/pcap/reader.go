package pcap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// MaxPacket is the most bytes of one packet that a file may hold: libpcap's own limit for the largest link type. A file
// that claims more is taken for broken.
const MaxPacket = 256 << 10

const (
	bufferSize    = 512 << 10 // holds MaxPacket and its header, and keeps read(2) calls rare
	maxInterfaces = 4096      // per section
)

// Fault is where and why a file cannot be read on. The offset counts decompressed bytes.
type Fault struct {
	Offset int64
	What   string
	Err    error // of the reader below, or nil
}

func (f *Fault) Error() string {
	if f.Err != nil {
		return fmt.Sprintf("byte %d: %s: %v", f.Offset, f.What, f.Err)
	}
	return fmt.Sprintf("byte %d: %s", f.Offset, f.What)
}

func (f *Fault) Unwrap() error { return f.Err }

// Packet is one packet of a recording. Data is borrowed until the next call of Next.
type Packet struct {
	Data []byte
	Len  uint32 // on the wire; at least len(Data)
	Link LinkType
	Time event.Time
}

// Reader reads the packets of a pcap or pcapng file.
type Reader struct {
	br     *bufio.Reader
	off    int64 // of the next byte of br
	unread int   // bytes of the packet handed out, to be discarded at the next call
	next   func(*Packet) error

	le       bool
	link     LinkType
	perTick  int64 // nanoseconds per unit of the fraction
	header   int   // bytes of a packet header
	lastTime event.Time
	ifaces   []iface
}

// IsPcap says whether b, the first four bytes of a file, are those of a pcap or pcapng file.
func IsPcap(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	switch binary.BigEndian.Uint32(b) {
	case blockSection, magicMicro, magicNano, magicPatched, swap(magicMicro), swap(magicNano), swap(magicPatched):
		return true
	}
	return false
}

const (
	magicMicro   = 0xa1b2c3d4
	magicNano    = 0xa1b23c4d
	magicPatched = 0xa1b2cd34 // Kuznetzov's patch of libpcap: packet headers of 24 bytes
)

func swap(v uint32) uint32 { return v<<24 | v>>24 | v<<8&0xff0000 | v>>8&0xff00 }

// NewReader reads the file header.
func NewReader(r io.Reader) (*Reader, error) {
	rd := &Reader{br: bufio.NewReaderSize(r, bufferSize)}
	b, err := rd.peek(4, "file header")
	if err != nil {
		return nil, err
	}
	if !IsPcap(b) {
		return nil, &Fault{What: fmt.Sprintf("neither pcap nor pcapng (the file begins with % x)", b)}
	}
	if binary.BigEndian.Uint32(b) == blockSection {
		rd.next = rd.nextBlock
		return rd, rd.readSection()
	}
	return rd, rd.pcapHeader()
}

// Next reads the next packet. It returns io.EOF at the end of a sound file, else a *Fault.
func (r *Reader) Next(p *Packet) error {
	if r.unread > 0 {
		r.skip(r.unread)
		r.unread = 0
	}
	return r.next(p)
}

// Offset is the place of the next byte, counted in decompressed bytes.
func (r *Reader) Offset() int64 { return r.off + int64(r.unread) }

// peek returns the next n bytes, n ≤ bufferSize. At a clean end of the file it returns io.EOF only if nothing is left.
func (r *Reader) peek(n int, what string) ([]byte, error) {
	b, err := r.br.Peek(n)
	if err == nil {
		return b, nil
	}
	return nil, r.short(len(b), n, what, err)
}

func (r *Reader) short(have, want int, what string, err error) error {
	if errors.Is(err, io.EOF) {
		if have == 0 {
			return io.EOF
		}
		return &Fault{Offset: r.off, What: fmt.Sprintf("the file ends inside the %s: %d of %d bytes", what, have, want), Err: io.ErrUnexpectedEOF}
	}
	return &Fault{Offset: r.off + int64(have), What: "reading the " + what, Err: err}
}

// skip discards n bytes that are in the buffer.
func (r *Reader) skip(n int) {
	m, _ := r.br.Discard(n)
	r.off += int64(m)
}

// skipFar discards n bytes that need not be in the buffer.
func (r *Reader) skipFar(n int64, what string) error {
	start := r.off
	for left := n; left > 0; {
		m, err := r.br.Discard(int(min(left, 1<<30)))
		r.off += int64(m)
		left -= int64(m)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return &Fault{Offset: start, What: fmt.Sprintf("the file ends inside the %s: %d of %d bytes", what, r.off-start, n), Err: io.ErrUnexpectedEOF}
			}
			return &Fault{Offset: r.off, What: "reading the " + what, Err: err}
		}
	}
	return nil
}

func (r *Reader) u32(b []byte) uint32 {
	if r.le { // a direct call, which the compiler makes one load of
		return binary.LittleEndian.Uint32(b)
	}
	return binary.BigEndian.Uint32(b)
}

func (r *Reader) u16(b []byte) uint16 {
	if r.le {
		return binary.LittleEndian.Uint16(b)
	}
	return binary.BigEndian.Uint16(b)
}

// pcapHeader reads the header of a classic file (draft-ietf-opsawg-pcap section 4).
func (r *Reader) pcapHeader() error {
	b, err := r.peek(24, "file header")
	if err != nil {
		return err
	}
	magic := binary.LittleEndian.Uint32(b)
	r.le = magic == magicMicro || magic == magicNano || magic == magicPatched
	r.perTick, r.header, r.next = 1000, 16, r.nextClassic
	switch r.u32(b) {
	case magicNano:
		r.perTick = 1
	case magicPatched:
		r.header = 24
	}
	if major := r.u16(b[4:]); major != 2 {
		return &Fault{Offset: 4, What: fmt.Sprintf("pcap version %d.%d is not known", major, r.u16(b[6:]))}
	}
	r.link = LinkType(r.u32(b[20:]) & 0x03ffffff) // the rest says whether frames end with a check sequence
	r.skip(24)
	return nil
}

func (r *Reader) nextClassic(p *Packet) error {
	b, err := r.peek(r.header, "packet header")
	if err != nil {
		return err
	}
	caplen, length := r.u32(b[8:]), r.u32(b[12:])
	if caplen > MaxPacket {
		return &Fault{Offset: r.off, What: fmt.Sprintf("packet header claims %d bytes, more than any packet has (%d)", caplen, MaxPacket)}
	}
	p.Time = event.Time(int64(r.u32(b))*1e9 + int64(r.u32(b[4:]))*r.perTick)
	n := r.header + int(caplen)
	b, err = r.br.Peek(n)
	if err != nil {
		return r.cut(p, b, r.header, caplen, length, err)
	}
	p.Data, p.Len, p.Link = b[r.header:n:n], max(length, caplen), r.link
	r.unread = n
	return nil
}

// cut hands out what is there of the last packet of a file that ends inside it; the next call reports the fault.
func (r *Reader) cut(p *Packet, b []byte, header int, caplen, length uint32, err error) error {
	fault := r.short(len(b), header+int(caplen), "packet", err)
	if len(b) <= header {
		return fault
	}
	r.next = func(*Packet) error { return fault }
	p.Data, p.Len, p.Link = b[header:], max(length, caplen), r.link
	return nil
}
