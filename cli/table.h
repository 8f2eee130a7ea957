/* Tables and numbers for people. */
#ifndef ALLOY_CLI_TABLE_H
#define ALLOY_CLI_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum { ALLOY_CLI_MOST_COLUMNS = 16 };

/* Cells are added row by row; widths follow from what they hold. */
typedef struct alloy_cli_table {
    int columns;
    bool right[ALLOY_CLI_MOST_COLUMNS]; /* aligned to the right: numbers */
    alloy_text cells;                   /* each with a NUL behind it, headings first */
    int64_t count;                      /* cells */
} alloy_cli_table;

/* Headings between '|'; one that begins with '>' is aligned to the right: "layer|mixer|>parameters". */
void alloy_cli_table_open(alloy_cli_table *table, const char *headings);
void alloy_cli_table_cell(alloy_cli_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* To stdout; frees it. */
void alloy_cli_table_print(alloy_cli_table *table);

/* "1.5 GB", "960 B" (decimal units); "2.76 M"; "1,234,567". In one of eight rotating buffers. */
const char *alloy_cli_bytes(double bytes);
const char *alloy_cli_short(double count);
const char *alloy_cli_grouped(uint64_t count);

#endif
