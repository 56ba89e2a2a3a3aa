#include "base/forward.h"

#include "base/mem.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *text, uint64_t least, uint16_t *port)
{
	uint64_t value;

	if (!rl_parse_u64(text, UINT16_MAX, &value) || value < least)
		return false;
	*port = (uint16_t)value;
	return true;
}

/* Takes the words apart, which end with a NUL then. */
static const char *parse(char *text, struct rl_forward *forward)
{
	char *protocol = strchr(text, '/'), *guest, *host;
	struct in_addr address = {htonl(INADDR_LOOPBACK)};

	if (protocol) {
		*protocol++ = '\0';
		if (strcmp(protocol, "tcp") && strcmp(protocol, "udp"))
			return "has a protocol that is neither tcp nor udp";
	}
	guest = strrchr(text, ':');
	if (!guest)
		return "is not [ADDRESS:]HOSTPORT:GUESTPORT";
	*guest++ = '\0';
	host = strrchr(text, ':');
	if (host) {
		*host++ = '\0';
		if (inet_pton(AF_INET, text, &address) != 1)
			return "has an address of the host that is not like 127.0.0.1";
	} else {
		host = text;
	}
	if (!parse_port(host, 0, &forward->host_port))
		return "has a port of the host that is not 0 to 65535";
	if (!parse_port(guest, 1, &forward->guest_port))
		return "has a port of the guest that is not 1 to 65535";
	forward->address = ntohl(address.s_addr);
	forward->udp = protocol && !strcmp(protocol, "udp");
	return NULL;
}

const char *rl_forward_parse(const char *text, struct rl_forward *forward)
{
	struct rl_forward result;
	char *copy = rl_strdup(text);
	const char *problem = parse(copy, &result);

	free(copy);
	if (!problem)
		*forward = result;
	return problem;
}

char *rl_forward_text(const struct rl_forward *forward)
{
	struct in_addr address = {htonl(forward->address)};
	char text[INET_ADDRSTRLEN];

	return rl_printf("%s:%u%s", inet_ntop(AF_INET, &address, text, sizeof(text)), forward->host_port,
		forward->udp ? "/udp" : "");
}
