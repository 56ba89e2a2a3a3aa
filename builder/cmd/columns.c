#include "cmd/columns.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE    80
#define GAP     2
#define NARROW  3 /* the least that a column takes, its gap with it */
#define COLUMNS 4096

size_t rl_columns_line(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	uint64_t line;

	if (columns && rl_parse_u64(columns, UINT16_MAX, &line) && line)
		return (size_t)line;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : LINE;
}

/* Whether so many rows fit into a line; column_widths is filled as far as that is so. */
static bool fits(const size_t *widths, size_t count, size_t rows, size_t line, size_t *column_widths)
{
	size_t columns = (count + rows - 1) / rows, sum = 0;

	for (size_t column = 0; column < columns; column++) {
		size_t last = (column + 1) * rows < count ? (column + 1) * rows : count, width = NARROW;

		for (size_t i = column * rows; i < last; i++) {
			size_t own = widths[i] + (column + 1 < columns ? GAP : 0);

			width = own > width ? own : width;
		}
		column_widths[column] = width;
		sum += width;
		if (sum >= line)
			return false;
	}
	return true;
}

size_t rl_columns_rows(const size_t *widths, size_t count, size_t line, size_t **column_widths)
{
	size_t most = line / NARROW < COLUMNS ? line / NARROW + 1 : COLUMNS, rows = count;

	most = most < count ? most : count;
	*column_widths = rl_calloc(most + 1, sizeof(**column_widths));
	for (size_t columns = most; columns > 1; columns--) {
		rows = (count + columns - 1) / columns;
		/* Some numbers of columns need as many rows as a smaller one. */
		if ((count + rows - 1) / rows == columns && fits(widths, count, rows, line, *column_widths))
			return rows;
	}
	(*column_widths)[0] = 0;
	return count;
}
