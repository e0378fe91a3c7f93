//go:build !linux || !(amd64 || arm64)

package live

import (
	"context"
	"runtime"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/process"
)

// Source is not to be had on this platform.
type Source struct{}

// Open returns ErrNotSupported.
func Open(Config) (*Source, error) { return nil, ErrNotSupported }

// Run returns ErrNotSupported.
func (*Source) Run(context.Context, []chunk.Handler) error { return ErrNotSupported }

// Close does nothing.
func (*Source) Close() error { return nil }

// Facts is empty.
func (*Source) Facts() Facts { return Facts{Arch: runtime.GOARCH} }

// PID is 0.
func (*Source) PID() uint32 { return 0 }

// Failures is nil.
func (*Source) Failures() map[string]uint64 { return nil }

// Processes is nil.
func (*Source) Processes() *process.Table { return nil }

// Budget does nothing.
func (*Source) Budget(uint16, int) {}

// Mute does nothing.
func (*Source) Mute(chunk.ConnID) error { return ErrNotSupported }

// Probe says that live capture is not supported.
func Probe() Report {
	return Report{Arch: runtime.GOARCH, Checks: []Check{{Name: "platform", Needed: true, Detail: runtime.GOOS + "/" + runtime.GOARCH, Next: ErrNotSupported.Error()}}}
}
