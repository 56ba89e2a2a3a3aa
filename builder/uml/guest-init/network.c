#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/in.h>
#include <linux/mount.h>
#include <linux/route.h>
#include <linux/sockios.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define RESOLV_CONF     "/etc/resolv.conf"
#define OUR_RESOLV_CONF "/run/rootlet-resolv.conf"

#define DEVICES_MAX 64 /* numbers of devices that are looked at */

/* A dotted one; there are only ours. */
static struct sockaddr address(const char *text)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		uint8_t bytes[sizeof(struct sockaddr)];
	} result;
	uint8_t *byte;

	memset(&result, 0, sizeof(result));
	result.in.sin_family = AF_INET;
	byte = (uint8_t *)&result.in.sin_addr;
	for (; *text; text++)
		if (*text == '.')
			byte++;
		else
			*byte = (uint8_t)(*byte * 10 + *text - '0');
	return result.any;
}

static void name_device(struct ifreq *request, const char *device)
{
	memset(request, 0, sizeof(*request));
	put(request->ifr_name, request->ifr_name + sizeof(request->ifr_name), device);
}

static long up(int fd, const char *device)
{
	struct ifreq request;

	name_device(&request, device);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	return SYS(ioctl, fd, SIOCSIFFLAGS, &request);
}

static bool is_there(int fd, const char *device)
{
	struct ifreq request;

	name_device(&request, device);
	return SYS(ioctl, fd, SIOCGIFFLAGS, &request) == 0;
}

static bool is_virtio(int fd, struct ifreq *request)
{
	struct ethtool_drvinfo info;

	memset(&info, 0, sizeof(info));
	info.cmd = ETHTOOL_GDRVINFO;
	request->ifr_data = (void *)&info;
	return SYS(ioctl, fd, SIOCETHTOOL, request) == 0 && same(info.driver, "virtio_net");
}

static void rename_device(int fd, struct ifreq *request)
{
	/* One that is up keeps its name. */
	request->ifr_flags = 0;
	SYS(ioctl, fd, SIOCSIFFLAGS, request);
	put(request->ifr_newname, request->ifr_newname + sizeof(request->ifr_newname), RL_NET_DEVICE);
	SYS(ioctl, fd, SIOCSIFNAME, request);
}

void name_network(void)
{
	int fd = (int)SYS(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request;

	if (fd < 0)
		return;
	for (int i = 1; i <= DEVICES_MAX && !is_there(fd, RL_NET_DEVICE); i++) {
		memset(&request, 0, sizeof(request));
		request.ifr_ifindex = i;
		if (SYS(ioctl, fd, SIOCGIFNAME, &request) == 0 && is_virtio(fd, &request))
			rename_device(fd, &request);
	}
	SYS(close, fd);
}

static long set_address(int fd, long what, const char *text)
{
	struct ifreq request;

	name_device(&request, RL_NET_DEVICE);
	request.ifr_addr = address(text);
	return SYS(ioctl, fd, what, &request);
}

static long add_route(int fd)
{
	struct rtentry route;

	memset(&route, 0, sizeof(route));
	route.rt_dst = address("0.0.0.0");
	route.rt_genmask = address("0.0.0.0");
	route.rt_gateway = address(RL_NET_HOST);
	route.rt_flags = RTF_UP | RTF_GATEWAY;
	return SYS(ioctl, fd, SIOCADDRT, &route);
}

/*
 * The resolver, for as long as the guest runs: a file in memory over that of the disk, or over the symlink that is there,
 * which often leads to a daemon's file. Where the disk has none and takes none, there will be none.
 */
static void set_resolver(void)
{
	static const char text[] = "nameserver " RL_NET_DNS "\n";
	int fd = (int)SYS(open, OUR_RESOLV_CONF, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	long copy;

	if (fd < 0)
		return;
	SYS(write, fd, text, sizeof(text) - 1);
	SYS(close, fd);
	fd = (int)SYS(open, RESOLV_CONF, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd >= 0)
		SYS(close, fd);
	copy = SYS(open_tree, AT_FDCWD, OUR_RESOLV_CONF, OPEN_TREE_CLONE | O_CLOEXEC);
	if (copy >= 0) {
		SYS(move_mount, copy, "", AT_FDCWD, RESOLV_CONF, MOVE_MOUNT_F_EMPTY_PATH);
		SYS(close, copy);
	}
}

bool start_network(bool network, struct failure *failure)
{
	int fd = (int)SYS(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long result = fd;

	/* Somebody else's initramfs has not done it. */
	if (network)
		name_network();
	if (fd >= 0) {
		/* Without a loopback device, too, a guest can run. */
		up(fd, "lo");
		result = network ? set_address(fd, SIOCSIFADDR, RL_NET_GUEST) : 0;
		if (network && !result)
			result = set_address(fd, SIOCSIFNETMASK, RL_NET_MASK);
		if (network && !result)
			result = up(fd, RL_NET_DEVICE);
		if (network && !result)
			result = add_route(fd);
		SYS(close, fd);
	}
	if (!network)
		return true;
	if (result == -ENODEV || result == -EAFNOSUPPORT)
		return fail(failure, RL_FATE_TROUBLE, (int)-result, RL_NET_DEVICE,
			"set up (is UML_NET_VECTOR, or for QEMU virtio_net, in the kernel?)");
	if (result)
		return fail(failure, RL_FATE_TROUBLE, (int)-result, RL_NET_DEVICE, "set up in the guest");
	set_resolver();
	return true;
}
