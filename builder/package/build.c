/* From a package's name to its product: keys, sources, needs, the build itself, publishing. */
#include "package/package-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TAIL_SIZE  8192
#define TAIL_LINES 20

struct build {
	struct rl_store *store;
	struct rl_package_entry *entry;
	struct rl_temp temp;
	char *build, *out, *recipe; /* folders in temp */
	char *log_path;
	int log;
};

/* ---- before it: what the sandbox is made of ---- */

static int write_input(const char *folder, const struct rl_input *input, struct rl_error *err)
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
	for (size_t i = 0; i < entry->input_count && !result; i++)
		result = write_input(build->recipe, &entry->inputs[i], err);
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

static unsigned count_jobs(const struct rl_store *store)
{
	cpu_set_t set;

	if (store->options.jobs)
		return store->options.jobs;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned)CPU_COUNT(&set);
	return 1;
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
		.build = build->build,
		.out = build->out,
		.name = entry->package.name,
		.version = entry->package.version,
		.jobs = count_jobs(store)};
	struct rl_capture capture = {
		.seconds = store->options.time_limit ? store->options.time_limit : entry->recipe.time_limit,
		.output_size = entry->recipe.log_limit,
		.log = build->log,
		.tail_size = TAIL_SIZE};
	struct rl_error why = RL_ERROR_NONE;
	int result;

	add_binds(build, &sandbox.binds);
	rl_progress(entry->package.name, "building");
	result = rl_sandbox_run(&sandbox, &capture, &why);
	rl_progress_clear();
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
	return result;
}

/* ---- after it ---- */

static bool has_product(const struct rl_package *package)
{
	struct stat st;

	return package->product && stat(package->product, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The bytes must be on the disk before the name is: a product that has a name is taken to be whole. */
static int publish(const struct build *build, struct rl_error *err)
{
	const struct rl_package *package = &build->entry->package;

	if (rl_product_normalise(build->out, package->name, err) || rl_product_sync(build->out, err))
		return -1;
	if (rename(build->out, package->product))
		return rl_fail_errno(err, package->product, "create", errno);
	return 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int build_package(
	struct rl_store *store, struct rl_package_entry *entry, char **log_tail, struct rl_error *err)
{
	struct build build = {.store = store, .entry = entry, .temp = RL_TEMP_NONE, .log = -1};
	double start = now(), seconds;
	int result;

	rl_store_note(store, "%s: building", entry->package.name);
	result = rl_sandbox_check(err);
	if (!result)
		result = prepare(&build, err);
	if (!result)
		result = run(&build, log_tail, err);
	if (!result)
		result = publish(&build, err);
	if (!result) {
		seconds = now() - start;
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

/* One process builds, the others wait and then find the product. */
static int build_once(
	struct rl_store *store, struct rl_package_entry *entry, char **log_tail, struct rl_error *err)
{
	const struct rl_package *package = &entry->package;
	struct rl_store_lock lock = RL_STORE_LOCK_NONE;
	char *name = rl_printf("build-%s-%.16s", package->name, package->key);
	char *waiting = rl_printf("%s: waiting for another build of it", package->name);
	int result = rl_store_lock(store, name, waiting, &lock, err);

	if (!result && !has_product(package))
		result = build_package(store, entry, log_tail, err);
	rl_store_unlock(&lock);
	free(name);
	free(waiting);
	return result;
}

/* ---- the whole way ---- */

/* Besides 0 and -1: a hash was recorded anew, so that keys which were made with the old one are void. */
#define AGAIN 1

static void forget_keys(struct rl_store *store)
{
	for (size_t i = 0; i < store->entry_count; i++) {
		struct rl_package_entry *entry = store->entries[i];

		entry->key_known = entry->ensured = false;
		memset(entry->hashes, 0, entry->recipe.source_count * sizeof(*entry->hashes));
	}
}

static int ensure_sources(struct rl_store *store, struct rl_package_entry *entry, struct rl_error *err)
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
			return AGAIN;
		}
		memcpy(entry->hashes[i], hex, RL_SHA256_HEX);
	}
	return 0;
}

/* Makes the key known: sources whose hashes it lacks are fetched, here and in what the package needs. */
static int resolve(struct rl_store *store, struct rl_package_entry *entry, struct rl_error *err)
{
	int result = 0;

	rl_entry_key(store, entry);
	if (entry->key_known)
		return 0;
	for (size_t i = 0; i < entry->need_count && !result; i++)
		result = resolve(store, entry->needs[i], err);
	if (!result)
		result = ensure_sources(store, entry, err);
	if (!result)
		rl_entry_key(store, entry);
	return result;
}

/* What is needed comes first. It is not even looked at if the product is there. */
static int ensure(
	struct rl_store *store, struct rl_package_entry *entry, char **log_tail, struct rl_error *err)
{
	int result = 0;

	if (entry->ensured)
		return 0;
	result = resolve(store, entry, err);
	if (!result && !has_product(&entry->package)) {
		for (size_t i = 0; i < entry->need_count && !result; i++)
			result = ensure(store, entry->needs[i], log_tail, err);
		if (!result)
			result = ensure_sources(store, entry, err);
		if (!result)
			result = build_once(store, entry, log_tail, err);
	}
	entry->ensured = !result;
	return result;
}

int rl_package_ensure(struct rl_store *store, const char *name, const struct rl_package **package,
	char **log_tail, struct rl_error *err)
{
	struct rl_package_entry *entry;
	int result;

	*package = NULL;
	if (log_tail)
		*log_tail = NULL;
	if (rl_entry_load(store, name, &entry, err))
		return -1;
	while ((result = ensure(store, entry, log_tail, err)) == AGAIN)
		forget_keys(store);
	if (!result)
		*package = &entry->package;
	return result;
}

int rl_package_key(
	struct rl_store *store, const char *name, char key[RL_SHA256_HEX], bool *known, struct rl_error *err)
{
	struct rl_package_entry *entry;

	key[0] = '\0';
	*known = false;
	if (rl_entry_load(store, name, &entry, err))
		return -1;
	rl_entry_key(store, entry);
	*known = entry->key_known;
	memcpy(key, entry->package.key, RL_SHA256_HEX);
	return 0;
}
