/* Extended attributes as people write them: which names there are, on what, and what a value's text means. */
#ifndef RL_TREE_XATTR_H
#define RL_TREE_XATTR_H

#include "base/buf.h"
#include "base/error.h"
#include "tree/tree.h"

/*
 * Whether it is the name of an attribute that a rule may set: user.*, trusted.*, security.*, or one of the
 * two POSIX ACLs, in at most 255 bytes.
 */
bool rl_xattr_is_name(const char *name, size_t size);

/* Whether the kernel has an attribute of that name on this type of file. */
bool rl_xattr_fits(const struct rl_inode *inode, const char *name);

/*
 * Appends the value that a text means, as setfattr(1) -v takes it: 0x and hexadecimal digits, 0s and Base64, or the
 * text itself, with or without double quotes around it, in which \\, \" and \OOO (an octal byte) are escapes.
 */
int rl_xattr_parse_value(const char *text, struct rl_buf *value, struct rl_error *err);

#endif
