/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Where a socket call's user buffer is: from system call number and arguments to a form. */
#ifndef GNOMON_SYSCALLS_H
#define GNOMON_SYSCALLS_H

#include "maps.h"

/* form says how a system call names its buffer. The direction bit is used by the system call backend only: at the socket
 * hooks the hook is the direction. */
enum form {
	FORM_NONE,     /* carries no bytes of a socket */
	FORM_BUF,      /* arg 1: pointer to bytes */
	FORM_IOV,      /* arg 1: iovec array, arg 2: how many */
	FORM_MSG,      /* arg 1: msghdr */
	FORM_MMSG,     /* arg 1: mmsghdr array, arg 2: how many */
	FORM_SPLICE,   /* bytes that never were in a user buffer */
	FORM_CALL,     /* i386 socketcall: arg 0 says which, arg 1: its arguments */
	FORM_URING,
	FORM_MASK = 15,
	FORM_SENDS = 16,
	FORM_FLAGS2 = 32, /* arg 2 is flags */
	FORM_FLAGS3 = 64, /* arg 3 is flags */
	FORM_FD0 = 0,
	FORM_INOUT = 128, /* splice: from the file of arg 0 to that of arg 2 */
};

struct args {
	u64 a[4];
	u32 nr;
	u32 compat; /* a 32-bit call: pointers and sizes in memory are 4 bytes wide */
};

#if defined(__TARGET_ARCH_x86)

/* ARGS_OF reads the arguments of the system call that regs belong to. They are still there when the call
 * returns. read is how the caller may read kernel memory. */
#define ARGS_OF(x, task, regs, read)                                                                                       \
	do {                                                                                                               \
		(x)->nr = read(regs, orig_ax);                                                                             \
		(x)->compat = (read(task, thread_info.status) & 2) != 0; /* TS_COMPAT */                                   \
		if ((x)->compat) {                                                                                         \
			(x)->a[0] = (u32)read(regs, bx);                                                                   \
			(x)->a[1] = (u32)read(regs, cx);                                                                   \
			(x)->a[2] = (u32)read(regs, dx);                                                                   \
			(x)->a[3] = (u32)read(regs, si);                                                                   \
		} else {                                                                                                   \
			(x)->a[0] = read(regs, di);                                                                        \
			(x)->a[1] = read(regs, si);                                                                        \
			(x)->a[2] = read(regs, dx);                                                                        \
			(x)->a[3] = read(regs, r10);                                                                       \
		}                                                                                                          \
	} while (0)

static __always_inline u32 form_of(u32 nr, u32 compat)
{
	if (compat) { /* arch/x86/entry/syscalls/syscall_32.tbl */
		switch (nr) {
		case 3: return FORM_BUF;                                  /* read */
		case 4: return FORM_BUF | FORM_SENDS;                     /* write */
		case 102: return FORM_CALL;                               /* socketcall */
		case 145: case 378: return FORM_IOV;                      /* readv, preadv2 */
		case 146: case 379: return FORM_IOV | FORM_SENDS;         /* writev, pwritev2 */
		case 187: case 239: return FORM_SPLICE | FORM_SENDS;      /* sendfile, sendfile64 */
		case 313: return FORM_SPLICE | FORM_INOUT;                /* splice */
		case 337: case 417: return FORM_MMSG | FORM_FLAGS3;       /* recvmmsg, recvmmsg_time64 */
		case 345: return FORM_MMSG | FORM_SENDS;                  /* sendmmsg */
		case 369: return FORM_BUF | FORM_SENDS;                   /* sendto */
		case 370: return FORM_MSG | FORM_SENDS;                   /* sendmsg */
		case 371: return FORM_BUF | FORM_FLAGS3;                  /* recvfrom */
		case 372: return FORM_MSG | FORM_FLAGS2;                  /* recvmsg */
		case 426: return FORM_URING;                              /* io_uring_enter */
		}
		return FORM_NONE;
	}
	switch (nr) { /* arch/x86/entry/syscalls/syscall_64.tbl */
	case 0: return FORM_BUF;                              /* read */
	case 1: return FORM_BUF | FORM_SENDS;                 /* write */
	case 19: case 327: return FORM_IOV;                   /* readv, preadv2 */
	case 20: case 328: return FORM_IOV | FORM_SENDS;      /* writev, pwritev2 */
	case 40: return FORM_SPLICE | FORM_SENDS;             /* sendfile */
	case 44: return FORM_BUF | FORM_SENDS;                /* sendto */
	case 45: return FORM_BUF | FORM_FLAGS3;               /* recvfrom */
	case 46: return FORM_MSG | FORM_SENDS;                /* sendmsg */
	case 47: return FORM_MSG | FORM_FLAGS2;               /* recvmsg */
	case 275: return FORM_SPLICE | FORM_INOUT;            /* splice */
	case 299: return FORM_MMSG | FORM_FLAGS3;             /* recvmmsg */
	case 307: return FORM_MMSG | FORM_SENDS;              /* sendmmsg */
	case 426: return FORM_URING;                          /* io_uring_enter */
	}
	return FORM_NONE;
}

#elif defined(__TARGET_ARCH_arm64)

#define ARGS_OF(x, task, regs, read)                                                                                       \
	do {                                                                                                               \
		(x)->nr = read(regs, syscallno);                                                                           \
		(x)->compat = (read(task, thread_info.flags) >> 22) & 1; /* TIF_32BIT */                                   \
		(x)->a[0] = read(regs, orig_x0);                                                                           \
		(x)->a[1] = read(regs, regs[1]);                                                                           \
		(x)->a[2] = read(regs, regs[2]);                                                                           \
		(x)->a[3] = read(regs, regs[3]);                                                                           \
	} while (0)

static __always_inline u32 form_of(u32 nr, u32 compat)
{
	if (compat) { /* arch/arm/tools/syscall.tbl */
		switch (nr) {
		case 3: return FORM_BUF;                                  /* read */
		case 4: return FORM_BUF | FORM_SENDS;                     /* write */
		case 145: case 392: return FORM_IOV;                      /* readv, preadv2 */
		case 146: case 393: return FORM_IOV | FORM_SENDS;         /* writev, pwritev2 */
		case 187: case 239: return FORM_SPLICE | FORM_SENDS;      /* sendfile, sendfile64 */
		case 289: case 290: return FORM_BUF | FORM_SENDS;         /* send, sendto */
		case 291: case 292: return FORM_BUF | FORM_FLAGS3;        /* recv, recvfrom */
		case 296: return FORM_MSG | FORM_SENDS;                   /* sendmsg */
		case 297: return FORM_MSG | FORM_FLAGS2;                  /* recvmsg */
		case 340: return FORM_SPLICE | FORM_INOUT;                /* splice */
		case 365: case 417: return FORM_MMSG | FORM_FLAGS3;       /* recvmmsg, recvmmsg_time64 */
		case 374: return FORM_MMSG | FORM_SENDS;                  /* sendmmsg */
		case 426: return FORM_URING;
		}
		return FORM_NONE;
	}
	switch (nr) { /* include/uapi/asm-generic/unistd.h */
	case 63: return FORM_BUF;                             /* read */
	case 64: return FORM_BUF | FORM_SENDS;                /* write */
	case 65: case 286: return FORM_IOV;                   /* readv, preadv2 */
	case 66: case 287: return FORM_IOV | FORM_SENDS;      /* writev, pwritev2 */
	case 71: return FORM_SPLICE | FORM_SENDS;             /* sendfile */
	case 76: return FORM_SPLICE | FORM_INOUT;             /* splice */
	case 206: return FORM_BUF | FORM_SENDS;               /* sendto */
	case 207: return FORM_BUF | FORM_FLAGS3;              /* recvfrom */
	case 211: return FORM_MSG | FORM_SENDS;               /* sendmsg */
	case 212: return FORM_MSG | FORM_FLAGS2;              /* recvmsg */
	case 243: return FORM_MMSG | FORM_FLAGS3;             /* recvmmsg */
	case 269: return FORM_MMSG | FORM_SENDS;              /* sendmmsg */
	case 426: return FORM_URING;                          /* io_uring_enter */
	}
	return FORM_NONE;
}

#endif

/* unpack_call replaces the arguments of socketcall(2) by those of the call that it stands for. */
static __always_inline u32 unpack_call(struct args *x)
{
	u32 v[4] = {};
	long err;
	u32 form;
	switch ((u32)x->a[0]) { /* include/uapi/linux/net.h */
	case 9: form = FORM_BUF | FORM_SENDS; break;                 /* SYS_SEND */
	case 10: form = FORM_BUF | FORM_FLAGS3; break;               /* SYS_RECV */
	case 11: form = FORM_BUF | FORM_SENDS; break;                /* SYS_SENDTO */
	case 12: form = FORM_BUF | FORM_FLAGS3; break;               /* SYS_RECVFROM */
	case 16: form = FORM_MSG | FORM_SENDS; break;                /* SYS_SENDMSG */
	case 17: form = FORM_MSG | FORM_FLAGS2; break;               /* SYS_RECVMSG */
	case 19: form = FORM_MMSG | FORM_FLAGS3; break;              /* SYS_RECVMMSG */
	case 20: form = FORM_MMSG | FORM_SENDS; break;               /* SYS_SENDMMSG */
	default: return FORM_NONE;
	}
	err = bpf_probe_read_user(v, sizeof(v), (void *)x->a[1]);
	if (err) {
		failed(AT_SOCKETCALL, err);
		return FORM_NONE;
	}
	x->a[0] = v[0];
	x->a[1] = v[1];
	x->a[2] = v[2];
	x->a[3] = v[3];
	return form;
}

/* read_msghdr finds the iovecs of the msghdr at p. struct msghdr has the iovec pointer at 16 and their number at 24;
 * its 32-bit form at 8 and 12. */
static __always_inline bool read_msghdr(u64 p, struct message *m)
{
	long err;
	if (m->compat) {
		u32 v[2] = {};
		err = bpf_probe_read_user(v, sizeof(v), (void *)(p + 8));
		m->base = v[0];
		m->vecs = v[1];
	} else {
		u64 v[2] = {};
		err = bpf_probe_read_user(v, sizeof(v), (void *)(p + 16));
		m->base = v[0];
		m->vecs = v[1];
	}
	if (err) {
		failed(AT_MSGHDR, err);
		return false;
	}
	return m->vecs > 0;
}

/* The size of struct mmsghdr: a msghdr, the length, padding. */
static __always_inline u64 mmsghdr_size(u32 compat) { return compat ? 32 : 64; }

#endif
