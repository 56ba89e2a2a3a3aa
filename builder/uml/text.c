#include "uml/uml-internal.h"

#include "base/text.h"

#include <string.h>

#define CTRL_A    '\001'
#define TAIL_SIZE ((size_t)16 * 1024)

bool rl_escape_input(struct rl_escape *escape, const char *bytes, size_t size, struct rl_buf *out)
{
	for (size_t i = 0; i < size; i++) {
		char c = bytes[i];

		if (!escape->seen && c == CTRL_A) {
			escape->seen = true;
			continue;
		}
		if (escape->seen) {
			escape->seen = false;
			if (c == 'x' || c == 'X')
				return true;
			rl_buf_char(out, CTRL_A);
			if (c == 'a' || c == CTRL_A)
				continue;
		}
		rl_buf_char(out, c);
	}
	return false;
}

void rl_lines_output(struct rl_lines *lines, const char *bytes, size_t size, struct rl_buf *out)
{
	for (size_t i = 0; i < size; i++) {
		if (lines->cr && bytes[i] != '\n')
			rl_buf_char(out, '\r');
		lines->cr = bytes[i] == '\r';
		if (!lines->cr)
			rl_buf_char(out, bytes[i]);
	}
}

void rl_lines_end(struct rl_lines *lines, struct rl_buf *out)
{
	if (lines->cr)
		rl_buf_char(out, '\r');
	lines->cr = false;
}

void rl_tail_add(struct rl_buf *tail, const char *bytes, size_t size)
{
	rl_buf_tail(tail, bytes, size, TAIL_SIZE);
}

/* The bytes up to the end of their line, without blanks at its end, escaped. */
static char *one_line(const char *bytes, size_t size)
{
	struct rl_buf out = RL_BUF_NONE;
	const char *end = memchr(bytes, '\n', size);
	size_t n = end ? (size_t)(end - bytes) : size;

	while (n && strchr(" \t\r", bytes[n - 1]))
		n--;
	rl_text_escape(&out, bytes, n);
	return rl_buf_string(&out);
}

char *rl_panic_words(const struct rl_buf *tail)
{
	static const char mark[] = "Kernel panic - not syncing: ";
	const char *last = NULL;
	size_t at = 0;

	while (tail->size - at >= sizeof(mark)) {
		const char *p = memmem(tail->data + at, tail->size - at, mark, sizeof(mark) - 1);

		if (!p)
			break;
		last = p;
		at = (size_t)(p - tail->data) + sizeof(mark) - 1;
	}
	if (!last)
		return NULL;
	last += sizeof(mark) - 1;
	return one_line(last, tail->size - (size_t)(last - tail->data));
}

char *rl_last_line(const struct rl_buf *tail)
{
	size_t end = tail->size, start;

	while (end && strchr(" \t\r\n", tail->data[end - 1]))
		end--;
	if (!end)
		return NULL;
	for (start = end; start && tail->data[start - 1] != '\n';)
		start--;
	return one_line(tail->data + start, end - start);
}
