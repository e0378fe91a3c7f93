package tcp

import (
	"net/netip"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// The TCP flags that matter here (RFC 9293 section 3.1).
const (
	FIN = 1 << iota
	SYN
	RST
	_ // PSH
	ACK
)

// Addr is an IP address as two words, IPv4 mapped into IPv6. Two words and not netip.Addr: a map key without a pointer
// and without padding is hashed in one go (BenchmarkKeys).
type Addr struct{ Hi, Lo uint64 }

// AddrFrom4 maps an IPv4 address.
func AddrFrom4(v uint32) Addr { return Addr{0, 0xffff<<32 | uint64(v)} }

func (a Addr) less(b Addr) bool { return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo }

// Netip returns a with IPv4 unmapped.
func (a Addr) Netip() netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i] = byte(a.Hi >> (56 - 8*i))
		b[8+i] = byte(a.Lo >> (56 - 8*i))
	}
	return netip.AddrFrom16(b).Unmap()
}

// Segment is one TCP segment of a recording. Data is borrowed for the call.
type Segment struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            uint8
	Len              uint32 // payload bytes on the wire; Data may hold fewer, the first ones
	Data             []byte
	Time             event.Time
}
