/*
 * What a kernel's file tells of itself, and what a run needs of it: with files made here, some of them
 * such as nobody's linker makes them. tests/boot/kernel.bats has real kernels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "uml/uml-internal.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/rootlet-test-XXXXXX";
static char *kernel, *disk;

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	kernel = rl_printf("%s/linux", folder);
	disk = rl_printf("%s/disk", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rl_remove_tree(AT_FDCWD, folder, NULL);
	free(kernel);
	free(disk);
	return 0;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(rl_write_all(fd, bytes, size), 0);
	close(fd);
}

/* ---- kernels ---- */

#define STRINGS_AT ((size_t)512)

/*
 * An ELF file: the words of text become strings in .rodata, those with a "=" as lines of a .config. Fill is
 * put in front of them.
 */
static struct rl_buf make_elf(const char *words, size_t fill, bool sections)
{
	static const char names[] = "\0.rodata\0.shstrtab\0.text.and.more.init";
	Elf64_Ehdr header = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 4,
		.e_shstrndx = 2};
	Elf64_Shdr table[4] = {{.sh_name = 0},
		{.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = STRINGS_AT},
		{.sh_name = 9, .sh_type = SHT_STRTAB, .sh_size = sizeof(names)},
		{.sh_name = 19, .sh_type = SHT_PROGBITS, .sh_offset = 0, .sh_size = STRINGS_AT}};
	struct rl_buf file = RL_BUF_NONE;

	memset(rl_buf_reserve(&file, STRINGS_AT + fill), '_', STRINGS_AT + fill);
	file.size = STRINGS_AT + fill;
	rl_buf_char(&file, '\0');
	for (const char *word = words; *word;) {
		size_t size = strcspn(word, " ");
		bool set = memchr(word, '=', size) != NULL;

		rl_buf_printf(&file, "%sCONFIG_%.*s%s\n", set ? "" : "# ", (int)size, word,
			set ? "" : " is not set");
		rl_buf_char(&file, '\0');
		word += size + (word[size] == ' ');
	}
	table[1].sh_size = file.size - STRINGS_AT;
	table[2].sh_offset = file.size;
	rl_buf_bytes(&file, names, sizeof(names));
	header.e_shoff = sections ? file.size : 0;
	header.e_shnum = sections ? 4 : 0;
	rl_buf_bytes(&file, table, sizeof(table));
	memcpy(file.data, &header, sizeof(header));
	return file;
}

static void write_kernel(const char *words, size_t fill, bool sections)
{
	struct rl_buf file = make_elf(words, fill, sections);

	write_file(kernel, file.data, file.size);
	rl_buf_free(&file);
}

static void options_are_found(void **state)
{
	/* Around the ends of the pieces that are read, too. */
	static const size_t fills[] = {0, 1, 262144 - 512 - 30, 262144 - 512 - 20, 262144 - 512 - 10,
		262144 - 512 - 1, 262144 - 512, 262144, 524288 - 600, 1000000};

	(void)state;
	for (size_t i = 0; i < 2 * RL_COUNT(fills); i++) {
		struct rl_kernel_option options[] = {{.name = "EXT4_FS"}, {.name = "EXT4"},
			{.name = "EXT3_FS"}, {.name = "HOSTFS"}, {.name = "UML_NET"}};
		bool known = false;

		write_kernel("UML=y EXT4_FS=y EXT3_FS HOSTFS=m UML_NET_VECTOR=y X=\"CONFIG_UML_NET=y\"",
			fills[i / 2], i % 2);
		assert_int_equal(rl_kernel_options(kernel, options, RL_COUNT(options), &known, NULL), 0);
		assert_true(known);
		assert_int_equal(options[0].state, RL_OPTION_BUILT_IN);
		assert_int_equal(options[1].state, RL_OPTION_OFF);
		assert_int_equal(options[2].state, RL_OPTION_OFF);
		assert_int_equal(options[3].state, RL_OPTION_MODULE);
		assert_int_equal(options[4].state, RL_OPTION_OFF);
	}
}

static void assert_refused(const char *reason)
{
	struct rl_kernel_option option = {.name = "EXT4_FS"};
	struct rl_error err = RL_ERROR_NONE;
	bool known;

	assert_int_equal(rl_kernel_options(kernel, &option, 1, &known, &err), -1);
	assert_false(known);
	assert_string_equal(err.subject, kernel);
	assert_string_equal(err.reason, reason);
	rl_error_clear(&err);
}

static void what_is_no_kernel_is_told(void **state)
{
	static const char not_uml[] = "it is not a User Mode Linux kernel";
	struct rl_buf file;
	uint16_t machine = EM_AARCH64;

	(void)state;
	write_kernel("EXT4_FS=y", 0, true);
	assert_refused(not_uml);
	write_file(kernel, "MZ, as a bzImage begins", 23);
	assert_refused(not_uml);
	write_file(kernel, "\177ELF", 4);
	assert_refused(not_uml);
	write_file(kernel, "", 0);
	assert_refused(not_uml);
	file = make_elf("UML=y", 0, true);
	memcpy(file.data + offsetof(Elf64_Ehdr, e_machine), &machine, sizeof(machine));
	write_file(kernel, file.data, file.size);
#if defined(__x86_64__) || defined(__i386__)
	assert_refused("it is for another kind of machine");
#endif
	rl_buf_free(&file);
}

static void of_some_nothing_is_known(void **state)
{
	struct rl_kernel_option option = {.name = "EXT4_FS"};
	struct rl_buf file = make_elf("", 0, true);
	bool known = true;

	(void)state;
	write_file(kernel, "#!/bin/sh\nexec linux \"$@\"\n", 26);
	assert_int_equal(rl_kernel_options(kernel, &option, 1, &known, NULL), 0);
	assert_false(known);
	/* A kernel that was built without its .config; a section gives it away. */
	write_file(kernel, file.data, file.size);
	assert_refused("it is not a User Mode Linux kernel");
	memcpy(memmem(file.data, file.size, ".text.and.more.init", 19), ".uml.setup.init", 16);
	write_file(kernel, file.data, file.size);
	known = true;
	assert_int_equal(rl_kernel_options(kernel, &option, 1, &known, NULL), 0);
	assert_false(known);
	rl_buf_free(&file);
}

/* Whatever stands in the headers: no crash, and no reading without end. */
static void broken_headers(void **state)
{
	static const uint64_t odd[] = {
		0, 1, 63, 0x7f, 0xff, 0xffff, 0x7fffffff, UINT32_MAX, INT64_MAX, UINT64_MAX};
	struct rl_buf good = make_elf("UML=y EXT4_FS=y", 3000, true);
	uint64_t sections;

	(void)state;
	memcpy(&sections, good.data + offsetof(Elf64_Ehdr, e_shoff), sizeof(sections));
	for (size_t at = 4; at < good.size - 2; at += at < 64 || at >= sections ? 1 : 512)
		for (size_t i = 0; i < RL_COUNT(odd); i++) {
			struct rl_kernel_option option = {.name = "EXT4_FS"};
			size_t size = i % 2 ? 2 : 8;
			char saved[8];
			bool known;

			size = at + size > good.size ? good.size - at : size;
			memcpy(saved, good.data + at, size);
			memcpy(good.data + at, &odd[i], size);
			write_file(kernel, good.data, good.size);
			rl_kernel_options(kernel, &option, 1, &known, NULL);
			memcpy(good.data + at, saved, size);
		}
	for (size_t size = 0; size < good.size; size += size < 64 ? 1 : 101) {
		struct rl_kernel_option option = {.name = "EXT4_FS"};
		bool known;

		write_file(kernel, good.data, size);
		rl_kernel_options(kernel, &option, 1, &known, NULL);
	}
	rl_buf_free(&good);
}

/* 65535 sections that all lie over the same terabyte. */
static void sections_over_each_other(void **state)
{
	Elf64_Ehdr header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
		.e_machine = EM_X86_64,
		.e_shoff = sizeof(header),
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 65535,
		.e_shstrndx = 0};
	Elf64_Shdr section = {.sh_type = SHT_PROGBITS, .sh_offset = 64, .sh_size = 100 << 20};
	struct rl_buf file = RL_BUF_NONE;
	struct rl_kernel_option option = {.name = "EXT4_FS"};
	bool known;
	int fd;

	(void)state;
	rl_buf_bytes(&file, &header, sizeof(header));
	for (int i = 0; i < 65535; i++) {
		Elf64_Shdr names = {
			.sh_type = SHT_STRTAB, .sh_offset = 64 + 65535 * sizeof(section), .sh_size = 16};

		rl_buf_bytes(&file, i ? &section : &names, sizeof(section));
	}
	rl_buf_bytes(&file, ".rodata\0\0\0\0\0\0\0\0", 16);
	write_file(kernel, file.data, file.size);
	fd = open(kernel, O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
	close(fd);
	assert_int_equal(rl_kernel_options(kernel, &option, 1, &known, NULL), -1);
	rl_buf_free(&file);
}

/* ---- what a run needs ---- */

/* A superblock's features; and for other types what stands where. */
static int write_disk(uint64_t at, const char *magic, size_t size, const uint32_t *features)
{
	int fd = open(disk, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(rl_pwrite_all(fd, magic, size, at), 0);
	if (features)
		assert_int_equal(rl_pwrite_all(fd, features, 12, 1024 + 92), 0);
	return fd;
}

/* reason NULL: all is there. */
static void assert_preflight(const char *config, int root, const struct rl_guest_command *command,
	const char *words, const char *reason)
{
	const struct rl_guest_disk root_disk = {.path = disk};
	struct rl_guest guest = {.disks = &root_disk, .disk_count = root >= 0, .command = command};
	struct rl_argv argv = RL_ARGV_NONE;
	struct rl_error err = RL_ERROR_NONE;
	int disks[RL_DISKS_MAX] = {root}, result;

	write_kernel(config, 0, true);
	rl_argv_add(&argv, "./linux");
	rl_argv_add(&argv, RL_NO_HOSTFS);
	if (root >= 0 && !command)
		rl_argv_add(&argv, "root=/dev/ubda");
	for (const char *word = words; *word;) {
		size_t size = strcspn(word, " ");

		rl_argv_printf(&argv, "%.*s", (int)size, word);
		word += size + (word[size] == ' ');
	}
	result = rl_preflight(&guest, kernel, disks, &argv, &err);
	if (reason) {
		assert_int_equal(result, -1);
		assert_string_equal(err.reason, reason);
	} else if (result) {
		fail_msg("%s", err.reason);
	}
	rl_argv_free(&argv);
	rl_error_clear(&err);
}

static void file_systems(void **state)
{
	static const uint32_t ext2[] = {0x38, 0x2, 0x3}, ext3[] = {0x3c, 0x6, 0x3},
			      ext4[] = {0x3c, 0x2c2, 0x46b}, folded[] = {0x3c, 0x202c2, 0x56b};
	int fd = write_disk(1024 + 56, "\x53\xef", 2, ext4);

	(void)state;
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y EXT4_FS=y", fd, NULL, "", NULL);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y EXT4_FS", fd, NULL, "",
		"the kernel has no EXT4_FS for the root, an ext4 (CONFIG_EXT4_FS is not set)");
	assert_preflight("UML=y BINFMT_ELF=y EXT2_FS=y EXT4_FS=m", fd, NULL, "",
		"the kernel has no BLK_DEV_UBD for its disks (CONFIG_BLK_DEV_UBD is not set), no EXT4_FS for "
		"the root, "
		"an ext4 (CONFIG_EXT4_FS is a module, which comes too late)");
	/* Who says where else the root is knows better. */
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y", fd, NULL, "root=/dev/ubdb", NULL);
	close(fd);
	fd = write_disk(1024 + 56, "\x53\xef", 2, ext3);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y EXT4_FS=y", fd, NULL, "", NULL);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y EXT3_FS=y", fd, NULL, "", NULL);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y EXT2_FS=y", fd, NULL, "",
		"the kernel has no EXT4_FS for the root, an ext3 (CONFIG_EXT4_FS is not set)");
	close(fd);
	fd = write_disk(1024 + 56, "\x53\xef", 2, ext2);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y EXT2_FS=y", fd, NULL, "", NULL);
	close(fd);
	fd = write_disk(1024 + 56, "\x53\xef", 2, folded);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y EXT4_FS=y UNICODE=y QUOTA=y QFMT_V2=m", fd, NULL,
		"ro", NULL);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y EXT4_FS=y QUOTA=y QFMT_V2=m", fd, NULL, "ro rw",
		"the kernel has no UNICODE for the root, which has the feature casefold (CONFIG_UNICODE is "
		"not "
		"set), no QFMT_V2 for the root, which has quotas (CONFIG_QFMT_V2 is a module, which comes "
		"too "
		"late)");
	close(fd);
	fd = write_disk(65600, "_BHRfS_M", 8, NULL);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y EXT4_FS=y", fd, NULL, "",
		"the kernel has no BTRFS_FS for a Btrfs (CONFIG_BTRFS_FS is not set)");
	close(fd);
	/* Something else that nobody knows here. */
	fd = write_disk(0, "unknown", 7, NULL);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y", fd, NULL, "", NULL);
	close(fd);
}

static void words_and_commands(void **state)
{
	const char *const arguments[] = {"true"};
	const struct rl_guest_command command = {.arguments = arguments, .argument_count = 1};
	int fd = write_disk(0, "unknown", 7, NULL);

	(void)state;
	/* A kernel alone needs nothing. */
	assert_preflight("UML=y", -1, NULL, "quiet", NULL);
	assert_preflight("UML=y", -1, NULL, "hostfs=/srv",
		"the kernel has no HOSTFS for folders of the host (CONFIG_HOSTFS is not set)");
	assert_preflight("UML=y UML_NET=y", -1, NULL, "vec0:transport=tap vec12:transport=fd",
		"the kernel has no UML_NET_VECTOR for the network (CONFIG_UML_NET_VECTOR is not set)");
	assert_preflight("UML=y UML_NET=y", -1, NULL, "eth0=tuntap vector=1 vecx:1", NULL);
	assert_preflight("UML=y", -1, NULL, "time-travel=inf-cpu",
		"the kernel has no UML_TIME_TRAVEL_SUPPORT for time-travel (CONFIG_UML_TIME_TRAVEL_SUPPORT "
		"is not set)");
	assert_preflight("UML=y UML_TIME_TRAVEL_SUPPORT=y HOSTFS=y", -1, NULL, "time-travel hostfs=/", NULL);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y EXT2_FS=y PROC_FS=y TTY=y", fd, &command,
		"root=/dev/ubdp", NULL);
	assert_preflight("UML=y BLK_DEV_UBD=y BINFMT_ELF=y TTY=y", fd, &command, "root=/dev/ubdp",
		"the kernel has no EXT4_FS for the disk with the command (CONFIG_EXT4_FS is not set), no "
		"PROC_FS for the "
		"command (CONFIG_PROC_FS is not set)");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_found),
		cmocka_unit_test(what_is_no_kernel_is_told),
		cmocka_unit_test(of_some_nothing_is_known),
		cmocka_unit_test(broken_headers),
		cmocka_unit_test(sections_over_each_other),
		cmocka_unit_test(file_systems),
		cmocka_unit_test(words_and_commands),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
