/* Sources: the places where they may be had, one after the other, and what is kept of them. */
#include "package/package-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/publish.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what is known and what is there ---- */

/* Debian's name of what has no hash of its own. */
static const char *recorded_under(const struct rl_source_recipe *source)
{
	return source->debian_binary[0] ? source->debian_binary : source->debian_source;
}

static char *recorded_path(const struct rl_store *store, const struct rl_source_recipe *source)
{
	return rl_store_path(store, "recorded/%s/%s", recorded_under(source), source->name);
}

/* What a bundle holds beside its recipes: sources/PACKAGE/NAME; the caller frees it. NULL: there is none. */
static char *bundled_path(const struct rl_store *store, const char *package,
	const struct rl_source_recipe *source, const char *end)
{
	char *relative = rl_printf("sources/%s/%s%s", package, source->name, end);
	char *path = rl_recipe_roots_lookup(store->roots, relative);

	free(relative);
	return path;
}

/* A file with a hash and nothing else. */
static bool read_hash(const char *path, char hex[RL_SHA256_HEX])
{
	struct rl_buf text = RL_BUF_NONE;
	bool known = rl_read_file(path, RL_SHA256_HEX, &text, NULL) == 0 && text.size == RL_SHA256_HEX &&
		     text.data[RL_SHA256_HEX - 1] == '\n';

	if (known) {
		memcpy(hex, text.data, RL_SHA256_HEX - 1);
		hex[RL_SHA256_HEX - 1] = '\0';
		known = strspn(hex, "0123456789abcdef") == RL_SHA256_HEX - 1;
	}
	rl_buf_free(&text);
	return known;
}

static bool read_bundled(const struct rl_store *store, const char *package,
	const struct rl_source_recipe *source, char hex[RL_SHA256_HEX])
{
	char *path = bundled_path(store, package, source, ".sha256");
	bool known = path && read_hash(path, hex);

	free(path);
	return known;
}

bool rl_source_hash(const struct rl_store *store, const char *package, const struct rl_source_recipe *source,
	char hex[RL_SHA256_HEX])
{
	char *path;
	bool known;

	if (source->sha256[0]) {
		snprintf(hex, RL_SHA256_HEX, "%s", source->sha256);
		return true;
	}
	if (read_bundled(store, package, source, hex))
		return true;
	path = recorded_path(store, source);
	known = read_hash(path, hex);
	free(path);
	return known;
}

static int record(const struct rl_store *store, const struct rl_source_recipe *source, const char *hex,
	struct rl_error *err)
{
	char *folder = rl_store_path(store, "recorded/%s", recorded_under(source));
	char *path = recorded_path(store, source), *line = rl_printf("%s\n", hex);
	int result = rl_make_folders(folder, err);

	if (!result)
		result = rl_publish_bytes(path, line, strlen(line), err);
	free(folder);
	free(path);
	free(line);
	return result;
}

char *rl_source_path(const struct rl_store *store, const struct rl_source_recipe *source, const char *hex)
{
	return rl_store_path(store, "sources/%s-%s", hex, source->name);
}

/*
 * Only a build that is to run now asks this, so the bytes are hashed anew: that takes a moment, and a
 * file that was damaged is fetched again instead of breaking the build.
 */
static bool is_stored(const struct rl_store *store, const struct rl_source_recipe *source, const char *wanted)
{
	char found[RL_SHA256_HEX], *path;
	bool stored;

	if (!wanted[0])
		return false;
	path = rl_source_path(store, source, wanted);
	stored = rl_hash_file(path, found, NULL) == 0 && !strcmp(found, wanted);
	/* When it was last used; in a read-only store nobody cleans up. */
	if (stored)
		utimensat(AT_FDCWD, path, NULL, 0);
	free(path);
	return stored;
}

/* ---- fetching ---- */

struct fetch {
	struct rl_store *store;
	const char *package;
	const struct rl_source_recipe *source;
	struct rl_temp temp;
	char *file; /* what a place gave; owned */
	char hex[RL_SHA256_HEX]; /* its hash */
	char pinned[RL_SHA256_HEX]; /* what it must be: by the recipe, or a bundle; or "" */
	struct rl_buf trouble; /* why each place so far failed */
};

static void add_trouble(struct fetch *fetch, const char *place, const char *reason)
{
	if (fetch->trouble.size)
		rl_buf_text(&fetch->trouble, "; ");
	rl_buf_printf(&fetch->trouble, "%s: %s", place, reason);
}

static void drop_file(struct fetch *fetch)
{
	if (fetch->file)
		unlink(fetch->file);
	free(fetch->file);
	fetch->file = NULL;
}

/* Judges what a place gave, with the result of asking it: true if it is the source. */
static bool accept(struct fetch *fetch, const char *place, int result, struct rl_error *why)
{
	const char *wanted = fetch->pinned;
	bool good = false;

	if (!result)
		result = rl_hash_file(fetch->file, fetch->hex, why);
	if (result) {
		add_trouble(fetch, place, why->reason);
	} else if (wanted[0] && strcmp(fetch->hex, wanted) != 0) {
		char *reason = rl_printf("wrong SHA-256: expected %s, got %s", wanted, fetch->hex);

		add_trouble(fetch, place, reason);
		rl_store_note(
			fetch->store, "%s: %s: %s: %s", fetch->package, fetch->source->name, place, reason);
		free(reason);
	} else {
		good = true;
	}
	if (!good)
		drop_file(fetch);
	rl_error_clear(why);
	return good;
}

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);

	return value && value[0] && strcmp(value, "0") != 0;
}

static int copy_file(const char *from, const char *to, struct rl_error *err)
{
	size_t room = 256 * 1024;
	char *chunk = rl_alloc(room);
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK), out = -1, result = -1;
	struct stat st;
	ssize_t n = 0;

	if (in < 0 || fstat(in, &st)) {
		rl_fail_errno(err, from, "open", errno);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		rl_fail(err, from, "open", "not a regular file");
		goto out;
	}
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (out < 0) {
		rl_fail_errno(err, to, "create", errno);
		goto out;
	}
	while ((n = rl_read_some(in, chunk, room)) > 0) {
		if (rl_write_all(out, chunk, (size_t)n)) {
			rl_fail_errno(err, to, "write", errno);
			goto out;
		}
	}
	result = n < 0 ? rl_fail_errno(err, from, "read", errno) : 0;
out:
	rl_close(&in);
	rl_close(&out);
	free(chunk);
	return result;
}

/* A place is a URL, or a file. */
static bool try_place(struct fetch *fetch, const char *place)
{
	bool is_file_url = !strncmp(place, "file://", 7);
	struct rl_error why = RL_ERROR_NONE;
	int result;

	fetch->file = rl_printf("%s/file", fetch->temp.path);
	if (is_file_url || !strstr(place, "://"))
		result = copy_file(is_file_url ? place + 7 : place, fetch->file, &why);
	else if (is_set("ROOTLET_OFFLINE"))
		result = rl_fail(&why, place, "fetch", "not asked, ROOTLET_OFFLINE is set");
	else
		result = rl_download(fetch->store, place, fetch->file, fetch->source->name, &why);
	return accept(fetch, place, result, &why);
}

static bool try_bundle(struct fetch *fetch)
{
	char *path = bundled_path(fetch->store, fetch->package, fetch->source, "");
	bool found = path && try_place(fetch, path);

	free(path);
	return found;
}

static bool try_mirror(struct fetch *fetch)
{
	const char *mirror = getenv("ROOTLET_MIRROR");
	bool found;
	char *place;

	if (!mirror || !mirror[0])
		return false;
	place = rl_printf("%s/%s", mirror, fetch->source->name);
	found = try_place(fetch, place);
	free(place);
	return found;
}

static bool try_debian(struct fetch *fetch)
{
	const struct rl_source_recipe *source = fetch->source;
	struct rl_error why = RL_ERROR_NONE;
	char *folder, *place;
	int result = -1;
	bool found;

	if (!source->debian_source[0] && !source->debian_binary[0])
		return false;
	place = source->debian_source[0] ? rl_printf("Debian source package %s", source->debian_source)
					 : rl_printf("Debian package %s", source->debian_binary);
	folder = rl_temp_folder(&fetch->temp, "debian", &why);
	if (folder)
		result = rl_debian_fetch(fetch->store, fetch->package, source, folder, &fetch->file, &why);
	found = accept(fetch, place, result, &why);
	free(folder);
	free(place);
	return found;
}

static bool try_all(struct fetch *fetch)
{
	const struct rl_list *urls = &fetch->source->urls;

	if (try_bundle(fetch) || try_mirror(fetch))
		return true;
	for (size_t i = 0; i < urls->count && !rl_signal_caught(); i++)
		if (try_place(fetch, urls->items[i]))
			return true;
	return !rl_signal_caught() && !is_set("ROOTLET_OFFLINE") && try_debian(fetch);
}

/* Puts the file into the store under its hash, and records the hash if the recipe has none. */
static int keep(struct fetch *fetch, struct rl_error *err)
{
	char *path = rl_source_path(fetch->store, fetch->source, fetch->hex);
	int result = 0;

	chmod(fetch->file, 0644);
	if (rename(fetch->file, path))
		result = rl_fail_errno(err, path, "create", errno);
	else if (!fetch->pinned[0])
		result = record(fetch->store, fetch->source, fetch->hex, err);
	free(path);
	return result;
}

static int fetch_source(struct fetch *fetch, struct rl_error *err)
{
	const char *name = fetch->source->name;
	char *trouble;
	bool found;
	int result;

	if (rl_temp_open(fetch->store, fetch->package, &fetch->temp, err))
		return -1;
	if (!is_set("ROOTLET_OFFLINE"))
		rl_store_note(fetch->store, "%s: fetching %s", fetch->package, name);
	found = try_all(fetch);
	trouble = rl_buf_string(&fetch->trouble);
	if (found)
		result = keep(fetch, err);
	else if (rl_check_interrupted(name, "fetch", err))
		result = -1;
	else if (is_set("ROOTLET_OFFLINE"))
		result = rl_fail(err, name, "fetch", "it is not in the store, and ROOTLET_OFFLINE is set%s%s",
			trouble[0] ? ": " : "", trouble);
	else
		result = rl_fail(
			err, name, "fetch", "%s", trouble[0] ? trouble : "the recipe has no place for it");
	free(trouble);
	free(fetch->file);
	rl_temp_close(&fetch->temp);
	return result;
}

int rl_source_ensure(struct rl_store *store, const char *package, const struct rl_source_recipe *source,
	char hex[RL_SHA256_HEX], struct rl_error *err)
{
	struct fetch fetch = {.store = store, .package = package, .source = source, .temp = RL_TEMP_NONE};
	struct rl_store_lock lock = RL_STORE_LOCK_NONE;
	char *name, *waiting;
	int result;

	if (is_stored(store, source, hex))
		return 0;
	if (source->sha256[0])
		snprintf(fetch.pinned, sizeof(fetch.pinned), "%s", source->sha256);
	else
		read_bundled(store, package, source, fetch.pinned);
	name = rl_printf("source-%.16s-%s", source->sha256, source->name);
	waiting = rl_printf("%s: waiting for another process that fetches %s", package, source->name);
	result = rl_store_lock(store, name, waiting, &lock, err);
	/* Another process may have recorded a hash meanwhile. */
	if (!result && !hex[0])
		rl_source_hash(store, package, source, hex);
	if (!result && !is_stored(store, source, hex)) {
		result = fetch_source(&fetch, err);
		memcpy(hex, fetch.hex, RL_SHA256_HEX);
	}
	rl_store_unlock(&lock);
	free(name);
	free(waiting);
	return result;
}
