/* Tables of text for people (table.h). */
#include "base/table.h"

#include <string.h>

#include "base/printable.h"

void alloy_table_open(alloy_table *table, const char *headings)
{
    *table = (alloy_table){0};
    while (*headings && table->columns < ALLOY_TABLE_MOST_COLUMNS) {
        table->right[table->columns++] = *headings == '>';
        headings += *headings == '>';
        size_t size = strcspn(headings, "|");
        alloy_table_cell(table, "%.*s", (int)size, headings);
        headings += size;
        headings += *headings == '|';
    }
}

void alloy_table_cell(alloy_table *table, const char *format, ...)
{
    alloy_text cell = {0};
    va_list args;
    va_start(args, format);
    alloy_text_format_list(&cell, format, args);
    va_end(args);
    alloy_text_printable(&table->cells, alloy_text_get(&cell), cell.size, ALLOY_KEEP_NOTHING);
    alloy_text_char(&table->cells, 0);
    table->cells.failed |= cell.failed;
    alloy_text_free(&cell);
    table->count++;
}

void alloy_table_number(alloy_table *table, double value, char style, int digits)
{
    alloy_text_number(&table->cells, value, style, digits);
    alloy_text_char(&table->cells, 0);
    table->count++;
}

void alloy_table_count(alloy_table *table, alloy_count value)
{
    alloy_text_count(&table->cells, alloy_wide_of(value), ',');
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

static void append_cell(const alloy_table *table, int column, int width, const char *text, alloy_text *out)
{
    int padding = width - width_of(text);
    bool last = column == table->columns - 1;
    if (table->right[column])
        alloy_text_format(out, "%*s%s", padding, "", text);
    else
        alloy_text_format(out, "%s%*s", text, last ? 0 : padding, "");
    if (!last) {
        alloy_text_string(out, "  ");
        return;
    }
    while (out->size > 0 && out->bytes[out->size - 1] == ' ') /* of empty cells */
        out->bytes[--out->size] = 0;
    alloy_text_char(out, '\n');
}

/* What the first column may have, so that the others fit into the line. */
static int first_width(const alloy_table *table, const int *widths)
{
    int others = 0;
    for (int i = 1; i < table->columns; i++)
        others += 2 + widths[i];
    int room = table->line > others ? table->line - others : 0;
    return table->line > 0 && widths[0] > room ? room : widths[0];
}

void alloy_table_append(alloy_table *table, alloy_text *out)
{
    int widths[ALLOY_TABLE_MOST_COLUMNS] = {0};
    const char *text = alloy_text_get(&table->cells);
    out->failed |= table->cells.failed;
    for (int64_t i = 0; i < table->count && !out->failed; i++, text += strlen(text) + 1)
        if (width_of(text) > widths[i % table->columns])
            widths[i % table->columns] = width_of(text);
    widths[0] = first_width(table, widths);
    text = alloy_text_get(&table->cells);
    for (int64_t i = 0; i < table->count && !out->failed; i++, text += strlen(text) + 1) {
        int column = (int)(i % table->columns);
        bool alone = column == 0 && width_of(text) > widths[0];
        if (alone)
            alloy_text_format(out, "%s\n", text);
        append_cell(table, column, widths[column], alone ? "" : text, out);
    }
    alloy_text_free(&table->cells);
}
