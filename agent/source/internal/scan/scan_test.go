package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestValuesAreReadAsEncodingJSONReadsThem(t *testing.T) {
	var s JSON
	for _, text := range []string{`""`, `"abc"`, `"a\"b\\c\/d\b\f\n\r\t"`, `"\u00e9\u4e2d\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"` + strings.Repeat("long ", 20) + `\n"`} {
		var want string
		require.NoError(t, json.Unmarshal([]byte(text), &want))
		s.Reset([]byte(" " + text + " "))
		require.Equal(t, want, string(s.String()), text)
		require.True(t, s.End())
	}
	for text, want := range map[string]int64{"0": 0, "-12": -12, "1.9": 1, "2e3": 2000, "9223372036854775790": 9223372036854775790, `"x"`: 0, "null": 0, "true": 0, "[1,2]": 0} {
		s.Reset([]byte(text))
		require.Equal(t, want, s.Int(), text)
		require.True(t, s.End(), "%s: %v", text, s.Err())
	}
	for _, text := range []string{"99999999999999999999", "1e400"} {
		s.Reset([]byte(text))
		s.Int()
		require.ErrorIs(t, s.Err(), ErrSyntax, text)
	}
	s.Reset([]byte(`"\x41\xff"`)) // nginx writes that
	require.Equal(t, "A\xff", string(s.String()))
}

func TestObjectsAndArraysAreWalkedWithoutBuildingThem(t *testing.T) {
	var s JSON
	s.Reset([]byte(` { "a" : [ 1 , "x]" , {"b":{}} ] , "c\n" : "\\\"" , "d":true, "e" : null } `))
	require.True(t, s.Enter('{'))
	var got []string
	for {
		k, ok := s.Key()
		if !ok {
			break
		}
		key := string(k)
		got = append(got, key+"="+string(s.Raw()))
	}
	require.True(t, s.End())
	require.Equal(t, []string{`a=[ 1 , "x]" , {"b":{}} ]`, "c\n=" + `"\\\""`, "d=true", "e=null"}, got)
	s.Reset([]byte(`[[],"a",3]`))
	require.True(t, s.Enter('['))
	n := 0
	for s.Next() {
		s.Skip()
		n++
	}
	require.Equal(t, 3, n)
	require.True(t, s.End())
}

func TestWhatIsNoJSONIsAnErrorWithItsPlace(t *testing.T) {
	for _, text := range []string{"", "{", `{"a"`, `{"a":`, `{"a" 1}`, `{a:1}`, `"abc`, `"\q"`, `"\u12"`, `[1`, `{"a":1}x`, strings.Repeat("[", 70) + strings.Repeat("]", 70)} {
		var s JSON
		s.Reset([]byte(text))
		if s.Enter('{') {
			for {
				if _, ok := s.Key(); !ok {
					break
				}
				s.String()
			}
		} else if s.Err() == nil {
			s.Skip()
		}
		require.False(t, s.End(), "%q", text)
		require.ErrorIs(t, s.Err(), ErrSyntax)
		require.ErrorContains(t, s.Err(), "at byte ")
	}
}

func TestLinesHaveTheirPlaceAndABound(t *testing.T) {
	l := NewLines(strings.NewReader("a\r\n\n" + strings.Repeat("x", 3*MaxLine) + "\nbc"))
	type at struct {
		text   string
		number int
		offset int64
	}
	var got []at
	for {
		b, err := l.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		got = append(got, at{string(b), l.Number(), l.Offset()})
	}
	require.Equal(t, []at{{"a", 1, 0}, {"", 2, 3}, {"bc", 4, 3*MaxLine + 5}}, got)
	require.Equal(t, 1, l.TooBig)

	broken := errors.New("broken")
	l = NewLines(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)))
	for _, want := range []string{"a", "b"} {
		b, err := l.Next()
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
	_, err := l.Next()
	require.ErrorIs(t, err, broken)
}

func TestStringsAreSharedAndBounded(t *testing.T) {
	var s Strings
	long := bytes.Repeat([]byte("l"), 200)
	require.Equal(t, string(long), s.Of(long))
	require.Empty(t, s.Of(nil))
	known := []byte("application/json")
	s.Of(known)
	require.Zero(t, testing.AllocsPerRun(100, func() { s.Of(known) }))
	var b [8]byte
	for i := range 3 * keepStrings {
		b = [8]byte{byte(i), byte(i >> 8), byte(i >> 16), 'x', 'y', 'z', 1, 2}
		require.Equal(t, string(b[:]), s.Of(b[:]))
	}
	require.LessOrEqual(t, len(s.young)+len(s.old), 2*keepStrings)
	require.Equal(t, "application/json", s.Of(known))
}

// FuzzJSON: what encoding/json takes is taken and read the same, and nothing is read past the end.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00\\"],"b":{"c":null,"d":true}}`))
	f.Add([]byte(`"\x41"`))
	f.Add([]byte(`[[[[]]]]`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var s JSON
		s.Reset(in)
		raw := s.Raw()
		require.LessOrEqual(t, s.Pos(), len(in))
		if json.Valid(in) && !errors.Is(s.Err(), ErrSyntax) {
			require.True(t, s.End())
			require.Equal(t, strings.Trim(string(in), " \t\r\n"), string(raw))
		}
		var want string
		if json.Unmarshal(in, &want) == nil && len(bytes.TrimSpace(in)) > 0 && bytes.TrimSpace(in)[0] == '"' && utf8.Valid(in) {
			s.Reset(in)
			require.Equal(t, want, string(s.String()))
		}
		s.Reset(in)
		if s.Enter('{') {
			for {
				if _, ok := s.Key(); !ok {
					break
				}
				s.Int()
			}
		}
	})
}
