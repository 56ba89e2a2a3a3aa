#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "ext/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SUBJECT "job disk"
#define ROOM    ((size_t)256 * 1024) /* for all but files in its file system */

static void add_text(struct rl_buf *buf, const char *text)
{
	rl_buf_bytes(buf, text ? text : "", text ? strlen(text) + 1 : 1);
}

static void describe(const struct rl_guest *guest, const struct rl_job_head *head, struct rl_buf *job)
{
	const struct rl_guest_command *command = guest->command;

	rl_buf_bytes(job, head, sizeof(*head));
	add_text(job, command->folder);
	add_text(job, command->user);
	for (size_t i = 0; i < command->argument_count; i++)
		add_text(job, command->arguments[i]);
	for (size_t i = 0; i < command->variable_count; i++)
		add_text(job, command->variables[i]);
	for (size_t i = 0; i < guest->share_count; i++) {
		char *share =
			rl_printf("%s:%s", guest->shares[i].read_only ? "ro" : "rw", guest->shares[i].place);

		add_text(job, share);
		free(share);
	}
}

static int put_file(struct rl_tree *tree, const char *path, uint32_t mode, const void *bytes, size_t size,
	struct rl_error *err)
{
	struct rl_node *node;

	if (rl_tree_put_path(tree, path, mode, RL_EPOCH_TIME, &node, err))
		return -1;
	rl_tree_set_memory(tree, node->inode, bytes, size);
	return 0;
}

/* For kernels that have no devtmpfs. */
static int put_devices(struct rl_tree *tree, struct rl_error *err)
{
	struct {
		const char *name;
		uint32_t mode, major, minor;
	} devices[] = {{"console", S_IFCHR | 0600, 5, 1}, {"null", S_IFCHR | 0666, 1, 3},
		{RL_CHANNEL_TTY, S_IFCHR | 0600, 4, RL_CHANNEL_CONSOLE}, {NULL, S_IFBLK | 0600, 98, 0}};
	struct rl_node *node;

	for (size_t i = 0; i < RL_COUNT(devices) + RL_JOB_DISK; i++) {
		size_t disk = i < RL_COUNT(devices) ? 0 : i - RL_COUNT(devices) + 1;
		const size_t kind = disk ? RL_COUNT(devices) - 1 : i;
		char *path = devices[kind].name ? rl_printf("/dev/%s", devices[kind].name)
						: rl_printf("/dev/ubd%c", 'a' + (char)disk);
		int result = rl_tree_put_path(tree, path, devices[kind].mode, RL_EPOCH_TIME, &node, err);

		free(path);
		if (result)
			return -1;
		node->inode->device.major = devices[kind].major;
		node->inode->device.minor = devices[kind].minor + (uint32_t)disk * 16;
	}
	return 0;
}

static int put_link(struct rl_tree *tree, const char *channel, struct rl_error *err)
{
	struct rl_node *node;
	char *target = rl_printf("/dev/%s", channel);
	int result = rl_tree_put_path(tree, RL_CHANNEL_LINK, S_IFLNK | 0777, RL_EPOCH_TIME, &node, err);

	if (!result)
		result = rl_tree_set_target(tree, node->inode, target, strlen(target), err);
	free(target);
	return result;
}

static int fill_tree(
	struct rl_tree *tree, const char *channel, const struct rl_buf *job, struct rl_error *err)
{
	static const char *const folders[] = {"/proc", "/root"};
	struct rl_node *node;
	size_t size;
	const char *init = rl_guest_init(&size);

	for (size_t i = 0; i < RL_COUNT(folders); i++)
		if (rl_tree_make_dirs(tree, folders[i], RL_EPOCH_TIME, &node, err))
			return -1;
	if (put_file(tree, "/init", S_IFREG | 0755, init, size, err) ||
		put_file(tree, "/job", S_IFREG | 0600, job->data, job->size, err))
		return -1;
	return put_link(tree, channel, err) || put_devices(tree, err) ? -1 : 0;
}

static int write_disk(struct rl_job *job, const char *channel, const struct rl_buf *text, uint64_t size,
	struct rl_error *err)
{
	struct rl_ext_options options;
	struct rl_tree *tree = rl_tree_new();
	struct rl_plan *plan = NULL;
	int result = fill_tree(tree, channel, text, err);

	if (!result)
		result = rl_ext_options_init(&options, "ext2", err);
	if (!result) {
		options.size = size;
		result = rl_plan_make(tree, &options, SUBJECT, &plan, err);
	}
	if (!result)
		result = rl_ext_write(plan, job->fd, err);
	rl_plan_free(plan);
	rl_tree_free(tree);
	return result;
}

int rl_job_open(struct rl_job *job, const struct rl_guest *guest, const char *channel, bool merged,
	struct rl_error *err)
{
	const struct rl_guest_command *command = guest->command;
	struct rl_job_head head = {
		.merged = merged,
		.tty = command->terminal,
		.rows = command->rows,
		.columns = command->columns,
		.network = guest->network,
		.mounts = command->mounts,
		.disks = (uint32_t)guest->disk_count,
		.arguments = (uint32_t)command->argument_count,
		.variables = (uint32_t)command->variable_count,
		.shares = (uint32_t)guest->share_count,
	};

	struct rl_buf text = RL_BUF_NONE;
	size_t init;
	int result;

	rl_guest_init(&init);
	describe(guest, &head, &text);
	head.ring = (text.size + init + ROOM + 4095) / 4096 * 4096;
	memcpy(text.data, &head, sizeof(head));
	/* In a root of its own UML does not find what has never been in a folder. */
	job->fd = guest->share_count ? rl_place_file(guest->memory ? guest->memory : RL_MEMORY_DEFAULT)
				     : memfd_create("rootlet-job", MFD_CLOEXEC);
	if (job->fd < 0)
		result = rl_fail_errno(err, SUBJECT, "make", errno);
	else
		result = write_disk(job, channel, &text, head.ring, err);
	rl_buf_free(&text);
	if (result)
		return -1;
	if (ftruncate(job->fd, (off_t)(head.ring + RL_RING_SIZE)))
		return rl_fail_errno(err, SUBJECT, "make", errno);
	job->ring = mmap(NULL, RL_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, job->fd, (off_t)head.ring);
	if (job->ring == MAP_FAILED) {
		job->ring = NULL;
		return rl_fail_errno(err, SUBJECT, "make", errno);
	}
	return 0;
}

void rl_job_close(struct rl_job *job)
{
	if (job->ring)
		munmap(job->ring, RL_RING_SIZE);
	job->ring = NULL;
	rl_close(&job->fd);
}
