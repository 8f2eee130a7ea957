/* alloy init: random weights for a config. */
#include <stddef.h>

#include "base/status.h"
#include "job.h"
#include "output.h"
#include "progress.h"

typedef struct init_options {
    alloy_cli_common common;
    const char *config, *out, *dtype;
    alloy_cli_integer seed, max_shard_size;
} init_options;

static void show_progress(void *user, uint64_t done, uint64_t bytes)
{
    (void)user;
    alloy_cli_progress("init", "MB", (int64_t)(done / 1000000), (int64_t)(bytes / 1000000));
}

static alloy_status tell(const init_options *o)
{
    if (!o->common.json) {
        alloy_cli_say("%s: weights drawn with seed %lld", o->out, (long long)o->seed.value);
        return ALLOY_OK;
    }
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 2);
    alloy_json_field_text(w, "folder", o->out);
    alloy_json_field_int64(w, "seed", o->seed.value);
    return alloy_cli_document_print(&document);
}

static alloy_status run(alloy_cli_job *job)
{
    const init_options *o = job->options;
    const alloy_init_options options = {.size = sizeof options,
                                        .seed = (uint64_t)o->seed.value,
                                        .dtype = alloy_cli_dtype(o->dtype),
                                        .max_shard_size = (uint64_t)o->max_shard_size.value,
                                        .force = o->common.force,
                                        .follow_symlinks = o->common.follow_symlinks,
                                        .progress = show_progress};
    alloy_status status =
        o->out ? alloy_init(o->config, o->out, &options) : alloy_fail(ALLOY_ARG, "--out FOLDER is needed");
    alloy_cli_progress_clear();
    return status ? status : tell(o);
}

#define OPTION(field) offsetof(init_options, field)

static const alloy_cli_place places[] = {
    {.name = "CONFIG",
     .offset = OPTION(config),
     .use = ALLOY_CLI_READS,
     .help = "a config.json, or a folder that holds one"},
    {0},
};

static const alloy_cli_option flags[] = {
    ALLOY_CLI_OUT_FOLDER_FLAGS(OPTION(out)),
    {.name = "seed",
     .kind = ALLOY_CLI_INTEGER,
     .offset = OPTION(seed),
     .value = "N",
     .least = 0,
     .most = 9e15,
     .help = "of the draws (default: 0)"},
    {.name = "dtype",
     .kind = ALLOY_CLI_CHOICE,
     .offset = OPTION(dtype),
     .value = "DTYPE",
     .choices = "f32 bf16 f16",
     .help = "of the weights (default: the config's)"},
    ALLOY_CLI_SHARD_SIZE_FLAG(OPTION(max_shard_size)),
    {0},
};

const alloy_cli_command alloy_cli_init = {
    .name = "init",
    .summary = "random weights for a config",
    .about = "Writes a model folder with random weights: each element is drawn from (seed, name of its parameter, "
             "place in it), so the same seed gives the same bytes everywhere.",
    .examples = "  alloy init examples/configs/composed.json --out build/composed --seed 1\n",
    .places = places,
    .flags = flags,
    .options_size = sizeof(init_options),
    .run = run,
};
