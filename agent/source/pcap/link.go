package pcap

import "encoding/binary"

// LinkType is a LINKTYPE_ value of tcpdump.org's registry.
type LinkType uint32

// The link types that are decoded.
const (
	LinkNull     LinkType = 0
	LinkEthernet LinkType = 1
	LinkPPP      LinkType = 9
	LinkDLTRaw   LinkType = 12
	LinkDLTRawBS LinkType = 14
	LinkPPPHDLC  LinkType = 50
	LinkPPPoE    LinkType = 51
	LinkRaw      LinkType = 101
	LinkCHDLC    LinkType = 104
	LinkWiFi     LinkType = 105
	LinkLoop     LinkType = 108
	LinkENC      LinkType = 109
	LinkSLL      LinkType = 113
	LinkPFLOG    LinkType = 117
	LinkRadiotap LinkType = 127
	LinkPPI      LinkType = 192
	LinkIPv4     LinkType = 228
	LinkIPv6     LinkType = 229
	LinkNFLOG    LinkType = 239
	LinkSLL2     LinkType = 276
)

// Ethernet types, IEEE 802 registry.
const (
	etherIPv4    = 0x0800
	etherARP     = 0x0806
	etherTEB     = 0x6558 // an Ethernet frame in GRE or Geneve
	etherVLAN    = 0x8100
	etherIPv6    = 0x86dd
	etherPPP     = 0x880b
	etherMPLS    = 0x8847
	etherMPLSM   = 0x8848
	etherPPPoE   = 0x8864
	etherQinQ    = 0x88a8
	etherERSPAN  = 0x88be
	etherERSPAN3 = 0x22eb
	etherQinQOld = 0x9100
	etherQinQAlt = 0x9200
)

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// link takes the frame apart down to the network layer.
func (d *Decoder) link(t LinkType, b []byte) {
	switch t {
	case LinkEthernet:
		d.ethernet(b)
	case LinkSLL:
		if d.has(b, 16) {
			d.ether(be16(b[14:]), b[16:])
		}
	case LinkSLL2:
		if d.has(b, 20) {
			d.ether(be16(b), b[20:])
		}
	case LinkRaw, LinkDLTRaw, LinkDLTRawBS, LinkIPv4, LinkIPv6:
		d.ip(b)
	case LinkNull, LinkLoop, LinkENC:
		// An address family in the byte order of the machine that recorded it: both orders of the small numbers are
		// taken. IPv6's differs by system, so the version in the packet decides.
		head := 4
		if t == LinkENC {
			head = 12
		}
		if d.has(b, head) {
			d.ip(b[head:])
		}
	case LinkPFLOG:
		if d.has(b, 1) && d.has(b, (int(b[0])+3)&^3) {
			d.ip(b[(int(b[0])+3)&^3:])
		}
	case LinkPPP, LinkPPPHDLC:
		d.pppFramed(b)
	case LinkPPPoE:
		d.pppoe(b)
	case LinkCHDLC:
		if d.has(b, 4) {
			d.ether(be16(b[2:]), b[4:])
		}
	case LinkWiFi:
		d.wifi(b)
	case LinkRadiotap:
		if d.has(b, 4) {
			if n := int(binary.LittleEndian.Uint16(b[2:])); d.has(b, n) {
				d.wifi(b[n:])
			}
		}
	case LinkPPI:
		if d.has(b, 8) && d.deeper() {
			if n := int(binary.LittleEndian.Uint16(b[2:])); d.has(b, n) {
				d.link(LinkType(binary.LittleEndian.Uint32(b[4:])), b[n:])
			}
		}
	case LinkNFLOG:
		d.nflog(b)
	default:
		d.skip(UnknownLink)
	}
}

func (d *Decoder) ethernet(b []byte) {
	if !d.has(b, 14) {
		return
	}
	d.ether(be16(b[12:]), b[14:])
}

// ether goes on after an Ethernet type, through tags.
func (d *Decoder) ether(t uint16, b []byte) {
	for range maxTags {
		switch t {
		case etherIPv4:
			d.ipv4(b)
			return
		case etherIPv6:
			d.ipv6(b)
			return
		case etherVLAN, etherQinQ, etherQinQOld, etherQinQAlt:
			if !d.has(b, 4) {
				return
			}
			t, b = be16(b[2:]), b[4:]
			continue
		case etherMPLS, etherMPLSM:
			d.mpls(b)
		case etherPPPoE:
			d.pppoe(b)
		case etherTEB:
			if d.deeper() {
				d.ethernet(b)
			}
		case etherARP:
			d.skip(ARP)
		default:
			if t > 1500 {
				d.skip(NotIP)
				return
			}
			d.llc(b)
		}
		return
	}
	d.skip(TooDeep)
}

// llc takes IEEE 802.2 with the SNAP extension (RFC 1042).
func (d *Decoder) llc(b []byte) {
	if !d.has(b, 3) {
		return
	}
	if b[0] != 0xaa || b[1] != 0xaa || b[2] != 3 {
		d.skip(NotIP) // spanning tree and the like
		return
	}
	if d.has(b, 8) && d.deeper() {
		d.ether(be16(b[6:]), b[8:])
	}
}

func (d *Decoder) mpls(b []byte) {
	for range maxTags {
		if !d.has(b, 5) {
			return
		}
		bottom := b[2]&1 != 0
		b = b[4:]
		if !bottom {
			continue
		}
		switch b[0] >> 4 {
		case 4, 6:
			d.ip(b)
		case 0: // a control word before an Ethernet frame (RFC 4448)
			if d.has(b, 4) && d.deeper() {
				d.ethernet(b[4:])
			}
		default:
			if d.deeper() {
				d.ethernet(b)
			}
		}
		return
	}
	d.skip(TooDeep)
}

func (d *Decoder) pppoe(b []byte) {
	if !d.has(b, 6) {
		return
	}
	if b[1] != 0 {
		d.skip(NotIP) // discovery
		return
	}
	d.ppp(b[6:])
}

func (d *Decoder) pppFramed(b []byte) {
	if len(b) >= 2 && b[0] == 0xff && b[1] == 3 {
		b = b[2:]
	} else if len(b) >= 4 && (b[0] == 0x0f || b[0] == 0x8f) { // Cisco's HDLC on such a link
		d.ether(be16(b[2:]), b[4:])
		return
	}
	d.ppp(b)
}

// ppp goes on after the protocol field, which may be compressed to one byte (RFC 1661 section 6.5).
func (d *Decoder) ppp(b []byte) {
	if !d.has(b, 2) {
		return
	}
	t := be16(b)
	if b[0]&1 != 0 {
		t, b = uint16(b[0]), b[1:]
	} else {
		b = b[2:]
	}
	switch t {
	case 0x21, 0x57:
		d.ip(b)
	case 0x281, 0x283:
		d.mpls(b)
	default:
		d.skip(NotIP)
	}
}

// wifi takes an IEEE 802.11 data frame that is not encrypted.
func (d *Decoder) wifi(b []byte) {
	if !d.has(b, 24) {
		return
	}
	kind, flags := b[0], b[1]
	switch {
	case kind&0x0c != 0x08 || kind&0x40 != 0: // not data, or data without a body
		d.skip(NotIP)
		return
	case flags&0x40 != 0:
		d.skip(EncryptedLink)
		return
	}
	n := 24
	if flags&3 == 3 {
		n += 6
	}
	if kind&0x80 != 0 { // QoS
		n += 2
		if flags&0x80 != 0 {
			n += 4
		}
	}
	if d.has(b, n) {
		d.llc(b[n:])
	}
}

// nflog takes a packet of Linux's netfilter log: attributes, of which type 9 is the packet from its IP header on.
func (d *Decoder) nflog(b []byte) {
	if !d.has(b, 4) {
		return
	}
	for b = b[4:]; len(b) >= 4; {
		n, t := int(binary.LittleEndian.Uint16(b)), binary.LittleEndian.Uint16(b[2:])&0x7fff
		if n < 4 {
			break
		}
		if t == 9 {
			d.ip(b[4:min(n, len(b))])
			return
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	d.skip(Malformed)
}
