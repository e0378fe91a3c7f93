// Package endpoint learns the templates of one service's paths, as the API's authors wrote them, from the paths that were
// called.
//
// In: the segments of each answered path (kinds, keyed tokens, shapes) with method and count. Out: a Matcher, an
// immutable snapshot that maps a path to its Template. A Learner's state is a function of what it observed, not of the
// order, the split over several Learners or a restart; it merges, it can be saved, and it is bounded, with what the
// bound cut counted.
//
// The paths form a trie. Typed segments (integers, UUIDs, …) are parameters at once. Every other child of a node is
// judged parameter or literal by boosted trees over what is known of it, of its siblings, of what follows it and of where
// else in the service it occurs; children judged parameters are merged, and what follows them is judged as one. A second
// pass judges again, knowing the first one's answers. features.go says what the trees see, fit/ how they were fitted.
//
// It never looks at text: Segment.Text is only carried along to print templates.
package endpoint

import "github.com/gnomon-sensor/gnomon/inventory/event"

// Config bounds a Learner. The zero value takes the defaults.
type Config struct {
	// MaxChildren is how many different words are kept under one node, default 512. Beyond it those with API words, then
	// those with the lowest tokens stay: a choice that no order of arrival changes, and that an attacker, who does not
	// know the key of the tokens, cannot steer.
	MaxChildren int
	// MaxNodes is how many nodes one service may have, default 20,000 (about 3 MB). When there are more, MaxChildren is
	// halved until they fit; only then may the result depend on the order.
	MaxNodes int
	// MaxDepth is how many segments of a path are looked at, default 24; deeper paths end there.
	MaxDepth int
}

func (c Config) withDefaults() Config {
	if c.MaxChildren <= 0 {
		c.MaxChildren = 512
	}
	if c.MaxNodes <= 0 {
		c.MaxNodes = 20_000
	}
	if c.MaxDepth <= 0 {
		c.MaxDepth = 24
	}
	return c
}

// Learnable says whether a segment of kind k may be a literal, so that its place is judged; all others are parameters.
func Learnable(k event.Kind) bool {
	switch k {
	case event.KindWord, event.KindVersion, event.KindFile, event.KindHost, event.KindBoolean:
		return true
	}
	return false
}
