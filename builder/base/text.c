#include "base/text.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

static bool parse_digits(const char **s, unsigned base, uint64_t *value)
{
	uint64_t v = 0;
	const char *p = *s;

	for (; *p >= '0' && *p < (char)('0' + base); p++) {
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	}
	if (p == *s)
		return false;
	*s = p;
	*value = v;
	return true;
}

bool rl_parse_u64(const char *s, uint64_t max, uint64_t *value)
{
	uint64_t v;

	if (!parse_digits(&s, 10, &v) || *s || v > max)
		return false;
	*value = v;
	return true;
}

bool rl_parse_size(const char *s, uint64_t *value)
{
	static const char units[] = "KMGTPE";
	uint64_t v;

	if (!parse_digits(&s, 10, &v))
		return false;
	if (*s) {
		char letter = *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s;
		const char *unit = strchr(units, letter);

		if (!unit || s[1])
			return false;
		if (__builtin_mul_overflow(v, (uint64_t)1 << (10 * (unit - units + 1)), &v))
			return false;
	}
	*value = v;
	return true;
}

bool rl_parse_mode(const char *s, uint32_t *mode)
{
	uint64_t v;

	if (!parse_digits(&s, 8, &v) || *s || v > 07777)
		return false;
	*mode = (uint32_t)v;
	return true;
}

bool rl_parse_owner(const char *s, uint32_t *uid, uint32_t *gid)
{
	uint64_t u, g;

	if (!parse_digits(&s, 10, &u) || *s++ != ':' || !parse_digits(&s, 10, &g) || *s)
		return false;
	/* (uid_t)-1 means "no change" to chown(2) and owns nothing. */
	if (u >= UINT32_MAX || g >= UINT32_MAX)
		return false;
	*uid = (uint32_t)u;
	*gid = (uint32_t)g;
	return true;
}

bool rl_parse_seconds(const char *s, uint64_t *seconds)
{
	uint64_t v, unit = 1;

	if (!parse_digits(&s, 10, &v))
		return false;
	if (*s) {
		unit = *s == 's' ? 1 : *s == 'm' ? 60 : *s == 'h' ? 3600 : 0;
		if (!unit || s[1])
			return false;
	}
	if (__builtin_mul_overflow(v, unit, &v) || v > INT32_MAX)
		return false;
	*seconds = v;
	return true;
}

static uint64_t rounded_up(unsigned __int128 number, int shift)
{
	return (uint64_t)((number + (((unsigned __int128)1 << shift) - 1)) >> shift);
}

char *rl_format_size(char buf[16], uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	int shift = 0;
	uint64_t whole, tenths;

	while (shift < 60 && bytes >> shift >= 1024)
		shift += 10;
	whole = rounded_up(bytes, shift);
	if (whole == 1024 && shift < 60) {
		shift += 10;
		whole = 1;
	}
	tenths = rounded_up((unsigned __int128)bytes * 10, shift);
	if (!shift)
		snprintf(buf, 16, "%u", (unsigned)whole);
	else if (tenths < 100)
		snprintf(buf, 16, "%u.%u%c", (unsigned)tenths / 10, (unsigned)tenths % 10,
			units[shift / 10 - 1]);
	else
		snprintf(buf, 16, "%u%c", (unsigned)whole, units[shift / 10 - 1]);
	return buf;
}

/*
 * Characters that are not seen, turn the direction of the text, or end the line: with them a listing
 * can lie. C1 controls are here too.
 */
static bool is_misleading(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x0080, 0x009f}, /* C1 controls */
		{0x00ad, 0x00ad}, /* soft hyphen */
		{0x061c, 0x061c}, /* Arabic letter mark */
		{0x200b, 0x200f}, /* zero width, direction marks */
		{0x2028, 0x202e}, /* separators, embeddings, overrides */
		{0x2060, 0x206f}, /* word joiner, isolates */
		{0xfeff, 0xfeff}, /* byte order mark */
		{0xfff9, 0xfffb}, /* interlinear annotation */
		{0xe0000, 0xe007f}, /* tags */
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* The length of the UTF-8 character at p that is valid, in shortest form and not misleading; else 0. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	uint32_t c;
	size_t n;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2, c = p[0] & 0x1f;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3, c = p[0] & 0x0f;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4, c = p[0] & 0x07;
	else
		return 0;
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return is_misleading(c) ? 0 : n;
}

size_t rl_text_width(const char *text, size_t size)
{
	const unsigned char *p = (const unsigned char *)text;
	locale_t utf8, before;
	size_t width = 0;

	while (width < size && p[width] < 0x80)
		width++;
	if (width == size)
		return width;
	/* wcwidth() knows the locale's characters only. */
	utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	before = utf8 ? uselocale(utf8) : (locale_t)0;
	for (size_t i = width; i < size;) {
		size_t n = p[i] < 0x80 ? 1 : utf8_length(p + i, size - i);
		uint32_t c = n == 2 ? p[i] & 0x1fu : n == 3 ? p[i] & 0x0fu : p[i] & 0x07u;
		int columns = 1;

		for (size_t k = 1; k < n; k++)
			c = c << 6 | (p[i + k] & 0x3f);
		if (n > 1 && utf8)
			columns = wcwidth((wchar_t)c);
		width += columns > 0 ? (size_t)columns : 0;
		i += n ? n : 1;
	}
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	return width;
}

bool rl_text_is_clean(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = strlen(text), n;

	for (; left; p += n, left -= n) {
		n = *p < 0x80 ? *p >= 0x20 && *p != 0x7f : utf8_length(p, left);
		if (!n)
			return false;
	}
	return true;
}

ssize_t rl_text_before(const char *text, const char *ending)
{
	size_t size = strlen(text), end = strlen(ending);

	return size >= end && !strcmp(text + size - end, ending) ? (ssize_t)(size - end) : -1;
}

void rl_text_escape(struct rl_buf *out, const char *bytes, size_t size)
{
	const unsigned char *p = (const unsigned char *)bytes;

	for (size_t i = 0; i < size;) {
		size_t n = p[i] < 0x80 ? 1 : utf8_length(p + i, size - i);

		if (n > 1) {
			rl_buf_bytes(out, p + i, n);
		} else if (n == 0 || p[i] < 0x20 || p[i] == 0x7f) {
			if (p[i] == '\n')
				rl_buf_text(out, "\\n");
			else if (p[i] == '\t')
				rl_buf_text(out, "\\t");
			else
				rl_buf_printf(out, "\\x%02x", p[i]);
			n = 1;
		} else if (p[i] == '\\') {
			rl_buf_text(out, "\\\\");
		} else {
			rl_buf_char(out, (char)p[i]);
		}
		i += n;
	}
}

void rl_text_quote(struct rl_buf *out, const char *word)
{
	rl_buf_char(out, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			rl_buf_text(out, "'\\''");
		else
			rl_buf_char(out, *word);
	}
	rl_buf_char(out, '\'');
}
