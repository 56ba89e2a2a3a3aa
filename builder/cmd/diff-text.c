#include "cmd/diff-text.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text-diff.h"
#include "base/text.h"
#include "source/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_MAX ((uint64_t)8 << 20) /* bytes; larger ones are compared, but not shown */

/* A side of a difference. */
struct text {
	char *name; /* as it stands in the head */
	struct rl_buf bytes;
	bool binary;
};

char *rl_diff_label(const char *word)
{
	size_t size = strlen(word);
	bool container = rl_source_is_container(word);
	struct stat st;

	if (!container && (strstr(word, ":/") || (stat(word, &st) == 0 && S_ISDIR(st.st_mode)))) {
		while (size && word[size - 1] == '/')
			size--;
		return rl_strndup(word, size);
	}
	return rl_printf("%s:", word);
}

/* Names with a blank have a tab behind them, where patch would look for a time; others are quoted as in C. */
static char *head_name(const char *label, const char *path)
{
	char *plain = rl_printf("%s%s", label, strcmp(path, "/") ? path : "");
	struct rl_buf name = RL_BUF_NONE;

	if (rl_text_is_clean(plain) && !strpbrk(plain, "\"\\")) {
		rl_buf_printf(&name, "%s%s", plain, strchr(plain, ' ') ? "\t" : "");
		free(plain);
		return rl_buf_string(&name);
	}
	rl_buf_char(&name, '"');
	for (const char *at = plain; *at; at++) {
		if (*at == '"' || *at == '\\')
			rl_buf_printf(&name, "\\%c", *at);
		else if (*at < 0x20 || *at == 0x7f)
			rl_buf_printf(&name, "\\%03o", (unsigned)(unsigned char)*at);
		else
			rl_buf_char(&name, *at);
	}
	rl_buf_char(&name, '"');
	free(plain);
	return rl_buf_string(&name);
}

static int read_text(const struct rl_inode *inode, const char *path, struct text *text, struct rl_error *err)
{
	struct rl_bytes bytes;
	int result;

	text->binary = inode->size > TEXT_MAX;
	if (text->binary)
		return 0;
	if (rl_content_open(inode, &bytes, err))
		return -1;
	rl_buf_reserve(&text->bytes, (size_t)inode->size + 1);
	result = rl_content_read(inode, &bytes, text->bytes.data, (size_t)inode->size, 0)
			 ? rl_fail_errno(err, path, "read", errno)
			 : rl_content_verify(inode, &bytes, err);
	rl_content_close(&bytes);
	if (result)
		return -1;
	text->bytes.size = (size_t)inode->size;
	text->binary = memchr(text->bytes.data, '\0', text->bytes.size) != NULL;
	return 0;
}

/* Tabs and backslashes do no harm. */
static void put_safe(const char *bytes, size_t size)
{
	struct rl_buf safe = RL_BUF_NONE;

	while (size) {
		size_t n = 0;

		while (n < size && bytes[n] != '\t' && bytes[n] != '\\')
			n++;
		rl_text_escape(&safe, bytes, n);
		if (n < size)
			rl_buf_char(&safe, bytes[n++]);
		bytes += n;
		size -= n;
	}
	if (safe.size)
		fwrite(safe.data, 1, safe.size, stdout);
	rl_buf_free(&safe);
}

static void put_line(char kind, const char *line, size_t size, void *context)
{
	const bool *colour = context;
	bool ended = kind == '@' || (size && line[size - 1] == '\n');

	if (*colour)
		fputs(kind == '@'     ? "\033[36m"
			: kind == '-' ? "\033[31m"
			: kind == '+' ? "\033[32m"
				      : "",
			stdout);
	if (kind != '@')
		putchar(kind);
	size -= kind != '@' && ended;
	if (*colour)
		put_safe(line, size);
	else
		fwrite(line, 1, size, stdout);
	fputs(*colour && kind != ' ' ? "\033[0m\n" : "\n", stdout);
	if (!ended)
		puts("\\ No newline at end of file");
}

int rl_diff_text(
	const struct rl_difference *difference, char *const labels[2], bool colour, struct rl_error *err)
{
	const struct rl_node *nodes[2] = {difference->before, difference->after};
	struct text texts[2] = {{.name = NULL}, {.name = NULL}};
	int result = 0;

	for (int i = 0; i < 2 && !result; i++) {
		texts[i].name = nodes[i] ? head_name(labels[i], difference->path) : rl_strdup("/dev/null");
		if (nodes[i])
			result = read_text(nodes[i]->inode, texts[i].name, &texts[i], err);
	}
	if (!result && (texts[0].binary || texts[1].binary)) {
		printf("Binary files %s and %s differ\n", texts[0].name, texts[1].name);
	} else if (!result && (texts[0].bytes.size || texts[1].bytes.size)) {
		printf("--- %s\n+++ %s\n", texts[0].name, texts[1].name);
		rl_text_diff(texts[0].bytes.data, texts[0].bytes.size, texts[1].bytes.data,
			texts[1].bytes.size, put_line, &colour);
	}
	for (int i = 0; i < 2; i++) {
		free(texts[i].name);
		rl_buf_free(&texts[i].bytes);
	}
	return result;
}
