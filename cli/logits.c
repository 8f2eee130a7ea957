/* alloy logits: runs a list of ids and writes the logits of every token, and hidden states, as safetensors; and where
 * the tokens of layers with experts went, as JSON. */
#include <stdio.h>

#include "base/file_write.h"
#include "base/memory.h"
#include "base/status.h"
#include "capture.h"
#include "files/safetensors.h"
#include "job.h"
#include "output.h"
#include "outputs.h"

typedef struct logits_options {
    alloy_cli_common common;
    const char *out, *routing_out;
    bool hidden;
} logits_options;

enum { HIDDEN_NAME = 32 };

static alloy_status read_input(alloy_cli_job *job)
{
    const logits_options *o = job->options;
    if (!alloy_cli_has_ids(job))
        return alloy_fail(ALLOY_ARG, "a list of ids is needed: --ids 1,2,3 or --ids-file FILE");
    if (!o->out)
        return alloy_fail(ALLOY_ARG, "--out FILE is needed: where the logits go");
    return alloy_cli_read_ids(job);
}

/* logits [T, V], hidden.I [T, width], input_ids [T]; in the metadata what a reference says of itself (reference.h). */
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
        char num_layers[24];
        snprintf(num_layers, sizeof num_layers, "%lld", (long long)c->layers);
        const alloy_saved_metadata metadata[] = {{"format", "pt"}, {"dtype", "float32"}, {"num_layers", num_layers}};
        status = alloy_safetensors_write(alloy_cli_output_path(o->out), tensors, layers + 2, metadata, 3);
    }
    alloy_memory_free(tensors);
    alloy_memory_free(names);
    return status;
}

/* {"LAYER": [tokens of each expert], ...}: what `alloy roofline --routing` reads. */
static alloy_status save_routing(const char *path, const alloy_cli_capture *c)
{
    alloy_text text = {0};
    alloy_json_writer w;
    alloy_json_writer_open(&w, &text, 0);
    alloy_json_write_object(&w);
    for (int64_t i = 0; i < c->layers; i++) {
        char layer[24];
        if (!c->routing[i].tokens)
            continue;
        snprintf(layer, sizeof layer, "%lld", (long long)i);
        alloy_json_write_key(&w, layer);
        alloy_json_write_array(&w);
        for (int64_t e = 0; e < c->routing[i].experts; e++)
            alloy_json_write_int64(&w, c->routing[i].tokens[e]);
        alloy_json_write_array_end(&w);
    }
    alloy_json_write_object_end(&w);
    alloy_text_char(&text, '\n');
    alloy_status status = alloy_text_status(&text);
    if (!status)
        status = alloy_file_replace(alloy_cli_output_path(path), alloy_text_get(&text), text.size);
    alloy_text_free(&text);
    return status;
}

static alloy_status report(const logits_options *o, const alloy_cli_capture *c)
{
    if (!o->common.json) {
        alloy_cli_say("%s: logits [%lld, %lld]%s", o->out, (long long)c->tokens, (long long)c->vocab_size,
                      c->hidden ? " and the hidden states of each layer" : "");
        return ALLOY_OK;
    }
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 0);
    alloy_json_field_text(w, "out", o->out);
    alloy_json_field_int64(w, "tokens", c->tokens);
    alloy_json_field_int64(w, "vocab_size", c->vocab_size);
    alloy_json_field_int64(w, "hidden_layers", c->hidden ? c->layers : 0);
    return alloy_cli_document_print(&document);
}

static alloy_status run(alloy_cli_job *job)
{
    const logits_options *o = job->options;
    alloy_cli_capture capture = {0};
    int what = (o->hidden ? ALLOY_CLI_CAPTURE_HIDDEN : 0) | (o->routing_out ? ALLOY_CLI_CAPTURE_ROUTING : 0);
    alloy_status status = alloy_cli_capture_run(&capture, job->session, &job->ids, what, "prefill");
    if (!status)
        status = save(o, &capture, &job->ids);
    if (!status && o->routing_out)
        status = save_routing(o->routing_out, &capture);
    if (!status)
        status = report(o, &capture);
    alloy_cli_capture_free(&capture);
    return status;
}

#define OPTION(field) offsetof(logits_options, field)

static const alloy_cli_place places[] = {ALLOY_CLI_MODEL_PLACE(ALLOY_CLI_MODEL_HELP), {0}};

static const alloy_cli_option flags[] = {
    ALLOY_CLI_IDS_FLAGS,
    {.name = "out",
     .letter = 'o',
     .kind = ALLOY_CLI_TEXT,
     .use = ALLOY_CLI_WRITES,
     .offset = OPTION(out),
     .value = "FILE",
     .help = "the safetensors file to write, - for standard output"},
    {.name = "hidden",
     .kind = ALLOY_CLI_SWITCH,
     .offset = OPTION(hidden),
     .help = "the output of every decoder layer too"},
    {.name = "routing-out",
     .kind = ALLOY_CLI_TEXT,
     .use = ALLOY_CLI_WRITES,
     .offset = OPTION(routing_out),
     .value = "FILE",
     .help = "how many tokens went to each expert of each layer, as JSON, - for standard output"},
    ALLOY_CLI_CHUNK_FLAG,
    {0},
};

const alloy_cli_command alloy_cli_logits = {
    .name = "logits",
    .summary = "write the logits of every token to a file",
    .about = "Runs token ids through the model and writes `logits` (F32 [tokens, vocabulary]), `input_ids` and, with "
             "--hidden, `hidden.0`, `hidden.1`, ... (F32 [tokens, width], the output of each layer) as safetensors. "
             "--routing-out writes {\"LAYER\": [tokens of each expert], ...}, which `alloy roofline --routing` reads.",
    .examples = "  alloy logits MODEL --ids 1,2,3 --out logits.safetensors\n"
                "  alloy logits MODEL --ids-file prompt.json --out all.safetensors --hidden --num-layers 4\n"
                "  alloy tokenize MODEL \"Call me\" | alloy logits MODEL --ids-file - --out logits.safetensors\n",
    .places = places,
    .flags = flags,
    .options_size = sizeof(logits_options),
    .opens = ALLOY_CLI_SESSION,
    .read = read_input,
    .run = run,
};
