/* Processes of ours that serve a guest: how they begin, and which rights they keep. */
#include "uml/uml-internal.h"

#include "base/io.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

bool rl_server_enter(const char *name, pid_t parent, const int *kept, size_t count)
{
	sigset_t all;

	/* It lives as long as who started it, or shorter, and takes no signal from a terminal. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return false;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, name);
	rl_let_go(kept, count);
	return true;
}

static void allow_reading(int rules, const char *folder)
{
	int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
		.parent_fd = fd,
	};

	if (fd >= 0)
		syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	rl_close(&fd);
}

/* A kernel without Landlock does without the first. */
void rl_server_give_up_rights(const char *const *folders)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	/* All of its first version: no kernel that has Landlock has less. */
	struct landlock_ruleset_attr files = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
	struct rlimit no_core = {0, 0};
	int rules;

	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	rules = (int)syscall(SYS_landlock_create_ruleset, &files, sizeof(files), 0);
	if (rules >= 0) {
		for (; *folders; folders++)
			allow_reading(rules, *folders);
		syscall(SYS_landlock_restrict_self, rules, 0);
		close(rules);
	}
	syscall(SYS_capset, &head, none);
}
