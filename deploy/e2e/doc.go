// Package e2e holds the ground-truth tests: real servers and clients, each server's own log beside gnomon's inventory.
//
// In: programs from Debian and the language toolchains, and the built gnomon. Out: differences. A server's log is one
// JSON line for each request that it answered; what it logged is the truth.
package e2e
