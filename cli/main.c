/* alloy COMMAND ...: finds the command, reads its flags, runs it. Exit codes are the numbers of alloy_status. */
#include <stdio.h>
#include <string.h>

#include "base/names.h"
#include "base/status.h"
#include "command.h"
#include "output.h"

static const alloy_cli_command *const commands[] = {
    &alloy_cli_generate, &alloy_cli_logits,   &alloy_cli_compare, &alloy_cli_verify, &alloy_cli_tokenize,
    &alloy_cli_detokenize, &alloy_cli_info, &alloy_cli_modules, &alloy_cli_init,
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_usage(void)
{
    alloy_cli_print("alloy %s: composes and runs hybrid transformers, from Hugging Face checkpoints, in place.\n\n"
                    "Usage: alloy COMMAND [MODEL] [flags]\n\n"
                    "MODEL is a folder with config.json and *.safetensors, or user/name in the Hub's cache.\n\nCommands:\n",
                    alloy_version());
    for (int i = 0; i < COMMANDS; i++)
        alloy_cli_print("  %-12s %s\n", commands[i]->name, commands[i]->summary);
    alloy_cli_print("\nalloy COMMAND --help explains one. Exit codes: 0 done, 1 different (compare, verify), 2 wrong command line, 3 bad file, 4 over a limit,\n"
                    "5 out of range, 6 input/output, 7 out of memory, 8 not trusted, 9 context full, 10 unsupported.\n");
}

static const alloy_cli_command *find(const char *name)
{
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++) {
        names[i] = commands[i]->name;
        if (strcmp(name, names[i]) == 0)
            return commands[i];
    }
    const char *nearest = alloy_nearest_name(name, names, COMMANDS);
    alloy_fail(ALLOY_ARG, "unknown command \"%s\"%s%s%s (alloy --help lists all)", alloy_printable(name, strlen(name)),
               nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    return NULL;
}

static void warn(void *user, const char *line)
{
    (void)user;
    alloy_cli_say("alloy: warning: %s", line);
}

/* --json and -q count for the error of a bad command line too. */
static void look_ahead(int count, char **arguments)
{
    bool json = false, quiet = false;
    for (int i = 0; i < count && strcmp(arguments[i], "--") != 0; i++) {
        json = json || strcmp(arguments[i], "--json") == 0;
        quiet = quiet || strcmp(arguments[i], "-q") == 0 || strcmp(arguments[i], "--quiet") == 0;
    }
    alloy_cli_output_set(json, quiet, false);
}

static alloy_status run(const alloy_cli_command *command, int count, char **arguments)
{
    static _Alignas(max_align_t) char options[ALLOY_CLI_OPTIONS_ROOM];
    const alloy_cli_common *common = (const void *)options;
    alloy_status status = alloy_cli_read(command, options, count, arguments);
    if (status)
        return status;
    alloy_cli_output_set(common->json, common->quiet, common->verbose);
    if (common->help) {
        alloy_cli_help(command);
        return alloy_cli_flush();
    }
    for (int64_t i = 0; i < common->plugins.count && !status; i++)
        status = alloy_plugin_load(common->plugins.items[i]);
    return status ? status : command->run(options);
}

int main(int count, char **arguments)
{
    alloy_cli_output_open();
    alloy_set_log(warn, NULL);
    if (count > 1)
        look_ahead(count - 2, arguments + 2);
    alloy_status status = ALLOY_OK;
    if (count < 2 || strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "-h") == 0 || strcmp(arguments[1], "help") == 0) {
        print_usage();
        status = count < 2 ? alloy_fail(ALLOY_ARG, "a command is missing") : ALLOY_OK;
    } else if (strcmp(arguments[1], "--version") == 0) {
        alloy_cli_print("alloy %s\n", alloy_version());
    } else {
        const alloy_cli_command *command = find(arguments[1]);
        status = command ? run(command, count - 2, arguments + 2) : ALLOY_ARG;
    }
    return alloy_cli_output_close(status);
}
