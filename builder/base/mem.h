/*
 * Memory that is always there: out of memory aborts, so callers never check.
 */
#ifndef RL_BASE_MEM_H
#define RL_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

/* As malloc and friends; the result is never NULL and the caller frees it with free(). */
void *rl_alloc(size_t size);
void *rl_calloc(size_t count, size_t size);
/*
 * Zeroed memory; a large piece gets huge pages where the kernel has them. In tables that are used all over
 * and filled quickly most of the time would go to page faults and the TLB. All of it is written to here: a page that is
 * looked at before it is written to costs another fault, and with threads an interrupt of the other processors.
 */
void *rl_calloc_table(size_t size);
/* An array of count elements of size bytes; aborts if the product overflows. */
void *rl_realloc_array(void *old, size_t count, size_t size);
char *rl_strdup(const char *s);
char *rl_strndup(const char *s, size_t n);
char *rl_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *rl_vprintf(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));

/* Makes room for one more element in a growing array: RL_GROW(v->items, v->count, v->room). */
#define RL_GROW(items, count, room)                                                                          \
	do {                                                                                                 \
		if ((count) >= (room)) {                                                                     \
			(room) = (room) ? (room)*2 : 8;                                                      \
			(items) = rl_realloc_array((items), (room), sizeof(*(items)));                       \
		}                                                                                            \
	} while (0)

#define RL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
