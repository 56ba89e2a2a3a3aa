#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "ext/le.h"
#include "ext/read.h"

#include <stdlib.h>
#include <sys/stat.h>

/* s_magic of struct ext2_super_block */
#define MAGIC_AT 1080
#define MAGIC    0xef53

#define SAY_INIT                                                                                             \
	"put one in it, or say which program of it is to be started: run --append init=/PATH (a command "    \
	"needs none: "                                                                                       \
	"run IMAGE -- COMMAND)"

static void tell(struct rl_root *root, enum rl_root_state state, const char *advice, char *found)
{
	root->state = state;
	root->advice = advice;
	root->found = found;
}

static bool is_program(struct rl_image *image, const char *path)
{
	struct rl_error none = RL_ERROR_NONE;
	struct rl_image_inode inode;
	bool is = rl_image_find(image, path, true, &inode, &none) == 0 && S_ISREG(inode.mode) &&
		  inode.mode & 0111 && !inode.encrypted;

	rl_error_clear(&none);
	return is;
}

/* What the kernel tries to start, init/main.c. */
static bool has_init(struct rl_image *image)
{
	static const char *const usual[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"};

	for (size_t i = 0; i < RL_COUNT(usual); i++)
		if (is_program(image, usual[i]))
			return true;
	return false;
}

static void look_into(struct rl_root *root, struct rl_image *image)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_info info;

	rl_image_info(image, &info);
	if (rl_image_mountable(image, &err))
		tell(root, RL_ROOT_BAD, "rootlet check tells all that is wrong with it; e2fsck may repair it",
			rl_strdup(err.reason));
	else if (!has_init(image))
		tell(root, RL_ROOT_BAD, SAY_INIT,
			rl_strdup("it has no program /sbin/init, /etc/init, /bin/init or /bin/sh"));
	else if (info.has_errors)
		tell(root, RL_ROOT_DOUBTFUL,
			"rootlet check tells what is wrong with it; e2fsck may repair it",
			rl_strdup("the kernel has met errors in it"));
	else
		tell(root, RL_ROOT_GOOD, NULL, NULL);
	free(info.features);
	rl_error_clear(&err);
}

/* An ext file system has its magic there, whatever else is destroyed. */
static bool is_ext(const char *path, const struct rl_disk_options *options)
{
	struct rl_disk *disk;
	uint8_t magic[2];
	bool is;

	if (rl_disk_open(path, options, &disk, NULL))
		return false;
	is = rl_disk_read(disk, magic, sizeof(magic), MAGIC_AT) == 0 && rl_get_le16(magic) == MAGIC;
	rl_disk_close(disk);
	return is;
}

void rl_root_look(const struct rl_guest_disk *disk, int fd, struct rl_root *root)
{
	const struct rl_image_options options = {.disk = {.cow = disk->cow != NULL}};
	const char *path = disk->cow ? disk->cow : disk->path, *other = disk->cow ? NULL : rl_other_type(fd);
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image *image;

	if (rl_image_open(path, &options, &image, &err) == 0) {
		look_into(root, image);
		rl_image_close(image);
	} else if (is_ext(path, &options.disk)) {
		tell(root, RL_ROOT_BAD, "e2fsck may repair it; or make it anew: rootlet build NAME",
			rl_strdup(err.reason));
	} else if (other) {
		tell(root, RL_ROOT_DOUBTFUL, "boot it, or give an ext2, ext3 or ext4 image",
			rl_printf("%s, and no ext file system: it is not known whether it can be a root",
				other));
	} else {
		tell(root, RL_ROOT_BAD,
			"make it anew: rootlet build NAME, or rootlet pack -o IMAGE SOURCE...",
			rl_strdup("it holds no ext file system, nor another one that is known here"));
	}
	rl_error_clear(&err);
}
