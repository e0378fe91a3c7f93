//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The programs: two backends that make the same records, and what both share. */
#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "settings.h"
#include "maps.h"
#include "capture.h"

/* The kernel asks for a licence string that it knows: this one is the GPL-2.0 half of the choice above. */
char LICENSE[] SEC("license") = "GPL";

/* ---- connections ---- */

static __always_inline bool is_stream(u16 family, u16 protocol)
{
	return (family == AF_INET || family == AF_INET6) && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

/* identify fills in what a socket says of itself. Read through probe reads, since the syscall backend has sockets as
 * plain addresses; it runs once per connection. */
static __always_inline void identify(struct ident *id, struct sock *sk)
{
	struct sock_common *c = (struct sock_common *)sk;
	u16 family = BPF_CORE_READ(c, skc_family);
	id->lport = BPF_CORE_READ(c, skc_num);
	id->rport = bpf_ntohs(BPF_CORE_READ(c, skc_dport));
	id->netns = BPF_CORE_READ(c, skc_net.net, ns.inum);
	if (family == AF_INET) {
		__builtin_memset(id->local, 0, 16);
		__builtin_memset(id->remote, 0, 16);
		id->local[10] = id->local[11] = 0xff;
		id->remote[10] = id->remote[11] = 0xff;
		bpf_core_read(id->local + 12, 4, &c->skc_rcv_saddr);
		bpf_core_read(id->remote + 12, 4, &c->skc_daddr);
	} else {
		bpf_core_read(id->local, 16, &c->skc_v6_rcv_saddr);
		bpf_core_read(id->remote, 16, &c->skc_v6_daddr);
	}
}

/* conn_of finds the state of sk; make creates it. sk must be a BTF pointer unless by_address. */
static __always_inline struct conn *conn_of(struct sock *sk, bool make)
{
	struct conn *c;
	if (by_address) {
		u64 key = (u64)sk;
		c = bpf_map_lookup_elem(&by_sock, &key);
		if (!c && make) {
			/* a zeroed value comes from scratch: a conn is too large for the stack beside the rest */
			struct scratch *s = scratch_of(1);
			long err;
			if (!s)
				return 0;
			__builtin_memset(s->data, 0, sizeof(struct conn));
			err = bpf_map_update_elem(&by_sock, &key, s->data, BPF_NOEXIST);
			if (err)
				failed(AT_STORAGE, err);
			c = bpf_map_lookup_elem(&by_sock, &key);
		}
		return c;
	}
	c = bpf_sk_storage_get(&by_socket, sk, 0, make ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!c && make)
		failed(AT_STORAGE, -12);
	return c;
}

/* role_of gives a connection whose birth was not seen the role that its local port suggests. */
static __always_inline u8 role_of(const struct ident *id)
{
	struct listen_key k = {.netns = id->netns, .port = id->lport};
	return bpf_map_lookup_elem(&listening, &k) ? SERVER : UNKNOWN;
}

/* adopt takes over a connection whose birth was not seen. */
static __always_inline void adopt(struct conn *c, struct sock *sk, u64 cookie)
{
	u8 state = BPF_CORE_READ((struct sock_common *)sk, skc_state);
	identify(&c->id, sk);
	if (c->id.conn) {
		/* the accepted end of an MPTCP connection is established before it has addresses */
		connected(c);
		return;
	}
	c->id.conn = cookie;
	if (state == TCP_SYN_SENT) { /* TCP Fast Open: data before the connection stands */
		c->id.role = CLIENT;
		return;
	}
	if (state == TCP_SYN_RECV) {
		c->id.role = SERVER;
		return;
	}
	c->id.role = role_of(&c->id);
	c->id.flags = TAKEN_OVER;
	c->joined = 1;
}

/* restart makes c a new connection: a socket may be connected again. */
static __always_inline void restart(struct conn *c)
{
	if (c->told && !c->covered)
		mark(c, CLOSED, 0, 0);
	__builtin_memset(c, 0, sizeof(*c));
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int old, int new)
{
	u16 protocol = sk->sk_protocol;
	struct conn *c;
	if (!is_stream(sk->__sk_common.skc_family, protocol))
		return 0;
	switch (new) {
	case TCP_SYN_SENT: /* in the thread that connects; the local port is not chosen yet */
		c = conn_of(sk, true);
		if (!c)
			return 0;
		restart(c);
		c->id.conn = bpf_get_socket_cookie(sk);
		c->id.role = CLIENT;
		c->pid = bpf_get_current_pid_tgid() >> 32;
		return 0;
	case TCP_ESTABLISHED: /* often in a soft interrupt: the current process means nothing */
		c = conn_of(sk, true);
		if (!c)
			return 0;
		if (c->closed)
			restart(c); /* of an earlier socket at this address */
		if (!c->id.conn)
			c->id.conn = bpf_get_socket_cookie(sk);
		if (!c->id.role)
			c->id.role = old == TCP_SYN_SENT ? CLIENT : SERVER;
		identify(&c->id, sk);
		connected(c);
		if (protocol == IPPROTO_TCP) {
			struct tcp_sock *t = bpf_skc_to_tcp_sock(sk);
			if (t && !c->seq_known) {
				c->seq[RECEIVED] = t->copied_seq;
				c->seq[SENT] = t->write_seq;
				c->seq_known = 3;
			}
		}
		return 0;
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK: /* in the thread that calls shutdown or close, after all that it sent */
		c = conn_of(sk, false);
		if (c)
			end(c, SENT);
		return 0;
	case TCP_CLOSE:
		/* A TCP socket may still hold bytes to be read: it ends with tcp_destroy_sock. That hook does not see the
		 * upper half of an MPTCP connection, which ends here; what is read after that is not sent up. */
		if (protocol != IPPROTO_MPTCP)
			return 0;
		c = conn_of(sk, false);
		if (!c || c->closed)
			return 0;
		parted(c);
		if (c->told && !c->covered)
			mark(c, CLOSED, 0, 0);
		c->told = 0;
		c->closed = 1;
		c->verdict = SILENT;
	}
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock *sk)
{
	struct conn *c = conn_of(sk, false);
	if (!c)
		return 0;
	parted(c);
	restart(c);
	if (by_address) {
		u64 key = (u64)sk;
		bpf_map_delete_elem(&by_sock, &key);
	}
	return 0;
}

/* ---- backend "socket": the tracepoints after a socket's copy, 6.3 and later ---- */

#define READ_TYPED(regs, field) ((regs)->field)

/* own counts the agent's own traffic. */
static __always_inline bool is_own(struct counters *k, u64 pid_tgid, u32 n)
{
	if ((u32)(pid_tgid >> 32) != self)
		return false;
	lose(k, OWN, n);
	return true;
}

/* next_message finds which of the messages of a sendmmsg or recvmmsg a hook belongs to: the hook fires once for each.
 * full says that the message went through whole; the system call stops at the first that did not. */
static __always_inline u32 next_message(struct conn *c, u64 base, u32 vlen, u32 tid)
{
	u32 i = 0;
	if (c->mm_base == base && c->mm_tid == tid && c->mm_next < vlen)
		i = c->mm_next;
	c->mm_base = base;
	c->mm_tid = tid;
	c->mm_next = i + 1;
	return i;
}

static __always_inline int on_length(struct sock *sk, int ret, int flags, u32 dir)
{
	u16 family = sk->__sk_common.skc_family, protocol = sk->sk_protocol;
	struct call x = {};
	struct args a = {};
	struct counters *k;
	struct conn *c;
	struct task_struct *task;
	u32 form;

	if (!is_stream(family, protocol)) {
		if (protocol == IPPROTO_UDP && ret > 0 && (family == AF_INET || family == AF_INET6) &&
		    (sk->__sk_common.skc_num == 443 || sk->__sk_common.skc_dport == bpf_htons(443))) {
			k = counters();
			if (k) {
				k->blind[BLIND_QUIC].n++;
				k->blind[BLIND_QUIC].bytes += ret;
			}
		}
		return 0;
	}
	if (ret <= 0) {
		c = conn_of(sk, false);
		if (!c)
			return 0;
		c->mm_base = 0; /* an error ends a sendmmsg or recvmmsg */
		if (ret == 0 && dir == RECEIVED && sk->sk_shutdown & RCV_SHUTDOWN && !(flags & (MSG_PEEK | MSG_ERRQUEUE)))
			end(c, RECEIVED);
		return 0;
	}
	if (flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB))
		return 0;
	k = counters();
	if (!k)
		return 0;
	x.pid_tgid = bpf_get_current_pid_tgid();
	k->captured.n++;
	k->captured.bytes += ret;
	if (is_own(k, x.pid_tgid, ret))
		return 0;
	c = conn_of(sk, true);
	if (!c) {
		lose(k, COPY_FAULT, ret);
		return 0;
	}
	if (is_over(c, k, ret))
		return 0;
	if (!c->id.rport)
		adopt(c, sk, bpf_get_socket_cookie(sk));
	x.dir = dir;
	x.n = ret;
	x.slot = dir;
	if (protocol == IPPROTO_TCP) {
		struct tcp_sock *t = bpf_skc_to_tcp_sock(sk);
		if (t) {
			x.seq = dir == SENT ? t->write_seq : t->copied_seq;
			x.has_seq = 1;
		}
	}
	task = bpf_get_current_task_btf();
	if (task->flags & (PF_KTHREAD | PF_IO_WORKER)) {
		x.why = WHY_FAULT;
		x.blind = 1 + (task->flags & PF_KTHREAD ? BLIND_KERNEL : BLIND_IO_URING);
		goto out;
	}
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	ARGS_OF(&a, task, regs, READ_TYPED);
	x.msg.compat = a.compat;
	form = form_of(a.nr, a.compat) & FORM_MASK;
	if (form == FORM_CALL)
		form = unpack_call(&a) & FORM_MASK;
	if (flags & MSG_TRUNC)
		form = FORM_NONE; /* the bytes were thrown away, not copied */
	x.msg.base = a.a[1];
	switch (form) {
	case FORM_BUF:
		break;
	case FORM_IOV:
		x.msg.vecs = a.a[2];
		break;
	case FORM_MMSG:
		x.msg.base += mmsghdr_size(a.compat) * next_message(c, a.a[1], a.a[2], (u32)x.pid_tgid);
		/* fall through */
	case FORM_MSG:
		if (!read_msghdr(x.msg.base, &x.msg))
			x.why = WHY_FAULT;
		break;
	case FORM_SPLICE:
		x.why = WHY_SPLICE;
		x.blind = 1 + BLIND_SPLICE;
		break;
	case FORM_URING:
		x.why = WHY_FAULT;
		x.blind = 1 + BLIND_IO_URING;
		break;
	default:
		x.why = WHY_FAULT;
		x.blind = 1 + (a.compat ? BLIND_COMPAT : BLIND_SYSCALL);
	}
out:
	capture(c, k, &x);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int ret, int flags)
{
	return on_length(sk, ret, 0, SENT);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_recv, struct sock *sk, int ret, int flags)
{
	return on_length(sk, ret, flags, RECEIVED);
}

/* ---- backend "syscall": the return of every system call ---- */

#define READ_RAW(regs, field) BPF_CORE_READ(regs, field)

/* sock_of returns the socket behind a file descriptor of the current process, or 0. The descriptor may have been closed
 * by another thread since the call began; its number then most likely names nothing, at worst another socket. */
static __always_inline struct sock *sock_of(struct task_struct *task, u32 fd)
{
	struct fdtable *t = BPF_CORE_READ(task, files, fdt);
	struct file *f = 0, **all;
	struct socket *s;
	u16 mode;
	if (!t || fd >= BPF_CORE_READ(t, max_fds))
		return 0;
	all = BPF_CORE_READ(t, fd);
	if (bpf_probe_read_kernel(&f, sizeof(f), all + fd) || !f)
		return 0;
	mode = BPF_CORE_READ(f, f_inode, i_mode);
	if ((mode & S_IFMT) != S_IFSOCK)
		return 0;
	s = BPF_CORE_READ(f, private_data);
	return BPF_CORE_READ(s, sk);
}

/* one captures one socket call. Not inlined and not static: see sniff. */
__noinline int one(struct conn *c, struct call *x)
{
	struct counters *k = counters();
	if (!c || !x || !k)
		return 0;
	if (!x->n)
		return 0;
	k->captured.n++;
	k->captured.bytes += x->n;
	if (is_own(k, x->pid_tgid, x->n) || is_over(c, k, x->n))
		return 0;
	capture(c, k, x);
	return 0;
}

/* MMSG_MAX messages are followed per sendmmsg or recvmmsg; the sequence numbers show what further ones held. */
#define MMSG_MAX 64

SEC("raw_tp/sys_exit")
int on_syscall(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
	s64 ret = ctx->args[1];
	struct task_struct *task;
	struct sock *sk;
	struct args a = {};
	struct scratch *s;
	struct call *x;
	struct conn *c;
	u32 form, flags = 0;
	u64 key;

	if (ret < 0)
		return 0;
	task = (struct task_struct *)bpf_get_current_task();
	ARGS_OF(&a, task, regs, READ_RAW);
	form = form_of(a.nr, a.compat);
	if (form == FORM_CALL)
		form = unpack_call(&a);
	if (!(form & FORM_MASK) || (form & FORM_MASK) == FORM_URING)
		return 0;
	if (form & FORM_INOUT) {
		sk = sock_of(task, a.a[2]);
		if (sk)
			form |= FORM_SENDS;
		else
			sk = sock_of(task, a.a[0]);
	} else {
		sk = sock_of(task, a.a[0]);
	}
	if (!sk)
		return 0;
	if (form & FORM_FLAGS2)
		flags = a.a[2];
	if (form & FORM_FLAGS3)
		flags = a.a[3];
	if (flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB))
		return 0;
	key = (u64)sk;
	c = bpf_map_lookup_elem(&by_sock, &key);
	if (!c || !c->id.rport) { /* only streams have state */
		u16 family = BPF_CORE_READ(sk, __sk_common.skc_family), protocol = BPF_CORE_READ(sk, sk_protocol);
		if (!is_stream(family, protocol)) {
			if (ret && protocol == IPPROTO_UDP && (family == AF_INET || family == AF_INET6) &&
			    (BPF_CORE_READ(sk, __sk_common.skc_num) == 443 ||
			     BPF_CORE_READ(sk, __sk_common.skc_dport) == bpf_htons(443))) {
				struct counters *k = counters();
				if (k) {
					k->blind[BLIND_QUIC].n++;
					k->blind[BLIND_QUIC].bytes += ret;
				}
			}
			return 0;
		}
		if (!ret)
			return 0;
		c = conn_of(sk, true);
		if (!c)
			return 0;
		/* Not the cookie: the state of this connection may have been pushed out of the map, and a number must not
		 * come back with other positions. The time and the CPU, out of the range of cookies. */
		adopt(c, sk, bpf_ktime_get_ns() << 8 | bpf_get_smp_processor_id() | 1ULL << 63);
	}
	s = scratch_of(0);
	if (!s)
		return 0;
	x = &s->call;
	__builtin_memset(x, 0, sizeof(*x));
	x->dir = form & FORM_SENDS ? SENT : RECEIVED;
	x->slot = 0;
	x->pid_tgid = bpf_get_current_pid_tgid();
	x->msg.compat = a.compat;
	x->msg.base = a.a[1];
	if (!ret) {
		if (x->dir == RECEIVED && BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN)
			end(c, RECEIVED);
		return 0;
	}
	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP) {
		struct tcp_sock *t = (struct tcp_sock *)sk;
		x->seq = x->dir == SENT ? BPF_CORE_READ(t, write_seq) : BPF_CORE_READ(t, copied_seq);
		x->has_seq = 1;
	}
	if (flags & MSG_TRUNC)
		x->why = WHY_FAULT;
	if ((form & FORM_MASK) == FORM_MMSG) {
		u64 at = a.a[1], size = mmsghdr_size(a.compat), len = a.compat ? 28 : 56; /* of msg_len */
		u32 seq = x->seq, has_seq = x->has_seq;
		x->has_seq = 0;
		for (u32 i = 0; i < MMSG_MAX; i++) {
			u32 n = 0;
			if (i >= ret)
				break;
			bpf_probe_read_user(&n, sizeof(n), (void *)(at + len));
			x->n = n;
			if (!x->why && !read_msghdr(at, &x->msg))
				x->why = WHY_FAULT;
			one(c, x);
			at += size;
		}
		if (has_seq) {
			c->seq[x->dir & 1] = seq;
			c->seq_known |= 1 << (x->dir & 1);
		}
		return 0;
	}
	x->n = ret;
	switch (form & FORM_MASK) {
	case FORM_IOV:
		x->msg.vecs = a.a[2];
		break;
	case FORM_MSG:
		if (!read_msghdr(a.a[1], &x->msg))
			x->why = WHY_FAULT;
		break;
	case FORM_SPLICE:
		x->why = WHY_SPLICE;
		x->blind = 1 + BLIND_SPLICE;
	}
	one(c, x);
	return 0;
}

/* ---- at start ---- */

/* on_existing runs over the TCP sockets of a network namespace, listening ones first. It also learns the agent's own
 * process number, as the kernel sees it. */
SEC("iter/tcp")
int on_existing(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct conn *c;
	u8 one = 1;
	if (!self)
		self = bpf_get_current_pid_tgid() >> 32;
	if (!sk)
		return 0;
	if (sk->skc_state == TCP_LISTEN) {
		struct listen_key k = {.netns = sk->skc_net.net->ns.inum, .port = sk->skc_num};
		long err = bpf_map_update_elem(&listening, &k, &one, BPF_ANY);
		if (err)
			failed(AT_LISTENING, err);
		return 0;
	}
	if (sk->skc_state != TCP_ESTABLISHED)
		return 0;
	c = conn_of((struct sock *)sk, true);
	if (!c || c->id.rport)
		return 0;
	adopt(c, (struct sock *)sk, bpf_get_socket_cookie(sk));
	connected(c);
	return 0;
}

/* ---- processes ---- */

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	u32 tgid = task->tgid;
	struct exec e = {};
	char path[256];
	long n = bpf_probe_read_kernel_str(path, sizeof(path), bprm->filename);
	(void)old_pid;
	if (n < 0) {
		failed(AT_EXECS, n);
		return 0;
	}
	/* the end of the path: user space cuts it at the last slash */
	u32 from = n > (long)sizeof(e.name) ? n - sizeof(e.name) : 0;
	asm volatile("%0 &= 255" : "+r"(from));
	if (from > sizeof(path) - sizeof(e.name))
		return 0;
	bpf_probe_read_kernel(e.name, sizeof(e.name), path + from);
	n = bpf_map_update_elem(&execs, &tgid, &e, BPF_ANY);
	if (n)
		failed(AT_EXECS, n);
	return 0;
}
