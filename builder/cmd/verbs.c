#include "cmd/cmd.h"

const struct rl_verb *const rl_verbs[] = {
	&rl_verb_build,
	&rl_verb_pack,
	&rl_verb_list,
	&rl_verb_package,
	&rl_verb_why,
	&rl_verb_graph,
	&rl_verb_size,
	&rl_verb_licenses,
	&rl_verb_fetch,
	&rl_verb_bundle,
	&rl_verb_clean,
	&rl_verb_new,
	&rl_verb_check_recipe,
	&rl_verb_ls,
	&rl_verb_cat,
	&rl_verb_info,
	&rl_verb_diff,
	&rl_verb_run,
	&rl_verb_doctor,
	NULL,
};
