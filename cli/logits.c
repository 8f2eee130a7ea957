/* alloy logits: the logits of given ids, and the output of every layer, as a safetensors file. */
#include <stddef.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/status.h"
#include "common.h"
#include "evaluate.h"
#include "files/json.h"
#include "files/safetensors.h"
#include "output.h"

enum { LONGEST_NAME = 32 };

typedef struct logits_options {
    alloy_cli_common common;
    const char *model, *ids, *ids_file, *out;
    bool hidden;
    alloy_cli_integer chunk;
} logits_options;

static alloy_status save(const alloy_cli_evaluation *e, const char *path)
{
    int64_t count = 1 + (e->hidden ? e->layers : 0);
    alloy_saved_tensor *tensors = alloy_memory_zeroed((size_t)count, sizeof *tensors);
    char(*names)[LONGEST_NAME] = alloy_memory_new((size_t)count, sizeof *names);
    alloy_status status = tensors && names ? ALLOY_OK : ALLOY_NOMEM;
    for (int64_t i = 0; i < count && !status; i++) {
        bool is_logits = i == count - 1;
        snprintf(names[i], sizeof names[i], is_logits ? "logits" : "hidden.%lld", (long long)i);
        tensors[i] = (alloy_saved_tensor){
            .name = names[i], .dtype = ALLOY_F32, .ndim = 2, .data = is_logits ? e->logits : e->hidden[i]};
        tensors[i].shape[0] = (uint64_t)e->tokens;
        tensors[i].shape[1] = (uint64_t)(is_logits ? e->vocab : e->width);
    }
    if (!status)
        status = alloy_safetensors_write(path, tensors, count, NULL, 0);
    alloy_memory_free(tensors);
    alloy_memory_free(names);
    return status;
}

static alloy_status tell(const logits_options *o, const alloy_cli_evaluation *e)
{
    if (!o->common.json) {
        alloy_cli_say("%s: logits [%lld, %lld]%s", o->out, (long long)e->tokens, (long long)e->vocab,
                      e->hidden ? " and hidden states" : "");
        return ALLOY_OK;
    }
    alloy_text text = {0};
    alloy_json_writer w;
    alloy_json_writer_open(&w, &text, 2);
    alloy_json_write_object(&w);
    alloy_json_write_key(&w, "tokens");
    alloy_json_write_int64(&w, e->tokens);
    alloy_json_write_key(&w, "vocab_size");
    alloy_json_write_int64(&w, e->vocab);
    alloy_json_write_key(&w, "hidden_states");
    alloy_json_write_int64(&w, e->hidden ? e->layers : 0);
    alloy_json_write_object_end(&w);
    alloy_status status = alloy_cli_print_json(&text);
    alloy_text_free(&text);
    return status;
}

static alloy_status run(const void *options)
{
    const logits_options *o = options;
    alloy_ids ids = {0};
    alloy_model *model = NULL;
    alloy_session *session = NULL;
    alloy_cli_evaluation e = {0};
    alloy_status status =
        o->out ? alloy_cli_ids_given(&ids, o->ids, o->ids_file) : alloy_fail(ALLOY_ARG, "--out FILE is needed");
    if (!status)
        status = alloy_cli_open_model(&model, &o->common, o->model);
    if (!status)
        status = alloy_cli_open_session(&session, model, &o->common, o->chunk.value);
    if (!status)
        status = alloy_cli_evaluate(&e, session, &ids, o->hidden);
    if (!status)
        status = save(&e, o->out);
    if (!status)
        status = tell(o, &e);
    alloy_cli_evaluation_free(&e);
    alloy_session_close(session);
    alloy_cli_close_model(model);
    alloy_ids_free(&ids);
    return status;
}

#define AT(field) offsetof(logits_options, field)

static const alloy_cli_place places[] = {
    {.name = "MODEL", .offset = AT(model), .help = "A model's folder, or user/name in the Hub's cache"}};

static const alloy_cli_option flags[] = {
    {.name = "ids", .kind = ALLOY_CLI_TEXT, .offset = AT(ids), .value = "1,2,3", .help = "Token ids"},
    {.name = "ids-file",
     .kind = ALLOY_CLI_TEXT,
     .offset = AT(ids_file),
     .value = "FILE",
     .help = "Token ids: a JSON list, words between white space, or a safetensors file with input_ids"},
    {.name = "out",
     .letter = 'o',
     .kind = ALLOY_CLI_TEXT,
     .offset = AT(out),
     .value = "FILE",
     .help = "The safetensors file to write"},
    {.name = "hidden",
     .kind = ALLOY_CLI_SWITCH,
     .offset = AT(hidden),
     .help = "Also the output of every layer: hidden.0, hidden.1, ..."},
    {.name = "chunk",
     .kind = ALLOY_CLI_INTEGER,
     .offset = AT(chunk),
     .value = "N",
     .least = 1,
     .most = 1 << 20,
     .help = "Tokens of one forward (default: 512). Never changes a result"},
};

const alloy_cli_command alloy_cli_logits = {
    .name = "logits",
    .summary = "logits and hidden states of given ids, to a file",
    .about = "Runs a model over given token ids and writes logits [tokens, vocab], f32, into a safetensors file; with "
             "--hidden also what every "
             "layer puts out.",
    .examples = "  alloy logits examples/models/moby --ids 1,2,3 --out logits.safetensors --hidden\n",
    .places = places,
    .place_count = 1,
    .options = flags,
    .option_count = sizeof flags / sizeof *flags,
    .opens_model = true,
    .options_size = sizeof(logits_options),
    .run = run,
};
