/* Lists of token ids, and files of text (ids.h). */
#include "ids.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "files/json.h"

static const size_t MOST_BYTES = (size_t)1 << 31; /* what a tokenizer takes */

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

static alloy_status read_json_list(alloy_ids *ids, alloy_json *json)
{
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        alloy_status status = alloy_ids_push(ids, alloy_json_int64(json));
        if (status)
            return status;
    }
    return ALLOY_OK;
}

/* A list, or an object that has one under "ids" or "input_ids". */
static alloy_status parse_json(alloy_ids *ids, const char *text, size_t size, const char *where)
{
    alloy_json json;
    alloy_json_open(&json, where, text, size);
    alloy_status status = ALLOY_OK;
    if (alloy_json_peek(&json) != ALLOY_JSON_OBJECT) {
        status = read_json_list(ids, &json);
    } else {
        alloy_json_string_view key;
        bool found = false;
        alloy_json_object(&json);
        while (!status && alloy_json_next_key(&json, &key)) {
            bool wanted = alloy_json_key_is(&key, "ids") || alloy_json_key_is(&key, "input_ids");
            if (wanted && !found)
                status = read_json_list(ids, &json);
            else
                alloy_json_skip(&json);
            found |= wanted;
        }
        if (!found && !status)
            alloy_json_fail(&json, ALLOY_FORMAT, "an object without \"ids\"");
    }
    alloy_status closed = alloy_json_close(&json);
    return status ? status : closed;
}

static bool is_integer(const char *text, size_t size)
{
    size_t i = size > 0 && (text[0] == '-' || text[0] == '+');
    if (i == size)
        return false;
    while (i < size && text[i] >= '0' && text[i] <= '9')
        i++;
    return i == size;
}

/* Numbers between commas, white space, or both. An empty place between commas is a mistake. */
static alloy_status parse_words(alloy_ids *ids, const char *text, size_t size, const char *where, alloy_status wrong)
{
    size_t at = 0;
    bool after_comma = false;
    for (;;) {
        while (at < size && strchr(" \t\r\n", text[at]) && text[at])
            at++;
        if (at == size)
            return after_comma ? alloy_fail(wrong, "%s: a number is missing after the last comma", where) : ALLOY_OK;
        size_t end = at;
        while (end < size && !(strchr(" \t\r\n,", text[end]) && text[end]))
            end++;
        int64_t id;
        if (!is_integer(text + at, end - at))
            return alloy_fail(wrong, "%s: \"%s\" is no token id, expected whole numbers between commas", where,
                              alloy_printable(text + at, end - at));
        if (!alloy_parse_int64(text + at, end - at, &id))
            return alloy_fail(ALLOY_RANGE, "%s: token id %s is beyond 64 bits", where,
                              alloy_printable(text + at, end - at));
        alloy_status status = alloy_ids_push(ids, id);
        if (status)
            return status;
        at = end;
        while (at < size && strchr(" \t\r\n", text[at]) && text[at])
            at++;
        after_comma = at < size && text[at] == ',';
        at += after_comma;
    }
}

alloy_status alloy_cli_ids_parse(alloy_ids *ids, const char *text, size_t size, const char *where, alloy_status wrong)
{
    size_t start = 0;
    while (start < size && strchr(" \t\r\n", text[start]) && text[start])
        start++;
    if (start < size && (text[start] == '[' || text[start] == '{'))
        return parse_json(ids, text, size, where);
    return parse_words(ids, text, size, where, wrong);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

bool alloy_cli_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool alloy_cli_is_safetensors(const char *path)
{
    static const char ending[] = ".safetensors";
    size_t size = strlen(path), end = sizeof ending - 1;
    return size >= end && strcmp(path + size - end, ending) == 0;
}

alloy_status alloy_cli_ids_read(alloy_ids *ids, const char *path)
{
    if (alloy_cli_is_safetensors(path))
        return alloy_ids_load(ids, path);
    alloy_text text = {0};
    alloy_status status = alloy_cli_read_file(&text, path);
    if (!status)
        status = alloy_cli_ids_parse(ids, alloy_text_get(&text), text.size, strcmp(path, "-") ? path : "standard input",
                                     ALLOY_FORMAT);
    alloy_text_free(&text);
    return status;
}

alloy_status alloy_cli_read_stdin(alloy_text *text)
{
    enum { PIECE = 64 * 1024 };
    alloy_text_clear(text);
    while (alloy_text_reserve(text, PIECE)) {
        ssize_t n = read(STDIN_FILENO, text->bytes + text->size, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return alloy_fail(ALLOY_IO, "standard input: %s", strerror(errno));
        if (n == 0)
            return ALLOY_OK;
        text->size += (size_t)n;
        text->bytes[text->size] = 0;
        if (text->size > MOST_BYTES)
            return alloy_fail(ALLOY_LIMIT, "standard input has more than %zu bytes", MOST_BYTES);
    }
    return alloy_text_status(text);
}

alloy_status alloy_cli_read_file(alloy_text *text, const char *path)
{
    return strcmp(path, "-") == 0 ? alloy_cli_read_stdin(text) : alloy_file_read(text, path, MOST_BYTES);
}
