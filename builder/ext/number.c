#include "ext/ext-internal.h"

#include "base/mem.h"

#include <string.h>

static void number_inode(struct rl_plan *plan, struct rl_inode *inode, uint32_t parent, uint32_t *room)
{
	uint32_t index = plan->inode_count++;

	if (index == *room) {
		*room *= 2;
		plan->inodes = rl_realloc_array(plan->inodes, *room, sizeof(*plan->inodes));
	}
	plan->inodes[index] =
		(struct rl_plan_inode){.inode = inode, .parent = parent, .xattr_block = UINT32_MAX};
	inode->number = rl_plan_number(index);
	plan->directory_count += rl_is_dir(inode);
}

void rl_plan_number_inodes(struct rl_plan *plan)
{
	struct rl_node *dir = plan->tree->root, *child;
	uint32_t room = 1024;

	plan->inodes = rl_realloc_array(NULL, room, sizeof(*plan->inodes));
	number_inode(plan, dir->inode, EXT2_ROOT_INO, &room);
	child = rl_tree_child(plan->tree, dir, "lost+found", strlen("lost+found"));
	if (child && rl_is_dir(child->inode))
		number_inode(plan, child->inode, EXT2_ROOT_INO, &room);
	for (;;) {
		struct rl_node *next = NULL;

		for (child = dir->inode->dir->first; child; child = child->next) {
			if (rl_is_dir(child->inode))
				next = next ? next : child;
			else if (!child->inode->number)
				number_inode(plan, child->inode, 0, &room);
		}
		/* Down to the first subdirectory, else on to the next one beside it or above. */
		while (!next && dir->parent) {
			for (next = dir->next; next && !rl_is_dir(next->inode);)
				next = next->next;
			dir = dir->parent;
		}
		if (!next)
			return;
		if (!next->inode->number)
			number_inode(plan, next->inode, next->parent->inode->number, &room);
		dir = next;
	}
}
