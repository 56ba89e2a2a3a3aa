/* The packages of an image as a list, as a graph, and as a bill of materials. */
#include "machine/report.h"

#include "base/hash.h"
#include "base/mem.h"
#include "machine/machine-internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- all of them ---- */

struct visiting {
	struct rl_store *store;
	const struct rl_list *in_image; /* names */
	bool build;
	rl_component_visit *visit;
	void *context;
	struct rl_error *err;
};

static int visit_one(const struct rl_package_recipe *recipe, void *context)
{
	struct visiting *v = context;
	const struct rl_package *package = NULL;

	if (v->build && rl_package_ensure(v->store, recipe->name, &package, v->err))
		return -1;
	return v->visit(recipe, rl_list_has(v->in_image, recipe->name), package, v->context);
}

/* The packages that the recipe names, and the one that has its kernel. */
static void add_names(const struct rl_image_recipe *recipe, struct rl_list *names)
{
	const char *kernel = recipe->run.kernel;

	for (size_t i = 0; i < recipe->packages.count; i++)
		rl_list_add(names, recipe->packages.items[i]);
	if (*kernel && !strchr(kernel, '/'))
		rl_list_add(names, kernel);
}

static void add_plain_names(const struct rl_list *words, struct rl_list *names)
{
	for (size_t i = 0; i < words->count; i++) {
		const char *part;
		char *name = rl_package_word(words->items[i], &part);

		rl_list_add(names, name);
		free(name);
	}
}

int rl_machine_components(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, bool build, rl_component_visit *visit, void *context,
	struct rl_error *err)
{
	struct rl_list names = {.items = NULL}, words = {.items = NULL}, in_image = {.items = NULL};
	struct visiting v = {
		.in_image = &in_image, .build = build, .visit = visit, .context = context, .err = err};
	struct rl_package_options packages = options->packages;
	int result;

	packages.settings = recipe->settings;
	packages.setting_count = recipe->setting_count;
	add_names(recipe, &names);
	result = rl_store_open(&v.store, roots, &packages, err);
	if (!result)
		result = rl_packages_closure(v.store, &recipe->packages, &words, err);
	add_plain_names(&words, &in_image);
	if (!result && build)
		result = rl_packages_ensure(v.store, &names, err);
	if (!result)
		result = rl_packages_walk(v.store, &names, visit_one, &v, err);
	rl_store_close(v.store);
	rl_list_free(&names);
	rl_list_free(&words);
	rl_list_free(&in_image);
	return result;
}

int rl_machine_fetch(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, struct rl_error *err)
{
	struct rl_list names = {.items = NULL};
	struct rl_store *store;
	int result = rl_store_open(&store, roots, &options->packages, err);

	add_names(recipe, &names);
	if (!result)
		result = rl_packages_fetch(store, &names, err);
	rl_store_close(store);
	rl_list_free(&names);
	return result;
}

/* ---- graph ---- */

static void add_edges(struct rl_buf *dot, const struct rl_package_recipe *recipe, const struct rl_list *words,
	const char *style)
{
	for (size_t i = 0; i < words->count; i++) {
		const char *part;
		char *name = rl_package_word(words->items[i], &part);

		rl_buf_printf(dot, "\t\"%s\" -> \"%s\" [style=%s%s%s%s];\n", recipe->name, name, style,
			*part ? ", label=\"" : "", part, *part ? "\"" : "");
		free(name);
	}
}

static int add_to_graph(const struct rl_package_recipe *recipe, bool in_image,
	const struct rl_package *package, void *context)
{
	struct rl_buf *dot = context;

	(void)package;
	rl_buf_printf(dot, "\t\"%s\" [label=\"%s\\n%s\"%s];\n", recipe->name, recipe->name, recipe->version,
		in_image ? "" : ", style=dashed");
	add_edges(dot, recipe, &recipe->needs, "solid");
	add_edges(dot, recipe, &recipe->build_needs, "dashed");
	return 0;
}

int rl_machine_graph(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, struct rl_buf *dot, struct rl_error *err)
{
	const char *kernel = recipe->run.kernel;
	int result;

	rl_buf_printf(dot, "digraph \"%s\" {\n\trankdir=LR;\n\tnode [shape=box];\n", recipe->name);
	rl_buf_printf(dot, "\t\"image %s\" [shape=box3d];\n", recipe->name);
	result = rl_machine_components(roots, recipe, options, false, add_to_graph, dot, err);
	for (size_t i = 0; i < recipe->packages.count; i++) {
		const char *part;
		char *name = rl_package_word(recipe->packages.items[i], &part);

		rl_buf_printf(dot, "\t\"image %s\" -> \"%s\"%s%s%s;\n", recipe->name, name,
			*part ? " [label=\"" : "", part, *part ? "\"]" : "");
		free(name);
	}
	for (size_t i = 0; i < recipe->skeletons.count; i++)
		rl_buf_printf(dot, "\t\"skeleton/%s\" [shape=folder];\n\t\"image %s\" -> \"skeleton/%s\";\n",
			recipe->skeletons.items[i], recipe->name, recipe->skeletons.items[i]);
	if (*kernel && !strchr(kernel, '/'))
		rl_buf_printf(dot, "\t\"image %s\" -> \"%s\" [style=dashed, label=\"kernel\"];\n",
			recipe->name, kernel);
	rl_buf_text(dot, "}\n");
	return result;
}

/* ---- bill of materials: https://spdx.github.io/spdx-spec/v2.3/ ---- */

struct sbom {
	json_t *packages, *relationships;
	struct rl_hash *hash; /* of all that is in it, for its name */
};

/* SPDX's identifiers have letters, digits, "." and "-". */
static char *identifier(const char *name)
{
	char *id = rl_printf("SPDXRef-Package-%s", name);

	for (char *c = id; *c; c++)
		if (*c == '_' || *c == '+')
			*c = '.';
	return id;
}

static const char *location(const struct rl_package_recipe *recipe)
{
	for (size_t i = 0; i < recipe->source_count; i++)
		if (recipe->sources[i].urls.count)
			return recipe->sources[i].urls.items[0];
	return "NOASSERTION";
}

static void relate(json_t *array, const char *from, const char *type, const char *to)
{
	json_array_append_new(array, json_pack("{s:s,s:s,s:s}", "spdxElementId", from, "relationshipType",
					     type, "relatedSpdxElement", to));
}

static int add_to_sbom(const struct rl_package_recipe *recipe, bool in_image,
	const struct rl_package *package, void *context)
{
	struct sbom *s = context;
	char *id = identifier(recipe->name);
	json_t *checksums = json_array(), *object;

	(void)package;
	for (size_t i = 0; i < recipe->source_count; i++)
		if (recipe->sources[i].sha256[0] && recipe->sources[i].urls.count &&
			!json_array_size(checksums))
			json_array_append_new(checksums, json_pack("{s:s,s:s}", "algorithm", "SHA256",
								 "checksumValue", recipe->sources[i].sha256));
	object = json_pack("{s:s,s:s,s:s,s:s,s:b,s:s,s:s,s:s,s:s}", "SPDXID", id, "name", recipe->name,
		"versionInfo", recipe->version, "downloadLocation", location(recipe), "filesAnalyzed", 0,
		"licenseConcluded", "NOASSERTION", "licenseDeclared", recipe->license, "copyrightText",
		"NOASSERTION", "summary", recipe->summary);
	if (recipe->homepage[0])
		json_object_set_new(object, "homepage", json_string(recipe->homepage));
	if (json_array_size(checksums))
		json_object_set(object, "checksums", checksums);
	json_decref(checksums);
	json_array_append_new(s->packages, object);
	if (in_image)
		relate(s->relationships, "SPDXRef-Image", "CONTAINS", id);
	else
		relate(s->relationships, id, "BUILD_DEPENDENCY_OF", "SPDXRef-Image");
	rl_hash_string(s->hash, recipe->name, recipe->version);
	free(id);
	return 0;
}

int rl_machine_sbom(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, json_t **sbom, struct rl_error *err)
{
	struct sbom s = {.packages = json_array(), .relationships = json_array(), .hash = rl_hash_new()};
	char hex[RL_SHA256_HEX], created[32], *space;
	int64_t seconds = 0;
	time_t when;
	struct tm tm;
	int result = rl_machine_time(&seconds, err);

	json_array_append_new(
		s.packages, json_pack("{s:s,s:s,s:s,s:s,s:b,s:s,s:s,s:s}", "SPDXID", "SPDXRef-Image", "name",
				    recipe->name, "summary", recipe->summary, "downloadLocation",
				    "NOASSERTION", "filesAnalyzed", 0, "licenseConcluded", "NOASSERTION",
				    "licenseDeclared", "NOASSERTION", "copyrightText", "NOASSERTION"));
	relate(s.relationships, "SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image");
	if (!result)
		result = rl_machine_components(roots, recipe, options, false, add_to_sbom, &s, err);
	rl_hash_end_hex(s.hash, hex);
	when = (time_t)seconds;
	strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &tm));
	space = rl_printf("https://spdx.org/spdxdocs/rootlet-%s-%.32s", recipe->name, hex);
	*sbom = json_pack("{s:s,s:s,s:s,s:s,s:s,s:{s:s,s:[s]},s:o,s:o}", "spdxVersion", "SPDX-2.3",
		"dataLicense", "CC0-1.0", "SPDXID", "SPDXRef-DOCUMENT", "name", recipe->name,
		"documentNamespace", space, "creationInfo", "created", created, "creators",
		"Tool: rootlet-" RL_VERSION, "packages", s.packages, "relationships", s.relationships);
	free(space);
	if (result)
		json_decref(*sbom);
	return result;
}
