package event

import (
	"fmt"
	"time"
)

// Time is a point in time in nanoseconds since the Unix epoch, UTC. Zero means absent. It comes from the chunks of a
// source, never from the clock of the room that uses it. An int64 rather than time.Time: 8 bytes instead of 24, no
// pointer, and a map of Calls stays free of the garbage collector.
type Time int64

// TimeOf converts t.
func TimeOf(t time.Time) Time { return Time(t.UnixNano()) }

// Std returns t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.Unix(0, int64(t)).UTC() }

// Add returns t+d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// IsZero says that t is absent; encoding/json's omitzero asks it.
func (t Time) IsZero() bool { return t == 0 }

const timeLayout = "2006-01-02T15:04:05.000000000Z"

// String is RFC 3339 with nanoseconds in UTC.
func (t Time) String() string { return t.Std().Format(timeLayout) }

// AppendJSON appends t as a JSON string.
func (t Time) AppendJSON(b []byte) []byte {
	b = append(b, '"')
	b = t.Std().AppendFormat(b, timeLayout)
	return append(b, '"')
}

// MarshalJSON is RFC 3339 with nanoseconds in UTC.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.AppendJSON(make([]byte, 0, len(timeLayout)+2)), nil
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("time %.40q: want an RFC 3339 string", b)
	}
	v, err := time.Parse(time.RFC3339Nano, string(b[1:len(b)-1]))
	if err != nil {
		return fmt.Errorf("time %.40q: %w", b, err)
	}
	*t = TimeOf(v)
	return nil
}
