package scan

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxLine is the longest line that is read. A longer one is passed over and counted.
const MaxLine = 1 << 20

// Lines reads a text line by line.
type Lines struct {
	br     *bufio.Reader
	off    int64 // of the line handed out
	next   int64
	number int
	TooBig int // lines that were passed over
	err    error
}

// NewLines returns a reader of r's lines.
func NewLines(r io.Reader) *Lines { return &Lines{br: bufio.NewReaderSize(r, MaxLine)} }

// Next returns the next line without its end, or io.EOF, or what the reader below failed with. It is valid until the
// next call. Where the input fails, what came of the last line is handed out first.
func (l *Lines) Next() ([]byte, error) {
	for {
		if l.err != nil {
			return nil, l.err
		}
		l.off = l.next
		l.number++
		b, err := l.br.ReadSlice('\n')
		l.next += int64(len(b))
		if err == nil {
			b = b[:len(b)-1]
			return bytes.TrimSuffix(b, []byte{'\r'}), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			l.err = err
			if len(b) > 0 {
				return b, nil
			}
			continue
		}
		l.TooBig++
		for errors.Is(err, bufio.ErrBufferFull) {
			b, err = l.br.ReadSlice('\n')
			l.next += int64(len(b))
		}
		if err != nil {
			l.err = err
		}
	}
}

// Number and Offset are those of the line that was handed out last, from 1 and from 0.
func (l *Lines) Number() int { return l.number }

// Offset is the place of that line's first byte.
func (l *Lines) Offset() int64 { return l.off }

// Fault is where a line, or the input, cannot be read. Offset counts decompressed bytes.
type Fault struct {
	Line   int
	Offset int64
	Err    error
}

func (f *Fault) Error() string { return fmt.Sprintf("line %d, byte %d: %v", f.Line, f.Offset, f.Err) }

func (f *Fault) Unwrap() error { return f.Err }

// Fault returns err with the place of the line that was handed out last.
func (l *Lines) Fault(err error) *Fault { return &Fault{Line: l.number, Offset: l.off, Err: err} }

// Strings keeps one copy of each string that comes often: a direct-mapped table before two generations of a map, since the
// map's hashing was a quarter of the time of decoding a Call line.
type Strings struct {
	hot        [1024]string
	young, old map[string]string
}

const (
	keepStrings = 1 << 15 // per generation: at most 2 × 32,768 strings
	maxInterned = 96      // longer ones are copied each time: 6 MB at most in all
)

// Of returns b as a string.
func (t *Strings) Of(b []byte) string {
	n := len(b)
	if n == 0 {
		return ""
	}
	h := uint32(n)*0x9e3779b1 ^ uint32(b[0])<<5 ^ uint32(b[n/2])<<11 ^ uint32(b[n-1])*0x85ebca6b
	if n >= 8 {
		h ^= binary.LittleEndian.Uint32(b[n-4:])*0xc2b2ae35 ^ binary.LittleEndian.Uint32(b[n-8:])*0x27d4eb2f
	}
	slot := &t.hot[h>>22]
	if *slot == string(b) {
		return *slot
	}
	if n > maxInterned {
		return string(b)
	}
	s, ok := t.young[string(b)]
	if !ok {
		if s, ok = t.old[string(b)]; !ok {
			s = string(b)
		}
		if len(t.young) >= keepStrings || t.young == nil {
			t.old, t.young = t.young, make(map[string]string, 256)
		}
		t.young[s] = s
	}
	*slot = s
	return s
}
