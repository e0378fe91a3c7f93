package endpoint

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

type request struct {
	Service, Method, Path string
	Status                int
	Truth                 *string
	segs                  []event.Segment
}

// traffic is testdata/traffic.jsonl.gz, split by service: requests of made-up services in the form of bench/endpoints,
// with word-like parameters.
func traffic(t testing.TB, names redact.Names) map[string][]request {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "traffic.jsonl.gz"))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	p := redact.NewPaths(redact.PathConfig{Names: names, Key: [16]byte{7}})
	out := map[string][]request{}
	for dec := json.NewDecoder(z); ; {
		var r request
		if err := dec.Decode(&r); err == io.EOF {
			break
		} else {
			require.NoError(t, err)
		}
		segs, _ := p.Path(nil, []byte(r.Path))
		for i := range segs {
			segs[i] = segs[i].Clone()
		}
		r.segs = segs
		out[r.Service] = append(out[r.Service], r)
	}
	require.NotEmpty(t, out)
	return out
}

func learn(rs []request) *Learner {
	l := New(Config{})
	for i := range rs {
		l.Observe(rs[i].Method, rs[i].segs, rs[i].Status, 1)
	}
	return l
}

// templates is what each request is mapped to; words whose text is unknown are written as their tokens.
func templates(m *Matcher, rs []request) []string {
	var out []string
	for i := range rs {
		text, _ := m.Infer(rs[i].segs, rs[i].Status)
		out = append(out, text)
	}
	return out
}

func state(t testing.TB, l *Learner) []byte {
	b, err := l.MarshalBinary()
	require.NoError(t, err)
	return b
}

func segments(t testing.TB, path string) []event.Segment {
	segs, _ := redact.NewPaths(redact.PathConfig{Names: redact.NamesClear}).Path(nil, []byte(path))
	for i := range segs {
		segs[i] = segs[i].Clone()
	}
	return segs
}

func TestAnyOrderGivesTheSameState(t *testing.T) {
	for name, rs := range traffic(t, redact.NamesClear) {
		want := state(t, learn(rs))
		for seed := range uint64(3) {
			mixed := slices.Clone(rs)
			rand.New(rand.NewPCG(seed, 1)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
			l := learn(mixed)
			require.True(t, bytes.Equal(want, state(t, l)), name)
			a, b := learn(rs).Matcher(), l.Matcher()
			for i := range rs {
				x, p := a.Infer(rs[i].segs, rs[i].Status)
				y, q := b.Infer(rs[i].segs, rs[i].Status)
				require.Equal(t, x, y)
				require.Equal(t, p, q, "to the last bit")
			}
		}
	}
}

func TestAnySplitOverLearnersMergesToTheSameState(t *testing.T) {
	for name, rs := range traffic(t, redact.NamesClear) {
		want := state(t, learn(rs))
		r := rand.New(rand.NewPCG(3, 4))
		parts := []*Learner{New(Config{}), New(Config{}), New(Config{})}
		for i := range rs {
			parts[r.IntN(3)].Observe(rs[i].Method, rs[i].segs, rs[i].Status, 1)
		}
		for _, order := range [][]int{{0, 1, 2}, {2, 0, 1}} {
			sum := New(Config{})
			for _, k := range order {
				sum.Merge(parts[k])
			}
			require.True(t, bytes.Equal(want, state(t, sum)), name)
		}
	}
}

func TestARestartChangesNothing(t *testing.T) {
	for name, rs := range traffic(t, redact.NamesClear) {
		whole := learn(rs)
		first := learn(rs[:len(rs)/2])
		again := New(Config{})
		require.NoError(t, again.UnmarshalBinary(state(t, first)))
		for i := len(rs) / 2; i < len(rs); i++ {
			again.Observe(rs[i].Method, rs[i].segs, rs[i].Status, 1)
		}
		require.True(t, bytes.Equal(state(t, whole), state(t, again)), name)
		require.Equal(t, templates(whole.Matcher(), rs), templates(again.Matcher(), rs))
	}
}

func TestTokensGiveTheTemplatesThatTextGives(t *testing.T) {
	clear, late := traffic(t, redact.NamesClear), traffic(t, redact.NamesLate)
	for name := range clear {
		a, b := templates(learn(clear[name]).Matcher(), clear[name]), templates(learn(late[name]).Matcher(), late[name])
		for i := range a {
			x, y := strings.Split(a[i], "/"), strings.Split(b[i], "/")
			require.Equal(t, len(x), len(y), "%s and %s", a[i], b[i])
			for k := range x {
				// parameters at the same places; a literal is its text or stands for it
				require.Equal(t, strings.Count(x[k], "{"), strings.Count(y[k], "{"), "%s and %s", a[i], b[i])
				if !strings.Contains(y[k], "~") && !strings.Contains(x[k], "{") {
					require.Equal(t, x[k], y[k])
				}
			}
		}
	}
}

func TestWhatIsNotRevealedIsAskedFor(t *testing.T) {
	p := redact.NewPaths(redact.PathConfig{})
	segs, _ := p.Path(nil, []byte("/users/zorgblatt"))
	l := New(Config{})
	l.Observe("GET", segs, 200, 40)
	m := l.Matcher()
	require.Equal(t, []uint64{segs[1].Token}, m.Unknown())
	p.Reveal(m.Unknown()...)
	segs, _ = p.Path(nil, []byte("/users/zorgblatt"))
	l.Observe("GET", segs, 200, 1)
	m = l.Matcher()
	require.Empty(t, m.Unknown())
	tm, _ := m.Match(segs)
	require.Equal(t, "/users/zorgblatt", tm.Text)
}

func TestARevealedPieceIsPrinted(t *testing.T) {
	p := redact.NewPaths(redact.PathConfig{})
	l := New(Config{})
	for i := range 9 {
		segs, _ := p.Path(nil, fmt.Appendf(nil, "/jobs/%d:zorgblatt", i))
		l.Observe("POST", segs, 200, 1)
	}
	m := l.Matcher()
	require.Len(t, m.Unknown(), 1)
	p.Reveal(m.Unknown()...)
	segs, _ := p.Path(nil, []byte("/jobs/7:zorgblatt"))
	other := New(Config{})
	other.Merge(l)
	other.Observe("POST", segs, 200, 1)
	tm, _ := other.Matcher().Match(segs)
	require.Equal(t, "/jobs/{jobId}:zorgblatt", tm.Text)
	require.Len(t, l.Matcher().Unknown(), 1, "what was merged from shares nothing")
}

func TestJudgingAgainChangesNothing(t *testing.T) {
	for _, rs := range traffic(t, redact.NamesClear) {
		l := learn(rs)
		before := state(t, l)
		once := templates(l.Matcher(), rs)
		require.Equal(t, once, templates(l.Matcher(), rs))
		l.Merge(New(Config{}))
		require.Equal(t, once, templates(l.Matcher(), rs))
		require.True(t, bytes.Equal(before, state(t, l)))
	}
}

func TestTheTemplatesAreMostlyThoseOfTheAuthors(t *testing.T) {
	// A floor that a broken feature or model falls through; the figures are bench/accuracy.sh's.
	exact, total := 0, 0
	for _, rs := range traffic(t, redact.NamesClear) {
		m := learn(rs).Matcher()
		for i, text := range templates(m, rs) {
			if rs[i].Truth != nil {
				total++
				if unnamed(text) == unnamed(*rs[i].Truth) {
					exact++
				}
			}
		}
	}
	require.Greater(t, float64(exact)/float64(total), 0.85)
}

func unnamed(s string) string {
	var b strings.Builder
	in := false
	for _, c := range s {
		switch {
		case c == '{':
			in = true
			b.WriteString("{}")
		case c == '}':
			in = false
		case !in:
			b.WriteRune(c)
		}
	}
	return b.String()
}

func TestAPathSeenOnlyWith404IsNoEvidence(t *testing.T) {
	l := New(Config{})
	for i := range 200 {
		l.Observe("GET", segments(t, fmt.Sprintf("/w%dx/y", i)), 404, 1)
	}
	require.Equal(t, 1, l.Nodes())
	require.EqualValues(t, 200, l.Attempts())
	tm, _ := l.Matcher().Match(segments(t, "/w1x/y"))
	require.Nil(t, tm)
}

func TestTypedSegmentsAreParametersAtOnce(t *testing.T) {
	l := New(Config{})
	l.Observe("GET", segments(t, "/users/42/orders/9b2f2c50-7d0a-7b4e-8a31-1f0c5d2e4b6a"), 200, 1)
	tm, novel := l.Matcher().Match(segments(t, "/users/43/orders/01HXJR28HK4SKHD28JVDDZK132"))
	require.NotNil(t, tm)
	require.False(t, novel)
	require.Equal(t, "/users/{userId}/orders/{orderId}", tm.Text)
	require.Equal(t, []Param{{Name: "userId", Segment: 1, Part: -1, Kinds: 1 << event.KindInteger}, {Name: "orderId", Segment: 3, Part: -1, Kinds: 1 << event.KindUUID}}, tm.Params)
	require.Equal(t, event.KindUUID, tm.Params[1].Kind())
}

func TestPiecesOfASegmentAreTemplatesOfTheirOwn(t *testing.T) {
	for _, c := range []struct{ want, like string }{
		{"/movies/{movieId}.json", "/movies/%d.json"},
		{"/reports/report-{date}.pdf", "/reports/report-2026-01-%02d.pdf"},
		{"/stops/{stopId},{stopId2}", "/stops/%[1]d,%[1]d7"},
		{"/Items('{id}')", "/Items('%d')"},
		{"/operations/{operationId}:cancel", "/operations/%d:cancel"},
	} {
		l := New(Config{})
		for i := range 20 {
			l.Observe("GET", segments(t, fmt.Sprintf(c.like, i+10)), 200, 3)
		}
		tm, _ := l.Matcher().Match(segments(t, fmt.Sprintf(c.like, 29)))
		require.NotNil(t, tm, c.want)
		require.Equal(t, c.want, tm.Text)
	}
}

func TestMethodsAfterAColonAreEndpointsOfTheirOwn(t *testing.T) {
	l := New(Config{})
	for i := range 20 {
		l.Observe("POST", segments(t, fmt.Sprintf("/jobs/%d:cancel", i)), 200, 1)
		l.Observe("POST", segments(t, fmt.Sprintf("/jobs/%d:restart", i)), 200, 1)
		l.Observe("GET", segments(t, fmt.Sprintf("/jobs/%d", i)), 200, 1)
	}
	m := l.Matcher()
	for path, want := range map[string]string{"/jobs/7:cancel": "/jobs/{jobId}:cancel", "/jobs/99:restart": "/jobs/{jobId}:restart", "/jobs/3": "/jobs/{jobId}"} {
		tm, _ := m.Match(segments(t, path))
		require.NotNil(t, tm, path)
		require.Equal(t, want, tm.Text)
	}
}

func TestParametersAreNamedAfterWhatStandsBeforeThem(t *testing.T) {
	for path, want := range map[string]string{
		"/orders/7":                      "/orders/{orderId}",
		"/categories/7/sub-items/8":      "/categories/{categoryId}/sub-items/{subItemId}",
		"/statuses/7":                    "/statuses/{statuseId}",
		"/address/7/8":                   "/address/{addressId}/{id}",
		"/a/7/a/8":                       "/a/{aId}/a/{aId2}",
		"/days/2026-11-24":               "/days/{date}",
		"/v1/7":                          "/v1/{v1Id}",
		"/7":                             "/{id}",
		"/":                              "/",
		"/orders/":                       "/orders/",
		"/UserGroups/7":                  "/UserGroups/{userGroupId}",
		"/mail/a.b@example.org":          "/mail/{email}",
		"/a b%2F{x}":                     "/a%20b%2F%7Bx%7D",
		"/by-ip/10.0.0.1/by-ip/10.0.0.2": "/by-ip/{ip}/by-ip/{ip2}",
	} {
		require.Equal(t, want, Typed(segments(t, path)).Text, path)
	}
}

func TestAnUnknownWordAtTheRootIsNoEndpointByA404(t *testing.T) {
	l := New(Config{})
	for i := range 60 {
		for _, rest := range []string{"issues", "pulls", "wiki/pages", "settings"} {
			l.Observe("GET", segments(t, fmt.Sprintf("/%c%c-kov%d/%s", 'a'+i%26, 'a'+i/3, i, rest)), 200, 2)
			l.Observe("GET", segments(t, fmt.Sprintf("/repos/%c%c-kov%d/%s", 'a'+i%26, 'a'+i/3, i, rest)), 200, 2)
		}
	}
	m := l.Matcher()
	for path, want := range map[string]string{
		"/someone-else/issues":       "/someone-else/issues",
		"/aa-kov0/issues":            "/{name}/issues",
		"/repos/someone-else/issues": "/repos/{repo}/issues",
	} {
		text, _ := m.Infer(segments(t, path), 404)
		require.Equal(t, want, text)
	}
	tm, novel := m.Match(segments(t, "/someone-else/issues"))
	require.NotNil(t, tm)
	require.True(t, novel)
	_, novel = m.Match(segments(t, "/repos/someone-else/issues"))
	require.False(t, novel)
}

func TestAFloodStaysUnderItsBudgetAndIsCounted(t *testing.T) {
	l := New(Config{MaxChildren: 64, MaxNodes: 2000})
	r := rand.New(rand.NewPCG(1, 2))
	const n = 100_000
	p := redact.NewPaths(redact.PathConfig{Names: redact.NamesClear})
	var segs []event.Segment
	for range n {
		path := fmt.Appendf(nil, "/%c%x", 'g'+rune(r.IntN(10)), r.Uint64()>>20)
		for range r.IntN(4) {
			path = fmt.Appendf(path, "/%c%x", 'g'+rune(r.IntN(10)), r.Uint64()>>20)
		}
		segs, _ = p.Path(segs[:0], path)
		l.Observe("GET", segs, 200, 1)
		require.LessOrEqual(t, l.Nodes(), 2001)
	}
	var kept uint64
	l.each(0, func(i uint32) {
		if e := l.nodes[i].end; e != 0 {
			for _, k := range l.ends[e] {
				kept += k
			}
		}
	})
	require.EqualValues(t, n, kept+l.Lost().Calls, "every call is kept or counted as lost")
}

func TestAFloodOfOnePlaceLeavesTheRestAndTheStateIndependentOfTheOrder(t *testing.T) {
	var paths []string
	for i := range 3000 {
		paths = append(paths, fmt.Sprintf("/search/gq%dzx", i))
	}
	for range 5 {
		paths = append(paths, "/users", "/orders/latest", "/search/popular/today")
	}
	var first []byte
	for seed := range uint64(3) {
		rand.New(rand.NewPCG(seed, 9)).Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
		l := New(Config{MaxChildren: 128})
		for _, p := range paths {
			l.Observe("GET", segments(t, p), 200, 1)
		}
		// what was cut while it lasted depends on the order, what is kept does not
		l.lost.Words = 0
		if first == nil {
			first = state(t, l)
		}
		require.True(t, bytes.Equal(first, state(t, l)))
		tm, _ := l.Matcher().Match(segments(t, "/orders/latest"))
		require.NotNil(t, tm)
		require.Equal(t, "/orders/latest", tm.Text)
	}
}

func TestADamagedStateIsRefused(t *testing.T) {
	for _, rs := range traffic(t, redact.NamesClear) {
		b := state(t, learn(rs[:min(len(rs), 40)]))
		for i := range b {
			require.ErrorIs(t, New(Config{}).UnmarshalBinary(b[:i]), ErrState)
		}
		require.ErrorIs(t, New(Config{}).UnmarshalBinary(append(slices.Clone(b), 0)), ErrState)
		break
	}
}

func FuzzUnmarshal(f *testing.F) {
	l := New(Config{})
	l.Observe("GET", segments(f, "/users/42/a.b/report-2026-11-24.pdf"), 200, 3)
	l.Observe("POST", segments(f, "/users/"), 200, 1)
	f.Add(state(f, l))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := New(Config{MaxNodes: 500, MaxChildren: 16})
		if l.UnmarshalBinary(b) != nil {
			return
		}
		if l.Nodes() > 501 {
			t.Fatalf("%d nodes", l.Nodes())
		}
		l.Matcher()
		again := New(Config{MaxNodes: 500, MaxChildren: 16})
		if err := again.UnmarshalBinary(state(t, l)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(state(t, l), state(t, again)) {
			t.Fatal("a state changes when it is saved and read")
		}
	})
}

func TestMatchAllocatesNothing(t *testing.T) {
	for _, rs := range traffic(t, redact.NamesClear) {
		m := learn(rs).Matcher()
		require.Zero(t, testing.AllocsPerRun(100, func() { m.Match(rs[0].segs) }))
		break
	}
}

func TestTheShippedModelIsValid(t *testing.T) {
	m, err := parseModel(modelFile)
	require.NoError(t, err)
	require.Greater(t, len(m.second.roots), 50)
	require.Less(t, len(modelFile), 500<<10)
	for _, cut := range []int{0, 10, len(modelMagic) + 5, len(modelFile) - 1} {
		_, err := parseModel(modelFile[:cut])
		require.Error(t, err)
	}
}

func TestAHundredThousandPathsIn500ServicesTakeLessThan64MB(t *testing.T) {
	p := redact.NewPaths(redact.PathConfig{Names: redact.NamesClear, Key: [16]byte{1}})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ls := make([]*Learner, 500)
	ms := make([]*Matcher, 500)
	var segs []event.Segment
	for s := range ls {
		ls[s] = New(Config{})
		for k := range 200 {
			segs, _ = p.Path(segs[:0], fmt.Appendf(nil, "/api/v%d/svc%dthing/owner-%c%c/repo%dx/issues", s%3, k%20, 'a'+k%26, 'a'+s%26, k))
			ls[s].Observe("GET", segs, 200, 1)
		}
		ms[s] = ls[s].Matcher()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%.1f MB", float64(after.HeapAlloc-before.HeapAlloc)/1e6)
	require.Less(t, after.HeapAlloc-before.HeapAlloc, uint64(64e6))
	runtime.KeepAlive(ls)
	runtime.KeepAlive(ms)
}

func BenchmarkMatch(b *testing.B) {
	all := traffic(b, redact.NamesClear)
	type one struct {
		m    *Matcher
		segs []event.Segment
	}
	var list []one
	for _, rs := range all {
		m := learn(rs).Matcher()
		for i := range rs {
			list = append(list, one{m, rs[i].segs})
		}
	}
	b.ReportAllocs()
	hits := 0
	for i := 0; b.Loop(); i++ {
		o := &list[i%len(list)]
		if t, _ := o.m.Match(o.segs); t != nil {
			hits++
		}
	}
	if hits == 0 {
		b.Fatal("nothing matched")
	}
}

func BenchmarkSplitAndMatch(b *testing.B) {
	all := traffic(b, redact.NamesClear)
	p := redact.NewPaths(redact.PathConfig{Names: redact.NamesClear, Key: [16]byte{7}})
	type one struct {
		m    *Matcher
		path []byte
	}
	var list []one
	for _, rs := range all {
		m := learn(rs).Matcher()
		for i := range rs {
			list = append(list, one{m, []byte(rs[i].Path)})
		}
	}
	var segs []event.Segment
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		o := &list[i%len(list)]
		segs, _ = p.Path(segs[:0], o.path)
		o.m.Match(segs)
	}
}

func BenchmarkObserve(b *testing.B) {
	all := traffic(b, redact.NamesClear)
	var list []request
	for _, rs := range all {
		list = append(list, rs...)
	}
	l := New(Config{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := &list[i%len(list)]
		l.Observe(r.Method, r.segs, r.Status, 1)
	}
}

func BenchmarkMatcher(b *testing.B) {
	for name, rs := range traffic(b, redact.NamesClear) {
		l := learn(rs)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				l.Matcher()
			}
			b.ReportMetric(float64(l.Nodes()), "nodes")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(l.Nodes()), "ns/node")
		})
	}
}
