/* Questions about an image recipe: why something is in it, what it is made of, how large, under which licences. */
#ifndef RL_MACHINE_REPORT_H
#define RL_MACHINE_REPORT_H

#include "base/buf.h"
#include "machine/machine.h"

#include <jansson.h>

/*
 * Why a path is in the recipe's root disk: an object with "path", "type", "sources" (which gave it, the last
 * one first; the others were replaced) and "rules" ("FILE:LINE: what it does"). Packages are built for
 * that. *why is the caller's.
 */
int rl_machine_why_path(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, const char *path, json_t **why, struct rl_error *err);

/*
 * Why a package is needed: an object with "package", "role" ("image", "build" or "kernel") and "chain", from
 * the recipe to the package: "FILE: KEY".
 */
int rl_machine_why_package(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, const char *name, json_t **why, struct rl_error *err);

/* The recipe, its packages, what they need, and skeletons, in Graphviz's language. */
int rl_machine_graph(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, struct rl_buf *dot, struct rl_error *err);

/* What a part of the tree takes: bytes of contents, in whole blocks of 4 KiB, each inode once. */
struct rl_size_row {
	char *name; /* of a source, or a path */
	uint64_t bytes, entries;
};

struct rl_sizes {
	struct rl_size_row *sources,
		*folders; /* the largest first; folders down to the depth that was asked for */
	size_t source_count, folder_count;
	uint64_t bytes, entries; /* of all */
};

int rl_machine_size(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, unsigned depth, struct rl_sizes *sizes,
	struct rl_error *err);
void rl_sizes_free(struct rl_sizes *sizes);

/* Calls visit for each package that the image is made of or built with, what is needed first. */
typedef int rl_component_visit(const struct rl_package_recipe *recipe, bool in_image,
	const struct rl_package *package, void *context);

/* package is NULL unless `build` is set: then all are built first. */
int rl_machine_components(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, bool build, rl_component_visit *visit, void *context,
	struct rl_error *err);

/* A software bill of materials in SPDX 2.3's JSON; the caller gives it up. */
int rl_machine_sbom(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, json_t **sbom, struct rl_error *err);

/* Fetches all sources of the recipe's packages. */
int rl_machine_fetch(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, struct rl_error *err);

/*
 * Writes a tar with all that builds the recipe: NAME/recipes, skeleton, sources. Unpacked anywhere, it is built
 * there without network and gives the same bytes. name is for messages.
 */
int rl_machine_bundle(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, int fd, const char *name, struct rl_error *err);

#endif
