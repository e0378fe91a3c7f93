// Command live measures what the sensor costs a saturated server: nginx with one worker under wrk, in alternating
// rounds without and with `gnomon run`, on this machine, as root. `make bench-live` runs it.
//
// It counts for itself: requests by nginx's own stub_status, processor time by /proc/PID/task/*/schedstat, memory by
// /proc/PID/status. It prints a table and the ratios, and exits 1 when a figure misses its target (-check).
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gnomon-sensor/gnomon/deploy/lab"
)

type options struct {
	gnomon   string
	backend  string
	rounds   int
	seconds  int
	conns    int
	openConn int
	check    bool
}

func main() {
	var o options
	flag.StringVar(&o.gnomon, "gnomon", "bin/gnomon", "the binary to measure")
	flag.StringVar(&o.backend, "backend", "auto", "capture backend")
	flag.IntVar(&o.rounds, "rounds", 3, "pairs of rounds")
	flag.IntVar(&o.seconds, "seconds", 6, "length of a round")
	flag.IntVar(&o.conns, "connections", 16, "wrk's connections")
	flag.IntVar(&o.openConn, "open", 10000, "idle connections for the memory figure")
	flag.BoolVar(&o.check, "check", false, "exit 1 when a target is missed")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-live:", err)
		os.Exit(1)
	}
}

// round is what one round gave.
type round struct {
	perSecond           float64
	requests            uint64
	server, client, own time.Duration // processor time
}

func run(o options) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root, as the sensor does: run it with sudo")
	}
	for _, tool := range []string{"nginx", "wrk"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing: apt-get install nginx-light wrk", tool)
		}
	}
	dir, err := os.MkdirTemp("", "gnomon-bench-live-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := filepath.Abs(o.gnomon)
	if err != nil {
		return err
	}
	srv, err := startNginx(dir)
	if err != nil {
		return err
	}
	defer srv.stop()

	fmt.Printf("%d cores, %s, nginx with 1 worker, wrk with %d connections, %d pairs of %d s, backend %s\n",
		runtime.NumCPU(), kernel(), o.conns, o.rounds, o.seconds, o.backend)
	var without, with []round
	var counted, truth uint64
	var rss, rssOpen int64
	var idle float64
	for i := range o.rounds {
		r, err := srv.load(o, nil)
		if err != nil {
			return err
		}
		without = append(without, r)
		s, err := lab.StartSensor(bin, dir, "--backend", o.backend)
		if err != nil {
			return err
		}
		if i == 0 { // idle: after start-up has settled, before any load
			time.Sleep(3 * time.Second)
			before := lab.CPU(s.PID())
			time.Sleep(10 * time.Second)
			idle = (lab.CPU(s.PID()) - before).Seconds() / 10
		}
		r, err = srv.load(o, s)
		if err != nil {
			return errors.Join(err, s.Stop())
		}
		with = append(with, r)
		rss = max(rss, lab.Memory(s.PID()))
		if i == o.rounds-1 && o.openConn > 0 {
			if rssOpen, err = srv.openConnections(o.openConn, s); err != nil {
				return errors.Join(err, s.Stop())
			}
		}
		n, err := count(s, srv.port)
		if err != nil {
			return errors.Join(err, s.Stop())
		}
		counted += n
		truth += r.requests
		if i == o.rounds-1 {
			truth += uint64(o.openConn)
		}
		if err := s.Stop(); err != nil {
			return err
		}
	}

	rate := func(r round) float64 { return r.perSecond }
	per := func(d func(round) time.Duration) func(round) float64 {
		return func(r round) float64 { return float64(d(r).Nanoseconds()) / 1000 / float64(r.requests) }
	}
	server := per(func(r round) time.Duration { return r.server })
	client := per(func(r round) time.Duration { return r.client })
	own := per(func(r round) time.Duration { return r.own })
	fmt.Printf("%-12s %12s %18s %18s %18s\n", "", "requests/s", "server µs/request", "client µs/request", "sensor µs/request")
	fmt.Printf("%-12s %12.0f %18.2f %18.2f %18s\n", "no sensor", median(without, rate), median(without, server), median(without, client), "–")
	fmt.Printf("%-12s %12.0f %18.2f %18.2f %18.2f\n", "gnomon", median(with, rate), median(with, server), median(with, client), median(with, own))
	var pairs []float64
	for i := range with {
		pairs = append(pairs, with[i].perSecond/without[i].perSecond)
	}
	slices.Sort(pairs)
	ratio, tax := pairs[len(pairs)/2], median(with, server)-median(without, server)
	ok := true
	verdict := func(what string, value float64, unit string, good bool, target string) {
		word := "ok"
		if !good {
			word, ok = "MISSED", false
		}
		fmt.Printf("%-44s %10.3f %-3s target %-10s %s\n", what, value, unit, target, word)
	}
	verdict("requests/s with / without, median of pairs", 100*ratio, "%", ratio >= 0.75, "≥ 75")
	verdict("server tax", tax, "µs", tax <= 2, "≤ 2")
	verdict("sensor per request", median(with, own), "µs", median(with, own) <= 3, "≤ 3")
	seen := float64(counted) / float64(truth)
	verdict(fmt.Sprintf("in the inventory (%d of %d)", counted, truth), 100*seen, "%", seen >= 0.999 && seen <= 1, "≥ 99.9")
	verdict("idle sensor", 100*idle, "%", idle < 0.005, "< 0.5")
	verdict("RSS under load", float64(rss)/(1<<20), "MB", rss < 60<<20, "< 60")
	if o.openConn > 0 {
		verdict(fmt.Sprintf("RSS with %d open connections", o.openConn), float64(rssOpen)/(1<<20), "MB", rssOpen < 150<<20, "< 150")
	}
	if o.check && !ok {
		return errors.New("a target was missed")
	}
	return nil
}

func median(rs []round, f func(round) float64) float64 {
	var v []float64
	for _, r := range rs {
		v = append(v, f(r))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return "Linux " + strings.TrimSpace(string(b))
}

// server is an nginx of our own.
type server struct {
	cmd          *exec.Cmd
	port, status int
	worker       int
	dir          string
}

func startNginx(dir string) (*server, error) {
	s := &server{port: lab.FreePort(), status: lab.FreePort(), dir: dir}
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log; worker_rlimit_nofile 40000;
events { worker_connections 30000; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 600s; client_header_timeout 600s; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p;
 fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s; default_type application/json;
 server { listen 127.0.0.1:%[2]d backlog=16384; location / { return 200 '{"id":4711,"name":"lamp","price":12.5,"tags":["a","b"],"stock":{"berlin":4,"paris":0}}'; } }
 server { listen 127.0.0.1:%[3]d; location / { stub_status; } } }
`, dir, s.port, s.status)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	// Requests over 1,000 ids of four routes, made once: what wrk sends then costs it no more than a fixed request.
	lua := `local r, n = {}, 0
for i = 1, 1000 do for _, p in ipairs({"/api/v1/orders/", "/api/v1/users/", "/api/v1/products/", "/api/v1/carts/"}) do
  r[#r + 1] = "GET " .. p .. i * 7919 .. " HTTP/1.1\r\nHost: shop.internal\r\nUser-Agent: wrk\r\nAccept: application/json\r\n\r\n" end end
function request() n = n % #r + 1; return r[n] end
`
	if err := os.WriteFile(filepath.Join(dir, "load.lua"), []byte(lua), 0o600); err != nil {
		return nil, err
	}
	s.cmd = exec.Command("nginx", "-p", dir, "-c", conf)
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 100 {
		if _, err := s.requests(); err == nil {
			out, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.cmd.Process.Pid, s.cmd.Process.Pid))
			if err == nil {
				if s.worker, err = strconv.Atoi(strings.Fields(string(out))[0]); err == nil {
					return s, nil
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.stop()
	return nil, errors.New("nginx did not start: see its messages above")
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
}

var statusLine = regexp.MustCompile(`(?m)^ (\d+) (\d+) (\d+)`)

// requests asks nginx how many requests it has answered on all its ports; the question itself counts as one.
func (s *server) requests() (uint64, error) {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", s.status))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	m := statusLine.FindSubmatch(b)
	if m == nil {
		return 0, fmt.Errorf("nginx's stub_status says %q", b)
	}
	return strconv.ParseUint(string(m[3]), 10, 64)
}

var wrkRate = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)

func (s *server) load(o options, sensor *lab.Sensor) (round, error) {
	time.Sleep(time.Second)
	wrk := exec.Command("wrk", "-t1", fmt.Sprintf("-c%d", o.conns), fmt.Sprintf("-d%ds", o.seconds), "-s", filepath.Join(s.dir, "load.lua"), fmt.Sprintf("http://127.0.0.1:%d/", s.port))
	before, err := s.requests()
	if err != nil {
		return round{}, err
	}
	server, own := lab.CPU(s.worker), time.Duration(0)
	if sensor != nil {
		own = lab.CPU(sensor.PID())
	}
	out, err := wrk.CombinedOutput()
	if err != nil {
		return round{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	if sensor != nil {
		time.Sleep(200 * time.Millisecond) // what is in the ring is work of this round too
	}
	r := round{server: lab.CPU(s.worker) - server, client: wrk.ProcessState.UserTime() + wrk.ProcessState.SystemTime()}
	if sensor != nil {
		r.own = lab.CPU(sensor.PID()) - own
	}
	after, err := s.requests()
	if err != nil {
		return round{}, err
	}
	r.requests = after - before - 1
	m := wrkRate.FindSubmatch(out)
	if m == nil {
		return round{}, fmt.Errorf("wrk says no rate:\n%s", out)
	}
	r.perSecond, err = strconv.ParseFloat(string(m[1]), 64)
	return r, err
}

// openConnections holds n keep-alive connections open, each after one request, and reports the sensor's memory then.
func (s *server) openConnections(n int, sensor *lab.Sensor) (int64, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, err
	}
	files.Cur = files.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, err
	}
	if files.Max < uint64(n)+100 {
		return 0, fmt.Errorf("this shell may open %d files, %d connections need more: raise ulimit -Hn or lower -open", files.Max, n)
	}
	buf := make([]byte, 4096)
	for i := range n {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err != nil {
			return 0, fmt.Errorf("connection %d: %w", i, err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "GET /api/v1/orders/%d HTTP/1.1\r\nHost: shop.internal\r\n\r\n", i+1); err != nil {
			return 0, err
		}
		if _, err := c.Read(buf); err != nil {
			return 0, err
		}
	}
	time.Sleep(3 * time.Second)
	return lab.Memory(sensor.PID()), nil
}

// count sums the calls that the inventory has for the service on port, once they stop growing.
func count(s *lab.Sensor, port int) (uint64, error) {
	var last uint64
	for range 20 {
		time.Sleep(1500 * time.Millisecond)
		var rows []struct {
			Service string `json:"service"`
			Calls   uint64 `json:"calls"`
		}
		if err := s.Query(&rows, "endpoints", "--limit", "0"); err != nil {
			return 0, err
		}
		var sum uint64
		for _, r := range rows {
			if strings.HasSuffix(r.Service, ":"+strconv.Itoa(port)) {
				sum += r.Calls
			}
		}
		if sum == last && sum > 0 {
			return sum, nil
		}
		last = sum
	}
	return last, nil
}
