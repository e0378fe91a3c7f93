//go:build linux && (amd64 || arm64)

package live

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/bpf"
)

// fake is a ring in plain memory, written as the kernel writes one (kernel/bpf/ringbuf.c, __bpf_ringbuf_reserve).
type fake struct {
	ring
	c, p uint64
}

func newFake(size int) *fake {
	words := make([]uint64, size/8) // 8-byte alignment, as a page has it
	f := &fake{}
	f.ring = ring{data: unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size), mask: uint64(size - 1), epoll: -1}
	f.cons, f.prod = &f.c, &f.p
	return f
}

// write reserves and commits a record, and says whether there was room.
func (f *fake) write(b []byte, flags uint32) bool {
	n := (uint64(len(b)) + ringHeader + 7) &^ 7
	if f.p+n-f.c > uint64(len(f.data)) {
		return false
	}
	at := f.p & f.mask
	*(*uint32)(unsafe.Pointer(&f.data[at])) = uint32(len(b)) | flags
	for i, c := range b {
		f.data[(at+ringHeader+uint64(i))&f.mask] = c
	}
	f.p += n
	return true
}

func TestRecordsComeOutAsTheyWentInWhereverTheRingWraps(t *testing.T) {
	f := newFake(4096)
	for i := range 5000 {
		b := bytes.Repeat([]byte{byte(i)}, i%700)
		require.True(t, f.write(b, 0))
		got := f.next()
		require.NotNil(t, got)
		require.True(t, bytes.Equal(b, got), "record %d", i)
		require.Nil(t, f.next())
		f.publish()
	}
}

func TestARecordThatIsBeingWrittenHoldsBackThoseBehindIt(t *testing.T) {
	f := newFake(4096)
	require.True(t, f.write([]byte("first"), ringBusy))
	require.True(t, f.write([]byte("second"), 0))
	require.Nil(t, f.next())
	*(*uint32)(unsafe.Pointer(&f.data[0])) = 5
	require.Equal(t, "first", string(f.next()))
	require.Equal(t, "second", string(f.next()))
}

func TestADiscardedRecordIsSkipped(t *testing.T) {
	f := newFake(4096)
	require.True(t, f.write([]byte("dropped"), ringDiscard))
	require.True(t, f.write([]byte("kept"), 0))
	require.Equal(t, "kept", string(f.next()))
}

func TestRoomIsGivenBackOnlyForWhatWasRead(t *testing.T) {
	f := newFake(256 << 10)
	rec := make([]byte, 1000)
	for f.write(rec, 0) {
	}
	require.NotEqual(t, f.p, f.pos)
	for {
		before := f.pos
		if f.next() == nil {
			break
		}
		require.LessOrEqual(t, f.c, before, "the record that was handed out last may be overwritten")
	}
	require.NotZero(t, f.c, "room is given back on the way")
	require.Equal(t, f.p, f.pos)
}

func TestWhatIsLeftInTheRingAtTheEndIsCountedAsStopped(t *testing.T) {
	f := newFake(4096)
	data := make([]byte, recordSize+100)
	mark := make([]byte, recordSize)
	(*bpf.GnomonRecord)(unsafe.Pointer(&mark[0])).Kind = uint8(chunk.Close)
	require.True(t, f.write(data, 0))
	require.True(t, f.write(mark, 0))
	require.True(t, f.write(data, 0))
	var l ledger.Ledger
	(&shard{s: &Source{cfg: Config{Ledger: &l}}, ring: &f.ring, h: discard{}}).stop()
	require.Equal(t, map[string]uint64{"stopped": 2}, l.Event().Chunks.Lost)
	require.Equal(t, map[string]uint64{"stopped": 200}, l.Event().Bytes.Lost)
}

func TestRecordsTooShortToBeOneAreIgnored(t *testing.T) {
	k := &sink{}
	sh := &shard{s: &Source{}, h: k}
	sh.record(make([]byte, recordSize-1))
	require.Empty(t, k.chunks)
}

func TestARecordKeepsAllThatTheKernelSaid(t *testing.T) {
	var r bpf.GnomonRecord
	r.Id.Conn, r.Id.Netns, r.Id.Peer, r.Id.Lport, r.Id.Rport = 1, 2, 3, 80, 50000
	r.Id.Role, r.Id.Flags = uint8(chunk.Server), uint8(chunk.TakenOver)
	copy(r.Id.Local[:], []byte{10: 0xff, 11: 0xff, 12: 192, 14: 2, 15: 1})
	r.Id.Remote[15] = 1
	r.Pos, r.Time, r.Cgroup, r.Pid, r.Tid, r.Len = 4, 5, 6, 7, 8, 100
	r.Dir, r.Why = uint8(chunk.Sent), uint8(chunk.WhyBudget)
	b := append(unsafe.Slice((*byte)(unsafe.Pointer(&r)), recordSize), "data"...)
	k := &sink{}
	(&shard{s: &Source{offset: 1000}, h: k}).record(b)
	c := k.chunks[0]
	require.Equal(t, "192.0.2.1:80 [::1]:50000", fmt.Sprint(c.Local, " ", c.Remote))
	c.Local, c.Remote = chunk.Chunk{}.Local, chunk.Chunk{}.Remote
	require.Equal(t, chunk.Chunk{
		Kind: chunk.Data, Dir: chunk.Sent, Role: chunk.Server, Flags: chunk.TakenOver, Why: chunk.WhyBudget, Conn: 1, Pos: 4, Len: 100,
		Data: []byte("data"), Time: 1005, PID: 7, TID: 8, PeerPID: 3, Cgroup: 6, NetNS: 2,
	}, c)
}

func BenchmarkReadARecord(b *testing.B) {
	f := newFake(8 << 20)
	rec := make([]byte, recordSize+850)
	sh := &shard{s: &Source{}, ring: &f.ring, h: discard{}}
	b.SetBytes(int64(len(rec)))
	b.ReportAllocs()
	for n := 0; n < b.N; {
		b.StopTimer()
		f.publish()
		for f.write(rec, 0) {
		}
		b.StartTimer()
		n += sh.drain(b.N - n)
	}
}
