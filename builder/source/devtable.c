/* Device tables: see table.h for what they are. */
#include "source/table-internal.h"

#include "base/mem.h"
#include "base/signals.h"
#include "base/text.h"
#include "tree/capability.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_MODE        UINT32_MAX
#define CAPABILITIES_MAX 4096 /* bytes of text for one file */
#define COUNT_MAX        1000000
#define XATTR            "|xattr"
#define TREES_MAX        10000 /* lines of type r: each may be about all that there is */

enum { NAME, TYPE, MODE, UID, GID, MAJOR, MINOR, START, INC, COUNT, FIELDS };

struct entry {
	unsigned line;
	const char *name; /* without slashes in front; "": the top */
	char type;
	uint32_t mode; /* or KEEP_MODE */
	uint32_t uid, gid; /* or RL_KEEP_ID */
	uint32_t major, minor, start, inc, count;
};

struct reading {
	struct rl_table table;
	struct rl_node *last; /* that the last line was about; NULL: there was none, or it was not there */
	struct rl_buf capabilities; /* of last: more than one line may give some */
	char last_type;
	unsigned trees; /* lines of type r */
};

static int split(struct reading *r, char *line, char *fields[FIELDS])
{
	size_t count = 0;
	char *word;

	memset(fields, 0, FIELDS * sizeof(*fields));
	while ((word = strsep(&line, " \t"))) {
		if (!*word)
			continue;
		if (*word == '#')
			break;
		if (count == FIELDS)
			return rl_table_fail(&r->table, r->table.line, "more than %d fields", FIELDS);
		fields[count++] = word;
	}
	return (int)count;
}

static int read_number(struct reading *r, const char *text, const char *what, uint32_t max, uint32_t *value)
{
	uint64_t number;

	if (!text || !strcmp(text, "-"))
		return 0;
	if (!rl_parse_u64(text, max, &number))
		return rl_table_fail(
			&r->table, r->table.line, "%s '%s' is no number up to %u", what, text, max);
	*value = (uint32_t)number;
	return 0;
}

static int read_mode(struct reading *r, const char *text, struct entry *e)
{
	if (!text || !strcmp(text, "-"))
		return 0;
	if (!strcmp(text, "-1"))
		e->mode = KEEP_MODE;
	else if (!rl_parse_mode(text, &e->mode))
		return rl_table_fail(
			&r->table, r->table.line, "mode '%s' is no octal mode up to 7777, and not -1", text);
	return 0;
}

static int read_owner(struct reading *r, bool group, const char *text, uint32_t *id)
{
	if (!text || !strcmp(text, "-"))
		return 0;
	return rl_table_owner(&r->table, r->table.line, group, text, id);
}

static int read_entry(struct reading *r, char *fields[FIELDS], struct entry *e)
{
	*e = (struct entry){.line = r->table.line, .name = fields[NAME], .mode = 0755, .inc = 1};
	e->name += strspn(e->name, "/");
	if (!fields[TYPE] || strlen(fields[TYPE]) != 1)
		return rl_table_fail(&r->table, e->line, "a name without a type of one letter");
	e->type = *fields[TYPE];
	if (!strchr("dfFrcbps", e->type))
		return rl_table_fail(&r->table, e->line,
			"a type that is none of d, f, F, r, c, b, p, s: '%c'%s", e->type,
			e->type == 'l' ? " (a symlink has no target here)" : "");
	if (read_mode(r, fields[MODE], e) || read_owner(r, false, fields[UID], &e->uid) ||
		read_owner(r, true, fields[GID], &e->gid) ||
		read_number(r, fields[MAJOR], "major", RL_MAJOR_MAX, &e->major) ||
		read_number(r, fields[MINOR], "minor", RL_MINOR_MAX, &e->minor) ||
		read_number(r, fields[START], "start", RL_MINOR_MAX, &e->start) ||
		read_number(r, fields[INC], "increment", RL_MINOR_MAX, &e->inc) ||
		read_number(r, fields[COUNT], "count", COUNT_MAX, &e->count))
		return -1;
	if (e->count > 1 && (uint64_t)e->minor + (uint64_t)(e->count - 1) * e->inc > RL_MINOR_MAX)
		return rl_table_fail(&r->table, e->line, "a minor over %u", RL_MINOR_MAX);
	return 0;
}

static void set_attributes(struct rl_inode *inode, const struct entry *e)
{
	if (e->uid != RL_KEEP_ID)
		inode->uid = e->uid;
	if (e->gid != RL_KEEP_ID)
		inode->gid = e->gid;
	if (e->mode != KEEP_MODE && !S_ISLNK(inode->mode))
		inode->mode = (inode->mode & S_IFMT) | e->mode;
}

static int set_node(struct rl_node *node, void *context)
{
	set_attributes(node->inode, context);
	return 0;
}

/* What is there is changed: a symlink leads to it. */
static int change(struct reading *r, struct entry *e)
{
	struct rl_node *node = rl_place_open(&r->table.scope, *e->name ? e->name : ".", true);
	bool wants_dir = e->type == 'r';

	r->last = NULL;
	if (wants_dir && ++r->trees > TREES_MAX)
		return rl_table_fail(&r->table, e->line, "more than %d lines of type r", TREES_MAX);
	if (!node && e->type == 'F')
		return 0;
	if (!node)
		return rl_table_fail(&r->table, e->line, "it is not there: %s", e->name);
	if (wants_dir != rl_is_dir(node->inode) || (!wants_dir && !S_ISREG(node->inode->mode))) {
		if (e->type == 'F')
			return 0;
		return rl_table_fail(&r->table, e->line, "it is not a %s: %s",
			wants_dir ? "directory" : "regular file", e->name);
	}
	if (wants_dir)
		rl_tree_walk(node, set_node, e);
	else
		set_attributes(node->inode, e);
	rl_tree_touch(r->table.tree, node);
	r->last = node;
	return 0;
}

/* Makes a name, or the one for a number of a range. */
static int make(struct reading *r, const struct entry *e, const char *name, uint32_t minor)
{
	static const struct {
		char type;
		uint32_t bits;
	} types[] = {{'d', S_IFDIR}, {'c', S_IFCHR}, {'b', S_IFBLK}, {'p', S_IFIFO}, {'s', S_IFSOCK}};
	uint32_t mode = e->mode == KEEP_MODE ? 0755 : e->mode;
	struct rl_place place;
	const char *problem = rl_place_find(&r->table.scope, *name ? name : ".", true, &place);
	struct rl_node *node;

	for (size_t i = 0; i < RL_COUNT(types); i++)
		if (types[i].type == e->type)
			mode |= types[i].bits;
	if (problem || !place.size)
		return rl_table_fail(&r->table, e->line, "%s: %s",
			problem ? problem : "it would replace the directory that everything goes to", name);
	if (rl_table_put(&r->table, e->line, &place, mode, &node))
		return -1;
	set_attributes(node->inode, e);
	if (e->type == 'c' || e->type == 'b') {
		node->inode->device.major = e->major;
		node->inode->device.minor = minor;
	}
	r->last = node;
	return 0;
}

static int make_range(struct reading *r, const struct entry *e)
{
	int result = 0;

	for (uint32_t i = 0; !result && i < e->count; i++) {
		char *name = rl_printf("%s%u", e->name, e->start + i);

		result = make(r, e, name, e->minor + i * e->inc);
		free(name);
	}
	return result;
}

/* A directory that is there, maybe behind a symlink, keeps its attributes other than those of the line. */
static int put_dir(struct reading *r, struct entry *e)
{
	struct rl_node *node = rl_place_open(&r->table.scope, *e->name ? e->name : ".", true);

	if (node && rl_is_dir(node->inode)) {
		set_attributes(node->inode, e);
		rl_tree_touch(r->table.tree, node);
		r->last = node;
		return 0;
	}
	return make(r, e, e->name, 0);
}

static int take_entry(struct reading *r, struct entry *e)
{
	/* Names that no tree can have, as one clear line. */
	struct rl_place place;
	const char *problem = *e->name ? rl_place_find(&r->table.scope, e->name, false, &place) : NULL;

	if (problem && !place.absent)
		return rl_table_fail(&r->table, e->line, "%s: %s", problem, e->name);
	r->capabilities.size = 0;
	switch (e->type) {
	case 'd':
		return put_dir(r, e);
	case 'f':
	case 'F':
	case 'r':
		return change(r, e);
	default:
		return e->count > 1 ? make_range(r, e) : make(r, e, e->name, e->minor);
	}
}

static int take_xattr(struct reading *r, const char *text)
{
	struct rl_error why = RL_ERROR_NONE;
	uint8_t value[RL_CAPABILITY_SIZE];
	size_t size;
	int result;

	if (!r->last && r->last_type == 'F')
		return 0;
	if (!r->last || !S_ISREG(r->last->inode->mode))
		return rl_table_fail(
			&r->table, r->table.line, XATTR " that does not stand behind a regular file");
	if (r->capabilities.size > CAPABILITIES_MAX)
		return rl_table_fail(&r->table, r->table.line, "too many capabilities for one file");
	rl_buf_printf(&r->capabilities, "%s%s", r->capabilities.size ? " " : "", text);
	rl_buf_char(&r->capabilities, '\0');
	result = rl_capability_parse(r->capabilities.data, value, &size, &why);
	r->capabilities.size--;
	if (!result)
		result = rl_tree_set_xattr(
			r->table.tree, r->last->inode, "security.capability", value, size, &why);
	if (result)
		rl_table_fail(&r->table, r->table.line, "%s: %s", text, why.reason);
	rl_error_clear(&why);
	return result;
}

static int take_line(struct reading *r, char *line, size_t length)
{
	char *fields[FIELDS];
	struct entry e;
	int count;

	if (strlen(line) != length)
		return rl_table_fail(&r->table, r->table.line, "a NUL");
	line += strspn(line, " \t");
	if (!strncmp(line, XATTR, strlen(XATTR)) && strchr(" \t", line[strlen(XATTR)])) {
		line += strlen(XATTR);
		return take_xattr(r, line + strspn(line, " \t"));
	}
	count = split(r, line, fields);
	if (count <= 0)
		return count;
	if (read_entry(r, fields, &e))
		return -1;
	r->last_type = e.type;
	return take_entry(r, &e);
}

int rl_source_devtable(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_table_options *options, struct rl_error *err)
{
	struct reading r = {.last = NULL};
	int result = rl_table_open(&r.table, tree, at, path, "read device table", options, err);
	size_t length;
	char *line;

	while (!result && (line = rl_table_next(&r.table, &length))) {
		result = take_line(&r, line, length);
		if (!result)
			result = rl_check_interrupted(r.table.path, "read", err);
	}
	rl_buf_free(&r.capabilities);
	rl_table_close(&r.table);
	return result;
}
