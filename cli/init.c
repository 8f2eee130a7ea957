/* alloy init: random weights for a config. */
#include <stddef.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "common.h"
#include "files/json.h"
#include "model/init.h"
#include "output.h"
#include "progress.h"

enum { CONFIG_BYTES = 4 << 20 };

typedef struct init_options {
    alloy_cli_common common;
    const char *config, *out, *dtype;
    alloy_cli_integer seed, max_shard_size;
} init_options;

static void show_progress(void *user, uint64_t done, uint64_t bytes)
{
    (void)user;
    alloy_cli_progress("init", "MB", (int64_t)(done / 1000000), (int64_t)(bytes / 1000000));
}

static alloy_dtype dtype_named(const char *name)
{
    return !name                       ? ALLOY_DTYPE_NONE
           : strcmp(name, "bf16") == 0 ? ALLOY_BF16
           : strcmp(name, "f16") == 0  ? ALLOY_F16
                                       : ALLOY_F32;
}

/* The config as it is: what the user wrote is what lies beside the weights. */
static alloy_status copy_config(const char *from, const char *folder)
{
    alloy_text source = {0}, target = {0}, bytes = {0};
    alloy_status status = alloy_folder_exists(from) ? alloy_path_join(&source, from, "config.json") : ALLOY_OK;
    if (!status)
        status = alloy_file_read(&bytes, source.bytes ? source.bytes : from, CONFIG_BYTES);
    if (!status)
        status = alloy_path_join(&target, folder, "config.json");
    if (!status)
        status = alloy_file_replace(target.bytes, bytes.bytes, bytes.size);
    alloy_text_free(&source);
    alloy_text_free(&target);
    alloy_text_free(&bytes);
    return status;
}

static alloy_status tell(const init_options *o)
{
    if (!o->common.json) {
        alloy_cli_say("%s: weights drawn with seed %lld", o->out, (long long)o->seed.value);
        return ALLOY_OK;
    }
    alloy_text text = {0};
    alloy_json_writer w;
    alloy_json_writer_open(&w, &text, 2);
    alloy_json_write_object(&w);
    alloy_json_write_key(&w, "folder");
    alloy_json_write_string(&w, o->out, strlen(o->out));
    alloy_json_write_key(&w, "seed");
    alloy_json_write_int64(&w, o->seed.value);
    alloy_json_write_object_end(&w);
    alloy_status status = alloy_cli_print_json(&text);
    alloy_text_free(&text);
    return status;
}

static alloy_status run(const void *options)
{
    const init_options *o = options;
    alloy_config *config = NULL;
    alloy_init_options init = {.seed = (uint64_t)o->seed.value,
                               .dtype = dtype_named(o->dtype),
                               .max_shard_size = (uint64_t)o->max_shard_size.value,
                               .progress = show_progress};
    alloy_status status =
        o->out ? alloy_config_open(&config, o->config) : alloy_fail(ALLOY_ARG, "--out FOLDER is needed");
    if (!status)
        status = alloy_folder_create(o->out);
    if (!status)
        status = alloy_model_init(config, o->out, &init);
    alloy_cli_progress_clear();
    if (!status)
        status = copy_config(o->config, o->out);
    alloy_config_close(config);
    return status ? status : tell(o);
}

#define AT(field) offsetof(init_options, field)

static const alloy_cli_place places[] = {
    {.name = "CONFIG", .offset = AT(config), .help = "A config.json, or a folder that holds one"}};

static const alloy_cli_option flags[] = {
    {.name = "out",
     .letter = 'o',
     .kind = ALLOY_CLI_TEXT,
     .offset = AT(out),
     .value = "FOLDER",
     .help = "Where to write the model"},
    {.name = "seed",
     .kind = ALLOY_CLI_INTEGER,
     .offset = AT(seed),
     .value = "N",
     .least = 0,
     .most = 9e15,
     .help = "Of the draw (default: 0)"},
    {.name = "dtype",
     .kind = ALLOY_CLI_CHOICE,
     .offset = AT(dtype),
     .value = "DTYPE",
     .choices = "f32 bf16 f16",
     .help = "Of the weights (default: the config's)"},
    {.name = "max-shard-size",
     .kind = ALLOY_CLI_INTEGER,
     .offset = AT(max_shard_size),
     .value = "BYTES",
     .least = 1,
     .most = 9e15,
     .help = "Larger models are written as shards (default: 5000000000)"},
};

const alloy_cli_command alloy_cli_init = {
    .name = "init",
    .summary = "random weights for a config",
    .about = "Writes a model folder with random weights: each element is drawn from (seed, name of its parameter, "
             "place in it), so the same seed gives the same "
             "bytes everywhere.",
    .examples = "  alloy init examples/configs/composed.json --out build/composed --seed 1\n",
    .places = places,
    .place_count = 1,
    .options = flags,
    .option_count = sizeof flags / sizeof *flags,
    .options_size = sizeof(init_options),
    .run = run,
};
