/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The map set and what is in it. */
#ifndef GNOMON_MAPS_H
#define GNOMON_MAPS_H

#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "settings.h"

/* Directions, roles, kinds, flags and reasons are those of agent/chunk: the reader copies them without a table. */
enum dir { RECEIVED = 0, SENT = 1 };
enum kind { DATA = 0, END = 1, CLOSED = 2 };
enum role { UNKNOWN = 0, CLIENT = 1, SERVER = 2 };
enum flag { TAKEN_OVER = 2, END_COVERED = 4, ENCRYPTED = 8 };
enum why { WHY_NONE = 0, WHY_BUDGET = 1, WHY_FAULT = 2, WHY_SPLICE = 3 };

/* ident is what stays the same over the life of a connection; it leads each record as it is. */
struct ident {
	u64 conn;   /* socket cookie */
	u32 netns;  /* inode of the network namespace */
	u32 peer;   /* process at the other end, where that is on this host */
	u16 lport;  /* host order */
	u16 rport;
	u8 role;
	u8 flags;   /* TAKEN_OVER */
	u8 pad[2];
	u8 local[16]; /* IPv4 as v4-mapped */
	u8 remote[16];
};

struct record {
	struct ident id;
	u64 pos;
	u64 time; /* CLOCK_MONOTONIC, ns */
	u64 cgroup;
	u32 pid, tid;
	u32 len; /* bytes that passed; the record's own length says how many are here */
	u8 kind;
	u8 dir;
	u8 flags;
	u8 why;
};

enum verdict { UNDECIDED = 0, SPEAKS = 1, TLS = 2, SILENT = 3 };

/* conn is the state of a connection. */
struct conn {
	struct ident id;
	u64 pos[2];  /* bytes so far per direction */
	u32 seq[2];  /* TCP sequence number after the last byte that was seen */
	u64 mm_base; /* sendmmsg, recvmmsg: array of the call under way, */
	u32 mm_tid;  /* its thread, */
	u32 mm_next; /* and the next message */
	u32 pid;     /* of the last call */
	u32 events;
	u16 token;    /* sniff: see sniff.h */
	u8 verdict;   /* enum verdict */
	u8 last;      /* direction of the last data + 1; 0: none yet */
	u8 told;      /* a record of this connection reached the ring */
	u8 covered;   /* the server's side is seen on this host */
	u8 asked;     /* how often covered was looked up */
	u8 joined;    /* the sniff is past the start of a message: positions or bytes are missing */
	u8 hello;     /* TLS: bit per direction whose first bytes were sent up */
	u8 seq_known; /* bit per direction */
	u8 ended;     /* bit per direction: END was sent up */
	u8 closed;    /* CLOSED was sent up, and the socket may live on */
};

/* Connection state in socket storage: freed with its socket, looked up through a per-socket cache. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conn);
} by_socket SEC(".maps");

/* Connection state by the address of struct sock, for by_address. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, struct conn);
} by_sock SEC(".maps");

/* pairs joins the two ends of a connection within this host. The client's end comes first to be established. */
struct pair_key {
	u32 netns; /* of loopback connections only: elsewhere the ends may be in different namespaces */
	u16 cport, sport;
	u8 client[16], server[16];
};
struct pair {
	u32 pid;    /* that connected; 0 unknown */
	u32 served; /* the server's end is here */
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct pair_key);
	__type(value, struct pair);
} pairs SEC(".maps");

/* listening holds the ports that were listened on when the agent started: it gives connections older than the agent
 * their role. */
struct listen_key {
	u32 netns;
	u32 port;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct listen_key);
	__type(value, u8);
} listening SEC(".maps");

/* muted holds connections of which user space wants no more: they speak nothing that is decoded, although the sniff let them
 * pass. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u8);
} muted SEC(".maps");

/* budgets override the payload budget of what a service sends, by its port; 0: the default. User space writes them
 * through a mapping, without a system call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, u16);
} budgets SEC(".maps");

/* execs keeps the name under which each process was last executed, for those that are gone before user space asks. */
struct exec {
	char name[64]; /* the end of the path that was executed, NUL-terminated */
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct exec);
} execs SEC(".maps");

/* The ledger of the kernel side. Each number is counted where it happens. */
enum reason { RING_FULL, COPY_FAULT, PAYLOAD_BUDGET, SPLICE, NOT_DECODED, COVERED, OWN, REASONS };
enum blind { BLIND_IO_URING, BLIND_KERNEL, BLIND_SYSCALL, BLIND_COMPAT, BLIND_SPLICE, BLIND_TLS, BLIND_OTHER, BLIND_QUIC, BLINDS };
struct count {
	u64 n, bytes;
};
struct counters {
	struct count captured;        /* at the hook: socket calls that carried bytes of a TCP stream */
	struct count ring;            /* put into a ring */
	struct count lost[REASONS];   /* n: calls of which nothing went into a ring */
	struct count blind[BLINDS];   /* n: calls; of BLIND_TLS, BLIND_OTHER: connections */
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct counters);
} counts SEC(".maps");

/* failures counts helpers that failed, by place and errno (above 127: 127). */
enum place { AT_PAYLOAD, AT_IOVEC, AT_MSGHDR, AT_SOCKETCALL, AT_STORAGE, AT_PAIRS, AT_LISTENING, AT_RING, AT_EXECS, AT_COUNTS, PLACES };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PLACES * 128);
	__type(key, u32);
	__type(value, u64);
} failures SEC(".maps");

static __always_inline void failed(u32 place, long err)
{
	u32 e = -err, i;
	u64 *v;
	if (e > 127)
		e = 127;
	i = place * 128 + e;
	v = bpf_map_lookup_elem(&failures, &i);
	if (v)
		*v += 1;
}

/* A message is where the bytes of one socket call are. */
struct message {
	u64 base;   /* bytes, or an iovec array */
	u32 vecs;   /* entries of the array; 0: base is the bytes */
	u32 compat;
};

/* A call is one socket call, as a backend found it. */
struct call {
	struct message msg;
	u32 dir;
	u32 n;       /* bytes that passed, > 0 */
	u32 seq;     /* TCP sequence number after them */
	u8 has_seq;
	u8 why;      /* the bytes cannot be read, and why */
	u8 blind;    /* enum blind + 1 */
	u8 slot;     /* of scratches */
	u64 pid_tgid;
};

/* scratch is where a record is put together. One per CPU and direction: tracepoint programs run with preemption off and do
 * not nest with themselves; a send and a receive could only nest with each other. A plain array indexed by CPU, since the
 * value of a per-CPU map may have 32 KiB at most. */
struct scratch {
	struct call call; /* of the syscall backend, whose stack is short of room */
	struct record rec;
	u8 data[2 * (MAX_DATA + 1)];
	union {
		u64 vec64[16];
		u32 vec32[16];
	}; /* iovecs, read four at a time; twice the room, for a mask as bound */
	volatile u32 have; /* bytes in data: here and not in a register for the reason that sniff_byte gives */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2); /* the loader sets it to twice the possible CPUs */
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *scratch_of(u32 slot)
{
	u32 i = 2 * bpf_get_smp_processor_id() + slot;
	return bpf_map_lookup_elem(&scratches, &i);
}

/* One ring per shard. The loader replaces the inner maps by rings of the size that is configured. */
#define MAX_SHARDS 16
struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MAX_SHARDS);
	__type(key, u32);
	__array(values, struct ring);
} rings SEC(".maps");

#endif
