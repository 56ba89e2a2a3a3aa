#include "machine/machine-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/publish.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STAMP_MAX ((size_t)256 << 20)

/* Changes whenever the same inputs give other bytes than before for a data disk. */
#define DATA_FORMAT 3

struct rl_stamp {
	char *file;
	json_t *disks; /* "root.ext4" -> {format, key, size, mtime, mtime_nsec} */
};

/* A stamp that cannot be read is as good as none: everything is built. */
struct rl_stamp *rl_stamp_load(const char *folder)
{
	struct rl_stamp *stamp = rl_calloc(1, sizeof(*stamp));
	struct rl_buf text = RL_BUF_NONE;

	stamp->file = rl_printf("%s/build.json", folder);
	if (rl_read_file(stamp->file, STAMP_MAX, &text, NULL) == 0)
		stamp->disks = json_loadb(text.data, text.size, 0, NULL);
	if (!json_is_object(stamp->disks)) {
		json_decref(stamp->disks);
		stamp->disks = json_object();
	}
	rl_buf_free(&text);
	return stamp;
}

void rl_stamp_free(struct rl_stamp *stamp)
{
	if (!stamp)
		return;
	json_decref(stamp->disks);
	free(stamp->file);
	free(stamp);
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool rl_stamp_fits(const struct rl_stamp *stamp, const char *disk_path, const char *key)
{
	const json_t *disk = json_object_get(stamp->disks, file_name(disk_path));
	const char *made = json_string_value(json_object_get(disk, "key"));
	struct stat st;

	return made && !strcmp(made, key) && stat(disk_path, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == json_integer_value(json_object_get(disk, "size"));
}

bool rl_stamp_has(const struct rl_stamp *stamp, const char *disk_path)
{
	return json_object_get(stamp->disks, file_name(disk_path)) != NULL;
}

bool rl_stamp_is_current(const struct rl_stamp *stamp, const char *disk_path)
{
	const json_t *disk = json_object_get(stamp->disks, file_name(disk_path));

	return json_integer_value(json_object_get(disk, "format")) == DATA_FORMAT;
}

bool rl_stamp_touched(const struct rl_stamp *stamp, const char *disk_path)
{
	const json_t *disk = json_object_get(stamp->disks, file_name(disk_path));
	struct stat st;

	if (stat(disk_path, &st))
		return errno != ENOENT;
	return !disk || st.st_size != json_integer_value(json_object_get(disk, "size")) ||
	       st.st_mtim.tv_sec != json_integer_value(json_object_get(disk, "mtime")) ||
	       st.st_mtim.tv_nsec != json_integer_value(json_object_get(disk, "mtime_nsec"));
}

void rl_stamp_inputs(const struct rl_stamp *stamp, const char *disk_path, struct rl_inputs *inputs)
{
	const json_t *disk = json_object_get(stamp->disks, file_name(disk_path));

	rl_inputs_from_json(inputs, json_object_get(disk, "inputs"));
}

int rl_stamp_store(struct rl_stamp *stamp, const char *disk_path, const char *key,
	const struct rl_inputs *inputs, struct rl_error *err)
{
	struct stat st;
	char *text;
	int result;

	if (stat(disk_path, &st))
		return rl_fail_errno(err, disk_path, "read", errno);
	json_object_set_new(stamp->disks, file_name(disk_path),
		json_pack("{s:i,s:s,s:I,s:I,s:I,s:o}", "format", DATA_FORMAT, "key", key, "size",
			(json_int_t)st.st_size, "mtime", (json_int_t)st.st_mtim.tv_sec, "mtime_nsec",
			(json_int_t)st.st_mtim.tv_nsec, "inputs", rl_inputs_json(inputs)));
	text = json_dumps(stamp->disks, JSON_INDENT(2) | JSON_SORT_KEYS);
	result = rl_publish_bytes(stamp->file, text, strlen(text), err);
	free(text);
	return result;
}
