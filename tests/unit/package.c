/* Builds and the store: results, keys, limits, isolation, and what other processes and kills do to them. */
#include "package-world.h"

#include "base/signals.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define EPOCH   1577836800
#define NOWHERE "\"http://127.0.0.1:1/data\""

static void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void assert_text(const char *folder, const char *name, const char *expected)
{
	char *text = get(folder, name);

	assert_string_equal(text, expected);
	free(text);
}

static void assert_mode(const char *folder, const char *name, mode_t mode)
{
	char *path = rl_printf("%s/%s", folder, name);
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, mode);
	assert_int_equal(st.st_mtim.tv_sec, EPOCH);
	assert_int_equal(st.st_mtim.tv_nsec, 0);
	free(path);
}

/* ---- what a build gives ---- */

static void a_product_has_fixed_modes_and_times(void **state)
{
	struct world *world = *state;
	mode_t old = umask(077);

	need_sandbox();
	put_recipe(world, "a", "",
		"mkdir -p \"$OUT/dir\"\n"
		"echo text >\"$OUT/dir/file\"\n"
		"echo '#!/bin/sh' >\"$OUT/program\"\n"
		"ln -s /etc/passwd \"$OUT/link\"\n"
		"chmod 6711 \"$OUT/program\"\n"
		"chmod 0400 \"$OUT/dir/file\"\n"
		"chmod 0000 \"$OUT/dir\"\n");
	ensure_ok(world, "a");
	umask(old);
	assert_true(world->built);
	assert_text(world->product, "dir/file", "text\n");
	assert_mode(world->product, ".", S_IFDIR | 0755);
	assert_mode(world->product, "dir", S_IFDIR | 0755);
	assert_mode(world->product, "dir/file", S_IFREG | 0644);
	assert_mode(world->product, "program", S_IFREG | 0755);
	assert_mode(world->product, "link", S_IFLNK | 0777);
	assert_true(was_noted(world, "a: building"));
	assert_true(was_noted(world, "a: built in "));
	assert_int_equal(count_entries(world, "cache/rootlet/tmp"), 0);
	assert_int_equal(count_entries(world, "cache/rootlet/locks"), 0);
	assert_int_equal(count_entries(world, "cache/rootlet/logs"), 1);
}

static void a_build_has_a_clean_environment(void **state)
{
	struct world *world = *state;
	char *env;

	need_sandbox();
	setenv("CFLAGS", "-DFROM_OUTSIDE", 1);
	world->options.jobs = 3;
	put_recipe(world, "a", "",
		"{ env | grep -v -e '^PWD=' -e '^OLDPWD=' -e '^_=' -e '^SHLVL=' -e '^MAKEFLAGS=' | sort; "
		"pwd; umask; id -u; "
		"hostname; } "
		">\"$OUT/env\"\n");
	ensure_ok(world, "a");
	unsetenv("CFLAGS");
	env = get(world->product, "env");
	assert_string_equal(env,
		"DEPS=/deps\nHOME=/build\nJOBS=3\nLC_ALL=C\nNAME=a\nOUT=/out\nPATCHES=\n"
		"PATH=/usr/bin:/bin\nRECIPE=/recipe\nSOURCE_DATE_EPOCH=1577836800\nSRC=/src\n"
		"TZ=UTC\nVERSION=1\n/build\n0022\n1000\nrootlet\n");
	free(env);
}

static void a_build_sees_its_inputs_and_no_others(void **state)
{
	struct world *world = *state;

	need_sandbox();
	put(world, "mirror/data", "source\n");
	put_recipe(world, "below", "", "echo below >\"$OUT/file\"\n");
	put_recipe(world, "need", "needs = { \"below\" }", "cp \"$DEPS/below/file\" \"$OUT/file\"\n");
	put(world, "root/recipes/packages/a/listed", "listed\n");
	put(world, "root/recipes/packages/a/sub/listed", "sub\n");
	put(world, "root/recipes/packages/a/unlisted", "unlisted\n");
	put_recipe_with_source(world, "a", "source\n", NOWHERE,
		"needs = { \"need\" }\nfiles = { \"listed\", \"sub/listed\" }",
		"cat $SRC/data $DEPS/need/file $RECIPE/listed $RECIPE/sub/listed >\"$OUT/file\"\n"
		"ls $SRC $DEPS $RECIPE >\"$OUT/list\"\n");
	ensure_ok(world, "a");
	assert_text(world->product, "file", "source\nbelow\nlisted\nsub\n");
	assert_text(
		world->product, "list", "/deps:\nneed\n\n/recipe:\nbuild.sh\nlisted\nsub\n\n/src:\ndata\n");
}

static void a_build_must_leave_something_that_an_image_can_hold(void **state)
{
	struct world *world = *state;

	need_sandbox();
	put_recipe(world, "empty", "", "true\n");
	ensure_fails(world, "empty", "left nothing in /out");
	put_recipe(world, "pipe", "", "mkfifo \"$OUT/pipe\"\n");
	ensure_fails(world, "pipe", "/out/pipe: publish: neither a file nor a folder nor a symlink");
}

/* ---- keys ---- */

static void what_is_in_the_store_is_not_built_again(void **state)
{
	struct world *world = *state;
	double start;

	need_sandbox();
	put_recipe(world, "need", "", "date +%N >\"$OUT/file\"\n");
	put_recipe(world, "a", "needs = { \"need\" }", "date +%N >\"$OUT/file\"\n");
	ensure_ok(world, "a");
	assert_true(world->built);
	start = now();
	ensure_ok(world, "a");
	assert_false(world->built);
	assert_int_equal(world->notes.size, 0);
	/* 10 ms is what it may take; other work on the machine must not break the test. */
	assert_true(now() - start < 0.5);
}

static void what_is_needed_may_be_gone_once_the_product_is_there(void **state)
{
	struct world *world = *state;
	char *need;

	need_sandbox();
	put_recipe(world, "need", "", "echo >\"$OUT/file\"\n");
	put_recipe(world, "a", "needs = { \"need\" }", "echo >\"$OUT/file\"\n");
	ensure_ok(world, "need");
	need = rl_strdup(world->product);
	ensure_ok(world, "a");
	assert_int_equal(rl_remove_tree(AT_FDCWD, need, NULL), 0);
	ensure_ok(world, "a");
	assert_false(world->built);
	assert_false(exists(need, "."));
	free(need);
}

static void put_keyed(const struct world *world)
{
	put(world, "root/recipes/packages/a/file", "file\n");
	put_recipe(world, "need", "", "echo need >\"$OUT/need\"\n");
	put_recipe_with_source(
		world, "a", "data", NOWHERE, "needs = { \"need\" } files = { \"file\" }", "true\n");
}

static void assert_key_changes(struct world *world, bool expected, const char *what)
{
	char before[RL_SHA256_HEX], after[RL_SHA256_HEX];
	char *file = world_path(world, "root/recipes/packages/a/file");

	assert_true(key_of(world, "a", after));
	/* The world as it was before the change. */
	put_keyed(world);
	chmod(file, 0644);
	world->options.jobs = 0;
	world->options.time_limit = 0;
	assert_true(key_of(world, "a", before));
	if ((strcmp(before, after) != 0) != expected)
		fail_msg("%s: the key %s", what, expected ? "stays" : "changes");
	free(file);
}

static void a_key_changes_with_each_input(void **state)
{
	struct world *world = *state;
	char *file = world_path(world, "root/recipes/packages/a/file"), *path, *known, *other;

	put_keyed(world);
	put_recipe_with_source(
		world, "a", "data", NOWHERE, "needs = { \"need\" } files = { \"file\" } # more", "true\n");
	assert_key_changes(world, false, "a comment in recipe.conf");
	put_recipe_with_source(world, "a", "data", NOWHERE,
		"build-needs = { \"need\" } files = { \"file\" } part \"x\" { paths = { \"/x\" } }",
		"true\n");
	assert_key_changes(world, false, "parts, and who needs it");
	put_recipe_with_source(world, "a", "data", NOWHERE,
		"needs = { \"need\" } files = { \"file\" } option \"o\" { value = \"\" }", "true\n");
	assert_key_changes(world, true, "an option");
	put_recipe_with_source(
		world, "a", "data", NOWHERE, "needs = { \"need\" } patches = { \"file\" }", "true\n");
	assert_key_changes(world, true, "a patch");
	put(world, "root/recipes/packages/a/build.sh", "true \n");
	assert_key_changes(world, true, "build.sh");
	put(world, "root/recipes/packages/a/file", "FILE\n");
	assert_key_changes(world, true, "a file");
	assert_int_equal(chmod(file, 0755), 0);
	assert_key_changes(world, true, "a file's mode");
	put_recipe_with_source(
		world, "a", "DATA", NOWHERE, "needs = { \"need\" } files = { \"file\" }", "true\n");
	assert_key_changes(world, true, "a source's hash");
	put(world, "root/recipes/packages/need/build.sh", "echo >\"$OUT/need\"\n");
	assert_key_changes(world, true, "what is needed");

	/* The answer of the compiler and the linker is remembered in the store: as if they were others. */
	path = world_path(world, "cache/rootlet");
	known = get(path, "toolchain");
	other = rl_printf("%sother\n", known);
	put(world, "cache/rootlet/toolchain", other);
	assert_true(key_of(world, "a", world->key));
	put(world, "cache/rootlet/toolchain", known);
	{
		char before[RL_SHA256_HEX];

		assert_true(key_of(world, "a", before));
		assert_string_not_equal(before, world->key);
	}
	free(path);
	free(known);
	free(other);
	free(file);
}

static void a_key_changes_with_nothing_else(void **state)
{
	struct world *world = *state;
	struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	char *file = world_path(world, "root/recipes/packages/a/file"), *path;
	char here[RL_SHA256_HEX], there[RL_SHA256_HEX];

	put_keyed(world);
	assert_true(key_of(world, "a", here));
	assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
	assert_key_changes(world, false, "a time");
	assert_int_equal(chmod(file, 0600), 0);
	assert_key_changes(world, false, "a file's read permission");
	put(world, "root/recipes/packages/a/other", "other\n");
	assert_key_changes(world, false, "a file that the recipe does not name");
	world->options.jobs = 7;
	world->options.time_limit = 7;
	assert_key_changes(world, false, "options");
	setenv("CFLAGS", "-O0", 1);
	assert_key_changes(world, false, "the environment");
	unsetenv("CFLAGS");

	/* The same recipes in another folder, with another store that has yet to ask the compiler. */
	path = world_path(world, "elsewhere");
	setenv("XDG_CACHE_HOME", path, 1);
	free(path);
	path = world_path(world, "root");
	rl_list_free(&world->roots.folders);
	free(file);
	file = world_path(world, "moved");
	assert_int_equal(rename(path, file), 0);
	rl_list_add(&world->roots.folders, file);
	assert_true(key_of(world, "a", there));
	assert_string_equal(here, there);
	free(path);
	free(file);
}

/* ---- recipes that cannot be built ---- */

static void a_circle_of_needs_is_an_error(void **state)
{
	struct world *world = *state;

	put_recipe(world, "a", "needs = { \"b\" }", "true\n");
	put_recipe(world, "b", "needs = { \"c\" }", "true\n");
	put_recipe(world, "c", "needs = { \"b\" }", "true\n");
	ensure_fails(world, "a", "circle: b needs c needs b");
	ensure_fails(world, "c", "circle: c needs b needs c");
}

static void a_package_that_is_missing_is_named_with_the_file_looked_for(void **state)
{
	struct world *world = *state;

	put_recipe(world, "a", "needs = { \"missing\" }", "true\n");
	ensure_fails(world, "a", "recipes/packages/missing/recipe.conf");
	ensure_fails(world, "../a", "name");
}

/* ---- builds that fail ---- */

static void a_failing_script_shows_its_tail_and_keeps_its_log(void **state)
{
	struct world *world = *state;
	char *log, *text;

	need_sandbox();
	put_recipe(world, "a", "", "seq 1 1000; echo 'this is why' >&2; false; echo not reached\n");
	ensure_fails(world, "a", "a: build: build.sh: exit status 1; log: ");
	assert_true(strlen(world->tail) < 200);
	assert_contains(world->tail, "\n999\n1000\nthis is why\n");
	log = strstr(world->error, "log: ") + strlen("log: ");
	text = get("/", log);
	assert_int_equal(strncmp(text, "1\n2\n3\n", 6), 0);
	assert_contains(text, "this is why\n");
	assert_null(strstr(text, "not reached"));
	free(text);

	/* An unset variable is an error too; so is what a needed package does wrong. */
	put_recipe(world, "b", "needs = { \"a\" }", "true\n");
	ensure_fails(world, "b", "a: build: build.sh: exit status 1");
	put_recipe(world, "c", "", "echo $NO_SUCH_THING >\"$OUT/file\"\n");
	ensure_fails(world, "c", "c: build: build.sh: exit status 2");
}

static void a_script_that_does_not_end_is_stopped(void **state)
{
	struct world *world = *state;
	double start = now();

	need_sandbox();
	put_recipe(world, "a", "time-limit = \"1s\"",
		"trap '' TERM INT HUP; echo begun; sleep 1000; sleep 1000\n");
	ensure_fails(world, "a", "a: build: build.sh: still running after its time limit of 1 s; log: ");
	assert_string_equal(world->tail, "begun\n");
	put_recipe(world, "a", "time-limit = \"20m\"", "exec >&- 2>&-; sleep 1000\n");
	world->options.time_limit = 1;
	ensure_fails(world, "a", "time limit of 1 s");
	assert_true(now() - start < 100);
}

static void a_script_that_floods_its_log_is_stopped(void **state)
{
	struct world *world = *state;
	char *log;
	struct stat st;

	need_sandbox();
	put_recipe(world, "a", "log-limit = \"64K\"", "yes\n");
	ensure_fails(world, "a", "printed more than its limit of 65536 bytes");
	log = strstr(world->error, "log: ") + strlen("log: ");
	assert_int_equal(stat(log, &st), 0);
	assert_in_range(st.st_size, 32768, 65536);
}

static void a_script_writes_only_to_its_folders(void **state)
{
	static const char *const targets[] = {"/file", "/usr/file", "/src/file", "/recipe/file",
		"/recipe/build.sh", "/deps/file", "/deps/need/file", "/etc/file", "/bin/file"};
	struct world *world = *state;

	need_sandbox();
	put_recipe(world, "need", "", "echo >\"$OUT/file\"\n");
	ensure_ok(world, "need");
	for (size_t i = 0; i < RL_COUNT(targets); i++) {
		char *script = rl_printf("echo >%s\necho >\"$OUT/file\"\n", targets[i]);

		put_recipe(world, "a", "needs = { \"need\" }", script);
		ensure_fails(world, "a", "build.sh: exit status");
		free(script);
	}
	put_recipe(world, "a", "needs = { \"need\" }",
		"echo >/tmp/x; echo >/build/x; echo >/out/x; echo >/dev/null\n");
	ensure_ok(world, "a");
}

/* A socket that listens on the host's loopback; *port is set. */
static int listen_here(unsigned *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void a_script_has_no_network_and_sees_nothing_of_the_host(void **state)
{
	struct world *world = *state;
	unsigned port;
	int fd = listen_here(&port);
	char *script;

	need_sandbox();
	script = rl_printf("for d in /home /root /var '%s'; do [ ! -e $d ]; done\n"
			   "[ $(grep -c : /proc/net/dev) = 1 ]\n"
			   "[ $(ls /proc | grep -c '^[0-9]') -lt 10 ]\n"
			   "cat >net.pl <<'E'\n"
			   "use IO::Socket::INET; exit 7 unless IO::Socket::INET->new('127.0.0.1:%u');\n"
			   "E\n"
			   "perl net.pl || [ $? = 7 ]\n"
			   "perl net.pl\n",
		world->folder, port);
	put_recipe(world, "a", "", script);
	ensure_fails(world, "a", "build.sh: exit status 7");
	free(script);
	close(fd);
}

static void what_a_script_leaves_running_is_killed(void **state)
{
	struct world *world = *state;
	double start = now();

	need_sandbox();
	put_recipe(world, "a", "",
		"echo >\"$OUT/file\"\n"
		"(trap '' HUP TERM; sleep 300) &\n"
		"setsid sh -c 'sleep 1; echo >/out/late' >/dev/null 2>&1 &\n");
	ensure_ok(world, "a");
	assert_true(now() - start < 100);
	sleep_ms(1500);
	assert_false(exists(world->product, "late"));
}

/* ---- the sandbox is missing ---- */

static void without_bubblewrap_the_package_to_install_is_named(void **state)
{
	struct world *world = *state;
	char *old = rl_strdup(getenv("PATH"));

	put_recipe(world, "a", "", "echo >\"$OUT/file\"\n");
	setenv("PATH", world->folder, 1);
	ensure_fails(world, "a", "install the package bubblewrap");
	setenv("PATH", old, 1);
	free(old);
}

static void a_bubblewrap_that_cannot_work_is_quoted(void **state)
{
	struct world *world = *state;
	char *old = rl_strdup(getenv("PATH")), *program = world_path(world, "bwrap");

	put_recipe(world, "a", "", "echo >\"$OUT/file\"\n");
	put(world, "bwrap",
		"#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n");
	assert_int_equal(chmod(program, 0755), 0);
	setenv("PATH", world->folder, 1);
	ensure_fails(world, "a", "bwrap: No permissions to create a new namespace; ");
	setenv("PATH", old, 1);
	free(old);
	free(program);
}

/* ---- several processes ---- */

enum { NOT_BUILT = 0, BUILT = 10, WAITED = 20, FAILED = 40, INTERRUPTED = 41 };

/* A process that ensures the package; its exit status tells what came of it. */
static pid_t start_ensure(struct world *world, const char *name)
{
	pid_t pid = fork();
	int result;

	assert_true(pid >= 0);
	if (pid)
		return pid;
	rl_signals_catch();
	ensure(world, name);
	result = world->error ? FAILED : world->built ? BUILT : NOT_BUILT;
	if (world->error && strstr(world->error, "interrupted by SIGTERM"))
		result = INTERRUPTED;
	if (!world->error && was_noted(world, "waiting for another build of it"))
		result += WAITED;
	_exit(result);
}

static int exit_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The folder of a build whose script has made the file "begun", but not that one; or NULL. The caller frees it. */
static char *find_begun(const struct world *world, const char *but)
{
	char *tmp = world_path(world, "cache/rootlet/tmp"), *found = NULL;
	DIR *dir = opendir(tmp);
	struct dirent *entry;

	while (dir && !found && (entry = readdir(dir))) {
		char *file = rl_printf("%s/build/begun", entry->d_name);

		if (exists(tmp, file) && (!but || strcmp(but, entry->d_name) != 0))
			found = rl_strdup(entry->d_name);
		free(file);
	}
	if (dir)
		closedir(dir);
	free(tmp);
	return found;
}

static char *await_begun(const struct world *world, const char *but)
{
	char *found = NULL;

	for (int i = 0; i < 3000 && !found; i++) {
		found = find_begun(world, but);
		sleep_ms(20);
	}
	assert_non_null(found);
	return found;
}

static void two_processes_build_a_package_once(void **state)
{
	struct world *world = *state;
	pid_t first, second;
	char *folder;

	need_sandbox();
	put_recipe(world, "a", "", ": >begun; sleep 3; date +%N >\"$OUT/file\"\n");
	first = start_ensure(world, "a");
	folder = await_begun(world, NULL);
	second = start_ensure(world, "a");
	assert_int_equal(exit_of(first), BUILT);
	assert_int_equal(exit_of(second), NOT_BUILT + WAITED);
	assert_int_equal(count_entries(world, "cache/rootlet/products"), 1);
	assert_int_equal(count_entries(world, "cache/rootlet/locks"), 0);
	free(folder);
}

static void a_killed_build_leaves_nothing_and_lets_others_go_on(void **state)
{
	struct world *world = *state;
	char *first_folder, *second_folder;
	pid_t first, second;
	int status;

	need_sandbox();
	put_recipe(world, "a", "", ": >begun; echo >\"$OUT/file\"; sleep 1000\n");
	first = start_ensure(world, "a");
	first_folder = await_begun(world, NULL);
	second = start_ensure(world, "a");
	kill(first, SIGKILL);
	assert_int_equal(waitpid(first, &status, 0), first);
	second_folder = await_begun(world, first_folder);
	assert_int_equal(count_entries(world, "cache/rootlet/products"), 0);

	/* Whoever opens the store next removes what is dead, and leaves what lives. */
	put_recipe(world, "b", "", "false\n");
	ensure(world, "b");
	assert_int_equal(count_entries(world, "cache/rootlet/tmp"), 1);
	kill(second, SIGTERM);
	assert_int_equal(exit_of(second), INTERRUPTED);
	assert_int_equal(count_entries(world, "cache/rootlet/tmp"), 0);
	assert_int_equal(count_entries(world, "cache/rootlet/products"), 0);

	/* A lock's file that a killed process left is no lock. */
	put_recipe(world, "a", "", "echo >\"$OUT/file\"\n");
	ensure_ok(world, "a");
	assert_true(world->built);
	free(first_folder);
	free(second_folder);
}

/* ---- where the store is ---- */

static void a_store_that_cannot_be_written_serves_what_it_has(void **state)
{
	static const char *const folders[] = {
		"", "/products", "/sources", "/logs", "/tmp", "/locks", "/recorded"};
	struct world *world = *state;
	pid_t pid;

	need_sandbox();
	put_recipe(world, "a", "", "echo >\"$OUT/file\"\n");
	put_recipe(world, "b", "", "echo >\"$OUT/file\"\n");
	ensure_ok(world, "a");
	chmod(world->folder, 0755);
	for (size_t i = 0; i < RL_COUNT(folders); i++) {
		char *path = rl_printf("%s/cache/rootlet%s", world->folder, folders[i]);

		assert_int_equal(chmod(path, 0555), 0);
		free(path);
	}
	pid = fork();
	if (pid == 0) {
		/* Modes do not bind root. */
		if (geteuid() == 0 && (setgroups(0, NULL) || setgid(65534) || setuid(65534)))
			_exit(1);
		ensure(world, "a");
		if (world->error || world->built)
			_exit(2);
		ensure(world, "b");
		_exit(world->error && strstr(world->error, "Permission denied") ? 0 : 3);
	}
	assert_int_equal(exit_of(pid), 0);
	for (size_t i = 0; i < RL_COUNT(folders); i++) {
		char *path = rl_printf("%s/cache/rootlet%s", world->folder, folders[i]);

		chmod(path, 0755);
		free(path);
	}
}

static void the_store_is_in_the_home_folder_by_default(void **state)
{
	struct world *world = *state;
	char *home = world_path(world, "home"), *old = rl_strdup(getenv("HOME") ? getenv("HOME") : "/");

	put_recipe(world, "a", "", "true\n");
	setenv("HOME", home, 1);
	/* A relative path does not count. */
	setenv("XDG_CACHE_HOME", "relative", 1);
	assert_true(key_of(world, "a", world->key));
	assert_true(exists(home, ".cache/rootlet/products"));
	setenv("HOME", old, 1);
	free(home);
	free(old);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_world, drop_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_product_has_fixed_modes_and_times),
		TEST(a_build_has_a_clean_environment),
		TEST(a_build_sees_its_inputs_and_no_others),
		TEST(a_build_must_leave_something_that_an_image_can_hold),
		TEST(what_is_in_the_store_is_not_built_again),
		TEST(what_is_needed_may_be_gone_once_the_product_is_there),
		TEST(a_key_changes_with_each_input),
		TEST(a_key_changes_with_nothing_else),
		TEST(a_circle_of_needs_is_an_error),
		TEST(a_package_that_is_missing_is_named_with_the_file_looked_for),
		TEST(a_failing_script_shows_its_tail_and_keeps_its_log),
		TEST(a_script_that_does_not_end_is_stopped),
		TEST(a_script_that_floods_its_log_is_stopped),
		TEST(a_script_writes_only_to_its_folders),
		TEST(a_script_has_no_network_and_sees_nothing_of_the_host),
		TEST(what_a_script_leaves_running_is_killed),
		TEST(without_bubblewrap_the_package_to_install_is_named),
		TEST(a_bubblewrap_that_cannot_work_is_quoted),
		TEST(two_processes_build_a_package_once),
		TEST(a_killed_build_leaves_nothing_and_lets_others_go_on),
		TEST(a_store_that_cannot_be_written_serves_what_it_has),
		TEST(the_store_is_in_the_home_folder_by_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
