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

/*
 * Matches one character; returns the rest of the pattern, or NULL if it does not fit. *literal is the
 * first "[" known to have no end: it and those behind it are plain characters.
 */
static const char *match_one(const char *p, char c, const char **literal)
{
	const char *rest;
	bool fits;

	if (!*p || !c)
		return NULL;
	if (*p == '?')
		return c == '/' ? NULL : p + 1;
	if (*p == '[' && (!*literal || p < *literal)) {
		rest = match_set(p + 1, c, &fits);
		if (rest)
			return fits && c != '/' ? rest : NULL;
		*literal = p;
	}
	if (*p == '\\' && p[1])
		p++;
	return *p == c ? p + 1 : NULL;
}

bool rl_glob_match(const char *pattern, const char *string)
{
	/* Where to go on after a mismatch: at the last * and the last **, one character further. */
	const char *star = NULL, *star_at = NULL, *deep = NULL, *deep_at = NULL;
	const char *first = NULL; /* where the first * behind the last ** began */
	const char *literal = NULL;

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
			if (!star)
				first = string;
			star = ++pattern;
			star_at = string;
			continue;
		}
		if (!*pattern && !*string)
			return true;
		rest = match_one(pattern, *string, &literal);
		if (rest) {
			pattern = rest;
			string++;
		} else if (star && *star_at && *star_at != '/') {
			string = ++star_at;
			pattern = star;
		} else if (deep && star) {
			/*
			 * The first * could have taken whatever a later start would have skipped in the same
			 * component, so the next start that can fit is one that brings it into the next.
			 */
			const char *end = first + strcspn(first, "/");

			if (!*end)
				return false;
			string = deep_at += end - first + 1;
			pattern = deep;
			star = NULL;
		} else if (deep && *deep_at) {
			string = ++deep_at;
			pattern = deep;
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
	if (*pattern == '/')
		pattern++;
	else if (pattern[0] == '*' && pattern[1] == '*')
		return rl_glob_match(pattern, path); /* it takes the first slash */
	if (*path == '/')
		path++;
	return rl_glob_match(pattern, path);
}
