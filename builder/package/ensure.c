/* From packages' names to their products: keys, what is missing, sources; the builds are schedule.c's. */
#include "package/package-internal.h"

#include "base/mem.h"
#include "base/signals.h"

#include <stdlib.h>
#include <string.h>

/* Besides 0 and -1: a hash was recorded anew, so that keys which were made with the old one are void. */
#define AGAIN 1

struct wanted {
	struct rl_package_entry **items;
	size_t count, room;
};

static void forget_keys(struct rl_store *store)
{
	store->pass++;
	for (size_t i = 0; i < store->entry_count; i++) {
		struct rl_package_entry *entry = store->entries[i];

		entry->key_known = false;
		entry->state = RL_ENTRY_UNKNOWN;
		memset(entry->hashes, 0, entry->recipe.source_count * sizeof(*entry->hashes));
	}
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
		result = rl_entry_fetch(store, entry, err);
	store->pass++;
	if (!result)
		rl_entry_key(store, entry);
	return result;
}

/* Adds what is to be built, what is needed first. What only a product that is there needs is not even looked at. */
static void collect(struct rl_store *store, struct rl_package_entry *entry, struct wanted *wanted)
{
	if (entry->state != RL_ENTRY_UNKNOWN)
		return;
	if (rl_record_check(store, entry)) {
		entry->state = RL_ENTRY_THERE;
		return;
	}
	entry->state = RL_ENTRY_WANTED;
	for (size_t i = 0; i < entry->need_count; i++)
		collect(store, entry->needs[i], wanted);
	RL_GROW(wanted->items, wanted->count, wanted->room);
	wanted->items[wanted->count++] = entry;
}

static int find_entry(
	struct rl_store *store, const char *word, struct rl_package_entry **entry, struct rl_error *err)
{
	const char *part;
	char *name = rl_package_word(word, &part);
	int result = rl_entry_load(store, name, entry, err);

	if (!result && !rl_package_has_part(&(*entry)->recipe, part))
		result = rl_fail(err, word, "find package", "it has no part '%s'", part);
	free(name);
	return result;
}

int rl_packages_check_settings(const struct rl_store *store, struct rl_error *err)
{
	for (size_t i = 0; i < store->options.setting_count; i++) {
		const struct rl_setting *setting = &store->options.settings[i];
		bool found = false;
		char *place;

		for (size_t k = 0; k < store->entry_count; k++)
			found |= !strcmp(store->entries[k]->package.name, setting->package);
		if (found)
			continue;
		place = rl_printf("%s:%u", setting->file, setting->line);
		rl_fail(err, place, "read recipe",
			"option '%s.%s': the image has no such package, nor needs it", setting->package,
			setting->option);
		free(place);
		return -1;
	}
	return 0;
}

static void explain(struct rl_store *store, const struct wanted *wanted)
{
	for (size_t i = 0; store->options.explain && i < wanted->count; i++) {
		char *why = rl_record_explain(store, wanted->items[i]);

		rl_store_note(store, "%s: to be built: %s", wanted->items[i]->package.name, why);
		free(why);
	}
}

/* With keep_going what cannot be fetched is left out, and all that needs it. */
static int fetch_all(struct rl_store *store, struct wanted *wanted, struct rl_error *err)
{
	int status = 0;

	for (size_t i = 0; i < wanted->count; i++) {
		struct rl_error why = RL_ERROR_NONE;
		int result = rl_entry_fetch(store, wanted->items[i], &why);

		if (result < 0)
			rl_error_add(err, why.subject, why.action, why.reason);
		rl_error_clear(&why);
		if (result > 0)
			return result;
		if (!result)
			continue;
		status = -1;
		wanted->items[i]->state = RL_ENTRY_FAILED;
		if (!store->options.keep_going || rl_signal_caught())
			return -2;
	}
	return status;
}

static int ensure_once(struct rl_store *store, const struct rl_list *names, struct rl_error *err)
{
	struct wanted wanted = {.items = NULL};
	struct rl_package_entry *entry;
	bool fetched = false;
	int result = 0;

	for (size_t i = 0; i < names->count && !result; i++) {
		result = find_entry(store, names->items[i], &entry, err);
		if (!result)
			result = resolve(store, entry, err);
	}
	for (size_t i = 0; i < names->count && !result; i++) {
		result = find_entry(store, names->items[i], &entry, err);
		if (!result)
			collect(store, entry, &wanted);
	}
	if (!result && wanted.count)
		result = rl_sandbox_check(err);
	if (!result)
		explain(store, &wanted);
	if (!result) {
		result = fetch_all(store, &wanted, err);
		fetched = true;
	}
	if (!result || (result == -1 && fetched))
		result = rl_schedule_run(store, wanted.items, wanted.count, err) || result ? -1 : 0;
	for (size_t i = 0; i < wanted.count; i++)
		if (wanted.items[i]->state != RL_ENTRY_THERE)
			wanted.items[i]->state = RL_ENTRY_UNKNOWN;
	free(wanted.items);
	return result;
}

int rl_packages_ensure(struct rl_store *store, const struct rl_list *names, struct rl_error *err)
{
	int result;

	while ((result = ensure_once(store, names, err)) == AGAIN)
		forget_keys(store);
	return result ? -1 : 0;
}

int rl_package_ensure(
	struct rl_store *store, const char *name, const struct rl_package **package, struct rl_error *err)
{
	struct rl_list names = {.items = NULL};
	struct rl_package_entry *entry;
	int result;

	*package = NULL;
	rl_list_add(&names, name);
	result = rl_packages_ensure(store, &names, err);
	if (!result)
		result = find_entry(store, name, &entry, err);
	if (!result)
		*package = &entry->package;
	rl_list_free(&names);
	return result;
}

int rl_package_key(
	struct rl_store *store, const char *name, char key[RL_SHA256_HEX], bool *known, struct rl_error *err)
{
	struct rl_package_entry *entry;

	key[0] = '\0';
	*known = false;
	if (find_entry(store, name, &entry, err))
		return -1;
	store->pass++;
	rl_entry_key(store, entry);
	*known = entry->key_known;
	memcpy(key, entry->package.key, RL_SHA256_HEX);
	return 0;
}

int rl_package_recipe_of(struct rl_store *store, const char *name, const struct rl_package_recipe **recipe,
	struct rl_error *err)
{
	struct rl_package_entry *entry;

	if (find_entry(store, name, &entry, err))
		return -1;
	*recipe = &entry->recipe;
	return 0;
}

/* ---- walks ---- */

static int close_over(struct rl_store *store, const char *word, struct rl_list *closure, struct rl_error *err)
{
	struct rl_package_entry *entry;
	int result = 0;

	if (rl_list_has(closure, word))
		return 0;
	if (find_entry(store, word, &entry, err))
		return -1;
	for (size_t i = 0; i < entry->recipe.needs.count && !result; i++)
		result = close_over(store, entry->recipe.needs.items[i], closure, err);
	if (!result && !rl_list_has(closure, word))
		rl_list_add(closure, word);
	return result;
}

int rl_packages_closure(
	struct rl_store *store, const struct rl_list *words, struct rl_list *closure, struct rl_error *err)
{
	int result = 0;

	for (size_t i = 0; i < words->count && !result; i++)
		result = close_over(store, words->items[i], closure, err);
	return result;
}

/* All that the names' builds need, what is needed first, each once. */
static void collect_all(struct rl_package_entry *entry, struct wanted *all)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->items[i] == entry)
			return;
	for (size_t i = 0; i < entry->need_count; i++)
		collect_all(entry->needs[i], all);
	RL_GROW(all->items, all->count, all->room);
	all->items[all->count++] = entry;
}

static int find_all(
	struct rl_store *store, const struct rl_list *names, struct wanted *all, struct rl_error *err)
{
	for (size_t i = 0; i < names->count; i++) {
		struct rl_package_entry *entry;

		if (find_entry(store, names->items[i], &entry, err))
			return -1;
		collect_all(entry, all);
	}
	return 0;
}

int rl_packages_walk(struct rl_store *store, const struct rl_list *names,
	int (*visit)(const struct rl_package_recipe *recipe, void *context), void *context,
	struct rl_error *err)
{
	struct wanted all = {.items = NULL};
	int result = find_all(store, names, &all, err);

	for (size_t i = 0; i < all.count && !result; i++)
		result = visit(&all.items[i]->recipe, context);
	free(all.items);
	return result;
}

int rl_packages_fetch(struct rl_store *store, const struct rl_list *names, struct rl_error *err)
{
	struct wanted all = {.items = NULL};
	int result = find_all(store, names, &all, err);

	for (size_t i = 0; i < all.count && !result; i++) {
		store->pass++;
		rl_entry_key(store, all.items[i]);
		/* One that was recorded and cannot be had any more is as good in its new form. */
		while ((result = rl_entry_fetch(store, all.items[i], err)) == AGAIN)
			forget_keys(store);
	}
	free(all.items);
	return result;
}

int rl_package_sources(struct rl_store *store, const char *name, struct rl_list *paths, struct rl_error *err)
{
	struct rl_package_entry *entry;

	if (find_entry(store, name, &entry, err))
		return -1;
	for (size_t i = 0; i < entry->recipe.source_count; i++) {
		const struct rl_source_recipe *source = &entry->recipe.sources[i];
		char *path;

		if (!entry->hashes[i][0] &&
			!rl_source_hash(store, entry->package.name, source, entry->hashes[i]))
			return rl_fail(err, source->name, "find source", "it was not fetched");
		path = rl_source_path(store, source, entry->hashes[i]);
		rl_list_add(paths, path);
		free(path);
	}
	return 0;
}
