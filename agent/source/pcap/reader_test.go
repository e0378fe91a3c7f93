package pcap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

type read struct {
	data []byte
	size uint32
	link LinkType
	time event.Time
}

func readAll(r io.Reader) (list []read, err error) {
	rd, err := NewReader(r)
	if err != nil {
		return nil, err
	}
	var p Packet
	for {
		if err := rd.Next(&p); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return list, err
		}
		list = append(list, read{bytes.Clone(p.Data), p.Len, p.Link, p.Time})
	}
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// classic makes a pcap file by hand.
func classic(order byteOrder, magic uint32, snaplen, link uint32, packets ...[5]uint32) []byte {
	b := make([]byte, 24)
	order.PutUint32(b, magic)
	order.PutUint16(b[4:], 2)
	order.PutUint16(b[6:], 4)
	order.PutUint32(b[16:], snaplen)
	order.PutUint32(b[20:], link)
	for _, p := range packets { // seconds, fraction, captured, length, bytes that are there
		h := make([]byte, 16)
		for i := range 4 {
			order.PutUint32(h[4*i:], p[i])
		}
		if magic == magicPatched {
			h = append(h, make([]byte, 8)...)
		}
		b = append(append(b, h...), bytes.Repeat([]byte{0xaa}, int(p[4]))...)
	}
	return b
}

func TestClassicFilesOfEveryByteOrderAndResolution(t *testing.T) {
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		for magic, frac := range map[uint32]event.Time{magicMicro: 7000, magicNano: 7, magicPatched: 7000} {
			got, err := readAll(bytes.NewReader(classic(order, magic, 65535, 1|0x10000000, [5]uint32{100, 7, 3, 9, 3}, [5]uint32{101, 0, 0, 0, 0})))
			require.NoError(t, err)
			require.Len(t, got, 2)
			require.Equal(t, read{[]byte{0xaa, 0xaa, 0xaa}, 9, LinkEthernet, 100e9 + frac}, got[0])
		}
	}
}

// block makes a pcapng block.
func block(order byteOrder, typ uint32, body []byte) []byte {
	n := 12 + (len(body)+3)&^3
	b := make([]byte, n)
	order.PutUint32(b, typ)
	order.PutUint32(b[4:], uint32(n))
	copy(b[8:], body)
	order.PutUint32(b[n-4:], uint32(n))
	return b
}

func words(order byteOrder, v ...uint32) (b []byte) {
	for _, w := range v {
		b = order.AppendUint32(b, w)
	}
	return b
}

func section(order byteOrder) []byte {
	body := words(order, byteOrderMagic)
	body = order.AppendUint16(order.AppendUint16(body, 1), 0)
	return block(order, blockSection, append(body, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
}

func description(order byteOrder, link uint16, snap uint32, options ...[]byte) []byte {
	b := order.AppendUint16(order.AppendUint16(nil, link), 0)
	b = order.AppendUint32(b, snap)
	for _, o := range options {
		b = append(b, o...)
	}
	return block(order, blockInterface, b)
}

func option(order byteOrder, code uint16, v []byte) []byte {
	b := order.AppendUint16(order.AppendUint16(nil, code), uint16(len(v)))
	b = append(b, v...)
	return append(b, make([]byte, -len(v)&3)...)
}

func enhanced(order byteOrder, id uint32, stamp uint64, length uint32, data []byte) []byte {
	b := words(order, id, uint32(stamp>>32), uint32(stamp), uint32(len(data)), length)
	return block(order, blockEnhanced, append(b, data...))
}

func TestPcapngWithSeveralSectionsInterfacesAndResolutions(t *testing.T) {
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		offset := make([]byte, 8)
		order.PutUint64(offset, 1000)
		file := bytes.Join([][]byte{
			section(order),
			description(order, 1, 0),
			description(order, 113, 3, option(order, 2, []byte("eth0")), option(order, optResolution, []byte{9}), option(order, optOffset, offset), option(order, optEnd, nil)),
			description(order, 101, 0, option(order, optResolution, []byte{0x80 | 10})),
			block(order, 0x0000000a, []byte("secrets of some kind")), // passed over
			enhanced(order, 0, 5_000_001, 4, []byte("abcd")),
			enhanced(order, 1, 7, 100, []byte("efg")),
			enhanced(order, 2, 3<<10|512, 1, []byte("h")),
			block(order, blockSimple, append(words(order, 2), "ij"...)),
			block(order, blockPacket, append(words(order, func() uint32 { // interface 1, drops 9
				b := order.AppendUint16(order.AppendUint16(nil, 1), 9)
				return order.Uint32(b)
			}(), 0, 8, 1, 1), 'k')),
			section(binary.BigEndian),
			description(binary.BigEndian, 276, 0),
			enhanced(binary.BigEndian, 0, 1, 1, []byte("l")),
		}, nil)
		got, err := readAll(bytes.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, []read{
			{[]byte("abcd"), 4, 1, 5_000_001_000},
			{[]byte("efg"), 100, 113, 1000e9 + 7},
			{[]byte("h"), 1, 101, 3_500_000_000},
			{[]byte("ij"), 2, 1, 3_500_000_000}, // a simple packet has no time: the one before's
			{[]byte("k"), 1, 113, 1000e9 + 8},
			{[]byte("l"), 1, 276, 1000},
		}, got)
	}
}

func TestFilesThatGopacketWritesAreReadTheSame(t *testing.T) {
	frames := newWriter().connect(4000).w.frames
	want, err := readAll(bytes.NewReader(pcapOf(layers.LinkTypeEthernet, frames)))
	require.NoError(t, err)
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	require.NoError(t, err)
	for _, f := range frames {
		require.NoError(t, w.WritePacket(gopacket.CaptureInfo{Timestamp: f.at, CaptureLength: len(f.data), Length: len(f.data)}, f.data))
	}
	require.NoError(t, w.Flush())
	got, err := readAll(&b)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// lie is a file with a fault: where, and what is read before it.
type lie struct {
	file   []byte
	offset int64
	what   string
	before int
}

func lies() map[string]lie {
	le := binary.LittleEndian
	two := [5]uint32{1, 0, 4, 4, 4}
	head := append(section(le), description(le, 1, 0)...)
	packet := enhanced(le, 0, 1, 4, []byte("abcd"))
	at := int64(len(head))
	patch := func(b []byte, off int, v uint32) []byte {
		b = bytes.Clone(b)
		le.PutUint32(b[off:], v)
		return b
	}
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	return map[string]lie{
		"empty":                     {nil, 0, "EOF", 0},
		"foreign":                   {[]byte("%PDF-1.7 and so on"), 0, "neither pcap nor pcapng", 0},
		"three bytes":               {[]byte{0xd4, 0xc3, 0xb2}, 0, "ends inside the file header", 0},
		"header cut":                {classic(le, magicMicro, 0, 1)[:20], 0, "ends inside the file header: 20 of 24 bytes", 0},
		"unknown version":           {patch(classic(le, magicMicro, 0, 1), 4, 9), 4, "version 9", 0},
		"snaplen 0":                 {classic(le, magicMicro, 0, 1, two), -1, "", 1}, // means no limit
		"snaplen below a packet":    {classic(le, magicMicro, 2, 1, two), -1, "", 1},
		"length below captured":     {classic(le, magicMicro, 0, 1, [5]uint32{1, 0, 4, 2, 4}), -1, "", 1},
		"times backwards":           {classic(le, magicMicro, 0, 1, [5]uint32{9, 0, 4, 4, 4}, [5]uint32{1, 5_000_000, 4, 4, 4}), -1, "", 2},
		"packet header cut":         {classic(le, magicMicro, 0, 1, two, two)[:24+20+9], 44, "ends inside the packet header: 9 of 16 bytes", 1},
		"cut inside a packet":       {classic(le, magicMicro, 0, 1, two, two)[:24+20+18], 44, "ends inside the packet: 18 of 20 bytes", 2},
		"2 GiB packet":              {classic(le, magicMicro, 0, 1, two, [5]uint32{1, 0, 1 << 31, 1 << 31, 4}), 44, "claims 2147483648 bytes", 1},
		"no byte order":             {patch(section(le), 8, 7), 8, "byte order mark", 0},
		"unknown ng version":        {patch(section(le), 12, 2), 12, "version 2", 0},
		"block length 0":            {join(head, packet, patch(packet, 4, 0)), at + int64(len(packet)) + 4, "impossible length 0", 1},
		"block length odd":          {join(head, packet, patch(packet, 4, 37)), at + int64(len(packet)) + 4, "impossible length 37", 1},
		"block lengths differ":      {join(head, packet, patch(packet, len(packet)-4, 40)), at + int64(2*len(packet)) - 4, "36 at the start, 40 at the end", 1},
		"2 GiB options":             {join(head, packet, patch(packet, 4, 1<<31)), at + int64(len(packet)), "ends inside the packet block", 2}, // what is there of it is a whole packet
		"2 GiB unknown block":       {join(head, packet, patch(block(le, 99, nil), 4, 1<<31)), at + int64(len(packet)), "ends inside the block: 12 of 2147483648 bytes", 1},
		"2 GiB interface":           {join(head, packet, patch(description(le, 1, 0), 4, 1<<31)), at + int64(len(packet)), "ends inside the interface description", 1},
		"captured above the block":  {join(head, packet, patch(packet, 20, 5)), at + int64(len(packet)) + 20, "claims 5 bytes in a block of 36", 1},
		"interface not described":   {join(head, packet, patch(packet, 8, 1)), at + int64(len(packet)) + 8, "interface 1, of 1 described", 1},
		"no interface":              {join(section(le), packet), 28 + 8, "interface 0, of 0 described", 0},
		"packet block too short":    {join(head, packet, block(le, blockEnhanced, make([]byte, 8))), at + int64(len(packet)) + 4, "packet block of 20 bytes", 1},
		"resolution out of range":   {join(section(le), description(le, 1, 0, option(le, optResolution, []byte{20}))), 28, "10^-20", 0},
		"interface too short":       {join(section(le), block(le, blockInterface, nil)), 32, "interface description of 12 bytes", 0},
		"option past the block":     {join(section(le), description(le, 1, 0, []byte{9, 0, 200, 0}), packet), -1, "", 1},
		"cut inside a block header": {join(head, packet, packet[:7]), at + int64(len(packet)), "ends inside the block header: 7 of 12 bytes", 1},
		"cut inside a block":        {join(head, packet, packet[:30]), at + int64(len(packet)), "ends inside the packet", 2},
	}
}

func TestABrokenFileIsReadUpToTheFaultWhosePlaceIsTold(t *testing.T) {
	for name, c := range lies() {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(bytes.NewReader(c.file))
			require.Len(t, got, c.before)
			if c.offset < 0 {
				require.NoError(t, err)
				return
			}
			if name == "empty" {
				return // the Source makes a fault of it
			}
			var f *Fault
			require.ErrorAs(t, err, &f)
			require.Equal(t, c.offset, f.Offset, "%v", err)
			require.ErrorContains(t, err, c.what)
		})
	}
	_, err := NewReader(bytes.NewReader(nil))
	require.ErrorIs(t, err, io.EOF)
	require.ErrorContains(t, New(Config{}, &counter{}).Read(context.Background(), bytes.NewReader(nil)), "byte 0: the file is empty")
}

func TestALieAboutALengthCostsNoMemory(t *testing.T) {
	for name, c := range lies() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = readAll(bytes.NewReader(c.file))
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20), name)
	}
}

func TestAFaultOfTheReaderBelowIsToldWithItsPlace(t *testing.T) {
	file := classic(binary.LittleEndian, magicMicro, 0, 1, [5]uint32{1, 0, 4, 4, 4}, [5]uint32{1, 0, 4, 4, 4})
	broken := errors.New("the disk is on fire")
	got, err := readAll(io.MultiReader(bytes.NewReader(file), iotest.ErrReader(broken)))
	require.Len(t, got, 2)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "byte 64")
}

// captures are the public ones, where they are there.
func captures(tb testing.TB) []string {
	list, err := filepath.Glob("../../../../shared/bench/captures/*.pcap*")
	require.NoError(tb, err)
	if len(list) == 0 {
		tb.Skip("shared/bench/captures is not beside this tree")
	}
	return list
}

func TestThePublicCapturesHaveThePacketsThatGopacketReads(t *testing.T) {
	for _, name := range captures(t) {
		file, err := os.ReadFile(name)
		require.NoError(t, err)
		got, err := readAll(bytes.NewReader(file))
		require.NoError(t, err, name)
		var next func() ([]byte, gopacket.CaptureInfo, error)
		if r, err := pcapgo.NewReader(bytes.NewReader(file)); err == nil {
			r.SetSnaplen(1 << 18)
			next = r.ReadPacketData
		} else {
			r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
			require.NoError(t, err, name)
			next = r.ReadPacketData
		}
		for i := 0; ; i++ {
			data, ci, err := next()
			if errors.Is(err, io.EOF) {
				require.Len(t, got, i, name)
				break
			}
			require.NoError(t, err, name)
			require.Equal(t, data, got[i].data, name)
			require.Equal(t, ci.Timestamp.Truncate(time.Microsecond).UnixNano(), int64(got[i].time)/1000*1000, name)
			require.EqualValues(t, ci.Length, got[i].size, name)
		}
	}
}

// FuzzReader: whatever the bytes, and however they come, the packets are the same, none is larger than the file, and a
// fault is within the file.
func FuzzReader(f *testing.F) {
	for _, c := range lies() {
		f.Add(c.file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := readAll(bytes.NewReader(file))
		slow, err2 := readAll(iotest.OneByteReader(bytes.NewReader(file)))
		require.Equal(t, got, slow)
		require.Equal(t, err == nil, err2 == nil)
		if err != nil {
			require.Equal(t, err.Error(), err2.Error())
		}
		total := 0
		for _, p := range got {
			total += len(p.data)
			require.GreaterOrEqual(t, int(p.size), len(p.data))
		}
		require.LessOrEqual(t, total, len(file))
		var fault *Fault
		if errors.As(err, &fault) {
			require.LessOrEqual(t, fault.Offset, int64(len(file))+4)
		}
		_ = New(Config{}, &counter{}).Read(context.Background(), bytes.NewReader(file))
	})
}
