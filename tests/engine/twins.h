/* Two checkpoints of one model for tests: `packed` holds weights in fewer bits with scales beside them, `wide` the same
 * numbers in F32. Bytes are drawn, so every value of a format occurs, and their meaning is worked out here in another
 * way than the library's. */
#ifndef ALLOY_TESTS_TWINS_H
#define ALLOY_TESTS_TWINS_H

#include "engine/models.h"

#include <math.h>

#include "config/config.h"
#include "checkpoint/init.h"

struct twins {
    struct model_copy packed, wide;
    char *drawn; /* folder of the model that both are copies of */
    uint32_t seed;
};

static inline uint32_t draw(struct twins *twins)
{
    return (twins->seed = twins->seed * 1664525u + 1013904223u) >> 8;
}

/* Drawn weights in F32 for a config, to be changed. */
static inline void begin_twins(struct twins *twins, const char *config_text, uint32_t seed)
{
    alloy_config *config;
    *twins = (struct twins){.drawn = test_folder(), .seed = seed};
    expect_ok(alloy_config_parse(&config, "config.json", config_text, strlen(config_text)));
    expect_ok(alloy_model_init(config, NULL, twins->drawn, &(alloy_init_options){.seed = seed}));
    alloy_config_close(config);
    begin_copy(&twins->packed, twins->drawn);
    begin_copy(&twins->wide, twins->drawn);
}

/* Writes both, with their configs, into two folders. */
static inline void end_twins(struct twins *twins, const char *packed_config, const char *wide_config, char **packed,
                             char **wide)
{
    *packed = test_folder();
    *wide = test_folder();
    end_copy(&twins->packed, NULL, packed_config, *packed);
    end_copy(&twins->wide, NULL, wide_config, *wide);
    remove_folder(twins->drawn);
}

/* ---- Formats ----------------------------------------------------------------------------------------------------- */

/* A byte of F8_E4M3: sign, 4 bits of exponent, 3 of fraction. */
static inline double value_of_f8(uint8_t byte)
{
    int exponent = byte >> 3 & 15, fraction = byte & 7;
    double size = exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
    return byte & 128 ? -size : size;
}

/* Half a byte of FP4: sign, 2 bits of exponent, 1 of fraction. */
static inline double value_of_f4(int half)
{
    int exponent = half >> 1 & 3, fraction = half & 1;
    double size = exponent ? ldexp(2 + fraction, exponent - 2) : fraction * 0.5;
    return half & 8 ? -size : size;
}

/* A scale of dtype F32, BF16, F8_E8M0 or U8 (E8M0 too) of about 2^exponent at `to`; its value. */
static inline double draw_scale(struct twins *twins, alloy_dtype dtype, int exponent, void *to)
{
    float scale = (float)ldexp(1 + draw(twins) % 1000 / 1000.0, exponent);
    if (dtype == ALLOY_F32) {
        memcpy(to, &scale, sizeof scale);
        return (double)scale;
    }
    if (dtype == ALLOY_BF16) {
        uint32_t bits;
        memcpy(&bits, &scale, sizeof bits);
        uint16_t half = (uint16_t)(bits >> 16);
        memcpy(to, &half, sizeof half);
        bits &= 0xffff0000;
        memcpy(&scale, &bits, sizeof bits);
        return (double)scale;
    }
    int power = exponent + (int)(draw(twins) % 3);
    *(uint8_t *)to = (uint8_t)(127 + power);
    return ldexp(1, power);
}

/* ---- Changing a weight of both ----------------------------------------------------------------------------------- */

/* How a matrix, or several in one tensor, is packed. */
struct packing {
    alloy_dtype dtype;      /* F8_E4M3, I8 (FP4), U8 (MXFP4) */
    const char *ending;     /* of the name of the scales, in place of .weight or behind the name: "_scale_inv" */
    alloy_dtype scales;     /* their dtype */
    uint64_t rows, columns; /* of the tile of a scale */
};

/* ".scale" stands for ".weight", other endings behind the whole name. */
static inline void name_scales(char out[256], const char *name, const char *ending)
{
    int size = (int)strlen(name);
    if (ending[0] == '.')
        size -= (int)strlen(".weight");
    snprintf(out, 256, "%.*s%s", size, name, ending);
}

/* What the bytes of matrices [rows, columns], one behind the other, mean: in fp64 exactly, rounded once. */
static inline void widen_twin(float *wide, const uint8_t *bytes, const double *scale, const uint64_t shape[3],
                              const struct packing *p)
{
    const uint64_t rows = shape[1], columns = shape[2], tile_columns = (columns + p->columns - 1) / p->columns,
                   tile_rows = (rows + p->rows - 1) / p->rows;
    for (uint64_t at = 0; at < shape[0] * rows; at++)
        for (uint64_t c = 0; c < columns; c++) {
            const uint64_t element = at * columns + c, tile_row = at / rows * tile_rows + at % rows / p->rows;
            double value = p->dtype == ALLOY_F8_E4M3 ? value_of_f8(bytes[element])
                                                     : value_of_f4(bytes[element / 2] >> 4 * (element % 2) & 15);
            wide[element] = (float)(value * scale[tile_row * tile_columns + c / p->columns]);
        }
}

static inline void *add_bytes(struct model_copy *copy, const char *name, alloy_dtype dtype, int ndim,
                              const uint64_t *shape)
{
    return (void *)(uintptr_t)add_tensor(copy, name, dtype, ndim, shape)->data;
}

/* Puts shape[0] matrices named `name` into both copies, as a tensor of three dimensions where `stacked`. */
static inline void add_packed(struct twins *twins, const char *name, bool stacked, const uint64_t shape[3],
                              const struct packing *p)
{
    const bool f8 = p->dtype == ALLOY_F8_E4M3, blocks = p->dtype == ALLOY_U8;
    const uint64_t row_bytes = f8 ? shape[2] : shape[2] / 2, tile_rows = (shape[1] + p->rows - 1) / p->rows,
                   tile_columns = (shape[2] + p->columns - 1) / p->columns, tiles = shape[0] * tile_rows * tile_columns;
    const uint64_t bytes_shape[] = {shape[0], shape[1], blocks ? shape[2] / 32 : row_bytes, 16},
                   scales_shape[] = {shape[0], tile_rows, tile_columns};
    const int skip = stacked ? 0 : 1, ndim = 3 - skip;
    char bytes_name[256], scales_name[256];
    snprintf(bytes_name, sizeof bytes_name, "%.240s%s", name, blocks ? "_blocks" : "");
    name_scales(scales_name, name, p->ending);
    uint8_t *bytes = add_bytes(&twins->packed, bytes_name, p->dtype, ndim + blocks, bytes_shape + skip);
    uint8_t *scales = add_bytes(&twins->packed, scales_name, p->scales, ndim, scales_shape + skip);
    double *scale = malloc(tiles * sizeof *scale);
    assert_non_null(scale);
    for (uint64_t i = 0; i < tiles; i++)
        scale[i] = draw_scale(twins, p->scales, f8 ? -11 : -6, scales + i * (uint64_t)alloy_dtype_bits(p->scales) / 8);
    for (uint64_t i = 0; i < shape[0] * shape[1] * row_bytes; i++) {
        bytes[i] = (uint8_t)draw(twins);
        if (f8 && (bytes[i] & 127) == 127)
            bytes[i] = 0; /* it was NaN */
    }
    widen_twin(add_bytes(&twins->wide, name, ALLOY_F32, ndim, shape + skip), bytes, scale, shape, p);
    free(scale);
}

/* Both copies' tensor of that name becomes one that is packed. */
static inline void pack(struct twins *twins, const char *name, const struct packing *p)
{
    const alloy_saved_tensor old = *tensor_in(&twins->wide, name);
    const uint64_t shape[] = {1, old.shape[0], old.shape[1]};
    assert_int_equal(old.ndim, 2);
    remove_tensor(&twins->packed, name);
    remove_tensor(&twins->wide, name);
    add_packed(twins, name, false, shape, p);
}

/* Packs each matrix ...weight whose name holds `part`, by `count` ways in turn. */
static inline void pack_all(struct twins *twins, const char *part, const struct packing *ways, int count)
{
    char names[MOST_TENSORS][128];
    int found = 0;
    for (int64_t i = 0; i < twins->wide.count; i++) {
        const alloy_saved_tensor *t = &twins->wide.tensors[i];
        const char *dot = strrchr(t->name, '.');
        if (t->ndim == 2 && dot && strcmp(dot, ".weight") == 0 && strstr(t->name, part))
            snprintf(names[found++], sizeof names[0], "%.127s", t->name);
    }
    assert_true(found > 0);
    for (int i = 0; i < found; i++)
        pack(twins, names[i], &ways[i % count]);
}

/* Takes the routed experts of one layer out of both copies and puts stacked ones in, packed. */
static inline void stack_experts(struct twins *twins, const char *layer, uint64_t experts, uint64_t inner,
                                 uint64_t hidden, const struct packing *p)
{
    static const char *const projections[] = {"gate_proj", "up_proj", "down_proj"};
    char name[128];
    for (uint64_t e = 0; e < experts; e++)
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "%s.mlp.experts.%d.%s.weight", layer, (int)e, projections[i]);
            remove_tensor(&twins->packed, name);
            remove_tensor(&twins->wide, name);
        }
    snprintf(name, sizeof name, "%s.mlp.experts.gate_up_proj", layer);
    add_packed(twins, name, true, (uint64_t[]){experts, 2 * inner, hidden}, p);
    snprintf(name, sizeof name, "%s.mlp.experts.down_proj", layer);
    add_packed(twins, name, true, (uint64_t[]){experts, hidden, inner}, p);
}

#endif
