/* alloy compare: a model against a file of reference tensors, or against another model, layer by layer.
 *
 * What the model computes is compared as it comes, so neither its hidden states nor those of a reference are held.
 *
 * Against a reference: a layer's output and the logits may depart by a share of their largest value, which the dtype
 * that the reference was computed in allows. Where transformers' own float32 was measured against it, logits may depart
 * by as much as that, a layer's output by the larger of the two. Against another model: by --tolerance. */
#include <math.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "capture.h"
#include "comparison.h"
#include "ids.h"
#include "job.h"
#include "model/model.h"
#include "reference.h"
#include "signals.h"

enum { GREEDY_TOKENS = 24 };

typedef struct compare_options {
    alloy_cli_common common;
    const char *reference;
    alloy_cli_number tolerance;
} compare_options;

/* Greedy continuation, past end-of-sequence ids. */
static alloy_status continue_greedily(alloy_session *session, const alloy_ids *prompt, int64_t count, alloy_ids *out)
{
    alloy_generate_options options = {.max_new_tokens = count, .ignore_eos = true};
    alloy_generation *generation;
    alloy_status status =
        alloy_generate(&generation, session, NULL, &(alloy_prompt){prompt->ids, prompt->count}, 1, &options);
    if (status)
        return status;
    const alloy_output *output = alloy_generation_output(generation, 0);
    for (int64_t i = 0; i < output->count && !status; i++)
        status = alloy_cli_ids_push(out, output->ids[i]);
    alloy_generation_close(generation);
    return status;
}

static void compare_ids(alloy_cli_comparison *comparison, const alloy_ids *expected, const alloy_ids *actual)
{
    int64_t equal = 0;
    while (equal < expected->count && equal < actual->count && expected->ids[equal] == actual->ids[equal])
        equal++;
    comparison->has_greedy = true;
    comparison->greedy_count = expected->count;
    comparison->greedy_equal = equal;
}

/* ---- Comparing what comes ---------------------------------------------------------------------------------------- */

/* Where the right numbers are: one of the two. */
typedef struct comparer {
    alloy_cli_comparison *comparison;
    const alloy_cli_reference *reference;
    const alloy_cli_capture *other;
    double *row; /* one row of them */
} comparer;

static alloy_status compare_rows(void *user, int64_t layer, int64_t first, int64_t rows, int64_t width,
                                 const float *values)
{
    const comparer *c = user;
    alloy_cli_comparison *comparison = c->comparison;
    if (layer < 0 ? !comparison->has_logits : layer >= comparison->layer_count)
        return ALLOY_OK;
    alloy_cli_distance *distance = &(layer < 0 ? &comparison->logits : &comparison->layers[layer])->distance;
    const alloy_stored_tensor *tensor = c->reference ? alloy_cli_reference_tensor(c->reference, layer) : NULL;
    for (int64_t token = first; token < first + rows; token++, values += width) {
        if (tensor)
            alloy_cli_reference_row(tensor, token, width, c->row);
        else
            alloy_cli_capture_row(c->other, layer, token, c->row);
        alloy_cli_distance_add(distance, token, c->row, values, width);
        if (layer < 0)
            alloy_cli_choices_add(&comparison->choices, token, c->row, values, width);
    }
    return ALLOY_OK;
}

static alloy_status run_model(comparer *c, alloy_session *session, const alloy_ids *ids)
{
    const alloy_model *model = alloy_session_model(session);
    int64_t width = alloy_cli_hidden_width(model), vocab_size = alloy_model_vocab_size(model);
    c->row = alloy_memory_new((size_t)(width > vocab_size ? width : vocab_size), sizeof *c->row);
    if (!c->row)
        return ALLOY_NOMEM;
    alloy_status status = alloy_cli_listen(
        session, ids, &(alloy_cli_listener){.rows = compare_rows, .hidden = c->comparison->layer_count > 0, .user = c},
        "computing");
    alloy_memory_free(c->row);
    return status;
}

/* ---- Against a reference ----------------------------------------------------------------------------------------- */

/* Largest error that passes, as a share of the largest value, for each dtype that a reference may be computed in: that
 * of a computation in float32, and beside it that of the reference itself (docs/compare.md). */
static double share_of_largest(alloy_dtype dtype)
{
    return dtype == ALLOY_F64 ? 2e-6 : dtype == ALLOY_F32 ? 1e-5 : dtype == ALLOY_F16 ? 2e-2 : 0.15;
}

static void judge(alloy_cli_row *row, const alloy_cli_reference *reference, double theirs, bool is_layer)
{
    double share = share_of_largest(reference->dtype) * row->distance.largest;
    row->theirs = theirs;
    row->bound = isnan(theirs) || (is_layer && share > theirs) ? share : theirs;
    row->passed = alloy_cli_distance_within(&row->distance, row->bound);
}

/* What of the two can be compared, before anything is computed. */
static alloy_status match(alloy_cli_comparison *c, const alloy_cli_reference *reference, const alloy_model *model)
{
    int64_t layers = model->config.num_hidden_layers, tokens = reference->input_ids.count;
    c->dtype = reference->dtype;
    c->tokens = tokens;
    c->layers_run = layers;
    c->reference_layers = reference->num_layers ? reference->num_layers : model->parsed->num_hidden_layers;
    c->ends_differ = c->layers_run != c->reference_layers && (reference->logits || reference->greedy.count);
    c->has_logits = reference->logits && !c->ends_differ;
    alloy_status status = alloy_cli_comparison_open(c, model);
    c->layer_count = reference->layers < layers ? reference->layers : layers;
    for (int64_t i = 0; i < c->layer_count && !status; i++)
        status = alloy_cli_reference_check(reference, alloy_cli_reference_tensor(reference, i),
                                           tokens * alloy_cli_hidden_width(model));
    if (!status && c->has_logits)
        status = alloy_cli_reference_check(reference, reference->logits, tokens * alloy_model_vocab_size(model));
    if (!status && c->layer_count == 0 && !c->has_logits)
        return alloy_fail(ALLOY_FORMAT, "%s: holds nothing to compare with %lld layers: no hidden.0%s",
                          alloy_printable_path(reference->file.file.path), (long long)layers,
                          c->ends_differ ? ", and its logits are of another number of layers" : ", no logits");
    return status;
}

/* One id is that of the last logits; for more the model goes on. */
static alloy_status judge_greedy(alloy_cli_comparison *c, const alloy_cli_reference *reference, alloy_session *session)
{
    alloy_ids actual = {0};
    if (c->ends_differ || reference->greedy.count == 0)
        return ALLOY_OK;
    alloy_status status = c->has_logits && reference->greedy.count == 1
                              ? alloy_cli_ids_push(&actual, c->choices.last)
                              : continue_greedily(session, &reference->input_ids, reference->greedy.count, &actual);
    if (!status)
        compare_ids(c, &reference->greedy, &actual);
    alloy_ids_free(&actual);
    return status;
}

static alloy_status compare_with_reference(const alloy_cli_job *job, const alloy_cli_reference *reference,
                                           alloy_cli_comparison *c)
{
    alloy_status status = match(c, reference, job->model);
    if (!status)
        status = run_model(&(comparer){.comparison = c, .reference = reference}, job->session, &reference->input_ids);
    for (int64_t i = 0; i < c->layer_count && !status; i++)
        judge(&c->layers[i], reference, i < reference->hidden_error_count ? reference->hidden_error[i] : NAN, true);
    judge(&c->logits, reference, reference->logits_error, false);
    return status ? status : judge_greedy(c, reference, job->session);
}

static alloy_status against_reference(const alloy_cli_job *job, alloy_cli_comparison *comparison)
{
    const compare_options *o = job->options;
    alloy_cli_reference reference;
    if (alloy_cli_has_ids(job) || o->common.tokens.given || o->tolerance.given)
        return alloy_fail(ALLOY_ARG, "the reference tells the ids and the bounds: --ids, --ids-file, --tokens and "
                                     "--tolerance are for two models");
    alloy_status status = alloy_cli_reference_open(&reference, o->reference, !o->common.no_mmap);
    if (status)
        return status;
    status = compare_with_reference(job, &reference, comparison);
    alloy_cli_reference_close(&reference);
    return status;
}

/* ---- Against another model --------------------------------------------------------------------------------------- */

/* The other's results, kept. */
static alloy_status run_other(const alloy_cli_common *common, const alloy_model *other, const alloy_ids *ids,
                              alloy_cli_capture *capture, alloy_ids *greedy, int64_t greedy_count)
{
    alloy_session *session;
    alloy_status status = alloy_cli_open_session(&session, other, common);
    if (status)
        return status;
    status = alloy_cli_capture_run(capture, session, ids, ALLOY_CLI_CAPTURE_HIDDEN, "computing the other");
    if (!status && greedy_count > 0)
        status = continue_greedily(session, ids, greedy_count, greedy);
    alloy_session_close(session);
    return status;
}

/* Have the two models shapes that can be compared? */
static alloy_status match_models(alloy_cli_comparison *c, const alloy_model *a, const alloy_model *b)
{
    int64_t layers = a->config.num_hidden_layers, width = alloy_cli_hidden_width(a);
    int64_t other_layers = b->config.num_hidden_layers, other_width = alloy_cli_hidden_width(b);
    if (a->config.vocab_size != b->config.vocab_size)
        return alloy_fail(ALLOY_ARG, "the models cannot be compared: vocabularies of %lld and %lld",
                          (long long)a->config.vocab_size, (long long)b->config.vocab_size);
    if (layers != other_layers || width != other_width)
        return alloy_fail(ALLOY_ARG, "the models cannot be compared: %lld layers of %lld and %lld layers of %lld",
                          (long long)layers, (long long)width, (long long)other_layers, (long long)other_width);
    c->has_logits = true;
    c->layer_count = c->layers_run = c->reference_layers = layers;
    return alloy_cli_comparison_open(c, a);
}

static void judge_by_tolerance(alloy_cli_row *row, double tolerance)
{
    row->theirs = NAN;
    row->bound = tolerance;
    row->passed = alloy_cli_distance_within(&row->distance, tolerance);
}

static alloy_status compare_models(alloy_cli_job *job, const alloy_model *other, alloy_cli_comparison *c)
{
    const compare_options *o = job->options;
    alloy_ids mine = {0}, theirs = {0};
    alloy_cli_capture capture = {0};
    int64_t context = alloy_model_context(job->model);
    alloy_status status = match_models(c, job->model, other);
    if (!status)
        status = alloy_cli_draw_ids(job, context - 1);
    int64_t room = context - job->ids.count, greedy = room < GREEDY_TOKENS ? room : GREEDY_TOKENS;
    c->tokens = job->ids.count;
    if (!status)
        status = run_other(job->common, other, &job->ids, &capture, &theirs, greedy);
    if (!status)
        status = run_model(&(comparer){.comparison = c, .other = &capture}, job->session, &job->ids);
    for (int64_t i = 0; i < c->layer_count && !status; i++)
        judge_by_tolerance(&c->layers[i], o->tolerance.value);
    judge_by_tolerance(&c->logits, o->tolerance.value);
    if (!status && greedy > 0)
        status = continue_greedily(job->session, &job->ids, greedy, &mine);
    if (!status)
        compare_ids(c, &theirs, &mine);
    alloy_cli_capture_free(&capture);
    alloy_ids_free(&mine);
    alloy_ids_free(&theirs);
    return status;
}

static alloy_status against_model(alloy_cli_job *job, alloy_cli_comparison *comparison)
{
    const compare_options *o = job->options;
    alloy_model *other;
    alloy_status status = alloy_cli_open_model(&other, job->common, o->reference);
    if (!status)
        status = compare_models(job, other, comparison);
    alloy_model_close(other);
    return status;
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static alloy_status run(alloy_cli_job *job)
{
    const compare_options *o = job->options;
    alloy_cli_comparison comparison = {.model = job->common->model,
                                       .reference = o->reference,
                                       .against_model =
                                           !alloy_file_exists(o->reference) && !alloy_cli_is_safetensors(o->reference)};
    alloy_status status =
        comparison.against_model ? against_model(job, &comparison) : against_reference(job, &comparison);
    if (!status)
        status = alloy_cli_comparison_print(&comparison, job->common->json);
    alloy_cli_comparison_close(&comparison);
    return status;
}

#define OPTION(field) offsetof(compare_options, field)

static const alloy_cli_place places[] = {
    ALLOY_CLI_MODEL_PLACE(ALLOY_CLI_MODEL_HELP),
    {.name = "REFERENCE",
     .offset = OPTION(reference),
     .use = ALLOY_CLI_READS,
     .help = "a safetensors file with input_ids, logits, hidden.I and greedy; or another model, which runs the ids of "
             "the flags"},
    {0},
};

static const alloy_cli_option flags[] = {
    ALLOY_CLI_IDS_FLAGS,
    ALLOY_CLI_DRAW_FLAGS,
    {.name = "tolerance",
     .kind = ALLOY_CLI_NUMBER,
     .offset = OPTION(tolerance),
     .value = "X",
     .most = 1e9,
     .help = "two models: the largest difference that passes (default: 0, identical)"},
    ALLOY_CLI_CHUNK_FLAG,
    {0},
};

const alloy_cli_command alloy_cli_compare = {
    .name = "compare",
    .summary = "a model against reference tensors, or another model",
    .about = "Prints, layer by layer, how far the model is from a reference: largest absolute error, the same relative "
             "to the largest value, and how often both choose the same token. Logits and layers pass within a share of "
             "their largest value: 2e-6 for a reference computed in float64, 1e-5 in float32, 2e-2 in float16, 0.15 in "
             "bfloat16; a number that is not finite passes only beside the same infinity; where transformers' own "
             "float32 is known (NAME.json beside NAME.safetensors), logits within "
             "its error and layers within the larger of the two. Greedy ids must be equal. With --num-layers logits "
             "are compared when the reference is of as many layers. script/reference makes references of models that "
             "do not fit in memory. Two models are compared with each other in the same way, the second as the "
             "reference. Exit code 1 when something departs.",
    .examples = "  alloy compare tests/golden/qwen3 tests/golden/qwen3/expected.safetensors\n"
                "  alloy compare MODEL first.safetensors --num-layers 2\n"
                "  alloy compare MODEL OTHER --ids-file prompt.json --tolerance 1e-3\n",
    .places = places,
    .flags = flags,
    .options_size = sizeof(compare_options),
    .opens = ALLOY_CLI_SESSION,
    .read = alloy_cli_read_ids,
    .run = run,
};
