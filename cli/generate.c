/* alloy generate: continues a prompt. Text goes to stdout as it comes; the last line, on stderr, says what it took. */
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "generated.h"
#include "ids.h"
#include "job.h"
#include "output.h"
#include "progress.h"
#include "signals.h"

enum { DEFAULT_NEW_TOKENS = 256, MOST_TOP_K = 1 << 24 };

typedef struct generate_options {
    alloy_cli_common common;
    const char *prompt, *file;
    alloy_cli_integer max_new_tokens, top_k, seed, num_return_sequences, logprobs;
    alloy_cli_number temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
    alloy_cli_texts stop;
    bool sample, ignore_eos;
} generate_options;

/* ---- The prompt -------------------------------------------------------------------------------------------------- */

/* Ids, or a text that is kept until the tokenizer is open. */
static alloy_status read_input(alloy_cli_job *job)
{
    const generate_options *o = job->options;
    const char *ids = job->common->ids;
    int given = (o->prompt != NULL) + (o->file != NULL) + (ids != NULL);
    if (given > 1)
        return alloy_fail(ALLOY_ARG, "one prompt is needed: --prompt, --file or --ids, not several of them");
    if (ids)
        return alloy_cli_ids_parse(&job->ids, ids, strlen(ids), "--ids", ALLOY_ARG);
    if (o->prompt) {
        alloy_text_string(&job->text, o->prompt);
        return alloy_text_status(&job->text);
    }
    if (!o->file && isatty(STDIN_FILENO))
        return alloy_fail(ALLOY_ARG, "no prompt: give --prompt TEXT, --file FILE or --ids 1,2,3, or pipe a text in");
    alloy_status status = alloy_cli_read_file(&job->text, o->file ? o->file : "-");
    if (!status && job->text.size > 0 && job->text.bytes[job->text.size - 1] == '\n')
        job->text.bytes[--job->text.size] = 0; /* the newline that ends a file is not meant to be continued */
    return status;
}

/* Is there a tokenizer to turn ids into text? Ids alone need none. */
static alloy_status open_tokenizer(alloy_cli_job *job)
{
    const generate_options *o = job->options;
    const alloy_model *model = job->model;
    const alloy_model_files *files = alloy_model_opened_files(model);
    bool needed = !job->common->ids || o->stop.count > 0, exists;
    alloy_status status = alloy_model_files_has(files, "tokenizer.json", &exists);
    if (!status && (needed || exists))
        status = alloy_cli_open_tokenizer_in(&job->tokenizer, files);
    if (!status && job->tokenizer && alloy_tokenizer_vocab_size(job->tokenizer) > alloy_model_vocab_size(model))
        alloy_cli_say("warning: the tokenizer has %lld ids and the model %lld: those above cannot be computed",
                      (long long)alloy_tokenizer_vocab_size(job->tokenizer), (long long)alloy_model_vocab_size(model));
    return status;
}

static alloy_status encode_prompt(alloy_cli_job *job)
{
    if (job->common->ids)
        return ALLOY_OK;
    alloy_status status = alloy_tokenizer_encode(job->tokenizer, alloy_text_get(&job->text), job->text.size,
                                                 ALLOY_ENCODE_ADD_SPECIAL, &job->ids);
    if (!status && job->ids.count == 0)
        status = alloy_fail(ALLOY_ARG, "the prompt is empty, and the tokenizer puts no start token before it");
    return status;
}

/* ---- Settings ---------------------------------------------------------------------------------------------------- */

static alloy_sampling file_sampling(const alloy_generation_config *file)
{
    return (alloy_sampling){
        .temperature = file->temperature,
        .top_k = file->top_k,
        .top_p = file->top_p,
        .min_p = file->min_p,
        .repetition_penalty = file->repetition_penalty,
    };
}

/* What flags say lies upon the file's settings. A flag that shapes a distribution asks for sampling from it. */
static alloy_sampling flag_sampling(const generate_options *o, alloy_sampling s)
{
    bool shapes = o->top_k.given || o->top_p.given || o->min_p.given;
    if (o->temperature.given)
        s.temperature = o->temperature.value;
    else if (shapes && !o->sample)
        s.temperature = 1;
    s.top_k = o->top_k.given ? o->top_k.value : s.top_k;
    s.top_p = o->top_p.given ? o->top_p.value : s.top_p;
    s.min_p = o->min_p.given ? o->min_p.value : s.min_p;
    s.repetition_penalty = o->repetition_penalty.given ? o->repetition_penalty.value : s.repetition_penalty;
    s.presence_penalty = o->presence_penalty.value;
    s.frequency_penalty = o->frequency_penalty.value;
    s.seed = (uint64_t)o->seed.value;
    return s;
}

/* New tokens as the file allows them: max_new_tokens, else what max_length, of prompt and output, leaves. */
static alloy_status take_length(const alloy_generation_config *file, int64_t prompt, int64_t *max_new_tokens)
{
    if (file->max_new_tokens == 0 && file->max_length > 0 && file->max_length <= prompt)
        return alloy_fail(ALLOY_RANGE,
                          "generation_config.json: max_length is %lld, and the prompt has %lld tokens "
                          "(--max-new-tokens wins over it)",
                          (long long)file->max_length, (long long)prompt);
    if (file->max_new_tokens > 0 || file->max_length > 0)
        *max_new_tokens = file->max_new_tokens > 0 ? file->max_new_tokens : file->max_length - prompt;
    return ALLOY_OK;
}

static alloy_status read_sampling(const generate_options *o, const alloy_model *model, int64_t prompt,
                                  alloy_generate_options *options)
{
    alloy_sampling settings = {0};
    options->max_new_tokens = o->max_new_tokens.value;
    if (o->sample) {
        alloy_generation_config *file;
        alloy_status status =
            alloy_generation_config_open(&file, alloy_model_opened_files(model), alloy_model_vocab_size(model));
        if (status)
            return status;
        settings = file_sampling(file);
        if (!o->max_new_tokens.given)
            status = take_length(file, prompt, &options->max_new_tokens);
        alloy_generation_config_close(file);
        if (status)
            return status;
    }
    options->sampling = flag_sampling(o, settings);
    return ALLOY_OK;
}

/* ---- While it runs ----------------------------------------------------------------------------------------------- */

typedef struct stream {
    bool silent; /* nothing is shown before the end: JSON, or several outputs */
    bool as_ids; /* there is no tokenizer */
    bool begun;
} stream;

static bool on_progress(void *user, int64_t done, int64_t tokens)
{
    (void)user;
    alloy_cli_progress("prefill", "tokens", done, tokens);
    return !alloy_cli_interrupted();
}

static bool on_piece(void *user, const alloy_piece *piece)
{
    stream *s = user;
    if (!s->silent && s->as_ids)
        alloy_cli_print(s->begun ? ",%lld" : "%lld", (long long)piece->id);
    else if (!s->silent)
        alloy_cli_write(piece->text, piece->text_size);
    s->begun = true;
    bool shown = s->silent || (piece->text_size == 0 && !s->as_ids) || alloy_cli_flush() == ALLOY_OK;
    return shown && !alloy_cli_interrupted();
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static alloy_status print(const alloy_cli_job *job, const alloy_generation *generation, bool streamed)
{
    alloy_status status = ALLOY_OK;
    if (job->common->json)
        status = alloy_cli_generation_json(generation, job->model, job->tokenizer);
    else
        alloy_cli_generation_text(generation, job->tokenizer, streamed);
    status = status ? status : alloy_cli_flush();
    if (!status)
        alloy_cli_generation_line(generation, job->model);
    return status;
}

static alloy_status run(alloy_cli_job *job)
{
    const generate_options *o = job->options;
    alloy_status status = open_tokenizer(job);
    if (!status)
        status = encode_prompt(job);
    stream s = {.silent = o->common.json || o->num_return_sequences.value > 1, .as_ids = job->tokenizer == NULL};
    alloy_generate_options options = {
        .size = sizeof options,
        .num_return_sequences = o->num_return_sequences.value,
        .stop = o->stop.items,
        .stop_count = o->stop.count,
        .ignore_eos = o->ignore_eos,
        .logprobs = o->logprobs.value,
        .progress = on_progress,
        .stream = on_piece,
        .user = &s,
    };
    if (!status)
        status = read_sampling(o, job->model, job->ids.count, &options);
    if (status)
        return status;
    alloy_generation *generation;
    alloy_prompt prompt = {job->ids.ids, job->ids.count};
    alloy_cli_catch_interrupt();
    status = alloy_generate(&generation, job->session, job->tokenizer, &prompt, 1, &options);
    alloy_cli_progress_clear();
    if (!status)
        status = print(job, generation, !s.silent);
    alloy_generation_close(generation);
    return status;
}

#define OPTION(field) offsetof(generate_options, field)

static const alloy_cli_place places[] = {ALLOY_CLI_MODEL_PLACE(ALLOY_CLI_MODEL_HELP), {0}};

static const alloy_cli_option flags[] = {
    {.name = "prompt",
     .letter = 'p',
     .kind = ALLOY_CLI_TEXT,
     .offset = OPTION(prompt),
     .value = "TEXT",
     .help = "the text to continue"},
    {.name = "file",
     .letter = 'f',
     .kind = ALLOY_CLI_TEXT,
     .use = ALLOY_CLI_READS,
     .offset = OPTION(file),
     .value = "FILE",
     .help = "a file with the text to continue, - for standard input; one newline at its end is left out"},
    ALLOY_CLI_IDS_FLAG("token ids to continue, exactly these"),
    {.name = "max-new-tokens",
     .letter = 'n',
     .kind = ALLOY_CLI_INTEGER,
     .offset = OPTION(max_new_tokens),
     .value = "N",
     .most = 1e12,
     .help = "stop after so many (default: 256); 0: when the context is full"},
    {.name = "sample",
     .kind = ALLOY_CLI_SWITCH,
     .offset = OPTION(sample),
     .help = "sample with the settings of the model's generation_config.json (without one: temperature 1, top-k 50); "
             "other flags win over it"},
    {.name = "temperature",
     .kind = ALLOY_CLI_NUMBER,
     .offset = OPTION(temperature),
     .value = "X",
     .most = 1e6,
     .help = "divide logits by it; 0 (default): greedy"},
    {.name = "top-k",
     .kind = ALLOY_CLI_INTEGER,
     .offset = OPTION(top_k),
     .value = "N",
     .most = MOST_TOP_K,
     .help = "choose among the N likeliest tokens; 0: all"},
    {.name = "top-p",
     .kind = ALLOY_CLI_NUMBER,
     .offset = OPTION(top_p),
     .value = "X",
     .least = 1e-6,
     .most = 1,
     .help = "choose among the likeliest tokens that together have this probability"},
    {.name = "min-p",
     .kind = ALLOY_CLI_NUMBER,
     .offset = OPTION(min_p),
     .value = "X",
     .most = 1,
     .help = "choose among tokens at least so likely as this share of the likeliest"},
    {.name = "repetition-penalty",
     .kind = ALLOY_CLI_NUMBER,
     .offset = OPTION(repetition_penalty),
     .value = "X",
     .least = 1e-3,
     .most = 1000,
     .help = "divide positive logits of tokens in prompt or output by it, multiply negative ones; 1 (default): none"},
    {.name = "presence-penalty",
     .kind = ALLOY_CLI_NUMBER,
     .offset = OPTION(presence_penalty),
     .value = "X",
     .least = -1000,
     .most = 1000,
     .help = "take it from logits of tokens in the output"},
    {.name = "frequency-penalty",
     .kind = ALLOY_CLI_NUMBER,
     .offset = OPTION(frequency_penalty),
     .value = "X",
     .least = -1000,
     .most = 1000,
     .help = "take it from logits of tokens in the output, once for each time they occur"},
    {.name = "seed",
     .kind = ALLOY_CLI_INTEGER,
     .offset = OPTION(seed),
     .value = "N",
     .most = 0x1p63,
     .help = "of the random draws (default: 0); the same seed gives the same text on every machine"},
    {.name = "stop", .kind = ALLOY_CLI_TEXTS, .offset = OPTION(stop), .value = "TEXT", .help = "end before this text"},
    {.name = "ignore-eos",
     .kind = ALLOY_CLI_SWITCH,
     .offset = OPTION(ignore_eos),
     .help = "go on past end-of-sequence tokens"},
    {.name = "num-return-sequences",
     .kind = ALLOY_CLI_INTEGER,
     .offset = OPTION(num_return_sequences),
     .value = "N",
     .least = 1,
     .most = 1024,
     .help = "outputs to make from the one prompt, which is computed once (default: 1)"},
    {.name = "logprobs",
     .kind = ALLOY_CLI_INTEGER,
     .offset = OPTION(logprobs),
     .value = "K",
     .least = 1,
     .most = 1000,
     .help = "print the K likeliest tokens of each step and their log-probabilities"},
    ALLOY_CLI_CHUNK_FLAG,
    {0},
};

static const generate_options defaults = {.max_new_tokens = {.value = DEFAULT_NEW_TOKENS}};

const alloy_cli_command alloy_cli_generate = {
    .name = "generate",
    .summary = "continue a text",
    .about = "Continues a prompt and prints the new text as it comes. Greedy unless told otherwise: --sample, "
             "--temperature, --top-k, --top-p or --min-p ask for sampling, and --seed fixes it. A text that is piped "
             "in is the prompt where none is given. The last line, on standard error, tells how many tokens came, how "
             "fast, and how many bytes of weights each one read. Ctrl-C stops after the current token.",
    .examples = "  alloy generate examples/models/moby -p \"Call me\" --sample --seed 7\n"
                "  alloy generate Qwen/Qwen3-0.6B -f story.txt -n 200 --temperature 0.7 --top-p 0.9\n"
                "  echo \"The whale\" | alloy generate examples/models/moby --stop \".\" --json\n"
                "  alloy generate MODEL --ids 1,2,3 -n 5 --logprobs 3\n",
    .places = places,
    .flags = flags,
    .defaults = &defaults,
    .options_size = sizeof(generate_options),
    .opens = ALLOY_CLI_SESSION,
    .read = read_input,
    .run = run,
};
