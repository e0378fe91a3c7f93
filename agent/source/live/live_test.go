//go:build linux && (amd64 || arm64)

package live

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// needRoot skips where live capture cannot work. GNOMON_TEST_STRICT makes that a failure.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getenv("GNOMON_LIVE_UNPRIVILEGED") != "" {
		return
	}
	if err := checkHost(); err != nil {
		if os.Getenv("GNOMON_TEST_STRICT") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

var (
	programs   = map[string]string{} // by GOARCH
	programsMu sync.Mutex
	tempDir    string
)

func TestMain(m *testing.M) {
	code := func() int {
		dir, err := os.MkdirTemp("", "live")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		tempDir = dir
		return m.Run()
	}()
	os.Exit(code)
}

// program builds testdata/traffic for an architecture.
func program(t *testing.T, arch string) string {
	t.Helper()
	programsMu.Lock()
	defer programsMu.Unlock()
	if p, ok := programs[arch]; ok {
		return p
	}
	out := filepath.Join(tempDir, "traffic-"+arch)
	cmd := exec.Command("go", "build", "-o", out, "./testdata/traffic")
	cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
	b, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", b)
	programs[arch] = out
	return out
}

// traffic is the program while it runs.
type traffic struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	port  uint16
	errs  bytes.Buffer
	ended bool
}

func start(t *testing.T, arch string, args ...string) *traffic {
	t.Helper()
	x := &traffic{t: t, cmd: exec.Command(program(t, arch), args...)}
	var err error
	x.in, err = x.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := x.cmd.StdoutPipe()
	require.NoError(t, err)
	x.out = bufio.NewReader(out)
	x.cmd.Stderr = &x.errs
	require.NoError(t, x.cmd.Start())
	t.Cleanup(func() {
		if !x.ended {
			_ = x.cmd.Process.Kill()
			_ = x.cmd.Wait()
		}
	})
	port, err := strconv.ParseUint(x.line(), 10, 16)
	require.NoError(t, err)
	x.port = uint16(port)
	return x
}

func (x *traffic) line() string {
	x.t.Helper()
	s, err := x.out.ReadString('\n')
	require.NoError(x.t, err)
	return strings.TrimSuffix(s, "\n")
}

func (x *traffic) say(line string) {
	x.t.Helper()
	_, err := io.WriteString(x.in, line+"\n")
	require.NoError(x.t, err)
}

// wait waits for the end of the program, which checks that all bytes arrived.
func (x *traffic) wait() *traffic {
	x.t.Helper()
	x.ended = true
	require.NoError(x.t, x.in.Close())
	require.NoError(x.t, x.cmd.Wait(), "%s", x.errs.String())
	return x
}

func run(t *testing.T, args ...string) *traffic {
	t.Helper()
	return start(t, runtime.GOARCH, args...).wait()
}

// sink keeps copies of the chunks.
type sink struct {
	mu     sync.Mutex
	chunks []chunk.Chunk
	ticks  []event.Time
}

func (s *sink) Chunk(c *chunk.Chunk) {
	d := *c
	d.Data = bytes.Clone(c.Data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Kind == chunk.Tick {
		s.ticks = append(s.ticks, c.Time)
		return
	}
	s.chunks = append(s.chunks, d)
}

// seen is what a source captured while a test ran its traffic.
type seen struct {
	t      *testing.T
	chunks []chunk.Chunk
	ticks  []event.Time
	ledger event.Ledger
	facts  Facts
	failed map[string]uint64
	delta  uint64 // data chunks that the handler got,
	bytes  uint64 // and their bytes
}

type capturing struct {
	t     *testing.T
	src   *Source
	led   ledger.Ledger
	sink  sink
	stop  context.CancelFunc
	done  chan error
	ended sync.WaitGroup
}

func open(t *testing.T, cfg Config) *capturing {
	t.Helper()
	c := &capturing{t: t, done: make(chan error, 1)}
	cfg.Ledger = &c.led
	var err error
	c.src, err = Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		if c.stop != nil {
			c.stop()
			c.ended.Wait()
		}
		require.NoError(t, c.src.Close())
	})
	return c
}

func (c *capturing) run() *capturing {
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	handlers := make([]chunk.Handler, c.src.cfg.Shards)
	for i := range handlers {
		handlers[i] = &c.sink
	}
	c.ended.Go(func() { c.done <- c.src.Run(ctx, handlers) })
	return c
}

func (c *capturing) end() *seen {
	c.t.Helper()
	c.stop()
	require.NoError(c.t, <-c.done)
	s := &seen{t: c.t, chunks: c.sink.chunks, ticks: c.sink.ticks, ledger: c.led.Event(), facts: c.src.Facts(), failed: c.src.Failures()}
	for _, d := range s.chunks {
		if d.Kind == chunk.Data {
			s.delta++
			s.bytes += uint64(len(d.Data))
		}
	}
	s.balance()
	return s
}

// balance is the invariant: captured = delivered + lost, in chunks and in bytes, each counted on its own.
func (s *seen) balance() {
	s.t.Helper()
	lost := func(a event.Account) (n uint64) {
		for _, v := range a.Lost {
			n += v
		}
		return n
	}
	require.Equal(s.t, s.ledger.Chunks.Captured, s.delta+lost(s.ledger.Chunks), "chunks: %+v, handed on: %d", s.ledger.Chunks, s.delta)
	require.Equal(s.t, s.ledger.Bytes.Captured, s.bytes+lost(s.ledger.Bytes), "bytes: %+v, handed on: %d", s.ledger.Bytes, s.bytes)
}

// watch captures while do runs.
func watch(t *testing.T, cfg Config, do func(*capturing) *traffic) (*seen, *traffic) {
	t.Helper()
	c := open(t, cfg).run()
	x := do(c)
	time.Sleep(20 * time.Millisecond) // for the last acknowledgement to close the connection
	return c.end(), x
}

func (s *seen) of(port uint16) (out []chunk.Chunk) {
	for _, c := range s.chunks {
		if c.Local.Port() == port || c.Remote.Port() == port {
			out = append(out, c)
		}
	}
	return out
}

func (s *seen) blind(kind string) event.BlindSpot {
	for _, b := range s.facts.BlindSpots {
		if b.Kind == kind {
			return b
		}
	}
	return event.BlindSpot{}
}

// stream puts one direction together. Bytes that are missing are zeros; gaps counts them by reason.
func stream(t *testing.T, chunks []chunk.Chunk, d chunk.Dir) (b []byte, gaps map[chunk.Why]uint64) {
	t.Helper()
	gaps = map[chunk.Why]uint64{}
	first := true
	for _, c := range chunks {
		if c.Kind != chunk.Data || c.Dir != d {
			continue
		}
		if first && c.Flags&chunk.TakenOver != 0 {
			require.Zero(t, c.Pos)
		}
		first = false
		require.GreaterOrEqual(t, c.Pos, uint64(len(b)), "bytes that were there already")
		if jump := c.Pos - uint64(len(b)); jump > 0 {
			gaps[chunk.WhyNone] += jump
			b = append(b, make([]byte, jump)...)
		}
		require.LessOrEqual(t, uint64(len(c.Data)), c.Len)
		b = append(b, c.Data...)
		if rest := c.Len - uint64(len(c.Data)); rest > 0 {
			require.NotEqual(t, chunk.WhyNone, c.Why)
			gaps[c.Why] += rest
			b = append(b, make([]byte, rest)...)
		}
	}
	return b, gaps
}

func body(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + (i*7+i/26+seed)%26)
	}
	return b
}

func request(round, size int) []byte {
	return append(fmt.Appendf(nil, "POST /known/%d HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n", round, size), body(size, round)...)
}

func response(round, size int) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size), body(size, round+1)...)
}

// dialogue is what rounds exchanges send in each direction.
func dialogue(from, rounds, size int) (req, res []byte) {
	for i := from; i < from+rounds; i++ {
		req = append(req, request(i, size)...)
		res = append(res, response(i, size)...)
	}
	return req, res
}

// isWhole requires one connection of the server on port with exactly these bytes, its ends and its close in order.
func (s *seen) isWhole(port uint16, req, res []byte) []chunk.Chunk {
	s.t.Helper()
	got := s.of(port)
	require.NotEmpty(s.t, got, "ledger %+v, failures %v", s.ledger, s.failed)
	for _, c := range got {
		require.Equal(s.t, got[0].Conn, c.Conn)
		require.Equal(s.t, chunk.Server, c.Role)
		require.Equal(s.t, port, c.Local.Port())
	}
	b, gaps := stream(s.t, got, chunk.Received)
	require.Equal(s.t, string(req), string(b))
	require.Empty(s.t, gaps)
	b, gaps = stream(s.t, got, chunk.Sent)
	require.Equal(s.t, string(res), string(b))
	require.Empty(s.t, gaps)
	require.Equal(s.t, chunk.Close, got[len(got)-1].Kind, "the close comes last, and it comes")
	for i := 1; i < len(got); i++ {
		require.GreaterOrEqual(s.t, got[i].Time, got[i-1].Time)
	}
	return got
}

var both = []Backend{Socket, Syscall}

// whole is a budget that cuts nothing.
func whole(b Backend) Config {
	return Config{Backend: b, RequestHead: maxData, RequestBody: maxData, ResponseHead: maxData, ResponseBody: maxData}
}

func TestEverySocketCallGivesItsBytesOnEveryBackend(t *testing.T) {
	needRoot(t)
	sends := []string{"write", "writev", "pwritev2", "sendto", "sendmsg", "sendmmsg"}
	recvs := []string{"read", "readv", "preadv2", "recvfrom", "recvmsg", "recvmmsg"}
	for _, b := range both {
		for _, family := range []string{"tcp4", "tcp6", "mapped", "mptcp"} {
			for i := range sends {
				t.Run(fmt.Sprintf("%s/%s/%s+%s", b, family, recvs[i], sends[i]), func(t *testing.T) {
					s, x := watch(t, whole(b), func(*capturing) *traffic {
						return run(t, "-net", family, "-send", sends[i], "-recv", recvs[i], "-rounds", "3", "exchange")
					})
					req, res := dialogue(0, 3, 900)
					got := s.isWhole(x.port, req, res)
					c := got[0]
					require.EqualValues(t, x.cmd.Process.Pid, c.PID)
					require.EqualValues(t, x.cmd.Process.Pid, c.PeerPID)
					require.NotZero(t, c.NetNS)
					want := "127.0.0.1"
					if family == "tcp6" {
						want = "::1"
					}
					require.Equal(t, want, c.Local.Addr().String())
					require.Equal(t, want, c.Remote.Addr().String())
					require.WithinDuration(t, time.Now(), c.Time.Std(), 10*time.Second)
					// the client's end moved as much, and is accounted for as covered; so is other traffic of this host
					require.GreaterOrEqual(t, s.ledger.Bytes.Lost["covered"], uint64(len(req)+len(res)))
				})
			}
		}
	}
}

func Test32BitProgramsAreReadRightly(t *testing.T) {
	needRoot(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("the 32-bit program is built for 386")
	}
	if err := exec.Command(program(t, "386"), "exchange").Run(); err != nil {
		t.Skipf("this kernel runs no 386 programs: %v", err)
	}
	sends := []string{"write", "writev", "pwritev2", "sendto", "sendmsg", "sendmmsg", "socketcall-send"}
	recvs := []string{"read", "readv", "preadv2", "recvfrom", "recvmsg", "recvmmsg", "socketcall-recv"}
	for _, b := range both {
		for i := range sends {
			t.Run(fmt.Sprintf("%s/%s+%s", b, recvs[i], sends[i]), func(t *testing.T) {
				s, x := watch(t, whole(b), func(*capturing) *traffic {
					return start(t, "386", "-send", sends[i], "-recv", recvs[i], "-rounds", "3", "exchange").wait()
				})
				req, res := dialogue(0, 3, 900)
				s.isWhole(x.port, req, res)
			})
		}
	}
}

func TestBytesThatWereOnlyPeekedAtAreNotCountedTwice(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			s, x := watch(t, whole(b), func(*capturing) *traffic { return run(t, "peek") })
			req, res := dialogue(0, 1, 900)
			for _, c := range s.isWhole(x.port, req, res) {
				require.LessOrEqual(t, c.Pos+c.Len, uint64(max(len(req), len(res))))
			}
		})
	}
}

func TestBytesThatNeverWereInABufferAreAGapOfTheirLength(t *testing.T) {
	needRoot(t)
	const size = 200_000
	for _, b := range both {
		for _, c := range []struct {
			scenario string
			dir      chunk.Dir
		}{{"sendfile", chunk.Sent}, {"splice", chunk.Sent}, {"splicein", chunk.Received}, {"trunc", chunk.Received}} {
			t.Run(b.String()+"/"+c.scenario, func(t *testing.T) {
				n := size
				if c.dir == chunk.Received {
					n = 20_000 // has to fit the socket's buffers: both ends are one thread
				}
				s, x := watch(t, whole(b), func(*capturing) *traffic { return run(t, "-size", fmt.Sprint(n), c.scenario) })
				got := s.of(x.port)
				rounds := 2
				if c.scenario == "trunc" {
					rounds = 1
				}
				req, res := dialogue(0, rounds, n)
				want := res
				if c.dir == chunk.Received {
					want = req
				}
				have, gaps := stream(t, got, c.dir)
				require.Len(t, have, len(want))
				head := bytes.Index(want, []byte("\r\n\r\n")) + 4
				require.Equal(t, string(want[:head]), string(have[:head]))
				require.Equal(t, make([]byte, n), have[head:head+n], "the spliced body is a gap")
				if rounds == 2 {
					// what follows is at its place: the next message can be read
					require.Equal(t, string(want[head+n:head+n+100]), string(have[head+n:head+n+100]))
				}
				lost := uint64(0)
				for _, v := range gaps {
					lost += v
				}
				require.GreaterOrEqual(t, lost, uint64(n))
				if c.scenario != "trunc" {
					require.GreaterOrEqual(t, s.ledger.Bytes.Lost["splice"], uint64(n))
					require.NotZero(t, s.blind("splice").Bytes)
				}
			})
		}
	}
}

func TestConnectionsOlderThanTheSourceAreTakenOver(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		for _, family := range []string{"tcp4", "tcp6", "mapped", "mptcp"} {
			t.Run(b.String()+"/"+family, func(t *testing.T) {
				x := start(t, runtime.GOARCH, "-net", family, "-rounds", "2", "taken")
				require.Equal(t, "ready", x.line())
				s, _ := watch(t, whole(b), func(*capturing) *traffic {
					x.say("go")
					return x.wait()
				})
				req, res := dialogue(1, 2, 900)
				got := s.isWhole(x.port, req, res)
				for _, c := range got {
					require.NotZero(t, c.Flags&chunk.TakenOver)
				}
				require.EqualValues(t, x.cmd.Process.Pid, got[len(got)-1].PeerPID)
				require.GreaterOrEqual(t, s.ledger.Bytes.Lost["covered"], uint64(len(req)+len(res)))
			})
		}
	}
}

func TestConnectionsOfOtherNetworkNamespacesAreSeenAndTakenOver(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			x := start(t, runtime.GOARCH, "-netns", "-rounds", "2", "taken")
			require.Equal(t, "ready", x.line())
			var y *traffic
			s, _ := watch(t, whole(b), func(*capturing) *traffic {
				x.say("go")
				y = run(t, "-netns", "exchange")
				return x.wait()
			})
			req, res := dialogue(1, 2, 900)
			got := s.isWhole(x.port, req, res)
			require.NotZero(t, got[0].Flags&chunk.TakenOver)
			req, res = dialogue(0, 1, 900)
			require.NotEqual(t, got[0].NetNS, s.isWhole(y.port, req, res)[0].NetNS)
		})
	}
}

func TestWhatGoesThroughIoUringIsAGapAndABlindSpot(t *testing.T) {
	needRoot(t)
	if err := exec.Command(program(t, runtime.GOARCH), "uring").Run(); err != nil {
		t.Skipf("this kernel has no io_uring: %v", err)
	}
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			s, x := watch(t, whole(b), func(*capturing) *traffic { return run(t, "uring") })
			_, res := dialogue(0, 2, 900)
			have, _ := stream(t, s.of(x.port), chunk.Sent)
			require.Len(t, have, len(res))
			half := len(res) / 2
			require.Equal(t, make([]byte, half), have[:half])
			require.Equal(t, string(res[half:]), string(have[half:]), "what follows is at its place")
			kind := "io_uring"
			if b == Syscall {
				kind = "splice" // no hook fires; the sequence numbers show that something passed
			}
			require.NotZero(t, s.blind(kind).Count)
			require.GreaterOrEqual(t, s.blind(kind).Bytes, uint64(half))
		})
	}
}

func TestWhichEndIsTheServerIsLearntFromWhatIsSaid(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			x := start(t, runtime.GOARCH, "-rounds", "3", "held") // nobody listens any more
			require.Equal(t, "ready", x.line())
			s, _ := watch(t, whole(b), func(*capturing) *traffic {
				x.say("go")
				return x.wait()
			})
			var server, client []chunk.Chunk
			for _, c := range s.of(x.port) {
				if c.Local.Port() == x.port {
					server = append(server, c)
				} else {
					client = append(client, c)
				}
			}
			req, res := dialogue(0, 3, 900)
			have, _ := stream(t, server, chunk.Received)
			require.Equal(t, string(req), string(have))
			have, _ = stream(t, server, chunk.Sent)
			require.Equal(t, string(res), string(have))
			require.Equal(t, chunk.Server, server[0].Role)
			// the client's end was sent up until it was known to be covered, and then taken back
			last := client[len(client)-1]
			require.Equal(t, chunk.Close, last.Kind)
			require.NotZero(t, last.Flags&chunk.EndCovered)
			require.LessOrEqual(t, len(client), 3)
		})
	}
}

func TestWhatThePayloadBudgetCutsIsAGapOfItsLength(t *testing.T) {
	needRoot(t)
	const size = 30_000
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			s, x := watch(t, Config{Backend: b}, func(*capturing) *traffic {
				return run(t, "-size", fmt.Sprint(size), "-send", "writev", "-room", "30000", "-rounds", "2", "exchange")
			})
			got := s.of(x.port)
			req, res := dialogue(0, 2, size)
			have, gaps := stream(t, got, chunk.Sent)
			require.Len(t, have, len(res))
			require.Equal(t, string(res[:2048]), string(have[:2048]), "a head has the head's budget")
			half := len(res) / 2
			require.Equal(t, string(res[half:half+2048]), string(have[half:half+2048]), "and so has the next, after a turn")
			require.NotZero(t, gaps[chunk.WhyBudget])
			require.Zero(t, gaps[chunk.WhyNone])
			have, _ = stream(t, got, chunk.Received)
			require.Len(t, have, len(req))
			require.Equal(t, string(req[:maxData]), string(have[:maxData]))
			require.NotZero(t, s.ledger.Bytes.Lost["payload_budget"])
		})
	}
}

func TestTheBudgetOfAServiceCanBeSetWhileItRuns(t *testing.T) {
	needRoot(t)
	s, x := watch(t, Config{}, func(c *capturing) *traffic {
		x := start(t, runtime.GOARCH, "-size", "8000", "held")
		require.Equal(t, "ready", x.line())
		c.src.Budget(x.port, 5000)
		x.say("go")
		return x.wait()
	})
	have, gaps := stream(t, s.of(x.port), chunk.Sent)
	res := response(0, 8000)
	require.Equal(t, string(res[:5000]), string(have[:5000]))
	require.EqualValues(t, len(res)-5000, gaps[chunk.WhyBudget])
}

func TestAFullRingLosesWholeCallsAndEveryByteIsAccountedFor(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			c := open(t, Config{Backend: b, RingBytes: 8192})
			x := run(t, "-rounds", "50", "exchange") // while nobody reads
			time.Sleep(20 * time.Millisecond)
			s := c.run().end()
			require.NotZero(t, s.ledger.Chunks.Lost["ring_full"])
			require.NotZero(t, s.ledger.Bytes.Lost["ring_full"])
			req, res := dialogue(0, 50, 900)
			require.GreaterOrEqual(t, s.ledger.Bytes.Captured, uint64(2*(len(req)+len(res))))
			for _, d := range []chunk.Dir{chunk.Received, chunk.Sent} {
				want := req
				if d == chunk.Sent {
					want = res
				}
				have, _ := stream(t, s.of(x.port), d)
				if len(have) > 900 { // other traffic of this host may have filled the ring first
					require.Equal(t, string(want[:900]), string(have[:900]))
				}
			}
		})
	}
}

func TestAReaderThatComesBackFindsWhatFollowsTheGapAtItsPlace(t *testing.T) {
	needRoot(t)
	x := start(t, runtime.GOARCH, "-rounds", "100", "taken")
	require.Equal(t, "ready", x.line())
	c := open(t, Config{RingBytes: 64 << 10})
	x.say("go")
	x.wait() // the ring is full and nobody reads
	c.run()
	time.Sleep(50 * time.Millisecond)
	y := run(t, "-rounds", "2", "exchange") // now somebody does
	time.Sleep(20 * time.Millisecond)
	s := c.end()
	req, res := dialogue(0, 2, 900)
	s.isWhole(y.port, req, res)
	require.NotZero(t, s.ledger.Chunks.Lost["ring_full"])
}

func TestTheCloseFollowsTheLastByteAlsoAfterAHalfClose(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		for _, family := range []string{"tcp4", "tcp6", "mptcp"} {
			t.Run(b.String()+"/"+family, func(t *testing.T) {
				s, x := watch(t, whole(b), func(*capturing) *traffic { return run(t, "-net", family, "halfclose") })
				req, res := dialogue(0, 1, 900)
				got := s.isWhole(x.port, req, res)
				var kinds []string
				for _, c := range got {
					if c.Kind != chunk.Data {
						kinds = append(kinds, fmt.Sprint(c.Kind, c.Dir))
					}
				}
				require.Equal(t, []string{fmt.Sprint(chunk.EOF, chunk.Received), fmt.Sprint(chunk.EOF, chunk.Sent), fmt.Sprint(chunk.Close, chunk.Received)}, kinds)
			})
		}
	}
}

// uncovered forgets that the server's end of any connection is on this host, as if it were on another.
func (c *capturing) uncovered() {
	m := c.src.coll.Maps["pairs"]
	key := make([]byte, m.KeySize())
	for m.NextKey(nil, key) == nil {
		require.NoError(c.t, m.Delete(key))
	}
}

func TestTheClientsEndIsCapturedWhereTheServersIsNot(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			s, x := watch(t, whole(b), func(c *capturing) *traffic {
				x := start(t, runtime.GOARCH, "held")
				require.Equal(t, "ready", x.line())
				c.uncovered()
				x.say("go")
				return x.wait()
			})
			var client []chunk.Chunk
			for _, c := range s.of(x.port) {
				if c.Remote.Port() == x.port {
					require.Equal(t, chunk.Client, c.Role)
					client = append(client, c)
				}
			}
			req, res := dialogue(0, 1, 900)
			have, _ := stream(t, client, chunk.Sent)
			require.Equal(t, string(req), string(have))
			have, _ = stream(t, client, chunk.Received)
			require.Equal(t, string(res), string(have))
		})
	}
}

func TestWhatSpeaksNoKnownProtocolStopsCosting(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		for name, says := range map[string][]string{
			"redis":      {"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
			"memcached":  {"get key\r\n", "END\r\n"},
			"postgresql": {"\x00\x00\x00\x08\x04\xd2\x16\x2f", "N"},
			"ssh":        {"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2\r\n"},
			"zeros":      {strings.Repeat("\x00", 500), strings.Repeat("\x00", 500)},
		} {
			t.Run(b.String()+"/"+name, func(t *testing.T) {
				s, x := watch(t, Config{Backend: b}, func(*capturing) *traffic { return raw(t, says...) })
				require.Empty(t, s.of(x.port))
				require.GreaterOrEqual(t, s.ledger.Bytes.Lost["not_decoded"], uint64(len(says[0])+len(says[1])))
				require.GreaterOrEqual(t, s.ledger.Chunks.Lost["not_decoded"], uint64(2))
				require.NotZero(t, s.blind("other").Count)
			})
		}
	}
}

// raw lets client and server say these things in turn.
func raw(t *testing.T, says ...string) *traffic {
	t.Helper()
	x := start(t, runtime.GOARCH, "raw")
	for _, s := range says {
		x.say(fmt.Sprintf("%x", s))
	}
	return x.wait()
}

func TestWhatMaySpeakAKnownProtocolIsCaptured(t *testing.T) {
	needRoot(t)
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for name, says := range map[string][]string{
		"a method of its own":              {"PROPPATCH /a HTTP/1.1\r\nHost: x\r\n\r\n", ok},
		"a method in lower case":           {"get /a HTTP/1.1\r\nHost: x\r\n\r\n", ok},
		"a method with odd characters":     {"X-my_method!~ /a HTTP/1.1\r\nHost: x\r\n\r\n", ok},
		"asterisk form":                    {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", ok},
		"absolute form":                    {"GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n", ok},
		"authority form":                   {"CONNECT example.org:443 HTTP/1.1\r\n\r\n", ok},
		"HTTP/0.9":                         {"GET /a\r\n", "<html>"},
		"the HTTP/2 preface":               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
		"empty lines before the request":   {"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", ok},
		"a first byte on its own":          {"G", "", "ET / HTTP/1.1\r\nHost: x\r\n\r\n", ok},
		"a method on its own":              {"DELETE", "", " ", "", "/a HTTP/1.1\r\nHost: x\r\n\r\n", ok},
		"the PROXY protocol, version 1":    {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n", ok},
		"the PROXY protocol, version 2":    {"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00GET / HTTP/1.1\r\n\r\n", ok},
		"a server that gives up waiting":   {"", "HTTP/1.1 408 Request Timeout\r\n\r\n"},
		"a server that sends HTTP/2 first": {"", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		"a tunnel after CONNECT":           {"CONNECT x:1 HTTP/1.1\r\n\r\n", ok, "\x16\x03\x01 anything", "\x00\x01\x02"},
	} {
		t.Run(name, func(t *testing.T) {
			s, x := watch(t, whole(Auto), func(*capturing) *traffic { return raw(t, says...) })
			var want [2]string
			for i, m := range says {
				want[i%2] += m
			}
			have, _ := stream(t, s.of(x.port), chunk.Received)
			require.Equal(t, want[0], string(have))
			have, _ = stream(t, s.of(x.port), chunk.Sent)
			require.Equal(t, want[1], string(have))
		})
	}
}

func TestTLSIsNamedByProcessAndOnlyItsFirstBytesAreSentUp(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			hello, answer, data := "\x16\x03\x01\x00\x05hello", "\x16\x03\x03\x00\x06answer", strings.Repeat("\x17\x03\x03\x00\x01x", 50)
			s, x := watch(t, Config{Backend: b}, func(*capturing) *traffic { return raw(t, hello, answer, data, data) })
			got := s.of(x.port)
			var n int
			for _, c := range got {
				if c.Kind == chunk.Data {
					require.NotZero(t, c.Flags&chunk.Encrypted)
					n++
				}
			}
			require.Equal(t, 2, n)
			have, _ := stream(t, got, chunk.Received)
			require.Equal(t, hello, string(have))
			require.GreaterOrEqual(t, s.ledger.Bytes.Lost["not_decoded"], uint64(2*len(data)))
			spot := s.blind("tls")
			require.NotZero(t, spot.Count)
			require.GreaterOrEqual(t, spot.Bytes, uint64(2*len(data)))
			require.Contains(t, spot.Detail, "traffic-"+runtime.GOARCH)
		})
	}
}

func TestAConnectionJoinedInALongBodyIsCapturedFromItsNextMessageOn(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			x := start(t, runtime.GOARCH, "raw")
			x.say(fmt.Sprintf("%x", "POST / HTTP/1.1\r\nContent-Length: 30000\r\n\r\n"))
			const ok = "HTTP/1.1 100 Continue\r\n\r\n"
			x.say(fmt.Sprintf("%x", ok))
			time.Sleep(50 * time.Millisecond) // until it is said
			part := strings.Repeat("\x01", 300)
			s, _ := watch(t, Config{Backend: b}, func(*capturing) *traffic {
				for range 100 {
					x.say(fmt.Sprintf("%x", part))
					x.say("")
				}
				x.say(fmt.Sprintf("%x", request(1, 100)))
				x.say(fmt.Sprintf("%x", response(1, 100)))
				x.say(fmt.Sprintf("%x", request(2, 100)))
				x.say(fmt.Sprintf("%x", response(2, 100)))
				return x.wait()
			})
			var server []chunk.Chunk
			for _, c := range s.of(x.port) {
				if c.Local.Port() == x.port {
					server = append(server, c)
				}
			}
			req, res := dialogue(1, 2, 100)
			have, _ := stream(t, server, chunk.Received)
			require.Contains(t, string(have), string(request(2, 100)))
			require.Equal(t, 30_000+len(req), len(have))
			have, _ = stream(t, server, chunk.Sent)
			require.Equal(t, string(res), string(have))
			require.NotZero(t, s.ledger.Bytes.Lost["not_decoded"])
		})
	}
}

func TestAMutedConnectionStopsCosting(t *testing.T) {
	needRoot(t)
	s, x := watch(t, Config{}, func(c *capturing) *traffic {
		x := start(t, runtime.GOARCH, "-rounds", "200", "taken")
		require.Equal(t, "ready", x.line())
		var id chunk.ConnID
		require.Eventually(t, func() bool {
			c.sink.mu.Lock()
			defer c.sink.mu.Unlock()
			for _, d := range c.sink.chunks {
				if d.Local.Port() == x.port {
					id = d.Conn
					return true
				}
			}
			return false
		}, 5*time.Second, time.Millisecond)
		require.NoError(t, c.src.Mute(id))
		x.say("go")
		return x.wait()
	})
	require.Less(t, len(s.of(x.port)), 100)
	require.NotZero(t, s.ledger.Chunks.Lost["not_decoded"])
}

func TestOwnTrafficIsCountedAsOwn(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			var port uint16
			s, _ := watch(t, Config{Backend: b}, func(*capturing) *traffic {
				l, err := net.Listen("tcp4", "127.0.0.1:0")
				require.NoError(t, err)
				defer func() { _ = l.Close() }()
				port = l.Addr().(*net.TCPAddr).AddrPort().Port()
				client, err := net.Dial("tcp4", l.Addr().String())
				require.NoError(t, err)
				defer func() { _ = client.Close() }()
				server, err := l.Accept()
				require.NoError(t, err)
				defer func() { _ = server.Close() }()
				_, err = client.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
				require.NoError(t, err)
				_, err = io.ReadFull(server, make([]byte, 18))
				require.NoError(t, err)
				return nil
			})
			require.Empty(t, s.of(port))
			require.EqualValues(t, 36, s.ledger.Bytes.Lost["own"])
		})
	}
}

func TestAThousandShortConnectionsAreAllWhole(t *testing.T) {
	needRoot(t)
	for _, b := range both {
		t.Run(b.String(), func(t *testing.T) {
			s, x := watch(t, whole(b), func(*capturing) *traffic { return run(t, "-rounds", "1000", "-size", "50", "short") })
			conns := map[chunk.ConnID][]chunk.Chunk{}
			for _, c := range s.of(x.port) {
				conns[c.Conn] = append(conns[c.Conn], c)
			}
			require.Len(t, conns, 1000)
			seen := map[string]bool{}
			for _, got := range conns {
				have, _ := stream(t, got, chunk.Received)
				line, _, _ := bytes.Cut(have, []byte("\r\n"))
				seen[string(line)] = true
				require.Equal(t, chunk.Close, got[len(got)-1].Kind)
				require.EqualValues(t, x.cmd.Process.Pid, got[0].PeerPID)
			}
			require.Len(t, seen, 1000)
		})
	}
}

func TestShardsKeepAConnectionTogether(t *testing.T) {
	needRoot(t)
	cfg := whole(Auto)
	cfg.Shards = 3
	s, x := watch(t, cfg, func(*capturing) *traffic { return run(t, "-rounds", "100", "-size", "50", "short") })
	conns := map[chunk.ConnID][]chunk.Chunk{}
	for _, c := range s.of(x.port) {
		conns[c.Conn] = append(conns[c.Conn], c)
	}
	require.Len(t, conns, 100)
	for _, got := range conns {
		require.Equal(t, chunk.Close, got[len(got)-1].Kind)
	}
}

func TestTicksComeTwiceASecondAndDoNotRunBackwards(t *testing.T) {
	needRoot(t)
	s, _ := watch(t, Config{}, func(*capturing) *traffic {
		time.Sleep(1300 * time.Millisecond)
		return nil
	})
	require.GreaterOrEqual(t, len(s.ticks), 3)
	for i := 1; i < len(s.ticks); i++ {
		require.Greater(t, s.ticks[i], s.ticks[i-1])
		require.Less(t, s.ticks[i].Sub(s.ticks[i-1]), time.Second)
	}
	require.WithinDuration(t, time.Now(), s.ticks[len(s.ticks)-1].Std(), 2*time.Second)
}

func TestAProcessThatIsGoneIsStillNamed(t *testing.T) {
	needRoot(t)
	c := open(t, Config{}).run()
	x := run(t, "exchange")
	s := c.end()
	got := s.of(x.port)
	require.NotEmpty(t, got)
	require.Equal(t, "traffic-"+runtime.GOARCH, c.src.Processes().Lookup(got[0].PeerPID, got[0].Time).Name)
}

func TestHandlingAChunkAllocatesNothing(t *testing.T) {
	needRoot(t)
	c := open(t, Config{})
	run(t, "-rounds", "1000", "exchange")
	sh := &shard{s: c.src, ring: c.src.rings[0], h: discard{}}
	require.Equal(t, 10, sh.drain(10))
	require.Zero(t, testing.AllocsPerRun(1000, func() { sh.drain(1) }))
}

type discard struct{}

func (discard) Chunk(*chunk.Chunk) {}

func TestRunRefusesAWrongNumberOfHandlers(t *testing.T) {
	needRoot(t)
	c := open(t, Config{})
	require.ErrorContains(t, c.src.Run(context.Background(), nil), "0 handlers for 1 shards")
}

func TestWithoutPrivilegesTheErrorSaysWhatToDo(t *testing.T) {
	needRoot(t)
	if os.Getenv("GNOMON_LIVE_UNPRIVILEGED") != "" {
		_, err := Open(Config{})
		require.ErrorIs(t, err, ErrNotRoot)
		require.ErrorContains(t, err, "sudo")
		r := Probe()
		require.Equal(t, Auto, r.Backend)
		require.False(t, r.Checks[0].OK)
		require.NotEmpty(t, r.Checks[0].Next)
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	b, err := os.ReadFile(self)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	program := filepath.Join(dir, "live.test")
	require.NoError(t, os.WriteFile(program, b, 0o755))
	cmd := exec.Command(program, "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "GNOMON_LIVE_UNPRIVILEGED=1", "TMPDIR=/tmp")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestTheProbeTellsWhatThisHostLetsTheSensorSee(t *testing.T) {
	needRoot(t)
	r := Probe()
	require.Equal(t, Socket, r.Backend)
	require.NotEmpty(t, r.Why)
	require.NotEmpty(t, r.Kernel)
	require.NotEmpty(t, r.Misses)
	names := map[string]Check{}
	for _, c := range r.Checks {
		require.True(t, c.OK || c.Next != "" || !c.Needed, "%s fails without a next step", c.Name)
		names[c.Name] = c
	}
	require.True(t, names["backend socket"].OK)
	require.True(t, names["backend syscall"].OK)
}

func TestSettingsOutOfRangeAreRefused(t *testing.T) {
	for _, cfg := range []Config{{Shards: 17}, {Shards: -1}, {RingBytes: 5000}, {RingBytes: 1024}, {ResponseHead: 20000}, {RequestBody: -1}} {
		_, err := Open(cfg)
		require.Error(t, err)
		require.False(t, errors.Is(err, ErrNoBackend))
	}
}
