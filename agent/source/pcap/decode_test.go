package pcap

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/source/pcap/tcp"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

type found struct {
	src, dst string
	seq, ack uint32
	flags    uint8
	size     uint32
	data     string
}

func decode(packets ...Packet) (list []found, st *DecodeStats) {
	d := NewDecoder(func(s *tcp.Segment) {
		f := found{src: net.JoinHostPort(s.Src.Netip().String(), itoa(s.SrcPort)), dst: net.JoinHostPort(s.Dst.Netip().String(), itoa(s.DstPort)),
			seq: s.Seq, ack: s.Ack, flags: s.Flags, size: s.Len, data: string(s.Data)}
		list = append(list, f)
	})
	for i := range packets {
		d.Packet(&packets[i])
	}
	d.Flush()
	return list, d.Stats()
}

func itoa(p uint16) string { return strconv.Itoa(int(p)) }

var (
	macs = layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}}
	v6a  = net.ParseIP("2001:db8::1")
	v6b  = net.ParseIP("2001:db8::2")
)

func eth(t layers.EthernetType) *layers.Ethernet {
	e := macs
	e.EthernetType = t
	return &e
}

func ip4(p layers.IPProtocol, src, dst string) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: p, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}
}

func ip6(p layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: p, SrcIP: v6a, DstIP: v6b}
}

func segment(ip gopacket.NetworkLayer) *layers.TCP {
	s := &layers.TCP{SrcPort: 4000, DstPort: 80, Seq: 7, Ack: 9, ACK: true, PSH: true, Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)}}}
	must(s.SetNetworkLayerForChecksum(ip))
	return s
}

const payload = "GET / HTTP/1.1\r\n\r\n"

// inner4 is an IPv4 packet with a segment, inner6 the same over IPv6.
func inner4() []byte {
	ip := ip4(layers.IPProtocolTCP, "10.1.0.1", "10.1.0.2")
	return serialize(ip, segment(ip), gopacket.Payload(payload))
}

func inner6() []byte {
	ip := ip6(layers.IPProtocolTCP)
	return serialize(ip, segment(ip), gopacket.Payload(payload))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func udp(port layers.UDPPort, ip *layers.IPv4) *layers.UDP {
	u := &layers.UDP{SrcPort: 50000, DstPort: port}
	must(u.SetNetworkLayerForChecksum(ip))
	return u
}

func TestEveryLinkTypeAndTunnelIsOpened(t *testing.T) {
	in4, in6 := inner4(), inner6()
	ether4 := serialize(eth(layers.EthernetTypeIPv4), gopacket.Payload(in4))
	out := func(p layers.IPProtocol, l ...gopacket.SerializableLayer) []byte {
		return serialize(append([]gopacket.SerializableLayer{eth(layers.EthernetTypeIPv4), ip4(p, "192.0.2.1", "192.0.2.2")}, l...)...)
	}
	overUDP := func(port layers.UDPPort, rest []byte) []byte {
		ip := ip4(layers.IPProtocolUDP, "192.0.2.1", "192.0.2.2")
		return serialize(eth(layers.EthernetTypeIPv4), ip, udp(port, ip), gopacket.Payload(rest))
	}
	llc := []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}
	wifi := join([]byte{0x88, 0x01, 0, 0}, make([]byte, 18), []byte{0, 0}, []byte{0, 0}, llc, in4) // QoS data to the access point
	for name, c := range map[string]struct {
		link  LinkType
		frame []byte
		v6    bool
	}{
		"Ethernet":                 {1, ether4, false},
		"Ethernet, IPv6":           {1, serialize(eth(layers.EthernetTypeIPv6), gopacket.Payload(in6)), true},
		"Ethernet with padding":    {1, join(ether4, []byte("padding")), false},
		"VLAN":                     {1, serialize(eth(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeIPv4}, gopacket.Payload(in4)), false},
		"QinQ":                     {1, serialize(eth(layers.EthernetTypeQinQ), &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeDot1Q}, &layers.Dot1Q{VLANIdentifier: 8, Type: layers.EthernetTypeIPv6}, gopacket.Payload(in6)), true},
		"MPLS, two labels":         {1, serialize(eth(layers.EthernetTypeMPLSUnicast), &layers.MPLS{Label: 1}, &layers.MPLS{Label: 2, StackBottom: true}, gopacket.Payload(in4)), false},
		"MPLS, pseudo-wire":        {1, serialize(eth(layers.EthernetTypeMPLSUnicast), &layers.MPLS{Label: 2, StackBottom: true}, gopacket.Payload(join(make([]byte, 4), ether4))), false},
		"PPPoE":                    {1, serialize(eth(layers.EthernetTypePPPoESession), &layers.PPPoE{Version: 1, Type: 1, SessionId: 3}, &layers.PPP{PPPType: layers.PPPTypeIPv4}, gopacket.Payload(in4)), false},
		"IEEE 802.3 with SNAP":     {1, join(macs.DstMAC, macs.SrcMAC, []byte{0, byte(8 + len(in4))}, llc, in4), false},
		"Linux cooked":             {113, join(make([]byte, 14), []byte{8, 0}, in4), false},
		"Linux cooked v2":          {276, join([]byte{0x86, 0xdd}, make([]byte, 18), in6), true},
		"raw":                      {101, in4, false},
		"raw of OpenBSD":           {14, in6, true},
		"IPv4":                     {228, in4, false},
		"IPv6":                     {229, in6, true},
		"null, little endian":      {0, join([]byte{2, 0, 0, 0}, in4), false},
		"null, big endian":         {0, join([]byte{0, 0, 0, 30}, in6), true},
		"loop":                     {108, join([]byte{0, 0, 0, 24}, in6), true},
		"enc":                      {109, join(make([]byte, 12), in4), false},
		"pflog":                    {117, join([]byte{61, 2}, make([]byte, 62), in4), false},
		"PPP":                      {9, join([]byte{0xff, 3, 0, 0x21}, in4), false},
		"PPP, compressed":          {9, join([]byte{0x21}, in4), false},
		"PPP in HDLC":              {50, join([]byte{0xff, 3, 0, 0x57}, in6), true},
		"Cisco HDLC":               {104, join([]byte{0x0f, 0, 8, 0}, in4), false},
		"PPPoE as link":            {51, join([]byte{0x11, 0, 0, 1, 0, byte(2 + len(in4)), 0, 0x21}, in4), false},
		"Wi-Fi":                    {105, wifi, false},
		"Wi-Fi with radiotap":      {127, join([]byte{0, 0, 12, 0, 0, 0, 0, 0, 1, 2, 3, 4}, wifi), false},
		"PPI around Wi-Fi":         {192, join([]byte{0, 0, 8, 0, 105, 0, 0, 0}, wifi), false},
		"netfilter log":            {239, join([]byte{2, 0, 0, 0, 6, 0, 1, 0, 'a', 'b', 0, 0, byte(4 + len(in4)), 0, 9, 0}, in4), false},
		"IPv4 in IPv4":             {1, out(4, gopacket.Payload(in4)), false},
		"IPv6 in IPv4":             {1, out(41, gopacket.Payload(in6)), true},
		"GRE":                      {1, out(47, &layers.GRE{Protocol: layers.EthernetTypeIPv4}, gopacket.Payload(in4)), false},
		"GRE, all fields":          {1, out(47, &layers.GRE{Protocol: layers.EthernetTypeIPv6, ChecksumPresent: true, KeyPresent: true, SeqPresent: true}, gopacket.Payload(in6)), true},
		"GRE around Ethernet":      {1, out(47, &layers.GRE{Protocol: etherTEB, KeyPresent: true}, gopacket.Payload(ether4)), false},
		"ERSPAN I":                 {1, out(47, &layers.GRE{Protocol: etherERSPAN}, gopacket.Payload(ether4)), false},
		"ERSPAN II":                {1, out(47, &layers.GRE{Protocol: etherERSPAN, SeqPresent: true}, gopacket.Payload(join(make([]byte, 8), ether4))), false},
		"ERSPAN III":               {1, out(47, &layers.GRE{Protocol: etherERSPAN3, SeqPresent: true}, gopacket.Payload(join(make([]byte, 11), []byte{1}, make([]byte, 8), ether4))), false},
		"PPTP":                     {1, out(47, gopacket.Payload(join([]byte{0x30, 0x81, 0x88, 0x0b, 0, byte(len(in4) + 4), 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21}, in4))), false},
		"VXLAN":                    {1, overUDP(4789, join([]byte{8, 0, 0, 0, 0, 0, 7, 0}, ether4)), false},
		"VXLAN on Linux's port":    {1, overUDP(8472, join([]byte{8, 0, 0, 0, 0, 0, 7, 0}, ether4)), false},
		"VXLAN-GPE":                {1, overUDP(4790, join([]byte{0x0c, 0, 0, 2, 0, 0, 7, 0}, in6)), true},
		"Geneve with options":      {1, overUDP(6081, join([]byte{2, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 1, 0, 0, 0, 0}, ether4)), false},
		"Geneve around IP":         {1, overUDP(6081, join([]byte{0, 0, 8, 0, 0, 0, 7, 0}, in4)), false},
		"GTP-U":                    {1, overUDP(2152, join([]byte{0x30, 0xff, 0, byte(len(in4)), 0, 0, 0, 1}, in4)), false},
		"GTP-U with an extension":  {1, overUDP(2152, join([]byte{0x34, 0xff, 0, byte(len(in4) + 8), 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 9, 0}, in4)), false},
		"MPLS over UDP":            {1, overUDP(6635, join([]byte{0, 0, 0x11, 64}, in4)), false},
		"VXLAN around VLAN":        {1, overUDP(4789, join([]byte{8, 0, 0, 0, 0, 0, 7, 0}, serialize(eth(layers.EthernetTypeDot1Q), &layers.Dot1Q{Type: layers.EthernetTypeIPv4}, gopacket.Payload(in4)))), false},
		"GRE inside VXLAN":         {1, overUDP(4789, join([]byte{8, 0, 0, 0, 0, 0, 7, 0}, out(47, &layers.GRE{Protocol: layers.EthernetTypeIPv4}, gopacket.Payload(in4)))), false},
		"authentication header":    {101, join(ipHeader(51, 24+len(in4)-20), []byte{6, 4, 0, 0}, make([]byte, 20), in4[20:]), false},
		"IPv4 with options":        {101, withOptions(in4), false},
		"IPv6 extension headers":   {101, extended(in6, []byte{60, 0, 5, 2, 0, 0, 1, 0}, []byte{6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), true},
		"IPv6 atomic fragment":     {101, extendedFrom(44, in6, []byte{6, 0, 0, 0, 1, 2, 3, 4}), true},
		"segmentation offload, v4": {101, zeroLength(in4, 2), false},
		"segmentation offload, v6": {101, zeroLength(in6, 4), true},
	} {
		t.Run(name, func(t *testing.T) {
			got, st := decode(Packet{Data: c.frame, Len: uint32(len(c.frame)), Link: c.link})
			want := found{src: "10.1.0.1:4000", dst: "10.1.0.2:80", seq: 7, ack: 9, flags: 0x18, size: uint32(len(payload)), data: payload}
			if c.v6 {
				want.src, want.dst = "[2001:db8::1]:4000", "[2001:db8::2]:80"
			}
			require.Equal(t, []found{want}, got, "skipped: %v", st.Skipped)
			for n := range c.frame { // cut anywhere: what is there is what comes
				cut, st := decode(Packet{Data: c.frame[:n], Len: uint32(len(c.frame)), Link: c.link})
				for _, f := range cut {
					require.Equal(t, want.size, f.size)
					require.Equal(t, want.data[:len(f.data)], f.data)
				}
				if len(cut) == 0 {
					var skipped uint64
					for _, v := range st.Skipped {
						skipped += v
					}
					require.EqualValues(t, 1, skipped, "cut at %d: a packet that gives nothing is counted once", n)
				}
			}
		})
	}
}

func ipHeader(proto byte, payload int) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, proto, 0, 0, 10, 1, 0, 1, 10, 1, 0, 2}
	binary.BigEndian.PutUint16(b[2:], uint16(20+payload))
	return b
}

func withOptions(in []byte) []byte {
	b := join(in[:20], []byte{1, 1, 1, 0}, in[20:])
	b[0] = 0x46
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func extended(in []byte, headers ...[]byte) []byte { return extendedFrom(0, in, headers...) }

func extendedFrom(first byte, in []byte, headers ...[]byte) []byte {
	b := join(in[:40], join(headers...), in[40:])
	b[6] = first
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

func zeroLength(in []byte, at int) []byte {
	b := bytes.Clone(in)
	b[at], b[at+1] = 0, 0
	return b
}

func TestWhatIsNoTCPIsCountedByReason(t *testing.T) {
	overUDP := func(port layers.UDPPort, rest string) []byte {
		ip := ip4(layers.IPProtocolUDP, "192.0.2.1", "192.0.2.2")
		return serialize(eth(layers.EthernetTypeIPv4), ip, udp(port, ip), gopacket.Payload(rest))
	}
	tooDeep := inner4()
	for range 12 {
		tooDeep = join(ipHeader(4, len(tooDeep)), tooDeep)
	}
	tags := []byte{}
	for range 40 {
		tags = append(tags, 0x81, 0, 0, 1)
	}
	for want, c := range map[Reason]struct {
		link  LinkType
		frame []byte
	}{
		UnknownLink:    {147, inner4()},
		EncryptedLink:  {105, join([]byte{0x08, 0x40}, make([]byte, 40))},
		NotIP:          {1, serialize(eth(0x88cc), gopacket.Payload("lldp"))},
		ARP:            {1, serialize(eth(layers.EthernetTypeARP), gopacket.Payload(make([]byte, 28)))},
		ICMP:           {101, join(ipHeader(1, 8), make([]byte, 8))},
		DNS:            {1, overUDP(53, "query")},
		QUIC:           {1, overUDP(443, "\xc0\x00\x00\x00\x01")},
		UDP:            {1, overUDP(9, "x")},
		SCTP:           {101, join(ipHeader(132, 8), make([]byte, 8))},
		ESP:            {101, join(ipHeader(50, 8), make([]byte, 8))},
		OtherTransport: {101, join(ipHeader(89, 8), make([]byte, 8))},
		Malformed:      {101, join([]byte{0x44}, inner4()[1:])},
		UnknownTunnel:  {101, join(ipHeader(47, 8), []byte{0x40, 0, 8, 0, 0, 0, 0, 0})},
		TooDeep:        {101, tooDeep},
	} {
		_, st := decode(Packet{Data: c.frame, Len: uint32(len(c.frame)), Link: c.link})
		require.EqualValues(t, 1, st.Skipped[want], "%v: %v", want, st.Skipped)
	}
	_, st := decode(Packet{Data: join(macs.DstMAC, macs.SrcMAC, tags), Len: 200, Link: 1})
	require.EqualValues(t, 1, st.Skipped[TooDeep])
}

// fragmented cuts an IPv4 packet into fragments of size bytes, a multiple of 8.
func fragmented(in []byte, size int, id uint16) (list [][]byte) {
	body := in[20:]
	for off := 0; off < len(body); off += size {
		end := min(off+size, len(body))
		b := join(in[:20], body[off:end])
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], id)
		f := uint16(off / 8)
		if end < len(body) {
			f |= 0x2000
		}
		binary.BigEndian.PutUint16(b[6:], f)
		list = append(list, b)
	}
	return list
}

func raw(at event.Time, frames ...[]byte) (list []Packet) {
	for _, f := range frames {
		list = append(list, Packet{Data: f, Len: uint32(len(f)), Link: LinkRaw, Time: at})
	}
	return list
}

func TestFragmentsInAnyOrderWithCopiesAndOverlapsGiveTheDatagram(t *testing.T) {
	want, _ := decode(raw(0, inner4())...)
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		f := fragmented(inner4(), 8*(1+rnd.IntN(4)), 9)
		f = append(f, fragmented(inner4(), 8*(1+rnd.IntN(4)), 9)[:rnd.IntN(2)]...) // other cuts of the same, overlapping
		rnd.Shuffle(len(f), func(i, j int) { f[i], f[j] = f[j], f[i] })
		got, st := decode(raw(0, f...)...)
		require.Equal(t, want, got)
		require.LessOrEqual(t, st.Skipped[FragmentLost], uint64(3), "late copies only")
	}
	// Two datagrams at once, IPv6 too.
	one, two := fragmented(inner4(), 16, 1), fragmented(inner4(), 24, 2)
	got, _ := decode(raw(0, append(slices.Concat(one[1:], two), one[0])...)...)
	require.Equal(t, []found{want[0], want[0]}, got)
	in := inner6()
	body := in[40:]
	part := func(off, end int, more byte) []byte {
		return extendedFrom(44, join(in[:40], body[off:end]), []byte{6, 0, byte(off >> 8), byte(off) | more, 0, 0, 0, 7})
	}
	want, _ = decode(raw(0, in)...)
	got, _ = decode(raw(0, part(16, len(body), 0), part(0, 16, 1))...)
	require.Equal(t, want, got)
}

func TestOfOverlappingFragmentsTheFirstCopyWins(t *testing.T) {
	f := fragmented(inner4(), 24, 5)
	forged := bytes.Clone(f[1])
	for i := range forged[20:] {
		forged[20+i] = 'X'
	}
	got, _ := decode(raw(0, f[0], f[1], forged, f[2])...)
	want, _ := decode(raw(0, inner4())...)
	require.Equal(t, want, got)
}

func TestFragmentsThatNeverMeetAreBoundedAndCounted(t *testing.T) {
	d := NewDecoder(func(*tcp.Segment) { t.Fatal("no datagram is whole") })
	for i := range 5000 {
		f := fragmented(inner4(), 8, uint16(i))
		d.Packet(&Packet{Data: f[1], Len: uint32(len(f[1])), Link: LinkRaw, Time: event.Time(i)})
		require.LessOrEqual(t, len(d.frags.open), maxDatagrams)
	}
	d.Packet(&raw(event.Time(time.Hour), fragmented(inner4(), 8, 1)[0])[0])
	require.Len(t, d.frags.open, 1, "the others timed out")
	d.Flush()
	require.EqualValues(t, 5001, d.stats.Skipped[FragmentLost])
	got, st := decode(raw(0, func() []byte { b := fragmented(inner4(), 8, 1)[0]; return b[:len(b)-1] }())...)
	require.Empty(t, got)
	require.EqualValues(t, 1, st.Skipped[FragmentCut]+st.Skipped[FragmentLost])
}

func TestThePublicCapturesHaveTheSegmentsThatGopacketFinds(t *testing.T) {
	segments := 0
	for _, name := range captures(t) {
		file, err := os.ReadFile(name)
		require.NoError(t, err)
		packets, err := readAll(bytes.NewReader(file))
		require.NoError(t, err)
		for i, p := range packets {
			got, _ := decode(Packet{Data: p.data, Len: p.size, Link: p.link})
			all := gopacket.NewPacket(p.data, layers.LinkType(p.link), gopacket.DecodeOptions{Lazy: false, NoCopy: true})
			tl, _ := all.Layer(layers.LayerTypeTCP).(*layers.TCP)
			if e := all.ErrorLayer(); tl == nil && e != nil && len(got) > 0 {
				t.Logf("%s packet %d: gopacket gives up: %v", name, i+1, e.Error())
				continue
			}
			if tl == nil {
				require.Empty(t, got, "%s packet %d", name, i+1)
				continue
			}
			require.Len(t, got, 1, "%s packet %d", name, i+1)
			require.Equal(t, []uint16{uint16(tl.SrcPort), uint16(tl.DstPort)}, []uint16{port(got[0].src), port(got[0].dst)})
			require.Equal(t, []uint32{tl.Seq, tl.Ack}, []uint32{got[0].seq, got[0].ack})
			require.Equal(t, string(tl.Payload), got[0].data, "%s packet %d", name, i+1)
			require.Equal(t, all.NetworkLayer().NetworkFlow().Src().String(), host(got[0].src))
			segments++
		}
	}
	require.Greater(t, segments, 1000)
}

func host(s string) string { h, _, _ := net.SplitHostPort(s); return h }

func port(s string) (p uint16) {
	_, t, _ := net.SplitHostPort(s)
	for _, c := range t {
		p = p*10 + uint16(c-'0')
	}
	return p
}

func TestDecodingDoesNotAllocate(t *testing.T) {
	n := 0
	d := NewDecoder(func(*tcp.Segment) { n++ })
	frame := serialize(eth(layers.EthernetTypeIPv4), gopacket.Payload(inner4()))
	p := Packet{Data: frame, Len: uint32(len(frame)), Link: LinkEthernet}
	require.Zero(t, testing.AllocsPerRun(1000, func() { d.Packet(&p) }))
	parts := raw(0, fragmented(inner4(), 16, 7)...)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		for i := range parts {
			d.Packet(&parts[i])
		}
	}))
	require.NotZero(t, n)
}

// FuzzDecode: any frame of any link type gives segments within it, and takes bounded time.
func FuzzDecode(f *testing.F) {
	f.Add(uint16(1), 0, serialize(eth(layers.EthernetTypeIPv4), gopacket.Payload(inner4())))
	f.Add(uint16(101), 3, extended(inner6(), []byte{60, 0, 5, 2, 0, 0, 1, 0}))
	f.Add(uint16(101), 0, fragmented(inner4(), 16, 1)[0])
	ip := ip4(layers.IPProtocolUDP, "192.0.2.1", "192.0.2.2")
	f.Add(uint16(1), 0, serialize(eth(layers.EthernetTypeIPv4), ip, udp(4789, ip), gopacket.Payload(join([]byte{8, 0, 0, 0, 0, 0, 7, 0}, inner4()))))
	f.Fuzz(func(t *testing.T, link uint16, extra int, frame []byte) {
		d := NewDecoder(func(s *tcp.Segment) {
			require.LessOrEqual(t, len(s.Data), int(s.Len))
			require.Less(t, s.Len, uint32(1<<20))
			require.LessOrEqual(t, len(s.Data), len(frame)+maxDatagram)
		})
		p := Packet{Data: frame, Len: uint32(len(frame) + extra&0xffff), Link: LinkType(link)}
		d.Packet(&p)
		d.Packet(&p)
		d.Flush()
		require.EqualValues(t, 2, d.stats.Packets)
	})
}
