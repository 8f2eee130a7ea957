/* The routing of a run as a file (alloy/report.h). Which layers route, and among how many experts, is asked of the
 * model's own forward. */
#include "alloy/report.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "files/json.h"
#include "engine/count.h"

enum { MOST_BYTES = 64 * 1024 * 1024 };

/* What the model says of a layer; all 0: it does not route. */
struct layer {
    int64_t experts, per_token;
};

static double note_experts(void *user, int64_t layer, int64_t experts, int64_t per_token, int64_t tokens,
                           double distinct)
{
    (void)tokens, (void)distinct;
    struct layer *layers = user;
    if (layer >= 0)
        layers[layer] = (struct layer){experts, per_token};
    return (double)per_token;
}

static void ignore_record(void *user, const alloy_site *site, const alloy_args *call, const alloy_cost *cost)
{
    (void)user, (void)site, (void)call, (void)cost;
}

static alloy_status find_experts(const alloy_model *model, struct layer *layers)
{
    alloy_span one = {.count = 1, .repeat = 1};
    alloy_count_request request = {
        .spans = &one, .span_count = 1, .model = {.experts_read = note_experts, .user = layers}};
    return alloy_model_count(model, &request, ignore_record, NULL);
}

static void read_layer(alloy_json *json, int64_t i, const struct layer *layer, alloy_routing_file *out)
{
    int64_t count = 0, used = 0;
    double choices = 0;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        uint64_t tokens = alloy_json_uint64(json);
        choices += (double)tokens;
        used += tokens > 0;
        count++;
    }
    if (count != layer->experts)
        alloy_json_fail(json, ALLOY_ARG, "layer %lld: tokens of %lld experts, the model has %lld there", (long long)i,
                        (long long)count, (long long)layer->experts);
    else if (count > 0)
        out->tokens[i] = choices / (double)layer->per_token;
    out->experts_read[i] = used;
}

static void read_layers(alloy_json *json, int64_t count, const struct layer *layers, alloy_routing_file *out)
{
    alloy_json_string_view key;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        int64_t layer;
        if (!alloy_parse_int64(key.bytes, key.size, &layer) || layer < 0 || layer >= count)
            alloy_json_fail(json, ALLOY_ARG, "\"%s\" is no layer of the model, which has 0..%lld",
                            alloy_printable(key.bytes, key.size), (long long)count - 1);
        else
            read_layer(json, layer, &layers[layer], out);
    }
}

static alloy_status read_file(const alloy_model *model, const char *path, const struct layer *layers,
                              alloy_routing_file *out)
{
    alloy_text text = {0};
    alloy_json json;
    int64_t count = model->config.num_hidden_layers;
    alloy_status status = alloy_file_read(&text, path, MOST_BYTES);
    if (!status) {
        alloy_json_open(&json, path, alloy_text_get(&text), text.size);
        read_layers(&json, count, layers, out);
        status = alloy_json_close(&json);
    }
    alloy_text_free(&text);
    for (int64_t i = 0; i < count && !status; i++)
        if (layers[i].experts > 0 && out->experts_read[i] == 0)
            status = alloy_fail(ALLOY_ARG, "%s: no tokens of layer %lld, which routes them to %lld experts",
                                alloy_printable_path(path), (long long)i, (long long)layers[i].experts);
    return status;
}

alloy_status alloy_routing_file_read(alloy_routing_file *out, const alloy_model *model, const char *path)
{
    size_t count = (size_t)model->config.num_hidden_layers;
    struct layer *layers = alloy_memory_zeroed(count, sizeof *layers);
    *out = (alloy_routing_file){.experts_read = alloy_memory_zeroed(count, sizeof *out->experts_read),
                                .tokens = alloy_memory_zeroed(count, sizeof *out->tokens)};
    alloy_status status = layers && out->experts_read && out->tokens ? find_experts(model, layers) : ALLOY_NOMEM;
    if (!status)
        status = read_file(model, path, layers, out);
    alloy_memory_free(layers);
    if (status)
        alloy_routing_file_free(out);
    return status;
}

void alloy_routing_file_free(alloy_routing_file *file)
{
    alloy_memory_free(file->experts_read);
    alloy_memory_free(file->tokens);
    *file = (alloy_routing_file){0};
}
