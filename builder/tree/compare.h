/* Whether files have the same contents: many pairs of them, compared by several threads. */
#ifndef RL_TREE_COMPARE_H
#define RL_TREE_COMPARE_H

#include "tree/tree.h"

struct rl_compare;

struct rl_compare *rl_compare_new(void);
/*
 * Regular files of the same size; returns the pair's number: 0, 1, ... a names the pair in errors. The nodes are to
 * stay as they are until rl_compare_free().
 */
size_t rl_compare_add(struct rl_compare *compare, const struct rl_node *a, const struct rl_node *b);
/*
 * 0: the same; 1: they differ; -1 and err. The first call starts the threads, and no pair is added after it. It is
 * quick if the pairs are asked for in their order.
 */
int rl_compare_result(struct rl_compare *compare, size_t number, struct rl_error *err);
/* Ends what is still being compared. NULL is fine. */
void rl_compare_free(struct rl_compare *compare);

#endif
