package recording

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/agent/source/record"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

type counts struct{ chunks, exchanges, calls int }

func (c *counts) Chunk(*chunk.Chunk)                { c.chunks++ }
func (c *counts) Emit(*proto.Conn, *proto.Exchange) { c.exchanges++ }

func (c *counts) targets() Targets {
	return Targets{Chunks: c, Exchanges: c, Calls: func(*event.Call) { c.calls++ }}
}

const (
	combinedLine = `10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`
	envoyLine    = `[2026-04-15T20:17:00.310Z] "GET / HTTP/2" 204 - 154 0 226 100 "-" "-" "-" "a" "10.0.2.1:80"`
	jsonLine     = `{"time_iso8601":"2026-11-24T10:00:01+00:00","request":"GET / HTTP/1.1","status":"200"}`
	callLine     = `{"id":"a","time":"2026-11-24T10:00:00Z","service":"s","method":"GET","template":"/"}`
	harText      = `{"log":{"entries":[{"startedDateTime":"2026-11-24T10:00:00Z","request":{"method":"GET","url":"http://a/"},"response":{},"timings":{}}]}}`
)

func TestTheFormatIsFoundFromTheContent(t *testing.T) {
	golden := func() string {
		var b bytes.Buffer
		w, err := record.NewWriter(&b)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return b.String()
	}()
	for _, c := range []struct {
		text string
		want Format
	}{
		{"\xd4\xc3\xb2\xa1rest", Pcap},
		{"\xa1\xb2\x3c\x4drest", Pcap},
		{"\x0a\x0d\x0d\x0arest", Pcap},
		{golden, Chunks},
		{harText, HAR},
		{"\xef\xbb\xbf \n{\n  \"log\": {\n \"version\"", HAR},
		{`{"log":{"version":"1.2","entries":[` + strings.Repeat(" ", 70_000), HAR},
		{callLine, Calls},
		{callLine[:len(callLine)-1], Calls}, // cut, but clear
		{combinedLine, Combined},
		{"#Version: 1\n\nsome banner\n" + combinedLine, Combined},
		{envoyLine, Envoy},
		{jsonLine, JSONLog},
		{"{\"msg\":\"starting\"}\n" + jsonLine, JSONLog},
		{"PK\x03\x04", ""},
		{"hello", ""},
		{"{}", ""},
		{"[1,2]", ""},
	} {
		b := []byte(c.text)
		require.Equal(t, c.want, Detect(b[:min(len(b), peekSize)]), "%.60q", c.text)
	}
}

func TestEachFormatGoesToItsTarget(t *testing.T) {
	for text, want := range map[string]counts{
		combinedLine: {exchanges: 1}, envoyLine: {exchanges: 1}, jsonLine: {exchanges: 1}, callLine: {calls: 1}, harText: {exchanges: 1}, "\xef\xbb\xbf" + harText: {exchanges: 1},
	} {
		var got counts
		r := New(Config{}, got.targets())
		require.NoError(t, r.Read(context.Background(), "x", strings.NewReader(text)), text)
		r.Close()
		require.Equal(t, want, got, text)
		require.NotZero(t, r.Time())
		require.EqualValues(t, len(text), r.Progress())
	}
}

func TestPackedInputThatIsBrokenNamesThePlace(t *testing.T) {
	var gz bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write([]byte(strings.Repeat(combinedLine+"\n", 100)))
	require.NoError(t, g.Close())
	var got counts
	r := New(Config{}, got.targets())
	require.ErrorContains(t, r.Read(context.Background(), "x", bytes.NewReader(gz.Bytes()[:gz.Len()-4])), "line 101, byte ")
	require.Equal(t, 100, got.exchanges)
	require.ErrorContains(t, r.Read(context.Background(), "x", bytes.NewReader([]byte{0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9})), "gzip")
	require.ErrorContains(t, r.Read(context.Background(), "x", bytes.NewReader([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff, 0xff})), "byte 0: ")
	require.ErrorIs(t, r.Read(context.Background(), "x", strings.NewReader("junk")), ErrUnknown)
	require.ErrorContains(t, r.Read(context.Background(), "x", strings.NewReader("")), "the file is empty")
	s := r.Summary()
	require.Equal(t, 5, s.Faults())
}

func TestPartsOfACaptureAreOrderedByTheirFirstPackets(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, second byte) string {
		b := append([]byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}, second, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'x')
		f := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(f, b, 0o600))
		return f
	}
	a, b, c := file("a", 9), file("b", 5), file("c", 7)
	log := filepath.Join(dir, "log")
	require.NoError(t, os.WriteFile(log, []byte(combinedLine), 0o600))
	require.Equal(t, []string{b, log, c, "-", a}, Order([]string{a, log, b, "-", c}))
}

func TestWhatARecordingHoldsAndLacksIsAccountedFor(t *testing.T) {
	var led ledger.Ledger
	var got counts
	h := meter{&got, &led}
	h.Chunk(&chunk.Chunk{Kind: chunk.Data, Len: 10, Data: make([]byte, 4), Why: chunk.WhySnaplen})
	h.Chunk(&chunk.Chunk{Kind: chunk.Data, Len: 5, Why: chunk.WhyMissing})
	h.Chunk(&chunk.Chunk{Kind: chunk.EOF})
	e := led.Event()
	require.EqualValues(t, 2, e.Chunks.Captured)
	require.EqualValues(t, 15, e.Bytes.Captured)
	require.Equal(t, map[string]uint64{"snaplen": 6, "missing": 5}, e.Bytes.Lost)
	require.Equal(t, 3, got.chunks)
}

func TestAFormatThatIsForcedIsNotGuessed(t *testing.T) {
	_, err := ParseFormat("pdf")
	require.ErrorContains(t, err, "take one of auto, pcap, har")
	f, err := ParseFormat("combined")
	require.NoError(t, err)
	var got counts
	r := New(Config{Format: f}, got.targets())
	require.Error(t, r.Read(context.Background(), "x", strings.NewReader(callLine)))
	require.Zero(t, got.calls)
}

func TestAReadThatWaitsEndsWithTheContext(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, stop := context.WithCancel(context.Background())
	var got counts
	done := make(chan error)
	rd := New(Config{}, got.targets())
	go func() { done <- rd.Read(ctx, "x", Interruptible(ctx, r)) }()
	io.WriteString(w, combinedLine+"\n")
	stop()
	require.ErrorIs(t, <-done, context.Canceled)

	text := strings.Repeat(combinedLine+"\n", 20_000)
	in := Interruptible(context.Background(), iotest.DataErrReader(strings.NewReader(text)))
	all, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, text, string(all))
	_, err = io.ReadAll(Interruptible(context.Background(), iotest.ErrReader(io.ErrClosedPipe)))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

// FuzzRead: any file in any packing ends, with its fault in the summary when there is one.
func FuzzRead(f *testing.F) {
	for _, text := range []string{combinedLine, envoyLine, jsonLine, callLine, harText, "\xd4\xc3\xb2\xa1", "\x28\xb5\x2f\xfd"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got counts
		r := New(Config{}, got.targets())
		err := r.Read(context.Background(), "x", bytes.NewReader(b))
		r.Close()
		s := r.Summary()
		require.Len(t, s.Files, 1)
		require.Equal(t, err != nil, s.Faults() == 1)
		if errors.Is(err, ErrUnknown) {
			require.Zero(t, got)
		}
	})
}
