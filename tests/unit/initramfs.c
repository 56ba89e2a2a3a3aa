/*
 * What a kernel under QEMU begins with: the version in its file, its modules with all that they need, the cpio. The files
 * are anybody's, so most of this is about what is wrong in them. Boots are in tests/boot/qemu.bats.
 */
#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "uml/uml-internal.h"

#include <elf.h>
#include <stdio.h>

/* ---- the kernel's version ---- */

#define SETUP_SIZE 2048

/* Three sectors of setup behind the first one; the text of the version in the second of them. */
static void make_setup(unsigned char setup[SETUP_SIZE], const char *version)
{
	memset(setup, 0, SETUP_SIZE);
	setup[0x1f1] = 3;
	memcpy(setup + 0x202, "HdrS", 4);
	setup[0x20e] = 0x10;
	setup[0x20f] = 0x02;
	memcpy(setup + 0x410, version, strlen(version) + 1);
}

static void assert_version(const void *setup, size_t size, const char *expected)
{
	/* In memory that ends where it ends, for ASan. */
	void *copy = size ? malloc(size) : NULL;
	char *version;

	if (size)
		memcpy(copy, setup, size);
	version = rl_kernel_version(copy, size);
	if (expected)
		assert_string_equal(version, expected);
	else
		assert_null(version);
	free(version);
	free(copy);
}

static void versions(void **state)
{
	static const char *const bad[] = {"", " 6.1", "v6.1", "../6.1", "6.1/../..", "6.1\n", "6\x80"};
	unsigned char setup[SETUP_SIZE];
	char text[128];

	(void)state;
	make_setup(setup, "6.1.0-57-amd64 (debian-kernel@lists.debian.org) #1 SMP");
	assert_version(setup, sizeof(setup), "6.1.0-57-amd64");
	make_setup(setup, "6.19.0+");
	assert_version(setup, sizeof(setup), "6.19.0+");
	for (size_t i = 0; i < RL_COUNT(bad); i++) {
		make_setup(setup, bad[i]);
		assert_version(setup, sizeof(setup), NULL);
	}
	memset(text, '6', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	make_setup(setup, text);
	assert_version(setup, sizeof(setup), NULL);
}

static void files_that_are_no_kernel(void **state)
{
	unsigned char setup[SETUP_SIZE];
	uint64_t seed = 1;

	(void)state;
	make_setup(setup, "6.1.0");
	/* Cut anywhere: behind the text's NUL it is all there. */
	for (size_t size = 0; size <= 0x415; size++)
		assert_version(setup, size, NULL);
	assert_version(setup, 0x416, "6.1.0");
	/* The text begins behind the setup, in the first sector, or never ends. */
	setup[0x20f] = 0x06;
	assert_version(setup, sizeof(setup), NULL);
	setup[0x20e] = setup[0x20f] = 0;
	assert_version(setup, sizeof(setup), NULL);
	setup[0x20e] = setup[0x20f] = 0xff;
	assert_version(setup, sizeof(setup), NULL);
	make_setup(setup, "6.1.0");
	memset(setup + 0x410, '6', SETUP_SIZE - 0x410);
	assert_version(setup, sizeof(setup), NULL);
	make_setup(setup, "6.1.0");
	setup[0x202] = 'h';
	assert_version(setup, sizeof(setup), NULL);
	for (int round = 0; round < 20000; round++) {
		char *version;

		make_setup(setup, "6.1.0");
		for (int i = 0; i < 4; i++)
			setup[0x1f0 + unit_random(&seed) % 0x30] = (unsigned char)unit_random(&seed);
		version = rl_kernel_version(setup, 0x300 + unit_random(&seed) % (SETUP_SIZE - 0x300));
		free(version);
	}
}

/* ---- modules ---- */

/* An ELF file with the sections "", .modinfo and .shstrtab, and nothing else of a module. */
static void make_module(struct rl_buf *elf, const char *depends)
{
	static const char names[] = "\0.modinfo\0.shstrtab";
	struct rl_buf info = RL_BUF_NONE;
	Elf64_Ehdr head = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_REL,
		.e_machine = EM_X86_64,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 3,
		.e_shstrndx = 2};
	Elf64_Shdr sections[3] = {
		{0}, {.sh_name = 1, .sh_type = SHT_PROGBITS}, {.sh_name = 10, .sh_type = SHT_STRTAB}};

	rl_buf_bytes(&info, "license=GPL", 12);
	rl_buf_printf(&info, "depends=%s", depends);
	rl_buf_bytes(&info, "\0\0", 2);
	rl_buf_bytes(&info, "name=x", 7);
	sections[1].sh_offset = sizeof(head);
	sections[1].sh_size = info.size;
	sections[2].sh_offset = sizeof(head) + info.size;
	sections[2].sh_size = sizeof(names);
	head.e_shoff = sizeof(head) + info.size + sizeof(names);
	rl_buf_bytes(elf, &head, sizeof(head));
	rl_buf_bytes(elf, info.data, info.size);
	rl_buf_bytes(elf, names, sizeof(names));
	rl_buf_bytes(elf, sections, sizeof(sections));
	rl_buf_free(&info);
}

static void write_module(const char *path, const char *depends)
{
	struct rl_buf elf = RL_BUF_NONE;
	FILE *file = fopen(path, "w");

	make_module(&elf, depends);
	assert_non_null(file);
	assert_int_equal(fwrite(elf.data, 1, elf.size, file), elf.size);
	fclose(file);
	rl_buf_free(&elf);
}

static void what_a_module_needs(void **state)
{
	struct rl_buf elf = RL_BUF_NONE, copy = RL_BUF_NONE;
	char *depends;
	uint64_t seed = 7;

	(void)state;
	make_module(&elf, "virtio,virtio_ring");
	depends = rl_module_depends(&elf);
	assert_string_equal(depends, "virtio,virtio_ring");
	free(depends);
	for (size_t size = 0; size < elf.size; size++) {
		struct rl_buf cut = RL_BUF_NONE;

		rl_buf_bytes(&cut, elf.data, size);
		depends = rl_module_depends(&cut);
		/* What is missing is the last section's header, and then all of them. */
		assert_null(depends);
		rl_buf_free(&cut);
	}
	for (int round = 0; round < 50000; round++) {
		copy.size = 0;
		rl_buf_bytes(&copy, elf.data, elf.size);
		for (int i = 0; i < 3; i++)
			copy.data[unit_random(&seed) % elf.size] = (char)unit_random(&seed);
		free(rl_module_depends(&copy));
	}
	rl_buf_free(&copy);
	rl_buf_free(&elf);
}

static void assert_modules(const char *const *wanted, size_t count, const char *expected)
{
	struct rl_modules modules = RL_MODULES_NONE;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_buf names = RL_BUF_NONE;
	char *text;

	if (rl_modules_read("m", wanted, count, &modules, &err))
		assert_string_equal(rl_error_text(&err), "");
	for (size_t i = 0; i < modules.count; i++) {
		rl_buf_printf(&names, "%s%s", i ? " " : "", modules.items[i].name);
		assert_memory_equal(modules.items[i].bytes.data, ELFMAG, SELFMAG);
	}
	text = rl_buf_string(&names);
	assert_string_equal(text, expected);
	free(text);
	rl_modules_free(&modules);
}

static void assert_refused(const char *wanted, const char *why)
{
	struct rl_modules modules = RL_MODULES_NONE;
	struct rl_error err = RL_ERROR_NONE;

	assert_int_equal(rl_modules_read("m", &wanted, 1, &modules, &err), -1);
	assert_true(unit_error_has(&err, why));
	rl_modules_free(&modules);
}

static void modules_come_behind_what_they_need(void **state)
{
	static const char *const wanted[] = {"blk", "fs", "built_in", "blk"};

	(void)state;
	mkdir("m", 0755);
	mkdir("m/kernel", 0755);
	write_module("m/kernel/blk.ko", "ring,core");
	write_module("m/kernel/ring.ko", "core");
	write_module("m/kernel/core.ko", "");
	write_module("m/kernel/fs.ko", "sum-16,journal");
	write_module("m/kernel/sum_16.ko", "");
	write_module("m/kernel/journal.ko", "sum_16");
	/* As before depmod: a path a line. */
	unit_write("m/modules.order",
		"kernel/blk.ko\nkernel/ring.ko\nkernel/core.ko\nkernel/fs.ko\nkernel/sum_16.ko\n"
		"\nkernel/journal.ko\nkernel/gone.ko");
	assert_modules(wanted, RL_COUNT(wanted), "core ring blk sum_16 journal fs");
	/* And after it; compressed ones have another name. */
	assert_int_equal(unit_run((const char *[]){"xz", "--check=crc32", "m/kernel/core.ko", NULL}), 0);
	assert_int_equal(unit_run((const char *[]){"zstd", "-q", "--rm", "m/kernel/ring.ko", NULL}), 0);
	assert_int_equal(unit_run((const char *[]){"gzip", "m/kernel/fs.ko", NULL}), 0);
	unit_write("m/modules.dep",
		"kernel/blk.ko: kernel/ring.ko.zst kernel/core.ko.xz\nkernel/ring.ko.zst: kernel/core.ko.xz\n"
		"kernel/core.ko.xz:\nkernel/fs.ko.gz: "
		"kernel/sum_16.ko\nkernel/sum_16.ko:\nkernel/journal.ko:\n");
	assert_modules(wanted, RL_COUNT(wanted), "core ring blk sum_16 journal fs");
	assert_modules((const char *[]){"nothing"}, 1, "");
}

static void modules_that_cannot_be(void **state)
{
	struct rl_buf text = RL_BUF_NONE;
	char *name;

	(void)state;
	mkdir("m", 0755);
	assert_refused("a", "modules.order");
	unit_write("m/modules.order",
		"a.ko\nb.ko\nself.ko\nc.ko\n../out.ko\n/etc/passwd\nlink.ko\nempty.ko\ntext.ko\nbad.ko.xz\n"
		"dir.ko\n");
	write_module("m/a.ko", "b");
	write_module("m/b.ko", "a");
	assert_refused("a", "a needs itself");
	write_module("m/self.ko", "self");
	assert_refused("self", "self needs itself");
	write_module("m/c.ko", "nowhere");
	assert_refused("c", "c needs nowhere, which is not there");
	/* The list leads out of the folder, in three ways. */
	write_module("out.ko", "");
	assert_refused("out", "m/../out.ko");
	assert_refused("passwd", "/etc/passwd");
	assert_int_equal(symlink("../out.ko", "m/link.ko"), 0);
	assert_refused("link", "m/link.ko: open");
	unit_write("m/empty.ko", "");
	assert_refused("empty", "m/empty.ko: decompress: it is damaged");
	unit_write("m/text.ko", "no module\n");
	assert_refused("text", "m/text.ko: decompress");
	unit_write("m/bad.ko.xz", "\xfd"
				  "7zXZ");
	assert_refused("bad", "m/bad.ko.xz: decompress");
	mkdir("m/dir.ko", 0755);
	assert_refused("dir", "m/dir.ko");
	/* A chain that does not end for long. */
	for (int i = 0; i < 300; i++) {
		char path[32], next[32];

		rl_buf_printf(&text, "n%d.ko\n", i);
		snprintf(path, sizeof(path), "m/n%d.ko", i);
		snprintf(next, sizeof(next), "n%d", i + 1);
		write_module(path, next);
	}
	name = rl_buf_string(&text);
	unit_write("m/modules.order", name);
	free(name);
	assert_refused("n0", "n0 needs more than 256 others");
	assert_refused("n200", "n299 needs n300, which is not there");
}

static void where_modules_are(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	char *folder;

	(void)state;
	mkdir("boot", 0755);
	mkdir("lib", 0755);
	mkdir("lib/modules", 0755);
	mkdir("lib/modules/9.9.9", 0755);
	assert_int_equal(rl_modules_folder(NULL, "boot/vmlinuz", "9.9.9", &folder, &err), 0);
	assert_null(folder);
	unit_write("lib/modules/9.9.9/modules.order", "");
	assert_int_equal(rl_modules_folder(NULL, "boot/vmlinuz", "9.9.9", &folder, &err), 0);
	assert_string_equal(folder, "boot/../lib/modules/9.9.9");
	free(folder);
	for (size_t i = 0; i < 3; i++) {
		static const char *const given[] = {".", "lib/modules", "lib/modules/9.9.9"};

		assert_int_equal(rl_modules_folder(given[i], "boot/vmlinuz", "9.9.9", &folder, &err), 0);
		assert_non_null(folder);
		free(folder);
	}
	assert_int_equal(rl_modules_folder(".", "boot/vmlinuz", "9.9.8", &folder, &err), -1);
	assert_true(unit_error_has(
		&err, ".: find modules: there is neither modules.dep nor modules.order of 9.9.8"));
}

/* ---- cpio ---- */

static void a_cpio_as_others_read_it(void **state)
{
	static const char expected[] = "drwxr-xr-x 2 0 0 0 dev\n"
				       "crw------- 1 0 0 5,1 dev/console\n"
				       "-rwxr-xr-x 1 0 0 5 init\n"
				       "-rw-r--r-- 1 0 0 0 empty\n";
	struct rl_buf cpio = RL_BUF_NONE;
	FILE *file = fopen("x.cpio", "w");

	(void)state;
	rl_cpio_add(&cpio, "dev", S_IFDIR | 0755, 0, 0, NULL, 0);
	rl_cpio_add(&cpio, "dev/console", S_IFCHR | 0600, 5, 1, NULL, 0);
	rl_cpio_add(&cpio, "init", S_IFREG | 0755, 0, 0, "12345", 5);
	rl_cpio_add(&cpio, "empty", S_IFREG | 0644, 0, 0, NULL, 0);
	rl_cpio_end(&cpio);
	assert_int_equal(cpio.size % 4, 0);
	assert_int_equal(fwrite(cpio.data, 1, cpio.size, file), cpio.size);
	fclose(file);
	rl_buf_free(&cpio);
	assert_int_equal(unit_run((const char *[]){"sh", "-c",
				 "bsdtar --numeric-owner -tvf x.cpio | awk '{ print $1, $2, $3, $4, $5, $NF "
				 "}' >list &&"
				 "bsdtar -xOf x.cpio init >init",
				 NULL}),
		0);
	assert_true(unit_holds("list", expected));
	assert_true(unit_holds("init", "12345"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions),
		cmocka_unit_test(files_that_are_no_kernel),
		cmocka_unit_test(what_a_module_needs),
		UNIT_IN_FOLDER(modules_come_behind_what_they_need),
		UNIT_IN_FOLDER(modules_that_cannot_be),
		UNIT_IN_FOLDER(where_modules_are),
		UNIT_IN_FOLDER(a_cpio_as_others_read_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
