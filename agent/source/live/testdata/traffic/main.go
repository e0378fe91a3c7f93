// Command traffic makes both ends of TCP connections with exactly the system calls that it is told, for the tests of
// package live. It is built for the machine's own architecture and for 386.
//
//	traffic -net tcp4 -send writev -recv recvmsg -rounds 2 exchange
//
// It prints the server's port, waits for a line where a scenario needs one, and ends with status 0 if all bytes arrived.
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	family = flag.String("net", "tcp4", "tcp4, tcp6, mapped or mptcp")
	send   = flag.String("send", "write", "system call that the server sends with")
	recv   = flag.String("recv", "read", "system call that the server receives with")
	rounds = flag.Int("rounds", 1, "exchanges, or connections")
	size   = flag.Int("size", 900, "bytes of each body")
	netns  = flag.Bool("netns", false, "in a network namespace of its own")
	room   = flag.Int("room", 700, "bytes that a receive takes at most")
)

func main() {
	flag.Parse()
	runtime.LockOSThread()
	run, ok := map[string]func(){
		"exchange": exchange, "peek": peek, "sendfile": sendfile, "splice": spliceOut, "splicein": spliceIn,
		"taken": taken, "short": short, "raw": raw, "halfclose": halfClose, "trunc": trunc, "held": held, "uring": uring,
	}[flag.Arg(0)]
	if !ok {
		fail("scenario", fmt.Errorf("unknown: %q", flag.Arg(0)))
	}
	if *netns {
		isolate()
	}
	run()
}

func fail(what string, err error) {
	fmt.Fprintln(os.Stderr, what+":", err)
	os.Exit(1)
}

func must[T any](v T, err error) T {
	if err != nil {
		fail("call", err)
	}
	return v
}

func check(err error) {
	if err != nil {
		fail("call", err)
	}
}

// Body is what the tests expect too: every position has its own byte.
func body(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + (i*7+i/26+seed)%26)
	}
	return b
}

func request(round int) []byte {
	return append(fmt.Appendf(nil, "POST /known/%d HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n", round, *size), body(*size, round)...)
}

func response(round int) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", *size), body(*size, round+1)...)
}

func listen() (fd int, addr unix.Sockaddr) {
	domain, proto := unix.AF_INET6, unix.IPPROTO_TCP
	var any unix.Sockaddr = &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}
	switch *family {
	case "tcp4":
		domain = unix.AF_INET
		any = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	case "mptcp":
		domain, proto = unix.AF_INET, unix.IPPROTO_MPTCP
		any = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	case "mapped":
		any = &unix.SockaddrInet6{}
	}
	fd = must(unix.Socket(domain, unix.SOCK_STREAM, proto))
	check(unix.Bind(fd, any))
	check(unix.Listen(fd, 128))
	addr = must(unix.Getsockname(fd))
	switch a := addr.(type) {
	case *unix.SockaddrInet4:
		fmt.Println(a.Port)
	case *unix.SockaddrInet6:
		fmt.Println(a.Port)
		if *family == "mapped" {
			addr = &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte{127, 0, 0, 1}}
		}
	}
	return fd, addr
}

func connect(l int, addr unix.Sockaddr) (client, server int) {
	domain, proto := unix.AF_INET6, unix.IPPROTO_TCP
	if _, ok := addr.(*unix.SockaddrInet4); ok {
		domain = unix.AF_INET
	}
	if *family == "mptcp" {
		proto = unix.IPPROTO_MPTCP
	}
	client = must(unix.Socket(domain, unix.SOCK_STREAM, proto))
	check(unix.Connect(client, addr))
	server, _, err := unix.Accept(l)
	check(err)
	return client, server
}

func pair() (client, server int) {
	l, addr := listen()
	client, server = connect(l, addr)
	check(unix.Close(l))
	return client, server
}

// wait waits for the test to say go on.
func wait() { _, _ = bufio.NewReader(os.Stdin).ReadString('\n') }

func writeAll(fd int, b []byte) {
	for len(b) > 0 {
		b = b[must(unix.Write(fd, b)):]
	}
}

func readAll(fd int, want []byte) {
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		m := must(unix.Read(fd, got[n:]))
		if m == 0 {
			fail("read", fmt.Errorf("ended after %d of %d bytes", n, len(got)))
		}
		n += m
	}
	if !bytes.Equal(got, want) {
		fail("read", fmt.Errorf("other bytes than were sent"))
	}
}

// iovecs cuts b into pieces of odd sizes, an empty one among them.
func iovecs(b []byte) []unix.Iovec {
	var v []unix.Iovec
	for n := 1; len(b) > 0; n = n*2 + 1 {
		n = min(n, len(b))
		var i unix.Iovec
		i.Base = &b[0]
		i.SetLen(n)
		v = append(v, i)
		if len(v) == 2 {
			v = append(v, unix.Iovec{})
		}
		b = b[n:]
	}
	return v
}

func msghdr(v []unix.Iovec) (m unix.Msghdr) {
	m.Iov = &v[0]
	m.SetIovlen(len(v))
	return m
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// messages cuts b into three.
func messages(b []byte) []mmsghdr {
	var m []mmsghdr
	for _, part := range [][]byte{b[:len(b)/3], b[len(b)/3 : len(b)/2], b[len(b)/2:]} {
		m = append(m, mmsghdr{hdr: msghdr(iovecs(part))})
	}
	return m
}

func call(nr uintptr, a ...uintptr) int {
	var x [6]uintptr
	copy(x[:], a)
	n, _, e := unix.Syscall6(nr, x[0], x[1], x[2], x[3], x[4], x[5])
	if e != 0 {
		fail("call", e)
	}
	return int(n)
}

func addr[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

func sum(m []mmsghdr, n int) (total int) {
	for _, x := range m[:n] {
		total += int(x.len)
	}
	return total
}

func sendWith(kind string, fd int, b []byte) int {
	f := uintptr(fd)
	switch kind {
	case "write":
		return call(unix.SYS_WRITE, f, addr(&b[0]), uintptr(len(b)))
	case "writev":
		v := iovecs(b)
		return call(unix.SYS_WRITEV, f, addr(&v[0]), uintptr(len(v)))
	case "pwritev2":
		v := iovecs(b)
		return call(unix.SYS_PWRITEV2, f, addr(&v[0]), uintptr(len(v)), ^uintptr(0), ^uintptr(0), 0)
	case "sendto":
		return call(unix.SYS_SENDTO, f, addr(&b[0]), uintptr(len(b)))
	case "sendmsg":
		m := msghdr(iovecs(b))
		return call(unix.SYS_SENDMSG, f, addr(&m))
	case "sendmmsg":
		m := messages(b)
		return sum(m, call(unix.SYS_SENDMMSG, f, addr(&m[0]), uintptr(len(m)), 0))
	}
	return special(kind, fd, b)
}

func recvWith(kind string, fd int, b []byte) int {
	f := uintptr(fd)
	switch kind {
	case "read":
		return call(unix.SYS_READ, f, addr(&b[0]), uintptr(len(b)))
	case "readv":
		v := iovecs(b)
		return call(unix.SYS_READV, f, addr(&v[0]), uintptr(len(v)))
	case "preadv2":
		v := iovecs(b)
		return call(unix.SYS_PREADV2, f, addr(&v[0]), uintptr(len(v)), ^uintptr(0), ^uintptr(0), 0)
	case "recvfrom":
		return call(unix.SYS_RECVFROM, f, addr(&b[0]), uintptr(len(b)), 0, 0, 0)
	case "recvmsg":
		m := msghdr(iovecs(b))
		return call(unix.SYS_RECVMSG, f, addr(&m), 0)
	case "recvmmsg":
		m := messages(b)
		return sum(m, call(unix.SYS_RECVMMSG, f, addr(&m[0]), uintptr(len(m)), unix.MSG_WAITFORONE, 0))
	}
	return special(kind, fd, b)
}

func sendAll(kind string, fd int, b []byte) {
	for len(b) > 0 {
		b = b[sendWith(kind, fd, b):]
	}
}

func recvAll(kind string, fd int, want []byte) {
	var got []byte
	for len(got) < len(want) {
		b := make([]byte, min(*room, len(want)-len(got)))
		n := recvWith(kind, fd, b)
		if n == 0 {
			fail("receive", fmt.Errorf("ended after %d of %d bytes", len(got), len(want)))
		}
		got = append(got, b[:n]...)
	}
	// recvmmsg scatters each message to its own buffer: with partial messages the pieces are not adjacent
	if kind != "recvmmsg" && !bytes.Equal(got, want) {
		fail("receive", fmt.Errorf("other bytes than were sent"))
	}
}

func one(client, server, round int) {
	writeAll(client, request(round))
	recvAll(*recv, server, request(round))
	sendAll(*send, server, response(round))
	readAll(client, response(round))
}

// exchange: rounds of request and response, then the server closes first.
func exchange() {
	client, server := pair()
	for i := range *rounds {
		one(client, server, i)
	}
	check(unix.Close(server))
	if n := must(unix.Read(client, make([]byte, 1))); n != 0 {
		fail("read", fmt.Errorf("%d bytes after the end", n))
	}
	check(unix.Close(client))
}

// peek: the server looks twice at what it then reads.
func peek() {
	client, server := pair()
	writeAll(client, request(0))
	b := make([]byte, *room)
	for range 2 {
		_, _, err := unix.Recvfrom(server, b, unix.MSG_PEEK)
		check(err)
	}
	var m unix.Msghdr = msghdr(iovecs(b))
	call(unix.SYS_RECVMSG, uintptr(server), addr(&m), unix.MSG_PEEK)
	recvAll(*recv, server, request(0))
	sendAll(*send, server, response(0))
	readAll(client, response(0))
	check(unix.Close(server))
	check(unix.Close(client))
}

// trunc: the server throws the request's body away unread.
func trunc() {
	client, server := pair()
	req := request(0)
	writeAll(client, req)
	head := len(req) - *size
	recvAll("read", server, req[:head])
	b := make([]byte, *size)
	n, _, err := unix.Recvfrom(server, b, unix.MSG_TRUNC)
	check(err)
	if n != *size {
		fail("receive", fmt.Errorf("%d of %d bytes thrown away", n, *size))
	}
	writeAll(server, response(0))
	readAll(client, response(0))
	check(unix.Close(server))
	check(unix.Close(client))
}

func tempFile(b []byte) int {
	f := must(os.CreateTemp("", "traffic"))
	check(os.Remove(f.Name()))
	_ = must(f.WriteAt(b, 0))
	return int(f.Fd())
}

// sendfile: the response's body comes from a file.
func sendfile() {
	client, server := pair()
	writeAll(client, request(0))
	recvAll(*recv, server, request(0))
	res := response(0)
	head := len(res) - *size
	writeAll(server, res[:head])
	file := tempFile(res[head:])
	for at := 0; at < *size; {
		at += must(unix.Sendfile(server, file, nil, *size-at))
	}
	readAll(client, res)
	one(client, server, 1)
	check(unix.Close(server))
	check(unix.Close(client))
}

// spliceOut: the response's body comes from a pipe.
func spliceOut() {
	client, server := pair()
	writeAll(client, request(0))
	recvAll(*recv, server, request(0))
	res := response(0)
	head := len(res) - *size
	writeAll(server, res[:head])
	var p [2]int
	check(unix.Pipe(p[:]))
	for at := head; at < len(res); {
		n := must(unix.Write(p[1], res[at:min(at+4096, len(res))]))
		for m := 0; m < n; {
			m += int(must(unix.Splice(p[0], nil, server, nil, n-m, 0)))
		}
		at += n
	}
	readAll(client, res)
	one(client, server, 1)
	check(unix.Close(server))
	check(unix.Close(client))
}

// spliceIn: the request's body goes to a pipe.
func spliceIn() {
	client, server := pair()
	req := request(0)
	writeAll(client, req)
	head := len(req) - *size
	recvAll("read", server, req[:head])
	var p [2]int
	check(unix.Pipe(p[:]))
	for at := head; at < len(req); {
		at += int(must(unix.Splice(server, nil, p[1], nil, len(req)-at, 0)))
	}
	writeAll(server, response(0))
	readAll(client, response(0))
	one(client, server, 1)
	check(unix.Close(server))
	check(unix.Close(client))
}

// taken: the connection is there, and used, before the test goes on.
func taken() {
	l, addr := listen()
	client, server := connect(l, addr)
	one(client, server, 0)
	fmt.Println("ready")
	wait()
	for i := 1; i <= *rounds; i++ {
		one(client, server, i)
	}
	check(unix.Close(server))
	check(unix.Close(client))
}

// held: one exchange once the test says so on a connection made before, the client's end still open at the end.
func held() {
	client, server := pair()
	fmt.Println("ready")
	wait()
	for i := range *rounds {
		one(client, server, i)
	}
	check(unix.Close(server))
	check(unix.Close(client))
}

// short: a connection for each exchange.
func short() {
	l, addr := listen()
	for i := range *rounds {
		client, server := connect(l, addr)
		one(client, server, i)
		check(unix.Close(server))
		check(unix.Close(client))
	}
}

// raw: what standard input's lines hold goes over the connection as it is, to and from the server in turn. Each line is a
// hexadecimal string.
func raw() {
	client, server := pair()
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for i := 0; in.Scan(); i++ {
		b := must(hex.DecodeString(in.Text()))
		from, to := client, server
		if i%2 == 1 {
			from, to = server, client
		}
		writeAll(from, b)
		readAll(to, b)
	}
	check(unix.Close(server))
	check(unix.Close(client))
}

// halfClose: the client ends its direction at once, and reads the response only when the connection is over.
func halfClose() {
	client, server := pair()
	writeAll(client, request(0))
	check(unix.Shutdown(client, unix.SHUT_WR))
	recvAll(*recv, server, request(0))
	if n := must(unix.Read(server, make([]byte, 1))); n != 0 {
		fail("read", fmt.Errorf("%d bytes after the end", n))
	}
	writeAll(server, response(0))
	check(unix.Close(server))
	readAll(client, response(0))
	check(unix.Close(client))
}
