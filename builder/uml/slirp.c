/*
 * The host's side of a guest's network, in a process of its own: libslirp answers what the guest sends, as a router,
 * a DHCP server and a resolver would, and makes connections of this user's own of it.
 */
#include "uml/uml-internal.h"

#include "base/library.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLIRP_SONAME "libslirp.so.0"
#define RL_LIBRARY   struct libslirp
#define SLIRP_FUNCTIONS(X)                                                                                   \
	X(slirp, new)                                                                                        \
	X(slirp, add_hostfwd)                                                                                \
	X(slirp, input)                                                                                      \
	X(slirp, pollfds_fill)                                                                               \
	X(slirp, pollfds_poll)

struct libslirp {
	SLIRP_FUNCTIONS(RL_LIBRARY_MEMBER)
};

/* How many frames of the guest are taken before connections get their turn. */
#define FRAMES_AT_ONCE 64
#define FRAME_MAX      65536

/* How long a frame waits for a guest that is busy. One that is not there any more is not waited for again. */
#define GUEST_WAIT_MS 50

struct rl_slirp {
	struct libslirp lib;
	Slirp *slirp;
	int frames; /* a socket: one frame each time */
	bool stuck; /* the guest has not taken the last frame */
	struct pollfd *fds; /* the first one is of frames */
	size_t count, room;
};

/* ---- what libslirp calls ---- */

/* What the guest does not take is lost, as on any wire. */
static ssize_t send_frame(const void *frame, size_t size, void *opaque)
{
	struct rl_slirp *s = opaque;
	struct pollfd wait = {.fd = s->frames, .events = POLLOUT};
	ssize_t n = send(s->frames, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN && !s->stuck && poll(&wait, 1, GUEST_WAIT_MS) == 1)
		n = send(s->frames, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	s->stuck = n < 0;
	return (ssize_t)size;
}

static void guest_error(const char *message, void *opaque)
{
	/* A guest can make as many as it likes. */
	(void)message;
	(void)opaque;
}

static int64_t now_ns(void *opaque)
{
	struct timespec t;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Timers are for IPv6's router advertisements alone, and there is no IPv6. */
static void *timer_new(SlirpTimerCb callback, void *callback_opaque, void *opaque)
{
	(void)callback;
	(void)callback_opaque;
	(void)opaque;
	return NULL;
}

static void timer_free(void *timer, void *opaque)
{
	(void)timer;
	(void)opaque;
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	(void)timer;
	(void)expire_ms;
	(void)opaque;
}

/* All descriptors are told anew each time before they are waited for, and what there is to do is seen then. */
static void no_descriptor(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void no_notice(void *opaque)
{
	(void)opaque;
}

static const SlirpCb callbacks = {
	.send_packet = send_frame,
	.guest_error = guest_error,
	.clock_get_ns = now_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = no_descriptor,
	.unregister_poll_fd = no_descriptor,
	.notify = no_notice,
};

/* ---- waiting ---- */

static const struct {
	int slirp;
	short poll;
} events[] = {
	{SLIRP_POLL_IN, POLLIN},
	{SLIRP_POLL_OUT, POLLOUT},
	{SLIRP_POLL_PRI, POLLPRI},
	{SLIRP_POLL_ERR, POLLERR},
	{SLIRP_POLL_HUP, POLLHUP},
};

static int add_poll(int fd, int wanted, void *opaque)
{
	struct rl_slirp *s = opaque;
	struct pollfd entry = {.fd = fd};

	for (size_t i = 0; i < RL_COUNT(events); i++)
		if (wanted & events[i].slirp)
			entry.events |= events[i].poll;
	RL_GROW(s->fds, s->count, s->room);
	s->fds[s->count] = entry;
	return (int)s->count++;
}

static int get_events(int index, void *opaque)
{
	const struct rl_slirp *s = opaque;
	int seen = 0;

	for (size_t i = 0; i < RL_COUNT(events); i++)
		if (s->fds[index].revents & events[i].poll)
			seen |= events[i].slirp;
	return seen;
}

static void take_frames(struct rl_slirp *s)
{
	static uint8_t frame[FRAME_MAX];

	for (int i = 0; i < FRAMES_AT_ONCE; i++) {
		ssize_t n = recv(s->frames, frame, sizeof(frame), MSG_DONTWAIT | MSG_TRUNC);

		if (n <= 0)
			return;
		if ((size_t)n <= sizeof(frame))
			s->lib.input(s->slirp, frame, (int)n);
	}
}

void rl_slirp_run(struct rl_slirp *s)
{
	for (;;) {
		uint32_t limit_ms = UINT32_MAX;
		int n;

		s->count = 0;
		add_poll(s->frames, SLIRP_POLL_IN, s);
		s->lib.pollfds_fill(s->slirp, &limit_ms, add_poll, s);
		n = poll(s->fds, s->count, limit_ms > INT32_MAX ? -1 : (int)limit_ms);
		s->lib.pollfds_poll(s->slirp, n < 0, get_events, s);
		if (n > 0 && s->fds[0].revents)
			take_frames(s);
	}
}

/* ---- the start ---- */

struct rl_slirp *rl_slirp_new(int frames, struct rl_error *err)
{
	static const struct rl_library_symbol symbols[] = {SLIRP_FUNCTIONS(RL_LIBRARY_SYMBOL)};
	SlirpConfig config = {
		.version = 1,
		.in_enabled = true,
		.if_mtu = RL_NET_MTU,
		.if_mru = RL_NET_MTU,
	};
	struct rl_slirp *s = rl_calloc(1, sizeof(*s));

	inet_pton(AF_INET, RL_NET_NETWORK, &config.vnetwork);
	inet_pton(AF_INET, RL_NET_MASK, &config.vnetmask);
	inet_pton(AF_INET, RL_NET_HOST, &config.vhost);
	inet_pton(AF_INET, RL_NET_DNS, &config.vnameserver);
	inet_pton(AF_INET, RL_NET_GUEST, &config.vdhcp_start);
	s->frames = frames;
	if (rl_library_load(SLIRP_SONAME, symbols, RL_COUNT(symbols), &s->lib, "network", err) == 0)
		s->slirp = s->lib.new(&config, &callbacks, s);
	if (s->slirp)
		return s;
	if (!rl_failed(err))
		rl_fail(err, "network", "start", "libslirp does not take its configuration");
	free(s);
	return NULL;
}

int rl_slirp_check(struct rl_error *err)
{
	static const struct rl_library_symbol symbols[] = {SLIRP_FUNCTIONS(RL_LIBRARY_SYMBOL)};
	struct libslirp lib;

	return rl_library_load(SLIRP_SONAME, symbols, RL_COUNT(symbols), &lib, "network", err);
}

/* Where a socket listens that was asked to take any port. */
static int bound_port(int fd, uint16_t *port)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &size) || address.sin_family != AF_INET ||
		!address.sin_port)
		return -1;
	*port = ntohs(address.sin_port);
	return 0;
}

int rl_slirp_forward(struct rl_slirp *s, struct rl_forward *forward, struct rl_error *err)
{
	struct in_addr address = {htonl(forward->address)}, guest = {INADDR_ANY};
	char *text = rl_forward_text(forward);
	/* libslirp does not tell its socket; but a new descriptor is always the lowest one that is free. */
	int fd = dup(s->frames), result = 0;

	close(fd);
	errno = 0;
	/* Any address of the guest is that which DHCP gives it. */
	if (s->lib.add_hostfwd(
		    s->slirp, forward->udp, address, forward->host_port, guest, forward->guest_port))
		result = rl_fail_errno(err, text, "listen", errno ? errno : EADDRINUSE);
	else if (!forward->host_port && bound_port(fd, &forward->host_port))
		result = rl_fail(err, text, "listen", "libslirp does not tell which port it has");
	free(text);
	return result;
}
