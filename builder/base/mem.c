#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 * 1024 * 1024)

static void *must(void *p)
{
	if (!p) {
		fputs("rootlet: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *rl_alloc(size_t size)
{
	return must(malloc(size ? size : 1));
}

void *rl_calloc(size_t count, size_t size)
{
	return must(calloc(count ? count : 1, size ? size : 1));
}

void *rl_calloc_table(size_t size)
{
	void *p;

	if (size < 2 * HUGE_PAGE || size > SIZE_MAX / 2)
		return memset(rl_alloc(size), 0, size);
	size = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	p = must(aligned_alloc(HUGE_PAGE, size));
	madvise(p, size, MADV_HUGEPAGE); /* a wish */
	return memset(p, 0, size);
}

void *rl_realloc_array(void *old, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		must(NULL);
	return must(realloc(old, bytes ? bytes : 1));
}

char *rl_strdup(const char *s)
{
	return must(strdup(s));
}

char *rl_strndup(const char *s, size_t n)
{
	return must(strndup(s, n));
}

char *rl_vprintf(const char *format, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, format, ap) < 0)
		must(NULL);
	return s;
}

char *rl_printf(const char *format, ...)
{
	va_list ap;
	char *s;

	va_start(ap, format);
	s = rl_vprintf(format, ap);
	va_end(ap);
	return s;
}
