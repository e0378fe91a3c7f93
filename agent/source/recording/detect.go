package recording

import (
	"bytes"
	"os"
	"slices"

	"github.com/gnomon-sensor/gnomon/agent/source/accesslog"
	"github.com/gnomon-sensor/gnomon/agent/source/internal/scan"
	"github.com/gnomon-sensor/gnomon/agent/source/pcap"
	"github.com/gnomon-sensor/gnomon/agent/source/record"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

var bom = []byte{0xef, 0xbb, 0xbf}

const tryLines = 20 // a log may begin with something else

// Detect finds the format of a file from its first bytes, "" if it is none that is known.
func Detect(b []byte) Format {
	switch {
	case pcap.IsPcap(b):
		return Pcap
	case record.IsRecording(b):
		return Chunks
	}
	b = bytes.TrimPrefix(b, bom)
	text := bytes.TrimLeft(b, " \t\r\n")
	if len(text) > 0 && text[0] == '{' {
		if f := detectObject(text); f != "" {
			return f
		}
	}
	for i, line := range bytes.SplitN(b, []byte{'\n'}, tryLines+1) {
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if i == tryLines || len(line) == 0 || line[0] == '#' {
			continue
		}
		if f := detectObject(line); f != "" {
			return f
		}
		switch accesslog.Detect(line) {
		case accesslog.Combined:
			return Combined
		case accesslog.Envoy:
			return Envoy
		case accesslog.JSON:
			return JSONLog
		}
	}
	return ""
}

// detectObject tells HAR and Call lines from their keys.
func detectObject(b []byte) Format {
	var s scan.JSON
	s.Reset(b)
	if len(b) == 0 || b[0] != '{' || !s.Enter('{') {
		return ""
	}
	var keys []string
	for len(keys) < 64 {
		key, ok := s.Key()
		if !ok {
			break
		}
		if string(key) == "log" && len(keys) == 0 && s.Enter('{') {
			return HAR
		}
		keys = append(keys, string(key))
		s.Skip()
	}
	has := func(k string) bool { return slices.Contains(keys, k) }
	if has("id") && has("time") && has("method") && (has("service") || has("template") || has("operations")) {
		return Calls
	}
	return ""
}

// First returns the time of the first packet of a capture, so that the parts of one that was cut by time can be read in
// order; 0 for any other file.
func First(name string) event.Time {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() { // a pipe can be read only once
		return 0
	}
	br, done, err := unpack(f)
	if err != nil {
		return 0
	}
	defer done()
	if b, _ := br.Peek(4); !pcap.IsPcap(b) {
		return 0
	}
	r, err := pcap.NewReader(br)
	if err != nil {
		return 0
	}
	var p pcap.Packet
	if r.Next(&p) != nil {
		return 0
	}
	return p.Time
}

// Order puts the captures among the files into the order of their first packets. Other files stay where they are.
func Order(names []string) []string {
	type at struct {
		name string
		time event.Time
	}
	var captures []at
	var places []int
	for i, name := range names {
		if name == "-" {
			continue
		}
		if t := First(name); t != 0 {
			captures = append(captures, at{name, t})
			places = append(places, i)
		}
	}
	slices.SortStableFunc(captures, func(a, b at) int {
		switch {
		case a.time < b.time:
			return -1
		case a.time > b.time:
			return 1
		}
		return 0
	})
	out := slices.Clone(names)
	for i, place := range places {
		out[place] = captures[i].name
	}
	return out
}
