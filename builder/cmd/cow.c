/* COW files of UML: made, looked at, and brought together with their backing files again. */
#include "cmd/image-path.h"
#include "cmd/json.h"
#include "cmd/show.h"

#include "base/mem.h"
#include "base/text.h"
#include "ext/owner.h"
#include "ubd/cow.h"
#include "ubd/disk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OPT_JSON = 256, OPT_HEADER_ONLY };

static const struct rl_option options[] = {
	{'o', "output", "FILE",
		"commit: to this file (-: standard output), which has all of the disk; the others stay"},
	{OPT_HEADER_ONLY, "header-only", NULL,
		"rebase: the new backing file has the same bytes as the old one"},
	{OPT_JSON, "json", NULL, "info, diff: as JSON"},
	RL_OPTIONS_COW,
	{0, NULL, NULL, NULL},
};

struct cow {
	struct rl_cmd *cmd;
	const char *file, *other; /* the COW file; what else was named, or NULL */
	const char *output;
	bool json, header_only;
};

static int open_disk(struct cow *c, struct rl_disk **disk)
{
	c->cmd->image.disk.cow = true;
	return rl_disk_open(c->file, &c->cmd->image.disk, disk, &c->cmd->err);
}

/* ---- create ---- */

static int create(struct cow *c)
{
	const char *backing = c->other ? c->other : c->cmd->image.disk.backing;
	struct stat st;

	if (!backing)
		return rl_cmd_usage(c->cmd, "create: which backing file?");
	if (!strcmp(c->file, "-"))
		return rl_fail(&c->cmd->err, "standard output", "create",
			"a COW file is made in place (./- is a file of that name)");
	if (!c->cmd->image.disk.force && !stat(c->file, &st) && stat(backing, &st))
		return rl_cmd_usage(c->cmd, "create: the COW file comes first, then its backing file");
	if (rl_cow_create(c->file, backing, c->cmd->image.disk.force, &c->cmd->err))
		return -1;
	rl_cmd_note(c->cmd, "%s: created over %s", c->file, backing);
	return 0;
}

/* ---- info ---- */

struct summary {
	uint64_t set, ranges; /* bytes whose bits are set */
	uint64_t allocated; /* what the file takes on its disk */
	const char *state;
};

static void sum_up(const struct rl_disk *disk, struct summary *sum)
{
	uint64_t at = 0, length;
	struct stat st;

	for (; rl_disk_next_set(disk, at, &at, &length); at += length) {
		sum->set += length;
		sum->ranges++;
	}
	if (!fstat(rl_disk_fd(disk), &st))
		sum->allocated = (uint64_t)st.st_blocks * 512;
}

static void print_info(const struct cow *c, const struct rl_cow *cow, const struct summary *sum)
{
	time_t t = (time_t)cow->mtime;
	char a[16], b[16], when[40] = "";
	struct tm tm;

	if (cow->mtime != RL_COW_COMMITTING && gmtime_r(&t, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	printf("%-12s ", "file");
	rl_show_line(c->file);
	printf("%-12s ", "backing");
	rl_show_line(cow->backing);
	printf("%-12s %s\n", "its time", *when ? when : "unknown");
	printf("%-12s ", "state");
	rl_show_line(sum->state);
	printf("%-12s %u%s\n", "version", cow->version, cow->padded ? " (padded)" : "");
	printf("%-12s %s (%" PRIu64 " bytes), sectors of %u\n", "size", rl_format_size(a, cow->size),
		cow->size, cow->sector);
	printf("%-12s %s in %" PRIu64 " ranges\n", "marked", rl_format_size(a, sum->set), sum->ranges);
	printf("%-12s %s\n", "takes", rl_format_size(b, sum->allocated));
	printf("%-12s %" PRIu64 ", data at %" PRIu64 "\n", "bitmap at", cow->bitmap_at, cow->data_at);
}

static void print_info_json(const struct cow *c, const struct rl_cow *cow, const struct summary *sum)
{
	rl_json_print(json_pack("{s:o,s:o,s:I,s:o,s:i,s:I,s:i,s:I,s:I,s:I,s:I,s:I}", "file",
		rl_json_text(c->file), "backing", rl_json_text(cow->backing), "backing_mtime",
		(json_int_t)cow->mtime, "state", rl_json_text(sum->state), "version", (int)cow->version,
		"size", (json_int_t)cow->size, "sector_size", (int)cow->sector, "marked_bytes",
		(json_int_t)sum->set, "marked_ranges", (json_int_t)sum->ranges, "allocated",
		(json_int_t)sum->allocated, "bitmap_offset", (json_int_t)cow->bitmap_at, "data_offset",
		(json_int_t)cow->data_at));
}

static int info(struct cow *c)
{
	struct summary sum = {.state = "good"};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_disk *disk;

	c->cmd->image.disk.cow = true;
	if (rl_disk_open(c->file, &c->cmd->image.disk, &disk, &err)) {
		/* Also where the backing file is gone: that is what one wants to know then. */
		c->cmd->image.disk.header_only = true;
		sum.state = err.reason;
		if (open_disk(c, &disk)) {
			rl_error_clear(&err);
			return -1;
		}
	} else if (rl_disk_cow(disk)->mtime == RL_COW_COMMITTING) {
		sum.state = "a commit was cut short: `rootlet cow commit` finishes it";
	}
	sum_up(disk, &sum);
	(c->json ? print_info_json : print_info)(c, rl_disk_cow(disk), &sum);
	rl_disk_close(disk);
	rl_error_clear(&err);
	return 0;
}

/* ---- diff ---- */

struct differing {
	struct cow *c;
	uint32_t sector;
	struct rl_owners *now, *before; /* NULL: no file system is there */
	struct rl_json_list list;
};

static void tell(struct rl_error *err, void *context)
{
	rl_show_trouble(context, err);
}

static bool has_group(const struct rl_owner *owner)
{
	return owner->kind >= RL_OWNER_SUPERBLOCK && owner->kind <= RL_OWNER_INODES;
}

static void print_range(
	struct differing *d, uint64_t offset, uint64_t length, const struct rl_owner *owner, bool was)
{
	uint64_t first = offset / d->sector, last = (offset + length - 1) / d->sector;
	char size[16];

	if (d->c->json) {
		json_t *item = json_pack("{s:I,s:I,s:I}", "first_sector", (json_int_t)first, "last_sector",
			(json_int_t)last, "bytes", (json_int_t)length);

		if (d->now)
			json_object_set_new(item, "owner", json_string(rl_owner_kind_name(owner->kind)));
		if (was)
			json_object_set_new(item, "before", json_true());
		if (owner->path) {
			json_object_set_new(item, "inode", json_integer(owner->inode));
			json_object_set_new(item, "path", rl_json_text(owner->path));
		} else if (has_group(owner)) {
			json_object_set_new(item, "group", json_integer(owner->group));
		}
		rl_json_list_item(&d->list, item);
		return;
	}
	printf("%10" PRIu64 "-%-10" PRIu64 " %6s  %s", first, last, rl_format_size(size, length),
		was ? "was " : "");
	if (!d->now) {
		printf("-\n");
	} else if (owner->path) {
		printf("%s", owner->kind == RL_OWNER_MAP ? "map of " : "");
		rl_show_line(owner->path);
	} else if (has_group(owner)) {
		printf("%s of group %u\n", rl_owner_kind_name(owner->kind), owner->group);
	} else {
		printf("%s\n", rl_owner_kind_name(owner->kind));
	}
}

/* Split where it belongs to somebody else; what is free now is told by whom it belonged to before. */
static int show_range(uint64_t offset, uint64_t length, void *context)
{
	struct differing *d = context;
	uint64_t n;

	for (; length; length -= n, offset += n) {
		struct rl_owner owner = {.kind = RL_OWNER_USED}, old = {.kind = RL_OWNER_FREE};

		n = d->now ? rl_owners_find(d->now, offset, length, &owner) : length;
		if (d->before && owner.kind == RL_OWNER_FREE)
			n = rl_owners_find(d->before, offset, n, &old);
		print_range(
			d, offset, n, old.kind != RL_OWNER_FREE ? &old : &owner, old.kind != RL_OWNER_FREE);
	}
	return 0;
}

/* The file system on a disk, if there is one. */
static struct rl_owners *owners_of(struct cow *c, const char *path, const struct rl_image_options *opening,
	struct rl_image **image, struct rl_error *err)
{
	if (rl_image_open(path, opening, image, err))
		return NULL;
	return rl_owners_load(*image, tell, c->cmd);
}

static int diff(struct cow *c)
{
	struct differing d = {.c = c};
	struct rl_image *now = NULL, *before = NULL;
	struct rl_error none = RL_ERROR_NONE;
	struct rl_disk *disk;
	int result;

	if (open_disk(c, &disk))
		return -1;
	d.sector = rl_disk_cow(disk)->sector;
	d.now = owners_of(c, c->file, &c->cmd->image, &now, &none);
	if (!d.now)
		rl_cmd_note(
			c->cmd, "%s: no file system to tell whose the sectors are: %s", c->file, none.reason);
	else
		d.before = owners_of(c, rl_disk_backing(disk), NULL, &before, NULL);
	if (c->json)
		rl_json_list_begin(&d.list, json_pack("{s:o}", "file", rl_json_text(c->file)), "changes");
	result = rl_cow_changes(disk, show_range, &d, &c->cmd->err);
	if (c->json)
		rl_json_list_end(&d.list);
	rl_error_clear(&none);
	rl_owners_free(d.now);
	rl_owners_free(d.before);
	rl_image_close(now);
	rl_image_close(before);
	rl_disk_close(disk);
	return result;
}

/* ---- what changes files ---- */

/* All of the disk to another file. */
static int merge(struct cow *c)
{
	bool is_stdout = !strcmp(c->output, "-");
	const char *name = is_stdout ? "standard output" : c->output;
	struct rl_disk *disk;
	char size[16];
	int result;

	if (is_stdout && isatty(STDOUT_FILENO))
		return rl_fail(&c->cmd->err, name, "write", "a disk is not for a terminal");
	if (open_disk(c, &disk))
		return -1;
	result = is_stdout ? rl_cow_merge_to(disk, STDOUT_FILENO, name, &c->cmd->err)
			   : rl_cow_merge(disk, c->output, &c->cmd->err);
	if (!result)
		rl_cmd_note(c->cmd, "%s: written, %s", name, rl_format_size(size, rl_disk_size(disk)));
	rl_disk_close(disk);
	return result;
}

static int commit(struct cow *c)
{
	uint64_t written;
	char size[16];

	if (c->output)
		return merge(c);
	if (rl_cow_commit(c->file, &c->cmd->image.disk, &written, &c->cmd->err))
		return -1;
	rl_cmd_note(c->cmd, "%s: committed, %s", c->file, rl_format_size(size, written));
	return 0;
}

static int write_anew(struct cow *c, const char *backing, const char *what)
{
	uint64_t kept;
	char size[16];

	if (rl_cow_rebase(c->file, &c->cmd->image.disk, backing, c->header_only, &kept, &c->cmd->err))
		return -1;
	rl_cmd_note(c->cmd, "%s: %s, %s differ from %s", c->file, what, rl_format_size(size, kept),
		backing ? backing : "its backing file");
	return 0;
}

static int rebase(struct cow *c)
{
	struct rl_disk_options *opening = &c->cmd->image.disk;
	const char *backing = c->other ? c->other : opening->backing;

	if (!backing)
		return rl_cmd_usage(c->cmd, "rebase: on which backing file?");
	/* Of two, the option's is where the old one is now. */
	if (!c->other)
		opening->backing = NULL;
	return write_anew(c, backing, "rebased");
}

static int compact(struct cow *c)
{
	return write_anew(c, NULL, "compacted");
}

/* ---- the verb ---- */

static const struct action {
	const char *name;
	int (*run)(struct cow *c);
	bool takes_other;
} actions[] = {
	{"create", create, true},
	{"info", info, false},
	{"diff", diff, false},
	{"commit", commit, false},
	{"rebase", rebase, true},
	{"compact", compact, false},
};

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < RL_COUNT(actions); i++)
		if (!strcmp(actions[i].name, name))
			return &actions[i];
	return NULL;
}

static int parse(struct rl_cmd *cmd, struct cow *c, const struct action **action)
{
	int id;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE) {
		if (id == 'o')
			c->output = cmd->value;
		else if (id == OPT_JSON)
			c->json = true;
		else if (id == OPT_HEADER_ONLY)
			c->header_only = true;
		else if (!*action) {
			*action = find_action(cmd->value);
			if (!*action)
				return rl_cmd_usage(cmd,
					"create, info, diff, commit, rebase or compact, not '%s'",
					cmd->value);
		} else if (!c->file)
			c->file = cmd->value;
		else if ((*action)->takes_other && !c->other)
			c->other = cmd->value;
		else
			return rl_cmd_usage(cmd, "one COW file at a time");
	}
	if (id == RL_CMD_USAGE)
		return -1;
	if (!*action)
		return rl_cmd_usage(cmd, "create, info, diff, commit, rebase or compact?");
	if (c->header_only && (*action)->run != rebase)
		return rl_cmd_usage(cmd, "--header-only is for rebase");
	return c->file ? 0 : rl_cmd_usage(cmd, "%s: which COW file?", (*action)->name);
}

static int run(struct rl_cmd *cmd)
{
	struct cow c = {.cmd = cmd};
	const struct action *action = NULL;

	return parse(cmd, &c, &action) || action->run(&c) ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_cow = {"cow", run, "Changing:",
	"create COW BACKING | info COW | diff COW | commit COW | rebase COW BACKING | compact COW",
	"what a guest changes in a file of its own: UML's COW files",
	"A COW file holds the sectors that a guest has written; all others are in its backing file, which "
	"stays as\n"
	"it is. UML boots it as ubd0=COW. All verbs that look into images take it in place of an image.\n\n"
	"  create   a new, empty one over a backing file\n"
	"  info     its header, how much it holds, and whether the backing file is still the one\n"
	"  diff     the sectors that differ from the backing file, and the files that they belong to\n"
	"  commit   write them into the backing file and empty the COW file; -o FILE: into a new file.\n"
	"           Other COW files over that backing file can be used no longer\n"
	"  rebase   another backing file; the disk stays the same. --header-only: it was but moved or "
	"touched\n"
	"  compact  drop the sectors that do not differ\n\n"
	"A commit that was cut short loses nothing: the disk reads the same, and the next commit finishes "
	"it.\n\n"
	"  rootlet cow create test.cow out/demo/root.ext4\n  rootlet run test.cow\n  rootlet cow diff "
	"test.cow\n"
	"  rootlet cow commit -o changed.ext4 test.cow\n",
	options};
