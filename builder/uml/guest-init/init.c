#include "init.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <linux/time.h>

#define JOB_MAX ((size_t)64 << 20)

void guest_main(long *stack);

int channel = -1;

static char output[sizeof(struct rl_frame) + RL_OUTPUT_MAX];

char *output_frame(void)
{
	return output;
}

static void send_all(const void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		long n = SYS(write, channel, (const char *)bytes + done, size - done);

		if (n > 0) {
			done += (size_t)n;
		} else if (n == -EAGAIN) {
			/* The terminal is full, against all rules of the channel. */
			struct timespec moment = {0, 1000000};

			SYS(nanosleep, &moment, NULL);
		} else if (n != -EINTR) {
			return;
		}
	}
}

void send_bytes(uint8_t type, uint8_t stream, const void *bytes, size_t size)
{
	struct rl_frame head = {type, stream, 0, (uint32_t)size};

	/* In one piece: each call costs the host as much as thousand bytes. */
	memcpy(output, &head, sizeof(head));
	if (bytes)
		memcpy(output + sizeof(head), bytes, size);
	send_all(output, sizeof(head) + size);
}

void send_frame(uint8_t type, uint8_t stream, uint32_t value)
{
	struct rl_frame frame = {type, stream, 0, value};

	send_all(&frame, sizeof(frame));
}

bool fail(struct failure *failure, uint32_t kind, int errno_value, const char *subject, const char *action)
{
	*failure = (struct failure){kind, errno_value, subject, action};
	return false;
}

static void send_fate(uint32_t kind, int value, const char *subject, const char *action)
{
	static char bytes[sizeof(struct rl_fate_frame) + RL_TEXT_MAX];
	struct rl_fate_frame fate = {kind, value};
	char *at = bytes + sizeof(fate), *middle = at + RL_TEXT_MAX / 2, *end = at + RL_TEXT_MAX;

	memcpy(bytes, &fate, sizeof(fate));
	at = put(at, middle, subject) + 1;
	at = put(at, end, action) + 1;
	send_bytes(RL_FRAME_FATE, 0, bytes, (size_t)(at - bytes));
}

/* So that no descriptor of ours becomes 0, 1 or 2. The kernel gives its init all of them, or none. */
static void fill_standard(void)
{
	while (SYS(fcntl, 2, F_GETFD) < 0)
		if (SYS(open, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0) < 0)
			return;
}

/* As the bytes are: no echo, no signals, no line ends. */
static void open_channel(void)
{
	struct termios mode;

	channel = (int)open_device(RL_CHANNEL_LINK, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (channel < 0)
		stop_machine(RL_CHANNEL_LINK, "no channel to rootlet: is virtio_console missing?");
	/* A port of a virtual machine is no terminal. */
	if (SYS(ioctl, channel, TCGETS, &mode))
		return;
	mode.c_iflag = 0;
	mode.c_oflag = 0;
	mode.c_lflag = 0;
	mode.c_cflag = (mode.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8 | CREAD;
	mode.c_cc[VMIN] = 1;
	mode.c_cc[VTIME] = 0;
	SYS(ioctl, channel, TCSETS, &mode);
	/* Whoever else opens it in the guest only confuses the channel. */
	SYS(ioctl, channel, TIOCEXCL, 0);
}

static const char *next_text(char **at, const char *end)
{
	char *text = *at;

	if (text >= end)
		return "";
	*at = text + length(text) + 1;
	return text;
}

static char **next_texts(char **at, const char *end, uint32_t count)
{
	char **texts = take(((size_t)count + 1) * sizeof(*texts));

	for (uint32_t i = 0; texts && i < count; i++)
		texts[i] = (char *)next_text(at, end);
	return texts;
}

static bool read_job(struct job *job, struct failure *failure)
{
	size_t size;
	char *bytes = read_file(AT_FDCWD, "/job", JOB_MAX, &size), *at = bytes + sizeof(job->head);

	if (!bytes || size < sizeof(job->head))
		return fail(failure, RL_FATE_TROUBLE, EIO, "/job", "read from the job disk");
	memcpy(&job->head, bytes, sizeof(job->head));
	job->folder = next_text(&at, bytes + size);
	job->user = next_text(&at, bytes + size);
	job->arguments = next_texts(&at, bytes + size, job->head.arguments);
	job->variables = next_texts(&at, bytes + size, job->head.variables);
	job->shares = next_texts(&at, bytes + size, job->head.shares);
	if (!job->arguments || !job->variables || !job->shares)
		return fail(failure, RL_FATE_TROUBLE, ENOMEM, "/job", "read from the job disk");
	return true;
}

static bool run(struct failure *failure, bool *entered)
{
	static struct job job;
	struct ends ends;
	int disk = (int)open_device("/dev/ubd" RL_JOB_DISK_LETTER, O_RDONLY | O_DIRECT | O_CLOEXEC), status;

	if (disk < 0)
		return fail(
			failure, RL_FATE_TROUBLE, -disk, "/dev/ubd" RL_JOB_DISK_LETTER, "open in the guest");
	if (!read_job(&job, failure) || !enter_root(&job, failure))
		return false;
	*entered = true;
	if (!start_command(&job, &ends, failure))
		return false;
	status = relay(&job, disk, &ends);
	if (job.head.mounts)
		tell_mounts();
	if (status & 0x7f)
		send_fate(RL_FATE_KILLED, status & 0x7f, "", "");
	else
		send_fate(RL_FATE_EXITED, status >> 8 & 0xff, "", "");
	return true;
}

bool is_init(void)
{
	return SYS(getpid) == 1;
}

/* The stack as the kernel has made it: argc, the arguments, NULL, the variables, NULL. */
void guest_main(long *stack)
{
	struct failure failure = {RL_FATE_TROUBLE, 0, "", ""};
	const struct timespec patience = {.tv_sec = RL_GUEST_END_MS / 1000};
	bool entered = false, clean = true, good;
	char **arguments = (char **)(stack + 1);

	if (!is_init())
		SYS(exit_group, 1);
	if (SYS(access, RL_BOOT_LIST, 0) == 0)
		boot(arguments, arguments + stack[0] + 1);
	fill_standard();
	good = mount_own(&failure);
	open_channel();
	send_frame(RL_FRAME_HELLO, 0, RL_CHANNEL_VERSION);
	if (!good || !run(&failure, &entered))
		send_fate(failure.kind, failure.errno_value, failure.subject, failure.action);
	end_others();
	if (entered)
		clean = leave_root();
	send_frame(RL_FRAME_OVER, 0,
		entered && lost_writes() ? RL_OVER_LOST
		: clean                  ? RL_OVER_CLEAN
					 : RL_OVER_UNCLEAN);
	/* Rootlet ends the guest now. */
	SYS(nanosleep, &patience, NULL);
	if (is_init())
		SYS(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, NULL);
	for (;;)
		SYS(pause);
}
