/* alloy compare: a model against reference tensors, layer by layer; or two models against each other.
 *
 * Reference tensors (tests/golden holds some): input_ids, logits and hidden.I in fp64 from an oracle, the ids of greedy decoding; and beside them, in
 * expected.json, the error of the reference's own fp32. That error is the bound: for logits as it is, for a layer the larger of it and 2e-6 of its largest value. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "alloy/extend.h"
#include "base/memory.h"
#include "base/status.h"
#include "common.h"
#include "evaluate.h"
#include "files/json.h"
#include "files/safetensors.h"
#include "ids.h"
#include "output.h"
#include "table.h"

enum { NOTE_BYTES = 1 << 22, GREEDY_OF_MODELS = 32 };

static const double SMALLEST_HIDDEN_BOUND = 2e-6; /* of the largest hidden value */

typedef struct compare_options {
    alloy_cli_common common;
    const char *model, *reference, *ids, *ids_file;
    alloy_cli_integer chunk;
} compare_options;

/* One line of the result: a layer, or the logits. */
typedef struct line {
    char name[32];
    double error;     /* largest, against the reference */
    double reference; /* of transformers' own fp32; NaN where not known */
    double bound;     /* NaN where not known */
    double largest;   /* value of the reference */
    bool good;
} line;

typedef struct result {
    line *lines; /* [count]; layers, then the logits */
    int64_t count;
    int64_t greedy, greedy_equal; /* ids compared; equal from the beginning */
} result;

/* ---- The bounds, from expected.json ---------------------------------------------------------------------------------------------- */

static void read_list(alloy_json *json, result *r, size_t offset)
{
    int64_t i = 0;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        double value = alloy_json_double(json);
        if (i < r->count - 1)
            *(double *)((char *)&r->lines[i++] + offset) = value;
    }
}

static alloy_status read_note(result *r, const char *reference)
{
    alloy_text path = {0}, text = {0};
    size_t size = strlen(reference), ending = strlen(".safetensors");
    alloy_text_append(&path, reference, size > ending ? size - ending : size);
    alloy_text_string(&path, ".json");
    alloy_status status = alloy_text_status(&path);
    if (!status && alloy_file_exists(path.bytes)) {
        alloy_json json;
        alloy_json_string_view key;
        status = alloy_file_read(&text, path.bytes, NOTE_BYTES);
        if (!status) {
            alloy_json_open(&json, path.bytes, text.bytes, text.size);
            alloy_json_object(&json);
            while (alloy_json_next_key(&json, &key)) {
                if (alloy_json_key_is(&key, "transformers_fp32_max_abs_error"))
                    r->lines[r->count - 1].reference = alloy_json_double(&json);
                else if (alloy_json_key_is(&key, "transformers_fp32_hidden_error"))
                    read_list(&json, r, offsetof(line, reference));
                else
                    alloy_json_skip(&json);
            }
            status = alloy_json_close(&json);
        }
    }
    alloy_text_free(&path);
    alloy_text_free(&text);
    return status;
}

/* ---- Against reference tensors ----------------------------------------------------------------------------------------------------- */

static const alloy_stored_tensor *find(const alloy_safetensors *file, const char *name)
{
    return alloy_safetensors_find(file, name, strlen(name));
}

static double element(const alloy_stored_tensor *t, int64_t i)
{
    if (t->dtype == ALLOY_F64) {
        double value;
        memcpy(&value, t->data + i * 8, sizeof value);
        return value;
    }
    float value;
    memcpy(&value, t->data + i * 4, sizeof value);
    return (double)value;
}

/* Largest error and largest value; a number that is not one makes the error infinite. */
static alloy_status measure(line *l, const alloy_stored_tensor *t, const float *ours, int64_t tokens, int64_t width)
{
    uint64_t elements = 1;
    for (int i = 0; i < t->ndim; i++)
        elements *= t->shape[i];
    if ((t->dtype != ALLOY_F64 && t->dtype != ALLOY_F32) || elements != (uint64_t)(tokens * width))
        return alloy_fail(ALLOY_FORMAT, "reference tensor %s: expected F64 or F32 of %lld x %lld", t->name,
                          (long long)tokens, (long long)width);
    for (int64_t i = 0; i < tokens * width; i++) {
        double value = element(t, i), error = fabs((double)ours[i] - value);
        if (!(error <= l->error))
            l->error = isnan(error) ? INFINITY : error;
        if (fabs(value) > l->largest)
            l->largest = fabs(value);
    }
    return ALLOY_OK;
}

static alloy_status measure_all(result *r, const alloy_safetensors *file, const alloy_cli_evaluation *e)
{
    for (int64_t i = 0; i < r->count; i++) {
        line *l = &r->lines[i];
        bool is_logits = i == r->count - 1;
        snprintf(l->name, sizeof l->name, is_logits ? "logits" : "hidden.%lld", (long long)i);
        const alloy_stored_tensor *t = find(file, l->name);
        if (!t && is_logits)
            return alloy_fail(ALLOY_FORMAT, "the reference has no tensor logits");
        alloy_status status =
            t ? measure(l, t, is_logits ? e->logits : e->hidden[i], e->tokens, is_logits ? e->vocab : e->width)
              : ALLOY_OK;
        if (status)
            return status;
    }
    return ALLOY_OK;
}

static void judge(result *r)
{
    for (int64_t i = 0; i < r->count; i++) {
        line *l = &r->lines[i];
        bool is_logits = i == r->count - 1;
        l->bound = is_logits ? l->reference : fmax(l->reference, SMALLEST_HIDDEN_BOUND * l->largest);
        l->good = isnan(l->reference) || l->error <= l->bound;
    }
}

static alloy_status compare_greedy(result *r, alloy_session *session, const alloy_ids *ids,
                                   const alloy_stored_tensor *t)
{
    if (!t || t->dtype != ALLOY_I64)
        return ALLOY_OK;
    alloy_ids ours = {0};
    r->greedy = (int64_t)(t->bytes / 8);
    alloy_status status = r->greedy ? alloy_cli_greedy(session, ids, r->greedy, &ours) : ALLOY_OK;
    for (; !status && r->greedy_equal < ours.count; r->greedy_equal++) {
        int64_t id;
        memcpy(&id, t->data + r->greedy_equal * 8, sizeof id);
        if (id != ours.ids[r->greedy_equal])
            break;
    }
    alloy_ids_free(&ours);
    return status;
}

static alloy_status against_tensors(const compare_options *o, alloy_session *session, result *r)
{
    alloy_safetensors file = {0};
    alloy_ids ids = {0};
    alloy_cli_evaluation e = {0};
    alloy_status status = alloy_cli_ids_read(&ids, o->reference);
    if (!status)
        status = alloy_safetensors_open(&file, o->reference, true);
    if (!status)
        status = alloy_cli_evaluate(&e, session, &ids, true);
    if (!status)
        status = measure_all(r, &file, &e);
    if (!status)
        status = read_note(r, o->reference);
    if (!status)
        status = compare_greedy(r, session, &ids, find(&file, "greedy"));
    judge(r);
    alloy_cli_evaluation_free(&e);
    alloy_ids_free(&ids);
    alloy_safetensors_close(&file);
    return status;
}

/* ---- Against another model ------------------------------------------------------------------------------------------------------- */

static alloy_status run_other(const compare_options *o, const alloy_ids *ids, alloy_cli_evaluation *e,
                              alloy_ids *greedy)
{
    alloy_model *model = NULL;
    alloy_session *session = NULL;
    alloy_status status = alloy_cli_open_model(&model, &o->common, o->reference);
    if (!status)
        status = alloy_cli_open_session(&session, model, &o->common, o->chunk.value);
    if (!status)
        status = alloy_cli_evaluate(e, session, ids, true);
    if (!status)
        status = alloy_cli_greedy(session, ids, GREEDY_OF_MODELS, greedy);
    alloy_session_close(session);
    alloy_cli_close_model(model);
    return status;
}

static void measure_pair(line *l, const float *ours, const float *theirs, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        double error = fabs((double)ours[i] - (double)theirs[i]);
        if (!(error <= l->error))
            l->error = isnan(error) ? INFINITY : error;
        l->largest = fmax(l->largest, fabs((double)theirs[i]));
    }
    l->good = memcmp(ours, theirs, (size_t)count * sizeof *ours) == 0;
}

static alloy_status against_model(const compare_options *o, alloy_session *session, result *r)
{
    alloy_ids ids = {0}, ours = {0}, theirs = {0};
    alloy_cli_evaluation a = {0}, b = {0};
    alloy_status status = alloy_cli_ids_given(&ids, o->ids, o->ids_file);
    if (!status)
        status = alloy_cli_evaluate(&a, session, &ids, true);
    if (!status)
        status = alloy_cli_greedy(session, &ids, GREEDY_OF_MODELS, &ours);
    if (!status)
        status = run_other(o, &ids, &b, &theirs);
    if (!status && (a.vocab != b.vocab || a.layers != b.layers || a.width != b.width))
        status =
            alloy_fail(ALLOY_ARG, "the models differ in shape: vocabularies of %lld and %lld, %lld and %lld layers",
                       (long long)a.vocab, (long long)b.vocab, (long long)a.layers, (long long)b.layers);
    for (int64_t i = 0; i < r->count && !status; i++) {
        bool is_logits = i == r->count - 1;
        snprintf(r->lines[i].name, sizeof r->lines[i].name, is_logits ? "logits" : "hidden.%lld", (long long)i);
        measure_pair(&r->lines[i], is_logits ? a.logits : a.hidden[i], is_logits ? b.logits : b.hidden[i],
                     a.tokens * (is_logits ? a.vocab : a.width));
    }
    r->greedy = ours.count;
    while (!status && r->greedy_equal < ours.count && r->greedy_equal < theirs.count &&
           ours.ids[r->greedy_equal] == theirs.ids[r->greedy_equal])
        r->greedy_equal++;
    alloy_cli_evaluation_free(&a);
    alloy_cli_evaluation_free(&b);
    alloy_ids_free(&ids);
    alloy_ids_free(&ours);
    alloy_ids_free(&theirs);
    return status;
}

/* ---- The report -------------------------------------------------------------------------------------------------------------------- */

static const char *first_bad(const result *r)
{
    for (int64_t i = 0; i < r->count; i++)
        if (!r->lines[i].good)
            return r->lines[i].name;
    return r->greedy_equal < r->greedy ? "greedy" : NULL;
}

static void print_number(alloy_cli_table *table, double value)
{
    if (isnan(value))
        alloy_cli_table_cell(table, "-");
    else
        alloy_cli_table_cell(table, "%.2e", value);
}

static alloy_status print_text(const result *r, bool tensors)
{
    alloy_cli_table table;
    alloy_cli_table_open(&table, tensors ? "tensor|>error|>transformers fp32|>bound|>largest|result"
                                         : "tensor|>difference|>largest|result");
    for (int64_t i = 0; i < r->count; i++) {
        const line *l = &r->lines[i];
        alloy_cli_table_cell(&table, "%s", l->name);
        print_number(&table, l->error);
        if (tensors) {
            print_number(&table, l->reference);
            print_number(&table, l->bound);
        }
        print_number(&table, l->largest);
        alloy_cli_table_cell(&table, "%s", l->good ? tensors ? "ok" : "same bits" : tensors ? "FAIL" : "differs");
    }
    alloy_cli_table_print(&table);
    if (r->greedy)
        alloy_cli_print("greedy: %lld of %lld ids equal\n", (long long)r->greedy_equal, (long long)r->greedy);
    if (first_bad(r))
        alloy_cli_print("first to depart: %s\n", first_bad(r));
    return alloy_cli_flush();
}

static void write_number(alloy_json_writer *w, const char *key, double value)
{
    alloy_json_write_key(w, key);
    alloy_json_write_double(w, value);
}

static alloy_status print_json(const result *r)
{
    alloy_text text = {0};
    alloy_json_writer w;
    alloy_json_writer_open(&w, &text, 2);
    alloy_json_write_object(&w);
    alloy_json_write_key(&w, "tensors");
    alloy_json_write_array(&w);
    for (int64_t i = 0; i < r->count; i++) {
        alloy_json_write_object(&w);
        alloy_json_write_key(&w, "name");
        alloy_json_write_string(&w, r->lines[i].name, strlen(r->lines[i].name));
        write_number(&w, "max_abs_error", r->lines[i].error);
        write_number(&w, "transformers_fp32", r->lines[i].reference);
        write_number(&w, "bound", r->lines[i].bound);
        write_number(&w, "largest", r->lines[i].largest);
        alloy_json_write_key(&w, "ok");
        alloy_json_write_bool(&w, r->lines[i].good);
        alloy_json_write_object_end(&w);
    }
    alloy_json_write_array_end(&w);
    alloy_json_write_key(&w, "greedy");
    alloy_json_write_object(&w);
    alloy_json_write_key(&w, "compared");
    alloy_json_write_int64(&w, r->greedy);
    alloy_json_write_key(&w, "equal");
    alloy_json_write_int64(&w, r->greedy_equal);
    alloy_json_write_object_end(&w);
    alloy_json_write_object_end(&w);
    alloy_status status = alloy_cli_print_json(&text);
    alloy_text_free(&text);
    return status;
}

static alloy_status report(const compare_options *o, const result *r, bool tensors)
{
    alloy_status status = o->common.json ? print_json(r) : print_text(r, tensors);
    if (status || !first_bad(r))
        return status;
    return alloy_fail(ALLOY_DIFFERENT, "%s and %s differ; first in %s", o->model, o->reference, first_bad(r));
}

static alloy_status open_lines(result *r, const alloy_model *model)
{
    r->count = alloy_model_config(model)->num_hidden_layers + 1;
    r->lines = alloy_memory_zeroed((size_t)r->count, sizeof *r->lines);
    for (int64_t i = 0; r->lines && i < r->count; i++)
        r->lines[i].reference = r->lines[i].bound = NAN;
    return r->lines ? ALLOY_OK : ALLOY_NOMEM;
}

static alloy_status run(const void *options)
{
    const compare_options *o = options;
    alloy_model *model = NULL;
    alloy_session *session = NULL;
    result r = {0};
    bool tensors = alloy_file_exists(o->reference);
    alloy_status status = alloy_cli_open_model(&model, &o->common, o->model);
    if (!status)
        status = alloy_cli_open_session(&session, model, &o->common, o->chunk.value);
    if (!status)
        status = open_lines(&r, model);
    if (!status)
        status = tensors ? against_tensors(o, session, &r) : against_model(o, session, &r);
    if (!status)
        status = report(o, &r, tensors);
    alloy_memory_free(r.lines);
    alloy_session_close(session);
    alloy_cli_close_model(model);
    return status;
}

#define AT(field) offsetof(compare_options, field)

static const alloy_cli_place places[] = {
    {.name = "MODEL", .offset = AT(model), .help = "A model's folder, or user/name in the Hub's cache"},
    {.name = "REFERENCE",
     .offset = AT(reference),
     .help = "A safetensors file with input_ids, logits, hidden.I and greedy; or another model"},
};

static const alloy_cli_option flags[] = {
    {.name = "ids",
     .kind = ALLOY_CLI_TEXT,
     .offset = AT(ids),
     .value = "1,2,3",
     .help = "Token ids, to compare two models on"},
    {.name = "ids-file",
     .kind = ALLOY_CLI_TEXT,
     .offset = AT(ids_file),
     .value = "FILE",
     .help = "The same from a file"},
    {.name = "chunk",
     .kind = ALLOY_CLI_INTEGER,
     .offset = AT(chunk),
     .value = "N",
     .least = 1,
     .most = 1 << 20,
     .help = "Tokens of one forward (default: 512)"},
};

const alloy_cli_command alloy_cli_compare = {
    .name = "compare",
    .summary = "a model against reference tensors, or two models",
    .about = "Compares logits and the output of every layer with an fp64 oracle, beside the error that transformers "
             "has in fp32 (expected.json beside "
             "the file), and greedy ids. Two models are compared on given ids. Exit code 1 when they differ.",
    .examples =
        "  alloy compare tests/golden/qwen3 tests/golden/qwen3/expected.safetensors\n  alloy compare A B --ids 1,2,3\n",
    .places = places,
    .place_count = 2,
    .options = flags,
    .option_count = sizeof flags / sizeof *flags,
    .opens_model = true,
    .options_size = sizeof(compare_options),
    .run = run,
};
