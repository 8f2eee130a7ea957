/* Probes (probe.h). The memory holds the byte 0x3c throughout: 0.0115 as F32 and BF16, 1.06 as F16, so that no product
 * of it is a denormal, which some processors are slow at; WRITE writes the same. */
#include "roofline/probe.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/checked.h"
#include "base/memory.h"

enum { PIECE = 1 << 20, FILL = 0x3c, PAGE = 4096, PATIENCE = 20 * 1000 * 1000 /* ns */ };

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static void fill_piece(void *context, int64_t index, void *scratch)
{
    (void)scratch;
    const alloy_prober *p = context;
    size_t from = (size_t)index * PIECE;
    memset(p->memory + from, FILL, p->bytes - from < PIECE ? p->bytes - from : PIECE);
}

alloy_status alloy_prober_open(alloy_prober *prober, int threads, const alloy_kernels *kernels, size_t bytes)
{
    *prober = (alloy_prober){.kernels = kernels, .bytes = bytes};
    alloy_status status = alloy_team_open(&prober->team, threads);
    if (!status && !(prober->memory = alloy_memory_aligned(bytes, 1)))
        status = ALLOY_NOMEM;
    if (status)
        alloy_prober_close(prober);
    else /* by the workers, so that each part lies near one of them */
        alloy_parallel(&prober->team, (int64_t)((bytes + PIECE - 1) / PIECE), fill_piece, prober);
    return status;
}

void alloy_prober_close(alloy_prober *prober)
{
    alloy_memory_free(prober->memory);
    alloy_team_close(&prober->team);
    *prober = (alloy_prober){0};
}

alloy_probe alloy_memory_probe(const alloy_prober *prober, alloy_probe_kind kind)
{
    return (alloy_probe){.kind = kind, .bytes = PIECE, .tasks = (int64_t)(prober->bytes / PIECE), .repeats = 1};
}

static size_t weight_bytes(const alloy_probe *probe)
{
    return (size_t)(probe->rows * probe->k * alloy_dtype_bits(probe->dtype) / 8);
}

size_t alloy_probe_bytes(const alloy_probe *probe)
{
    size_t floats = (size_t)(probe->kind == ALLOY_PROBE_LINEAR ? probe->n * probe->k : 2 * probe->n);
    size_t bytes = floats * sizeof(float) + (probe->kind == ALLOY_PROBE_LINEAR ? weight_bytes(probe) : 0);
    alloy_size_round_up(bytes, PAGE, &bytes);
    return bytes;
}

/* ---- Readings ---------------------------------------------------------------------------------------------------- */

/* A reading under way; times in nanoseconds. */
struct run {
    const alloy_prober *prober;
    const alloy_probe *probe;
    int64_t workers;
    _Atomic int64_t arrived;               /* workers at their first task */
    _Atomic int64_t begin, end, processor; /* of the first and the last task; the sum over all */
    _Atomic uint32_t seen;                 /* what was read, so that it is read */
};

static int64_t clock_nanoseconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Weights, then activations; results go to scratch, so that the memory stays as it is. */
static void run_linear(const alloy_kernels *kernels, const alloy_probe *probe, uint8_t *place, void *scratch)
{
    float *x = (void *)(place + weight_bytes(probe));
    alloy_linear_job job = {.y = scratch,
                            .y_stride = probe->rows,
                            .x = x,
                            .x_stride = probe->k,
                            .n = probe->n,
                            .k = probe->k,
                            .w = place,
                            .dtype = probe->dtype,
                            .w_stride = probe->k * alloy_dtype_bits(probe->dtype) / 8,
                            .rows = probe->rows,
                            .scale = 1};
    kernels->linear(&job, alloy_kernel_scratch(scratch));
}

/* The probe once; what a READ saw. */
static uint32_t run_once(const alloy_kernels *kernels, const alloy_probe *probe, uint8_t *place, void *scratch)
{
    float *x = (void *)place, same;
    int64_t floats = (int64_t)(probe->bytes / sizeof(float));
    memcpy(&same, (const uint8_t[]){FILL, FILL, FILL, FILL}, sizeof same);
    switch (probe->kind) {
    case ALLOY_PROBE_READ:
        return kernels->read(x, floats);
    case ALLOY_PROBE_WRITE:
        kernels->fill(x, same, floats);
        break;
    case ALLOY_PROBE_COPY:
        kernels->copy(x + floats / 2, x, floats / 2);
        break;
    case ALLOY_PROBE_LINEAR:
        run_linear(kernels, probe, place, scratch);
        break;
    case ALLOY_PROBE_ADD_SCALED:
        kernels->vector.add_scaled(x + probe->n, 0, x, probe->n); /* by zero: the sum stays */
        break;
    }
    return 0;
}

/* Waits until every worker is here, so that they work at the same time; not for ever, since a team may turn out to have
 * fewer. */
static void meet(struct run *run)
{
    int64_t end = clock_nanoseconds(CLOCK_MONOTONIC) + PATIENCE;
    run->arrived++;
    while (run->arrived < run->workers && clock_nanoseconds(CLOCK_MONOTONIC) < end)
        ;
}

static void run_task(void *context, int64_t index, void *scratch)
{
    struct run *run = context;
    const alloy_probe *probe = run->probe;
    uint8_t *place = run->prober->memory + (size_t)(probe->first + index) * probe->bytes;
    uint32_t seen = 0;
    if (index < run->workers)
        meet(run);
    int64_t begin = clock_nanoseconds(CLOCK_MONOTONIC), processor = clock_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    for (int64_t i = 0; i < probe->repeats; i++)
        seen ^= run_once(run->prober->kernels, probe, place, scratch);
    run->processor += clock_nanoseconds(CLOCK_THREAD_CPUTIME_ID) - processor;
    int64_t end = clock_nanoseconds(CLOCK_MONOTONIC), known = run->begin;
    while (begin < known && !atomic_compare_exchange_weak(&run->begin, &known, begin))
        ;
    known = run->end;
    while (end > known && !atomic_compare_exchange_weak(&run->end, &known, end))
        ;
    run->seen ^= seen;
}

static double amount_of(const alloy_probe *probe)
{
    switch (probe->kind) {
    case ALLOY_PROBE_LINEAR:
        return 2.0 * (double)probe->n * (double)probe->k * (double)probe->rows;
    case ALLOY_PROBE_ADD_SCALED:
        return 2.0 * (double)probe->n;
    default:
        return (double)probe->bytes;
    }
}

alloy_probe_reading alloy_prober_run(const alloy_prober *prober, const alloy_probe *probe)
{
    int64_t tasks = probe->tasks ? probe->tasks : prober->team.threads;
    int64_t workers = tasks < prober->team.threads ? tasks : prober->team.threads;
    struct run run = {.prober = prober, .probe = probe, .workers = workers, .begin = INT64_MAX};
    alloy_parallel(&prober->team, tasks, run_task, &run);
    return (alloy_probe_reading){.amount = amount_of(probe) * (double)tasks * (double)probe->repeats,
                                 .seconds = (double)(run.end - run.begin) * 1e-9,
                                 .processor_seconds = (double)run.processor * 1e-9 / (double)workers};
}
