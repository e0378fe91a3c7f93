package fold

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-sensor/gnomon/agent/redact"
	"github.com/gnomon-sensor/gnomon/inventory/endpoint"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

const start = event.Time(1_764_000_000_000_000_000)

// taker keeps what leaves.
type taker struct {
	calls []event.Call
	full  bool
}

func (t *taker) Call(c *event.Call) { t.calls = append(t.calls, c.Clone()) }
func (t *taker) Full() bool         { return t.full }

func (t *taker) total() (n uint64) {
	for i := range t.calls {
		n += t.calls[i].Calls()
	}
	return n
}

// seg is a path segment: an integer for digits, else a word.
func seg(s string) event.Segment {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h = mix(mix(h, 1), 2)
	if s[0] >= '0' && s[0] <= '9' {
		return event.Segment{Kind: event.KindInteger, Token: h, Shape: event.Shape{Len: uint8(len(s)), Digits: uint8(len(s))}}
	}
	return event.Segment{Kind: event.KindWord, Text: s, Token: h, Shape: event.Shape{Len: uint8(len(s)), Lower: uint8(len(s)), Pieces: 1}}
}

func path(p string) (segs []event.Segment) {
	for s := range strings.SplitSeq(strings.TrimPrefix(p, "/"), "/") {
		segs = append(segs, seg(s))
	}
	return segs
}

// one makes a call; i tells it from others and moves time by 1 ms.
func one(i int, method, p string, status int) (*event.Call, event.ID, event.Time) {
	at := start + event.Time(i)*1e6
	c := &event.Call{Time: at, Service: "shop:8080", Protocol: event.HTTP11, Method: method, Path: path(p), Status: status, Host: "shop.example", RequestBytes: 10, ResponseBytes: int64(100 + i%7),
		FirstByteNS: 1000, DurationNS: int64(1000 + i), Client: event.Peer{Address: "10.0.0.7", Port: uint16(i)}, Encryption: event.Plaintext, Auth: event.Auth{Kind: event.AuthNone}}
	return c, event.ID{Hi: uint64(i) * 0x9e3779b97f4a7c15, Lo: uint16(i)}, at
}

func TestAQuietServiceLeavesCallByCall(t *testing.T) {
	out := new(taker)
	f := New(Config{}, out)
	for i := range 15 {
		f.Add(one(i*200, "GET", fmt.Sprintf("/orders/%d", i), 200))
	}
	require.Len(t, out.calls, 15)
	require.Equal(t, "/orders/{orderId}", out.calls[0].Template)
	require.Equal(t, event.InPath, out.calls[0].Params[0].In)
	require.Len(t, out.calls[0].Params[0].Hash, 10)
	require.NotEqual(t, out.calls[0].Params[0].Hash, out.calls[1].Params[0].Hash)
	require.Len(t, out.calls[0].ID, 16)
	f.Flush(start + 1e12)
	require.Len(t, out.calls, 15)
}

func TestTheHotRestIsOneTally(t *testing.T) {
	out := new(taker)
	f := New(Config{Calls: 1, Novel: 10}, out)
	var bytes int64
	for i := range 1000 {
		c, id, at := one(i, "GET", fmt.Sprintf("/orders/%d", i%50), 200)
		if i >= 2 { // the first one is new, the second in the budget
			bytes += c.ResponseBytes
		}
		f.Add(c, id, at)
	}
	f.Flush(start + 1e9)
	require.Len(t, out.calls, 3)
	tally := out.calls[2]
	require.EqualValues(t, 998, tally.Count)
	require.EqualValues(t, 9980, tally.RequestBytes)
	require.Equal(t, bytes, tally.ResponseBytes)
	require.EqualValues(t, 1000, out.total())
	require.Equal(t, start+2e6, tally.Time)
	require.Equal(t, start+999e6, tally.Until)
	require.Zero(t, tally.Client.Port)
	require.Zero(t, tally.Path[1].Token, "one of many")
	require.Equal(t, []event.Param{{In: event.InPath, Name: "orderId", Kind: event.KindInteger}}, tally.Params)
	require.EqualValues(t, 998, tally.Sums.Latency.Count())
	require.InDelta(t, 1500, tally.DurationNS, 5)
	require.Len(t, tally.Sums.Distinct, 1)
	require.Equal(t, "1", tally.Sums.Distinct[0].Name, "the path's segment")
	require.InDelta(t, 50, tally.Sums.Distinct[0].Values.Count(), 8)
	require.Equal(t, Stats{Calls: 1000, Whole: 2, Folded: 998, Tallies: 1, Entries: 1, Bytes: f.Stats().Bytes}, f.Stats())
}

func TestWhatIsNewLeavesInFull(t *testing.T) {
	out := new(taker)
	f := New(Config{Calls: 1}, out)
	add := func(i int, change func(*event.Call)) int {
		c, id, at := one(i, "GET", "/orders/7", 200)
		change(c)
		before := len(out.calls)
		f.Add(c, id, at)
		return len(out.calls) - before
	}
	same := func(*event.Call) {}
	require.Equal(t, 1, add(0, same), "new")
	require.Equal(t, 1, add(1, same), "budget")
	require.Equal(t, 0, add(2, same), "hot")
	for what, change := range map[string]func(*event.Call){
		"method": func(c *event.Call) { c.Method = "PUT" }, "path": func(c *event.Call) { c.Path = path("/carts/7") }, "status": func(c *event.Call) { c.Status = 503 },
		"caller": func(c *event.Call) { c.Client.Address = "10.0.0.8" }, "workload": func(c *event.Call) { c.Client.Workload = "host/n/w" }, "credential": func(c *event.Call) { c.Auth.Credential = "aa" },
		"auth": func(c *event.Call) { c.Auth.Kind = event.AuthBasic }, "encryption": func(c *event.Call) { c.Encryption = event.TLS }, "parameter": func(c *event.Call) { c.Params = []event.Param{{In: event.InQuery, Name: "q"}} },
		"operation": func(c *event.Call) { c.Operations = []string{"getUser"} }, "signs": func(c *event.Call) { c.Signs = []string{"sqli"} }, "loss": func(c *event.Call) { c.Lost = &event.Lost{Bytes: 1, Reason: "missing"} },
		"probe": func(c *event.Call) { c.Probe = event.HealthProbe }, "type": func(c *event.Call) { c.ResponseType = "text/html" }, "host": func(c *event.Call) { c.Host = "other" },
	} {
		require.Equal(t, 1, add(3, change), what)
		require.Equal(t, 0, add(4, same), what)
	}
	require.Equal(t, 1, add(5, func(c *event.Call) { c.Params = []event.Param{{In: event.InQuery, Name: "p", Kind: event.KindInteger}} }))
	require.Equal(t, 0, add(6, func(c *event.Call) { c.Params = []event.Param{{In: event.InQuery, Name: "p", Kind: event.KindInteger}} }))
	require.Equal(t, 1, add(7, func(c *event.Call) { c.Params = []event.Param{{In: event.InQuery, Name: "p", Kind: event.KindEmail}} }), "another kind of value")
}

func TestCallsThatLastAreInNoTally(t *testing.T) {
	out := new(taker)
	f := New(Config{Calls: 1, Novel: 1}, out)
	for i := range 100 {
		c, id, at := one(i, "GET", "/events", 200)
		for rev, state := range []event.State{event.Open, event.Progress, event.Done} {
			c.Rev, c.State, c.ID = uint32(rev), state, ""
			f.Add(c, id, at)
		}
	}
	f.Flush(start + 1e12)
	require.Len(t, out.calls, 300)
	ids := map[string]int{}
	for i := range out.calls {
		require.Zero(t, out.calls[i].Count)
		ids[out.calls[i].ID]++
	}
	require.Len(t, ids, 100)
	require.EqualValues(t, 100, f.Stats().Whole)
}

// random makes a stream with much variety; sum counts it plainly.
func random(seed uint64, n int, add func(*event.Call, event.ID, event.Time)) (sum map[string]uint64, bytes int64) {
	r := rand.New(rand.NewPCG(seed, 1))
	sum = map[string]uint64{}
	for i := range n {
		status := []int{200, 200, 200, 201, 404, 500, 0}[r.IntN(7)]
		p := []string{"/a", "/a/%d", "/b/%d/c", "/w%d"}[r.IntN(4)]
		if strings.Contains(p, "%") {
			p = fmt.Sprintf(p, r.IntN(1+int(seed)*300))
		}
		c, id, at := one(i*3, []string{"GET", "POST"}[r.IntN(2)], p, status)
		c.Service = fmt.Sprintf("s%d", r.IntN(1+int(seed)))
		c.Client.Address = fmt.Sprintf("10.0.0.%d", r.IntN(20))
		if r.IntN(4) == 0 {
			c.Auth.Credential = fmt.Sprint(r.IntN(1000))
		}
		if r.IntN(9) == 0 {
			c.Signs = []string{"sqli"}
		}
		if r.IntN(50) == 0 {
			c.Params = append(c.Params, event.Param{In: event.InQuery, Name: fmt.Sprintf("p%d", r.IntN(100)), Kind: event.Kind(r.IntN(5)), Hash: "00000000ff"})
		}
		sum[fmt.Sprintf("%s %d", c.Service, status)]++
		bytes += c.RequestBytes + c.ResponseBytes
		add(c, id, at)
	}
	return sum, bytes
}

func TestTotalsPerServiceAndStatusAreExactWhateverTheTrafficIs(t *testing.T) {
	for _, cfg := range []Config{{}, {Calls: 1, Novel: 1, Samples: 1}, {MaxKeys: 4, MaxRoutes: 4}, {MaxBytes: 60_000}, {Interval: time.Millisecond}, {All: true}, {Idle: 1, Interval: 50 * time.Millisecond}} {
		for seed := range uint64(6) {
			out := new(taker)
			f := New(cfg, out)
			want, bytes := random(seed, 3000, f.Add)
			f.Flush(start + 1e12)
			got := map[string]uint64{}
			ids := map[string]bool{}
			for i := range out.calls {
				c := &out.calls[i]
				got[fmt.Sprintf("%s %d", c.Service, c.Status)] += c.Calls()
				bytes -= c.RequestBytes + c.ResponseBytes
				require.False(t, ids[c.ID], "an id twice: the inventory would count it once")
				ids[c.ID] = true
			}
			require.Equal(t, want, got, "%+v seed %d", cfg, seed)
			require.Zero(t, bytes)
			st := f.Stats()
			require.Equal(t, st.Calls, st.Whole+st.Folded)
		}
	}
}

func TestTheSameCallsGiveTheSameOutput(t *testing.T) {
	run := func() (b []byte) {
		out := new(taker)
		f := New(Config{Calls: 2, Novel: 3, MaxKeys: 100}, out)
		random(5, 4000, f.Add)
		f.Flush(start + 1e12)
		for i := range out.calls {
			b = append(out.calls[i].AppendJSON(b), '\n')
		}
		return b
	}
	require.Equal(t, string(run()), string(run()))
}

func TestWhichCallsAreSamplesDoesNotDependOnTheirOrder(t *testing.T) {
	sampled := func(order []int) map[string]bool {
		out := new(taker)
		f := New(Config{Calls: 1, Novel: 1, Samples: 4}, out)
		for _, i := range order {
			c, id, _ := one(i, "GET", "/a", 500)
			c.Client.Port = 0
			f.Add(c, id, start)
		}
		before := len(out.calls)
		f.Flush(start)
		got := map[string]bool{}
		for _, c := range out.calls[before:] {
			if c.Count == 0 {
				got[c.ID] = true
			}
		}
		return got
	}
	order := make([]int, 200)
	for i := range order {
		order[i] = i
	}
	a := sampled(order)
	require.Len(t, a, 4)
	rand.New(rand.NewPCG(1, 2)).Shuffle(198, func(i, j int) { order[i+2], order[j+2] = order[j+2], order[i+2] })
	require.Equal(t, a, sampled(order))
}

func TestAScanDoesNotHideANewEndpoint(t *testing.T) {
	out := new(taker)
	f := New(Config{MaxKeys: 100, Novel: 50}, out)
	for i := range 5000 {
		f.Add(one(i%1000, "GET", fmt.Sprintf("/w%d", i), 404))
	}
	c, id, at := one(1000, "GET", "/new", 200)
	before := len(out.calls)
	f.Add(c, id, at)
	require.Len(t, out.calls, before+1)
	require.Equal(t, "/new", out.calls[before].Template)
	f.Flush(at)
	for i := range out.calls[before+1:] {
		require.Equal(t, 404, out.calls[before+1+i].Status)
	}
	f.Add(c, id, at)
	require.NotNil(t, f.entries[f.key(f.last, f.route(f.last, c), c)], "it has an entry of its own")
}

func TestAFloodIsBoundedInMemory(t *testing.T) {
	for what, change := range map[string]func(i int, c *event.Call){
		"paths":       func(i int, c *event.Call) { c.Path = path(fmt.Sprintf("/x/w%d", i)) },
		"hosts":       func(i int, c *event.Call) { c.Host = fmt.Sprintf("h%d.example", i) },
		"callers":     func(i int, c *event.Call) { c.Client.Address = fmt.Sprintf("2001:db8::%x", i) },
		"credentials": func(i int, c *event.Call) { c.Auth.Credential = fmt.Sprint(i) },
		"parameters":  func(i int, c *event.Call) { c.Params = []event.Param{{In: event.InQuery, Name: fmt.Sprintf("p%d", i)}} },
		"methods":     func(i int, c *event.Call) { c.Method = fmt.Sprintf("M%d", i) },
		"services":    func(i int, c *event.Call) { c.Service = fmt.Sprintf("s%d", i) },
	} {
		n := 0
		f := New(Config{MaxBytes: 1 << 20, MaxKeys: 512, MaxRoutes: 512, MaxServices: 256}, counter{&n})
		for i := range 20_000 {
			c, id, at := one(i, "GET", "/a", 200)
			change(i, c)
			f.Add(c, id, at)
		}
		f.Flush(start + 1e12)
		require.LessOrEqual(t, f.bytes, 5<<19, what)
		require.LessOrEqual(t, len(f.services), 257, what)
		routes := 0
		for _, s := range f.services {
			routes += len(s.routes)
			require.LessOrEqual(t, s.keys, 1024, what)
		}
		require.LessOrEqual(t, routes, 512, what)
		require.Equal(t, 20_000, n, what)
		if what != "services" {
			require.Positive(t, f.Stats().Coarse, what)
		}
	}
}

type counter struct{ n *int }

func (c counter) Call(x *event.Call) { *c.n += int(x.Calls()) }
func (c counter) Full() bool         { return false }

func TestWhenTheWayOutIsFullCallsAreCounted(t *testing.T) {
	out := &taker{full: true}
	f := New(Config{}, out)
	for i := range 100 {
		f.Add(one(i, "GET", fmt.Sprintf("/orders/%d", i), 200))
	}
	require.Empty(t, out.calls)
	f.Flush(start + 1e12)
	require.Len(t, out.calls, 1)
	require.EqualValues(t, 100, out.total())
}

func TestWordsOfALearnedParameterShareATally(t *testing.T) {
	paths := redact.NewPaths(redact.PathConfig{Names: redact.NamesClear}) // the learner judges by the shapes that real segments have
	pathOf := func(i int) []event.Segment {
		segs, _ := paths.Path(nil, fmt.Appendf(nil, "/users/x%dq%dz/orders", i*7919%1000, i))
		return segs
	}
	l := endpoint.New(endpoint.Config{})
	for i := range 400 {
		l.Observe("GET", pathOf(i), 200, 3)
	}
	tpl := new(Templates)
	tpl.Set("shop:8080", l.Matcher())
	m, _ := l.Matcher().Match(pathOf(0))
	require.NotNil(t, m)
	require.Len(t, m.Params, 1, "the learner judges these words a parameter")
	out := new(taker)
	f := New(Config{Calls: 1, Novel: 1, Templates: tpl}, out)
	for i := range 2000 {
		c, id, at := one(i, "GET", "/users", 200)
		c.Path = pathOf(i % 400)
		f.Add(c, id, at)
	}
	f.Flush(start + 1e12)
	require.EqualValues(t, 2000, out.total())
	require.Less(t, len(out.calls), 2*(maxWords+3), "two intervals of as many Tallies as words are kept apart")
	require.Contains(t, out.calls[5].Template, "{")
}

func TestAKnownCallCostsNoAllocation(t *testing.T) {
	n := 0
	f := New(Config{Calls: 1, Novel: 1, Interval: time.Hour}, counter{&n})
	calls := make([]*event.Call, 64)
	for i := range calls {
		calls[i], _, _ = one(i, "GET", fmt.Sprintf("/orders/%d/items", i), 200)
		calls[i].Params = []event.Param{{In: event.InQuery, Name: "page", Kind: event.KindInteger, Hash: fmt.Sprintf("%010x", i)}, {In: event.InQuery, Name: "limit", Kind: event.KindInteger, Hash: "00000000ff"}}
	}
	i := 0
	var c event.Call
	add := func() {
		c = *calls[i%64]
		f.Add(&c, event.ID{Hi: uint64(i)}, start)
		i++
	}
	for range 200 {
		add()
	}
	require.Zero(t, testing.AllocsPerRun(500, add))
}

func BenchmarkAdd(b *testing.B) {
	for _, all := range []bool{false, true} {
		b.Run(fmt.Sprintf("all=%v", all), func(b *testing.B) {
			n := 0
			f := New(Config{All: all}, counter{&n})
			calls := make([]*event.Call, 256)
			for i := range calls {
				calls[i], _, _ = one(i, "GET", fmt.Sprintf("/api/v1/orders/%d/items", i), 200+i%2)
				calls[i].Params = []event.Param{{In: event.InQuery, Name: "page", Kind: event.KindInteger, Hash: fmt.Sprintf("%010x", i%40)}, {In: event.InQuery, Name: "limit", Kind: event.KindInteger, Hash: "00000000ff"}}
			}
			b.ReportAllocs()
			for i := range b.N {
				c := calls[i%256]
				c.ID = ""
				f.Add(c, event.ID{Hi: uint64(i)}, start+event.Time(i)*10_000)
			}
			f.Flush(start)
			require.Equal(b, b.N, n)
		})
	}
}
