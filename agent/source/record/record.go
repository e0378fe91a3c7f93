// Package record keeps the chunks of a live capture in a file and plays them back.
//
// In: chunks, and out again: the same chunks in the same order, so that what follows gives the same Calls byte for byte.
// A recording holds raw traffic, credentials included; Create makes its file readable by its owner only, and who offers
// recording says so to the user. The package never looks into a chunk.
//
// Format, version 1, little endian. A header of 16 bytes: "GNOMREC\x01", then 8 bytes of zero. Then blocks:
//
//	u32 length of the payload, u32 CRC-32C of the payload, payload
//
// A payload is a sequence of whole entries, each independent of other blocks. An entry is a chunk, or a fact, which stands before the
// chunks that it is about:
//
//	u8 253, uvarint pid of gnomon itself, string node: where the capture was made
//	u8 254, uvarint pid, string name, string workload: who a process is from here on; a string is its uvarint length and its bytes
//
// A chunk is
//
//	u8 kind, u8 dir, u8 role, u8 flags, u8 why, u8 address form (bit 0: local IPv6, bit 1: remote IPv6, bit 2: no addresses),
//	uvarints: conn, pos, len, pid, tid, peer pid, cgroup, netns, length of data; varint: time less the chunk's before in its block;
//	local address and port, remote address and port; data
//
// A file that ends inside a block, or whose block does not have its checksum, is good up to there.
package record

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"os"
	"sync"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const (
	magic      = "GNOMREC\x01"
	headerSize = 16
	blockFull  = 256 << 10 // a block is written when it holds this much, and at each Flush
	maxBlock   = 64 << 20  // no writer makes a larger one: a chunk holds at most what one socket call moved
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// IsRecording says whether b, the beginning of a file, is that of a recording of any version.
func IsRecording(b []byte) bool { return len(b) >= 8 && string(b[:7]) == magic[:7] }

// Create makes the file of a recording, readable by its owner only. It does not overwrite.
func Create(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create the recording: %w", err)
	}
	return f, nil
}

// Facts takes what a live capture knows beyond its chunks. A handler of Read that implements it is told.
type Facts interface {
	Node(name string, own uint32)
	Process(pid uint32, name, workload string)
}

const (
	entryNode    = 253
	entryProcess = 254
	maxFact      = 4096  // bytes of one string
	maxProcesses = 16384 // whose facts are remembered as written
	recheck      = event.Time(1e9)
)

// Writer keeps chunks. It is safe for concurrent use. A fault in writing stops the keeping, never the capture; Close
// reports it.
type Writer struct {
	mu   sync.Mutex
	w    io.Writer
	buf  []byte
	last event.Time
	err  error
	n    uint64
	ask  func(pid uint32, at event.Time) (name, workload string)
	told map[uint32]fact
}

type fact struct {
	name, workload string
	asked          event.Time
}

// Know makes w keep where the capture is made, and who the processes are that its chunks name: ask is called with the lock of w held, for each
// process once a second of the chunks' time. To be called before the first chunk.
func (w *Writer) Know(node string, own uint32, ask func(pid uint32, at event.Time) (name, workload string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = binary.AppendUvarint(append(w.buf, entryNode), uint64(own))
	w.buf = appendFact(w.buf, node)
	w.ask, w.told = ask, map[uint32]fact{}
}

func appendFact(b []byte, s string) []byte {
	s = s[:min(len(s), maxFact)]
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// process keeps who pid is, if that is new.
func (w *Writer) process(pid uint32, at event.Time) {
	if pid == 0 {
		return
	}
	f, known := w.told[pid]
	if known && at-f.asked < recheck {
		return
	}
	name, workload := w.ask(pid, at)
	if !known || name != f.name || workload != f.workload {
		w.buf = binary.AppendUvarint(append(w.buf, entryProcess), uint64(pid))
		w.buf = appendFact(appendFact(w.buf, name), workload)
	}
	if len(w.told) >= maxProcesses {
		clear(w.told)
	}
	w.told[pid] = fact{name, workload, at}
}

// NewWriter writes the header to w. Chunks come through the handlers that Tee returns, one for each shard.
func NewWriter(w io.Writer) (*Writer, error) {
	head := make([]byte, headerSize)
	copy(head, magic)
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("write the header of the recording: %w", err)
	}
	return &Writer{w: w, buf: make([]byte, 8, blockFull+blockFull/4)}, nil
}

type tee struct {
	w    *Writer
	next chunk.Handler
}

// Tee returns a handler that keeps every chunk and hands it on to next.
func (w *Writer) Tee(next chunk.Handler) chunk.Handler { return tee{w, next} }

// Chunk keeps k and hands it on.
func (t tee) Chunk(k *chunk.Chunk) {
	t.w.keep(k)
	t.next.Chunk(k)
}

func (w *Writer) keep(k *chunk.Chunk) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	if len(w.buf)+len(k.Data)+256 > maxBlock {
		w.err = fmt.Errorf("a chunk of %d bytes is too large for a recording", len(k.Data))
		return
	}
	if w.ask != nil {
		w.process(k.PID, k.Time)
		w.process(k.PeerPID, k.Time)
	}
	w.append(k)
	if len(w.buf) >= blockFull {
		w.block()
	}
}

func (w *Writer) append(k *chunk.Chunk) {
	form := byte(0)
	if k.Local.Addr().Is6() {
		form |= 1
	}
	if k.Remote.Addr().Is6() {
		form |= 2
	}
	if !k.Local.IsValid() || !k.Remote.IsValid() {
		form = 4
	}
	b := append(w.buf, byte(k.Kind), byte(k.Dir), byte(k.Role), byte(k.Flags), byte(k.Why), form)
	for _, v := range [...]uint64{uint64(k.Conn), k.Pos, k.Len, uint64(k.PID), uint64(k.TID), uint64(k.PeerPID), k.Cgroup, uint64(k.NetNS), uint64(len(k.Data))} {
		b = binary.AppendUvarint(b, v)
	}
	b = binary.AppendVarint(b, int64(k.Time-w.last))
	w.last = k.Time
	if form != 4 {
		for _, a := range [...]netip.AddrPort{k.Local, k.Remote} {
			if a.Addr().Is6() {
				x := a.Addr().As16()
				b = append(b, x[:]...)
			} else {
				x := a.Addr().As4()
				b = append(b, x[:]...)
			}
			b = binary.LittleEndian.AppendUint16(b, a.Port())
		}
	}
	w.buf = append(b, k.Data...)
	w.n++
}

func (w *Writer) block() {
	if len(w.buf) <= 8 || w.err != nil {
		return
	}
	payload := w.buf[8:]
	binary.LittleEndian.PutUint32(w.buf, uint32(len(payload)))
	binary.LittleEndian.PutUint32(w.buf[4:], crc32.Checksum(payload, castagnoli))
	if _, err := w.w.Write(w.buf); err != nil {
		w.err = fmt.Errorf("write the recording after %d chunks: %w", w.n, err)
	}
	if cap(w.buf) > 2*blockFull { // one huge chunk
		w.buf = make([]byte, 0, blockFull+blockFull/4)
	}
	w.buf, w.last = w.buf[:8], 0
}

// Flush writes what is kept so far.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.block()
	return w.err
}

// Close flushes and returns the first fault. It does not close the file.
func (w *Writer) Close() error { return w.Flush() }

// Fault is where and why a recording cannot be read on.
type Fault struct {
	Offset int64
	What   string
	Err    error
}

func (f *Fault) Error() string {
	if f.Err != nil {
		return fmt.Sprintf("byte %d: %s: %v", f.Offset, f.What, f.Err)
	}
	return fmt.Sprintf("byte %d: %s", f.Offset, f.What)
}

func (f *Fault) Unwrap() error { return f.Err }

// Stats counts what was played.
type Stats struct {
	Chunks uint64
	Bytes  uint64 // of data
}

// Read plays a recording to out. A fault ends it; the blocks before it were played.
func Read(ctx context.Context, r io.Reader, out chunk.Handler) (Stats, error) {
	var st Stats
	br := bufio.NewReaderSize(r, 64<<10)
	head := make([]byte, headerSize)
	if n, err := io.ReadFull(br, head); err != nil {
		return st, &Fault{What: fmt.Sprintf("the header is cut: %d of %d bytes", n, headerSize), Err: unexpected(err)}
	}
	if !IsRecording(head) {
		return st, &Fault{What: "not a recording of gnomon"}
	}
	if head[7] != magic[7] {
		return st, &Fault{Offset: 7, What: fmt.Sprintf("the recording has version %d, this gnomon reads %d: use a newer gnomon", head[7], magic[7])}
	}
	off := int64(headerSize)
	var buf []byte
	for {
		if err := ctx.Err(); err != nil {
			return st, fmt.Errorf("stopped at byte %d: %w", off, err)
		}
		var h [8]byte
		if n, err := io.ReadFull(br, h[:]); err != nil {
			if n == 0 && errors.Is(err, io.EOF) {
				return st, nil
			}
			return st, &Fault{Offset: off, What: "a block header is cut", Err: unexpected(err)}
		}
		n := binary.LittleEndian.Uint32(h[:])
		if n == 0 || n > maxBlock {
			return st, &Fault{Offset: off, What: fmt.Sprintf("a block claims %d bytes", n)}
		}
		var err error
		if buf, err = readBlock(br, buf, int(n)); err != nil {
			return st, &Fault{Offset: off, What: fmt.Sprintf("a block of %d bytes is cut", n), Err: unexpected(err)}
		}
		if crc32.Checksum(buf, castagnoli) != binary.LittleEndian.Uint32(h[4:]) {
			return st, &Fault{Offset: off, What: "a block does not have its checksum"}
		}
		if at, err := play(buf, out, &st); err != nil {
			return st, &Fault{Offset: off + 8 + int64(at), What: "a chunk is malformed", Err: err}
		}
		off += 8 + int64(n)
	}
}

// readBlock reads n bytes in steps, so that a lying length costs no more memory than the file has bytes.
func readBlock(r io.Reader, buf []byte, n int) ([]byte, error) {
	if cap(buf) > 4*blockFull && n < blockFull {
		buf = nil
	}
	buf = buf[:0]
	for len(buf) < n {
		step := min(n-len(buf), 1<<20)
		if cap(buf)-len(buf) < step {
			grown := make([]byte, len(buf), min(n, 2*(len(buf)+step)))
			copy(grown, buf)
			buf = grown
		}
		m, err := io.ReadFull(r, buf[len(buf):len(buf)+step])
		buf = buf[:len(buf)+m]
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errShort = errors.New("it ends early")

// playFact tells out the fact that b starts with. It returns how long that is.
func playFact(b []byte, out chunk.Handler) (int, error) {
	v, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return 0, errShort
	}
	at := 1 + n
	var text [2]string
	for i := range text[:1+b[0]-entryNode] {
		size, n := binary.Uvarint(b[at:])
		if n <= 0 || size > maxFact || size > uint64(len(b)-at-n) {
			return 0, errShort
		}
		text[i] = string(b[at+n : at+n+int(size)])
		at += n + int(size)
	}
	if f, ok := out.(Facts); ok {
		if b[0] == entryNode {
			f.Node(text[0], uint32(v))
		} else {
			f.Process(uint32(v), text[0], text[1])
		}
	}
	return at, nil
}

// play hands on the chunks of one block. It returns how far it came.
func play(b []byte, out chunk.Handler, st *Stats) (int, error) {
	var last event.Time
	var k chunk.Chunk
	for at := 0; at < len(b); {
		p := b[at:]
		if p[0] == entryNode || p[0] == entryProcess {
			n, err := playFact(p, out)
			if err != nil {
				return at, err
			}
			at += n
			continue
		}
		if len(p) < 6 {
			return at, errShort
		}
		k = chunk.Chunk{Kind: chunk.Kind(p[0]), Dir: chunk.Dir(p[1]), Role: chunk.Role(p[2]), Flags: chunk.Flags(p[3]), Why: chunk.Why(p[4])}
		form := p[5]
		if k.Kind > chunk.Tick || k.Dir > chunk.Sent || k.Role > chunk.Server || form > 4 {
			return at, errors.New("an unknown kind, direction, role or address form")
		}
		p = p[6:]
		var v [9]uint64
		for i := range v {
			x, n := binary.Uvarint(p)
			if n <= 0 {
				return at, errShort
			}
			v[i], p = x, p[n:]
		}
		delta, n := binary.Varint(p)
		if n <= 0 {
			return at, errShort
		}
		p = p[n:]
		last += event.Time(delta)
		k.Conn, k.Pos, k.Len, k.PID, k.TID, k.PeerPID = chunk.ConnID(v[0]), v[1], v[2], uint32(v[3]), uint32(v[4]), uint32(v[5])
		k.Cgroup, k.NetNS, k.Time = v[6], uint32(v[7]), last
		if form != 4 {
			for i, a := range [...]*netip.AddrPort{&k.Local, &k.Remote} {
				size := 4
				if form>>i&1 != 0 {
					size = 16
				}
				if len(p) < size+2 {
					return at, errShort
				}
				addr, _ := netip.AddrFromSlice(p[:size])
				*a = netip.AddrPortFrom(addr, binary.LittleEndian.Uint16(p[size:]))
				p = p[size+2:]
			}
		}
		if v[8] > uint64(len(p)) || v[8] > v[2] {
			return at, errors.New("more data than there is")
		}
		if v[8] > 0 {
			k.Data = p[:v[8]:v[8]]
		}
		at = len(b) - len(p) + int(v[8])
		st.Chunks++
		st.Bytes += v[8]
		out.Chunk(&k)
	}
	return len(b), nil
}
