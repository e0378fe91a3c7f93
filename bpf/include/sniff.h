/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The sniff: from the first bytes of a connection, does it speak a protocol that is decoded? No parsing: it only saves
 * the cost of databases, queues and shells. Where it can be in doubt it lets pass; user space then mutes. */
#ifndef GNOMON_SNIFF_H
#define GNOMON_SNIFF_H

#include "maps.h"

/* SNIFF_MAX bytes at most are looked at per call, and as long a method is taken for one. The loop is unrolled by the
 * verifier: 32 rounds of some 30 instructions. */
#define SNIFF_MAX 32

/* conn.token, between calls: how many characters of a method came, and what they were. */
enum { TOKEN_LEN = 63, TOKEN_LOWER = 64, TOKEN_SPACE = 128, TOKEN_CRLF = 256 };

/* The tchar of RFC 9110 section 5.6.2, as a bit per character. */
static __always_inline bool tchar(u8 b)
{
	const u64 low = 0x03ff6cfa00000000ULL;  /* 0-9 ! # $ % & ' * + - . */
	const u64 high = 0x57ffffffc7fffffeULL; /* A-Z a-z ^ _ ` | ~ */
	if (b < 64)
		return (low >> b) & 1;
	if (b < 128)
		return (high >> (b - 64)) & 1;
	return false;
}

/* sniff_byte judges the next byte of the client's stream. The state between bytes is in memory, not in a register: the
 * verifier tracks the values that a register may have and would follow each of the 2^32 ways through the loop. */
static __always_inline u8 sniff_byte(volatile u16 *token, u8 b)
{
	u16 t = *token;
	if (t & TOKEN_SPACE) {
		/* "/path", "*", "http://…"; anything printable after an upper-case method, for CONNECT and for targets that a
		 * server will refuse */
		if (b == ' ')
			return UNDECIDED;
		if (b == '/' || b == '*' || b == 'h' || b == 'H' || (!(t & TOKEN_LOWER) && b > ' ' && b < 127))
			return SPEAKS;
		return SILENT;
	}
	if (!(t & TOKEN_LEN)) {
		if (b == '\r' || b == '\n') { /* RFC 9112 section 2.2: empty lines before a request */
			*token = t | TOKEN_CRLF;
			return UNDECIDED;
		}
		if (b == 0x16) /* TLS handshake record */
			return TLS;
		if (b == 0 && (t & TOKEN_CRLF)) /* PROXY protocol, version 2 */
			return SPEAKS;
	} else if (b == ' ') {
		*token = t | TOKEN_SPACE;
		return UNDECIDED;
	}
	if (!tchar(b) || (t & TOKEN_LEN) >= SNIFF_MAX)
		return SILENT;
	if (b < 'A' || b > 'Z')
		t |= TOKEN_LOWER;
	*token = t + 1;
	return UNDECIDED;
}

/* sniff_request judges the next n bytes of the client's stream, continuing c->token. */
static __always_inline u8 sniff_request(struct conn *c, const u8 *p, u32 n)
{
	for (u32 i = 0; i < SNIFF_MAX; i++) {
		u8 v;
		if (i >= n)
			break;
		v = sniff_byte(&c->token, p[i]);
		if (v != UNDECIDED)
			return v;
	}
	return UNDECIDED;
}

static __always_inline bool is_http(const u8 *p, u32 n)
{
	return n >= 5 && p[0] == 'H' && p[1] == 'T' && p[2] == 'T' && p[3] == 'P' && p[4] == '/';
}

/* response judges what the server said before the client said anything. */
static __always_inline u8 sniff_response(const u8 *p, u32 n)
{
	if (is_http(p, n))
		return SPEAKS;
	if (n < 5 && p[0] == 'H')
		return UNDECIDED;
	if (n >= 9 && p[0] == 0 && p[3] == 4 && p[5] == 0 && p[8] == 0) /* HTTP/2 SETTINGS on stream 0 */
		return UNDECIDED;
	return SILENT;
}

/* A stream that is joined in the middle shows what it speaks where its next message starts. */
static __always_inline void is_role(struct conn *c, u8 role)
{
	if (c->id.role == UNKNOWN)
		c->id.role = role;
}

static __always_inline u8 sniff_joined(struct conn *c, const u8 *p, u32 n, u32 dir)
{
	u8 v;
	if (n >= 3 && p[0] >= 0x14 && p[0] <= 0x17 && p[1] == 3 && p[2] <= 4)
		return TLS;
	if (is_http(p, n)) {
		is_role(c, dir == RECEIVED ? CLIENT : SERVER);
		return SPEAKS;
	}
	c->token = 0;
	v = sniff_request(c, p, n);
	c->token = 0;
	if (v != SPEAKS)
		return UNDECIDED;
	is_role(c, dir == RECEIVED ? SERVER : CLIENT);
	return SPEAKS;
}

/* sniff judges the first n bytes of a call in direction dir, n > 0, and returns an enum verdict. Not inlined and not
 * static: the verifier then follows its loops once, and not once for each state that a caller may come with. */
__noinline u32 sniff(struct conn *c, struct scratch *s, u32 n, u32 dir)
{
	if (!c || !s)
		return UNDECIDED;
	if (c->joined || c->id.role == UNKNOWN)
		return sniff_joined(c, s->data, n, dir);
	if ((c->id.role == SERVER) == (dir == RECEIVED))
		return sniff_request(c, s->data, n);
	return sniff_response(s->data, n);
}

#endif
