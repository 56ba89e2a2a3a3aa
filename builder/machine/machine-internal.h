/* What the files of machine/ share. */
#ifndef RL_MACHINE_INTERNAL_H
#define RL_MACHINE_INTERNAL_H

#include "machine/machine.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/inputs.h"
#include "tree/tree.h"

/* A disk's skeletons with their own paths and rules, loaded once. */
struct rl_skeleton {
	char *folder; /* the file tree, or NULL: there are only paths */
	char *conf; /* NAME.conf beside it, or NULL */
	struct rl_image_recipe paths; /* of conf; and rules */
};

int rl_skeletons_load(const struct rl_recipe_roots *roots, const char *recipe_file,
	const struct rl_list *names, struct rl_skeleton **skeletons, struct rl_error *err);
void rl_skeletons_free(struct rl_skeleton *skeletons, size_t count);
/* Adds all that is in them: names, types, contents, the owner's right to execute. */
int rl_skeletons_inputs(
	struct rl_inputs *inputs, const struct rl_skeleton *skeletons, size_t count, struct rl_error *err);
/* Adds a file under its path. */
int rl_inputs_add_file(struct rl_inputs *inputs, const char *path, struct rl_error *err);

/* ---- compose.c: the trees ---- */

/* Everything in an image gets this time. */
int rl_machine_time(int64_t *time, struct rl_error *err);

/* A package, or a part of one, on its way into a tree. */
struct rl_compose_package {
	const char *word; /* as the recipe has it, or who needs it: "zlib:dev" */
	const char *product; /* the folder */
	struct rl_list paths; /* what of it is wanted, sorted */
};

/*
 * The root disk's tree, over what its sources gave: packages, skeletons, accounts, fstab and the like, the
 * recipe's paths, services, rules.
 */
int rl_compose_root(struct rl_tree *tree, const struct rl_image_recipe *recipe,
	const struct rl_compose_package *packages, size_t package_count, const struct rl_skeleton *skeletons,
	size_t skeleton_count, int64_t time, struct rl_error *err);
/* Another disk's: skeletons with their rules, over what its sources gave. */
int rl_compose_data(struct rl_tree *tree, const struct rl_skeleton *skeletons, size_t count, int64_t time,
	struct rl_error *err);

/* ---- sources.c: whatever rootlet pack takes ---- */

/* Puts the sources of a recipe into the tree; archives are unpacked beside output. */
int rl_sources_put(
	struct rl_tree *tree, const struct rl_list *words, const char *output, struct rl_error *err);
/* Adds what tells that they changed: names, types, sizes, times. */
int rl_sources_inputs(struct rl_inputs *inputs, const struct rl_list *words, struct rl_error *err);

/* ---- accounts.c: /etc/passwd, shadow, group, and home folders ---- */
int rl_compose_accounts(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err);

/* ---- system.c: /etc/fstab, hostname, localtime, network/interfaces, resolv.conf, and mount points ---- */
int rl_compose_system(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err);

/* ---- services.c: /etc/inittab ---- */
int rl_compose_services(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err);

/* ---- text-file.c ---- */

/* The regular file that a path leads to, through symlinks too; NULL: there is none. */
struct rl_inode *rl_text_inode(const struct rl_tree *tree, const char *path);
/* Appends a file's text; one that is not there has none. */
int rl_text_read(const struct rl_tree *tree, const char *path, struct rl_buf *text, struct rl_error *err);
/* Puts a file with that mode there; one that is there keeps its own, and its owner. */
int rl_text_write(struct rl_tree *tree, const char *path, uint32_t mode, const struct rl_buf *text,
	int64_t time, struct rl_error *err);
/* Adds the newline that the last line may lack. */
void rl_text_end_line(struct rl_buf *text);

/* ---- stamp.c: what the images in a folder were made from ---- */

struct rl_stamp; /* of FOLDER/build.json */

struct rl_stamp *rl_stamp_load(const char *folder);
void rl_stamp_free(struct rl_stamp *stamp);
/* Whether the disk's image was made with that key, and is still there. */
bool rl_stamp_fits(const struct rl_stamp *stamp, const char *disk_path, const char *key);
/* Whether anything is known of the disk. */
bool rl_stamp_has(const struct rl_stamp *stamp, const char *disk_path);
/* Whether this rootlet would give a data disk the same bytes as the one that made it. */
bool rl_stamp_is_current(const struct rl_stamp *stamp, const char *disk_path);
/* Whether the image was written to since it was made, or was not made here. */
bool rl_stamp_touched(const struct rl_stamp *stamp, const char *disk_path);
/* What the disk was made from, as far as it is known. */
void rl_stamp_inputs(const struct rl_stamp *stamp, const char *disk_path, struct rl_inputs *inputs);
/* Notes the image as it is now, and publishes the stamp. */
int rl_stamp_store(struct rl_stamp *stamp, const char *disk_path, const char *key,
	const struct rl_inputs *inputs, struct rl_error *err);

#endif
