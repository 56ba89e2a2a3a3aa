/* Package entries: recipes with all that counts for their result, and the keys made of it. */
#include "package/package-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/publish.h"

#include <fcntl.h>
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

static int read_input(struct rl_package_entry *entry, const char *path, const char *name, bool may_run,
	struct rl_error *err)
{
	struct rl_input *input = &entry->inputs[entry->input_count++];
	struct stat st;

	*input = (struct rl_input){.name = rl_strdup(name), .bytes = RL_BUF_NONE};
	if (rl_read_file(path, INPUT_LIMIT, &input->bytes, err))
		return -1;
	input->executable = may_run && stat(path, &st) == 0 && (st.st_mode & S_IXUSR);
	return 0;
}

static int read_inputs(struct rl_package_entry *entry, struct rl_error *err)
{
	const struct rl_package_recipe *recipe = &entry->recipe;
	char *script = rl_printf("%s/build.sh", recipe->folder);
	int result;

	entry->inputs = rl_calloc(recipe->files.count + 2, sizeof(*entry->inputs));
	result = read_input(entry, recipe->file, "recipe.conf", false, err);
	if (!result)
		result = read_input(entry, script, "build.sh", false, err);
	free(script);
	for (size_t i = 0; i < recipe->files.count && !result; i++) {
		char *path = rl_printf("%s/%s", recipe->folder, recipe->files.items[i]);

		result = read_input(entry, path, recipe->files.items[i], true, err);
		free(path);
	}
	return result;
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
	if (rl_package_recipe_load(store->roots, name, &entry->recipe, err) || read_inputs(entry, err)) {
		rl_entry_free(entry);
		return -1;
	}
	entry->package.version = rl_strdup(entry->recipe.version);
	RL_GROW(store->entries, store->entry_count, store->entry_room);
	store->entries[store->entry_count++] = entry;
	entry->hashes = rl_calloc(entry->recipe.source_count, sizeof(*entry->hashes));
	entry->needs = rl_calloc(entry->recipe.needs.count, sizeof(struct rl_package_entry *));
	for (size_t i = 0; i < entry->recipe.needs.count; i++) {
		if (load(store, entry->recipe.needs.items[i], entry, &entry->needs[i], err))
			return -1;
		entry->need_count++;
	}
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
	for (size_t i = 0; i < entry->input_count; i++) {
		free(entry->inputs[i].name);
		rl_buf_free(&entry->inputs[i].bytes);
	}
	free(entry->inputs);
	free(entry->hashes);
	free(entry->needs);
	rl_package_recipe_free(&entry->recipe);
	free(entry->package.name);
	free(entry->package.version);
	free(entry->package.product);
	free(entry);
}

/* ---- keys ---- */

static void hash_inputs(struct rl_hash *hash, const struct rl_package_entry *entry)
{
	for (size_t i = 0; i < entry->input_count; i++) {
		const struct rl_input *input = &entry->inputs[i];

		rl_hash_string(hash, "file", input->name);
		rl_hash_u64(hash, "executable", input->executable);
		rl_hash_part(hash, "bytes", input->bytes.data ? input->bytes.data : "", input->bytes.size);
	}
}

static bool hash_sources(
	struct rl_hash *hash, const struct rl_store *store, const struct rl_package_entry *entry)
{
	for (size_t i = 0; i < entry->recipe.source_count; i++) {
		const struct rl_source_recipe *source = &entry->recipe.sources[i];

		if (!entry->hashes[i][0] && !rl_source_hash(store, source, entry->hashes[i]))
			return false;
		rl_hash_string(hash, "source", source->name);
		rl_hash_string(hash, "sha256", entry->hashes[i]);
	}
	return true;
}

static bool hash_needs(struct rl_hash *hash, const struct rl_package_entry *entry)
{
	for (size_t i = 0; i < entry->need_count; i++) {
		if (!entry->needs[i]->key_known)
			return false;
		rl_hash_string(hash, "needs", entry->needs[i]->package.name);
		rl_hash_string(hash, "key", entry->needs[i]->package.key);
	}
	return true;
}

void rl_entry_key(struct rl_store *store, struct rl_package_entry *entry)
{
	struct rl_package *package = &entry->package;
	struct rl_hash *hash;

	if (entry->key_known)
		return;
	for (size_t i = 0; i < entry->need_count; i++)
		rl_entry_key(store, entry->needs[i]);
	hash = rl_hash_new();
	rl_hash_u64(hash, "sandbox", RL_SANDBOX_VERSION);
	rl_hash_string(hash, "toolchain", toolchain(store));
	rl_hash_string(hash, "name", package->name);
	hash_inputs(hash, entry);
	entry->key_known = hash_sources(hash, store, entry) && hash_needs(hash, entry);
	rl_hash_end_hex(hash, package->key);
	free(package->product);
	package->product = NULL;
	if (entry->key_known)
		package->product = rl_store_path(
			store, "products/%s-%s-%.16s", package->name, package->version, package->key);
	else
		package->key[0] = '\0';
}
