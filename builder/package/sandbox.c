/*
 * The sandbox: bubblewrap with every namespace of its own. The build is an ordinary user to itself,
 * the same one whoever starts it, so that root's builds give the same bytes as anybody's.
 */
#include "package/package-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK_SECONDS 20
#define TAIL_SIZE     4096

static void add_words(struct rl_argv *argv, const char *const *words)
{
	for (; *words; words++)
		rl_argv_add(argv, *words);
}

/* A folder of the host's as it is: /bin is a folder, or a link into /usr, or is not there. */
static void add_host_folder(struct rl_argv *argv, const char *path)
{
	char target[256];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st))
		return;
	if (S_ISLNK(st.st_mode) && (n = readlink(path, target, sizeof(target) - 1)) > 0) {
		target[n] = '\0';
		rl_argv_add(argv, "--symlink");
		rl_argv_add(argv, target);
	} else {
		rl_argv_add(argv, "--ro-bind");
		rl_argv_add(argv, path);
	}
	rl_argv_add(argv, path);
}

/* Namespaces, and the part of the host that every build sees. */
static void add_base(struct rl_argv *argv)
{
	static const char *const isolation[] = {"bwrap", "--unshare-all", "--unshare-user", "--uid", "1000",
		"--gid", "1000", "--hostname", "rootlet", "--cap-drop", "ALL", "--die-with-parent",
		"--new-session", "--as-pid-1", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", NULL};
	static const char *const folders[] = {
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives"};

	add_words(argv, isolation);
	for (size_t i = 0; i < RL_COUNT(folders); i++)
		add_host_folder(argv, folders[i]);
	/* What the administrator installed by hand is not the same on two hosts. */
	if (access("/usr/local", F_OK) == 0) {
		rl_argv_add(argv, "--tmpfs");
		rl_argv_add(argv, "/usr/local");
	}
}

/* ---- can it work here? ---- */

/* The host's settings that forbid user namespaces, and what to do about each. */
static const struct {
	const char *file;
	char value;
	const char *advice;
} settings[] = {
	{"/proc/sys/kernel/unprivileged_userns_clone", '0', "run: sysctl kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/user/max_user_namespaces", '0', "run: sysctl user.max_user_namespaces=10000"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1',
		"AppArmor forbids user namespaces: give bwrap a profile that allows them, or run: "
		"sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
};

static const char *find_advice(void)
{
	const char *advice =
		"user namespaces must be allowed here (in a container: by its runtime's options)";

	for (size_t i = 0; i < RL_COUNT(settings); i++) {
		struct rl_buf text = RL_BUF_NONE;

		if (rl_read_file(settings[i].file, 64, &text, NULL) == 0 && text.size &&
			text.data[0] == settings[i].value && (text.size == 1 || text.data[1] == '\n'))
			advice = settings[i].advice;
		rl_buf_free(&text);
	}
	return advice;
}

/* The last line of what bwrap said. The caller frees it. */
static char *last_line(const struct rl_buf *output)
{
	size_t end = output->size, start;

	while (end && output->data[end - 1] == '\n')
		end--;
	for (start = end; start && output->data[start - 1] != '\n'; start--)
		;
	return rl_strndup(end ? output->data + start : "", end - start);
}

int rl_sandbox_check(struct rl_error *err)
{
	char *env[] = {"PATH=/usr/bin:/bin", NULL}, *program = rl_find_program("bwrap");
	struct rl_argv argv = RL_ARGV_NONE;
	struct rl_spawn spawn = {.env = env, .in = -1};
	struct rl_capture capture = {
		.seconds = CHECK_SECONDS, .output_size = 65536, .log = -1, .tail_size = TAIL_SIZE};
	struct rl_error why = RL_ERROR_NONE;
	int result;

	if (!program)
		return rl_fail(err, "bwrap", "sandbox", "it is not in PATH: install the package bubblewrap");
	add_base(&argv);
	rl_argv_add(&argv, "/bin/true");
	spawn.argv = argv.items;
	result = rl_run_captured(&spawn, &capture, "bwrap", &why);
	if (result && !rl_check_interrupted("bwrap", "sandbox", err)) {
		char *said = last_line(&capture.tail);

		rl_fail(err, "bwrap", "sandbox", "%s; %s", said[0] ? said : why.reason, find_advice());
		free(said);
	}
	rl_error_clear(&why);
	rl_buf_free(&capture.tail);
	rl_argv_free(&argv);
	free(program);
	return result;
}

/* ---- a build ---- */

static void add_environment(struct rl_argv *env, const struct rl_sandbox *sandbox)
{
	static const char *const fixed[] = {"PATH=/usr/bin:/bin", "HOME=/build", "LC_ALL=C", "TZ=UTC",
		"SRC=/src", "OUT=/out", "DEPS=/deps", "RECIPE=/recipe", NULL};

	add_words(env, fixed);
	rl_argv_printf(env, "SOURCE_DATE_EPOCH=%d", RL_PRODUCT_EPOCH);
	rl_argv_printf(env, "NAME=%s", sandbox->name);
	rl_argv_printf(env, "VERSION=%s", sandbox->version);
	rl_argv_printf(env, "JOBS=%u", sandbox->jobs);
	for (size_t i = 0; i < sandbox->env.count; i++)
		rl_argv_add(env, sandbox->env.items[i]);
}

static void add_build(struct rl_argv *argv, const struct rl_sandbox *sandbox)
{
	const char *const folders[] = {"--dir", "/src", "--dir", "/deps", "--dir", "/recipe", "--bind",
		sandbox->build, "/build", "--bind", sandbox->out, "/out", "--chdir", "/build", NULL};

	add_words(argv, folders);
	for (size_t i = 0; i + 1 < sandbox->binds.count; i += 2) {
		rl_argv_add(argv, "--ro-bind");
		rl_argv_add(argv, sandbox->binds.items[i]);
		rl_argv_add(argv, sandbox->binds.items[i + 1]);
	}
	/* The root itself is memory that bwrap made; nothing is to be written there. */
	rl_argv_add(argv, "--remount-ro");
	rl_argv_add(argv, "/");
}

int rl_sandbox_run(const struct rl_sandbox *sandbox, struct rl_capture *capture, struct rl_error *err)
{
	/*
	 * The shell that waits is process 1 of its namespace: when it ends, the kernel kills whatever
	 * still runs there, and bwrap's end tells us that they are gone. It is not the build's own
	 * shell, since signals do not reach a process 1 as they should.
	 */
	static const char *const command[] = {
		"/bin/sh", "-c", "umask 022; /bin/sh -eu /recipe/build.sh; exit $?", NULL};
	struct rl_argv argv = RL_ARGV_NONE, env = RL_ARGV_NONE;
	struct rl_spawn spawn = {
		.in = -1, .keep = sandbox->jobserver, .keep_count = sandbox->jobserver ? 2 : 0};
	int result;

	add_base(&argv);
	add_build(&argv, sandbox);
	add_words(&argv, command);
	add_environment(&env, sandbox);
	spawn.argv = argv.items;
	spawn.env = env.items;
	result = rl_run_captured(&spawn, capture, sandbox->name, err);
	rl_argv_free(&argv);
	rl_argv_free(&env);
	return result;
}
