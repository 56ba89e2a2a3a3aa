#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <linux/time.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define LIST_MAX  ((size_t)1 << 20) /* of modules */
#define WORDS_MAX ((size_t)64 * 1024) /* of the kernel's command line */
#define WAIT_MS   10000 /* for a device to appear */

#define DEVICES_MAX 40 /* of virtio */

/* ---- names ---- */

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = (int)SYS(open, path, O_RDONLY | O_CLOEXEC, 0);
	long n = fd < 0 ? -1 : SYS(read, fd, text, size - 1);

	if (fd >= 0)
		SYS(close, fd);
	if (n > 0 && text[n - 1] == '\n')
		n--;
	text[n < 0 ? 0 : n] = '\0';
	return n >= 0;
}

/* Makes a node for what sysfs says under path/dev; path has room for that. */
static void make_node(const char *name, uint32_t type, char *path, char *end)
{
	char numbers[32], *colon;
	uint32_t major, minor;

	put(path + length(path), end, "/dev");
	if (!read_text(path, numbers, sizeof(numbers)))
		return;
	colon = (char *)find_byte(numbers, ':');
	if (!colon)
		return;
	*colon = '\0';
	/* As the kernel packs them: the major in bits 8 to 19, the minor around it. */
	if (number(numbers, 4095, &major) && number(colon + 1, 0xfffff, &minor))
		SYS(mknod, name, type | 0600, (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12);
}

/* Whether an attribute of a device is what we gave it when we made the machine. */
static bool has_text(const char *path, const char *attribute, const char *text)
{
	char full[80], found[32];

	put(put(full, full + sizeof(full), path), full + sizeof(full), attribute);
	return read_text(full, found, sizeof(found)) && same(found, text);
}

static void name_disk(char letter)
{
	char path[64] = "/root/block/vdX", name[] = "/dev/ubdX";

	path[sizeof("/root/block/vd") - 1] = letter;
	for (char ubd = 'a'; ubd <= RL_JOB_DISK_LETTER[0]; ubd++) {
		name[sizeof("/dev/ubd") - 1] = ubd;
		if (!has_text(path, "/serial", name + sizeof("/dev/") - 1))
			continue;
		make_node(name, S_IFBLK, path, path + sizeof(path));
		return;
	}
}

/* Its own name has the device's number among all of virtio's. */
static void name_port(int device)
{
	char path[64] = "/root/class/virtio-ports/vport", *at = path + length(path);

	if (device >= 10)
		*at++ = (char)('0' + device / 10);
	*at++ = (char)('0' + device % 10);
	put(at, path + sizeof(path), "p1");
	if (has_text(path, "/name", RL_CHANNEL_PORT))
		make_node("/dev/" RL_CHANNEL_PORT, S_IFCHR, path, path + sizeof(path));
}

void name_devices(void)
{
	if (SYS(mount, "sysfs", "/root", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL))
		return;
	for (char letter = 'a'; letter <= 'z'; letter++)
		name_disk(letter);
	for (int device = 0; device < DEVICES_MAX; device++)
		name_port(device);
	SYS(umount2, "/root", MNT_DETACH);
}

long open_device(const char *path, int flags)
{
	const struct timespec moment = {0, 10000000};
	int64_t end = now_ms() + WAIT_MS;
	long fd;

	for (;;) {
		fd = SYS(open, path, flags, 0);
		if ((fd != -ENOENT && fd != -ENXIO && fd != -ENODEV) || now_ms() > end)
			return fd;
		name_devices();
		fd = SYS(open, path, flags, 0);
		if (fd >= 0)
			return fd;
		SYS(nanosleep, &moment, NULL);
	}
}

/* ---- from the initramfs ---- */

void stop_machine(const char *subject, const char *why)
{
	char text[512], *at = text, *end = text + sizeof(text);

	/* Rootlet looks for this line on the console. */
	at = put(at, end, "\n" RL_BOOT_MARK);
	at = put(at, end, subject);
	at = put(at, end, ": ");
	at = put(at, end, why);
	at = put(at, end, "\n");
	SYS(write, 2, text, at - text);
	if (is_init())
		SYS(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, NULL);
	for (;;)
		SYS(pause);
}

static void load(const char *path)
{
	int fd = (int)SYS(open, path, O_RDONLY | O_CLOEXEC, 0);
	long result = fd < 0 ? fd : SYS(finit_module, fd, "", 0);

	if (fd >= 0)
		SYS(close, fd);
	/* EEXIST: the kernel has it built in. ENODEV: this machine has nothing for it. */
	if (result && result != -EEXIST && result != -ENODEV) {
		SYS(write, 2, path, length(path));
		SYS(write, 2, ": not loaded\n", 13);
	}
	SYS(unlink, path);
}

static void load_modules(void)
{
	char *line = read_file(AT_FDCWD, RL_BOOT_LIST, LIST_MAX, NULL), *next;

	for (; line && *line; line = next) {
		next = (char *)find_byte(line, '\n');
		if (next)
			*next++ = '\0';
		load(line);
	}
}

/* The words of the kernel's command line that say what the root is. */
struct words {
	const char *root, *type, *flags, *init;
	bool read_only;
};

static void read_words(struct words *words)
{
	char *word = read_file(AT_FDCWD, "/proc/cmdline", WORDS_MAX, NULL), *next;

	for (; word; word = next) {
		next = word;
		while (*next && *next != ' ' && *next != '\n')
			next++;
		if (*next)
			*next++ = '\0';
		else
			next = NULL;
		if (begins(word, "root="))
			words->root = word + 5;
		else if (begins(word, "rootfstype="))
			words->type = word + 11;
		else if (begins(word, "rootflags="))
			words->flags = word + 10;
		else if (begins(word, "init="))
			words->init = word + 5;
		else if (same(word, "ro") || same(word, "rw"))
			words->read_only = word[1] == 'o';
	}
}

static void enter(const struct words *words)
{
	long fd = open_device(words->root, O_RDONLY | O_CLOEXEC), result;

	if (fd < 0)
		stop_machine(words->root,
			"there is no such disk, or no driver of it in the kernel and its modules");
	SYS(close, fd);
	/* Images know the first console as UML has it. */
	SYS(unlink, "/dev/tty0");
	SYS(mknod, "/dev/tty0", S_IFCHR | 0600, 4 << 8 | 64);
	result =
		mount_disk(words->root, "/root", words->type, words->read_only ? MS_RDONLY : 0, words->flags);
	if (result == -EACCES || result == -EROFS)
		result = mount_disk(words->root, "/root", words->type, MS_RDONLY, words->flags);
	if (result)
		stop_machine(words->root, result == -ENODEV || result == -EINVAL
						  ? "no file system that the kernel and its modules know"
						  : "cannot be mounted as the root");
	SYS(mount, "/dev", "/root/dev", NULL, MS_MOVE, NULL);
	SYS(umount2, "/proc", MNT_DETACH);
	SYS(chdir, "/root");
	if (SYS(mount, ".", "/", NULL, MS_MOVE, NULL) || SYS(chroot, "."))
		stop_machine(words->root, "cannot be made the root");
	SYS(chdir, "/");
}

void boot(char **arguments, char **variables)
{
	static const char *const usual[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"};
	struct words words = {.root = "/dev/ubda", .type = "auto"};
	struct failure failure;

	if (!mount_own(&failure))
		stop_machine(failure.subject, "cannot be mounted");
	load_modules();
	name_network();
	read_words(&words);
	enter(&words);
	/* As the kernel does it: one that was asked for, and no other, or the first one that there is. */
	if (words.init) {
		arguments[0] = (char *)words.init;
		SYS(execve, words.init, arguments, variables);
		stop_machine(words.init, "cannot be executed as the root's init");
	}
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		arguments[0] = (char *)usual[i];
		SYS(execve, usual[i], arguments, variables);
	}
	stop_machine(words.root, "it has no init");
}
