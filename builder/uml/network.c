#include "uml/channel.h"
#include "uml/uml-internal.h"

#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROCESS_NAME "rootlet-net"
#define REPORT_MAX   ((size_t)64 * 1024)

/* Frames that may be under way; what Linux allows everybody. */
#define FRAMES_BUFFER 212992

/* What the process says once, before it serves the guest: 'G' and a port for each forward, or 'E' and an error. */
#define SAY_GOOD  'G'
#define SAY_ERROR 'E'

char *rl_net_mac(const char *name)
{
	uint8_t digest[RL_SHA256_SIZE];
	struct rl_hash *hash = rl_hash_new();

	rl_hash_string(hash, "mac", name);
	rl_hash_end(hash, digest);
	/* Nobody's vendor, and one station. */
	digest[0] = (uint8_t)((digest[0] & ~1) | 2);
	return rl_printf("%02x:%02x:%02x:%02x:%02x:%02x", digest[0], digest[1], digest[2], digest[3],
		digest[4], digest[5]);
}

/* ---- in the network's process ---- */

static void report_error(int report, const struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;
	const char *const words[] = {err->subject, err->action, err->reason};

	rl_buf_char(&text, SAY_ERROR);
	for (size_t i = 0; i < RL_COUNT(words); i++)
		rl_buf_bytes(&text, words[i], strlen(words[i]) + 1);
	rl_write_all(report, text.data, text.size);
	rl_buf_free(&text);
}

static void report_ports(int report, const struct rl_forward *forwards, size_t count)
{
	struct rl_buf text = RL_BUF_NONE;

	rl_buf_char(&text, SAY_GOOD);
	for (size_t i = 0; i < count; i++)
		rl_buf_bytes(&text, &forwards[i].host_port, sizeof(forwards[i].host_port));
	rl_write_all(report, text.data, text.size);
	rl_buf_free(&text);
}

static void serve(const struct rl_guest *guest, int frames, int report, pid_t parent)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_forward *forwards = rl_calloc(guest->forward_count + 1, sizeof(*forwards));
	struct rl_slirp *slirp;

	if (!rl_server_enter(PROCESS_NAME, parent, (const int[]){frames, report}, 2))
		return;
	slirp = rl_slirp_new(frames, &err);
	for (size_t i = 0; slirp && i < guest->forward_count; i++) {
		forwards[i] = guest->forwards[i];
		if (rl_slirp_forward(slirp, &forwards[i], &err))
			slirp = NULL;
	}
	if (!slirp) {
		report_error(report, &err);
		return;
	}
	/* libslirp reads what a hostile guest sends. It needs no file but resolv.conf, which it looks at again and again. */
	rl_server_give_up_rights((const char *const[]){"/etc", "/run", NULL});
	report_ports(report, forwards, guest->forward_count);
	close(report);
	rl_slirp_run(slirp);
}

/* ---- in the process that runs the guest ---- */

static int take_report(const struct rl_guest *guest, const struct rl_buf *report, struct rl_error *err)
{
	const char *at = report->data + 1, *end = report->data + report->size, *words[3];

	if (report->size == 1 + guest->forward_count * sizeof(uint16_t) && report->data[0] == SAY_GOOD) {
		for (size_t i = 0; i < guest->forward_count; i++) {
			struct rl_forward forward = guest->forwards[i];

			memcpy(&forward.host_port, at + i * sizeof(uint16_t), sizeof(uint16_t));
			if (guest->on_forward)
				guest->on_forward(guest->context, &forward);
		}
		return 0;
	}
	if (!report->size || report->data[0] != SAY_ERROR || end[-1])
		return rl_fail(err, "network", "start", "its process ended");
	for (size_t i = 0; i < RL_COUNT(words); i++) {
		words[i] = at < end ? at : "";
		at += at < end ? strlen(at) + 1 : 0;
	}
	return rl_fail(err, words[0], words[1], "%s", words[2]);
}

static int start(struct rl_net *net, const struct rl_guest *guest, const int frames[2], const int report[2],
	struct rl_error *err)
{
	pid_t parent = getpid();

	net->pid = fork();
	if (net->pid == 0) {
		close(frames[1]);
		close(report[0]);
		serve(guest, frames[0], report[1], parent);
		_exit(1);
	}
	if (net->pid < 0) {
		net->pid = 0;
		return rl_fail_errno(err, "network", "start", errno);
	}
	return 0;
}

int rl_net_open(struct rl_net *net, const struct rl_guest *guest, struct rl_error *err)
{
	struct rl_buf said = RL_BUF_NONE;
	int frames[2] = {-1, -1}, report[2] = {-1, -1}, size = FRAMES_BUFFER, result;

	/*
	 * Datagrams: a frame each. And no connection whose end would be there to be read, over and over: where the
	 * process is gone, the guest has a wire with nobody at its end.
	 */
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, frames) ||
		pipe2(report, O_CLOEXEC)) {
		result = rl_fail_errno(err, "network", "start", errno);
	} else {
		for (int i = 0; i < 2; i++)
			setsockopt(frames[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		result = start(net, guest, frames, report, err);
	}
	rl_close(&report[1]);
	rl_close(&frames[0]);
	net->guest = frames[1];
	if (!result)
		result = rl_read_fd(report[0], "network", REPORT_MAX, &said, err);
	if (!result)
		result = take_report(guest, &said, err);
	rl_close(&report[0]);
	rl_buf_free(&said);
	return result;
}

void rl_net_close(struct rl_net *net)
{
	rl_close(&net->guest);
	if (net->pid > 0) {
		kill(net->pid, SIGKILL);
		rl_wait(net->pid);
	}
	net->pid = 0;
}
