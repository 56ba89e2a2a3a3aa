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
		if (result)
			return -1;
	}
	return 0;
}

/* That the source can be found somewhere, and that what is found can be told to be the right one. */
static int check_origin(const struct rl_section *section, const struct rl_source_recipe *source)
{
	bool pinned_origin = source->urls.count || *source->debian_source;

	if (!*source->debian_source != !*source->debian_file)
		return rl_document_fail(section->document, section->line,
			"source '%s' has only one of debian-source and debian-file", source->name);
	if (!pinned_origin && !*source->debian_binary)
		return rl_document_fail(section->document, section->line,
			"source '%s' wants urls, debian-source or debian-binary", source->name);
	if (pinned_origin && *source->debian_binary)
		return rl_document_fail(section->document, section->line,
			"source '%s' has debian-binary besides urls or debian-source", source->name);
	return pinned_origin ? rl_require(section, "sha256") : 0;
}

static int read_source(
	const struct rl_section *section, struct rl_package_recipe *recipe, struct rl_source_recipe *source)
{
	const char *problem;

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
	if (rl_read_text(section, "sha256", rl_check_sha256, &source->sha256) ||
		read_urls(section, recipe, &source->urls) ||
		read_expanded(section, "debian-source", recipe, rl_check_name, &source->debian_source) ||
		read_expanded(section, "debian-file", recipe, rl_check_file_name, &source->debian_file) ||
		read_expanded(section, "debian-binary", recipe, rl_check_name, &source->debian_binary))
		return -1;
	return check_origin(section, source);
}

static int read_sources(struct rl_document *document, struct rl_package_recipe *recipe)
{
	size_t count = rl_section_count(document, "source");

	recipe->sources = rl_calloc(count, sizeof(*recipe->sources));
	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "source", i);
		struct rl_source_recipe *source = &recipe->sources[recipe->source_count++];

		if (read_source(&section, recipe, source))
			return -1;
		/* "x-1.tar" and "x-{version}.tar" are two titles, but one file. */
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(recipe->sources[j].name, source->name))
				return rl_document_fail(
					document, section.line, "source '%s' is given twice", source->name);
		}
	}
	return 0;
}

/* The files that count for the result must be there. */
static int check_files(struct rl_document *document, const struct rl_package_recipe *recipe)
{
	struct rl_section top = rl_section_top(document);

	for (size_t i = 0; i < recipe->files.count; i++) {
		const struct rl_value *value = rl_section_list_value(&top, "files", i);

		if (rl_check_beside(document, value->line, value->text))
			return -1;
	}
	return rl_check_beside(document, 1, "build.sh");
}

/* A limit of nothing would stop every build. */
static int check_limit(const struct rl_section *top, const char *key, uint64_t limit)
{
	return limit ? 0 : rl_document_fail(top->document, rl_section_value(top, key)->line, "%s is 0", key);
}

static int read_package(struct rl_document *document, struct rl_package_recipe *recipe)
{
	struct rl_section top = rl_section_top(document);
	const char *const required[] = {"summary", "version", "license"};

	for (size_t i = 0; i < RL_COUNT(required); i++) {
		if (rl_require(&top, required[i]))
			return -1;
	}
	if (rl_read_text(&top, "summary", rl_check_any, &recipe->summary) ||
		rl_read_text(&top, "version", rl_check_version, &recipe->version) ||
		rl_read_text(&top, "license", rl_check_any, &recipe->license) ||
		rl_read_text(&top, "homepage", rl_check_url, &recipe->homepage) ||
		rl_read_name_list(&top, "needs", rl_check_name, &recipe->needs) ||
		rl_read_name_list(&top, "files", rl_check_file_path, &recipe->files) ||
		rl_read_seconds(&top, "time-limit", &recipe->time_limit) ||
		rl_read_size(&top, "log-limit", &recipe->log_limit))
		return -1;
	if (check_limit(&top, "time-limit", recipe->time_limit) ||
		check_limit(&top, "log-limit", recipe->log_limit))
		return -1;
	for (size_t i = 0; i < recipe->needs.count; i++) {
		if (!strcmp(recipe->needs.items[i], recipe->name))
			return rl_document_fail(document, rl_section_list_value(&top, "needs", i)->line,
				"the package needs itself");
	}
	if (read_sources(document, recipe))
		return -1;
	return check_files(document, recipe);
}

int rl_package_recipe_load(const struct rl_recipe_roots *roots, const char *name,
	struct rl_package_recipe *recipe, struct rl_error *err)
{
	struct rl_document document = {.file = NULL};
	cfg_opt_t source[] = {RL_KEYS_OF(&document), RL_KEY("sha256"), RL_KEY_LIST("urls"),
		RL_KEY("debian-source"), RL_KEY("debian-file"), RL_KEY("debian-binary"), CFG_END()};
	cfg_opt_t keys[] = {RL_KEYS_OF(&document), RL_KEY("summary"), RL_KEY("version"), RL_KEY("license"),
		RL_KEY("homepage"), RL_KEY_LIST("needs"), RL_KEY_LIST("files"), RL_KEY("time-limit"),
		RL_KEY("log-limit"), RL_NAMED("source", source), CFG_END()};
	int result = -1;

	*recipe = (struct rl_package_recipe){.name = rl_strdup(name),
		.summary = rl_strdup(""),
		.version = rl_strdup(""),
		.license = rl_strdup(""),
		.homepage = rl_strdup(""),
		.time_limit = DEFAULT_TIME_LIMIT,
		.log_limit = DEFAULT_LOG_LIMIT};
	if (rl_find_recipe(roots, name, "recipes/packages/", "/recipe.conf", &recipe->file, err))
		return -1;
	recipe->folder = rl_strndup(recipe->file, strlen(recipe->file) - strlen("/recipe.conf"));
	if (!rl_document_open(&document, recipe->file, keys, err))
		result = read_package(&document, recipe);
	rl_document_close(&document);
	return result;
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
	free(recipe->sources);
	rl_list_free(&recipe->needs);
	rl_list_free(&recipe->files);
	free(recipe->name);
	free(recipe->folder);
	free(recipe->file);
	free(recipe->summary);
	free(recipe->version);
	free(recipe->license);
	free(recipe->homepage);
	*recipe = (struct rl_package_recipe){.name = NULL};
}
