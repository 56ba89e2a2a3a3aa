/* The sections disk and fstab of an image recipe. */
#include "recipe/recipe-internal.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define DISKS_MAX 16 /* ubd0 to ubd15 */

/* ---- fstab ---- */

/* A mount point goes into a line of fstab. */
static const char *check_mount(const char *text)
{
	const char *problem = rl_check_image_path(text);

	return problem ? problem : rl_check_word(text);
}

static const char *check_fstab_mount(const char *text)
{
	return strcmp(text, "none") ? check_mount(text) : NULL;
}

static const char *check_disk_mount(const char *text)
{
	return *text ? check_mount(text) : NULL;
}

static struct rl_fstab_line *find_fstab(struct rl_image_recipe *recipe, const char *mount)
{
	for (size_t i = 0; i < recipe->fstab_count; i++)
		if (!strcmp(recipe->fstab[i].mount, mount))
			return &recipe->fstab[i];
	RL_ADD(recipe->fstab, recipe->fstab_count);
	recipe->fstab[recipe->fstab_count - 1].options = rl_strdup("defaults");
	recipe->fstab[recipe->fstab_count - 1].mount = rl_strdup(mount);
	return &recipe->fstab[recipe->fstab_count - 1];
}

static int read_fstab(const struct rl_section *section, struct rl_image_recipe *recipe)
{
	struct rl_fstab_line *line = find_fstab(recipe, rl_section_title(section));
	int result = 0;

	line->line = section->line;
	if (!line->device)
		result = rl_require(section, "device") | rl_require(section, "type");
	return result | rl_read_title(section, check_fstab_mount, &line->mount) |
	       rl_read_text(section, "device", rl_check_word, &line->device) |
	       rl_read_text(section, "type", rl_check_word, &line->type) |
	       rl_read_text(section, "options", rl_check_word, &line->options);
}

int rl_read_fstab(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "fstab");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "fstab", i);

		result |= read_fstab(&section, recipe);
	}
	return result;
}

/* ---- disks ---- */

static const char *check_fs(const char *text)
{
	if (!strcmp(text, "ext2") || !strcmp(text, "ext3") || !strcmp(text, "ext4"))
		return NULL;
	return "is none of ext2, ext3, ext4";
}

static struct rl_disk_recipe *add_disk(struct rl_image_recipe *recipe, const char *name)
{
	bool root = !recipe->disk_count;
	struct rl_disk_recipe *disk;

	RL_ADD(recipe->disks, recipe->disk_count);
	disk = &recipe->disks[recipe->disk_count - 1];
	disk->line = 1;
	disk->name = rl_strdup(name);
	disk->fs = rl_strdup("ext4");
	disk->mount = rl_strdup(root ? "/" : "");
	disk->options = rl_strdup("defaults");
	disk->label = rl_strdup("");
	return disk;
}

/* What one recipe says of the size replaces what the recipe that it includes says. */
static int read_disk_size(const struct rl_section *section, struct rl_disk_recipe *disk)
{
	const struct rl_value *size = rl_section_value(section, "size");
	const char *const with_auto[] = {"free", "free-inodes"};
	int result;

	if (rl_section_value(section, "free") || rl_section_value(section, "free-inodes"))
		disk->size = 0;
	result = rl_read_size(section, "free", &disk->free) |
		 rl_read_number(section, "free-inodes", UINT32_MAX, &disk->free_inodes);
	if (!size)
		return result;
	disk->size = 0;
	if (!strcmp(size->text, "auto"))
		return result;
	if (rl_read_size(section, "size", &disk->size))
		return -1;
	if (!disk->size)
		return rl_document_fail(
			section->document, size->line, "size is 0: say auto, or leave it out");
	for (size_t i = 0; i < RL_COUNT(with_auto); i++) {
		const struct rl_value *value = rl_section_value(section, with_auto[i]);

		if (value)
			result = rl_document_fail(section->document, value->line,
				"%s has no meaning with a fixed size", with_auto[i]);
	}
	disk->free = disk->free_inodes = 0;
	return result;
}

/* The root's contents are the recipe's own. */
static int check_root(const struct rl_section *section, const struct rl_disk_recipe *disk)
{
	const char *const outside[] = {"skeletons", "sources"};
	int result = 0;

	if (strcmp(disk->mount, "/"))
		result = rl_document_fail(section->document, section->line,
			"disk '%s' is the first, so it is the root and must be mounted on /", disk->name);
	for (size_t i = 0; i < RL_COUNT(outside); i++)
		if (rl_section_list_size(section, outside[i]))
			result = rl_document_fail(section->document,
				rl_section_list_value(section, outside[i], 0)->line,
				"disk '%s' is the root: its %s stand outside of the disk section", disk->name,
				outside[i]);
	return result;
}

static int read_disk(const struct rl_section *section, struct rl_disk_recipe *disk, bool root)
{
	int result;

	disk->line = section->line;
	result = rl_read_title(section, rl_check_name, &disk->name) |
		 rl_read_text(section, "fs", check_fs, &disk->fs) |
		 rl_read_text(section, "mount", check_disk_mount, &disk->mount) |
		 rl_read_text(section, "options", rl_check_word, &disk->options) |
		 rl_read_text(section, "label", rl_check_label, &disk->label) | read_disk_size(section, disk);
	if (root)
		return result | check_root(section, disk);
	return result | rl_read_image_sources(section, &disk->sources) |
	       rl_read_name_list(section, "skeletons", rl_check_name, &disk->skeletons);
}

/* No two file systems on one mount point. */
static int check_mounts(struct rl_document *document, const struct rl_image_recipe *recipe)
{
	int result = 0;

	for (size_t i = 0; i < recipe->disk_count; i++) {
		const struct rl_disk_recipe *disk = &recipe->disks[i];

		for (size_t j = 0; j < i && *disk->mount; j++) {
			if (!strcmp(recipe->disks[j].mount, disk->mount))
				result = rl_document_fail(document, disk->line,
					"disk '%s': disk '%s' is mounted on %s too", disk->name,
					recipe->disks[j].name, disk->mount);
		}
		for (size_t j = 0; j < recipe->fstab_count; j++) {
			if (!strcmp(recipe->fstab[j].mount, disk->mount))
				result = rl_document_fail(document, recipe->fstab[j].line,
					"fstab '%s': disk '%s' is mounted there", disk->mount, disk->name);
		}
	}
	return result;
}

static struct rl_disk_recipe *find_disk(const struct rl_image_recipe *recipe, const char *name)
{
	for (size_t i = 0; i < recipe->disk_count; i++)
		if (!strcmp(recipe->disks[i].name, name))
			return &recipe->disks[i];
	return NULL;
}

int rl_read_disks(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "disk");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "disk", i);
		struct rl_disk_recipe *disk = find_disk(recipe, rl_section_title(&section));

		if (!disk && recipe->disk_count == DISKS_MAX)
			return rl_document_fail(document, section.line, "more than %d disks", DISKS_MAX);
		if (!disk)
			disk = add_disk(recipe, rl_section_title(&section));
		result |= read_disk(&section, disk, disk == recipe->disks);
	}
	return result ? result : check_mounts(document, recipe);
}

void rl_default_disk(struct rl_image_recipe *recipe)
{
	if (!recipe->disk_count)
		add_disk(recipe, "root");
}
