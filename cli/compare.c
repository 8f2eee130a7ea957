/* alloy compare: a model against a file of reference tensors, or against another model, layer by layer.
 *
 * Against a reference in fp64: logits may depart by as much as transformers' own float32 does, a layer's output by the
 * larger of that and 2e-6 of its largest value. Where nobody measured transformers, 2e-6 of the largest value serves
 * for the logits too. Against another model: by --tolerance. */
#include <math.h>

#include "base/file.h"
#include "base/status.h"
#include "capture.h"
#include "comparison.h"
#include "ids.h"
#include "job.h"
#include "reference.h"

static const double SHARE_OF_LARGEST = 2e-6;

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

/* ---- Against a reference ----------------------------------------------------------------------------------------- */

static alloy_cli_row judge(const alloy_cli_distance *distance, double theirs, bool is_layer)
{
    double share = SHARE_OF_LARGEST * distance->largest;
    alloy_cli_row row = {.error = distance->error, .largest = distance->largest, .theirs = theirs};
    row.bound = isnan(theirs) || (is_layer && share > theirs) ? share : theirs;
    row.passed = row.error <= row.bound;
    return row;
}

static alloy_status judge_layers(alloy_cli_comparison *comparison, const alloy_cli_reference *reference,
                                 const alloy_cli_capture *capture)
{
    int64_t layers = reference->layers < capture->layers ? reference->layers : capture->layers;
    for (int64_t i = 0; i < layers; i++) {
        alloy_cli_distance distance;
        alloy_status status =
            alloy_cli_reference_distance(alloy_cli_reference_hidden(reference, i), alloy_cli_capture_layer(capture, i),
                                         capture->tokens * capture->width, &distance);
        if (status)
            return status;
        comparison->layers[i] =
            judge(&distance, i < reference->hidden_error_count ? reference->hidden_error[i] : NAN, true);
    }
    comparison->layer_count = layers;
    return ALLOY_OK;
}

/* Logits and greedy ids mean something only when all layers ran. */
static alloy_status judge_end(alloy_cli_comparison *comparison, const alloy_cli_reference *reference,
                              const alloy_cli_capture *capture, alloy_session *session)
{
    alloy_cli_distance distance;
    alloy_status status = ALLOY_OK;
    if (reference->logits) {
        status = alloy_cli_reference_distance(reference->logits, capture->logits, capture->tokens * capture->vocab_size,
                                              &distance);
        comparison->has_logits = true;
        comparison->logits = judge(&distance, reference->logits_error, false);
    }
    if (status || reference->greedy.count == 0)
        return status;
    alloy_ids actual = {0};
    status = continue_greedily(session, &reference->input_ids, reference->greedy.count, &actual);
    if (!status)
        compare_ids(comparison, &reference->greedy, &actual);
    alloy_ids_free(&actual);
    return status;
}

static alloy_status against_reference(const alloy_cli_job *job, alloy_cli_comparison *comparison)
{
    const compare_options *o = job->options;
    alloy_cli_reference reference;
    alloy_cli_capture capture = {0};
    if (alloy_cli_has_ids(job) || o->common.tokens.given || o->tolerance.given)
        return alloy_fail(ALLOY_ARG, "the reference tells the ids and the bounds: --ids, --ids-file, --tokens and "
                                     "--tolerance are for two models");
    alloy_status status = alloy_cli_reference_open(&reference, o->reference);
    if (status)
        return status;
    status = alloy_cli_capture_run(&capture, job->session, &reference.input_ids, ALLOY_CLI_CAPTURE_HIDDEN, "computing");
    comparison->tokens = capture.tokens;
    if (!status)
        status = alloy_cli_comparison_open(comparison, job->model);
    if (!status)
        status = judge_layers(comparison, &reference, &capture);
    if (!status && !o->common.num_layers.given)
        status = judge_end(comparison, &reference, &capture, job->session);
    alloy_cli_capture_free(&capture);
    alloy_cli_reference_close(&reference);
    return status;
}

/* ---- Against another model --------------------------------------------------------------------------------------- */

static alloy_cli_row measure(const float *a, const float *b, int64_t count, double tolerance)
{
    alloy_cli_row row = {.theirs = NAN, .bound = tolerance};
    for (int64_t i = 0; i < count; i++) {
        double error = fabs((double)a[i] - (double)b[i]);
        if (!(error <= row.error))
            row.error = isnan(error) ? INFINITY : error;
        if (fabs((double)b[i]) > row.largest)
            row.largest = fabs((double)b[i]);
    }
    row.passed = row.error <= tolerance;
    return row;
}

static alloy_status run_other(const alloy_cli_common *common, const alloy_model *other, const alloy_ids *ids,
                              alloy_cli_capture *capture, alloy_ids *greedy, int64_t greedy_count)
{
    alloy_session *session;
    alloy_status status = alloy_cli_open_session(&session, other, common);
    if (status)
        return status;
    status = alloy_cli_capture_run(capture, session, ids, ALLOY_CLI_CAPTURE_HIDDEN, "computing the second");
    if (!status && greedy_count > 0)
        status = continue_greedily(session, ids, greedy_count, greedy);
    alloy_session_close(session);
    return status;
}

static alloy_status judge_models(const compare_options *o, alloy_cli_comparison *comparison, const alloy_cli_capture *a,
                                 const alloy_cli_capture *b)
{
    if (a->layers != b->layers || a->width != b->width)
        return alloy_fail(ALLOY_ARG, "the models cannot be compared: %lld layers of %lld and %lld layers of %lld",
                          (long long)a->layers, (long long)a->width, (long long)b->layers, (long long)b->width);
    for (int64_t i = 0; i < a->layers; i++)
        comparison->layers[i] = measure(alloy_cli_capture_layer(a, i), alloy_cli_capture_layer(b, i),
                                        a->tokens * a->width, o->tolerance.value);
    comparison->layer_count = a->layers;
    comparison->has_logits = true;
    comparison->logits = measure(a->logits, b->logits, a->tokens * a->vocab_size, o->tolerance.value);
    return ALLOY_OK;
}

static alloy_status compare_models(alloy_cli_job *job, const alloy_model *other, alloy_cli_comparison *comparison)
{
    alloy_ids mine = {0}, theirs = {0};
    alloy_cli_capture a = {0}, b = {0};
    int64_t vocab = alloy_model_vocab_size(job->model), context = alloy_model_context(job->model);
    if (vocab != alloy_model_vocab_size(other))
        return alloy_fail(ALLOY_ARG, "the models cannot be compared: vocabularies of %lld and %lld", (long long)vocab,
                          (long long)alloy_model_vocab_size(other));
    alloy_status status = alloy_cli_draw_ids(job, context - 1);
    if (!status)
        status = alloy_cli_capture_run(&a, job->session, &job->ids, ALLOY_CLI_CAPTURE_HIDDEN, "computing the first");
    comparison->tokens = a.tokens;
    int64_t room = context - job->ids.count, greedy = room < GREEDY_TOKENS ? room : GREEDY_TOKENS;
    if (!status && greedy > 0)
        status = continue_greedily(job->session, &job->ids, greedy, &mine);
    if (!status)
        status = run_other(job->common, other, &job->ids, &b, &theirs, greedy);
    if (!status)
        status = alloy_cli_comparison_open(comparison, job->model);
    if (!status)
        status = judge_models(job->options, comparison, &a, &b);
    if (!status)
        compare_ids(comparison, &theirs, &mine);
    alloy_cli_capture_free(&a);
    alloy_cli_capture_free(&b);
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
    alloy_cli_close_model(other);
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
    .about = "Prints, layer by layer, how far the model is from a reference computed in float64, beside what "
             "transformers departs from it in float32 (NAME.json beside NAME.safetensors). Logits pass within "
             "transformers' error; a layer within the larger of transformers' error and 2e-6 of its largest value; "
             "greedy ids must be equal. Two models are compared with each other in the same way. Exit code 1 when "
             "something departs.",
    .examples = "  alloy compare tests/golden/qwen3 tests/golden/qwen3/expected.safetensors\n"
                "  alloy compare MODEL OTHER --ids-file prompt.json --tolerance 1e-3\n",
    .places = places,
    .flags = flags,
    .options_size = sizeof(compare_options),
    .opens = ALLOY_CLI_SESSION,
    .read = alloy_cli_read_ids,
    .run = run,
};
