/*
 * Makes the system fail: linked into a rootlet of its own with the linker's --wrap, so that each call that
 * it lists can be counted, and one of them refused.
 *
 * FAULT_AT=N refuses the Nth call, the first being 1, with FAULT_ERROR: EIO, ENOSPC, or SHORT, which does
 * not fail but has a read or a write do half of what it was asked for. FAULT_LOG names a file, by an absolute
 * path, that gets the name of the refused call; with FAULT_AT=0, the number of calls.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static atomic_long calls;

static void log_text(const char *text)
{
	const char *log = getenv("FAULT_LOG");
	int fd = log ? (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CLOEXEC, 0) : -1;

	if (fd < 0)
		return;
	if (syscall(SYS_write, fd, text, strlen(text)) < 0)
		abort();
	syscall(SYS_close, fd);
}

/* Whether this call is the one; half: whether it can do half of its work. */
static bool is_hit(const char *name, bool can_do_half, bool *half)
{
	const char *at = getenv("FAULT_AT"), *error = getenv("FAULT_ERROR");
	int saved = errno;

	*half = false;
	if (!at || !error || atomic_fetch_add(&calls, 1) + 1 != atol(at))
		return false;
	*half = !strcmp(error, "SHORT");
	if (*half && !can_do_half)
		return *half = false;
	log_text(name);
	errno = *half ? saved : !strcmp(error, "ENOSPC") ? ENOSPC : EIO;
	return true;
}

__attribute__((destructor)) static void tell_count(void)
{
	const char *at = getenv("FAULT_AT");
	char text[32];

	snprintf(text, sizeof(text), "%ld", atomic_load(&calls));
	if (at && !strcmp(at, "0"))
		log_text(text);
}

/* A call that returns -1, or what `failed` is, with errno. */
#define WRAP(type, failed, name, parameters, arguments)                                                      \
	type __real_##name parameters;                                                                       \
	type __wrap_##name parameters;                                                                       \
	type __wrap_##name parameters                                                                        \
	{                                                                                                    \
		bool half;                                                                                   \
                                                                                                             \
		return is_hit(#name, false, &half) ? (failed) : __real_##name arguments;                     \
	}

/* One that moves `size` bytes. */
#define WRAP_DATA(name, parameters, arguments)                                                               \
	ssize_t __real_##name parameters;                                                                    \
	ssize_t __wrap_##name parameters;                                                                    \
	ssize_t __wrap_##name parameters                                                                     \
	{                                                                                                    \
		bool half;                                                                                   \
                                                                                                             \
		if (is_hit(#name, size > 1, &half)) {                                                        \
			if (!half)                                                                           \
				return -1;                                                                   \
			size /= 2;                                                                           \
		}                                                                                            \
		return __real_##name arguments;                                                              \
	}

WRAP_DATA(read, (int fd, void *bytes, size_t size), (fd, bytes, size))
WRAP_DATA(write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
WRAP_DATA(pread64, (int fd, void *bytes, size_t size, off64_t at), (fd, bytes, size, at))
WRAP_DATA(pwrite64, (int fd, const void *bytes, size_t size, off64_t at), (fd, bytes, size, at))
WRAP_DATA(copy_file_range, (int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags),
	(in, from, out, to, size, flags))
WRAP(int, -1, fsync, (int fd), (fd))
WRAP(int, -1, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP(int, -1, sync_file_range, (int fd, off64_t at, off64_t size, unsigned flags), (fd, at, size, flags))
WRAP(int, -1, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(int, -1, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
WRAP(int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, -1, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(int, -1, stat64, (const char *path, struct stat64 *st), (path, st))
WRAP(int, -1, lstat64, (const char *path, struct stat64 *st), (path, st))
WRAP(int, -1, fstat64, (int fd, struct stat64 *st), (fd, st))
WRAP(int, -1, fstatat64, (int fd, const char *path, struct stat64 *st, int flags), (fd, path, st, flags))
WRAP(off64_t, -1, lseek64, (int fd, off64_t at, int whence), (fd, at, whence))
WRAP(ssize_t, -1, llistxattr, (const char *path, char *list, size_t size), (path, list, size))
WRAP(ssize_t, -1, lgetxattr, (const char *path, const char *name, void *value, size_t size),
	(path, name, value, size))
WRAP(ssize_t, -1, readlinkat, (int fd, const char *path, char *target, size_t size), (fd, path, target, size))
WRAP(DIR *, NULL, fdopendir, (int fd), (fd))
WRAP(struct dirent64 *, NULL, readdir64, (DIR * dir), (dir))
WRAP(int, -1, fchdir, (int fd), (fd))
WRAP(int, -1, unshare, (int flags), (flags))

/* Those that take a mode if they make a file. */
#define WRAP_OPEN(name, parameters, arguments)                                                               \
	int __real_##name parameters;                                                                        \
	int __wrap_##name parameters;                                                                        \
	int __wrap_##name parameters                                                                         \
	{                                                                                                    \
		bool half;                                                                                   \
		mode_t mode;                                                                                 \
		va_list ap;                                                                                  \
                                                                                                             \
		va_start(ap, flags);                                                                         \
		mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;                               \
		va_end(ap);                                                                                  \
		return is_hit(#name, false, &half) ? -1 : __real_##name arguments;                           \
	}

WRAP_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(openat64, (int fd, const char *path, int flags, ...), (fd, path, flags, mode))

/* openat2() has no function of its own. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
/* It reads six arguments where fewer may have been given, as the C library's does. */
__attribute__((no_sanitize("address"))) long __wrap_syscall(long number, ...)
{
	long a[6];
	bool half;
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 && is_hit("openat2", false, &half))
		return -1;
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
