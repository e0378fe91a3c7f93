package out

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

type row struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
	Note  string `json:"note,omitempty"`
}

var columns = []Column[row]{
	{Name: "NAME", Flex: true, Value: func(r *row) string { return r.Name }},
	{Name: "COUNT", Right: true, Value: func(r *row) string { return fmt.Sprint(r.Count) }, Style: func(*row) Style { return Red }},
	{Name: "NOTE", Rank: 1, Value: func(r *row) string { return r.Note }},
	{Name: "MORE", Wide: true, Value: func(*row) string { return "more" }},
}

func print(t *testing.T, p Printer, rows []row) string {
	t.Helper()
	var b bytes.Buffer
	p.W = &b
	require.NoError(t, Print(&p, columns, rows))
	return b.String()
}

var rows = []row{{"first", 1, "a note"}, {"the second of them, with a long name", 1234, ""}}

func TestTablesAreAlignedAndWholeWhereThereIsNoTerminal(t *testing.T) {
	require.Equal(t, ""+
		"NAME                                  COUNT  NOTE\n"+
		"first                                     1  a note\n"+
		"the second of them, with a long name   1234  \n", print(t, Printer{Format: "table"}, rows))
	require.Contains(t, print(t, Printer{Format: "wide"}, rows), "MORE")
	require.Equal(t, "NAME  COUNT  NOTE\n", print(t, Printer{Format: "table"}, nil))
}

func TestTablesFitTheTerminal(t *testing.T) {
	for width := 20; width < 60; width++ {
		for _, line := range strings.Split(strings.TrimRight(print(t, Printer{Format: "table", Width: width}, rows), "\n"), "\n") {
			require.LessOrEqual(t, Columns(strings.TrimRight(line, " ")), width, "width %d: %q", width, line)
		}
	}
	require.NotContains(t, print(t, Printer{Format: "table", Width: 24}, rows), "NOTE", "a column of a rank goes before a name is cut to nothing")
	require.Contains(t, print(t, Printer{Format: "table", Width: 24}, rows), "…")
}

func TestColourIsThereOnlyWhenAskedFor(t *testing.T) {
	require.NotContains(t, print(t, Printer{Format: "table"}, rows), "\x1b")
	require.Contains(t, print(t, Printer{Format: "table", Colour: true}, rows), "\x1b[31m1\x1b[0m")
}

func TestJSONIsOneArrayAndJSONLinesAreObjects(t *testing.T) {
	var got []row
	require.NoError(t, json.Unmarshal([]byte(print(t, Printer{Format: "json"}, rows)), &got))
	require.Equal(t, rows, got)
	require.Equal(t, "[]\n", print(t, Printer{Format: "json"}, nil))
	require.Empty(t, print(t, Printer{Format: "jsonl"}, nil))
	lines := strings.Split(strings.TrimSpace(print(t, Printer{Format: "jsonl"}, rows)), "\n")
	require.Len(t, lines, 2)
	require.JSONEq(t, `{"name":"first","count":1,"note":"a note"}`, lines[0])
}

func TestCSVHasAHeadAndNoFormulas(t *testing.T) {
	hostile := []row{{"=1+1", 1, "+x"}, {"@SUM(A1)", 2, "-y"}, {"a,\"b\"\n", 3, "\tz"}}
	got, err := csv.NewReader(strings.NewReader(print(t, Printer{Format: "csv"}, hostile))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, [][]string{{"name", "count", "note", "more"}, {"'=1+1", "1", "'+x", "more"}, {"'@SUM(A1)", "2", "'-y", "more"}, {`a,"b"\n`, "3", `\tz`, "more"}}, got)
	require.Equal(t, "name,count,note,more\n", print(t, Printer{Format: "csv"}, nil))
}

func TestWideCharactersTakeTwoColumns(t *testing.T) {
	require.Equal(t, 4, Columns("日本"))
	require.Equal(t, 1, Columns("e\u0301"))
	require.Equal(t, "日…", Shorten("日本語", 4))
	require.Equal(t, "abc", Shorten("abc", 3))
}

func FuzzNothingThatATerminalActsOnIsPassedOn(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31mred", "\u009b31m", "\x07\x00\x7f", "\u202eabc\u2066", "a\r\nb\tc", "\xff\xfe", "é日本", "\u2028", "\ue000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Safe(s) {
			require.False(t, unicode.IsControl(r) || unicode.Is(unicode.Cf, r), "%q of %q", Safe(s), s)
		}
		require.LessOrEqual(t, Columns(Shorten(Safe(s), 7)), 7)
		raw, err := json.Marshal(s)
		require.NoError(t, err)
		safe := SafeJSON(raw)
		var want, got string
		require.NoError(t, json.Unmarshal(raw, &want))
		require.NoError(t, json.Unmarshal(safe, &got), "%s", safe)
		require.Equal(t, want, got)
		for _, r := range string(safe) {
			require.False(t, unicode.IsControl(r), "%q", safe)
		}
		if c := cell(s); c != "" {
			require.NotContains(t, "=+-@\t\r", c[:1])
		}
	})
}
