// Command bench measures `gnomon replay` beside tshark on the capture that shared/bench/captures/make_load.py writes: calls
// a second of processor time (user and system) of the whole process, and its largest memory, at one and at ten times the
// length. Rounds alternate, so that both see the same machine; the median counts.
//
//	go run ./agent/source/pcap/bench [-calls 200000] [-rounds 5] [-captures ../shared/bench/captures]
//
// In: nothing. Out: a table on standard output. It exits with 1 when a figure is missed or a run counts another number of calls.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

const (
	least  = 300_000 // calls a second of processor time
	factor = 20.0    // times tshark's rate
	growth = 1.25    // of the memory, at ten times the length
)

type result struct {
	rate float64 // calls a second of processor time
	rss  int64   // KiB
}

func main() {
	calls := flag.Int("calls", 200_000, "calls in the capture")
	rounds := flag.Int("rounds", 5, "rounds")
	captures := flag.String("captures", "../shared/bench/captures", "folder of make_load.py")
	flag.Parse()
	if err := run(*calls, *rounds, *captures); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(calls, rounds int, captures string) error {
	dir, err := os.MkdirTemp("", "gnomon-bench-replay")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "gnomon")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/gnomon")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build gnomon: %w\n%s", err, out)
	}
	one, ten := filepath.Join(dir, "1.pcap"), filepath.Join(dir, "10.pcap")
	for name, n := range map[string]int{one: calls, ten: 10 * calls} {
		if out, err := exec.Command("python3", filepath.Join(captures, "make_load.py"), name, "--calls", strconv.Itoa(n)).CombinedOutput(); err != nil {
			return fmt.Errorf("make the capture: %w\n%s", err, out)
		}
	}
	os.Setenv("GNOMON_STATE_DIR", dir)
	inventory := []string{bin, "replay", "-q", one}
	lines := []string{bin, "replay", "-q", "--calls", "-", one}
	shark := []string{"tshark", "-n", "-q", "-r", one, "-Y", "http.request", "-T", "fields", "-e", "http.request.method"}
	rows := [][]string{inventory, lines, shark}
	if _, err := exec.LookPath("tshark"); err != nil {
		fmt.Println("tshark is not there: its rate is left out (apt-get install tshark)")
		rows = rows[:2]
	}
	all := make([][]result, len(rows))
	for range rounds {
		for i, argv := range rows {
			want := calls
			if i == 0 {
				want = -1 // its rows are endpoints
			}
			r, err := measure(argv, calls, want)
			if err != nil {
				return err
			}
			all[i] = append(all[i], r)
		}
	}
	long, err := measure([]string{bin, "replay", "-q", ten}, 10*calls, -1)
	if err != nil {
		return err
	}
	inv, call := median(all[0]), median(all[1])
	fmt.Printf("%-44s %12s %10s\n", "", "calls/s", "MiB")
	row := func(what string, r result) { fmt.Printf("%-44s %12.0f %10.1f\n", what, r.rate, float64(r.rss)/1024) }
	row("gnomon replay FILE", inv)
	row("gnomon replay FILE, ten times the calls", long)
	row("gnomon replay --calls - FILE", call)
	failed := inv.rate < least || float64(long.rss) > growth*float64(inv.rss)
	if len(rows) == 3 {
		t := median(all[2])
		row("tshark -Y http.request -T fields", t)
		fmt.Printf("%.1f times tshark's rate (%.1f with every call printed)\n", inv.rate/t.rate, call.rate/t.rate)
		failed = failed || inv.rate < factor*t.rate
	}
	if failed {
		return fmt.Errorf("wanted: %d calls/s, %.0f times tshark's rate, and no more than %.2f times the memory at ten times the length", least, factor, growth)
	}
	return nil
}

// measure runs a command that reads so many calls; want is the lines that it must print, -1 for any.
func measure(argv []string, calls, want int) (result, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	var n lines
	var messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &n, &messages
	if err := cmd.Run(); err != nil {
		return result{}, fmt.Errorf("%v: %w\n%s", argv, err, messages.Bytes())
	}
	if want >= 0 && int(n) != want {
		return result{}, fmt.Errorf("%v: %d lines, not %d", argv, n, want)
	}
	st := cmd.ProcessState
	r := result{rate: float64(calls) / (st.UserTime() + st.SystemTime()).Seconds()}
	if u, ok := st.SysUsage().(*syscall.Rusage); ok {
		r.rss = int64(u.Maxrss)
	}
	return r, nil
}

// lines counts line ends.
type lines int

func (l *lines) Write(b []byte) (int, error) {
	*l += lines(bytes.Count(b, []byte{'\n'}))
	return len(b), nil
}

func median(list []result) result {
	slices.SortFunc(list, func(a, b result) int {
		if a.rate < b.rate {
			return -1
		}
		return 1
	})
	return list[len(list)/2]
}
