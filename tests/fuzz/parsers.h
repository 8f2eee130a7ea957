/* The parsers of files and what must hold whatever their bytes are: one function a parser, and a table of them with the
 * files that changes begin with. Shared by the libFuzzer programs (fuzz_parser.c) and by tests/cli/test_parsers.c,
 * which tries changed copies in every run of the tests. Those of JSON and safetensors stand in targets.h, that of
 * tokenizer.json in tokenizer_target.h. */
#ifndef ALLOY_TESTS_FUZZ_PARSERS_H
#define ALLOY_TESTS_FUZZ_PARSERS_H

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <sys/stat.h>

#include "fuzz/targets.h"
#include "fuzz/tokenizer_target.h"

#include "alloy/report.h"
#include "base/file.h"
#include "base/hash.h"
#include "cli/ids.h"
#include "compare/reference.h"
#include "config/config.h"
#include "config/generation.h"
#include "files/model_files.h"
#include "files/weights.h"
#include "modules/plugin_file.h"
#include "roofline/host.h"

/* ---- Files ------------------------------------------------------------------------------------------------------- */

#define FUZZ_GOLDEN ALLOY_SOURCE_DIR "/tests/golden/"

static char fuzz_folder[64]; /* of this process alone, as a plug-in's has to be */

static inline void fuzz_remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", fuzz_folder);
    (void)!system(command);
}

/* folder/name in `path`. */
static inline void fuzz_path(char path[PATH_MAX], const char *name)
{
    if (!fuzz_folder[0]) {
        strcpy(fuzz_folder, "/tmp/alloy-fuzz-XXXXXX");
        PROMISE(mkdtemp(fuzz_folder));
        atexit(fuzz_remove_folder);
    }
    snprintf(path, PATH_MAX, "%s/%s", fuzz_folder, name);
}

static inline void fuzz_write(char path[PATH_MAX], const char *name, const void *bytes, size_t size)
{
    fuzz_path(path, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    PROMISE(file >= 0 && write(file, bytes, size) == (ssize_t)size);
    close(file);
}

/* Copies what the pattern names into the folder. */
static inline void fuzz_copy(const char *pattern)
{
    glob_t found;
    PROMISE(glob(pattern, 0, NULL, &found) == 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        alloy_file file;
        char path[PATH_MAX];
        PROMISE(!alloy_file_open(&file, found.gl_pathv[i], SIZE_MAX, false));
        fuzz_write(path, strrchr(found.gl_pathv[i], '/') + 1, file.data, file.size);
        alloy_file_close(&file);
    }
    globfree(&found);
}

#define ONE_OF(status, ...) fuzz_is_one_of(status, (const alloy_status[]){ALLOY_OK, __VA_ARGS__, ALLOY_OK})

static inline void fuzz_is_one_of(alloy_status status, const alloy_status *allowed)
{
    check_error(status);
    int i = 1;
    while (status && allowed[i] && allowed[i] != status)
        i++;
    if (status && !allowed[i]) {
        fprintf(stderr, "broken: %s: %s\n", alloy_status_name(status), alloy_error());
        abort();
    }
}

/* ---- Configs ----------------------------------------------------------------------------------------------------- */

/* Of what a model is described from, the config that is written means the same: read again, it is written with the same
 * bytes. (Modules check their fields when a model is described.) */
static inline void check_written(const alloy_config *config)
{
    alloy_model *model;
    alloy_config *again;
    alloy_text first = {0}, second = {0};
    alloy_status status = alloy_model_describe(&model, config);
    ONE_OF(status, ALLOY_FORMAT, ALLOY_RANGE, ALLOY_LIMIT, ALLOY_UNSUPPORTED);
    if (status)
        return;
    PROMISE(!alloy_config_to_json(config, &first));
    status = alloy_config_parse(&again, "written", first.bytes, first.size);
    ONE_OF(status, ALLOY_OK);
    PROMISE(!alloy_config_to_json(again, &second));
    PROMISE(first.size == second.size && memcmp(first.bytes, second.bytes, first.size) == 0);
    alloy_model_close(model);
    alloy_config_close(again);
    alloy_text_free(&first);
    alloy_text_free(&second);
}

static inline void fuzz_config(const uint8_t *bytes, size_t size)
{
    alloy_config *config;
    alloy_status status = alloy_config_parse(&config, "fuzz", bytes, size);
    ONE_OF(status, ALLOY_FORMAT, ALLOY_RANGE, ALLOY_LIMIT, ALLOY_UNSUPPORTED);
    PROMISE(!status == !!config);
    if (!status)
        check_written(config);
    alloy_config_close(config);
}

static inline void fuzz_generation_config(const uint8_t *bytes, size_t size)
{
    alloy_generation_config *config;
    alloy_status status = alloy_generation_config_parse(&config, "fuzz", bytes, size, 256);
    ONE_OF(status, ALLOY_FORMAT, ALLOY_RANGE, ALLOY_LIMIT);
    PROMISE(!status == !!config);
    for (int64_t i = 0; config && i < config->eos_token_count; i++)
        PROMISE(config->eos_token_ids[i] >= 0 && config->eos_token_ids[i] < 256);
    alloy_generation_config_close(config);
}

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

/* The index of ten sound shards: what opens names tensors that are there. */
static inline void fuzz_index(const uint8_t *bytes, size_t size)
{
    static bool copied;
    char path[PATH_MAX];
    if (!copied)
        fuzz_copy(FUZZ_GOLDEN "llama_linear_sharded/model-*.safetensors");
    copied = true;
    fuzz_write(path, "config.json", "{}", 2);
    fuzz_write(path, "model.safetensors.index.json", bytes, size);
    alloy_model_files files;
    alloy_weights *weights = NULL;
    alloy_load_options options = {.size = sizeof options};
    PROMISE(!alloy_model_files_open(&files, fuzz_folder, false));
    alloy_status status = alloy_weights_open(&weights, &files, &options);
    status = status ? status : alloy_weights_open_all(weights);
    ONE_OF(status, ALLOY_FORMAT, ALLOY_LIMIT, ALLOY_IO, ALLOY_TRUST);
    for (int64_t i = 0; !status && i < alloy_weights_count(weights); i++) {
        const alloy_stored_tensor *tensor;
        size_t length;
        const char *name = alloy_weights_name(weights, i, &length);
        PROMISE(!alloy_weights_at(weights, i, &tensor) && tensor && tensor->data);
        PROMISE(tensor->name_size == length && memcmp(tensor->name, name, length) == 0);
    }
    alloy_weights_close(weights);
    alloy_model_files_close(&files);
}

/* A reference's bounds: what is accepted is finite. */
static inline void fuzz_reference(const uint8_t *bytes, size_t size)
{
    static bool copied;
    char path[PATH_MAX];
    if (!copied)
        fuzz_copy(FUZZ_GOLDEN "qwen3/expected.safetensors");
    copied = true;
    fuzz_write(path, "expected.json", bytes, size);
    fuzz_path(path, "expected.safetensors");
    alloy_reference reference;
    alloy_status status = alloy_reference_open(&reference, path, true);
    ONE_OF(status, ALLOY_FORMAT, ALLOY_RANGE, ALLOY_LIMIT);
    for (int64_t i = 0; !status && i < reference.hidden_error_count; i++)
        PROMISE(reference.hidden_error[i] >= 0 && reference.hidden_error[i] <= 1.7e308);
    alloy_reference_close(&reference);
}

/* ---- Chips, this machine, routing -------------------------------------------------------------------------------- */

static inline void check_number(double value)
{
    PROMISE(value == 0 || (value > 0 && value <= 1e24));
}

/* What is accepted is a chip with a name, a bandwidth and a peak, its numbers within their ranges. */
static inline void fuzz_chip(const uint8_t *bytes, size_t size)
{
    alloy_chip *chip;
    alloy_status status = alloy_chip_parse(&chip, "fuzz", bytes, size);
    ONE_OF(status, ALLOY_FORMAT, ALLOY_RANGE, ALLOY_LIMIT);
    PROMISE(!status == !!chip);
    if (status)
        return;
    int peaks = 0;
    for (int i = 0; i < ALLOY_PEAK_COUNT; i++) {
        check_number(chip->peak[i]);
        check_number(chip->vector_peak[i]);
        peaks += chip->peak[i] > 0;
    }
    const double others[] = {
        chip->memory, chip->link_bandwidth, chip->power, chip->price_per_hour, chip->cache, chip->cache_bandwidth, 0};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check_number(others[i]);
    PROMISE(chip->name && *chip->name && chip->memory_bandwidth >= 1 && peaks > 0);
    alloy_chip_close(chip);
}

/* The value of "host", under a checksum that fits it (host_file.c). */
static inline void fuzz_host(const uint8_t *bytes, size_t size)
{
    static const alloy_hash_key key = {0x616c6c6f79, 1};
    char path[PATH_MAX];
    alloy_text text = {0};
    alloy_host host = {.threads = 2};
    alloy_text_format(&text,
                      "{\"checksum\": \"%016llx\",\n\"host\": ", (unsigned long long)alloy_hash(&key, bytes, size));
    alloy_text_append(&text, bytes, size);
    alloy_text_string(&text, "}\n");
    PROMISE(!alloy_text_status(&text));
    fuzz_write(path, "host.json", text.bytes, text.size);
    alloy_status status = alloy_host_read(&host, path);
    ONE_OF(status, ALLOY_FORMAT, ALLOY_RANGE, ALLOY_LIMIT);
    PROMISE(!status == host.from_file);
    alloy_text_free(&text);
}

/* No more experts are read than there are. */
static inline void fuzz_routing(const uint8_t *bytes, size_t size)
{
    static alloy_config *config;
    static alloy_model *model;
    char path[PATH_MAX];
    if (!model) {
        PROMISE(!alloy_config_open(&config, FUZZ_GOLDEN "qwen3_moe/config.json"));
        PROMISE(!alloy_model_describe(&model, config));
    }
    fuzz_write(path, "routing.json", bytes, size);
    alloy_routing_file routing;
    alloy_status status = alloy_routing_file_read(&routing, model, path);
    ONE_OF(status, ALLOY_FORMAT, ALLOY_RANGE, ALLOY_LIMIT, ALLOY_ARG);
    int64_t experts = 0;
    PROMISE(!alloy_config_get_int64(alloy_model_config(model), "num_experts", 0, &experts));
    for (int64_t i = 0; !status && i < alloy_config_num_layers(alloy_model_config(model)); i++)
        PROMISE(routing.experts_read[i] >= 0 && routing.experts_read[i] <= experts && routing.tokens[i] >= 0 &&
                routing.tokens[i] <= 1e300);
    alloy_routing_file_free(&routing);
}

/* ---- Plug-ins, ids ----------------------------------------------------------------------------------------------- */

/* The headers of a shared object: all that would be mapped lies within the file. No code of it runs. */
static inline void fuzz_plugin(const uint8_t *bytes, size_t size)
{
    char path[PATH_MAX];
    alloy_plugin_file file;
    fuzz_write(path, "plugin.so", bytes, size);
    alloy_status status = alloy_plugin_file_open(&file, path);
    ONE_OF(status, ALLOY_FORMAT);
    PROMISE(status || file.segment_count > 0);
    for (int i = 0; !status && i < file.segment_count; i++)
        PROMISE(file.segments[i].p_offset <= size && file.segments[i].p_filesz <= size - file.segments[i].p_offset);
    alloy_plugin_file_close(&file);
}

static inline void fuzz_ids(const uint8_t *bytes, size_t size)
{
    alloy_ids ids = {0};
    alloy_status status = alloy_cli_ids_parse(&ids, (const char *)bytes, size, "fuzz", ALLOY_FORMAT);
    ONE_OF(status, ALLOY_FORMAT, ALLOY_RANGE, ALLOY_LIMIT);
    alloy_ids_free(&ids);
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

/* script/fuzz and CMakeLists.txt read these lines: a parser's name, and the files of the project that changes begin
 * with, as the shell and GLOB_BRACE expand them. */
static const struct fuzz_parser {
    const char *name, *seeds;
    void (*run)(const uint8_t *bytes, size_t size);
} fuzz_parsers[] = {
    {"json", "tests/fuzz/seeds/json/*", fuzz_json},
    {"safetensors", "tests/fuzz/seeds/safetensors/*", fuzz_safetensors},
    {"tokenizer", "tests/fuzz/seeds/tokenizer/*", fuzz_tokenizer},
    {"config", "{tests/golden/*/config.json,tests/composed/*.json,examples/configs/*.json}", fuzz_config},
    {"generation_config", "{tests/golden/*,examples/models/moby}/generation_config.json", fuzz_generation_config},
    {"index", "tests/golden/*/model.safetensors.index.json", fuzz_index},
    {"reference", "tests/golden/*/expected.json", fuzz_reference},
    {"chip", "tests/fuzz/seeds/chip/*", fuzz_chip},
    {"host", "tests/fuzz/seeds/host/*", fuzz_host},
    {"routing", "tests/fuzz/seeds/routing/*", fuzz_routing},
    {"plugin", "tests/fuzz/seeds/plugin/*", fuzz_plugin},
    {"ids", "tests/fuzz/seeds/ids/*", fuzz_ids},
};
enum { FUZZ_PARSERS = sizeof fuzz_parsers / sizeof *fuzz_parsers };

#endif
