/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* From a socket call to a record in a ring, the same for each backend. */
#ifndef GNOMON_CAPTURE_H
#define GNOMON_CAPTURE_H

#include "sniff.h"
#include "syscalls.h"

static __always_inline struct counters *counters(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&counts, &zero);
}

static __always_inline void lose(struct counters *k, u32 reason, u64 bytes)
{
	k->lost[reason].n++;
	k->lost[reason].bytes += bytes;
}

/* send_up puts a record into the ring of its connection's shard. */
static __always_inline long send_up(struct record *r, u64 size)
{
	u32 shard = (u32)r->id.conn % shards;
	void *ring = bpf_map_lookup_elem(&rings, &shard);
	u64 full, flags = BPF_RB_NO_WAKEUP;
	if (!ring)
		return -1;
	/* Wake once on the way past the threshold, not for each record beyond it: a wake-up costs more than a record. */
	full = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);
	if (full >= wake_bytes && full - wake_bytes < size + 8)
		flags = BPF_RB_FORCE_WAKEUP;
	/* The bound, again and right here: the comparison above makes 6.12 forget it. */
	asm volatile("%0 &= %1" : "+r"(size) : "i"(2 * MAX_DATA + 1));
	return bpf_ringbuf_output(ring, r, size, flags);
}

/* mark sends up what is no data: the end of a direction, the end of a connection. When it is lost to a full ring, user space
 * ends the connection by its budgets. Not inlined, for the record on its stack: see sniff. */
__noinline int mark(struct conn *c, u32 kind, u32 dir, u32 flags)
{
	struct record r = {};
	long err;
	if (!c)
		return 0;
	r.id = c->id;
	r.kind = kind;
	r.dir = dir;
	r.flags = flags;
	r.pos = c->pos[dir & 1];
	r.pid = c->pid;
	r.time = bpf_ktime_get_ns();
	err = send_up(&r, sizeof(r));
	if (err)
		failed(AT_RING, err);
	return 0;
}

static __always_inline void end(struct conn *c, u32 dir)
{
	if (c->told && !c->covered && !(c->ended & (1 << dir))) {
		c->ended |= 1 << dir;
		mark(c, END, dir, 0);
	}
}

static __always_inline void pair_key(const struct ident *id, u8 role, struct pair_key *k)
{
	/* 127/8 or ::1 */
	bool v4 = id->remote[10] == 0xff && id->remote[11] == 0xff;
	bool loop = v4 ? id->remote[12] == 127 : id->remote[15] == 1 && id->remote[0] == 0;
	k->netns = loop ? id->netns : 0;
	if (role == CLIENT) {
		k->cport = id->lport;
		k->sport = id->rport;
		__builtin_memcpy(k->client, id->local, 16);
		__builtin_memcpy(k->server, id->remote, 16);
	} else {
		k->cport = id->rport;
		k->sport = id->lport;
		__builtin_memcpy(k->client, id->remote, 16);
		__builtin_memcpy(k->server, id->local, 16);
	}
}

/* connected notes an end of a connection in pairs. */
static __always_inline void connected(struct conn *c)
{
	struct pair_key k = {};
	struct pair fresh = {}, *p;
	long err;
	if (!c->id.lport || !c->id.rport || c->id.role == UNKNOWN)
		return;
	pair_key(&c->id, c->id.role, &k);
	p = bpf_map_lookup_elem(&pairs, &k);
	if (p) {
		if (c->id.role == SERVER) {
			p->served = 1;
			c->id.peer = p->pid;
		} else {
			p->pid = c->pid;
		}
		return;
	}
	if (c->id.role == SERVER)
		fresh.served = 1;
	else
		fresh.pid = c->pid;
	err = bpf_map_update_elem(&pairs, &k, &fresh, BPF_ANY);
	if (err)
		failed(AT_PAIRS, err);
}

static __always_inline void parted(struct conn *c)
{
	struct pair_key k = {};
	if (c->id.role == UNKNOWN || !c->id.rport)
		return;
	pair_key(&c->id, c->id.role, &k);
	bpf_map_delete_elem(&pairs, &k);
}

/* is_covered says whether the server's end of this client's connection is seen too. Its birth may come a moment after the
 * client's first bytes, so the first few calls ask again. A server's end asks for its peer's process in the same way, where
 * it was not known from the start: the connection was taken over. */
#define ASK_MAX 4
static __always_inline bool is_covered(struct conn *c, u32 pid)
{
	struct pair_key k = {};
	struct pair *p;
	bool server = c->id.role == SERVER;
	if (c->covered)
		return true;
	if (c->asked >= ASK_MAX || (server && c->id.peer))
		return false;
	c->asked++;
	pair_key(&c->id, server ? SERVER : CLIENT, &k);
	p = bpf_map_lookup_elem(&pairs, &k);
	if (!p)
		return false;
	if (server) {
		c->id.peer = p->pid;
		return false;
	}
	if (!p->served)
		return false;
	if (!p->pid)
		p->pid = pid;
	c->id.role = CLIENT; /* so it is, where that was unknown */
	c->covered = 1;
	if (c->told)
		mark(c, CLOSED, 0, END_COVERED);
	return true;
}

/* copy_in reads n bytes of user memory behind the off bytes that are there. The masks are in assembly and in 64 bits because
 * clang moves a bound in C away from its use, and because 6.1 does not carry the bound of one register over to its 32-bit
 * copy. */
static __always_inline long copy_in(struct scratch *s, u64 off, u64 from, u64 n)
{
	asm volatile("%0 &= %1" : "+r"(n) : "i"(MAX_DATA));
	asm volatile("%0 &= %1" : "+r"(off) : "i"(MAX_DATA));
	return bpf_probe_read_user(&s->data[off], n, (void *)from);
}

/* VECS_MAX iovecs are followed per call; what further ones hold is a gap for the budget. */
#define VECS_MAX 64

/* gather copies at most want bytes of m into s. It returns how many came, and above GATHER_WHY why fewer. Not inlined and
 * not static, for the verifier's sake: see sniff. */
#define GATHER_WHY 24
__noinline u32 gather(struct scratch *s, const struct message *m, u32 want)
{
	u32 why = 0;
	long err;
	if (!s || !m)
		return 0;
	if (want > MAX_DATA)
		want = MAX_DATA;
	if (!m->vecs) {
		err = copy_in(s, 0, m->base, want);
		if (err) {
			failed(AT_PAYLOAD, err);
			return WHY_FAULT << GATHER_WHY;
		}
		return want;
	}
	s->have = 0;
	for (u32 i = 0; i < VECS_MAX; i++) {
		u32 have = s->have, j = i & 3, n;
		u64 base, len;
		if (i >= m->vecs || have >= want)
			break;
		if (!j) { /* the next four at once: most calls have two, and each read costs as much as the copy of 500 bytes */
			u32 width = m->compat ? 8 : 16, left = m->vecs - i;
			u64 size;
			if (left > 4)
				left = 4;
			size = left * width;
			asm volatile("%0 &= 127" : "+r"(size)); /* at most 64; 6.1 does not see that */
			err = bpf_probe_read_user(s->vec64, size, (void *)(m->base + i * width));
			if (err) {
				failed(AT_IOVEC, err);
				why = WHY_FAULT;
				break;
			}
		}
		base = m->compat ? s->vec32[2 * j] : s->vec64[2 * j];
		len = m->compat ? s->vec32[2 * j + 1] : s->vec64[2 * j + 1];
		n = want - have;
		if (len < n)
			n = len;
		err = copy_in(s, have, base, n);
		if (err) {
			failed(AT_PAYLOAD, err);
			why = WHY_FAULT;
			break;
		}
		s->have = have + n;
	}
	return s->have | why << GATHER_WHY;
}

static __always_inline u32 budget_of(struct conn *c, u32 dir)
{
	bool head = c->last != dir + 1;
	bool request = c->id.role == UNKNOWN || (c->id.role == SERVER) == (dir == RECEIVED);
	u32 port;
	u16 *b;
	if (request)
		return head ? request_head : request_body;
	port = c->id.role == SERVER ? c->id.lport : c->id.rport;
	b = bpf_map_lookup_elem(&budgets, &port);
	if (b && *b)
		return *b;
	return head ? response_head : response_body;
}

/* Sequence numbers may run ahead of what the hooks saw by 1 without anything hidden: SYN and FIN count. */
#define SEQ_SLACK 1

/* hidden returns how many bytes passed unseen before a call of n bytes that ended at TCP sequence number seq: spliced
 * from the socket, read through a mapping. */
static __always_inline u32 hidden(struct conn *c, u32 dir, u32 seq, u32 n)
{
	u32 more = 0;
	if (c->seq_known & (1 << dir)) {
		more = seq - c->seq[dir] - n;
		if ((s32)more <= SEQ_SLACK)
			more = 0;
	}
	c->seq[dir] = seq;
	c->seq_known |= 1 << dir;
	return more;
}

/* is_over accounts for a call on a connection of which nothing more is sent up. First of all checks: both ends of a
 * connection on this host pay for the hook, and only one is captured. */
static __always_inline bool is_over(struct conn *c, struct counters *k, u32 n)
{
	if (c->covered) {
		lose(k, COVERED, n);
		return true;
	}
	if (c->verdict == SILENT) {
		k->blind[BLIND_OTHER].bytes += n;
		lose(k, NOT_DECODED, n);
		return true;
	}
	return false;
}

/* A stream that was joined in the middle and has not shown what it speaks within JOINED_MAX calls is no longer sent up, but
 * still looked at where its direction turns: it may be a long body, with messages to follow. dozes says that there is still
 * nothing. */
#define JOINED_MAX 64
#define DOZE_WANT 64
static __always_inline bool dozes(struct conn *c, struct scratch *s, struct call *x, u32 dir)
{
	u32 have;
	if (x->why || c->last == dir + 1)
		return true;
	have = gather(s, &x->msg, x->n < DOZE_WANT ? x->n : DOZE_WANT) & ((1 << GATHER_WHY) - 1);
	return !have || sniff(c, s, have, dir) == UNDECIDED;
}

/* capture accounts for one socket call of n > 0 bytes and sends up what of it is wanted. */
static __always_inline void capture(struct conn *c, struct counters *k, struct call *x)
{
	u32 dir = x->dir & 1, n = x->n, want, have = 0, slot = x->slot;
	struct scratch *s;
	u64 pos;
	long err;
	u8 why = x->why, flags = 0, v;

	if (x->has_seq) {
		u32 more = hidden(c, dir, x->seq, n);
		if (more) {
			k->captured.n++;
			k->captured.bytes += more;
			lose(k, SPLICE, more);
			k->blind[BLIND_SPLICE].n++;
			k->blind[BLIND_SPLICE].bytes += more;
			__sync_fetch_and_add(&c->pos[dir], more);
			if (c->verdict == UNDECIDED)
				c->joined = 1;
		}
	}
	pos = __sync_fetch_and_add(&c->pos[dir], n);
	c->events++;
	c->pid = x->pid_tgid >> 32;
	if (is_covered(c, c->pid)) {
		lose(k, COVERED, n);
		return;
	}
	if (c->verdict == TLS && (c->hello & (1 << dir))) {
		k->blind[BLIND_TLS].bytes += n;
		lose(k, NOT_DECODED, n);
		return;
	}
	if (x->blind) {
		u32 b = x->blind - 1;
		if (b < BLINDS) {
			k->blind[b].n++;
			k->blind[b].bytes += n;
		}
	}
	s = scratch_of(slot);
	if (!s) {
		lose(k, COPY_FAULT, n);
		return;
	}
	if (c->verdict == UNDECIDED && c->joined && c->events > JOINED_MAX && !everything && dozes(c, s, x, dir)) {
		c->last = dir + 1;
		k->blind[BLIND_OTHER].bytes += n;
		lose(k, NOT_DECODED, n);
		return;
	}
	if (!why) {
		want = budget_of(c, dir);
		if (n > want)
			why = WHY_BUDGET;
		else
			want = n;
		have = gather(s, &x->msg, want);
		if (have >> GATHER_WHY)
			why = have >> GATHER_WHY;
		have &= (1 << GATHER_WHY) - 1;
		if (have < n && !why)
			why = WHY_BUDGET;
	}
	c->last = dir + 1;
	if (c->verdict == UNDECIDED) {
		if (!have) {
			c->joined = 1;
		} else {
			bool known = c->id.role != UNKNOWN;
			v = sniff(c, s, have, dir);
			if (!known)
				connected(c); /* if it is now, the other end learns of it */
			if (v == SILENT && everything)
				v = SPEAKS;
			c->verdict = v;
			if (v == SILENT) {
				k->blind[BLIND_OTHER].n++;
				lose(k, NOT_DECODED, n);
				return;
			}
			if (v == TLS)
				k->blind[BLIND_TLS].n++;
		}
	} else if (!(c->events & 63)) {
		u64 id = c->id.conn; /* a key has to be on the stack: 6.1 takes none in memory that came as an argument */
		if (bpf_map_lookup_elem(&muted, &id)) {
			c->verdict = SILENT;
			lose(k, NOT_DECODED, n);
			return;
		}
	}
	if (c->verdict == TLS) {
		c->hello |= 1 << dir;
		flags = ENCRYPTED;
	}
	s->rec.id = c->id;
	s->rec.pos = pos;
	s->rec.time = bpf_ktime_get_ns();
	s->rec.cgroup = bpf_get_current_cgroup_id();
	s->rec.pid = c->pid;
	s->rec.tid = x->pid_tgid;
	s->rec.len = n;
	s->rec.kind = DATA;
	s->rec.dir = dir;
	s->rec.flags = flags;
	s->rec.why = why;
	have &= MAX_DATA;
	err = send_up(&s->rec, sizeof(s->rec) + have);
	if (err) {
		lose(k, RING_FULL, n);
		if (err != -11) /* EAGAIN: full */
			failed(AT_RING, err);
		return;
	}
	c->told = 1;
	k->ring.n++;
	k->ring.bytes += have;
	if (have < n) {
		u32 r = why == WHY_FAULT ? COPY_FAULT : why == WHY_SPLICE ? SPLICE : PAYLOAD_BUDGET;
		k->lost[r].bytes += n - have;
	}
}

#endif
