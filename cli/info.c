/* alloy info: what a model is. With weights: what the files hold; from a config alone: what it would be. */
#include <stddef.h>
#include <string.h>

#include "alloy/extend.h"
#include "base/file.h"
#include "base/status.h"
#include "common.h"
#include "files/json.h"
#include "model/model.h"
#include "model/parameters.h"
#include "output.h"
#include "table.h"

typedef struct info_options {
    alloy_cli_common common;
    const char *model;
} info_options;

/* What is added up over the parameters. */
typedef struct sums {
    const alloy_config *config;
    uint64_t total, active;
} sums;

typedef struct facts {
    sums parameters;
    uint64_t weight_bytes; /* of the files; 0 without */
    uint64_t row_bytes;    /* cache that grows with each token, fp32 */
    uint64_t fixed_bytes;  /* cache that does not grow: windows (full) and states */
} facts;

static alloy_status add_parameter(void *user, const alloy_parameter *p)
{
    sums *s = user;
    uint64_t elements = 1;
    for (int i = 0; i < p->ndim; i++)
        elements *= (uint64_t)p->shape[i];
    s->total += elements;
    if (p->expert < 0 || p->expert < s->config->layers[p->site.layer].ffn_config->num_experts_per_tok)
        s->active += elements; /* as many experts as a token goes to */
    return ALLOY_OK;
}

static void add_state(facts *f, const alloy_state_spec *spec)
{
    for (int i = 0; i < spec->count; i++) {
        const alloy_state_part *part = &spec->part[i];
        if (part->kind == ALLOY_STATE_FIXED)
            f->fixed_bytes += (uint64_t)part->width * 4;
        else if (part->window > 0)
            f->fixed_bytes += (uint64_t)part->width * (uint64_t)part->window * 4;
        else
            f->row_bytes += (uint64_t)part->width * 4;
    }
}

static alloy_status gather(facts *f, const alloy_model *m)
{
    f->parameters.config = &m->config;
    for (int64_t i = 0; i < m->config.num_hidden_layers; i++)
        add_state(f, &m->layers[i].state);
    alloy_status status = alloy_parameters(&m->config, add_parameter, &f->parameters);
    int64_t count = m->weights ? alloy_weights_count(m->weights) : 0;
    for (int64_t i = 0; i < count && !status; i++) {
        const alloy_stored_tensor *t;
        status = alloy_weights_at(m->weights, i, &t);
        f->weight_bytes += status ? 0 : t->bytes;
    }
    return status;
}

static const char *dtype_name(const alloy_model *m)
{
    return alloy_dtype_name(m->embedding->dtype);
}

/* The end of the run of layers that are like layer i. */
static int64_t end_of_run(const alloy_config *c, int64_t i)
{
    int64_t end = i + 1;
    while (end < c->num_hidden_layers && strcmp(c->layers[end].mixer, c->layers[i].mixer) == 0 &&
           strcmp(c->layers[end].ffn, c->layers[i].ffn) == 0)
        end++;
    return end;
}

static alloy_status print_text(const alloy_model *m, const facts *f)
{
    const alloy_config *c = &m->config;
    alloy_cli_print("%s: %s, %lld layers, hidden %lld, vocabulary %lld, context %lld\n\n",
                    m->files.path ? m->files.path : "config", c->model_type, (long long)c->num_hidden_layers,
                    (long long)c->hidden_size, (long long)c->vocab_size, (long long)c->max_position_embeddings);
    alloy_cli_table table;
    alloy_cli_table_open(&table, ">layers|mixer|ffn");
    for (int64_t i = 0, end; i < c->num_hidden_layers; i = end) {
        end = end_of_run(c, i);
        if (end == i + 1)
            alloy_cli_table_cell(&table, "%lld", (long long)i);
        else
            alloy_cli_table_cell(&table, "%lld-%lld", (long long)i, (long long)end - 1);
        alloy_cli_table_cell(&table, "%s", c->layers[i].mixer);
        alloy_cli_table_cell(&table, "%s", c->layers[i].ffn);
    }
    alloy_cli_table_print(&table);
    alloy_cli_print("\nparameters  %s (%s active)\n", alloy_cli_grouped(f->parameters.total),
                    alloy_cli_grouped(f->parameters.active));
    if (m->weights)
        alloy_cli_print("weights     %s of %s in %lld files; %lld tensors skipped\n",
                        alloy_cli_bytes((double)f->weight_bytes), dtype_name(m),
                        (long long)alloy_weights_file_count(m->weights), (long long)m->skipped);
    alloy_cli_print(
        "cache       %s a token, %s fixed, %s at the whole context (f32)\n", alloy_cli_bytes((double)f->row_bytes),
        alloy_cli_bytes((double)f->fixed_bytes),
        alloy_cli_bytes((double)f->row_bytes * (double)c->max_position_embeddings + (double)f->fixed_bytes));
    return alloy_cli_flush();
}

static void write_text(alloy_json_writer *w, const char *key, const char *text)
{
    alloy_json_write_key(w, key);
    alloy_json_write_string(w, text, strlen(text));
}

static void write_integer(alloy_json_writer *w, const char *key, uint64_t value)
{
    alloy_json_write_key(w, key);
    alloy_json_write_uint64(w, value);
}

static alloy_status print_json(const alloy_model *m, const facts *f)
{
    const alloy_config *c = &m->config;
    alloy_text text = {0};
    alloy_json_writer w;
    alloy_json_writer_open(&w, &text, 2);
    alloy_json_write_object(&w);
    write_text(&w, "model_type", c->model_type);
    write_integer(&w, "num_hidden_layers", (uint64_t)c->num_hidden_layers);
    write_integer(&w, "hidden_size", (uint64_t)c->hidden_size);
    write_integer(&w, "vocab_size", (uint64_t)c->vocab_size);
    write_integer(&w, "max_position_embeddings", (uint64_t)c->max_position_embeddings);
    alloy_json_write_key(&w, "layers");
    alloy_json_write_array(&w);
    for (int64_t i = 0; i < c->num_hidden_layers; i++) {
        alloy_json_write_object(&w);
        write_text(&w, "mixer", c->layers[i].mixer);
        write_text(&w, "ffn", c->layers[i].ffn);
        alloy_json_write_object_end(&w);
    }
    alloy_json_write_array_end(&w);
    write_integer(&w, "parameters", f->parameters.total);
    write_integer(&w, "active_parameters", f->parameters.active);
    write_text(&w, "dtype", dtype_name(m));
    write_integer(&w, "weight_bytes", f->weight_bytes);
    write_integer(&w, "skipped_tensors", (uint64_t)m->skipped);
    write_integer(&w, "cache_bytes_per_token", f->row_bytes);
    write_integer(&w, "cache_bytes_fixed", f->fixed_bytes);
    alloy_json_write_object_end(&w);
    alloy_status status = alloy_cli_print_json(&text);
    alloy_text_free(&text);
    return status;
}

static bool has_weights(const char *where)
{
    alloy_text path = {0};
    bool found = !alloy_folder_exists(where) && !alloy_file_exists(where); /* a name in the Hub's cache */
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
    for (int i = 0; i < 2 && alloy_folder_exists(where); i++)
        found = found || (alloy_path_join(&path, where, names[i]) == ALLOY_OK && alloy_file_exists(path.bytes));
    alloy_text_free(&path);
    return found;
}

static alloy_status run(const void *options)
{
    const info_options *o = options;
    alloy_model *model = NULL;
    alloy_config *config = NULL;
    facts f = {0};
    alloy_status status = ALLOY_OK;
    if (has_weights(o->model)) {
        status = alloy_cli_open_model(&model, &o->common, o->model);
    } else {
        status = alloy_config_open(&config, o->model);
        status = status ? status : alloy_model_describe(&model, config);
    }
    status = status ? status : gather(&f, model);
    if (!status)
        status = o->common.json ? print_json(model, &f) : print_text(model, &f);
    alloy_cli_close_model(model);
    alloy_config_close(config);
    return status;
}

static const alloy_cli_place places[] = {{.name = "MODEL",
                                          .offset = offsetof(info_options, model),
                                          .help = "A model's folder, user/name in the Hub's cache, or a config.json"}};

const alloy_cli_command alloy_cli_info = {
    .name = "info",
    .summary = "what a model is: layers, parameters, bytes, cache",
    .about = "Shows the layers of a model, its parameters (total, and active for one token), the dtype and bytes of "
             "its weights, and how much cache a token takes. A "
             "config.json is enough.",
    .examples = "  alloy info examples/models/moby\n  alloy info examples/configs/readme.json --json\n",
    .places = places,
    .place_count = 1,
    .opens_model = true,
    .options_size = sizeof(info_options),
    .run = run,
};
