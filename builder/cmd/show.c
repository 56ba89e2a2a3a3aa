#include "cmd/show.h"

#include "cmd/image-glob.h"
#include "cmd/image-path.h"
#include "cmd/json.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void rl_show_add(struct rl_show_words *words, const char *word)
{
	RL_GROW(words->items, words->count, words->room);
	words->items[words->count++] = word;
}

bool rl_show_several(const struct rl_show_words *words)
{
	for (size_t i = 1; i < words->count; i++) {
		const char *first = words->items[0], *colon = strstr(first, ":/");
		size_t size = colon ? (size_t)(colon - first) : strlen(first);

		if (strncmp(words->items[i], first, size) != 0 ||
			(words->items[i][size] && strncmp(words->items[i] + size, ":/", 2) != 0))
			return true;
	}
	return false;
}

static int expand(struct rl_cmd *cmd, const char *word, struct rl_show_words *to)
{
	struct rl_paths paths = {.items = NULL};
	struct rl_image_path ip;
	int result;

	if (rl_image_path_open(cmd, word, &ip))
		return -1;
	result = rl_image_glob(cmd, ip.image, ip.path, &paths);
	for (size_t i = 0; i < paths.count; i++) {
		RL_GROW(to->made, to->made_count, to->made_room);
		to->made[to->made_count] = rl_printf("%s:%s", ip.file, paths.items[i]);
		rl_show_add(to, to->made[to->made_count++]);
	}
	rl_paths_free(&paths);
	rl_image_path_close(&ip);
	return result;
}

void rl_show_expand(struct rl_cmd *cmd, struct rl_show_words *words)
{
	struct rl_show_words to = {.expanded = true};

	for (size_t i = 0; i < words->count; i++) {
		const char *split = strstr(words->items[i], ":/");

		if (!split || !rl_image_is_glob(split)) {
			rl_show_add(&to, words->items[i]);
		} else if (expand(cmd, words->items[i], &to)) {
			rl_cmd_trouble(cmd);
		}
	}
	free(words->items);
	*words = to;
}

int rl_show_each(struct rl_cmd *cmd, int result, struct rl_show_words *words, const char *missing,
	int (*show)(const char *word, void *context), void *context)
{
	if (!result && !words->count && !words->expanded)
		result = rl_cmd_usage(cmd, "%s", missing);
	if (!result && !words->expanded)
		rl_show_expand(cmd, words);
	for (size_t i = 0; i < words->count && !result; i++) {
		/* One that was interrupted told so itself. */
		if (rl_signal_caught() && cmd->trouble)
			break;
		if (show(words->items[i], context))
			rl_cmd_trouble(cmd);
	}
	free(words->items);
	for (size_t i = 0; i < words->made_count; i++)
		free(words->made[i]);
	free(words->made);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

char rl_show_type(uint32_t mode)
{
	return S_ISREG(mode)    ? '-'
	       : S_ISDIR(mode)  ? 'd'
	       : S_ISLNK(mode)  ? 'l'
	       : S_ISCHR(mode)  ? 'c'
	       : S_ISBLK(mode)  ? 'b'
	       : S_ISFIFO(mode) ? 'p'
	       : S_ISSOCK(mode) ? 's'
				: '?';
}

void rl_show_mode(char text[11], uint32_t mode)
{
	static const char bits[] = "rwxrwxrwx";

	text[0] = rl_show_type(mode);
	for (int i = 0; i < 9; i++)
		text[1 + i] = mode & (0400u >> i) ? bits[i] : '-';
	if (mode & S_ISUID)
		text[3] = mode & 0100 ? 's' : 'S';
	if (mode & S_ISGID)
		text[6] = mode & 0010 ? 's' : 'S';
	if (mode & S_ISVTX)
		text[9] = mode & 0001 ? 't' : 'T';
	text[10] = '\0';
}

void rl_show_time(char text[32], int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(text, 32, "%Y-%m-%d %H:%M", &tm))
		snprintf(text, 32, "%16" PRId64, seconds);
}

void rl_show_name(const char *name)
{
	struct rl_buf text = RL_BUF_NONE;

	rl_text_escape(&text, name, strlen(name));
	if (text.size)
		fwrite(text.data, 1, text.size, stdout);
	rl_buf_free(&text);
}

bool rl_show_has_colours(void)
{
	const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(none && *none) && !(terminal && !strcmp(terminal, "dumb"));
}

int rl_show_take_colour(struct rl_cmd *cmd, bool *colour)
{
	const char *when = cmd->value ? cmd->value : "always";

	if (strcmp(when, "always") != 0 && strcmp(when, "never") != 0 && strcmp(when, "auto") != 0)
		return rl_cmd_usage(cmd, "--color takes auto, always or never, not '%s'", when);
	*colour = *when == 'a' && (when[1] == 'l' || rl_show_has_colours());
	return 0;
}

/* As ls has them when nobody says otherwise; NULL: plain. */
static const char *colour_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "1;34";
	case S_IFLNK:
		return "1;36";
	case S_IFCHR:
	case S_IFBLK:
		return "1;33";
	case S_IFIFO:
		return "33";
	case S_IFSOCK:
		return "1;35";
	default:
		return mode & 06000 ? "37;41" : mode & 0111 ? "1;32" : NULL;
	}
}

void rl_show_coloured(const char *name, uint32_t mode)
{
	const char *colour = colour_of(mode);

	if (colour)
		printf("\033[%sm", colour);
	rl_show_name(name);
	if (colour)
		fputs("\033[0m", stdout);
}

size_t rl_show_width(const char *name)
{
	struct rl_buf text = RL_BUF_NONE;
	size_t width;

	rl_text_escape(&text, name, strlen(name));
	width = rl_text_width(text.data, text.size);
	rl_buf_free(&text);
	return width;
}

void rl_show_line(const char *name)
{
	rl_show_name(name);
	putchar('\n');
}

void rl_show_path(const char *image, const char *path)
{
	if (image) {
		rl_show_name(image);
		putchar(':');
	}
	rl_show_line(path);
}

void rl_show_lines(FILE *out, const char *before, const char *text, size_t size, size_t most)
{
	const char *end = text + size, *start = end, *newline;

	/* The end of the last line is not one more. */
	for (size_t lines = 0; start > text; start--)
		if (start[-1] == '\n' && start < end && ++lines == most)
			break;
	for (; start < end; start = newline ? newline + 1 : end) {
		struct rl_buf line = RL_BUF_NONE;

		newline = memchr(start, '\n', (size_t)(end - start));
		size = (size_t)((newline ? newline : end) - start);
		while (size && start[size - 1] == '\r')
			size--;
		rl_text_escape(&line, start, size);
		fprintf(out, "%s%.*s\n", before, (int)line.size, line.size ? line.data : "");
		rl_buf_free(&line);
	}
}

json_t *rl_show_object(
	const char *image, const char *path, const struct rl_image_inode *inode, const char *target)
{
	json_t *object = json_object();
	char mode[11], octal[16];

	if (image)
		json_object_set_new(object, "image", rl_json_text(image));
	json_object_set_new(object, "path", rl_json_text(path));
	if (inode) {
		rl_show_mode(mode, inode->mode);
		snprintf(octal, sizeof(octal), "%04o", inode->mode & 07777);
		json_object_set_new(object, "inode", json_integer(inode->number));
		json_object_set_new(object, "type", json_stringn(mode, 1));
		json_object_set_new(object, "mode", json_string(octal));
		json_object_set_new(object, "links", json_integer(inode->links));
		json_object_set_new(object, "uid", json_integer(inode->uid));
		json_object_set_new(object, "gid", json_integer(inode->gid));
		json_object_set_new(object, "size", json_integer((json_int_t)inode->size));
		json_object_set_new(object, "mtime", json_integer(inode->mtime));
		json_object_set_new(object, "mtime_nsec", json_integer(inode->mtime_nsec));
	}
	if (inode && (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))) {
		json_object_set_new(object, "major", json_integer(inode->major));
		json_object_set_new(object, "minor", json_integer(inode->minor));
	}
	if (target)
		json_object_set_new(object, "target", rl_json_text(target));
	return object;
}

void rl_show_json_of(
	const char *image, const char *path, const struct rl_image_inode *inode, const char *target)
{
	rl_json_print_line(rl_show_object(image, path, inode, target));
}

void rl_show_trouble(struct rl_cmd *cmd, struct rl_error *err)
{
	char *text = rl_error_text(err);

	cmd->trouble = true;
	rl_progress_clear();
	fflush(stdout);
	fprintf(stderr, "rootlet: %s\n", text);
	free(text);
}

void rl_show_problem(struct rl_cmd *cmd, const char *subject, const char *action, const char *reason)
{
	struct rl_error err = RL_ERROR_NONE;

	rl_fail(&err, subject, action, "%s", reason);
	rl_show_trouble(cmd, &err);
	rl_error_clear(&err);
}
