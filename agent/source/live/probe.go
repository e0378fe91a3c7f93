//go:build linux && (amd64 || arm64)

package live

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Probe finds out what this host lets the sensor see. It loads and attaches each backend for a moment; while it runs,
// nothing is captured for anyone.
func Probe() Report {
	r := Report{Kernel: kernelRelease(), Arch: runtime.GOARCH}
	r.Checks = append(r.Checks,
		Check{Name: "privileges", Needed: true, OK: privileged(), Detail: "CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON", Next: ErrNotRoot.Error()},
		exists("kernel type information", btfPath, true, ErrNoBTF.Error()),
		Check{Name: "lockdown", Needed: true, OK: lockdown() != "confidentiality", Detail: "mode: " + orNone(lockdown()), Next: ErrLockdown.Error()},
		exists("tracefs", "/sys/kernel/tracing/events", false, "only uprobes need it: mount -t tracefs tracefs /sys/kernel/tracing"),
		exists("cgroup v2", cgroup2(), false, "containers are then known by their cgroup's path only: mount -t cgroup2 none /sys/fs/cgroup/unified"),
	)
	if err := checkHost(); err != nil {
		r.Why = err.Error()
		return tidy(r)
	}
	var failed []error
	for _, b := range []Backend{Socket, Syscall} {
		c := Check{Name: "backend " + b.String(), Detail: "loads and attaches"}
		pid, err := try(b)
		if err != nil {
			c.Detail, c.Next = short(err.Error()), nextFor[b]
			failed = append(failed, fmt.Errorf("backend %s: %w", b, err))
		} else {
			c.OK = true
			if r.Backend == Auto {
				r.Backend, r.Why = b, why(Auto, failed)
				r.Checks = append(r.Checks, Check{Name: "process numbers", OK: pid == uint32(os.Getpid()), Detail: "of the host's own PID namespace",
					Next: "processes cannot be named from inside a PID namespace: run in the host's (hostPID: true, --pid=host)"})
			}
		}
		r.Checks = append(r.Checks, c)
	}
	if r.Backend == Auto {
		r.Why = errors.Join(append([]error{ErrNoBackend}, failed...)...).Error()
		return tidy(r)
	}
	r.Misses = misses(r.Backend)
	return tidy(r)
}

var nextFor = map[Backend]string{
	Socket:  "needs Linux 6.3 for the tracepoints sock_send_length and sock_recv_length; the syscall backend sees the same at a higher cost",
	Syscall: "needs Linux 5.12 and BTF",
}

// tidy takes the next step off what is as it should be.
func tidy(r Report) Report {
	for i := range r.Checks {
		if r.Checks[i].OK {
			r.Checks[i].Next = ""
		}
	}
	return r
}

func exists(name, path string, needed bool, next string) Check {
	_, err := os.Stat(path)
	return Check{Name: name, OK: err == nil, Needed: needed, Detail: path, Next: next}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// cgroup2 is where the unified hierarchy is mounted, alone or in a hybrid set-up.
func cgroup2() string {
	const hybrid = "/sys/fs/cgroup/unified/cgroup.controllers"
	if _, err := os.Stat(hybrid); err == nil {
		return hybrid
	}
	return "/sys/fs/cgroup/cgroup.controllers"
}

// try opens a backend and closes it again.
func try(b Backend) (pid uint32, err error) {
	cfg := Config{Backend: b, RingBytes: 4096, Log: slog.New(slog.DiscardHandler)}
	if err := cfg.setDefaults(); err != nil {
		return 0, err
	}
	s, err := openBackend(cfg, b)
	if err != nil {
		return 0, err
	}
	pid = s.PID()
	return pid, s.Close()
}

// misses is what a backend cannot see on any host.
func misses(b Backend) []event.BlindSpot {
	out := []event.BlindSpot{
		{Kind: "tls", Detail: "what is inside TLS: its connections are counted by process, not decoded"},
		{Kind: "quic", Detail: "HTTP/3: datagrams of UDP port 443 are counted, not decoded"},
		{Kind: "splice", Detail: "bodies that go through sendfile and splice: their length is known, not their content"},
	}
	if b == Syscall {
		return append(out, event.BlindSpot{Kind: "io_uring", Detail: "what programs send and receive through io_uring: noticed by sequence numbers once an ordinary call follows"})
	}
	return append(out, event.BlindSpot{Kind: "io_uring", Detail: "the content of what programs send and receive through io_uring: its length is known"})
}
