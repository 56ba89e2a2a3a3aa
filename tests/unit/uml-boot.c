/*
 * Real boots of User Mode Linux with an image of one static program (tests/boot/init.c). Skipped
 * where the kernel or the means to make the image are missing, except in CI.
 */
#include "guest-run.h"

#include "base/process.h"

#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#define BOOT_SECONDS 60 /* a boot takes two on an idle machine */

static char *image; /* the root image */
static char *odd; /* a data disk with an odd name */
static bool can_boot;

static bool try_run(char *const *argv)
{
	struct rl_spawn spawn = {.argv = argv, .in = -1, .out = -1, .err = -1};
	struct rl_capture capture = {.seconds = 60, .log = -1, .tail_size = 2000};
	struct rl_error err = RL_ERROR_NONE;
	bool good = rl_run_captured(&spawn, &capture, "test image", &err) == 0;

	if (!good)
		print_message("# %s: %s: %.*s\n", err.subject, err.reason, (int)capture.tail.size,
			capture.tail.data ? capture.tail.data : "");
	rl_buf_free(&capture.tail);
	rl_error_clear(&err);
	return good;
}

static bool make_image(void)
{
	char *root = rl_printf("%s/root", test_folder), *init = rl_printf("%s/root/init", test_folder);
	char *compile[] = {"gcc", "-static", "-O1", "-s", "-o", init, "tests/boot/init.c", NULL};
	char *make[] = {"mke2fs", "-q", "-F", "-t", "ext2", "-d", root, image, "4M", NULL};
	const char *const folders[] = {"proc", "dev", "mnt"};
	char *path = rl_printf("%s:/usr/sbin:/sbin", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
	bool good;

	setenv("PATH", path, 1);
	assert_int_equal(mkdir(root, 0755), 0);
	for (size_t i = 0; i < RL_COUNT(folders); i++) {
		char *folder = rl_printf("%s/%s", root, folders[i]);

		assert_int_equal(mkdir(folder, 0755), 0);
		free(folder);
	}
	good = try_run(compile) && try_run(make);
	free(root);
	free(init);
	free(path);
	return good;
}

static int set_up(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	char *kernel = NULL;
	int fd;

	(void)state;
	make_test_folder();
	image = rl_printf("%s/root.ext2", test_folder);
	odd = rl_printf("%s/a, b:c,ro='d'", test_folder);
	fd = open(odd, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	can_boot = rl_guest_kernel(NULL, &kernel, &err) == 0 && make_image();
	if (rl_failed(&err))
		print_message("# %s: %s\n", err.subject, err.reason);
	rl_error_clear(&err);
	free(kernel);
	if (!can_boot)
		print_message("# no boot: linux.uml, gcc -static or mke2fs is missing\n");
	return !can_boot && getenv("CI") ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	remove_test_folder();
	free(image);
	free(odd);
	return 0;
}

#define MAX_WORDS 8

/* A guest whose words stand in one text; the root disk is read-only, so that several may have it. */
struct boot {
	struct rl_guest guest;
	struct rl_guest_disk disks[2];
	const char *words[MAX_WORDS];
	char *text;
};

static void prepare(struct boot *boot, const char *name, const char *words)
{
	char *save = NULL;

	if (!can_boot)
		skip();
	*boot = (struct boot){.guest = {.name = name, .seconds = BOOT_SECONDS}};
	boot->text = rl_printf("init=/init %s", words);
	for (char *p = strtok_r(boot->text, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		assert_true(boot->guest.append_count < MAX_WORDS);
		boot->words[boot->guest.append_count++] = p;
	}
	boot->guest.append = boot->words;
	boot->disks[0] = (struct rl_guest_disk){.path = image, .read_only = true};
	boot->disks[1] = (struct rl_guest_disk){.path = odd};
	boot->guest.disks = boot->disks;
	boot->guest.disk_count = 1;
}

static struct outcome boot_once(const char *words, struct rl_buf *output)
{
	struct boot boot;
	struct outcome outcome;
	/* Guests of another run of this test are not meant. */
	char *name = rl_printf("boot-%ld", (long)getpid());

	prepare(&boot, name, words);
	outcome = run_guest(&boot.guest, output);
	free(boot.text);
	assert_true(all_gone(name));
	free(name);
	return outcome;
}

/* The kernel may crash after the power-off (see uml.h): then there is no status to look at. */
static void assert_off(const struct outcome *outcome, int status)
{
	assert_string_equal(outcome->text, "");
	assert_int_equal(outcome->returned, 0);
	assert_int_equal(outcome->end, RL_GUEST_OFF);
	if (outcome->status_lost)
		print_message("# the status is lost, %d is not checked\n", status);
	else
		assert_int_equal(outcome->status, status);
}

static void read_odd(char text[16])
{
	int fd = open(odd, O_RDONLY | O_CLOEXEC);

	assert_int_equal(rl_read_all(fd, text, 16), 0);
	close(fd);
}

/* The status, both disks, the console in both directions, hostfs. */
static void a_whole_boot(void **state)
{
	struct rl_buf output = RL_BUF_NONE;
	struct running run;
	struct outcome o;
	struct boot boot;
	char text[16];

	(void)state;
	prepare(&boot, "whole", "do=code:42 do=hostfs do=echo:2 do=write:OOOM-mark");
	boot.guest.disk_count = 2;
	run = start_run(&boot.guest);
	assert_int_equal(rl_write_all(run.in, "one\ntwo\n", 8), 0);
	rl_close(&run.in);
	o = end_run(&run, &output);
	assert_off(&o, 42);
	assert_output(&output, "\nGOT one\nGOT two\nwrite 9\n");
	assert_output(&output, "hostfs '': Not a directory\n");
	assert_output(&output, "hostfs '../../../../etc': Not a directory\n");
	assert_no_output(&output, "MOUNTED");
	assert_no_output(&output, "\r");
	read_odd(text);
	assert_memory_equal(text, "OOOM-mark", 10);
	assert_true(all_gone("whole"));
	free(boot.text);
	rl_buf_free(&output);
}

/* What the boot before it has written is read, too: the magic of a COW header alone is plain data. */
static void a_read_only_disk_stays_as_it_is(void **state)
{
	struct rl_buf output = RL_BUF_NONE;
	struct outcome o;
	struct boot boot;
	char before[16], after[16];

	(void)state;
	prepare(&boot, "fixed", "do=read do=write:changed");
	boot.guest.disk_count = 2;
	boot.disks[1].read_only = true;
	read_odd(before);
	o = run_guest(&boot.guest, &output);
	assert_off(&o, 0);
	assert_output(&output, "\nread 63 OOOM-mark\nwrite -1\n");
	read_odd(after);
	assert_memory_equal(before, after, 16);
	free(boot.text);
	rl_buf_free(&output);
}

static void a_panic_is_told(void **state)
{
	struct rl_buf output = RL_BUF_NONE;
	struct outcome o = boot_once("do=exit:3", &output);

	(void)state;
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_PANIC);
	assert_string_equal(o.text, "Attempted to kill init! exitcode=0x00000300");
	rl_buf_free(&output);
}

static void no_root_is_a_panic(void **state)
{
	struct rl_buf output = RL_BUF_NONE;
	struct outcome o = boot_once("root=/dev/ubdh", &output);

	(void)state;
	assert_int_equal(o.end, RL_GUEST_PANIC);
	assert_non_null(strstr(o.text, "Unable to mount root fs"));
	rl_buf_free(&output);
}

static void a_reboot_ends_it(void **state)
{
	struct rl_buf output = RL_BUF_NONE;
	struct outcome o = boot_once("do=say:once_only do=code:7 do=reboot", &output);
	const char *first;

	(void)state;
	assert_off(&o, 7);
	first = memmem(output.data, output.size, "\nonce only", 10);
	assert_non_null(first);
	first += 10;
	assert_null(memmem(first, output.size - (size_t)(first - output.data), "\nonce only", 10));
	rl_buf_free(&output);
}

static void the_time_limit_ends_it(void **state)
{
	struct rl_buf output = RL_BUF_NONE;
	struct outcome o;
	struct boot boot;

	(void)state;
	prepare(&boot, "limit", "do=hang");
	boot.guest.seconds = 2;
	o = run_guest(&boot.guest, &output);
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_TIMEOUT);
	assert_true(all_gone("limit"));
	free(boot.text);
	rl_buf_free(&output);
}

/* A second guest that wants the disk of the first; then a signal to the first. */
static void a_disk_in_use_and_a_signal(void **state)
{
	struct rl_buf output = RL_BUF_NONE, none = RL_BUF_NONE;
	struct running run;
	struct outcome o;
	struct boot first, second;

	(void)state;
	prepare(&first, "first", "do=hold do=hang");
	prepare(&second, "second", "do=hang");
	first.guest.disk_count = second.guest.disk_count = 2;
	run = start_run(&first.guest);
	await_output(&run, &output, "HANG");
	assert_output(&output, "hold done");
	o = run_guest(&second.guest, &none);
	assert_int_equal(o.returned, -1);
	assert_non_null(strstr(o.text, "in use by process "));
	assert_non_null(strstr(o.text, "(linux.uml, umid first)"));
	kill(run.pid, SIGINT);
	o = end_run(&run, &output);
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_SIGNAL);
	assert_int_equal(o.status, SIGINT);
	assert_true(all_gone("first"));
	free(first.text);
	free(second.text);
	rl_buf_free(&output);
	rl_buf_free(&none);
}

/* Every byte up to the last arrives, also at a reader that is late. */
static void a_flood_is_whole(void **state)
{
	struct timespec late = {.tv_sec = 1};
	struct rl_buf output = RL_BUF_NONE, wanted = RL_BUF_NONE;
	struct running run;
	struct outcome o;
	struct boot boot;

	(void)state;
	prepare(&boot, "flood", "do=flood:10000 do=code:5");
	run = start_run(&boot.guest);
	rl_close(&run.in);
	await_output(&run, &output, "\nFLOOD\n");
	nanosleep(&late, NULL);
	o = end_run(&run, &output);
	assert_off(&o, 5);
	rl_buf_text(&wanted, "\nFLOOD\n");
	for (int i = 0; i < 10000; i++)
		rl_buf_printf(&wanted, "line %07d of the flood\n", i);
	rl_buf_text(&wanted, "EBB\n");
	assert_non_null(memmem(output.data, output.size, wanted.data, wanted.size));
	free(boot.text);
	rl_buf_free(&output);
	rl_buf_free(&wanted);
}

/* At different moments of a boot. */
static void a_killed_run_leaves_nothing(void **state)
{
	static const long moments_ms[] = {0, 3, 10, 40, 200, 700, 1500};
	struct boot boot;

	(void)state;
	prepare(&boot, "killed", "do=code:0");
	for (size_t i = 0; i < RL_COUNT(moments_ms); i++) {
		struct timespec moment = {
			.tv_sec = moments_ms[i] / 1000, .tv_nsec = moments_ms[i] % 1000 * 1000000};
		struct running run = start_run(&boot.guest);

		nanosleep(&moment, NULL);
		kill(i % 2 ? run.pid : -run.pid, SIGKILL);
		waitpid(run.pid, NULL, 0);
		close_run(&run);
		assert_true(all_gone_soon("killed"));
	}
	free(boot.text);
}

/* Starts the run on a new terminal of 33 lines and 111 columns; returns the other end of it. */
static int start_on_terminal(const struct rl_guest *guest, pid_t *pid, int *report)
{
	struct winsize size = {.ws_row = 33, .ws_col = 111};
	int ends[2], master;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fflush(NULL);
	*pid = forkpty(&master, NULL, NULL, &size);
	assert_true(*pid >= 0);
	if (*pid == 0)
		do_run(guest, ends[1]);
	close(ends[1]);
	*report = ends[0];
	return master;
}

static void raw_and_back(struct boot *boot, bool kill_it)
{
	struct rl_buf output = RL_BUF_NONE;
	struct termios before, during, after;
	struct running run = {.in = -1};
	struct outcome o;
	int slave;

	run.out = start_on_terminal(&boot->guest, &run.pid, &run.report);
	/* Held open, or its settings would go with the last process that has it. */
	slave = open(ptsname(run.out), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(tcgetattr(slave, &before), 0);
	await_output(&run, &output, "READY");
	assert_int_equal(tcgetattr(slave, &during), 0);
	assert_int_equal(during.c_lflag & (ICANON | ISIG | ECHO), 0);
	if (kill_it) {
		kill(run.pid, SIGKILL);
		waitpid(run.pid, NULL, 0);
		assert_true(all_gone_soon("terminal"));
		/* The guardian puts it back as its last act. */
		for (int i = 0; i < 100 && tcgetattr(slave, &after) == 0; i++) {
			struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};

			if (after.c_lflag == before.c_lflag)
				break;
			nanosleep(&moment, NULL);
		}
	} else {
		assert_output(&output, "\r\nsize 33 111\r\n");
		assert_int_equal(rl_write_all(run.out, "hello\r\001x", 8), 0);
		assert_int_equal(rl_read_all(run.report, &o, sizeof(o)), 0);
		assert_int_equal(o.returned, 0);
		assert_int_equal(o.end, RL_GUEST_QUIT);
		assert_true(all_gone("terminal"));
	}
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_iflag, before.c_iflag);
	assert_int_equal(after.c_oflag, before.c_oflag);
	close(slave);
	if (!kill_it)
		waitpid(run.pid, NULL, 0);
	close_run(&run);
	rl_buf_free(&output);
}

static void the_terminal_is_the_guests_and_comes_back(void **state)
{
	struct boot boot;

	(void)state;
	prepare(&boot, "terminal", "do=size do=echo:9");
	raw_and_back(&boot, false);
	raw_and_back(&boot, true);
	free(boot.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_boot),
		cmocka_unit_test(a_read_only_disk_stays_as_it_is),
		cmocka_unit_test(a_panic_is_told),
		cmocka_unit_test(no_root_is_a_panic),
		cmocka_unit_test(a_reboot_ends_it),
		cmocka_unit_test(the_time_limit_ends_it),
		cmocka_unit_test(a_disk_in_use_and_a_signal),
		cmocka_unit_test(a_flood_is_whole),
		cmocka_unit_test(a_killed_run_leaves_nothing),
		cmocka_unit_test(the_terminal_is_the_guests_and_comes_back),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
