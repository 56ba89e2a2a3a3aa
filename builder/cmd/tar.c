/* The verbs tar and manifest. */
#include "cmd/json.h"
#include "cmd/show.h"
#include "cmd/tree-word.h"

#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/publish.h"
#include "base/signals.h"
#include "base/text.h"
#include "source/tar-write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE                                                                                                \
	((uint64_t)1 << 28) /* bytes that take a while: also of a hole the zeros count for the SHA-256 */

/*
 * Zeros of holes that manifest reads for SHA-256s without being asked to, some seconds of work: a file of a few blocks
 * may be as large as it likes.
 */
#define HOLES_MAX ((uint64_t)8 << 30)

enum { OPT_FORMAT = 256, OPT_HOLES };

struct line {
	const char *word, *output;
	bool json, holes;
};

static int parse(struct rl_cmd *cmd, struct line *l)
{
	int id;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END) {
		if (id == 'o')
			l->output = cmd->value;
		else if (id == OPT_FORMAT && (!strcmp(cmd->value, "json") || !strcmp(cmd->value, "mtree")))
			l->json = *cmd->value == 'j';
		else if (id == OPT_FORMAT)
			return rl_cmd_usage(cmd, "--format takes mtree or json, not '%s'", cmd->value);
		else if (id == OPT_HOLES)
			l->holes = true;
		else if (id == RL_CMD_ARG && !l->word)
			l->word = cmd->value;
		else
			return id == RL_CMD_USAGE ? -1 : rl_cmd_usage(cmd, "one image at a time");
	}
	if (!l->word)
		return rl_cmd_usage(cmd, "which image?");
	if (l->output && !strcmp(l->output, "-"))
		l->output = NULL;
	return 0;
}

static void tell_trouble(const char *path, const char *reason, void *context)
{
	rl_show_problem(context, path, "write", reason);
}

static int write_archive(
	struct rl_cmd *cmd, const struct rl_node *node, enum rl_tar_format format, int fd, const char *name)
{
	const char *top = rl_is_dir(node->inode) ? "." : node->name;
	struct rl_tar *tar;
	int result = rl_tar_open(&tar, format, fd, name, 0, &cmd->err);

	if (!result)
		result = rl_tar_add_node(tar, top, node, tell_trouble, cmd, &cmd->err);
	return rl_tar_close(tar, &cmd->err) || result ? -1 : 0;
}

static int write_output(
	struct rl_cmd *cmd, const struct rl_node *node, enum rl_tar_format format, const char *output)
{
	struct rl_publish out = RL_PUBLISH_NONE;
	int result;

	if (!output)
		return write_archive(cmd, node, format, STDOUT_FILENO, "standard output");
	if (rl_publish_open(&out, output, &cmd->err))
		return -1;
	result = write_archive(cmd, node, format, out.fd, output);
	if (!result)
		result = rl_publish_commit(&out, NULL, &cmd->err);
	rl_publish_close(&out);
	return result;
}

/* ---- JSON ---- */

struct hashing {
	struct rl_hash *hash;
	const char *path;
	uint64_t size;
	struct rl_error *err;
};

static int hash_piece(const void *bytes, size_t size, uint64_t offset, void *context)
{
	const struct hashing *h = context;

	rl_hash_bytes(h->hash, bytes, size);
	if (h->size > LARGE)
		rl_progress_bytes(h->path, offset, h->size);
	return rl_check_interrupted(h->path, "read", h->err);
}

static int hash_content(
	const struct rl_inode *inode, const char *path, char hex[RL_SHA256_HEX], struct rl_error *err)
{
	struct hashing hashing = {rl_hash_new(), path, inode->size, err};
	int result = rl_content_each(inode, path, hash_piece, &hashing, err);

	rl_hash_end_hex(hashing.hash, hex);
	if (inode->size > LARGE)
		rl_progress_clear();
	return result;
}

static json_t *xattrs_json(const struct rl_inode *inode)
{
	json_t *object = json_object();

	for (const struct rl_xattr *x = inode->xattrs; x; x = x->next)
		rl_json_set(object, x->name, rl_json_hex(x->value, x->size));
	return object;
}

static int print_node(const struct rl_node *node, const char *path, struct rl_error *err)
{
	const struct rl_inode *inode = node->inode;
	json_t *object = json_object();
	char mode[11], hex[RL_SHA256_HEX], octal[16];
	int result = 0;

	rl_show_mode(mode, inode->mode);
	snprintf(octal, sizeof(octal), "%04o", inode->mode & 07777);
	json_object_set_new(object, "path", rl_json_text(path));
	json_object_set_new(object, "type", json_stringn(mode, 1));
	json_object_set_new(object, "mode", json_string(octal));
	json_object_set_new(object, "uid", json_integer(inode->uid));
	json_object_set_new(object, "gid", json_integer(inode->gid));
	json_object_set_new(object, "mtime", json_integer(inode->mtime));
	json_object_set_new(object, "mtime_nsec", json_integer(inode->mtime_nsec));
	if (!rl_is_dir(inode))
		json_object_set_new(object, "links", json_integer(inode->link_count));
	if (S_ISLNK(inode->mode))
		json_object_set_new(object, "target", rl_json_text(inode->target));
	if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
		json_object_set_new(object, "major", json_integer(inode->device.major));
		json_object_set_new(object, "minor", json_integer(inode->device.minor));
	}
	if (inode->xattrs)
		json_object_set_new(object, "xattrs", xattrs_json(inode));
	if (S_ISREG(inode->mode)) {
		result = hash_content(inode, path, hex, err);
		json_object_set_new(object, "size", json_integer((json_int_t)inode->size));
		json_object_set_new(object, "sha256", json_string(hex));
	}
	if (result)
		json_decref(object);
	else
		rl_json_print_line(object);
	return result;
}

static int print_tree(const struct rl_node *node, const char *path, struct rl_error *err)
{
	int result = print_node(node, path, err);

	if (result || !rl_is_dir(node->inode))
		return result;
	for (const struct rl_node *child = node->inode->dir->first; child && !result; child = child->next) {
		char *below = rl_printf("%s/%s", path[1] ? path : "", child->name);

		result = print_tree(child, below, err);
		free(below);
	}
	return result;
}

/* What prints JSON knows standard output alone: it is the file for the time of that. */
static int print_into(struct rl_cmd *cmd, const struct rl_node *node, const char *output)
{
	struct rl_publish out = RL_PUBLISH_NONE;
	int before, result;

	if (rl_publish_open(&out, output, &cmd->err))
		return -1;
	before = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (before < 0 || dup2(out.fd, STDOUT_FILENO) < 0) {
		result = rl_fail_errno(&cmd->err, output, "write", errno);
	} else {
		result = print_tree(node, "/", &cmd->err);
		if (!result && (fflush(stdout) || ferror(stdout)))
			result = rl_fail_errno(&cmd->err, output, "write", errno);
		dup2(before, STDOUT_FILENO);
	}
	rl_close(&before);
	if (!result)
		result = rl_publish_commit(&out, NULL, &cmd->err);
	rl_publish_close(&out);
	return result;
}

/* ---- holes ---- */

static int add_holes(struct rl_node *node, void *context)
{
	const struct rl_inode *inode = node->inode;
	uint64_t *left = context, holes;

	if (!S_ISREG(inode->mode))
		return 0;
	holes = inode->size - rl_content_data_size(inode);
	if (holes > *left)
		return 1;
	*left -= holes;
	return 0;
}

static int check_holes(struct rl_cmd *cmd, struct rl_node *node, const char *word)
{
	uint64_t left = HOLES_MAX;
	char most[16];

	if (!rl_tree_walk(node, add_holes, &left))
		return 0;
	return rl_fail(&cmd->err, word, "manifest",
		"its files have holes of more than %s, whose zeros count for the SHA-256: that takes long "
		"(--holes: whatever it takes)",
		rl_format_size(most, HOLES_MAX));
}

/* ---- the verbs ---- */

static int run(struct rl_cmd *cmd)
{
	bool is_tar = !strcmp(cmd->verb->name, "tar");
	struct line l = {.word = NULL};
	struct rl_tree_word tw = RL_TREE_WORD_NONE;
	struct rl_node *node = NULL;
	int result = parse(cmd, &l);

	if (!result && is_tar && !l.output && isatty(STDOUT_FILENO))
		result = rl_cmd_usage(cmd, "standard output is a terminal: -o FILE");
	if (!result && !(node = rl_tree_word_one(cmd, l.word, RL_WORD_KEEP_OWNER, &tw)))
		result = -1;
	if (!result && l.output)
		result = rl_tree_word_spare(&tw, l.output, "write", &cmd->err);
	if (!result && !is_tar && !l.holes)
		result = check_holes(cmd, node, l.word);
	if (!result && l.json)
		result = l.output ? print_into(cmd, node, l.output) : print_tree(node, "/", &cmd->err);
	else if (!result)
		result = write_output(cmd, node, is_tar ? RL_TAR_PAX : RL_TAR_MTREE, l.output);
	rl_tree_word_free(&tw);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

static const struct rl_option tar_options[] = {
	{'o', "output", "FILE", "the archive (standard output)"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

const struct rl_verb rl_verb_tar = {"tar", run, "Looking:", "IMAGE[:PATH]",
	"write what is in an image as a tar, with all that belongs to it",
	"A pax archive: owners, nanoseconds, attributes, ACLs, holes, devices, hard links.\n"
	"`rootlet pack -o B -` makes an image of it again.\n\n"
	"  rootlet tar -o etc.tar root.ext4:/etc\n  rootlet tar old.ext2 | rootlet pack -o new.ext4 -\n",
	tar_options};

static const struct rl_option manifest_options[] = {
	{'o', "output", "FILE", "where it goes (standard output)"},
	{OPT_FORMAT, "format", "FORMAT", "mtree, or json: an object a line"},
	{OPT_HOLES, "holes", NULL, "hash holes of more than 8G as well"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

const struct rl_verb rl_verb_manifest = {"manifest", run, "Looking:", "IMAGE[:PATH]",
	"list what is in an image, with attributes and the SHA-256 of contents",
	"  rootlet manifest root.ext4 >root.mtree\n  rootlet manifest --format json root.ext4:/etc\n",
	manifest_options};
