#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIAL_SECONDS 20

struct report {
	struct rl_finding *items;
	size_t count, room;
};

/* Takes found and advice. */
static void add(struct report *report, const char *what, bool needed, bool good, char *found, char *advice)
{
	RL_GROW(report->items, report->count, report->room);
	report->items[report->count++] = (struct rl_finding){
		.good = good,
		.needed = needed,
		.what = what,
		.found = found,
		.advice = good ? NULL : advice,
	};
	if (good)
		free(advice);
}

/* Runs a program. said: the end of what it prints; found: the last line of that, or how it failed. */
static bool hear_program(char *const *argv, struct rl_buf *said, char **found)
{
	struct rl_spawn spawn = {.argv = argv, .in = -1, .out = -1, .err = -1};
	struct rl_capture capture = {.seconds = TRIAL_SECONDS, .log = -1, .tail_size = 4096};
	struct rl_error err = RL_ERROR_NONE;
	bool good = rl_run_captured(&spawn, &capture, argv[0], &err) == 0;

	*said = capture.tail;
	*found = rl_last_line(said);
	if (!*found && !good)
		*found = rl_strdup(err.reason);
	rl_error_clear(&err);
	return good;
}

static bool try_program(char *const *argv, char **found)
{
	struct rl_buf said;
	bool good = hear_program(argv, &said, found);

	rl_buf_free(&said);
	return good;
}

/* What is missing, as a list; NULL: nothing. */
static char *missing_options(const struct rl_kernel_option *options, size_t count)
{
	struct rl_buf text = RL_BUF_NONE;

	for (size_t i = 0; i < count; i++)
		if (options[i].state != RL_OPTION_BUILT_IN)
			rl_buf_printf(&text, "%s%s%s", text.size ? ", " : "no ", options[i].name,
				options[i].state == RL_OPTION_MODULE ? " (a module)" : "");
	return text.size ? rl_buf_string(&text) : NULL;
}

/* What runs need of it; one for which that is not known goes by without a word. */
static void check_options(struct report *report, const char *path)
{
	struct rl_kernel_option needed[] = {{.name = "BLK_DEV_UBD"}, {.name = "EXT4_FS"},
		{.name = "BINFMT_ELF"}, {.name = "PROC_FS"}, {.name = "TTY"}};
	struct rl_kernel_option useful[] = {{.name = "DEVTMPFS"}, {.name = "HOSTFS"},
		{.name = "UML_NET_VECTOR"}, {.name = "UML_TIME_TRAVEL_SUPPORT"}};
	bool known;
	char *missing;

	if (rl_kernel_options(path, needed, RL_COUNT(needed), &known, NULL) || !known ||
		rl_kernel_options(path, useful, RL_COUNT(useful), &known, NULL))
		return;
	missing = missing_options(needed, RL_COUNT(needed));
	add(report, "kernel config", true, !missing,
		missing ? missing : rl_strdup("what disks and programs need"),
		rl_strdup(
			"build the kernel with these options; the package linux-um has them: run { kernel = "
			"\"linux-um\" }"));
	missing = missing_options(useful, RL_COUNT(useful));
	add(report, "kernel extras", false, !missing,
		missing ? missing : rl_strdup("devtmpfs, shares, network, time-travel"),
		rl_strdup("only --share (HOSTFS), --net (UML_NET_VECTOR) and --time-travel need them; the "
			  "package "
			  "linux-um has them"));
}

static void check_kernel(struct report *report, const char *kernel)
{
	struct rl_error err = RL_ERROR_NONE;
	char *path = NULL, *version = NULL, *found;
	bool good = false, known;

	if (rl_guest_kernel(kernel, &path, &err) == 0 &&
		rl_kernel_options(path, NULL, 0, &known, &err) == 0) {
		char *argv[] = {path, "--version", NULL};

		/* Any program may take --version; a kernel's is a number. */
		good = try_program(argv, &version) && version && isdigit((unsigned char)version[0]);
		found = rl_printf("%s: %s", path, version ? version : "says no version");
	} else {
		found = rl_error_text(&err);
	}
	add(report, "kernel", true, good, found,
		rl_strdup(path ? "give a User Mode Linux kernel for this machine with --kernel"
			       : "apt install user-mode-linux, or give a kernel with --kernel"));
	if (good)
		check_options(report, path);
	rl_error_clear(&err);
	free(version);
	free(path);
}

static void check_exec_mappings(struct report *report, const char *place)
{
	const char *places[RL_PLACES + 1];
	struct rl_buf found = RL_BUF_NONE;

	rl_places(places);
	for (size_t i = 0; place == NULL && places[i]; i++)
		rl_buf_printf(
			&found, "%s%s: %s", i ? ", " : "", places[i], strerror(rl_place_try(places[i])));
	if (place)
		rl_buf_printf(&found, "allowed in %s", place);
	add(report, "exec mappings", true, place != NULL, rl_buf_string(&found),
		rl_strdup(
			"mount -o remount,exec /dev/shm, or set TMPDIR to a writable folder on a file system "
			"mounted without noexec"));
}

static void check_memory(struct report *report, const char *place)
{
	uint64_t room = place ? rl_place_room(place) : 0;
	char have[16], want[16];

	rl_format_size(have, room);
	rl_format_size(want, RL_MEMORY_DEFAULT);
	add(report, "guest memory", true, room >= RL_MEMORY_DEFAULT,
		place ? rl_printf("%s free in %s, %s for a guest by default", have, place, want)
		      : rl_strdup("no folder for it"),
		rl_printf("give guests less with --mem, mount -o remount,size=1G /dev/shm (docker run "
			  "--shm-size=1g), or set TMPDIR to a folder with %s free",
			want));
}

/* Whether a kernel setting is there and has this first character. */
static bool setting_is(const char *path, char value)
{
	struct rl_buf text = RL_BUF_NONE;
	bool is = rl_read_file(path, 64, &text, NULL) == 0 && text.size && text.data[0] == value;

	rl_buf_free(&text);
	return is;
}

static void traced_child(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(errno);
	raise(SIGSTOP);
	syscall(SYS_getppid);
	_exit(0);
}

/* As UML does it with the guest's programs: stop a child at a system call. Returns errno. */
static int try_ptrace(void)
{
	int status = 0, number = 0;
	pid_t child = fork();

	if (child == 0)
		traced_child();
	if (child < 0)
		return errno;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)PTRACE_O_TRACESYSGOOD) ||
		ptrace(PTRACE_SYSCALL, child, NULL, NULL))
		number = errno;
	else if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) ||
		 WSTOPSIG(status) != (SIGTRAP | 0x80))
		number = EPERM;
	kill(child, SIGKILL);
	rl_wait(child);
	return number;
}

static bool has_seccomp_filter(void)
{
	struct rl_buf text = RL_BUF_NONE;
	bool has = rl_read_file("/proc/self/status", 65536, &text, NULL) == 0 &&
		   memmem(text.data, text.size, "\nSeccomp:\t2", 11);

	rl_buf_free(&text);
	return has;
}

static const char *ptrace_advice(void)
{
	if (setting_is("/proc/sys/kernel/yama/ptrace_scope", '3'))
		return "kernel.yama.ptrace_scope is 3, which stays until a reboot: boot with 1";
	if (setting_is("/proc/sys/kernel/yama/ptrace_scope", '2'))
		return "sysctl kernel.yama.ptrace_scope=1, or run it as root";
	if (has_seccomp_filter())
		return "a seccomp filter forbids it; of a container: --security-opt seccomp=unconfined, or "
		       "--cap-add "
		       "SYS_PTRACE";
	return "who traces this process (strace, gdb) or confines it must let it trace its children";
}

static void check_ptrace(struct report *report)
{
	int number = try_ptrace();

	add(report, "ptrace", true, !number, rl_strdup(number ? strerror(number) : "a child can be traced"),
		rl_strdup(ptrace_advice()));
}

/* As the guardian does it for UML. Kernels from 6.11 on would start themselves anew for it. */
static void check_personality(struct report *report)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		_exit(personality(PER_LINUX | ADDR_NO_RANDOMIZE) < 0 ? errno : 0);
	if (child > 0)
		status = rl_wait(child);
	add(report, "personality", false, status == 0,
		rl_strdup(status == 0 ? "addresses can be kept in their places"
				      : strerror(WEXITSTATUS(status))),
		rl_strdup("a seccomp filter forbids personality(ADDR_NO_RANDOMIZE), as Docker's does: "
			  "--security-opt seccomp=unconfined; without it some kernels do not start"));
}

/* Disks are handed over as /proc/self/fd/N. */
static void check_proc(struct report *report)
{
	bool good = access("/proc/self/fd", X_OK) == 0;

	add(report, "proc", true, good, rl_strdup(good ? "mounted" : "there is no /proc/self/fd"),
		rl_strdup("mount -t proc proc /proc"));
}

static const struct limit {
	int resource;
	uint64_t wanted;
	const char *what, *flag; /* of ulimit */
} limits[] = {
	{RLIMIT_FSIZE, RL_MEMORY_DEFAULT, "the size of files, and so a guest's memory", "-f"},
	{RLIMIT_AS, RL_MEMORY_DEFAULT + (64 << 20), "address space", "-v"},
	{RLIMIT_NOFILE, 64, "open files", "-n"},
};

static void check_limits(struct report *report)
{
	struct rl_buf found = RL_BUF_NONE, advice = RL_BUF_NONE;

	for (size_t i = 0; i < RL_COUNT(limits); i++) {
		struct rlimit limit;

		if (getrlimit(limits[i].resource, &limit) || limit.rlim_cur == RLIM_INFINITY ||
			limit.rlim_cur >= limits[i].wanted)
			continue;
		rl_buf_printf(&found, "%s%s is limited to %llu", found.size ? ", " : "", limits[i].what,
			(unsigned long long)limit.rlim_cur);
		rl_buf_printf(&advice, "%sulimit %s %s", advice.size ? "; " : "", limits[i].flag,
			limits[i].resource == RLIMIT_NOFILE ? "256" : "unlimited");
	}
	if (found.size)
		add(report, "limits", true, false, rl_buf_string(&found), rl_buf_string(&advice));
	else
		add(report, "limits", true, true, rl_strdup("wide enough"), NULL);
}

/* Only if it is set: where it cannot be used, it is passed over. */
static void check_tmpdir(struct report *report)
{
	const char *own = getenv("TMPDIR");
	int number = own && own[0] == '/' ? rl_place_try(own) : 0;
	struct rl_buf found = RL_BUF_NONE;

	if (!own || !*own || (own[0] == '/' && !number))
		return;
	rl_buf_text(&found, "TMPDIR is ");
	rl_text_escape(&found, own, strlen(own));
	rl_buf_printf(&found, ": %s", own[0] == '/' ? strerror(number) : "not an absolute path");
	add(report, "temporary files", false, false, rl_buf_string(&found),
		rl_strdup(
			"unset TMPDIR, or set it to a writable folder that is not mounted noexec; guests use "
			"/dev/shm or /tmp now"));
}

/* ---- disks ---- */

static const char *disk_advice(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return "make it first: rootlet build NAME, or rootlet pack -o IMAGE SOURCE...";
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return "give an image, which is a regular file, or a block device";
	if (S_ISREG(st.st_mode) && st.st_size == 0)
		return "make it anew: rootlet build NAME, or rootlet pack -o IMAGE SOURCE...";
	if (access(path, R_OK | W_OK))
		return "chmod or chown it, or let the guest's writes be forgotten: run --ephemeral";
	return "if another guest has it, end that one (rootlet ps, rootlet stop NAME); a disk that is a COW "
	       "file is "
	       "made raw with rootlet cow commit -o";
}

/* As a run does: one that is a COW file by its name is followed. False: it cannot be opened. */
static bool follow_cow(struct rl_guest_disk *disk, char **backing, struct rl_error *err)
{
	struct rl_disk *opened;

	*backing = NULL;
	/* What else is wrong with it is told where it is opened as a disk. */
	if (!rl_disk_named_cow(disk->path) || access(disk->path, R_OK))
		return true;
	if (rl_disk_open(disk->path, NULL, &opened, err))
		return false;
	if (rl_disk_cow(opened)) {
		disk->cow = disk->path;
		disk->path = *backing = rl_strdup(rl_disk_backing(opened));
	}
	rl_disk_close(opened);
	return true;
}

static bool check_needs(
	const struct rl_guest *guest, const int *fds, const char *kernel, struct rl_error *err)
{
	struct rl_argv argv = RL_ARGV_NONE;
	char *file = NULL;
	bool good = true;

	rl_argv_add(&argv, "./linux");
	rl_argv_add(&argv, "root=/dev/ubda");
	/* A kernel that cannot be found is told elsewhere. */
	if (rl_guest_kernel(kernel, &file, NULL) == 0)
		good = rl_preflight(guest, file, fds, &argv, err) == 0;
	rl_argv_free(&argv);
	free(file);
	return good;
}

static void check_disk(struct report *report, const char *path, const char *kernel)
{
	struct rl_guest_disk disk = {.path = path};
	struct rl_guest guest = {.disks = &disk, .disk_count = 1};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_buf found = RL_BUF_NONE;
	struct rl_root root = {.state = RL_ROOT_BAD};
	const char *advice, *before = "", *text;
	int fds[RL_DISKS_MAX];
	char *backing;
	bool opened;

	for (size_t i = 0; i < RL_DISKS_MAX; i++)
		fds[i] = -1;
	opened = follow_cow(&disk, &backing, &err) && rl_disks_open(&guest, fds, &err) == 0;
	if (opened)
		rl_root_look(&disk, fds[0], &root);
	advice = root.advice;
	if (!opened) {
		advice = disk_advice(path);
	} else if (root.state == RL_ROOT_BAD) {
		before = "cannot be a root: ";
	} else if (!check_needs(&guest, fds, kernel, &err)) {
		root.state = RL_ROOT_BAD;
		advice = "give another kernel with --kernel, or build this one with that option";
	}
	text = err.reason ? err.reason : root.found ? root.found : "can be used";
	rl_text_escape(&found, *path ? path : "''", *path ? strlen(path) : 2);
	rl_buf_printf(&found, ": %s", before);
	rl_text_escape(&found, text, strlen(text));
	add(report, "disk", root.state != RL_ROOT_DOUBTFUL, root.state == RL_ROOT_GOOD, rl_buf_string(&found),
		advice ? rl_strdup(advice) : NULL);
	rl_disks_close(fds);
	rl_error_clear(&err);
	free(root.found);
	free(backing);
}

static void check_pty(struct report *report)
{
	int ours = -1, theirs = -1;
	bool good = openpty(&ours, &theirs, NULL, NULL, NULL) == 0;

	add(report, "pty", false, good, rl_strdup(good ? "can be made" : strerror(errno)),
		rl_strdup("mount devpts at /dev/pts; without it a guest cannot have this terminal"));
	rl_close(&ours);
	rl_close(&theirs);
}

static const char *namespace_advice(void)
{
	if (setting_is("/proc/sys/kernel/unprivileged_userns_clone", '0'))
		return "sysctl kernel.unprivileged_userns_clone=1";
	if (setting_is("/proc/sys/user/max_user_namespaces", '0'))
		return "sysctl user.max_user_namespaces=10000";
	if (setting_is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1'))
		return "sysctl kernel.apparmor_restrict_unprivileged_userns=0";
	return "allow user namespaces; in a container: --security-opt seccomp=unconfined, or --privileged";
}

static void check_sandbox(struct report *report)
{
	char *argv[] = {"bwrap", "--unshare-all", "--ro-bind", "/", "/", "true", NULL};
	char *path = rl_find_program("bwrap"), *trouble = NULL;
	bool good = path && try_program(argv, &trouble);

	add(report, "build sandbox", true, good,
		good   ? rl_strdup(path)
		: path ? rl_printf("%s: %s", path, trouble)
		       : rl_strdup("there is no bwrap"),
		rl_strdup(path ? namespace_advice() : "apt install bubblewrap"));
	free(trouble);
	free(path);
}

static void check_network(struct report *report)
{
	struct rl_error err = RL_ERROR_NONE;
	bool good = rl_slirp_check(&err) == 0;

	add(report, "network", false, good, rl_strdup(good ? "libslirp" : err.reason),
		rl_strdup("apt install libslirp0; without it there is no --net user"));
	rl_error_clear(&err);
}

/* "QEMU emulator version 7.2.22 (Debian ...)", and more lines; NULL: something else. The caller frees it. */
static char *qemu_version(const struct rl_buf *said)
{
	static const char words[] = "QEMU emulator version ";
	const char *at = said->size ? memmem(said->data, said->size, words, strlen(words)) : NULL, *end;

	if (!at)
		return NULL;
	at += strlen(words);
	for (end = at; end < said->data + said->size && (isdigit((unsigned char)*end) || *end == '.'); end++)
		;
	return end > at ? rl_strndup(at, (size_t)(end - at)) : NULL;
}

static void check_qemu(struct report *report)
{
	char *path = rl_find_program(RL_QEMU_PROGRAM), *version = NULL, *trouble = NULL, *found;
	char *argv[] = {path, "--version", NULL};
	struct rl_buf said = RL_BUF_NONE;

	if (path && hear_program(argv, &said, &trouble))
		version = qemu_version(&said);
	if (!path)
		found = rl_strdup("there is no " RL_QEMU_PROGRAM);
	else
		found = rl_printf("%s: %s", path, version ? version : trouble ? trouble : "says no version");
	add(report, "qemu", false, version != NULL, found,
		rl_strdup("apt install qemu-system-x86; without it there is no --vm qemu"));
	rl_buf_free(&said);
	free(trouble);
	free(version);
	free(path);
}

static void check_kvm(struct report *report)
{
	char *found, *advice;
	bool good = rl_kvm_check(RL_KVM_DEVICE, rl_kvm_processor(), &found, &advice);

	add(report, "kvm", false, good, found, advice);
}

static void check_program(
	struct report *report, const char *what, const char *program, bool needed, const char *advice)
{
	char *path = rl_find_program(program);

	add(report, what, needed, path != NULL, path ? path : rl_printf("there is no %s", program),
		rl_strdup(advice));
}

void rl_doctor(const char *kernel, const char *const *disks, size_t disk_count, struct rl_finding **findings,
	size_t *count)
{
	struct report report = {NULL, 0, 0};
	const char *place = rl_place_choose(RL_MEMORY_DEFAULT);

	check_kernel(&report, kernel);
	check_exec_mappings(&report, place);
	check_memory(&report, place);
	check_tmpdir(&report);
	check_limits(&report);
	check_proc(&report);
	check_ptrace(&report);
	check_personality(&report);
	check_pty(&report);
	check_sandbox(&report);
	check_network(&report);
	check_qemu(&report);
	check_kvm(&report);
	check_program(&report, "compiler", "gcc", true, "apt install gcc");
	check_program(&report, "make", "make", true, "apt install make");
	check_program(&report, "source fallback", "apt-get", false,
		"sources come from their upstream addresses alone: apt-get is Debian's");
	for (size_t i = 0; i < disk_count; i++)
		check_disk(&report, disks[i], kernel);
	*findings = report.items;
	*count = report.count;
}

void rl_findings_free(struct rl_finding *findings, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(findings[i].found);
		free(findings[i].advice);
	}
	free(findings);
}
