package words

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryWordIsFoundUnderItsIndexWhateverItsCase(t *testing.T) {
	require.Greater(t, Len(), 1000)
	for i := 1; i <= Len(); i++ {
		w := Text(uint16(i))
		require.Equal(t, uint16(i), Index([]byte(w)), w)
		require.Equal(t, uint16(i), Index([]byte(strings.ToUpper(w))), w)
	}
}

func TestWhatIsNotInTheListHasIndexZero(t *testing.T) {
	for _, w := range []string{"", "wzulvuau", strings.Repeat("a", MaxLen+1), "users\x00", "\xff"} {
		require.Zero(t, Index([]byte(w)), "%q", w)
	}
	require.Equal(t, Stat{Follow: -1}, StatOf(0))
	require.Empty(t, Text(65535))
}

func TestALookupAllocatesNothing(t *testing.T) {
	b := []byte("Subscriptions")
	require.Zero(t, testing.AllocsPerRun(100, func() { Index(b) }))
}

func BenchmarkIndex(b *testing.B) {
	in := [][]byte{[]byte("users"), []byte("wzulvuau"), []byte("Subscriptions")}
	for b.Loop() {
		for _, w := range in {
			Index(w)
		}
	}
}
