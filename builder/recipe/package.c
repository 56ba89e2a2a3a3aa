#include "recipe/recipe-internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIME_LIMIT ((uint64_t)30 * 60)
#define DEFAULT_LOG_LIMIT  ((uint64_t)16 << 20)

/* Replaces {name} and {version}; any other brace is a mistake. */
static int expand(const struct rl_document *document, unsigned line, const struct rl_package_recipe *recipe,
	char **text)
{
	const struct {
		const char *name, *value;
	} known[] = {{"{name}", recipe->name}, {"{version}", recipe->version}};
	struct rl_buf out = RL_BUF_NONE;
	const char *p = *text;

	while (*p) {
		size_t size = strcspn(p, "{}");
		size_t i = 0;

		rl_buf_bytes(&out, p, size);
		p += size;
		if (!*p)
			break;
		while (i < RL_COUNT(known) && strncmp(p, known[i].name, strlen(known[i].name)))
			i++;
		if (i == RL_COUNT(known)) {
			rl_buf_free(&out);
			return rl_document_fail(document, line,
				"'%s': {name} and {version} are the only placeholders", *text);
		}
		rl_buf_text(&out, known[i].value);
		p += strlen(known[i].name);
	}
	free(*text);
	*text = rl_buf_string(&out);
	return 0;
}

/* A text with placeholders, held against check once they are replaced. */
static int read_expanded(const struct rl_section *section, const char *key,
	const struct rl_package_recipe *recipe, rl_check *check, char **result)
{
	const struct rl_value *value = rl_section_value(section, key);
	const char *problem;

	if (!value)
		return 0;
	free(*result);
	*result = rl_strdup(value->text);
	if (expand(section->document, value->line, recipe, result))
		return -1;
	problem = check(*result);
	return problem ? rl_document_fail(section->document, value->line, "%s '%s' %s", key, *result, problem)
		       : 0;
}

static int read_urls(
	const struct rl_section *section, const struct rl_package_recipe *recipe, struct rl_list *urls)
{
	const struct rl_value *value;
	int status = 0;

	for (size_t i = 0; (value = rl_section_list_value(section, "urls", i)); i++) {
		char *url = rl_strdup(value->text);
		const char *problem = NULL;
		int result = expand(section->document, value->line, recipe, &url);

		if (!result && (problem = rl_check_url(url)))
			result =
				rl_document_fail(section->document, value->line, "url '%s' %s", url, problem);
		if (!result)
			rl_list_add(urls, url);
		free(url);
		status |= result;
	}
	return status;
}

/* That the source can be found somewhere, and that what is found can be told to be the right one. */
static int check_origin(const struct rl_section *section, const struct rl_source_recipe *source)
{
	/* Debian's own files change with its security updates: one with a * in its name cannot be pinned. */
	bool moves = strchr(source->debian_file, '*') != NULL;
	bool pinned_origin = source->urls.count || (*source->debian_source && !moves);

	if (!*source->debian_source != !*source->debian_file)
		return rl_document_fail(section->document, section->line,
			"source '%s' has only one of debian-source and debian-file", source->name);
	if (moves && (source->urls.count || *source->sha256))
		return rl_document_fail(section->document, section->line,
			"source '%s': a debian-file with a * is recorded, so there are neither urls nor "
			"sha256",
			source->name);
	if (!pinned_origin && !moves && !*source->debian_binary)
		return rl_document_fail(section->document, section->line,
			"source '%s' wants urls, debian-source or debian-binary", source->name);
	if ((pinned_origin || moves) && *source->debian_binary)
		return rl_document_fail(section->document, section->line,
			"source '%s' has debian-binary besides urls or debian-source", source->name);
	return pinned_origin ? rl_require(section, "sha256") : 0;
}

static int read_source(
	const struct rl_section *section, struct rl_package_recipe *recipe, struct rl_source_recipe *source)
{
	const char *problem;
	int result;

	source->line = section->line;
	source->name = rl_strdup(rl_section_title(section));
	source->sha256 = rl_strdup("");
	source->debian_source = rl_strdup("");
	source->debian_file = rl_strdup("");
	source->debian_binary = rl_strdup("");
	if (expand(section->document, section->line, recipe, &source->name))
		return -1;
	problem = rl_check_file_name(source->name);
	if (problem)
		return rl_document_fail(
			section->document, section->line, "source '%s' %s", source->name, problem);
	result = rl_read_text(section, "sha256", rl_check_sha256, &source->sha256) |
		 read_urls(section, recipe, &source->urls) |
		 read_expanded(section, "debian-source", recipe, rl_check_name, &source->debian_source) |
		 read_expanded(section, "debian-file", recipe, rl_check_file_glob, &source->debian_file) |
		 read_expanded(section, "debian-binary", recipe, rl_check_name, &source->debian_binary);
	return result ? result : check_origin(section, source);
}

static int read_sources(struct rl_document *document, struct rl_package_recipe *recipe)
{
	size_t count = rl_section_count(document, "source");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "source", i);
		struct rl_source_recipe *source;

		RL_ADD(recipe->sources, recipe->source_count);
		source = &recipe->sources[recipe->source_count - 1];
		result |= read_source(&section, recipe, source);
		/* "x-1.tar" and "x-{version}.tar" are two titles, but one file. */
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(recipe->sources[j].name, source->name))
				result = rl_document_fail(
					document, section.line, "source '%s' is given twice", source->name);
		}
	}
	return result;
}

/* ---- options and parts ---- */

static int read_option(const struct rl_section *section, struct rl_package_option *option)
{
	const struct rl_value *value = rl_section_value(section, "value");
	int result;

	option->line = section->line;
	option->value = rl_strdup("");
	option->summary = rl_strdup("");
	result = rl_read_title(section, rl_check_option, &option->name) | rl_require(section, "value") |
		 rl_read_text(section, "value", rl_check_any, &option->value) |
		 rl_read_list(section, "values", rl_check_any, &option->values) |
		 rl_read_text(section, "summary", rl_check_any, &option->summary);
	if (!result && option->values.count && !rl_list_has(&option->values, option->value))
		result = rl_document_fail(section->document, value->line,
			"option '%s': its value '%s' is none of its values", option->name, option->value);
	return result;
}

static int read_options(struct rl_document *document, struct rl_package_recipe *recipe)
{
	size_t count = rl_section_count(document, "option");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "option", i);

		RL_ADD(recipe->options, recipe->option_count);
		result |= read_option(&section, &recipe->options[recipe->option_count - 1]);
	}
	return result;
}

/* What nobody wants in an image unless it is asked for; a recipe's own part of that name comes instead. */
static const struct {
	const char *name;
	const char *paths[8];
} usual_parts[] = {
	{"dev", {"/usr/include/**", "/include/**", "*.a", "*.la", "*.o", "*.pc"}},
	{"doc", {"/usr/share/man/**", "/usr/share/doc/**", "/usr/share/info/**"}},
	{"licenses", {"/usr/share/licenses/**"}},
};

static bool has_part(const struct rl_package_recipe *recipe, const char *name)
{
	for (size_t i = 0; i < recipe->part_count; i++)
		if (!strcmp(recipe->parts[i].name, name))
			return true;
	return false;
}

static void add_usual_parts(struct rl_package_recipe *recipe)
{
	for (size_t i = 0; i < RL_COUNT(usual_parts); i++) {
		struct rl_package_part *part;

		if (has_part(recipe, usual_parts[i].name))
			continue;
		RL_ADD(recipe->parts, recipe->part_count);
		part = &recipe->parts[recipe->part_count - 1];
		part->name = rl_strdup(usual_parts[i].name);
		for (const char *const *path = usual_parts[i].paths; *path; path++)
			rl_list_add(&part->paths, *path);
	}
}

static int read_parts(struct rl_document *document, struct rl_package_recipe *recipe)
{
	size_t count = rl_section_count(document, "part");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "part", i);
		struct rl_package_part *part;

		RL_ADD(recipe->parts, recipe->part_count);
		part = &recipe->parts[recipe->part_count - 1];
		part->name = rl_strdup(rl_section_title(&section));
		result |= rl_read_title(&section, rl_check_option, &part->name) |
			  rl_require(&section, "paths") |
			  rl_read_list(&section, "paths", rl_check_glob, &part->paths);
	}
	add_usual_parts(recipe);
	return result;
}

/* ---- the whole recipe ---- */

/* The files that count for the result must be there. */
static int check_files(struct rl_document *document, const char *key)
{
	struct rl_section top = rl_section_top(document);
	const struct rl_value *value;
	int result = 0;

	for (size_t i = 0; (value = rl_section_list_value(&top, key, i)); i++)
		if (!rl_check_file_path(value->text))
			result |= rl_check_beside(document, value->line, value->text);
	return result;
}

/* A limit of nothing would stop every build. */
static int check_limit(const struct rl_section *top, const char *key, uint64_t limit)
{
	return limit ? 0 : rl_document_fail(top->document, rl_section_value(top, key)->line, "%s is 0", key);
}

static int check_needs(const struct rl_section *top, const char *key, const struct rl_package_recipe *recipe)
{
	const struct rl_value *value;
	int result = 0;

	for (size_t i = 0; (value = rl_section_list_value(top, key, i)); i++) {
		const char *part;
		char *name = rl_package_word(value->text, &part);

		if (!strcmp(name, recipe->name))
			result = rl_document_fail(top->document, value->line, "the package needs itself");
		free(name);
	}
	return result;
}

static int read_package(struct rl_document *document, struct rl_package_recipe *recipe)
{
	struct rl_section top = rl_section_top(document);
	const char *const required[] = {"summary", "version", "license"};
	int result = 0;

	for (size_t i = 0; i < RL_COUNT(required); i++)
		result |= rl_require(&top, required[i]);
	result |= rl_read_text(&top, "summary", rl_check_any, &recipe->summary) |
		  rl_read_text(&top, "version", rl_check_version, &recipe->version) |
		  rl_read_text(&top, "license", rl_check_any, &recipe->license) |
		  rl_read_text(&top, "homepage", rl_check_url, &recipe->homepage) |
		  rl_read_name_list(&top, "needs", rl_check_package, &recipe->needs) |
		  rl_read_name_list(&top, "build-needs", rl_check_name, &recipe->build_needs) |
		  rl_read_name_list(&top, "files", rl_check_file_path, &recipe->files) |
		  rl_read_name_list(&top, "patches", rl_check_file_path, &recipe->patches) |
		  rl_read_seconds(&top, "time-limit", &recipe->time_limit) |
		  rl_read_size(&top, "log-limit", &recipe->log_limit);
	result |= check_limit(&top, "time-limit", recipe->time_limit) |
		  check_limit(&top, "log-limit", recipe->log_limit) | check_needs(&top, "needs", recipe) |
		  check_needs(&top, "build-needs", recipe);
	result |= read_sources(document, recipe) | read_options(document, recipe) |
		  read_parts(document, recipe);
	return result | check_files(document, "files") | check_files(document, "patches") |
	       rl_check_beside(document, 1, "build.sh");
}

char *rl_package_word(const char *word, const char **part)
{
	const char *colon = strchr(word, ':');

	*part = colon ? colon + 1 : "";
	return colon ? rl_strndup(word, (size_t)(colon - word)) : rl_strdup(word);
}

static int load_file(struct rl_package_recipe *recipe, struct rl_error *err)
{
	struct rl_document document = {.file = NULL};
	cfg_opt_t source[] = {RL_KEYS_OF(&document), RL_KEY("sha256"), RL_KEY_LIST("urls"),
		RL_KEY("debian-source"), RL_KEY("debian-file"), RL_KEY("debian-binary"), CFG_END()};
	cfg_opt_t option[] = {
		RL_KEYS_OF(&document), RL_KEY("value"), RL_KEY_LIST("values"), RL_KEY("summary"), CFG_END()};
	cfg_opt_t part[] = {RL_KEYS_OF(&document), RL_KEY_LIST("paths"), CFG_END()};
	cfg_opt_t keys[] = {RL_KEYS_OF(&document), RL_KEY("summary"), RL_KEY("version"), RL_KEY("license"),
		RL_KEY("homepage"), RL_KEY_LIST("needs"), RL_KEY_LIST("build-needs"), RL_KEY_LIST("files"),
		RL_KEY_LIST("patches"), RL_KEY("time-limit"), RL_KEY("log-limit"), RL_NAMED("source", source),
		RL_NAMED("option", option), RL_NAMED("part", part), CFG_END()};
	int result = -1;

	recipe->folder = rl_strndup(recipe->file, strlen(recipe->file) - strlen("/recipe.conf"));
	if (!rl_document_open(&document, recipe->file, keys, err))
		result = read_package(&document, recipe);
	return rl_document_close(&document) | result;
}

static void start(struct rl_package_recipe *recipe, const char *name)
{
	*recipe = (struct rl_package_recipe){.name = rl_strdup(name),
		.summary = rl_strdup(""),
		.version = rl_strdup(""),
		.license = rl_strdup(""),
		.homepage = rl_strdup(""),
		.time_limit = DEFAULT_TIME_LIMIT,
		.log_limit = DEFAULT_LOG_LIMIT};
}

int rl_package_recipe_load(const struct rl_recipe_roots *roots, const char *name,
	struct rl_package_recipe *recipe, struct rl_error *err)
{
	start(recipe, name);
	if (rl_find_recipe(roots, name, "recipes/packages/", "/recipe.conf", &recipe->file, err))
		return -1;
	return load_file(recipe, err);
}

int rl_package_recipe_load_file(const char *file, struct rl_package_recipe *recipe, struct rl_error *err)
{
	size_t size = strlen(file) - strlen("/recipe.conf");
	char *folder = rl_strndup(file, size), *slash = strrchr(folder, '/');
	const char *problem;

	start(recipe, slash ? slash + 1 : folder);
	free(folder);
	problem = rl_check_name(recipe->name);
	if (problem)
		return rl_fail(err, file, "read recipe", "'%s' %s", recipe->name, problem);
	recipe->file = rl_strdup(file);
	return load_file(recipe, err);
}

void rl_package_recipe_free(struct rl_package_recipe *recipe)
{
	for (size_t i = 0; i < recipe->source_count; i++) {
		struct rl_source_recipe *source = &recipe->sources[i];

		free(source->name);
		free(source->sha256);
		free(source->debian_source);
		free(source->debian_file);
		free(source->debian_binary);
		rl_list_free(&source->urls);
	}
	for (size_t i = 0; i < recipe->option_count; i++) {
		struct rl_package_option *option = &recipe->options[i];

		free(option->name);
		free(option->value);
		free(option->summary);
		rl_list_free(&option->values);
	}
	for (size_t i = 0; i < recipe->part_count; i++) {
		free(recipe->parts[i].name);
		rl_list_free(&recipe->parts[i].paths);
	}
	free(recipe->sources);
	free(recipe->options);
	free(recipe->parts);
	rl_list_free(&recipe->needs);
	rl_list_free(&recipe->build_needs);
	rl_list_free(&recipe->files);
	rl_list_free(&recipe->patches);
	free(recipe->name);
	free(recipe->folder);
	free(recipe->file);
	free(recipe->summary);
	free(recipe->version);
	free(recipe->license);
	free(recipe->homepage);
	*recipe = (struct rl_package_recipe){.name = NULL};
}
