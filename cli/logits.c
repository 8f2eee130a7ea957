/* alloy logits: runs a list of ids and writes the logits of every token, and hidden states, as safetensors; and where
 * the tokens of layers with experts went, as JSON. */
#include "alloy/compare.h"
#include "base/status.h"
#include "job.h"
#include "output.h"
#include "outputs.h"
#include "progress.h"

typedef struct logits_options {
    alloy_cli_common common;
    const char *out, *routing_out;
    bool hidden;
} logits_options;

static alloy_status read_input(alloy_cli_job *job)
{
    const logits_options *o = job->options;
    if (!alloy_cli_has_ids(job))
        return alloy_fail(ALLOY_ARG, "a list of ids is needed: --ids 1,2,3 or --ids-file FILE");
    if (!o->out)
        return alloy_fail(ALLOY_ARG, "--out FILE is needed: where the logits go");
    return alloy_cli_read_ids(job);
}

static alloy_status report(const logits_options *o, const alloy_capture *c)
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
    const alloy_capture_options options = {.size = sizeof options,
                                           .hidden = o->hidden,
                                           .routing = o->routing_out != NULL,
                                           .progress = alloy_cli_progress_of,
                                           .user = "tokens"};
    alloy_capture *capture;
    alloy_status status = alloy_capture_open(&capture, job->session, job->ids.ids, job->ids.count, &options);
    if (!status)
        status = alloy_capture_write(capture, alloy_cli_output_path(o->out));
    if (!status && o->routing_out)
        status = alloy_capture_write_routing(capture, alloy_cli_output_path(o->routing_out));
    if (!status)
        status = report(o, capture);
    alloy_capture_close(capture);
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
