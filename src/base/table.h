/* Tables of text for people. */
#ifndef ALLOY_BASE_TABLE_H
#define ALLOY_BASE_TABLE_H

#include "base/text.h"

enum { ALLOY_TABLE_MOST_COLUMNS = 16 };

/* Cells are added row by row, in printable form; widths follow from what they hold then. */
typedef struct alloy_table {
    int columns;
    int line; /* characters that a line has, 0: any number. A first cell that leaves too few has a line of its own */
    bool right[ALLOY_TABLE_MOST_COLUMNS]; /* aligned to the right: numbers */
    alloy_text cells;                     /* each with a NUL after it, headings first */
    int64_t count;                        /* cells */
} alloy_table;

/* Headings between '|'; one that begins with '>' is aligned to the right: "layer|mixer|>parameters". */
void alloy_table_open(alloy_table *table, const char *headings);
void alloy_table_cell(alloy_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void alloy_table_number(alloy_table *table, double value, char style, int digits); /* a cell: alloy_text_number */
void alloy_table_count(alloy_table *table, alloy_count value);                     /* a cell: "9,360,441" */

/* Appends its lines to `out` and frees it. */
void alloy_table_append(alloy_table *table, alloy_text *out);

#endif
