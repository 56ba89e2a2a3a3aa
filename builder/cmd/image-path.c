#include "cmd/image-path.h"

#include "base/lock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void warn(struct rl_cmd *cmd, const struct rl_image_path *ip)
{
	pid_t writer = rl_image_writer(ip->image);
	struct rl_image_info info;

	if (writer) {
		char *name = rl_process_name(writer);

		rl_cmd_warn(cmd, "%s: in use by process %s: it may change while it is read", ip->file, name);
		free(name);
	}
	rl_image_info(ip->image, &info);
	if (info.needs_recovery && !writer)
		rl_cmd_warn(cmd,
			"%s: was not cleanly unmounted: changes that are only in its journal are not shown",
			ip->file);
	free(info.features);
}

int rl_image_path_open(struct rl_cmd *cmd, const char *word, struct rl_image_path *ip)
{
	const char *split = strstr(word, ":/");

	*ip = (struct rl_image_path){.has_path = split != NULL};
	ip->file = split ? rl_strndup(word, (size_t)(split - word)) : rl_strdup(word);
	ip->path = rl_strdup(split ? split + 1 : "/");
	if (rl_image_open(ip->file, &ip->image, &cmd->err)) {
		rl_image_path_close(ip);
		return -1;
	}
	warn(cmd, ip);
	return 0;
}

void rl_image_path_close(struct rl_image_path *ip)
{
	rl_image_close(ip->image);
	free(ip->file);
	free(ip->path);
	*ip = (struct rl_image_path){.image = NULL};
}
