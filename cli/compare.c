/* alloy compare: a model against a file of reference tensors, another model, or itself in double precision, layer by
 * layer. */
#include "base/status.h"
#include "comparison.h"
#include "ids.h"
#include "job.h"
#include "output.h"
#include "progress.h"

typedef struct compare_options {
    alloy_cli_common common;
    const char *reference;
    bool oracle;
    alloy_cli_number tolerance;
} compare_options;

static alloy_compare_options options_of(const compare_options *o)
{
    return (alloy_compare_options){.size = sizeof(alloy_compare_options),
                                   .tolerance = o->tolerance.value,
                                   .judged = o->tolerance.given,
                                   .no_mmap = o->common.no_mmap,
                                   .progress = alloy_cli_progress_of,
                                   .user = "tokens"};
}

static alloy_status against_reference(const alloy_cli_job *job, alloy_comparison **comparison)
{
    const compare_options *o = job->options;
    const alloy_compare_options options = options_of(o);
    if (alloy_cli_has_ids(job) || o->common.tokens.given || o->tolerance.given)
        return alloy_fail(ALLOY_ARG, "the reference tells the ids and the bounds: --ids, --ids-file, --tokens and "
                                     "--tolerance are for two models");
    return alloy_compare_reference(comparison, job->session, o->reference, &options);
}

static alloy_status compare_models(alloy_cli_job *job, const alloy_model *other, alloy_comparison **comparison)
{
    const alloy_compare_options options = options_of(job->options);
    alloy_session *session = NULL;
    alloy_status status = alloy_compare_check(job->model, other);
    if (!status)
        status = alloy_cli_draw_ids(job, alloy_model_context(job->model) - 1);
    if (!status)
        status = alloy_cli_open_session(&session, other, job->common);
    if (!status)
        status = alloy_compare_models(comparison, job->session, session, job->ids.ids, job->ids.count, &options);
    alloy_session_close(session);
    return status;
}

static alloy_status against_model(alloy_cli_job *job, alloy_comparison **comparison)
{
    const compare_options *o = job->options;
    alloy_model *other;
    alloy_status status = alloy_cli_open_model(&other, job->common, o->reference);
    if (!status)
        status = compare_models(job, other, comparison);
    alloy_model_close(other);
    return status;
}

static alloy_status against_oracle(alloy_cli_job *job, alloy_comparison **comparison)
{
    const alloy_compare_options options = options_of(job->options);
    alloy_status status = alloy_cli_draw_ids(job, alloy_model_context(job->model));
    return status ? status : alloy_compare_oracle(comparison, job->session, job->ids.ids, job->ids.count, &options);
}

static alloy_status compare(alloy_cli_job *job, alloy_comparison **comparison)
{
    const compare_options *o = job->options;
    if (!o->oracle == !o->reference)
        return alloy_fail(ALLOY_ARG, "what to compare with: REFERENCE or --oracle, one of the two");
    if (o->oracle)
        return against_oracle(job, comparison);
    bool against_file = alloy_cli_is_file(o->reference) || alloy_cli_is_safetensors(o->reference);
    return against_file ? against_reference(job, comparison) : against_model(job, comparison);
}

static alloy_status run(alloy_cli_job *job)
{
    const compare_options *o = job->options;
    const char *reference = o->oracle ? "the oracle" : o->reference;
    alloy_comparison *comparison = NULL;
    alloy_status status = compare(job, &comparison);
    if (!status)
        status = alloy_cli_comparison_print(comparison, reference, job->common);
    if (!status)
        status = alloy_comparison_status(comparison, job->common->model, reference);
    alloy_comparison_close(comparison);
    return status;
}

#define OPTION(field) offsetof(compare_options, field)

static const alloy_cli_place places[] = {
    ALLOY_CLI_MODEL_PLACE(ALLOY_CLI_MODEL_HELP),
    {.name = "REFERENCE",
     .offset = OPTION(reference),
     .use = ALLOY_CLI_READS,
     .optional = true,
     .help = "a safetensors file with input_ids, logits, hidden.I and greedy; or another model, which runs the ids of "
             "the flags"},
    {0},
};

static const alloy_cli_option flags[] = {
    ALLOY_CLI_IDS_FLAGS,
    ALLOY_CLI_DRAW_FLAGS,
    {.name = "oracle",
     .kind = ALLOY_CLI_SWITCH,
     .offset = OPTION(oracle),
     .help = "in place of REFERENCE: the same model in double precision, which takes the same experts and entries"},
    {.name = "tolerance",
     .kind = ALLOY_CLI_NUMBER,
     .offset = OPTION(tolerance),
     .value = "X",
     .most = 1e9,
     .help = "two models: the largest difference that passes (default: 0, identical); with --oracle: the largest "
             "error (default: any that is finite)"},
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
             "reference. With --oracle the reference is the model itself, every op in double precision: what float32 "
             "costs, of any composition and without another program; experts and entries that double precision would "
             "have chosen otherwise are listed. Exit code 1 when something departs.",
    .examples = "  alloy compare MODEL --oracle --tokens 100\n"
                "  alloy compare tests/golden/qwen3 tests/golden/qwen3/expected.safetensors\n"
                "  alloy compare MODEL first.safetensors --num-layers 2\n"
                "  alloy compare MODEL OTHER --ids-file prompt.json --tolerance 1e-3\n",
    .places = places,
    .flags = flags,
    .options_size = sizeof(compare_options),
    .opens = ALLOY_CLI_SESSION,
    .read = alloy_cli_read_ids,
    .run = run,
};
