#include "unit.h"

#include "deny.h"

#include "base/io.h"
#include "base/publish.h"
#include "base/signals.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* How many names the folder has, temporary ones too. */
static int names_in(const char *path)
{
	DIR *dir = opendir(path);
	int count = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_mode & 07777;
}

/* The file system has no O_TMPFILE. */
static int deny_tmpfile(void)
{
	return unit_deny(SYS_openat, 2, __O_TMPFILE, EOPNOTSUPP);
}

static void an_output_appears_whole(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_publish out;
	bool unchanged = true;

	(void)state;
	assert_int_equal(rl_publish_open(&out, "f", &err), 0);
	assert_int_equal(rl_write_all(out.fd, "new", 3), 0);
	assert_int_equal(names_in("."), 0);
	assert_int_equal(rl_publish_commit(&out, &unchanged, &err), 0);
	assert_false(unchanged);
	rl_publish_close(&out);
	assert_true(unit_holds("f", "new"));
	assert_int_equal(names_in("."), 1);
	assert_int_equal(rl_publish_bytes("./f", "newer", 5, &err), 0);
	assert_true(unit_holds("f", "newer"));
	assert_int_equal(rl_publish_bytes("empty", NULL, 0, &err), 0);
	assert_true(unit_holds("empty", ""));
	assert_int_equal(names_in("."), 2);
}

static void without_commit_nothing_remains(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_publish out;

	(void)state;
	unit_write("f", "old");
	assert_int_equal(rl_publish_open(&out, "f", &err), 0);
	assert_int_equal(rl_write_all(out.fd, "new", 3), 0);
	rl_publish_close(&out);
	rl_publish_close(&out);
	assert_true(unit_holds("f", "old"));
	assert_int_equal(names_in("."), 1);
}

static void the_same_bytes_touch_nothing(void **state)
{
	struct timespec long_ago[2] = {{1000, 5}, {1000, 7}};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_publish out;
	struct stat before, after;
	bool unchanged = false;

	(void)state;
	unit_write("f", "same");
	assert_int_equal(utimensat(AT_FDCWD, "f", long_ago, 0), 0);
	assert_int_equal(stat("f", &before), 0);
	assert_int_equal(rl_publish_open(&out, "f", &err), 0);
	assert_int_equal(rl_write_all(out.fd, "same", 4), 0);
	assert_int_equal(rl_publish_commit(&out, &unchanged, &err), 0);
	rl_publish_close(&out);
	assert_true(unchanged);
	assert_int_equal(stat("f", &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mtim.tv_sec, 1000);
	assert_int_equal(after.st_mtim.tv_nsec, 7);
	assert_int_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
	assert_int_equal(names_in("."), 1);
}

/* Writes size bytes' worth of holes with c at two places. */
static bool publish_sparse(uint64_t size, uint64_t a, uint64_t b)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_publish out;
	bool unchanged;

	assert_int_equal(rl_publish_open(&out, "f", &err), 0);
	assert_int_equal(ftruncate(out.fd, (off_t)size), 0);
	assert_int_equal(rl_pwrite_all(out.fd, "x", 1, a), 0);
	assert_int_equal(rl_pwrite_all(out.fd, "y", 1, b), 0);
	assert_int_equal(rl_publish_commit(&out, &unchanged, &err), 0);
	rl_publish_close(&out);
	return unchanged;
}

static void sparse_outputs_are_compared(void **state)
{
	const uint64_t G = 1024 * 1024 * 1024;
	double start = unit_cpu_seconds();
	int fd;

	(void)state;
	assert_false(publish_sparse(500 * G, 5, 499 * G));
	assert_true(publish_sparse(500 * G, 5, 499 * G));
	assert_false(publish_sparse(500 * G, 5, 498 * G));
	assert_false(publish_sparse(500 * G, 6, 498 * G));
	assert_false(publish_sparse(501 * G, 6, 498 * G));
	/* Zeroes that are written and a hole are the same bytes. */
	fd = open("f", O_WRONLY | O_CLOEXEC);
	assert_int_equal(rl_pwrite_all(fd, "\0", 1, 200 * G), 0);
	close(fd);
	assert_true(publish_sparse(501 * G, 6, 498 * G));
	assert_true(unit_cpu_seconds() - start < 5);
}

/* A child that is killed while it writes an output; the old one stays. */
static int be_killed(void *argument)
{
	struct rl_publish out;
	pid_t pid = fork();
	int status;

	UNIT_CHECK(pid >= 0);
	if (pid == 0) {
		if ((argument && deny_tmpfile()) || rl_publish_open(&out, "f", NULL) ||
			rl_write_all(out.fd, "half", 4))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	UNIT_CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	UNIT_CHECK(unit_holds("f", "old"));
	return 0;
}

static void a_kill_leaves_the_old_output(void **state)
{
	(void)state;
	unit_write("f", "old");
	unit_child(be_killed, NULL);
	assert_int_equal(names_in("."), 1);
}

static int use_names(void *argument)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_publish a, b;
	int status;

	(void)argument;
	if (deny_tmpfile())
		return UNIT_NOT_HERE;
	/* One that fails leaves nothing. */
	UNIT_CHECK(rl_publish_open(&a, "f", &err) == 0);
	UNIT_CHECK(names_in(".") == 2);
	rl_publish_close(&a);
	UNIT_CHECK(names_in(".") == 1);
	/* Two at once are not in each other's way, nor is another process. */
	UNIT_CHECK(rl_publish_open(&a, "f", &err) == 0 && rl_publish_open(&b, "f", &err) == 0);
	UNIT_CHECK(rl_write_all(a.fd, "a", 1) == 0 && rl_write_all(b.fd, "b", 1) == 0);
	if (fork() == 0)
		_exit(rl_publish_bytes("f", "child", 5, NULL) == 0 ? 0 : 1);
	UNIT_CHECK(wait(&status) > 0 && status == 0 && unit_holds("f", "child"));
	UNIT_CHECK(rl_publish_commit(&b, NULL, &err) == 0 && unit_holds("f", "b"));
	UNIT_CHECK(rl_publish_commit(&a, NULL, &err) == 0 && unit_holds("f", "a"));
	rl_publish_close(&b);
	rl_publish_close(&a);
	UNIT_CHECK(unit_holds("f", "a") && names_in(".") == 1);
	return 0;
}

static void it_works_without_o_tmpfile(void **state)
{
	(void)state;
	unit_write("f", "old");
	unit_child(use_names, NULL);
}

/* There a kill leaves the temporary file; the next one who writes that output removes it. */
static void litter_goes_with_the_next_output(void **state)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)state;
	unit_write("f", "old");
	unit_child(be_killed, "named");
	assert_int_equal(names_in("."), 2);
	assert_int_equal(rl_publish_bytes("f", "new", 3, &err), 0);
	assert_int_equal(names_in("."), 1);
	assert_true(unit_holds("f", "new"));
}

static void symlinks_are_written_through(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct stat st;

	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	unit_write("d/real", "old");
	assert_int_equal(symlink("d/real", "link"), 0);
	assert_int_equal(symlink("link", "link2"), 0);
	assert_int_equal(rl_publish_bytes("link2", "new", 3, &err), 0);
	assert_true(unit_holds("d/real", "new"));
	assert_int_equal(lstat("link", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(names_in("d"), 1);
	assert_int_equal(symlink("nowhere", "dangling"), 0);
	assert_int_equal(rl_publish_bytes("dangling", "x", 1, &err), -1);
	assert_true(unit_error_has(&err, "dangling: create: it is a symlink to something that is not there"));
	assert_false(unit_exists("nowhere"));
}

static void only_files_can_be_replaced(void **state)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	assert_int_equal(mkfifo("fifo", 0666), 0);
	assert_int_equal(rl_publish_bytes("d", "x", 1, &err), -1);
	assert_true(unit_error_has(&err, "d: create: it is a folder"));
	assert_int_equal(rl_publish_bytes("d/", "x", 1, &err), -1);
	assert_true(unit_error_has(&err, "d/: create: it names a folder"));
	assert_int_equal(rl_publish_bytes("new/", "x", 1, &err), -1);
	assert_true(unit_error_has(&err, "new/: create: it names a folder"));
	assert_int_equal(rl_publish_bytes(".", "x", 1, &err), -1);
	assert_true(unit_error_has(&err, ".: create: it names a folder"));
	assert_int_equal(rl_publish_bytes("", "x", 1, &err), -1);
	assert_true(unit_error_has(&err, "create: it names a folder"));
	assert_int_equal(rl_publish_bytes("fifo", "x", 1, &err), -1);
	assert_true(unit_error_has(&err, "fifo: create: it is a fifo"));
	assert_int_equal(rl_publish_bytes("/dev/null", "x", 1, &err), -1);
	assert_true(unit_error_has(&err, "/dev/null: create: it is a device"));
	assert_int_equal(rl_publish_bytes("none/f", "x", 1, &err), -1);
	assert_true(unit_error_has(&err, "none/f: create: No such file or directory"));
	assert_int_equal(rl_publish_bytes("fifo/f", "x", 1, &err), -1);
	assert_true(unit_error_has(&err, "fifo/f: create: Not a directory"));
	assert_int_equal(names_in("."), 2);
}

static int publish_to_stdout(void *argument)
{
	struct rl_error err = RL_ERROR_NONE;
	int fds[2], fd = open("log", O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	(void)argument;
	UNIT_CHECK(pipe(fds) == 0 && dup2(fds[1], STDOUT_FILENO) == STDOUT_FILENO);
	UNIT_CHECK(rl_publish_bytes("/dev/stdout", "x", 1, &err) == -1);
	UNIT_CHECK(unit_error_has(&err, "/dev/stdout: create: it is a fifo or a pipe"));
	UNIT_CHECK(dup2(fd, STDOUT_FILENO) == STDOUT_FILENO && write(STDOUT_FILENO, "kept", 4) == 4);
	UNIT_CHECK(rl_publish_bytes("/dev/stdout", "x", 1, &err) == -1);
	UNIT_CHECK(unit_error_has(&err, "/dev/stdout: create: standard output goes there"));
	UNIT_CHECK(rl_publish_bytes("log", "x", 1, &err) == -1);
	UNIT_CHECK(unit_error_has(&err, "log: create: standard output goes there"));
	UNIT_CHECK(unit_holds("log", "kept"));
	return 0;
}

static void standard_output_is_no_output_file(void **state)
{
	(void)state;
	unit_child(publish_to_stdout, NULL);
}

static int publish_modes(void *argument)
{
	(void)argument;
	umask(027);
	UNIT_CHECK(rl_publish_bytes("new", "1", 1, NULL) == 0 && mode_of("new") == 0640);
	/* Whoever closed an output to others, or opened it, finds it so after the next build. */
	UNIT_CHECK(chmod("new", 0600) == 0);
	UNIT_CHECK(rl_publish_bytes("new", "2", 1, NULL) == 0 && mode_of("new") == 0600);
	UNIT_CHECK(chmod("new", 0666) == 0);
	UNIT_CHECK(rl_publish_bytes("new", "3", 1, NULL) == 0 && mode_of("new") == 0666);
	UNIT_CHECK(chmod("new", 06755) == 0);
	UNIT_CHECK(rl_publish_bytes("new", "4", 1, NULL) == 0 && mode_of("new") == 0755);
	UNIT_CHECK(unit_holds("new", "4"));
	return 0;
}

static void the_mode_of_the_old_output_stays(void **state)
{
	(void)state;
	unit_child(publish_modes, NULL);
}

static void root_does_not_take_the_output_over(void **state)
{
	struct stat st;

	(void)state;
	if (geteuid() != 0)
		skip();
	unit_write("f", "old");
	assert_int_equal(chown("f", 1234, 4321), 0);
	assert_int_equal(rl_publish_bytes("f", "new", 3, NULL), 0);
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 4321);
}

static int publish_without_rights(void *argument)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)argument;
	UNIT_CHECK(unit_become_plain() == 0);
	UNIT_CHECK(mkdir("d", 0777) == 0);
	UNIT_CHECK(rl_publish_bytes("d/f", "old", 3, &err) == 0);
	UNIT_CHECK(chmod("d", 0555) == 0);
	UNIT_CHECK(rl_publish_bytes("d/f", "new", 3, &err) == -1);
	UNIT_CHECK(unit_error_has(&err, "d/f: create: Permission denied"));
	/* A file that is closed to writers was closed on purpose, as backing files are. */
	UNIT_CHECK(chmod("d", 0777) == 0 && chmod("d/f", 0444) == 0);
	UNIT_CHECK(rl_publish_bytes("d/f", "new", 3, &err) == -1);
	UNIT_CHECK(unit_error_has(&err, "d/f: create: Permission denied"));
	UNIT_CHECK(unit_holds("d/f", "old") && names_in("d") == 1);
	/* One that cannot be read can be replaced. */
	UNIT_CHECK(chmod("d/f", 0200) == 0);
	UNIT_CHECK(rl_publish_bytes("d/f", "new", 3, &err) == 0);
	UNIT_CHECK(mode_of("d/f") == 0200 && chmod("d/f", 0400) == 0 && unit_holds("d/f", "new"));
	return 0;
}

static void rights_are_respected(void **state)
{
	(void)state;
	unit_child(publish_without_rights, NULL);
}

static int publish_too_much(void *argument)
{
	const struct rlimit limit = {100000, 100000};
	struct rl_error err = RL_ERROR_NONE;
	static char bytes[200000];

	if (argument && deny_tmpfile())
		return UNIT_NOT_HERE;
	rl_signals_catch();
	UNIT_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	UNIT_CHECK(rl_publish_bytes("f", bytes, sizeof(bytes), &err) == -1);
	UNIT_CHECK(unit_error_has(&err, "f: write: File too large"));
	UNIT_CHECK(unit_holds("f", "old") && names_in(".") == 1);
	return 0;
}

static void a_file_that_cannot_grow_is_an_error(void **state)
{
	(void)state;
	unit_write("f", "old");
	unit_child(publish_too_much, NULL);
	unit_child(publish_too_much, "named");
}

static void long_names(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	char name[300];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	assert_int_equal(rl_publish_bytes(name, "1", 1, &err), 0);
	assert_int_equal(rl_publish_bytes(name, "2", 1, &err), 0);
	assert_true(unit_holds(name, "2"));
	name[255] = 'n';
	name[256] = '\0';
	assert_int_equal(rl_publish_bytes(name, "1", 1, &err), -1);
	assert_true(unit_error_has(&err, "create: File name too long"));
	assert_int_equal(names_in("."), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_IN_FOLDER(an_output_appears_whole),
		UNIT_IN_FOLDER(without_commit_nothing_remains),
		UNIT_IN_FOLDER(the_same_bytes_touch_nothing),
		UNIT_IN_FOLDER(sparse_outputs_are_compared),
		UNIT_IN_FOLDER(a_kill_leaves_the_old_output),
		UNIT_IN_FOLDER(it_works_without_o_tmpfile),
		UNIT_IN_FOLDER(litter_goes_with_the_next_output),
		UNIT_IN_FOLDER(symlinks_are_written_through),
		UNIT_IN_FOLDER(only_files_can_be_replaced),
		UNIT_IN_FOLDER(standard_output_is_no_output_file),
		UNIT_IN_FOLDER(the_mode_of_the_old_output_stays),
		UNIT_IN_FOLDER(root_does_not_take_the_output_over),
		UNIT_IN_FOLDER(rights_are_respected),
		UNIT_IN_FOLDER(a_file_that_cannot_grow_is_an_error),
		UNIT_IN_FOLDER(long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
