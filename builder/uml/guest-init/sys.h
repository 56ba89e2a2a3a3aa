/*
 * The system as the init in the guest sees it: calls without a libc, for there may be none in the guest. They return
 * -errno. And the few functions on strings that the init needs.
 */
#ifndef RL_GUEST_INIT_SYS_H
#define RL_GUEST_INIT_SYS_H

#include <asm/unistd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h> /* memcpy() and its like, which are in sys.c: the compiler calls them by itself */

static inline long sys6(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* SYS(open, path, flags): as many arguments as the call takes. */
#define SYS_PICK(n, a, b, c, d, e, f, ...)                                                                   \
	sys6(__NR_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS(...) SYS_PICK(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

size_t length(const char *text);
bool same(const char *a, const char *b);
bool begins(const char *text, const char *with);
/* Where the byte is in a text, or NULL. */
const char *find_byte(const char *text, char byte);
/* A decimal number that ends with the text; false: it is none, or more than max. */
bool number(const char *text, uint32_t max, uint32_t *value);
/* Copies at most size - 1 bytes and a NUL; what does not fit is left away. Returns where the NUL is. */
char *put(char *at, const char *end, const char *text);

/* Memory that is never given back. */
void *take(size_t size);
/* A whole file with a NUL behind it, or NULL; at most so many bytes. */
char *read_file(int folder, const char *path, size_t max, size_t *size);
bool write_file(int folder, const char *path, const char *text);

int64_t now_ms(void);

/*
 * Starts a process that shares all memory with this one, which goes on only when the new one has executed a program or
 * ended: under UML a process with memory of its own takes milliseconds. It runs the function, which does not return, on the
 * stack that ends there.
 */
long spawn(void (*run)(void *context), void *context, void *stack_end);

#endif
