package event

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHistogramQuantilesAreWithinTheStatedError(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var all, a, b Histogram
	var values []int64
	for range 10_000 {
		v := int64(math.Exp(rnd.Float64() * 20))
		values = append(values, v)
		all.Add(v, 1)
		if rnd.IntN(2) == 0 {
			a.Add(v, 1)
		} else {
			b.Add(v, 1)
		}
	}
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
		want := float64(values[int(math.Ceil(q*float64(len(values))))-1])
		require.InEpsilon(t, want, float64(all.Quantile(q)), 0.033, "q=%v", q)
	}
	a.Merge(&b)
	require.Equal(t, all.Low, a.Low)
	require.Equal(t, all.Counts, a.Counts)
	require.EqualValues(t, 10_000, a.Count())
	for _, v := range values {
		a.Remove(v, 1)
	}
	require.Zero(t, a.Count())
}

func TestHistogramTakesEveryValue(t *testing.T) {
	var h Histogram
	for _, v := range []int64{math.MaxInt64, 0, -5, 1, 15, 16, 17, 31, 32, 33, 1 << 40} {
		h.Add(v, 1)
		b := bucket(v)
		require.Less(t, int(b), HistogramBuckets)
		require.InDelta(t, float64(max(v, 0)), float64(middle(b)), float64(max(v, 0))*0.032+0.001)
	}
	require.EqualValues(t, 11, h.Count())
	require.Zero(t, testing.AllocsPerRun(100, func() { h.Add(12345, 1) }))
}

func TestSetIsExactWhenSmallAndCloseWhenLarge(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 32, 33, 100, 1000, 100_000} {
		var s, even, odd Set
		for i := range n {
			v := rnd.Uint64()
			s.Add(v)
			s.Add(v)
			if i%2 == 0 {
				even.Add(v)
			} else {
				odd.Add(v)
			}
		}
		even.Merge(odd)
		require.Equal(t, s.Count(), even.Count(), "merged, n=%d", n)
		if n <= 32 {
			require.EqualValues(t, n, s.Count())
		} else {
			require.InEpsilon(t, n, s.Count(), 0.2)
		}
	}
}

func TestSetSurvivesForeignBytes(t *testing.T) {
	for n := range 300 {
		s, o := make(Set, n), make(Set, 299-n)
		require.NotPanics(t, func() { s.Count(); s.Add(7); s.Merge(o); s.Count() })
	}
}
