/* What a command works on (job.h). */
#include "job.h"

#include <string.h>

#include "alloy/extend.h"
#include "base/status.h"
#include "ids.h"
#include "output.h"
#include "table.h"

enum { DRAWN_TOKENS = 200 };

/* ---- Models, sessions, tokenizers -------------------------------------------------------------------------------- */

alloy_status alloy_cli_open_model(alloy_model **model, const alloy_cli_common *common, const char *where)
{
    *model = NULL;
    alloy_load_options options = {
        .size = sizeof options,
        .num_layers = common->num_layers.value,
        .no_mmap = common->no_mmap,
        .allow_unused = common->allow_unused,
        .follow_symlinks = common->follow_symlinks,
        .weight_memory = (uint64_t)common->weight_memory.value,
    };
    alloy_status status = alloy_model_open(model, where, &options);
    if (status)
        return status;
    alloy_cli_detail("%s: %lld layers, %lld tensors", where,
                     (long long)alloy_config_num_layers(alloy_model_config(*model)),
                     (long long)alloy_model_tensors(*model));
    return ALLOY_OK;
}

alloy_status alloy_cli_open_tokenizer_in(alloy_tokenizer **tokenizer, const alloy_model_files *files)
{
    bool exists;
    *tokenizer = NULL;
    alloy_status status = alloy_model_files_has(files, "tokenizer.json", &exists);
    if (!status && !exists)
        status = alloy_fail(ALLOY_IO, "%s: there is no tokenizer.json; ids (--ids 1,2,3) need none",
                            alloy_printable_path(alloy_model_files_folder(files)));
    return status ? status : alloy_tokenizer_open_in(tokenizer, files);
}

alloy_status alloy_cli_open_tokenizer(alloy_tokenizer **tokenizer, const alloy_cli_common *common, const char *where)
{
    *tokenizer = NULL;
    if (alloy_cli_is_file(where))
        return alloy_tokenizer_open(tokenizer, where);
    alloy_model_files *files;
    alloy_status status = alloy_model_files_find(&files, where, common->follow_symlinks);
    status = status ? status : alloy_cli_open_tokenizer_in(tokenizer, files);
    alloy_model_files_release(files);
    return status;
}

alloy_session_options alloy_cli_session_options(const alloy_cli_common *common)
{
    return (alloy_session_options){
        .size = sizeof(alloy_session_options),
        .threads = (int)common->threads.value,
        .cpu = common->cpu,
        .chunk = common->chunk.value,
        .kv_dtype = common->kv_dtype ? alloy_cli_dtype(common->kv_dtype) : ALLOY_F32,
    };
}

alloy_status alloy_cli_open_session(alloy_session **session, const alloy_model *model, const alloy_cli_common *common)
{
    alloy_session_options options = alloy_cli_session_options(common);
    alloy_status status = alloy_session_open(session, model, &options);
    if (!status)
        alloy_cli_detail("kernels: %s, threads: %d", alloy_session_cpu(*session), alloy_session_threads(*session));
    return status;
}

/* ---- A model from its config alone ------------------------------------------------------------------------------- */

/* Has MODEL a config and no weights? What cannot be opened at all is left to who opens it. */
static bool is_config_alone(const alloy_cli_common *common)
{
    alloy_model_files *files;
    bool single, index;
    if (alloy_cli_is_file(common->model))
        return true;
    if (alloy_model_files_find(&files, common->model, common->follow_symlinks))
        return false;
    bool alone = !alloy_model_files_has(files, "model.safetensors", &single) && !single &&
                 !alloy_model_files_has(files, "model.safetensors.index.json", &index) && !index;
    alloy_model_files_release(files);
    return alone;
}

static alloy_status open_config(alloy_config **config, const alloy_cli_common *common)
{
    if (alloy_cli_is_file(common->model))
        return alloy_config_open(config, common->model);
    alloy_model_files *files;
    alloy_status status = alloy_model_files_find(&files, common->model, common->follow_symlinks);
    status = status ? status : alloy_config_open_in(config, files);
    alloy_model_files_release(files);
    return status;
}

static alloy_status describe_model(alloy_cli_job *job)
{
    alloy_status status = open_config(&job->config, job->common);
    if (status)
        return status;
    int64_t layers = job->common->num_layers.value, has = alloy_config_num_layers(job->config);
    if (layers > has)
        return alloy_fail(ALLOY_RANGE, "--num-layers is %lld, the config has %lld layers", (long long)layers,
                          (long long)has);
    if (layers > 0)
        alloy_config_keep_layers(job->config, layers);
    status = alloy_model_describe(&job->model, job->config);
    return status ? alloy_fail_in(status, alloy_printable_path(job->common->model)) : ALLOY_OK;
}

/* ---- Ids --------------------------------------------------------------------------------------------------------- */

bool alloy_cli_has_ids(const alloy_cli_job *job)
{
    return job->common->ids || job->common->ids_file;
}

alloy_status alloy_cli_read_ids(alloy_cli_job *job)
{
    const alloy_cli_common *c = job->common;
    if (c->ids && c->ids_file)
        return alloy_fail(ALLOY_ARG, "one list of ids is needed: --ids 1,2,3 or --ids-file FILE, not both of them");
    alloy_status status = ALLOY_OK;
    if (c->ids)
        status = alloy_cli_ids_parse(&job->ids, c->ids, strlen(c->ids), "--ids", ALLOY_ARG);
    else if (c->ids_file)
        status = alloy_cli_ids_read(&job->ids, c->ids_file);
    if (!status && alloy_cli_has_ids(job) && job->ids.count == 0)
        return alloy_fail(ALLOY_ARG, "no token ids were given");
    return status;
}

alloy_status alloy_cli_draw_ids(alloy_cli_job *job, int64_t most)
{
    const alloy_cli_integer *tokens = &job->common->tokens;
    if (alloy_cli_has_ids(job))
        return ALLOY_OK;
    int64_t count = tokens->given ? tokens->value : most < DRAWN_TOKENS ? most : DRAWN_TOKENS;
    alloy_status status = alloy_ids_fit(count, job->model);
    if (status)
        return status;
    return alloy_ids_draw(&job->ids, count, alloy_model_vocab_size(job->model), (uint64_t)job->common->seed.value, 0);
}

/* ---- The job ----------------------------------------------------------------------------------------------------- */

static alloy_status open_job(alloy_cli_job *job, alloy_cli_opens opens)
{
    const alloy_cli_common *common = job->common;
    if (opens == ALLOY_CLI_NOTHING || !common->model) /* an optional MODEL that was not given */
        return ALLOY_OK;
    if (opens == ALLOY_CLI_TOKENIZER)
        return alloy_cli_open_tokenizer(&job->tokenizer, common, common->model);
    if (opens == ALLOY_CLI_CONFIG || (opens == ALLOY_CLI_MODEL_OR_CONFIG && is_config_alone(common)))
        return describe_model(job);
    alloy_status status = alloy_cli_open_model(&job->model, common, common->model);
    if (!status) /* before anything is made for them */
        status = alloy_ids_fit(job->ids.count, job->model);
    if (!status && opens == ALLOY_CLI_SESSION)
        status = alloy_cli_open_session(&job->session, job->model, common);
    return status;
}

/* What --weight-memory did, for who gave it. */
static void tell_weight_memory(const alloy_cli_job *job)
{
    alloy_weight_memory memory;
    if (!job->model)
        return;
    alloy_model_weight_memory(job->model, &memory);
    if (memory.limit == 0)
        return;
    alloy_cli_say("weights: at most %s of %s in memory, %s read (%s ahead), %s were there, %s from disks",
                  alloy_cli_bytes((double)memory.peak), alloy_cli_bytes((double)memory.limit),
                  alloy_cli_bytes((double)memory.read), alloy_cli_bytes((double)memory.ahead),
                  alloy_cli_bytes((double)memory.hits), memory.disk < 0 ? "?" : alloy_cli_bytes((double)memory.disk));
}

static void close_job(alloy_cli_job *job)
{
    alloy_session_close(job->session);
    alloy_model_close(job->model);
    alloy_tokenizer_close(job->tokenizer);
    alloy_config_close(job->config);
    alloy_ids_free(&job->ids);
    alloy_text_free(&job->text);
}

alloy_status alloy_cli_run(const alloy_cli_command *command, const void *options)
{
    alloy_cli_job job = {.options = options, .common = options};
    alloy_status status = command->read ? command->read(&job) : ALLOY_OK;
    if (!status)
        status = open_job(&job, command->opens);
    if (!status)
        status = command->run(&job);
    if (!status)
        tell_weight_memory(&job);
    if (!status)
        status = alloy_cli_flush();
    close_job(&job);
    return status;
}
