package pcap

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gnomon-sensor/gnomon/agent/chunk"
	"github.com/gnomon-sensor/gnomon/agent/source/pcap/tcp"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Config bounds a Source. The zero value takes the defaults.
type Config struct {
	TCP tcp.Config
}

// Stats is what a Source read.
type Stats struct {
	Decode DecodeStats
	TCP    tcp.Stats
}

// Source reads recordings into chunks. Files are read one after the other; connections go on from one to the next, as
// they do where a recorder starts a new file each hour.
type Source struct {
	asm *tcp.Assembler
	dec *Decoder
}

// New returns a Source that hands its chunks to out.
func New(cfg Config, out chunk.Handler) *Source {
	asm := tcp.New(cfg.TCP, out)
	return &Source{asm: asm, dec: NewDecoder(asm.Segment)}
}

// Read reads one file to its end, or until ctx is done. A file that cannot be read on gives a *Fault with the place; all
// that came before it was taken.
func (s *Source) Read(ctx context.Context, r io.Reader) error {
	rd, err := NewReader(r)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return &Fault{What: "the file is empty", Err: io.ErrUnexpectedEOF}
		}
		return err
	}
	var p Packet
	for n := 1; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return fmt.Errorf("stopped at byte %d: %w", rd.Offset(), ctx.Err())
		}
		if err := rd.Next(&p); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		s.dec.Packet(&p)
	}
}

// Close ends all connections. What was read is then handed on whole.
func (s *Source) Close() {
	s.dec.Flush()
	s.asm.Close()
}

// Now returns the packet time that was reached.
func (s *Source) Now() event.Time { return s.asm.Now() }

// Stats returns the counts so far.
func (s *Source) Stats() Stats { return Stats{Decode: s.dec.stats, TCP: s.asm.Stats()} }
