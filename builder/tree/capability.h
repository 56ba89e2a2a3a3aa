/*
 * File capabilities: from the text that setcap(8) takes to the bytes of security.capability, version 2
 * (struct vfs_cap_data in linux/capability.h).
 */
#ifndef RL_TREE_CAPABILITY_H
#define RL_TREE_CAPABILITY_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define RL_CAPABILITY_SIZE 20 /* XATTR_CAPS_SZ_2 */

/*
 * Clauses with blanks between them, each a list of capabilities and what is done to it: "cap_net_raw+ep",
 * "cap_chown,cap_fowner=p cap_fowner+i", "=ep" or "all=ep" for all that there are. A capability is a name
 * in any case, or a number. A file has one effective bit for all its capabilities, so a text that makes some of
 * them effective and others not is refused.
 */
int rl_capability_parse(
	const char *text, uint8_t value[RL_CAPABILITY_SIZE], size_t *size, struct rl_error *err);

#endif
