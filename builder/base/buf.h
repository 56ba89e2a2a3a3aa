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
void rl_buf_free(struct rl_buf *buf);

#endif
