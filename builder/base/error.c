#include "base/error.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

int rl_fail(struct rl_error *err, const char *subject, const char *action, const char *format, ...)
{
	va_list ap;

	if (!err || err->reason)
		return -1;
	err->subject = rl_strdup(subject);
	err->action = rl_strdup(action);
	va_start(ap, format);
	err->reason = rl_vprintf(format, ap);
	va_end(ap);
	return -1;
}

int rl_fail_errno(struct rl_error *err, const char *subject, const char *action, int number)
{
	return rl_fail(err, subject, action, "%s", strerror(number));
}

int rl_error_add(struct rl_error *err, const char *subject, const char *action, const char *reason)
{
	while (err && err->reason) {
		if (!err->more)
			err->more = rl_calloc(1, sizeof(*err->more));
		err = err->more;
	}
	return rl_fail(err, subject, action, "%s", reason);
}

size_t rl_error_count(const struct rl_error *err)
{
	size_t count = 0;

	for (; err && err->reason; err = err->more)
		count++;
	return count;
}

void rl_error_clear(struct rl_error *err)
{
	for (struct rl_error *more = err->more, *next; more; more = next) {
		next = more->more;
		more->more = NULL;
		rl_error_clear(more);
		free(more);
	}
	free(err->subject);
	free(err->action);
	free(err->reason);
	*err = (struct rl_error)RL_ERROR_NONE;
}

char *rl_error_text(const struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;
	/* A subject without a name is one, too. */
	const char *subject = err->subject && !*err->subject ? "''" : err->subject;
	const char *part[] = {subject, err->action, err->reason};

	/* An empty word of the command line is to be seen. */
	if (part[0] && !*part[0])
		part[0] = "''";
	for (size_t i = 0; i < RL_COUNT(part); i++) {
		if (!part[i] || !part[i][0])
			continue;
		if (text.size)
			rl_buf_text(&text, ": ");
		rl_text_escape(&text, part[i], strlen(part[i]));
	}
	return rl_buf_string(&text);
}
