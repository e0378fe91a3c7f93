//go:build unix

package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// exclusive locks f until it is closed, or fails at once.
func exclusive(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
