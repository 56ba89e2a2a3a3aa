#include "init.h"

#include <asm/signal.h>
#include <errno.h>
#include <fcntl.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <asm/termios.h>

#define ACCOUNTS_MAX ((size_t)4 << 20) /* of passwd and group */
#define GROUPS_MAX   256
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PIPE_SIZE    ((long)256 * 1024)
#define STACK_SIZE   ((size_t)64 * 1024)

struct account {
	uint32_t uid, gid;
	const char *name, *home, *shell; /* NULL: not known */
	uint32_t groups[GROUPS_MAX];
	size_t group_count;
};

/* Splits a line at its colons into that many fields; a line that has fewer is none. */
static bool split(char *line, char **fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *colon = (char *)find_byte(line, ':');

		fields[i] = line;
		if (!colon)
			return i + 1 == count;
		*colon = '\0';
		line = colon + 1;
	}
	return true;
}

static char *next_line(char *line)
{
	char *end = (char *)find_byte(line, '\n');

	if (end)
		*end++ = '\0';
	return end && *end ? end : NULL;
}

/* Finds a line of passwd by its name or, if that is NULL, its number. */
static bool find_user(const char *name, uint32_t uid, struct account *account)
{
	char *next, *fields[7];

	for (char *line = read_file(AT_FDCWD, "/etc/passwd", ACCOUNTS_MAX, NULL); line; line = next) {
		uint32_t id, group;

		next = next_line(line);
		if (!split(line, fields, 7) || !number(fields[2], UINT32_MAX - 1, &id) ||
			!number(fields[3], UINT32_MAX - 1, &group) ||
			(name ? !same(fields[0], name) : id != uid))
			continue;
		account->uid = id;
		account->gid = group;
		account->name = fields[0];
		account->home = fields[5];
		account->shell = fields[6];
		return true;
	}
	return false;
}

static bool has_member(const char *list, const char *name)
{
	size_t size = length(name);

	for (const char *p = list; p && *p; p = find_byte(p, ',') ? find_byte(p, ',') + 1 : NULL)
		if (begins(p, name) && (p[size] == ',' || !p[size]))
			return true;
	return false;
}

/* A group's number by its name; and, if account is given, the groups that have it as a member. */
static bool read_groups(const char *wanted, uint32_t *gid, struct account *account)
{
	char *next, *fields[4];
	bool found = false;

	for (char *line = read_file(AT_FDCWD, "/etc/group", ACCOUNTS_MAX, NULL); line; line = next) {
		uint32_t id;

		next = next_line(line);
		if (!split(line, fields, 4) || !number(fields[2], UINT32_MAX - 1, &id))
			continue;
		if (wanted && same(fields[0], wanted)) {
			*gid = id;
			found = true;
		}
		if (account && account->name && account->group_count < GROUPS_MAX &&
			has_member(fields[3], account->name))
			account->groups[account->group_count++] = id;
	}
	return found;
}

/* NAME|UID[:GROUP|:GID]; "": root. */
static bool find_account(const char *user, struct account *account, struct failure *failure)
{
	static char name[256];
	const char *colon = find_byte(user, ':');
	uint32_t uid = 0;

	memset(account, 0, sizeof(*account));
	put(name, name + sizeof(name), *user ? user : "0");
	if (colon && colon - user < (long)sizeof(name))
		name[colon - user] = '\0';
	if (number(name, UINT32_MAX - 1, &uid)) {
		account->uid = uid;
		find_user(NULL, uid, account);
	} else if (!find_user(name, 0, account)) {
		return fail(
			failure, RL_FATE_NOT_STARTED, 0, name, "the guest's /etc/passwd has no such user");
	}
	if (!colon)
		read_groups(NULL, NULL, account);
	else if (!number(colon + 1, UINT32_MAX - 1, &account->gid) &&
		 !read_groups(colon + 1, &account->gid, NULL))
		return fail(failure, RL_FATE_NOT_STARTED, 0, colon + 1,
			"the guest's /etc/group has no such group");
	return true;
}

static const char *get(char **variables, const char *name)
{
	size_t size = length(name);

	for (; *variables; variables++)
		if (begins(*variables, name) && (*variables)[size] == '=')
			return *variables + size + 1;
	return NULL;
}

static char *join(const char *a, const char *b, const char *c)
{
	size_t size = length(a) + length(b) + length(c) + 1;
	char *text = take(size), *at = text;

	if (text) {
		at = put(at, text + size, a);
		at = put(at, text + size, b);
		put(at, text + size, c);
	}
	return text;
}

/* What every command finds, and what was asked for, which wins. */
static char **make_variables(const struct job *job, const struct account *account)
{
	char **all = take((job->head.variables + 8) * sizeof(*all));
	const char *const usual[][2] = {
		{"PATH", PATH_DEFAULT},
		{"HOME", account->home && *account->home ? account->home
			 : account->uid                  ? "/"
							 : "/root"},
		{"USER", account->name  ? account->name
			 : account->uid ? NULL
					: "root"},
		{"LOGNAME", account->name  ? account->name
			    : account->uid ? NULL
					   : "root"},
		{"SHELL", account->shell && *account->shell ? account->shell : "/bin/sh"},
		{"TERM", job->head.tty ? "linux" : NULL},
	};
	size_t count = 0;

	for (size_t i = 0; all && i < sizeof(usual) / sizeof(usual[0]); i++)
		if (usual[i][1] && !get(job->variables, usual[i][0]))
			all[count++] = join(usual[i][0], "=", usual[i][1]);
	for (size_t i = 0; all && i < job->head.variables; i++)
		all[count++] = job->variables[i];
	return all;
}

/* ---- in the command's process, up to its exec ---- */

/* One that shares the init's memory, and which the init waits for. */
struct attempt {
	const struct job *job;
	struct account account;
	char **variables;
	int theirs[3];
	bool failed;
	struct failure failure;
};

static void give_up(
	struct attempt *attempt, uint32_t kind, int errno_value, const char *subject, const char *action)
{
	attempt->failure = (struct failure){kind, errno_value, subject, action};
	attempt->failed = true;
	SYS(exit_group, 127);
}

/* A text without "#!" is for the shell, as execvp(3) has it. */
static long try_exec(const char *path, const struct job *job, char **variables)
{
	long result = SYS(execve, path, job->arguments, variables);

	if (result == -ENOEXEC) {
		char **words = take((job->head.arguments + 2) * sizeof(*words));

		if (!words)
			return -ENOMEM;
		words[0] = (char *)"sh";
		words[1] = (char *)path;
		memcpy(words + 2, job->arguments + 1, (job->head.arguments - 1) * sizeof(*words));
		SYS(execve, "/bin/sh", words, variables);
	}
	return result;
}

static long search_exec(const struct job *job, char **variables)
{
	const char *name = job->arguments[0], *path = get(variables, "PATH");
	long result = -ENOENT;

	if (find_byte(name, '/') || !*name)
		return try_exec(name, job, variables);
	while (path) {
		const char *colon = find_byte(path, ':');
		size_t size = colon ? (size_t)(colon - path) : length(path);
		char *full = take(size + length(name) + 2), *at = full;
		long one;

		if (!full)
			return -ENOMEM;
		memcpy(full, path, size);
		at += size;
		if (size)
			*at++ = '/';
		put(at, at + length(name) + 1, name);
		one = try_exec(full, job, variables);
		/* As the shell: what is there and cannot be executed is told, unless there is a better one. */
		if (one != -ENOENT && one != -ENOTDIR)
			result = one;
		path = colon ? colon + 1 : NULL;
	}
	return result;
}

/* Signals are as the kernel gave them to the init, which is as a program expects them: relay() has not begun yet. */
static void become_command(void *context)
{
	struct attempt *attempt = context;
	const struct job *job = attempt->job;
	const struct account *account = &attempt->account;
	const char *folder = *job->folder ? job->folder : "/";
	long result;

	SYS(setsid);
	if (job->head.tty)
		SYS(ioctl, attempt->theirs[0], TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		SYS(dup2, attempt->theirs[i], i);
	SYS(umask, 022);
	result = SYS(setgroups, account->group_count, account->groups);
	if (!result)
		result = SYS(setgid, account->gid);
	if (!result)
		result = SYS(setuid, account->uid);
	if (result)
		give_up(attempt, RL_FATE_NOT_STARTED, (int)-result, job->user, "run as this user");
	result = SYS(chdir, folder);
	if (result)
		give_up(attempt, RL_FATE_NOT_STARTED, (int)-result, folder,
			"change to this folder in the guest");
	result = search_exec(job, attempt->variables);
	give_up(attempt, result == -ENOENT || result == -ENOTDIR ? RL_FATE_NOT_FOUND : RL_FATE_NOT_EXECUTED,
		(int)-result, job->arguments[0], "execute in the guest");
}

/* ---- in the init ---- */

static bool make_pipe(int *ours, int *theirs, bool input)
{
	int pipe[2];

	if (SYS(pipe2, pipe, O_CLOEXEC))
		return false;
	*ours = pipe[input];
	*theirs = pipe[!input];
	SYS(fcntl, *ours, F_SETFL, (input ? O_WRONLY : O_RDONLY) | O_NONBLOCK);
	SYS(fcntl, *ours, F_SETPIPE_SZ, PIPE_SIZE);
	return true;
}

static bool make_terminal(const struct job *job, struct ends *ends, int theirs[3])
{
	struct winsize size = {(unsigned short)job->head.rows, (unsigned short)job->head.columns, 0, 0};
	int zero = 0, master = (int)SYS(open, "/dev/ptmx", O_RDWR | O_CLOEXEC | O_NOCTTY, 0);

	if (master < 0 || SYS(ioctl, master, TIOCSPTLCK, &zero))
		return false;
	theirs[0] = (int)SYS(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	theirs[1] = theirs[2] = theirs[0];
	SYS(ioctl, master, TIOCSWINSZ, &size);
	SYS(fcntl, master, F_SETFL, O_RDWR | O_NONBLOCK);
	ends->out[0] = master;
	ends->in = (int)SYS(fcntl, master, F_DUPFD_CLOEXEC, 3);
	return theirs[0] >= 0 && ends->in >= 0;
}

static bool make_pipes(const struct job *job, struct ends *ends, int theirs[3])
{
	if (!make_pipe(&ends->in, &theirs[0], true) || !make_pipe(&ends->out[0], &theirs[1], false))
		return false;
	theirs[2] = theirs[1];
	return job->head.merged || make_pipe(&ends->out[1], &theirs[2], false);
}

bool start_command(const struct job *job, struct ends *ends, struct failure *failure)
{
	static struct attempt attempt = {.theirs = {-1, -1, -1}};
	char *stack = take(STACK_SIZE);
	long pid;

	*ends = (struct ends){.in = -1, .out = {-1, -1}};
	if (!find_account(job->user, &attempt.account, failure))
		return false;
	attempt.job = job;
	attempt.variables = make_variables(job, &attempt.account);
	if (!stack || !attempt.variables)
		return fail(failure, RL_FATE_TROUBLE, ENOMEM, "guest", "start a process");
	if (!(job->head.tty ? make_terminal(job, ends, attempt.theirs)
			    : make_pipes(job, ends, attempt.theirs)))
		return fail(failure, RL_FATE_TROUBLE, EMFILE, "guest", "make the command's pipes");
	pid = spawn(become_command, &attempt, stack + STACK_SIZE);
	if (pid < 0)
		return fail(failure, RL_FATE_TROUBLE, (int)-pid, "guest", "start a process");
	for (int i = 0; i < 3; i++)
		if (!i || attempt.theirs[i] != attempt.theirs[i - 1])
			SYS(close, attempt.theirs[i]);
	ends->pid = (int)pid;
	if (!attempt.failed)
		return true;
	*failure = attempt.failure;
	SYS(wait4, pid, NULL, 0, NULL);
	return false;
}
