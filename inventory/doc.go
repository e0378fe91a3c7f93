// Package inventory is the Catalog: what was seen of every API, from the Calls and Tallies that describe its traffic.
//
// In: event.Calls, in any order, some of them twice. Out: Changes (what is new), rows for people and programs, and records
// for the store. Evidence is kept per leaf, which is a method with a path whose typed segments are kinds and whose words
// are themselves; endpoints are leaves grouped by template, so that a template which changes regroups the past too and a
// wrong merge can be undone. It never reads the clock, never sees a raw value, and its memory is bounded: what a
// bound cuts is detail (which caller, which path), counted, and never the count of calls.
package inventory

import "github.com/gnomon-sensor/gnomon/inventory/spec"

// Config bounds the Catalog. The zero value of a field takes its default.
type Config struct {
	// MaxBytes bounds what leaves and names may take. Default 32 MiB, about 40,000 leaves.
	MaxBytes int64
	// MaxServices bounds the services; calls to further ones count under the service "(other)". Default 2,048.
	MaxServices int
	// MaxLeaves bounds the leaves of one service; beyond it leaves of the same learned template are merged for good, and
	// then new paths count under "(other paths)". Default 10,000.
	MaxLeaves int
	// MaxAttempted bounds the leaves of one service that nothing confirmed: a scanner asks for many. Default 1,000.
	MaxAttempted int
	// MaxCallers, MaxCredentials and MaxHosts bound what one leaf lists of each. Defaults 64, 64, 8.
	MaxCallers, MaxCredentials, MaxHosts int
	// SeenCalls is how many of the newest call ids are remembered at least, so that one that comes twice counts once.
	// Default 65,536, 2 MiB.
	SeenCalls int
	// MaxLasting bounds the calls that are open at one time; those beyond keep their numbers of then. Default 16,384.
	MaxLasting int
	// Spec says what counts as drift from what is declared.
	Spec spec.Config
	// Seed keys the hashes of names, so that traffic cannot be made to collide. A store keeps one of its own and sets it.
	Seed uint64
}

func (c Config) withDefaults() Config {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 32 << 20
	}
	set(&c.MaxServices, 2048)
	set(&c.MaxLeaves, 10_000)
	set(&c.MaxAttempted, 1000)
	set(&c.MaxCallers, 64)
	set(&c.MaxCredentials, 64)
	set(&c.MaxHosts, 8)
	set(&c.SeenCalls, 1<<16)
	set(&c.MaxLasting, 16_384)
	return c
}
