package recording

import (
	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
)

// meter counts what a recording holds as captured, and what its chunks report without holding it as lost. The table that
// follows accounts for the chunks and for the bytes that they hold.
type meter struct {
	next chunk.Handler
	led  *ledger.Ledger
}

var lostFor = [...]ledger.Reason{chunk.WhyNone: ledger.Missing, chunk.WhyBudget: ledger.PayloadBudget, chunk.WhyFault: ledger.CopyFault,
	chunk.WhySplice: ledger.Splice, chunk.WhySnaplen: ledger.Snaplen, chunk.WhyMissing: ledger.Missing, chunk.WhyRingFull: ledger.RingFull}

// Chunk implements chunk.Handler.
func (m meter) Chunk(k *chunk.Chunk) {
	if k.Kind == chunk.Data {
		m.led.Chunks.Capture(1)
		m.led.Bytes.Capture(k.Len)
		if n := k.Len - uint64(len(k.Data)); n > 0 {
			m.led.Bytes.Lose(lostFor[min(int(k.Why), len(lostFor)-1)], n)
		}
	}
	m.next.Chunk(k)
}
