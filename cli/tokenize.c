/* alloy tokenize and alloy detokenize: text to ids and back. */
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "ids.h"
#include "job.h"
#include "output.h"

typedef struct tokenize_options {
    alloy_cli_common common;
    const char *text, *file, *jsonl;
    bool no_special, special_as_text;
} tokenize_options;

typedef struct detokenize_options {
    alloy_cli_common common;
    const char *ids;
    bool keep_special;
} detokenize_options;

/* ---- tokenize ---------------------------------------------------------------------------------------------------- */

static unsigned encode_flags(const tokenize_options *o)
{
    return (o->no_special ? 0 : ALLOY_ENCODE_ADD_SPECIAL) | (o->special_as_text ? ALLOY_ENCODE_SPECIAL_AS_TEXT : 0);
}

/* {"ids": [...]} in one line. */
static alloy_status print_ids_json(const alloy_ids *ids)
{
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 0);
    alloy_json_field_array(w, "ids");
    for (int64_t i = 0; i < ids->count; i++)
        alloy_json_write_int64(w, ids->ids[i]);
    alloy_json_write_array_end(w);
    return alloy_cli_document_print(&document);
}

static alloy_status tokenize_text(const tokenize_options *o, const alloy_tokenizer *tokenizer, const alloy_text *text)
{
    alloy_ids ids = {0};
    alloy_status status = alloy_tokenizer_encode(tokenizer, alloy_text_get(text), text->size, encode_flags(o), &ids);
    if (!status && o->common.json)
        status = print_ids_json(&ids);
    else if (!status) {
        for (int64_t i = 0; i < ids.count; i++)
            alloy_cli_print(i ? ",%lld" : "%lld", (long long)ids.ids[i]);
        alloy_cli_print("\n");
    }
    alloy_ids_free(&ids);
    return status;
}

/* The value of "text" in one line of a --jsonl file. */
static alloy_status read_line(const char *line, size_t size, const char *where, alloy_text *text)
{
    alloy_json json;
    alloy_json_open(&json, where, line, size);
    alloy_json_string_view key;
    alloy_status status = ALLOY_OK;
    bool found = false;
    alloy_text_clear(text);
    alloy_json_object(&json);
    while (!status && alloy_json_next_key(&json, &key)) {
        if (!alloy_json_key_is(&key, "text")) {
            alloy_json_skip(&json);
            continue;
        }
        alloy_json_string_view value = alloy_json_string(&json);
        status = json.status ? json.status : alloy_json_unescape(&value, text);
        found = true;
    }
    if (!found && !status)
        alloy_json_fail(&json, ALLOY_FORMAT, "a line without \"text\"");
    alloy_status closed = alloy_json_close(&json);
    return status ? status : closed;
}

/* Lines of {"text"} to lines of {"ids"}, in order; empty lines are passed over. */
static alloy_status tokenize_lines(const tokenize_options *o, const alloy_tokenizer *tokenizer, const alloy_text *lines)
{
    const char *at = alloy_text_get(lines), *end = at + lines->size;
    alloy_text text = {0};
    alloy_ids ids = {0};
    alloy_status status = ALLOY_OK;
    for (int64_t number = 1; at < end && !status; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        alloy_text where = {0};
        alloy_text_format(&where, "%s, line %lld", o->jsonl, (long long)number);
        bool empty = stop == at || (stop == at + 1 && *at == '\r');
        ids.count = 0;
        if (!empty)
            status = read_line(at, (size_t)(stop - at), alloy_text_get(&where), &text);
        if (!empty && !status)
            status = alloy_tokenizer_encode(tokenizer, alloy_text_get(&text), text.size, encode_flags(o), &ids);
        if (!empty && !status)
            status = print_ids_json(&ids);
        alloy_text_free(&where);
        at = newline ? newline + 1 : end;
    }
    alloy_text_free(&text);
    alloy_ids_free(&ids);
    return status;
}

static alloy_status read_text(alloy_cli_job *job)
{
    const tokenize_options *o = job->options;
    int given = (o->text != NULL) + (o->file != NULL) + (o->jsonl != NULL);
    if (given > 1)
        return alloy_fail(ALLOY_ARG, "one text is needed: TEXT, --file or --jsonl, not several of them");
    if (o->jsonl && o->common.json)
        return alloy_fail(ALLOY_ARG,
                          "--jsonl prints lines of JSON: --json, which promises one document, contradicts it");
    if (o->text) {
        alloy_text_string(&job->text, o->text);
        return alloy_text_status(&job->text);
    }
    if (given == 0 && isatty(STDIN_FILENO))
        return alloy_fail(ALLOY_ARG, "no text: give TEXT, --file FILE or --jsonl FILE, or pipe a text in");
    return alloy_cli_read_file(&job->text, o->jsonl ? o->jsonl : o->file ? o->file : "-");
}

static alloy_status tokenize(alloy_cli_job *job)
{
    const tokenize_options *o = job->options;
    return o->jsonl ? tokenize_lines(o, job->tokenizer, &job->text) : tokenize_text(o, job->tokenizer, &job->text);
}

/* ---- detokenize -------------------------------------------------------------------------------------------------- */

static alloy_status read_ids(alloy_cli_job *job)
{
    const detokenize_options *o = job->options;
    if (o->ids && alloy_cli_has_ids(job))
        return alloy_fail(ALLOY_ARG, "one list of ids is needed: IDS, --ids or --ids-file, not several of them");
    if (o->ids)
        return alloy_cli_ids_parse(&job->ids, o->ids, strlen(o->ids), "IDS", ALLOY_ARG);
    if (alloy_cli_has_ids(job))
        return alloy_cli_read_ids(job);
    if (isatty(STDIN_FILENO))
        return alloy_fail(ALLOY_ARG, "no ids: give IDS, --ids 1,2,3 or --ids-file FILE, or pipe them in");
    return alloy_cli_ids_read(&job->ids, "-");
}

static alloy_status print_text(const alloy_cli_job *job, const char *text, size_t size)
{
    if (!job->common->json) {
        alloy_cli_write(text, size);
        alloy_cli_print("\n");
        return ALLOY_OK;
    }
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 0);
    alloy_json_write_key(w, "text");
    alloy_json_write_string(w, text, size);
    return alloy_cli_document_print(&document);
}

static alloy_status detokenize(alloy_cli_job *job)
{
    const detokenize_options *o = job->options;
    char *text = NULL;
    size_t size = 0;
    alloy_status status =
        alloy_tokenizer_decode(job->tokenizer, job->ids.ids, job->ids.count, !o->keep_special, &text, &size);
    if (!status)
        status = print_text(job, text, size);
    alloy_free(text);
    return status;
}

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

#define TOKENIZE(field) offsetof(tokenize_options, field)
#define DETOKENIZE(field) offsetof(detokenize_options, field)
#define MODEL_HELP "a model's folder, its tokenizer.json, or user/name in the Hub's cache"

static const alloy_cli_place tokenize_places[] = {
    ALLOY_CLI_MODEL_PLACE(MODEL_HELP),
    {.name = "TEXT",
     .offset = TOKENIZE(text),
     .optional = true,
     .help = "the text; without it (and without -f and --jsonl): standard input"},
    {0},
};

static const alloy_cli_option tokenize_flags[] = {
    {.name = "file",
     .letter = 'f',
     .kind = ALLOY_CLI_TEXT,
     .use = ALLOY_CLI_READS,
     .offset = TOKENIZE(file),
     .value = "FILE",
     .help = "a file with the text, every byte of it; - for standard input"},
    {.name = "jsonl",
     .kind = ALLOY_CLI_TEXT,
     .use = ALLOY_CLI_READS,
     .offset = TOKENIZE(jsonl),
     .value = "FILE",
     .help = "lines of {\"text\": ...}; prints lines of {\"ids\": [...]} in order"},
    {.name = "no-special",
     .kind = ALLOY_CLI_SWITCH,
     .offset = TOKENIZE(no_special),
     .help = "without the special tokens that the tokenizer puts around a text"},
    {.name = "special-as-text",
     .kind = ALLOY_CLI_SWITCH,
     .offset = TOKENIZE(special_as_text),
     .help = "special tokens that are spelled out in the text are text"},
    {0},
};

const alloy_cli_command alloy_cli_tokenize = {
    .name = "tokenize",
    .summary = "text to token ids",
    .about = "Prints the token ids of a text, as the tokenizers library gives them, special tokens of the "
             "post-processor included.",
    .examples = "  alloy tokenize Qwen/Qwen3-0.6B \"Hello, world\"\n"
                "  alloy tokenize examples/models/moby -f chapter.txt --json\n"
                "  alloy tokenize examples/models/moby --jsonl lines.jsonl > ids.jsonl\n",
    .places = tokenize_places,
    .flags = tokenize_flags,
    .options_size = sizeof(tokenize_options),
    .opens = ALLOY_CLI_TOKENIZER,
    .read = read_text,
    .run = tokenize,
};

static const alloy_cli_place detokenize_places[] = {
    ALLOY_CLI_MODEL_PLACE(MODEL_HELP),
    {.name = "IDS",
     .offset = DETOKENIZE(ids),
     .optional = true,
     .help = "ids between commas; without them (and the flags below): standard input"},
    {0},
};

static const alloy_cli_option detokenize_flags[] = {
    ALLOY_CLI_IDS_FLAGS,
    {.name = "keep-special",
     .kind = ALLOY_CLI_SWITCH,
     .offset = DETOKENIZE(keep_special),
     .help = "special tokens are printed too"},
    {0},
};

const alloy_cli_command alloy_cli_detokenize = {
    .name = "detokenize",
    .summary = "token ids to text",
    .about =
        "Prints the text of token ids. Bytes that are no whole character at the end of a text are printed as U+FFFD.",
    .examples = "  alloy detokenize Qwen/Qwen3-0.6B 9707,11,1879\n"
                "  alloy tokenize examples/models/moby \"Call me Ishmael.\" | alloy detokenize examples/models/moby\n",
    .places = detokenize_places,
    .flags = detokenize_flags,
    .options_size = sizeof(detokenize_options),
    .opens = ALLOY_CLI_TOKENIZER,
    .read = read_ids,
    .run = detokenize,
};
