/* The help of a command, from its tables (command.h): usage, what it does, its flags, the common flags, examples. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "command.h"
#include "output.h"

enum { HELP_COLUMN = 34, HELP_WIDTH = 100 };

/* Words of `text` in lines up to HELP_WIDTH, continued at `indent`; the cursor is at `column`. */
static void print_wrapped(const char *text, int column, int indent)
{
    bool begins = true; /* a line: no space before its first word */
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (!begins && column + 1 + length > HELP_WIDTH) {
            alloy_cli_print("\n%*s", indent, "");
            column = indent;
            begins = true;
        }
        alloy_cli_print("%s%.*s", begins ? "" : " ", length, text);
        column += length + !begins;
        begins = false;
        text += length;
        text += *text == ' ';
    }
    alloy_cli_print("\n");
}

static void print_entry(const char *entry, const char *help)
{
    int column = (int)strlen(entry);
    alloy_cli_print("%s", entry);
    if (column + 2 > HELP_COLUMN) {
        alloy_cli_print("\n");
        column = 0;
    }
    alloy_cli_print("%*s", HELP_COLUMN - column, "");
    print_wrapped(help, HELP_COLUMN, HELP_COLUMN);
}

static void print_flag(const alloy_cli_option *option)
{
    alloy_text entry = {0}, help = {0};
    if (option->letter)
        alloy_text_format(&entry, "  -%c, --%s", option->letter, option->name);
    else
        alloy_text_format(&entry, "      --%s", option->name);
    if (option->value)
        alloy_text_format(&entry, " %s", option->value);
    alloy_text_string(&help, option->help);
    if (option->kind == ALLOY_CLI_CHOICE)
        alloy_text_format(&help, "; one of: %s", option->choices);
    if (option->kind == ALLOY_CLI_TEXTS)
        alloy_text_string(&help, "; may be repeated");
    print_entry(alloy_text_get(&entry), alloy_text_get(&help));
    alloy_text_free(&entry);
    alloy_text_free(&help);
}

static bool has_flag(const alloy_cli_option *flags, const char *name)
{
    for (; flags && flags->name; flags++)
        if (strcmp(flags->name, name) == 0)
            return true;
    return false;
}

/* Those that `own` does not have in its own way. */
static void print_flags(const char *title, const alloy_cli_option *flags, const alloy_cli_option *own)
{
    if (!flags)
        return;
    alloy_cli_print("\n%s:\n", title);
    for (; flags->name; flags++)
        if (!has_flag(own, flags->name))
            print_flag(flags);
}

void alloy_cli_help(const alloy_cli_command *command)
{
    static const alloy_cli_place none[] = {{0}};
    const alloy_cli_place *places = command->places ? command->places : none;
    alloy_cli_print("Usage: alloy %s", command->name);
    for (const alloy_cli_place *place = places; place->name; place++)
        alloy_cli_print(place->optional ? " [%s]" : " %s", place->name);
    alloy_cli_print(" [flags]\n\n");
    print_wrapped(command->about, 0, 0);
    if (command->places)
        alloy_cli_print("\n");
    for (const alloy_cli_place *place = places; place->name; place++) {
        alloy_text entry = {0};
        alloy_text_format(&entry, "  %s", place->name);
        print_entry(alloy_text_get(&entry), place->help);
        alloy_text_free(&entry);
    }
    print_flags("Flags", command->flags, NULL);
    print_flags("Flags of commands that open a model",
                alloy_cli_takes_model_flags(command) ? alloy_cli_model_flags : NULL, command->flags);
    print_flags("Flags of every command", alloy_cli_every_flags, command->flags);
    alloy_cli_print("\nExamples:\n");
    alloy_cli_print_lines(command->examples, strlen(command->examples));
}
