/* What verbs about recipes share: where recipes are, which one, its variables, and how builds are told of. */
#ifndef RL_CMD_RECIPES_H
#define RL_CMD_RECIPES_H

#include "cmd/cmd.h"

#include "machine/machine.h"
#include "package/package.h"
#include "recipe/recipe.h"

enum { RL_OPT_RECIPES = 900, RL_OPT_SET };

#define RL_OPTION_RECIPES                                                                                    \
	{                                                                                                    \
		RL_OPT_RECIPES, "recipes", "DIR",                                                            \
			"your own recipes/ and skeleton/ are in DIR; they come first"                        \
	}
#define RL_OPTION_SET                                                                                        \
	{                                                                                                    \
		RL_OPT_SET, "set", "NAME=VALUE", "a variable of the recipe"                                  \
	}
#define RL_OPTION_JOBS                                                                                       \
	{                                                                                                    \
		'j', "jobs", "N", "how many processes build at a time (one per processor)"                   \
	}

struct rl_recipes {
	struct rl_recipe_roots roots;
	struct rl_list set; /* NAME=VALUE */
	struct rl_image_recipe image; /* once it is loaded */
	const char *name; /* as the user gave it */
	char *folder; /* where its images are by default */
};

/* An option or argument of the verb's own; -1 and cmd->err: it is wrong. */
typedef int rl_recipes_other(struct rl_cmd *cmd, int id, void *context);

/*
 * Reads the command line: the options above, a recipe's name as the first argument, and whatever else goes
 * to other (NULL: there is nothing else). Then loads the recipe. The folder of its images is out/NAME unless
 * machine has one. To be freed in any case. machine notes what it does to cmd, which must live as long.
 */
int rl_recipes_read(struct rl_cmd *cmd, struct rl_recipes *recipes, struct rl_machine_options *machine,
	rl_recipes_other *other, void *context);
/* Those of the options that need no recipe: false, it is another one. */
bool rl_recipes_option(struct rl_recipes *recipes, const struct rl_cmd *cmd, int id);
void rl_recipes_free(struct rl_recipes *recipes);

/* Notes and logs of builds go to stderr: for cmd, which must live as long. */
void rl_recipes_tell(struct rl_package_options *options, struct rl_cmd *cmd);
/* The values of -j and --time-limit. */
int rl_recipes_jobs(struct rl_cmd *cmd, unsigned *jobs);
int rl_recipes_time_limit(struct rl_cmd *cmd, struct rl_package_options *packages);

#endif
