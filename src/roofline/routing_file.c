/* The routing of a run as a file (routing_file.h). Which layers route, and among how many experts, is asked of the
 * model's own forward. */
#include "roofline/routing_file.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "files/json.h"
#include "model/count.h"

enum { MOST_BYTES = 64 * 1024 * 1024 };

static double note_experts(void *user, int64_t layer, int64_t experts, int64_t per_token, int64_t tokens,
                           double distinct)
{
    (void)tokens, (void)distinct;
    int64_t *of_layers = user;
    if (layer >= 0)
        of_layers[layer] = experts;
    return (double)per_token;
}

static void ignore_record(void *user, const alloy_site *site, const char *op, const alloy_cost *cost)
{
    (void)user, (void)site, (void)op, (void)cost;
}

/* experts[layers]: 0 where a layer does not route. */
static alloy_status find_experts(const alloy_model *model, int64_t *experts)
{
    alloy_span one = {.count = 1, .repeat = 1};
    alloy_count_request request = {
        .spans = &one, .span_count = 1, .model = {.experts_read = note_experts, .every_layer = true, .user = experts}};
    return alloy_model_count(model, &request, ignore_record, NULL);
}

/* Experts of the list that had tokens. */
static int64_t read_experts(alloy_json *json, int64_t layer, int64_t experts)
{
    int64_t count = 0, used = 0;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        used += alloy_json_uint64(json) > 0;
        count++;
    }
    if (count != experts)
        alloy_json_fail(json, ALLOY_ARG, "layer %lld: tokens of %lld experts, the model has %lld there",
                        (long long)layer, (long long)count, (long long)experts);
    return used;
}

static void read_layers(alloy_json *json, int64_t layers, const int64_t *experts, int64_t *used)
{
    alloy_json_string_view key;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        int64_t layer;
        if (!alloy_parse_int64(key.bytes, key.size, &layer) || layer < 0 || layer >= layers)
            alloy_json_fail(json, ALLOY_ARG, "\"%s\" is no layer of the model, which has 0..%lld",
                            alloy_printable(key.bytes, key.size), (long long)layers - 1);
        else
            used[layer] = read_experts(json, layer, experts[layer]);
    }
}

static alloy_status read_file(const alloy_model *model, const char *path, const int64_t *experts, int64_t *used)
{
    alloy_text text = {0};
    alloy_json json;
    int64_t layers = model->config.num_hidden_layers;
    alloy_status status = alloy_file_read(&text, path, MOST_BYTES);
    if (!status) {
        alloy_json_open(&json, path, alloy_text_get(&text), text.size);
        read_layers(&json, layers, experts, used);
        status = alloy_json_close(&json);
    }
    alloy_text_free(&text);
    for (int64_t i = 0; i < layers && !status; i++)
        if (experts[i] > 0 && used[i] == 0)
            status = alloy_fail(ALLOY_ARG, "%s: no tokens of layer %lld, which routes them to %lld experts",
                                alloy_printable_path(path), (long long)i, (long long)experts[i]);
    return status;
}

alloy_status alloy_routing_file_read(int64_t **experts_read, const alloy_model *model, const char *path)
{
    size_t layers = (size_t)model->config.num_hidden_layers;
    int64_t *experts = alloy_memory_zeroed(layers, sizeof *experts), *used = alloy_memory_zeroed(layers, sizeof *used);
    alloy_status status = experts && used ? find_experts(model, experts) : ALLOY_NOMEM;
    if (!status)
        status = read_file(model, path, experts, used);
    alloy_memory_free(experts);
    if (status) {
        alloy_memory_free(used);
        used = NULL;
    }
    *experts_read = used;
    return status;
}
