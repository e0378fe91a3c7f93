package pcap

import (
	"encoding/binary"

	"github.com/gnomon-sensor/gnomon/agent/source/pcap/tcp"
)

const (
	maxTags  = 16 // VLAN tags, MPLS labels or IPv6 extension headers in a row
	maxDepth = 8  // tunnels within tunnels
)

// Reason is why a packet gave no TCP segment. The set is closed.
type Reason uint8

// The reasons.
const (
	UnknownLink   Reason = iota // a link type that is not decoded
	EncryptedLink               // Wi-Fi under WPA or WEP
	NotIP                       // an Ethernet type that carries no IP
	ARP
	ICMP
	DNS
	QUIC
	UDP // what else
	SCTP
	ESP
	OtherTransport
	Malformed     // headers that contradict themselves
	HeadersCut    // cut before the end of the headers
	FragmentCut   // an IP fragment cut by the snapshot length
	FragmentLost  // a fragment whose others did not come, or came too late
	UnknownTunnel // a tunnel that is not decoded
	TooDeep       // more tags or tunnels than are followed
	reasons
)

var reasonNames = [reasons]string{"unknown_link_type", "encrypted_link", "not_ip", "arp", "icmp", "dns", "quic", "udp", "sctp", "esp",
	"other_transport", "malformed", "headers_cut", "fragment_cut", "fragment_lost", "unknown_tunnel", "too_deep"}

func (r Reason) String() string { return reasonNames[r] }

// DecodeStats counts packets.
type DecodeStats struct {
	Packets   uint64
	Tunnelled uint64 // packets inside packets that were opened
	Fragments uint64 // IP fragments
	Skipped   [reasons]uint64
	Links     map[LinkType]uint64 // packets of link types that are not decoded
}

// Decoder finds the TCP segments in packets.
type Decoder struct {
	out   func(*tcp.Segment)
	seg   tcp.Segment
	frags fragments
	stats DecodeStats
	extra int // bytes of the frame on the wire past what was captured
	depth int
}

// NewDecoder returns a Decoder that hands each segment to out.
func NewDecoder(out func(*tcp.Segment)) *Decoder {
	d := &Decoder{out: out}
	d.stats.Links = make(map[LinkType]uint64)
	d.frags.init()
	return d
}

// Stats returns the counts so far.
func (d *Decoder) Stats() *DecodeStats { return &d.stats }

// Packet decodes one packet.
func (d *Decoder) Packet(p *Packet) {
	d.stats.Packets++
	d.extra = int(p.Len) - len(p.Data)
	d.depth = 0
	d.seg.Time = p.Time
	d.frags.now = p.Time
	before := d.stats.Skipped[UnknownLink]
	d.link(p.Link, p.Data)
	if d.stats.Skipped[UnknownLink] != before && (len(d.stats.Links) < 64 || d.stats.Links[p.Link] > 0) {
		d.stats.Links[p.Link]++
	}
}

func (d *Decoder) skip(r Reason) { d.stats.Skipped[r]++ }

// has says whether b holds n bytes, and counts a packet that does not.
func (d *Decoder) has(b []byte, n int) bool {
	if len(b) >= n {
		return true
	}
	if d.extra > 0 {
		d.skip(HeadersCut)
	} else {
		d.skip(Malformed)
	}
	return false
}

// deeper counts a step into a tunnel.
func (d *Decoder) deeper() bool {
	if d.depth++; d.depth > maxDepth {
		d.skip(TooDeep)
		return false
	}
	return true
}

func (d *Decoder) tunnel() bool {
	d.stats.Tunnelled++
	return d.deeper()
}

// ip decides by the version.
func (d *Decoder) ip(b []byte) {
	if !d.has(b, 1) {
		return
	}
	switch b[0] >> 4 {
	case 4:
		d.ipv4(b)
	case 6:
		d.ipv6(b)
	default:
		d.skip(NotIP)
	}
}

// ipv4 takes an IPv4 packet (RFC 791 section 3.1). What follows its total length is padding.
func (d *Decoder) ipv4(b []byte) {
	if !d.has(b, 20) {
		return
	}
	head := int(b[0]&15) * 4
	total := int(be16(b[2:]))
	if total == 0 { // left to the card by segmentation offload
		total = len(b) + d.extra
	}
	if b[0]>>4 != 4 || head < 20 || total < head {
		d.skip(Malformed)
		return
	}
	if !d.has(b, head) {
		return
	}
	proto := b[9]
	frag := be16(b[6:])
	d.seg.Src = tcp.AddrFrom4(be32(b[12:]))
	d.seg.Dst = tcp.AddrFrom4(be32(b[16:]))
	if len(b) > total {
		b = b[:total]
	}
	payload, size := b[head:], total-head
	if frag&0x3fff != 0 {
		d.fragment(fragKey{d.seg.Src, d.seg.Dst, uint32(be16(b[4:])), proto}, int(frag&0x1fff)*8, frag&0x2000 != 0, payload, size)
		return
	}
	d.transport(proto, payload, size)
}

// ipv6 takes an IPv6 packet with its extension headers (RFC 8200 section 4).
func (d *Decoder) ipv6(b []byte) {
	if !d.has(b, 40) {
		return
	}
	if b[0]>>4 != 6 {
		d.skip(Malformed)
		return
	}
	size := int(be16(b[4:]))
	if size == 0 { // a jumbogram, or segmentation offload
		size = len(b) - 40 + d.extra
	}
	next := b[6]
	d.seg.Src = tcp.Addr{Hi: binary.BigEndian.Uint64(b[8:]), Lo: binary.BigEndian.Uint64(b[16:])}
	d.seg.Dst = tcp.Addr{Hi: binary.BigEndian.Uint64(b[24:]), Lo: binary.BigEndian.Uint64(b[32:])}
	b = b[40:]
	if len(b) > size {
		b = b[:size]
	}
	for range maxTags {
		switch next {
		case 0, 43, 60, 135, 139, 140: // hop-by-hop, routing, destination, mobility, HIP, shim6
			if !d.has(b, 8) {
				return
			}
			n := 8 + int(b[1])*8
			if n > size {
				d.skip(Malformed)
				return
			}
			if !d.has(b, n) {
				return
			}
			next, b, size = b[0], b[n:], size-n
		case 51: // authentication header (RFC 4302)
			if !d.has(b, 8) {
				return
			}
			n := 8 + int(b[1])*4
			if n > size {
				d.skip(Malformed)
				return
			}
			if !d.has(b, n) {
				return
			}
			next, b, size = b[0], b[n:], size-n
		case 44:
			if !d.has(b, 8) {
				return
			}
			off := be16(b[2:])
			if off&0xfff9 == 0 { // atomic (RFC 6946)
				next, b, size = b[0], b[8:], size-8
				continue
			}
			d.fragment(fragKey{d.seg.Src, d.seg.Dst, be32(b[4:]), b[0]}, int(off&^7), off&1 != 0, b[8:], size-8)
			return
		case 59:
			d.skip(OtherTransport)
			return
		default:
			d.transport(next, b, size)
			return
		}
	}
	d.skip(TooDeep)
}

// transport takes what an IP packet carries: b is what was captured of size bytes.
func (d *Decoder) transport(proto uint8, b []byte, size int) {
	switch proto {
	case 6:
		d.tcp(b, size)
	case 17:
		d.udp(b)
	case 4, 41:
		if d.tunnel() {
			d.ip(b)
		}
	case 47:
		d.gre(b)
	case 51: // an authentication header over IPv4
		if d.has(b, 8) {
			if n := 8 + int(b[1])*4; n <= size && d.has(b, n) && d.deeper() {
				d.transport(b[0], b[n:], size-n)
			}
		}
	case 137:
		if d.tunnel() {
			d.mpls(b)
		}
	case 1, 58:
		d.skip(ICMP)
	case 50:
		d.skip(ESP)
	case 132:
		d.skip(SCTP)
	default:
		d.skip(OtherTransport)
	}
}

// tcp takes a segment (RFC 9293 section 3.1).
func (d *Decoder) tcp(b []byte, size int) {
	if !d.has(b, 20) {
		return
	}
	head := int(b[12]>>4) * 4
	if head < 20 || head > size {
		d.skip(Malformed)
		return
	}
	s := &d.seg
	s.SrcPort, s.DstPort = be16(b), be16(b[2:])
	s.Seq, s.Ack = be32(b[4:]), be32(b[8:])
	s.Flags = b[13]
	s.Len = uint32(size - head)
	s.Data = b[min(head, len(b)):]
	d.out(s)
}

// Ports of tunnels over UDP.
const (
	portGTP       = 2152
	portVXLAN     = 4789
	portVXLANGPE  = 4790
	portGeneve    = 6081
	portMPLS      = 6635
	portVXLANOld  = 8472 // Linux's default before the assignment; flannel's
	portDNS       = 53
	portMulticast = 5353
)

func (d *Decoder) udp(b []byte) {
	if !d.has(b, 8) {
		return
	}
	src, dst := be16(b), be16(b[2:])
	if n := int(be16(b[4:])); n >= 8 && n < len(b) {
		b = b[:n]
	}
	b = b[8:]
	switch dst {
	case portVXLAN, portVXLANOld:
		if len(b) >= 8 && b[0]&0x08 != 0 { // RFC 7348 section 5
			if d.tunnel() {
				d.ethernet(b[8:])
			}
			return
		}
	case portVXLANGPE:
		if len(b) >= 8 && b[0]&0x0c == 0x0c {
			d.gpe(b[3], b[8:])
			return
		}
	case portGeneve:
		if len(b) >= 8 && b[0]>>6 == 0 { // RFC 8926 section 3.4
			if n := 8 + int(b[0]&0x3f)*4; d.has(b, n) && d.tunnel() {
				d.ether(be16(b[2:]), b[n:])
			}
			return
		}
	case portGTP:
		if len(b) >= 8 && b[0]>>4 == 3 && b[1] == 0xff { // TS 29.281: version 1, G-PDU
			d.gtp(b)
			return
		}
	case portMPLS:
		if d.tunnel() {
			d.mpls(b)
		}
		return
	}
	switch {
	case src == portDNS || dst == portDNS || dst == portMulticast:
		d.skip(DNS)
	case (src == 443 || dst == 443) && len(b) > 0 && b[0]&0x40 != 0: // the fixed bit (RFC 9000 section 17.2)
		d.skip(QUIC)
	default:
		d.skip(UDP)
	}
}

func (d *Decoder) gpe(next uint8, b []byte) {
	if !d.tunnel() {
		return
	}
	switch next {
	case 1, 2:
		d.ip(b)
	case 3:
		d.ethernet(b)
	case 5:
		d.mpls(b)
	default:
		d.skip(UnknownTunnel)
	}
}

func (d *Decoder) gtp(b []byte) {
	flags := b[0]
	b = b[8:]
	if flags&7 != 0 {
		if !d.has(b, 4) {
			return
		}
		next := b[3]
		if flags&4 == 0 {
			next = 0
		}
		b = b[4:]
		for i := 0; next != 0; i++ {
			if i == maxTags {
				d.skip(TooDeep)
				return
			}
			if !d.has(b, 4) {
				return
			}
			n := int(b[0]) * 4
			if n == 0 {
				d.skip(Malformed)
				return
			}
			if !d.has(b, n) {
				return
			}
			next, b = b[n-1], b[n:]
		}
	}
	if d.tunnel() {
		d.ip(b)
	}
}

// gre takes generic routing encapsulation (RFC 2784, 2890; version 1 RFC 2637) with what switches mirror through it.
func (d *Decoder) gre(b []byte) {
	if !d.has(b, 4) {
		return
	}
	flags, proto := be16(b), be16(b[2:])
	if flags&0x4000 != 0 || flags&7 > 1 { // source routes were never deployed
		d.skip(UnknownTunnel)
		return
	}
	n := 4
	for _, f := range [...]uint16{0x8000, 0x2000, 0x1000} { // checksum, key, sequence
		if flags&f != 0 {
			n += 4
		}
	}
	if flags&7 == 1 && flags&0x80 != 0 {
		n += 4
	}
	switch proto {
	case etherERSPAN: // type II has a header of its own, type I none
		if flags&0x1000 != 0 {
			n += 8
		}
	case etherERSPAN3:
		if !d.has(b, n+12) {
			return
		}
		if b[n+11]&1 != 0 {
			n += 8
		}
		n += 12
	}
	if !d.has(b, n) || !d.tunnel() {
		return
	}
	switch proto {
	case etherERSPAN, etherERSPAN3:
		d.ethernet(b[n:])
	case etherPPP:
		d.pppFramed(b[n:])
	default:
		d.ether(proto, b[n:])
	}
}
