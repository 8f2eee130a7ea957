/* `alloy COMMAND ...`: finds the command, reads its flags, runs it, and turns how it ended into an exit code: the
 * number of its alloy_status (0: success), or 130 where Ctrl-C ended it early. */
#include <stdlib.h>
#include <string.h>

#include "alloy/extend.h"
#include "base/names.h"
#include "base/status.h"
#include "job.h"
#include "output.h"
#include "outputs.h"
#include "signals.h"

static void print_overview(void)
{
    alloy_cli_print("Alloy %s composes, runs and analyses hybrid transformers.\n\n"
                    "Usage: alloy COMMAND MODEL [flags]\n\n"
                    "MODEL is a folder with config.json and *.safetensors, or user/name in the Hub's cache.\n\n"
                    "Commands:\n",
                    alloy_version());
    for (int i = 0; i < alloy_cli_command_count; i++)
        alloy_cli_print("  %-12s %s\n", alloy_cli_commands[i]->name, alloy_cli_commands[i]->summary);
    alloy_cli_print(
        "\nalloy COMMAND --help explains a command, with examples. alloy --version prints the version.\n\nExit codes:");
    for (int status = 0; status < ALLOY_STATUS_COUNT; status++)
        alloy_cli_print("%s%d %s", status ? ", " : " ", status, alloy_status_name((alloy_status)status));
    alloy_cli_print(", %d interrupted.\n", ALLOY_CLI_INTERRUPTED);
}

static const alloy_cli_command *find_command(const char *name)
{
    const char *names[ALLOY_CLI_MOST_COMMANDS] = {0};
    size_t count = (size_t)alloy_cli_command_count;
    for (size_t i = 0; i < count; i++) {
        names[i] = alloy_cli_commands[i]->name;
        if (strcmp(name, names[i]) == 0)
            return alloy_cli_commands[i];
    }
    const char *nearest = alloy_nearest_name(name, names, count), *printable = alloy_printable(name, strlen(name));
    if (nearest)
        alloy_fail(ALLOY_ARG, "unknown command \"%s\": did you mean %s? (alloy --help lists all)", printable, nearest);
    else
        alloy_fail(ALLOY_ARG, "unknown command \"%s\" (alloy --help lists all)", printable);
    return NULL;
}

static void print_warning(void *user, const char *line)
{
    (void)user;
    alloy_cli_say("warning: %s", line);
}

/* --json counts from the first moment on: a mistake in another flag is told as a document too. */
static bool asks_for_json(int count, char *const *arguments)
{
    for (int i = 0; i < count; i++)
        if (strcmp(arguments[i], "--json") == 0)
            return true;
    return false;
}

static alloy_status run_command(const alloy_cli_command *command, int count, char *const *arguments)
{
    static _Alignas(max_align_t) char options[ALLOY_CLI_OPTIONS_ROOM];
    const alloy_cli_common *common = (const void *)options;
    alloy_cli_output_set(asks_for_json(count, arguments), false, false);
    alloy_status status = alloy_cli_read(command, options, count, arguments);
    if (status)
        return status;
    if (common->help) {
        alloy_cli_help(command);
        return ALLOY_OK;
    }
    alloy_cli_output_set(common->json, common->quiet, common->verbose);
    alloy_set_log(print_warning, NULL);
    if (common->math && strcmp(common->math, "fast") == 0)
        return alloy_fail(ALLOY_UNSUPPORTED, "--math fast is not implemented: only canonical arithmetic is");
    if (common->cpu && (status = alloy_kernels_check(common->cpu)))
        return status;
    status = alloy_cli_check_outputs(command, options);
    for (int64_t i = 0; i < common->plugins.count && !status; i++)
        status = alloy_plugin_load(common->plugins.items[i]);
    if (!status)
        status = alloy_cli_run(command, options);
    if (status)
        alloy_cli_release_readers(command, options);
    return status;
}

static alloy_status run(int count, char *const *arguments)
{
    const char *first = count > 0 ? arguments[0] : "--help";
    if (strcmp(first, "--version") == 0) {
        alloy_cli_print("alloy %s\n", alloy_version());
        return ALLOY_OK;
    }
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || strcmp(first, "help") == 0) {
        const alloy_cli_command *command = count > 1 ? find_command(arguments[1]) : NULL;
        if (count > 1 && !command)
            return ALLOY_ARG;
        if (command)
            alloy_cli_help(command);
        else
            print_overview();
        return count > 0 ? ALLOY_OK : alloy_fail(ALLOY_ARG, "no command was given");
    }
    const alloy_cli_command *command = find_command(first);
    return command ? run_command(command, count - 1, arguments + 1) : ALLOY_ARG;
}

int main(int argc, char **argv)
{
    alloy_cli_output_open();
    alloy_cli_signals_open();
    int code = alloy_cli_output_close(run(argc - 1, argv + (argc > 0)));
    return code == 0 && alloy_cli_interrupted() ? ALLOY_CLI_INTERRUPTED : code;
}
