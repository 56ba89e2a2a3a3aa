/*
 * The init of the test images: does what the "do=WHAT[:VALUE]" words of the kernel's command line
 * say, in their order, and powers off. Linked statically; the image needs /proc and /dev only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

static void set_exit_code(const char *value)
{
	FILE *f = fopen("/proc/exitcode", "w");

	if (f) {
		fprintf(f, "%s\n", value);
		fclose(f);
	}
}

/* Says back so many lines of the console's input. */
static void echo_lines(const char *value)
{
	char line[256];

	puts("READY");
	fflush(stdout);
	for (int i = atoi(value); i > 0 && fgets(line, sizeof(line), stdin); i--)
		printf("GOT %s", line);
}

static void flood(const char *value)
{
	int lines = atoi(value);

	/* The kernel has something to say at odd times (how random it has become), and shall not here. */
	klogctl(8, NULL, 1);
	puts("FLOOD");
	for (int i = 0; i < lines; i++)
		printf("line %07d of the flood\n", i);
	puts("EBB");
}

/* Tries to reach the host's files by every road that hostfs offers. */
static void try_hostfs(const char *value)
{
	static const char *const options[] = {"", "/", "/etc", "..", "../..", "../../..", "../../../../etc"};

	(void)value;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		printf("hostfs '%s': %s\n", options[i],
			mount("none", "/mnt", "hostfs", 0, options[i]) ? strerror(errno) : "MOUNTED");
}

/* Writes the value to the start of the second disk. */
static void write_disk(const char *value)
{
	int fd = open("/dev/ubdb", O_WRONLY | O_SYNC);
	ssize_t n = fd < 0 ? -1 : write(fd, value, strlen(value));

	printf("write %zd\n", n);
	if (fd >= 0)
		close(fd);
}

static void read_disk(const char *value)
{
	char text[64] = "";
	int fd = open("/dev/ubdb", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	(void)value;
	printf("read %zd %s\n", n, text);
	if (fd >= 0)
		close(fd);
}

/* Keeps the second disk open: UML locks a disk only as long as its guest has it open. */
static void hold_disk(const char *value)
{
	(void)value;
	printf("hold %s\n", open("/dev/ubdb", O_RDWR) < 0 ? strerror(errno) : "done");
}

static void print_size(const char *value)
{
	struct winsize size = {0};

	(void)value;
	ioctl(0, TIOCGWINSZ, &size);
	printf("size %d %d\n", size.ws_row, size.ws_col);
}

static void hang(const char *value)
{
	(void)value;
	puts("HANG");
	fflush(stdout);
	for (;;)
		pause();
}

static void leave(const char *value)
{
	exit(atoi(value));
}

static void crash(const char *value)
{
	(void)value;
	abort();
}

static void halt(const char *value)
{
	(void)value;
	fflush(stdout);
	sync();
	reboot(RB_HALT_SYSTEM);
}

static void restart(const char *value)
{
	(void)value;
	fflush(stdout);
	sync();
	reboot(RB_AUTOBOOT);
}

static void say(const char *value)
{
	for (; *value; value++)
		putchar(*value == '_' ? ' ' : *value);
	putchar('\n');
}

static const struct {
	const char *name;
	void (*act)(const char *value);
} acts[] = {
	{"code", set_exit_code},
	{"crash", crash},
	{"echo", echo_lines},
	{"exit", leave},
	{"flood", flood},
	{"halt", halt},
	{"hang", hang},
	{"hold", hold_disk},
	{"hostfs", try_hostfs},
	{"read", read_disk},
	{"reboot", restart},
	{"say", say},
	{"size", print_size},
	{"write", write_disk},
};

static void act(char *word)
{
	char *value = strchr(word, ':');

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		if (strcmp(acts[i].name, word) == 0)
			acts[i].act(value ? value : "");
	fflush(stdout);
}

int main(void)
{
	char words[4096] = "", *save = NULL;
	FILE *f;

	mount("none", "/proc", "proc", 0, NULL);
	f = fopen("/proc/cmdline", "r");
	if (!f || !fgets(words, sizeof(words), f))
		puts("no /proc/cmdline");
	for (char *p = strtok_r(words, " \n", &save); p; p = strtok_r(NULL, " \n", &save))
		if (strncmp(p, "do=", 3) == 0)
			act(p + 3);
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
