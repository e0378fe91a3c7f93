package inventory

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const start = event.Time(1763978400e9)

// word is a path segment as an agent sends it; a number is a typed one.
func word(s string) event.Segment {
	token := hashString(99, s)
	if _, err := strconv.Atoi(s); err == nil {
		return event.Segment{Kind: event.KindInteger, Token: token}
	}
	shape := event.Shape{Len: uint8(min(len(s), 255)), Pieces: 1}
	digit := false
	for i, c := range s {
		if d := c >= '0' && c <= '9'; d {
			shape.Digits++
			digit = true
		} else {
			shape.Lower++
			if digit {
				shape.Pieces++
			}
			if strings.ContainsRune("aeiou", c) {
				shape.Vowels++
			}
			digit = false
		}
		if i > 0 && (c >= '0' && c <= '9') != (s[i-1] >= '0' && s[i-1] <= '9') {
			shape.Turns++
		}
	}
	return event.Segment{Kind: event.KindWord, Text: s, Token: token, Shape: shape}
}

func path(parts ...string) (segs []event.Segment) {
	for _, p := range parts {
		segs = append(segs, word(p))
	}
	return segs
}

// call is a plausible call; n makes it one of many.
func call(n int, method string, status int, parts ...string) event.Call {
	return event.Call{ID: fmt.Sprintf("%s-%d", method, n), Time: start.Add(time.Duration(n) * time.Millisecond), Service: "shop:80", Side: event.SideServer,
		Protocol: event.HTTP11, Encryption: event.Plaintext, Method: method, Host: "shop.example", Path: path(parts...), Status: status,
		Client: event.Peer{Address: "10.0.0." + strconv.Itoa(n%5)}, Server: event.Peer{Address: "10.0.1.1", Port: 80},
		DurationNS: int64(1000 * (n%7 + 1)), RequestBytes: 10, ResponseBytes: int64(n % 100)}
}

// traffic is a mix with everything that a Call can carry, some lasting calls and some Tallies in it.
func traffic(rnd *rand.Rand, n int) []event.Call {
	var list []event.Call
	services := []string{"shop:80", "pay:443", "blog:8080"}
	statuses := []int{200, 200, 200, 201, 404, 500, 0, 401}
	for i := range n {
		c := call(i, []string{"GET", "GET", "POST"}[rnd.IntN(3)], statuses[rnd.IntN(len(statuses))],
			[][]string{{"orders", strconv.Itoa(rnd.IntN(50))}, {"orders"}, {"users", strconv.Itoa(rnd.IntN(9)), "cart"}, {}}[rnd.IntN(4)]...)
		c.ID = fmt.Sprintf("call-%d", i)
		c.Service = services[rnd.IntN(3)]
		c.Params = []event.Param{{In: event.InQuery, Name: "page", Kind: event.KindInteger, Hash: strconv.Itoa(rnd.IntN(20))}}
		c.Auth = event.Auth{Kind: event.AuthBearerJWT, Credential: "cred" + strconv.Itoa(rnd.IntN(4)), Issuer: "https://id", Scopes: []string{"read"}}
		c.Data.Response = []event.DataClass{{Class: "email", At: "$.contact", Count: 1 + rnd.IntN(3)}}
		if rnd.IntN(20) == 0 {
			c.Signs = []string{"sqli"}
		}
		if rnd.IntN(30) == 0 {
			c.Probe = event.HealthProbe
		}
		switch rnd.IntN(10) {
		case 0: // a Tally
			c.Count, c.Until = uint64(2+rnd.IntN(100)), c.Time.Add(time.Second)
			c.Sums = &event.Sketch{}
			c.Sums.Latency.Add(5000, c.Count)
			list = append(list, c)
		case 1: // one that lasts
			for rev := range uint32(3) {
				d := c.Clone()
				d.Rev, d.State = rev, event.Progress
				d.ResponseBytes, d.DurationNS = int64(100*rev), int64(1000*(rev+1))
				if rev == 0 {
					d.State, d.Status = event.Open, 0
				}
				if rev == 2 {
					d.State = event.Done
				}
				list = append(list, d)
			}
		default:
			list = append(list, c)
		}
	}
	return list
}

// everything is all that a Catalog shows, as JSON.
func everything(t *testing.T, c *Catalog) string {
	t.Helper()
	c.Relearn(true)
	services, _ := c.Services(Query{})
	endpoints, _ := c.Endpoints(Query{Probes: true})
	var details []Detail
	for _, e := range endpoints {
		d, err := c.Endpoint(e.ID, "")
		require.NoError(t, err)
		details = append(details, d)
	}
	b, err := json.MarshalIndent([]any{services, endpoints, details}, "", " ")
	require.NoError(t, err)
	return string(b)
}

func apply(c *Catalog, calls []event.Call) {
	for i := range calls {
		c.Apply(&calls[i])
	}
}

func TestApplyInAnyOrderTwiceAndSplitGivesTheSameCatalog(t *testing.T) {
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		calls := traffic(rnd, 400)
		one := New(Config{})
		apply(one, calls)
		want := everything(t, one)

		shuffled := slices.Clone(calls)
		rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		other := New(Config{})
		apply(other, shuffled[:100])
		other.Relearn(false)
		apply(other, shuffled)
		other.Relearn(true)
		apply(other, calls)
		require.Equal(t, want, everything(t, other), "seed %d", seed)
		require.Equal(t, one.Stats().Calls, other.Stats().Calls)
	}
}

func TestCountsAreExactAgainstAPlainCount(t *testing.T) {
	calls := traffic(rand.New(rand.NewPCG(7, 7)), 2000)
	last := map[string]event.Call{}
	for _, c := range calls {
		if old, ok := last[c.ID]; !ok || c.Rev > old.Rev {
			last[c.ID] = c
		}
	}
	want := map[string]uint64{}
	var total, probes uint64
	for _, c := range last {
		if c.Probe != event.NoProbe {
			probes += c.Calls()
			continue
		}
		total += c.Calls()
		want[fmt.Sprintf("%s %s", c.Service, statusWord(uint64(c.Status)))] += c.Calls()
	}
	c := New(Config{})
	apply(c, calls)
	got := map[string]uint64{}
	rows, _ := c.Endpoints(Query{})
	var sum uint64
	for _, r := range rows {
		sum += r.Calls
		for s, n := range r.Statuses {
			got[r.Service+" "+s] += n
		}
	}
	require.Equal(t, want, got)
	require.Equal(t, total, sum)
	require.Equal(t, total+probes, c.Stats().Calls)
}

func TestALastingCallCountsOnceWithItsHighestRevision(t *testing.T) {
	c := New(Config{})
	x := call(1, "GET", 200, "events")
	x.State, x.ResponseBytes = event.Open, 0
	c.Apply(&x)
	x.Rev, x.State, x.ResponseBytes = 3, event.Progress, 300
	c.Apply(&x)
	x.Rev, x.ResponseBytes = 2, 200 // late
	c.Apply(&x)
	rows, _ := c.Endpoints(Query{})
	require.EqualValues(t, 1, rows[0].Calls)
	require.EqualValues(t, 300, rows[0].ResponseBytes)
	x.Rev, x.State, x.ResponseBytes, x.Status = 4, event.Done, 400, 500
	c.Apply(&x)
	x.Rev, x.State, x.ResponseBytes = 5, event.Progress, 999 // after the end: wrong, and ignored
	c.Apply(&x)
	rows, _ = c.Endpoints(Query{})
	require.EqualValues(t, 1, rows[0].Calls)
	require.EqualValues(t, 400, rows[0].ResponseBytes)
	require.Equal(t, map[string]uint64{"500": 1}, rows[0].Statuses)
}

func TestTiersComeFromTheAnswersAndRareEndpointsAreKept(t *testing.T) {
	c := New(Config{})
	for i, s := range []int{404, 0, 405} {
		x := call(i, "GET", s, "nothing")
		c.Apply(&x)
	}
	for i, s := range []int{404, 403, 500} {
		x := call(10+i, "GET", s, "broken")
		c.Apply(&x)
	}
	x := call(20, "GET", 204, "rare")
	changes := slices.Clone(c.Apply(&x))
	require.Equal(t, []Change{{Kind: EndpointAdded, Service: "shop:80", Endpoint: changes[0].Endpoint, Method: "GET", Template: "/rare", Tier: Confirmed, Time: x.Time}}, changes)
	x = call(21, "GET", 200, "nothing")
	changes = slices.Clone(c.Apply(&x))
	require.Len(t, changes, 1)
	require.Equal(t, EndpointRaised, changes[0].Kind)
	rows, _ := c.Endpoints(Query{})
	got := map[string]string{}
	for _, r := range rows {
		got[r.Template] = r.Tier.String()
		require.Equal(t, "undeclared", r.State)
	}
	require.Equal(t, map[string]string{"/nothing": "confirmed", "/broken": "failed", "/rare": "confirmed"}, got)
}

func TestAHostIsNotedWhenItGotAnAnswerOtherThan404And421(t *testing.T) {
	c := New(Config{})
	for i, s := range []int{404, 421, 0, 200} {
		x := call(i, "GET", s, "a")
		x.Host = fmt.Sprintf("host%d", i)
		c.Apply(&x)
	}
	rows, _ := c.Services(Query{})
	require.Equal(t, []string{"host3"}, rows[0].Hosts)
}

func TestProbesAreCountedApartAndHiddenUnlessAskedFor(t *testing.T) {
	c := New(Config{})
	x := call(1, "GET", 200, "healthz")
	x.Probe = event.HealthProbe
	c.Apply(&x)
	rows, n := c.Endpoints(Query{})
	require.Empty(t, rows)
	require.Zero(t, n)
	rows, _ = c.Endpoints(Query{Probes: true})
	require.EqualValues(t, 0, rows[0].Calls)
	require.EqualValues(t, 1, rows[0].Probes)
	services, _ := c.Services(Query{})
	require.EqualValues(t, 1, services[0].Probes)
	require.Zero(t, services[0].Calls)
}

func TestLearnedTemplatesRegroupThePast(t *testing.T) {
	c := New(Config{})
	n := 0
	for i := range 60 {
		for _, tail := range [][]string{{}, {"profile"}, {"orders"}} {
			n++
			x := call(n, "GET", 200, append([]string{"users", fmt.Sprintf("x%dq%dz", i*7919%1000, i)}, tail...)...)
			c.Apply(&x)
		}
	}
	rows, _ := c.Endpoints(Query{})
	require.Equal(t, 180, len(rows), "before learning each word is its own")
	learned := c.Relearn(false)
	require.Len(t, learned, 1)
	require.Equal(t, "shop:80", learned[0].Service)
	rows, _ = c.Endpoints(Query{})
	require.Equal(t, 3, len(rows))
	for _, r := range rows {
		require.EqualValues(t, 60, r.Calls)
		require.Equal(t, 60, r.Paths)
		require.Contains(t, r.Template, "/users/{")
	}
	d, err := c.Endpoint("get "+rows[0].Template, "shop:80")
	require.NoError(t, err)
	require.InDelta(t, 60, d.Params[0].Distinct, 12)
	x := call(1000, "GET", 200, "users", "somebody9", "orders")
	require.Empty(t, c.Apply(&x), "a new value of a known parameter is nothing new")
}

func TestWhatComesWithoutAPathKeepsTheTemplateThatItCameWith(t *testing.T) {
	c := New(Config{})
	for i, text := range []string{"(other paths)", "*", "shop.example:443", "/orders/{orderId}", ""} {
		x := call(i, "GET", 200)
		x.Path, x.Template = nil, text
		c.Apply(&x)
		y := call(10+i, "GET", 200, "word", fmt.Sprintf("w%d", i))
		c.Apply(&y)
	}
	c.Relearn(true)
	var got []string
	rows, _ := c.Endpoints(Query{})
	for _, r := range rows {
		if !strings.HasPrefix(r.Template, "/word") {
			got = append(got, r.Template)
		}
	}
	require.Equal(t, []string{"(other paths)", "*", "/", "/orders/{orderId}", "shop.example:443"}, got)
}

func TestAFloodOfPathsCostsDetailAndNeitherCountsNorMemory(t *testing.T) {
	c := New(Config{MaxBytes: 4 << 20, MaxLeaves: 2000, MaxAttempted: 300})
	const flood, honest = 100_000, 1000
	for i := range flood {
		status := 404
		if i%3 == 0 {
			status = 200
		}
		x := call(i, "GET", status, fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i*7))
		x.Host, x.Client.Address = fmt.Sprintf("h%d", i), fmt.Sprintf("2001:db8::%x", i)
		x.Auth = event.Auth{Kind: event.AuthAPIKey, Credential: fmt.Sprintf("c%d", i)}
		x.Params = []event.Param{{In: event.InQuery, Name: fmt.Sprintf("p%d", i)}}
		c.Apply(&x)
		if i%(flood/honest) == 0 {
			y := call(flood+i, "GET", 200, "honest")
			c.Apply(&y)
		}
		if i%20_000 == 0 {
			c.Relearn(false)
		}
	}
	st := c.Stats()
	require.EqualValues(t, flood+honest, st.Calls)
	require.LessOrEqual(t, st.Leaves, 2001)
	require.Less(t, st.Bytes, int64(6<<20))
	require.Positive(t, st.Cut["paths"]+st.Cut["leaves_merged"])
	rows, _ := c.Endpoints(Query{})
	var sum, ok uint64
	for _, r := range rows {
		sum += r.Calls
		ok += r.Statuses["200"]
		if r.Template == "/honest" {
			require.EqualValues(t, honest, r.Calls)
		}
	}
	require.EqualValues(t, flood+honest, sum)
	require.EqualValues(t, (flood+2)/3+honest, ok)
	services, _ := c.Services(Query{})
	require.InEpsilon(t, flood, services[0].Callers, 0.25, "callers are estimated where the list is cut")
}

func TestAFloodOfServicesIsCountedTogether(t *testing.T) {
	c := New(Config{MaxServices: 10})
	for i := range 500 {
		x := call(i, "GET", 200, "a")
		x.Service = fmt.Sprintf("10.0.0.1:%d", i)
		c.Apply(&x)
	}
	rows, _ := c.Services(Query{})
	require.Len(t, rows, 11)
	var sum uint64
	for _, r := range rows {
		sum += r.Calls
	}
	require.EqualValues(t, 500, sum)
	require.EqualValues(t, 490, c.Stats().Cut["services"])
}

func TestApplyDoesNotAllocateForWhatIsKnown(t *testing.T) {
	c := New(Config{})
	x := call(1, "GET", 200, "users", "17", "orders")
	x.Auth = event.Auth{Kind: event.AuthBearerJWT, Credential: "abc", Issuer: "https://id"}
	x.Params = []event.Param{{In: event.InQuery, Name: "page", Hash: "1"}}
	x.ID = ""
	c.Apply(&x)
	require.Zero(t, testing.AllocsPerRun(1000, func() { c.Apply(&x) }))
}

func TestQueriesSelectOrderAndPage(t *testing.T) {
	c := New(Config{})
	apply(c, traffic(rand.New(rand.NewPCG(1, 1)), 500))
	all, total := c.Endpoints(Query{Sort: "-calls"})
	require.Len(t, all, total)
	require.True(t, slices.IsSortedFunc(all, func(a, b Endpoint) int { return compare(b.Calls, a.Calls) }))
	page, n := c.Endpoints(Query{Sort: "-calls", Limit: 3, Offset: 2})
	require.Equal(t, all[2:5], page)
	require.Equal(t, total, n)
	some, _ := c.Endpoints(Query{Service: "pay*"})
	require.NotEmpty(t, some)
	for _, e := range some {
		require.Equal(t, "pay:443", e.Service)
	}
	none, _ := c.Endpoints(Query{Since: start.Add(time.Hour)})
	require.Empty(t, none)
	none, _ = c.Endpoints(Query{State: "shadow"})
	require.Empty(t, none)
	require.ErrorContains(t, (&Query{Sort: "size"}).Check(), "want one of")
	require.ErrorContains(t, (&Query{State: "new"}).Check(), "want one of")
	_, err := c.Endpoint("GET /nope", "")
	require.ErrorIs(t, err, ErrNotFound)
	_, err = c.Endpoint("GET /orders", "")
	require.ErrorIs(t, err, ErrAmbiguous)
}

func TestRecordsPutBackGiveTheSameCatalog(t *testing.T) {
	one := New(Config{})
	apply(one, traffic(rand.New(rand.NewPCG(2, 2)), 600))
	want := everything(t, one)
	other := New(Config{})
	for more := true; more; {
		services, leaves, m, err := one.Changed(7)
		require.NoError(t, err)
		for _, s := range services {
			other.LoadService(s)
		}
		for _, l := range leaves {
			require.NoError(t, other.LoadLeaf(l))
		}
		more = m
	}
	require.Equal(t, want, everything(t, other))
	require.Equal(t, one.Stats().Calls, other.Stats().Calls)
	x := call(1, "GET", 200, "orders", "3")
	x.ID = "new"
	require.Empty(t, other.Apply(&x), "what comes next finds its leaf")
	_, leaves, _, err := other.Changed(100)
	require.NoError(t, err)
	require.Len(t, leaves, 1)
}

func BenchmarkApplyKnown(b *testing.B) {
	for _, kind := range []string{"plain", "rich"} {
		b.Run(kind, func(b *testing.B) {
			c := New(Config{})
			calls := make([]event.Call, 4096)
			for i := range calls {
				calls[i] = call(i, "GET", 200, "users", strconv.Itoa(i), "orders", []string{"open", "paid", "sent"}[i%3])
				if kind == "rich" {
					calls[i].Auth = event.Auth{Kind: event.AuthBearerJWT, Credential: "c" + strconv.Itoa(i%8), Issuer: "https://id", Algorithm: "RS256"}
					calls[i].Params = []event.Param{{In: event.InQuery, Name: "page", Hash: strconv.Itoa(i)}, {In: event.InQuery, Name: "size", Hash: "1"}}
					calls[i].RequestType, calls[i].ResponseType = "application/json", "application/json"
					calls[i].RequestHeaders = []string{"accept", "authorization", "host", "user-agent"}
					calls[i].ResponseHeaders = []string{"content-length", "content-type", "date", "server"}
				}
			}
			ids := make([]string, 1<<18)
			for i := range ids {
				ids[i] = strconv.Itoa(i)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				x := &calls[i&4095]
				x.ID = ids[i&(1<<18-1)]
				c.Apply(x)
				i++
			}
			if got := c.Stats().Calls; got == 0 {
				b.Fatal("nothing counted")
			}
		})
	}
}
