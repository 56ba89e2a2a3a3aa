#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#define TABLE_MAX ((size_t)1 << 20) /* of fstab, and of the kernel's own lists */

/* The kernel's proc, which the command cannot take away, whatever it does to /proc. */
static int proc = -1;

bool mount_own(struct failure *failure)
{
	long result = SYS(mount, "proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);

	if (result)
		return fail(failure, RL_FATE_TROUBLE, (int)-result, "proc", "mount in the guest");
	/* It may be there: the kernel does it if it can. */
	SYS(mount, "dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
	proc = (int)SYS(open, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	return true;
}

/* The next word of a line that ends with a newline or a NUL; it gets a NUL. NULL: there is none. */
static char *next_word(char **at)
{
	char *word = *at;

	while (*word == ' ' || *word == '\t')
		word++;
	*at = word;
	while (**at && **at != ' ' && **at != '\t' && **at != '\n')
		++*at;
	if (*at == word)
		return NULL;
	if (**at && **at != '\n')
		*(*at)++ = '\0';
	return word;
}

/* Ends the line at its newline, where the words of it have not; returns the next one, or NULL. */
static char *end_line(char *line)
{
	char *end = (char *)find_byte(line, '\n');

	if (!end)
		return NULL;
	*end = '\0';
	return end + 1;
}

/* \040 and the like, as in fstab and in the kernel's lists of mounts. */
static void decode(char *text)
{
	char *to = text;

	for (const char *p = text; *p; to++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
			p[3] <= '7') {
			*to = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + p[3] - '0');
			p += 4;
		} else {
			*to = *p++;
		}
	}
	*to = '\0';
}

long mount_disk(
	const char *device, const char *place, const char *type, unsigned long flags, const char *data)
{
	static const char *const usual[] = {"ext4", "ext3", "ext2"};
	long result = -ENODEV, first = 0;
	char *list, *line, *next;

	if (!same(type, "auto")) {
		result = SYS(mount, device, place, type, flags, data);
		/* ext4's driver may be there for ext2 as well, and may not have the name. */
		if (result != -ENODEV)
			return result;
	}
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		result = SYS(mount, device, place, usual[i], flags, data);
		if (result != -EINVAL && result != -ENODEV)
			return result;
		first = first ? first : result;
	}
	list = read_file(proc, "filesystems", TABLE_MAX, NULL);
	for (line = list; line; line = next) {
		next = end_line(line);
		if (*line != '\t' || begins(line + 1, "ext"))
			continue;
		result = SYS(mount, device, place, line + 1, flags | MS_SILENT, data);
		if (result != -EINVAL && result != -ENODEV)
			return result;
	}
	return first;
}

/* Read-only if it cannot be written to. */
static long mount_writable(const char *device, const char *place, const char *type, unsigned long flags)
{
	long result = mount_disk(device, place, type, flags, NULL);

	return result == -EACCES || result == -EROFS
		       ? mount_disk(device, place, type, flags | MS_RDONLY, NULL)
		       : result;
}

/* ---- what is in a root while it runs ---- */

static const struct {
	const char *type, *place;
	unsigned long flags;
	const char *data;
} usual_mounts[] = {
	{"proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL},
	{"sysfs", "/sys", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL},
	{"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
	{"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
	{"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
	{"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
};

static long mount_one(size_t i)
{
	return SYS(mount, usual_mounts[i].type, usual_mounts[i].place, usual_mounts[i].type,
		usual_mounts[i].flags, usual_mounts[i].data);
}

/* Where a folder is missing it is made; if that is not possible, the command has to do without. */
static void mount_usual(void)
{
	static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"}};

	for (size_t i = 0; i < sizeof(usual_mounts) / sizeof(usual_mounts[0]); i++)
		if (mount_one(i) == -ENOENT && SYS(mkdir, usual_mounts[i].place, 0755) == 0)
			mount_one(i);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		SYS(symlink, links[i][0], links[i][1]);
	/* What is written to /tmp stays on the disk, for --collect; a disk that cannot be written to has memory. */
	if (SYS(mkdir, "/tmp", 01777) == 0)
		SYS(chmod, "/tmp", 01777);
	if (SYS(access, "/tmp", 2) == -EROFS)
		SYS(mount, "tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
}

static void set_hostname(void)
{
	size_t size;
	char *name = read_file(AT_FDCWD, "/etc/hostname", 4096, &size);

	if (!name)
		return;
	end_line(name);
	if (*name && *name != '#')
		SYS(sethostname, name, length(name));
}

/* ---- /etc/fstab: the disks ---- */

static const struct {
	const char *name;
	unsigned long flag;
} mount_flags[] = {
	{"ro", MS_RDONLY},
	{"nosuid", MS_NOSUID},
	{"nodev", MS_NODEV},
	{"noexec", MS_NOEXEC},
	{"sync", MS_SYNCHRONOUS},
	{"noatime", MS_NOATIME},
	{"nodiratime", MS_NODIRATIME},
	{"relatime", MS_RELATIME},
};

/* The flags that the options have; what else stands there is left out. False: it shall not be mounted. */
static bool read_options(char *options, unsigned long *flags)
{
	char *next;

	*flags = 0;
	for (char *word = options; word; word = next) {
		next = (char *)find_byte(word, ',');
		if (next)
			*next++ = '\0';
		if (same(word, "noauto"))
			return false;
		for (size_t i = 0; i < sizeof(mount_flags) / sizeof(mount_flags[0]); i++)
			if (same(word, mount_flags[i].name))
				*flags |= mount_flags[i].flag;
	}
	return true;
}

/* What a line may call a disk by, if that is an ext file system. */
struct label {
	char uuid[37], name[17]; /* "" where there is none */
};

/* Of the superblock, as the kernel's fs/ext4/ext4.h has it: s_magic, s_uuid, s_volume_name. */
#define SUPERBLOCK 1024
#define MAGIC_AT   0x38
#define UUID_AT    0x68
#define NAME_AT    0x78

static void read_label(const char *device, struct label *label)
{
	unsigned char super[1024];
	int fd = (int)SYS(open, device, O_RDONLY | O_CLOEXEC, 0);
	long n = fd < 0 ? -1 : SYS(pread64, fd, super, sizeof(super), SUPERBLOCK);
	char *at = label->uuid;

	memset(label, 0, sizeof(*label));
	if (fd >= 0)
		SYS(close, fd);
	if (n != (long)sizeof(super) || super[MAGIC_AT] != 0x53 || super[MAGIC_AT + 1] != 0xef)
		return;
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = "0123456789abcdef"[super[UUID_AT + i] >> 4];
		*at++ = "0123456789abcdef"[super[UUID_AT + i] & 15];
	}
	memcpy(label->name, super + NAME_AT, sizeof(label->name) - 1);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* \x20 and the like, as in the names that udev makes. */
static void decode_udev(char *text)
{
	char *to = text;

	for (const char *p = text; *p; to++) {
		if (p[0] == '\\' && p[1] == 'x' && hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0) {
			*to = (char)(hex_digit(p[2]) * 16 + hex_digit(p[3]));
			p += 4;
		} else {
			*to = *p++;
		}
	}
	*to = '\0';
}

/* The ways to name a file system; nobody makes udev's links here, but they tell as much. */
static const struct {
	const char *prefix;
	bool uuid, link;
} namings[] = {
	{"UUID=", true, false},
	{"LABEL=", false, false},
	{"/dev/disk/by-uuid/", true, true},
	{"/dev/disk/by-label/", false, true},
};

static void unquote(char **word)
{
	size_t size = length(*word);

	if (size < 2 || **word != '"' || (*word)[size - 1] != '"')
		return;
	(*word)[size - 1] = '\0';
	++*word;
}

/* UUIDs are the same in either case. */
static bool same_uuid(const char *a, const char *b)
{
	while (*a && (*a | 32) == (*b | 32)) {
		a++;
		b++;
	}
	return *a == *b;
}

/* The first of the guest's disks that is called so; 0: none. */
static char find_disk(const char *word, bool uuid)
{
	char device[] = "/dev/ubdX";
	struct label label;

	for (char letter = 'a'; letter < RL_JOB_DISK_LETTER[0] && *word; letter++) {
		device[8] = letter;
		read_label(device, &label);
		if (uuid ? same_uuid(label.uuid, word) : same(label.name, word))
			return letter;
	}
	return 0;
}

/* The letter of the disk, whole, that a line names: 'a' is the root. 0: none of ours. */
static char disk_of(char *word)
{
	for (size_t i = 0; i < sizeof(namings) / sizeof(namings[0]); i++) {
		if (!begins(word, namings[i].prefix))
			continue;
		word += length(namings[i].prefix);
		unquote(&word);
		decode(word);
		if (namings[i].link)
			decode_udev(word);
		return find_disk(word, namings[i].uuid);
	}
	return begins(word, "/dev/ubd") && word[8] && !word[9] ? word[8] : 0;
}

/* What nobody could take, or would, is not told. */
static void tell_mount(uint8_t disk, const char *place, const char *folder, const char *what)
{
	static char bytes[RL_TEXT_MAX];
	static unsigned told;
	char *at = bytes;

	if (told == RL_MOUNTS_MAX || length(place) + length(folder) + length(what) + 3 > sizeof(bytes))
		return;
	told++;
	at = put(at, bytes + sizeof(bytes), place) + 1;
	at = put(at, bytes + sizeof(bytes), folder) + 1;
	at = put(at, bytes + sizeof(bytes), what) + 1;
	send_bytes(RL_FRAME_MOUNTED, disk, bytes, (size_t)(at - bytes));
}

static bool mount_line(char *line, struct failure *failure)
{
	char *word = next_word(&line), *place = word ? next_word(&line) : NULL;
	char *type = place ? next_word(&line) : NULL, *options = type ? next_word(&line) : NULL;
	char device[] = "/dev/ubdX";
	unsigned long flags = 0;
	struct stat st;
	long result;

	/* The root is there, by whatever name. */
	if (!type || *place != '/' || !place[1] || (options && !read_options(options, &flags)))
		return true;
	device[8] = disk_of(word);
	if (device[8] <= 'a' || device[8] >= RL_JOB_DISK_LETTER[0])
		return true;
	/* It was not given to this guest. */
	result = SYS(open, device, O_RDONLY | O_CLOEXEC, 0);
	if (result == -ENXIO || result == -ENOENT)
		return true;
	if (result >= 0)
		SYS(close, result);
	decode(place);
	if (SYS(stat, place, &st) == -ENOENT)
		SYS(mkdir, place, 0755);
	result = mount_writable(device, place, type, flags);
	if (result)
		return fail(failure, RL_FATE_TROUBLE, (int)-result, place,
			"mount in the guest, as its /etc/fstab says");
	tell_mount((uint8_t)(device[8] - 'a'), place, "/", "");
	return true;
}

static bool mount_fstab(struct failure *failure)
{
	char *line = read_file(AT_FDCWD, "/etc/fstab", TABLE_MAX, NULL), *next;

	for (; line; line = next) {
		next = end_line(line);
		if (*line != '#' && !mount_line(line, failure))
			return false;
	}
	return true;
}

/* ---- folders of the host ---- */

/* The path of a folder, with those above it. Returns why there is none, or 0. */
static long make_folders(char *path)
{
	long result = 0;

	for (char *p = path + 1; *p && (!result || result == -EEXIST); p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		result = SYS(mkdir, path, 0755);
		*p = '/';
	}
	if (!result || result == -EEXIST)
		result = SYS(mkdir, path, 0755);
	return result == -EEXIST ? 0 : result;
}

static bool is_empty(const char *folder)
{
	char entries[512]; /* one more fits, of any name */
	int fd = (int)SYS(open, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	/* "." and "..", of 24 bytes each. */
	bool empty = fd >= 0 && SYS(getdents64, fd, entries, sizeof(entries)) == 48;

	if (fd >= 0)
		SYS(close, fd);
	return empty;
}

#define USUAL "/mnt"

/*
 * Where a disk is full or cannot be written to, the usual place can be made all the same, if nothing is hidden by that.
 * *covered: that was done.
 */
static long make_place(char *place, bool *covered)
{
	long result = make_folders(place);

	if (!result || !begins(place, USUAL "/") || find_byte(place + sizeof(USUAL), '/') ||
		!is_empty(USUAL) || SYS(mount, "tmpfs", USUAL, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"))
		return result;
	*covered = true;
	return make_folders(place);
}

static bool mount_shares(char **shares, struct failure *failure)
{
	bool covered = false;

	for (uint32_t i = 0; shares[i]; i++) {
		char *place = shares[i] + 3, name[16] = "", *at = name + sizeof(name) - 1;
		uint32_t number = i;
		long result;

		do
			*--at = (char)('0' + number % 10);
		while (number /= 10);
		*--at = '/';
		result = make_place(place, &covered);
		if (result)
			return fail(
				failure, RL_FATE_TROUBLE, (int)-result, place, "make folder in the guest");
		result = SYS(mount, "none", place, "hostfs", begins(shares[i], "ro:") ? MS_RDONLY : 0, at);
		if (result == -ENODEV)
			return fail(failure, RL_FATE_TROUBLE, (int)-result, place,
				"mount the host's folder there (is HOSTFS in the kernel?)");
		if (result)
			return fail(failure, RL_FATE_TROUBLE, (int)-result, place,
				"mount the host's folder there");
	}
	/* Nobody shall take it for the disk. */
	if (covered)
		SYS(mount, NULL, USUAL, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
	return true;
}

bool enter_root(const struct job *job, struct failure *failure)
{
	long result;

	watch_disks(job->head.disks);
	result = mount_writable("/dev/ubda", "/root", "auto", 0);
	if (result)
		return fail(failure, RL_FATE_TROUBLE, (int)-result, "/dev/ubda", "mount as the guest's root");
	SYS(chdir, "/root");
	result = SYS(mount, ".", "/", NULL, MS_MOVE, NULL);
	if (!result)
		result = SYS(chroot, ".");
	if (result)
		return fail(failure, RL_FATE_TROUBLE, (int)-result, "/dev/ubda", "make it the guest's root");
	SYS(chdir, "/");
	mount_usual();
	set_hostname();
	return start_network(job->head.network, failure) && mount_fstab(failure) &&
	       mount_shares(job->shares, failure);
}

/* ---- the end ---- */

/* As stat() has them: major() and minor() would be functions of a library. */
static unsigned device_major(dev_t device)
{
	return (unsigned)(device >> 8 & 0xfff) | (unsigned)(device >> 32 & ~0xfffU);
}

static unsigned device_minor(dev_t device)
{
	return (unsigned)(device & 0xff) | (unsigned)(device >> 12 & ~0xffU);
}

/* The number of a disk as the kernel's list of mounts has its device, "98:16"; RL_NO_DISK: it is none, or a part of one. */
static uint8_t disk_with(const char *device)
{
	char name[] = "/dev/ubdX";
	unsigned number[2] = {0, 0};
	struct stat st;

	for (int part = 0; *device && part < 2; device++) {
		if (*device == ':')
			part++;
		else
			number[part] = number[part] * 10 + (unsigned)(*device - '0');
	}
	for (char disk = 'a'; disk < RL_JOB_DISK_LETTER[0]; disk++) {
		name[8] = disk;
		if (SYS(stat, name, &st) == 0 && S_ISBLK(st.st_mode) &&
			device_major(st.st_rdev) == number[0] && device_minor(st.st_rdev) == number[1])
			return (uint8_t)(disk - 'a');
	}
	return RL_NO_DISK;
}

/* A line is: two numbers, the device's, the folder in it, the place, options, further ones, "-", type, source. */
static void tell_line(char *line)
{
	char *words[6], *word, *type, *source;
	uint8_t disk;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		words[i] = next_word(&line);
		if (!words[i])
			return;
	}
	do
		word = next_word(&line);
	while (word && !same(word, "-"));
	type = word ? next_word(&line) : NULL;
	source = type ? next_word(&line) : NULL;
	/* The root is known. */
	if (!source || same(words[4], "/"))
		return;
	disk = begins(words[2], "0:") ? RL_NO_DISK : disk_with(words[2]);
	for (size_t i = 3; i < 5; i++)
		decode(words[i]);
	decode(source);
	/* What has no device may call that as it likes, and its folders are no paths. */
	tell_mount(disk, words[4], disk == RL_NO_DISK ? "/" : words[3],
		disk != RL_NO_DISK    ? ""
		: begins(source, "/") ? source
				      : type);
}

void tell_mounts(void)
{
	char *line = read_file(proc, "self/mountinfo", TABLE_MAX, NULL), *next;

	for (; line; line = next) {
		next = end_line(line);
		tell_line(line);
	}
}

static void swap_off(void)
{
	struct sysinfo info;
	char *line, *next;

	if (SYS(sysinfo, &info) == 0 && !info.totalswap)
		return;
	line = read_file(proc, "swaps", TABLE_MAX, NULL);
	/* The first line is a heading. */
	for (line = line ? end_line(line) : NULL; line; line = next) {
		next = end_line(line);
		char *name = next_word(&line);

		if (name) {
			decode(name);
			SYS(swapoff, name);
		}
	}
}

/* Nothing of a disk is in it. */
static bool is_virtual(const char *type)
{
	for (size_t i = 0; i < sizeof(usual_mounts) / sizeof(usual_mounts[0]); i++)
		if (same(type, usual_mounts[i].type))
			return true;
	return false;
}

/* Unmounts what can be of all that we see, the last ones first; false: there was nothing. *busy: there is more. */
static bool unmount_all(bool virtual_too, bool *busy)
{
	char *table = read_file(proc, "self/mounts", TABLE_MAX, NULL), *line, *next;
	char **places;
	size_t count = 0, lines = 1;
	bool any = false;

	*busy = false;
	if (!table)
		return false;
	for (const char *p = table; *p; p++)
		lines += *p == '\n';
	places = take(lines * sizeof(*places));
	for (line = table; line && places; line = next) {
		next = end_line(line);
		char *place = next_word(&line) ? next_word(&line) : NULL;
		char *type = place ? next_word(&line) : NULL;

		if (!type || same(place, "/") || (!virtual_too && is_virtual(type)))
			continue;
		decode(place);
		places[count++] = place;
	}
	while (count--) {
		bool done;

		sync_mount(places[count]);
		done = SYS(umount2, places[count], UMOUNT_NOFOLLOW) == 0;
		any = any || done;
		*busy = *busy || !done;
	}
	return any;
}

bool leave_root(void)
{
	bool busy, clean;

	SYS(chdir, "/");
	swap_off();
	SYS(sync);
	unmount_all(false, &busy);
	/* What was moved stands before what it needs, and is free in another round; so is what a tmpfs is mounted on. */
	for (int i = 0; i < 16 && busy && unmount_all(true, &busy); i++)
		;
	clean = SYS(mount, NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0;
	/* As Alt-SysRq-u does: whatever is open. */
	if (!clean) {
		write_file(proc, "sysrq-trigger", "u");
		SYS(sync);
	}
	sync_mount("/");
	return clean;
}
