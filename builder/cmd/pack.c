#include "cmd/cmd.h"
#include "cmd/plan.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"
#include "ext/write.h"
#include "source/place.h"
#include "source/source.h"
#include "tree/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA_MAX  ((uint64_t)64 << 30) /* that archives may unpack to, unless --max-data says more */
#define DEPTH_MAX 65536

enum {
	OPT_FS = 256,
	OPT_SIZE,
	OPT_FREE,
	OPT_FREE_INODES,
	OPT_LABEL,
	OPT_UUID,
	OPT_BLOCK_SIZE,
	OPT_INODE_SIZE,
	OPT_FEATURES,
	OPT_OWNER,
	OPT_EXCLUDE,
	OPT_EXCLUDE_FROM,
	OPT_CHOWN,
	OPT_CHMOD,
	OPT_XATTR,
	OPT_CAPABILITY,
	OPT_AT,
	OPT_ONE_FS,
	OPT_PLATFORM,
	OPT_OCI_CONFIG,
	OPT_MAX_DATA,
	OPT_MAX_ENTRIES,
	OPT_MAX_DEPTH,
	OPT_PLAN,
	OPT_JSON,
};

static const struct rl_option options[] = {
	{'o', "output", "IMAGE", "the image to write"},
	{OPT_AT, "at", "DIR", "where the next source goes in the image (/)"},
	{OPT_FS, "fs", "TYPE", "ext2, ext3 or ext4 (ext4)"},
	{OPT_SIZE, "size", "SIZE|auto", "size of the image (auto: as small as can be)"},
	{OPT_FREE, "free", "SIZE", "with auto: space that stays available in the guest"},
	{OPT_FREE_INODES, "free-inodes", "N", "inodes that stay free (one per 16K of --free)"},
	{OPT_LABEL, "label", "L", "volume label, at most 16 bytes"},
	{OPT_UUID, "uuid", "U|random", "UUID (derived from the content)"},
	{OPT_BLOCK_SIZE, "block-size", "N", "1024, 2048 or 4096 (4096)"},
	{OPT_INODE_SIZE, "inode-size", "N", "256 or 128: no time from 2038 on, no nanoseconds (256)"},
	{OPT_FEATURES, "features", "LIST", "change features, as mke2fs -O: ^has_journal,uninit_bg"},
	{OPT_OWNER, "owner", "UID:GID|keep",
		"owner of everything (of folders' files: 0:0); keep: as in the folder"},
	{OPT_EXCLUDE, "exclude", "GLOB", "leave out what matches, and all below it"},
	{OPT_EXCLUDE_FROM, "exclude-from", "FILE",
		"globs to leave out, one in a line; !GLOB: keep it after all"},
	{OPT_CHOWN, "chown", "GLOB=UID:GID", "owner of what matches"},
	{OPT_CHMOD, "chmod", "GLOB=MODE", "permission bits of what matches, in octal"},
	{OPT_XATTR, "xattr", "GLOB=NAME=VALUE",
		"attribute of what matches: text, 0xHEX or 0sBASE64, as setfattr -v"},
	{OPT_CAPABILITY, "capability", "GLOB=CAPS",
		"capabilities of files that match, as setcap: cap_net_raw+ep"},
	{OPT_ONE_FS, "one-file-system", NULL, "do not enter other mounted file systems"},
	{OPT_PLATFORM, "platform", "OS/ARCH",
		"of container images: which one, such as linux/arm64 (this machine's)"},
	{OPT_OCI_CONFIG, "oci-config", NULL, "keep what a container image runs in /etc/rootlet/oci.json"},
	{OPT_MAX_DATA, "max-data", "SIZE", "refuse archives that unpack to more (64G)"},
	{OPT_MAX_ENTRIES, "max-entries", "N", "refuse more names (16777216)"},
	{OPT_MAX_DEPTH, "max-depth", "N", "refuse directories deeper in each other (2048)"},
	{OPT_PLAN, "plan", NULL, "print what the image would be; write nothing"},
	{OPT_JSON, "json", NULL, "with --plan: as JSON"},
	{0, NULL, NULL, NULL},
};

struct source {
	const char *at, *path;
};

struct pack {
	const char *output;
	struct rl_ext_options ext;
	const char *fs;
	const char *features; /* applied once the type is known */
	uint32_t uid, gid;
	bool has_owner, plan_only, json;
	struct rl_source_options from;
	uint64_t max_entries, max_depth;
	struct rl_rules rules;
	bool stdin_is_taken; /* by --exclude-from - or a source */
	struct source *sources;
	size_t source_count, source_room;
	bool has_free;
};

static int add_rule(struct rl_cmd *cmd, struct pack *p, enum rl_rule_kind kind)
{
	if (rl_rules_add_option(&p->rules, kind, cmd->value, &cmd->err)) {
		cmd->err.usage = true;
		return -1;
	}
	return 0;
}

/* FILE may be a pipe, as in <(git ls-files ...): it is opened so that reading waits. */
static int add_excludes(struct rl_cmd *cmd, struct pack *p)
{
	bool is_stdin = !strcmp(cmd->value, "-");
	const char *name = is_stdin ? "standard input" : cmd->value;
	struct rl_buf text = RL_BUF_NONE;
	int result, fd;

	if (is_stdin && p->stdin_is_taken)
		return rl_cmd_usage(cmd, "standard input can be read once");
	p->stdin_is_taken |= is_stdin;
	fd = is_stdin ? STDIN_FILENO : open(cmd->value, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return rl_fail_errno(&cmd->err, name, "open", errno);
	result = rl_read_fd(fd, name, RL_IGNORE_SIZE_MAX, &text, &cmd->err);
	if (!result)
		result = rl_rules_add_lines(&p->rules, name, text.data, text.size, &cmd->err);
	rl_buf_free(&text);
	if (!is_stdin)
		close(fd);
	return result;
}

static int bad_value(struct rl_cmd *cmd, const char *name, const char *wants)
{
	return rl_cmd_usage(cmd, "--%s takes %s, not '%s'", name, wants, cmd->value);
}

static int take_option(struct rl_cmd *cmd, struct pack *p, int id)
{
	uint64_t n;
	int result = 0;

	switch (id) {
	case 'o':
		p->output = cmd->value;
		return 0;
	case OPT_FS:
		p->fs = cmd->value;
		if (strcmp(p->fs, "ext2") && strcmp(p->fs, "ext3") && strcmp(p->fs, "ext4"))
			return bad_value(cmd, "fs", "ext2, ext3 or ext4");
		return 0;
	case OPT_SIZE:
		p->ext.size = 0;
		if (strcmp(cmd->value, "auto") && (!rl_parse_size(cmd->value, &p->ext.size) || !p->ext.size))
			return bad_value(cmd, "size", "a size such as 64M, or auto");
		return 0;
	case OPT_FREE:
		p->has_free = true;
		return rl_parse_size(cmd->value, &p->ext.free) ? 0
							       : bad_value(cmd, "free", "a size such as 16M");
	case OPT_FREE_INODES:
		return rl_parse_u64(cmd->value, UINT32_MAX, &p->ext.free_inodes)
			       ? 0
			       : bad_value(cmd, "free-inodes", "a number");
	case OPT_BLOCK_SIZE:
		if (!rl_parse_size(cmd->value, &n) || (n != 1024 && n != 2048 && n != 4096))
			return bad_value(cmd, "block-size", "1024, 2048 or 4096");
		p->ext.block_size = (uint32_t)n;
		return 0;
	case OPT_INODE_SIZE:
		if (!rl_parse_u64(cmd->value, UINT32_MAX, &n))
			return bad_value(cmd, "inode-size", "128 or 256");
		result = rl_ext_options_inode_size(&p->ext, n, &cmd->err);
		break;
	case OPT_LABEL:
		result = rl_ext_options_label(&p->ext, cmd->value, &cmd->err);
		break;
	case OPT_UUID:
		result = rl_ext_options_uuid(&p->ext, cmd->value, &cmd->err);
		break;
	case OPT_FEATURES:
		p->features = cmd->value;
		return 0;
	case OPT_OWNER:
		p->from.keep_owner = !strcmp(cmd->value, "keep");
		p->has_owner = !p->from.keep_owner;
		if (p->has_owner && !rl_parse_owner(cmd->value, &p->uid, &p->gid))
			return bad_value(cmd, "owner", "UID:GID in numbers, or keep");
		return 0;
	case OPT_EXCLUDE:
		return add_rule(cmd, p, RL_RULE_EXCLUDE);
	case OPT_EXCLUDE_FROM:
		return add_excludes(cmd, p);
	case OPT_CHOWN:
		return add_rule(cmd, p, RL_RULE_OWNER);
	case OPT_CHMOD:
		return add_rule(cmd, p, RL_RULE_MODE);
	case OPT_XATTR:
		return add_rule(cmd, p, RL_RULE_XATTR);
	case OPT_CAPABILITY:
		return add_rule(cmd, p, RL_RULE_CAPABILITY);
	case OPT_ONE_FS:
		p->from.one_file_system = true;
		return 0;
	case OPT_PLATFORM:
		p->from.platform = cmd->value;
		return 0;
	case OPT_OCI_CONFIG:
		p->from.oci_config = true;
		return 0;
	case OPT_MAX_DATA:
		return rl_parse_size(cmd->value, &p->from.data_left)
			       ? 0
			       : bad_value(cmd, "max-data", "a size such as 100G");
	case OPT_MAX_ENTRIES:
		return rl_parse_u64(cmd->value, UINT32_MAX, &p->max_entries)
			       ? 0
			       : bad_value(cmd, "max-entries", "a number");
	case OPT_MAX_DEPTH:
		return rl_parse_u64(cmd->value, DEPTH_MAX, &p->max_depth)
			       ? 0
			       : bad_value(cmd, "max-depth", "a number up to 65536");
	case OPT_PLAN:
		p->plan_only = true;
		return 0;
	default:
		p->json = true;
		return 0;
	}
	if (result)
		cmd->err.usage = true;
	return result;
}

static bool has_container(const struct pack *p)
{
	for (size_t i = 0; i < p->source_count; i++)
		if (rl_source_is_container(p->sources[i].path))
			return true;
	return false;
}

static int parse(struct rl_cmd *cmd, struct pack *p)
{
	struct rl_ext_options type;
	const char *at = NULL;
	int id;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END) {
		if (id == RL_CMD_USAGE)
			return -1;
		if (id == OPT_AT) {
			at = cmd->value;
		} else if (id == RL_CMD_ARG) {
			RL_GROW(p->sources, p->source_count, p->source_room);
			p->sources[p->source_count++] = (struct source){at ? at : "/", cmd->value};
			at = NULL;
		} else if (take_option(cmd, p, id)) {
			return -1;
		}
	}
	for (size_t i = 0; i < p->source_count; i++) {
		bool is_stdin = rl_source_is_stdin(p->sources[i].path);

		if (is_stdin && p->stdin_is_taken)
			return rl_cmd_usage(cmd, "standard input can be read once");
		p->stdin_is_taken |= is_stdin;
	}
	if (at)
		return rl_cmd_usage(cmd, "--at %s has no source behind it", at);
	if (!p->output && !p->plan_only)
		return rl_cmd_usage(cmd, "-o IMAGE is missing");
	if (p->output && !strcmp(p->output, "-"))
		return rl_cmd_usage(
			cmd, "-o - is not possible: an image is written here and there, not in one go");
	if ((p->from.oci_config || p->from.platform) && !has_container(p))
		return rl_cmd_usage(cmd, "--%s goes with a container image, and there is none",
			p->from.oci_config ? "oci-config" : "platform");
	if (p->json && !p->plan_only)
		return rl_cmd_usage(cmd, "--json goes with --plan");
	if (p->has_free && p->ext.size)
		return rl_cmd_usage(cmd, "--free goes with --size auto");
	rl_ext_options_init(&type, p->fs, NULL);
	memcpy(p->ext.features, type.features, sizeof(type.features));
	if (p->features && rl_ext_options_features(&p->ext, p->features, &cmd->err))
		return -1;
	return 0;
}

/* SOURCE_DATE_EPOCH: nothing in the image is younger. */
static int read_epoch(struct rl_ext_options *ext, int64_t *max_time, struct rl_error *err)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	uint64_t seconds;

	*max_time = INT64_MAX;
	if (!text || !*text)
		return 0;
	if (!rl_parse_u64(text, UINT32_MAX, &seconds))
		return rl_fail(err, "SOURCE_DATE_EPOCH", "read", "not a number of seconds: '%s'", text);
	ext->has_time = true;
	ext->time = *max_time = (int64_t)seconds;
	return 0;
}

static int set_owner(struct rl_node *node, void *context)
{
	const struct pack *p = context;

	node->inode->uid = p->uid;
	node->inode->gid = p->gid;
	return 0;
}

static int add_source(struct pack *p, struct rl_tree *tree, const struct source *source, struct rl_error *err)
{
	const struct rl_place_scope scope = {
		tree, tree->root, tree->root, p->ext.has_time ? p->ext.time : RL_EPOCH_TIME};
	struct rl_node *at;
	const char *problem;

	rl_tree_begin(tree, source->path);
	problem = rl_place_make_dirs(&scope, source->at, &at);
	if (problem)
		return rl_fail(err, source->at, "make directory", "%s", problem);
	return rl_source_put(tree, at, source->path, &p->from, err);
}

static int write_image(struct rl_cmd *cmd, const struct pack *p, struct rl_plan *plan)
{
	struct rl_plan_summary sum;
	bool unchanged = false;
	char size[16];
	int result = rl_ext_publish(plan, p->output, false, &unchanged, &cmd->err);

	rl_plan_summarise(plan, &sum);
	if (!result && cmd->verbose > 0)
		rl_cmd_note(cmd, "%s: %s, %u inodes used, %s free%s", p->output,
			rl_format_size(size, sum.size), sum.inodes - sum.free_inodes,
			rl_format_size((char[16]){0}, sum.free_blocks * sum.block_size),
			unchanged ? "; unchanged" : "");
	return result;
}

static void warn_of_unused(struct rl_cmd *cmd, const struct rl_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		if (!rules->items[i].used)
			rl_cmd_warn(cmd, "%s: %s", rules->items[i].glob, rl_rule_unused(&rules->items[i]));
}

static int pack(struct rl_cmd *cmd, struct pack *p)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_plan *plan = NULL;
	int result = read_epoch(&p->ext, &p->from.max_time, &cmd->err);

	tree->entries_max = p->max_entries;
	tree->depth_max = (uint32_t)p->max_depth;
	p->from.output = p->output;
	p->from.rules = p->rules.items;
	p->from.rule_count = p->rules.count;
	tree->root->inode->mtime = p->ext.has_time ? p->ext.time : RL_EPOCH_TIME;
	for (size_t i = 0; !result && i < p->source_count; i++)
		result = add_source(p, tree, &p->sources[i], &cmd->err);
	/* What we add ourselves is not counted. */
	tree->entries_max = UINT64_MAX;
	if (!result && p->has_owner)
		rl_tree_walk(tree->root, set_owner, p);
	if (!result) {
		result = rl_rules_apply(tree, p->rules.items, p->rules.count, &cmd->err);
		warn_of_unused(cmd, &p->rules);
	}
	if (!result)
		result = rl_plan_make(tree, &p->ext, p->output ? p->output : "image", &plan, &cmd->err);
	if (!result && p->plan_only) {
		(p->json ? rl_print_plan_json : rl_print_plan)(plan, tree);
	} else if (!result) {
		result = write_image(cmd, p, plan);
	}
	rl_plan_free(plan);
	rl_tree_free(tree);
	return result;
}

static int run(struct rl_cmd *cmd)
{
	struct pack p = {.fs = "ext4",
		.from = {.data_left = DATA_MAX},
		.max_entries = RL_ENTRIES_MAX,
		.max_depth = RL_DEPTH_MAX};
	int result;

	rl_ext_options_init(&p.ext, p.fs, NULL);
	result = parse(cmd, &p);
	if (!result)
		result = pack(cmd, &p);
	rl_rules_free(&p.rules);
	free(p.sources);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_pack = {"pack", run, "Building:", "-o IMAGE [[--at DIR] SOURCE]...",
	"sources -> one ext2, ext3 or ext4 image; none: an empty disk",
	"A SOURCE is a folder, or an archive: tar, cpio, zip, 7z, ar and others, compressed or not; -: "
	"standard\n"
	"input. Later sources go over earlier ones. A folder's files belong to root and an archive's to whom "
	"it\n"
	"says, unless --owner or --chown says otherwise.\n\n"
	"Globs: * and ? stop at a slash, ** does not; without a slash they are held against the last "
	"component,\n"
	"with one at their end against directories only. Rules apply in their order, later ones win; a "
	"folder's\n"
	".rootletignore has lines as --exclude-from has them, for paths in that folder.\n\n"
	"  rootlet pack -o data.ext4 --size 100M\n"
	"  rootlet pack -o root.ext4 --free 16M --chmod '/etc/shadow=0600' staging/ --at /opt extra/\n"
	"  rootlet pack -o root.ext4 --exclude-from skip --capability '/bin/ping=cap_net_raw+ep' staging/\n",
	options};
