/*
 * The init of a guest that works on its disks, in all ways that a kernel has, and tells what its kernel shows of
 * them, in the lines of `rootlet manifest --format json` and `rootlet find --json`. Linked statically. What it does
 * is told by the kernel's command line, which hands on "name=value" as the environment:
 *
 *   disks=cde          /dev/ubdc, /dev/ubdd, ...; opt_c=OPTIONS to mount c with
 *   work=N             so many random changes on each; seed=N
 *   many_c=N           on c a directory of so many names instead
 *   far_c=1            on c files with data far behind instead, in /far
 *   forever=1          goes on with that until it is killed, from disk to disk
 *   list=b             lists the disks, mounted again, on /dev/ubdb
 *
 * Elsewhere `worker sum FILE...` prints a checksum of a file's data and where it lies, as the guest lists for /far.
 */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- working ---- */

static uint64_t dice;
static uint32_t special_types = 4;
static unsigned done[64]; /* how often each kind of change was made */

static uint32_t roll(uint32_t sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (uint32_t)(dice >> 11) % sides;
}

/* A name that may be there or not. */
static char *name(char path[512])
{
	static const char *const odd[] = {"with space", "\xc3\xa9t\xc3\xa9", "not \xe9 UTF-8", "\"quoted\"",
		"back\\slash", "new\nline", "\x1b[31mred"};
	static const char long_name[] = "a name that is as long as a name can "
					"be........................................................"
					"...................................................................."
					"............................"
					"...............................................................";
	uint32_t which = roll(60);

	sprintf(path, "d%u/%s", roll(5), roll(3) ? "" : roll(2) ? "sub/" : "sub/sub/");
	if (which < COUNT(odd))
		strcat(path, odd[which]);
	else if (which == 10)
		strncat(path, long_name, 255);
	else
		sprintf(path + strlen(path), "f%u", which);
	return path;
}

static void random_bytes(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		roll(1);
		memcpy(bytes + i, &dice, 8);
	}
}

static bool write_some(int fd, off_t at)
{
	static uint8_t bytes[65536 + 8];
	size_t size = roll(4) ? 1 + roll(5000) : 1 + roll(65536);

	random_bytes(bytes, size);
	return pwrite(fd, bytes, size, at) == (ssize_t)size;
}

static off_t place(void)
{
	static const off_t units[] = {1, 512, 1024, 4096, 65536};

	return (off_t)roll(40) * units[roll(5)];
}

/* Opens a file that may be there. */
static bool in_file(bool (*change)(int fd))
{
	char path[512];
	int fd = open(name(path), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0644);
	struct stat st;
	bool result = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && change(fd);

	if (fd >= 0)
		close(fd);
	return result;
}

static bool append(int fd)
{
	return write_some(fd, lseek(fd, 0, SEEK_END));
}

static bool overwrite(int fd)
{
	return write_some(fd, place());
}

static bool write_pieces(int fd)
{
	off_t step = (off_t)4096 << roll(4);

	for (uint32_t i = 0, pieces = 1 + roll(40); i < pieces; i++)
		if (pwrite(fd, &i, sizeof(i), (off_t)i * 2 * step) != sizeof(i))
			return false;
	return true;
}

static bool truncate_it(int fd)
{
	return !ftruncate(fd, roll(3) ? place() : 0);
}

static bool allocate(int fd, int mode)
{
	struct stat st;
	off_t unit = mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE) && !fstat(fd, &st)
			     ? st.st_blksize
			     : 1;
	off_t at = place(), size = 1 + place();

	return !fallocate(fd, mode, at - at % unit, unit == 1 ? size : size - size % unit + unit);
}

static bool fallocate_it(int fd)
{
	return allocate(fd, 0);
}

static bool keep_size(int fd)
{
	return allocate(fd, FALLOC_FL_KEEP_SIZE);
}

static bool punch(int fd)
{
	return allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static bool zero_range(int fd)
{
	return allocate(fd, FALLOC_FL_ZERO_RANGE | (roll(2) ? FALLOC_FL_KEEP_SIZE : 0));
}

static bool collapse(int fd)
{
	return allocate(fd, FALLOC_FL_COLLAPSE_RANGE);
}

static bool insert(int fd)
{
	return allocate(fd, FALLOC_FL_INSERT_RANGE);
}

static bool sync_it(int fd)
{
	return roll(2) ? !fsync(fd) : !fdatasync(fd);
}

static bool do_append(void)
{
	return in_file(append);
}
static bool do_overwrite(void)
{
	return in_file(overwrite);
}
static bool do_pieces(void)
{
	return in_file(write_pieces);
}
static bool do_truncate(void)
{
	return in_file(truncate_it);
}
static bool do_fallocate(void)
{
	return in_file(fallocate_it);
}
static bool do_keep_size(void)
{
	return in_file(keep_size);
}
static bool do_punch(void)
{
	return in_file(punch);
}
static bool do_zero(void)
{
	return in_file(zero_range);
}
static bool do_collapse(void)
{
	return in_file(collapse);
}
static bool do_insert(void)
{
	return in_file(insert);
}
static bool do_sync(void)
{
	return in_file(sync_it);
}

static bool do_rename(void)
{
	char a[512], b[512];

	return !renameat2(AT_FDCWD, name(a), AT_FDCWD, name(b), roll(4) ? 0 : RENAME_EXCHANGE);
}

static bool do_remove(void)
{
	char path[512];

	return !remove(name(path));
}

static bool do_link(void)
{
	char a[512], b[512];

	return !link(name(a), name(b));
}

static bool do_symlink(void)
{
	static const uint32_t sizes[] = {
		1, 5, 58, 59, 60, 61, 100, 155, 156, 200, 1000, 1022, 1023, 4000, 4095};
	char path[512], target[4096];
	uint32_t size = sizes[roll(COUNT(sizes))];

	memset(target, 't', size);
	target[size] = '\0';
	return !symlink(target, name(path));
}

static bool do_mkdir(void)
{
	char path[512];

	return !mkdir(name(path), 0755);
}

static bool do_special(void)
{
	static const mode_t types[] = {S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK};
	static const uint32_t numbers[] = {0, 1, 5, 255, 256, 4095};
	char path[512];
	mode_t type = types[roll(special_types)];
	dev_t device = type == S_IFCHR || type == S_IFBLK
			       ? makedev(numbers[roll(6)], roll(2) ? numbers[roll(6)] : roll(1 << 20))
			       : 0;

	return !mknod(name(path), type | 0600, device);
}

static const char *xattr_name(void)
{
	static const char *const names[] = {"user.a", "user.some longer name", "user.not \xe9 UTF-8",
		"trusted.b", "security.c", "user.d", "trusted.", "user.\"e\""};

	return names[roll(COUNT(names))];
}

static bool do_xattr(void)
{
	static const uint32_t sizes[] = {0, 1, 20, 100, 500, 900, 3000, 20000};
	static uint8_t value[20008];
	char path[512];
	uint32_t size = sizes[roll(COUNT(sizes))];

	random_bytes(value, size);
	/* Many files have the same, which shares a block. */
	if (roll(2))
		memset(value, 's', size);
	return !lsetxattr(name(path), xattr_name(), value, size, 0);
}

static bool do_unset(void)
{
	char path[512];

	return !lremovexattr(name(path), xattr_name());
}

static bool do_acl(void)
{
	/* struct posix_acl_xattr_header, then entries of tag, permissions, id: u::rw, u:1000:r, g::r, g:70000:rwx, m, o */
	static const uint32_t acl[] = {
		2, 0x60001, ~0u, 0x40002, 1000, 0x40004, ~0u, 0x70008, 70000, 0x70010, ~0u, 0x40020, ~0u};
	char path[512];

	return !setxattr(name(path), roll(2) ? "system.posix_acl_access" : "system.posix_acl_default", acl,
		sizeof(acl), 0);
}

static bool do_capability(void)
{
	static const uint32_t capability[] = {
		0x02000001, 0x400, 0, 0, 0}; /* version 2, effective; CAP_NET_BIND_SERVICE */
	char path[512];

	return !setxattr(name(path), "security.capability", capability, sizeof(capability), 0);
}

static bool do_mode(void)
{
	char path[512];

	return !fchmodat(AT_FDCWD, name(path), roll(010000), 0);
}

static bool do_owner(void)
{
	static const uint32_t ids[] = {0, 1, 1000, 65535, 65536, 70000, 0x7fffffff, 0xfffffffe};
	char path[512];

	return !lchown(name(path), ids[roll(8)], ids[roll(8)]);
}

static bool do_times(void)
{
	static const int64_t times[] = {-0x80000000ll, -2, 0, 1, 0x7fffffff, 0x80000000, 0xffffffff,
		0x100000000, 0x17fffffff, 0x37fffffff, -1000000000, 5000000000};
	static const long parts[] = {0, 1, 999999999, 123456789};
	struct timespec t = {times[roll(COUNT(times))], parts[roll(4)]}, both[2] = {t, t};
	char path[512];

	return !utimensat(AT_FDCWD, name(path), both, AT_SYMLINK_NOFOLLOW);
}

static const struct {
	const char *name;
	bool (*change)(void);
	int weight;
} changes[] = {
	{"append", do_append, 6},
	{"overwrite", do_overwrite, 6},
	{"pieces", do_pieces, 2},
	{"truncate", do_truncate, 4},
	{"fallocate", do_fallocate, 2},
	{"keep-size", do_keep_size, 2},
	{"punch", do_punch, 4},
	{"zero-range", do_zero, 2},
	{"collapse", do_collapse, 2},
	{"insert", do_insert, 2},
	{"sync", do_sync, 1},
	{"rename", do_rename, 6},
	{"remove", do_remove, 5},
	{"link", do_link, 3},
	{"symlink", do_symlink, 3},
	{"mkdir", do_mkdir, 2},
	{"special", do_special, 3},
	{"xattr", do_xattr, 6},
	{"unset", do_unset, 2},
	{"acl", do_acl, 2},
	{"capability", do_capability, 1},
	{"mode", do_mode, 1},
	{"owner", do_owner, 3},
	{"times", do_times, 3},
};

static void change_something(void)
{
	int all = 0;

	for (size_t i = 0; i < COUNT(changes); i++)
		all += changes[i].weight;
	all = (int)roll((uint32_t)all);
	for (size_t i = 0; i < COUNT(changes); i++) {
		all -= changes[i].weight;
		if (all < 0) {
			done[i] += changes[i].change();
			return;
		}
	}
}

static void make_dirs(void)
{
	char path[64];

	for (int i = 0; i < 5; i++) {
		sprintf(path, "d%d", i);
		mkdir(path, 0755);
		strcat(path, "/sub");
		mkdir(path, 0755);
		strcat(path, "/sub");
		mkdir(path, 0755);
	}
}

static void number_name(char path[64], int i)
{
	sprintf(path, "many/a name with number %d", i);
}

/* Then half of them are removed, and others renamed. */
static void make_many(int count)
{
	char a[64], b[64];

	if (mkdir("many", 0755))
		fail("mkdir", "many");
	for (int i = 0; i < count; i++) {
		int fd;

		number_name(a, i);
		fd = open(a, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0) {
			fail("create", a);
			return;
		}
		close(fd);
	}
	for (int i = 0; i < count; i++) {
		number_name(a, i);
		number_name(b, i + count);
		if (i % 2 ? unlink(a) : i % 3 == 0 && rename(a, b))
			fail("change", a);
	}
}

/* As far behind as the disk's maps go. */
static void make_far(void)
{
	static const off_t places[] = {0, 60 << 10, 5 << 20, 1ll << 30, 3ll << 30, 10ll << 30, 60ll << 30,
		3ll << 40, 5ll << 40, (16ll << 40) - 65536};
	int made = 0, fd;

	if (mkdir("far", 0755))
		fail("mkdir", "far");
	fd = open("far/all", O_RDWR | O_CREAT, 0644);
	for (size_t i = 0; i < COUNT(places); i++) {
		char path[64];
		int own;

		made += write_some(fd, places[i]);
		sprintf(path, "far/%zu", i);
		own = open(path, O_RDWR | O_CREAT, 0644);
		if (!write_some(own, places[i]))
			unlink(path);
		close(own);
	}
	/* A hole in the middle of nothing, blocks behind the end, and an end within a hole. */
	fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 << 20, 1 << 20);
	fallocate(fd, FALLOC_FL_KEEP_SIZE, places[made - 1] + 70000, 100000);
	close(fd);
	fd = open("far/empty", O_RDWR | O_CREAT, 0644);
	if (ftruncate(fd, places[made - 1]))
		fail("truncate", "far/empty");
	close(fd);
	printf("far %d\n", made);
}

/* ---- disks ---- */

static const char *setting(const char *prefix, char disk, const char *otherwise)
{
	char key[32];
	const char *value;

	snprintf(key, sizeof(key), disk ? "%s_%c" : "%s", prefix, disk);
	value = getenv(key);
	return value ? value : otherwise;
}

static bool mount_disk(char disk, unsigned long flags)
{
	char device[] = "/dev/ubd?", point[] = "/tmp/?";

	device[8] = point[5] = disk;
	mkdir(point, 0755);
	if (mount(device, point, "ext4", flags, flags & MS_RDONLY ? "" : setting("opt", disk, "")) ||
		chdir(point)) {
		fail("mount", device);
		return false;
	}
	return true;
}

static void unmount_disk(char disk)
{
	char point[] = "/tmp/?";

	point[5] = disk;
	if (chdir("/") || umount(point))
		fail("umount", point);
}

static void work_on(char disk)
{
	int changes_wanted = atoi(setting("work", 0, "0")), many = atoi(setting("many", disk, "0"));
	int far = atoi(setting("far", disk, "0"));

	if (far || many)
		changes_wanted = 0;
	if ((!changes_wanted && !many && !far) || !mount_disk(disk, 0))
		return;
	dice = strtoull(setting("seed", 0, "1"), NULL, 10) * 1000003 + (uint8_t)disk;
	memset(done, 0, sizeof(done));
	if (changes_wanted)
		make_dirs();
	for (int i = 0; i < changes_wanted; i++)
		change_something();
	if (many)
		make_many(many);
	if (far)
		make_far();
	printf("done on %c:", disk);
	for (size_t i = 0; i < COUNT(changes); i++)
		printf(" %s=%u", changes[i].name, done[i]);
	printf("\n");
	unmount_disk(disk);
}

static void list_disk(char disk)
{
	char point[] = "/tmp/?";

	point[5] = disk;
	if (!mount_disk(disk, MS_RDONLY))
		return;
	fprintf(out, "DISK %c\n", disk);
	tell_tree(point, strlen(point), false);
	unmount_disk(disk);
}

static void work_forever(const char *disks)
{
	for (const char *d = disks; *d; d++)
		if (mount_disk(*d, 0))
			make_dirs();
	dice = strtoull(setting("seed", 0, "1"), NULL, 10) * 1000003;
	special_types--; /* a tar has no place for sockets */
	puts("GO");
	for (int i = 0;; i++) {
		char point[] = "/tmp/?";

		point[5] = disks[i % strlen(disks)];
		if (chdir(point))
			fail("chdir", point);
		for (int k = 0; k < 20; k++)
			change_something();
		if (!roll(50))
			sync();
	}
}

static int sum_files(char **paths)
{
	char hex[65];

	for (; *paths; paths++) {
		sum_file(*paths, hex);
		puts(hex);
	}
	return failures != 0;
}

int main(int argc, char **argv)
{
	const char *disks = setting("disks", 0, ""), *list = setting("list", 0, "");
	char device[] = "/dev/ubd?";

	if (argc > 2 && !strcmp(argv[1], "sum"))
		return sum_files(argv + 2);
	if (getpid() != 1)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(0);
	mount("none", "/tmp", "tmpfs", 0, "");
	if (atoi(setting("forever", 0, "0")))
		work_forever(disks);
	for (const char *d = disks; *d; d++)
		work_on(*d);
	device[8] = *list;
	out = *list ? fopen(device, "w") : NULL;
	for (const char *d = disks; out && *d; d++)
		list_disk(*d);
	if (out && (fputs("END\n", out) < 0 || fclose(out)))
		fail("write", device);
	puts(failures ? "SOME FAILED" : "ALL DONE");
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
