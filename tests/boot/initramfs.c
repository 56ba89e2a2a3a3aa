/*
 * The init of an initramfs as a distribution has it, for qemu.bats: loads the modules in /load, mounts what root= says
 * and goes on with init= in it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static char root[64], next[64];

static void take_word(const char *word)
{
	if (!strncmp(word, "root=", 5))
		snprintf(root, sizeof(root), "%s", word + 5);
	else if (!strncmp(word, "init=", 5))
		snprintf(next, sizeof(next), "%s", word + 5);
}

int main(void)
{
	char word[256];
	FILE *file;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	file = fopen("/load", "r");
	while (file && fscanf(file, "%255s", word) == 1)
		syscall(SYS_finit_module, open(word, O_RDONLY), "", 0);
	file = fopen("/proc/cmdline", "r");
	while (file && fscanf(file, "%255s", word) == 1)
		take_word(word);
	if (mount(root, "/mnt", "ext4", MS_RDONLY, NULL) || chdir("/mnt") ||
		mount(".", "/", NULL, MS_MOVE, NULL) || chroot("."))
		perror(root);
	execl(next, next, (char *)NULL);
	perror(next);
	return 1;
}
