/* mtree specifications: see table.h for what they are. */
#include "source/directory.h"
#include "source/table-internal.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/signals.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_SIZE ((size_t)256 * 1024)

/* What a line, or /set, says. Bits of `has`. */
enum {
	TYPE = 1 << 0,
	MODE = 1 << 1,
	UID = 1 << 2,
	GID = 1 << 3,
	UNAME = 1 << 4,
	GNAME = 1 << 5,
	TIME = 1 << 6,
	LINK = 1 << 7,
	DEVICE = 1 << 8,
	SIZE = 1 << 9,
	CONTENTS = 1 << 10,
	SHA256 = 1 << 11,
	OPTIONAL = 1 << 12,
	NOCHANGE = 1 << 13,
	FLAGS = 1 << 14,
	IGNORED = 1 << 15,
};

static const struct {
	const char *name;
	unsigned bit;
	bool bare; /* has no value */
} keywords[] = {
	{"type", TYPE, false},
	{"mode", MODE, false},
	{"uid", UID, false},
	{"gid", GID, false},
	{"uname", UNAME, false},
	{"gname", GNAME, false},
	{"time", TIME, false},
	{"link", LINK, false},
	{"device", DEVICE, false},
	{"size", SIZE, false},
	{"contents", CONTENTS, false},
	{"content", CONTENTS, false},
	{"sha256", SHA256, false},
	{"sha256digest", SHA256, false},
	{"optional", OPTIONAL, true},
	{"nochange", NOCHANGE, true},
	{"flags", FLAGS, false},
	/* Other digests, and what only a file system knows. */
	{"ignore", IGNORED, true},
	{"nlink", IGNORED, false},
	{"inode", IGNORED, false},
	{"resdevice", IGNORED, false},
	{"cksum", IGNORED, false},
	{"md5", IGNORED, false},
	{"md5digest", IGNORED, false},
	{"rmd160", IGNORED, false},
	{"rmd160digest", IGNORED, false},
	{"ripemd160digest", IGNORED, false},
	{"sha1", IGNORED, false},
	{"sha1digest", IGNORED, false},
	{"sha384", IGNORED, false},
	{"sha384digest", IGNORED, false},
	{"sha512", IGNORED, false},
	{"sha512digest", IGNORED, false},
	{"tags", IGNORED, false},
};

struct values {
	unsigned has;
	uint32_t type; /* S_IFMT */
	uint32_t mode;
	uint32_t uid, gid;
	const char *uname, *gname, *link, *contents, *sha256; /* decoded, in the table's text */
	int64_t mtime;
	uint32_t mtime_nsec;
	uint32_t major, minor;
	uint64_t size;
};

struct reading {
	struct rl_table table;
	unsigned line; /* where the entry begins */
	struct values set; /* by /set */
	struct rl_node *dir; /* that names without a slash are in */
	struct rl_node **above; /* those that were open when dir was entered: a symlink may have led to it */
	size_t depth, room;
	rl_mtree_file *file; /* only the files of contents= are wanted: NULL, or who gets them */
	void *context;
};

/* ---- words ---- */

static int hex_or_octal(const char *digits, int count, int base)
{
	int value = 0;

	for (int i = 0; i < count; i++) {
		if (digits[i] < '0' || digits[i] >= '0' + base)
			return -1;
		value = value * base + digits[i] - '0';
	}
	return value;
}

/* The byte that stands for what is behind a backslash, and how long that is; -1: nothing does. */
static int unescape(const char *text, size_t *length)
{
	static const char letters[] = "abfnrstv\\#\"'", bytes[] = "\a\b\f\n\r \t\v\\#\"'";
	const char *letter = *text ? strchr(letters, *text) : NULL;
	int value = -1;

	*length = 1;
	if (letter)
		return bytes[letter - letters];
	if (*text >= '0' && *text <= '3') {
		value = hex_or_octal(text, 3, 8);
		*length = 3;
	}
	/* A NUL stands nowhere. */
	return value > 0 ? value : -1;
}

/* vis(3), in place. */
static int decode(struct reading *r, char *text)
{
	char *to = text;

	while (*text) {
		size_t length = 0;
		int byte = *text;

		if (*text == '\\') {
			byte = unescape(text + 1, &length);
			if (byte < 0)
				return rl_table_fail(
					&r->table, r->line, "an escape that is not known: %.4s", text);
		}
		*to++ = (char)byte;
		text += 1 + length;
	}
	*to = '\0';
	return 0;
}

/* ---- values ---- */

static int read_type(struct reading *r, const char *text, struct values *v)
{
	static const struct {
		const char *name;
		uint32_t type;
	} types[] = {{"file", S_IFREG}, {"dir", S_IFDIR}, {"link", S_IFLNK}, {"char", S_IFCHR},
		{"block", S_IFBLK}, {"fifo", S_IFIFO}, {"socket", S_IFSOCK}};

	for (size_t i = 0; i < RL_COUNT(types); i++) {
		if (strcmp(types[i].name, text) != 0)
			continue;
		v->type = types[i].type;
		return 0;
	}
	return rl_table_fail(&r->table, r->line, "a type that is not known: %s", text);
}

/* Seconds, maybe before 1970, and nanoseconds behind a dot: as a number, not as a fraction. */
static int read_time(struct reading *r, char *text, struct values *v)
{
	char *dot = strchr(text, '.'), *digits = text + (*text == '-');
	uint64_t seconds, nanoseconds = 0;

	if (dot)
		*dot = '\0';
	if (!rl_parse_u64(digits, INT64_MAX, &seconds) ||
		(dot && !rl_parse_u64(dot + 1, 999999999, &nanoseconds))) {
		if (dot)
			*dot = '.';
		return rl_table_fail(&r->table, r->line, "a time that is no SECONDS.NANOSECONDS: %s", text);
	}
	v->mtime = *text == '-' ? -(int64_t)seconds : (int64_t)seconds;
	v->mtime_nsec = (uint32_t)nanoseconds;
	if (v->mtime > r->table.options->max_time) {
		v->mtime = r->table.options->max_time;
		v->mtime_nsec = 0;
	}
	return 0;
}

/* Decimal, or hexadecimal behind 0x. */
static bool parse_number(const char *text, uint64_t *value)
{
	char *end;

	if (strncmp(text, "0x", 2) != 0)
		return rl_parse_u64(text, UINT64_MAX, value);
	errno = 0;
	*value = strtoull(text + 2, &end, 16);
	return !errno && end > text + 2 && !*end &&
	       strspn(text + 2, "0123456789abcdefABCDEF") == strlen(text + 2);
}

/* "FORMAT,MAJOR,MINOR", "MAJOR,MINOR", or a number as Linux packs them. */
static int read_device(struct reading *r, const char *text, struct values *v)
{
	char *copy = rl_strdup(text), *rest = copy, *parts[3] = {NULL};
	uint64_t major = 0, minor = 0;
	size_t count = 0;
	bool fine = true;

	while (rest && count < RL_COUNT(parts))
		parts[count++] = strsep(&rest, ",");
	if (count == 3)
		fine = !rest && (!strcmp(parts[0], "linux") || !strcmp(parts[0], "native"));
	if (fine && count > 1)
		fine = parse_number(parts[count - 2], &major) && parse_number(parts[count - 1], &minor);
	if (fine && count == 1) {
		fine = parse_number(parts[0], &minor);
		/* glibc's dev_t: 8 bits of the minor, 12 of the major, the rest of the minor. */
		major = minor >> 8 & 0xfff;
		minor = (minor & 0xff) | (minor >> 12 & 0xfff00);
	}
	free(copy);
	if (!fine || major > RL_MAJOR_MAX || minor > RL_MINOR_MAX)
		return rl_table_fail(&r->table, r->line, "a device that is not linux,MAJOR,MINOR: %s", text);
	v->major = (uint32_t)major;
	v->minor = (uint32_t)minor;
	return 0;
}

static int read_id(struct reading *r, const char *text, uint32_t *id)
{
	uint64_t number;

	if (!rl_parse_u64(text, UINT32_MAX - 1, &number))
		return rl_table_fail(&r->table, r->line, "an owner that is no number: %s", text);
	*id = (uint32_t)number;
	return 0;
}

static int read_value(struct reading *r, unsigned bit, char *text, struct values *v)
{
	switch (bit) {
	case TYPE:
		return read_type(r, text, v);
	case MODE:
		return rl_parse_mode(text, &v->mode)
			       ? 0
			       : rl_table_fail(
					 &r->table, r->line, "a mode that is not octal up to 7777: %s", text);
	case UID:
		return read_id(r, text, &v->uid);
	case GID:
		return read_id(r, text, &v->gid);
	case UNAME:
		v->uname = text;
		return decode(r, text);
	case GNAME:
		v->gname = text;
		return decode(r, text);
	case TIME:
		return read_time(r, text, v);
	case LINK:
		v->link = text;
		return decode(r, text);
	case DEVICE:
		return read_device(r, text, v);
	case SIZE:
		return rl_parse_u64(text, INT64_MAX, &v->size)
			       ? 0
			       : rl_table_fail(&r->table, r->line, "a size that is no number: %s", text);
	case CONTENTS:
		v->contents = text;
		return decode(r, text);
	case SHA256:
		v->sha256 = text;
		return 0;
	case FLAGS:
		return !*text || !strcmp(text, "none")
			       ? 0
			       : rl_table_fail(&r->table, r->line, "file flags are not supported: %s", text);
	default:
		return 0;
	}
}

static size_t find_keyword(const char *word, size_t size)
{
	size_t i = 0;

	while (i < RL_COUNT(keywords) &&
		(strlen(keywords[i].name) != size || strncmp(keywords[i].name, word, size) != 0))
		i++;
	return i;
}

/* "key=value key ..." */
static int read_words(struct reading *r, char *rest, struct values *v)
{
	char *word;

	while ((word = strsep(&rest, " \t"))) {
		size_t size = strcspn(word, "="), i = find_keyword(word, size);
		char *value = word[size] ? word + size + 1 : NULL;

		if (!*word)
			continue;
		if (i == RL_COUNT(keywords))
			return rl_table_fail(
				&r->table, r->line, "a keyword that is not known: %.*s", (int)size, word);
		if (!value && !keywords[i].bare)
			return rl_table_fail(&r->table, r->line, "a keyword without a value: %s", word);
		if (read_value(r, keywords[i].bit, value, v))
			return -1;
		v->has |= keywords[i].bit;
	}
	return 0;
}

static int unset_words(struct reading *r, char *rest)
{
	char *word;

	while ((word = strsep(&rest, " \t"))) {
		size_t i = find_keyword(word, strlen(word));

		if (!*word)
			continue;
		if (!strcmp(word, "all"))
			r->set.has = 0;
		else if (i == RL_COUNT(keywords))
			return rl_table_fail(&r->table, r->line, "a keyword that is not known: %s", word);
		else
			r->set.has &= ~keywords[i].bit;
	}
	return 0;
}

/* ---- entries ---- */

/* Numbers come before names, which are those of the image. */
static int set_owner(struct reading *r, const struct values *v, struct rl_inode *inode)
{
	uint32_t id;

	if (v->has & UID) {
		inode->uid = v->uid;
	} else if (v->has & UNAME && strcmp(v->uname, "root") != 0) {
		if (rl_table_owner(&r->table, r->line, false, v->uname, &id))
			return -1;
		inode->uid = id == RL_KEEP_ID ? inode->uid : id;
	} else if (v->has & UNAME) {
		inode->uid = 0;
	}
	if (v->has & GID) {
		inode->gid = v->gid;
	} else if (v->has & GNAME && strcmp(v->gname, "root") != 0) {
		if (rl_table_owner(&r->table, r->line, true, v->gname, &id))
			return -1;
		inode->gid = id == RL_KEEP_ID ? inode->gid : id;
	} else if (v->has & GNAME) {
		inode->gid = 0;
	}
	return 0;
}

static int set_attributes(struct reading *r, const struct values *v, struct rl_inode *inode)
{
	if (v->has & MODE && !S_ISLNK(inode->mode))
		inode->mode = (inode->mode & S_IFMT) | v->mode;
	if (v->has & TIME) {
		inode->mtime = v->mtime;
		inode->mtime_nsec = v->mtime_nsec;
	}
	if (v->has & DEVICE && (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))) {
		inode->device.major = v->major;
		inode->device.minor = v->minor;
	}
	return set_owner(r, v, inode);
}

/* A file on the host, beside the specification. The caller frees it. */
static char *path_of_contents(const struct reading *r, const struct values *v)
{
	const char *slash = strrchr(r->table.path, '/');
	size_t folder = *v->contents == '/' || !slash ? 0 : (size_t)(slash + 1 - r->table.path);

	return rl_printf("%.*s%s", (int)folder, r->table.path, v->contents);
}

static int set_contents(struct reading *r, const struct values *v, struct rl_inode *inode)
{
	char *path = path_of_contents(r, v);
	struct rl_error why = RL_ERROR_NONE;
	int result = rl_source_file(r->table.tree, inode, path, &why);

	if (result)
		rl_table_fail(&r->table, r->line, "contents=%s: %s", path, why.reason);
	rl_error_clear(&why);
	free(path);
	return result;
}

static int set_target(struct reading *r, const struct values *v, struct rl_inode *inode)
{
	struct rl_error why = RL_ERROR_NONE;
	int result = rl_tree_set_target(r->table.tree, inode, v->link, strlen(v->link), &why);

	if (result)
		rl_table_fail(&r->table, r->line, "link: %s", why.reason);
	rl_error_clear(&why);
	return result;
}

static int hash_content(struct reading *r, const struct rl_inode *inode, char hex[RL_SHA256_HEX])
{
	struct rl_hash *hash = rl_hash_new();
	struct rl_bytes bytes;
	char *chunk = rl_alloc(READ_SIZE);
	int result = rl_content_open(inode, &bytes, r->table.err);

	for (uint64_t at = 0; !result && at < inode->size;) {
		size_t n = inode->size - at < READ_SIZE ? (size_t)(inode->size - at) : READ_SIZE;

		if (rl_content_read(inode, &bytes, chunk, n, at))
			result = rl_table_fail(&r->table, r->line, "its content: %s", strerror(errno));
		else
			rl_hash_bytes(hash, chunk, n);
		at += n;
	}
	rl_content_close(&bytes);
	rl_hash_end_hex(hash, hex);
	free(chunk);
	return result;
}

/* That the content is what the entry says. */
static int check_content(struct reading *r, const struct values *v, const struct rl_inode *inode)
{
	char hex[RL_SHA256_HEX];

	if (!S_ISREG(inode->mode))
		return 0;
	if (v->has & SIZE && v->size != inode->size)
		return rl_table_fail(&r->table, r->line, "its size is %llu, and its content has %llu bytes%s",
			(unsigned long long)v->size, (unsigned long long)inode->size,
			v->has & CONTENTS ? "" : ": there is no contents=");
	if (!(v->has & SHA256))
		return 0;
	if (hash_content(r, inode, hex))
		return -1;
	return strcasecmp(hex, v->sha256)
		       ? rl_table_fail(&r->table, r->line, "its content has another SHA-256: %s", hex)
		       : 0;
}

/* A name that is not there, or is to be something else. */
static int make(
	struct reading *r, const struct values *v, const struct rl_place *place, struct rl_node **node)
{
	uint32_t mode = v->type | (v->type == S_IFDIR ? 0755 : v->type == S_IFLNK ? 0777 : 0644);

	if (v->type == S_IFLNK && !(v->has & LINK))
		return rl_table_fail(&r->table, r->line, "a symlink without link=");
	if ((v->type == S_IFCHR || v->type == S_IFBLK) && !(v->has & DEVICE))
		return rl_table_fail(&r->table, r->line, "a device without device=");
	return rl_table_put(&r->table, r->line, place, mode, node);
}

static int fill(struct reading *r, const struct values *v, struct rl_node *node)
{
	struct rl_inode *inode = node->inode;

	if (S_ISREG(inode->mode) && v->has & CONTENTS && set_contents(r, v, inode))
		return -1;
	if (S_ISLNK(inode->mode) && v->has & LINK && set_target(r, v, inode))
		return -1;
	if (set_attributes(r, v, inode) || check_content(r, v, inode))
		return -1;
	rl_tree_touch(r->table.tree, node);
	return 0;
}

/* Only what it says is changed; what is missing is made. *node is NULL if there is nothing to do. */
static int take_node(struct reading *r, struct values *v, const struct rl_place *place, struct rl_node **node)
{
	struct rl_node *old = place->size
				      ? rl_tree_child(r->table.tree, place->parent, place->name, place->size)
				      : place->parent;
	struct rl_node *target = old && v->has & TYPE && v->type == S_IFDIR && S_ISLNK(old->inode->mode)
					 ? rl_place_follow(&r->table.scope, old)
					 : NULL;

	/* A directory behind a symlink, as /lib in a usrmerged root, is the one that is meant. */
	*node = old = target ? target : old;
	if (!old && v->has & OPTIONAL && !(v->has & CONTENTS) && (!(v->has & TYPE) || v->type == S_IFREG))
		return 0;
	if (!(v->has & TYPE) && !old)
		return rl_table_fail(&r->table, r->line, "it is not there, and has no type");
	if (!(v->has & TYPE))
		v->type = old->inode->mode & S_IFMT;
	if (old && v->has & NOCHANGE)
		return 0;
	if (!place->size && v->type != S_IFDIR)
		return rl_table_fail(
			&r->table, r->line, "it would replace the directory that everything goes to");
	if ((!old || (old->inode->mode & S_IFMT) != v->type || v->has & CONTENTS) && make(r, v, place, node))
		return -1;
	return fill(r, v, *node);
}

/* Whether the directory is still where it was, or something replaced it or what it is in. */
static bool is_there(const struct reading *r, const struct rl_node *dir)
{
	for (; dir; dir = dir->parent) {
		if (!rl_is_dir(dir->inode))
			return false;
		if (dir == r->table.tree->root)
			return true;
	}
	return false;
}

/* A name with a slash is a path from the top on; the others are in the directory of the lines before. */
static int find_place(struct reading *r, const char *name, struct rl_place *place)
{
	const char *problem;

	if (strchr(name, '/') || !strcmp(name, ".")) {
		/* libarchive writes "/." for the top. */
		name += strspn(name, "/");
		problem = rl_place_find(&r->table.scope, name, true, place);
		return problem ? rl_table_fail(&r->table, r->line, "%s: %s", problem, name) : 0;
	}
	if (!is_there(r, r->dir))
		return rl_table_fail(
			&r->table, r->line, "the directory that it is in was replaced: %s", name);
	problem = rl_name_problem(name, strlen(name));
	*place = (struct rl_place){.parent = r->dir, .name = name, .size = strlen(name)};
	return *problem ? rl_table_fail(&r->table, r->line, "%s: %s", problem, name) : 0;
}

static void enter_dir(struct reading *r, struct rl_node *dir)
{
	RL_GROW(r->above, r->depth, r->room);
	r->above[r->depth++] = r->dir;
	r->dir = dir;
}

static int leave_dir(struct reading *r)
{
	if (!r->depth)
		return rl_table_fail(&r->table, r->line, "\"..\" above the top");
	r->dir = r->above[--r->depth];
	return 0;
}

static int take_entry(struct reading *r, char *name, char *rest)
{
	struct values v = r->set;
	struct rl_place place;
	struct rl_node *node;
	bool whole = strchr(name, '/') != NULL;

	if (read_words(r, rest, &v) || decode(r, name))
		return -1;
	if (r->file) {
		char *path = v.has & CONTENTS ? path_of_contents(r, &v) : NULL;
		int result = path ? r->file(path, r->context) : 0;

		free(path);
		return result;
	}
	/* One that was written as an escape would be a part of a name. */
	if (!whole && strchr(name, '/'))
		return rl_table_fail(&r->table, r->line, "a slash in a name: %s", name);
	if (find_place(r, name, &place) || take_node(r, &v, &place, &node))
		return -1;
	if (node && !whole && rl_is_dir(node->inode))
		enter_dir(r, node);
	return 0;
}

static int take_line(struct reading *r, char *line)
{
	char *name = line + strspn(line, " \t"), *rest = name + strcspn(name, " \t");

	if (!*name || *name == '#')
		return 0;
	if (*rest)
		*rest++ = '\0';
	if (!strcmp(name, "/set"))
		return read_words(r, rest, &r->set);
	if (!strcmp(name, "/unset"))
		return unset_words(r, rest);
	if (strcmp(name, "..") != 0)
		return take_entry(r, name, rest);
	return r->file ? 0 : leave_dir(r);
}

/* One that ends with a backslash goes on in the next one. */
static bool goes_on(const char *line, size_t length)
{
	size_t backslashes = 0;

	while (backslashes < length && line[length - 1 - backslashes] == '\\')
		backslashes++;
	return backslashes % 2 == 1;
}

/* The next line, with those that it goes on in. */
static int next_line(struct reading *r, char **line)
{
	size_t length, more, seen = 0;
	char *next;

	*line = rl_table_next(&r->table, &length);
	r->line = r->table.line;
	while (*line) {
		if (memchr(*line + seen, '\0', length - seen))
			return rl_table_fail(&r->table, r->table.line, "a NUL");
		if (rl_check_interrupted(r->table.path, "read", r->table.err))
			return -1;
		seen = length;
		if (!goes_on(*line, length))
			break;
		next = rl_table_next(&r->table, &more);
		if (!next)
			return rl_table_fail(&r->table, r->table.line, "it ends in the middle of a line");
		/* The lines lie behind one another: what is between them becomes blanks. */
		memset(*line + length - 1, ' ', (size_t)(next - (*line + length - 1)));
		length = (size_t)(next - *line) + more;
	}
	return 0;
}

static int read_all(struct reading *r)
{
	char *line;
	int result = 0;

	while (!result) {
		result = next_line(r, &line);
		if (result || !line)
			break;
		result = take_line(r, line);
	}
	rl_table_close(&r->table);
	free(r->above);
	return result;
}

int rl_source_mtree(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_table_options *options, struct rl_error *err)
{
	struct reading r = {.dir = at};

	if (rl_table_open(&r.table, tree, at, path, "read mtree", options, err)) {
		rl_table_close(&r.table);
		return -1;
	}
	return read_all(&r);
}

int rl_mtree_files(const char *path, rl_mtree_file *file, void *context, struct rl_error *err)
{
	const struct rl_table_options options = {.max_time = INT64_MAX};
	struct rl_tree *tree = rl_tree_new();
	struct reading r = {.dir = tree->root, .file = file, .context = context};
	int result = rl_table_open(&r.table, tree, tree->root, path, "read mtree", &options, err);

	if (result)
		rl_table_close(&r.table);
	else
		result = read_all(&r);
	rl_tree_free(tree);
	return result;
}
