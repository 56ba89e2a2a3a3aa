/* Whether this user can have virtual machines of KVM, and what is to be done if not. */
#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIT_VMX (1u << 5) /* of ecx of leaf 1 */
#define BIT_SVM (1u << 2) /* of ecx of leaf 0x80000001 */

enum trouble { NONE, NO_PROCESSOR, NO_DEVICE, NO_RIGHT, NO_MACHINE };

bool rl_kvm_processor(void)
{
	unsigned a, b, c, d;

	return (__get_cpuid(1, &a, &b, &c, &d) && c & BIT_VMX) ||
	       (__get_cpuid(0x80000001, &a, &b, &c, &d) && c & BIT_SVM);
}

/* The device may be there without the right to use it, or without anything behind it. */
static enum trouble try_device(const char *device, int *number)
{
	int fd = open(device, O_RDWR | O_CLOEXEC), machine = -1;

	*number = errno;
	if (fd < 0)
		return *number == EACCES ? NO_RIGHT : NO_DEVICE;
	if (ioctl(fd, KVM_GET_API_VERSION, 0) == KVM_API_VERSION)
		machine = ioctl(fd, KVM_CREATE_VM, 0);
	*number = errno;
	if (machine >= 0)
		close(machine);
	close(fd);
	return machine < 0 ? NO_MACHINE : NONE;
}

static bool is_member(const struct group *group, const char *user)
{
	for (char **member = group->gr_mem; *member; member++)
		if (!strcmp(*member, user))
			return true;
	return false;
}

static char *advice_on_right(const char *device)
{
	const struct passwd *entry = getpwuid(geteuid());
	const char *user = entry ? entry->pw_name : "USER";
	const struct group *group = NULL;
	struct stat st;

	if (!stat(device, &st) && st.st_gid && (st.st_mode & 060) == 060)
		group = getgrgid(st.st_gid);
	if (!group)
		return rl_printf("chgrp kvm %s && chmod 660 %s && adduser %s kvm, and log in anew", device,
			device, user);
	if (is_member(group, user))
		return rl_printf("%s is in the group %s, but not yet in this session: log in anew", user,
			group->gr_name);
	return rl_printf("adduser %s %s, and log in anew", user, group->gr_name);
}

static char *advice_on(enum trouble trouble, const char *device)
{
	switch (trouble) {
	case NO_PROCESSOR:
		return rl_strdup("turn virtualization on in the firmware, or in the machine around this one");
	case NO_DEVICE:
		return rl_printf("modprobe kvm_intel or kvm_amd; in a container: --device %s", device);
	case NO_RIGHT:
		return advice_on_right(device);
	default:
		return rl_strdup(
			"the kernel's log (dmesg) tells why; another hypervisor may have the processor");
	}
}

bool rl_kvm_check(const char *device, bool processor, char **found, char **advice)
{
	int number = 0;
	/* Where KVM does without what the processor has for it, it only runs kernels that were made for that. */
	enum trouble trouble = processor ? try_device(device, &number) : NO_PROCESSOR;
	char *what;

	if (!found)
		return trouble == NONE;
	*advice = NULL;
	if (trouble == NONE) {
		*found = rl_strdup(device);
		return true;
	}
	*found = trouble == NO_PROCESSOR ? rl_strdup("the processor has neither VMX nor SVM")
					 : rl_printf("%s: %s", device, strerror(number));
	what = advice_on(trouble, device);
	*advice = rl_printf("%s; without KVM --vm qemu computes in software", what);
	free(what);
	return false;
}
