/* What keeps a guest from booting is found and explained: each cause is made here, in a child of its own. */
#include "unit.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/process.h"
#include "uml/uml-internal.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static char folder[] = "/tmp/rootlet-test-XXXXXX";
static char *disk;

static int set_up(void **state)
{
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	disk = rl_printf("%s/disk", folder);
	fd = open(disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rl_remove_tree(AT_FDCWD, folder, NULL);
	free(disk);
	return 0;
}

struct seen {
	bool any, good, needed;
	char found[400], advice[400];
};

/* The finding of that name, or the last one; what makes the trouble runs before. */
static struct seen look(const char *what, void (*trouble)(void), const char *kernel, const char *path)
{
	struct seen seen = {.any = false};
	int report[2], status;
	pid_t pid;

	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct rl_finding *findings;
		size_t count;

		if (trouble)
			trouble();
		rl_doctor(kernel, &path, path != NULL, &findings, &count);
		for (size_t i = 0; i < count; i++) {
			if (strcmp(findings[i].what, what) != 0)
				continue;
			seen = (struct seen){
				.any = true, .good = findings[i].good, .needed = findings[i].needed};
			snprintf(seen.found, sizeof(seen.found), "%s", findings[i].found);
			snprintf(seen.advice, sizeof(seen.advice), "%s",
				findings[i].advice ? findings[i].advice : "");
		}
		rl_findings_free(findings, count);
		rl_write_all(report[1], &seen, sizeof(seen));
		/* And not exit(): a limit may hold up what a sanitizer wants to do there. */
		_exit(0);
	}
	close(report[1]);
	assert_int_equal(rl_read_all(report[0], &seen, sizeof(seen)), 0);
	close(report[0]);
	waitpid(pid, &status, 0);
	return seen;
}

static void assert_seen(const struct seen *seen, bool needed, const char *found, const char *advice)
{
	assert_true(seen->any);
	assert_false(seen->good);
	assert_int_equal(seen->needed, needed);
	if (!strstr(seen->found, found) || !strstr(seen->advice, advice))
		fail_msg("'%s' and '%s', not '%s' and '%s'", seen->found, seen->advice, found, advice);
}

static void forbid(long number)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = RL_COUNT(filter), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(1);
}

static void no_ptrace(void)
{
	forbid(SYS_ptrace);
}

static void no_personality(void)
{
	forbid(SYS_personality);
}

static void small_files(void)
{
	struct rlimit limit = {1 << 20, 1 << 20}, files = {40, 40};

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	setrlimit(RLIMIT_NOFILE, &files);
}

static void relative_tmpdir(void)
{
	setenv("TMPDIR", "tmp", 1);
}

static void missing_tmpdir(void)
{
	setenv("TMPDIR", "/no/such\nfolder", 1);
}

static void surroundings(void **state)
{
	struct seen seen = look("ptrace", no_ptrace, NULL, NULL);

	(void)state;
	assert_seen(&seen, true, "Operation not permitted", "");
	assert_non_null(strstr(seen.advice, "seccomp"));
	seen = look("personality", no_personality, NULL, NULL);
	assert_seen(&seen, false, "Operation not permitted", "seccomp=unconfined");
	seen = look("limits", small_files, NULL, NULL);
	assert_seen(&seen, true, "the size of files, and so a guest's memory is limited to 1048576",
		"ulimit -f unlimited; ulimit -n 256");
	assert_non_null(strstr(seen.found, "open files is limited to 40"));
	seen = look("temporary files", relative_tmpdir, NULL, NULL);
	assert_seen(&seen, false, "TMPDIR is tmp: not an absolute path", "unset TMPDIR");
	seen = look("temporary files", missing_tmpdir, NULL, NULL);
	assert_seen(&seen, false, "TMPDIR is /no/such\\nfolder: No such file", "unset TMPDIR");
	unsetenv("TMPDIR");
	seen = look("temporary files", NULL, NULL, NULL);
	assert_false(seen.any);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(rl_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* A program that answers as a kernel does, and has these lines of a .config in it. */
static void compile_kernel(const char *path, const char *lines)
{
	char *source = rl_printf("%s/kernel.c", folder);
	char *text =
		rl_printf("#include <stdio.h>\n"
			  "static const char config[] __attribute__((used)) = \"\\0CONFIG_UML=y\\n\\0%s\";\n"
			  "int main(void) { return puts(\"6.1.0\") < 0; }\n",
			lines);
	char *argv[] = {"gcc", "-o", (char *)path, source, NULL};
	struct rl_spawn spawn = {.argv = argv, .in = -1, .out = -1, .err = -1};
	struct rl_capture capture = {.seconds = 60, .log = -1, .tail_size = 1000};

	write_file(source, text, 0600);
	assert_int_equal(rl_run_captured(&spawn, &capture, "kernel", NULL), 0);
	rl_buf_free(&capture.tail);
	free(source);
	free(text);
}

static void kernels(void **state)
{
	char *kernel = rl_printf("%s/linux", folder);
	struct seen seen;

	(void)state;
	seen = look("kernel", NULL, "/bin/true", NULL);
	assert_seen(&seen, true, "not a User Mode Linux kernel", "give a User Mode Linux kernel");
	write_file(kernel, "#!/bin/sh\necho hello\n", 0600);
	seen = look("kernel", NULL, kernel, NULL);
	assert_seen(&seen, true, "it is not executable", "--kernel");
	write_file(kernel, "#!/bin/sh\necho hello\n", 0700);
	seen = look("kernel", NULL, kernel, NULL);
	assert_seen(&seen, true, "hello", "give a User Mode Linux kernel");
	write_file(kernel, "#!/no/such/loader\n", 0700);
	seen = look("kernel", NULL, kernel, NULL);
	assert_seen(&seen, true, "No such file", "give a User Mode Linux kernel");
	compile_kernel(kernel, "CONFIG_BLK_DEV_UBD=m\\n\\0CONFIG_BINFMT_ELF=y\\n\\0CONFIG_TTY=y\\n\\0");
	seen = look("kernel", NULL, kernel, NULL);
	assert_true(seen.good);
	seen = look("kernel config", NULL, kernel, NULL);
	assert_seen(&seen, true, "no BLK_DEV_UBD (a module), EXT4_FS, PROC_FS", "linux-um");
	seen = look("kernel extras", NULL, kernel, NULL);
	assert_seen(&seen, false, "no DEVTMPFS, HOSTFS, UML_NET_VECTOR, UML_TIME_TRAVEL_SUPPORT", "--share");
	free(kernel);
}

static void qemu(void **state)
{
	char *program = rl_printf("%s/qemu-system-x86_64", folder);
	char *path = rl_strdup(getenv("PATH"));
	struct seen seen;

	(void)state;
	setenv("PATH", folder, 1);
	seen = look("qemu", NULL, "/nowhere", NULL);
	assert_seen(&seen, false, "there is no qemu-system-x86_64", "apt install qemu-system-x86");
	write_file(program, "#!/bin/sh\necho QEMU emulator version 7.2.22 '(Debian 1:7.2)'\necho Copyright\n",
		0700);
	seen = look("qemu", NULL, "/nowhere", NULL);
	assert_true(seen.good && !seen.needed);
	assert_non_null(strstr(seen.found, "/qemu-system-x86_64: 7.2.22"));
	write_file(program, "#!/bin/sh\necho no library >&2\nexit 127\n", 0700);
	seen = look("qemu", NULL, "/nowhere", NULL);
	assert_seen(&seen, false, "/qemu-system-x86_64: no library", "apt install qemu-system-x86");
	write_file(program, "#!/bin/sh\n", 0700);
	seen = look("qemu", NULL, "/nowhere", NULL);
	assert_seen(&seen, false, "/qemu-system-x86_64: says no version", "apt install qemu-system-x86");
	unlink(program);
	setenv("PATH", path, 1);
	free(program);
	free(path);
}

static int check_kvm(const char *device, bool processor, const char *found, const char *advice)
{
	char *seen, *told;
	bool good = rl_kvm_check(device, processor, &seen, &told);

	UNIT_CHECK(!good);
	UNIT_CHECK(strstr(seen, found));
	UNIT_CHECK(strstr(told, advice));
	UNIT_CHECK(strstr(told, "without KVM --vm qemu computes in software"));
	UNIT_CHECK(!rl_kvm_check(device, processor, NULL, NULL));
	free(seen);
	free(told);
	return 0;
}

static int without_rights(void *path)
{
	const struct group *group = getgrgid(1);
	char *advice = group ? rl_printf("adduser nobody %s, and log in anew", group->gr_name) : NULL;
	char *text = rl_printf("chgrp kvm %s && chmod 660 %s && adduser nobody kvm, and log in anew",
		(char *)path, (char *)path);
	int line;

	if (chown(path, 0, 1) || setgroups(0, NULL) || setresgid(65534, 65534, 65534) ||
		setresuid(65534, 65534, 0))
		return UNIT_NOT_HERE;
	line = check_kvm(path, true, "Permission denied", text);
	/* The group may use it. */
	if (!line && advice && (seteuid(0) || chmod(path, 0660) || seteuid(65534)))
		line = __LINE__;
	if (!line && advice)
		line = check_kvm(path, true, "Permission denied", advice);
	free(advice);
	free(text);
	return line;
}

static void kvm(void **state)
{
	char *device = rl_printf("%s/kvm", folder);
	struct seen seen = look("kvm", NULL, NULL, NULL);

	(void)state;
	/* Whatever this host has. */
	assert_true(seen.any && !seen.needed && seen.good == !seen.advice[0]);
	assert_int_equal(check_kvm("/dev/null", false, "neither VMX nor SVM", "firmware"), 0);
	assert_int_equal(check_kvm(device, true, "No such file", "modprobe kvm_intel"), 0);
	assert_int_equal(check_kvm("/dev/null", true, "/dev/null: ", "dmesg"), 0);
	write_file(device, "", 0600);
	/* A user without an entry is not called nobody. */
	if (geteuid() == 0 && getpwuid(65534)) {
		assert_int_equal(chmod(folder, 0755), 0);
		unit_child(without_rights, device);
	}
	free(device);
}

static pid_t hold_lock(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int ends[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(path, O_RDWR);

		if (fcntl(fd, F_SETLK, &lock) == 0)
			rl_write_all(ends[1], "y", 1);
		for (;;)
			pause();
	}
	close(ends[1]);
	assert_int_equal(rl_read_all(ends[0], &byte, 1), 0);
	close(ends[0]);
	return pid;
}

static void disks(void **state)
{
	char *other = rl_printf("%s/other", folder);
	struct seen seen = look("disk", NULL, NULL, other);
	pid_t holder;

	(void)state;
	assert_seen(&seen, true, "No such file", "rootlet build");
	seen = look("disk", NULL, NULL, folder);
	assert_seen(&seen, true, "neither a regular file nor a block device", "give an image");
	write_file(other, "", 0600);
	seen = look("disk", NULL, NULL, other);
	assert_seen(&seen, true, "it is empty", "rootlet pack");
	if (geteuid() != 0) {
		write_file(other, "text", 0400);
		seen = look("disk", NULL, NULL, other);
		assert_seen(&seen, true, "not readable and writable", "--ephemeral");
	}
	seen = look("disk", NULL, NULL, disk);
	assert_seen(&seen, true, "cannot be a root: it holds no ext file system", "rootlet build");
	holder = hold_lock(disk);
	seen = look("disk", NULL, NULL, disk);
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	assert_seen(&seen, true, "in use by process ", "rootlet stop");
	free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(surroundings),
		cmocka_unit_test(kernels),
		cmocka_unit_test(qemu),
		cmocka_unit_test(kvm),
		cmocka_unit_test(disks),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
