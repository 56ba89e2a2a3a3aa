/*
 * Records: what a product was made from and what is in it, as JSON beside the products. They tell whether a
 * product is still what was built, and why another one had to be.
 */
#include "package/package-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD_MAX ((size_t)256 << 20)

/* NAME-VERSION-KEY, as the product is called. */
static char *record_path(const struct rl_store *store, const struct rl_package *package)
{
	return rl_store_path(store, "records/%s.json", strrchr(package->product, '/') + 1);
}

/* ---- writing ---- */

static json_t *list_json(const struct rl_product_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++) {
		const struct rl_product_file *f = &list->files[i];

		json_array_append_new(array,
			json_pack("[s,i,I,s]", f->path, (int)f->mode, (json_int_t)f->size, f->content));
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

/* The path of the first thing that is not as the record says, or NULL; the caller frees it. */
static char *find_difference(const struct rl_product_list *list, const json_t *files)
{
	size_t recorded = json_array_size(files);

	for (size_t i = 0; i < list->count || i < recorded; i++) {
		const struct rl_product_file *f = i < list->count ? &list->files[i] : NULL;
		const json_t *row = json_array_get(files, i);
		const char *path = json_string_value(json_array_get(row, 0));
		const char *content = json_string_value(json_array_get(row, 3));

		if (!f || !path || strcmp(f->path, path) != 0)
			return rl_strdup(!path || (f && strcmp(f->path, path) < 0) ? f->path : path);
		if (f->mode != json_integer_value(json_array_get(row, 1)) ||
			f->size != (uint64_t)json_integer_value(json_array_get(row, 2)) || !content ||
			strcmp(f->content, content) != 0)
			return rl_strdup(path);
	}
	return NULL;
}

/* It is moved away first, in one step: another process may be about to look at it too. */
static void remove_product(struct rl_store *store, const struct rl_package *package)
{
	struct rl_temp temp = RL_TEMP_NONE;
	char *away;

	if (rl_temp_open(store, package->name, &temp, NULL))
		return;
	away = rl_printf("%s/damaged", temp.path);
	if (rename(package->product, away))
		rl_store_note(store, "%s: cannot be removed: %s", package->product, strerror(errno));
	free(away);
	rl_temp_close(&temp);
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
	if (!good) {
		rl_store_note(store,
			"warning: %s: the product in the store is damaged (%s), it is built anew",
			package->name, place);
		rl_product_list_free(&list);
		remove_product(store, package);
	} else {
		rl_product_list_free(&package->list);
		package->list = list;
		/* When it was last used; in a read-only store nobody cleans up. */
		utimensat(AT_FDCWD, path, NULL, 0);
	}
	free(path);
	free(place);
	return good;
}

/* ---- explaining ---- */

/* The record of the last product of that name that was used, other than the entry's own. */
static char *find_last(struct rl_store *store, const struct rl_package *package)
{
	char *folder = rl_store_path(store, "records"), *found = NULL, *own = record_path(store, package);
	size_t size = strlen(package->name);
	struct timespec newest = {.tv_sec = 0};
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char *path;
		struct stat st;

		if (strncmp(entry->d_name, package->name, size) != 0 || entry->d_name[size] != '-')
			continue;
		path = rl_printf("%s/%s", folder, entry->d_name);
		if (strcmp(path, own) != 0 && stat(path, &st) == 0 &&
			(st.st_mtim.tv_sec > newest.tv_sec ||
				(st.st_mtim.tv_sec == newest.tv_sec &&
					st.st_mtim.tv_nsec >= newest.tv_nsec))) {
			newest = st.st_mtim;
			free(found);
			found = rl_strdup(path);
		}
		free(path);
	}
	if (dir)
		closedir(dir);
	free(folder);
	free(own);
	return found;
}

char *rl_record_explain(struct rl_store *store, const struct rl_package_entry *entry)
{
	char *path = find_last(store, &entry->package), *text = NULL;
	json_t *record = path ? read_record(path) : NULL;
	const char *name = json_string_value(json_object_get(record, "package"));
	struct rl_inputs before = {.items = NULL};

	/* "lua-" also begins the name of another package, "lua-socket". */
	if (name && !strcmp(name, entry->package.name)) {
		rl_inputs_from_json(&before, json_object_get(record, "inputs"));
		text = rl_inputs_diff(&before, &entry->inputs);
	}
	rl_inputs_free(&before);
	json_decref(record);
	free(path);
	if (text && *text)
		return text;
	free(text);
	return rl_strdup("it was never built here");
}
