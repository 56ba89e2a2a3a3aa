#include "base/scratch.h"

#include "base/io.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RANDOM  "XXXXXX"
#define FLAGS   (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define AGE_MIN 60 /* seconds: a younger one may not be locked yet */

static bool is_left(int place, const char *name, const char *prefix)
{
	size_t size = strlen(prefix);
	struct stat st;
	int fd;
	bool left;

	if (strncmp(name, prefix, size) != 0 || strlen(name) != size + strlen(RANDOM))
		return false;
	fd = openat(place, name, FLAGS);
	left = fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
	       time(NULL) - st.st_mtim.tv_sec >= AGE_MIN && flock(fd, LOCK_EX | LOCK_NB) == 0;
	rl_close(&fd);
	return left;
}

static void clean(const char *place, const char *prefix)
{
	DIR *dir = opendir(place);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (is_left(dirfd(dir), entry->d_name, prefix))
			rl_remove_tree(dirfd(dir), entry->d_name, NULL);
	if (dir)
		closedir(dir);
}

int rl_scratch_make(struct rl_scratch *scratch, const char *place, const char *prefix, struct rl_error *err)
{
	char *path = rl_printf("%s/%s" RANDOM, place, prefix);

	*scratch = (struct rl_scratch){.lock = -1};
	clean(place, prefix);
	if (!mkdtemp(path)) {
		rl_fail_errno(err, path, "make folder", errno);
		free(path);
		return -1;
	}
	scratch->path = path;
	/* Where there are no such locks, it is taken for one that is held. */
	scratch->lock = open(path, FLAGS);
	if (scratch->lock >= 0)
		flock(scratch->lock, LOCK_EX | LOCK_NB);
	return 0;
}

int rl_scratch_remove(struct rl_scratch *scratch, struct rl_error *err)
{
	int result = scratch->path ? rl_remove_tree(AT_FDCWD, scratch->path, err) : 0;

	rl_close(&scratch->lock);
	free(scratch->path);
	scratch->path = NULL;
	return result;
}
