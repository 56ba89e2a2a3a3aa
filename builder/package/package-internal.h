/* What the files of package/ share: the open store, packages on their way, and the steps of a build. */
#ifndef RL_PACKAGE_PACKAGE_INTERNAL_H
#define RL_PACKAGE_PACKAGE_INTERNAL_H

#include "base/buf.h"
#include "base/inputs.h"
#include "base/process.h"
#include "package/package.h"

/* The time that every file of a product has, and SOURCE_DATE_EPOCH in a build: 2020-01-01. */
#define RL_PRODUCT_EPOCH 1577836800
/* Stands in every key: to be raised when what a build can see or what becomes of its product changes. */
#define RL_SANDBOX_VERSION 2

/* A file of a recipe's folder that counts for the result, as it was when the key was made of it. */
struct rl_recipe_file {
	char *name;
	struct rl_buf bytes;
	bool executable;
};

enum rl_entry_state {
	RL_ENTRY_UNKNOWN,
	RL_ENTRY_WANTED, /* it is to be built */
	RL_ENTRY_RUNNING,
	RL_ENTRY_THERE, /* the product is in the store, as its record says */
	RL_ENTRY_FAILED, /* it, or what it needs */
};

struct rl_package_entry {
	struct rl_package package; /* the key is valid only if key_known */
	struct rl_package_recipe recipe;
	struct rl_recipe_file *files; /* build.sh, patches, then the recipe's other files */
	size_t file_count;
	struct rl_package_entry **needs; /* in the recipe's order, then its build-needs; owned by the store */
	size_t need_count;
	const char **values; /* of the recipe's options */
	struct rl_inputs inputs; /* what the key is made of */
	char (*hashes)[RL_SHA256_HEX]; /* of the sources, as they stand in the key; "": not known yet */
	const struct rl_package_entry *parent; /* who asked for it, while it is being loaded */
	bool loading;
	bool key_known;
	unsigned asked; /* in which pass the key was last asked for */
	enum rl_entry_state state;
};

struct rl_store {
	char *folder;
	const struct rl_recipe_roots *roots;
	struct rl_package_options options;
	char *toolchain; /* what the compiler and the linker call themselves; NULL: not asked yet */
	struct rl_package_entry **entries;
	size_t entry_count, entry_room;
	int in_use; /* a lock that it shares with others, or -1 */
	struct rl_list dead_hosts; /* upstream hosts that could not be reached */
	unsigned pass; /* over the keys: what is not known in one is not asked again in it */
	bool apt_updated; /* the private apt lists were brought up to date by this process */
};

/* ---- store.c ---- */

/* "FOLDER/FORMAT..."; the caller frees it. */
char *rl_store_path(const struct rl_store *store, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void rl_store_note(const struct rl_store *store, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Shares the store with other processes, or has it alone: then fails if another one uses it. */
int rl_store_share(struct rl_store *store, bool alone, struct rl_error *err);

/* A lock that processes take on a name in the store; it ends with the process, however that ends. */
struct rl_store_lock {
	char *path;
	int fd;
};

#define RL_STORE_LOCK_NONE                                                                                   \
	{                                                                                                    \
		NULL, -1                                                                                     \
	}

/* Waits for the lock; if that takes time, waiting (may be NULL) is noted once. */
int rl_store_lock(const struct rl_store *store, const char *name, const char *waiting,
	struct rl_store_lock *lock, struct rl_error *err);
void rl_store_unlock(struct rl_store_lock *lock);

/* A folder of this process's in the store's tmp/. What a killed process leaves there, the next one removes. */
struct rl_temp {
	char *path;
	int lock;
};

#define RL_TEMP_NONE                                                                                         \
	{                                                                                                    \
		NULL, -1                                                                                     \
	}

int rl_temp_open(const struct rl_store *store, const char *name, struct rl_temp *temp, struct rl_error *err);
/* A new folder in it; the caller frees the path. NULL after a failure. */
char *rl_temp_folder(const struct rl_temp *temp, const char *name, struct rl_error *err);
void rl_temp_close(struct rl_temp *temp);

/* ---- key.c ---- */

/* The package with all that it needs, loaded; it belongs to the store. */
int rl_entry_load(
	struct rl_store *store, const char *name, struct rl_package_entry **entry, struct rl_error *err);
void rl_entry_free(struct rl_package_entry *entry);
/* Makes the key and the path of the product, also of what it needs; key_known stays false if a hash has yet to be recorded. */
void rl_entry_key(struct rl_store *store, struct rl_package_entry *entry);

/* ---- source.c ---- */

/* The hash that the recipe pins, else that of a bundle, else the one recorded; false if there is none yet. */
bool rl_source_hash(const struct rl_store *store, const char *package, const struct rl_source_recipe *source,
	char hex[RL_SHA256_HEX]);
/* Where the store has a source with that hash; the caller frees it. */
char *rl_source_path(const struct rl_store *store, const struct rl_source_recipe *source, const char *hex);
/*
 * Has the source in the store afterwards, verified. hex is the hash that it must have, "" if none is
 * known; afterwards it is the one that it has. It may be another one only if the recipe pins none and
 * what was recorded cannot be had any more.
 */
int rl_source_ensure(struct rl_store *store, const char *package, const struct rl_source_recipe *source,
	char hex[RL_SHA256_HEX], struct rl_error *err);

/* ---- download.c ---- */

/*
 * Writes what an http or https URL gives to a new file at path. A host that could not be reached is
 * not tried again. The name is shown with the progress.
 */
int rl_download(
	struct rl_store *store, const char *url, const char *path, const char *name, struct rl_error *err);

/* ---- debian.c ---- */

/* Has Debian's file for the source in the folder afterwards, and gives its path, which the caller frees. */
int rl_debian_fetch(struct rl_store *store, const char *package, const struct rl_source_recipe *source,
	const char *folder, char **file, struct rl_error *err);

/* ---- debian-lists.c ---- */

/*
 * Rewrites apt's source lists so that both packages and sources of the distribution's own suites are
 * asked for, and nothing else: deb822 stanzas, and lines of the old form. The result is appended.
 */
void rl_debian_convert_stanzas(const char *text, size_t size, const char *codename, struct rl_buf *out);
void rl_debian_convert_lines(const char *text, size_t size, const char *codename, struct rl_buf *out);

/* ---- sandbox.c ---- */

struct rl_sandbox {
	struct rl_argv binds; /* pairs: a path here, the path where the build sees it; read-only */
	struct rl_argv env; /* NAME=VALUE, besides what every build has */
	const char *build, *out; /* folders that become /build and /out */
	const char *name, *version;
	unsigned jobs;
	const int *jobserver; /* the two ends of make's pipe, which the build inherits; NULL: none */
};

/* Runs /recipe/build.sh. When it returns, nothing that was started in the sandbox runs any more. */
int rl_sandbox_run(const struct rl_sandbox *sandbox, struct rl_capture *capture, struct rl_error *err);

/* ---- product.c ---- */

/* Gives everything in the folder the modes and times of a product. An empty folder is an error. */
int rl_product_normalise(const char *folder, const char *package, struct rl_error *err);
/* Returns when all of it is on the disk. */
int rl_product_sync(const char *folder, struct rl_error *err);
/* What is in it: reads every byte. */
int rl_product_list(const char *folder, struct rl_product_list *list, struct rl_error *err);
void rl_product_list_free(struct rl_product_list *list);

/* ---- record.c ---- */

/* Publishes what the entry's product was made from and what is in it: before the product has its name. */
int rl_record_write(struct rl_store *store, const struct rl_package_entry *entry,
	const struct rl_product_list *list, struct rl_error *err);
/*
 * Whether the entry's product is there and is what its record says; then its list is filled in, and the
 * record's time says when it was last used. A damaged product is noted.
 */
bool rl_record_check(struct rl_store *store, struct rl_package_entry *entry);
/* Removes what stands in the product's place. Only for who holds the lock of its build. */
int rl_record_remove(struct rl_store *store, const struct rl_package *package, struct rl_error *err);
/* How the entry's inputs differ from those of the last product of its name; the caller frees it. */
char *rl_record_explain(struct rl_store *store, const struct rl_package_entry *entry);

/* ---- build.c ---- */

/* make's jobserver, and how many jobs there are at most. */
struct rl_jobs {
	unsigned count;
	int pipe[2]; /* count bytes, less those that somebody works for */
};

/* Builds one package whose needs are there. One process builds, the others wait and then find the product. */
int rl_entry_build(struct rl_store *store, struct rl_package_entry *entry, const struct rl_jobs *jobs,
	char **log_tail, struct rl_error *err);
/* Has its sources in the store afterwards. 1: a hash was recorded anew, so keys made with the old one are void. */
int rl_entry_fetch(struct rl_store *store, struct rl_package_entry *entry, struct rl_error *err);

/* ---- schedule.c ---- */

/* Builds the entries that are wanted, in an order in which what is needed comes first. */
int rl_schedule_run(
	struct rl_store *store, struct rl_package_entry **entries, size_t count, struct rl_error *err);

#endif
