// Package bpf holds the programs that run in the kernel: their C in src and include, and the objects and bindings that
// bpf2go makes of it, committed so that building gnomon needs no compiler but Go's.
//
// Seen loading and counting: both backends on 6.18 and 6.12 amd64 and on 6.12 arm64, the syscall backend on 6.1 amd64. Older
// verifiers lose bounds that newer ones keep, so a change here is to be tried on 6.1 before it is trusted.
//
// In: nothing. Out: Gnomon's specs and object types, for agent/source/live. It never loads, attaches or reads anything.
package bpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang -target amd64,arm64 -cflags "-O2 -g -Wall -Werror -mcpu=v3" -type record -type counters -type exec Gnomon src/gnomon.bpf.c -- -Iinclude
