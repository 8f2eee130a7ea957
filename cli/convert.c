/* alloy convert: a model in another dtype, with other names, in other shards. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "job.h"
#include "output.h"
#include "progress.h"
#include "signals.h"
#include "table.h"

enum { LONGEST_ROW = 256 };

typedef struct convert_options {
    alloy_cli_common common;
    const char *out, *dtype, *names;
    alloy_cli_integer max_shard_size;
} convert_options;

/* A tensor, or in a table for people all tensors of a layer's experts that differ in the expert's number alone. */
typedef struct row {
    char name[LONGEST_ROW];
    alloy_converted_tensor sum;
} row;

typedef struct conversion {
    row *rows; /* [count] */
    int64_t count, capacity;
    int64_t tensors, kept;
    bool each; /* a row for each expert */
    alloy_status status;
} conversion;

/* ---- Gathering --------------------------------------------------------------------------------------------------- */

static bool show_progress(void *user, uint64_t done, uint64_t bytes)
{
    (void)user;
    alloy_cli_progress("convert", "MB", (int64_t)(done / 1000000), (int64_t)(bytes / 1000000));
    return !alloy_cli_interrupted();
}

/* Copies a name; `together`: with '*' for the number of an expert. */
static void copy_name(char out[LONGEST_ROW], const char *name, bool together)
{
    static const char experts[] = ".experts.";
    const char *at = together ? strstr(name, experts) : NULL;
    size_t size = at ? (size_t)(at - name) + sizeof experts - 1 : strlen(name);
    const char *rest = name + size;
    while (at && *rest >= '0' && *rest <= '9')
        rest++;
    snprintf(out, LONGEST_ROW, "%.*s%s%s", (int)size, name, at ? "*" : "", at ? rest : "");
}

/* The row of that name, among the last ones: an expert's projections follow each other. */
static row *row_named(conversion *c, const char *name)
{
    for (int64_t i = c->count - 1; i >= 0 && i >= c->count - 3; i--)
        if (strcmp(c->rows[i].name, name) == 0)
            return &c->rows[i];
    row *grown = alloy_memory_grow(c->rows, c->count, &c->capacity, sizeof *grown);
    if (!grown)
        return NULL;
    c->rows = grown;
    c->rows[c->count] = (row){0};
    strcpy(c->rows[c->count].name, name);
    return &c->rows[c->count++];
}

static void take_tensor(void *user, const alloy_converted_tensor *t)
{
    conversion *c = user;
    char name[LONGEST_ROW];
    copy_name(name, t->name, !c->each);
    c->tensors++;
    c->kept += t->kept;
    if (t->kept && !c->each)
        return;
    row *r = row_named(c, name);
    if (!r) {
        c->status = ALLOY_NOMEM;
        return;
    }
    alloy_converted_tensor *sum = &r->sum;
    double before = (double)sum->elements, more = (double)t->elements, all = before + more;
    sum->from = t->from;
    sum->to = t->to;
    sum->kept = t->kept;
    sum->elements += t->elements;
    sum->largest = t->largest > sum->largest ? t->largest : sum->largest;
    sum->largest_error = t->largest_error > sum->largest_error ? t->largest_error : sum->largest_error;
    sum->rms = all > 0 ? sqrt((sum->rms * sum->rms * before + t->rms * t->rms * more) / all) : 0;
    sum->rms_error =
        all > 0 ? sqrt((sum->rms_error * sum->rms_error * before + t->rms_error * t->rms_error * more) / all) : 0;
}

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static const row *worst_of(const conversion *c)
{
    const row *worst = NULL;
    for (int64_t i = 0; i < c->count; i++)
        if (!worst || share(c->rows[i].sum.rms_error, c->rows[i].sum.rms) > share(worst->sum.rms_error, worst->sum.rms))
            worst = &c->rows[i];
    return worst;
}

/* ---- Printing ---------------------------------------------------------------------------------------------------- */

static void print_table(const conversion *c)
{
    alloy_table table;
    alloy_table_open(&table, "tensor|from|to|>largest value|>largest error|>of largest|>RMS error of RMS");
    for (int64_t i = 0; i < c->count; i++) {
        const alloy_converted_tensor *t = &c->rows[i].sum;
        alloy_table_cell(&table, "%s", alloy_printable(c->rows[i].name, strlen(c->rows[i].name)));
        alloy_table_cell(&table, "%s", alloy_dtype_name(t->from));
        alloy_table_cell(&table, "%s", alloy_dtype_name(t->to));
        alloy_table_number(&table, t->largest, 'g', 4);
        alloy_table_number(&table, t->largest_error, 'g', 3);
        alloy_table_number(&table, share(t->largest_error, t->largest), 'g', 3);
        alloy_table_number(&table, share(t->rms_error, t->rms), 'g', 3);
    }
    alloy_cli_table_print(&table);
    alloy_cli_print("\n");
}

static void print_text(const convert_options *o, const conversion *c, const alloy_model *model)
{
    const row *worst = worst_of(c);
    if (c->count && !o->common.quiet)
        print_table(c);
    alloy_cli_print("%s: %lld tensors, %lld rounded or widened, %lld as they were; %lld that a text model does not use "
                    "left out\n",
                    o->out, (long long)c->tensors, (long long)(c->tensors - c->kept), (long long)c->kept,
                    (long long)alloy_model_skipped(model));
    if (worst && worst->sum.rms_error > 0)
        alloy_cli_print("largest error for its size: %s, RMS %.3g of the RMS of its values\n",
                        alloy_printable(worst->name, strlen(worst->name)), share(worst->sum.rms_error, worst->sum.rms));
    else
        alloy_cli_print("every value is exact\n");
}

static alloy_status print_json(const convert_options *o, const conversion *c, const alloy_model *model)
{
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 2);
    const row *worst = worst_of(c);
    alloy_json_field_text(w, "folder", o->out);
    alloy_json_field_int64(w, "skipped_tensors", alloy_model_skipped(model));
    alloy_json_field_int64(w, "kept_tensors", c->kept);
    alloy_json_field_double(w, "largest_relative_rms_error", worst ? share(worst->sum.rms_error, worst->sum.rms) : 0);
    alloy_json_field_array(w, "tensors");
    for (int64_t i = 0; i < c->count; i++) {
        const alloy_converted_tensor *t = &c->rows[i].sum;
        alloy_json_write_object(w);
        alloy_json_field_text(w, "name", c->rows[i].name);
        alloy_json_field_text(w, "from", alloy_dtype_name(t->from));
        alloy_json_field_text(w, "to", alloy_dtype_name(t->to));
        alloy_json_field_uint64(w, "elements", t->elements);
        alloy_json_field_bool(w, "kept", t->kept);
        if (!t->kept) {
            alloy_json_field_double(w, "largest", t->largest);
            alloy_json_field_double(w, "largest_error", t->largest_error);
            alloy_json_field_double(w, "relative_error", share(t->largest_error, t->largest));
            alloy_json_field_double(w, "rms", t->rms);
            alloy_json_field_double(w, "rms_error", t->rms_error);
            alloy_json_field_double(w, "relative_rms_error", share(t->rms_error, t->rms));
        }
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
    return alloy_cli_document_print(&document);
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static alloy_layout layout_named(const char *name)
{
    return !name                               ? ALLOY_LAYOUT_KEPT
           : strcmp(name, "transformers") == 0 ? ALLOY_LAYOUT_TRANSFORMERS
           : strcmp(name, "release") == 0      ? ALLOY_LAYOUT_RELEASE
                                               : ALLOY_LAYOUT_MEMORY;
}

static alloy_status run(alloy_cli_job *job)
{
    const convert_options *o = job->options;
    conversion c = {.each = o->common.json};
    alloy_convert_options options = {.size = sizeof options,
                                     .dtype = alloy_cli_dtype(o->dtype),
                                     .layout = layout_named(o->names),
                                     .max_shard_size = (uint64_t)o->max_shard_size.value,
                                     .force = o->common.force,
                                     .progress = show_progress,
                                     .tensor = take_tensor,
                                     .user = &c};
    alloy_cli_catch_interrupt();
    alloy_status status =
        o->out ? alloy_convert(job->model, o->out, &options) : alloy_fail(ALLOY_ARG, "--out FOLDER is needed");
    alloy_cli_progress_clear();
    status = status ? status : c.status;
    if (!status && !alloy_cli_interrupted() && o->common.json)
        status = print_json(o, &c, job->model);
    else if (!status && !alloy_cli_interrupted())
        print_text(o, &c, job->model);
    alloy_memory_free(c.rows);
    return status;
}

#define OPTION(field) offsetof(convert_options, field)

static const alloy_cli_place places[] = {
    ALLOY_CLI_MODEL_PLACE(ALLOY_CLI_MODEL_HELP),
    {0},
};

static const alloy_cli_option flags[] = {
    ALLOY_CLI_OUT_FOLDER_FLAGS(OPTION(out)),
    {.name = "dtype",
     .kind = ALLOY_CLI_CHOICE,
     .offset = OPTION(dtype),
     .value = "DTYPE",
     .choices = "f32 bf16 f16 fp8 fp4",
     .help = "of the new weights (default: each keeps its own)"},
    {.name = "names",
     .kind = ALLOY_CLI_CHOICE,
     .offset = OPTION(names),
     .value = "NAMES",
     .choices = "transformers release memory",
     .help = "of the new tensors: as save_pretrained writes them, as DeepSeek releases V4, or as transformers has them "
             "in memory with the experts stacked (default: as the model's files have them)"},
    ALLOY_CLI_SHARD_SIZE_FLAG(OPTION(max_shard_size)),
    {0},
};

const alloy_cli_command alloy_cli_convert = {
    .name = "convert",
    .summary = "another dtype, other names, other shards",
    .about =
        "Writes MODEL as a new folder that transformers reads too, with its tokenizer and other files. Values are "
        "rounded to nearest even, and what that costs is told tensor by tensor: the largest error, absolute and beside "
        "the largest value, and the RMS of the errors beside that of the values.\n\n"
        "--dtype fp8 stores weights of linears in FP8 (E4M3), with a scale for each tile of 128 x 128, where both "
        "sides divide by 128. --dtype fp4 stores routed experts in FP4 (E2M1, two a byte, a power of two as scale of "
        "32) and the other linears in FP8, as DeepSeek-V4 is released; a model without routed experts has all its "
        "linears in FP4, which transformers reads by widening them (FineGrainedFP8Config(dequantize=True), and on a "
        "CPU always). Embedding, head, norms, biases, routers and what transformers keeps in fp32 stay as they are.",
    .examples =
        "  alloy convert path/to/model --out path/to/new --dtype bf16\n"
        "  alloy convert path/to/model --out path/to/new --dtype fp8 --json\n"
        "  alloy convert path/to/DeepSeek-V4 --out path/to/new --names transformers --max-shard-size 2000000000\n",
    .places = places,
    .flags = flags,
    .options_size = sizeof(convert_options),
    .opens = ALLOY_CLI_MODEL,
    .run = run,
};
