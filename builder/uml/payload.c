/* The init for guests that run a command: the program that the Makefile makes of guest-init/. */
#include "uml/uml-internal.h"

__asm__(".pushsection .rodata\n"
	".balign 16\n"
	"guest_init:\n"
	".incbin \"" RL_GUEST_INIT "\"\n"
	"guest_init_end:\n"
	".popsection\n");

extern const char guest_init[], guest_init_end[];

const char *rl_guest_init(size_t *size)
{
	*size = (size_t)(guest_init_end - guest_init);
	return guest_init;
}
