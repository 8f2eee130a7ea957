/* alloy logits: runs a list of ids and writes the logits of every token, and hidden states, as safetensors. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "capture.h"
#include "common.h"
#include "fields.h"
#include "files/safetensors.h"
#include "ids.h"
#include "output.h"

typedef struct logits_options {
    alloy_cli_common common;
    const char *model, *ids, *ids_file, *out;
    bool hidden;
    alloy_cli_integer chunk;
} logits_options;

enum { HIDDEN_NAME = 32 };

static alloy_status read_ids(const logits_options *o, alloy_ids *ids)
{
    if ((o->ids != NULL) == (o->ids_file != NULL))
        return alloy_fail(ALLOY_ARG, "one list of ids is needed: --ids 1,2,3 or --ids-file FILE");
    if (!o->out)
        return alloy_fail(ALLOY_ARG, "--out FILE is needed: where the logits go");
    return o->ids ? alloy_cli_ids_parse(ids, o->ids, strlen(o->ids), "--ids", ALLOY_ARG)
                  : alloy_cli_ids_read(ids, o->ids_file);
}

/* logits [T, V], hidden.I [T, width], input_ids [T]. */
static alloy_status save(const logits_options *o, const alloy_cli_capture *c, const alloy_ids *ids)
{
    int64_t layers = c->hidden ? c->layers : 0;
    alloy_saved_tensor *tensors = alloy_memory_zeroed((size_t)layers + 2, sizeof *tensors);
    char(*names)[HIDDEN_NAME] = alloy_memory_new((size_t)layers, HIDDEN_NAME);
    alloy_status status = tensors && names ? ALLOY_OK : ALLOY_NOMEM;
    if (!status) {
        uint64_t tokens = (uint64_t)c->tokens;
        tensors[0] = (alloy_saved_tensor){.name = "logits",
                                          .dtype = ALLOY_F32,
                                          .ndim = 2,
                                          .shape = {tokens, (uint64_t)c->vocab_size},
                                          .data = c->logits};
        tensors[1] = (alloy_saved_tensor){
            .name = "input_ids", .dtype = ALLOY_I64, .ndim = 1, .shape = {tokens}, .data = ids->ids};
        for (int64_t i = 0; i < layers; i++) {
            snprintf(names[i], HIDDEN_NAME, "hidden.%lld", (long long)i);
            tensors[2 + i] = (alloy_saved_tensor){.name = names[i],
                                                  .dtype = ALLOY_F32,
                                                  .ndim = 2,
                                                  .shape = {tokens, (uint64_t)c->width},
                                                  .data = alloy_cli_capture_layer(c, i)};
        }
        status = alloy_safetensors_write(o->out, tensors, layers + 2, NULL, 0);
    }
    alloy_memory_free(tensors);
    alloy_memory_free(names);
    return status;
}

static alloy_status report(const logits_options *o, const alloy_cli_capture *c)
{
    if (!o->common.json) {
        alloy_cli_say("%s: logits [%lld, %lld]%s", o->out, (long long)c->tokens, (long long)c->vocab_size,
                      c->hidden ? " and the hidden states of each layer" : "");
        return ALLOY_OK;
    }
    alloy_text text = {0};
    alloy_json_writer w;
    alloy_json_writer_open(&w, &text, 0);
    alloy_json_write_object(&w);
    alloy_cli_field_text(&w, "out", o->out);
    alloy_cli_field_int64(&w, "tokens", c->tokens);
    alloy_cli_field_int64(&w, "vocab_size", c->vocab_size);
    alloy_cli_field_int64(&w, "hidden_layers", c->hidden ? c->layers : 0);
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
    alloy_cli_capture capture = {0};
    alloy_status status = read_ids(o, &ids);
    if (!status)
        status = alloy_cli_open_model(&model, &o->common, o->model);
    if (!status)
        status = alloy_cli_open_session(&session, model, &o->common, o->chunk.value);
    if (!status)
        status = alloy_cli_capture_run(&capture, session, &ids, o->hidden, "prefill");
    if (!status)
        status = save(o, &capture, &ids);
    if (!status)
        status = report(o, &capture);
    alloy_cli_capture_free(&capture);
    alloy_session_close(session);
    alloy_cli_close_model(model);
    alloy_ids_free(&ids);
    return status;
}

#define OPTION(field) offsetof(logits_options, field)

static const alloy_cli_place places[] = {
    {.name = "MODEL", .offset = OPTION(model), .help = "a folder, or user/name in the Hub's cache"},
};

static const alloy_cli_option flags[] = {
    {.name = "ids-file",
     .letter = 'f',
     .kind = ALLOY_CLI_TEXT,
     .offset = OPTION(ids_file),
     .value = "FILE",
     .help = "a JSON list, whole numbers between white space or commas, or a safetensors file with input_ids; - for "
             "standard input"},
    {.name = "ids", .kind = ALLOY_CLI_TEXT, .offset = OPTION(ids), .value = "1,2,3", .help = "the ids"},
    {.name = "out",
     .letter = 'o',
     .kind = ALLOY_CLI_TEXT,
     .offset = OPTION(out),
     .value = "FILE",
     .help = "the safetensors file to write"},
    {.name = "hidden",
     .kind = ALLOY_CLI_SWITCH,
     .offset = OPTION(hidden),
     .help = "the output of every decoder layer too"},
    {.name = "chunk",
     .kind = ALLOY_CLI_INTEGER,
     .offset = OPTION(chunk),
     .value = "N",
     .least = 1,
     .most = 1 << 20,
     .help = "tokens of a forward (default: 512); results do not depend on it"},
};

const alloy_cli_command alloy_cli_logits = {
    .name = "logits",
    .summary = "write the logits of every token to a file",
    .about = "Runs token ids through the model and writes `logits` (F32 [tokens, vocabulary]), `input_ids` and, with "
             "--hidden, `hidden.0`, "
             "`hidden.1`, ... (F32 [tokens, width], the output of each layer) as safetensors.",
    .examples = "  alloy logits MODEL --ids 1,2,3 --out logits.safetensors\n"
                "  alloy logits MODEL --ids-file prompt.json --out all.safetensors --hidden --num-layers 4\n"
                "  alloy tokenize MODEL \"Call me\" | alloy logits MODEL --ids-file - --out logits.safetensors\n",
    .places = places,
    .place_count = sizeof places / sizeof *places,
    .options = flags,
    .option_count = sizeof flags / sizeof *flags,
    .opens_model = true,
    .options_size = sizeof(logits_options),
    .run = run,
};
