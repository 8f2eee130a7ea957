/* The report as one JSON object: {"config": {...}, "results": [{"hardware", "mode", "accounting", "total", "bounds",
 * "memory", "kinds", "modules", "ops"}, ...]}. Times in seconds, amounts in bytes and FLOPs; what a chip does not tell
 * is null. */
#include <string.h>

#include "files/json_fields.h"
#include "checkpoint/model.h"
#include "roofline/report.h"

static const char *name_of(alloy_accounting accounting)
{
    return accounting == ALLOY_EXACT ? "exact" : "classic";
}

/* ---- The config -------------------------------------------------------------------------------------------------- */

static void write_config(const alloy_report *report, alloy_json_writer *w)
{
    const alloy_config *c = &report->request->model->config;
    alloy_json_field_object(w, "config");
    alloy_json_field_text(w, "model", report->request->name);
    alloy_json_field_text(w, "model_type", c->model_type);
    alloy_json_field_int64(w, "num_hidden_layers", c->num_hidden_layers);
    alloy_json_field_int64(w, "hidden_size", c->hidden_size);
    alloy_json_field_int64(w, "vocab_size", c->vocab_size);
    alloy_json_field_bool(w, "tie_word_embeddings", c->tie_word_embeddings);
    if (report->result_count > 0) {
        const alloy_roofline *r = report->results[0].roofline;
        alloy_json_field_text(w, "weight_dtype", alloy_report_weight_format(r));
        alloy_json_field_text(w, "activation_dtype", alloy_report_activation_format(r));
        alloy_json_field_text(w, "kv_dtype", alloy_report_kv_format(r));
        alloy_json_field_text(w, "compute_dtype", alloy_report_compute_format(report, r));
    }
    alloy_json_write_object_end(w);
}

/* ---- Work -------------------------------------------------------------------------------------------------------- */

static void write_traffic(alloy_json_writer *w, const char *key, const alloy_count *bytes)
{
    alloy_json_field_object(w, key);
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++)
        alloy_json_field_count(w, alloy_traffic_name((alloy_traffic)i), bytes[i]);
    alloy_json_write_object_end(w);
}

static void write_work(alloy_json_writer *w, const alloy_work *work)
{
    alloy_count flops = alloy_count_add(work->tensor_flops, work->vector_flops), read = alloy_work_read(work),
                written = alloy_work_written(work), bytes = alloy_count_add(read, written);
    alloy_json_field_count(w, "flops", flops);
    alloy_json_field_count(w, "tensor_flops", work->tensor_flops);
    alloy_json_field_count(w, "vector_flops", work->vector_flops);
    alloy_json_field_count(w, "bytes", bytes);
    alloy_json_field_count(w, "bytes_read", read);
    alloy_json_field_count(w, "bytes_written", written);
    alloy_json_write_key(w, "intensity");
    if (alloy_count_double(bytes) > 0)
        alloy_json_write_double(w, alloy_count_double(flops) / alloy_count_double(bytes));
    else
        alloy_json_write_null(w);
    write_traffic(w, "read", work->read);
    write_traffic(w, "written", work->written);
}

static void write_time(alloy_json_writer *w, const alloy_roofline_time *t)
{
    alloy_json_field_double(w, "tensor_seconds", t->tensor);
    alloy_json_field_double(w, "vector_seconds", t->vector);
    alloy_json_field_double(w, "memory_seconds", t->memory);
    alloy_json_field_double(w, "seconds", t->seconds);
    alloy_json_field_text(w, "bottleneck", t->bottleneck);
}

static void write_known(alloy_json_writer *w, const char *key, double value)
{
    alloy_json_write_key(w, key);
    if (value > 0)
        alloy_json_write_double(w, value);
    else
        alloy_json_write_null(w);
}

static void write_bounds(alloy_json_writer *w, const alloy_roofline_bounds *b)
{
    alloy_json_field_object(w, "bounds");
    alloy_json_field_double(w, "overlap", b->overlap.seconds);
    alloy_json_field_double(w, "per_module", b->per_module);
    alloy_json_field_double(w, "serial", b->serial);
    write_time(w, &b->overlap);
    alloy_json_field_double(w, "tokens_per_second", b->tokens_per_second);
    write_known(w, "joules_per_token", b->joules_per_token);
    write_known(w, "price_per_token", b->price_per_token);
    alloy_json_write_object_end(w);
}

static void write_memory(alloy_json_writer *w, const alloy_report_result *r)
{
    const alloy_roofline_memory *m = r->memory;
    alloy_json_field_object(w, "memory");
    alloy_json_field_count(w, "weights", m->weights);
    alloy_json_field_count(w, "cache", m->cache);
    alloy_json_field_count(w, "allocated_cache", m->allocated_cache);
    alloy_json_field_count(w, "state", m->state);
    alloy_json_field_count(w, "activations", m->activations);
    alloy_json_field_count(w, "logits", m->logits);
    alloy_json_field_count(w, "total", m->total);
    write_known(w, "capacity", r->chip->chip->memory);
    if (r->chip->chip->memory > 0) {
        alloy_json_field_object(w, "fits");
        alloy_json_field_int64(w, "batch", r->batch);
        alloy_json_field_int64(w, "context", r->context);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_object_end(w);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static void write_row(const alloy_report *report, const alloy_report_result *r, const alloy_roofline_row *row,
                      alloy_json_writer *w)
{
    alloy_roofline_time time;
    alloy_roofline_time_on(r->roofline, row->work, r->chip->chip, report->request->compute_dtype, &time);
    alloy_json_write_object(w);
    alloy_json_field_text(w, "kind", row->kind);
    alloy_json_field_text(w, "name", row->name);
    if (row->layer >= 0)
        alloy_json_field_int64(w, "layer", row->layer);
    if (row->module < 0)
        alloy_json_field_int64(w, "modules", row->modules);
    if (row->op)
        alloy_json_field_text(w, "op", row->op);
    if (row->weight)
        alloy_json_field_text(w, "weight", row->weight);
    write_work(w, row->work);
    write_time(w, &time);
    alloy_json_write_object_end(w);
}

static void write_rows(const alloy_report *report, const alloy_report_result *r, const char *key,
                       alloy_roofline_level level, alloy_json_writer *w)
{
    alloy_json_field_array(w, key);
    for (int64_t i = 0; i < alloy_roofline_row_count(r->roofline, level); i++) {
        alloy_roofline_row row = alloy_roofline_row_at(r->roofline, level, i);
        write_row(report, r, &row, w);
    }
    alloy_json_write_array_end(w);
}

/* ---- Results ----------------------------------------------------------------------------------------------------- */

static void write_sequences(const alloy_report_point *point, alloy_json_writer *w)
{
    alloy_json_field_array(w, "sequences");
    for (int64_t i = 0; i < point->sequences_count; i++) {
        alloy_json_write_object(w);
        alloy_json_field_int64(w, "count", point->sequences[i].count);
        alloy_json_field_int64(w, "tokens", point->sequences[i].tokens);
        alloy_json_field_int64(w, "cached", point->sequences[i].cached);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
}

static void write_estimate(const alloy_efficiency *e, const alloy_report_result *r, alloy_json_writer *w)
{
    if (!e->given)
        return;
    alloy_json_field_object(w, "estimate");
    alloy_json_field_double(w, "compute", e->compute);
    alloy_json_field_double(w, "memory", e->memory);
    alloy_json_field_double(w, "overhead_seconds", e->overhead);
    alloy_json_field_int64(w, "ops", alloy_roofline_ops(r->roofline));
    alloy_json_field_double(w, "seconds", r->estimate);
    alloy_json_field_double(w, "tokens_per_second", (double)alloy_roofline_tokens(r->roofline) / r->estimate);
    alloy_json_write_object_end(w);
}

static void write_differences(const alloy_differences *differences, alloy_json_writer *w)
{
    alloy_json_field_array(w, "differences");
    for (int64_t i = 0; i < differences->count; i++) {
        const alloy_difference *d = &differences->items[i];
        alloy_json_write_object(w);
        alloy_json_field_text(w, "kind", d->kind);
        alloy_json_field_text(w, "name", d->name);
        alloy_json_field_text(w, "cause", d->cause);
        for (int a = ALLOY_CLASSIC; a <= ALLOY_EXACT; a++) {
            alloy_json_field_object(w, name_of((alloy_accounting)a));
            alloy_json_field_count(w, "flops", alloy_count_from(d->by[a].flops));
            alloy_json_field_count(w, "bytes_read", alloy_count_from(d->by[a].read));
            alloy_json_field_count(w, "bytes_written", alloy_count_from(d->by[a].written));
            alloy_json_write_object_end(w);
        }
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
}

static void write_result(const alloy_report *report, const alloy_report_result *r, alloy_json_writer *w)
{
    alloy_json_write_object(w);
    alloy_json_field_text(w, "hardware", r->chip->chip->name);
    alloy_json_field_text(w, "label", r->chip->label);
    alloy_json_field_text(w, "mode", r->point->mode);
    alloy_json_field_text(w, "accounting", name_of(r->accounting));
    write_sequences(r->point, w);
    alloy_json_field_int64(w, "tokens", alloy_roofline_tokens(r->roofline));
    alloy_json_field_object(w, "total");
    write_work(w, alloy_roofline_total(r->roofline));
    alloy_json_write_object_end(w);
    write_bounds(w, &r->bounds);
    write_estimate(&report->request->efficiency, r, w);
    write_memory(w, r);
    write_rows(report, r, "kinds", ALLOY_LEVEL_KINDS, w);
    write_rows(report, r, "modules", ALLOY_LEVEL_MODULES, w);
    if (r->differences.count > 0)
        write_differences(&r->differences, w);
    if (report->request->level >= ALLOY_LEVEL_OPS)
        write_rows(report, r, "ops", ALLOY_LEVEL_OPS, w);
    alloy_json_write_object_end(w);
}

void alloy_report_json(const alloy_report *report, alloy_text *out)
{
    alloy_json_writer writer;
    alloy_json_writer_open(&writer, out, 2);
    alloy_json_write_object(&writer);
    write_config(report, &writer);
    alloy_json_field_array(&writer, "results");
    for (int64_t i = 0; i < report->result_count; i++)
        write_result(report, &report->results[i], &writer);
    alloy_json_write_array_end(&writer);
    alloy_json_write_object_end(&writer);
    alloy_text_char(out, '\n');
}
