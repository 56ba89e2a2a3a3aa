/* Text from and for people: sizes, numbers, modes, durations; escaping of what is not printable. */
#ifndef RL_BASE_TEXT_H
#define RL_BASE_TEXT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The parsers take the whole string or fail: they return false on anything else, on overflow and
 * when the value is out of range, and then leave *value alone.
 */
/* 512, 64K, 16M, 2G, 1T: bytes, powers of 1024, also in lower case. */
bool rl_parse_size(const char *s, uint64_t *value);
bool rl_parse_u64(const char *s, uint64_t max, uint64_t *value);
/* Octal permission bits, up to 07777. */
bool rl_parse_mode(const char *s, uint32_t *mode);
/* "UID:GID" in decimal, each up to 4294967294. */
bool rl_parse_owner(const char *s, uint32_t *uid, uint32_t *gid);
/* 90, 90s, 15m, 2h: seconds. */
bool rl_parse_seconds(const char *s, uint64_t *seconds);

/* "1.2M", rounded up, as ls(1) and df(1) have it: at most a handful of characters; buf holds at least 16 bytes. Returns buf. */
char *rl_format_size(char buf[16], uint64_t bytes);

/* Whether it is UTF-8 all through, without control and misleading characters: for rl_text_escape() to leave as it is. */
bool rl_text_is_clean(const char *text);

/* How many bytes a text has before an ending such as ".conf"; -1: it does not end so. */
ssize_t rl_text_before(const char *text, const char *ending);

/* How many columns of a terminal a text takes that has no control characters, in UTF-8, whatever the locale is. */
size_t rl_text_width(const char *text, size_t size);

/*
 * Appends the bytes with control characters, backslash, invisible characters, marks of direction and
 * bytes that are no valid UTF-8 written as \n, \t, \\ and \xHH: safe on a terminal, one line, reversible.
 */
void rl_text_escape(struct rl_buf *out, const char *bytes, size_t size);

/* Appends it as one word for a shell. */
void rl_text_quote(struct rl_buf *out, const char *word);

#endif
