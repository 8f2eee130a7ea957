/* alloy info: what a model is. With weights: what the files hold too; from a config alone: what the model would be. */
#include <string.h>

#include "alloy/extend.h"
#include "base/memory.h"
#include "job.h"
#include "output.h"
#include "table.h"

typedef struct facts {
    const alloy_cli_job *job;
    const alloy_model *model;
    const alloy_config *config;
    alloy_amounts *layers; /* [num_hidden_layers] */
    alloy_amounts total;
    bool has_weights;
    alloy_stored stored; /* of has_weights */
} facts;

static alloy_status gather(facts *f)
{
    f->config = alloy_model_config(f->model);
    f->layers = alloy_memory_new((size_t)alloy_config_num_layers(f->config), sizeof *f->layers);
    if (!f->layers)
        return ALLOY_NOMEM;
    alloy_status status =
        alloy_model_amounts(f->model, alloy_cli_session_options(f->job->common).kv_dtype, &f->total, f->layers);
    /* Of a model that is cut short the files of the other layers need not exist. */
    f->has_weights = alloy_model_tensors(f->model) > 0 && !f->job->common->num_layers.given;
    return !status && f->has_weights ? alloy_model_stored(f->model, &f->stored) : status;
}

/* Bytes of a cache that holds the whole context. */
static alloy_count cache_at_context(const facts *f)
{
    return alloy_count_add(alloy_count_multiply(f->total.cache_per_token, alloy_config_context(f->config)),
                           f->total.cache_fixed);
}

/* ---- For people -------------------------------------------------------------------------------------------------- */

static bool alike(const facts *f, int64_t i, int64_t j)
{
    const alloy_config *c = f->config;
    return strcmp(alloy_config_mixer(c, i), alloy_config_mixer(c, j)) == 0 &&
           strcmp(alloy_config_ffn(c, i), alloy_config_ffn(c, j)) == 0 &&
           memcmp(&f->layers[i], &f->layers[j], sizeof *f->layers) == 0;
}

/* Layers i to end - 1 are alike. */
static void add_layers_row(const facts *f, alloy_table *table, int64_t i, int64_t end)
{
    const alloy_amounts *a = &f->layers[i];
    if (end == i + 1)
        alloy_table_cell(table, "%lld", (long long)i);
    else
        alloy_table_cell(table, "%lld-%lld", (long long)i, (long long)end - 1);
    alloy_table_cell(table, "%s", alloy_config_mixer(f->config, i));
    alloy_table_cell(table, "%s", alloy_config_ffn(f->config, i));
    alloy_table_count(table, a->parameters);
    alloy_table_count(table, a->active);
    alloy_table_cell(table, "%s", alloy_cli_bytes(alloy_count_double(a->cache_per_token)));
    alloy_table_cell(table, "%s", alloy_cli_bytes(alloy_count_double(a->cache_fixed)));
}

/* One row for each run of layers that are alike, as many as anybody reads. */
static void print_layers(const facts *f)
{
    enum { MOST_ROWS = 1000 };
    alloy_table table;
    int64_t layers = alloy_config_num_layers(f->config), i = 0;
    alloy_table_open(&table, ">layers|mixer|ffn|>parameters each|>active|>cache a token|>fixed");
    for (int64_t end, rows = 0; i < layers && rows < MOST_ROWS; i = end, rows++) {
        for (end = i + 1; end < layers && alike(f, i, end);)
            end++;
        add_layers_row(f, &table, i, end);
    }
    alloy_cli_table_print(&table);
    if (i < layers)
        alloy_cli_print("... and %lld more layers (--json has all)\n", (long long)(layers - i));
}

static void print_weights(const facts *f)
{
    int64_t files = f->stored.files;
    alloy_cli_print("weights     %s in %lld %s:", alloy_cli_bytes((double)f->stored.bytes), (long long)files,
                    files == 1 ? "file" : "files");
    bool first = true;
    for (int d = 0; d < ALLOY_DTYPE_COUNT; d++)
        if (f->stored.tensors_of[d]) {
            alloy_cli_print("%s %llu tensors of %s, %s", first ? "" : ";", (unsigned long long)f->stored.tensors_of[d],
                            alloy_dtype_name((alloy_dtype)d), alloy_cli_bytes((double)f->stored.bytes_of[d]));
            first = false;
        }
    alloy_cli_print(
        "\nskipped     %lld tensors that a text model does not use (vision tower, multi-token prediction)\n",
        (long long)alloy_model_skipped(f->model));
    alloy_cli_print("a token     reads %s of weights\n",
                    alloy_cli_bytes((double)alloy_model_bytes_per_token(f->model)));
}

static void print_text(const facts *f)
{
    const alloy_config *c = f->config;
    alloy_cli_print("%s: %s, %lld layers, hidden %lld, vocabulary %lld, context %lld%s\n\n", f->job->common->model,
                    alloy_config_model_type(c), (long long)alloy_config_num_layers(c),
                    (long long)alloy_config_hidden_size(c), (long long)alloy_config_vocab_size(c),
                    (long long)alloy_config_context(c), alloy_config_ties_head(c) ? ", embeddings tied" : "");
    print_layers(f);
    char parameters[ALLOY_COUNT_TEXT], active[ALLOY_COUNT_TEXT];
    alloy_cli_print("\nparameters  %s, %s active for a token\n", alloy_count_text(f->total.parameters, ',', parameters),
                    alloy_count_text(f->total.active, ',', active));
    if (f->has_weights)
        print_weights(f);
    alloy_cli_print("cache       %s a token and %s fixed: %s for the whole context\n",
                    alloy_cli_bytes(alloy_count_double(f->total.cache_per_token)),
                    alloy_cli_bytes(alloy_count_double(f->total.cache_fixed)),
                    alloy_cli_bytes(alloy_count_double(cache_at_context(f))));
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void write_amounts(alloy_json_writer *w, const alloy_amounts *a)
{
    alloy_json_field_count(w, "parameters", a->parameters);
    alloy_json_field_count(w, "active_parameters", a->active);
    alloy_json_field_count(w, "cache_bytes_per_token", a->cache_per_token);
    alloy_json_field_count(w, "cache_bytes_fixed", a->cache_fixed);
}

static void write_weights(alloy_json_writer *w, const facts *f)
{
    alloy_json_field_object(w, "weights");
    alloy_json_field_int64(w, "files", f->stored.files);
    alloy_json_field_uint64(w, "bytes", f->stored.bytes);
    alloy_json_field_uint64(w, "bytes_per_token", alloy_model_bytes_per_token(f->model));
    alloy_json_field_int64(w, "skipped_tensors", alloy_model_skipped(f->model));
    alloy_json_field_object(w, "dtypes");
    for (int d = 0; d < ALLOY_DTYPE_COUNT; d++)
        if (f->stored.tensors_of[d]) {
            alloy_json_field_object(w, alloy_dtype_name((alloy_dtype)d));
            alloy_json_field_uint64(w, "tensors", f->stored.tensors_of[d]);
            alloy_json_field_uint64(w, "bytes", f->stored.bytes_of[d]);
            alloy_json_write_object_end(w);
        }
    alloy_json_write_object_end(w);
    alloy_json_write_object_end(w);
}

static alloy_status print_json(const facts *f)
{
    const alloy_config *c = f->config;
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 2);
    alloy_json_field_text(w, "model", f->job->common->model);
    alloy_json_field_text(w, "model_type", alloy_config_model_type(c));
    alloy_json_field_int64(w, "num_hidden_layers", alloy_config_num_layers(c));
    alloy_json_field_int64(w, "hidden_size", alloy_config_hidden_size(c));
    alloy_json_field_int64(w, "vocab_size", alloy_config_vocab_size(c));
    alloy_json_field_int64(w, "max_position_embeddings", alloy_config_context(c));
    alloy_json_field_bool(w, "tie_word_embeddings", alloy_config_ties_head(c));
    write_amounts(w, &f->total);
    alloy_json_field_count(w, "cache_bytes_for_context", cache_at_context(f));
    alloy_json_field_array(w, "layers");
    for (int64_t i = 0; i < alloy_config_num_layers(c); i++) {
        alloy_json_write_object(w);
        alloy_json_field_text(w, "mixer", alloy_config_mixer(c, i));
        alloy_json_field_text(w, "ffn", alloy_config_ffn(c, i));
        write_amounts(w, &f->layers[i]);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
    if (f->has_weights)
        write_weights(w, f);
    return alloy_cli_document_print(&document);
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static alloy_status run(alloy_cli_job *job)
{
    facts f = {.job = job, .model = job->model};
    alloy_status status = gather(&f);
    if (!status && job->common->json)
        status = print_json(&f);
    else if (!status)
        print_text(&f);
    alloy_memory_free(f.layers);
    return status;
}

static const alloy_cli_place places[] = {
    ALLOY_CLI_MODEL_PLACE("a model's folder, user/name in the Hub's cache, or a config.json"),
    {0},
};

const alloy_cli_command alloy_cli_info = {
    .name = "info",
    .summary = "what a model is: layers, parameters, bytes, cache",
    .about = "Prints the layers of a model, its parameters (all, and those that one token meets), the dtypes and "
             "bytes of its weights, and how much cache a token and the whole context take (--kv-dtype). A config.json "
             "is enough for all but the weights.",
    .examples = "  alloy info examples/models/moby\n"
                "  alloy info path/to/config.json --json\n",
    .places = places,
    .options_size = sizeof(alloy_cli_common),
    .opens = ALLOY_CLI_MODEL_OR_CONFIG,
    .run = run,
};
