// Package event is the one model that the rooms of gnomon share: Call (which is a Tally when it stands for more than
// one), Sensor with its loss ledger, and their JSON as CLI.md promises it.
//
// In: nothing. Out: types. It never holds a raw value (a header's, a parameter's, a body's): what an event carries is
// kinds, keyed tokens, shapes and, where the names policy allows, words. It imports the standard library only.
package event
