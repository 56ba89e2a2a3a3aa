#include "package/package-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 100

static const char *const folders[] = {"sources", "products", "logs", "tmp", "locks", "recorded", "records"};

char *rl_store_path(const struct rl_store *store, const char *format, ...)
{
	va_list ap;
	char *rest, *path;

	va_start(ap, format);
	rest = rl_vprintf(format, ap);
	va_end(ap);
	path = rl_printf("%s/%s", store->folder, rest);
	free(rest);
	return path;
}

void rl_store_note(const struct rl_store *store, const char *format, ...)
{
	va_list ap;
	char *text;

	if (!store->options.note)
		return;
	va_start(ap, format);
	text = rl_vprintf(format, ap);
	va_end(ap);
	store->options.note(store->options.context, text);
	free(text);
}

static void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* ---- locks ---- */

enum lock_result { LOCK_TAKEN, LOCK_BUSY, LOCK_FAILED };

/*
 * The holder removes the lock's file before it lets go, so that the folder stays empty. Who then gets
 * a lock on the removed file has locked nothing, and must try again.
 */
static enum lock_result try_lock(struct rl_store_lock *lock, struct rl_error *err)
{
	struct stat mine, there;

	lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
	/* Another user's, made with another umask: reading is enough for a lock. */
	if (lock->fd < 0 && errno == EACCES) {
		lock->fd = open(lock->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		errno = EACCES;
	}
	if (lock->fd < 0) {
		rl_fail_errno(err, lock->path, "open", errno);
		return LOCK_FAILED;
	}
	if (flock(lock->fd, LOCK_EX | LOCK_NB) == 0) {
		if (fstat(lock->fd, &mine) == 0 && stat(lock->path, &there) == 0 &&
			rl_same_file(&mine, &there))
			return LOCK_TAKEN;
	} else if (errno != EWOULDBLOCK && errno != EINTR) {
		rl_fail_errno(err, lock->path, "lock", errno);
		rl_close(&lock->fd);
		return LOCK_FAILED;
	}
	rl_close(&lock->fd);
	return LOCK_BUSY;
}

int rl_store_lock(const struct rl_store *store, const char *name, const char *waiting,
	struct rl_store_lock *lock, struct rl_error *err)
{
	enum lock_result result;

	lock->path = rl_store_path(store, "locks/%s", name);
	while ((result = try_lock(lock, err)) == LOCK_BUSY) {
		if (rl_check_interrupted(name, "wait for the lock", err))
			break;
		if (waiting)
			rl_store_note(store, "%s", waiting);
		waiting = NULL;
		sleep_ms(POLL_MS);
	}
	if (result == LOCK_TAKEN)
		return 0;
	rl_store_unlock(lock);
	return -1;
}

void rl_store_unlock(struct rl_store_lock *lock)
{
	if (lock->fd >= 0)
		unlink(lock->path);
	rl_close(&lock->fd);
	free(lock->path);
	lock->path = NULL;
}

/* ---- temporary folders ---- */

/* Making a folder with its lock, and looking for folders without one, must not meet. */
#define TMP_LOCK "tmp"

int rl_temp_open(const struct rl_store *store, const char *name, struct rl_temp *temp, struct rl_error *err)
{
	struct rl_store_lock lock = RL_STORE_LOCK_NONE;
	char *file = NULL;
	int result = -1;

	*temp = (struct rl_temp)RL_TEMP_NONE;
	if (rl_store_lock(store, TMP_LOCK, NULL, &lock, err))
		return -1;
	temp->path = rl_store_path(store, "tmp/%s-XXXXXX", name);
	if (!mkdtemp(temp->path)) {
		rl_fail_errno(err, temp->path, "make folder", errno);
		free(temp->path);
		temp->path = NULL;
		goto out;
	}
	file = rl_printf("%s/lock", temp->path);
	temp->lock = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (temp->lock < 0 || flock(temp->lock, LOCK_EX | LOCK_NB)) {
		rl_fail_errno(err, file, "lock", errno);
		rl_temp_close(temp);
		goto out;
	}
	result = 0;
out:
	rl_store_unlock(&lock);
	free(file);
	return result;
}

char *rl_temp_folder(const struct rl_temp *temp, const char *name, struct rl_error *err)
{
	char *path = rl_printf("%s/%s", temp->path, name);

	if (mkdir(path, 0777) == 0)
		return path;
	rl_fail_errno(err, path, "make folder", errno);
	free(path);
	return NULL;
}

/* Processes of a sandbox that was killed just now may still make files: then once more. */
static void remove_for_good(const char *path)
{
	for (int i = 0; i < 20; i++) {
		struct rl_error why = RL_ERROR_NONE;
		int result = rl_remove_tree(AT_FDCWD, path, &why);

		rl_error_clear(&why);
		if (!result)
			return;
		sleep_ms(POLL_MS / 2);
	}
}

void rl_temp_close(struct rl_temp *temp)
{
	if (temp->path)
		remove_for_good(temp->path);
	rl_close(&temp->lock);
	free(temp->path);
	temp->path = NULL;
}

static bool is_dead(const char *folder)
{
	char *file = rl_printf("%s/lock", folder);
	int fd = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	bool dead = fd < 0 ? errno == ENOENT : flock(fd, LOCK_EX | LOCK_NB) == 0;

	rl_close(&fd);
	free(file);
	return dead;
}

/*
 * Removes what killed processes left. That it cannot be done (the store may be read-only) hurts
 * nobody; and if another process is at it, there is nothing to do.
 */
static void clean_tmp(const struct rl_store *store)
{
	struct rl_store_lock lock = {.path = rl_store_path(store, "locks/" TMP_LOCK), .fd = -1};
	char *tmp = rl_store_path(store, "tmp");
	DIR *dir = opendir(tmp);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char *path;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (lock.fd < 0 && try_lock(&lock, NULL) != LOCK_TAKEN)
			break;
		path = rl_printf("%s/%s", tmp, entry->d_name);
		if (is_dead(path))
			remove_for_good(path);
		free(path);
	}
	if (dir)
		closedir(dir);
	rl_store_unlock(&lock);
	free(tmp);
}

/* ---- the store ---- */

/*
 * Whoever uses the store shares this lock, and whoever cleans it up has it alone. Where the store is
 * read-only, or another user's, it may be opened for reading only: that is enough for a lock.
 */
int rl_store_share(struct rl_store *store, bool alone, struct rl_error *err)
{
	char *path = rl_store_path(store, "in-use");
	int fd = store->in_use, result = 0;

	if (fd < 0)
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB)) {
		if (alone || errno != EWOULDBLOCK)
			result = errno == EWOULDBLOCK ? rl_fail(err, store->folder, "clean",
								"it is in use: a build is running")
						      : rl_fail_errno(err, path, "lock", errno);
		else if (flock(fd, LOCK_SH))
			result = rl_fail_errno(err, path, "lock", errno);
	}
	/* One that cannot even be read is of no use to us: what follows says so. */
	store->in_use = fd;
	free(path);
	return result;
}

static char *find_folder(struct rl_error *err)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	const struct passwd *user;

	/* A relative path is to be ignored, as the XDG specification has it. */
	if (cache && cache[0] == '/')
		return rl_printf("%s/rootlet", cache);
	if (!home || home[0] != '/') {
		user = getpwuid(getuid());
		home = user ? user->pw_dir : NULL;
	}
	if (home && home[0] == '/')
		return rl_printf("%s/.cache/rootlet", home);
	rl_fail(err, "store", "find", "neither XDG_CACHE_HOME nor HOME tells where it is");
	return NULL;
}

int rl_store_open(struct rl_store **store, const struct rl_recipe_roots *roots,
	const struct rl_package_options *options, struct rl_error *err)
{
	struct rl_store *s;
	char *folder = find_folder(err);
	int result = 0;

	*store = NULL;
	if (!folder)
		return -1;
	s = rl_calloc(1, sizeof(*s));
	s->folder = folder;
	s->in_use = -1;
	s->pass = 1;
	s->roots = roots;
	if (options)
		s->options = *options;
	for (size_t i = 0; i < RL_COUNT(folders) && !result; i++) {
		char *path = rl_store_path(s, "%s", folders[i]);

		result = rl_make_folders(path, err);
		free(path);
	}
	if (!result)
		result = rl_store_share(s, false, err);
	if (result) {
		rl_store_close(s);
		return -1;
	}
	clean_tmp(s);
	*store = s;
	return 0;
}

void rl_store_close(struct rl_store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < store->entry_count; i++)
		rl_entry_free(store->entries[i]);
	free(store->entries);
	rl_list_free(&store->dead_hosts);
	rl_close(&store->in_use);
	free(store->toolchain);
	free(store->folder);
	free(store);
}
