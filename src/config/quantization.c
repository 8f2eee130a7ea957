/* quantization_config: how linear weights stand in the files in fewer bits.
 *
 * Which weights do, and in which format, is told by the dtypes of the tensors, so of this object only the tile of FP8
 * weights is kept, and the lists of modules, `expert_dtype` and `scale_fmt` decide nothing. Products are computed with
 * fp32 activations whatever activation_scheme says: rounding those would cost accuracy and buy no bandwidth. What means
 * another arrangement of the bytes, or scales that are not beside each tile, is refused.
 *
 *   quant_method  "fp8": F8_E4M3, a scale for each tile of weight_block_size (transformers' fine-grained FP8, DeepSeek)
 *                 "mxfp4": FP4 E2M1, a scale for each 32 elements of a row (gpt-oss) */
#include <string.h>

#include "base/status.h"
#include "config/source.h"

enum { TILE = 128, TILE_STEP = 16, MOST_TILE = 1 << 20 };

struct quantization {
    const char *quant_method, *fmt, *activation_scheme, *scale_fmt, *expert_dtype;
    alloy_integers weight_block_size;
};

static const char *const methods[] = {"fp8", "mxfp4", NULL};
static const char *const formats[] = {"e4m3", NULL};
static const char *const schemes[] = {"dynamic", "none", NULL};
static const char *const scale_formats[] = {"float", "ue8m0", NULL};
static const char *const expert_dtypes[] = {"fp4", "fp8", NULL};

#define WORD(name, words)                                                                                              \
    ALLOY_ROW(#name, STRING, ALLOY_FIELD_NULLABLE, offsetof(struct quantization, name), 0, 0, words)

static const alloy_field fields[] = {
    WORD(quant_method, methods),
    WORD(fmt, formats),
    WORD(activation_scheme, schemes),
    WORD(scale_fmt, scale_formats),
    WORD(expert_dtype, expert_dtypes),
    ALLOY_ROW("weight_block_size", INTEGERS, ALLOY_FIELD_ORDERED, offsetof(struct quantization, weight_block_size), 1,
              MOST_TILE, NULL),
};

enum { FIELDS = sizeof fields / sizeof *fields };

static void check(alloy_json *json, const struct quantization *q)
{
    const alloy_integers *tile = &q->weight_block_size;
    if (!q->quant_method)
        alloy_json_fail(json, ALLOY_FORMAT,
                        "quantization_config: quant_method is missing, expected \"fp8\" or \"mxfp4\"");
    else if (tile->items && tile->count != 2)
        alloy_json_fail(json, ALLOY_FORMAT, "weight_block_size has %lld items, expected two: rows and columns",
                        (long long)tile->count);
    else if (tile->items && tile->items[1] % TILE_STEP)
        alloy_json_fail(json, ALLOY_RANGE, "weight_block_size: tiles of %lld columns, expected a multiple of %d",
                        (long long)tile->items[1], (int)TILE_STEP);
}

alloy_status alloy_resolve_quantization(alloy_config_reader *reader, alloy_source *source)
{
    struct quantization q = {0};
    struct alloy_config *c = &source->config;
    alloy_json *json = &reader->json;
    alloy_json_string_view key;
    c->weight_block_size[0] = c->weight_block_size[1] = TILE;
    if (!alloy_source_has(source, "quantization_config"))
        return ALLOY_OK;
    alloy_read_again(reader, &source->quantization_config);
    if (alloy_json_peek(json) != ALLOY_JSON_OBJECT) {
        alloy_json_skip(json);
        return alloy_json_fail(json, ALLOY_FORMAT, "quantization_config: expected an object");
    }
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        int row = alloy_field_find(fields, FIELDS, &key);
        if (row >= 0)
            alloy_field_read(json, reader->arena, &fields[row], &q);
        else
            alloy_json_skip(json);
    }
    if (!json->status)
        check(json, &q);
    if (!json->status && q.weight_block_size.items)
        memcpy(c->weight_block_size, q.weight_block_size.items, sizeof c->weight_block_size);
    return json->status;
}
