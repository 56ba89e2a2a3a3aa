/* Short texts in as many columns as a line has room for, going on down the columns, as ls(1) prints names. */
#ifndef RL_CMD_COLUMNS_H
#define RL_CMD_COLUMNS_H

#include <stddef.h>

/* Characters of a line: what COLUMNS says, or standard output's terminal; else 80. */
size_t rl_columns_line(void);

/*
 * widths: of count texts. Returns how many rows they take; text i is in column i / rows, and *column_widths, which
 * the caller frees, tells how wide each column is, with two blanks behind all but the last.
 */
size_t rl_columns_rows(const size_t *widths, size_t count, size_t line, size_t **column_widths);

#endif
