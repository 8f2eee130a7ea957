/* What commands share (common.h), and the flags that all of them take. */
#include "common.h"

#include <string.h>
#include <time.h>

#include "alloy/extend.h"
#include "base/file.h"
#include "base/threads.h"
#include "files/model_files.h"
#include "signals.h"

#define COMMON(field) offsetof(alloy_cli_common, field)

enum { MODEL_OPTIONS = 4 };

const alloy_cli_option alloy_cli_common_options[] = {
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
     .offset = COMMON(plugins),
     .value = "FILE",
     .help = "load modules from a shared object, a path with a '/' in it; a plug-in is code and runs with your rights"},
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
    {.name = "allow-unused",
     .kind = ALLOY_CLI_SWITCH,
     .offset = COMMON(allow_unused),
     .help = "tensors that nothing uses are a warning, not an error"},
    {.name = "follow-symlinks",
     .kind = ALLOY_CLI_SWITCH,
     .offset = COMMON(follow_symlinks),
     .help = "follow links that leave the model's folder and its Hub cache"},
};

size_t alloy_cli_common_option_count(const alloy_cli_command *command)
{
    size_t all = sizeof alloy_cli_common_options / sizeof *alloy_cli_common_options;
    return command->opens_model ? all : all - MODEL_OPTIONS;
}

alloy_status alloy_cli_load_plugins(const alloy_cli_common *common)
{
    for (int64_t i = 0; i < common->plugins.count; i++) {
        alloy_status status = alloy_plugin_load(common->plugins.items[i]);
        if (status)
            return status;
    }
    return ALLOY_OK;
}

alloy_status alloy_cli_open_model(alloy_model **model, const alloy_cli_common *common, const char *where)
{
    *model = NULL;
    alloy_load_options options = {
        .num_layers = common->num_layers.value,
        .no_mmap = common->no_mmap,
        .allow_unused = common->allow_unused,
        .follow_symlinks = common->follow_symlinks,
    };
    alloy_status status = alloy_model_open(model, where, &options);
    if (!status)
        alloy_cli_watch_model(*model);
    return status;
}

void alloy_cli_close_model(alloy_model *model)
{
    alloy_cli_watch_model(NULL);
    alloy_model_close(model);
}

alloy_status alloy_cli_open_tokenizer(alloy_tokenizer **tokenizer, const alloy_cli_common *common, const char *where)
{
    *tokenizer = NULL;
    if (alloy_file_exists(where))
        return alloy_tokenizer_open(tokenizer, where);
    alloy_model_files files;
    alloy_text path = {0};
    alloy_status status = alloy_model_files_open(&files, where, common->follow_symlinks);
    if (status)
        return status;
    status = alloy_model_files_path(&files, "tokenizer.json", &path);
    status = status ? status : alloy_tokenizer_open(tokenizer, path.bytes);
    alloy_text_free(&path);
    alloy_model_files_close(&files);
    return status;
}

alloy_session_options alloy_cli_session_options(const alloy_cli_common *common)
{
    const char *kv = common->kv_dtype;
    return (alloy_session_options){
        .threads = (int)common->threads.value,
        .cpu = common->cpu,
        .kv_dtype = !kv || strcmp(kv, "f32") == 0 ? ALLOY_F32
                    : strcmp(kv, "f16") == 0      ? ALLOY_F16
                                                  : ALLOY_BF16,
    };
}

alloy_status alloy_cli_open_session(alloy_session **session, const alloy_model *model, const alloy_cli_common *common,
                                    int64_t chunk)
{
    alloy_session_options options = alloy_cli_session_options(common);
    options.chunk = chunk;
    return alloy_session_open(session, model, &options);
}

double alloy_cli_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
