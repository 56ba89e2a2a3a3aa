/*
 * Libraries that are loaded when they are first needed, because they bring so many others that loading them
 * would take longer than most of what rootlet is asked for. Their sonames are part of their interface.
 *
 * A caller has a macro that lists the functions, and makes a struct of pointers of it:
 *
 *     #define FUNCTIONS(X) X(curl, easy_init) X(curl, easy_perform)
 *     struct libcurl { FUNCTIONS(RL_LIBRARY_MEMBER) };
 *     const struct rl_library_symbol symbols[] = { FUNCTIONS(RL_LIBRARY_SYMBOL) };
 */
#ifndef RL_BASE_LIBRARY_H
#define RL_BASE_LIBRARY_H

#include "base/error.h"

#include <stddef.h>

struct rl_library_symbol {
	const char *name;
	size_t offset; /* of the pointer in the struct */
};

#define RL_LIBRARY_MEMBER(prefix, name) __typeof__(prefix##_##name) *name;
#define RL_LIBRARY_SYMBOL(prefix, name) {#prefix "_" #name, offsetof(RL_LIBRARY, name)},

/* Loads the library for the rest of the process, and fills the pointers. subject is what it is needed for. */
int rl_library_load(const char *soname, const struct rl_library_symbol *symbols, size_t count, void *pointers,
	const char *subject, struct rl_error *err);

#endif
