package pcap

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
)

type counter struct{ chunks, bytes uint64 }

func (c *counter) Chunk(k *chunk.Chunk) {
	c.chunks++
	c.bytes += uint64(len(k.Data))
}

// load returns the capture that GNOMON_LOAD names (make_load.py writes it), else a small one of the same shape.
func load(tb testing.TB) []byte {
	tb.Helper()
	if name := os.Getenv("GNOMON_LOAD"); name != "" {
		b, err := os.ReadFile(name)
		require.NoError(tb, err)
		return b
	}
	return synthetic(20_000)
}

// synthetic is a capture of n small calls over one connection after the other, 100 calls each.
func synthetic(n int) []byte {
	w := newWriter()
	for i := 0; i < n; i += 100 {
		c := w.connect(uint16(20_000 + i/100))
		for range 100 {
			c.call("GET /api/v1/orders/1234567 HTTP/1.1\r\nHost: orders.shop.internal\r\nUser-Agent: load/1.0\r\nAccept: application/json\r\n\r\n",
				"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"id\":1234567,\"total\":19.5}")
		}
		c.close()
	}
	return w.bytes()
}

func BenchmarkPackets(b *testing.B) {
	file := load(b)
	packets := 0
	b.Run("chunks", func(b *testing.B) {
		b.SetBytes(int64(len(file)))
		b.ReportAllocs()
		for b.Loop() {
			var c counter
			s := New(Config{}, &c)
			require.NoError(b, s.Read(context.Background(), bytes.NewReader(file)))
			s.Close()
			require.NotZero(b, c.bytes)
			packets = int(s.Stats().Decode.Packets)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(packets), "ns/packet")
	})
	b.Run("gopacket-decode-only", func(b *testing.B) {
		b.SetBytes(int64(len(file)))
		b.ReportAllocs()
		for b.Loop() {
			r, err := pcapgo.NewReader(bytes.NewReader(file))
			require.NoError(b, err)
			var eth layers.Ethernet
			var ip4 layers.IPv4
			var tcp layers.TCP
			var payload gopacket.Payload
			parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip4, &tcp, &payload)
			var found []gopacket.LayerType
			n := 0
			for {
				data, _, err := r.ZeroCopyReadPacketData()
				if err != nil {
					break
				}
				require.NoError(b, parser.DecodeLayers(data, &found))
				n++
			}
			require.Equal(b, packets, n)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(packets), "ns/packet")
	})
}
