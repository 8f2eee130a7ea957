/* Tables and numbers for people (table.h). */
#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

void alloy_cli_table_open(alloy_cli_table *table, const char *headings)
{
    *table = (alloy_cli_table){0};
    while (*headings && table->columns < ALLOY_CLI_MOST_COLUMNS) {
        table->right[table->columns++] = *headings == '>';
        headings += *headings == '>';
        size_t size = strcspn(headings, "|");
        alloy_cli_table_cell(table, "%.*s", (int)size, headings);
        headings += size;
        headings += *headings == '|';
    }
}

void alloy_cli_table_cell(alloy_cli_table *table, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    alloy_text_format_list(&table->cells, format, args);
    va_end(args);
    alloy_text_char(&table->cells, 0);
    table->count++;
}

/* Columns on the screen: characters, not bytes. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += (*text & 0xC0) != 0x80;
    return width;
}

static void print_cell(const alloy_cli_table *table, int column, int width, const char *text)
{
    int padding = width - width_of(text);
    bool last = column == table->columns - 1;
    if (table->right[column])
        alloy_cli_print("%*s%s", padding, "", text);
    else
        alloy_cli_print("%s%*s", text, last ? 0 : padding, "");
    alloy_cli_print(last ? "\n" : "  ");
}

void alloy_cli_table_print(alloy_cli_table *table)
{
    int widths[ALLOY_CLI_MOST_COLUMNS] = {0};
    const char *text = alloy_text_get(&table->cells);
    if (table->cells.failed) {
        alloy_cli_lost();
        table->count = 0;
    }
    for (int64_t i = 0; i < table->count; i++, text += strlen(text) + 1)
        if (width_of(text) > widths[i % table->columns])
            widths[i % table->columns] = width_of(text);
    text = alloy_text_get(&table->cells);
    for (int64_t i = 0; i < table->count; i++, text += strlen(text) + 1)
        print_cell(table, (int)(i % table->columns), widths[i % table->columns], text);
    alloy_text_free(&table->cells);
}

enum { NUMBER_BUFFERS = 8, NUMBER_SIZE = 40 };

static char *number_buffer(void)
{
    static char buffers[NUMBER_BUFFERS][NUMBER_SIZE];
    static unsigned next;
    return buffers[next++ % NUMBER_BUFFERS];
}

static const char *scaled(double value, const char *const *units, int count)
{
    int unit = 0;
    while (unit + 1 < count && value >= 999.5) {
        value /= 1000;
        unit++;
    }
    char *out = number_buffer();
    snprintf(out, NUMBER_SIZE, "%.*f%s", unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2, value, units[unit]);
    return out;
}

const char *alloy_cli_bytes(double bytes)
{
    static const char *const units[] = {" B", " kB", " MB", " GB", " TB", " PB"};
    return scaled(bytes, units, 6);
}

const char *alloy_cli_short(double count)
{
    static const char *const units[] = {"", " k", " M", " G", " T", " P"};
    return scaled(count, units, 6);
}

const char *alloy_cli_grouped(uint64_t count)
{
    char digits[24], *out = number_buffer(), *end = out;
    int size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            *end++ = ',';
        *end++ = digits[i];
    }
    *end = 0;
    return out;
}
