/*
 * The initramfs for a kernel of a real machine: our init, and the modules without which that kernel finds no disk. The
 * format is cpio's "newc": Documentation/driver-api/early-userspace/buffer-format.rst.
 */
#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUBJECT "initramfs"

/* ---- the kernel's file: Documentation/x86/boot.rst ---- */

#define SECTOR         512
#define SETUP_SECTS    0x1f1
#define SETUP_MAGIC    0x202 /* "HdrS" */
#define KERNEL_VERSION 0x20e /* u16: where its text is, less a sector */
#define SETUP_MAX      ((size_t)256 * SECTOR)
#define VERSION_MAX    64

/* It becomes a part of paths. */
static bool is_version(const char *text, size_t size)
{
	if (!size || size > VERSION_MAX || !isdigit((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < size; i++)
		if (!isalnum((unsigned char)text[i]) && !memchr("._+~-", text[i], 5))
			return false;
	return true;
}

char *rl_kernel_version(const void *setup, size_t size)
{
	const unsigned char *bytes = setup;
	size_t end, at, length = 0;

	if (size < KERNEL_VERSION + 2 || memcmp(bytes + SETUP_MAGIC, "HdrS", 4) != 0)
		return NULL;
	/* 0 is 4, as it was before there was the field. */
	end = SECTOR * ((size_t)1 + (bytes[SETUP_SECTS] ? bytes[SETUP_SECTS] : 4));
	at = SECTOR + (size_t)(bytes[KERNEL_VERSION] | bytes[KERNEL_VERSION + 1] << 8);
	if (end > size)
		end = size;
	if (at == SECTOR || at >= end)
		return NULL;
	while (at + length < end && bytes[at + length] && bytes[at + length] != ' ')
		length++;
	if (at + length == end || !is_version((const char *)bytes + at, length))
		return NULL;
	return rl_strndup((const char *)bytes + at, length);
}

int rl_kernel_read_version(const char *path, char **version, struct rl_error *err)
{
	static const char action[] = "read kernel";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char setup[SETUP_MAX];
	struct stat st;
	ssize_t n = 0;
	size_t have = 0;

	if (fd < 0)
		return rl_fail_errno(err, path, action, errno);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return rl_fail(err, path, action, "it is not a regular file");
	}
	while (have < sizeof(setup) && (n = rl_read_some(fd, setup + have, sizeof(setup) - have)) > 0)
		have += (size_t)n;
	close(fd);
	if (n < 0)
		return rl_fail_errno(err, path, action, errno);
	*version = rl_kernel_version(setup, have);
	return *version ? 0
			: rl_fail(err, path, action,
				  "it is not a Linux kernel for x86 (a bzImage, such as /boot/vmlinuz-...)");
}

/* ---- cpio ---- */

static void pad(struct rl_buf *cpio)
{
	rl_buf_bytes(cpio, "\0\0\0", -cpio->size & 3);
}

void rl_cpio_add(struct rl_buf *cpio, const char *name, uint32_t mode, uint32_t major, uint32_t minor,
	const void *bytes, size_t size)
{
	const unsigned inode = (unsigned)(cpio->size / 4); /* each has one of its own */
	const unsigned links = S_ISDIR(mode) ? 2 : 1;

	/* Owner, time and the numbers of the device that it comes from are 0; so is the checksum, which "newc" has not. */
	rl_buf_printf(cpio, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", inode, mode, 0, 0,
		links, 0, (unsigned)size, 0, 0, major, minor, (unsigned)strlen(name) + 1, 0);
	rl_buf_bytes(cpio, name, strlen(name) + 1);
	pad(cpio);
	rl_buf_bytes(cpio, bytes ? bytes : "", size);
	pad(cpio);
}

void rl_cpio_end(struct rl_buf *cpio)
{
	rl_cpio_add(cpio, "TRAILER!!!", 0, 0, 0, NULL, 0);
}

static void fill(struct rl_buf *cpio, const struct rl_modules *modules)
{
	static const char *const folders[] = {"dev", "proc", "root"};
	struct rl_buf list = RL_BUF_NONE;
	size_t size;
	const char *init = rl_guest_init(&size);

	for (size_t i = 0; i < RL_COUNT(folders); i++)
		rl_cpio_add(cpio, folders[i], S_IFDIR | 0755, 0, 0, NULL, 0);
	/* The kernel opens it for the init before that can mount anything. */
	rl_cpio_add(cpio, "dev/console", S_IFCHR | 0600, 5, 1, NULL, 0);
	rl_cpio_add(cpio, "init", S_IFREG | 0755, 0, 0, init, size);
	for (size_t i = 0; i < modules->count; i++) {
		char *name = rl_printf("%s.ko", modules->items[i].name);

		rl_cpio_add(cpio, name, S_IFREG | 0644, 0, 0, modules->items[i].bytes.data,
			modules->items[i].bytes.size);
		rl_buf_printf(&list, "/%s\n", name);
		free(name);
	}
	rl_cpio_add(cpio, &RL_BOOT_LIST[1], S_IFREG | 0644, 0, 0, list.data, list.size);
	rl_buf_free(&list);
	rl_cpio_end(cpio);
}

int rl_initramfs(const char *modules_folder, bool network, int *fd, struct rl_error *err)
{
	/*
	 * The disks and the channel to rootlet, their file system, and what that computes its checksums with; the
	 * network. Whichever a kernel has built in, or has no more, is not among its modules.
	 */
	static const char *const wanted[] = {
		"virtio_pci", "virtio_blk", "virtio_console", "crc32c_generic", "ext4", "ext2", "virtio_net"};
	const size_t count = RL_COUNT(wanted) - !network;
	struct rl_modules modules = RL_MODULES_NONE;
	struct rl_buf cpio = RL_BUF_NONE;
	int result = modules_folder ? rl_modules_read(modules_folder, wanted, count, &modules, err) : 0;

	if (!result) {
		fill(&cpio, &modules);
		*fd = memfd_create("rootlet-initramfs", MFD_CLOEXEC);
		if (*fd < 0 || rl_write_all(*fd, cpio.data, cpio.size))
			result = rl_fail_errno(err, SUBJECT, "make", errno);
	}
	rl_buf_free(&cpio);
	rl_modules_free(&modules);
	return result;
}
