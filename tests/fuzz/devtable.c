#include "source/table.h"

#define TABLE rl_source_devtable
#include "table.h"
