// Package lab runs the real `gnomon run` beside real servers, for the end-to-end tests and the benchmarks.
//
// In: a built binary. Out: a running sensor and what its CLI says. It uses nothing of gnomon's own code, so that what it
// finds is what a user would find.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Sensor is a running `gnomon run` with a store of its own.
type Sensor struct {
	Bin, Store string
	cmd        *exec.Cmd
	log        string
}

// StartSensor starts bin with a store and log in dir, and returns once it captures (at most 20 s).
func StartSensor(bin, dir string, args ...string) (*Sensor, error) {
	store := filepath.Join(dir, fmt.Sprintf("store-%d.db", time.Now().UnixNano()))
	s := &Sensor{Bin: bin, Store: store, log: store + ".log"}
	ready := store + ".ready"
	listen := fmt.Sprintf("127.0.0.1:%d", FreePort())
	s.cmd = exec.Command(bin, append([]string{"run", "--listen", listen, "--store", store, "--ready-file", ready}, args...)...)
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", bin, err)
	}
	for range 400 {
		if _, err := os.Stat(ready); err == nil {
			return s, nil
		}
		if syscall.Kill(s.PID(), 0) != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	err = errors.Join(errors.New("gnomon run did not become ready"), s.Stop())
	return nil, fmt.Errorf("%w:\n%s", err, s.Said())
}

// PID is the sensor's process.
func (s *Sensor) PID() int { return s.cmd.Process.Pid }

// Said is all that the sensor printed.
func (s *Sensor) Said() string {
	b, _ := os.ReadFile(s.log)
	return string(b)
}

// Stop asks the sensor to drain and waits for it.
func (s *Sensor) Stop() error {
	if s.cmd.ProcessState != nil {
		return nil
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("gnomon run: %w:\n%s", err, s.Said())
		}
		return nil
	case <-time.After(30 * time.Second):
		s.cmd.Process.Kill()
		<-done
		return fmt.Errorf("gnomon run did not end within 30 s of SIGTERM:\n%s", s.Said())
	}
}

// Query runs `gnomon ARGS --store STORE -o json` and decodes its output into out.
func (s *Sensor) Query(out any, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Bin, append(args, "--store", s.Store, "-o", "json")...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("gnomon %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("gnomon %s: %w in %.200q", strings.Join(args, " "), err, b)
	}
	return nil
}

// FreePort is a port of 127.0.0.1 that nothing listens on now.
func FreePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// CPU is the processor time that all threads of pid have had: schedstat counts nanoseconds, where stat counts ticks.
func CPU(pid int) time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	var sum time.Duration
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread ended
		}
		ns, _ := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		sum += time.Duration(ns)
	}
	return sum
}

// Memory is pid's resident memory in bytes.
func Memory(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(f[0], 10, 64)
	return kb << 10
}
