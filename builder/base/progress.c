#include "base/progress.h"

#include "base/buf.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/text.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static enum rl_progress_when when_shown;
/* For what is below: several things may be read at a time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool line_shown;
static int64_t last_shown_ms;

static bool wanted(void)
{
	if (when_shown == RL_PROGRESS_AUTO) {
		static _Atomic int shown = -1; /* not asked yet: it is for every file */
		const char *term = getenv("TERM");

		if (shown < 0)
			shown = term && strcmp(term, "dumb") != 0 && isatty(STDERR_FILENO);
		return shown;
	}
	return when_shown == RL_PROGRESS_ALWAYS;
}

static void show(const char *what, const char *text)
{
	struct winsize size;
	struct rl_buf line = RL_BUF_NONE;
	size_t width = 80;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 8)
		width = size.ws_col;
	rl_text_escape(&line, what, strlen(what));
	rl_buf_text(&line, ": ");
	rl_text_escape(&line, text, strlen(text));
	if (line.size > width - 1) {
		line.size = width - 1;
		/* not in the middle of a character: UTF-8 goes on with 10xxxxxx */
		while (line.size && ((unsigned char)line.data[line.size] & 0xc0) == 0x80)
			line.size--;
	}
	pthread_mutex_lock(&lock);
	fprintf(stderr, "\r\033[K%.*s", (int)line.size, line.data);
	fflush(stderr);
	line_shown = true;
	pthread_mutex_unlock(&lock);
	rl_buf_free(&line);
}

void rl_progress_set(enum rl_progress_when when)
{
	when_shown = when;
}

void rl_progress(const char *what, const char *format, ...)
{
	va_list ap;
	char *text;

	if (!wanted())
		return;
	va_start(ap, format);
	text = rl_vprintf(format, ap);
	va_end(ap);
	show(what, text);
	free(text);
}

/* Whether a line is wanted, and the last one is old enough. */
static bool is_due(void)
{
	int64_t ms;
	bool due;

	if (!wanted())
		return false;
	ms = rl_now_ms();
	pthread_mutex_lock(&lock);
	due = !line_shown || ms - last_shown_ms >= 100;
	if (due)
		last_shown_ms = ms;
	pthread_mutex_unlock(&lock);
	return due;
}

void rl_progress_files(const char *what, uint64_t count)
{
	char text[64];

	if (!is_due())
		return;
	snprintf(text, sizeof(text), "%llu files", (unsigned long long)count);
	show(what, text);
}

void rl_progress_bytes(const char *what, uint64_t done, uint64_t total)
{
	char text[64], a[16], b[16];

	if (!is_due())
		return;
	if (total)
		snprintf(text, sizeof(text), "%s of %s (%u%%)", rl_format_size(a, done),
			rl_format_size(b, total), (unsigned)(done >= total ? 100 : done * 100 / total));
	else
		snprintf(text, sizeof(text), "%s", rl_format_size(a, done));
	show(what, text);
}

void rl_progress_clear(void)
{
	pthread_mutex_lock(&lock);
	if (line_shown) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
	}
	line_shown = false;
	pthread_mutex_unlock(&lock);
}
