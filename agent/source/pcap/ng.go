package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Block types of pcapng (draft-ietf-opsawg-pcapng section 11.1) that matter here. All others are passed over.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
	byteOrderMagic = 0x1a2b3c4d
)

const (
	optEnd        = 0
	optResolution = 9
	optOffset     = 14
	maxIDB        = 64 << 10 // an interface description longer than this is read as far as that
)

type iface struct {
	link LinkType
	snap uint32
	res  resolution
}

// resolution says how many units of time a second has: 10^-n or 2^-n seconds each.
type resolution struct {
	perSecond uint64 // 0: a power of two too large for it
	shift     uint   // units are 2^-shift s, when binary
	binary    bool
	offset    int64 // seconds to add
}

var micro = resolution{perSecond: 1_000_000}

// time converts units since the epoch; values out of range are clamped.
func (r resolution) time(v uint64) event.Time {
	var sec, frac uint64
	if r.binary {
		sec, frac = v>>r.shift, v&(1<<r.shift-1)
		hi, lo := bits.Mul64(frac, 1_000_000_000)
		frac = lo>>r.shift | hi<<(64-r.shift)
	} else {
		sec = v / r.perSecond
		hi, lo := bits.Mul64(v%r.perSecond, 1_000_000_000)
		frac, _ = bits.Div64(hi, lo, r.perSecond)
	}
	const most = math.MaxInt64/1_000_000_000 - 1
	s := int64(min(sec, most)) + max(-most, min(r.offset, most))
	return event.Time(max(-most, min(s, most))*1_000_000_000 + int64(frac))
}

// blockLength checks the total length of the block at the head of the buffer.
func (r *Reader) blockLength(b []byte, least uint32) (uint32, error) {
	n := r.u32(b[4:])
	if n < least || n%4 != 0 {
		return 0, &Fault{Offset: r.off + 4, What: fmt.Sprintf("block of type %#x has the impossible length %d", r.u32(b), n)}
	}
	return n, nil
}

// trailer checks that the copy of the length at the end of the block at the head of the buffer agrees.
func (r *Reader) trailer(b []byte, n uint32) error {
	if got := r.u32(b[n-4:]); got != n {
		return &Fault{Offset: r.off + int64(n) - 4, What: fmt.Sprintf("block length %d at the start, %d at the end", n, got)}
	}
	return nil
}

// readSection reads a section header block. The interfaces of the section before it are void.
func (r *Reader) readSection() error {
	b, err := r.peek(28, "section header")
	if err != nil {
		return err
	}
	r.le = binary.LittleEndian.Uint32(b[8:]) == byteOrderMagic
	if !r.le && binary.BigEndian.Uint32(b[8:]) != byteOrderMagic {
		return &Fault{Offset: r.off + 8, What: fmt.Sprintf("section header without a byte order mark (% x)", b[8:12])}
	}
	n, err := r.blockLength(b, 28)
	if err != nil {
		return err
	}
	if major := r.u16(b[12:]); major != 1 {
		return &Fault{Offset: r.off + 12, What: fmt.Sprintf("pcapng version %d.%d is not known", major, r.u16(b[14:]))}
	}
	r.ifaces = r.ifaces[:0]
	return r.skipFar(int64(n), "section header")
}

func (r *Reader) nextBlock(p *Packet) error {
	for {
		b, err := r.peek(12, "block header")
		if err != nil {
			return err
		}
		typ := r.u32(b)
		if typ == blockSection { // the same in either order
			if err := r.readSection(); err != nil {
				return eofIsFault(err)
			}
			continue
		}
		n, err := r.blockLength(b, 12)
		if err != nil {
			return err
		}
		switch typ {
		case blockInterface:
			if err := r.readInterface(n); err != nil {
				return eofIsFault(err)
			}
			continue
		case blockEnhanced, blockSimple, blockPacket:
		default:
			if err := r.skipFar(int64(n), "block"); err != nil {
				return err
			}
			continue
		}
		done, err := r.readPacket(p, typ, n)
		if err != nil || done {
			return eofIsFault(err)
		}
	}
}

// eofIsFault makes an end of the file inside a block a fault.
func eofIsFault(err error) error {
	if errors.Is(err, io.EOF) && !errors.As(err, new(*Fault)) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readInterface reads an interface description block of n bytes.
func (r *Reader) readInterface(n uint32) error {
	if n < 20 {
		return &Fault{Offset: r.off + 4, What: fmt.Sprintf("interface description of %d bytes", n)}
	}
	if len(r.ifaces) >= maxInterfaces {
		return &Fault{Offset: r.off, What: fmt.Sprintf("more than %d interfaces", maxInterfaces)}
	}
	b, err := r.peek(int(min(n, maxIDB)), "interface description")
	if err != nil {
		return err
	}
	if n <= maxIDB {
		if err := r.trailer(b, n); err != nil {
			return err
		}
		b = b[:n-4]
	}
	f := iface{link: LinkType(r.u16(b[8:])), snap: r.u32(b[12:]), res: micro}
	for o := b[16:]; len(o) >= 4; {
		code, size := r.u16(o), int(r.u16(o[2:]))
		if code == optEnd || len(o) < 4+size {
			break
		}
		v := o[4 : 4+size]
		switch {
		case code == optResolution && size == 1:
			if f.res, err = r.resolution(v[0], f.res.offset); err != nil {
				return err
			}
		case code == optOffset && size == 8:
			f.res.offset = int64(r.u64(v))
		}
		o = o[min(len(o), 4+(size+3)&^3):]
	}
	r.ifaces = append(r.ifaces, f)
	return r.skipFar(int64(n), "interface description")
}

func (r *Reader) u64(b []byte) uint64 {
	if r.le {
		return binary.LittleEndian.Uint64(b)
	}
	return binary.BigEndian.Uint64(b)
}

func (r *Reader) resolution(v byte, offset int64) (resolution, error) {
	out := resolution{offset: offset, binary: v&0x80 != 0, perSecond: 1}
	n := uint(v & 0x7f)
	if out.binary {
		if n > 63 {
			return out, &Fault{Offset: r.off, What: fmt.Sprintf("time resolution of 2^-%d s", n)}
		}
		out.shift = n
		return out, nil
	}
	if n > 19 {
		return out, &Fault{Offset: r.off, What: fmt.Sprintf("time resolution of 10^-%d s", n)}
	}
	for range n {
		out.perSecond *= 10
	}
	return out, nil
}

// readPacket reads a packet block of n bytes, and says whether it gave a packet.
func (r *Reader) readPacket(p *Packet, typ, n uint32) (bool, error) {
	fixed := uint32(28)
	if typ == blockSimple {
		fixed = 12
	}
	if n < fixed+4 {
		return false, &Fault{Offset: r.off + 4, What: fmt.Sprintf("packet block of %d bytes", n)}
	}
	b, err := r.peek(int(fixed), "packet block")
	if err != nil {
		return false, err
	}
	var id, caplen, length uint32
	stamped := typ != blockSimple
	lengthAt := r.off + 20
	switch typ {
	case blockEnhanced:
		id, caplen, length = r.u32(b[8:]), r.u32(b[20:]), r.u32(b[24:])
	case blockPacket:
		id, caplen, length = uint32(r.u16(b[8:])), r.u32(b[20:]), r.u32(b[24:])
	case blockSimple:
		lengthAt = r.off + 8
		length = r.u32(b[8:])
		caplen = min(length, n-fixed-4)
		if len(r.ifaces) > 0 && r.ifaces[0].snap > 0 {
			caplen = min(caplen, r.ifaces[0].snap)
		}
	}
	if id >= uint32(len(r.ifaces)) {
		return false, &Fault{Offset: r.off + 8, What: fmt.Sprintf("packet of interface %d, of %d described", id, len(r.ifaces))}
	}
	if caplen > n-fixed-4 {
		return false, &Fault{Offset: lengthAt, What: fmt.Sprintf("packet claims %d bytes in a block of %d", caplen, n)}
	}
	if caplen > MaxPacket {
		return false, &Fault{Offset: lengthAt, What: fmt.Sprintf("packet claims %d bytes, more than any packet has (%d)", caplen, MaxPacket)}
	}
	f := &r.ifaces[id]
	if stamped {
		p.Time = f.res.time(uint64(r.u32(b[12:]))<<32 | uint64(r.u32(b[16:])))
		r.lastTime = p.Time
	} else {
		p.Time = r.lastTime // simple packets carry none
	}
	p.Len, p.Link = max(length, caplen), f.link
	if n > bufferSize { // long options: nothing of them is wanted
		if b, err = r.peek(int(fixed+caplen), "packet block"); err != nil {
			return false, err
		}
		p.Data = append([]byte(nil), b[fixed:]...)
		if err := r.skipFar(int64(n), "packet block"); err != nil {
			r.next = func(*Packet) error { return err }
		}
		return true, nil
	}
	b, err = r.br.Peek(int(n))
	if err != nil {
		r.link = f.link
		return true, r.cut(p, b[:min(len(b), int(fixed+caplen))], int(fixed), caplen, length, err)
	}
	if err := r.trailer(b, n); err != nil {
		return false, err
	}
	p.Data = b[fixed : fixed+caplen : fixed+caplen]
	r.unread = int(n)
	return true, nil
}
