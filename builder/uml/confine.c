/*
 * A root of its own for the kernel of a guest that has shares: of the host it sees nothing but those folders, its disks,
 * its run folder, the libraries that it is made of, and a few devices.
 *
 * hostfs by itself is no limit: "-o /.." of a mount climbs out of any folder, and hostfs=DIR only stands in front of
 * it. Nor is Landlock: it has no say in chmod(), chown(), utime(), stat() and readlink(). So there are namespaces, for
 * which no right is needed where user namespaces are allowed: of users, mounts, processes, the network, IPC and names.
 * There is no /proc in there: its /proc/PID/fd would be a way to a disk that is read-only, and to the kernel's memory.
 * What UML opens as /proc/self/fd/N are files that stand there.
 *
 * A process that is the first of its kind in there, the holder, makes them and stays; when it ends all in them does.
 */
#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "ubd/disk.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

#define HOLDER_NAME     "rootlet-root"
#define LIBRARY_SECONDS 10
#define PROGRAM_HEADERS 64
#define DO_SHARE        "share with the guest"

/* ---- before the start: what there is ---- */

/* The program that the kernel names to load it with its libraries; NULL: it is static, or no ELF file of 64 bit. */
static char *find_loader(int fd)
{
	char name[PATH_MAX];
	Elf64_Ehdr elf;
	Elf64_Phdr program;

	if (rl_pread_all(fd, &elf, sizeof(elf), 0) || memcmp(elf.e_ident, ELFMAG, SELFMAG) ||
		elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_phentsize != sizeof(program))
		return NULL;
	for (unsigned i = 0; i < elf.e_phnum && i < PROGRAM_HEADERS; i++) {
		if (rl_pread_all(fd, &program, sizeof(program), elf.e_phoff + i * sizeof(program)))
			return NULL;
		if (program.p_type != PT_INTERP)
			continue;
		if (program.p_filesz >= sizeof(name) ||
			rl_pread_all(fd, name, program.p_filesz, program.p_offset))
			return NULL;
		name[program.p_filesz] = '\0';
		return name[0] == '/' ? rl_strdup(name) : NULL;
	}
	return NULL;
}

/* "NAME => /PATH (ADDRESS)", or "/PATH (ADDRESS)", as the loader lists them. */
static void take_library(struct rl_argv *libraries, const char *line, size_t size)
{
	const char *arrow = memmem(line, size, " => ", 4), *at = arrow ? arrow + 4 : line, *end = line + size;
	const char *blank;
	char *path;

	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	blank = memmem(at, (size_t)(end - at), " (", 2);
	if (!blank || *at != '/')
		return;
	path = rl_strndup(at, (size_t)(blank - at));
	/* The loader lists itself. */
	if (strcmp(path, libraries->items[0]))
		rl_argv_add(libraries, path);
	free(path);
}

static int find_libraries(struct rl_confine *confine, const char *kernel, struct rl_error *err)
{
	char *loader = find_loader(confine->kernel);
	char *argv[] = {loader, "--list", (char *)kernel, NULL};
	struct rl_spawn spawn = {.argv = argv, .in = -1, .out = -1, .err = -1};
	struct rl_capture capture = {.seconds = LIBRARY_SECONDS, .log = -1, .tail_size = 65536};
	const char *line, *end, *stop;
	int result;

	if (!loader)
		return 0;
	rl_argv_add(&confine->libraries, loader);
	result = rl_run_captured(&spawn, &capture, kernel, err);
	line = capture.tail.data;
	end = line + capture.tail.size;
	for (; !result && line < end; line = stop + 1) {
		stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop ? stop : end;
		take_library(&confine->libraries, line, (size_t)(stop - line));
	}
	rl_buf_free(&capture.tail);
	free(loader);
	return result;
}

static int look_at(struct rl_confine *confine, size_t i, struct rl_error *err)
{
	const char *folder = confine->guest->shares[i].folder;
	struct stat st;

	if (stat(folder, &st))
		return rl_fail_errno(err, folder, DO_SHARE, errno);
	if (!S_ISDIR(st.st_mode))
		return rl_fail_errno(err, folder, DO_SHARE, ENOTDIR);
	if (access(folder, R_OK | X_OK))
		return rl_fail_errno(err, folder, DO_SHARE, errno);
	confine->folders[i] = (struct rl_confine_file){st.st_dev, st.st_ino};
	return 0;
}

static int find_backing(struct rl_confine *confine, size_t i, struct rl_error *err)
{
	const struct rl_disk_options options = {.cow = true};
	struct rl_disk *disk;
	int result = 0;

	if (!confine->guest->disks[i].cow)
		return 0;
	if (rl_disk_open(confine->guest->disks[i].cow, &options, &disk, err))
		return -1;
	if (*rl_disk_backing(disk) == '/')
		confine->backings[i] = rl_strdup(rl_disk_backing(disk));
	else
		result = rl_fail(err, confine->guest->disks[i].cow, "use with a share",
			"its backing file is not told by an absolute path");
	rl_disk_close(disk);
	return result;
}

int rl_confine_open(struct rl_confine *confine, const struct rl_guest *guest, const int *disks,
	const char *kernel, struct rl_error *err)
{
	confine->guest = guest;
	confine->disks = disks;
	confine->folders = rl_calloc(guest->share_count, sizeof(*confine->folders));
	for (size_t i = 0; i < guest->share_count; i++)
		if (look_at(confine, i, err))
			return -1;
	for (size_t i = 0; i < guest->disk_count; i++)
		if (find_backing(confine, i, err))
			return -1;
	confine->kernel = open(kernel, O_RDONLY | O_CLOEXEC);
	if (confine->kernel < 0)
		return rl_fail_errno(err, kernel, "open", errno);
	return find_libraries(confine, kernel, err);
}

void rl_confine_close(struct rl_confine *confine)
{
	free(confine->folders);
	confine->folders = NULL;
	free(confine->folder);
	confine->folder = NULL;
	for (size_t i = 0; i < RL_DISKS_MAX; i++) {
		free(confine->backings[i]);
		confine->backings[i] = NULL;
	}
	rl_close(&confine->kernel);
	rl_close(&confine->pidfd);
	rl_argv_free(&confine->libraries);
}

/* ---- in the holder: the root ---- */

/* Keeps errno for the failure. */
__attribute__((format(printf, 2, 3))) static int cannot(
	struct rl_confine_failure *failure, const char *format, ...)
{
	va_list ap;

	failure->number = errno;
	va_start(ap, format);
	vsnprintf(failure->step, sizeof(failure->step), format, ap);
	va_end(ap);
	return -1;
}

/* Makes the path below the current folder, for a file or a folder to be mounted there. */
static int make_place(const char *path, bool is_file)
{
	char *copy = rl_strdup(path + strspn(path, "/")), *end = copy;
	int fd;

	while (*end) {
		end += strcspn(end, "/");
		end += strspn(end, "/");
		if (!*end && is_file)
			break;
		if (*end)
			end[-1] = '\0';
		if (mkdir(copy, 0755) && errno != EEXIST) {
			free(copy);
			return -1;
		}
		if (*end)
			end[-1] = '/';
	}
	fd = is_file ? open(copy, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644) : -1;
	free(copy);
	if (is_file && fd < 0)
		return -1;
	rl_close(&fd);
	return 0;
}

struct piece {
	char *place; /* in the new root */
	bool is_file;
	uint64_t attributes; /* MOUNT_ATTR_... of all that is mounted there */
	int mount; /* a copy of what is there, not mounted yet */
};

struct root {
	const struct rl_confine *confine;
	struct piece *pieces;
	size_t count, room;
	struct rl_confine_failure *failure;
};

/* Takes something as it is in the old root, with all that is mounted below it. */
static int take(struct root *root, const char *path, const char *place, uint64_t attributes)
{
	struct piece piece = {.attributes = attributes};
	struct stat st;

	piece.mount = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (piece.mount < 0 || fstat(piece.mount, &st))
		return cannot(root->failure, "%s", path);
	piece.place = rl_strdup(place);
	piece.is_file = !S_ISDIR(st.st_mode);
	RL_GROW(root->pieces, root->count, root->room);
	root->pieces[root->count++] = piece;
	return 0;
}

/* The last piece is that file or folder, and no other that has come in its place. */
static int check_last(struct root *root, dev_t dev, ino_t ino)
{
	struct stat st;

	if (fstat(root->pieces[root->count - 1].mount, &st) == 0 && st.st_dev == dev && st.st_ino == ino)
		return 0;
	errno = ESTALE;
	return cannot(root->failure, "%s", root->pieces[root->count - 1].place);
}

static int take_shares(struct root *root)
{
	const struct rl_confine *confine = root->confine;

	for (size_t i = 0; i < confine->guest->share_count; i++) {
		const struct rl_guest_share *share = &confine->guest->shares[i];
		char *place = rl_printf(RL_SHARES "/%zu", i);
		int result = take(root, share->folder, place,
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (share->read_only ? MOUNT_ATTR_RDONLY : 0));

		free(place);
		if (result || check_last(root, confine->folders[i].dev, confine->folders[i].ino))
			return -1;
	}
	return 0;
}

/* What is opened already has no place in these mounts: so each is looked for again. */
static int take_disk(struct root *root, size_t i, const char *path, bool read_only)
{
	int fd = root->confine->disks[i], result;
	char *place = rl_printf("/proc/self/fd/%d", fd);
	const char *name = root->confine->names[i];
	struct stat st;

	result = take(
		root, name ? name : path, place, MOUNT_ATTR_NOSUID | (read_only ? MOUNT_ATTR_RDONLY : 0));
	free(place);
	if (result)
		return -1;
	if (fstat(fd, &st))
		return cannot(root->failure, "%s", path);
	return check_last(root, st.st_dev, st.st_ino);
}

static int take_disks(struct root *root)
{
	const struct rl_confine *confine = root->confine;
	const struct rl_guest *guest = confine->guest;

	for (size_t i = 0; i < guest->disk_count; i++) {
		const struct rl_guest_disk *disk = &guest->disks[i];

		if (take_disk(root, i, disk->cow ? disk->cow : disk->path, disk->read_only))
			return -1;
		/* UML finds the file below a COW file by the path in its header. */
		if (disk->cow && take(root, confine->backings[i], confine->backings[i],
					 MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY))
			return -1;
	}
	return guest->command ? take_disk(root, RL_JOB_DISK, "", true) : 0;
}

static int take_all(struct root *root)
{
	/* What UML opens: for consoles that are null, and as its source of randomness. */
	static const char *const devices[] = {"/dev/null", "/dev/random", "/dev/urandom"};
	const struct rl_confine *confine = root->confine;

	if (take_shares(root) || take_disks(root) ||
		take(root, confine->folder, confine->folder, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV))
		return -1;
	for (size_t i = 0; i < RL_COUNT(devices); i++)
		if (take(root, devices[i], devices[i],
			    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY))
			return -1;
	for (size_t i = 0; i < confine->libraries.count; i++)
		if (take(root, confine->libraries.items[i], confine->libraries.items[i],
			    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY))
			return -1;
	return 0;
}

static int put_all(struct root *root)
{
	for (size_t i = 0; i < root->count; i++) {
		const struct piece *piece = &root->pieces[i];
		struct mount_attr attributes = {.attr_set = piece->attributes};

		if (mount_setattr(piece->mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
			    sizeof(attributes)) ||
			make_place(piece->place, piece->is_file) ||
			move_mount(piece->mount, "", AT_FDCWD, piece->place + strspn(piece->place, "/"),
				MOVE_MOUNT_F_EMPTY_PATH))
			return cannot(root->failure, "%s", piece->place);
	}
	return 0;
}

static int change_root(struct root *root)
{
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};

	/* The old root is put below the new one, which is where we are, and taken away from there. */
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/") ||
		mount_setattr(AT_FDCWD, "/", 0, &read_only, sizeof(read_only)))
		return cannot(root->failure, "change the root");
	return 0;
}

static int make_root(const struct rl_confine *confine, struct rl_confine_failure *failure)
{
	struct root root = {.confine = confine, .failure = failure};

	umask(022);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return cannot(failure, "mounts of its own");
	if (take_all(&root))
		return -1;
	/* Any folder will do to mount the new root on: nobody else sees that. */
	if (mount("tmpfs", confine->folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1M") ||
		chdir(confine->folder))
		return cannot(failure, "mount a new root");
	if (put_all(&root) || change_root(&root))
		return -1;
	return 0;
}

/* The first process of the namespaces. go: a byte, or the end, comes once its users are set. */
static void hold(const struct rl_confine *confine, int go, int report)
{
	struct rl_confine_failure failure = {.number = 0};
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, HOLDER_NAME);
	/* The guardian may be gone before the line above held. */
	if (rl_read_some(go, &byte, 1) != 1)
		_exit(1);
	make_root(confine, &failure);
	rl_write_all(report, &failure, sizeof(failure));
	if (failure.number)
		_exit(1);
	/* It has no parent but us, whoever has lost its own; nobody needs to know how it ended. */
	signal(SIGCHLD, SIG_IGN);
	close_range(0, ~0U, 0);
	for (;;)
		pause();
}

/* ---- in the guardian ---- */

static int write_map(pid_t pid, const char *file, const char *text)
{
	char *path = rl_printf("/proc/%ld/%s", (long)pid, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC),
	    result = fd < 0 ? -1 : rl_write_all(fd, text, strlen(text));
	int saved = errno;

	rl_close(&fd);
	free(path);
	errno = saved;
	return result;
}

/* Everybody is who they are outside: all, where that is allowed, which it is to root; else this user alone. */
static int set_users(pid_t pid)
{
	static const char all[] = "0 0 4294967295\n";
	char *user = rl_printf("%u %u 1\n", geteuid(), geteuid());
	char *group = rl_printf("%u %u 1\n", getegid(), getegid());
	int result = 0;

	if (write_map(pid, "uid_map", all))
		result = write_map(pid, "uid_map", user);
	if (!result && write_map(pid, "gid_map", all)) {
		write_map(pid, "setgroups", "deny");
		result = write_map(pid, "gid_map", group);
	}
	free(user);
	free(group);
	return result;
}

static int start_holder(
	struct rl_confine *confine, const int go[2], const int report[2], struct rl_confine_failure *failure)
{
	pid_t pid = (pid_t)syscall(SYS_clone, NAMESPACES | SIGCHLD, NULL, NULL, NULL, 0);

	if (pid == 0) {
		close(go[1]);
		close(report[0]);
		hold(confine, go[0], report[1]);
	}
	if (pid < 0)
		return cannot(failure, "namespaces of its own");
	confine->holder = pid;
	confine->pidfd = pidfd_open(pid, 0);
	if (confine->pidfd < 0)
		return cannot(failure, "hold its namespaces");
	if (set_users(pid))
		return cannot(failure, "users of its own");
	return 0;
}

/* A folder in which a name for the file can be made: the run folder, or where it lies; the caller frees it. */
static char *name_beside(const struct rl_confine *confine, int fd)
{
	char link[64], path[PATH_MAX], *slash;
	struct stat file, folder;
	ssize_t n;

	if (fstat(fd, &file) == 0 && stat(confine->folder, &folder) == 0 && file.st_dev == folder.st_dev)
		return rl_printf("%s/disk-%d", confine->folder, fd);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	return rl_printf("%s/.%s-%d", slash ? path : "", strrchr(confine->folder, '/') + 1, fd);
}

/* Gives the disks that have no name one for as long as the root is made. */
static int name_disks(struct rl_confine *confine)
{
	for (size_t i = 0; i < RL_DISKS_MAX; i++) {
		char link[64];
		struct stat st;

		if (confine->disks[i] < 0 || fstat(confine->disks[i], &st) || st.st_nlink)
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", confine->disks[i]);
		confine->names[i] = name_beside(confine, confine->disks[i]);
		if (linkat(AT_FDCWD, link, AT_FDCWD, confine->names[i], AT_SYMLINK_FOLLOW)) {
			free(confine->names[i]);
			confine->names[i] = NULL;
			return -1;
		}
	}
	return 0;
}

static void unname_disks(struct rl_confine *confine)
{
	for (size_t i = 0; i < RL_DISKS_MAX; i++) {
		if (confine->names[i])
			unlink(confine->names[i]);
		free(confine->names[i]);
		confine->names[i] = NULL;
	}
}

int rl_confine_start(struct rl_confine *confine, const char *folder, struct rl_confine_failure *failure)
{
	int go[2] = {-1, -1}, report[2] = {-1, -1}, result = 0;

	*failure = (struct rl_confine_failure){.number = 0};
	confine->folder = realpath(folder, NULL);
	if (!confine->folder || pipe2(go, O_CLOEXEC) || pipe2(report, O_CLOEXEC))
		result = cannot(failure, "namespaces of its own");
	if (!result && name_disks(confine))
		result = cannot(failure, "a name for a disk");
	if (!result)
		result = start_holder(confine, go, report, failure);
	rl_close(&report[1]);
	if (!result && (rl_write_all(go[1], "", 1) || rl_read_all(report[0], failure, sizeof(*failure))))
		result = cannot(failure, "hold its namespaces");
	unname_disks(confine);
	rl_close(&go[0]);
	rl_close(&go[1]);
	rl_close(&report[0]);
	return result || failure->number ? -1 : 0;
}

/*
 * A process that goes into namespaces is in that of processes only with its next child. That one becomes the
 * guardian's, which so learns how it ends.
 */
pid_t rl_confine_fork(const struct rl_confine *confine)
{
	struct {
		pid_t pid;
		int number;
	} told = {-1, 0};
	int tell[2];
	pid_t between;

	if (pipe2(tell, O_CLOEXEC))
		return -1;
	between = fork();
	if (between == 0) {
		/* First of all the users, as these have the rights to the rest. */
		if (setns(confine->pidfd, NAMESPACES) == 0)
			told.pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);
		if (told.pid == 0) {
			close(tell[0]);
			close(tell[1]);
			return 0;
		}
		told.number = errno;
		rl_write_all(tell[1], &told, sizeof(told));
		_exit(0);
	}
	close(tell[1]);
	if (between < 0 || rl_read_all(tell[0], &told, sizeof(told)))
		told.number = errno;
	close(tell[0]);
	if (between > 0)
		rl_wait(between);
	errno = told.number;
	return told.pid;
}

void rl_confine_execute(const struct rl_confine *confine, char *const *argv, char *const *env)
{
	/* What root keeps: to deal with files of others as it can outside. Nobody else keeps anything. */
	static const unsigned kept[] = {
		CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID};

	for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
		bool keep = false;

		for (size_t i = 0; i < RL_COUNT(kept); i++)
			keep = keep || kept[i] == (unsigned)capability;
		if (!keep && prctl(PR_CAPBSET_DROP, capability))
			return;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return;
	execveat(confine->kernel, "", argv, env, AT_EMPTY_PATH);
}
