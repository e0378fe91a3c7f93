//go:build !386

package main

import "fmt"

func special(kind string, _ int, _ []byte) int {
	fail("kind", fmt.Errorf("unknown: %q", kind))
	return 0
}
