/* The chips that `alloy roofline` is asked about, and the list of all. */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "ids.h"
#include "output.h"
#include "roofline.h"
#include "base/figures.h"
#include "table.h"

static const char DEFAULT[] = "H100";

/* ---- Finding ----------------------------------------------------------------------------------------------------- */

/* A name with a '/' or that ends in .json is a file's, and so is that of any file that is there. */
static bool is_file(const char *name)
{
    size_t size = strlen(name);
    return strchr(name, '/') || (size > 5 && strcmp(name + size - 5, ".json") == 0) || alloy_cli_is_file(name);
}

static alloy_status find_host(const alloy_cli_roofline_options *o, alloy_cli_chips *chips, alloy_report_chip *out)
{
    alloy_status status = ALLOY_OK;
    if (!chips->host) {
        chips->host = alloy_memory_new(1, sizeof *chips->host);
        status = chips->host ? alloy_cli_host_open(o, chips->host) : ALLOY_NOMEM;
    }
    out->chip = &chips->host->chip;
    out->steps_delta = true;
    return status;
}

static alloy_status find_chip(const alloy_cli_roofline_options *o, alloy_cli_chips *chips, const char *name,
                              alloy_report_chip *out, alloy_chip **file)
{
    *file = NULL;
    out->label = name;
    if (strcmp(name, "host") == 0)
        return find_host(o, chips, out);
    if (is_file(name)) {
        alloy_status status = alloy_chip_open(file, name);
        out->chip = *file;
        if (!status)
            out->label = out->chip->name;
        return status;
    }
    out->chip = alloy_chip_by_name(name);
    return out->chip ? ALLOY_OK : alloy_last_status();
}

static alloy_status make_room(alloy_cli_chips *chips)
{
    size_t count = (size_t)chips->count + 1;
    void *items = alloy_memory_resize(chips->items, count, sizeof *chips->items);
    chips->items = items ? items : chips->items;
    void *labels = alloy_memory_resize(chips->labels, count, sizeof *chips->labels);
    chips->labels = labels ? labels : chips->labels;
    void *files = alloy_memory_resize(chips->files, count, sizeof *chips->files);
    chips->files = files ? files : chips->files;
    return items && labels && files ? ALLOY_OK : ALLOY_NOMEM;
}

/* The last chip once more would be a line or a column twice. */
static alloy_status check_last(const alloy_cli_chips *chips)
{
    int64_t last = chips->count - 1;
    const char *name = alloy_text_get(&chips->labels[last]);
    for (int64_t i = 0; i < last; i++) {
        const char *before = alloy_text_get(&chips->labels[i]);
        if (strcmp(before, name) == 0)
            return alloy_fail(ALLOY_ARG, "--hardware names %s twice", alloy_printable_path(name));
        if (chips->items[i].chip == chips->items[last].chip)
            return alloy_fail(ALLOY_ARG, "--hardware names one chip twice: %s is %s", alloy_printable_path(name),
                              alloy_printable_path(before));
    }
    return ALLOY_OK;
}

static alloy_status add_chip(const alloy_cli_roofline_options *o, alloy_cli_chips *chips, const char *name, size_t size)
{
    if (size == 0)
        return alloy_fail(ALLOY_ARG, "--hardware names nothing: a chip (--list shows them) or a JSON file");
    alloy_status status = make_room(chips);
    if (status)
        return status;
    int64_t i = chips->count++;
    chips->labels[i] = (alloy_text){0};
    chips->items[i] = (alloy_report_chip){0};
    chips->files[i] = NULL;
    alloy_text_append(&chips->labels[i], name, size);
    status = alloy_text_status(&chips->labels[i]);
    if (!status)
        status = find_chip(o, chips, chips->labels[i].bytes, &chips->items[i], &chips->files[i]);
    return status ? status : check_last(chips);
}

/* Names between commas; a file's name that has one is given alone. */
static alloy_status add_chips(const alloy_cli_roofline_options *o, alloy_cli_chips *chips, const char *names)
{
    if (alloy_cli_is_file(names))
        return add_chip(o, chips, names, strlen(names));
    alloy_status status;
    do {
        size_t size = strcspn(names, ",");
        status = add_chip(o, chips, names, size);
        names += size;
    } while (!status && *names++ == ',');
    return status;
}

alloy_status alloy_cli_chips_open(const alloy_cli_roofline_options *options, alloy_cli_chips *chips)
{
    *chips = (alloy_cli_chips){0};
    alloy_status status = ALLOY_OK;
    for (int64_t i = 0; i < options->hardware.count && !status; i++)
        status = add_chips(options, chips, options->hardware.items[i]);
    if (!status && chips->count == 0)
        status = add_chip(options, chips, DEFAULT, strlen(DEFAULT));
    if (status)
        alloy_cli_chips_close(chips);
    return status;
}

void alloy_cli_chips_close(alloy_cli_chips *chips)
{
    for (int64_t i = 0; i < chips->count; i++) {
        alloy_text_free(&chips->labels[i]);
        alloy_chip_close(chips->files[i]);
    }
    alloy_memory_free(chips->items);
    alloy_memory_free(chips->labels);
    alloy_memory_free(chips->files);
    alloy_memory_free(chips->host);
    *chips = (alloy_cli_chips){0};
}

/* ---- The list ---------------------------------------------------------------------------------------------------- */

static void write_known(alloy_json_writer *w, const char *key, double value)
{
    if (value > 0)
        alloy_json_field_double(w, key, value);
}

static void write_peaks(alloy_json_writer *w, const char *key, const double *peaks)
{
    alloy_json_field_object(w, key);
    for (int p = 0; p < ALLOY_PEAK_COUNT; p++)
        write_known(w, alloy_peak_name((alloy_peak)p), peaks[p]);
    alloy_json_write_object_end(w);
}

/* As a chip's file has it. */
static void write_chip(alloy_json_writer *w, const alloy_chip *c)
{
    alloy_json_write_object(w);
    alloy_json_field_text(w, "name", c->name);
    if (c->aliases && *c->aliases) {
        alloy_json_field_array(w, "aliases");
        for (const char *const *alias = c->aliases; *alias; alias++)
            alloy_json_write_string(w, *alias, strlen(*alias));
        alloy_json_write_array_end(w);
    }
    if (c->vendor)
        alloy_json_field_text(w, "vendor", c->vendor);
    alloy_json_field_double(w, "memory_bandwidth", c->memory_bandwidth);
    write_known(w, "memory", c->memory);
    write_known(w, "link", c->link_bandwidth);
    write_peaks(w, "peaks", c->peak);
    write_peaks(w, "vector_peaks", c->vector_peak);
    alloy_json_field_bool(w, "fp32_is_vector", c->fp32_is_vector);
    write_known(w, "power", c->power);
    write_known(w, "price_per_hour", c->price_per_hour);
    write_known(w, "cache", c->cache);
    write_known(w, "cache_bandwidth", c->cache_bandwidth);
    if (c->source)
        alloy_json_field_text(w, "source", c->source);
    if (c->notes)
        alloy_json_field_text(w, "notes", c->notes);
    alloy_json_write_object_end(w);
}

static void append_known(alloy_text *cell, double value, void (*append)(alloy_text *, double), alloy_table *table)
{
    if (value > 0)
        append(cell, value);
    alloy_table_cell(table, "%s", value > 0 ? alloy_text_get(cell) : "");
    alloy_text_clear(cell);
}

static void print_table(const alloy_report_chip *chips, int64_t count)
{
    static const alloy_peak columns[] = {ALLOY_PEAK_BF16, ALLOY_PEAK_FP16, ALLOY_PEAK_FP8,
                                         ALLOY_PEAK_INT8, ALLOY_PEAK_FP4,  ALLOY_PEAK_FP32};
    alloy_table table;
    alloy_text cell = {0};
    alloy_table_open(&table, "chip|>bf16|>fp16|>fp8|>int8|>fp4|>fp32|>memory/s|>memory|>W");
    for (int64_t i = 0; i < count; i++) {
        const alloy_chip *c = chips[i].chip;
        alloy_table_cell(&table, "%s", c->name);
        for (size_t p = 0; p < sizeof columns / sizeof *columns; p++)
            append_known(&cell, c->peak[columns[p]], alloy_text_short, &table);
        append_known(&cell, c->memory_bandwidth, alloy_text_bytes, &table);
        append_known(&cell, c->memory, alloy_text_bytes, &table);
        append_known(&cell, c->power, alloy_text_short, &table);
    }
    alloy_cli_table_print(&table);
    alloy_text_free(&cell);
}

static void print_sources(const alloy_report_chip *chips, int64_t count)
{
    alloy_cli_print("\nPeaks in FLOP/s of dense products, memory in bytes. Where the figures are from:\n");
    for (int64_t i = 0; i < count; i++) {
        const alloy_chip *c = chips[i].chip;
        alloy_cli_print("%s", c->name);
        for (const char *const *alias = c->aliases; alias && *alias; alias++)
            alloy_cli_print("%s%s", alias == c->aliases ? " (also " : ", ", *alias);
        alloy_cli_print("%s: %s%s%s\n", c->aliases && *c->aliases ? ")" : "", c->source ? c->source : "not said",
                        c->notes ? ". " : "", c->notes ? c->notes : "");
    }
}

static alloy_status print_chips(const alloy_cli_common *common, const alloy_report_chip *chips, int64_t count)
{
    if (!common->json) {
        print_table(chips, count);
        print_sources(chips, count);
        return ALLOY_OK;
    }
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 2);
    alloy_json_field_array(w, "chips");
    for (int64_t i = 0; i < count; i++)
        write_chip(w, chips[i].chip);
    alloy_json_write_array_end(w);
    return alloy_cli_document_print(&document);
}

static int64_t built_in(void)
{
    int count = 0;
    while (alloy_chip_at(count))
        count++;
    return count;
}

alloy_status alloy_cli_chips_print(const alloy_cli_roofline_options *options)
{
    alloy_cli_chips chips = {0};
    alloy_status status = ALLOY_OK;
    if (options->hardware.count > 0)
        status = alloy_cli_chips_open(options, &chips);
    for (int64_t i = 0; options->hardware.count == 0 && i < built_in() && !status; i++)
        status = add_chip(options, &chips, alloy_chip_at((int)i)->name, strlen(alloy_chip_at((int)i)->name));
    if (!status)
        status = print_chips(&options->common, chips.items, chips.count);
    alloy_cli_chips_close(&chips);
    return status;
}
