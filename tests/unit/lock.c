#include "unit.h"

#include "base/lock.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

/* A child that holds a lock of a type on the file "disk" until it is killed. */
static pid_t hold(int command, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
	pid_t parent = getpid(), pid;
	int ready[2];
	char c;

	if (pipe2(ready, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid == 0) {
		int fd = open("disk", O_RDWR | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "holder\n");
		if (getppid() != parent || fcntl(fd, command, &lock) || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		pid = -1;
	close(ready[0]);
	return pid;
}

static void let_go(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void a_free_file(void **state)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)state;
	assert_int_equal(rl_lock_check("disk", true, "read", &err), 0);
	unit_write("disk", "");
	assert_int_equal(rl_lock_check("disk", true, "read", &err), 0);
	assert_int_equal(rl_lock_check("disk/x", true, "read", &err), -1);
	assert_true(unit_error_has(&err, "disk/x: read: Not a directory"));
}

static void a_holder_is_named(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	char expected[64];
	pid_t pid;
	int fd;

	(void)state;
	unit_write("disk", "");
	pid = hold(F_SETLK, F_WRLCK);
	assert_true(pid > 0);
	fd = open("disk", O_RDONLY | O_CLOEXEC);
	assert_int_equal(rl_lock_holder(fd, false), pid);
	assert_int_equal(rl_lock_holder(fd, true), pid);
	close(fd);
	snprintf(expected, sizeof(expected), "disk: change: in use by process %ld (holder)", (long)pid);
	assert_int_equal(rl_lock_check("disk", false, "change", &err), -1);
	assert_true(unit_error_has(&err, expected));
	let_go(pid);
	assert_int_equal(rl_lock_check("disk", true, "change", &err), 0);
}

static void readers_do_not_hinder_readers(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	pid_t pid;

	(void)state;
	unit_write("disk", "");
	pid = hold(F_SETLK, F_RDLCK);
	assert_true(pid > 0);
	assert_int_equal(rl_lock_check("disk", false, "read", &err), 0);
	assert_int_equal(rl_lock_check("disk", true, "write", &err), -1);
	assert_true(unit_error_has(&err, "in use by process"));
	let_go(pid);
}

/* Such a lock belongs to an open file and not to a process. */
static void a_lock_without_a_process(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	pid_t pid;
	int fd;

	(void)state;
	unit_write("disk", "");
	pid = hold(F_OFD_SETLK, F_WRLCK);
	assert_true(pid > 0);
	fd = open("disk", O_RDONLY | O_CLOEXEC);
	assert_int_equal(rl_lock_holder(fd, true), -1);
	close(fd);
	assert_int_equal(rl_lock_check("disk", false, "read", &err), -1);
	assert_true(unit_error_has(&err, "disk: read: in use by another process"));
	let_go(pid);
}

/* A holder outside of our pid namespace has no number here; the kernel says 0. */
static int look_from_a_container(void *argument)
{
	int status;
	pid_t pid;

	(void)argument;
	if (unshare(CLONE_NEWPID | (geteuid() ? CLONE_NEWUSER : 0)))
		return UNIT_NOT_HERE;
	pid = fork();
	UNIT_CHECK(pid >= 0);
	if (pid == 0) {
		struct rl_error err = RL_ERROR_NONE;

		_exit(rl_lock_check("disk", true, "read", &err) == -1 &&
					unit_error_has(&err, "in use by another process")
				? 0
				: 1);
	}
	UNIT_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

static void a_holder_that_cannot_be_seen(void **state)
{
	pid_t pid;

	(void)state;
	unit_write("disk", "");
	pid = hold(F_SETLK, F_WRLCK);
	assert_true(pid > 0);
	unit_child(look_from_a_container, NULL);
	let_go(pid);
}

static void names_of_processes(void **state)
{
	char *name = rl_process_name(getpid()), expected[64];

	(void)state;
	snprintf(expected, sizeof(expected), "%ld (lock)", (long)getpid());
	assert_string_equal(name, expected);
	free(name);
	name = rl_process_name(0x7ffffffe);
	assert_string_equal(name, "2147483646");
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_IN_FOLDER(a_free_file),
		UNIT_IN_FOLDER(a_holder_is_named),
		UNIT_IN_FOLDER(readers_do_not_hinder_readers),
		UNIT_IN_FOLDER(a_lock_without_a_process),
		UNIT_IN_FOLDER(a_holder_that_cannot_be_seen),
		cmocka_unit_test(names_of_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
