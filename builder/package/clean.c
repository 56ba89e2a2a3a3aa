/* Taking things out of the store that can be made or fetched again. */
#include "package/package-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct cleaning {
	struct rl_store *store;
	const struct rl_clean_options *options;
	void (*tell)(const struct rl_clean_item *item, void *context);
	void *context;
	struct rl_error *err;
};

/* What a file or folder takes on the disk. */
static uint64_t bytes_of(const char *path)
{
	char *const paths[] = {(char *)path, NULL};
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	uint64_t bytes = 0;
	FTSENT *entry;

	while (walk && (entry = fts_read(walk)))
		if (entry->fts_info != FTS_DP && entry->fts_info != FTS_NS)
			bytes += (uint64_t)entry->fts_statp->st_blocks * 512;
	if (walk)
		fts_close(walk);
	return bytes;
}

static uint64_t age_of(const char *path)
{
	struct stat st;
	time_t now = time(NULL);

	return stat(path, &st) || st.st_mtim.tv_sec > now ? 0 : (uint64_t)(now - st.st_mtim.tv_sec);
}

/* used: the file whose time says when it was last used. */
static int clean_one(struct cleaning *c, const char *kind, const char *path, const char *used)
{
	struct rl_clean_item item = {
		.kind = kind, .name = strrchr(path, '/') + 1, .bytes = bytes_of(path), .age = age_of(used)};
	int result = 0;

	item.removed = item.age >= c->options->unused && (c->options->sources || strcmp(kind, "source") != 0);
	if (item.removed && !c->options->only_tell)
		result = rl_remove_tree(AT_FDCWD, path, c->err);
	if (!result)
		c->tell(&item, c->context);
	return result ? result : rl_check_interrupted("store", "clean", c->err);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(struct cleaning *c, const char *folder, struct rl_list *names)
{
	char *path = rl_store_path(c->store, "%s", folder);
	DIR *dir = opendir(path);
	struct dirent *entry;
	int result = 0;

	if (!dir && errno != ENOENT)
		result = rl_fail_errno(c->err, path, "open", errno);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			rl_list_add(names, entry->d_name);
	if (dir)
		closedir(dir);
	if (names->count)
		qsort(names->items, names->count, sizeof(*names->items), compare_names);
	free(path);
	return result;
}

static int clean_folder(struct cleaning *c, const char *kind, const char *folder)
{
	struct rl_list names = {.items = NULL};
	int result = list_names(c, folder, &names);

	for (size_t i = 0; i < names.count && !result; i++) {
		char *path = rl_store_path(c->store, "%s/%s", folder, names.items[i]);
		char *record = rl_store_path(c->store, "records/%s.json", names.items[i]);
		bool is_product = !strcmp(kind, "product");

		result = clean_one(c, kind, path, is_product && !access(record, F_OK) ? record : path);
		/* Without a product its record says nothing. */
		if (!result && is_product && access(path, F_OK))
			unlink(record);
		free(path);
		free(record);
	}
	rl_list_free(&names);
	return result;
}

int rl_store_clean(struct rl_store *store, const struct rl_clean_options *options,
	void (*tell)(const struct rl_clean_item *item, void *context), void *context, struct rl_error *err)
{
	struct cleaning c = {store, options, tell, context, err};

	if (!options->only_tell && rl_store_share(store, true, err))
		return -1;
	if (clean_folder(&c, "product", "products") || clean_folder(&c, "log", "logs") ||
		clean_folder(&c, "source", "sources"))
		return -1;
	return 0;
}
