/* base/io and base/remove. */
#include "unit.h"

#include "deny.h"

#include "base/io.h"
#include "base/signals.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>

static void whole_reads_and_writes(void **state)
{
	char data[6] = "";
	int fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	(void)state;
	assert_int_equal(rl_write_all(fd, "abcdef", 6), 0);
	assert_int_equal(rl_pwrite_all(fd, "X", 1, 2), 0);
	assert_int_equal(rl_pread_all(fd, data, 3, 1), 0);
	assert_memory_equal(data, "bXd", 3);
	errno = 0;
	assert_int_equal(rl_pread_all(fd, data, 6, 1), -1);
	assert_int_equal(errno, ENODATA);
	assert_int_equal(lseek(fd, 4, SEEK_SET), 4);
	assert_int_equal(rl_read_all(fd, data, 3), -1);
	assert_int_equal(errno, ENODATA);
	rl_close(&fd);
	assert_int_equal(fd, -1);
	rl_close(&fd);
}

static void reading_files(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_buf buf = RL_BUF_NONE;

	(void)state;
	unit_write("f", "12345");
	rl_buf_text(&buf, "0");
	assert_int_equal(rl_read_file("f", 5, &buf, &err), 0);
	assert_int_equal(buf.size, 6);
	assert_memory_equal(buf.data, "012345", 6);
	assert_int_equal(rl_read_file("f", 4, &buf, &err), -1);
	assert_true(unit_error_has(&err, "f: read: larger than 4 bytes"));
	assert_int_equal(rl_read_file("none", 4, &buf, &err), -1);
	assert_true(unit_error_has(&err, "none: open: No such file"));
	assert_int_equal(rl_read_file(".", 4, &buf, &err), -1);
	assert_true(unit_error_has(&err, ".: read: Is a directory"));
	assert_int_equal(rl_read_file("/dev/zero", 100000, &buf, &err), -1);
	assert_true(unit_error_has(&err, "/dev/zero: read: larger than 100000 bytes"));
	rl_buf_free(&buf);
}

static void making_folders(void **state)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)state;
	assert_int_equal(rl_make_folders("a//b/c/", &err), 0);
	assert_int_equal(rl_make_folders("a/b/c", &err), 0);
	assert_int_equal(rl_make_folders("/", &err), 0);
	assert_true(unit_exists("a/b/c"));
	unit_write("f", "");
	assert_int_equal(rl_make_folders("f", &err), -1);
	assert_true(unit_error_has(&err, "f: make folder: Not a directory"));
	assert_int_equal(rl_make_folders("f/x", &err), -1);
	assert_true(unit_error_has(&err, "f/x: make folder: Not a directory"));
	assert_int_equal(rl_make_folders("", &err), -1);
	assert_true(unit_error_has(&err, "make folder: No such file"));
}

static int read_for_ever(void *argument)
{
	int fds[2];
	char c;
	pid_t parent = getpid(), pid;

	UNIT_CHECK(pipe(fds) == 0);
	rl_signals_catch();
	alarm(20);
	pid = fork();
	UNIT_CHECK(pid >= 0);
	if (pid == 0) {
		/* Again and again: one may come before the read has begun. */
		while (getppid() == parent) {
			kill(parent, SIGTERM);
			usleep(20000);
		}
		_exit(0);
	}
	if (*(bool *)argument) {
		char chunk[4096] = "";

		while (rl_write_all(fds[1], chunk, sizeof(chunk)) == 0)
			;
	} else {
		UNIT_CHECK(rl_read_some(fds[0], &c, 1) == -1);
	}
	UNIT_CHECK(errno == EINTR);
	kill(pid, SIGKILL);
	return 0;
}

/* Whoever waits for a pipe can be ended by SIGTERM like anybody else. */
static void a_signal_ends_waiting_for_a_pipe(void **state)
{
	bool writing = false;

	(void)state;
	unit_child(read_for_ever, &writing);
	writing = true;
	unit_child(read_for_ever, &writing);
}

static void below_follows_no_symlink(void **state)
{
	int top;

	(void)state;
	assert_int_equal(mkdir("top", 0777), 0);
	assert_int_equal(mkdir("top/d", 0777), 0);
	assert_int_equal(mkdir("out", 0777), 0);
	unit_write("top/d/f", "inside");
	unit_write("out/f", "outside");
	assert_int_equal(symlink("../out", "top/l"), 0);
	assert_int_equal(symlink("d/f", "top/lf"), 0);
	top = open("top", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		static const char *const bad[] = {"l/f", "lf", "../out/f", "d/../../out/f", "/dev/null", ""};
		int fd = rl_open_below(top, "d//f", O_RDONLY);
		char data[6];

		assert_true(fd >= 0);
		assert_int_equal(rl_read_all(fd, data, 6), 0);
		assert_memory_equal(data, "inside", 6);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		rl_close(&fd);
		fd = rl_open_below(top, ".", O_RDONLY | O_DIRECTORY);
		assert_true(fd >= 0);
		rl_close(&fd);
		for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
			if (rl_open_below(top, bad[n], O_RDONLY) != -1)
				fail_msg("%s was opened", bad[n]);
		}
		errno = 0;
		assert_int_equal(rl_open_below(top, "l/f", O_RDONLY), -1);
		assert_true(errno == ELOOP || errno == ENOTDIR);
		assert_int_equal(rl_open_below(top, "d/none", O_RDONLY), -1);
		assert_int_equal(errno, ENOENT);
	}
	close(top);
}

static int below_without_openat2(void *argument)
{
	int top = open("top", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	(void)argument;
	UNIT_CHECK(mkdir("out", 0777) == 0 && symlink("../out", "top/l") == 0);
	UNIT_CHECK(close(open("out/f", O_CREAT | O_WRONLY, 0666)) == 0);
	UNIT_CHECK(close(open("top/d/f", O_CREAT | O_WRONLY, 0666)) == 0);
	if (unit_deny(SYS_openat2, 0, 0, ENOSYS))
		return UNIT_NOT_HERE;
	fd = rl_open_below(top, "d//f", O_RDONLY);
	UNIT_CHECK(fd >= 0 && close(fd) == 0);
	fd = rl_open_below(top, ".", O_RDONLY | O_DIRECTORY);
	UNIT_CHECK(fd >= 0 && close(fd) == 0);
	UNIT_CHECK(rl_open_below(top, "l/f", O_RDONLY) == -1 && (errno == ELOOP || errno == ENOTDIR));
	UNIT_CHECK(rl_open_below(top, "l", O_RDONLY) == -1 && errno == ELOOP);
	UNIT_CHECK(rl_open_below(top, "../out/f", O_RDONLY) == -1);
	UNIT_CHECK(rl_open_below(top, "d/../../out/f", O_RDONLY) == -1);
	UNIT_CHECK(rl_open_below(top, "d/none", O_RDONLY) == -1 && errno == ENOENT);
	UNIT_CHECK(rl_open_below(top, "/dev/null", O_RDONLY) == -1 && errno == EXDEV);
	UNIT_CHECK(rl_open_below(top, "", O_RDONLY) == -1 && errno == ENOENT);
	/* No descriptor is left over. */
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	UNIT_CHECK(fd == top + 1);
	return 0;
}

static void below_works_without_openat2(void **state)
{
	(void)state;
	assert_int_equal(rl_make_folders("top/d", NULL), 0);
	unit_child(below_without_openat2, NULL);
}

/* count folders named name below each other; a file "f" in the last. */
static void nest(const char *name, int count)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < count; i++) {
		int next;

		assert_int_equal(mkdirat(fd, name, 0777), 0);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	close(fd);
}

static int few_descriptors(void)
{
	const struct rlimit limit = {24, 24};

	return setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_deep(void *argument)
{
	int top = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	struct rl_buf path = RL_BUF_NONE;
	bool old_kernel = *(bool *)argument;
	char *text;

	for (int i = 0; i < 300; i++)
		rl_buf_text(&path, "a_name_of_some_length/");
	rl_buf_char(&path, 'f');
	text = rl_buf_string(&path);
	UNIT_CHECK(few_descriptors() == 0);
	if (old_kernel && unit_deny(SYS_openat2, 0, 0, EPERM))
		return UNIT_NOT_HERE;
	fd = rl_open_below(top, text, O_RDONLY);
	UNIT_CHECK(fd >= 0);
	close(fd);
	UNIT_CHECK(rl_open_below(top, text, O_RDONLY | O_DIRECTORY) == -1 && errno == ENOTDIR);
	free(text);
	return 0;
}

static void below_takes_paths_of_any_length(void **state)
{
	bool old_kernel = false;

	(void)state;
	nest("a_name_of_some_length", 300);
	unit_child(open_deep, &old_kernel);
	old_kernel = true;
	unit_child(open_deep, &old_kernel);
}

static void removing_a_tree(void **state)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)state;
	assert_int_equal(rl_make_folders("t/a/b", &err), 0);
	assert_int_equal(rl_make_folders("t/c", &err), 0);
	assert_int_equal(rl_make_folders("kept", &err), 0);
	unit_write("kept/f", "kept");
	unit_write("t/a/f", "");
	unit_write("t/a/b/f", "");
	assert_int_equal(symlink("../kept", "t/link"), 0);
	assert_int_equal(symlink("kept", "link"), 0);
	assert_int_equal(link("kept/f", "t/hard"), 0);
	assert_int_equal(mkfifo("t/fifo", 0666), 0);
	for (int i = 0; i < 3000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "t/c/%d", i);
		if (i % 3)
			unit_write(name, "");
		else
			assert_int_equal(mkdir(name, 0777), 0);
	}
	assert_int_equal(rl_remove_tree(AT_FDCWD, "t", &err), 0);
	assert_false(unit_exists("t"));
	assert_int_equal(rl_remove_tree(AT_FDCWD, "link", &err), 0);
	assert_false(unit_exists("link"));
	assert_true(unit_holds("kept/f", "kept"));
	assert_int_equal(rl_remove_tree(AT_FDCWD, "t", &err), 0);
	unit_write("f", "");
	assert_int_equal(rl_remove_tree(AT_FDCWD, "f", &err), 0);
	assert_false(unit_exists("f"));
	assert_false(rl_failed(&err));
}

static int remove_deep(void *argument)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)argument;
	UNIT_CHECK(few_descriptors() == 0);
	UNIT_CHECK(rl_remove_tree(AT_FDCWD, "deep", &err) == 0);
	UNIT_CHECK(!unit_exists("deep"));
	return 0;
}

static void removing_needs_few_descriptors(void **state)
{
	(void)state;
	nest("deep", 5000);
	unit_child(remove_deep, NULL);
}

static int remove_closed(void *argument)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)argument;
	UNIT_CHECK(unit_become_plain() == 0);
	UNIT_CHECK(rl_make_folders("t/none/below", &err) == 0 && rl_make_folders("t/read/below", &err) == 0);
	UNIT_CHECK(rl_make_folders("t/empty", &err) == 0 && rl_make_folders("t/search/below", &err) == 0);
	UNIT_CHECK(close(open("t/read/f", O_CREAT | O_WRONLY, 0666)) == 0);
	UNIT_CHECK(chmod("t/none", 0) == 0 && chmod("t/read", 0444) == 0 && chmod("t/search", 0100) == 0);
	UNIT_CHECK(chmod("t/empty", 0) == 0 && chmod("t", 0500) == 0);
	UNIT_CHECK(rl_remove_tree(AT_FDCWD, "t", &err) == 0);
	UNIT_CHECK(!unit_exists("t"));
	return 0;
}

/* A build may leave folders that not even their owner may write to, list or enter. */
static void removing_opens_closed_folders(void **state)
{
	(void)state;
	unit_child(remove_closed, NULL);
}

static int remove_foreign(void *argument)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)argument;
	UNIT_CHECK(rl_make_folders("t/a/b/c", &err) == 0);
	UNIT_CHECK(close(open("t/a/b/c/f", O_CREAT | O_WRONLY, 0666)) == 0);
	if (geteuid() != 0)
		return UNIT_NOT_HERE;
	UNIT_CHECK(chown("t/a/b/c", 1, 1) == 0 && chown("t/a/b", 65534, 65534) == 0 &&
		   chown("t/a", 65534, 65534) == 0 && chown("t", 65534, 65534) == 0);
	UNIT_CHECK(chmod("t/a/b/c", 0555) == 0);
	UNIT_CHECK(unit_become_plain() == 0);
	UNIT_CHECK(rl_remove_tree(AT_FDCWD, "t", &err) == -1);
	UNIT_CHECK(unit_error_has(&err, "t/a/b/c/f: remove: Permission denied"));
	return 0;
}

static void a_removal_that_fails_names_the_whole_path(void **state)
{
	(void)state;
	unit_child(remove_foreign, NULL);
}

static int write_map(const char *path, unsigned id)
{
	char line[64];
	int fd = open(path, O_WRONLY | O_CLOEXEC), size = snprintf(line, sizeof(line), "0 %u 1", id);
	ssize_t n = fd < 0 ? -1 : write(fd, line, (size_t)size);

	if (fd >= 0)
		close(fd);
	return n == size ? 0 : -1;
}

static int remove_mounted(void *argument)
{
	struct rl_error err = RL_ERROR_NONE;
	uid_t uid = geteuid();

	(void)argument;
	UNIT_CHECK(rl_make_folders("t/a/mnt", &err) == 0 && rl_make_folders("precious", &err) == 0);
	UNIT_CHECK(close(open("precious/f", O_CREAT | O_WRONLY, 0666)) == 0);
	if (unshare(CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0)))
		return UNIT_NOT_HERE;
	if (uid && write_map("/proc/self/uid_map", uid))
		return UNIT_NOT_HERE;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("precious", "t/a/mnt", NULL, MS_BIND, NULL))
		return UNIT_NOT_HERE;
	UNIT_CHECK(rl_remove_tree(AT_FDCWD, "t", &err) == -1);
	UNIT_CHECK(unit_error_has(&err, "t/a/mnt: remove: something is mounted there"));
	UNIT_CHECK(unit_exists("precious/f"));
	return 0;
}

/* A bind mount has the device number of its surroundings, but belongs to somebody else. */
static void removing_stops_at_mount_points(void **state)
{
	(void)state;
	unit_child(remove_mounted, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_IN_FOLDER(whole_reads_and_writes),
		UNIT_IN_FOLDER(reading_files),
		UNIT_IN_FOLDER(making_folders),
		cmocka_unit_test(a_signal_ends_waiting_for_a_pipe),
		UNIT_IN_FOLDER(below_follows_no_symlink),
		UNIT_IN_FOLDER(below_works_without_openat2),
		UNIT_IN_FOLDER(below_takes_paths_of_any_length),
		UNIT_IN_FOLDER(removing_a_tree),
		UNIT_IN_FOLDER(removing_needs_few_descriptors),
		UNIT_IN_FOLDER(removing_opens_closed_folders),
		UNIT_IN_FOLDER(a_removal_that_fails_names_the_whole_path),
		UNIT_IN_FOLDER(removing_stops_at_mount_points),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
