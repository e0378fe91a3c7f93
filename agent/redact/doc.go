// Package redact turns raw Exchanges into Calls that may leave the node.
//
// In: proto.Exchange, which holds what was on the wire. Out: event.Call, which holds none of it: values are kinds and
// keyed tokens, credentials are fingerprints, bodies are shapes and classes of data, and of names only those leave as text that
// the names policy allows. Nothing that follows this room ever sees a raw value.
//
// It never reads the clock and never decides what a call is worth: every Exchange gives a Call. Its caches are bounded
// and hold raw values only to recognise them when they come again; they are never printed, stored or sent.
package redact
