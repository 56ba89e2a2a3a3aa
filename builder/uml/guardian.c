/*
 * The guardian is forked from this process and lives in a session of its own. It makes the run
 * folder, starts UML, and ends when UML, all that UML has started and the folder are gone; it kills
 * the guest when the link to this process ends, which it does however this process ends. UML dies
 * with the guardian (PR_SET_PDEATHSIG), and then this process clears the rest away.
 *
 * UML's children, in whose address spaces the guest's programs run, are stopped under ptrace and
 * survive it. So the guardian is a subreaper: whatever loses its parent becomes its child.
 */
#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The bytes that the guardian gets over the link: kill the guest; the terminal is put back. */
#define SAY_STOP 's'
#define SAY_WELL 'w'

/* What the guardian tells over the link. */
enum note_kind { NOTE_STARTED, NOTE_NO_FOLDER, NOTE_NO_ROOT, NOTE_NO_KERNEL, NOTE_ENDED };

struct note {
	enum note_kind kind;
	int number; /* errno, for NOTE_NO_FOLDER and NOTE_NO_KERNEL */
	pid_t uml; /* for NOTE_STARTED */
	struct rl_confine_failure failure; /* for NOTE_NO_ROOT */
	struct rl_guardian_end end; /* for NOTE_ENDED */
};

static void tell(int link, const struct note *note)
{
	/* If nobody listens any more, the end of the link tells that too. */
	(void)!send(link, note, sizeof(*note), MSG_NOSIGNAL);
}

/* ---- in UML's process, up to its exec ---- */

static void default_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int keep(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] >= 0 && fcntl(fds[i], F_SETFD, 0))
			return -1;
	return 0;
}

/* Only 0, 1, 2, the consoles, the channel, the network and the disks are handed over. */
static int hand_over(const struct rl_guardian_job *job)
{
	const int others[] = {job->console->guest, job->channel, job->network, job->initramfs};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(job->messages, 1) < 0 || dup2(job->messages, 2) < 0)
		return -1;
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < RL_DISKS_MAX; i++)
		if (keep(&job->served[i].guest, 1))
			return -1;
	return keep(others, RL_COUNT(others)) || keep(job->consoles, RL_CONSOLES_MAX) ||
			       keep(job->disks, RL_DISKS_MAX)
		       ? -1
		       : 0;
}

static void become_uml(const struct rl_guardian_job *job, pid_t parent, int report)
{
	const char *path = getenv("PATH");
	char *env_path = rl_printf("PATH=%s", path ? path : "/usr/bin:/bin");
	/* The working folder is the run folder, whose path is as long and odd as $TMPDIR likes. */
	char *env[] = {env_path, "HOME=.", "TMPDIR=.", NULL};
	struct rlimit no_core = {0, 0};
	int number;

	default_signals();
	setsid();
	/* Which UML takes for the end of its own and, before that, of its children: see kill_all(). */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	/* Where it is confined it does not see its parent, but there the holder ends with that, and all with the holder. */
	if (getppid() != (job->confine ? 0 : parent))
		_exit(127);
	/* A panic is an abort. */
	setrlimit(RLIMIT_CORE, &no_core);
	/* UML wants this and would execute itself once more to get it. */
	if (job->fixed)
		personality(PER_LINUX | ADDR_NO_RANDOMIZE);
	if (job->bound)
		rl_processor_bind();
	if (chdir(job->confine ? job->confine->folder : job->folder) == 0 && hand_over(job) == 0) {
		/*
		 * As UML's controlling terminal the pty sends it SIGWINCH; otherwise UML starts a
		 * helper in a session of its own for that.
		 */
		if (job->console->pty)
			ioctl(job->console->guest, TIOCSCTTY, 0);
		if (job->confine)
			rl_confine_execute(job->confine, job->argv, env);
		else if (!job->stopped || rl_debug_ask() == 0)
			execve(job->kernel, job->argv, env);
	}
	number = errno;
	rl_write_all(report, &number, sizeof(number));
	_exit(127);
}

/* ---- in the guardian ---- */

/* Returns UML's pid, or -1 and errno. */
static pid_t start_uml(const struct rl_guardian_job *job)
{
	pid_t parent = getpid(), pid;
	int report[2], number = 0;

	if (pipe2(report, O_CLOEXEC))
		return -1;
	pid = job->confine ? rl_confine_fork(job->confine) : fork();
	if (pid == 0)
		become_uml(job, parent, report[1]);
	number = pid < 0 ? errno : 0;
	close(report[1]);
	if (pid > 0 && rl_read_all(report[0], &number, sizeof(number)) == 0) {
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	if (pid > 0 && job->stopped)
		rl_debug_hold(pid);
	close(report[0]);
	errno = number;
	return pid;
}

static bool has_ended(pid_t uml)
{
	siginfo_t info = {.si_pid = 0};

	/* UML stays a zombie, and so its group cannot become somebody else's before it is killed. */
	return waitid(P_PID, (id_t)uml, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == uml;
}

/* Until UML has ended, or shall. */
static void watch(int link, pid_t uml)
{
	struct pollfd fds[2] = {{.fd = link, .events = POLLIN}, {.events = POLLIN}};
	struct signalfd_siginfo info;
	struct rl_processor processor;
	sigset_t child;

	rl_processor_watch(&processor, uml);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	fds[1].fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	while (!has_ended(uml)) {
		/* Without a signalfd, look again and again. */
		poll(fds, 2, fds[1].fd < 0 ? 100 : rl_processor_timeout(&processor));
		rl_processor_look(&processor);
		if (fds[0].revents)
			break;
		if (fds[1].fd >= 0)
			(void)!read(fds[1].fd, &info, sizeof(info));
	}
	rl_close(&fds[1].fd);
}

static pid_t parent_of(pid_t pid)
{
	char text[512];
	const char *p;

	if (!rl_proc_text(pid, "stat", text, sizeof(text)))
		return 0;
	/* PID (NAME) STATE PARENT: the name may hold anything. */
	p = strrchr(text, ')');
	return p && strlen(p) > 4 ? (pid_t)strtol(p + 4, NULL, 10) : 0;
}

static void kill_child(pid_t child, void *context)
{
	(void)context;
	kill(child, SIGKILL);
}

static void kill_children(void)
{
	pid_t self = getpid();
	/* The kernel's own list costs nothing where the host has many processes. */
	DIR *proc = rl_each_child(self, kill_child, NULL) ? NULL : opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 0 && parent_of(pid) == self)
			kill(pid, SIGKILL);
	}
	if (proc)
		closedir(proc);
}

/* Kills and reaps UML, if there is one, and all other offspring; returns UML's wait status. */
static int kill_all(pid_t uml)
{
	int status = 0, one;
	pid_t pid;

	/*
	 * UML and its children at once. If UML died alone, they would be let go from under ptrace where they are,
	 * and what is the guest's would run on as a program of the host, system calls and all, until it is killed.
	 */
	if (uml > 0) {
		kill(-uml, SIGKILL);
		kill(uml, SIGKILL);
	}
	do {
		/* What had a group of its own comes here once its parent is dead. */
		kill_children();
		pid = waitpid(-1, &one, __WALL);
		while (pid > 0) {
			if (pid == uml)
				status = one;
			pid = waitpid(-1, &one, __WALL | WNOHANG);
		}
	} while (pid == 0 || errno == EINTR);
	return status;
}

/* The other side puts its terminal back and says so; if it cannot any more, that is done here. */
static void put_terminal_back(int link, int terminal, const struct termios *saved)
{
	char said = 0;

	while (said != SAY_WELL && rl_read_some(link, &said, 1) == 1)
		;
	if (said != SAY_WELL && terminal >= 0)
		tcsetattr(terminal, TCSANOW, saved);
}

static bool is_empty(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool empty = dir != NULL;

	while (empty && (entry = readdir(dir)))
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	if (dir)
		closedir(dir);
	return empty;
}

static void guard(const struct rl_guardian_job *job, int link)
{
	const struct rl_console *console = job->console;
	struct note note = {.uml = 0};
	int terminal = -1;

	setsid();
	signal(SIGCHLD, SIG_DFL); /* ignored, it would hide how UML ends */
	/* Not rootlet's name: whoever kills all that are called so shall not kill who cleans up. */
	prctl(PR_SET_NAME, RL_GUARDIAN_NAME);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (mkdir(job->folder, 0700)) {
		note.kind = NOTE_NO_FOLDER;
		note.number = errno;
		tell(link, &note);
		return;
	}
	if (job->confine && rl_confine_start(job->confine, job->folder, &note.failure)) {
		note.kind = NOTE_NO_ROOT;
		kill_all(0);
		rl_remove_tree(AT_FDCWD, job->folder, NULL);
		tell(link, &note);
		return;
	}
	note.uml = start_uml(job);
	if (note.uml < 0) {
		note.kind = NOTE_NO_KERNEL;
		note.number = errno;
		kill_all(0);
		rl_remove_tree(AT_FDCWD, job->folder, NULL);
		tell(link, &note);
		return;
	}
	/* Nothing of argv is needed any more. */
	rl_process_title(RL_GUARDIAN_NAME);
	note.kind = NOTE_STARTED;
	tell(link, &note);
	if (console->terminal)
		terminal = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	/* No reader shall wait for the guardian. */
	rl_let_go((const int[]){link, terminal}, 2);
	watch(link, note.uml);
	note.kind = NOTE_ENDED;
	note.end.status = kill_all(note.uml);
	note.end.tidy = is_empty(job->folder);
	rl_remove_tree(AT_FDCWD, job->folder, NULL);
	tell(link, &note);
	put_terminal_back(link, terminal, &console->saved);
}

/* ---- in the process that runs the guest ---- */

static int started(struct rl_guardian *guardian, const struct rl_guardian_job *job, struct rl_error *err)
{
	struct note note;
	ssize_t n;

	/* It takes but a moment, and who asks us to end is heard after that. */
	do
		n = read(guardian->link, &note, sizeof(note));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(note))
		return rl_fail(err, job->kernel, "start", "the guardian process was killed");
	guardian->uml = note.uml;
	if (note.kind == NOTE_NO_FOLDER)
		return rl_fail_errno(err, job->folder, "make folder", note.number);
	if (note.kind == NOTE_NO_ROOT)
		return rl_fail(err, "shares", "keep the guest in them", "%s: %s (rootlet doctor tells more)",
			note.failure.step, strerror(note.failure.number));
	if (note.kind == NOTE_NO_KERNEL)
		return rl_fail_errno(err, job->kernel, "start", note.number);
	return 0;
}

int rl_guardian_start(struct rl_guardian *guardian, const struct rl_guardian_job *job, struct rl_error *err)
{
	sigset_t all, before;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return rl_fail_errno(err, job->kernel, "start", errno);
	/* The guardian never takes a signal. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	guardian->folder = job->folder;
	guardian->pid = fork();
	if (guardian->pid == 0) {
		close(ends[0]);
		guard(job, ends[1]);
		_exit(0);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(ends[1]);
	guardian->link = ends[0];
	if (guardian->pid < 0) {
		guardian->pid = 0;
		return rl_fail_errno(err, job->kernel, "start", errno);
	}
	return started(guardian, job, err);
}

void rl_guardian_stop(const struct rl_guardian *guardian)
{
	char say = SAY_STOP;

	(void)!send(guardian->link, &say, 1, MSG_NOSIGNAL);
}

int rl_guardian_ended(const struct rl_guardian *guardian, struct rl_guardian_end *end, struct rl_error *err)
{
	struct note note;

	if (rl_read_some(guardian->link, &note, sizeof(note)) == (ssize_t)sizeof(note)) {
		*end = note.end;
		return 0;
	}
	/* UML has died with the guardian; the group is its children's now. */
	if (guardian->uml > 0)
		kill(-guardian->uml, SIGKILL);
	rl_remove_tree(AT_FDCWD, guardian->folder, NULL);
	return rl_fail(err, "guest", "run", "its guardian process was killed");
}

void rl_guardian_close(struct rl_guardian *guardian)
{
	char say = SAY_WELL;

	if (guardian->link >= 0)
		(void)!send(guardian->link, &say, 1, MSG_NOSIGNAL);
	rl_close(&guardian->link);
	if (guardian->pid > 0)
		rl_wait(guardian->pid);
	guardian->pid = 0;
}
