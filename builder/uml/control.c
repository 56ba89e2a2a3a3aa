#include "uml/control.h"

#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_SECONDS 10
#define ANSWER_NAME    "answer-%ld" /* in the umid folder, with our pid */
#define KILL_SECONDS   10
#define FOLDER_AGE_MIN 60 /* seconds: a younger one may be that of a guest which is just being started */

/* arch/um/drivers/mconsole.h */
#define MCONSOLE_MAGIC   0xcafebabeu
#define MCONSOLE_VERSION 2
#define MCONSOLE_DATA    512

/* An init that does not care for the button has the kernel restart at once: nothing shall be lost then. */
#define SYNC   "sysrq s"
#define BUTTON "cad"

struct request {
	uint32_t magic, version, length;
	char data[MCONSOLE_DATA];
};

struct reply {
	uint32_t failed, more, length;
	char data[MCONSOLE_DATA];
};

/* ---- /proc ---- */

struct process {
	pid_t pid, parent, session;
	uint64_t start; /* clock ticks since the machine's start */
};

static bool is_ours(pid_t pid)
{
	char *path = rl_printf("/proc/%ld", (long)pid);
	struct stat st;
	bool ours = !stat(path, &st) && (geteuid() == 0 || st.st_uid == geteuid());

	free(path);
	return ours;
}

/* PID (NAME) STATE PARENT GROUP SESSION ... START: the name may hold anything. */
static bool get_process(pid_t pid, struct process *process)
{
	struct rl_buf buf = RL_BUF_NONE;
	bool good = false;
	char *text, *p;
	long parent, session;
	unsigned long long start;

	if (!rl_read_proc(pid, "stat", &buf)) {
		text = rl_buf_string(&buf);
		p = strrchr(text, ')');
		good = p && sscanf(p + 1,
				    " %*c %ld %*d %ld %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
				    "%*d %*d %llu",
				    &parent, &session, &start) == 3;
		if (good)
			*process = (struct process){pid, (pid_t)parent, (pid_t)session, start};
		free(text);
	}
	rl_buf_free(&buf);
	return good;
}

static bool is_guardian(pid_t pid)
{
	struct rl_buf buf = RL_BUF_NONE;
	bool is = is_ours(pid) && !rl_read_proc(pid, "comm", &buf) &&
		  buf.size == strlen(RL_GUARDIAN_NAME) + 1 &&
		  !memcmp(buf.data, RL_GUARDIAN_NAME "\n", buf.size);

	rl_buf_free(&buf);
	return is;
}

/* Calls visit for every process. */
static int each_process(void (*visit)(pid_t pid, void *context), void *context, struct rl_error *err)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return rl_fail_errno(err, "/proc", "read", errno);
	while ((entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			visit((pid_t)strtol(entry->d_name, NULL, 10), context);
	closedir(proc);
	return 0;
}

static char *read_link(const char *path)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof(target));

	return n < 0 || n == (ssize_t)sizeof(target) ? NULL : rl_strndup(target, (size_t)n);
}

/* ---- finding ---- */

/* In the words of a guest that runs a command: of UML, and of QEMU. */
#define COMMAND_ROOT "root=/dev/ubd" RL_JOB_DISK_LETTER
#define COMMAND_PORT "name=" RL_CHANNEL_PORT

/* Of a COW file without a name it is the one below that counts. */
static void add_disk(struct rl_running *guest, unsigned number, unsigned fd)
{
	char *path = rl_printf("/proc/%ld/fd/%u", (long)guest->pid, fd), *target = NULL;
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint8_t head[RL_COW_HEAD_MAX];
	struct rl_cow cow;
	struct stat st;
	bool unnamed = file >= 0 && fstat(file, &st) == 0 && S_ISREG(st.st_mode) && !st.st_nlink;
	ssize_t n = unnamed ? pread(file, head, sizeof(head), 0) : -1;
	bool forget = n > 0 && rl_cow_is(head, (size_t)n) &&
		      rl_cow_parse(head, (size_t)n, (uint64_t)st.st_size, path, &cow, NULL) == 0;

	rl_close(&file);
	/* The one that brings a command into the guest is nobody's business. */
	if (!unnamed || forget || number != RL_JOB_DISK) {
		target = forget ? rl_strdup(cow.backing) : read_link(path);
		RL_GROW(guest->disks, guest->disk_count, guest->disk_room);
		guest->disks[guest->disk_count++] =
			(struct rl_running_disk){target ? target : rl_strdup("?"), forget};
	}
	free(path);
}

/*
 * What UML was started with: "mem=65536K", "ubd0d=/proc/self/fd/7", "umid=demo"; and QEMU: "size=65536K",
 * "driver=file,node-name=ubda,filename=/proc/self/fd/7,...", or driver=nbd and export=/proc/self/fd/7, "guest=demo".
 */
static void take_word(struct rl_running *guest, const char *word)
{
	unsigned disk, fd;
	char text[16], letter;

	if (!strncmp(word, "umid=", 5) && !guest->name) {
		guest->name = rl_strdup(word + 5);
	} else if (!strncmp(word, "guest=", 6) && !guest->name) {
		guest->name = rl_strdup(word + 6);
		guest->machine = true;
	} else if (guest->machine ? strstr(word, COMMAND_PORT) != NULL : !strcmp(word, COMMAND_ROOT)) {
		guest->command = true;
	} else if (!strncmp(word, "mem=", 4) && !guest->memory) {
		rl_parse_size(word + 4, &guest->memory);
	} else if (guest->machine && !strncmp(word, "size=", 5) && !guest->memory) {
		rl_parse_size(word + 5, &guest->memory);
	} else if (sscanf(word, "ubd%u%7[a-z]=/proc/self/fd/%u", &disk, text, &fd) == 3 ||
		   sscanf(word, "ubd%u=/proc/self/fd/%u", &disk, &fd) == 2) {
		add_disk(guest, disk, fd);
	} else if (sscanf(word, "driver=%15[a-z_],node-name=ubd%c,filename=/proc/self/fd/%u", text, &letter,
			   &fd) == 3 ||
		   sscanf(word, "driver=nbd,node-name=ubd%c,export=/proc/self/fd/%u", &letter, &fd) == 2) {
		add_disk(guest, (unsigned)(letter - 'a'), fd);
	}
}

static void free_running(struct rl_running *guest)
{
	free(guest->name);
	for (size_t i = 0; i < guest->disk_count; i++)
		free(guest->disks[i].path);
	free(guest->disks);
}

/* UML leads a session, and its parent is a guardian; the processes of its guest do not. */
static void take_process(pid_t pid, void *context)
{
	struct rl_guests *guests = context;
	struct rl_buf cmdline = RL_BUF_NONE;
	struct process process;
	struct timespec now;
	struct rl_running guest = {.pid = pid};

	if (!is_ours(pid) || !get_process(pid, &process) || process.session != pid ||
		!is_guardian(process.parent))
		return;
	if (!rl_read_proc(pid, "cmdline", &cmdline)) {
		size_t size = cmdline.size;
		char *text = rl_buf_string(&cmdline);

		for (const char *word = text; word < text + size; word += strlen(word) + 1)
			take_word(&guest, word);
		free(text);
	}
	rl_buf_free(&cmdline);
	if (!guest.name) {
		free_running(&guest);
		return;
	}
	clock_gettime(CLOCK_BOOTTIME, &now);
	guest.guardian = process.parent;
	guest.seconds = (uint64_t)now.tv_sec - process.start / (uint64_t)sysconf(_SC_CLK_TCK);
	RL_GROW(guests->items, guests->count, guests->room);
	guests->items[guests->count++] = guest;
}

static int by_name(const void *a, const void *b)
{
	const struct rl_running *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->pid > y->pid) - (x->pid < y->pid);
}

int rl_guests_find(struct rl_guests *guests, struct rl_error *err)
{
	*guests = (struct rl_guests){.items = NULL};
	if (each_process(take_process, guests, err))
		return -1;
	if (guests->count)
		qsort(guests->items, guests->count, sizeof(*guests->items), by_name);
	return 0;
}

void rl_guests_free(struct rl_guests *guests)
{
	for (size_t i = 0; i < guests->count; i++)
		free_running(&guests->items[i]);
	free(guests->items);
	*guests = (struct rl_guests){.items = NULL};
}

const struct rl_running *rl_guests_get(const struct rl_guests *guests, const char *word, struct rl_error *err)
{
	const struct rl_running *found = NULL;
	uint64_t pid = 0;

	rl_parse_u64(word, INT32_MAX, &pid);
	for (size_t i = 0; i < guests->count; i++) {
		const struct rl_running *guest = &guests->items[i];

		if ((uint64_t)guest->pid == pid)
			return guest;
		if (strcmp(guest->name, word) != 0)
			continue;
		if (found) {
			rl_fail(err, word, "find guest", "several have that name: pid %ld, pid %ld, ...",
				(long)found->pid, (long)guest->pid);
			return NULL;
		}
		found = guest;
	}
	if (!found)
		rl_fail(err, word, "find guest", "no guest of that name is running (rootlet ps lists them)");
	return found;
}

/* ---- the management console ---- */

/*
 * In a process of its own, whose working folder becomes UML's: the run folder, whose own path may be longer than a
 * socket's may. There is the socket for the answer, too: an address that UML finds also where it sees no other folder
 * of the host, and is in another network (confine.c). Returns errno.
 */
static int join_console(const struct rl_running *guest, int fd)
{
	struct sockaddr_un ours = {.sun_family = AF_UNIX}, theirs = {.sun_family = AF_UNIX};
	char *folder = rl_printf("/proc/%ld/cwd", (long)guest->pid);

	if (snprintf(theirs.sun_path, sizeof(theirs.sun_path), "%s/mconsole", guest->name) >=
			(int)sizeof(theirs.sun_path) ||
		snprintf(ours.sun_path, sizeof(ours.sun_path), "%s/" ANSWER_NAME, guest->name,
			(long)getppid()) >= (int)sizeof(ours.sun_path))
		return ENAMETOOLONG;
	/* The guest may be another user's, if we are root: then UML must be allowed to write to it. */
	umask(0);
	if (chdir(folder) || bind(fd, (struct sockaddr *)&ours, sizeof(ours)))
		return errno;
	if (connect(fd, (struct sockaddr *)&theirs, sizeof(theirs)) == 0)
		return 0;
	unlink(ours.sun_path);
	return errno;
}

static int connect_console(const struct rl_running *guest, struct rl_error *err)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), number;
	pid_t pid;

	if (guest->machine) {
		rl_close(&fd);
		return rl_fail(err, guest->name, "talk to",
			"it runs under QEMU and has no management console (rootlet kill ends it)");
	}
	if (fd < 0)
		return rl_fail_errno(err, guest->name, "talk to", errno);
	pid = fork();
	if (pid == 0)
		_exit(join_console(guest, fd));
	number = pid < 0 ? errno : rl_wait(pid);
	if (pid > 0)
		number = WIFEXITED(number) ? WEXITSTATUS(number) : EINTR;
	if (!number)
		return fd;
	rl_fail(err, guest->name, "talk to", "its management console: %s", strerror(number));
	close(fd);
	return -1;
}

static void leave_console(const struct rl_running *guest)
{
	char *path =
		rl_printf("/proc/%ld/cwd/%s/" ANSWER_NAME, (long)guest->pid, guest->name, (long)getpid());

	unlink(path);
	free(path);
}

static int get_answer(const struct rl_running *guest, int fd, struct rl_buf *answer, struct rl_error *err)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	struct reply reply = {.more = 1};
	struct rl_buf text = RL_BUF_NONE;
	int result = 0;

	while (reply.more && !result) {
		ssize_t n = 0;

		if (poll(&pollfd, 1, ANSWER_SECONDS * 1000) == 1)
			n = recv(fd, &reply, sizeof(reply), 0);
		if (n < (ssize_t)offsetof(struct reply, data) ||
			reply.length > (size_t)n - offsetof(struct reply, data))
			result = rl_fail(
				err, guest->name, "talk to", "its management console does not answer");
		else
			rl_buf_bytes(&text, reply.data, strnlen(reply.data, reply.length));
	}
	while (text.size && text.data[text.size - 1] == '\n')
		text.size--;
	if (!result && reply.failed)
		result = rl_fail(err, guest->name, "talk to", "it answers: %.*s", (int)text.size, text.data);
	else if (!result)
		rl_buf_bytes(answer, text.data, text.size);
	rl_buf_free(&text);
	return result;
}

static bool say(int fd, const char *command)
{
	struct request request = {MCONSOLE_MAGIC, MCONSOLE_VERSION, (uint32_t)strlen(command), ""};

	memcpy(request.data, command, request.length);
	return send(fd, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(request);
}

bool rl_power_button(pid_t uml, const char *umid)
{
	const struct rl_running guest = {.name = (char *)umid, .pid = uml};
	struct rl_error none = RL_ERROR_NONE;
	int fd = connect_console(&guest, &none);
	bool heard = fd >= 0 && say(fd, SYNC) && say(fd, BUTTON);

	if (fd >= 0)
		leave_console(&guest);
	rl_close(&fd);
	rl_error_clear(&none);
	return heard;
}

int rl_mconsole(
	const struct rl_running *guest, const char *command, struct rl_buf *answer, struct rl_error *err)
{
	int fd, result;

	if (strlen(command) >= MCONSOLE_DATA)
		return rl_fail(
			err, guest->name, "talk to", "a command of more than %d bytes", MCONSOLE_DATA - 1);
	fd = connect_console(guest, err);
	if (fd < 0)
		return -1;
	if (!say(fd, command))
		result = rl_fail_errno(err, guest->name, "talk to", errno);
	else
		result = get_answer(guest, fd, answer, err);
	leave_console(guest);
	close(fd);
	return result;
}

/* ---- ending ---- */

/* A descriptor that becomes readable when the process is gone. */
static int watch(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static int wait_for_end(const struct rl_running *guest, int fd, uint64_t seconds, struct rl_error *err)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	int timeout = seconds < INT32_MAX / 1000 ? (int)seconds * 1000 : -1;

	if (fd < 0 || poll(&pollfd, 1, timeout) == 1)
		return 0;
	return rl_fail(err, guest->name, "stop", "it still runs after %llu s (rootlet kill ends it at once)",
		(unsigned long long)seconds);
}

static bool same_program(pid_t a, pid_t b)
{
	char *path_a = rl_printf("/proc/%ld/exe", (long)a), *path_b = rl_printf("/proc/%ld/exe", (long)b);
	struct stat x, y;
	bool same = !stat(path_a, &x) && !stat(path_b, &y) && rl_same_file(&x, &y);

	free(path_a);
	free(path_b);
	return same;
}

/* The rootlet that runs the guest and its command. If that is gone, the guest is just being ended. */
static int signal_runner(const struct rl_running *guest, int number, struct rl_error *err)
{
	struct process before, now;
	int fd, result = 0;

	if (!get_process(guest->guardian, &before))
		return 0;
	fd = watch(before.parent);
	/* It was the guardian's parent while we had it. */
	if (fd >= 0 && get_process(guest->guardian, &now) && now.parent == before.parent &&
		now.start == before.start && same_program(now.parent, now.pid) &&
		syscall(SYS_pidfd_send_signal, fd, number, NULL, 0) && errno != ESRCH)
		result = rl_fail_errno(err, guest->name, "stop", errno);
	rl_close(&fd);
	return result;
}

static int press_button(const struct rl_running *guest, struct rl_error *err)
{
	struct rl_buf answer = RL_BUF_NONE;
	int result;

	rl_mconsole(guest, SYNC, &answer, NULL);
	result = rl_mconsole(guest, BUTTON, &answer, err);
	rl_buf_free(&answer);
	return result;
}

int rl_guest_stop(const struct rl_running *guest, uint64_t seconds, struct rl_error *err)
{
	int fd = watch(guest->guardian), result;

	/* Our init in the guest has no such button. */
	result = guest->command ? signal_runner(guest, SIGTERM, err) : press_button(guest, err);
	if (!result)
		result = wait_for_end(guest, fd, seconds, err);
	rl_close(&fd);
	return result;
}

int rl_guest_kill(const struct rl_running *guest, struct rl_error *err)
{
	int fd = watch(guest->guardian), result = 0;

	if (kill(guest->pid, SIGKILL) && errno != ESRCH)
		result = rl_fail_errno(err, guest->name, "kill", errno);
	/* The guardian sees it, and clears away. */
	if (!result)
		result = wait_for_end(guest, fd, KILL_SECONDS, err);
	rl_close(&fd);
	return result;
}

/* ---- what others have left ---- */

struct folders {
	bool known; /* they have been looked for: only where there is something to remove */
	struct rl_argv items; /* working folders of all processes that can be seen */
};

static void take_folder(pid_t pid, void *context)
{
	char *path = rl_printf("/proc/%ld/cwd", (long)pid), *folder = read_link(path);

	if (folder)
		rl_argv_add(context, folder);
	free(folder);
	free(path);
}

static bool in_use(struct folders *folders, const char *path)
{
	size_t size = strlen(path);

	if (!folders->known && each_process(take_folder, &folders->items, NULL))
		return true;
	folders->known = true;
	for (size_t i = 0; i < folders->items.count; i++) {
		const char *folder = folders->items.items[i];

		if (!strncmp(folder, path, size) && (!folder[size] || folder[size] == '/'))
			return true;
	}
	return false;
}

static bool is_run_folder(const char *name)
{
	size_t size = strlen(RL_RUN_FOLDER);

	return !strncmp(name, RL_RUN_FOLDER, size) && strlen(name) == size + 16 &&
	       strspn(name + size, "0123456789abcdef") == 16;
}

static void clean_place(const char *place, struct folders *folders)
{
	DIR *dir = opendir(place);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char *path, *real;
		struct stat st;

		if (!is_run_folder(entry->d_name) ||
			fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
			!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
			time(NULL) - st.st_mtim.tv_sec < FOLDER_AGE_MIN)
			continue;
		path = rl_printf("%s/%s", place, entry->d_name);
		real = realpath(path, NULL);
		if (real && !in_use(folders, real))
			rl_remove_tree(AT_FDCWD, path, NULL);
		free(real);
		free(path);
	}
	if (dir)
		closedir(dir);
}

void rl_run_folders_clean(void)
{
	const char *places[RL_PLACES + 1];
	struct folders folders = {.items = RL_ARGV_NONE};

	rl_places(places);
	for (size_t i = 0; places[i]; i++)
		clean_place(places[i], &folders);
	rl_argv_free(&folders.items);
}
