/* The header. */
#include "ubd/ubd-internal.h"

#include "base/io.h"

#include <string.h>

#define MAGIC    "OOOM" /* COW_MAGIC, big endian */
#define REVERSED "MOOO" /* as a little-endian machine writes it in version 1 */

#define DISK_MAX   ((uint64_t)1 << 50) /* of a disk: no file system has files of more */
#define SECTOR_MAX 65536
#define ALIGN_MAX  ((uint32_t)1 << 30)

/* Where the fields are: struct cow_header_v1, v2, v3 and v3_broken. */
struct layout {
	uint32_t mtime, size, sector;
	uint32_t alignment, format; /* 0: not in this version */
	uint32_t backing, backing_size, end;
};

static const struct layout layouts[] = {
	{264, 268, 276, 0, 0, 8, 256, 280},
	{4104, 4108, 4116, 0, 0, 8, 4096, 4120},
	{8, 12, 20, 24, 28, 32, 4096, 4128},
	{8, 16, 24, 28, 32, 36, 4096, 4136},
};

static const struct layout *layout_of(const struct rl_cow *cow)
{
	return &layouts[cow->padded ? 3 : cow->version - 1];
}

static uint64_t get(const uint8_t *p, unsigned size, bool little)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)p[i] << 8 * (little ? i : size - 1 - i);
	return value;
}

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

/* The version, or 0. Its byte order is the magic's; as read_cow_header() has it, that of later fields only in version 1. */
static unsigned version_of(const uint8_t *bytes, size_t size, bool *little)
{
	bool reversed = size >= 8 && !memcmp(bytes, REVERSED, 4);
	uint32_t version;

	if (size < 8 || (!reversed && memcmp(bytes, MAGIC, 4) != 0))
		return 0;
	version = (uint32_t)get(bytes + 4, 4, reversed);
	*little = reversed && version == 1;
	return version <= 3 ? version : 0;
}

bool rl_cow_is(const uint8_t *bytes, size_t size)
{
	bool little;

	return version_of(bytes, size, &little) != 0;
}

/* The older versions round the bitmap's length down: cow_sizes(). */
void rl_cow_place(struct rl_cow *cow)
{
	uint64_t end = layout_of(cow)->end, sectors = (cow->size + cow->sector - 1) / cow->sector;
	uint64_t wanted = (sectors + 7) / 8;

	if (cow->version < 3) {
		cow->bitmap_at = end;
		cow->data_at = round_up(end + sectors / 8, cow->sector);
		/* The last sectors' bits have a byte only where the rounding leaves one. */
		cow->bitmap_size = cow->data_at - end < wanted ? cow->data_at - end : wanted;
	} else {
		cow->bitmap_at = round_up(end, cow->alignment);
		cow->bitmap_size = wanted;
		cow->data_at = round_up(cow->bitmap_at + wanted, cow->alignment);
	}
}

static const char *problem(const struct rl_cow *cow, uint32_t format)
{
	if (format)
		return "its header has a format that is not known";
	if (!*cow->backing)
		return "its header names no backing file";
	if (!cow->size || cow->size > DISK_MAX)
		return "its header has an impossible size of the backing file";
	if (cow->sector < 512 || cow->sector > SECTOR_MAX || (cow->sector & (cow->sector - 1)))
		return "its header has an impossible sector size";
	if (!cow->alignment || cow->alignment > ALIGN_MAX)
		return "its header has an impossible alignment";
	return NULL;
}

int rl_cow_parse(const uint8_t *bytes, size_t size, uint64_t file_size, const char *subject,
	struct rl_cow *cow, struct rl_error *err)
{
	const struct layout *l;
	const char *what;
	uint32_t format;

	memset(cow, 0, sizeof(*cow));
	cow->version = version_of(bytes, size, &cow->little);
	if (!cow->version)
		return rl_fail(err, subject, "open", "not a COW file of User Mode Linux");
	/* Where the third version has a name, the padded form has its format, which is 0. */
	cow->padded = cow->version == 3 && size >= 36 && !get(bytes + 32, 4, false);
	l = layout_of(cow);
	if (size < l->end)
		return rl_fail(err, subject, "open", "its COW header is cut short");
	if (!memchr(bytes + l->backing, '\0', l->backing_size))
		return rl_fail(err, subject, "open", "the backing file's name in its header has no end");
	strcpy(cow->backing, (const char *)bytes + l->backing);
	cow->mtime = (uint32_t)get(bytes + l->mtime, 4, cow->little);
	cow->size = get(bytes + l->size, 8, cow->little);
	cow->sector = (uint32_t)get(bytes + l->sector, 4, cow->little);
	cow->alignment = l->alignment ? (uint32_t)get(bytes + l->alignment, 4, cow->little) : cow->sector;
	format = l->format ? (uint32_t)get(bytes + l->format, 4, cow->little) : 0;
	what = problem(cow, format);
	if (!what) {
		rl_cow_place(cow);
		if (cow->bitmap_at + cow->bitmap_size > file_size)
			what = "it is cut short: its bitmap is not all there";
	}
	return what ? rl_fail(err, subject, "open", "%s", what) : 0;
}

static void put(uint8_t *p, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

void rl_cow_head(const struct rl_cow *cow, uint8_t bytes[RL_COW_HEAD_MAX])
{
	const struct layout *l = layout_of(cow);

	memset(bytes, 0, RL_COW_HEAD_MAX);
	memcpy(bytes, MAGIC, 4);
	put(bytes + 4, 4, cow->version);
	put(bytes + l->mtime, 4, cow->mtime);
	put(bytes + l->size, 8, cow->size);
	put(bytes + l->sector, 4, cow->sector);
	put(bytes + l->alignment, 4, cow->alignment);
	memcpy(bytes + l->backing, cow->backing, strlen(cow->backing));
}

int rl_cow_put_mtime(const struct rl_cow *cow, int fd, uint32_t mtime)
{
	uint8_t bytes[4];

	put(bytes, 4, cow->little ? __builtin_bswap32(mtime) : mtime);
	return rl_pwrite_all(fd, bytes, 4, layout_of(cow)->mtime);
}
