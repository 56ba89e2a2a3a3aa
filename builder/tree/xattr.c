#include "tree/xattr.h"

#include "base/mem.h"

#include <linux/limits.h>
#include <string.h>

enum { FILES = 1, FOLDERS = 2, SYMLINKS = 4, OTHERS = 8, ALL = 15 };

/* What the kernel lets each be set on (fs/xattr.c, fs/posix_acl.c). The first that fits counts. */
static const struct {
	const char *name;
	bool whole; /* there is nothing behind it */
	unsigned types;
} kinds[] = {
	{"user.", false, FILES | FOLDERS},
	{"trusted.", false, ALL},
	{"security.capability", true, FILES},
	{"security.", false, ALL},
	{"system.posix_acl_access", true, ALL & ~SYMLINKS},
	{"system.posix_acl_default", true, FOLDERS},
};

/* The types of file that can have it; 0: there is no such attribute. */
static unsigned types_of(const char *name, size_t size)
{
	for (size_t i = 0; i < RL_COUNT(kinds); i++) {
		size_t n = strlen(kinds[i].name);

		if (size >= n && !memcmp(name, kinds[i].name, n) && kinds[i].whole == (size == n))
			return kinds[i].types;
	}
	return 0;
}

bool rl_xattr_is_name(const char *name, size_t size)
{
	return size <= XATTR_NAME_MAX && types_of(name, size);
}

bool rl_xattr_fits(const struct rl_inode *inode, const char *name)
{
	unsigned type = S_ISREG(inode->mode)   ? FILES
			: S_ISDIR(inode->mode) ? FOLDERS
			: S_ISLNK(inode->mode) ? SYMLINKS
					       : OTHERS;

	return types_of(name, strlen(name)) & type;
}

/* ---- values ---- */

static int digit_of(const char *digits, char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool parse_hex(const char *text, struct rl_buf *value)
{
	static const char digits[] = "0123456789abcdef";

	for (; *text; text += 2) {
		int high = digit_of(digits, (char)(*text | 0x20)), low;

		low = high < 0 ? -1 : digit_of(digits, (char)(text[1] | 0x20));
		if (low < 0)
			return false;
		rl_buf_char(value, (char)(high << 4 | low));
	}
	return true;
}

/* Groups of four, the last one filled up with =. */
static bool parse_base64(const char *text, struct rl_buf *value)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t size = strlen(text), filled = 0;

	while (filled < 2 && filled < size && text[size - filled - 1] == '=')
		filled++;
	if (size % 4)
		return false;
	for (size_t i = 0; i < size; i += 4) {
		size_t bytes = i + 4 < size ? 3 : 3 - filled;
		uint32_t group = 0;

		for (size_t k = 0; k < 4; k++) {
			int digit = k <= bytes ? digit_of(digits, text[i + k]) : 0;

			if (digit < 0)
				return false;
			group = group << 6 | (uint32_t)digit;
		}
		for (size_t k = 0; k < bytes; k++)
			rl_buf_char(value, (char)(group >> (16 - 8 * k)));
	}
	return true;
}

/* What stands behind a backslash; one that is no escape stands for itself. */
static const char *parse_escape(const char *text, const char *end, struct rl_buf *value)
{
	unsigned byte = 0;
	int n = 0;

	if (text < end && (*text == '\\' || *text == '"')) {
		rl_buf_char(value, *text);
		return text + 1;
	}
	for (; n < 3 && text < end && *text >= '0' && *text <= '7'; n++)
		byte = byte * 8 + (unsigned)(*text++ - '0');
	rl_buf_char(value, n ? (char)byte : '\\');
	return text;
}

static void parse_text(const char *text, struct rl_buf *value)
{
	size_t size = strlen(text);
	const char *end = text + size;

	if (size > 1 && *text == '"' && end[-1] == '"') {
		text++;
		end--;
	}
	while (text < end) {
		if (*text == '\\')
			text = parse_escape(text + 1, end, value);
		else
			rl_buf_char(value, *text++);
	}
}

int rl_xattr_parse_value(const char *text, struct rl_buf *value, struct rl_error *err)
{
	char how = *text == '0' ? (char)(text[1] | 0x20) : '\0';
	size_t before = value->size;

	if (how == 'x' && !parse_hex(text + 2, value))
		return rl_fail(err, text, "read attribute", "0x wants hexadecimal digits, two for each byte");
	if (how == 's' && !parse_base64(text + 2, value))
		return rl_fail(err, text, "read attribute", "what stands behind 0s is no Base64");
	if (how != 'x' && how != 's')
		parse_text(text, value);
	if (value->size - before > XATTR_SIZE_MAX)
		return rl_fail(err, text, "read attribute", "its value is larger than 64 KiB");
	return 0;
}
