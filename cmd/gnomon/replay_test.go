package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/agent/sink"
	"github.com/gnomon-sensor/gnomon/agent/source/pcap"
	"github.com/gnomon-sensor/gnomon/agent/source/record"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const captureDir = "../../../shared/bench/captures"

// captures lists the public captures, where they are there.
func captures(tb testing.TB) []string {
	list, err := filepath.Glob(captureDir + "/*.pcap*")
	require.NoError(tb, err)
	if len(list) == 0 {
		skip(tb, "shared/bench/captures is not beside this tree")
	}
	return list
}

// skip skips for lack of something, unless everything must be there.
func skip(tb testing.TB, why string) {
	if os.Getenv("GNOMON_TEST_STRICT") != "" {
		tb.Fatal(why)
	}
	tb.Skip(why)
}

// replayed runs `gnomon replay` and returns its exit code, the lines of its standard output sorted, and its messages.
func replayed(t *testing.T, in io.Reader, args ...string) (code int, lines []string, messages string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(append([]string{"replay"}, args...), in, &stdout, &stderr)
	if text := strings.TrimRight(stdout.String(), "\n"); text != "" {
		lines = strings.Split(text, "\n")
	}
	slices.Sort(lines) // a line begins with the id
	return code, lines, stderr.String()
}

// same compares lines and shows the first that differs, from where it does.
func same(t *testing.T, want, got []string, about ...any) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		var w, g string
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		if w == g {
			continue
		}
		n := 0
		for n < min(len(w), len(g)) && w[n] == g[n] {
			n++
		}
		n = max(n-60, 0)
		cut := func(s string) string { return s[min(n, len(s)):min(n+300, len(s))] }
		t.Fatalf("%v: %d lines wanted, %d there; line %d is from byte %d on\n  %s\nnot\n  %s", about, len(want), len(got), i, n, cut(g), cut(w))
	}
}

// home gives the test an installation of its own.
func home(tb testing.TB) {
	tb.Setenv("GNOMON_STATE_DIR", tb.TempDir())
}

func TestThePublicCapturesGiveTheCallsThatAreKnown(t *testing.T) {
	captures(t)
	if _, err := exec.LookPath("python3"); err != nil {
		skip(t, "python3 is not there to compare")
	}
	home(t)
	bin := filepath.Join(t.TempDir(), "gnomon")
	out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.Command("python3", captureDir+"/check.py", "--all", captureDir, "--cmd", bin+" replay {pcap} --calls -", "-q", "-v").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "all but contested: 70 of 70 files exact")
}

type packet struct {
	pcap.Packet
	place float64
}

func packets(t *testing.T, name string) (list []packet) {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	r, err := pcap.NewReader(f)
	require.NoError(t, err)
	var p pcap.Packet
	for {
		err := r.Next(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		require.NoError(t, err)
		q := packet{Packet: p}
		q.Data = bytes.Clone(p.Data)
		list = append(list, q)
	}
}

// nanoPcap is a pcap file with times in nanoseconds.
func nanoPcap(list []packet) []byte {
	le := binary.LittleEndian
	b := append(le.AppendUint32(nil, 0xa1b23c4d), 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0)
	link := uint32(1)
	if len(list) > 0 {
		link = uint32(list[0].Link)
	}
	b = le.AppendUint32(b, link)
	for _, p := range list {
		for _, v := range []uint32{uint32(p.Time / 1e9), uint32(p.Time % 1e9), uint32(len(p.Data)), p.Len} {
			b = le.AppendUint32(b, v)
		}
		b = append(b, p.Data...)
	}
	return b
}

// unrevised takes the revision out of each line: how often a call that lasts was told of before it ended depends on
// which packets the recording had by each full second, which is what shuffling changes.
func unrevised(lines []string) []string {
	out := slices.Clone(lines)
	for i, l := range out {
		before, after, _ := strings.Cut(l, `"rev":`)
		_, after, _ = strings.Cut(after, ",")
		out[i] = before + after
	}
	return out
}

func TestShuffledAndDuplicatedPacketsGiveTheSameCalls(t *testing.T) {
	home(t)
	dir := t.TempDir()
	calls := 0
	for _, name := range captures(t) {
		base := filepath.Base(name)
		code, want, messages := replayed(t, nil, "--calls", "-", name)
		require.Zero(t, code)
		if strings.Contains(messages, "retransmitted") {
			continue // which copy comes first, and so the times, is what shuffling changes
		}
		list := packets(t, name)
		for seed := range uint64(4) {
			rnd := rand.New(rand.NewPCG(seed, 5))
			mixed := slices.Clone(list)
			for i := range mixed {
				mixed[i].place = float64(i) + rnd.Float64()*10
			}
			for _, p := range slices.Clone(mixed) {
				if rnd.IntN(6) == 0 {
					p.place += rnd.Float64() * 10
					mixed = append(mixed, p)
				}
			}
			slices.SortStableFunc(mixed, func(a, b packet) int {
				if a.place < b.place {
					return -1
				}
				return 1
			})
			file := filepath.Join(dir, "mixed.pcap")
			require.NoError(t, os.WriteFile(file, nanoPcap(mixed), 0o600))
			_, got, _ := replayed(t, nil, "-q", "--calls", "-", file)
			same(t, unrevised(want), unrevised(got), base, seed)
		}
		calls += len(want)
	}
	require.Greater(t, calls, 100)
}

func captureOfOneCall(t *testing.T) []byte {
	t.Helper()
	return nanoPcap(packets(t, captureDir+"/get.pcap"))
}

func TestFilesAreReadWhateverTheyArePackedIn(t *testing.T) {
	captures(t)
	home(t)
	plain := captureOfOneCall(t)
	var gz, zst bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write(plain)
	require.NoError(t, g.Close())
	z, err := zstd.NewWriter(&zst)
	require.NoError(t, err)
	z.Write(plain)
	require.NoError(t, z.Close())
	_, want, _ := replayed(t, bytes.NewReader(nil), "-q", "--calls", "-", captureDir+"/get.pcap")
	require.Len(t, want, 1)
	for name, b := range map[string][]byte{"c": plain, "c.gz": gz.Bytes(), "c.zst": zst.Bytes()} {
		file := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(file, b, 0o600))
		code, got, _ := replayed(t, nil, "-q", "--calls", "-", file)
		require.Zero(t, code)
		same(t, want, got, name)
	}
	code, got, _ := replayed(t, bytes.NewReader(plain), "-q", "--calls", "-", "-")
	require.Zero(t, code)
	same(t, want, got, "standard input")
	// Cut inside the packed data: the packets before it count, and the fault is told.
	file := filepath.Join(t.TempDir(), "cut.gz")
	require.NoError(t, os.WriteFile(file, gz.Bytes()[:gz.Len()-9], 0o600))
	code, got, messages := replayed(t, nil, "-q", "--calls", "-", file)
	require.Equal(t, 1, code)
	require.Len(t, got, 1)
	require.Contains(t, messages, "cut.gz: byte ")
}

func TestACaptureInPartsIsTheSameAsTheWhole(t *testing.T) {
	captures(t)
	home(t)
	name := captureDir + "/wikipedia.pcap"
	_, want, _ := replayed(t, nil, "-q", "--calls", "-", name)
	list := packets(t, name)
	dir := t.TempDir()
	var files []string
	for i := 0; i < len(list); i += 30 {
		file := filepath.Join(dir, string(rune('z'-i/30))+".pcap") // in the wrong order by name
		require.NoError(t, os.WriteFile(file, nanoPcap(list[i:min(i+30, len(list))]), 0o600))
		files = append(files, file)
	}
	slices.Sort(files)
	code, got, _ := replayed(t, nil, append([]string{"-q", "--calls", "-"}, files...)...)
	require.Zero(t, code)
	same(t, want, got)
}

func TestCallLinesReadBackAreTheSameCalls(t *testing.T) {
	captures(t)
	home(t)
	for _, name := range captures(t) {
		file := filepath.Join(t.TempDir(), "calls.jsonl")
		code, _, _ := replayed(t, nil, "-q", "--calls", file, name)
		require.Zero(t, code)
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		if len(b) == 0 {
			continue
		}
		want := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
		slices.Sort(want)
		code, got, messages := replayed(t, nil, "-q", "--calls", "-", file)
		require.Zero(t, code, messages)
		same(t, want, got, name)
	}
}

func TestGoldenRecordingsGiveTheSameCallsByteForByte(t *testing.T) {
	home(t)
	key, err := installationKey()
	require.NoError(t, err)
	for _, name := range captures(t) {
		_, want, _ := replayed(t, nil, "-q", "--revisions", "--calls", "-", name)
		file := filepath.Join(t.TempDir(), "golden")
		f, err := record.Create(file)
		require.NoError(t, err)
		w, err := record.NewWriter(f)
		require.NoError(t, err)
		var led ledger.Ledger
		pipe, err := agent.New(agent.Config{Key: key, Names: redact.NamesClear, Recording: true, All: true}, &led, sink.NewDirect(&led, func(*event.Call) {}))
		require.NoError(t, err)
		src := pcap.New(pcap.Config{}, w.Tee(pipe.Handlers()[0]))
		in, err := os.Open(name)
		require.NoError(t, err)
		require.NoError(t, src.Read(context.Background(), in))
		src.Close()
		in.Close()
		require.NoError(t, w.Close())
		require.NoError(t, f.Close())
		_, got, _ := replayed(t, nil, "-q", "--revisions", "--calls", "-", file)
		same(t, want, got, name)
	}
}

const (
	accessLog = `10.0.0.7 - frank [24/Nov/2026:10:00:00 +0000] "GET /orders/1234567?token=s3cr3tvalue HTTP/1.1" 200 612 "-" "curl/8"` + "\n" +
		`10.0.0.8 - - [24/Nov/2026:10:00:01 +0000] "POST /orders HTTP/1.1" 201 17 "-" "curl/8"` + "\n"
	archive = `{"log":{"version":"1.2","entries":[{"startedDateTime":"2026-11-24T10:00:00Z","time":5,"request":{"method":"GET","url":"https://shop.example/users/me",
"httpVersion":"h2","headers":[{"name":"Authorization","value":"Bearer s3cr3tvalue"}]},"response":{"status":200,"content":{"size":2,"text":"{}"}},"timings":{"send":1,"wait":3,"receive":1},"serverIPAddress":"192.0.2.9"}]}}`
)

func TestLogsAndArchivesGiveRedactedCalls(t *testing.T) {
	home(t)
	code, got, messages := replayed(t, strings.NewReader(accessLog), "-q", "--service", "shop", "--calls", "-", "-")
	require.Zero(t, code, messages)
	require.Len(t, got, 2)
	all := strings.Join(got, "\n")
	require.NotContains(t, all, "s3cr3tvalue")
	require.NotContains(t, all, "frank")
	require.NotContains(t, all, "1234567")
	require.Contains(t, all, `"service":"shop"`)
	require.Contains(t, all, `"template":"/orders/{orderId}"`)
	require.Contains(t, all, `"encryption":"unknown"`)
	require.Contains(t, all, `"name":"token"`)
	require.NotContains(t, all, "duration_ns", "the log does not tell")

	code, got, messages = replayed(t, strings.NewReader(archive), "-q", "--calls", "-", "-")
	require.Zero(t, code, messages)
	require.Len(t, got, 1)
	require.NotContains(t, got[0], "s3cr3tvalue")
	require.Contains(t, got[0], `"service":"192.0.2.9:443"`)
	require.Contains(t, got[0], `"encryption":"tls"`)
	require.Contains(t, got[0], `"kind":"bearer_opaque"`)
}

func TestReplayTellsWhatIsWrong(t *testing.T) {
	home(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		f := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(f, []byte(text), 0o600))
		return f
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no file":            {nil, 2, "requires at least 1 arg"},
		"no such file":       {[]string{filepath.Join(dir, "none")}, 1, "no such file"},
		"a directory":        {[]string{dir}, 1, "is a directory"},
		"empty":              {[]string{file("empty", "")}, 1, "byte 0: the file is empty"},
		"foreign":            {[]string{file("foreign", "%PDF-1.7\n%\xe2\xe3")}, 1, "not a format that gnomon reads"},
		"cut log":            {[]string{file("cut.log", accessLog+accessLog[:50])}, 1, "line 3, byte "},
		"cut archive":        {[]string{file("cut.har", archive[:len(archive)-3])}, 1, "byte "},
		"forced to be wrong": {[]string{"--format", "pcap", file("log", accessLog)}, 1, "neither pcap nor pcapng"},
		"unknown format":     {[]string{"--format", "doc", "x"}, 2, "take one of auto, pcap"},
		"unknown names":      {[]string{"--names", "all", "x"}, 2, "want clear or late"},
		"two on stdout":      {[]string{"--calls", "-", "--alerts", "-", "x"}, 2, "only one of them"},
		"calls unwritable":   {[]string{"--calls", filepath.Join(dir, "no", "where"), "x"}, 1, "write the calls"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, messages := replayed(t, nil, c.args...)
			require.Equal(t, c.code, code, messages)
			require.Contains(t, messages, c.want)
		})
	}
	code, lines, messages := replayed(t, nil, "--calls", "-", file("a.log", accessLog), file("b", "junk"), file("c.har", archive))
	require.Equal(t, 1, code)
	require.Len(t, lines, 3, "the other files are read: %s", messages)
}

func TestReplayWithoutATargetPrintsTheEndpoints(t *testing.T) {
	home(t)
	code, lines, messages := replayed(t, strings.NewReader(accessLog), "-o", "jsonl", "--service", "shop", "-")
	require.Zero(t, code, messages)
	require.Len(t, lines, 2)
	require.Contains(t, messages, "2 entries, 2 calls")

	db := filepath.Join(t.TempDir(), "shop.db")
	for range 2 { // the second time nothing is new: the ids are the same
		code, lines, messages = replayed(t, strings.NewReader(accessLog), "--service", "shop", "--store", db, "-")
		require.Zero(t, code, messages)
		require.Empty(t, lines)
	}
	var out bytes.Buffer
	require.Zero(t, run([]string{"endpoints", "--store", db, "-o", "csv"}, nil, &out, io.Discard))
	require.Contains(t, out.String(), "/orders/{orderId}")
}

func TestAClosedPipeEndsQuietly(t *testing.T) {
	home(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	r.Close()
	var stderr bytes.Buffer
	code := run([]string{"replay", "-q", "--service", "s", "--calls", "-", "-"}, strings.NewReader(strings.Repeat(accessLog, 2000)), w, &stderr)
	require.Zero(t, code)
	require.Empty(t, stderr.String())
}

func TestASignalEndsTheReadingAndKeepsWhatWasRead(t *testing.T) {
	home(t)
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.WriteString(w, strings.Repeat(accessLog, 2000)) // the reader looks for a signal every 1,024 lines
		stop()
		for range 4000 {
			if _, err := io.WriteString(w, accessLog); err != nil {
				return
			}
		}
		w.Close()
	}()
	root := newRootCmd()
	var stdout bytes.Buffer
	root.SetArgs([]string{"replay", "-q", "--service", "s", "--calls", "-", "-"})
	root.SetIn(r)
	root.SetOut(&stdout)
	root.SetErr(io.Discard)
	start := time.Now()
	require.NoError(t, root.ExecuteContext(ctx))
	r.Close()
	require.Less(t, time.Since(start), 20*time.Second)
	require.GreaterOrEqual(t, bytes.Count(stdout.Bytes(), []byte{'\n'}), 1000)
}

// BenchmarkReplay reads the capture that GNOMON_LOAD names, written by shared/bench/captures/make_load.py.
func BenchmarkReplay(b *testing.B) {
	name := os.Getenv("GNOMON_LOAD")
	if name == "" {
		b.Skip("GNOMON_LOAD names no capture: see agent/source/pcap/bench")
	}
	home(b)
	for _, args := range [][]string{{"replay", "-q", name}, {"replay", "-q", "--calls", "-", name}} {
		b.Run(args[len(args)-2], func(b *testing.B) {
			for b.Loop() {
				var out bytes.Buffer
				require.Zero(b, run(args, nil, &out, os.Stderr))
				require.NotZero(b, out.Len())
			}
		})
	}
}
