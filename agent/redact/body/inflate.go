package body

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// inflater decompresses the beginnings of bodies (RFC 9110 section 8.4.1). Its windows are made when the first compressed body comes.
type inflater struct {
	src  bytes.Reader
	gzip *gzip.Reader
	zlib io.ReadCloser
	raw  io.ReadCloser
	out  [maxInflated]byte
}

// maxInflated bounds what comes of one body: a bomb gives as much as any other.
const maxInflated = 8 << 10

// inflate returns the beginning of what b, in the content coding given, holds, and whether that is all of it; nil when it is none that can
// be read here. The result is valid until the next call.
func (f *inflater) inflate(coding string, b []byte) (out []byte, whole bool) {
	f.src.Reset(b)
	var r io.Reader
	var err error
	switch {
	case coding == "gzip":
		if f.gzip == nil {
			f.gzip = new(gzip.Reader)
		}
		f.gzip.Multistream(false)
		err = f.gzip.Reset(&f.src)
		r = f.gzip
	case coding == "deflate" && len(b) > 1 && b[0]&15 == 8 && (int(b[0])<<8|int(b[1]))%31 == 0: // RFC 1950 section 2.2
		if f.zlib == nil {
			f.zlib, err = zlib.NewReader(&f.src)
		} else {
			err = f.zlib.(zlib.Resetter).Reset(&f.src, nil)
		}
		r = f.zlib
	case coding == "deflate": // without the header, as some servers send it
		if f.raw == nil {
			f.raw = flate.NewReader(&f.src)
		} else {
			err = f.raw.(flate.Resetter).Reset(&f.src, nil)
		}
		r = f.raw
	default:
		return nil, false
	}
	if err != nil {
		f.zlib = nil // NewReader may have failed
		return nil, false
	}
	n, err := io.ReadFull(r, f.out[:])
	return f.out[:n], errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && f.ended(r)
}

// ended says whether the stream that gave io.ErrUnexpectedEOF to ReadFull came to its end, rather than being cut.
func (f *inflater) ended(r io.Reader) bool {
	var b [1]byte
	_, err := r.Read(b[:])
	return errors.Is(err, io.EOF)
}
