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
#include <sys/ptrace.h>
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

/* Runs a program; the last line of what it prints, or how it failed. */
static bool try_program(char *const *argv, char **found)
{
	struct rl_spawn spawn = {.argv = argv, .in = -1, .out = -1, .err = -1};
	struct rl_capture capture = {.seconds = TRIAL_SECONDS, .log = -1, .tail_size = 4096};
	struct rl_error err = RL_ERROR_NONE;
	bool good = rl_run_captured(&spawn, &capture, argv[0], &err) == 0;

	*found = rl_last_line(&capture.tail);
	if (!*found && !good)
		*found = rl_strdup(err.reason);
	rl_error_clear(&err);
	rl_buf_free(&capture.tail);
	return good;
}

static void check_kernel(struct report *report, const char *kernel)
{
	struct rl_error err = RL_ERROR_NONE;
	char *path = NULL, *version = NULL, *found;
	bool good = false;

	if (rl_guest_kernel(kernel, &path, &err) == 0) {
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

static void check_ptrace(struct report *report)
{
	int number = try_ptrace();

	add(report, "ptrace", true, !number, rl_strdup(number ? strerror(number) : "a child can be traced"),
		rl_strdup("sysctl kernel.yama.ptrace_scope=1; in a container: --cap-add SYS_PTRACE or "
			  "--security-opt seccomp=unconfined"));
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

/* Whether a kernel setting is there and has this first character. */
static bool setting_is(const char *path, char value)
{
	struct rl_buf text = RL_BUF_NONE;
	bool is = rl_read_file(path, 64, &text, NULL) == 0 && text.size && text.data[0] == value;

	rl_buf_free(&text);
	return is;
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

static void check_program(
	struct report *report, const char *what, const char *program, bool needed, const char *advice)
{
	char *path = rl_find_program(program);

	add(report, what, needed, path != NULL, path ? path : rl_printf("there is no %s", program),
		rl_strdup(advice));
}

void rl_doctor(const char *kernel, struct rl_finding **findings, size_t *count)
{
	struct report report = {NULL, 0, 0};
	const char *place = rl_place_choose(RL_MEMORY_DEFAULT);

	check_kernel(&report, kernel);
	check_exec_mappings(&report, place);
	check_memory(&report, place);
	check_ptrace(&report);
	check_pty(&report);
	check_sandbox(&report);
	check_program(&report, "compiler", "gcc", true, "apt install gcc");
	check_program(&report, "make", "make", true, "apt install make");
	check_program(&report, "source fallback", "apt-get", false,
		"sources come from their upstream addresses alone: apt-get is Debian's");
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
