/* Tables and numbers for people. */
#ifndef ALLOY_CLI_TABLE_H
#define ALLOY_CLI_TABLE_H

#include "base/table.h"

/* To stdout; frees it. */
void alloy_cli_table_print(alloy_table *table);

/* "1.5 GB", "960 B" (decimal units); "1,234,567". In one of eight rotating buffers. */
const char *alloy_cli_bytes(double bytes);

#endif
