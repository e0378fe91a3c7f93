package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// special is socketcall(2), through which 386 programs of old make their socket calls.
func special(kind string, fd int, b []byte) int {
	args := [6]uint32{uint32(fd), uint32(addr(&b[0])), uint32(len(b))}
	switch kind {
	case "socketcall-send":
		return call(unix.SYS_SOCKETCALL, 9, addr(&args[0]))
	case "socketcall-recv":
		return call(unix.SYS_SOCKETCALL, 10, addr(&args[0]))
	}
	fail("kind", fmt.Errorf("unknown: %q", kind))
	return 0
}
