/* The flags of every command, and of every command that opens a model. */
#include <string.h>

#include "command.h"

#define COMMON ALLOY_CLI_COMMON

const alloy_cli_option alloy_cli_every_flags[] = {
    {.name = "help", .letter = 'h', .kind = ALLOY_CLI_SWITCH, .offset = COMMON(help), .help = "print this help"},
    {.name = "json",
     .kind = ALLOY_CLI_SWITCH,
     .offset = COMMON(json),
     .help = "print one JSON document on standard output and nothing else there"},
    {.name = "quiet",
     .letter = 'q',
     .kind = ALLOY_CLI_SWITCH,
     .offset = COMMON(quiet),
     .help = "print errors only on standard error"},
    {.name = "verbose",
     .letter = 'v',
     .kind = ALLOY_CLI_SWITCH,
     .offset = COMMON(verbose),
     .help = "say more on standard error"},
    {.name = "threads",
     .letter = 't',
     .kind = ALLOY_CLI_INTEGER,
     .offset = COMMON(threads),
     .value = "N",
     .least = 1,
     .most = ALLOY_MOST_THREADS,
     .help = "threads to compute with (default: one a processor); results do not depend on it"},
    {.name = "cpu",
     .kind = ALLOY_CLI_TEXT,
     .offset = COMMON(cpu),
     .value = "LEVEL",
     .help = "instruction set: generic, avx2 or avx512 (default: $ALLOY_CPU, else the best of this machine); results "
             "do not depend on it"},
    {.name = "math",
     .kind = ALLOY_CLI_CHOICE,
     .offset = COMMON(math),
     .value = "KIND",
     .choices = "canonical fast",
     .help = "canonical (default): the same bits everywhere; fast is not implemented yet"},
    {.name = "kv-dtype",
     .kind = ALLOY_CLI_CHOICE,
     .offset = COMMON(kv_dtype),
     .value = "DTYPE",
     .choices = "f32 bf16 f16",
     .help = "of cached keys and values (default: f32)"},
    {.name = "plugin",
     .kind = ALLOY_CLI_TEXTS,
     .use = ALLOY_CLI_READS,
     .offset = COMMON(plugins),
     .value = "FILE",
     .help = "load modules from a shared object, a path with a '/' in it; a plug-in is code and runs with your rights"},
    {0},
};

const alloy_cli_option alloy_cli_model_flags[] = {
    {.name = "num-layers",
     .kind = ALLOY_CLI_INTEGER,
     .offset = COMMON(num_layers),
     .value = "N",
     .least = 1,
     .most = 1000000,
     .help = "use only the first N layers of the model"},
    {.name = "no-mmap",
     .kind = ALLOY_CLI_SWITCH,
     .offset = COMMON(no_mmap),
     .help = "read weights into memory instead of mapping the files: safe when they may change meanwhile"},
    {.name = "weight-memory",
     .kind = ALLOY_CLI_SIZE,
     .offset = COMMON(weight_memory),
     .value = "SIZE",
     .help = "keep at most so many bytes of weights in memory (800M, 4G) and read the others again from the files when "
             "they are needed; results do not depend on it (default: what the system keeps)"},
    {.name = "allow-unused",
     .kind = ALLOY_CLI_SWITCH,
     .offset = COMMON(allow_unused),
     .help = "tensors that nothing uses are a warning, not an error"},
    {.name = "follow-symlinks",
     .kind = ALLOY_CLI_SWITCH,
     .offset = COMMON(follow_symlinks),
     .help = "follow links that leave the model's folder and its Hub cache"},
    {0},
};

alloy_dtype alloy_cli_dtype(const char *name)
{
    static const struct {
        const char *name;
        alloy_dtype dtype;
    } dtypes[] = {
        {"f32", ALLOY_F32}, {"bf16", ALLOY_BF16}, {"f16", ALLOY_F16}, {"fp8", ALLOY_F8_E4M3}, {"fp4", ALLOY_F4}};
    for (size_t i = 0; name && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(name, dtypes[i].name) == 0)
            return dtypes[i].dtype;
    return ALLOY_DTYPE_NONE;
}

bool alloy_cli_takes_model_flags(const alloy_cli_command *command)
{
    return command->opens >= ALLOY_CLI_CONFIG;
}
