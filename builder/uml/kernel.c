/*
 * What a kernel's file tells of itself. UML keeps the lines of its .config as strings, for --showconfig, so
 * the file is read and not run: that takes a millisecond, and whatever it is, nothing happens.
 */
#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACTION "run"

#define CHUNK     ((size_t)256 * 1024)
#define LINE_SIZE ((size_t)256) /* more than any of the lines that are looked for */
#define SCAN_MAX  ((uint64_t)512 << 20) /* more than a kernel with all its debugging symbols */
#define NAMES_MAX ((uint64_t)1 << 20) /* bytes, of all sections */

struct kernel_file {
	int fd;
	uint64_t size;
	uint64_t left; /* how much may still be scanned: sections may lie over each other */
	struct rl_kernel_option *options;
	size_t count;
	bool is_uml;
	bool has_config;
	char *chunk;
};

/* The fields of an ELF header, or of a section's, that are of use here; they have two sizes in files. */
struct section {
	uint32_t name, type;
	uint64_t offset, size;
};

struct header {
	bool wide; /* ELF64 */
	uint16_t machine;
	uint64_t sections; /* where their table is */
	uint16_t section_size, section_count, names;
};

/* ---- lines of a .config ---- */

/* text stands behind the "CONFIG_" of "CONFIG_X=y\n". */
static void take_line(struct kernel_file *file, const char *text, size_t size)
{
	const char *end = memchr(text, '\n', size);
	size_t line = end ? (size_t)(end - text) : 0;

	for (size_t i = 0; i < file->count && line; i++) {
		size_t name = strlen(file->options[i].name);

		if (line < name + 2 || text[name] != '=' || memcmp(text, file->options[i].name, name) != 0)
			continue;
		file->options[i].state = text[name + 1] == 'm' ? RL_OPTION_MODULE : RL_OPTION_BUILT_IN;
	}
	if (line == 5 && !memcmp(text, "UML=y", 5))
		file->is_uml = file->has_config = true;
}

/* The lines whose strings begin in these bytes; before: the byte in front of them. */
static void scan(struct kernel_file *file, const char *bytes, size_t size, char before)
{
	static const char mark[] = "CONFIG_";
	const char *end = bytes + size, *at = bytes;

	while ((at = memmem(at, (size_t)(end - at), mark, sizeof(mark) - 1))) {
		bool begins = (at == bytes ? before : at[-1]) == '\0';

		at += sizeof(mark) - 1;
		if (begins)
			take_line(file, at, (size_t)(end - at) < LINE_SIZE ? (size_t)(end - at) : LINE_SIZE);
	}
}

static int scan_range(struct kernel_file *file, uint64_t offset, uint64_t size)
{
	size_t kept = 0;
	char before = '\0';

	if (size > file->left)
		return 0;
	file->left -= size;
	while (size) {
		size_t more = size < CHUNK ? (size_t)size : CHUNK, all = kept + more;

		if (rl_pread_all(file->fd, file->chunk + kept, more, offset))
			return -1;
		scan(file, file->chunk, all, before);
		offset += more;
		size -= more;
		/* A line that is cut here is seen whole in the next turn. */
		kept = all > LINE_SIZE ? LINE_SIZE : 0;
		before = kept ? file->chunk[all - kept - 1] : '\0';
		memmove(file->chunk, file->chunk + all - kept, kept);
	}
	return 0;
}

/* ---- ELF ---- */

static bool read_header(const struct kernel_file *file, struct header *header)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf32_Ehdr narrow;
		Elf64_Ehdr wide;
	} elf = {.ident = {0}};
	size_t size = file->size < sizeof(elf) ? (size_t)file->size : sizeof(elf);

	if (size < sizeof(elf.narrow) || rl_pread_all(file->fd, &elf, size, 0) ||
		memcmp(elf.ident, ELFMAG, SELFMAG) != 0)
		return false;
	header->wide = elf.ident[EI_CLASS] == ELFCLASS64;
	if (header->wide) {
		header->machine = elf.wide.e_machine;
		header->sections = elf.wide.e_shoff;
		header->section_size = elf.wide.e_shentsize;
		header->section_count = elf.wide.e_shnum;
		header->names = elf.wide.e_shstrndx;
	} else {
		header->machine = elf.narrow.e_machine;
		header->sections = elf.narrow.e_shoff;
		header->section_size = elf.narrow.e_shentsize;
		header->section_count = elf.narrow.e_shnum;
		header->names = elf.narrow.e_shstrndx;
	}
	return true;
}

static void take_section(const char *at, bool wide, struct section *section)
{
	Elf32_Shdr narrow_header;
	Elf64_Shdr wide_header;

	if (wide) {
		memcpy(&wide_header, at, sizeof(wide_header));
		*section = (struct section){
			wide_header.sh_name, wide_header.sh_type, wide_header.sh_offset, wide_header.sh_size};
	} else {
		memcpy(&narrow_header, at, sizeof(narrow_header));
		*section = (struct section){narrow_header.sh_name, narrow_header.sh_type,
			narrow_header.sh_offset, narrow_header.sh_size};
	}
}

static bool within(const struct kernel_file *file, uint64_t offset, uint64_t size)
{
	return offset <= file->size && size <= file->size - offset;
}

/* The sections, whose count is set; NULL: there are none, or they make no sense. The caller frees them. */
static struct section *read_sections(const struct kernel_file *file, const struct header *header)
{
	size_t entry = header->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr), size;
	struct section *sections;
	char *table;

	size = entry * header->section_count;
	if (!size || header->section_size != entry || header->names >= header->section_count ||
		!within(file, header->sections, size))
		return NULL;
	table = rl_alloc(size);
	sections = rl_calloc(header->section_count, sizeof(*sections));
	if (rl_pread_all(file->fd, table, size, header->sections)) {
		free(table);
		free(sections);
		return NULL;
	}
	for (size_t i = 0; i < header->section_count; i++)
		take_section(table + i * entry, header->wide, &sections[i]);
	free(table);
	return sections;
}

static bool holds_strings(const char *name)
{
	return !strncmp(name, ".rodata", 7) || !strncmp(name, ".init.rodata", 12);
}

/* Looks where compilers put strings; what is not found there may stand elsewhere. */
static int scan_sections(struct kernel_file *file, const struct header *header)
{
	struct section *sections = read_sections(file, header), *strings;
	char *names = NULL;
	int result = 0;

	strings = sections ? &sections[header->names] : NULL;
	if (!strings || strings->size > NAMES_MAX || !within(file, strings->offset, strings->size)) {
		free(sections);
		return 0;
	}
	names = rl_alloc((size_t)strings->size + 1);
	names[strings->size] = '\0';
	result = rl_pread_all(file->fd, names, (size_t)strings->size, strings->offset);
	for (size_t i = 0; i < header->section_count && !result; i++) {
		const struct section *s = &sections[i];
		const char *name = s->name < strings->size ? names + s->name : "";

		if (!strcmp(name, ".uml.setup.init"))
			file->is_uml = true;
		if (s->type == SHT_PROGBITS && holds_strings(name) && within(file, s->offset, s->size))
			result = scan_range(file, s->offset, s->size);
	}
	free(names);
	free(sections);
	return result;
}

static int look(struct kernel_file *file, const struct header *header, const char *path, struct rl_error *err)
{
	int result = scan_sections(file, header);

	file->left = SCAN_MAX;
	if (!result && !file->has_config)
		result = scan_range(file, 0, file->size);
	if (result)
		return rl_fail_errno(err, path, "read", errno);
	if (!file->is_uml)
		return rl_fail(err, path, ACTION, "it is not a User Mode Linux kernel");
	return 0;
}

static bool runs_here(uint16_t machine)
{
#if defined(__x86_64__)
	return machine == EM_X86_64 || machine == EM_386;
#elif defined(__i386__)
	return machine == EM_386;
#else
	(void)machine;
	return true; /* then its start tells */
#endif
}

/* Whether it may be a script that starts a kernel: nothing can be said of that. */
static bool is_script(const struct kernel_file *file)
{
	char head[2];

	return file->size >= sizeof(head) && !rl_pread_all(file->fd, head, sizeof(head), 0) &&
	       head[0] == '#' && head[1] == '!';
}

int rl_kernel_options(
	const char *path, struct rl_kernel_option *options, size_t count, bool *known, struct rl_error *err)
{
	struct kernel_file file = {.fd = -1, .options = options, .count = count, .left = SCAN_MAX};
	struct header header;
	struct stat st;
	int result = 0;

	*known = false;
	for (size_t i = 0; i < count; i++)
		options[i].state = RL_OPTION_OFF;
	file.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	/* A file that can be executed need not be readable. */
	if (file.fd < 0 || fstat(file.fd, &st) || !S_ISREG(st.st_mode)) {
		rl_close(&file.fd);
		return 0;
	}
	file.size = (uint64_t)st.st_size;
	file.chunk = rl_alloc(CHUNK + LINE_SIZE);
	if (read_header(&file, &header)) {
		if (!runs_here(header.machine))
			result = rl_fail(err, path, ACTION, "it is for another kind of machine");
		else
			result = look(&file, &header, path, err);
	} else if (!is_script(&file)) {
		result = rl_fail(err, path, ACTION, "it is not a User Mode Linux kernel");
	}
	*known = !result && file.has_config;
	free(file.chunk);
	rl_close(&file.fd);
	return result;
}
