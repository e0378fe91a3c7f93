package spec

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func doc(title, version string, bases []string, ops ...string) *Document {
	d := &Document{ID: title + version, Service: "s", Format: OpenAPI30, Title: title, Version: version, Bases: bases}
	for _, o := range ops {
		method, path, _ := cut(o)
		d.Ops = append(d.Ops, Operation{Method: method, Path: path})
	}
	d.Finish()
	return d
}

func cut(o string) (string, string, bool) {
	for i := range o {
		if o[i] == ' ' {
			return o[:i], o[i+1:], true
		}
	}
	return o, "", false
}

func TestTheMostSpecificDeclaredPathWins(t *testing.T) {
	s := NewSet([]*Document{doc("a", "1", nil, "GET /users/{id}", "GET /users/me", "GET /users/{id}/repos", "GET /{any}/me", "GET /users/u-{n}")}, nil)
	for observed, want := range map[string]string{
		"/users/me":              "/users/me",
		"/users/{userId}":        "/users/{id}",
		"/users/karl":            "/users/{id}",
		"/users/u-{integer}":     "/users/u-{n}",
		"/groups/me":             "/{any}/me",
		"/users/{x}/repos":       "/users/{id}/repos",
		"/users/{x}/{y}":         "", // a value never fits a word
		"/users":                 "",
		"/users/":                "", // the segment is empty, and a value never is
		"/users/{x}/repos/extra": "",
	} {
		got := ""
		if m := s.Find("GET", observed, ""); m != nil {
			got = m.Template()
		}
		require.Equal(t, want, got, observed)
	}
	require.Nil(t, s.Find("POST", "/users/me", ""))
	require.Equal(t, []string{"GET"}, s.Methods("/users/me"))
}

func TestMixedSegmentsMatchPieceByPiece(t *testing.T) {
	for _, c := range []struct {
		declared, observed string
		want               bool
	}{
		{"/report-{id}.pdf", "/report-{integer}.pdf", true},
		{"/report-{id}.pdf", "/report-.pdf", false},
		{"/report-{id}.pdf", "/report-7.pdf", true},
		{"/report-{id}.pdf", "/{file}", true},
		{"/compare/{a}..{b}", "/compare/{x}..{y}", true},
		{"/compare/{a}..{b}", "/compare/main..next", true},
		{"/compare/{a}..{b}", "/compare/main", false},
		{"/users('{id}')", "/users('{id}')", true},
		{"/users('{id}')", "/users(7)", false},
		{"/v1/{name=x}:cancel", "/v1/{integer}:cancel", true},
		{"/files/{path*}", "/files/a/b/c", true},
		{"/files/{+path}", "/files/{a}", true},
		{"/files/{path...}", "/files", false},
		{"/a{b", "/a{b", true},
		{"/a{}b", "/a{}b", true},
	} {
		s := NewSet([]*Document{doc("a", "1", nil, "GET "+c.declared)}, nil)
		require.Equal(t, c.want, s.Find("GET", c.observed, "") != nil, "%s against %s", c.observed, c.declared)
	}
}

func TestPrefixesOfServersStandBeforePathsUnlessNobodyUsesThem(t *testing.T) {
	d := doc("a", "1", []string{"/api/v2"}, "GET /pets")
	s := NewSet([]*Document{d}, []string{"/api/v2/pets", "/pets"})
	require.Equal(t, "/api/v2/pets", s.Find("GET", "/api/v2/pets", "").Template())
	require.Nil(t, s.Find("GET", "/pets", ""))
	s = NewSet([]*Document{d}, []string{"/pets"})
	require.NotNil(t, s.Find("GET", "/pets", ""))
}

func TestTheNewestVersionOfATitleWins(t *testing.T) {
	old, now := doc("a", "1.9.0", nil, "GET /pets", "GET /old"), doc("a", "1.10.0", nil, "GET /pets")
	s := NewSet([]*Document{old, now}, nil)
	require.Equal(t, now, s.Find("GET", "/pets", "").Doc)
	require.Equal(t, old, s.Find("GET", "/old", "").Doc)
	require.Equal(t, now, s.newer[old])
}

func TestVersionsCompareByNumbers(t *testing.T) {
	ordered := []string{"", "0.9", "v1", "1.2", "1.10-beta", "1.10-beta.2", "1.10-rc1", "1.10", "1.10.1", "v2", "2024-01-05", "2024-11-01"}
	for i := range ordered {
		for j := range ordered {
			require.Equal(t, sign(i-j), sign(compareVersions(ordered[i], ordered[j])), "%q and %q", ordered[i], ordered[j])
		}
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func FuzzMatch(f *testing.F) {
	f.Add("/a/{b}/c-{d}.e", "/a/x/c-1.e")
	f.Add("/{a*}", "//")
	f.Add("{}{{}}", "}{")
	f.Add("{a}{b}", "{a}{b}{c}")
	f.Fuzz(func(t *testing.T, declared, observed string) {
		p := compile(declared)
		p.match(blank(observed))
		require.NotEqual(t, none, p.match(blank(declared)), "%q does not match itself", declared)
	})
}

func BenchmarkFindAmongAThousand(b *testing.B) {
	var ops []string
	r := rand.New(rand.NewPCG(1, 1))
	word := func() string {
		return []string{"users", "orders", "items", "{id}", "search"}[r.IntN(5)] + string(rune('a'+r.IntN(26)))
	}
	for range 1000 {
		ops = append(ops, "GET /"+word()+"/"+word()+"/"+word())
	}
	s := NewSet([]*Document{doc("a", "1", nil, ops...)}, nil)
	b.ReportAllocs()
	for b.Loop() {
		s.Find("GET", "/usersa/{x}a/itemsb", "")
	}
}
