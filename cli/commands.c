/* The commands, in the order of `alloy --help`. */
#include "command.h"

const alloy_cli_command *const alloy_cli_commands[] = {
    &alloy_cli_generate, &alloy_cli_tokenize, &alloy_cli_detokenize, &alloy_cli_info,
    &alloy_cli_modules,  &alloy_cli_logits,   &alloy_cli_compare,    &alloy_cli_verify,
    &alloy_cli_init,     &alloy_cli_convert,  &alloy_cli_roofline,
};

const int alloy_cli_command_count = sizeof alloy_cli_commands / sizeof *alloy_cli_commands;

_Static_assert(sizeof alloy_cli_commands / sizeof *alloy_cli_commands <= ALLOY_CLI_MOST_COMMANDS,
               "room for their names");
