//go:build linux && (amd64 || arm64)

package live

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring reads a BPF ring buffer in place. The layout is the kernel's interface (kernel/bpf/ringbuf.c, "struct
// bpf_ringbuf"): a page with the consumer's position, a page with the producer's, then the data, where each record has
// an 8-byte header and is padded to 8 bytes.
//
// Not ringbuf.Reader of cilium/ebpf: its ReadInto copies each record and costs 0.36 µs; this hands out the ring's own
// memory. The data is mapped once, not twice in a row as that package does: a mapped ring counts as resident memory, and a
// record that wraps is copied instead, once per turn of the ring.
type ring struct {
	consumer []byte
	producer []byte // page of the position, then the data
	data     []byte
	mask     uint64
	cons     *uint64
	prod     *uint64
	pos      uint64 // read up to here; published to the kernel at times only
	freed    uint64 // what was published last
	epoll    int
	wrap     []byte // a record that wraps
}

const (
	ringBusy    = 1 << 31
	ringDiscard = 1 << 30
	ringHeader  = 8
	// The position is published after this many bytes, for the kernel to reuse the room. Each publishing takes the cache
	// line that the producers read.
	ringPublish = 64 << 10
)

func openRing(fd int, size int) (*ring, error) {
	page := os.Getpagesize()
	r := &ring{mask: uint64(size - 1), wrap: make([]byte, 0, 4096), epoll: -1}
	var err error
	if r.consumer, err = unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the ring's consumer page: %w", err)
	}
	if r.producer, err = unix.Mmap(fd, int64(page), page+size, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, errors.Join(fmt.Errorf("map the ring's data: %w", err), r.close())
	}
	r.cons = (*uint64)(unsafe.Pointer(&r.consumer[0]))
	r.prod = (*uint64)(unsafe.Pointer(&r.producer[0]))
	r.data = r.producer[page:]
	r.pos = atomic.LoadUint64(r.cons)
	r.freed = r.pos
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, errors.Join(fmt.Errorf("watch the ring: %w", err), r.close())
	}
	// Edge-triggered: level-triggered would return at once whenever a record is there, and so wake for each.
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return nil, errors.Join(fmt.Errorf("watch the ring: %w", err), r.close())
	}
	return r, nil
}

func (r *ring) close() error {
	var errs []error
	if r.epoll >= 0 {
		errs = append(errs, unix.Close(r.epoll))
		r.epoll = -1
	}
	for _, m := range []*[]byte{&r.consumer, &r.producer} {
		if *m != nil {
			errs = append(errs, unix.Munmap(*m))
			*m = nil
		}
	}
	return errors.Join(errs...)
}

// wait sleeps until the kernel wakes the reader or ms milliseconds are over.
func (r *ring) wait(ms int) error {
	var ev [1]unix.EpollEvent
	if _, err := unix.EpollWait(r.epoll, ev[:], ms); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for the ring: %w", err)
	}
	return nil
}

// next returns the next record, or nil if there is none. It is valid until the next call of next or publish: only they
// give room back to the kernel.
func (r *ring) next() []byte {
	for {
		if r.pos-r.freed >= ringPublish {
			r.publish()
		}
		if r.pos >= atomic.LoadUint64(r.prod) {
			return nil
		}
		at := r.pos & r.mask
		head := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[at])))
		if head&ringBusy != 0 {
			return nil
		}
		n := uint64(head &^ (ringBusy | ringDiscard))
		r.pos += (n + ringHeader + 7) &^ 7
		if head&ringDiscard != 0 {
			continue
		}
		from := (at + ringHeader) & r.mask
		if from+n <= uint64(len(r.data)) {
			return r.data[from : from+n : from+n]
		}
		r.wrap = append(append(r.wrap[:0], r.data[from:]...), r.data[:from+n-uint64(len(r.data))]...)
		return r.wrap
	}
}

// publish gives the room of all that was read back to the kernel.
func (r *ring) publish() {
	atomic.StoreUint64(r.cons, r.pos)
	r.freed = r.pos
}
