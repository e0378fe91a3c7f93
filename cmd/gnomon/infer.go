package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// newInferCmd is `gnomon endpoints infer`.
func newInferCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "infer",
		Short: "Find the templates of paths given on standard input",
		Long: `Reads lines {"service","method","path","status"} from standard input and writes the same lines in the same order
with "template" and "confidence", after having seen all. Other fields are kept as they are.`,
		Example: `  echo '{"service":"shop","method":"GET","path":"/orders/17","status":200}' | gnomon endpoints infer`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return infer(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// maxInferLine is the longest line that infer takes: a 64 KiB path with every byte as a JSON escape, and then some.
const maxInferLine = 1 << 20

type inferLine struct {
	Service string `json:"service"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	Status  int    `json:"status"`
}

// infer reads all of in, learns, and writes it with templates to out. It keeps the lines in memory.
func infer(in io.Reader, out io.Writer) error {
	type service struct {
		learner *endpoint.Learner
		matcher *endpoint.Matcher
	}
	services := map[string]*service{}
	var lines []byte
	var ends []int
	// Only equality of tokens counts and nothing leaves: the key need not be secret, and a fixed one makes runs alike.
	paths := redact.NewPaths(redact.PathConfig{Names: redact.NamesClear, Key: [16]byte(sha256.New().Sum(nil)[:16]), MaxBytes: 64 << 10})
	var segs []event.Segment
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 64<<10), maxInferLine)
	for n := 1; sc.Scan(); n++ {
		if len(bytes.TrimSpace(sc.Bytes())) == 0 {
			continue
		}
		var l inferLine
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			return fmt.Errorf("line %d: %w: want {\"service\",\"method\",\"path\",\"status\"}", n, err)
		}
		s := services[l.Service]
		if s == nil {
			s = &service{learner: endpoint.New(endpoint.Config{})}
			services[l.Service] = s
		}
		segs, _ = paths.Path(segs[:0], []byte(l.Path))
		s.learner.Observe(l.Method, segs, l.Status, 1)
		lines = append(lines, sc.Bytes()...)
		ends = append(ends, len(lines))
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("line %d: read standard input: %w", len(ends)+1, err)
	}
	for _, s := range services {
		s.matcher = s.learner.Matcher()
	}
	w := bufio.NewWriterSize(out, 64<<10)
	from := 0
	var buf []byte
	for _, to := range ends {
		line := lines[from:to]
		from = to
		var l inferLine
		if err := json.Unmarshal(line, &l); err != nil {
			return err
		}
		segs, _ = paths.Path(segs[:0], []byte(l.Path))
		text, confidence := services[l.Service].matcher.Infer(segs, l.Status)
		if len(segs) == 0 && l.Path != "/" {
			text, confidence = l.Path, 0
		}
		line = bytes.TrimSuffix(bytes.TrimSpace(line), []byte("}"))
		buf = append(buf[:0], line...)
		if bytes.HasSuffix(bytes.TrimSpace(line), []byte("{")) {
			buf = append(buf, `"template":`...)
		} else {
			buf = append(buf, `,"template":`...)
		}
		t, err := json.Marshal(text)
		if err != nil {
			return err
		}
		buf = append(buf, t...)
		buf = append(buf, `,"confidence":`...)
		buf = strconv.AppendFloat(buf, confidence, 'f', 3, 64)
		buf = append(buf, "}\n"...)
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return w.Flush()
}
