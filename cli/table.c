/* Tables and numbers for people (table.h). */
#include "table.h"

#include <math.h>
#include <stdio.h>

#include "output.h"

void alloy_cli_table_print(alloy_table *table)
{
    alloy_text text = {0};
    alloy_table_append(table, &text);
    if (text.failed)
        alloy_cli_lost();
    alloy_cli_print_lines(alloy_text_get(&text), text.size);
    alloy_text_free(&text);
}

enum { NUMBER_BUFFERS = 8, NUMBER_SIZE = 40 };

static char *number_buffer(void)
{
    static char buffers[NUMBER_BUFFERS][NUMBER_SIZE];
    static unsigned next;
    return buffers[next++ % NUMBER_BUFFERS];
}

const char *alloy_cli_bytes(double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    int unit = 0;
    for (; unit < 5 && bytes >= 999.5; unit++)
        bytes /= 1000;
    char *out = number_buffer();
    int decimals = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
    int size = alloy_print_number(out, NUMBER_SIZE, bytes, 'f', decimals);
    if (isfinite(bytes))
        snprintf(out + size, (size_t)(NUMBER_SIZE - size), " %s", units[unit]);
    return out;
}
