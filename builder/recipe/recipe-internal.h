/*
 * How the files of this folder share the work: scan.c guards libconfuse against what it gets wrong,
 * document.c parses with it and hands out values, check.c knows what a good name, path or size is, and
 * package.c, image.c, section.c and rule.c make structs of it.
 */
#ifndef RL_RECIPE_RECIPE_INTERNAL_H
#define RL_RECIPE_RECIPE_INTERNAL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "recipe/recipe.h"

#include <confuse.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- scan.c ---- */

#define RL_SECTIONS_MAX 4096 /* in one recipe: libconfuse's cost grows with their square */

/* Where a section begins; libconfuse only knows where it ends. */
struct rl_section_start {
	char name[16]; /* of the kind of section, cut short if it is longer */
	unsigned line;
};

struct rl_scan {
	struct rl_section_start *sections; /* in the order of the text */
	size_t count, room;
	bool mistaken; /* there were unknown keys: they have been told, and are gone from the text */
};

/*
 * Checks the text before libconfuse sees it, and replaces comments by blanks. What it lets through is
 * read by libconfuse to the letter: no byte is dropped, nothing is taken from the environment, lines
 * are counted right, and its lexer, which is global, is left in its first state.
 */
int rl_scan_recipe(struct rl_buf *text, const char *file, const cfg_opt_t *keys, struct rl_scan *scan,
	struct rl_error *err);
void rl_scan_free(struct rl_scan *scan);

/* ---- document.c ---- */

struct rl_value {
	unsigned line;
	char text[];
};

/* A parsed recipe; it lives while the structs are made. */
struct rl_document {
	const char *file;
	cfg_t *top;
	struct rl_scan scan;
	struct rl_error *err; /* gets all mistakes */
};

/* Every table of keys starts with RL_KEYS_OF(document) and ends with CFG_END(). */
#define RL_KEYS_OF(document)                                                                                 \
	{                                                                                                    \
		.name = "(document)", .type = CFGT_PTR, .simple_value = {.ptr = (void **)(document) }        \
	}
#define RL_KEY(key)         CFG_PTR_CB(key, NULL, CFGF_NONE, rl_document_value, free)
#define RL_KEY_LIST(key)    CFG_PTR_LIST_CB(key, NULL, CFGF_NONE, rl_document_value, free)
#define RL_NAMED(key, of)   CFG_SEC(key, of, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES)
#define RL_UNNAMED(key, of) CFG_SEC(key, of, CFGF_MULTI)

/* One more, empty. */
#define RL_ADD(items, count)                                                                                 \
	do {                                                                                                 \
		(items) = rl_realloc_array((items), (count) + 1, sizeof(*(items)));                          \
		memset(&(items)[(count)++], 0, sizeof(*(items)));                                            \
	} while (0)

int rl_document_value(cfg_t *section, cfg_opt_t *option, const char *text, void *result);

/*
 * Reads and parses a recipe; *document is to be closed also after a failure. Mistakes that leave the
 * rest readable do not stop it: rl_document_close() returns -1 if there were any.
 */
int rl_document_open(struct rl_document *document, const char *file, cfg_opt_t *keys, struct rl_error *err);
int rl_document_close(struct rl_document *document);

/* Both fail with FILE:LINE as the subject. */
void rl_recipe_fail(struct rl_error *err, const char *file, unsigned line, const char *format, va_list ap)
	__attribute__((format(printf, 4, 0)));
int rl_document_fail(const struct rl_document *document, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A section and where it begins; the top of the recipe is {document->top, 1}. */
struct rl_section {
	struct rl_document *document;
	cfg_t *cfg;
	unsigned line;
};

struct rl_section rl_section_top(struct rl_document *document);
size_t rl_section_count(const struct rl_document *document, const char *name);
struct rl_section rl_section_nth(struct rl_document *document, const char *name, size_t index);
/* What stands behind its kind: path "/dev". */
const char *rl_section_title(const struct rl_section *section);

/* NULL if the key is not given. */
const struct rl_value *rl_section_value(const struct rl_section *section, const char *key);
size_t rl_section_list_size(const struct rl_section *section, const char *key);
const struct rl_value *rl_section_list_value(const struct rl_section *section, const char *key, size_t index);

/* ---- check.c ---- */

#define RL_NAMES_MAX 1024 /* in a list in which nothing may stand twice */

/* NULL: fine; else why not ("is empty", "may hold letters and digits only"). */
typedef const char *rl_check(const char *text);

rl_check rl_check_any; /* any text, but no control characters */
rl_check rl_check_word; /* no blanks or control characters, not empty */
rl_check rl_check_name; /* of a recipe, a disk, a skeleton: safe as a file name */
rl_check rl_check_package; /* NAME or NAME:PART */
rl_check rl_check_option;
rl_check rl_check_glob;
rl_check rl_check_version;
rl_check rl_check_file_name; /* one component, safe */
rl_check rl_check_file_glob; /* the same, or with * in it */
rl_check rl_check_file_path; /* relative, below the recipe's folder */
rl_check rl_check_image_path; /* absolute, in its only spelling */
rl_check rl_check_account; /* of a user or a group */
rl_check rl_check_field; /* of a line in passwd: no colon, no control characters */
rl_check rl_check_account_path; /* an image path in such a line */
rl_check rl_check_hostname;
rl_check rl_check_terminal; /* below /dev/ */
rl_check rl_check_label;
rl_check rl_check_sha256;
rl_check rl_check_url;
rl_check rl_check_password;
rl_check rl_check_ssh_key;

/*
 * These read one key and set *result; a key that is not given leaves it alone. Texts replace what
 * *result pointed to, which must be from malloc. After a mistake the next key can be read all the same:
 * readers join their results with |, so that all mistakes are told.
 */
int rl_read_text(const struct rl_section *section, const char *key, rl_check *check, char **result);
int rl_read_list(const struct rl_section *section, const char *key, rl_check *check, struct rl_list *result);
/* A list in which nothing may stand twice. */
int rl_read_name_list(
	const struct rl_section *section, const char *key, rl_check *check, struct rl_list *result);
int rl_read_size(const struct rl_section *section, const char *key, uint64_t *result);
int rl_read_seconds(const struct rl_section *section, const char *key, uint64_t *result);
int rl_read_number(const struct rl_section *section, const char *key, uint64_t max, uint64_t *result);
int rl_read_id(const struct rl_section *section, const char *key, bool *given, uint32_t *result);

/* The section's title, checked. */
int rl_read_title(const struct rl_section *section, rl_check *check, char **result);
/* Fails at the section's line if the key is not given. */
int rl_require(const struct rl_section *section, const char *key);

/* "NAME" of "a/b/NAME.conf", checked as a recipe's name. */
int rl_name_of_file(const char *file, char **name, struct rl_error *err);
/* FOLDER/relative; FOLDER is the one that file is in. The caller frees it. */
char *rl_beside(const char *file, const char *relative);
/* Fails unless the path is a regular file in the recipe's folder, also once symlinks are followed. */
int rl_check_beside(const struct rl_document *document, unsigned line, const char *relative);

/* ---- roots.c ---- */

/* The path of ROOT/BEFORE NAME AFTER in the first root that has it; the caller frees it. */
int rl_find_recipe(const struct rl_recipe_roots *roots, const char *name, const char *before,
	const char *after, char **file, struct rl_error *err);

/* ---- image.c ---- */

/* The list "sources"; relative paths are beside the recipe. */
int rl_read_image_sources(const struct rl_section *section, struct rl_list *sources);

/* ---- section.c ---- */

/*
 * Each reads all sections of its kind. What the recipe has already, from one that it includes, is
 * changed where the name is the same.
 */
int rl_read_paths(struct rl_document *document, struct rl_image_recipe *recipe);
int rl_read_users(struct rl_document *document, struct rl_image_recipe *recipe);
int rl_read_groups(struct rl_document *document, struct rl_image_recipe *recipe);
/* Gives ids to the users that have none; when everything is read. */
void rl_choose_ids(struct rl_image_recipe *recipe);

/* ---- rule.c: the same ---- */

int rl_read_rules(struct rl_document *document, struct rl_image_recipe *recipe);
int rl_read_services(struct rl_document *document, struct rl_image_recipe *recipe);

/* ---- disk.c: the same ---- */

int rl_read_fstab(struct rl_document *document, struct rl_image_recipe *recipe);
int rl_read_disks(struct rl_document *document, struct rl_image_recipe *recipe);
/* A recipe without a disk section has a root all the same. */
void rl_default_disk(struct rl_image_recipe *recipe);

/* ---- test.c: the same ---- */

int rl_read_tests(struct rl_document *document, struct rl_image_recipe *recipe);
void rl_free_tests(struct rl_image_recipe *recipe);

/* ---- settings.c ---- */

/* Reads the section network, and the list options. */
int rl_read_network(struct rl_document *document, struct rl_image_recipe *recipe);
int rl_read_settings(struct rl_document *document, struct rl_image_recipe *recipe);

/* What the user sets, "NAME=VALUE"; after all is read, that a recipe has each of them. */
int rl_set_variables(struct rl_image_recipe *recipe, const struct rl_list *set, struct rl_error *err);
int rl_check_variables(const struct rl_image_recipe *recipe, struct rl_error *err);
/* Adds those of a document that are not known yet. */
int rl_read_variables(struct rl_document *document, struct rl_image_recipe *recipe);
/* Puts them in where the document's values have {NAME}. */
int rl_expand_variables(struct rl_document *document, const struct rl_image_recipe *recipe);

#endif
