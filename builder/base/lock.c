#include "base/lock.h"

#include "base/io.h"
#include "base/mem.h"

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

char *rl_process_name(pid_t pid)
{
	struct rl_buf comm = RL_BUF_NONE;
	char *path = rl_printf("/proc/%ld/comm", (long)pid), *name;

	if (pid > 0 && rl_read_file(path, 4096, &comm, NULL) == 0 && comm.size) {
		const char *end = memchr(comm.data, '\n', comm.size);

		name = rl_printf(
			"%ld (%.*s)", (long)pid, (int)(end ? end - comm.data : (long)comm.size), comm.data);
	} else {
		name = rl_printf("%ld", (long)pid);
	}
	rl_buf_free(&comm);
	free(path);
	return name;
}

int rl_lock_check(const char *path, bool for_writing, const char *action, struct rl_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	pid_t holder;
	char *name;

	if (fd < 0)
		return errno == ENOENT ? 0 : rl_fail_errno(err, path, action, errno);
	holder = rl_lock_holder(fd, for_writing);
	close(fd);
	if (!holder)
		return 0;
	if (holder < 0)
		return rl_fail(err, path, action, "in use by another process");
	name = rl_process_name(holder);
	rl_fail(err, path, action, "in use by process %s", name);
	free(name);
	return -1;
}
