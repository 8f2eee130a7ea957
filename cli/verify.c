/* alloy verify: the reproducibility promise, tried on this machine (alloy/compare.h). */
#include <stdio.h>
#include <string.h>

#include "alloy/compare.h"
#include "job.h"
#include "output.h"
#include "progress.h"
#include "table.h"

/* "whole" or a number. */
static const char *chunk_name(const alloy_verify_run *run, char buffer[24])
{
    snprintf(buffer, 24, "%lld", (long long)run->chunk);
    return run->chunk ? buffer : "whole";
}

static bool all_identical(const alloy_verification *v)
{
    return v->first_difference == v->run_count;
}

static void print_table(const alloy_verification *v)
{
    alloy_table table;
    alloy_table_open(&table, ">threads|>chunk|>batch|cache|cpu|result");
    for (int i = 0; i < v->run_count; i++) {
        char buffer[24];
        const alloy_verify_run *run = &v->runs[i];
        alloy_table_cell(&table, "%d", run->threads);
        alloy_table_cell(&table, "%s", chunk_name(run, buffer));
        alloy_table_cell(&table, "%d", run->batch);
        alloy_table_cell(&table, "%s", run->cache);
        alloy_table_cell(&table, "%s", run->cpu);
        if (run->same)
            alloy_table_cell(&table, "identical");
        else
            alloy_table_cell(&table, "DIFFERS at token %lld, logit %lld: %.9g, not %.9g", (long long)run->token,
                             (long long)run->logit, (double)run->actual, (double)run->expected);
    }
    for (int i = 0; i < v->missing_count; i++) {
        for (int column = 0; column < 4; column++)
            alloy_table_cell(&table, "-");
        alloy_table_cell(&table, "%s", v->missing[i]);
        alloy_table_cell(&table, "not run: this machine or this build lacks it");
    }
    alloy_cli_table_print(&table);
    alloy_cli_print("%lld tokens, %d runs against one thread, whole, alone, no cache, %s: %s\n", (long long)v->tokens,
                    v->run_count, v->reference_cpu, all_identical(v) ? "all identical" : "NOT identical");
}

static void write_run(alloy_json_writer *w, const alloy_verify_run *run)
{
    alloy_json_write_object(w);
    alloy_json_field_int64(w, "threads", run->threads);
    alloy_json_write_key(w, "chunk");
    if (run->chunk)
        alloy_json_write_int64(w, run->chunk);
    else
        alloy_json_write_null(w);
    alloy_json_field_int64(w, "batch", run->batch);
    alloy_json_field_text(w, "cache", run->cache);
    alloy_json_field_text(w, "cpu", run->cpu);
    alloy_json_field_bool(w, "identical", run->same);
    if (!run->same) {
        alloy_json_field_int64(w, "token", run->token);
        alloy_json_field_int64(w, "logit", run->logit);
        alloy_json_field_double(w, "expected", (double)run->expected);
        alloy_json_field_double(w, "actual", (double)run->actual);
    }
    alloy_json_write_object_end(w);
}

static alloy_status print_json(const alloy_verification *v, const char *model)
{
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 2);
    alloy_json_field_text(w, "model", model);
    alloy_json_field_int64(w, "tokens", v->tokens);
    alloy_json_field_text(w, "reference_cpu", v->reference_cpu);
    alloy_json_field_array(w, "runs");
    for (int i = 0; i < v->run_count; i++)
        write_run(w, &v->runs[i]);
    alloy_json_write_array_end(w);
    alloy_json_field_array(w, "not_run");
    for (int i = 0; i < v->missing_count; i++)
        alloy_json_write_string(w, v->missing[i], strlen(v->missing[i]));
    alloy_json_write_array_end(w);
    alloy_json_field_bool(w, "identical", all_identical(v));
    return alloy_cli_document_print(&document);
}

static alloy_status report(const alloy_verification *v, const alloy_cli_common *common)
{
    alloy_status status = ALLOY_OK;
    if (common->json)
        status = print_json(v, common->model);
    else
        print_table(v);
    status = status ? status : alloy_cli_flush();
    return status ? status : alloy_verification_status(v);
}

static alloy_status run(alloy_cli_job *job)
{
    const alloy_verify_options options = {.size = sizeof options,
                                          .cpu = job->common->cpu,
                                          .kv_dtype = alloy_cli_session_options(job->common).kv_dtype,
                                          .seed = (uint64_t)job->common->seed.value,
                                          .progress = alloy_cli_progress_of,
                                          .user = "runs"};
    alloy_verification *verification = NULL;
    alloy_status status = alloy_cli_draw_ids(job, alloy_model_context(job->model));
    if (!status)
        status = alloy_verify(&verification, job->model, job->ids.ids, job->ids.count, &options);
    alloy_cli_progress_clear();
    if (!status)
        status = report(verification, job->common);
    alloy_verification_close(verification);
    return status;
}

static const alloy_cli_place places[] = {ALLOY_CLI_MODEL_PLACE(ALLOY_CLI_MODEL_HELP), {0}};

static const alloy_cli_option flags[] = {ALLOY_CLI_IDS_FLAGS, ALLOY_CLI_DRAW_FLAGS, {0}};

const alloy_cli_command alloy_cli_verify = {
    .name = "verify",
    .summary = "try the promise of identical bits on this machine",
    .about = "Computes the logits of a list of ids over and over: with 1, 2, 3 and 8 threads; in chunks of 1, 7, 64, "
             "65 and whole; alone and between four neighbours in a batch; without a cache, after a cached prefix and "
             "token by token; on every instruction set of this machine. Settings are combined so that every two of "
             "them meet. All bits must be equal; exit code 1 when some are not. --cpu tries one instruction set only.",
    .examples = "  alloy verify examples/models/moby\n"
                "  alloy verify MODEL --cpu avx2 --tokens 100 --json\n",
    .places = places,
    .flags = flags,
    .options_size = sizeof(alloy_cli_common),
    .opens = ALLOY_CLI_MODEL,
    .read = alloy_cli_read_ids,
    .run = run,
};
