/* A growing run of bytes. */
#ifndef RL_BASE_BUF_H
#define RL_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct rl_buf {
	char *data; /* owned; NULL while empty */
	size_t size;
	size_t room;
};

#define RL_BUF_NONE                                                                                          \
	{                                                                                                    \
		NULL, 0, 0                                                                                   \
	}

void rl_buf_bytes(struct rl_buf *buf, const void *bytes, size_t size);
void rl_buf_text(struct rl_buf *buf, const char *text);
void rl_buf_char(struct rl_buf *buf, char c);
void rl_buf_printf(struct rl_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for size more bytes behind the end and returns where they go; the size is unchanged. */
char *rl_buf_reserve(struct rl_buf *buf, size_t size);
/* The contents as a NUL-terminated string that the caller frees; buf is empty afterwards. */
char *rl_buf_string(struct rl_buf *buf);
/* Takes bytes away from the front. */
void rl_buf_drop(struct rl_buf *buf, size_t size);
/* Appends, and keeps at least the last `kept` bytes, at most twice as many: so each is moved about once. */
void rl_buf_tail(struct rl_buf *buf, const void *bytes, size_t size, size_t kept);
/*
 * Appends from *bytes on what belongs to a line, without its "\n" and NULs, and moves *bytes behind it. Of what is longer
 * than most the rest is left out. True: the line is whole; the caller empties it then.
 */
bool rl_buf_line(struct rl_buf *line, const char **bytes, const char *end, size_t most);
void rl_buf_free(struct rl_buf *buf);

#endif
