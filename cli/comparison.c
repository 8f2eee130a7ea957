/* What `alloy compare` prints (comparison.h). */
#include "comparison.h"

#include <math.h>

#include "output.h"
#include "table.h"

enum { MOST_OTHERS = 10 }; /* choices that are printed for people */

static bool is_of_models(const alloy_comparison *c)
{
    return c->dtype == ALLOY_DTYPE_NONE;
}

static const char *verdict(bool passed)
{
    return passed ? "pass" : "FAIL";
}

static bool greedy_passed(const alloy_comparison *c)
{
    return c->greedy_equal == c->greedy_count;
}

/* ---- For people -------------------------------------------------------------------------------------------------- */

static void add_row(alloy_table *table, const alloy_comparison *c, const alloy_compared *row)
{
    alloy_table_number(table, row->distance.largest, 'g', 3);
    alloy_table_number(table, row->distance.error, 'e', 2);
    alloy_table_number(table, row->relative, 'e', 1);
    if (!is_of_models(c))
        alloy_table_number(table, row->theirs, 'e', 2);
    alloy_table_number(table, row->bound, 'e', 2);
    alloy_table_cell(table, "%s", verdict(row->passed));
}

/* A number that was compared; NaN and infinities by name. */
static void append_value(alloy_text *text, double value)
{
    if (isfinite(value))
        alloy_text_number(text, value, 'g', 9);
    else
        alloy_text_double(text, value);
}

/* Where a row's largest error is. */
static void print_place(const char *what, const alloy_distance *d, const char *element)
{
    alloy_text line = {0};
    if (d->error == 0)
        return;
    alloy_text_format(&line, "%s: %s at token %lld, %s %lld: ", what, d->not_finite ? "not finite" : "farthest",
                      (long long)d->token, element, (long long)d->element);
    append_value(&line, d->actual);
    alloy_text_string(&line, ", the reference has ");
    append_value(&line, d->expected);
    if (d->not_finite > 1)
        alloy_text_format(&line, " (the first of %lld)", (long long)d->not_finite);
    if (line.failed)
        alloy_cli_lost();
    alloy_cli_print("%s\n", alloy_text_get(&line));
    alloy_text_free(&line);
}

static void print_choices(const alloy_choices *choices)
{
    alloy_cli_print("likeliest token: equal at %lld of %lld positions", (long long)choices->equal,
                    (long long)choices->positions);
    if (choices->equal < choices->positions)
        alloy_cli_print("; first not at %lld: %lld, the reference has %lld", (long long)choices->first,
                        (long long)choices->actual, (long long)choices->expected);
    if (choices->equal < choices->positions && isfinite(choices->margin))
        alloy_cli_print(", ahead by %.3g", choices->margin);
    alloy_cli_print("\n");
}

static void print_departure(const alloy_comparison *c)
{
    int64_t layer = c->first_departure;
    if (layer == c->layer_count)
        return;
    alloy_cli_print("first layer that departs: %lld (%s, %s)\n", (long long)layer, c->layers[layer].mixer,
                    c->layers[layer].ffn);
    print_place("its output", &c->layers[layer].distance, "element");
}

static void print_ends(const alloy_comparison *c)
{
    if (c->has_logits) {
        print_place("logits", &c->logits.distance, "id");
        print_choices(&c->choices);
    }
    if (c->has_greedy)
        alloy_cli_print("greedy: %lld of %lld ids equal: %s\n", (long long)c->greedy_equal, (long long)c->greedy_count,
                        verdict(greedy_passed(c)));
    if (c->ends_differ)
        alloy_cli_print("logits and ids are not compared: those of the reference are of %lld layers, %lld were run\n",
                        (long long)c->reference_layers, (long long)c->layers_run);
}

static void print_others(const alloy_comparison *c)
{
    alloy_cli_print("choices that double precision would make otherwise: %lld\n", (long long)c->other_count);
    for (int64_t i = 0; i < c->other_count && i < MOST_OTHERS; i++) {
        const alloy_oracle_choice *o = &c->others[i];
        alloy_cli_print("  layer %lld, token %lld: %lld of %s, by a gap of %.3g\n", (long long)o->layer,
                        (long long)o->token, (long long)o->others, o->op, o->gap);
    }
    if (c->other_count > MOST_OTHERS)
        alloy_cli_print("  and %lld more (--json lists all)\n", (long long)(c->other_count - MOST_OTHERS));
}

static void print_table(const alloy_comparison *c)
{
    alloy_table table;
    alloy_table_open(&table, is_of_models(c) ? "layer|mixer|ffn|>largest|>difference|>relative|>bound|result"
                                             : "layer|mixer|ffn|>largest|>error|>relative|>transformers|>bound|result");
    for (int64_t i = 0; i < c->layer_count; i++) {
        alloy_table_cell(&table, "%lld", (long long)i);
        alloy_table_cell(&table, "%s", c->layers[i].mixer);
        alloy_table_cell(&table, "%s", c->layers[i].ffn);
        add_row(&table, c, &c->layers[i]);
    }
    if (c->has_logits) {
        alloy_table_cell(&table, "logits");
        alloy_table_cell(&table, "-");
        alloy_table_cell(&table, "-");
        add_row(&table, c, &c->logits);
    }
    alloy_cli_table_print(&table);
    print_ends(c);
    if (c->has_others)
        print_others(c);
    print_departure(c);
    alloy_cli_print("%s\n", verdict(c->passed));
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* JSON has no NaN and no infinities: they are strings. */
static void write_value(alloy_json_writer *w, const char *key, double value)
{
    if (isfinite(value))
        alloy_json_field_double(w, key, value);
    else
        alloy_json_field_text(w, key, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

static void write_farthest(alloy_json_writer *w, const alloy_distance *d)
{
    alloy_json_write_key(w, "farthest");
    if (d->error == 0) {
        alloy_json_write_null(w);
        return;
    }
    alloy_json_write_object(w);
    alloy_json_field_int64(w, "token", d->token);
    alloy_json_field_int64(w, "element", d->element);
    write_value(w, "expected", d->expected);
    write_value(w, "actual", d->actual);
    alloy_json_write_object_end(w);
}

static void write_row(alloy_json_writer *w, const alloy_comparison *c, const alloy_compared *row)
{
    const alloy_distance *d = &row->distance;
    alloy_json_field_double(w, "largest", d->largest);
    alloy_json_field_double(w, "error", d->error);
    alloy_json_field_double(w, "relative_error", row->relative);
    alloy_json_field_int64(w, "not_finite", d->not_finite);
    write_farthest(w, d);
    if (!is_of_models(c))
        alloy_json_field_double(w, "transformers_error", row->theirs);
    alloy_json_field_double(w, "bound", row->bound);
    alloy_json_field_bool(w, "passed", row->passed);
}

static void write_layers(alloy_json_writer *w, const alloy_comparison *c)
{
    alloy_json_field_array(w, "layers");
    for (int64_t i = 0; i < c->layer_count; i++) {
        alloy_json_write_object(w);
        alloy_json_field_int64(w, "layer", i);
        alloy_json_field_text(w, "mixer", c->layers[i].mixer);
        alloy_json_field_text(w, "ffn", c->layers[i].ffn);
        write_row(w, c, &c->layers[i]);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
}

static void write_choices(alloy_json_writer *w, const alloy_choices *choices)
{
    alloy_json_field_object(w, "likeliest");
    alloy_json_field_int64(w, "positions", choices->positions);
    alloy_json_field_int64(w, "equal", choices->equal);
    if (choices->equal < choices->positions) {
        alloy_json_field_object(w, "first_that_differs");
        alloy_json_field_int64(w, "position", choices->first);
        alloy_json_field_int64(w, "expected", choices->expected);
        alloy_json_field_int64(w, "actual", choices->actual);
        alloy_json_field_double(w, "margin", choices->margin);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_object_end(w);
}

static void write_others(alloy_json_writer *w, const alloy_comparison *c)
{
    alloy_json_field_array(w, "chosen_otherwise");
    for (int64_t i = 0; i < c->other_count; i++) {
        alloy_json_write_object(w);
        alloy_json_field_int64(w, "layer", c->others[i].layer);
        alloy_json_field_int64(w, "token", c->others[i].token);
        alloy_json_field_text(w, "op", c->others[i].op);
        alloy_json_field_int64(w, "others", c->others[i].others);
        alloy_json_field_double(w, "gap", c->others[i].gap);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
}

static alloy_status print_json(const alloy_comparison *c, const char *model, const char *reference)
{
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 2);
    alloy_json_field_text(w, "model", model);
    alloy_json_field_text(w, "reference", reference);
    if (!is_of_models(c))
        alloy_json_field_text(w, "reference_dtype", alloy_dtype_name(c->dtype));
    alloy_json_field_int64(w, "reference_layers", c->reference_layers);
    alloy_json_field_int64(w, "layers_run", c->layers_run);
    alloy_json_field_int64(w, "tokens", c->tokens);
    write_layers(w, c);
    if (c->has_logits) {
        alloy_json_field_object(w, "logits");
        write_row(w, c, &c->logits);
        alloy_json_write_object_end(w);
        write_choices(w, &c->choices);
    }
    if (c->has_greedy) {
        alloy_json_field_object(w, "greedy");
        alloy_json_field_int64(w, "count", c->greedy_count);
        alloy_json_field_int64(w, "equal", c->greedy_equal);
        alloy_json_field_bool(w, "passed", greedy_passed(c));
        alloy_json_write_object_end(w);
    }
    if (c->has_others)
        write_others(w, c);
    alloy_json_write_key(w, "first_layer_that_departs");
    if (c->first_departure < c->layer_count)
        alloy_json_write_int64(w, c->first_departure);
    else
        alloy_json_write_null(w);
    alloy_json_field_bool(w, "passed", c->passed);
    return alloy_cli_document_print(&document);
}

alloy_status alloy_cli_comparison_print(const alloy_comparison *c, const char *reference,
                                        const alloy_cli_common *common)
{
    if (common->json)
        return print_json(c, common->model, reference);
    print_table(c);
    return alloy_cli_flush();
}
