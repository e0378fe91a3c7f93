// Package fold lets what is new leave in full and sums up the rest.
//
// In: redacted event.Calls, one for each call. Out: event.Calls, each of which stands for one call or, as a Tally, for many
// alike ones of a few seconds. Every call is in exactly one of them: a Tally counts those that did not leave as Calls.
// Counts, bytes and statuses are exact whatever the traffic is; a flood of paths, hosts or callers costs detail, which is
// counted, and never memory beyond the budget.
//
// A call that lasts leaves as a Call each time (open, progress, done) and is in no Tally; the inventory counts the highest
// revision of its id.
//
// It never sees raw values, never reads the clock, and its output is a function of its input.
package fold
