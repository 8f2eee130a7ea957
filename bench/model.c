/* How fast a model runs, beside what the machine's memory can give: decode against the read bandwidth that is measured
 * between its steps.
 *
 *     bench_model MODEL decode|prefill THREADS TOKENS RUNS
 *
 * decode: TOKENS steps a run after a short prompt; prints for each run the gigabytes of weights read a second, the read
 * bandwidth measured right after it, and their ratio. prefill: one forward of TOKENS tokens a run; prints tokens a
 * second. The median is the last line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloy/alloy.h"
#include "base/clock.h"
#include "base/median.h"
#include "roofline/probe.h"

enum { MOST_RUNS = 100, PROMPT = 16, MOST_TOKENS = 1 << 16 };

static const size_t BUFFER = (size_t)1 << 30; /* bytes: far beyond any cache */

/* Gigabytes a second that the team reads from memory. */
static double bandwidth(const alloy_prober *prober)
{
    alloy_probe probe = alloy_memory_probe(prober, ALLOY_PROBE_READ);
    alloy_probe_reading reading = alloy_prober_run(prober, &probe);
    return reading.amount / reading.seconds * 1e-9;
}

static void stop(const char *what)
{
    fprintf(stderr, "bench_model: %s: %s\n", what, alloy_error());
    exit(1);
}

/* Seconds of `steps` forwards of one token, or of one forward of `tokens`. */
static double run(alloy_session *session, int64_t tokens, bool decode, float *logits)
{
    static int64_t ids[MOST_TOKENS];
    int64_t vocab = alloy_model_vocab_size(alloy_session_model(session));
    for (int64_t i = 0; i < tokens; i++)
        ids[i] = (i * 7919 + 13) % vocab;
    alloy_cache *cache;
    if (alloy_cache_open(&cache, session, 0))
        stop("cache");
    if (decode && alloy_forward(session, &(alloy_sequence){cache, ids, PROMPT}, 1, logits, NULL))
        stop("prompt");
    double begin = alloy_seconds();
    for (int64_t i = 0; i < (decode ? tokens : 1); i++)
        if (alloy_forward(session, &(alloy_sequence){cache, ids + (decode ? i : 0), decode ? 1 : tokens}, 1, logits,
                          NULL))
            stop("forward");
    double seconds = alloy_seconds() - begin;
    alloy_cache_close(cache);
    return seconds;
}

static double bench_decode(alloy_session *session, int64_t tokens, int runs, float *logits)
{
    alloy_prober prober;
    double ratios[MOST_RUNS], bytes = (double)alloy_model_bytes_per_token(alloy_session_model(session));
    const alloy_kernels *kernels = alloy_kernels_get(alloy_session_cpu(session));
    if (alloy_prober_open(&prober, alloy_session_threads(session), kernels, BUFFER))
        stop("memory");
    for (int i = 0; i < runs; i++) {
        double ours = bytes * (double)tokens / run(session, tokens, true, logits) * 1e-9, limit = bandwidth(&prober);
        ratios[i] = ours / limit;
        printf("decode %.2f tokens/s, %.2f GB/s of %.2f GB/s: %.2f\n", ours / bytes * 1e9, ours, limit, ratios[i]);
    }
    alloy_prober_close(&prober);
    return alloy_median(ratios, runs);
}

static double bench_prefill(alloy_session *session, int64_t tokens, int runs, float *logits)
{
    double speeds[MOST_RUNS];
    for (int i = 0; i < runs; i++) {
        speeds[i] = (double)tokens / run(session, tokens, false, logits);
        printf("prefill %.1f tokens/s\n", speeds[i]);
    }
    return alloy_median(speeds, runs);
}

int main(int count, char **arguments)
{
    if (count != 6) {
        fprintf(stderr, "usage: bench_model MODEL decode|prefill THREADS TOKENS RUNS\n");
        return 2;
    }
    int threads = atoi(arguments[3]), runs = atoi(arguments[5]);
    int64_t tokens = atoll(arguments[4]);
    if (runs < 1 || runs > MOST_RUNS || tokens < 1 || tokens > MOST_TOKENS) {
        fprintf(stderr, "bench_model: 1 to %d runs of 1 to %d tokens\n", MOST_RUNS, MOST_TOKENS);
        return 2;
    }
    alloy_model *model;
    alloy_session *session;
    if (alloy_model_open(&model, arguments[1], NULL) ||
        alloy_session_open(&session, model,
                           &(alloy_session_options){.size = sizeof(alloy_session_options), .threads = threads}))
        stop(arguments[1]);
    float *logits = malloc((size_t)alloy_model_vocab_size(model) * sizeof *logits);
    if (!logits)
        stop("memory");
    bool decode = strcmp(arguments[2], "decode") == 0;
    run(session, decode ? 2 : tokens, decode, logits); /* pages come in, caches warm */
    double result = decode ? bench_decode(session, tokens, runs, logits) : bench_prefill(session, tokens, runs, logits);
    printf("median %.3f\n", result);
    free(logits);
    alloy_session_close(session);
    alloy_model_close(model);
    return 0;
}
