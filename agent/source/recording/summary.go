package recording

import (
	"fmt"
	"slices"

	"github.com/gnomon-sensor/gnomon/agent/source/pcap"
	"github.com/gnomon-sensor/gnomon/agent/source/pcap/tcp"
)

// File is what became of one file.
type File struct {
	Name   string
	Format Format
	Bytes  int64  // read of it, packed as it is
	Fault  string // why it was not read to its end, "" if it was
}

// Reason counts what gave no call, or what is worth knowing of how it was read.
type Reason struct {
	Name   string // closed set
	Count  uint64
	Detail string
}

// Summary is what was read.
type Summary struct {
	Files     []File
	Packets   uint64
	Chunks    uint64 // of recordings of chunks
	Exchanges uint64 // of HAR and logs
	Calls     uint64 // of Call lines
	Decode    pcap.DecodeStats
	TCP       tcp.Stats
	Skipped   []Reason // what gave no call
	Notes     []Reason // how streams were made
}

func (s *Summary) add(name string, n uint64, detail string) {
	if n == 0 {
		return
	}
	for i := range s.Skipped {
		if s.Skipped[i].Name == name {
			s.Skipped[i].Count += n
			return
		}
	}
	s.Skipped = append(s.Skipped, Reason{name, n, detail})
}

var details = map[pcap.Reason]string{
	pcap.UnknownLink:    "packets of a link type that is not decoded",
	pcap.EncryptedLink:  "encrypted Wi-Fi frames: decrypt the capture first",
	pcap.NotIP:          "frames that carry no IP",
	pcap.ARP:            "packets",
	pcap.ICMP:           "packets",
	pcap.DNS:            "packets",
	pcap.QUIC:           "packets, HTTP/3 perhaps: not decoded",
	pcap.UDP:            "other packets over UDP",
	pcap.SCTP:           "packets",
	pcap.ESP:            "IPsec packets: encrypted",
	pcap.OtherTransport: "packets of other transport protocols",
	pcap.Malformed:      "packets whose headers contradict themselves",
	pcap.HeadersCut:     "packets cut before the end of their headers: capture with a larger snapshot length",
	pcap.FragmentCut:    "IP fragments cut by the snapshot length",
	pcap.FragmentLost:   "IP fragments whose others are not in the recording",
	pcap.UnknownTunnel:  "packets in a tunnel that is not decoded",
	pcap.TooDeep:        "packets with more tags or tunnels around them than are followed",
}

// Summary returns what was read so far.
func (r *Reader) Summary() Summary {
	s := r.sum
	s.Files = slices.Clone(s.Files)
	s.Skipped = slices.Clone(s.Skipped)
	if r.pcap == nil {
		return s
	}
	st := r.pcap.Stats()
	s.Decode, s.TCP, s.Packets = st.Decode, st.TCP, st.Decode.Packets
	for reason, n := range st.Decode.Skipped {
		detail := details[pcap.Reason(reason)]
		if pcap.Reason(reason) == pcap.UnknownLink && n > 0 {
			links := make([]pcap.LinkType, 0, len(st.Decode.Links))
			for l := range st.Decode.Links {
				links = append(links, l)
			}
			slices.Sort(links)
			detail = fmt.Sprintf("%s: %v", detail, links[:min(len(links), 8)])
		}
		s.add(pcap.Reason(reason).String(), n, detail)
	}
	t := &st.TCP
	s.add("cut", t.Cut, "payload bytes cut by the snapshot length")
	s.add("missing", t.Missing, "payload bytes that the recording lacks")
	s.add("after_end", t.AfterEnd, "payload bytes past the end of their connection")
	s.add("evicted", t.Evicted, "connections forgotten to bound memory")
	s.add("over_budget", t.OverBudget, "gaps declared early to bound memory")
	note := func(name string, n uint64, detail string) {
		if n > 0 {
			s.Notes = append(s.Notes, Reason{name, n, detail})
		}
	}
	note("mid_stream", t.MidStream, "connections whose start is not in the recording")
	note("retransmitted", t.Retransmitted, "payload bytes that came more than once")
	note("out_of_order", t.OutOfOrder, "segments put in order")
	note("tunnelled", st.Decode.Tunnelled, "packets taken out of tunnels")
	note("fragments", st.Decode.Fragments, "IP fragments")
	note("ports_reused", t.Reused, "connections ended by a new one on the same ports")
	note("times_backwards", t.Backwards, "packets older than one before")
	return s
}

// Faults says how many files were not read to their end, or not whole.
func (s *Summary) Faults() (n int) {
	for _, f := range s.Files {
		if f.Fault != "" {
			n++
		}
	}
	return n
}
