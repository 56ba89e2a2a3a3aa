#include "source/oci.h"

#include "base/buf.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MAX (1u << 20) /* bytes */

static int wrong(struct rl_error *err, const char *reason)
{
	return rl_fail(err, "/" RL_OCI_KEPT, "read from the image", "%s", reason);
}

static bool is_given(const json_t *value)
{
	return value && !json_is_null(value);
}

static int read_variables(const json_t *list, struct rl_argv *variables, struct rl_error *err)
{
	const json_t *value;
	size_t i;

	if (is_given(list) && !json_is_array(list))
		return wrong(err, "Env is no list");
	json_array_foreach(list, i, value)
	{
		const char *text = json_string_value(value), *equals = text ? strchr(text, '=') : NULL;

		if (!equals || equals == text)
			return wrong(err, "in Env is something else than NAME=VALUE");
		rl_argv_add(variables, text);
	}
	return 0;
}

static int read_all(const json_t *config, struct rl_oci_kept *kept, struct rl_error *err)
{
	const json_t *user = json_object_get(config, "User"), *folder = json_object_get(config, "WorkingDir");
	const char *text;

	if (!json_is_object(config))
		return wrong(err, "it is no object in JSON");
	if (is_given(user) && !json_is_string(user))
		return wrong(err, "User is no text");
	if (is_given(folder) && !json_is_string(folder))
		return wrong(err, "WorkingDir is no text");
	text = json_string_value(user);
	if (text && *text)
		kept->user = rl_strdup(text);
	text = json_string_value(folder);
	if (text && *text && *text != '/')
		return wrong(err, "WorkingDir is no absolute path");
	if (text && *text)
		kept->folder = rl_strdup(text);
	return read_variables(json_object_get(config, "Env"), &kept->variables, err);
}

int rl_oci_read_kept(struct rl_image *image, struct rl_oci_kept *kept, struct rl_error *err)
{
	struct rl_error none = RL_ERROR_NONE;
	struct rl_buf text = RL_BUF_NONE;
	struct rl_image_inode inode;
	json_t *config = NULL;
	int result;

	if (rl_image_find(image, "/" RL_OCI_KEPT, true, &inode, &none)) {
		rl_error_clear(&none);
		return 0;
	}
	/* A guest may have put anything there. */
	result = rl_image_bytes(image, &inode, "/" RL_OCI_KEPT, KEPT_MAX, &text, err);
	if (!result) {
		config = json_loadb(text.data, text.size, 0, NULL);
		result = read_all(config, kept, err);
	}
	json_decref(config);
	rl_buf_free(&text);
	return result;
}

void rl_oci_kept_free(struct rl_oci_kept *kept)
{
	rl_argv_free(&kept->variables);
	free(kept->user);
	free(kept->folder);
	*kept = (struct rl_oci_kept){.variables = RL_ARGV_NONE};
}
