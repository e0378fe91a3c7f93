//go:build linux && (amd64 || arm64)

package live

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/bpf"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const ledgerStopped = ledger.Stopped

// The kernel's reasons (enum reason of bpf/include/maps.h) in the ledger's terms.
var reasons = [...]ledger.Reason{ledger.RingFull, ledger.CopyFault, ledger.PayloadBudget, ledger.Splice, ledger.NotDecoded, ledger.Covered, ledger.Own}

// The kernel's blind spots (enum blind).
var blinds = [...]event.BlindSpot{
	{Kind: "io_uring", Detail: "socket calls made through io_uring: their buffers are not in the registers of a system call", Next: "none on this backend; the bytes are counted as gaps"},
	{Kind: "kernel", Detail: "socket calls made by the kernel itself (network file systems and block devices)"},
	{Kind: "syscall", Detail: "socket calls made through a system call that is not followed"},
	{Kind: "32bit", Detail: "socket calls of 32-bit programs through a system call that is not followed"},
	{Kind: "splice", Detail: "sendfile and splice: the bytes never were in a user buffer; they are counted as gaps, and the calls around them are seen"},
	{Kind: "tls", Detail: "encrypted connections: seen, not decoded"},
	{Kind: "other", Detail: "connections that speak no protocol that gnomon decodes"},
	{Kind: "quic", Detail: "datagrams from or to UDP port 443, which HTTP/3 uses"},
}

// The places where helpers fail (enum place).
var places = [...]string{"payload", "iovec", "msghdr", "socketcall", "storage", "pairs", "listening", "ring", "execs", "counts"}

// counters sums the kernel's counters over the CPUs.
func (s *Source) counters() (bpf.GnomonCounters, error) {
	var per []bpf.GnomonCounters
	if err := s.coll.Maps["counts"].Lookup(uint32(0), &per); err != nil {
		return bpf.GnomonCounters{}, fmt.Errorf("read the kernel's counters: %w", err)
	}
	var sum bpf.GnomonCounters
	to := words(&sum)
	for i := range per {
		for j, v := range words(&per[i]) {
			to[j] += v
		}
	}
	return sum, nil
}

// words sees counters, which hold nothing but uint64, as an array of them.
func words(c *bpf.GnomonCounters) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(c)), unsafe.Sizeof(*c)/8)
}

// account adds what the kernel counted since the last time to the ledger.
func (s *Source) account() error {
	now, err := s.counters()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, was := s.cfg.Ledger, &s.before
	l.Chunks.Capture(now.Captured.N - was.Captured.N)
	l.Bytes.Capture(now.Captured.Bytes - was.Captured.Bytes)
	for i, r := range reasons {
		l.Chunks.Lose(r, now.Lost[i].N-was.Lost[i].N)
		l.Bytes.Lose(r, now.Lost[i].Bytes-was.Lost[i].Bytes)
	}
	s.before = now
	return nil
}

// tlsNames bounds how many processes are named among those whose TLS is not seen.
const tlsNames = 64

func (s *Source) sawTLS(pid uint32, at event.Time) {
	name := s.procs.Lookup(pid, at).Name
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.tls[name]; !ok && len(s.tls) >= tlsNames {
		name = "…"
	}
	s.tls[name]++
}

// Facts is what the source runs on, and what it met that it cannot see.
func (s *Source) Facts() Facts {
	f := Facts{Kernel: s.kernel, Arch: runtime.GOARCH, Backend: s.backend, Why: s.why, BlindSpots: []event.BlindSpot{}}
	now, err := s.counters()
	if err != nil {
		return f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, b := range blinds {
		b.Count, b.Bytes = now.Blind[i].N, now.Blind[i].Bytes
		if b.Count == 0 {
			continue
		}
		if b.Kind == "tls" {
			b.Detail += ": " + strings.Join(slices.Sorted(maps.Keys(s.tls)), ", ")
		}
		f.BlindSpots = append(f.BlindSpots, b)
	}
	return f
}

// Failures counts helpers that failed in the kernel, by place and errno: "payload: bad address" and the like.
func (s *Source) Failures() map[string]uint64 {
	out := map[string]uint64{}
	m := s.coll.Maps["failures"]
	var (
		key uint32
		per []uint64
	)
	for it := m.Iterate(); it.Next(&key, &per); {
		var n uint64
		for _, v := range per {
			n += v
		}
		if n > 0 && int(key/128) < len(places) {
			out[fmt.Sprintf("%s errno %d", places[key/128], key%128)] = n
		}
	}
	return out
}
