/*
 * Guests, tested without User Mode Linux: what is done to the console's bytes, what is refused
 * before the start, and, with scripts in the kernel's place, how an end is told and that nothing
 * outlives it. Real boots are in uml-boot.c.
 */
#include "guest-run.h"

#include "base/lock.h"
#include "uml/uml-internal.h"

#include <sys/socket.h>

static char *kernel; /* a script that each test writes */
static char *disk; /* 64 KiB of zeros */

static void write_file(const char *path, const char *text, size_t size, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(rl_write_all(fd, text, size), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int set_up(void **state)
{
	static const char zeros[65536];

	(void)state;
	make_test_folder();
	kernel = rl_printf("%s/kernel", test_folder);
	disk = rl_printf("%s/disk", test_folder);
	write_file(disk, zeros, sizeof(zeros), 0600);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	remove_test_folder();
	free(kernel);
	free(disk);
	return 0;
}

/* In the script, $c is the descriptor of the console, and $h of the channel, for commands. */
static void write_kernel(const char *script)
{
	char *text = rl_printf(
		"#!/bin/bash\n"
		"for w; do case $w in con0=fd:*) c=${w##*:};; con15=*) h=${w##*:};; esac; done\n%s\n",
		script);

	write_file(kernel, text, strlen(text), 0700);
	free(text);
}

/* ---- the console's bytes ---- */

static void assert_buf(struct rl_buf *buf, const char *text)
{
	assert_int_equal(buf->size, strlen(text));
	assert_memory_equal(buf->size ? buf->data : "", text, buf->size);
	buf->size = 0;
}

static void escape_key(void **state)
{
	struct rl_escape escape = {false};
	struct rl_buf out = RL_BUF_NONE;

	(void)state;
	assert_false(rl_escape_input(&escape, "ls\r\003", 4, &out));
	assert_buf(&out, "ls\r\003");
	assert_false(rl_escape_input(&escape, "a\001ab\001\001c\001qd", 10, &out));
	assert_buf(&out, "a\001b\001c\001qd");
	/* In two reads, as from a slow terminal. */
	assert_false(rl_escape_input(&escape, "e\001", 2, &out));
	assert_buf(&out, "e");
	assert_true(rl_escape_input(&escape, "x", 1, &out));
	assert_false(rl_escape_input(&escape, "x", 1, &out));
	rl_buf_free(&out);
}

static void line_ends(void **state)
{
	static const char in[] = "a\r\nb\nc\rd\r\r\n\r\n\r";
	struct rl_buf out = RL_BUF_NONE;

	(void)state;
	/* However the bytes are cut. */
	for (size_t cut = 1; cut < sizeof(in); cut++) {
		struct rl_lines lines = {false};

		for (size_t at = 0; at < sizeof(in) - 1; at += cut)
			rl_lines_output(
				&lines, in + at, sizeof(in) - 1 - at < cut ? sizeof(in) - 1 - at : cut, &out);
		rl_lines_end(&lines, &out);
		assert_buf(&out, "a\nb\nc\rd\r\n\n\r");
	}
	rl_buf_free(&out);
}

static void assert_words(const char *console, const char *words)
{
	struct rl_buf tail = RL_BUF_NONE;
	char *found;

	rl_tail_add(&tail, console, strlen(console));
	found = rl_panic_words(&tail);
	if (words)
		assert_string_equal(found, words);
	else
		assert_null(found);
	free(found);
	rl_buf_free(&tail);
}

static void panic_words(void **state)
{
	(void)state;
	assert_words("", NULL);
	assert_words("Kernel panic - not syncing", NULL);
	assert_words("x\nKernel panic - not syncing: Fatal exception\r\nCPU: 0\n", "Fatal exception");
	assert_words("Kernel panic - not syncing: forged\nKernel panic - not syncing: real\n", "real");
	assert_words("Kernel panic - not syncing: \033[2Jcut o", "\\x1b[2Jcut o");
}

static void tail_is_bounded(void **state)
{
	static char line[1000];
	struct rl_buf tail = RL_BUF_NONE;
	char *last;

	(void)state;
	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 1000; i++)
		rl_tail_add(&tail, line, sizeof(line));
	rl_tail_add(&tail, "\nthe end \r\n\n", 12);
	assert_true(tail.size <= 40000);
	last = rl_last_line(&tail);
	assert_string_equal(last, "the end");
	free(last);
	rl_buf_free(&tail);
}

/* ---- the command line ---- */

static char *command_line(const struct rl_guest *guest, struct rl_error *err)
{
	const int disks[RL_DISKS_MAX] = {7, 8}, consoles[RL_CONSOLES_MAX] = {9, 10};
	const struct rl_boot boot = {.guest = guest,
		.disks = disks,
		.console = 5,
		.channel = 6,
		.network = -1,
		.consoles = consoles};
	struct rl_argv argv = RL_ARGV_NONE;
	struct rl_buf text = RL_BUF_NONE;

	if (rl_cmdline(&boot, &argv, err) == 0)
		for (size_t i = 0; i < argv.count; i++)
			rl_buf_printf(&text, "%s%s", i ? " " : "", argv.items[i]);
	rl_argv_free(&argv);
	return text.size ? rl_buf_string(&text) : NULL;
}

static void words_of_the_command_line(void **state)
{
	const struct rl_guest_disk disks[] = {{.path = "root", .read_only = true}, {.path = "a,b:c"}};
	const char *const append[] = {"quiet", "a=\"b c\""};
	struct rl_guest guest = {.name = "../my guest",
		.memory = 64 << 20,
		.disks = disks,
		.disk_count = 2,
		.append = append,
		.append_count = 2};
	char *text = command_line(&guest, NULL);

	(void)state;
	assert_string_equal(text, "./linux mem=65536K ubd0rd=/proc/self/fd/7 ubd1d=/proc/self/fd/8 "
				  "root=/dev/ubda ro con=null con0=fd:5,fd:5 hostfs=/dev/null/none "
				  "uml_dir=. umid=_._my_guest quiet a=\"b c\"");
	free(text);
	guest = (struct rl_guest){.consoles = 2};
	text = command_line(&guest, NULL);
	assert_non_null(strstr(text, " con=null con0=fd:5,fd:5 con1=fd:9,fd:9 con2=fd:10,fd:10 "
				     "rootlet.consoles=tty1,tty2 "));
	free(text);
}

static void assert_refused_word(const char *word, const char *reason)
{
	struct rl_guest guest = {.append = &word, .append_count = 1};
	struct rl_error err = RL_ERROR_NONE;

	assert_null(command_line(&guest, &err));
	assert_non_null(strstr(err.reason, reason));
	rl_error_clear(&err);
}

static void words_that_are_refused(void **state)
{
	struct rl_guest guest = {.name = NULL};
	char *text = command_line(&guest, NULL), *filler;
	size_t left = RL_CMDLINE_MAX - (strlen(text) + 1 - strlen("./linux "));
	const char *append[1];

	(void)state;
	assert_refused_word("a\nb", "control character");
	assert_refused_word("\033[2J", "control character");
	assert_refused_word("--version", "would not boot");
	/* The longest that fits, and one byte more. */
	filler = rl_alloc(left + 1);
	memset(filler, 'x', left);
	filler[left] = '\0';
	assert_refused_word(filler, "at most 4095 fit");
	filler[left - 1] = '\0';
	append[0] = filler;
	guest.append = append;
	guest.append_count = 1;
	free(text);
	text = command_line(&guest, NULL);
	assert_int_equal(strlen(text), strlen("./linux ") + RL_CMDLINE_MAX - 1);
	free(text);
	free(filler);
}

/* ---- refused before the start ---- */

static void assert_refused(const struct rl_guest *guest, const char *subject, const char *reason)
{
	struct rl_guest_result result;
	struct rl_error err = RL_ERROR_NONE;

	assert_int_equal(rl_guest_run(guest, &result, &err), -1);
	assert_string_equal(err.subject, subject);
	if (!strstr(err.reason, reason))
		fail_msg("'%s', not '%s'", err.reason, reason);
	assert_null(result.reason);
	rl_error_clear(&err);
	assert_int_equal(count_entries(run_folder), 0);
}

static void kernels_that_are_refused(void **state)
{
	char *missing = rl_printf("%s/none", test_folder), *plain = rl_printf("%s/plain", test_folder);
	struct rl_guest guest = {.kernel = missing};

	(void)state;
	write_file(plain, "#!/bin/sh\n", 10, 0600);
	assert_refused(&guest, missing, "No such file");
	guest.kernel = "no-such-kernel";
	assert_refused(&guest, "no-such-kernel", "apt install user-mode-linux");
	guest.kernel = plain;
	assert_refused(&guest, plain, "not executable");
	guest.kernel = test_folder;
	assert_refused(&guest, test_folder, "it is a folder");
	write_file(plain, "\177ELF", 4, 0700);
	guest.kernel = plain;
	assert_refused(&guest, plain, "not a User Mode Linux kernel");
	write_file(plain, "#!/no/such/shell\n", 17, 0700);
	assert_refused(&guest, plain, "No such file");
	free(missing);
	free(plain);
}

static void disks_that_are_refused(void **state)
{
	/* Versions 1 (in either byte order), 2 and 3. */
	static const char *const cow_headers[] = {
		"OOOM\0\0\0\1", "MOOO\1\0\0\0", "OOOM\0\0\0\2", "OOOM\0\0\0\3"};
	char *missing = rl_printf("%s/none", test_folder), *fifo = rl_printf("%s/fifo", test_folder);
	char *empty = rl_printf("%s/empty", test_folder), *other = rl_printf("%s/other", test_folder);
	struct rl_guest_disk disks[RL_DISKS_MAX + 1] = {
		{.path = missing}, {.path = other, .read_only = true}};
	struct rl_guest guest = {.kernel = kernel, .disks = disks, .disk_count = 1};

	(void)state;
	write_kernel("exit 0");
	write_file(empty, "", 0, 0600);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(symlink(disk, other), 0);
	assert_refused(&guest, missing, "No such file");
	disks[0].path = test_folder;
	assert_refused(&guest, test_folder, "neither a regular file nor a block device");
	disks[0].path = fifo;
	assert_refused(&guest, fifo, "neither a regular file nor a block device");
	disks[0].path = empty;
	assert_refused(&guest, empty, "empty");
	for (size_t i = 0; i < RL_COUNT(cow_headers); i++) {
		write_file(empty, cow_headers[i], 8, 0600);
		assert_refused(&guest, empty, "COW header");
	}
	disks[0].path = disk;
	guest.disk_count = 2;
	assert_refused(&guest, other, "ubda already");
	for (size_t i = 0; i <= RL_DISKS_MAX; i++)
		disks[i] = (struct rl_guest_disk){.path = disk, .read_only = true};
	guest.disk_count = RL_DISKS_MAX + 1;
	assert_refused(&guest, disk, "at most 16");
	if (geteuid() != 0) {
		guest.disk_count = 1;
		disks[0].read_only = false;
		assert_int_equal(chmod(disk, 0400), 0);
		assert_refused(&guest, disk, "not readable and writable");
		assert_int_equal(chmod(disk, 0600), 0);
	}
	free(missing);
	free(fifo);
	free(empty);
	free(other);
}

static void a_locked_disk_names_its_holder(void **state)
{
	struct rl_guest_disk disks[] = {{.path = disk, .read_only = true}};
	struct rl_guest guest = {.kernel = kernel, .disks = disks, .disk_count = 1};
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char *reason, byte;
	int ends[2];
	pid_t pid;

	(void)state;
	write_kernel("exit 0");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(disk, O_RDWR);

		close(ends[0]);
		byte = fcntl(fd, F_SETLK, &lock) ? 'n' : 'y';
		rl_write_all(ends[1], &byte, 1);
		rl_read_some(ends[1], &byte, 1);
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(rl_read_all(ends[0], &byte, 1), 0);
	assert_int_equal(byte, 'y');
	reason = rl_printf("in use by process %ld (", (long)pid);
	assert_refused(&guest, disk, reason);
	close(ends[0]);
	waitpid(pid, NULL, 0);
	free(reason);
}

/* ---- how an end is told ---- */

static struct outcome run_script(const char *script, struct rl_buf *output)
{
	struct rl_guest guest = {.name = "script", .kernel = kernel, .seconds = 20};
	struct outcome outcome;

	output->size = 0;
	write_kernel(script);
	outcome = run_guest(&guest, output);
	assert_true(all_gone("script"));
	return outcome;
}

static void ends(void **state)
{
	struct rl_buf output = RL_BUF_NONE;
	struct outcome o = run_script("printf 'a\\r\\nb\\tc' >&$c; exit 0", &output);

	(void)state;
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_OFF);
	assert_int_equal(o.status, 0);
	assert_buf(&output, "a\nb\tc");

	o = run_script("echo hello >&$c; echo noise >&2; exit 1", &output);
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_OFF);
	assert_int_equal(o.status, 1);
	assert_false(o.status_lost);
	assert_buf(&output, "hello\n");

	/* Nothing on the console, and words of its own: it has not booted. */
	o = run_script("echo checking; echo 'no exec mappings' >&2; exit 1", &output);
	assert_int_equal(o.returned, -1);
	assert_non_null(strstr(o.text, "kernel: start: no exec mappings"));

	/* A panic leaves the umid folder behind. */
	o = run_script("mkdir umid; echo 'Kernel panic - not syncing: No init' >&$c; kill -ABRT $$", &output);
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_PANIC);
	assert_string_equal(o.text, "No init");

	o = run_script("kill -SEGV $$", &output);
	assert_int_equal(o.end, RL_GUEST_PANIC);
	assert_string_equal(o.text, "killed by SIGSEGV");

	o = run_script("kill -KILL $$", &output);
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_KILLED);

	/* And after a power-off there is none any more. */
	o = run_script("echo 'reboot: Power down' >&$c; kill -ABRT $$", &output);
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_OFF);
	assert_true(o.status_lost);

	/* Words alone are no panic. */
	o = run_script("echo 'Kernel panic - not syncing: I lie' >&$c; exit 0", &output);
	assert_int_equal(o.end, RL_GUEST_OFF);
	rl_buf_free(&output);
}

/* ---- commands: what a guest's kernel does to the channel ---- */

static struct outcome run_command(const char *script, uint64_t seconds, struct rl_buf *output)
{
	static const char *const words[] = {"command"};
	const struct rl_guest_command command = {.arguments = words, .argument_count = 1};
	const struct rl_guest_disk root = {.path = disk};
	struct rl_guest guest = {.name = "command",
		.kernel = kernel,
		.seconds = seconds,
		.disks = &root,
		.disk_count = 1,
		.command = &command};
	struct outcome outcome;

	output->size = 0;
	write_kernel(script);
	outcome = run_guest(&guest, output);
	assert_true(all_gone("command"));
	return outcome;
}

#define HELLO  "printf 'H\\0\\0\\0\\1\\0lr' >&$h; "
#define OUTPUT "printf 'O\\0\\0\\0\\5\\0\\0\\0hello' >&$h; "
#define FATE   "printf 'X\\0\\0\\0\\12\\0\\0\\0\\0\\0\\0\\0\\52\\0\\0\\0\\0\\0' >&$h; "
#define OVER   "printf 'Z\\0\\0\\0\\1\\0\\0\\0' >&$h; "
#define STAY   "exec -a umid=command sleep 1000"

static void commands_end(void **state)
{
	struct rl_buf output = RL_BUF_NONE;
	struct outcome o = run_command(HELLO OUTPUT FATE OVER STAY, 60, &output);

	(void)state;
	/* Nobody waits for the kernel's way out. */
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_DONE);
	assert_int_equal(o.status, 42);
	assert_buf(&output, "hello");
	/* The command's end alone is not the guest's. */
	o = run_command(HELLO OUTPUT FATE "echo bye >&$c", 60, &output);
	assert_int_equal(o.end, RL_GUEST_OFF);
	assert_buf(&output, "hello");
	o = run_command("echo bye >&$c", 60, &output);
	assert_int_equal(o.end, RL_GUEST_OFF);
	o = run_command(
		HELLO "mkdir umid; echo 'Kernel panic - not syncing: no' >&$c; kill -ABRT $$", 60, &output);
	assert_int_equal(o.end, RL_GUEST_PANIC);
	assert_string_equal(o.text, "no");
	/* One that never says a word, and one that hears none. */
	o = run_command("echo hello >&$c; " STAY, 1, &output);
	assert_int_equal(o.end, RL_GUEST_TIMEOUT);
	o = run_command(HELLO "exec {h}>&-; trap '' TERM; while :; do echo flood >&$c; done # umid=command",
		1, &output);
	assert_int_equal(o.end, RL_GUEST_TIMEOUT);
	rl_buf_free(&output);
}

static void what_a_guest_may_not_say_ends_it(void **state)
{
	static const char *const scripts[] = {
		"echo 'login: ' >&$h; " STAY,
		HELLO "printf 'O\\0\\0\\0\\377\\377\\377\\377' >&$h; " STAY,
		HELLO FATE OUTPUT STAY,
		HELLO "exec cat /dev/urandom >&$h # umid=command",
		HELLO "while printf 'O\\0\\0\\0\\0\\0\\0\\0' >&$h; do :; done # umid=command",
	};
	struct rl_buf output = RL_BUF_NONE;

	(void)state;
	for (size_t i = 0; i < RL_COUNT(scripts); i++) {
		struct outcome o = run_command(scripts[i], 60, &output);

		assert_int_equal(o.returned, -1);
		if (strncmp(o.text, "guest: listen to: it sends ", 27) != 0)
			fail_msg("%zu: '%s'", i, o.text);
	}
	rl_buf_free(&output);
}

/* ---- */

static void time_limit(void **state)
{
	struct rl_guest guest = {.name = "slow", .kernel = kernel, .seconds = 1};
	struct rl_buf output = RL_BUF_NONE;
	struct outcome o;

	(void)state;
	write_kernel("echo still here >&$c; exec -a umid=slow sleep 1000");
	o = run_guest(&guest, &output);
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_TIMEOUT);
	assert_buf(&output, "still here\n");
	assert_true(all_gone("slow"));
	rl_buf_free(&output);
}

static void a_reader_that_goes_ends_the_guest(void **state)
{
	struct rl_guest guest = {.name = "unread", .kernel = kernel, .seconds = 20};
	struct rl_buf output = RL_BUF_NONE;
	struct running run;
	struct outcome o;

	(void)state;
	/* Also if the guest has nothing more to say. */
	write_kernel("echo READY >&$c; exec -a umid=unread sleep 1000");
	run = start_run(&guest);
	await_output(&run, &output, "READY");
	rl_close(&run.out);
	assert_int_equal(rl_read_all(run.report, &o, sizeof(o)), 0);
	assert_int_equal(o.returned, -1);
	assert_string_equal(o.text, "standard output: write: Broken pipe");
	assert_true(all_gone("unread"));
	waitpid(run.pid, NULL, 0);
	close_run(&run);
	rl_buf_free(&output);
}

static void a_reader_that_stalls_cannot_hold_up_a_signal(void **state)
{
	struct rl_guest guest = {.name = "stalled", .kernel = kernel};
	struct rl_buf output = RL_BUF_NONE;
	struct running run;
	struct outcome o;

	(void)state;
	write_kernel("echo READY >&$c; while :; do echo flood flood flood >&$c; done # umid=stalled");
	run = start_run(&guest);
	await_output(&run, &output, "READY");
	kill(run.pid, SIGTERM);
	assert_int_equal(rl_read_all(run.report, &o, sizeof(o)), 0);
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.end, RL_GUEST_SIGNAL);
	assert_int_equal(o.status, SIGTERM);
	waitpid(run.pid, NULL, 0);
	assert_true(all_gone("stalled"));
	close_run(&run);
	rl_buf_free(&output);
}

static void input_sent_ahead_arrives(void **state)
{
	struct rl_guest guest = {.name = "input", .kernel = kernel, .seconds = 20};
	struct rl_buf output = RL_BUF_NONE;
	struct running run;
	struct outcome o;
	char *megabyte = rl_alloc(1 << 20);

	(void)state;
	memset(megabyte, 'i', 1 << 20);
	write_kernel("sleep 0.3; echo $(head -c 1048576 <&$c | tr -d '\\n' | wc -c) >&$c");
	run = start_run(&guest);
	assert_int_equal(rl_write_all(run.in, megabyte, 1 << 20), 0);
	rl_close(&run.in);
	o = end_run(&run, &output);
	assert_int_equal(o.end, RL_GUEST_OFF);
	assert_buf(&output, "1048576\n");
	rl_buf_free(&output);
	free(megabyte);
}

/* ---- nothing is left ---- */

#define LINGER "setsid bash -c 'trap \"\" TERM HUP; exec -a umid=%s sleep 1000' &\n"

static struct running start_lingering(const struct rl_guest *guest)
{
	struct rl_buf output = RL_BUF_NONE;
	struct running run;
	char *script = rl_printf(
		LINGER LINGER "sleep 0.1; echo READY >&$c; touch left; wait", guest->name, guest->name);

	write_kernel(script);
	free(script);
	run = start_run(guest);
	await_output(&run, &output, "READY");
	assert_false(all_gone(guest->name));
	rl_buf_free(&output);
	return run;
}

static void what_the_kernel_leaves_running_is_killed(void **state)
{
	struct rl_buf output = RL_BUF_NONE;
	char *script = rl_printf(LINGER LINGER "sleep 0.1; exit 9", "script", "script");
	struct outcome o = run_script(script, &output);

	(void)state;
	assert_int_equal(o.end, RL_GUEST_OFF);
	assert_int_equal(o.status, 9);
	free(script);
	rl_buf_free(&output);
}

static void a_killed_run_leaves_nothing(void **state)
{
	struct rl_guest guest = {.name = "killed", .kernel = kernel};

	(void)state;
	for (int group = 0; group < 2; group++) {
		struct running run = start_lingering(&guest);

		assert_int_equal(kill(group ? -run.pid : run.pid, SIGKILL), 0);
		waitpid(run.pid, NULL, 0);
		close_run(&run);
		assert_true(all_gone_soon("killed"));
	}
}

static pid_t only_child(pid_t parent)
{
	char *path = rl_printf("/proc/%ld/task/%ld/children", (long)parent, (long)parent);
	struct rl_buf text = RL_BUF_NONE;
	pid_t pid = 0;

	if (rl_read_file(path, 4096, &text, NULL) == 0 && text.size) {
		rl_buf_char(&text, '\0');
		pid = (pid_t)strtol(text.data, NULL, 10);
	}
	rl_buf_free(&text);
	free(path);
	return pid;
}

static void a_killed_guardian_takes_the_guest_along(void **state)
{
	struct rl_guest guest = {.name = "orphan", .kernel = kernel};
	struct rl_buf output = RL_BUF_NONE;
	struct running run;
	struct outcome o;
	pid_t guardian;

	(void)state;
	write_kernel("bash -c 'exec -a umid=orphan sleep 1000' & sleep 0.1; echo READY >&$c; wait");
	run = start_run(&guest);
	await_output(&run, &output, "READY");
	guardian = only_child(run.pid);
	if (guardian <= 0) {
		kill(run.pid, SIGTERM);
		skip(); /* a kernel without CONFIG_PROC_CHILDREN */
	}
	assert_int_equal(kill(guardian, SIGKILL), 0);
	o = end_run(&run, &output);
	assert_int_equal(o.returned, -1);
	assert_non_null(strstr(o.text, "guardian process was killed"));
	assert_true(all_gone_soon("orphan"));
	rl_buf_free(&output);
}

/* ---- odd surroundings ---- */

/* SIGCHLD is ignored by whoever started this program, and nothing is in the environment. */
static void without_surroundings(void **state)
{
	struct rl_guest guest = {.name = "alone", .kernel = kernel, .seconds = 20};
	struct outcome o;
	int report[2];
	pid_t pid;

	(void)state;
	write_kernel("echo hello >&$c; [ -e /proc/self/fd/0 ] && exit 42");
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		for (int i = 0; i < 3; i++)
			dup2(null, i);
		signal(SIGCHLD, SIG_IGN);
		clearenv();
		setenv("TMPDIR", run_folder, 1);
		do_run(&guest, report[1]);
	}
	close(report[1]);
	assert_int_equal(rl_read_all(report[0], &o, sizeof(o)), 0);
	waitpid(pid, NULL, 0);
	close(report[0]);
	assert_string_equal(o.text, "");
	assert_int_equal(o.returned, 0);
	assert_int_equal(o.status, 42);
	assert_true(all_gone("alone"));
}

static void only_what_it_needs_is_handed_to_the_kernel(void **state)
{
	struct rl_buf output = RL_BUF_NONE;
	int stray = open("/dev/null", O_RDONLY);
	/* 0, 1, 2, the console, bash's own 255 and ls's folder. */
	struct outcome o =
		run_script("pwd >&$c; ls /proc/self/fd | wc -l >&$c; env | grep -c SECRET >&$c", &output);

	(void)state;
	assert_int_equal(o.end, RL_GUEST_OFF);
	assert_output(&output, run_folder);
	assert_output(&output, "\n5\n0\n");
	close(stray);
	rl_buf_free(&output);
}

static void doctor_finds(void **state)
{
	struct rl_finding *findings;
	bool kernel_seen = false;
	size_t count;

	(void)state;
	rl_doctor("/nowhere/linux", NULL, 0, &findings, &count);
	assert_true(count > 5);
	for (size_t i = 0; i < count; i++) {
		assert_non_null(findings[i].found);
		assert_true(findings[i].found[0] != '\0');
		assert_int_equal(findings[i].advice == NULL, findings[i].good);
		if (strcmp(findings[i].what, "kernel") != 0)
			continue;
		kernel_seen = true;
		assert_false(findings[i].good);
		assert_true(findings[i].needed);
		assert_non_null(strstr(findings[i].found, "No such file"));
		assert_non_null(strstr(findings[i].advice, "apt install user-mode-linux"));
	}
	assert_true(kernel_seen);
	rl_findings_free(findings, count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escape_key),
		cmocka_unit_test(line_ends),
		cmocka_unit_test(panic_words),
		cmocka_unit_test(tail_is_bounded),
		cmocka_unit_test(words_of_the_command_line),
		cmocka_unit_test(words_that_are_refused),
		cmocka_unit_test(kernels_that_are_refused),
		cmocka_unit_test(disks_that_are_refused),
		cmocka_unit_test(a_locked_disk_names_its_holder),
		cmocka_unit_test(ends),
		cmocka_unit_test(commands_end),
		cmocka_unit_test(what_a_guest_may_not_say_ends_it),
		cmocka_unit_test(time_limit),
		cmocka_unit_test(a_reader_that_goes_ends_the_guest),
		cmocka_unit_test(a_reader_that_stalls_cannot_hold_up_a_signal),
		cmocka_unit_test(input_sent_ahead_arrives),
		cmocka_unit_test(what_the_kernel_leaves_running_is_killed),
		cmocka_unit_test(a_killed_run_leaves_nothing),
		cmocka_unit_test(a_killed_guardian_takes_the_guest_along),
		cmocka_unit_test(without_surroundings),
		cmocka_unit_test(only_what_it_needs_is_handed_to_the_kernel),
		cmocka_unit_test(doctor_finds),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
