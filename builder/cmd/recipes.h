/* What verbs about recipes share: where recipes are, which one, its variables, and how builds are told of. */
#ifndef RL_CMD_RECIPES_H
#define RL_CMD_RECIPES_H

#include "cmd/cmd.h"

#include "package/package.h"
#include "recipe/recipe.h"

enum { RL_OPT_RECIPES = 900, RL_OPT_SET };

#define RL_OPTION_RECIPES                                                                                    \
	{                                                                                                    \
		RL_OPT_RECIPES, "recipes", "DIR", "your own recipes/ and skeleton/ are in DIR; they come first" \
	}
#define RL_OPTION_SET                                                                                        \
	{                                                                                                    \
		RL_OPT_SET, "set", "NAME=VALUE", "a variable of the recipe"                                    \
	}

struct rl_recipes {
	struct rl_recipe_roots roots;
	struct rl_list set; /* NAME=VALUE */
	struct rl_image_recipe image; /* once it is loaded */
	const char *name; /* as the user gave it */
};

/* If the option is one of these, takes it and returns true. */
bool rl_recipes_option(struct rl_recipes *recipes, const struct rl_cmd *cmd, int id);
/* The one argument, the image recipe's name. -1: there is one already. */
int rl_recipes_argument(struct rl_recipes *recipes, struct rl_cmd *cmd);

/* Finds where recipes are. */
int rl_recipes_find(struct rl_recipes *recipes, struct rl_error *err);
/* The same, and loads the image recipe. */
int rl_recipes_load(struct rl_recipes *recipes, struct rl_error *err);
void rl_recipes_free(struct rl_recipes *recipes);

/* Notes and logs of builds go to stderr: for cmd, which must live as long. */
void rl_recipes_tell(struct rl_package_options *options, struct rl_cmd *cmd);

/* "-j": sets *jobs. */
int rl_recipes_jobs(struct rl_cmd *cmd, unsigned *jobs);

#endif
