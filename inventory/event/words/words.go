// Package words is the built-in list of API words: names that many unrelated APIs use as literals in their paths
// ("users", "search", "v1"). A word of the list may leave a node as text under either names policy, and the template
// learner knows a word by its index, so that it needs no text.
//
// In: bytes of a path segment. Out: an index and what is known of that word. It never changes at run time; the list is
// made by inventory/endpoint/fit/words.py from published OpenAPI documents.
package words

import (
	_ "embed"
	"strconv"
	"strings"
)

//go:embed words.txt
var list string

// MaxLen is the longest word that can be in the list; Index answers 0 for longer input at once.
const MaxLen = 24

// Stat says how published APIs use a word.
type Stat struct {
	Providers uint16 // how many of 352 API providers use it as a literal or as part of one
	Follow    int16  // of the places where it is a whole segment followed by another: in 1,000, how often by a parameter; -1 unknown
}

type entry struct {
	text string
	stat Stat
}

// The table is read-only after package initialisation: open addressing over a power of two, at most half full.
var (
	entries = []entry{{}}
	slots   []uint16
)

func init() {
	for line := range strings.Lines(list) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		e := entry{text: f[0], stat: Stat{Follow: -1}}
		n, _ := strconv.Atoi(f[1])
		e.stat.Providers = uint16(n)
		if len(f) > 2 {
			n, _ := strconv.Atoi(f[2])
			e.stat.Follow = int16(n)
		}
		entries = append(entries, e)
	}
	size := 1
	for size < 2*len(entries) {
		size *= 2
	}
	slots = make([]uint16, size)
	for i := 1; i < len(entries); i++ {
		var h uint32 = seed
		for j := range len(entries[i].text) {
			h = step(h, entries[i].text[j])
		}
		for p := int(fin(h)) & (size - 1); ; p = (p + 1) & (size - 1) {
			if slots[p] == 0 {
				slots[p] = uint16(i)
				break
			}
		}
	}
}

// FNV-1a with a final mix: words are short, and the loop folds the case of b on the way.
const seed = 2166136261

func step(h uint32, c byte) uint32 { return (h ^ uint32(c)) * 16777619 }
func fin(h uint32) uint32          { h ^= h >> 15; h *= 0x2c1b3c6d; return h ^ h>>12 }

func lower(c byte) byte {
	if c-'A' < 26 {
		c |= 0x20
	}
	return c
}

// Index returns the index of b in the list, ASCII case ignored, or 0 when b is not in it.
func Index(b []byte) uint16 {
	if len(b) == 0 || len(b) > MaxLen {
		return 0
	}
	var h uint32 = seed
	for _, c := range b {
		h = step(h, lower(c))
	}
	mask := len(slots) - 1
probe:
	for p := int(fin(h)) & mask; slots[p] != 0; p = (p + 1) & mask {
		t := entries[slots[p]].text
		if len(t) != len(b) {
			continue
		}
		for i := range b {
			if lower(b[i]) != t[i] {
				continue probe
			}
		}
		return slots[p]
	}
	return 0
}

// Len returns how many words there are; indices run from 1 to Len().
func Len() int { return len(entries) - 1 }

// Text returns the word with index i, "" for 0 and for an index beyond the list.
func Text(i uint16) string {
	if int(i) < len(entries) {
		return entries[i].text
	}
	return ""
}

// StatOf returns what is known of the word with index i; the zero word has no providers and an unknown Follow.
func StatOf(i uint16) Stat {
	if i == 0 || int(i) >= len(entries) {
		return Stat{Follow: -1}
	}
	return entries[i].stat
}
