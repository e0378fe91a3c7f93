package cache

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAKeyIsKnownOnceItWasAskedFor(t *testing.T) {
	c := New[int](64)
	v, known := c.At([]byte("a"))
	require.False(t, known)
	*v = 7
	v, known = c.At([]byte("a"))
	require.True(t, known)
	require.Equal(t, 7, *v)
	c.Forget([]byte("a"))
	_, known = c.At([]byte("a"))
	require.False(t, known)
	c.Clear()
	_, known = c.At([]byte("a"))
	require.False(t, known)
}

func TestAValueIsNeverThatOfAnotherKey(t *testing.T) {
	c := New[string](32)
	for round := range 3 {
		for i := range 500 {
			k := fmt.Sprint(i)
			v, known := c.At([]byte(k))
			if known {
				require.Equal(t, k, *v, round)
			}
			*v = k
		}
	}
	require.Len(t, c.sets, 8, "however many keys there were")
}

func TestLongKeysAreNotKept(t *testing.T) {
	c := New[int](8)
	for range 2 {
		_, known := c.At(make([]byte, MaxKey+1))
		require.False(t, known)
	}
	_, known := c.At(make([]byte, MaxKey))
	require.False(t, known)
	_, known = c.At(make([]byte, MaxKey))
	require.True(t, known)
}

func TestNeitherHitNorMissAllocatesInTheLongRun(t *testing.T) {
	c := New[int](64)
	key, i := make([]byte, 8), 0
	one := func() {
		i++
		key[0], key[1] = byte(i), byte(i>>8)
		c.At(key)
		c.At([]byte("same"))
	}
	for range 5000 {
		one()
	}
	require.Zero(t, testing.AllocsPerRun(1000, one))
}
