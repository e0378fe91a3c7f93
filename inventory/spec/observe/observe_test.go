package observe

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// sample is a small honest service's calls, with some that were rejected and a Tally.
func sample(n int, r *rand.Rand) []event.Call {
	calls := make([]event.Call, n)
	for i := range calls {
		c := &calls[i]
		*c = event.Call{ID: fmt.Sprint(i), Time: event.Time(1000 + i), Method: "GET", Status: 200, ResponseType: "application/json",
			RequestHeaders: []string{"accept", "x-tenant"}, ResponseHeaders: []string{"etag"}, Auth: event.Auth{Kind: event.AuthBearerJWT},
			Params: []event.Param{{In: event.InQuery, Name: "order", Kind: event.KindWord, Word: []string{"asc", "desc"}[r.IntN(2)]},
				{In: event.InPath, Name: "id", Kind: event.KindInteger}},
			ResponseBody: &event.Body{Bodies: 1, Fields: []event.Field{{At: "$", Types: event.JSONObject, N: 1, Objects: 1}, {At: "$.id", Types: event.JSONInteger, N: 1}}}}
		switch r.IntN(5) {
		case 0:
			c.Status, c.Auth.Kind, c.ResponseBody = 401, event.AuthNone, nil
			c.Params = append(c.Params, event.Param{In: event.InQuery, Name: fmt.Sprint("junk", r.IntN(3)), Kind: event.KindRandom})
		case 1:
			c.Count, c.Until = 7, c.Time+5
		case 2:
			c.ResponseBody.Fields = append(c.ResponseBody.Fields, event.Field{At: "$.note", Types: event.JSONString, Kinds: 1 << event.KindString, N: 1})
		}
	}
	return calls
}

func collect(calls []event.Call, order []int) *Traits {
	t := new(Traits)
	for _, i := range order {
		t.Add(&calls[i], math.MaxInt32)
	}
	return t
}

func text(t *testing.T, x *Traits) string {
	b, err := json.Marshal(x)
	require.NoError(t, err)
	return string(b)
}

func TestTraitsAreTheSameInAnyOrderAndAnySplit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	calls := sample(200, r)
	want := text(t, collect(calls, r.Perm(len(calls))))
	for range 20 {
		order := r.Perm(len(calls))
		require.Equal(t, want, text(t, collect(calls, order)))
		cut := r.IntN(len(calls))
		a, b := collect(calls, order[:cut]), collect(calls, order[cut:])
		a.Merge(b)
		require.Equal(t, want, text(t, a))
		var saved Traits
		require.NoError(t, json.Unmarshal([]byte(want), &saved))
		require.Equal(t, want, text(t, &saved))
		require.Equal(t, a.Size(), saved.Size())
	}
}

func TestWhatAServerRejectsIsNotItsContract(t *testing.T) {
	var x Traits
	x.Add(&event.Call{Status: 400, Params: []event.Param{{In: event.InQuery, Name: "limit", Kind: event.KindString}}}, 1<<20)
	x.Add(&event.Call{Status: 200, Params: []event.Param{{In: event.InQuery, Name: "limit", Kind: event.KindInteger}}}, 1<<20)
	p := x.Param(event.InQuery, "limit")
	require.Equal(t, event.KindInteger, p.Kinds.One())
	require.EqualValues(t, 2, p.Calls)
	require.EqualValues(t, 1, p.OK)
}

func TestAnEnumerationEndsWithTheFirstFreeValue(t *testing.T) {
	var x Traits
	for _, w := range []string{"asc", "desc", "asc"} {
		x.Add(&event.Call{Status: 200, Params: []event.Param{{In: event.InQuery, Name: "order", Kind: event.KindWord, Word: w}}}, 1<<20)
	}
	require.Equal(t, []string{"asc", "desc"}, x.Params[0].Words)
	x.Add(&event.Call{Status: 200, Params: []event.Param{{In: event.InQuery, Name: "order", Kind: event.KindWord}}}, 1<<20)
	require.True(t, x.Params[0].Free)
	require.Empty(t, x.Params[0].Words)
}

func TestAnOlderRevisionIsTakenBack(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	calls := sample(30, r)
	x := collect(calls, r.Perm(30))
	want := text(t, x)
	open := calls[3]
	open.State, open.Time, open.Until = event.Open, calls[3].Time, 0
	x.Add(&open, 1<<20)
	x.Sub(&open)
	require.Equal(t, want, text(t, x))
}

func TestAFloodOfNamesCostsDetailAndNotMemory(t *testing.T) {
	var x Traits
	for i := range 5000 {
		c := &event.Call{Status: 100 + i%900, RequestHeaders: []string{fmt.Sprint("x-", i)}, ResponseType: fmt.Sprint("t/", i),
			Params:       []event.Param{{In: event.InQuery, Name: fmt.Sprint("q", i)}},
			ResponseBody: &event.Body{Bodies: 1, Fields: []event.Field{{At: "$", N: 1}, {At: fmt.Sprint("$.f", i), N: 1}}}}
		x.Add(c, 64<<10-x.Size())
	}
	require.LessOrEqual(t, x.Size(), 64<<10)
	require.EqualValues(t, 5000, x.Request.Calls, "the count stays exact")
	require.NotZero(t, x.Cut)
}

func TestAddingWhatIsKnownDoesNotAllocate(t *testing.T) {
	calls := sample(50, rand.New(rand.NewPCG(3, 1)))
	x := collect(calls, rand.Perm(50))
	i := 0
	require.Zero(t, testing.AllocsPerRun(200, func() { x.Add(&calls[i%50], 1<<20); i++ }))
}

func BenchmarkAdd(b *testing.B) {
	calls := sample(50, rand.New(rand.NewPCG(3, 1)))
	var x Traits
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.Add(&calls[i%50], 1<<20)
	}
}
