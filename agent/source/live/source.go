//go:build linux && (amd64 || arm64)

package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/process"
	"github.com/gnomon-sensor/gnomon/bpf"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Source captures from Open on; what it captured waits in the rings until Run reads it.
type Source struct {
	cfg     Config
	backend Backend
	why     string
	kernel  string

	coll    *ebpf.Collection
	links   []link.Link
	inner   []*ebpf.Map
	rings   []*ring
	budgets []byte // the mapping of the budgets map
	procs   *process.Table

	// Kernel time is CLOCK_MONOTONIC. It is mapped to the wall clock once: a step of the wall clock moves no event.
	started time.Time
	mono    int64 // CLOCK_MONOTONIC at started
	offset  int64 // wall - monotonic

	mu     sync.Mutex // guards what follows
	before bpf.GnomonCounters
	tls    map[string]uint64 // connections by process name, at most tlsNames
	errs   map[string]uint64
}

// Programs by backend; the rest is common. Names are those of bpf/src.
var (
	backendPrograms = map[Backend][]string{Socket: {"on_send", "on_recv"}, Syscall: {"on_syscall"}}
	commonPrograms  = []string{"on_state", "on_destroy", "on_exec"}
)

// Open checks what the host offers, loads and attaches. The error is one of the sentinels wherever one fits.
func Open(cfg Config) (*Source, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	if err := checkHost(); err != nil {
		return nil, err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		cfg.Log.Debug("memory lock limit not raised", "err", err) // needed before 5.11 only
	}
	tries := []Backend{Socket, Syscall}
	if cfg.Backend != Auto {
		tries = []Backend{cfg.Backend}
	}
	var failed []error
	for _, b := range tries {
		s, err := openBackend(cfg, b)
		if err == nil {
			s.why = why(cfg.Backend, failed)
			return s, nil
		}
		failed = append(failed, fmt.Errorf("backend %s: %w", b, err))
	}
	return nil, fmt.Errorf("%w: %w", ErrNoBackend, errors.Join(failed...))
}

func why(asked Backend, failed []error) string {
	switch {
	case asked != Auto:
		return "asked for"
	case len(failed) == 0:
		return "the first that loads, and the cheapest"
	}
	return short(errors.Join(failed...).Error())
}

// short cuts a loader's error, which may hold a verifier log, to its first line.
func short(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

// load makes the collection of one backend.
func load(cfg Config, b Backend) (*ebpf.Collection, []*ebpf.Map, error) {
	spec, err := bpf.LoadGnomon()
	if err != nil {
		return nil, nil, fmt.Errorf("read the BPF object: %w", err)
	}
	want := map[string]bool{"on_existing": true}
	for _, n := range append(commonPrograms, backendPrograms[b]...) {
		want[n] = true
	}
	for n := range spec.Programs {
		if !want[n] {
			delete(spec.Programs, n)
		}
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, nil, fmt.Errorf("count the CPUs: %w", err)
	}
	spec.Maps["scratches"].MaxEntries = uint32(2 * cpus)
	byAddress := b == Syscall
	if !byAddress {
		spec.Maps["by_sock"].MaxEntries = 1
	}
	for n, v := range map[string]any{
		"request_head": uint32(cfg.RequestHead), "request_body": uint32(cfg.RequestBody),
		"response_head": uint32(cfg.ResponseHead), "response_body": uint32(cfg.ResponseBody),
		"shards": uint32(cfg.Shards), "wake_bytes": uint64(cfg.RingBytes / 8),
		"by_address": byAddress, "everything": cfg.Everything,
	} {
		if err := spec.Variables[n].Set(v); err != nil {
			return nil, nil, fmt.Errorf("set %s: %w", n, err)
		}
	}
	inner := make([]*ebpf.Map, 0, cfg.Shards)
	closeInner := func() {
		for _, m := range inner {
			_ = m.Close()
		}
	}
	rings := spec.Maps["rings"]
	rings.MaxEntries = uint32(cfg.Shards)
	rings.InnerMap.MaxEntries = uint32(cfg.RingBytes)
	for i := range cfg.Shards {
		m, err := ebpf.NewMap(rings.InnerMap)
		if err != nil {
			closeInner()
			return nil, nil, fmt.Errorf("make a ring of %d bytes: %w", cfg.RingBytes, err)
		}
		inner = append(inner, m)
		rings.Contents = append(rings.Contents, ebpf.MapKV{Key: uint32(i), Value: m})
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		closeInner()
		return nil, nil, fmt.Errorf("load: %w", err)
	}
	return coll, inner, nil
}

func openBackend(cfg Config, b Backend) (_ *Source, err error) {
	s := &Source{cfg: cfg, backend: b, kernel: kernelRelease(), tls: map[string]uint64{}, errs: map[string]uint64{}}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if s.coll, s.inner, err = load(cfg, b); err != nil {
		return nil, err
	}
	for _, m := range s.inner {
		r, err := openRing(m.FD(), cfg.RingBytes)
		if err != nil {
			return nil, err
		}
		s.rings = append(s.rings, r)
	}
	budgets := s.coll.Maps["budgets"]
	if s.budgets, err = unix.Mmap(budgets.FD(), 0, int(budgets.MaxEntries())*8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the budgets: %w", err)
	}
	s.procs = process.New(process.Config{Executed: s.executed})
	s.started = time.Now()
	var ts unix.Timespec
	if err = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return nil, fmt.Errorf("read the monotonic clock: %w", err)
	}
	s.mono = ts.Nano()
	s.offset = s.started.UnixNano() - s.mono

	// Births are watched before the sockets that exist are listed, and data after both: no connection is between.
	for _, n := range commonPrograms {
		if err = s.attach(n); err != nil {
			return nil, err
		}
	}
	if err = s.takeOver(); err != nil {
		return nil, err
	}
	for _, n := range backendPrograms[b] {
		if err = s.attach(n); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Source) attach(name string) error {
	p := s.coll.Programs[name]
	if p == nil {
		return fmt.Errorf("attach %s: no such program", name)
	}
	var l link.Link
	var err error
	if p.Type() == ebpf.RawTracepoint {
		l, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_exit", Program: p})
	} else {
		l, err = link.AttachTracing(link.TracingOptions{Program: p})
	}
	if err != nil {
		return fmt.Errorf("attach %s: %w", name, err)
	}
	s.links = append(s.links, l)
	return nil
}

// takeOver runs the iterator over the TCP sockets that exist, of the agent's own network namespace and of those that
// other processes are in.
func (s *Source) takeOver() error {
	it, err := link.AttachIter(link.IterOptions{Program: s.coll.Programs["on_existing"]})
	if err != nil {
		return fmt.Errorf("list the sockets that exist: %w", err)
	}
	defer func() { _ = it.Close() }()
	list := func() error {
		r, err := it.Open()
		if err != nil {
			return fmt.Errorf("list the sockets that exist: %w", err)
		}
		defer r.Close()
		if _, err := io.Copy(io.Discard, r); err != nil {
			return fmt.Errorf("list the sockets that exist: %w", err)
		}
		return nil
	}
	if err := list(); err != nil {
		return err
	}
	others := networks()
	if len(others) == 0 {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, in whichever namespace it is
		for _, name := range others {
			f, err := os.Open(name)
			if err != nil {
				continue // the process has ended, and with it perhaps the namespace
			}
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			_ = f.Close()
			if err == nil {
				err = list()
			}
			if err != nil {
				// what is older than the agent there is taken over when it speaks, with its role unknown
				s.cfg.Log.Debug("sockets of a network namespace not listed", "namespace", name, "err", err)
			}
		}
	}()
	<-done
	return nil
}

// maxNetworks bounds how many network namespaces are gone through at start.
const maxNetworks = 1024

// networks returns a /proc/PID/ns/net for each network namespace but the agent's own.
func networks() (names []string) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil
	}
	known := map[string]bool{own: true}
	all, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil
	}
	for _, name := range all {
		id, err := os.Readlink(name)
		if err != nil || known[id] {
			continue
		}
		if known[id] = true; len(known) > maxNetworks {
			break
		}
		names = append(names, name)
	}
	return names
}

// now is the current time as chunks have it.
func (s *Source) now() event.Time {
	return event.Time(s.mono + int64(time.Since(s.started)) + s.offset)
}

// PID is the agent's own process as chunks number it: inside a PID namespace that is not what os.Getpid returns.
func (s *Source) PID() uint32 {
	var pid uint32
	if s.coll.Variables["self"].Get(&pid) != nil {
		return uint32(os.Getpid())
	}
	return pid
}

// Processes names the processes of chunks, also those that are gone.
func (s *Source) Processes() *process.Table { return s.procs }

// Budget sets how many payload bytes of each send of the service on port are captured, at most 16383; 0 is the default
// again. It is a plain store: cheap enough to call per message.
func (s *Source) Budget(port uint16, bytes int) {
	// an array of 2-byte values has a stride of 8
	p := (*uint64)(unsafe.Pointer(&s.budgets[int(port)*8]))
	atomic.StoreUint64(p, uint64(min(max(bytes, 0), maxData)))
}

// Mute says that a connection speaks nothing that is decoded: the kernel stops sending it up within 64 of its calls.
func (s *Source) Mute(c chunk.ConnID) error {
	if err := s.coll.Maps["muted"].Put(uint64(c), uint8(1)); err != nil {
		return fmt.Errorf("mute connection %d: %w", c, err)
	}
	return nil
}

// executed is the name under which a process was last executed, from the kernel.
func (s *Source) executed(pid uint32) (string, bool) {
	var e bpf.GnomonExec
	if s.coll.Maps["execs"].Lookup(pid, &e) != nil {
		return "", false
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(&e.Name[0])), len(e.Name))
	name, _, _ := strings.Cut(string(b), "\x00")
	return name[strings.LastIndexByte(name, '/')+1:], true
}

// Run reads the rings until ctx is done, then detaches and reads what is left in them. Each handler is called from a
// goroutine of its own; there must be as many as Config.Shards. A handler gets a Tick at least twice a second.
func (s *Source) Run(ctx context.Context, handlers []chunk.Handler) error {
	if len(handlers) != len(s.rings) {
		return fmt.Errorf("live: %d handlers for %d shards", len(handlers), len(s.rings))
	}
	var wg sync.WaitGroup
	errs := make([]error, len(handlers)+1)
	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var detach sync.Once
	for i, h := range handlers {
		wg.Go(func() {
			sh := &shard{s: s, ring: s.rings[i], h: h}
			if err := sh.run(runCtx); err != nil {
				errs[i] = err
				cancel()
			}
			detach.Do(s.detach)
			sh.drain(drainAtStop)
			sh.stop()
		})
	}
	wg.Go(func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-runCtx.Done():
				return
			case <-t.C:
				if err := s.account(); err != nil {
					errs[len(handlers)] = err
					cancel()
					return
				}
			}
		}
	})
	wg.Wait()
	if f := s.Failures(); len(f) > 0 {
		s.cfg.Log.Debug("helpers failed in the kernel", "count", f)
	}
	return errors.Join(append(errs, s.account())...)
}

// drainAtStop bounds what is read after the end: the handlers may be slow, and people wait.
const drainAtStop = 1 << 20

// detach stops capturing.
func (s *Source) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		_ = l.Close()
	}
	s.links = nil
}

// Close stops capturing and frees everything. Run must have returned.
func (s *Source) Close() error {
	s.detach()
	var errs []error
	for _, r := range s.rings {
		errs = append(errs, r.close())
	}
	s.rings = nil
	if s.budgets != nil {
		errs = append(errs, unix.Munmap(s.budgets))
		s.budgets = nil
	}
	for _, m := range s.inner {
		errs = append(errs, m.Close())
	}
	s.inner = nil
	if s.coll != nil {
		s.coll.Close()
	}
	return errors.Join(errs...)
}

// shard reads one ring. The ring is the only queue between the kernel and the handler.
type shard struct {
	s    *Source
	ring *ring
	h    chunk.Handler
	c    chunk.Chunk
}

// A tick is due this often, and a batch of records is read between looks at the clock.
const (
	tickEvery = 500 * time.Millisecond
	batch     = 256
	// idleShift is how often the sleep of an idle reader doubles: to 160 ms, from where 7 wake-ups a second cost a third of
	// what the 25 at 40 ms did. The kernel wakes it before much is in the ring.
	idleShift = 5
)

func (sh *shard) run(ctx context.Context) error {
	idle := 0
	poll := int(max(sh.s.cfg.Poll/time.Millisecond, 1))
	next := sh.s.now()
	for ctx.Err() == nil {
		now := sh.s.now() // before reading: what is read later is not older, but for records under way
		n := sh.drain(batch)
		if now >= next {
			sh.tick(now)
			next = now.Add(tickEvery)
		}
		if n == batch {
			continue
		}
		if n > 0 {
			idle = 0
		}
		if err := sh.ring.wait(poll << idle); err != nil {
			return err
		}
		if idle < idleShift {
			idle++
		}
	}
	return nil
}

func (sh *shard) tick(now event.Time) {
	sh.c = chunk.Chunk{Kind: chunk.Tick, Time: now}
	sh.h.Chunk(&sh.c)
}

// drain hands at most limit records to the handler and returns how many there were.
func (sh *shard) drain(limit int) int {
	n := 0
	for ; n < limit; n++ {
		b := sh.ring.next()
		if b == nil {
			break
		}
		sh.record(b)
	}
	sh.ring.publish()
	return n
}

const recordSize = int(unsafe.Sizeof(bpf.GnomonRecord{}))

// record turns one record into a chunk. The record's own bytes become Data.
func (sh *shard) record(b []byte) {
	if len(b) < recordSize {
		return // the programs write no such record
	}
	r := (*bpf.GnomonRecord)(unsafe.Pointer(&b[0]))
	c := &sh.c
	c.Kind = chunk.Kind(r.Kind)
	c.Dir = chunk.Dir(r.Dir)
	c.Role = chunk.Role(r.Id.Role)
	c.Flags = chunk.Flags(r.Id.Flags | r.Flags)
	c.Why = chunk.Why(r.Why)
	c.Conn = chunk.ConnID(r.Id.Conn)
	c.Pos = r.Pos
	c.Len = uint64(r.Len)
	c.Data = b[recordSize:]
	c.Time = event.Time(int64(r.Time) + sh.s.offset)
	c.Local = netip.AddrPortFrom(netip.AddrFrom16(r.Id.Local).Unmap(), r.Id.Lport)
	c.Remote = netip.AddrPortFrom(netip.AddrFrom16(r.Id.Remote).Unmap(), r.Id.Rport)
	c.PID, c.TID, c.PeerPID = r.Pid, r.Tid, r.Id.Peer
	c.Cgroup = r.Cgroup
	c.NetNS = r.Id.Netns
	if c.Flags&chunk.Encrypted != 0 {
		sh.s.sawTLS(c.PID, c.Time)
	}
	sh.h.Chunk(c)
}

// stop counts what is left in the ring as lost.
func (sh *shard) stop() {
	for b := sh.ring.next(); b != nil; b = sh.ring.next() {
		r := (*bpf.GnomonRecord)(unsafe.Pointer(&b[0]))
		if chunk.Kind(r.Kind) == chunk.Data {
			sh.s.cfg.Ledger.Chunks.Lose(ledgerStopped, 1)
			sh.s.cfg.Ledger.Bytes.Lose(ledgerStopped, uint64(len(b)-recordSize))
		}
	}
	sh.ring.publish()
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// checkHost names what the host lacks before the loader fails on it less clearly.
func checkHost() error {
	if !privileged() {
		return ErrNotRoot
	}
	if _, err := os.Stat(btfPath); err != nil {
		return ErrNoBTF
	}
	if lockdown() == "confidentiality" {
		return ErrLockdown
	}
	return nil
}

const btfPath = "/sys/kernel/btf/vmlinux"

// lockdown is the kernel's lockdown mode; empty where it has none.
func lockdown() string {
	b, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	_, mode, _ := strings.Cut(string(b), "[")
	mode, _, _ = strings.Cut(mode, "]")
	return mode
}

// privileged says whether the process has CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON.
func privileged() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&hdr, &data[0]) != nil {
		return false
	}
	const bits = 1<<(unix.CAP_BPF-32) | 1<<(unix.CAP_PERFMON-32)
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0 || data[1].Effective&bits == bits
}
