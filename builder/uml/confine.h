/*
 * A root of its own for the kernel of a guest that has shares: of the host it sees nothing but those folders, its disks,
 * its run folder, the libraries that it is made of, and a few devices.
 *
 * hostfs by itself is no limit: "-o /.." of a mount climbs out of any folder, and hostfs=DIR only stands in front of
 * it. Nor is Landlock: it has no say in chmod(), chown(), utime(), stat() and readlink(). So there are namespaces, for
 * which no right is needed where user namespaces are allowed: of users, mounts, processes, the network, IPC and names.
 * There is no /proc in there: its /proc/PID/fd would be a way to a disk that is read-only, and to the kernel's memory.
 * What UML opens as /proc/self/fd/N are files that stand there.
 *
 * A process that is the first of its kind in there, the holder, makes them and stays; when it ends all in them does.
 */
#ifndef RL_UML_CONFINE_H
#define RL_UML_CONFINE_H

#include "base/error.h"
#include "base/process.h"
#include "uml/uml.h"

#include <sys/types.h>

struct rl_confine {
	const struct rl_guest *guest;
	const int *disks; /* RL_DISKS_MAX descriptors, opened; -1: none */
	struct rl_confine_file {
		dev_t dev;
		ino_t ino;
	} *folders; /* what the shares' folders are, so that no others come in their places */
	int kernel; /* opened; -1: none */
	struct rl_argv libraries; /* what the kernel's file needs to be executed */
	/* In the guardian. */
	char *folder; /* the run folder's real path, in there and outside */
	pid_t holder; /* 0: none */
	int pidfd; /* the holder's; -1 */
};

#define RL_CONFINE_NONE                                                                                      \
	{                                                                                                    \
		.kernel = -1, .libraries = RL_ARGV_NONE, .pidfd = -1                                         \
	}

/* Looks at all that is to be seen in there. */
int rl_confine_open(struct rl_confine *confine, const struct rl_guest *guest, const int *disks,
	const char *kernel, struct rl_error *err);
void rl_confine_close(struct rl_confine *confine);

#define RL_CONFINE_STEP 128

/* What could not be done; errno is number. */
struct rl_confine_failure {
	int number;
	char step[RL_CONFINE_STEP];
};

/* In the guardian, whose child the holder becomes: makes it all. 0, or -1 and failure. */
int rl_confine_start(struct rl_confine *confine, const char *folder, struct rl_confine_failure *failure);
/* As fork(): but the child, which is the caller's too, is in there, and has the rights to set itself up. */
pid_t rl_confine_fork(const struct rl_confine *confine);
/* In that child: gives the rights up and executes the kernel. Returns only if that fails: errno. */
void rl_confine_execute(const struct rl_confine *confine, char *const *argv, char *const *env);

#endif
