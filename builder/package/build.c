/* The build of one package: its folders, the sandbox, publishing. */
#include "package/package-internal.h"

#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_SIZE  8192
#define TAIL_LINES 20

struct build {
	struct rl_store *store;
	struct rl_package_entry *entry;
	const struct rl_jobs *jobs;
	struct rl_temp temp;
	char *build, *out, *recipe; /* folders in temp */
	char *log_path;
	int log;
};

/* ---- before it: what the sandbox is made of ---- */

static int write_file(const char *folder, const struct rl_recipe_file *input, struct rl_error *err)
{
	char *path = rl_printf("%s/%s", folder, input->name), *slash = strrchr(path, '/');
	mode_t mode = input->executable ? 0755 : 0644;
	int fd, result;

	*slash = '\0';
	result = rl_make_folders(path, err);
	*slash = '/';
	if (result)
		goto out;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0 || rl_write_all(fd, input->bytes.data, input->bytes.size) || fchmod(fd, mode))
		result = rl_fail_errno(err, path, "write", errno);
	rl_close(&fd);
out:
	free(path);
	return result;
}

/*
 * The build sees the files that the key was made of, to the byte, and no others of the recipe's
 * folder: what it could use without being in the key would make the store lie.
 */
static int prepare(struct build *build, struct rl_error *err)
{
	const struct rl_package_entry *entry = build->entry;
	int result = 0;

	if (rl_temp_open(build->store, entry->package.name, &build->temp, err))
		return -1;
	build->build = rl_temp_folder(&build->temp, "build", err);
	build->out = rl_temp_folder(&build->temp, "out", err);
	build->recipe = rl_temp_folder(&build->temp, "recipe", err);
	if (!build->build || !build->out || !build->recipe)
		return -1;
	for (size_t i = 0; i < entry->file_count && !result; i++)
		result = write_file(build->recipe, &entry->files[i], err);
	if (result)
		return -1;
	build->log_path =
		rl_store_path(build->store, "logs/%s-%.16s.log", entry->package.name, entry->package.key);
	build->log = open(build->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (build->log < 0)
		return rl_fail_errno(err, build->log_path, "create", errno);
	return 0;
}

static void add_binds(const struct build *build, struct rl_argv *binds)
{
	const struct rl_package_recipe *recipe = &build->entry->recipe;

	rl_argv_add(binds, build->recipe);
	rl_argv_add(binds, "/recipe");
	for (size_t i = 0; i < recipe->source_count; i++) {
		char *path = rl_source_path(build->store, &recipe->sources[i], build->entry->hashes[i]);

		rl_argv_add(binds, path);
		rl_argv_printf(binds, "/src/%s", recipe->sources[i].name);
		free(path);
	}
	for (size_t i = 0; i < build->entry->need_count; i++) {
		const struct rl_package *need = &build->entry->needs[i]->package;

		rl_argv_add(binds, need->product);
		rl_argv_printf(binds, "/deps/%s", need->name);
	}
}

/* "with-foo" becomes OPTION_WITH_FOO. */
static void add_option(struct rl_argv *env, const char *name, const char *value)
{
	char *variable = rl_printf("OPTION_%s", name);

	for (char *c = variable; *c; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	rl_argv_printf(env, "%s=%s", variable, value);
	free(variable);
}

static void add_environment(const struct build *build, struct rl_argv *env)
{
	const struct rl_package_entry *entry = build->entry;
	struct rl_buf patches = RL_BUF_NONE;
	char *text;

	for (size_t i = 0; i < entry->recipe.option_count; i++)
		add_option(env, entry->recipe.options[i].name, entry->values[i]);
	for (size_t i = 0; i < entry->recipe.patches.count; i++)
		rl_buf_printf(&patches, "%s/recipe/%s", i ? " " : "", entry->recipe.patches.items[i]);
	text = rl_buf_string(&patches);
	rl_argv_printf(env, "PATCHES=%s", text);
	free(text);
	if (build->jobs->pipe[0] >= 0)
		rl_argv_printf(env, "MAKEFLAGS= -j --jobserver-auth=%d,%d", build->jobs->pipe[0],
			build->jobs->pipe[1]);
}

/* ---- the build ---- */

/* The last lines of the output, as many as a person wants to see. The caller frees them. */
static char *cut_tail(const struct rl_buf *output)
{
	size_t start = output->size, lines = 0;

	while (start && output->size - start < TAIL_SIZE) {
		if (output->data[start - 1] == '\n' && start != output->size && ++lines == TAIL_LINES)
			break;
		start--;
	}
	return rl_strndup(output->size ? output->data + start : "", output->size - start);
}

static int run(struct build *build, char **log_tail, struct rl_error *err)
{
	const struct rl_store *store = build->store;
	const struct rl_package_entry *entry = build->entry;
	struct rl_sandbox sandbox = {.binds = RL_ARGV_NONE,
		.env = RL_ARGV_NONE,
		.build = build->build,
		.out = build->out,
		.name = entry->package.name,
		.version = entry->package.version,
		.jobs = build->jobs->count,
		.jobserver = build->jobs->pipe[0] < 0 ? NULL : build->jobs->pipe};
	struct rl_capture capture = {
		.seconds = store->options.time_limit ? store->options.time_limit : entry->recipe.time_limit,
		.output_size = entry->recipe.log_limit,
		.log = build->log,
		.tail_size = TAIL_SIZE};
	struct rl_error why = RL_ERROR_NONE;
	int result;

	add_binds(build, &sandbox.binds);
	add_environment(build, &sandbox.env);
	result = rl_sandbox_run(&sandbox, &capture, &why);
	if (result && !rl_check_interrupted(entry->package.name, "build", err)) {
		rl_fail(err, entry->package.name, "build", "build.sh: %s; log: %s", why.reason,
			build->log_path);
		if (log_tail) {
			free(*log_tail);
			*log_tail = cut_tail(&capture.tail);
		}
	}
	rl_error_clear(&why);
	rl_buf_free(&capture.tail);
	rl_argv_free(&sandbox.binds);
	rl_argv_free(&sandbox.env);
	return result;
}

/* ---- after it ---- */

/* The bytes must be on the disk before the name is: a product that has a name is taken to be whole. */
static int publish(const struct build *build, struct rl_error *err)
{
	struct rl_package *package = &build->entry->package;

	if (rl_product_normalise(build->out, package->name, err) || rl_product_sync(build->out, err) ||
		rl_product_list(build->out, &package->list, err) ||
		rl_record_write(build->store, build->entry, &package->list, err))
		return -1;
	if (rename(build->out, package->product))
		return rl_fail_errno(err, package->product, "create", errno);
	return 0;
}

static int build_package(struct rl_store *store, struct rl_package_entry *entry, const struct rl_jobs *jobs,
	char **log_tail, struct rl_error *err)
{
	struct build build = {.store = store, .entry = entry, .jobs = jobs, .temp = RL_TEMP_NONE, .log = -1};
	int64_t start = rl_now_ms();
	double seconds;
	int result;

	rl_store_note(store, "%s: building", entry->package.name);
	result = prepare(&build, err);
	if (!result)
		result = run(&build, log_tail, err);
	if (!result)
		result = publish(&build, err);
	if (!result) {
		seconds = (double)(rl_now_ms() - start) / 1000;
		rl_store_note(store, "%s: built in %.*f s", entry->package.name, seconds < 10, seconds);
		entry->package.built = true;
	}
	rl_close(&build.log);
	rl_temp_close(&build.temp);
	free(build.build);
	free(build.out);
	free(build.recipe);
	free(build.log_path);
	return result;
}

int rl_entry_build(struct rl_store *store, struct rl_package_entry *entry, const struct rl_jobs *jobs,
	char **log_tail, struct rl_error *err)
{
	const struct rl_package *package = &entry->package;
	struct rl_store_lock lock = RL_STORE_LOCK_NONE;
	char *name = rl_printf("build-%s-%.16s", package->name, package->key);
	char *waiting = rl_printf("%s: waiting for another build of it", package->name);
	int result = rl_store_lock(store, name, waiting, &lock, err);

	if (!result && !rl_record_check(store, entry)) {
		result = rl_record_remove(store, package, err);
		if (!result)
			result = build_package(store, entry, jobs, log_tail, err);
	}
	rl_store_unlock(&lock);
	free(name);
	free(waiting);
	return result;
}

int rl_entry_fetch(struct rl_store *store, struct rl_package_entry *entry, struct rl_error *err)
{
	const struct rl_package_recipe *recipe = &entry->recipe;

	for (size_t i = 0; i < recipe->source_count; i++) {
		char hex[RL_SHA256_HEX];

		memcpy(hex, entry->hashes[i], RL_SHA256_HEX);
		if (rl_source_ensure(store, recipe->name, &recipe->sources[i], hex, err))
			return -1;
		if (entry->hashes[i][0] && strcmp(entry->hashes[i], hex) != 0) {
			rl_store_note(store, "%s: %s has changed since it was recorded", recipe->name,
				recipe->sources[i].name);
			return 1;
		}
		memcpy(entry->hashes[i], hex, RL_SHA256_HEX);
	}
	return 0;
}
