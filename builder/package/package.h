/*
 * Packages: fetched, verified, built in a sandbox, kept in a content-addressed store.
 *
 * The store is $XDG_CACHE_HOME/rootlet (default ~/.cache/rootlet). A package's key is the SHA-256 of
 * all that decides its result: recipe.conf, build.sh and the recipe's files, the sources' hashes, the
 * keys of what it needs, the sandbox's version and the compiler's. A product is published whole, by a
 * rename, so several builds may share a store; two builds of one key wait for each other. Who only finds
 * in a store what is there may do so without the right to write to it.
 *
 * A source is looked for in the store, in ROOTLET_MIRROR (a folder, or an http, https or file URL),
 * at its URLs, and in Debian's packages; the first that has the right bytes ends it. With
 * ROOTLET_OFFLINE=1 the network is left alone.
 *
 * A build sees the host's /usr, read-only, and: /src, /recipe, /deps/NAME, /build (its working folder),
 * /out (what it leaves there is the product). It has no network and a fixed environment: SRC, RECIPE,
 * DEPS, OUT, NAME, VERSION, JOBS, SOURCE_DATE_EPOCH, and PATH, HOME, TZ, LC_ALL.
 */
#ifndef RL_PACKAGE_PACKAGE_H
#define RL_PACKAGE_PACKAGE_H

#include "base/error.h"
#include "base/hash.h"
#include "recipe/recipe.h"

#include <stdbool.h>

struct rl_store; /* an open store, for one thread at a time */

struct rl_package_options {
	unsigned jobs; /* passed to builds as JOBS; 0: one per processor */
	uint64_t time_limit; /* seconds, instead of the recipes' own; 0: theirs */
	/* Called when something is done that takes long ("busybox: building"); may be NULL. */
	void (*note)(void *context, const char *text);
	void *context;
};

/*
 * Finds and makes the store's folders, and removes what killed builds left. *store is NULL after a failure.
 * The roots must live as long as the store.
 */
int rl_store_open(struct rl_store **store, const struct rl_recipe_roots *roots,
	const struct rl_package_options *options, struct rl_error *err);
void rl_store_close(struct rl_store *store);

struct rl_package {
	char *name, *version;
	char key[RL_SHA256_HEX];
	char *product; /* the folder with the product's files */
	bool built; /* this call built it (else the store had it) */
};

/*
 * Has the package's product in the store afterwards, fetching and building it and what it needs if
 * they are not there. Results are kept in the store handle, so asking twice costs nothing; the
 * rl_package belongs to the store. A failing build's log stays; the error tells where, and its tail
 * has been put into *log_tail (may be NULL; the caller frees it).
 */
int rl_package_ensure(struct rl_store *store, const char *name, const struct rl_package **package,
	char **log_tail, struct rl_error *err);

/*
 * The key alone, without fetching or building: *known is false if it depends on a source whose hash
 * has yet to be recorded.
 */
int rl_package_key(
	struct rl_store *store, const char *name, char key[RL_SHA256_HEX], bool *known, struct rl_error *err);

/* Whether builds can be sandboxed on this host. The error says what to install or to change. */
int rl_sandbox_check(struct rl_error *err);

#endif
