#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

char *rl_buf_reserve(struct rl_buf *buf, size_t size)
{
	size_t need;

	if (__builtin_add_overflow(buf->size, size, &need) || need > (size_t)-1 / 2)
		abort();
	if (need > buf->room) {
		size_t room = buf->room ? buf->room : 64;

		while (room < need)
			room *= 2;
		buf->data = rl_realloc_array(buf->data, room, 1);
		buf->room = room;
	}
	return buf->size ? buf->data + buf->size : buf->data;
}

void rl_buf_bytes(struct rl_buf *buf, const void *bytes, size_t size)
{
	if (!size)
		return;
	memcpy(rl_buf_reserve(buf, size), bytes, size);
	buf->size += size;
}

void rl_buf_text(struct rl_buf *buf, const char *text)
{
	rl_buf_bytes(buf, text, strlen(text));
}

void rl_buf_char(struct rl_buf *buf, char c)
{
	rl_buf_bytes(buf, &c, 1);
}

void rl_buf_printf(struct rl_buf *buf, const char *format, ...)
{
	va_list ap;
	char *s;

	va_start(ap, format);
	s = rl_vprintf(format, ap);
	va_end(ap);
	rl_buf_text(buf, s);
	free(s);
}

char *rl_buf_string(struct rl_buf *buf)
{
	char *s;

	rl_buf_char(buf, '\0');
	s = buf->data;
	*buf = (struct rl_buf)RL_BUF_NONE;
	return s;
}

void rl_buf_drop(struct rl_buf *buf, size_t size)
{
	buf->size -= size;
	if (buf->size)
		memmove(buf->data, buf->data + size, buf->size);
}

void rl_buf_tail(struct rl_buf *buf, const void *bytes, size_t size, size_t kept)
{
	rl_buf_bytes(buf, bytes, size);
	if (buf->size > 2 * kept)
		rl_buf_drop(buf, buf->size - kept);
}

bool rl_buf_line(struct rl_buf *line, const char **bytes, const char *end, size_t most)
{
	const char *from = *bytes, *newline = memchr(from, '\n', (size_t)(end - from));
	const char *stop = newline ? newline : end;

	for (; from < stop && line->size < most; from++)
		if (*from)
			rl_buf_char(line, *from);
	*bytes = newline ? newline + 1 : end;
	return newline != NULL;
}

void rl_buf_free(struct rl_buf *buf)
{
	free(buf->data);
	*buf = (struct rl_buf)RL_BUF_NONE;
}
