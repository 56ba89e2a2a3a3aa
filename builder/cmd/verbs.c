#include "cmd/cmd.h"

const struct rl_verb *const rl_verbs[] = {
	&rl_verb_build,
	&rl_verb_pack,
	&rl_verb_list,
	&rl_verb_ls,
	&rl_verb_cat,
	&rl_verb_info,
	&rl_verb_run,
	&rl_verb_doctor,
	NULL,
};
