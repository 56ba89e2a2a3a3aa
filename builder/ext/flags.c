/* The names of an inode's flags, as lsattr -l has them, and chattr's letters. */
#include "ext/read.h"

#include "base/mem.h"

static const struct {
	char letter; /* '\0': none */
	const char *name;
} flags[32] = {
	[0] = {'s', "secure_deletion"},
	[1] = {'u', "undelete"},
	[2] = {'c', "compression_requested"},
	[3] = {'S', "synchronous_updates"},
	[4] = {'i', "immutable"},
	[5] = {'a', "append_only"},
	[6] = {'d', "no_dump"},
	[7] = {'A', "no_atime"},
	[8] = {'Z', "compressed_dirty_file"},
	[9] = {'B', "compressed_file"},
	[10] = {'m', "dont_compress"},
	[11] = {'E', "encrypted"},
	[12] = {'I', "indexed_directory"},
	[13] = {'\0', "imagic"},
	[14] = {'j', "journaled_data"},
	[15] = {'t', "no_tailmerging"},
	[16] = {'D', "synchronous_directory_updates"},
	[17] = {'T', "top_of_directory_hierarchies"},
	[18] = {'\0', "huge_file"},
	[19] = {'e', "extents"},
	[20] = {'V', "verity"},
	[21] = {'\0', "ea_inode"},
	[23] = {'C', "no_cow"},
	[25] = {'x', "dax"},
	[28] = {'N', "inline_data"},
	[29] = {'P', "project_hierarchy"},
	[30] = {'F', "casefold"},
};

const char *rl_image_flag(unsigned bit, char *letter)
{
	*letter = flags[bit].letter;
	return flags[bit].name;
}
