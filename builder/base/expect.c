#include "base/expect.h"

#include <stdbool.h>
#include <string.h>

#define LINE_SIZE ((size_t)4096)

/* The cost is at most the product of both lengths. */
static bool fits(const char *pattern, const char *line)
{
	const char *star = NULL, *star_at = NULL;

	for (;;) {
		bool quoted = *pattern == '\\' && pattern[1];

		if (*pattern == '*') {
			star = ++pattern;
			star_at = line;
		} else if (*line && (*pattern == '?' || pattern[quoted] == *line)) {
			pattern += 1 + quoted;
			line++;
		} else if (!*line && !*pattern) {
			return true;
		} else if (star && *star_at) {
			pattern = star;
			line = ++star_at;
		} else {
			return false;
		}
	}
}

void rl_expect_rest(struct rl_expect *expect)
{
	size_t size = expect->line.size;

	if (expect->met == expect->count || !size)
		return;
	/* The line stays as it is: more of it may come. */
	rl_buf_char(&expect->line, '\0');
	if (fits(expect->patterns[expect->met], expect->line.data)) {
		expect->met++;
		size = 0;
	}
	expect->line.size = size;
}

static void end_line(struct rl_expect *expect)
{
	struct rl_buf *line = &expect->line;

	/* A terminal's line ends with "\r\n". */
	while (line->size && line->data[line->size - 1] == '\r')
		line->size--;
	/* An empty line may be expected, too. */
	rl_buf_char(line, '\0');
	if (expect->met < expect->count && fits(expect->patterns[expect->met], line->data))
		expect->met++;
	line->size = 0;
}

void rl_expect_bytes(struct rl_expect *expect, const char *bytes, size_t size)
{
	for (const char *end = bytes + size; bytes < end && expect->met < expect->count;)
		if (rl_buf_line(&expect->line, &bytes, end, LINE_SIZE))
			end_line(expect);
}

void rl_expect_free(struct rl_expect *expect)
{
	rl_buf_free(&expect->line);
}
