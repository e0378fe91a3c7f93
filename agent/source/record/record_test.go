package record

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

type keeper struct{ got []chunk.Chunk }

func (k *keeper) Chunk(c *chunk.Chunk) {
	d := *c
	if c.Data != nil {
		d.Data = bytes.Clone(c.Data)
	}
	k.got = append(k.got, d)
}

func chunks() []chunk.Chunk {
	v4, v6 := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("[2001:db8::1]:65535")
	return []chunk.Chunk{
		{Kind: chunk.Tick, Time: 5},
		{Kind: chunk.Data, Dir: chunk.Sent, Role: chunk.Server, Flags: chunk.Plain | chunk.TakenOver, Why: chunk.WhyBudget, Conn: 1 << 63, Pos: 7, Len: 1 << 40,
			Data: []byte("GET / HTTP/1.1\r\n\r\n"), Time: 1_764_000_000_000_000_000, Local: v4, Remote: v6, PID: 1, TID: 2, PeerPID: 3, Cgroup: 1 << 50, NetNS: 4},
		{Kind: chunk.Data, Len: 300 << 10, Data: bytes.Repeat([]byte{0xff}, 300<<10), Time: 1_763_999_999_000_000_000, Local: v6, Remote: v4},
		{Kind: chunk.EOF, Conn: 9, Pos: 10, Time: -3, Local: v4, Remote: v4},
		{Kind: chunk.Close, Conn: 9, Time: 1},
	}
}

func recording(tb testing.TB, in []chunk.Chunk) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b)
	require.NoError(tb, err)
	var seen keeper
	h := w.Tee(&seen)
	for i := range in {
		h.Chunk(&in[i])
	}
	require.NoError(tb, w.Close())
	require.Equal(tb, in, seen.got, "the tee hands on what it keeps")
	return b.Bytes()
}

func TestARecordingGivesBackTheSameChunks(t *testing.T) {
	var out keeper
	st, err := Read(context.Background(), bytes.NewReader(recording(t, chunks())), &out)
	require.NoError(t, err)
	require.Equal(t, chunks(), out.got)
	require.EqualValues(t, len(chunks()), st.Chunks)
}

func TestACutOrDamagedRecordingIsGoodUpToThePlace(t *testing.T) {
	whole := recording(t, chunks())
	for _, cut := range []int{0, 3, headerSize - 1, headerSize + 4, headerSize + 100, len(whole) - 1} {
		var out keeper
		_, err := Read(context.Background(), bytes.NewReader(whole[:cut]), &out)
		var f *Fault
		require.ErrorAs(t, err, &f, "cut at %d", cut)
		require.LessOrEqual(t, f.Offset, int64(cut))
	}
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-1] ^= 1
	var out keeper
	_, err := Read(context.Background(), bytes.NewReader(damaged), &out)
	require.ErrorContains(t, err, "checksum")
	require.Equal(t, chunks()[:3], out.got, "the block before is played")

	newer := bytes.Clone(whole)
	newer[7] = 2
	_, err = Read(context.Background(), bytes.NewReader(newer), &out)
	require.ErrorContains(t, err, "version 2")
}

func TestABlockThatClaimsMoreThanTheFileHasCostsNoMemory(t *testing.T) {
	b := append(recording(t, nil), 0xff, 0xff, 0xff, 0x03, 0, 0, 0, 0, 'x')
	var out keeper
	allocated := testing.AllocsPerRun(1, func() {
		_, err := Read(context.Background(), bytes.NewReader(b), &out)
		require.ErrorContains(t, err, fmt.Sprintf("byte %d: a block of 67108863 bytes is cut", headerSize))
	})
	require.Less(t, allocated, 100.0)
}

func TestTheFileOfARecordingIsItsOwnersOnly(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r.gnomon")
	f, err := Create(name)
	require.NoError(t, err)
	defer f.Close()
	st, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	_, err = Create(name)
	require.ErrorIs(t, err, os.ErrExist)
}

type failing struct{ left int }

func (f *failing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, os.ErrPermission
	}
	return len(b), nil
}

func TestAFullDiskStopsTheKeepingButNotTheCapture(t *testing.T) {
	w, err := NewWriter(&failing{left: 100})
	require.NoError(t, err)
	var seen keeper
	h := w.Tee(&seen)
	for _, c := range chunks() {
		h.Chunk(&c)
	}
	require.Len(t, seen.got, len(chunks()))
	require.ErrorIs(t, w.Close(), os.ErrPermission)
}

func TestKeepingAChunkDoesNotAllocate(t *testing.T) {
	w, err := NewWriter(&bytes.Buffer{})
	require.NoError(t, err)
	w.w = &failing{left: 1 << 40}
	in := chunks()[1]
	require.Zero(t, testing.AllocsPerRun(2000, func() { w.keep(&in) }))
}

func FuzzRead(f *testing.F) {
	f.Add(recording(f, chunks()[:2]))
	f.Add(recording(f, nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out keeper
		st, err := Read(context.Background(), bytes.NewReader(in), &out)
		require.EqualValues(t, len(out.got), st.Chunks)
		if err != nil {
			return
		}
		again := recording(t, out.got)
		var out2 keeper
		_, err = Read(context.Background(), bytes.NewReader(again), &out2)
		require.NoError(t, err)
		require.Equal(t, out.got, out2.got)
	})
}

// FuzzBlock goes past the checksum, which random changes do not.
func FuzzBlock(f *testing.F) {
	b := recording(f, chunks()[:2])
	f.Add(b[headerSize+8:])
	f.Fuzz(func(t *testing.T, in []byte) {
		var out keeper
		var st Stats
		at, err := play(in, &out, &st)
		require.LessOrEqual(t, at, len(in))
		if err == nil {
			require.Equal(t, len(in), at)
		}
		for _, c := range out.got {
			require.LessOrEqual(t, uint64(len(c.Data)), c.Len)
		}
	})
}

// knower is told facts, too.
type knower struct {
	keeper
	said []string
}

func (k *knower) Node(name string, own uint32) { k.said = append(k.said, fmt.Sprint(name, own)) }
func (k *knower) Process(pid uint32, name, workload string) {
	k.said = append(k.said, fmt.Sprint(pid, name, workload, len(k.got)))
}

func TestWhoAProcessIsStandsBeforeItsChunks(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b)
	require.NoError(t, err)
	names := map[uint32]string{1: "java"}
	w.Know("node-1", 77, func(pid uint32, _ event.Time) (string, string) { return names[pid], "unit" })
	var seen keeper
	h := w.Tee(&seen)
	at := event.Time(1e18)
	chunkOf := func(pid, peer uint32) { h.Chunk(&chunk.Chunk{Kind: chunk.Close, PID: pid, PeerPID: peer, Time: at}) }
	chunkOf(1, 0)
	chunkOf(1, 2)
	names[2] = "curl"
	chunkOf(2, 0) // not within a second
	at += 2e9
	chunkOf(2, 1)
	require.NoError(t, w.Close())
	var out knower
	_, err = Read(context.Background(), bytes.NewReader(b.Bytes()), &out)
	require.NoError(t, err)
	require.Equal(t, seen.got, out.got)
	require.Equal(t, []string{"node-177", "1javaunit0", "2unit1", "2curlunit3"}, out.said)
	_, err = Read(context.Background(), bytes.NewReader(b.Bytes()), &seen)
	require.NoError(t, err, "who does not want to know is not told")
}
