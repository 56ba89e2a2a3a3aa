/*
 * What is heard from the init in a guest, which may be anything: whole, in pieces, wrong, too much. And
 * the disk that brings the init there.
 */
#include "unit.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "uml/uml-internal.h"

static void frame(struct rl_buf *buf, char type, unsigned stream, uint32_t value, const char *tail)
{
	const struct rl_frame f = {(uint8_t)type, (uint8_t)stream, 0, value};

	rl_buf_bytes(buf, &f, sizeof(f));
	rl_buf_bytes(buf, tail, strlen(tail));
}

static void text(struct rl_buf *buf, char type, unsigned stream, const char *tail)
{
	frame(buf, type, stream, (uint32_t)strlen(tail), tail);
}

static void fate(struct rl_buf *buf, uint32_t kind, int32_t number, const char *texts, size_t size)
{
	const struct rl_fate_frame f = {kind, number};

	frame(buf, RL_FRAME_FATE, 0, (uint32_t)(sizeof(f) + size), "");
	rl_buf_bytes(buf, &f, sizeof(f));
	rl_buf_bytes(buf, texts, size);
}

#define MOUNT(place, folder, what) place "\0" folder "\0" what, sizeof(place "\0" folder "\0" what)

static void mounted(struct rl_buf *buf, unsigned disk, const char *texts, size_t size)
{
	frame(buf, RL_FRAME_MOUNTED, disk, (uint32_t)size, "");
	rl_buf_bytes(buf, texts, size);
}

static void hello(struct rl_buf *buf)
{
	frame(buf, RL_FRAME_HELLO, 0, RL_CHANNEL_VERSION, "");
}

static void assert_bytes(const struct rl_buf *buf, const char *wanted)
{
	assert_int_equal(buf->size, strlen(wanted));
	if (buf->size)
		assert_memory_equal(buf->data, wanted, buf->size);
}

/* A whole run, in pieces of every size. */
static void all_that_is_said(void **state)
{
	struct rl_buf said = RL_BUF_NONE;

	(void)state;
	hello(&said);
	mounted(&said, 1, MOUNT("/mnt/data", "/a", ""));
	mounted(&said, RL_NO_DISK, MOUNT("/mnt", "/", "tmpfs"));
	text(&said, RL_FRAME_OUTPUT, 0, "out ");
	text(&said, RL_FRAME_OUTPUT, 1, "err");
	text(&said, RL_FRAME_OUTPUT, 0, "");
	text(&said, RL_FRAME_OUTPUT, 0, "more");
	frame(&said, RL_FRAME_TAKEN, 0, 100, "");
	frame(&said, RL_FRAME_DEAF, 0, 0, "");
	fate(&said, RL_FATE_NOT_FOUND, ENOENT, "name\0execute", sizeof("name\0execute"));
	frame(&said, RL_FRAME_OVER, 0, 1, "");
	for (size_t piece = 1; piece <= said.size; piece++) {
		struct rl_talk talk;
		struct rl_error err = RL_ERROR_NONE;

		rl_talk_init(&talk);
		rl_talk_announce(&talk, 100, true);
		for (size_t at = 0; at < said.size; at += piece)
			assert_int_equal(rl_talk_hear(&talk, said.data + at,
						 said.size - at < piece ? said.size - at : piece, &err),
				0);
		assert_true(
			talk.hello && talk.has_fate && talk.over && talk.how == RL_OVER_CLEAN && talk.deaf);
		assert_bytes(&talk.output[0], "out more");
		assert_bytes(&talk.output[1], "err");
		assert_int_equal(talk.taken, 100);
		assert_int_equal(talk.mount_count, 2);
		assert_int_equal(talk.mounts[0].disk, 1);
		assert_string_equal(talk.mounts[0].path, "/mnt/data");
		assert_string_equal(talk.mounts[0].folder, "/a");
		assert_string_equal(talk.mounts[0].what, "");
		assert_int_equal(talk.mounts[1].disk, RL_GUEST_NO_DISK);
		assert_string_equal(talk.mounts[1].path, "/mnt");
		assert_string_equal(talk.mounts[1].what, "tmpfs");
		assert_int_equal(talk.fate, RL_FATE_NOT_FOUND);
		assert_int_equal(talk.number, ENOENT);
		assert_string_equal(talk.subject, "name");
		assert_string_equal(talk.action, "execute");
		rl_talk_free(&talk);
	}
	rl_buf_free(&said);
}

/* The last word: what it does not know is not taken for a good one. */
static void how_it_is_over(void **state)
{
	static const enum rl_over wanted[] = {RL_OVER_UNCLEAN, RL_OVER_CLEAN, RL_OVER_LOST, RL_OVER_UNCLEAN};

	(void)state;
	for (uint32_t i = 0; i < RL_COUNT(wanted); i++) {
		struct rl_buf said = RL_BUF_NONE;
		struct rl_error err = RL_ERROR_NONE;
		struct rl_talk talk;

		hello(&said);
		fate(&said, RL_FATE_EXITED, 0, "\0", 2);
		frame(&said, RL_FRAME_OVER, 0, i, "");
		rl_talk_init(&talk);
		assert_int_equal(rl_talk_hear(&talk, said.data, said.size, &err), 0);
		assert_int_equal(talk.how, wanted[i]);
		rl_talk_free(&talk);
		rl_buf_free(&said);
	}
}

static void assert_wrong(struct rl_buf *said, const char *what)
{
	struct rl_talk talk;
	struct rl_error err = RL_ERROR_NONE;
	char *words = rl_printf("it sends %s: ", what);

	rl_talk_init(&talk);
	rl_talk_announce(&talk, 100, false);
	assert_int_equal(rl_talk_hear(&talk, said->data, said->size, &err), -1);
	assert_string_equal(err.subject, "guest");
	if (strncmp(err.reason, words, strlen(words)) != 0)
		fail_msg("'%s', not '%s'", err.reason, words);
	free(words);
	rl_error_clear(&err);
	rl_talk_free(&talk);
	said->size = 0;
}

static void what_may_not_be_said(void **state)
{
	static const char *const fates[] = {"", "a", "ab", "a\0", "a\0b"};
	static const struct {
		const char *texts;
		size_t size;
	} mounts[] = {{MOUNT("relative", "/", "")}, {MOUNT("/mnt", "relative", "")}, {MOUNT("", "/", "")},
		{MOUNT("/mnt", "/", "\0")}, {MOUNT("/mnt", "/", "") - 1}, {"/mnt\0/", sizeof("/mnt\0/")},
		{"/mnt", 4}, {"", 0}};
	struct rl_buf said = RL_BUF_NONE;
	char many[RL_TEXT_MAX + 2];

	(void)state;
	text(&said, RL_FRAME_OUTPUT, 0, "no hello");
	assert_wrong(&said, "a frame that is none");
	frame(&said, RL_FRAME_HELLO, 0, RL_CHANNEL_VERSION + 1, "");
	assert_wrong(&said, "another version");
	rl_buf_text(&said, "login: \r\n");
	assert_wrong(&said, "a frame that is none");
	hello(&said);
	hello(&said);
	assert_wrong(&said, "a frame that is none");
	hello(&said);
	rl_buf_bytes(&said, "C\0\1\0\0\0\0\0", 8);
	assert_wrong(&said, "a frame that is none");
	hello(&said);
	frame(&said, RL_FRAME_INPUT, 0, 1, "");
	assert_wrong(&said, "a frame that is none");
	/* The head alone is enough: nobody waits for four gigabytes, or makes room for them. */
	hello(&said);
	frame(&said, RL_FRAME_OUTPUT, 0, UINT32_MAX, "");
	assert_wrong(&said, "output that cannot be");
	hello(&said);
	frame(&said, RL_FRAME_OUTPUT, 2, 1, "x");
	assert_wrong(&said, "output that cannot be");
	hello(&said);
	for (size_t i = 0; i <= RL_WINDOW / RL_PIECE; i++)
		text(&said, RL_FRAME_OUTPUT, 1, "");
	assert_wrong(&said, "more output than it may");
	hello(&said);
	frame(&said, RL_FRAME_TAKEN, 0, 101, "");
	assert_wrong(&said, "a wrong position");
	hello(&said);
	frame(&said, RL_FRAME_TAKEN, 0, 50, "");
	frame(&said, RL_FRAME_TAKEN, 0, 49, "");
	assert_wrong(&said, "a wrong position");
	hello(&said);
	for (size_t i = 0; i < RL_COUNT(mounts); i++) {
		mounted(&said, 1, mounts[i].texts, mounts[i].size);
		assert_wrong(&said, "a mount that cannot be");
		hello(&said);
	}
	mounted(&said, RL_JOB_DISK, MOUNT("/mnt", "/", ""));
	assert_wrong(&said, "a mount that cannot be");
	hello(&said);
	frame(&said, RL_FRAME_MOUNTED, 1, RL_TEXT_MAX + 1, "");
	assert_wrong(&said, "a mount that cannot be");
	hello(&said);
	for (int i = 0; i <= RL_MOUNTS_MAX; i++)
		mounted(&said, 1, MOUNT("/mnt", "/", ""));
	assert_wrong(&said, "a mount that cannot be");
	/* Texts without their NULs, or with more of them. */
	for (size_t i = 0; i < RL_COUNT(fates); i++) {
		hello(&said);
		fate(&said, RL_FATE_TROUBLE, 1, fates[i], i == 4 ? 3 : strlen(fates[i]) + (i == 3));
		assert_wrong(&said, "an end that cannot be");
	}
	memset(many, 'x', sizeof(many));
	hello(&said);
	fate(&said, RL_FATE_TROUBLE, 1, many, sizeof(many));
	assert_wrong(&said, "an end that cannot be");
	hello(&said);
	fate(&said, RL_FATES, 1, "\0", 2);
	assert_wrong(&said, "an end that cannot be");
	hello(&said);
	fate(&said, RL_FATE_EXITED, 256, "\0", 2);
	assert_wrong(&said, "an end that cannot be");
	hello(&said);
	fate(&said, RL_FATE_KILLED, -1, "\0", 2);
	assert_wrong(&said, "an end that cannot be");
	hello(&said);
	frame(&said, RL_FRAME_OVER, 0, 1, "");
	assert_wrong(&said, "a frame that is none");
	hello(&said);
	fate(&said, RL_FATE_EXITED, 0, "\0", 2);
	text(&said, RL_FRAME_OUTPUT, 0, "late");
	assert_wrong(&said, "a frame after the command's end");
	hello(&said);
	fate(&said, RL_FATE_EXITED, 0, "\0", 2);
	frame(&said, RL_FRAME_OVER, 0, 1, "");
	frame(&said, RL_FRAME_OVER, 0, 1, "");
	assert_wrong(&said, "a frame after the end");
	rl_buf_free(&said);
}

/* What the guest was told, as "type stream value" lines; and that is forgotten. */
static char *told(struct rl_talk *talk)
{
	struct rl_buf lines = RL_BUF_NONE;
	struct rl_frame f;

	for (size_t at = 0; at < talk->to_guest.size; at += sizeof(f)) {
		memcpy(&f, talk->to_guest.data + at, sizeof(f));
		rl_buf_printf(&lines, "%c%u %u\n", f.type, f.stream, f.value);
	}
	talk->to_guest.size = 0;
	return rl_buf_string(&lines);
}

static void assert_told(struct rl_talk *talk, const char *wanted)
{
	char *lines = told(talk);

	assert_string_equal(lines, wanted);
	free(lines);
}

/* The window is never larger than what the guest may have under way, and grows as its output goes. */
static void credit(void **state)
{
	struct rl_buf said = RL_BUF_NONE;
	struct rl_talk talk;
	struct rl_error err = RL_ERROR_NONE;
	char *full = rl_alloc(RL_OUTPUT_MAX + 1);

	(void)state;
	memset(full, 'f', RL_OUTPUT_MAX);
	full[RL_OUTPUT_MAX] = '\0';
	rl_talk_init(&talk);
	hello(&said);
	text(&said, RL_FRAME_OUTPUT, 0, full);
	assert_int_equal(rl_talk_hear(&talk, said.data, said.size, &err), 0);
	assert_int_equal(talk.window[0], 0);
	assert_int_equal(talk.window[1], RL_WINDOW);
	rl_talk_credit(&talk, 0);
	rl_talk_credit(&talk, 1);
	assert_told(&talk, "");
	/* A little is not worth it; three quarters, and then the rest. */
	talk.output[0].size -= 4000;
	rl_talk_credit(&talk, 0);
	assert_told(&talk, "");
	talk.output[0].size = RL_PIECE * 8 - sizeof(struct rl_frame);
	rl_talk_credit(&talk, 0);
	assert_told(&talk, "c0 49152\n");
	assert_int_equal(talk.window[0], 49152);
	talk.output[0].size = 0;
	rl_talk_credit(&talk, 0);
	assert_told(&talk, "c0 16384\n");
	assert_int_equal(talk.window[0], RL_WINDOW);
	/* What nobody reads is dropped, and the guest may go on. */
	talk.closed[0] = true;
	said.size = 0;
	text(&said, RL_FRAME_OUTPUT, 0, full);
	assert_int_equal(rl_talk_hear(&talk, said.data, said.size, &err), 0);
	assert_int_equal(talk.output[0].size, 0);
	rl_talk_credit(&talk, 0);
	assert_told(&talk, "c0 65536\n");
	rl_talk_free(&talk);
	rl_buf_free(&said);
	free(full);
}

static void hear_taken(struct rl_talk *talk, uint32_t position)
{
	struct rl_buf said = RL_BUF_NONE;

	frame(&said, RL_FRAME_TAKEN, 0, position, "");
	assert_int_equal(rl_talk_hear(talk, said.data, said.size, NULL), 0);
	rl_buf_free(&said);
}

/* Few are under way, positions go round after four gigabytes, and the end comes once. */
static void announcements(void **state)
{
	struct rl_buf said = RL_BUF_NONE;
	struct rl_talk talk;
	const uint64_t round = (uint64_t)1 << 32;

	(void)state;
	rl_talk_init(&talk);
	hello(&said);
	assert_int_equal(rl_talk_hear(&talk, said.data, said.size, NULL), 0);
	for (uint64_t at = 0; at < 10; at++)
		rl_talk_announce(&talk, at, false);
	assert_told(&talk, "i0 1\ni0 2\n");
	hear_taken(&talk, 1);
	rl_talk_announce(&talk, 10, false);
	rl_talk_announce(&talk, 11, false);
	assert_told(&talk, "i0 10\n");
	hear_taken(&talk, 10);
	talk.taken = talk.announced = talk.announced_before = round - 5;
	rl_talk_announce(&talk, round + 5, true);
	assert_told(&talk, "i0 5\ne0 0\n");
	hear_taken(&talk, UINT32_MAX);
	hear_taken(&talk, 5);
	assert_true(talk.taken == round + 5);
	rl_talk_announce(&talk, round + 5, true);
	assert_told(&talk, "");
	rl_talk_free(&talk);
	rl_buf_free(&said);
}

static void the_job_disk_is_sound(void **state)
{
	char *argument = rl_alloc(300001);
	const char *const words[] = {"command", "", argument, "a\nb"}, *const variables[] = {"A=b"};
	const struct rl_guest_command command = {.arguments = words,
		.argument_count = 4,
		.variables = variables,
		.variable_count = 1,
		.folder = "/folder"};
	const struct rl_guest guest = {.command = &command};
	struct rl_job job = RL_JOB_NONE;
	struct rl_job_head head;
	struct rl_error err = RL_ERROR_NONE;
	char *shell, magic[4];
	size_t size;

	(void)state;
	memset(argument, 'x', 300000);
	argument[300000] = '\0';
	assert_int_equal(rl_job_open(&job, &guest, RL_CHANNEL_TTY, true, &err), 0);
	shell = rl_printf(
		"PATH=$PATH:/sbin:/usr/sbin; cp /proc/%ld/fd/%d disk && e2fsck -fn disk >log 2>&1 && "
		"debugfs -R 'cat /init' disk >init 2>>log && debugfs -R 'cat /job' disk >job 2>>log",
		(long)getpid(), job.fd);
	assert_int_equal(system(shell), 0);
	free(shell);
	assert_memory_equal(rl_guest_init(&size), "\177ELF", 4);
	assert_int_equal(rl_pread_all(open("init", O_RDONLY | O_CLOEXEC), magic, 4, 0), 0);
	assert_memory_equal(magic, "\177ELF", 4);
	assert_int_equal(rl_pread_all(open("job", O_RDONLY | O_CLOEXEC), &head, sizeof(head), 0), 0);
	assert_int_equal(head.arguments, 4);
	assert_int_equal(head.variables, 1);
	assert_int_equal(head.merged, 1);
	/* The ring is where the disk's last bytes are, on a page of its own. */
	memset(job.ring, 'r', RL_RING_SIZE);
	assert_int_equal(rl_pread_all(job.fd, magic, 4, head.ring), 0);
	assert_memory_equal(magic, "rrrr", 4);
	assert_int_equal(rl_pread_all(job.fd, magic, 4, head.ring + RL_RING_SIZE - 4), 0);
	assert_memory_equal(magic, "rrrr", 4);
	assert_int_equal(rl_pread_all(job.fd, magic, 1, head.ring + RL_RING_SIZE), -1);
	rl_job_close(&job);
	free(argument);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_is_said),
		cmocka_unit_test(how_it_is_over),
		cmocka_unit_test(what_may_not_be_said),
		cmocka_unit_test(credit),
		cmocka_unit_test(announcements),
		UNIT_IN_FOLDER(the_job_disk_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
