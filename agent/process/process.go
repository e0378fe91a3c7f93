// Package process says who a process is: its executable, and the systemd unit or container that it belongs to.
//
// In: process ids, with the time of the event that carries them. Out: Info. It reads /proc once per process and again to
// see whether the process is still the same; it never signals, traces or opens a process's memory.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Config is what can be set. The zero value of a field means its default.
type Config struct {
	// Proc is where procfs is mounted. Default /proc.
	Proc string
	// Max is how many processes are remembered, at least. Default 4096, of some 300 bytes each; up to twice as many are.
	Max int
	// Recheck is after how much event time a process is looked at again. Default 1 s: process ids are given out in turn, so
	// that one is not used again before some 32,000 others were.
	Recheck time.Duration
	// Executed gives the name of the file that a process executed last, for processes that are gone before they are looked
	// up; nil: such processes have no name.
	Executed func(pid uint32) (name string, ok bool)
}

// Info is what is known of a process; the zero Info, of an unknown one.
type Info struct {
	Name      string // base name of the executable, without the minor version of an interpreter: python3
	Unit      string // systemd service without ".service"; empty in a login session or user slice
	Container string // id of 64 hexadecimal digits
	Pod       string // UID of the Kubernetes pod
	Cgroup    string // path within the unified hierarchy, or systemd's
	Started   uint64 // clock ticks after boot; tells apart processes of the same id
}

// Workload is the systemd unit, else the executable.
func (i Info) Workload() string {
	if i.Unit != "" {
		return i.Unit
	}
	return i.Name
}

// Table remembers processes. It is safe for concurrent use.
type Table struct {
	cfg Config

	mu sync.Mutex
	// Two generations instead of a list in order of use: when young is full it becomes old, and what is still in use is
	// taken over from there.
	young, old map[uint32]*entry
	buf        []byte
}

type entry struct {
	info    Info
	comm    string // changes when the process executes another file
	checked event.Time
	gone    bool
}

// New makes a table.
func New(cfg Config) *Table {
	if cfg.Proc == "" {
		cfg.Proc = "/proc"
	}
	if cfg.Max == 0 {
		cfg.Max = 4096
	}
	if cfg.Recheck == 0 {
		cfg.Recheck = time.Second
	}
	return &Table{cfg: cfg, young: map[uint32]*entry{}, buf: make([]byte, 4096)}
}

// Lookup says who pid was at the time at. Known processes cost a map look-up; pid 0 is unknown.
func (t *Table) Lookup(pid uint32, at event.Time) Info {
	if pid == 0 {
		return Info{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.find(pid)
	switch {
	case e == nil:
		e = t.read(pid)
		e.checked = at
		t.put(pid, e)
	case at.Sub(e.checked) >= t.cfg.Recheck:
		e.checked = at
		comm, started, err := t.stat(pid)
		switch {
		case err != nil:
			e.gone = true // its name stands
		case started != e.info.Started || comm != e.comm:
			fresh := t.read(pid)
			fresh.checked = at
			*e = *fresh
		}
	}
	return e.info
}

func (t *Table) find(pid uint32) *entry {
	if e := t.young[pid]; e != nil {
		return e
	}
	e := t.old[pid]
	if e != nil {
		t.put(pid, e)
	}
	return e
}

func (t *Table) put(pid uint32, e *entry) {
	if len(t.young) >= t.cfg.Max {
		t.old, t.young = t.young, make(map[uint32]*entry, t.cfg.Max)
	}
	t.young[pid] = e
}

// read looks pid up. An entry is returned whatever comes: a process that is gone may have left its name.
func (t *Table) read(pid uint32) *entry {
	e := &entry{}
	var err error
	if e.comm, e.info.Started, err = t.stat(pid); err != nil {
		e.gone = true
	} else {
		e.info.Name = executable(t.path(pid, "exe"))
		e.info.Cgroup = cgroupPath(t.slurp(t.path(pid, "cgroup")))
		e.info.Unit, e.info.Container, e.info.Pod = parseCgroup(e.info.Cgroup)
	}
	if e.info.Name == "" && t.cfg.Executed != nil {
		if n, ok := t.cfg.Executed(pid); ok {
			e.info.Name = plainName(n)
		}
	}
	if e.info.Name == "" {
		e.info.Name = e.comm // a kernel thread
	}
	return e
}

func (t *Table) path(pid uint32, file string) string {
	return t.cfg.Proc + "/" + strconv.FormatUint(uint64(pid), 10) + "/" + file
}

// slurp reads at most a page. The files of interest are shorter; what is cut is no more than the end of a path.
func (t *Table) slurp(name string) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	n, err := io.ReadFull(f, t.buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return t.buf[:n]
}

var errNoProcess = errors.New("no such process")

// stat reads comm and start time (fields 2 and 22 of proc_pid_stat(5)).
func (t *Table) stat(pid uint32) (comm string, started uint64, err error) {
	b := t.slurp(t.path(pid, "stat"))
	if b == nil {
		return "", 0, errNoProcess
	}
	return parseStat(b)
}

func parseStat(b []byte) (comm string, started uint64, err error) {
	// comm may hold spaces and brackets; nothing after it does
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return "", 0, fmt.Errorf("process status %.40q: no command name", b)
	}
	f := bytes.Fields(b[end+1:])
	if len(f) < 20 {
		return "", 0, fmt.Errorf("process status %.40q: %d fields after the name", b, len(f))
	}
	if started, err = strconv.ParseUint(string(f[19]), 10, 64); err != nil {
		return "", 0, fmt.Errorf("process status: start time: %w", err)
	}
	return string(b[open+1 : end]), started, nil
}

func executable(link string) string {
	p, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	return plainName(path.Base(strings.TrimSuffix(p, " (deleted)")))
}

// plainName cuts the minor version off the name of an interpreter (python3.11, php8.2, ruby3.1): a service keeps its name
// when the distribution upgrades it.
func plainName(n string) string {
	dot := strings.IndexByte(n, '.')
	if dot < 2 || !isDigit(n[dot-1]) {
		return n
	}
	for _, c := range []byte(n[dot+1:]) {
		if !isDigit(c) && c != '.' {
			return n
		}
	}
	if len(n) == dot+1 {
		return n
	}
	return n[:dot]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// cgroupPath picks the path of interest of /proc/PID/cgroup: that of the unified hierarchy, or, where that is the root of a
// hybrid set-up, that of systemd's or any other.
func cgroupPath(b []byte) string {
	best := ""
	for line := range bytes.Lines(b) {
		id, rest, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":"))
		if !ok {
			continue
		}
		ctl, p, ok := bytes.Cut(rest, []byte(":"))
		if !ok || len(p) <= 1 {
			continue
		}
		if string(id) == "0" || string(ctl) == "name=systemd" {
			return string(p)
		}
		if best == "" {
			best = string(p)
		}
	}
	return best
}

// parseCgroup finds the unit, the container and the pod in a cgroup path, as systemd, the container runtimes with either
// cgroup driver, and the kubelet name them.
func parseCgroup(p string) (unit, container, pod string) {
	parts := strings.Split(p, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		s := parts[i]
		if container == "" {
			container = containerID(s)
		}
		if pod == "" {
			pod = podUID(s)
		}
		if name, ok := strings.CutSuffix(s, ".service"); ok && unit == "" && !strings.HasPrefix(s, "user@") {
			unit = name
		}
	}
	if container != "" {
		unit = "" // the runtime's, not the container's
	}
	return unit, container, pod
}

// containerID takes "ID", "docker-ID.scope", "cri-containerd-ID.scope", "crio-ID.scope", "libpod-ID.scope".
func containerID(s string) string {
	s = strings.TrimSuffix(s, ".scope")
	if i := strings.LastIndexAny(s, "-:"); i >= 0 {
		s = s[i+1:]
	}
	if len(s) != 64 {
		return ""
	}
	for _, c := range []byte(s) {
		if !isDigit(c) && (c < 'a' || c > 'f') {
			return ""
		}
	}
	return s
}

// podUID takes "podUID" and "kubepods-burstable-podUID.slice", where systemd has "_" for "-".
func podUID(s string) string {
	s, _ = strings.CutSuffix(s, ".slice")
	i := strings.LastIndex(s, "pod")
	if i < 0 || (i > 0 && s[i-1] != '-') {
		return ""
	}
	s = strings.ReplaceAll(s[i+3:], "_", "-")
	if len(s) != 36 && len(s) != 32 { // a static pod's is a hash without dashes
		return ""
	}
	return s
}
