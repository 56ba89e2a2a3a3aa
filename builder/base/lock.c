#include "base/lock.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

pid_t rl_lock_holder(int fd, bool for_writing)
{
	struct flock lock = {.l_type = for_writing ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_GETLK, &lock) || lock.l_type == F_UNLCK)
		return 0;
	/* 0: outside of our pid namespace; -1: an open file description lock, which has no process. */
	return lock.l_pid > 0 ? lock.l_pid : -1;
}

/* A file in /proc as text whose words have a NUL behind them, as cmdline's; "" if it cannot be read. */
static char *read_words(pid_t pid, const char *file, size_t *size)
{
	struct rl_buf buf = RL_BUF_NONE;

	if (rl_read_proc(pid, file, &buf))
		buf.size = 0;
	*size = buf.size;
	return rl_buf_string(&buf);
}

char *rl_process_name(pid_t pid)
{
	size_t comm_size, size;
	char *comm = read_words(pid, "comm", &comm_size), *words = read_words(pid, "cmdline", &size), *name;
	const char *umid = "";

	comm[strcspn(comm, "\n")] = '\0';
	for (const char *word = words; word < words + size; word += strlen(word) + 1)
		if (!strncmp(word, "umid=", 5))
			umid = word + 5;
	if (*comm)
		name = rl_printf("%ld (%s%s%s)", (long)pid, comm, *umid ? ", umid " : "", umid);
	else
		name = rl_printf("%ld", (long)pid);
	free(comm);
	free(words);
	return name;
}

int rl_lock_fail(const char *path, const char *action, pid_t holder, struct rl_error *err)
{
	char *name;

	if (holder < 0)
		return rl_fail(err, path, action, "in use by another process");
	name = rl_process_name(holder);
	rl_fail(err, path, action, "in use by process %s", name);
	free(name);
	return -1;
}

int rl_lock_check(const char *path, bool for_writing, const char *action, struct rl_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	pid_t holder;

	if (fd < 0)
		return errno == ENOENT ? 0 : rl_fail_errno(err, path, action, errno);
	holder = rl_lock_holder(fd, for_writing);
	close(fd);
	return holder ? rl_lock_fail(path, action, holder, err) : 0;
}
