#include "cmd/image-id.h"
#include "cmd/image-path.h"
#include "cmd/json.h"
#include "cmd/show.h"

#include "base/mem.h"
#include "base/text.h"
#include "ext/walk.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/*
 * find's tests begin with one dash, as everybody knows them: they are taken out of the command line before the
 * options are read.
 */
enum kind {
	NAME,
	INAME,
	PATH,
	TYPE,
	SIZE,
	USER,
	UID,
	GROUP,
	GID,
	PERM,
	NEWER,
	MTIME,
	LINKS,
	INUM,
	EMPTY,
	/* No tests: find's own words for our options. */
	MAXDEPTH,
	MINDEPTH,
	PRINT0
};

struct test {
	enum kind kind;
	bool negated;
	const char *text; /* as it was given */
	int sign; /* of "+5": 1, "-5": -1, "5": 0; PERM: '-' all of these bits 1, '/' any of them -1 */
	uint64_t number, unit;
	bool named; /* USER, GROUP: number is what the image says, for each anew */
	int64_t time;
	uint32_t time_nsec;
};

static const struct {
	const char *word;
	enum kind kind;
	bool has_value;
} words[] = {
	{"-name", NAME, true},
	{"-iname", INAME, true},
	{"-path", PATH, true},
	{"-type", TYPE, true},
	{"-size", SIZE, true},
	{"-user", USER, true},
	{"-uid", UID, true},
	{"-group", GROUP, true},
	{"-gid", GID, true},
	{"-perm", PERM, true},
	{"-newer", NEWER, true},
	{"-mtime", MTIME, true},
	{"-links", LINKS, true},
	{"-inum", INUM, true},
	{"-empty", EMPTY, false},
	{"-maxdepth", MAXDEPTH, true},
	{"-mindepth", MINDEPTH, true},
	{"-print0", PRINT0, false},
};

enum { OPT_JSON = 256, OPT_MAXDEPTH };

static const struct rl_option options[] = {
	{'0', "print0", NULL, "a NUL behind each name, and nothing escaped"},
	{OPT_JSON, "json", NULL, "one JSON object a line"},
	{OPT_MAXDEPTH, "max-depth", "N", "no deeper than that"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

struct search {
	struct rl_cmd *cmd;
	struct rl_image *image;
	struct test *tests;
	size_t count, room;
	uint64_t min_depth, max_depth;
	struct timespec now;
	bool zero, json;
	bool several; /* images: then each path has its own in front */
};

/* ---- the tests ---- */

/* "+5", "-5", "5": with a unit behind it if units are given. */
static bool read_number(struct test *test, const char *text, bool units)
{
	char *digits;
	size_t size;
	bool good;

	test->sign = *text == '+' ? 1 : *text == '-' ? -1 : 0;
	text += *text == '+' || *text == '-';
	size = strlen(text);
	test->unit = units ? 512 : 1;
	if (units && size && strchr("cwbkMG", text[size - 1])) {
		test->unit = text[size - 1] == 'c'   ? 1
			     : text[size - 1] == 'w' ? 2
			     : text[size - 1] == 'b' ? 512
			     : text[size - 1] == 'k' ? 1024
			     : text[size - 1] == 'M' ? 1 << 20
						     : 1 << 30;
		size--;
	}
	digits = rl_strndup(text, size);
	good = rl_parse_u64(digits, UINT64_MAX >> 31, &test->number);
	free(digits);
	return good;
}

static bool read_permissions(struct test *test, const char *text)
{
	uint32_t mode;

	test->sign = *text == '-' ? 1 : *text == '/' ? -1 : 0;
	if (!rl_parse_mode(text + (test->sign != 0), &mode))
		return false;
	test->number = mode;
	return true;
}

/* A file of the host, or @SECONDS. */
static bool read_newer(struct test *test, const char *text)
{
	struct stat st;
	uint64_t seconds;

	if (*text == '@' && rl_parse_u64(text + 1, INT64_MAX, &seconds)) {
		test->time = (int64_t)seconds;
		return true;
	}
	if (stat(text, &st))
		return false;
	test->time = st.st_mtim.tv_sec;
	test->time_nsec = (uint32_t)st.st_mtim.tv_nsec;
	return true;
}

static int read_value(struct rl_cmd *cmd, struct test *test, const char *word, const char *text)
{
	bool good = true;

	test->text = text;
	switch (test->kind) {
	case TYPE:
		good = strspn(text, "bcdpfls,") == strlen(text) && *text;
		break;
	case SIZE:
		good = read_number(test, text, true);
		break;
	case USER:
	case GROUP:
		test->named = !read_number(test, text, false);
		good = *text != '\0';
		break;
	case UID:
	case GID:
	case MTIME:
	case LINKS:
	case INUM:
	case MAXDEPTH:
	case MINDEPTH:
		good = read_number(test, text, false) && (test->kind < MAXDEPTH || !test->sign);
		break;
	case PERM:
		good = read_permissions(test, text);
		break;
	case NEWER:
		good = read_newer(test, text);
		break;
	default:
		break;
	}
	return good ? 0
		    : rl_cmd_usage(cmd, "%s cannot take '%s'%s", word, text,
			      test->kind == NEWER ? ": a file here, or @SECONDS" : "");
}

/* Whether it is none, but an option in find's words: then that is set. */
static bool take_option(struct search *s, const struct test *test)
{
	switch (test->kind) {
	case MAXDEPTH:
		s->max_depth = test->number;
		return true;
	case MINDEPTH:
		s->min_depth = test->number;
		return true;
	case PRINT0:
		return s->zero = true;
	default:
		return false;
	}
}

/* Takes the tests out of the words that are left; *argv keeps the rest. */
static int take_tests(struct rl_cmd *cmd, struct search *s)
{
	char **to = cmd->argv;
	bool negated = false;

	for (char **from = cmd->argv; *from; from++) {
		size_t i = 0;

		while (i < RL_COUNT(words) && strcmp(words[i].word, *from) != 0)
			i++;
		if (!strcmp(*from, "!") || !strcmp(*from, "-not")) {
			negated = !negated;
			continue;
		}
		if (negated && (i == RL_COUNT(words) || words[i].kind >= MAXDEPTH))
			return rl_cmd_usage(cmd, "! stands in front of a test, not of %s", *from);
		if (i == RL_COUNT(words)) {
			*to++ = *from;
			continue;
		}
		RL_GROW(s->tests, s->count, s->room);
		s->tests[s->count] = (struct test){.kind = words[i].kind, .negated = negated};
		negated = false;
		if (words[i].has_value && !from[1])
			return rl_cmd_usage(cmd, "%s needs a value", *from);
		if (words[i].has_value && read_value(cmd, &s->tests[s->count], *from, from[1]))
			return -1;
		from += words[i].has_value;
		s->count += !take_option(s, &s->tests[s->count]);
	}
	*to = NULL;
	return negated ? rl_cmd_usage(cmd, "! stands in front of a test") : 0;
}

static bool fits_number(const struct test *test, uint64_t number)
{
	uint64_t units = (number + test->unit - 1) / test->unit;

	return test->sign > 0   ? units > test->number
	       : test->sign < 0 ? units < test->number
				: units == test->number;
}

/* Whole days: what is left of one does not count. */
static bool fits_age(const struct search *s, const struct test *test, const struct rl_image_inode *inode)
{
	const int64_t day = 24 * 60 * 60;
	int64_t age = s->now.tv_sec - inode->mtime - (s->now.tv_nsec < inode->mtime_nsec);
	int64_t days = age / day - (age % day < 0), wanted = (int64_t)test->number;

	return test->sign > 0 ? days > wanted : test->sign < 0 ? days < wanted : days == wanted;
}

static bool has_type(const char *list, uint32_t mode)
{
	char letter = rl_show_type(mode);

	return strchr(list, letter == '-' ? 'f' : letter) != NULL;
}

static int count_entry(const struct rl_image_entry *entry, void *context)
{
	(void)context;
	return entry->name[0] == '.' && (entry->size == 1 || (entry->size == 2 && entry->name[1] == '.')) ? 0
													  : 1;
}

static bool is_empty(struct search *s, const struct rl_walk_entry *entry)
{
	struct rl_error err = RL_ERROR_NONE;
	int result;

	if (S_ISREG(entry->inode->mode))
		return !entry->inode->size;
	if (!S_ISDIR(entry->inode->mode))
		return false;
	result = rl_image_list(s->image, entry->inode, entry->path, count_entry, NULL, &err);
	/* Going into it will tell what is broken. */
	rl_error_clear(&err);
	return !result;
}

static bool fits(struct search *s, const struct test *test, const struct rl_walk_entry *entry)
{
	const struct rl_image_inode *inode = entry->inode;
	uint32_t mode = inode->mode & 07777;

	switch (test->kind) {
	case NAME:
		return !fnmatch(test->text, entry->name, 0);
	case INAME:
		return !fnmatch(test->text, entry->name, FNM_CASEFOLD);
	case PATH:
		return !fnmatch(test->text, entry->path, 0);
	case TYPE:
		return has_type(test->text, inode->mode);
	case SIZE:
		return fits_number(test, inode->size);
	case USER:
	case UID:
		return fits_number(test, inode->uid);
	case GROUP:
	case GID:
		return fits_number(test, inode->gid);
	case MTIME:
		return fits_age(s, test, inode);
	case LINKS:
		return fits_number(test, inode->links);
	case INUM:
		return fits_number(test, inode->number);
	case PERM:
		return test->sign > 0   ? (mode & test->number) == test->number
		       : test->sign < 0 ? (mode & test->number) || !test->number
					: mode == test->number;
	case NEWER:
		return inode->mtime > test->time ||
		       (inode->mtime == test->time && inode->mtime_nsec > test->time_nsec);
	default:
		return is_empty(s, entry);
	}
}

/* ---- the walk ---- */

static void print(const struct search *s, const struct rl_walk_entry *entry)
{
	const char *image = s->several ? rl_image_path(s->image) : NULL;

	if (s->json) {
		rl_show_json_of(image, entry->path, entry->inode, NULL);
	} else if (s->zero) {
		if (image)
			printf("%s:", image);
		fwrite(entry->path, 1, strlen(entry->path) + 1, stdout);
	} else {
		rl_show_path(image, entry->path);
	}
}

static int enter(const struct rl_walk_entry *entry, void *context)
{
	struct search *s = context;
	bool wanted = entry->depth >= s->min_depth;

	for (size_t i = 0; i < s->count && wanted; i++)
		wanted = fits(s, &s->tests[i], entry) != s->tests[i].negated;
	if (wanted)
		print(s, entry);
	return entry->depth >= s->max_depth;
}

/* Looks the names of users and groups up in the image. */
static int find_names(struct search *s, const char *word)
{
	struct rl_image_path ip;
	int result = 0;

	if (rl_image_path_open(s->cmd, word, &ip))
		return -1;
	for (size_t i = 0; i < s->count && !result; i++) {
		struct test *test = &s->tests[i];

		if (test->named)
			result = rl_image_id(ip.image, test->kind == USER ? RL_IMAGE_USER : RL_IMAGE_GROUP,
				test->text, &test->number, &s->cmd->err);
	}
	rl_image_path_close(&ip);
	return result;
}

static int search(const char *word, void *context)
{
	struct search *s = context;
	const struct rl_walk walk = {.enter = enter, .context = s};

	if (find_names(s, word))
		return -1;
	return rl_image_path_walk(s->cmd, word, true, &walk, &s->image);
}

static int run(struct rl_cmd *cmd)
{
	struct search s = {.cmd = cmd, .max_depth = UINT64_MAX};
	struct rl_show_words images = {.items = NULL};
	int id, result = take_tests(cmd, &s);

	clock_gettime(CLOCK_REALTIME, &s.now);
	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		if (id == '0')
			s.zero = true;
		else if (id == OPT_JSON)
			s.json = true;
		else if (id == OPT_MAXDEPTH && !rl_parse_u64(cmd->value, UINT32_MAX, &s.max_depth))
			result = rl_cmd_usage(cmd, "--max-depth takes a number, not '%s'", cmd->value);
		else if (id == RL_CMD_ARG)
			rl_show_add(&images, cmd->value);
		else if (id == RL_CMD_USAGE)
			result = -1;
	}
	s.several = rl_show_several(&images);
	result = rl_show_each(cmd, result, &images, "which image?", search, &s);
	free(s.tests);
	return result;
}

const struct rl_verb rl_verb_find = {"find", run, "Looking:", "IMAGE[:PATH]... [TEST]...",
	"find files in an image by name, type, size, owner, mode or time",
	"Tests, all of which must hold; ! in front of one turns it round:\n\n"
	"  -name GLOB     its last component          -path GLOB    its whole path: * is slashes, too\n"
	"  -iname GLOB    the same, in either case    -empty        a file or directory with nothing in it\n"
	"  -type LETTERS  of b, c, d, p, f, l, s      -mtime N      changed so many days ago\n"
	"  -size N        in blocks of 512 bytes; with c, k, M, G behind it in bytes, KiB, MiB, GiB\n"
	"  -user NAME, -group NAME                    of the image's /etc/passwd, /etc/group; or numbers\n"
	"  -uid N, -gid N, -links N, -inum N          +N: more, -N: less, of all numbers\n"
	"  -perm MODE     -MODE: all of these bits, /MODE: any of them\n"
	"  -newer FILE    than a file here; or @SECONDS since 1970\n\n"
	"-maxdepth N, -mindepth N: no deeper, or less deep, than that. -print0 is -0.\n\n"
	"  rootlet find root.ext4:/usr -name '*.so*' -type f\n  rootlet find root.ext4 -perm /6000\n",
	options};
