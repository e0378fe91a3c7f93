package event

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachBitOfAnIDIsInItsText(t *testing.T) {
	seen := map[string]bool{ID{}.String(): true}
	for i := range 80 {
		var id ID
		if i < 16 {
			id = ID{Lo: 1 << i}
		} else {
			id = ID{Hi: 1 << (i - 16)}
		}
		require.Len(t, id.String(), 16)
		require.False(t, seen[id.String()], "bit %d", i)
		seen[id.String()] = true
	}
	require.Equal(t, "0000000000000001", ID{Lo: 1}.String())
	require.Equal(t, "zzzzzzzzzzzzzzzz", ID{Hi: 1<<64 - 1, Lo: 1<<16 - 1}.String())
}
