// Command endpointfit turns labelled traffic into the rows that inventory/endpoint/fit/fit.py fits trees to. It exists so
// that there is one implementation of the features, the learner's own.
//
// usage: endpointfit 1|2 < TRAFFIC.jsonl > ROWS
//
//	endpointfit typed < TRAFFIC.jsonl > PREDICTIONS.jsonl
//
// The first writes the rows of a pass; the second the templates that typed segments alone give, which is what a learner
// has to be better than. TRAFFIC has lines {"service", "method", "path", "status", "truth"}, a service's lines in one run. ROWS is binary, little
// endian: uint32 columns, then float32 rows: 1 when the word is a parameter, calls, number of the service, features.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
)

func main() {
	var err error
	switch arg := strings.Join(os.Args[1:], " "); arg {
	case "1", "2":
		err = rows(os.Stdin, os.Stdout, arg == "2")
	case "typed":
		err = typed(os.Stdin, os.Stdout)
	default:
		fmt.Fprintln(os.Stderr, "usage: endpointfit 1|2|typed < TRAFFIC.jsonl")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "endpointfit:", err)
		os.Exit(1)
	}
}

func typed(in io.Reader, out io.Writer) error {
	w := bufio.NewWriterSize(out, 1<<20)
	enc := json.NewEncoder(w)
	paths := redact.NewPaths(redact.PathConfig{Names: redact.NamesClear})
	for dec := json.NewDecoder(bufio.NewReaderSize(in, 1<<20)); ; {
		var l struct {
			Path string `json:"path"`
		}
		if err := dec.Decode(&l); err == io.EOF {
			return w.Flush()
		} else if err != nil {
			return err
		}
		segs, _ := paths.Path(nil, []byte(l.Path))
		if err := enc.Encode(struct {
			Template string `json:"template"`
		}{endpoint.Typed(segs).Text}); err != nil {
			return err
		}
	}
}

func rows(in io.Reader, out io.Writer, second bool) error {
	w := bufio.NewWriterSize(out, 1<<20)
	var buf []byte
	buf = binary.LittleEndian.AppendUint32(buf, uint32(3+endpoint.NumFeatures(second)))
	if _, err := w.Write(buf); err != nil {
		return err
	}
	paths := redact.NewPaths(redact.PathConfig{Names: redact.NamesClear})
	var samples []endpoint.Sample
	service, number := "", 0
	var failed error
	flush := func() {
		endpoint.Examples(samples, second, func(x []float32, param bool, calls uint64) {
			buf = buf[:0]
			label := float32(0)
			if param {
				label = 1
			}
			for _, v := range append([]float32{label, float32(calls), float32(number)}, x...) {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			if _, err := w.Write(buf); err != nil {
				failed = err
			}
		})
		samples = samples[:0]
		number++
	}
	dec := json.NewDecoder(bufio.NewReaderSize(in, 1<<20))
	for {
		var l struct {
			Service, Method, Path string
			Status                int
			Truth                 *string
		}
		if err := dec.Decode(&l); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("request %d of service %d: %w", len(samples)+1, number, err)
		}
		if l.Service != service && len(samples) > 0 {
			flush()
		}
		service = l.Service
		segs, _ := paths.Path(nil, []byte(l.Path))
		s := endpoint.Sample{Method: l.Method, Status: l.Status}
		for i := range segs {
			s.Segs = append(s.Segs, segs[i].Clone())
		}
		if l.Truth != nil {
			for _, t := range strings.Split(strings.TrimPrefix(*l.Truth, "/"), "/") {
				s.Params = append(s.Params, strings.Contains(t, "{"))
			}
		}
		samples = append(samples, s)
	}
	flush()
	if failed != nil {
		return failed
	}
	return w.Flush()
}
