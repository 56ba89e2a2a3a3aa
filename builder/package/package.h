/*
 * Packages: fetched, verified, built in a sandbox, kept in a content-addressed store.
 *
 * The store is $XDG_CACHE_HOME/rootlet (default ~/.cache/rootlet). A package's key is the SHA-256 of
 * all that decides its result: its version, build.sh, patches and the recipe's files, options, the
 * sources' hashes, the keys of what it needs, the sandbox's version and the compiler's. A product is
 * published whole, by a rename, so several builds may share a store; two builds of one key wait for each
 * other. A record beside it says what it was made from and what is in it; a product that is not like its
 * record any more is built anew. Who only finds in a store what is there may do so without the right to
 * write to it.
 *
 * A source is looked for in the store, in ROOTLET_MIRROR (a folder, or an http, https or file URL),
 * at its URLs, and in Debian's packages; the first that has the right bytes ends it. With
 * ROOTLET_OFFLINE=1 the network is left alone.
 *
 * A build sees the host's /usr, read-only, and: /src, /recipe, /deps/NAME, /build (its working folder),
 * /out (what it leaves there is the product). It has no network and a fixed environment: SRC, RECIPE,
 * DEPS, OUT, NAME, VERSION, JOBS, PATCHES (paths), OPTION_NAME for each option, SOURCE_DATE_EPOCH, and
 * PATH, HOME, TZ, LC_ALL. MAKEFLAGS makes each `make` without -j share the processors with whatever else is
 * being built: see "POSIX Jobserver Interaction" in GNU make's manual.
 */
#ifndef RL_PACKAGE_PACKAGE_H
#define RL_PACKAGE_PACKAGE_H

#include "base/error.h"
#include "base/hash.h"
#include "recipe/recipe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rl_store; /* an open store, for one thread at a time */

struct rl_package_options {
	unsigned jobs; /* passed to builds as JOBS; 0: one per processor */
	uint64_t time_limit; /* seconds, instead of the recipes' own; 0: theirs */
	bool keep_going; /* after a failure build all that does not need what failed */
	bool explain; /* note why something is built */
	/* Options of packages, other than by default. They must live as long as the store. */
	const struct rl_setting *settings;
	size_t setting_count;
	/* Called when something is done that takes long ("busybox: building"); may be NULL. */
	void (*note)(void *context, const char *text);
	/* Called with the end of the log of a build that failed; may be NULL. */
	void (*failed)(void *context, const char *package, const char *log_tail);
	void *context;
};

/*
 * Finds and makes the store's folders, and removes what killed builds left. *store is NULL after a failure.
 * The roots must live as long as the store.
 */
int rl_store_open(struct rl_store **store, const struct rl_recipe_roots *roots,
	const struct rl_package_options *options, struct rl_error *err);
void rl_store_close(struct rl_store *store);

/* A file of a product. */
struct rl_product_file {
	char *path; /* "/usr/bin/lua" */
	uint32_t mode; /* type and permissions */
	uint64_t size; /* of a regular file */
	char *content; /* its SHA-256, or a symlink's target; "" for a folder */
};

/* What is in a product: sorted by path. */
struct rl_product_list {
	struct rl_product_file *files;
	size_t count, room;
};

struct rl_package {
	char *name, *version;
	char key[RL_SHA256_HEX];
	const struct rl_package_recipe *recipe;
	char *product; /* the folder with the product's files */
	struct rl_product_list list; /* of what is in it, once it is there */
	bool built; /* this store handle built it (else the store had it) */
};

/*
 * Has the products of all packages in the store afterwards, fetching and building them and what they need
 * if they are not there, several at a time. A name may have a part behind it, "zlib:dev", which does not
 * matter here. Results are kept in the store handle, so asking twice costs nothing. A failing build's log
 * stays; the error tells where. With keep_going there may be several errors.
 */
int rl_packages_ensure(struct rl_store *store, const struct rl_list *names, struct rl_error *err);

/* The same of one package, which belongs to the store. */
int rl_package_ensure(
	struct rl_store *store, const char *name, const struct rl_package **package, struct rl_error *err);

/*
 * The packages that an image has with those that it names: them, and what they need (not what their builds
 * do), each once, in an order in which what is needed comes first. Words are NAME or NAME:PART.
 */
int rl_packages_closure(
	struct rl_store *store, const struct rl_list *words, struct rl_list *closure, struct rl_error *err);

/*
 * Once all packages that are wanted are known to the store: that each option that is set is one's of them. One
 * that nobody wants is a mistake; it may have another name.
 */
int rl_packages_check_settings(const struct rl_store *store, struct rl_error *err);

/* The recipe of a package, which belongs to the store. */
int rl_package_recipe_of(struct rl_store *store, const char *name, const struct rl_package_recipe **recipe,
	struct rl_error *err);

/* The part that a path of a product belongs to; "": to none, so that it is in every image. */
const char *rl_package_part_of(const struct rl_package_recipe *recipe, const char *path);
/* Whether a package has such a part. */
bool rl_package_has_part(const struct rl_package_recipe *recipe, const char *part);
/*
 * The paths of a product that belong to a part, with the folders that they are in: sorted. A folder that is
 * empty belongs to "", unless a part names it.
 */
void rl_package_part_paths(const struct rl_package *package, const char *part, struct rl_list *paths);

/* Has the sources of the packages, and of all that they need, in the store afterwards. */
int rl_packages_fetch(struct rl_store *store, const struct rl_list *names, struct rl_error *err);
/* The paths of a package's sources in the store, which must have been fetched: in the recipe's order. */
int rl_package_sources(struct rl_store *store, const char *name, struct rl_list *paths, struct rl_error *err);

/* Calls visit for each package that is needed to build those that are named, what is needed first. */
int rl_packages_walk(struct rl_store *store, const struct rl_list *names,
	int (*visit)(const struct rl_package_recipe *recipe, void *context), void *context,
	struct rl_error *err);

/*
 * The key alone, without fetching or building: *known is false if it depends on a source whose hash
 * has yet to be recorded.
 */
int rl_package_key(
	struct rl_store *store, const char *name, char key[RL_SHA256_HEX], bool *known, struct rl_error *err);

struct rl_clean_options {
	uint64_t unused; /* only what was not used for so many seconds */
	bool sources; /* also sources, which have to be fetched again then */
	bool only_tell; /* remove nothing */
};

/* Something in the store: a product, a log or a source. age: seconds since it was last used. */
struct rl_clean_item {
	const char *kind, *name;
	uint64_t bytes, age;
	bool removed; /* or would be */
};

/*
 * Removes products with their records, logs and sources from the store, which nobody else may use meanwhile;
 * tell is called for each that is there.
 */
int rl_store_clean(struct rl_store *store, const struct rl_clean_options *options,
	void (*tell)(const struct rl_clean_item *item, void *context), void *context, struct rl_error *err);

/* Whether builds can be sandboxed on this host. The error says what to install or to change. */
int rl_sandbox_check(struct rl_error *err);

#endif
