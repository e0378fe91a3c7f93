package pcap

import (
	"bytes"
	"net"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// frame is one packet of a recording that a test makes.
type frame struct {
	at   time.Time
	data []byte
}

// writer makes recordings with gopacket, an implementation that is not ours.
type writer struct {
	now    time.Time
	frames []frame
}

func newWriter() *writer { return &writer{now: time.Unix(1_764_000_000, 0)} }

func (w *writer) add(data []byte) {
	w.now = w.now.Add(10 * time.Microsecond)
	w.frames = append(w.frames, frame{w.now, data})
}

func pcapOf(link layers.LinkType, frames []frame) []byte {
	var b bytes.Buffer
	p := pcapgo.NewWriter(&b)
	must(p.WriteFileHeader(65535, link))
	for _, f := range frames {
		must(p.WritePacket(gopacket.CaptureInfo{Timestamp: f.at, CaptureLength: len(f.data), Length: len(f.data)}, f.data))
	}
	return b.Bytes()
}

func (w *writer) bytes() []byte { return pcapOf(layers.LinkTypeEthernet, w.frames) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func serialize(l ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	must(gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...))
	return append([]byte(nil), b.Bytes()...)
}

// talk is a TCP connection that a test plays.
type talk struct {
	w        *writer
	port     uint16
	seq, ack uint32 // client's and server's next
}

const mss = 1448

var (
	clientIP = net.IPv4(10, 1, 0, 1).To4()
	serverIP = net.IPv4(10, 2, 0, 1).To4()
)

func (c *talk) segment(fromServer bool, fin, syn bool, payload []byte) []byte {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: clientIP, DstIP: serverIP}
	t := &layers.TCP{SrcPort: layers.TCPPort(c.port), DstPort: 8080, Seq: c.seq, Ack: c.ack, ACK: true, FIN: fin, SYN: syn, Window: 64240}
	next := &c.seq
	if fromServer {
		ip.SrcIP, ip.DstIP = serverIP, clientIP
		t.SrcPort, t.DstPort, t.Seq, t.Ack = 8080, layers.TCPPort(c.port), c.ack, c.seq
		next = &c.ack
	} else if syn {
		t.ACK, t.Ack = false, 0
	}
	must(t.SetNetworkLayerForChecksum(ip))
	*next += uint32(len(payload))
	if fin || syn {
		*next++
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	return serialize(eth, ip, t, gopacket.Payload(payload))
}

func (w *writer) connect(port uint16) *talk {
	c := &talk{w: w, port: port, seq: 0xfffff000 + uint32(port), ack: 0x7fffff00}
	w.add(c.segment(false, false, true, nil))
	w.add(c.segment(true, false, true, nil))
	w.add(c.segment(false, false, false, nil))
	return c
}

func (c *talk) send(fromServer bool, text string) {
	for b := []byte(text); len(b) > 0; {
		n := min(len(b), mss)
		c.w.add(c.segment(fromServer, false, false, b[:n]))
		b = b[n:]
	}
}

func (c *talk) call(request, response string) {
	c.send(false, request)
	c.send(true, response)
}

func (c *talk) close() {
	c.w.add(c.segment(false, true, false, nil))
	c.w.add(c.segment(true, true, false, nil))
	c.w.add(c.segment(false, false, false, nil))
}
