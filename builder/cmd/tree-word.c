#include "cmd/tree-word.h"

#include "cmd/image-path.h"

#include "base/mem.h"
#include "source/place.h"
#include "source/source.h"

#include <stdlib.h>
#include <string.h>

/* As the verbs that read images themselves do. */
static void warn(struct rl_image *image, void *context)
{
	rl_image_warn(context, image);
}

int rl_tree_path_load(struct rl_cmd *cmd, const char *source, const char *path, bool keep_owner,
	struct rl_tree **tree, struct rl_node **node)
{
	struct rl_source_options from = {.max_time = INT64_MAX,
		.data_left = UINT64_MAX,
		.image = cmd->image,
		.opened = warn,
		.context = cmd,
		.keep_owner = keep_owner};
	int result;

	*tree = rl_tree_new();
	*node = (*tree)->root;
	result = rl_source_put(*tree, (*tree)->root, source, &from, &cmd->err);
	rl_tree_sort(*tree);
	path += strspn(path, "/");
	if (!result && *path) {
		const struct rl_place_scope scope = {*tree, (*tree)->root, (*tree)->root, 0};

		*node = rl_place_open(&scope, path);
		if (!*node) {
			char *word = rl_printf("%s:/%s", source, path);

			result = rl_fail(&cmd->err, word, "open", "there is no such path in it");
			free(word);
		}
	}
	return result;
}

int rl_tree_word_load(
	struct rl_cmd *cmd, const char *word, bool keep_owner, struct rl_tree **tree, struct rl_node **node)
{
	const char *colon = rl_source_is_container(word) ? NULL : strstr(word, ":/");
	char *source = colon ? rl_strndup(word, (size_t)(colon - word)) : rl_strdup(word);
	int result = rl_tree_path_load(cmd, source, colon ? colon + 1 : "/", keep_owner, tree, node);

	free(source);
	return result;
}
