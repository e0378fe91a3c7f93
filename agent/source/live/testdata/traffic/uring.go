package main

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The io_uring interface of linux/io_uring.h, as far as one send needs it.
type uringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sq                                                   struct{ head, tail, mask, entries, flags, dropped, array, _, _, _ uint32 }
	cq                                                   struct{ head, tail, mask, entries, overflow, cqes, flags, _, _, _ uint32 }
}

type sqe struct {
	op, flags        uint8
	prio             uint16
	fd               int32
	off, addr        uint64
	len, opFlags     uint32
	user             uint64
	buf, personality uint16
	splice           int32
	_                [2]uint64
}

type cqe struct {
	user  uint64
	res   int32
	flags uint32
}

const opSend = 26

func at[T any](b []byte, off uint32) *T { return (*T)(unsafe.Pointer(&b[off])) }

func uringSend(fd int, b []byte) int {
	var p uringParams
	ring := call(unix.SYS_IO_URING_SETUP, 4, addr(&p))
	defer unix.Close(ring)
	const rw, shared = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED
	sq := must(unix.Mmap(ring, 0, int(p.sq.array+p.sqEntries*4), rw, shared))
	cq := must(unix.Mmap(ring, 0x8000000, int(p.cq.cqes+p.cqEntries*16), rw, shared))
	sqes := must(unix.Mmap(ring, 0x10000000, int(p.sqEntries)*int(unsafe.Sizeof(sqe{})), rw, shared))
	*at[sqe](sqes, 0) = sqe{op: opSend, fd: int32(fd), addr: uint64(addr(&b[0])), len: uint32(len(b))}
	*at[uint32](sq, p.sq.array) = 0
	atomic.AddUint32(at[uint32](sq, p.sq.tail), 1)
	call(unix.SYS_IO_URING_ENTER, uintptr(ring), 1, 1, 1 /* IORING_ENTER_GETEVENTS */, 0, 0)
	res := at[cqe](cq, p.cq.cqes).res
	if res < 0 {
		fail("io_uring", unix.Errno(-res))
	}
	for _, m := range [][]byte{sq, cq, sqes} {
		check(unix.Munmap(m))
	}
	return int(res)
}

// uring: the server's first response goes through io_uring, the second does not.
func uring() {
	client, server := pair()
	writeAll(client, request(0))
	recvAll(*recv, server, request(0))
	if n := uringSend(server, response(0)); n != len(response(0)) {
		fail("io_uring", fmt.Errorf("%d bytes sent", n))
	}
	readAll(client, response(0))
	one(client, server, 1)
	check(unix.Close(server))
	check(unix.Close(client))
}

// isolate moves the program into a network namespace of its own.
func isolate() {
	check(unix.Unshare(unix.CLONE_NEWNET))
	s := must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))
	ifr := must(unix.NewIfreq("lo"))
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	check(unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr))
	check(unix.Close(s))
}
