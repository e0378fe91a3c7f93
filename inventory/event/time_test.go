package event

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTimesAreWrittenAsTheStandardLibraryWritesThem(t *testing.T) {
	check := func(v Time) {
		require.Equal(t, `"`+v.Std().Format(timeLayout)+`"`, string(v.AppendJSON(nil)))
		var back Time
		require.NoError(t, back.UnmarshalJSON(v.AppendJSON(nil)))
		require.Equal(t, v, back)
	}
	for _, v := range []Time{0, 1, -1, math.MaxInt64, math.MinInt64, 951_782_399_999_999_999, 951_782_400_000_000_000, 4_107_542_399_999_999_999, -2_203_891_200_000_000_000} {
		check(v)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		check(Time(rnd.Uint64()))
	}
}

func BenchmarkTimeAppendJSON(b *testing.B) {
	buf := make([]byte, 0, 64)
	for b.Loop() {
		buf = Time(1_764_000_000_123_456_789).AppendJSON(buf[:0])
	}
}
