//go:build !unix

package store

import "os"

// exclusive is not to be had here; SQLite's own locks keep the file whole, and two writers count twice.
func exclusive(*os.File) error { return nil }
