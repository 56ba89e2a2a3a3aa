/*
 * The modules of a kernel, as they lie in lib/modules/VERSION. Where a module is stands in modules.dep, or before
 * depmod has run in modules.order; what it needs stands in the module itself.
 */
#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "source/decompress.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACTION     "find modules"
#define LIST_MAX   ((size_t)64 << 20)
#define MODULE_MAX ((size_t)64 << 20) /* bytes of one, with its debug information */
#define COUNT_MAX  256
#define TOTAL_MAX  ((size_t)256 << 20)

struct place {
	char *name; /* as the kernel has it */
	const char *path; /* below the folder */
};

struct list {
	const char *folder; /* for messages */
	int dir;
	char *text; /* that the paths are in */
	struct place *places; /* sorted */
	size_t count, room;
	struct rl_modules *out;
	size_t total; /* bytes in it */
};

/* ---- where they are ---- */

static const char *const indexes[] = {"modules.dep", "modules.order"};

static bool has_modules(const char *folder)
{
	bool has = false;

	for (size_t i = 0; !has && i < RL_COUNT(indexes); i++) {
		char *path = rl_printf("%s/%s", folder, indexes[i]);

		has = access(path, R_OK) == 0;
		free(path);
	}
	return has;
}

static bool try_folder(char **folder, char *path)
{
	if (has_modules(path)) {
		*folder = path;
		return true;
	}
	free(path);
	return false;
}

int rl_modules_folder(
	const char *given, const char *kernel, const char *version, char **folder, struct rl_error *err)
{
	const char *slash = strrchr(kernel, '/');
	int size = slash ? (int)(slash - kernel) : 0;

	*folder = NULL;
	if (given) {
		if (try_folder(folder, rl_strdup(given)) ||
			try_folder(folder, rl_printf("%s/%s", given, version)) ||
			try_folder(folder, rl_printf("%s/lib/modules/%s", given, version)))
			return 0;
		return rl_fail(
			err, given, ACTION, "there is neither modules.dep nor modules.order of %s", version);
	}
	/* Beside a kernel in /boot, or wherever its package was unpacked; then this system's. */
	if (!try_folder(folder, rl_printf("%.*s/../lib/modules/%s", size, kernel, version)) &&
		!try_folder(folder, rl_printf("%.*s/../usr/lib/modules/%s", size, kernel, version)))
		try_folder(folder, rl_printf("/lib/modules/%s", version));
	return 0;
}

/* "kernel/fs/nls/nls_ascii.ko.xz": nls_ascii. Dashes and underscores are the same. */
static char *module_name(const char *path, size_t size)
{
	const char *start = memrchr(path, '/', size), *end;
	char *name;

	start = start ? start + 1 : path;
	size -= (size_t)(start - path);
	end = memmem(start, size, ".ko", 3);
	name = rl_strndup(start, end ? (size_t)(end - start) : size);
	for (char *p = name; *p; p++)
		if (*p == '-')
			*p = '_';
	return name;
}

static int by_name(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* A path a line; in modules.dep a colon follows, and what it needs. */
static void take_places(struct list *list)
{
	char *next;

	for (char *line = list->text; *line; line = next) {
		size_t size = strcspn(line, ":\n");

		next = line + strcspn(line, "\n");
		if (*next)
			next++;
		line[size] = '\0';
		if (!size)
			continue;
		RL_GROW(list->places, list->count, list->room);
		list->places[list->count++] = (struct place){module_name(line, size), line};
	}
	if (list->count)
		qsort(list->places, list->count, sizeof(*list->places), by_name);
}

static int open_list(struct list *list, struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;
	int result = -1;

	list->dir = open(list->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (list->dir < 0)
		return rl_fail_errno(err, list->folder, ACTION, errno);
	for (size_t i = 0; result && i < RL_COUNT(indexes); i++) {
		rl_error_clear(err);
		result = rl_read_file_at(list->dir, indexes[i], LIST_MAX, &text, err);
	}
	if (!result) {
		list->text = rl_buf_string(&text);
		take_places(list);
	}
	rl_buf_free(&text);
	return result;
}

static void close_list(struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->places[i].name);
	free(list->places);
	free(list->text);
	rl_close(&list->dir);
}

/* ---- what they need ---- */

static const char *section(const struct rl_buf *elf, const Elf64_Shdr *header)
{
	return header->sh_type != SHT_NOBITS && header->sh_offset <= elf->size &&
			       header->sh_size <= elf->size - header->sh_offset
		       ? elf->data + header->sh_offset
		       : NULL;
}

static bool get_header(const struct rl_buf *elf, const Elf64_Ehdr *head, uint64_t number, Elf64_Shdr *header)
{
	uint64_t at;

	if (number >= head->e_shnum || __builtin_add_overflow(head->e_shoff, number * sizeof(*header), &at) ||
		at > elf->size || elf->size - at < sizeof(*header))
		return false;
	memcpy(header, elf->data + at, sizeof(*header));
	return true;
}

char *rl_module_depends(const struct rl_buf *elf)
{
	static const char info[] = ".modinfo", key[] = "depends=";
	Elf64_Ehdr head;
	Elf64_Shdr names, header;
	const char *text, *end;

	if (elf->size < sizeof(head) || memcmp(elf->data, ELFMAG, SELFMAG) != 0 ||
		elf->data[EI_CLASS] != ELFCLASS64 || elf->data[EI_DATA] != ELFDATA2LSB)
		return NULL;
	memcpy(&head, elf->data, sizeof(head));
	if (head.e_shentsize != sizeof(header) || !get_header(elf, &head, head.e_shstrndx, &names) ||
		!section(elf, &names))
		return NULL;
	for (uint64_t i = 0; get_header(elf, &head, i, &header); i++) {
		if (header.sh_name > names.sh_size || names.sh_size - header.sh_name < sizeof(info) ||
			memcmp(section(elf, &names) + header.sh_name, info, sizeof(info)) != 0)
			continue;
		text = section(elf, &header);
		if (!text)
			return NULL;
		/* Texts, each with a NUL, and some more for alignment. */
		for (end = text + header.sh_size; text < end; text += strnlen(text, (size_t)(end - text)) + 1)
			if ((size_t)(end - text) >= sizeof(key) && !memcmp(text, key, sizeof(key) - 1)) {
				text += sizeof(key) - 1;
				return rl_strndup(text, (size_t)(end - text));
			}
		return NULL;
	}
	return NULL;
}

static int read_module(struct list *list, const char *path, struct rl_buf *bytes, struct rl_error *err)
{
	char *name = rl_printf("%s/%s", list->folder, path);
	/* Its path is as whoever made the list wants it: it does not lead out of the folder. */
	int fd = rl_open_below(list->dir, path, O_RDONLY | O_NONBLOCK), result;
	struct rl_buf raw = RL_BUF_NONE;

	if (fd < 0)
		result = rl_fail_errno(err, name, "open", errno);
	else
		result = rl_read_fd(fd, name, MODULE_MAX, &raw, err);
	rl_close(&fd);
	if (!result && raw.size >= SELFMAG && memcmp(raw.data, ELFMAG, SELFMAG) == 0) {
		*bytes = raw;
		raw = (struct rl_buf)RL_BUF_NONE;
	} else if (!result) {
		result = rl_decompress(name, &raw, MODULE_MAX, bytes, err);
	}
	rl_buf_free(&raw);
	free(name);
	return result;
}

/* ---- which of them, in which order ---- */

static bool is_taken(const struct list *list, const char *name)
{
	for (size_t i = 0; i < list->out->count; i++)
		if (strcmp(list->out->items[i].name, name) == 0)
			return true;
	return false;
}

struct step {
	char *name;
	char *needs, *at; /* what is still to be taken before it; NULL: not known yet */
	struct rl_buf bytes;
};

static int start_step(
	struct list *list, const char *name, const char *needed_by, struct step *step, struct rl_error *err)
{
	struct place key = {.name = (char *)name};
	const struct place *place =
		list->count ? bsearch(&key, list->places, list->count, sizeof(key), by_name) : NULL;

	*step = (struct step){.name = rl_strdup(name)};
	if (!place)
		return rl_fail(err, list->folder, ACTION, "%s needs %s, which is not there", needed_by, name);
	if (read_module(list, place->path, &step->bytes, err))
		return -1;
	list->total += step->bytes.size;
	if (list->total > TOTAL_MAX)
		return rl_fail(
			err, list->folder, ACTION, "more than %zu MiB of them are needed", TOTAL_MAX >> 20);
	step->needs = rl_module_depends(&step->bytes);
	if (!step->needs)
		return rl_fail(err, place->path, "read module", "it is damaged, or none for x86-64");
	step->at = step->needs;
	return 0;
}

static void free_step(struct step *step)
{
	free(step->name);
	free(step->needs);
	rl_buf_free(&step->bytes);
}

/* The next one that it needs and nobody has taken; NULL: none. */
static const char *next_need(struct list *list, struct step *step)
{
	while (step->at) {
		char *name = step->at, *comma = strchr(name, ',');

		step->at = comma ? comma + 1 : NULL;
		if (comma)
			*comma = '\0';
		for (char *p = name; *p; p++)
			if (*p == '-')
				*p = '_';
		if (*name && !is_taken(list, name))
			return name;
	}
	return NULL;
}

static void finish_step(struct list *list, struct step *step)
{
	struct rl_modules *out = list->out;

	RL_GROW(out->items, out->count, out->room);
	out->items[out->count++] = (struct rl_module){step->name, step->bytes};
	free(step->needs);
}

static bool is_under_way(const struct step *steps, size_t depth, const char *name)
{
	for (size_t i = 0; i < depth; i++)
		if (strcmp(steps[i].name, name) == 0)
			return true;
	return false;
}

/* A module behind all that it needs. */
static int take(struct list *list, const char *wanted, struct rl_error *err)
{
	struct step steps[COUNT_MAX];
	size_t depth = 0;
	int result = start_step(list, wanted, wanted, &steps[depth++], err);

	while (!result && depth) {
		struct step *step = &steps[depth - 1];
		const char *name = next_need(list, step);

		if (!name) {
			finish_step(list, step);
			depth--;
		} else if (is_under_way(steps, depth, name)) {
			result = rl_fail(err, list->folder, ACTION, "%s needs itself", name);
		} else if (depth + list->out->count == COUNT_MAX) {
			result = rl_fail(
				err, list->folder, ACTION, "%s needs more than %d others", wanted, COUNT_MAX);
		} else {
			result = start_step(list, name, step->name, &steps[depth++], err);
		}
	}
	while (depth)
		free_step(&steps[--depth]);
	return result;
}

int rl_modules_read(const char *folder, const char *const *wanted, size_t count, struct rl_modules *modules,
	struct rl_error *err)
{
	struct list list = {.folder = folder, .dir = -1, .out = modules};
	int result = open_list(&list, err);

	for (size_t i = 0; !result && i < count; i++) {
		struct place key = {.name = (char *)wanted[i]};

		/* One that is not there is built in, or this kernel does without it. */
		if (list.count && bsearch(&key, list.places, list.count, sizeof(key), by_name) &&
			!is_taken(&list, wanted[i]))
			result = take(&list, wanted[i], err);
	}
	close_list(&list);
	return result;
}

void rl_modules_free(struct rl_modules *modules)
{
	for (size_t i = 0; i < modules->count; i++) {
		free(modules->items[i].name);
		rl_buf_free(&modules->items[i].bytes);
	}
	free(modules->items);
	*modules = (struct rl_modules)RL_MODULES_NONE;
}
