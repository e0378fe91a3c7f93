// Package live is the source that watches this host's TCP sockets with eBPF.
//
// In: what the kernel's hooks saw, through ring buffers, one per shard. Out: chunks, borrowed from the ring, handed to one
// handler per shard; ticks; what the kernel counted, to the ledger; what it cannot see, as blind spots. It never parses
// what it reads, never touches the traffic, and keeps no state per connection: that is in the kernel, and freed with the
// socket.
//
// Two backends give the same chunks. Socket hooks sock_send_length and sock_recv_length, after a socket's copy, and finds
// the user's buffer in the system call's registers (6.3 and later). Syscall hooks the return of every system call and
// finds the socket through the file descriptor: it works where Socket does not, and costs more, since it makes all system
// calls of the host a little slower.
package live

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// What can be wrong with the host. Each says what to do.
var (
	ErrNotSupported = errors.New("live capture needs Linux on amd64 or arm64: replay a recording instead (gnomon replay FILE)")
	ErrNotRoot      = errors.New("live capture needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE: run it with sudo")
	ErrNoBTF        = errors.New("this kernel has no type information (/sys/kernel/btf/vmlinux): use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as all current distributions ship")
	ErrLockdown     = errors.New("the kernel is locked down to \"confidentiality\", which forbids reading user memory from BPF: boot with lockdown=integrity or none")
	ErrNoBackend    = errors.New("no capture backend loads on this kernel: run \"gnomon doctor\" and see what each one lacks")
)

// Backend is a way to see socket calls.
type Backend uint8

// Auto takes the first that loads and attaches, in this order.
const (
	Auto Backend = iota
	Socket
	Syscall
)

var backendNames = []string{"auto", "socket", "syscall"}

func (b Backend) String() string {
	if int(b) < len(backendNames) {
		return backendNames[b]
	}
	return fmt.Sprintf("invalid(%d)", uint8(b))
}

// ParseBackend reads a backend's name: auto, socket or syscall.
func ParseBackend(s string) (Backend, error) {
	for i, n := range backendNames {
		if n == s {
			return Backend(i), nil
		}
	}
	return Auto, fmt.Errorf("backend %.40q: want one of %q", s, backendNames)
}

// Config is what can be set. The zero value of a field means its default.
type Config struct {
	Backend Backend
	// Shards is the number of rings, and of the handlers that Run takes; at most 16. Default 1: one reader takes 300,000
	// requests a second, and each further one is a core that the host's own work does not get.
	Shards int
	// RingBytes is the size of each ring, a power of two of at least a page. Default 8 MiB: 100 ms of a saturated nginx.
	RingBytes int
	// Poll is how long the reader sleeps when the ring is empty; it doubles up to 32 times that while nothing comes. The
	// kernel wakes the reader when a ring is an eighth full. Default 5 ms.
	Poll time.Duration

	// Payload budgets in bytes per socket call, at most 16383: of requests and responses, for the first call after the
	// direction turned (where a message head stands) and for those that follow. Defaults 16383, 4096, 2048, 1024.
	RequestHead, RequestBody, ResponseHead, ResponseBody int

	// Everything captures connections that speak no known protocol too.
	Everything bool

	Ledger *ledger.Ledger // takes what the kernel counted; nil: dropped
	Log    *slog.Logger   // nil: silent
}

const (
	maxShards = 16
	maxData   = 16383 // MAX_DATA of bpf/include/settings.h
)

func (c *Config) setDefaults() error {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.Shards, 1)
	def(&c.RingBytes, 8<<20)
	def(&c.RequestHead, maxData)
	def(&c.RequestBody, 4096)
	def(&c.ResponseHead, 2048)
	def(&c.ResponseBody, 1024)
	if c.Poll == 0 {
		c.Poll = 5 * time.Millisecond
	}
	if c.Ledger == nil {
		c.Ledger = new(ledger.Ledger)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Shards < 1 || c.Shards > maxShards {
		return fmt.Errorf("live: %d shards: want 1 to %d", c.Shards, maxShards)
	}
	if c.RingBytes < 4096 || c.RingBytes&(c.RingBytes-1) != 0 || c.RingBytes > 1<<30 {
		return fmt.Errorf("live: ring of %d bytes: want a power of two from 4096 to 1 GiB", c.RingBytes)
	}
	for _, b := range []int{c.RequestHead, c.RequestBody, c.ResponseHead, c.ResponseBody} {
		if b < 1 || b > maxData {
			return fmt.Errorf("live: payload budget of %d bytes: want 1 to %d", b, maxData)
		}
	}
	return nil
}

// Facts is what a source runs on and what it cannot see.
type Facts struct {
	Kernel, Arch string
	Backend      Backend
	Why          string // why this backend
	BlindSpots   []event.BlindSpot
}

// Report is what Probe found out.
type Report struct {
	Kernel, Arch string
	Checks       []Check
	Backend      Backend // the one that Auto takes; Auto itself if none works
	Why          string
	Misses       []event.BlindSpot // what this host's sensor cannot see, before any was met
}

// Check is one thing that live capture needs or is better with.
type Check struct {
	Name   string
	OK     bool
	Needed bool   // capture does not work without it
	Detail string // what was found
	Next   string // what to do about it
}
