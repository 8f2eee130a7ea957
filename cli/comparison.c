/* The result of `alloy compare` (comparison.h). */
#include "comparison.h"

#include <math.h>

#include "base/memory.h"
#include "base/status.h"
#include "output.h"
#include "table.h"

alloy_status alloy_cli_comparison_open(alloy_cli_comparison *c, const alloy_model *model)
{
    const alloy_config *config = alloy_model_config(model);
    c->modules = config->layers;
    c->layers = alloy_memory_zeroed((size_t)config->num_hidden_layers, sizeof *c->layers);
    return c->layers ? ALLOY_OK : ALLOY_NOMEM;
}

void alloy_cli_comparison_close(alloy_cli_comparison *c)
{
    alloy_memory_free(c->layers);
    c->layers = NULL;
}

static bool greedy_passed(const alloy_cli_comparison *c)
{
    return !c->has_greedy || c->greedy_equal == c->greedy_count;
}

/* The first layer that does not pass; layer_count: none. */
static int64_t first_departure(const alloy_cli_comparison *c)
{
    int64_t i = 0;
    while (i < c->layer_count && c->layers[i].passed)
        i++;
    return i;
}

static bool passed(const alloy_cli_comparison *c)
{
    return first_departure(c) == c->layer_count && (!c->has_logits || c->logits.passed) && greedy_passed(c);
}

/* ---- For people -------------------------------------------------------------------------------------------------- */

static void add_row(alloy_table *table, const alloy_cli_comparison *c, const alloy_cli_row *row)
{
    alloy_table_cell(table, "%.3g", row->largest);
    alloy_table_cell(table, "%.2e", row->error);
    if (!c->against_model && isnan(row->theirs))
        alloy_table_cell(table, "-");
    else if (!c->against_model)
        alloy_table_cell(table, "%.2e", row->theirs);
    alloy_table_cell(table, "%.2e", row->bound);
    alloy_table_cell(table, "%s", row->passed ? "pass" : "FAIL");
}

static void print_table(const alloy_cli_comparison *c)
{
    alloy_table table;
    alloy_table_open(&table, c->against_model ? "layer|mixer|ffn|>largest|>difference|>bound|result"
                                              : "layer|mixer|ffn|>largest|>error|>transformers|>bound|result");
    for (int64_t i = 0; i < c->layer_count; i++) {
        alloy_table_cell(&table, "%lld", (long long)i);
        alloy_table_cell(&table, "%s", c->modules[i].mixer);
        alloy_table_cell(&table, "%s", c->modules[i].ffn);
        add_row(&table, c, &c->layers[i]);
    }
    if (c->has_logits) {
        alloy_table_cell(&table, "logits");
        alloy_table_cell(&table, "-");
        alloy_table_cell(&table, "-");
        add_row(&table, c, &c->logits);
    }
    alloy_cli_table_print(&table);
    if (c->has_greedy)
        alloy_cli_print("greedy: %lld of %lld ids equal: %s\n", (long long)c->greedy_equal, (long long)c->greedy_count,
                        greedy_passed(c) ? "pass" : "FAIL");
    if (first_departure(c) < c->layer_count)
        alloy_cli_print("first layer that departs: %lld (%s, %s)\n", (long long)first_departure(c),
                        c->modules[first_departure(c)].mixer, c->modules[first_departure(c)].ffn);
    alloy_cli_print("%s\n", passed(c) ? "pass" : "FAIL");
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void write_row(alloy_json_writer *w, const alloy_cli_comparison *c, const alloy_cli_row *row)
{
    alloy_json_field_double(w, "largest", row->largest);
    alloy_json_field_double(w, "error", row->error);
    if (!c->against_model)
        alloy_json_field_double(w, "transformers_error", row->theirs);
    alloy_json_field_double(w, "bound", row->bound);
    alloy_json_field_bool(w, "passed", row->passed);
}

static void write_layers(alloy_json_writer *w, const alloy_cli_comparison *c)
{
    alloy_json_field_array(w, "layers");
    for (int64_t i = 0; i < c->layer_count; i++) {
        alloy_json_write_object(w);
        alloy_json_field_int64(w, "layer", i);
        alloy_json_field_text(w, "mixer", c->modules[i].mixer);
        alloy_json_field_text(w, "ffn", c->modules[i].ffn);
        write_row(w, c, &c->layers[i]);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
}

static alloy_status print_json(const alloy_cli_comparison *c)
{
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 2);
    alloy_json_field_text(w, "model", c->model);
    alloy_json_field_text(w, "reference", c->reference);
    alloy_json_field_int64(w, "tokens", c->tokens);
    write_layers(w, c);
    if (c->has_logits) {
        alloy_json_field_object(w, "logits");
        write_row(w, c, &c->logits);
        alloy_json_write_object_end(w);
    }
    if (c->has_greedy) {
        alloy_json_field_object(w, "greedy");
        alloy_json_field_int64(w, "count", c->greedy_count);
        alloy_json_field_int64(w, "equal", c->greedy_equal);
        alloy_json_field_bool(w, "passed", greedy_passed(c));
        alloy_json_write_object_end(w);
    }
    alloy_json_write_key(w, "first_layer_that_departs");
    if (first_departure(c) < c->layer_count)
        alloy_json_write_int64(w, first_departure(c));
    else
        alloy_json_write_null(w);
    alloy_json_field_bool(w, "passed", passed(c));
    return alloy_cli_document_print(&document);
}

static alloy_status departure(const alloy_cli_comparison *c)
{
    int64_t layer = first_departure(c);
    if (layer < c->layer_count)
        return alloy_fail(ALLOY_DIFFERENT, "%s departs from %s: layer %lld is off by %.3g, %.3g would pass", c->model,
                          c->reference, (long long)layer, c->layers[layer].error, c->layers[layer].bound);
    if (c->has_logits && !c->logits.passed)
        return alloy_fail(ALLOY_DIFFERENT, "%s departs from %s: logits are off by %.3g, %.3g would pass", c->model,
                          c->reference, c->logits.error, c->logits.bound);
    return alloy_fail(ALLOY_DIFFERENT, "%s departs from %s: greedy id %lld differs", c->model, c->reference,
                      (long long)c->greedy_equal);
}

alloy_status alloy_cli_comparison_print(const alloy_cli_comparison *c, bool json)
{
    alloy_status status = ALLOY_OK;
    if (json)
        status = print_json(c);
    else
        print_table(c);
    status = status ? status : alloy_cli_flush();
    if (status)
        return status;
    return passed(c) ? ALLOY_OK : departure(c);
}
