package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gnomon-sensor/gnomon/deploy/lab"
	"github.com/stretchr/testify/require"
)

// sink accepts connections and reads what they send, answering every request head with 404 if answer is set.
func sink(t *testing.T, answer bool) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if !answer {
					io.Copy(io.Discard, c)
					return
				}
				for r := bufio.NewReaderSize(c, 64<<10); ; {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) <= 2 {
						if _, err := io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// TestTheSensorKeepsUpWithHonestTrafficBesideHostileTraffic throws a path flood, a Host flood, endless headers, slow
// half-requests and idle connections at sinks, while an honest server is used; the honest calls must all be there, the
// flood must be counted, and the sensor must stay small.
func TestTheSensorKeepsUpWithHonestTrafficBesideHostileTraffic(t *testing.T) {
	need(t, true)
	const flood = 60_000
	var files syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	files.Cur = files.Max
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files))
	idle := int(min(20_000, (files.Max-2000)/2)) // both ends of each are this process's
	dir := t.TempDir()
	honest := start(t, "go", dir)
	hole, deaf := sink(t, true), sink(t, false)
	sensor, err := lab.StartSensor(gnomon, dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, sensor.Stop()) }()

	dial := func(port, i int) net.Conn {
		// Many source addresses: one has only 28,000 ports.
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/10_000))}}
		c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		return c
	}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range idle { // slow-loris: half a request, and then nothing
		c := dial(deaf, i)
		fmt.Fprintf(c, "GET /slow/%d HTTP/1.1\r\nHost: loris.example\r\nX-A: ", i)
		open = append(open, c)
	}
	var all sync.WaitGroup
	all.Go(func() { // paths and Hosts that never repeat
		rnd := rand.New(rand.NewPCG(1, 2))
		c := dial(hole, 0)
		defer c.Close()
		r := bufio.NewReader(c)
		for i := range flood {
			fmt.Fprintf(c, "GET /%x/%x HTTP/1.1\r\nHost: h%x.example\r\n\r\n", rnd.Uint64(), rnd.Uint32(), rnd.Uint64())
			for range 4 {
				if _, err := r.ReadSlice('\n'); err != nil && i < flood-1 && !errors.Is(err, bufio.ErrBufferFull) {
					break
				}
				if r.Buffered() == 2 {
					r.Discard(2)
					break
				}
			}
		}
	})
	all.Go(func() { // headers without end, a field without end
		line := []byte("X-Long: " + strings.Repeat("a", 8000) + "\r\n")
		for _, b := range [][]byte{line, []byte(strings.Repeat("b", 8000))} {
			c := dial(deaf, 1)
			fmt.Fprintf(c, "GET /endless HTTP/1.1\r\n")
			for range 4000 { // 32 MB each
				if _, err := c.Write(b); err != nil {
					break
				}
			}
			open = append(open, c)
		}
	})
	goClient(t, honest.port, plan(300, 1000, true), 4)
	all.Wait()

	var want, got map[group]sums
	var flooded int64
	for range 30 {
		want, got, flooded = honest.truth(t), honest.inventory(t, sensor), 0
		for _, v := range (&server{port: hole}).inventory(t, sensor) {
			flooded += v.calls()
		}
		if flooded == flood && fmt.Sprint(want) == fmt.Sprint(got) {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	var rows []struct {
		Ledger ledger `json:"ledger"`
	}
	require.NoError(t, sensor.Query(&rows, "sensors"))
	if lost := rows[0].Ledger.Chunks.Lost["ring_full"]; lost == 0 {
		require.Equal(t, want, got, "honest calls")
		require.EqualValues(t, flood, flooded, "calls of the flood, each counted")
	} else { // a machine too busy to read the ring in time: little is missing, and the ledger has at least as much
		missing := total(want) + flood - total(got) - flooded
		t.Logf("%d records lost to a full ring, %d calls missing", lost, missing)
		require.LessOrEqual(t, missing, int64(lost))
		require.GreaterOrEqual(t, float64(total(got)), 0.99*float64(total(want)), "honest calls")
	}
	var services []struct {
		Service string `json:"service"`
	}
	require.NoError(t, sensor.Query(&services, "apis", "--limit", "0"))
	require.LessOrEqual(t, len(services), 10, "a Host flood makes no services: %v", services)
	rss := lab.Memory(sensor.PID())
	t.Logf("RSS %d MB with %d half-open connections", rss>>20, idle)
	require.Less(t, rss, int64(200<<20))
	for _, c := range open { // while they are open the sensor holds their unfinished lines
		c.Close()
	}
	balance(t, sensor)
}

func total(m map[group]sums) (n int64) {
	for _, v := range m {
		n += v.calls()
	}
	return n
}

type account struct {
	Captured  uint64            `json:"captured"`
	Delivered uint64            `json:"delivered"`
	Lost      map[string]uint64 `json:"lost"`
}

type ledger struct {
	Chunks, Bytes, Calls account
}

// balance waits until the ledger of the sensor balances in each unit and returns it.
func balance(t *testing.T, sensor *lab.Sensor) ledger {
	t.Helper()
	var last ledger
	for range 20 {
		var rows []struct {
			Ledger ledger `json:"ledger"`
		}
		require.NoError(t, sensor.Query(&rows, "sensors"))
		require.Len(t, rows, 1)
		last = rows[0].Ledger
		even := true
		for _, a := range []account{last.Chunks, last.Bytes, last.Calls} {
			sum := a.Delivered
			for _, n := range a.Lost {
				sum += n
			}
			even = even && sum == a.Captured && a.Captured > 0
		}
		if even {
			return last
		}
		time.Sleep(500 * time.Millisecond)
	}
	require.Failf(t, "the ledger does not balance", "%+v", last)
	return last
}

// TestWhatTheSensorCannotDoIsSaidInOneLine breaks the start of the sensor in the ways that users do.
func TestWhatTheSensorCannotDoIsSaidInOneLine(t *testing.T) {
	need(t, true)
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	require.NoError(t, os.WriteFile(dir+"/text.db", []byte(strings.Repeat("this is no database ", 100)), 0o600))
	for _, c := range []struct {
		name, says string
		args       []string
	}{
		{"a port in use", "--listen", []string{"--listen", busy.Addr().String(), "--store", dir + "/a.db"}},
		{"a store in a folder that is not there", "--store", []string{"--listen", "127.0.0.1:0", "--store", dir + "/none/such/a.db"}},
		{"a store that is no database", "--store", []string{"--listen", "127.0.0.1:0", "--store", dir + "/text.db"}},
		{"a backend that does not exist", "--backend", []string{"--backend", "magic"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := failing(t, c.args...)
			require.Contains(t, said, c.says)
			require.LessOrEqual(t, strings.Count(strings.TrimSpace(said), "\n"), 1, said)
		})
	}
}

// failing runs `gnomon run` with args, which must end with an error by itself, and returns what it said.
func failing(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(gnomon, append([]string{"run"}, args...)...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		require.Error(t, err, said.String())
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		<-done
		t.Fatalf("it runs: %s", said.String())
	}
	return said.String()
}
