#include "source/table.h"

#define TABLE rl_source_mtree
#include "table.h"
