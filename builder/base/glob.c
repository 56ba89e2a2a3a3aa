#include "base/glob.h"

#include <stddef.h>
#include <string.h>

/* Matches c against the set behind "["; returns the place behind "]", or NULL if there is no end. */
static const char *match_set(const char *p, char c, bool *fits)
{
	bool invert = *p == '!' || *p == '^';
	const char *first;

	p += invert;
	*fits = false;
	for (first = p; *p && (*p != ']' || p == first); p++) {
		unsigned char low, high;

		if (*p == '\\' && p[1])
			p++;
		low = high = (unsigned char)*p;
		if (p[1] == '-' && p[2] && p[2] != ']') {
			p += 2;
			if (*p == '\\' && p[1])
				p++;
			high = (unsigned char)*p;
		}
		if ((unsigned char)c >= low && (unsigned char)c <= high)
			*fits = true;
	}
	if (!*p)
		return NULL;
	if (invert)
		*fits = !*fits;
	return p + 1;
}

/* Matches one character; returns the rest of the pattern, or NULL if it does not fit. */
static const char *match_one(const char *p, char c)
{
	const char *rest;
	bool fits;

	if (!*p || !c)
		return NULL;
	if (*p == '?')
		return c == '/' ? NULL : p + 1;
	if (*p == '[' && (rest = match_set(p + 1, c, &fits)))
		return fits && c != '/' ? rest : NULL;
	if (*p == '\\' && p[1])
		p++;
	return *p == c ? p + 1 : NULL;
}

bool rl_glob_match(const char *pattern, const char *string)
{
	/* Where to go on after a mismatch: at the last * and the last **, one character further. */
	const char *star = NULL, *star_at = NULL, *deep = NULL, *deep_at = NULL;

	for (;;) {
		const char *rest;

		if (pattern[0] == '*' && pattern[1] == '*') {
			while (*pattern == '*')
				pattern++;
			deep = pattern;
			deep_at = string;
			star = NULL;
			continue;
		}
		if (*pattern == '*') {
			star = ++pattern;
			star_at = string;
			continue;
		}
		if (!*pattern && !*string)
			return true;
		rest = match_one(pattern, *string);
		if (rest) {
			pattern = rest;
			string++;
		} else if (star && *star_at && *star_at != '/') {
			string = ++star_at;
			pattern = star;
		} else if (deep && *deep_at) {
			string = ++deep_at;
			pattern = deep;
			star = NULL;
		} else {
			return false;
		}
	}
}

bool rl_glob_match_path(const char *pattern, const char *path)
{
	if (!strchr(pattern, '/')) {
		const char *slash = strrchr(path, '/');

		return rl_glob_match(pattern, slash ? slash + 1 : path);
	}
	if (*path == '/')
		path++;
	if (*pattern == '/')
		pattern++;
	return rl_glob_match(pattern, path);
}
