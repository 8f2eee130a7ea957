/* Comparing a model with reference tensors or with another model, layer by layer (alloy/compare.h).
 *
 * Against a reference, each number passes by a share of the largest: that of a computation in float32 beside the
 * reference's own. Where the reference tells how far transformers' own float32 departs from it, logits may depart by as
 * much as that, a layer's output by the larger of the two. Against another model: by a tolerance. */
#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "compare/capture.h"
#include "compare/distance.h"
#include "compare/reference.h"
#include "engine/session.h"

enum { GREEDY_TOKENS = 24 };

/* Greedy continuation, past end-of-sequence ids. */
static alloy_status continue_greedily(alloy_session *session, const int64_t *ids, int64_t prompt, int64_t count,
                                      alloy_ids *out)
{
    alloy_generate_options options = {.size = sizeof options, .max_new_tokens = count, .ignore_eos = true};
    alloy_generation *generation;
    alloy_status status = alloy_generate(&generation, session, NULL, &(alloy_prompt){ids, prompt}, 1, &options);
    if (status)
        return status;
    const alloy_output *output = alloy_generation_output(generation, 0);
    for (int64_t i = 0; i < output->count && !status; i++)
        status = alloy_ids_push(out, output->ids[i]);
    alloy_generation_close(generation);
    return status;
}

static void compare_ids(alloy_comparison *c, const alloy_ids *expected, const alloy_ids *actual)
{
    int64_t equal = 0;
    while (equal < expected->count && equal < actual->count && expected->ids[equal] == actual->ids[equal])
        equal++;
    c->has_greedy = true;
    c->greedy_count = expected->count;
    c->greedy_equal = equal;
}

/* ---- Comparing what comes ---------------------------------------------------------------------------------------- */

/* Where the right numbers are: one of the two. */
typedef struct comparer {
    alloy_comparison *comparison;
    const alloy_reference *reference;
    const alloy_capture *other;
    double *row; /* one row of them */
} comparer;

static alloy_status compare_rows(void *user, int64_t layer, int64_t first, int64_t rows, int64_t width,
                                 const float *values)
{
    const comparer *c = user;
    alloy_comparison *comparison = c->comparison;
    if (layer < 0 ? !comparison->has_logits : layer >= comparison->layer_count)
        return ALLOY_OK;
    alloy_distance *distance = &(layer < 0 ? &comparison->logits : &comparison->layers[layer])->distance;
    const alloy_stored_tensor *tensor = c->reference ? alloy_reference_tensor(c->reference, layer) : NULL;
    for (int64_t token = first; token < first + rows; token++, values += width) {
        if (tensor)
            alloy_reference_row(tensor, token, width, c->row);
        else
            alloy_capture_row(c->other, layer, token, c->row);
        alloy_distance_add(distance, token, c->row, values, width);
        if (layer < 0)
            alloy_choices_add(&comparison->choices, token, c->row, values, width);
    }
    return ALLOY_OK;
}

static alloy_status run_model(comparer *c, alloy_session *session, const int64_t *ids, int64_t count,
                              const alloy_compare_options *options)
{
    const alloy_model *model = session->model;
    int64_t width = alloy_hidden_width(model), vocab_size = alloy_model_vocab_size(model);
    c->row = alloy_memory_new((size_t)(width > vocab_size ? width : vocab_size), sizeof *c->row);
    if (!c->row)
        return ALLOY_NOMEM;
    alloy_status status = alloy_listen(session, ids, count,
                                       &(alloy_listener){.rows = compare_rows,
                                                         .hidden = c->comparison->layer_count > 0,
                                                         .user = c,
                                                         .what = "computing",
                                                         .progress = options->progress,
                                                         .progress_user = options->user});
    alloy_memory_free(c->row);
    return status;
}

/* ---- The result -------------------------------------------------------------------------------------------------- */

static alloy_status begin(alloy_comparison **c, alloy_compare_options *options, const alloy_compare_options *given,
                          const alloy_model *model)
{
    alloy_status status = alloy_options_take(options, sizeof *options, given, "alloy_compare_options");
    if (status)
        return status;
    *c = alloy_memory_zeroed(1, sizeof **c);
    if (!*c)
        return ALLOY_NOMEM;
    alloy_compared *layers = alloy_memory_zeroed((size_t)model->config.num_hidden_layers, sizeof *layers);
    (*c)->layers = layers;
    for (int64_t i = 0; layers && i < model->config.num_hidden_layers; i++) {
        layers[i].mixer = model->config.layers[i].mixer;
        layers[i].ffn = model->config.layers[i].ffn;
    }
    return layers ? ALLOY_OK : ALLOY_NOMEM;
}

static void pass_within(alloy_compared *row, double bound)
{
    row->bound = bound;
    row->relative = alloy_distance_relative(&row->distance);
    row->passed = alloy_distance_within(&row->distance, bound);
}

static bool greedy_passed(const alloy_comparison *c)
{
    return !c->has_greedy || c->greedy_equal == c->greedy_count;
}

static alloy_status end(alloy_comparison *c, alloy_status status, alloy_comparison **out)
{
    if (status) {
        alloy_comparison_close(c);
        return status;
    }
    while (c->first_departure < c->layer_count && c->layers[c->first_departure].passed)
        c->first_departure++;
    c->passed = c->first_departure == c->layer_count && (!c->has_logits || c->logits.passed) && greedy_passed(c);
    *out = c;
    return ALLOY_OK;
}

void alloy_comparison_close(alloy_comparison *c)
{
    if (c) {
        alloy_memory_free(c->layers);
        alloy_memory_free(c->others);
    }
    alloy_memory_free(c);
}

static alloy_status row_departs(const char *model, const char *reference, const char *what, const alloy_compared *row)
{
    const alloy_distance *d = &row->distance;
    if (d->not_finite)
        return alloy_fail(ALLOY_DIFFERENT, "%s departs from %s: %s not finite at token %lld, number %lld", model,
                          reference, what, (long long)d->token, (long long)d->element);
    return alloy_fail(ALLOY_DIFFERENT, "%s departs from %s: %s off by %.3g, %.3g would pass", model, reference, what,
                      d->error, row->bound);
}

alloy_status alloy_comparison_status(const alloy_comparison *c, const char *model, const char *reference)
{
    char what[40];
    snprintf(what, sizeof what, "layer %lld is", (long long)c->first_departure);
    if (c->passed)
        return ALLOY_OK;
    if (c->first_departure < c->layer_count)
        return row_departs(model, reference, what, &c->layers[c->first_departure]);
    if (c->has_logits && !c->logits.passed)
        return row_departs(model, reference, "logits are", &c->logits);
    return alloy_fail(ALLOY_DIFFERENT, "%s departs from %s: greedy id %lld differs", model, reference,
                      (long long)c->greedy_equal);
}

/* ---- Against a reference ----------------------------------------------------------------------------------------- */

/* Largest error that passes, as a share of the largest value, for each dtype that a reference may be computed in: that
 * of a computation in float32, and beside it that of the reference itself (docs/compare.md). */
static double share_of_largest(alloy_dtype dtype)
{
    return dtype == ALLOY_F64 ? 2e-6 : dtype == ALLOY_F32 ? 1e-5 : dtype == ALLOY_F16 ? 2e-2 : 0.15;
}

static void judge(alloy_compared *row, const alloy_reference *reference, double theirs, bool is_layer)
{
    double share = share_of_largest(reference->dtype) * row->distance.largest;
    row->theirs = theirs;
    pass_within(row, isnan(theirs) || (is_layer && share > theirs) ? share : theirs);
}

/* What of the two can be compared, before anything is computed. */
static alloy_status match(alloy_comparison *c, const alloy_reference *reference, const alloy_model *model)
{
    int64_t layers = model->config.num_hidden_layers, tokens = reference->input_ids.count;
    alloy_status status = ALLOY_OK;
    c->dtype = reference->dtype;
    c->tokens = tokens;
    c->layers_run = layers;
    c->reference_layers = reference->num_layers ? reference->num_layers : model->parsed->num_hidden_layers;
    c->ends_differ = c->layers_run != c->reference_layers && (reference->logits || reference->greedy.count);
    c->has_logits = reference->logits && !c->ends_differ;
    c->layer_count = reference->layers < layers ? reference->layers : layers;
    for (int64_t i = 0; i < c->layer_count && !status; i++)
        status =
            alloy_reference_check(reference, alloy_reference_tensor(reference, i), tokens * alloy_hidden_width(model));
    if (!status && c->has_logits)
        status = alloy_reference_check(reference, reference->logits, tokens * alloy_model_vocab_size(model));
    if (!status && c->layer_count == 0 && !c->has_logits)
        return alloy_fail(ALLOY_FORMAT, "%s: holds nothing to compare with %lld layers: no hidden.0%s",
                          alloy_printable_path(reference->file.file.path), (long long)layers,
                          c->ends_differ ? ", and its logits are of another number of layers" : ", no logits");
    return status;
}

/* One id is that of the last logits; for more the model goes on. */
static alloy_status judge_greedy(alloy_comparison *c, const alloy_reference *reference, alloy_session *session)
{
    alloy_ids actual = {0};
    if (c->ends_differ || reference->greedy.count == 0)
        return ALLOY_OK;
    alloy_status status = c->has_logits && reference->greedy.count == 1
                              ? alloy_ids_push(&actual, c->choices.last)
                              : continue_greedily(session, reference->input_ids.ids, reference->input_ids.count,
                                                  reference->greedy.count, &actual);
    if (!status)
        compare_ids(c, &reference->greedy, &actual);
    alloy_ids_free(&actual);
    return status;
}

static alloy_status with_reference(alloy_comparison *c, alloy_session *session, const alloy_reference *reference,
                                   const alloy_compare_options *options)
{
    alloy_status status = match(c, reference, session->model);
    if (!status)
        status = run_model(&(comparer){.comparison = c, .reference = reference}, session, reference->input_ids.ids,
                           reference->input_ids.count, options);
    for (int64_t i = 0; i < c->layer_count && !status; i++)
        judge(&c->layers[i], reference, i < reference->hidden_error_count ? reference->hidden_error[i] : NAN, true);
    judge(&c->logits, reference, reference->logits_error, false);
    return status ? status : judge_greedy(c, reference, session);
}

alloy_status alloy_compare_reference(alloy_comparison **out, alloy_session *session, const char *path,
                                     const alloy_compare_options *given)
{
    alloy_compare_options options;
    alloy_reference reference = {0};
    alloy_comparison *c = NULL;
    *out = NULL;
    alloy_status status = begin(&c, &options, given, session->model);
    if (!status)
        status = alloy_reference_open(&reference, path, !options.no_mmap);
    if (!status)
        status = with_reference(c, session, &reference, &options);
    alloy_reference_close(&reference);
    return end(c, status, out);
}

/* ---- Against another model --------------------------------------------------------------------------------------- */

alloy_status alloy_compare_check(const alloy_model *a, const alloy_model *b)
{
    int64_t layers = a->config.num_hidden_layers, width = alloy_hidden_width(a);
    int64_t other_layers = b->config.num_hidden_layers, other_width = alloy_hidden_width(b);
    if (a->config.vocab_size != b->config.vocab_size)
        return alloy_fail(ALLOY_ARG, "the models cannot be compared: vocabularies of %lld and %lld",
                          (long long)a->config.vocab_size, (long long)b->config.vocab_size);
    if (layers != other_layers || width != other_width)
        return alloy_fail(ALLOY_ARG, "the models cannot be compared: %lld layers of %lld and %lld layers of %lld",
                          (long long)layers, (long long)width, (long long)other_layers, (long long)other_width);
    return ALLOY_OK;
}

static void judge_by_tolerance(alloy_compared *row, double tolerance)
{
    row->theirs = NAN;
    pass_within(row, tolerance);
}

static alloy_status with_model(alloy_comparison *c, alloy_session *session, const alloy_capture *kept,
                               const alloy_compare_options *options)
{
    c->tokens = kept->tokens;
    c->has_logits = true;
    c->layer_count = c->layers_run = c->reference_layers = kept->layers;
    alloy_status status =
        run_model(&(comparer){.comparison = c, .other = kept}, session, kept->ids, kept->tokens, options);
    for (int64_t i = 0; i < c->layer_count && !status; i++)
        judge_by_tolerance(&c->layers[i], options->tolerance);
    judge_by_tolerance(&c->logits, options->tolerance);
    return status;
}

alloy_status alloy_compare_models(alloy_comparison **out, alloy_session *session, alloy_session *other,
                                  const int64_t *ids, int64_t count, const alloy_compare_options *given)
{
    alloy_compare_options options;
    alloy_comparison *c = NULL;
    alloy_capture *kept = NULL; /* the other's results */
    alloy_ids mine = {0}, theirs = {0};
    int64_t room = alloy_model_context(session->model) - count, greedy = room < GREEDY_TOKENS ? room : GREEDY_TOKENS;
    *out = NULL;
    alloy_status status = begin(&c, &options, given, session->model);
    if (!status)
        status = alloy_compare_check(session->model, other->model);
    if (!status)
        status = alloy_capture_open(&kept, other, ids, count,
                                    &(alloy_capture_options){.size = sizeof(alloy_capture_options),
                                                             .hidden = true,
                                                             .what = "computing the other",
                                                             .progress = options.progress,
                                                             .user = options.user});
    if (!status && greedy > 0)
        status = continue_greedily(other, ids, count, greedy, &theirs);
    if (!status)
        status = with_model(c, session, kept, &options);
    if (!status && greedy > 0)
        status = continue_greedily(session, ids, count, greedy, &mine);
    if (!status)
        compare_ids(c, &theirs, &mine);
    alloy_capture_close(kept);
    alloy_ids_free(&mine);
    alloy_ids_free(&theirs);
    return end(c, status, out);
}

/* ---- Against the oracle ------------------------------------------------------------------------------------------ */

struct against_oracle {
    alloy_comparison *comparison;
    int64_t capacity;    /* of its others */
    alloy_status status; /* of keep_other */
};

static alloy_status compare_right(void *user, int64_t layer, int64_t first, int64_t rows, int64_t width,
                                  const float *computed, const double *right)
{
    const struct against_oracle *o = user;
    alloy_comparison *c = o->comparison;
    alloy_distance *distance = &(layer < 0 ? &c->logits : &c->layers[layer])->distance;
    for (int64_t token = first; token < first + rows; token++, computed += width, right += width) {
        alloy_distance_add(distance, token, right, computed, width);
        if (layer < 0)
            alloy_choices_add(&c->choices, token, right, computed, width);
    }
    return o->status;
}

static void keep_other(void *user, const alloy_oracle_choice *choice)
{
    struct against_oracle *o = user;
    alloy_comparison *c = o->comparison;
    alloy_oracle_choice *grown = alloy_memory_grow(c->others, c->other_count, &o->capacity, sizeof *grown);
    if (!grown) {
        o->status = ALLOY_NOMEM;
        return;
    }
    c->others = grown;
    c->others[c->other_count++] = *choice;
}

/* Without a bound whatever is finite passes. */
static void judge_by_oracle(alloy_compared *row, const alloy_compare_options *options)
{
    row->theirs = NAN;
    pass_within(row, options->judged ? options->tolerance : NAN);
    if (!options->judged)
        row->passed = row->distance.not_finite == 0;
}

alloy_status alloy_compare_oracle(alloy_comparison **out, alloy_session *session, const int64_t *ids, int64_t count,
                                  const alloy_compare_options *given)
{
    alloy_compare_options options;
    alloy_comparison *c = NULL;
    *out = NULL;
    alloy_status status = begin(&c, &options, given, session->model);
    if (status)
        return end(c, status, out);
    c->dtype = ALLOY_F64;
    c->tokens = count;
    c->has_logits = c->has_others = true;
    c->layer_count = c->layers_run = c->reference_layers = session->model->config.num_hidden_layers;
    struct against_oracle oracle = {.comparison = c};
    status = alloy_oracle_run(session, ids, count,
                              &(alloy_oracle_options){.size = sizeof(alloy_oracle_options),
                                                      .rows = compare_right,
                                                      .hidden = true,
                                                      .choice = keep_other,
                                                      .progress = options.progress,
                                                      .user = &oracle,
                                                      .progress_user = options.user});
    for (int64_t i = 0; i < c->layer_count; i++)
        judge_by_oracle(&c->layers[i], &options);
    judge_by_oracle(&c->logits, &options);
    return end(c, status, out);
}
