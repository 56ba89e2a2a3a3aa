/*
 * Records: what a product was made from and what is in it, as JSON beside the products. They tell whether a
 * product is still what was built, and why another one had to be.
 */
#include "package/package-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/publish.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_MAX ((size_t)256 << 20)

/* NAME-VERSION-KEY, as the product is called. */
static char *record_path(const struct rl_store *store, const struct rl_package *package)
{
	return rl_store_path(store, "records/%s.json", strrchr(package->product, '/') + 1);
}

/* ---- writing ---- */

/* JSON has UTF-8 only: what is none is escaped. */
static char *printable(const char *bytes)
{
	struct rl_buf text = RL_BUF_NONE;

	if (rl_text_is_clean(bytes))
		return rl_strdup(bytes);
	rl_text_escape(&text, bytes, strlen(bytes));
	return rl_buf_string(&text);
}

static json_t *list_json(const struct rl_product_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++) {
		const struct rl_product_file *f = &list->files[i];
		char *path = printable(f->path), *content = printable(f->content);

		json_array_append_new(
			array, json_pack("[s,i,I,s]", path, (int)f->mode, (json_int_t)f->size, content));
		free(path);
		free(content);
	}
	return array;
}

int rl_record_write(struct rl_store *store, const struct rl_package_entry *entry,
	const struct rl_product_list *list, struct rl_error *err)
{
	const struct rl_package *package = &entry->package;
	char *path = record_path(store, package), *text;
	json_t *record = json_pack("{s:s,s:s,s:s,s:o,s:o}", "package", package->name, "version",
		package->version, "key", package->key, "inputs", rl_inputs_json(&entry->inputs), "files",
		list_json(list));
	int result;

	text = record ? json_dumps(record, JSON_COMPACT) : NULL;
	result =
		text ? rl_publish_bytes(path, text, strlen(text), err)
		     : rl_fail(err, package->name, "build", "build.sh left a name that is not UTF-8 in /out");
	json_decref(record);
	free(text);
	free(path);
	return result;
}

/* ---- reading ---- */

static json_t *read_record(const char *path)
{
	struct rl_buf text = RL_BUF_NONE;
	json_t *record = NULL;

	if (rl_read_file(path, RECORD_MAX, &text, NULL) == 0 && text.size)
		record = json_loadb(text.data, text.size, 0, NULL);
	rl_buf_free(&text);
	return record;
}

static bool is_same(const char *bytes, const json_t *text)
{
	const char *recorded = json_string_value(text);
	char *now;
	bool same;

	if (!recorded || !strcmp(recorded, bytes))
		return recorded != NULL;
	now = printable(bytes);
	same = !strcmp(now, recorded);
	free(now);
	return same;
}

/* The path of the first thing that is not as the record says, or NULL; the caller frees it. */
static char *find_difference(const struct rl_product_list *list, const json_t *files)
{
	size_t recorded = json_array_size(files);

	for (size_t i = 0; i < list->count || i < recorded; i++) {
		const struct rl_product_file *f = i < list->count ? &list->files[i] : NULL;
		const json_t *row = json_array_get(files, i);
		const char *path = json_string_value(json_array_get(row, 0));

		if (!f)
			return rl_strdup(path ? path : "its record");
		if (!is_same(f->path, json_array_get(row, 0)) ||
			f->mode != json_integer_value(json_array_get(row, 1)) ||
			f->size != (uint64_t)json_integer_value(json_array_get(row, 2)) ||
			!is_same(f->content, json_array_get(row, 3)))
			return rl_strdup(f->path);
	}
	return NULL;
}

/*
 * It is moved away first, in one step: what looks at it afterwards finds nothing. Only who holds the lock of
 * its build may do that, for another process may just have mended it.
 */
int rl_record_remove(struct rl_store *store, const struct rl_package *package, struct rl_error *err)
{
	struct rl_temp temp = RL_TEMP_NONE;
	struct stat st;
	char *away;
	int result = 0;

	if (lstat(package->product, &st))
		return errno == ENOENT ? 0 : rl_fail_errno(err, package->product, "read", errno);
	if (rl_temp_open(store, package->name, &temp, err))
		return -1;
	away = rl_printf("%s/damaged", temp.path);
	if (rename(package->product, away))
		result = rl_fail(err, package->product, "replace", "it is damaged, and cannot be removed: %s",
			strerror(errno));
	free(away);
	rl_temp_close(&temp);
	return result;
}

bool rl_record_check(struct rl_store *store, struct rl_package_entry *entry)
{
	struct rl_package *package = &entry->package;
	struct rl_product_list list = {.files = NULL};
	struct rl_error why = RL_ERROR_NONE;
	char *path, *place;
	json_t *record;
	struct stat st;
	bool good;

	if (!package->product || stat(package->product, &st) || !S_ISDIR(st.st_mode))
		return false;
	path = record_path(store, package);
	record = read_record(path);
	if (!record)
		place = rl_strdup("its record is not there");
	else if (rl_product_list(package->product, &list, &why))
		place = rl_error_text(&why);
	else
		place = find_difference(&list, json_object_get(record, "files"));
	json_decref(record);
	rl_error_clear(&why);
	good = !place;
	if (good) {
		rl_product_list_free(&package->list);
		package->list = list;
		/* When it was last used; in a read-only store nobody cleans up. */
		utimensat(AT_FDCWD, path, NULL, 0);
	} else {
		/* The build, which looks once more, need not say it again. */
		if (entry->state == RL_ENTRY_UNKNOWN)
			rl_store_note(store,
				"warning: %s: the product in the store is damaged (%s), it is built anew",
				package->name, place);
		rl_product_list_free(&list);
	}
	free(path);
	free(place);
	return good;
}

/* ---- explaining ---- */

struct candidate {
	char *path;
	struct timespec used;
};

static int by_use(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? 1 : -1;
	return x->used.tv_nsec < y->used.tv_nsec ? 1 : x->used.tv_nsec > y->used.tv_nsec ? -1 : 0;
}

/* Records whose names begin with the package's, the one that was used last first; without its own. */
static size_t find_candidates(
	struct rl_store *store, const struct rl_package *package, struct candidate **candidates)
{
	char *folder = rl_store_path(store, "records"), *own = record_path(store, package);
	size_t size = strlen(package->name), count = 0, room = 0;
	DIR *dir = opendir(folder);
	struct dirent *entry;

	*candidates = NULL;
	while (dir && (entry = readdir(dir))) {
		char *path;
		struct stat st;

		if (strncmp(entry->d_name, package->name, size) != 0 || entry->d_name[size] != '-')
			continue;
		path = rl_printf("%s/%s", folder, entry->d_name);
		if (!strcmp(path, own) || stat(path, &st)) {
			free(path);
			continue;
		}
		RL_GROW(*candidates, count, room);
		(*candidates)[count++] = (struct candidate){path, st.st_mtim};
	}
	if (dir)
		closedir(dir);
	if (count)
		qsort(*candidates, count, sizeof(**candidates), by_use);
	free(folder);
	free(own);
	return count;
}

char *rl_record_explain(struct rl_store *store, const struct rl_package_entry *entry)
{
	struct candidate *candidates;
	size_t count = find_candidates(store, &entry->package, &candidates);
	char *text = NULL;

	for (size_t i = 0; i < count; i++) {
		json_t *record = text ? NULL : read_record(candidates[i].path);
		const char *name = json_string_value(json_object_get(record, "package"));
		struct rl_inputs before = {.items = NULL};

		/* "lua-" also begins the name of another package, "lua-socket". */
		if (name && !strcmp(name, entry->package.name)) {
			rl_inputs_from_json(&before, json_object_get(record, "inputs"));
			text = rl_inputs_diff(&before, &entry->inputs);
		}
		rl_inputs_free(&before);
		json_decref(record);
		free(candidates[i].path);
	}
	free(candidates);
	if (text && *text)
		return text;
	free(text);
	return rl_strdup(entry->package.product && access(entry->package.product, F_OK) == 0
				 ? "its product is damaged"
				 : "it was never built here");
}
