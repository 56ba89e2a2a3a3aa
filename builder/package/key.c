/* Package entries: recipes with all that counts for their result, and the keys made of it. */
#include "package/package-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/publish.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_LIMIT ((size_t)64 * 1024 * 1024)

/* ---- the toolchain ---- */

#define GCC "/usr/bin/gcc"
#define LD  "/usr/bin/ld"

static void add_identity(struct rl_buf *buf, const char *program)
{
	struct stat st;

	if (stat(program, &st) == 0)
		rl_buf_printf(buf, "%s %llu %lld.%09ld\n", program, (unsigned long long)st.st_size,
			(long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

/* The first line that a program prints; nothing if it is not there: the build will say so. */
static void add_first_line(struct rl_buf *buf, const char *program, const char *option)
{
	char *argv[] = {(char *)program, (char *)option, NULL};
	char *env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", NULL};
	struct rl_spawn spawn = {.argv = argv, .env = env, .in = -1};
	struct rl_capture capture = {.seconds = 20, .output_size = 65536, .log = -1, .tail_size = 65536};

	if (rl_run_captured(&spawn, &capture, program, NULL) == 0 && capture.tail.size) {
		const char *end = memchr(capture.tail.data, '\n', capture.tail.size);

		rl_buf_bytes(
			buf, capture.tail.data, end ? (size_t)(end - capture.tail.data) : capture.tail.size);
	}
	rl_buf_char(buf, '\n');
	rl_buf_free(&capture.tail);
}

/*
 * What gcc and ld call themselves. Asking them takes longer than all the rest of making a key, so the
 * store remembers the answer together with the programs' sizes and times.
 */
static const char *toolchain(struct rl_store *store)
{
	struct rl_buf known = RL_BUF_NONE, now = RL_BUF_NONE;
	char *path = rl_store_path(store, "toolchain");
	size_t identity;

	if (store->toolchain)
		goto out;
	add_identity(&now, GCC);
	add_identity(&now, LD);
	identity = now.size;
	if (rl_read_file(path, 65536, &known, NULL) == 0 && known.size > identity &&
		memcmp(known.data, now.data ? now.data : "", identity) == 0) {
		store->toolchain = rl_strndup(known.data + identity, known.size - identity);
		goto out;
	}
	add_first_line(&now, GCC, "--version");
	add_first_line(&now, GCC, "-dumpmachine");
	add_first_line(&now, LD, "--version");
	store->toolchain = rl_strndup(now.data + identity, now.size - identity);
	/* In a read-only store they are asked each time. */
	rl_publish_bytes(path, now.data, now.size, NULL);
out:
	rl_buf_free(&known);
	rl_buf_free(&now);
	free(path);
	return store->toolchain;
}

/* ---- loading ---- */

static int read_file(struct rl_package_entry *entry, const char *name, bool may_run, struct rl_error *err)
{
	struct rl_recipe_file *file;
	char *path;
	struct stat st;
	int result;

	for (size_t i = 0; i < entry->file_count; i++)
		if (!strcmp(entry->files[i].name, name))
			return 0;
	file = &entry->files[entry->file_count++];
	path = rl_printf("%s/%s", entry->recipe.folder, name);
	*file = (struct rl_recipe_file){.name = rl_strdup(name), .bytes = RL_BUF_NONE};
	result = rl_read_file(path, INPUT_LIMIT, &file->bytes, err);
	if (!result)
		file->executable = may_run && stat(path, &st) == 0 && (st.st_mode & S_IXUSR);
	free(path);
	return result;
}

static int read_files(struct rl_package_entry *entry, struct rl_error *err)
{
	const struct rl_package_recipe *recipe = &entry->recipe;
	int result;

	entry->files = rl_calloc(recipe->files.count + recipe->patches.count + 1, sizeof(*entry->files));
	result = read_file(entry, "build.sh", false, err);
	for (size_t i = 0; i < recipe->patches.count && !result; i++)
		result = read_file(entry, recipe->patches.items[i], false, err);
	for (size_t i = 0; i < recipe->files.count && !result; i++)
		result = read_file(entry, recipe->files.items[i], true, err);
	return result;
}

static int fail_setting(const struct rl_setting *setting, const char *reason, struct rl_error *err)
{
	char *place = rl_printf("%s:%u", setting->file, setting->line);

	rl_fail(err, place, "read recipe", "option '%s.%s': %s", setting->package, setting->option, reason);
	free(place);
	return -1;
}

static const struct rl_package_option *find_option(
	const struct rl_package_recipe *recipe, const char *name, size_t *index)
{
	for (*index = 0; *index < recipe->option_count; ++*index)
		if (!strcmp(recipe->options[*index].name, name))
			return &recipe->options[*index];
	return NULL;
}

/* The defaults, and what the store's user wants instead; the last one wins. */
static int choose_options(const struct rl_store *store, struct rl_package_entry *entry, struct rl_error *err)
{
	const struct rl_package_recipe *recipe = &entry->recipe;

	entry->values = rl_calloc(recipe->option_count, sizeof(*entry->values));
	for (size_t i = 0; i < recipe->option_count; i++)
		entry->values[i] = recipe->options[i].value;
	for (size_t i = 0; i < store->options.setting_count; i++) {
		const struct rl_setting *setting = &store->options.settings[i];
		const struct rl_package_option *option;
		size_t index;

		if (strcmp(setting->package, recipe->name) != 0)
			continue;
		option = find_option(recipe, setting->option, &index);
		if (!option)
			return fail_setting(setting, "the package has no such option", err);
		if (option->values.count && !rl_list_has(&option->values, setting->value))
			return fail_setting(setting, "the option cannot have that value", err);
		entry->values[index] = setting->value;
	}
	return 0;
}

static struct rl_package_entry *find_entry(const struct rl_store *store, const char *name)
{
	for (size_t i = 0; i < store->entry_count; i++)
		if (!strcmp(store->entries[i]->package.name, name))
			return store->entries[i];
	return NULL;
}

/* "a needs b needs a": from the entry that is asked for again down to who asks. */
static int fail_cycle(
	const struct rl_package_entry *again, const struct rl_package_entry *from, struct rl_error *err)
{
	char *chain = rl_strdup(again->package.name);

	for (const struct rl_package_entry *e = from; e; e = e == again ? NULL : e->parent) {
		char *longer = rl_printf("%s needs %s", e->package.name, chain);

		free(chain);
		chain = longer;
	}
	rl_fail(err, again->recipe.file, "needs", "goes round in a circle: %s", chain);
	free(chain);
	return -1;
}

static int load(struct rl_store *store, const char *name, const struct rl_package_entry *parent,
	struct rl_package_entry **found, struct rl_error *err);

/* Words, some with parts; in a build each package is there as a whole, and once. */
static int load_needs(struct rl_store *store, struct rl_package_entry *entry, const struct rl_list *words,
	struct rl_error *err)
{
	int result = 0;

	for (size_t i = 0; i < words->count && !result; i++) {
		const char *part;
		char *name = rl_package_word(words->items[i], &part);
		struct rl_package_entry *need = NULL;
		bool known = false;

		result = load(store, name, entry, &need, err);
		if (!result && *part && !rl_package_has_part(&need->recipe, part))
			result = rl_fail(err, entry->recipe.file, "needs", "%s has no part '%s'", name, part);
		for (size_t k = 0; k < entry->need_count; k++)
			known |= entry->needs[k] == need;
		if (!result && !known)
			entry->needs[entry->need_count++] = need;
		free(name);
	}
	return result;
}

static int load(struct rl_store *store, const char *name, const struct rl_package_entry *parent,
	struct rl_package_entry **found, struct rl_error *err)
{
	struct rl_package_entry *entry = find_entry(store, name);

	*found = entry;
	if (entry)
		return entry->loading ? fail_cycle(entry, parent, err) : 0;
	entry = rl_calloc(1, sizeof(*entry));
	entry->package.name = rl_strdup(name);
	entry->parent = parent;
	entry->loading = true;
	if (rl_package_recipe_load(store->roots, name, &entry->recipe, err) || read_files(entry, err) ||
		choose_options(store, entry, err)) {
		rl_entry_free(entry);
		return -1;
	}
	entry->package.version = rl_strdup(entry->recipe.version);
	entry->package.recipe = &entry->recipe;
	RL_GROW(store->entries, store->entry_count, store->entry_room);
	store->entries[store->entry_count++] = entry;
	entry->hashes = rl_calloc(entry->recipe.source_count, sizeof(*entry->hashes));
	entry->needs = rl_calloc(entry->recipe.needs.count + entry->recipe.build_needs.count,
		sizeof(struct rl_package_entry *));
	if (load_needs(store, entry, &entry->recipe.needs, err) ||
		load_needs(store, entry, &entry->recipe.build_needs, err))
		return -1;
	entry->loading = false;
	entry->parent = NULL;
	*found = entry;
	return 0;
}

/* After a failure nothing stays of what was being loaded, so that asking again fails in the same way. */
int rl_entry_load(
	struct rl_store *store, const char *name, struct rl_package_entry **entry, struct rl_error *err)
{
	size_t before = store->entry_count;

	if (load(store, name, NULL, entry, err) == 0)
		return 0;
	while (store->entry_count > before)
		rl_entry_free(store->entries[--store->entry_count]);
	return -1;
}

void rl_entry_free(struct rl_package_entry *entry)
{
	for (size_t i = 0; i < entry->file_count; i++) {
		free(entry->files[i].name);
		rl_buf_free(&entry->files[i].bytes);
	}
	free(entry->files);
	free(entry->values);
	rl_inputs_free(&entry->inputs);
	rl_product_list_free(&entry->package.list);
	free(entry->hashes);
	free(entry->needs);
	rl_package_recipe_free(&entry->recipe);
	free(entry->package.name);
	free(entry->package.version);
	free(entry->package.product);
	free(entry);
}

/* ---- keys ---- */

static void add_files(struct rl_package_entry *entry)
{
	for (size_t i = 0; i < entry->file_count; i++) {
		const struct rl_recipe_file *file = &entry->files[i];

		rl_inputs_add(&entry->inputs, file->bytes.data ? file->bytes.data : "", file->bytes.size,
			"%s%s", file->name, file->executable ? " (executable)" : "");
	}
}

static void add_patches(struct rl_package_entry *entry)
{
	struct rl_buf names = RL_BUF_NONE;

	for (size_t i = 0; i < entry->recipe.patches.count; i++)
		rl_buf_printf(&names, "%s\n", entry->recipe.patches.items[i]);
	if (names.size)
		rl_inputs_add(&entry->inputs, names.data, names.size, "the order of the patches");
	rl_buf_free(&names);
}

static bool add_sources(const struct rl_store *store, struct rl_package_entry *entry)
{
	for (size_t i = 0; i < entry->recipe.source_count; i++) {
		const struct rl_source_recipe *source = &entry->recipe.sources[i];

		if (!entry->hashes[i][0] &&
			!rl_source_hash(store, entry->package.name, source, entry->hashes[i]))
			return false;
		rl_inputs_add_hash(&entry->inputs, entry->hashes[i], "source %s", source->name);
	}
	return true;
}

static bool add_needs(struct rl_package_entry *entry)
{
	for (size_t i = 0; i < entry->need_count; i++) {
		if (!entry->needs[i]->key_known)
			return false;
		rl_inputs_add_hash(&entry->inputs, entry->needs[i]->package.key, "package %s",
			entry->needs[i]->package.name);
	}
	return true;
}

/*
 * What a build can see, and no more: who changes a summary, a URL or a part does not want to wait for a
 * compiler.
 */
void rl_entry_key(struct rl_store *store, struct rl_package_entry *entry)
{
	struct rl_package *package = &entry->package;
	char version[16];

	if (entry->key_known || entry->asked == store->pass)
		return;
	entry->asked = store->pass;
	for (size_t i = 0; i < entry->need_count; i++)
		rl_entry_key(store, entry->needs[i]);
	rl_inputs_free(&entry->inputs);
	snprintf(version, sizeof(version), "%d", RL_SANDBOX_VERSION);
	rl_inputs_add_text(&entry->inputs, version, "the sandbox");
	rl_inputs_add_text(&entry->inputs, toolchain(store), "the compiler");
	rl_inputs_add_text(&entry->inputs, package->name, "the name");
	rl_inputs_add_text(&entry->inputs, package->version, "the version");
	add_files(entry);
	add_patches(entry);
	for (size_t i = 0; i < entry->recipe.option_count; i++)
		rl_inputs_add_text(
			&entry->inputs, entry->values[i], "option %s", entry->recipe.options[i].name);
	entry->key_known = add_sources(store, entry) && add_needs(entry);
	rl_inputs_key(&entry->inputs, package->key);
	free(package->product);
	package->product = NULL;
	if (entry->key_known)
		package->product = rl_store_path(
			store, "products/%s-%s-%.16s", package->name, package->version, package->key);
	else
		package->key[0] = '\0';
}
