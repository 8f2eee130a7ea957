/* How fast the kernels are, beside what the machine can do: bytes from memory, and fused multiply-adds in registers.
 * Best of several runs: other work on the machine only slows down.
 *
 *     cmake --build build/release --target bench_kernels && build/release/bench_kernels [table] [threads] [shares]
 *
 * shares: no more than weights of 16, 8 and 4 bits beside reading. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/median.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/threads.h"
#include "kernels/kernels.h"

enum { REPEATS = 7 };

typedef struct bench {
    const alloy_kernels *kernels;
    alloy_team team;
} bench;

static double seconds_of(const bench *b, int64_t tasks, alloy_task *task, void *context)
{
    double start = alloy_seconds();
    alloy_parallel(&b->team, tasks, task, context);
    return alloy_seconds() - start;
}

/* Seconds of the fastest of REPEATS runs. */
static double best(const bench *b, int64_t tasks, alloy_task *task, void *context)
{
    double least = INFINITY;
    for (int i = 0; i < REPEATS; i++) {
        double taken = seconds_of(b, tasks, task, context);
        least = taken < least ? taken : least;
    }
    return least;
}

static void *memory(size_t bytes)
{
    uint8_t *p = alloy_memory_aligned(bytes, 1);
    if (!p) {
        fprintf(stderr, "%s\n", alloy_error());
        exit(ALLOY_NOMEM);
    }
    memset(p, 0x3c, bytes); /* bf16 and fp32 numbers near 0.01 */
    return p;
}

/* ---- What the machine can do ------------------------------------------------------------------------------------- */

typedef struct region {
    const uint64_t *words;
    int64_t per_task; /* words */
    uint64_t sink;
} region;

static __attribute__((target("avx2"))) void read_task(void *context, int64_t index, void *scratch)
{
    region *r = context;
    const uint64_t *words = r->words + index * r->per_task;
    uint64_t sums[16] = {0};
    (void)scratch;
    for (int64_t i = 0; i + 16 <= r->per_task; i += 16)
        for (int lane = 0; lane < 16; lane++)
            sums[lane] ^= words[i + lane];
    for (int lane = 0; lane < 16; lane++)
        r->sink ^= sums[lane];
}

static void read_bandwidth(const bench *b)
{
    const int64_t bytes = INT64_C(1) << 29, tasks = 64;
    void *words = memory((size_t)bytes);
    region r = {.words = words, .per_task = bytes / 8 / tasks};
    printf("read bandwidth                           %7.1f GB/s\n",
           (double)bytes / best(b, tasks, read_task, &r) * 1e-9);
    alloy_memory_free(words);
}

enum { CHAINS = 12, STEPS = 1 << 20 };

/* 12 chains of `width` lanes keep two units of latency 4 or 5 busy. */
#define FMA_PEAK(NAME, TARGET, WIDTH)                                                                                  \
    static __attribute__((target(TARGET))) void NAME(void *context, int64_t index, void *scratch)                      \
    {                                                                                                                  \
        typedef float lanes __attribute__((vector_size(WIDTH * 4)));                                                   \
        lanes chains[CHAINS], factor;                                                                                  \
        (void)context, (void)index;                                                                                    \
        for (int i = 0; i < WIDTH; i++)                                                                                \
            factor[i] = 0.5f;                                                                                          \
        _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++) chains[c] = factor;                                  \
        for (int64_t step = 0; step < STEPS; step++)                                                                   \
            _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS;                                                       \
                                          c++) __asm__("vfmadd213ps %1, %1, %0" : "+v"(chains[c]) : "v"(factor));      \
        _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++)((lanes *)scratch)[c] = chains[c];                    \
    }
FMA_PEAK(peak_8, "avx2,fma", 8)
FMA_PEAK(peak_16, "avx512f", 16)

static void fma_peak(const bench *b)
{
    bool wide = strcmp(b->kernels->name, "avx512") == 0;
    int64_t tasks = b->team.threads * 4, lanes = wide ? 16 : 8;
    double seconds = best(b, tasks, wide ? peak_16 : peak_8, NULL);
    printf("multiply-adds in registers               %7.1f G/s\n",
           (double)(tasks * lanes * CHAINS) * STEPS / seconds * 1e-9);
}

/* ---- Linear ------------------------------------------------------------------------------------------------------ */

typedef struct linear_bench {
    const alloy_kernels *kernels;
    alloy_linear_job job;
    int64_t rows_per_task;
} linear_bench;

static void linear_task(void *context, int64_t index, void *scratch)
{
    const linear_bench *l = context;
    alloy_linear_job job = l->job;
    int64_t first = index * l->rows_per_task;
    job.rows = job.rows - first < l->rows_per_task ? job.rows - first : l->rows_per_task;
    job.w = (const char *)job.w + first * job.w_stride;
    job.scales.first += first;
    job.y += first;
    l->kernels->linear(&job, scratch);
}

static double linear_seconds(const bench *b, alloy_dtype dtype, int64_t n, int64_t rows, int64_t k,
                             int64_t rows_per_task)
{
    int64_t size = dtype == ALLOY_F32 ? 4 : 2;
    void *w = memory((size_t)(rows * k * size));
    float *x = memory((size_t)(n * k) * sizeof *x), *y = memory((size_t)(n * rows) * sizeof *y);
    linear_bench l = {b->kernels,
                      {.y = y,
                       .y_stride = rows,
                       .x = x,
                       .x_stride = k,
                       .n = n,
                       .k = k,
                       .w = w,
                       .dtype = dtype,
                       .w_stride = k * size,
                       .rows = rows,
                       .scale = 1},
                      rows_per_task};
    double seconds = best(b, (rows + rows_per_task - 1) / rows_per_task, linear_task, &l);
    alloy_memory_free(w), alloy_memory_free(x), alloy_memory_free(y);
    return seconds;
}

static void decode(const bench *b)
{
    static const alloy_dtype dtypes[] = {ALLOY_BF16, ALLOY_F16, ALLOY_F32};
    const int64_t k = 1024;
    bool slow = strcmp(b->kernels->name, "generic") == 0;
    for (int d = 0; d < 3; d++)
        for (int64_t n = 1; n <= (d ? 1 : 8); n += n < 4 ? 1 : 4) {
            int64_t rows = slow ? 1 << 14 : 1 << 17, bytes = rows * k * (dtypes[d] == ALLOY_F32 ? 4 : 2);
            double seconds = linear_seconds(b, dtypes[d], n, rows, k, 64);
            printf("linear, decode, %-4s n=%" PRId64 "                 %7.1f GB/s\n", alloy_dtype_name(dtypes[d]), n,
                   (double)bytes / seconds * 1e-9);
        }
}

/* ---- Weights of 16, 8 and 4 bits, one token, beside reading ------------------------------------------------------ */

enum { WEIGHT_ROWS = 1 << 15, WEIGHT_COLUMNS = 4096 }; /* 68 MB at least: beyond the caches */

/* A matrix of numbers up to the largest of its dtype, as scales make them, and scales in tiles as checkpoints have
 * them. `bytes`: of both. */
typedef struct weights {
    linear_bench linear;
    void *w, *scales;
    int64_t bytes;
} weights;

static weights make_weights(const bench *b, alloy_dtype dtype, float *x, float *y)
{
    const int64_t row = (int64_t)WEIGHT_COLUMNS * alloy_dtype_bits(dtype) / 8;
    const int64_t down = dtype == ALLOY_F4 ? 1 : 128, across = dtype == ALLOY_F4 ? 32 : 128;
    const int64_t stride = WEIGHT_COLUMNS / across, scales = dtype == ALLOY_BF16 ? 0 : WEIGHT_ROWS / down * stride;
    weights made = {.w = memory((size_t)(WEIGHT_ROWS * row)), .scales = memory((size_t)scales + 1)};
    const float largest = dtype == ALLOY_F4 ? 6 : 448;
    float *numbers = memory(WEIGHT_COLUMNS * sizeof *numbers);
    for (int64_t i = 0; i < WEIGHT_COLUMNS; i++)
        numbers[i] = largest * (2 * (float)alloy_random_uniform(1, 0, (uint64_t)i) - 1);
    b->kernels->narrow(made.w, numbers, dtype, WEIGHT_COLUMNS);
    for (int64_t r = 1; r < WEIGHT_ROWS; r++)
        memcpy((char *)made.w + r * row, made.w, (size_t)row);
    made.linear = (linear_bench){b->kernels,
                                 {.y = y,
                                  .y_stride = WEIGHT_ROWS,
                                  .x = x,
                                  .x_stride = WEIGHT_COLUMNS,
                                  .n = 1,
                                  .k = WEIGHT_COLUMNS,
                                  .w = made.w,
                                  .dtype = dtype,
                                  .w_stride = row,
                                  .scales = {scales ? made.scales : NULL, ALLOY_F8_E8M0, down, across, stride, 0},
                                  .rows = WEIGHT_ROWS,
                                  .scale = 1},
                                 128};
    made.bytes = WEIGHT_ROWS * row + scales;
    alloy_memory_free(numbers);
    return made;
}

typedef struct read_bench {
    const alloy_kernels *kernels;
    const float *x;
    int64_t per_task; /* floats */
} read_bench;

static void read_rows(void *context, int64_t index, void *scratch)
{
    const read_bench *r = context;
    *(uint32_t *)scratch = r->kernels->read(r->x + index * r->per_task, r->per_task);
}

/* The same work where every row is the first: what the processor would take if memory were no limit. */
static double cached_rate(const bench *b, const weights *all, int64_t tasks)
{
    linear_bench cached = all->linear;
    cached.job.w_stride = 0;
    cached.job.scales.stride = 0;
    return (double)all->bytes / seconds_of(b, tasks, linear_task, &cached);
}

/* Bytes a second of reading and of linears in turn, so that other work on the machine slows down all of them. */
static void shares(const bench *b)
{
    enum { TURNS = 15, KINDS = 3 };
    static const alloy_dtype dtypes[KINDS] = {ALLOY_BF16, ALLOY_F8_E4M3, ALLOY_F4};
    float *x = memory(WEIGHT_COLUMNS * sizeof *x), *y = memory(WEIGHT_ROWS * sizeof *y);
    weights all[KINDS];
    double read[KINDS][TURNS], rates[KINDS][TURNS], ratios[KINDS][TURNS], cached[KINDS][TURNS];
    for (int i = 0; i < KINDS; i++)
        all[i] = make_weights(b, dtypes[i], x, y);
    for (int turn = 0; turn < TURNS; turn++)
        for (int i = 0; i < KINDS; i++) { /* both over the same memory */
            const int64_t row = all[i].linear.job.w_stride, tasks = WEIGHT_ROWS / 128;
            read_bench r = {b->kernels, all[i].w, row * 128 / 4};
            read[i][turn] = (double)(WEIGHT_ROWS * row) / seconds_of(b, tasks, read_rows, &r);
            rates[i][turn] = (double)all[i].bytes / seconds_of(b, tasks, linear_task, &all[i].linear);
            ratios[i][turn] = rates[i][turn] / read[i][turn];
            cached[i][turn] = cached_rate(b, &all[i], tasks);
        }
    for (int i = 0; i < KINDS; i++) {
        printf("linear, one token, %-8s         %7.1f of %5.1f GB/s read: %.2f; of rows in the cache %5.1f GB/s "
               "(medians of %d)\n",
               alloy_dtype_name(dtypes[i]), alloy_median(rates[i], TURNS) * 1e-9, alloy_median(read[i], TURNS) * 1e-9,
               alloy_median(ratios[i], TURNS), alloy_median(cached[i], TURNS) * 1e-9, TURNS);
        alloy_memory_free(all[i].w), alloy_memory_free(all[i].scales);
    }
    alloy_memory_free(x), alloy_memory_free(y);
}

static void prefill(const bench *b)
{
    static const int64_t shapes[][4] = {{512, 3072, 1024, ALLOY_BF16}, {512, 1024, 3072, ALLOY_BF16},
                                        {512, 3072, 1024, ALLOY_F32},  {333, 4096, 1000, ALLOY_BF16},
                                        {64, 4096, 1024, ALLOY_BF16},  {16, 4096, 1024, ALLOY_BF16}};
    bool slow = strcmp(b->kernels->name, "generic") == 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i], rows = slow ? s[1] / 8 : s[1];
        double seconds = linear_seconds(b, (alloy_dtype)s[3], s[0], rows, s[2], 64);
        printf("linear, prefill, %-4s n=%-3" PRId64 " k=%-5" PRId64 "        %7.1f G/s\n",
               alloy_dtype_name((alloy_dtype)s[3]), s[0], s[2], (double)(s[0] * rows * s[2]) / seconds * 1e-9);
    }
}

/* ---- Attention, delta rule --------------------------------------------------------------------------------------- */

typedef struct attention_bench {
    const alloy_kernels *kernels;
    const float *q, *k, *v;
    int64_t rows, d, blocks;
} attention_bench;

static void attention_task(void *context, int64_t index, void *scratch)
{
    const attention_bench *a = context;
    float m[64], l[64],
        *o = (float *)scratch + ALLOY_SCRATCH_BYTES / 8; /* the upper half of scratch, which the kernel leaves */
    int32_t from[64], to[64];
    for (int i = 0; i < 64; i++) {
        m[i] = -INFINITY, l[i] = 0, from[i] = 0, to[i] = 64;
    }
    memset(o, 0, (size_t)(a->rows * a->d) * sizeof *o);
    alloy_attention_block block = {.q = a->q,
                                   .q_stride = a->d,
                                   .rows = a->rows,
                                   .k_stride = a->d,
                                   .v_stride = a->d,
                                   .from = from,
                                   .to = to,
                                   .d = a->d,
                                   .dv = a->d,
                                   .scale = 0.1f,
                                   .m = m,
                                   .l = l,
                                   .o = o,
                                   .o_stride = a->d};
    for (int64_t i = 0; i < a->blocks; i++) {
        block.k = a->k + (index * a->blocks + i) * 64 * a->d;
        block.v = a->v + (index * a->blocks + i) * 64 * a->d;
        a->kernels->attention_block(&block, scratch);
    }
}

static void attention(const bench *b)
{
    static const int64_t rows[] = {1, 2, 4, 8, 32, 64};
    const int64_t d = 128, blocks = 16, tasks = 16, count = tasks * blocks * 64 * d;
    float *q = memory(64 * 128 * sizeof *q), *k = memory((size_t)count * sizeof *k),
          *v = memory((size_t)count * sizeof *v);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        attention_bench a = {b->kernels, q, k, v, rows[i], d, blocks};
        double seconds = best(b, tasks, attention_task, &a);
        printf("attention, rows=%-2" PRId64 " d=128                  %7.1f G/s, keys and values %5.1f GB/s\n", rows[i],
               (double)(2 * count * rows[i]) / seconds * 1e-9, (double)(8 * count) / seconds * 1e-9);
    }
    alloy_memory_free(q), alloy_memory_free(k), alloy_memory_free(v);
}

typedef struct delta_bench {
    const alloy_kernels *kernels;
    alloy_delta_job job;
    int64_t columns;
} delta_bench;

static void delta_task(void *context, int64_t index, void *scratch)
{
    const delta_bench *d = context;
    alloy_delta_job job = d->job;
    int64_t blocks = job.columns / d->columns, head = index / blocks, column = index % blocks * d->columns;
    (void)scratch;
    job.state += head * job.keys * job.columns + column;
    job.v += column, job.y += column;
    job.columns = d->columns;
    d->kernels->vector.delta_rule(&job);
}

static void delta(const bench *b)
{
    static const int64_t tokens[] = {1, 64, 512}, columns[] = {128, 64, 32, 16};
    const int64_t keys = 128, values = 128, heads = 16;
    float *state = memory((size_t)(heads * keys * values) * sizeof *state), *x = memory(512 * 128 * sizeof *x),
          *y = memory(512 * 128 * sizeof *y);
    memset(y, 0, 512 * 128 * sizeof *y);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
            delta_bench d = {b->kernels,
                             {.state = state,
                              .state_stride = values,
                              .keys = keys,
                              .columns = values,
                              .tokens = tokens[i],
                              .q = x,
                              .k = x,
                              .q_stride = keys,
                              .k_stride = keys,
                              .v = x,
                              .v_stride = values,
                              .decay = x,
                              .beta = x,
                              .decay_stride = 1,
                              .beta_stride = 1,
                              .y = y,
                              .y_stride = values},
                             columns[c]};
            memset(state, 0, (size_t)(heads * keys * values) * sizeof *state);
            double seconds = best(b, heads * (values / columns[c]), delta_task, &d);
            printf("delta rule, tokens=%-3" PRId64 " columns=%-3" PRId64
                   "          %7.1f G/s (4 operations an element)\n",
                   tokens[i], columns[c], (double)(4 * heads * keys * values * tokens[i]) / seconds * 1e-9);
        }
    alloy_memory_free(state), alloy_memory_free(x), alloy_memory_free(y);
}

int main(int count, char **words)
{
    bench b = {.kernels = alloy_kernels_get(count > 1 && words[1][0] ? words[1] : NULL)};
    if (!b.kernels || alloy_team_open(&b.team, count > 2 ? atoi(words[2]) : 0)) {
        fprintf(stderr, "%s\n", alloy_error());
        return 1;
    }
    printf("%s, %d thread%s\n", b.kernels->name, b.team.threads, b.team.threads == 1 ? "" : "s");
    read_bandwidth(&b);
    fma_peak(&b);
    shares(&b);
    if (count < 4 || strcmp(words[3], "shares") != 0) {
        decode(&b);
        prefill(&b);
        attention(&b);
        delta(&b);
    }
    alloy_team_close(&b.team);
    return 0;
}
