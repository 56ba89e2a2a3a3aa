/*
 * Whether an image is sound: everything that its metadata says of itself is compared. Read-only, and the image is
 * hostile. The judgement is e2fsck's (-fn), but nothing is repaired, guessed or asked.
 */
#ifndef RL_EXT_CHECK_H
#define RL_EXT_CHECK_H

#include "ext/read.h"

#define RL_CHECK_NOWHERE UINT64_MAX

struct rl_check_problem {
	const char *kind; /* one word of a few: "inode", "overlap", "links" */
	bool note; /* worth telling, but the image is sound all the same */
	uint32_t inode; /* 0: it is about none */
	const char *path; /* of the inode; NULL: not known */
	uint64_t group, block; /* or RL_CHECK_NOWHERE */
	const char *text; /* what is wrong, without the place */
};

struct rl_check_result {
	uint64_t problems; /* 0: sound */
	uint64_t inodes, blocks; /* in use */
};

typedef void rl_check_tell(const struct rl_check_problem *problem, void *context);

/*
 * Calls tell for every problem, when all are known; of many that are of one kind for the first ones and then
 * once for the others together. -1 with an error: the image has a feature that is not known, or cannot be read.
 */
int rl_image_check(struct rl_image *image, rl_check_tell *tell, void *context, struct rl_check_result *result,
	struct rl_error *err);

#endif
