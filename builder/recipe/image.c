#include "recipe/recipe-internal.h"

#include "base/forward.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INCLUDES_MAX 16 /* recipes that include each other in a row */

const char *rl_image_recipe_file(const struct rl_image_recipe *recipe)
{
	return recipe->files.items[0];
}

/* ---- sources ---- */

static const char *check_source(const char *text)
{
	if (!*text)
		return "is empty";
	return strcmp(text, "-") ? NULL : "is standard input, which a recipe does not have";
}

/* A relative path is beside the recipe, whatever the prefix in front of it: "oci:base". */
int rl_read_image_sources(const struct rl_section *section, struct rl_list *sources)
{
	struct rl_list words = {.items = NULL};
	int result = rl_read_list(section, "sources", check_source, &words);

	for (size_t i = 0; i < words.count; i++) {
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

/* ---- run ---- */

static const char *check_net(const char *text)
{
	return strcmp(text, "user") && strcmp(text, "none") ? "is neither user nor none" : NULL;
}

static const char *check_forward(const char *text)
{
	struct rl_forward forward;

	return rl_forward_parse(text, &forward);
}

static int read_run(struct rl_document *document, struct rl_run_recipe *run)
{
	struct rl_section section;

	if (!rl_section_count(document, "run"))
		return 0;
	section = rl_section_nth(document, "run", 0);
	if (rl_section_count(document, "run") > 1)
		return rl_document_fail(document, rl_section_nth(document, "run", 1).line,
			"a second run section: the first is in line %u", section.line);
	return rl_read_text(&section, "kernel", rl_check_any, &run->kernel) |
	       rl_read_size(&section, "mem", &run->mem) |
	       rl_read_seconds(&section, "timeout", &run->timeout) |
	       rl_read_list(&section, "append", rl_check_word, &run->append) |
	       rl_read_text(&section, "net", check_net, &run->net) |
	       rl_read_list(&section, "forward", check_forward, &run->forward) |
	       rl_read_number(&section, "consoles", RL_RUN_CONSOLES_MAX, &run->consoles);
}

/* ---- whole recipes ---- */

static const char *check_timezone(const char *text)
{
	return *text ? rl_check_file_path(text) : NULL;
}

/* A bundle brings the file; else the host has it. */
static int read_timezone(
	const struct rl_section *top, struct rl_image_recipe *recipe, const struct rl_recipe_roots *roots)
{
	const struct rl_value *value = rl_section_value(top, "timezone");
	char *relative;

	if (rl_read_text(top, "timezone", check_timezone, &recipe->timezone))
		return -1;
	if (!value)
		return 0;
	free(recipe->timezone_file);
	recipe->timezone_file = NULL;
	if (!recipe->timezone[0])
		return 0;
	relative = rl_printf("zoneinfo/%s", recipe->timezone);
	recipe->timezone_file = rl_recipe_roots_lookup(roots, relative);
	if (!recipe->timezone_file)
		recipe->timezone_file = rl_printf("/usr/share/%s", relative);
	free(relative);
	if (access(recipe->timezone_file, R_OK) == 0)
		return 0;
	return rl_document_fail(top->document, value->line, "timezone '%s': there is no %s", recipe->timezone,
		recipe->timezone_file);
}

/* Lists go on from what an included recipe has; a name that it has already is no mistake. */
static int read_packages(const struct rl_section *section, struct rl_image_recipe *recipe)
{
	struct rl_list more = {.items = NULL};
	int result = rl_read_name_list(section, "packages", rl_check_package, &more);

	for (size_t i = 0; i < more.count; i++) {
		if (rl_list_has(&recipe->packages, more.items[i]))
			continue;
		rl_list_add(&recipe->packages, more.items[i]);
		rl_list_add(&recipe->package_files, recipe->reading);
	}
	rl_list_free(&more);
	return result;
}

static int read_skeletons(const struct rl_section *section, struct rl_image_recipe *recipe)
{
	struct rl_list more = {.items = NULL};
	int result = rl_read_name_list(section, "skeletons", rl_check_name, &more);

	for (size_t i = 0; i < more.count; i++)
		if (!rl_list_has(&recipe->skeletons, more.items[i]))
			rl_list_add(&recipe->skeletons, more.items[i]);
	rl_list_free(&more);
	return result;
}

static bool drop_package(struct rl_image_recipe *recipe, const char *word)
{
	for (size_t i = 0; i < recipe->packages.count; i++) {
		if (strcmp(recipe->packages.items[i], word) != 0)
			continue;
		rl_list_drop(&recipe->packages, i);
		rl_list_drop(&recipe->package_files, i);
		return true;
	}
	return false;
}

static bool drop_skeleton(struct rl_image_recipe *recipe, const char *name)
{
	for (size_t i = 0; i < recipe->skeletons.count; i++) {
		if (strcmp(recipe->skeletons.items[i], name) != 0)
			continue;
		rl_list_drop(&recipe->skeletons, i);
		return true;
	}
	return false;
}

/* What an included recipe has and this one does not want. */
static int leave_out(const struct rl_section *section, struct rl_image_recipe *recipe)
{
	const struct rl_value *value;
	int result = 0;

	for (size_t i = 0; (value = rl_section_list_value(section, "without", i)); i++)
		if (!drop_package(recipe, value->text) && !drop_skeleton(recipe, value->text))
			result = rl_document_fail(section->document, value->line,
				"without '%s': there is no such package or skeleton in what is included",
				value->text);
	return result;
}

static int read_image(
	struct rl_document *document, struct rl_image_recipe *recipe, const struct rl_recipe_roots *roots)
{
	struct rl_section top = rl_section_top(document);
	int result = leave_out(&top, recipe);

	if (!recipe->summary[0])
		result |= rl_require(&top, "summary");
	result |= rl_read_text(&top, "summary", rl_check_any, &recipe->summary) |
		  rl_read_text(&top, "hostname", rl_check_hostname, &recipe->hostname) |
		  read_timezone(&top, recipe, roots) | rl_read_image_sources(&top, &recipe->sources) |
		  read_packages(&top, recipe) | read_skeletons(&top, recipe);
	return result | rl_read_paths(document, recipe) | rl_read_users(document, recipe) |
	       rl_read_groups(document, recipe) | rl_read_rules(document, recipe) |
	       rl_read_services(document, recipe) | rl_read_fstab(document, recipe) |
	       rl_read_disks(document, recipe) | rl_read_network(document, recipe) |
	       rl_read_settings(document, recipe) | read_run(document, &recipe->run) |
	       rl_read_tests(document, recipe);
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

static int load_image_file(const struct rl_recipe_roots *roots, const char *file,
	struct rl_image_recipe *recipe, struct rl_error *err);

/* A recipe in the roots, or a file beside this one. */
static int include(const struct rl_recipe_roots *roots, const struct rl_document *document,
	struct rl_image_recipe *recipe)
{
	struct rl_section top = rl_section_top((struct rl_document *)document);
	const struct rl_value *value = rl_section_value(&top, "include");
	struct rl_error why = RL_ERROR_NONE;
	char *file = NULL;
	int result = 0;

	if (!value)
		return 0;
	if (rl_text_before(value->text, ".conf") > 0)
		file = value->text[0] == '/' ? rl_strdup(value->text)
					     : rl_beside(document->file, value->text);
	else
		result = rl_find_recipe(roots, value->text, "recipes/images/", ".conf", &file, &why);
	if (result)
		rl_document_fail(document, value->line, "include '%s': %s", value->text, why.reason);
	else if (rl_list_has(&recipe->files, file) || recipe->files.count == INCLUDES_MAX)
		result = rl_document_fail(document, value->line,
			"include '%s': goes round in a circle, or too deep", value->text);
	else
		result = load_image_file(roots, file, recipe, document->err);
	rl_error_clear(&why);
	free(file);
	return result;
}

static int load_image_file(const struct rl_recipe_roots *roots, const char *file,
	struct rl_image_recipe *recipe, struct rl_error *err)
{
	struct rl_document document = {.file = NULL};
	cfg_opt_t path[] = PATH_KEYS(&document);
	cfg_opt_t rule[] = RULE_KEYS(&document);
	cfg_opt_t service[] = {
		RL_KEYS_OF(&document), RL_KEY("command"), RL_KEY("action"), RL_KEY("terminal"), CFG_END()};
	cfg_opt_t user[] = {RL_KEYS_OF(&document), RL_KEY("uid"), RL_KEY("gid"), RL_KEY("home"),
		RL_KEY("shell"), RL_KEY("password"), RL_KEY("gecos"), RL_KEY_LIST("ssh-keys"), CFG_END()};
	cfg_opt_t group[] = {RL_KEYS_OF(&document), RL_KEY("gid"), RL_KEY_LIST("members"), CFG_END()};
	cfg_opt_t fstab[] = {
		RL_KEYS_OF(&document), RL_KEY("device"), RL_KEY("type"), RL_KEY("options"), CFG_END()};
	cfg_opt_t disk[] = {RL_KEYS_OF(&document), RL_KEY("fs"), RL_KEY("mount"), RL_KEY("options"),
		RL_KEY("label"), RL_KEY("size"), RL_KEY("free"), RL_KEY("free-inodes"),
		RL_KEY_LIST("sources"), RL_KEY_LIST("skeletons"), CFG_END()};
	cfg_opt_t network[] = {RL_KEYS_OF(&document), RL_KEY("interface"), RL_KEY("address"),
		RL_KEY("gateway"), RL_KEY_LIST("dns"), CFG_END()};
	cfg_opt_t variable[] = {RL_KEYS_OF(&document), RL_KEY("value"), CFG_END()};
	cfg_opt_t run[] = {RL_KEYS_OF(&document), RL_KEY("kernel"), RL_KEY("mem"), RL_KEY("timeout"),
		RL_KEY_LIST("append"), RL_KEY("net"), RL_KEY_LIST("forward"), RL_KEY("consoles"), CFG_END()};
	cfg_opt_t test[] = {RL_KEYS_OF(&document), RL_KEY_LIST("command"), RL_KEY_LIST("env"), RL_KEY("user"),
		RL_KEY("input"), RL_KEY_LIST("append"), RL_KEY("expect-status"), RL_KEY_LIST("expect-output"),
		RL_KEY("timeout"), CFG_END()};
	cfg_opt_t keys[] = {RL_KEYS_OF(&document), RL_KEY("summary"), RL_KEY("include"),
		RL_KEY_LIST("without"), RL_KEY("hostname"), RL_KEY("timezone"), RL_KEY_LIST("sources"),
		RL_KEY_LIST("packages"), RL_KEY_LIST("options"), RL_KEY_LIST("skeletons"),
		RL_NAMED("variable", variable), RL_NAMED("path", path), RL_NAMED("rule", rule),
		RL_NAMED("service", service), RL_NAMED("user", user), RL_NAMED("group", group),
		RL_NAMED("fstab", fstab), RL_NAMED("disk", disk), RL_UNNAMED("network", network),
		RL_UNNAMED("run", run), RL_NAMED("test", test), CFG_END()};
	int result = -1;

	rl_list_add(&recipe->files, file);
	file = recipe->files.items[recipe->files.count - 1];
	if (!rl_document_open(&document, file, keys, err)) {
		/* The variables of who includes come first, all the rest last: it has the last word. */
		result = rl_read_variables(&document, recipe) | include(roots, &document, recipe);
		recipe->reading = file;
		if (rl_expand_variables(&document, recipe))
			result = -1;
		else
			result |= read_image(&document, recipe, roots);
	}
	return rl_document_close(&document) | result;
}

/* What stands in a recipe before anything is read. */
static int start(struct rl_image_recipe *recipe, const char *file, struct rl_error *err)
{
	recipe->summary = rl_strdup("");
	recipe->timezone = rl_strdup("");
	recipe->run.kernel = rl_strdup("");
	recipe->run.net = rl_strdup("");
	if (rl_name_of_file(file, &recipe->name, err))
		return -1;
	recipe->hostname = rl_strdup(recipe->name);
	return 0;
}

int rl_image_recipe_load(const struct rl_recipe_roots *roots, const char *name, const struct rl_list *set,
	struct rl_image_recipe *recipe, struct rl_error *err)
{
	char *file = NULL;
	int result = 0;

	*recipe = (struct rl_image_recipe){.name = NULL};
	if (rl_text_before(name, ".conf") > 0)
		file = rl_strdup(name);
	else
		result = rl_find_recipe(roots, name, "recipes/images/", ".conf", &file, err);
	if (!result)
		result = start(recipe, file, err);
	if (!result)
		result = rl_set_variables(recipe, set, err);
	if (!result)
		result = load_image_file(roots, file, recipe, err) | rl_check_variables(recipe, err);
	rl_default_disk(recipe);
	rl_choose_ids(recipe);
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

	*recipe = (struct rl_image_recipe){.name = NULL};
	if (start(recipe, file, err))
		return -1;
	rl_list_add(&recipe->files, file);
	recipe->reading = recipe->files.items[0];
	if (!rl_document_open(&document, recipe->reading, keys, err))
		result = rl_read_paths(&document, recipe) | rl_read_rules(&document, recipe);
	return rl_document_close(&document) | result;
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
		rl_list_free(&user->ssh_keys);
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

static void free_settings(struct rl_image_recipe *recipe)
{
	for (size_t i = 0; i < recipe->variable_count; i++) {
		free(recipe->variables[i].name);
		free(recipe->variables[i].value);
	}
	for (size_t i = 0; i < recipe->setting_count; i++) {
		free(recipe->settings[i].package);
		free(recipe->settings[i].option);
		free(recipe->settings[i].value);
	}
	free(recipe->variables);
	free(recipe->settings);
	free(recipe->network.interface);
	free(recipe->network.address);
	free(recipe->network.gateway);
	rl_list_free(&recipe->network.dns);
}

void rl_image_recipe_free(struct rl_image_recipe *recipe)
{
	free_settings(recipe);
	free_accounts(recipe);
	free_paths(recipe);
	rl_rules_free(&recipe->rules);
	free_services(recipe);
	free_mounts(recipe);
	rl_free_tests(recipe);
	rl_list_free(&recipe->sources);
	rl_list_free(&recipe->packages);
	rl_list_free(&recipe->package_files);
	rl_list_free(&recipe->skeletons);
	rl_list_free(&recipe->run.append);
	free(recipe->run.kernel);
	rl_list_free(&recipe->run.forward);
	free(recipe->run.net);
	free(recipe->name);
	free(recipe->timezone);
	free(recipe->timezone_file);
	rl_list_free(&recipe->files);
	free(recipe->summary);
	free(recipe->hostname);
	*recipe = (struct rl_image_recipe){.name = NULL};
}
