/* Readings of what this machine can do: bytes a second of a cache or of memory, FLOPs a second of a kernel, all workers
 * of a team together. One reading takes milliseconds; what to make of several is the caller's business (host.c takes
 * medians, a run that is measured takes them between its steps).
 *
 * On a machine that others share, a reading tells how long it took, and how much of that time the workers had a
 * processor for: where that is less, the reading says little about the machine. */
#ifndef ALLOY_ROOFLINE_PROBE_H
#define ALLOY_ROOFLINE_PROBE_H

#include "base/threads.h"
#include "kernels/kernels.h"

typedef enum alloy_probe_kind {
    ALLOY_PROBE_READ,
    ALLOY_PROBE_WRITE,
    ALLOY_PROBE_COPY,       /* the first half of a place to the second */
    ALLOY_PROBE_LINEAR,     /* k-element dots of `rows` rows of weights with n tokens */
    ALLOY_PROBE_ADD_SCALED, /* fused multiply-adds of n elements, one by one */
} alloy_probe_kind;

typedef struct alloy_probe {
    alloy_probe_kind kind;
    size_t bytes;         /* of a task's place; a multiple of 4096. READ, WRITE, COPY work on all of it */
    int64_t first, tasks; /* number of the first place, and how many side by side; 0: one a worker */
    int64_t repeats;      /* of each task, in the same place */
    alloy_dtype dtype;    /* LINEAR: of the weights, F32, BF16 or F16 */
    int64_t n, k, rows;   /* LINEAR: n * rows at most ALLOY_SCRATCH_BYTES / 4; ADD_SCALED: n */
} alloy_probe;

typedef struct alloy_probe_reading {
    double amount;            /* bytes that were read and bytes that were written, or FLOPs; all workers */
    double seconds;           /* from the first task's beginning to the last one's end */
    double processor_seconds; /* of these, what a worker had a processor for, on average */
} alloy_probe_reading;

typedef struct alloy_prober {
    alloy_team team;
    const alloy_kernels *kernels;
    uint8_t *memory; /* `bytes` of small normal numbers, whatever dtype they are read as */
    size_t bytes;
} alloy_prober; /* {0} is closed */

/* Memory for probes of up to `bytes` (bytes * tasks of a probe). threads 0: one a processor. ALLOY_RANGE, ALLOY_NOMEM;
 * *prober is {0} then. */
alloy_status alloy_prober_open(alloy_prober *prober, int threads, const alloy_kernels *kernels, size_t bytes);
void alloy_prober_close(alloy_prober *prober);

/* The probe must fit the prober's memory. */
alloy_probe_reading alloy_prober_run(const alloy_prober *prober, const alloy_probe *probe);

/* The probe that reads (writes, copies) all of the prober's memory once. */
alloy_probe alloy_memory_probe(const alloy_prober *prober, alloy_probe_kind kind);

/* Bytes of a place that a LINEAR or ADD_SCALED probe needs. */
size_t alloy_probe_bytes(const alloy_probe *probe);

#endif
