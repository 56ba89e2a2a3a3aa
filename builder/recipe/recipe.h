/*
 * Recipes: text in libconfuse's syntax -> structs that are complete and checked. Reading a recipe
 * touches the recipe's own folder only (to check that the files that it names are there); whether the
 * packages and skeletons that it names exist is seen when they are loaded.
 *
 * Every error in a recipe names FILE:LINE. Strings in the structs are never NULL unless said so: what
 * the recipe leaves out is "" or its default. What goes into a line of passwd, group, shadow or fstab
 * has no character that would break the line. Paths are relative where the root is the current folder.
 *
 * The load functions always set the whole struct, which is to be freed also after a failure.
 */
#ifndef RL_RECIPE_RECIPE_H
#define RL_RECIPE_RECIPE_H

#include "base/buf.h"
#include "base/error.h"
#include "tree/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rl_list {
	char **items;
	size_t count, room;
};

/* ---- where recipes are ---- */

/* Folders that hold recipes/ and skeleton/; the first that has a name wins. */
struct rl_recipe_roots {
	struct rl_list folders;
};

/*
 * Adds the folders of ROOTLET_PATH, the current folder, that of the executable, and the installed share
 * folder, those with recipes/. What is in the list already comes first, and must have recipes/.
 */
int rl_recipe_roots_find(struct rl_recipe_roots *roots, struct rl_error *err);
void rl_recipe_roots_free(struct rl_recipe_roots *roots);
/* The path of ROOT/relative ("recipes/images/demo.conf") in the first root that has it, or NULL; the caller frees it. */
char *rl_recipe_roots_lookup(const struct rl_recipe_roots *roots, const char *relative);

/* ---- package recipes: recipes/packages/NAME/recipe.conf ---- */

struct rl_source_recipe {
	unsigned line;
	char *name; /* the file's name in /src, {version} replaced */
	char *sha256; /* 64 hex digits, lower case; "": recorded at the first fetch */
	struct rl_list urls; /* upstream, placeholders replaced */
	char *debian_source; /* a Debian source package with the same bytes, or "" */
	char *debian_file; /* the file's name in it; one with a * is not pinned */
	char *debian_binary; /* a Debian binary package to take the .deb of, or "" */
};

/* A choice that a build has: OPTION_NAME in its environment. */
struct rl_package_option {
	unsigned line;
	char *name; /* a-z, 0-9 and - */
	char *value; /* the default */
	struct rl_list values; /* what it may be; empty: anything */
	char *summary;
};

/* Files of a product that an image has only if it names them: "zlib:dev". */
struct rl_package_part {
	char *name;
	struct rl_list paths; /* globs, as rl_glob_match_path() takes them */
};

struct rl_package_recipe {
	char *name;
	char *folder; /* recipes/packages/NAME: build.sh and the files are here */
	char *file; /* recipe.conf's path, for messages */
	char *summary, *version, *license, *homepage;
	struct rl_list needs; /* NAME or NAME:PART: in images with this package too */
	struct rl_list build_needs; /* packages that are in /deps while it is built, as those above are */
	struct rl_list files; /* in folder: they count for the result, as build.sh does */
	struct rl_list patches; /* likewise; for PATCHES in the build's environment */
	struct rl_source_recipe *sources;
	size_t source_count;
	struct rl_package_option *options;
	size_t option_count;
	struct rl_package_part *parts; /* its own, then the usual ones: dev, doc, licenses */
	size_t part_count;
	uint64_t time_limit; /* seconds */
	uint64_t log_limit; /* bytes */
};

/* The package's name in "NAME" or "NAME:PART"; *part is "" without one. The caller frees the name. */
char *rl_package_word(const char *word, const char **part);

/* Reads a package recipe by name. */
int rl_package_recipe_load(const struct rl_recipe_roots *roots, const char *name,
	struct rl_package_recipe *recipe, struct rl_error *err);
/* Reads NAME/recipe.conf at a path that ends so. */
int rl_package_recipe_load_file(const char *file, struct rl_package_recipe *recipe, struct rl_error *err);
void rl_package_recipe_free(struct rl_package_recipe *recipe);

/* ---- image recipes: recipes/images/NAME.conf, and skeleton/NAME.conf (paths and rules only) ---- */

enum rl_path_type {
	RL_PATH_CHANGE, /* changes owner and mode of what is there: at least one of them is given */
	RL_PATH_FILE,
	RL_PATH_DIR,
	RL_PATH_SYMLINK,
	RL_PATH_CHAR,
	RL_PATH_BLOCK,
	RL_PATH_FIFO,
	RL_PATH_REMOVE,
};

struct rl_path_rule {
	const char *file; /* the recipe it stands in (owned by the recipe), for messages */
	unsigned line;
	char *path; /* absolute, in the image */
	enum rl_path_type type;
	bool has_mode, has_owner;
	uint32_t mode; /* 07777 bits; never given for RL_PATH_SYMLINK */
	uint32_t uid, gid;
	uint32_t major, minor; /* RL_PATH_CHAR, RL_PATH_BLOCK */
	char *content; /* RL_PATH_FILE: the text, or NULL if source is given */
	char *source; /* RL_PATH_FILE: a path on the host (beside the recipe), or NULL */
	char *target; /* RL_PATH_SYMLINK, or NULL */
};

/* A line of /etc/inittab, for busybox's init. Names differ. */
struct rl_service {
	unsigned line;
	char *name; /* for the comment above it */
	char *command; /* one line that init reads to its end */
	char *action; /* default: "respawn" */
	char *terminal; /* below /dev/, or "": init's own */
};

/* uids differ, and so do names; "root" has uid 0. A user's gid need not have a group in the recipe. */
struct rl_user {
	unsigned line;
	char *name;
	char *home; /* default: /root for root, /home/NAME */
	char *shell; /* default: /bin/sh */
	char *password; /* as in shadow: a hash, "" (none is asked for), or the default "!" (locked) */
	char *gecos;
	struct rl_list ssh_keys; /* lines of .ssh/authorized_keys */
	bool has_uid, has_gid; /* they are given */
	uint32_t uid; /* default: the next free one from 1000 on */
	uint32_t gid; /* default: as uid */
};

struct rl_group {
	unsigned line;
	char *name;
	uint32_t gid;
	struct rl_list members;
};

struct rl_fstab_line {
	unsigned line;
	char *mount; /* an absolute path, or "none" */
	char *device, *type;
	char *options; /* default: "defaults" */
};

struct rl_disk_recipe {
	unsigned line;
	char *name; /* the output is NAME.FS */
	char *fs; /* "ext2", "ext3" or "ext4" */
	char *mount; /* mount point in the guest, "/" for the root, or "": not mounted */
	char *options; /* of the mount; default: "defaults" */
	char *label; /* at most 16 bytes */
	uint64_t size; /* bytes; 0: auto */
	uint64_t free; /* bytes that are to be available, with size auto; else 0 */
	uint64_t free_inodes; /* likewise */
	struct rl_list sources, skeletons; /* what fills a disk which is not the root */
};

/* {NAME} in the recipe's values. */
struct rl_variable {
	char *name, *value;
	bool set; /* by the user */
	bool declared; /* by a recipe */
};

/* How a package is to be built, other than by default: "PACKAGE.OPTION=VALUE". */
struct rl_setting {
	const char *file; /* owned by the recipe */
	unsigned line;
	char *package, *option, *value;
};

/* The network, as /etc/network/interfaces has it. */
struct rl_network {
	unsigned line; /* 0: there is none */
	char *interface; /* default: "vec0" */
	char *address; /* "dhcp", or ADDRESS/BITS */
	char *gateway; /* or "" */
	struct rl_list dns; /* addresses */
};

#define RL_RUN_CONSOLES_MAX 15

struct rl_run_recipe {
	char *kernel; /* a path, or a package that has boot/linux; "": the default */
	uint64_t mem; /* bytes; 0: the default */
	uint64_t timeout; /* seconds; 0: none */
	struct rl_list append; /* words for the kernel's command line */
	char *net; /* "user", "none"; "": nothing is said */
	struct rl_list forward; /* as base/forward.h has them */
	uint64_t consoles; /* besides the first, up to RL_RUN_CONSOLES_MAX */
};

/* What `rootlet test` boots the image for. */
struct rl_test_recipe {
	const char *file; /* the recipe it stands in (owned by the recipe) */
	unsigned line;
	char *name; /* for TAP: one line without # */
	struct rl_list command; /* empty: the image's own init runs, and output is its console */
	struct rl_list variables; /* NAME=VALUE, for the command */
	char *user; /* who runs the command, or NULL: root */
	char *input; /* for standard input, or NULL */
	struct rl_list append; /* words for the kernel's command line */
	bool has_status; /* it is given */
	int status; /* of the command, or the guest; default: 0 */
	struct rl_list output; /* patterns of base/expect.h: lines that there must be, in this order */
	uint64_t timeout; /* seconds; 0: the default */
};

struct rl_image_recipe {
	char *name; /* the file's name without .conf */
	struct rl_list files; /* the recipe's own, then those that it includes */
	const char *reading; /* one of them, while it is read */
	char *summary;
	char *hostname; /* default: the recipe's name */
	char *timezone; /* a name such as Europe/Berlin, or "" */
	char *timezone_file; /* its data on the host, or NULL */
	struct rl_network network;
	struct rl_variable *variables;
	size_t variable_count;
	struct rl_setting *settings;
	size_t setting_count;
	struct rl_list
		sources; /* as for rootlet pack; relative paths are beside the recipe, and joined here */
	struct rl_list packages; /* NAME or NAME:PART */
	struct rl_list package_files; /* for each of them the file that it stands in */
	struct rl_list skeletons;
	struct rl_path_rule *paths;
	size_t path_count;
	struct rl_rules rules; /* in the file's order, with the lines of their sections */
	struct rl_service *services;
	size_t service_count;
	struct rl_user *users;
	size_t user_count;
	struct rl_group *groups;
	size_t group_count;
	struct rl_fstab_line *fstab;
	size_t fstab_count;
	struct rl_disk_recipe *disks; /* ubda, ubdb, ...; at least one, the first is mounted on "/" */
	size_t disk_count;
	struct rl_run_recipe run;
	struct rl_test_recipe *tests;
	size_t test_count;
};

/*
 * Reads NAME (recipes/images/NAME.conf in the roots) or a path that ends in .conf, and the recipes that
 * it includes. set has "NAME=VALUE" for its variables; NULL: none.
 */
int rl_image_recipe_load(const struct rl_recipe_roots *roots, const char *name, const struct rl_list *set,
	struct rl_image_recipe *recipe, struct rl_error *err);
/* The file that the recipe itself is in. */
const char *rl_image_recipe_file(const struct rl_image_recipe *recipe);
void rl_image_recipe_free(struct rl_image_recipe *recipe);

/* Reads a skeleton's own paths and rules (skeleton/NAME.conf) into a recipe that has nothing else. */
int rl_skeleton_recipe_load(const char *file, struct rl_image_recipe *recipe, struct rl_error *err);

/* Why a name is not one for a recipe, or NULL. */
const char *rl_recipe_name_problem(const char *name);

/* The names of all image recipes (images true) or packages in the roots, sorted, each once. */
int rl_recipe_names(
	const struct rl_recipe_roots *roots, bool images, struct rl_list *names, struct rl_error *err);

void rl_list_add(struct rl_list *list, const char *item);
bool rl_list_has(const struct rl_list *list, const char *item);
/* Takes the item at that place out. */
void rl_list_drop(struct rl_list *list, size_t at);
void rl_list_free(struct rl_list *list);

#endif
