#include "cmd/recipes.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct rl_option options[] = {
	{RL_OPT_RECIPES, "recipes", "DIR", "make it in DIR/recipes, not in ./recipes"},
	{0, NULL, NULL, NULL},
};

/* NAME stands for the recipe's name. */
static const char package_conf[] =
	"# What it is, for people.\n"
	"\n"
	"summary  = \"NAME, in one line\"\n"
	"version  = \"1.0\"\n"
	"license  = \"MIT\"                       # https://spdx.org/licenses/\n"
	"homepage = \"https://example.org/\"\n"
	"\n"
	"build-needs = { \"musl\" }               # \"linux-headers\" too, if it includes linux/ or asm/\n"
	"\n"
	"source \"NAME-{version}.tar.gz\" {\n"
	"    sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n"
	"    urls   = { \"https://example.org/NAME-{version}.tar.gz\" }\n"
	"}\n";

static const char package_script[] =
	"# Builds NAME. See rootlet-recipe(5) for what is there: SRC, RECIPE, DEPS, OUT, VERSION.\n"
	"\n"
	"tar -xf \"$SRC/NAME-$VERSION.tar.gz\"\n"
	"cd \"NAME-$VERSION\"\n"
	"\n"
	"./configure --prefix=/usr --host=\"$(uname -m)-linux-musl\" CC=\"$DEPS/musl/bin/musl-gcc\"\n"
	"make\n"
	"make install DESTDIR=\"$OUT\"\n";

static const char image_conf[] =
	"# What it is for, for people. `rootlet build NAME`, then `rootlet run NAME`.\n"
	"\n"
	"summary = \"NAME, in one line\"\n"
	"\n"
	"packages  = { \"busybox\" }\n"
	"skeletons = { \"base\" }\n"
	"\n"
	"user \"root\" { password = \"\" }\n"
	"\n"
	"disk \"root\" { free = 16M }\n"
	"\n"
	"run { mem = 64M }\n";

/* The text with the name put in; the caller frees it. */
static char *fill(const char *text, const char *name)
{
	struct rl_buf out = RL_BUF_NONE;
	const char *found;

	for (; (found = strstr(text, "NAME")); text = found + 4) {
		rl_buf_bytes(&out, text, (size_t)(found - text));
		rl_buf_text(&out, name);
	}
	rl_buf_text(&out, text);
	return rl_buf_string(&out);
}

/* One that is there is nobody's to replace. */
static int write_file(struct rl_cmd *cmd, const char *path, const char *text, const char *name)
{
	char *filled = fill(text, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), result = 0;

	if (fd < 0 || rl_write_all(fd, filled, strlen(filled)))
		result = rl_fail_errno(&cmd->err, path, "create", errno);
	else
		rl_cmd_note(cmd, "%s: made", path);
	rl_close(&fd);
	free(filled);
	return result;
}

static int make_package(struct rl_cmd *cmd, const char *root, const char *name)
{
	char *folder = rl_printf("%s%srecipes/packages/%s", root, *root ? "/" : "", name);
	char *conf = rl_printf("%s/recipe.conf", folder), *script = rl_printf("%s/build.sh", folder);
	int result = rl_make_folders(folder, &cmd->err);

	if (!result)
		result = write_file(cmd, conf, package_conf, name);
	if (!result)
		result = write_file(cmd, script, package_script, name);
	free(folder);
	free(conf);
	free(script);
	return result;
}

static int make_image(struct rl_cmd *cmd, const char *root, const char *name)
{
	char *folder = rl_printf("%s%srecipes/images", root, *root ? "/" : "");
	char *conf = rl_printf("%s/%s.conf", folder, name);
	int result = rl_make_folders(folder, &cmd->err);

	if (!result)
		result = write_file(cmd, conf, image_conf, name);
	free(folder);
	free(conf);
	return result;
}

static int run(struct rl_cmd *cmd)
{
	const char *kind = NULL, *name = NULL, *root = "", *problem;
	int id, result = 0;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		if (id == RL_OPT_RECIPES)
			root = cmd->value;
		else if (id == RL_CMD_ARG && !kind)
			kind = cmd->value;
		else if (id == RL_CMD_ARG && !name)
			name = cmd->value;
		else
			result = id == RL_CMD_USAGE ? -1
						    : rl_cmd_usage(cmd, "too many arguments: %s", cmd->value);
	}
	if (!result && (!name || (strcmp(kind, "package") != 0 && strcmp(kind, "image") != 0)))
		result = rl_cmd_usage(cmd, "what is to be made? package NAME, or image NAME");
	problem = result ? NULL : rl_recipe_name_problem(name);
	if (problem)
		result = rl_fail(&cmd->err, name, "make recipe", "the name %s", problem);
	if (!result)
		result = (*kind == 'p' ? make_package : make_image)(cmd, root, name);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_new = {"new", run, "Building:", "package|image NAME",
	"make a recipe to start from",
	"What is there is not replaced.\n\n"
	"  rootlet new package hello\n  rootlet new --recipes ~/mine image box\n",
	options};
