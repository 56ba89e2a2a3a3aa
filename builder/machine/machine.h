/*
 * An image recipe as a whole: packages, skeletons, accounts and paths -> trees -> the images of its
 * disks. A disk is written anew only when something that decides its bytes changed; a guest's own
 * writes to it do not count as such.
 */
#ifndef RL_MACHINE_MACHINE_H
#define RL_MACHINE_MACHINE_H

#include "base/error.h"
#include "package/package.h"
#include "recipe/recipe.h"
#include "tree/tree.h"

#include <stdbool.h>

struct rl_machine_options {
	const char *folder; /* where the images go; made if it is not there */
	bool explain; /* note why a disk is written */
	bool force; /* write every disk, also one that a guest has written to */
	struct rl_package_options packages;
};

enum rl_disk_state {
	RL_DISK_KEPT, /* up to date; not touched */
	RL_DISK_UNCHANGED, /* made anew with the same bytes; not touched */
	RL_DISK_WRITTEN,
};

/* Called when a disk is done. */
typedef void rl_disk_done(const char *path, enum rl_disk_state state, uint64_t size, void *context);

/*
 * Builds what is not up to date. A data disk that a guest has written to since it was built is not
 * replaced without force: that is an error.
 */
int rl_machine_build(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, rl_disk_done *done, void *context, struct rl_error *err);

/* The tree of the recipe's root disk, as it is before it is written; packages are built. To be freed. */
int rl_machine_tree(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, struct rl_tree **tree, struct rl_error *err);

/* The kernel of the recipe: a path, or the one that a package has, which is built. *path is NULL: the default. */
int rl_machine_kernel(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_package_options *options, char **path, struct rl_error *err);

/* FOLDER/NAME.FS, the image of a disk; the caller frees it. */
char *rl_machine_disk_path(const char *folder, const struct rl_disk_recipe *disk);

#endif
