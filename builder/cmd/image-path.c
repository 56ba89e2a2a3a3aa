#include "cmd/image-path.h"

#include "cmd/show.h"

#include "base/lock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A COW file without a name is that of an ephemeral guest, and says nothing to anybody: the one below does. */
static const char *name_of(const struct rl_image *image)
{
	const struct rl_disk *disk = rl_image_disk(image);
	struct stat st;

	return rl_disk_cow(disk) && fstat(rl_disk_fd(disk), &st) == 0 && !st.st_nlink ? rl_disk_backing(disk)
										      : rl_image_path(image);
}

void rl_image_warn(struct rl_cmd *cmd, struct rl_image *image)
{
	const char *file = name_of(image), *busy;
	pid_t writer = rl_image_writer(image, &busy);
	struct rl_image_info info;

	if (writer) {
		char *name = rl_process_name(writer);

		rl_cmd_warn(cmd, "%s: in use by process %s: it may change while it is read", busy, name);
		free(name);
	}
	rl_image_info(image, &info);
	if (info.needs_recovery && !writer)
		rl_cmd_warn(cmd,
			info.replayed
				? "%s: was not cleanly unmounted: shown as it is after a replay of its "
				  "journal"
				: "%s: was not cleanly unmounted: shown without what is only in its journal",
			file);
	free(info.features);
}

int rl_image_path_open(struct rl_cmd *cmd, const char *word, struct rl_image_path *ip)
{
	const char *split = strstr(word, ":/");

	*ip = (struct rl_image_path){.has_path = split != NULL};
	ip->file = split ? rl_strndup(word, (size_t)(split - word)) : rl_strdup(word);
	ip->path = rl_strdup(split ? split + 1 : "/");
	for (size_t i = 0; i < RL_CMD_IMAGES; i++)
		if (cmd->opened[i] && !strcmp(rl_image_path(cmd->opened[i]), ip->file))
			ip->image = cmd->opened[i];
	if (ip->image)
		return 0;
	if (rl_image_open(ip->file, &cmd->image, &ip->image, &cmd->err)) {
		rl_image_path_close(ip);
		return -1;
	}
	rl_image_close(cmd->opened[cmd->opened_next]);
	cmd->opened[cmd->opened_next] = ip->image;
	cmd->opened_next = (cmd->opened_next + 1) % RL_CMD_IMAGES;
	rl_image_warn(cmd, ip->image);
	return 0;
}

void rl_image_path_end(struct rl_cmd *cmd)
{
	for (size_t i = 0; i < RL_CMD_IMAGES; i++)
		rl_image_close(cmd->opened[i]);
	memset(cmd->opened, 0, sizeof(cmd->opened));
}

void rl_image_path_close(struct rl_image_path *ip)
{
	free(ip->file);
	free(ip->path);
	*ip = (struct rl_image_path){.image = NULL};
}

static void tell(struct rl_error *err, void *context)
{
	rl_show_trouble(context, err);
}

int rl_image_path_walk(struct rl_cmd *cmd, const char *word, bool follow, const struct rl_walk *walk,
	struct rl_image **image)
{
	struct rl_walk told = *walk;
	struct rl_image_path ip;
	struct rl_image_inode inode;
	int result;

	if (rl_image_path_open(cmd, word, &ip))
		return -1;
	told.broken = tell;
	told.broken_context = cmd;
	*image = ip.image;
	result = rl_image_find(ip.image, ip.path, follow, &inode, &cmd->err);
	if (!result)
		rl_image_walk(ip.image, ip.path, &inode, &told);
	rl_image_path_close(&ip);
	return result;
}
