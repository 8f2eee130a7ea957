/* Reading a command line (args.h). */
#include <string.h>

#include "base/names.h"
#include "base/status.h"
#include "base/text.h"
#include "command.h"

typedef struct reader {
    const alloy_cli_command *command;
    char *options;          /* the command's struct */
    char *const *arguments; /* [count] */
    int count;
    int at;                                              /* the next one */
    const alloy_cli_place *place;                        /* the next to be filled; NULL: the command has none */
    bool only_places;                                    /* after "--" */
    const alloy_cli_option *flags[ALLOY_CLI_MOST_FLAGS]; /* [flag_count] all that the command takes */
    size_t flag_count;
    bool seen[ALLOY_CLI_MOST_FLAGS]; /* [flag_count] */
} reader;

static void add_flags(reader *r, const alloy_cli_option *flags)
{
    for (; flags && flags->name && r->flag_count < ALLOY_CLI_MOST_FLAGS; flags++)
        r->flags[r->flag_count++] = flags;
}

/* The index of the flag of this long name or letter; flag_count where there is none. */
static size_t find_name(const reader *r, const char *name, size_t size)
{
    size_t i = 0;
    while (i < r->flag_count && !(strlen(r->flags[i]->name) == size && memcmp(r->flags[i]->name, name, size) == 0))
        i++;
    return i;
}

static size_t find_letter(const reader *r, char letter)
{
    size_t i = 0;
    while (i < r->flag_count && r->flags[i]->letter != letter)
        i++;
    return i;
}

static const char *printable(const char *text)
{
    return alloy_printable(text, strlen(text));
}

static alloy_status unknown(const reader *r, const char *word)
{
    const char *names[ALLOY_CLI_MOST_FLAGS];
    for (size_t i = 0; i < r->flag_count; i++)
        names[i] = r->flags[i]->name;
    char name[64];
    size_t size = strcspn(word + 2, "=");
    if (word[1] == '-' && size < sizeof name) {
        memcpy(name, word + 2, size);
        name[size] = 0;
        const char *nearest = alloy_nearest_name(name, names, r->flag_count);
        if (nearest)
            return alloy_fail(ALLOY_ARG, "unknown flag %s: did you mean --%s? (alloy %s --help lists all)",
                              printable(word), nearest, r->command->name);
    }
    return alloy_fail(ALLOY_ARG, "unknown flag %s (alloy %s --help lists all)", printable(word), r->command->name);
}

/* Is this word one of the command's flags, so that it cannot be a forgotten value? */
static bool is_flag(const reader *r, const char *word)
{
    if (word[0] != '-' || word[1] == 0)
        return false;
    if (word[1] == '-')
        return find_name(r, word + 2, strcspn(word + 2, "=")) < r->flag_count;
    return word[2] == 0 && find_letter(r, word[1]) < r->flag_count;
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

static alloy_status bad_number(const alloy_cli_option *option, const char *text)
{
    return alloy_fail(ALLOY_ARG, "--%s is \"%s\", expected a number from %.15g to %.15g", option->name, printable(text),
                      option->least, option->most);
}

static alloy_status bad_integer(const alloy_cli_option *option, const char *text)
{
    return alloy_fail(ALLOY_ARG, "--%s is \"%s\", expected a whole number from %lld to %lld", option->name,
                      printable(text), (long long)option->least,
                      option->most < 0x1p63 ? (long long)option->most : INT64_MAX);
}

static alloy_status set_integer(const alloy_cli_option *option, alloy_cli_integer *field, const char *text)
{
    int64_t value;
    if (!alloy_parse_int64(text, strlen(text), &value) || (double)value < option->least || (double)value > option->most)
        return bad_integer(option, text);
    *field = (alloy_cli_integer){.value = value, .given = true};
    return ALLOY_OK;
}

/* Bytes: a whole number, with K, M, G or T after it for powers of 1024. */
static alloy_status set_size(const alloy_cli_option *option, alloy_cli_integer *field, const char *text)
{
    static const char units[] = "KMGT";
    size_t size = strlen(text);
    const char *unit = size > 0 ? strchr(units, text[size - 1]) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    int64_t value;
    if (!alloy_parse_int64(text, size - (unit != NULL), &value) || value < 1 || value > INT64_MAX >> shift)
        return alloy_fail(ALLOY_ARG, "--%s is \"%s\", expected a number of bytes: 1500, 800K, 64M, 4G", option->name,
                          printable(text));
    *field = (alloy_cli_integer){.value = value << shift, .given = true};
    return ALLOY_OK;
}

static alloy_status set_number(const alloy_cli_option *option, alloy_cli_number *field, const char *text)
{
    double value;
    if (!alloy_parse_double(text, strlen(text), &value) || !(value >= option->least && value <= option->most))
        return bad_number(option, text);
    *field = (alloy_cli_number){.value = value, .given = true};
    return ALLOY_OK;
}

/* `choices` are words between spaces; the field points into the command line, which outlives it. */
static alloy_status set_choice(const alloy_cli_option *option, const char **field, const char *text)
{
    size_t size = strlen(text);
    for (const char *word = option->choices; *word; word += strspn(word, " ")) {
        size_t length = strcspn(word, " ");
        if (length == size && memcmp(word, text, size) == 0) {
            *field = text;
            return ALLOY_OK;
        }
        word += length;
    }
    return alloy_fail(ALLOY_ARG, "--%s is \"%s\", expected one of: %s", option->name, printable(text), option->choices);
}

static alloy_status add_text(const alloy_cli_option *option, alloy_cli_texts *field, const char *text)
{
    if (field->count == ALLOY_CLI_MOST_TEXTS)
        return alloy_fail(ALLOY_ARG, "--%s is given more than %d times", option->name, ALLOY_CLI_MOST_TEXTS);
    field->items[field->count++] = text;
    return ALLOY_OK;
}

static alloy_status set(reader *r, size_t index, const char *text)
{
    const alloy_cli_option *option = r->flags[index];
    void *field = r->options + option->offset;
    if (r->seen[index] && option->kind != ALLOY_CLI_TEXTS)
        return alloy_fail(ALLOY_ARG, "--%s is given twice", option->name);
    r->seen[index] = true;
    if (option->use && text[0] == 0)
        return alloy_fail(ALLOY_ARG, "--%s names nothing, expected %s", option->name, option->value);
    switch (option->kind) {
    case ALLOY_CLI_SWITCH:
        *(bool *)field = true;
        return ALLOY_OK;
    case ALLOY_CLI_INTEGER:
        return set_integer(option, field, text);
    case ALLOY_CLI_NUMBER:
        return set_number(option, field, text);
    case ALLOY_CLI_SIZE:
        return set_size(option, field, text);
    case ALLOY_CLI_CHOICE:
        return set_choice(option, field, text);
    case ALLOY_CLI_TEXTS:
        return add_text(option, field, text);
    case ALLOY_CLI_TEXT:
    case ALLOY_CLI_OPTIONAL:
        break;
    }
    *(const char **)field = text;
    return ALLOY_OK;
}

static alloy_status set_optional(reader *r, size_t index)
{
    bool places_left = r->place && r->place->name;
    if (r->at == r->count || r->arguments[r->at][0] == '-' || places_left)
        return set(r, index, "");
    return set(r, index, r->arguments[r->at++]);
}

/* The value of a flag is the next word. */
static alloy_status set_from_next(reader *r, size_t index)
{
    const alloy_cli_option *option = r->flags[index];
    if (option->kind == ALLOY_CLI_OPTIONAL)
        return set_optional(r, index);
    if (r->at == r->count)
        return alloy_fail(ALLOY_ARG, "--%s needs a value: --%s %s", option->name, option->name, option->value);
    const char *text = r->arguments[r->at++];
    if (is_flag(r, text))
        return alloy_fail(ALLOY_ARG, "--%s needs a value, and %s is a flag (--%s=%s if it is meant as the value)",
                          option->name, printable(text), option->name, printable(text));
    return set(r, index, text);
}

/* ---- Words ------------------------------------------------------------------------------------------------------- */

static alloy_status read_long(reader *r, const char *word)
{
    size_t size = strcspn(word + 2, "=");
    size_t index = find_name(r, word + 2, size);
    if (index == r->flag_count)
        return unknown(r, word);
    bool is_switch = r->flags[index]->kind == ALLOY_CLI_SWITCH;
    const char *equals = word[2 + size] ? word + 2 + size : NULL;
    if (equals && is_switch)
        return alloy_fail(ALLOY_ARG, "--%s takes no value", r->flags[index]->name);
    if (equals)
        return set(r, index, equals + 1);
    return is_switch ? set(r, index, NULL) : set_from_next(r, index);
}

static alloy_status read_letters(reader *r, const char *word)
{
    for (const char *letter = word + 1; *letter; letter++) {
        size_t index = find_letter(r, *letter);
        if (index == r->flag_count)
            return unknown(r, word);
        if (r->flags[index]->kind != ALLOY_CLI_SWITCH)
            return letter[1] ? set(r, index, letter + 1) : set_from_next(r, index);
        alloy_status status = set(r, index, NULL);
        if (status)
            return status;
    }
    return ALLOY_OK;
}

static alloy_status read_place(reader *r, const char *word)
{
    const alloy_cli_place *place = r->place;
    if (!place || !place->name)
        return alloy_fail(ALLOY_ARG, "\"%s\" is one word too many (alloy %s --help)", printable(word),
                          r->command->name);
    r->place++;
    if (word[0] == 0)
        return alloy_fail(ALLOY_ARG, "%s is empty", place->name);
    *(const char **)(r->options + place->offset) = word;
    return ALLOY_OK;
}

static alloy_status read_word(reader *r)
{
    const char *word = r->arguments[r->at++];
    if (r->only_places || word[0] != '-' || word[1] == 0)
        return read_place(r, word);
    if (word[1] != '-')
        return read_letters(r, word);
    if (word[2] != 0)
        return read_long(r, word);
    r->only_places = true;
    return ALLOY_OK;
}

alloy_status alloy_cli_read(const alloy_cli_command *command, void *options, int count, char *const *arguments)
{
    reader r = {
        .command = command, .options = options, .arguments = arguments, .count = count, .place = command->places};
    add_flags(&r, command->flags); /* first: a command may have a flag of every command in its own way */
    add_flags(&r, alloy_cli_every_flags);
    if (alloy_cli_takes_model_flags(command))
        add_flags(&r, alloy_cli_model_flags);
    memset(options, 0, command->options_size);
    if (command->defaults)
        memcpy(options, command->defaults, command->options_size);
    const alloy_cli_common *common = options;
    while (r.at < r.count) {
        alloy_status status = read_word(&r);
        if (status)
            return status;
        if (common->help)
            return ALLOY_OK;
    }
    if (r.place && r.place->name && !r.place->optional)
        return alloy_fail(ALLOY_ARG, "%s is missing: alloy %s %s (alloy %s --help)", r.place->name, command->name,
                          command->places[0].name, command->name);
    return ALLOY_OK;
}
