#include "sys.h"

#include <fcntl.h>
#include <linux/time.h>
#include <sys/mman.h>

/* The kernel starts a program with its stack pointer at argc, and with that aligned to 16. */
__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	call guest_main\n"
	"	hlt\n");

/* The child finds the function and its argument in registers, which the call leaves as they are. */
__asm__(".globl spawn\n"
	"spawn:\n"
	"	mov %rdi, %r8\n"
	"	mov %rsi, %r9\n"
	"	mov $0x4111, %edi\n" /* CLONE_VM | CLONE_VFORK | SIGCHLD */
	"	mov %rdx, %rsi\n"
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	mov $56, %eax\n" /* clone */
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	ret\n"
	"1:	xor %ebp, %ebp\n"
	"	mov %r9, %rdi\n"
	"	call *%r8\n"
	"	hlt\n");

void *memcpy(void *to, const void *from, size_t size)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	char *t = to;
	const char *f = from;

	if (t <= f || t >= f + size)
		return memcpy(to, from, size);
	while (size--)
		*(volatile char *)(t + size) = f[size];
	return to;
}

void *memset(void *at, int byte, size_t size)
{
	void *to = at;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
	return at;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *x = a, *y = b;

	for (; size; size--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t length(const char *text)
{
	size_t n = 0;

	while (*(const volatile char *)(text + n))
		n++;
	return n;
}

bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

bool begins(const char *text, const char *with)
{
	while (*with)
		if (*text++ != *with++)
			return false;
	return true;
}

const char *find_byte(const char *text, char byte)
{
	for (; *text; text++)
		if (*text == byte)
			return text;
	return NULL;
}

bool number(const char *text, uint32_t max, uint32_t *value)
{
	uint64_t sum = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		sum = sum * 10 + (uint64_t)(*text - '0');
		if (sum > max)
			return false;
	}
	*value = (uint32_t)sum;
	return true;
}

char *put(char *at, const char *end, const char *text)
{
	while (*text && at + 1 < end)
		*at++ = *text++;
	*at = '\0';
	return at;
}

void *take(size_t size)
{
	long at =
		SYS(mmap, NULL, size ? size : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at < 0 && at > -4096 ? NULL : (void *)at;
}

char *read_file(int folder, const char *path, size_t max, size_t *size)
{
	int fd = (int)SYS(openat, folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	size_t have = 0, room = 65536;
	char *data = fd < 0 ? NULL : take(room);
	long n = 1;

	while (data && n > 0) {
		if (have + 1 == room) {
			char *more = room > max ? NULL : take(room * 2);

			if (more)
				memcpy(more, data, have);
			SYS(munmap, data, room);
			data = more;
			room *= 2;
			continue;
		}
		n = SYS(read, fd, data + have, room - have - 1);
		have += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		SYS(close, fd);
	if (!data || n < 0)
		return NULL;
	data[have] = '\0';
	if (size)
		*size = have;
	return data;
}

bool write_file(int folder, const char *path, const char *text)
{
	int fd = (int)SYS(openat, folder, path, O_WRONLY | O_CLOEXEC | O_NOCTTY, 0);
	long n = fd < 0 ? -1 : SYS(write, fd, text, length(text));

	if (fd >= 0)
		SYS(close, fd);
	return n == (long)length(text);
}

int64_t now_ms(void)
{
	struct timespec t = {0, 0};

	SYS(clock_gettime, CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
