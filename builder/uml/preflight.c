#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "ext/le.h"

#include <string.h>
#include <unistd.h>

/* The first name is the one that is asked for; any of them will do. */
struct need {
	const char *names[2];
	const char *why;
};

#define NEEDS_MAX 16

struct needs {
	struct need items[NEEDS_MAX];
	size_t count;
};

static void add(struct needs *needs, const char *name, const char *other, const char *why)
{
	for (size_t i = 0; i < needs->count; i++)
		if (!strcmp(needs->items[i].names[0], name))
			return;
	if (needs->count < NEEDS_MAX)
		needs->items[needs->count++] = (struct need){{name, other}, why};
}

/* ---- file systems ---- */

/* Superblock fields, from 1024 on: s_magic, s_feature_compat, _incompat, _ro_compat of struct ext2_super_block. */
#define EXT_START      1024
#define EXT_SIZE       104
#define EXT_MAGIC_AT   56
#define EXT_COMPAT     92
#define EXT_INCOMPAT   96
#define EXT_RO_COMPAT  100
#define EXT_MAGIC      0xef53
#define HAS_JOURNAL    0x4u
#define OLDER_INCOMPAT 0x1eu /* filetype, recover, journal_dev, meta_bg: what ext3 knows */
#define OLDER_RO       0x7u /* sparse_super, large_file, btree_dir */
#define CASEFOLD       0x20000u
#define QUOTAS         0x2100u /* quota, project */

static const struct other_type {
	const char *name, *option, *magic;
	uint64_t at;
} other_types[] = {
	{"a squashfs", "SQUASHFS", "hsqs", 0},
	{"an XFS", "XFS_FS", "XFSB", 0},
	{"a Btrfs", "BTRFS_FS", "_BHRfS_M", 65600},
	{"an EROFS", "EROFS_FS", "\xe2\xe1\xf5\xe0", 1024},
	{"an F2FS", "F2FS_FS", "\x10\x20\xf5\xf2", 1024},
	{"a cramfs", "CRAMFS", "\x45\x3d\xcd\x28", 0},
	{"a romfs", "ROMFS_FS", "-rom1fs-", 0},
	{"an ISO 9660", "ISO9660_FS", "CD001", 32769},
};

/* The driver of ext4 mounts all three, as a root too: the kernel tries each type that it has. */
static bool add_ext(struct needs *needs, const char *super, bool writable)
{
	if (rl_get_le16(super + EXT_MAGIC_AT) != EXT_MAGIC)
		return false;
	if (rl_get_le32(super + EXT_INCOMPAT) & ~OLDER_INCOMPAT ||
		rl_get_le32(super + EXT_RO_COMPAT) & ~OLDER_RO)
		add(needs, "EXT4_FS", NULL, "the root, an ext4");
	else if (rl_get_le32(super + EXT_COMPAT) & HAS_JOURNAL)
		add(needs, "EXT4_FS", "EXT3_FS", "the root, an ext3");
	else
		add(needs, "EXT4_FS", "EXT2_FS", "the root, an ext2");
	if (rl_get_le32(super + EXT_INCOMPAT) & CASEFOLD)
		add(needs, "UNICODE", NULL, "the root, which has the feature casefold");
	if (writable && rl_get_le32(super + EXT_RO_COMPAT) & QUOTAS) {
		add(needs, "QUOTA", NULL, "the root, which has quotas");
		add(needs, "QFMT_V2", NULL, "the root, which has quotas");
	}
	return true;
}

static const struct other_type *find_other(int fd)
{
	char magic[8];

	for (size_t i = 0; i < RL_COUNT(other_types); i++) {
		const struct other_type *type = &other_types[i];
		size_t size = strlen(type->magic);

		if (!rl_pread_all(fd, magic, size, type->at) && !memcmp(magic, type->magic, size))
			return type;
	}
	return NULL;
}

const char *rl_other_type(int fd)
{
	const struct other_type *other = find_other(fd);

	return other ? other->name : NULL;
}

static void add_root(struct needs *needs, int fd, bool writable)
{
	char super[EXT_SIZE];
	const struct other_type *other;

	if (fd < 0)
		return;
	if (!rl_pread_all(fd, super, sizeof(super), EXT_START) && add_ext(needs, super, writable))
		return;
	other = find_other(fd);
	if (other)
		add(needs, other->option, NULL, other->name);
}

/* ---- words of the command line ---- */

/* A * stands for a digit; the word's own end is not looked at. */
static const struct {
	const char *pattern, *option, *other, *why;
} word_needs[] = {
	{"hostfs=", "HOSTFS", NULL, "folders of the host"},
	{"vec*:", "UML_NET_VECTOR", NULL, "the network"},
	{"eth*=", "UML_NET", NULL, "the network"},
	{"time-travel", "UML_TIME_TRAVEL_SUPPORT", NULL, "time-travel"},
	{"initrd=", "BLK_DEV_INITRD", NULL, "an initrd"},
};

static bool matches(const char *word, const char *pattern)
{
	for (; *pattern; pattern++, word++) {
		if (*pattern == '*' && *word >= '0' && *word <= '9')
			while (word[1] >= '0' && word[1] <= '9')
				word++;
		else if (*pattern != *word)
			return false;
	}
	return true;
}

/* own_root: the first disk is the root; writable: it is mounted so, if its own init runs. */
static void add_words(struct needs *needs, const struct rl_argv *argv, bool *own_root, bool *writable)
{
	for (size_t i = 1; i < argv->count; i++) {
		const char *word = argv->items[i];

		if (matches(word, "root=") || matches(word, "initrd="))
			*own_root = matches(word, "root=/dev/ubda") && !word[strlen("root=/dev/ubda")];
		if (!strcmp(word, "ro") || !strcmp(word, "rw"))
			*writable = word[1] == 'w';
		if (!strcmp(word, RL_NO_HOSTFS))
			continue;
		for (size_t j = 0; j < RL_COUNT(word_needs); j++)
			if (matches(word, word_needs[j].pattern))
				add(needs, word_needs[j].option, word_needs[j].other, word_needs[j].why);
	}
}

/* ---- */

static void find_needs(
	struct needs *needs, const struct rl_guest *guest, const int *disks, const struct rl_argv *argv)
{
	bool own_root = false, writable = true;

	if (guest->command || guest->disk_count) {
		add(needs, "BLK_DEV_UBD", NULL, "its disks");
		add(needs, "BINFMT_ELF", NULL, "programs");
	}
	add_words(needs, argv, &own_root, &writable);
	if (guest->command || own_root)
		add_root(needs, disks[0], !guest->disks[0].read_only && (guest->command || writable));
	/* Of the init that runs a command. It brings the few devices that it needs. */
	if (guest->command) {
		add(needs, "EXT4_FS", "EXT2_FS", "the disk with the command");
		add(needs, "PROC_FS", NULL, "the command");
		add(needs, "TTY", NULL, "the command");
	}
}

static int tell(const struct needs *needs, const struct rl_kernel_option *options, const char *kernel,
	struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;

	for (size_t i = 0; i < needs->count; i++) {
		const struct rl_kernel_option *own = &options[2 * i], *other = &options[2 * i + 1];
		bool module = own->state == RL_OPTION_MODULE || other->state == RL_OPTION_MODULE;

		if (own->state == RL_OPTION_BUILT_IN || other->state == RL_OPTION_BUILT_IN)
			continue;
		rl_buf_printf(&text, "%s no %s for %s (CONFIG_%s is %s)", text.size ? "," : "the kernel has",
			own->name, needs->items[i].why, own->name,
			module ? "a module, which comes too late" : "not set");
	}
	if (!text.size)
		return 0;
	rl_fail(err, kernel, "run", "%.*s", (int)text.size, text.data);
	rl_buf_free(&text);
	return -1;
}

int rl_preflight(const struct rl_guest *guest, const char *kernel, const int *disks,
	const struct rl_argv *argv, struct rl_error *err)
{
	struct rl_kernel_option options[2 * NEEDS_MAX];
	struct needs needs = {.count = 0};
	bool known;

	find_needs(&needs, guest, disks, argv);
	for (size_t i = 0; i < 2 * needs.count; i++) {
		const char *name = needs.items[i / 2].names[i % 2];

		options[i].name = name ? name : needs.items[i / 2].names[0];
	}
	if (rl_kernel_options(kernel, options, 2 * needs.count, &known, err))
		return -1;
	return known ? tell(&needs, options, kernel, err) : 0;
}
