#include "recipe/recipe-internal.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define DISKS_MAX 16 /* ubd0 to ubd15 */

/* ---- sources ---- */

static const char *check_source(const char *text)
{
	if (!*text)
		return "is empty";
	return strcmp(text, "-") ? NULL : "is standard input, which a recipe does not have";
}

/* A relative path is beside the recipe, whatever the prefix in front of it: "oci:base". */
static int read_sources(const struct rl_section *section, struct rl_list *sources)
{
	struct rl_list words = {.items = NULL};
	int result = rl_read_list(section, "sources", check_source, &words);

	for (size_t i = 0; !result && i < words.count; i++) {
		const char *word = words.items[i], *colon = strchr(word, ':');
		size_t prefix = strspn(word, "abcdefghijklmnopqrstuvwxyz-") + 1;
		char *path, *whole;

		prefix = colon && colon + 1 == word + prefix ? prefix : 0;
		path = word[prefix] == '/' ? rl_strdup(word + prefix)
					   : rl_beside(section->document->file, word + prefix);
		whole = rl_printf("%.*s%s", (int)prefix, word, path);
		rl_list_add(sources, whole);
		free(whole);
		free(path);
	}
	rl_list_free(&words);
	return result;
}

/* ---- fstab and disks ---- */

/* A mount point goes into a line of fstab. */
static const char *check_mount(const char *text)
{
	const char *problem = rl_check_image_path(text);

	return problem ? problem : rl_check_word(text);
}

static const char *check_fstab_mount(const char *text)
{
	return strcmp(text, "none") ? check_mount(text) : NULL;
}

static const char *check_disk_mount(const char *text)
{
	return *text ? check_mount(text) : NULL;
}

static int read_fstab(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "fstab");

	recipe->fstab = rl_calloc(count, sizeof(*recipe->fstab));
	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "fstab", i);
		struct rl_fstab_line *line = &recipe->fstab[recipe->fstab_count++];

		line->line = section.line;
		line->options = rl_strdup("defaults");
		if (rl_read_title(&section, check_fstab_mount, &line->mount) ||
			rl_require(&section, "device") || rl_require(&section, "type") ||
			rl_read_text(&section, "device", rl_check_word, &line->device) ||
			rl_read_text(&section, "type", rl_check_word, &line->type) ||
			rl_read_text(&section, "options", rl_check_word, &line->options))
			return -1;
	}
	return 0;
}

static const char *check_fs(const char *text)
{
	if (!strcmp(text, "ext2") || !strcmp(text, "ext3") || !strcmp(text, "ext4"))
		return NULL;
	return "is none of ext2, ext3, ext4";
}

static void default_disk(struct rl_disk_recipe *disk, bool root)
{
	disk->name = rl_strdup(root ? "root" : "");
	disk->fs = rl_strdup("ext4");
	disk->mount = rl_strdup(root ? "/" : "");
	disk->options = rl_strdup("defaults");
	disk->label = rl_strdup("");
}

static int read_disk_size(const struct rl_section *section, struct rl_disk_recipe *disk)
{
	const struct rl_value *size = rl_section_value(section, "size");
	const char *const with_auto[] = {"free", "free-inodes"};

	if (rl_read_size(section, "free", &disk->free) ||
		rl_read_number(section, "free-inodes", UINT32_MAX, &disk->free_inodes))
		return -1;
	if (!size || !strcmp(size->text, "auto"))
		return 0;
	if (rl_read_size(section, "size", &disk->size))
		return -1;
	if (!disk->size)
		return rl_document_fail(
			section->document, size->line, "size is 0: say auto, or leave it out");
	for (size_t i = 0; i < RL_COUNT(with_auto); i++) {
		const struct rl_value *value = rl_section_value(section, with_auto[i]);

		if (value)
			return rl_document_fail(section->document, value->line,
				"%s has no meaning with a fixed size", with_auto[i]);
	}
	return 0;
}

static int read_disk(const struct rl_section *section, struct rl_disk_recipe *disk, bool root)
{
	const struct rl_value *skeletons = rl_section_list_value(section, "skeletons", 0);

	disk->line = section->line;
	default_disk(disk, root);
	if (rl_read_title(section, rl_check_name, &disk->name) ||
		rl_read_text(section, "fs", check_fs, &disk->fs) ||
		rl_read_text(section, "mount", check_disk_mount, &disk->mount) ||
		rl_read_text(section, "options", rl_check_word, &disk->options) ||
		rl_read_text(section, "label", rl_check_label, &disk->label) || read_disk_size(section, disk))
		return -1;
	if (root && strcmp(disk->mount, "/"))
		return rl_document_fail(section->document, section->line,
			"disk '%s' is the first, so it is the root and must be mounted on /", disk->name);
	if (root && skeletons)
		return rl_document_fail(section->document, skeletons->line,
			"disk '%s' is the root: its skeletons stand outside of the disk section", disk->name);
	if (root && rl_section_list_size(section, "sources"))
		return rl_document_fail(section->document, rl_section_list_value(section, "sources", 0)->line,
			"disk '%s' is the root: its sources stand outside of the disk section", disk->name);
	if (read_sources(section, &disk->sources))
		return -1;
	return rl_read_name_list(section, "skeletons", rl_check_name, &disk->skeletons);
}

/* No two file systems on one mount point. */
static int check_mounts(struct rl_document *document, const struct rl_image_recipe *recipe)
{
	for (size_t i = 0; i < recipe->disk_count; i++) {
		const struct rl_disk_recipe *disk = &recipe->disks[i];

		for (size_t j = 0; j < i && *disk->mount; j++) {
			if (!strcmp(recipe->disks[j].mount, disk->mount))
				return rl_document_fail(document, disk->line,
					"disk '%s': disk '%s' is mounted on %s too", disk->name,
					recipe->disks[j].name, disk->mount);
		}
		for (size_t j = 0; j < recipe->fstab_count; j++) {
			if (!strcmp(recipe->fstab[j].mount, disk->mount))
				return rl_document_fail(document, recipe->fstab[j].line,
					"fstab '%s': disk '%s' is mounted there", disk->mount, disk->name);
		}
	}
	return 0;
}

static int read_disks(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "disk");

	recipe->disks = rl_calloc(count ? count : 1, sizeof(*recipe->disks));
	if (!count) {
		recipe->disks[0].line = 1;
		default_disk(&recipe->disks[0], true);
		recipe->disk_count = 1;
	}
	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "disk", i);

		if (i == DISKS_MAX)
			return rl_document_fail(document, section.line, "more than %d disks", DISKS_MAX);
		recipe->disk_count++;
		if (read_disk(&section, &recipe->disks[i], i == 0))
			return -1;
	}
	return check_mounts(document, recipe);
}

/* ---- run ---- */

static int read_run(struct rl_document *document, struct rl_run_recipe *run)
{
	struct rl_section section;

	if (!rl_section_count(document, "run"))
		return 0;
	section = rl_section_nth(document, "run", 0);
	if (rl_section_count(document, "run") > 1)
		return rl_document_fail(document, rl_section_nth(document, "run", 1).line,
			"a second run section: the first is in line %u", section.line);
	if (rl_read_text(&section, "kernel", rl_check_any, &run->kernel) ||
		rl_read_size(&section, "mem", &run->mem) ||
		rl_read_seconds(&section, "timeout", &run->timeout))
		return -1;
	return rl_read_list(&section, "append", rl_check_word, &run->append);
}

/* ---- whole recipes ---- */

static int read_image(struct rl_document *document, struct rl_image_recipe *recipe)
{
	struct rl_section top = rl_section_top(document);

	recipe->summary = rl_strdup("");
	recipe->hostname = rl_strdup(recipe->name);
	recipe->run.kernel = rl_strdup("");
	if (rl_require(&top, "summary") || rl_read_text(&top, "summary", rl_check_any, &recipe->summary) ||
		rl_read_text(&top, "hostname", rl_check_hostname, &recipe->hostname) ||
		read_sources(&top, &recipe->sources) ||
		rl_read_name_list(&top, "packages", rl_check_name, &recipe->packages) ||
		rl_read_name_list(&top, "skeletons", rl_check_name, &recipe->skeletons))
		return -1;
	if (rl_read_paths(document, recipe) || rl_read_users(document, recipe) ||
		rl_read_groups(document, recipe) || rl_read_rules(document, recipe) ||
		rl_read_services(document, recipe))
		return -1;
	if (read_fstab(document, recipe) || read_disks(document, recipe))
		return -1;
	return read_run(document, &recipe->run);
}

#define PATH_KEYS(document)                                                                                  \
	{                                                                                                    \
		RL_KEYS_OF(document), RL_KEY("type"), RL_KEY("mode"), RL_KEY("owner"), RL_KEY("content"),    \
			RL_KEY("source"), RL_KEY("target"), RL_KEY("device"), CFG_END()                      \
	}

#define RULE_KEYS(document)                                                                                  \
	{                                                                                                    \
		RL_KEYS_OF(document), RL_KEY("mode"), RL_KEY("owner"), RL_KEY_LIST("xattrs"),                \
			RL_KEY("capability"), RL_KEY("exclude"), CFG_END()                                   \
	}

static int load_image_file(const char *file, struct rl_image_recipe *recipe, struct rl_error *err)
{
	struct rl_document document = {.file = NULL};
	cfg_opt_t path[] = PATH_KEYS(&document);
	cfg_opt_t rule[] = RULE_KEYS(&document);
	cfg_opt_t service[] = {
		RL_KEYS_OF(&document), RL_KEY("command"), RL_KEY("action"), RL_KEY("terminal"), CFG_END()};
	cfg_opt_t user[] = {RL_KEYS_OF(&document), RL_KEY("uid"), RL_KEY("gid"), RL_KEY("home"),
		RL_KEY("shell"), RL_KEY("password"), RL_KEY("gecos"), CFG_END()};
	cfg_opt_t group[] = {RL_KEYS_OF(&document), RL_KEY("gid"), RL_KEY_LIST("members"), CFG_END()};
	cfg_opt_t fstab[] = {
		RL_KEYS_OF(&document), RL_KEY("device"), RL_KEY("type"), RL_KEY("options"), CFG_END()};
	cfg_opt_t disk[] = {RL_KEYS_OF(&document), RL_KEY("fs"), RL_KEY("mount"), RL_KEY("options"),
		RL_KEY("label"), RL_KEY("size"), RL_KEY("free"), RL_KEY("free-inodes"),
		RL_KEY_LIST("sources"), RL_KEY_LIST("skeletons"), CFG_END()};
	cfg_opt_t run[] = {RL_KEYS_OF(&document), RL_KEY("kernel"), RL_KEY("mem"), RL_KEY("timeout"),
		RL_KEY_LIST("append"), CFG_END()};
	cfg_opt_t keys[] = {RL_KEYS_OF(&document), RL_KEY("summary"), RL_KEY("hostname"),
		RL_KEY_LIST("sources"), RL_KEY_LIST("packages"), RL_KEY_LIST("skeletons"),
		RL_NAMED("path", path), RL_NAMED("rule", rule), RL_NAMED("service", service),
		RL_NAMED("user", user), RL_NAMED("group", group), RL_NAMED("fstab", fstab),
		RL_NAMED("disk", disk), RL_UNNAMED("run", run), CFG_END()};
	int result = -1;

	recipe->file = rl_strdup(file);
	if (rl_name_of_file(file, &recipe->name, err))
		return -1;
	if (!rl_document_open(&document, recipe->file, keys, err))
		result = read_image(&document, recipe);
	rl_document_close(&document);
	return result;
}

int rl_image_recipe_load(const struct rl_recipe_roots *roots, const char *name,
	struct rl_image_recipe *recipe, struct rl_error *err)
{
	size_t size = strlen(name);
	char *file = NULL;
	int result;

	*recipe = (struct rl_image_recipe){.name = NULL};
	if (size > 5 && !strcmp(name + size - 5, ".conf"))
		return load_image_file(name, recipe, err);
	if (rl_find_recipe(roots, name, "recipes/images/", ".conf", &file, err))
		return -1;
	result = load_image_file(file, recipe, err);
	free(file);
	return result;
}

int rl_skeleton_recipe_load(const char *file, struct rl_image_recipe *recipe, struct rl_error *err)
{
	struct rl_document document = {.file = NULL};
	cfg_opt_t path[] = PATH_KEYS(&document);
	cfg_opt_t rule[] = RULE_KEYS(&document);
	cfg_opt_t keys[] = {RL_KEYS_OF(&document), RL_NAMED("path", path), RL_NAMED("rule", rule), CFG_END()};
	int result = -1;

	*recipe = (struct rl_image_recipe){.file = rl_strdup(file),
		.summary = rl_strdup(""),
		.hostname = rl_strdup(""),
		.run.kernel = rl_strdup("")};
	if (rl_name_of_file(file, &recipe->name, err))
		return -1;
	if (!rl_document_open(&document, recipe->file, keys, err))
		result = rl_read_paths(&document, recipe) || rl_read_rules(&document, recipe) ? -1 : 0;
	rl_document_close(&document);
	return result;
}

/* ---- freeing ---- */

static void free_accounts(struct rl_image_recipe *recipe)
{
	for (size_t i = 0; i < recipe->user_count; i++) {
		struct rl_user *user = &recipe->users[i];

		free(user->name);
		free(user->home);
		free(user->shell);
		free(user->password);
		free(user->gecos);
	}
	for (size_t i = 0; i < recipe->group_count; i++) {
		free(recipe->groups[i].name);
		rl_list_free(&recipe->groups[i].members);
	}
	free(recipe->users);
	free(recipe->groups);
}

static void free_paths(struct rl_image_recipe *recipe)
{
	for (size_t i = 0; i < recipe->path_count; i++) {
		free(recipe->paths[i].path);
		free(recipe->paths[i].content);
		free(recipe->paths[i].source);
		free(recipe->paths[i].target);
	}
	free(recipe->paths);
}

static void free_services(struct rl_image_recipe *recipe)
{
	for (size_t i = 0; i < recipe->service_count; i++) {
		free(recipe->services[i].name);
		free(recipe->services[i].command);
		free(recipe->services[i].action);
		free(recipe->services[i].terminal);
	}
	free(recipe->services);
}

static void free_mounts(struct rl_image_recipe *recipe)
{
	for (size_t i = 0; i < recipe->fstab_count; i++) {
		free(recipe->fstab[i].mount);
		free(recipe->fstab[i].device);
		free(recipe->fstab[i].type);
		free(recipe->fstab[i].options);
	}
	for (size_t i = 0; i < recipe->disk_count; i++) {
		struct rl_disk_recipe *disk = &recipe->disks[i];

		free(disk->name);
		free(disk->fs);
		free(disk->mount);
		free(disk->options);
		free(disk->label);
		rl_list_free(&disk->sources);
		rl_list_free(&disk->skeletons);
	}
	free(recipe->fstab);
	free(recipe->disks);
}

void rl_image_recipe_free(struct rl_image_recipe *recipe)
{
	free_accounts(recipe);
	free_paths(recipe);
	rl_rules_free(&recipe->rules);
	free_services(recipe);
	free_mounts(recipe);
	rl_list_free(&recipe->sources);
	rl_list_free(&recipe->packages);
	rl_list_free(&recipe->skeletons);
	rl_list_free(&recipe->run.append);
	free(recipe->run.kernel);
	free(recipe->name);
	free(recipe->file);
	free(recipe->summary);
	free(recipe->hostname);
	*recipe = (struct rl_image_recipe){.name = NULL};
}
