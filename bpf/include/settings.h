/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Settings are set by the loader before the programs are verified, so that what is off costs nothing: the verifier
 * removes the code behind a constant false. */
#ifndef GNOMON_SETTINGS_H
#define GNOMON_SETTINGS_H

#include "types.h"

/* MAX_DATA is the most payload that one record holds. A power of two less one, so that "x &= MAX_DATA" is the proof that a
 * copy of at most MAX_DATA bytes at an offset of at most MAX_DATA stays inside scratch.data, which is twice as large. */
#define MAX_DATA 16383

/* Payload budgets per socket call, at most MAX_DATA. "head" holds for the first call after the direction turned, which
 * is where a message head stands; "body" for those that follow in the same direction. */
const volatile u32 request_head = MAX_DATA;
const volatile u32 request_body = 4096;
const volatile u32 response_head = 2048;
const volatile u32 response_body = 1024;

const volatile u32 shards = 1;           /* rings in use, 1 to MAX_SHARDS */
const volatile u64 wake_bytes = 1 << 20; /* the reader is woken when a ring fills past this; below it polls */

/* by_address keeps the state of connections in an LRU map keyed by the address of their struct sock instead of in
 * socket storage: the syscall backend finds sockets through file descriptors, as plain addresses, which socket storage
 * does not take. */
const volatile bool by_address = false;

/* everything turns the sniff off: what speaks no known protocol is captured too. */
const volatile bool everything = false;

/* self is the agent's own process, as the kernel numbers it. The iterator run at start fills it in: inside a PID
 * namespace the agent does not know its number. */
u32 self = 0;

#endif
