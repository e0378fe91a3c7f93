// Package out prints what commands have to tell: tables for people, JSON and CSV for programs.
//
// In: rows and the columns to show of them. Out: text on a writer. What came from traffic is never trusted: nothing that a
// terminal or a spreadsheet would act on is passed on as it is.
package out

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Formats are the values of -o.
var Formats = []string{"table", "wide", "json", "jsonl", "csv"}

// Printer prints in one format.
type Printer struct {
	W      io.Writer
	Format string // one of Formats
	Width  int    // of the terminal; 0: no terminal, nothing is shortened
	Colour bool
}

// Column is one column of a table of T.
type Column[T any] struct {
	Name  string
	Right bool
	Wide  bool // shown with -o wide and in CSV only
	Rank  int  // columns of higher rank are left out first when the terminal is narrow; 0 never
	Flex  bool // may be shortened to fit
	Value func(*T) string
	Style func(*T) Style // nil: plain
}

// Style is how a cell looks on a terminal with colour.
type Style string

// The styles.
const (
	Plain  Style = ""
	Bold   Style = "\x1b[1m"
	Red    Style = "\x1b[31m"
	Yellow Style = "\x1b[33m"
	Green  Style = "\x1b[32m"
	Dim    Style = "\x1b[2m"
	reset        = "\x1b[0m"
)

// Print writes rows.
func Print[T any](p *Printer, columns []Column[T], rows []T) error {
	s := NewStream(p, columns)
	if p.Format == "table" || p.Format == "wide" {
		return s.table(rows)
	}
	for i := range rows {
		if err := s.Row(&rows[i], nil); err != nil {
			return err
		}
	}
	return s.Close()
}

// Stream writes row by row. Its tables have the widths of what came first.
type Stream[T any] struct {
	p       *Printer
	columns []Column[T]
	widths  []int
	rows    int
	csv     *csv.Writer
}

// NewStream returns a Stream. Close ends it.
func NewStream[T any](p *Printer, columns []Column[T]) *Stream[T] {
	s := &Stream[T]{p: p, columns: columns}
	if p.Format == "table" {
		s.columns = slices.DeleteFunc(slices.Clone(columns), func(c Column[T]) bool { return c.Wide })
	}
	return s
}

// Row writes one row. raw is its JSON where that is known already.
func (s *Stream[T]) Row(row *T, raw []byte) error {
	s.rows++
	switch s.p.Format {
	case "json", "jsonl":
		if raw == nil {
			var err error
			if raw, err = json.Marshal(row); err != nil {
				return fmt.Errorf("encode a row: %w", err)
			}
		}
		b := SafeJSON(raw)
		if s.p.Format == "json" {
			before := ",\n"
			if s.rows == 1 {
				before = "[\n"
			}
			b = append([]byte(before), b...)
		} else {
			b = append(b, '\n')
		}
		_, err := s.p.W.Write(b)
		return err
	case "csv":
		if s.csv == nil {
			s.csv = csv.NewWriter(s.p.W)
			head := make([]string, len(s.columns))
			for i, c := range s.columns {
				head[i] = strings.ReplaceAll(strings.ToLower(c.Name), " ", "_")
			}
			if err := s.csv.Write(head); err != nil {
				return err
			}
		}
		cells := make([]string, len(s.columns))
		for i, c := range s.columns {
			cells[i] = cell(c.Value(row))
		}
		if err := s.csv.Write(cells); err != nil {
			return err
		}
		s.csv.Flush()
		return s.csv.Error()
	}
	return s.line(row)
}

// Close ends what Row began.
func (s *Stream[T]) Close() error {
	var err error
	switch {
	case s.p.Format == "json" && s.rows == 0:
		_, err = io.WriteString(s.p.W, "[]\n")
	case s.p.Format == "json":
		_, err = io.WriteString(s.p.W, "\n]\n")
	case s.p.Format == "csv" && s.rows == 0:
		names := make([]string, len(s.columns))
		for i, c := range s.columns {
			names[i] = strings.ReplaceAll(strings.ToLower(c.Name), " ", "_")
		}
		w := csv.NewWriter(s.p.W)
		err = w.Write(names)
		w.Flush()
	}
	return err
}

const gap = 2 // spaces between columns

// table writes all rows with widths that fit them, and the terminal.
func (s *Stream[T]) table(rows []T) error {
	s.fit(rows)
	var b bytes.Buffer
	s.head(&b)
	for i := range rows {
		s.cells(&b, &rows[i])
		if b.Len() > 64<<10 {
			if _, err := s.p.W.Write(b.Bytes()); err != nil {
				return err
			}
			b.Reset()
		}
	}
	_, err := s.p.W.Write(b.Bytes())
	return err
}

func (s *Stream[T]) line(row *T) error {
	var b bytes.Buffer
	if s.widths == nil {
		s.fit([]T{*row})
		s.head(&b)
	}
	s.cells(&b, row)
	_, err := s.p.W.Write(b.Bytes())
	return err
}

// fit works out the widths. When they pass the terminal's, the columns of the highest rank go first, then the flexible ones shrink.
func (s *Stream[T]) fit(rows []T) {
	s.widths = make([]int, len(s.columns))
	for i, c := range s.columns {
		s.widths[i] = Columns(c.Name)
		for j := range rows {
			s.widths[i] = max(s.widths[i], Columns(Safe(c.Value(&rows[j]))))
		}
	}
	const shortest = 12
	for s.p.Width > 0 && s.p.Format == "table" {
		total, least := -gap, -gap
		worst := -1
		for i, w := range s.widths {
			total += w + gap
			if s.columns[i].Flex {
				w = min(w, shortest)
			}
			least += w + gap
			if r := s.columns[i].Rank; r > 0 && (worst < 0 || r > s.columns[worst].Rank) {
				worst = i
			}
		}
		if total <= s.p.Width {
			return
		}
		if least <= s.p.Width || worst < 0 {
			s.shrink(total-s.p.Width, shortest)
			return
		}
		s.columns = slices.Delete(slices.Clone(s.columns), worst, worst+1)
		s.widths = slices.Delete(s.widths, worst, worst+1)
	}
}

// shrink takes columns from the widest flexible ones.
func (s *Stream[T]) shrink(over, shortest int) {
	for ; over > 0; over-- {
		widest := -1
		for i, w := range s.widths {
			if s.columns[i].Flex && w > shortest && (widest < 0 || w > s.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		s.widths[widest]--
	}
}

func (s *Stream[T]) head(b *bytes.Buffer) {
	for i, c := range s.columns {
		s.put(b, i, c.Name, Bold)
	}
}

func (s *Stream[T]) cells(b *bytes.Buffer, row *T) {
	for i, c := range s.columns {
		style := Plain
		if c.Style != nil {
			style = c.Style(row)
		}
		s.put(b, i, Safe(c.Value(row)), style)
	}
}

func (s *Stream[T]) put(b *bytes.Buffer, i int, text string, style Style) {
	if s.p.Width > 0 {
		text = Shorten(text, s.widths[i])
	}
	pad := strings.Repeat(" ", max(0, s.widths[i]-Columns(text)))
	last := i == len(s.columns)-1
	if s.columns[i].Right {
		b.WriteString(pad)
	}
	if style != Plain && s.p.Colour {
		text = string(style) + text + reset
	}
	b.WriteString(text)
	switch {
	case last:
		b.WriteByte('\n')
	case s.columns[i].Right:
		b.WriteString("  ")
	default:
		b.WriteString(pad + "  ")
	}
}

// One prints a single thing: as JSON, as a CSV of one row, or for people by the function given.
func One[T any](p *Printer, columns []Column[T], row *T, people func(*Printer) error) error {
	switch p.Format {
	case "json", "jsonl":
		b, err := json.Marshal(row)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		if b = SafeJSON(b); p.Format == "json" {
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, b, "", "  "); err != nil {
				return fmt.Errorf("encode: %w", err)
			}
			b = pretty.Bytes()
		}
		_, err = p.W.Write(append(b, '\n'))
		return err
	case "csv":
		return Print(p, columns, []T{*row})
	}
	return people(p)
}

// Safe makes text harmless to a terminal: control characters, and those that reorder or hide text, become escapes.
func Safe(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= ' ' && s[i] < 0x7f
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r), unicode.Is(unicode.Co, r):
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// SafeJSON escapes in valid JSON what a terminal might act on: DEL and the C1 controls, which JSON itself allows.
func SafeJSON(b []byte) []byte {
	if !slices.ContainsFunc(b, func(c byte) bool { return c >= 0x7f }) {
		return b
	}
	var s bytes.Buffer
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == 0x7f || r >= 0x80 && r <= 0x9f || unicode.Is(unicode.Cf, r) && r <= 0xffff {
			fmt.Fprintf(&s, `\u%04x`, r)
		} else {
			s.Write(b[:n])
		}
		b = b[n:]
	}
	return s.Bytes()
}

// cell makes text harmless to a spreadsheet: what it would take for a formula begins with a quote.
func cell(s string) string {
	if s == "" {
		return s
	}
	s = Safe(s)
	switch s[0] {
	case '=', '+', '-', '@':
		return "'" + s
	}
	return s
}

// Columns is how many columns of a terminal s takes.
func Columns(s string) (n int) {
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Me, r):
		case r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 || r >= 0xf900 && r <= 0xfaff ||
			r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 || r >= 0xffe0 && r <= 0xffe6 || r >= 0x1f300 && r <= 0x1faff || r >= 0x20000 && r <= 0x3fffd):
			n += 2
		default:
			n++
		}
	}
	return n
}

// Shorten cuts s to so many columns, with an ellipsis.
func Shorten(s string, columns int) string {
	if Columns(s) <= columns {
		return s
	}
	n := 0
	for i, r := range s {
		w := Columns(string(r))
		if n+w > columns-1 {
			return s[:i] + "…"
		}
		n += w
	}
	return s
}
