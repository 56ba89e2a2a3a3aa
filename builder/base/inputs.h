/*
 * What something is made from, by name: the key of a result is a hash over all of it, and what changed since
 * an earlier result can be told.
 */
#ifndef RL_BASE_INPUTS_H
#define RL_BASE_INPUTS_H

#include "base/buf.h"
#include "base/hash.h"

#include <jansson.h>
#include <stddef.h>

struct rl_input {
	char *name; /* for people: "build.sh", "option static" */
	char hash[RL_SHA256_HEX];
};

struct rl_inputs {
	struct rl_input *items; /* in the order in which they were added */
	size_t count, room;
};

/* The name is printed; what it stands for is hashed, or is a hash itself. */
void rl_inputs_add(struct rl_inputs *inputs, const void *bytes, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void rl_inputs_add_text(struct rl_inputs *inputs, const char *text, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void rl_inputs_add_hash(struct rl_inputs *inputs, const char *hex, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void rl_inputs_free(struct rl_inputs *inputs);

/* The hash of all names and hashes, in their order. */
void rl_inputs_key(const struct rl_inputs *inputs, char key[RL_SHA256_HEX]);

/* An object with a member for each; and back, which leaves out what is no such thing. */
json_t *rl_inputs_json(const struct rl_inputs *inputs);
void rl_inputs_from_json(struct rl_inputs *inputs, const json_t *object);

/* "build.sh changed, option static is new, musl is gone"; "" if nothing differs. The caller frees it. */
char *rl_inputs_diff(const struct rl_inputs *before, const struct rl_inputs *now);

#endif
