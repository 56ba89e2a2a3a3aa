/* A port of the host that leads to one of a guest, as people write it: [ADDRESS:]HOSTPORT:GUESTPORT[/tcp|/udp]. */
#ifndef RL_BASE_FORWARD_H
#define RL_BASE_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

struct rl_forward {
	uint32_t address; /* of the host, IPv4; 127.0.0.1 if none is given */
	uint16_t host_port; /* 0: one that is free */
	uint16_t guest_port;
	bool udp;
};

/* Why the text is none, to be read behind it; NULL: it is one, and forward has it. */
const char *rl_forward_parse(const char *text, struct rl_forward *forward);
/* "127.0.0.1:2222", for messages; the caller frees it. */
char *rl_forward_text(const struct rl_forward *forward);

#endif
