/* The next token from a row of logits (sample.h). Ranking is a heap built once over all candidates and popped lazily, V
 * + k log V steps for the k that top-k, top-p or min-p keep, usually a few. */
#include "engine/sample.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "kernels/math.h"

static const double HIGHEST_TEMPERATURE = 1e6, HIGHEST_REPETITION = 1000, HIGHEST_PENALTY = 1000;

/* ---- Settings ---------------------------------------------------------------------------------------------------- */

static alloy_status require(const char *name, double value, double least, double most)
{
    if (value >= least && value <= most)
        return ALLOY_OK;
    return alloy_fail(ALLOY_RANGE, "%s is %g, expected %g to %g", name, value, least, most);
}

static alloy_status check(const alloy_sampling *s)
{
    if (s->top_k < 0)
        return alloy_fail(ALLOY_RANGE, "top_k is %lld, expected 0 (all) or more", (long long)s->top_k);
    alloy_status status = require("temperature", s->temperature, 0, HIGHEST_TEMPERATURE);
    status = status ? status : require("top_p", s->top_p, 0, 1);
    status = status ? status : require("min_p", s->min_p, 0, 1);
    status = status ? status : require("repetition_penalty", s->repetition_penalty, 0, HIGHEST_REPETITION);
    status = status ? status : require("presence_penalty", s->presence_penalty, -HIGHEST_PENALTY, HIGHEST_PENALTY);
    return status ? status : require("frequency_penalty", s->frequency_penalty, -HIGHEST_PENALTY, HIGHEST_PENALTY);
}

/* Zero means "none" in the public struct; the steps below want the neutral element. */
static alloy_sampling with_defaults(alloy_sampling s, int64_t vocab_size)
{
    if (s.top_k == 0 || s.top_k > vocab_size)
        s.top_k = vocab_size;
    if (s.top_p == 0)
        s.top_p = 1;
    if (s.repetition_penalty == 0)
        s.repetition_penalty = 1;
    return s;
}

static bool penalises(const alloy_sampling *s)
{
    return s->repetition_penalty != 1 || s->presence_penalty != 0 || s->frequency_penalty != 0;
}

/* min-p alone needs no order: each id is compared with the likeliest. */
static bool ranks(const alloy_sampler *sampler)
{
    return sampler->sampling.top_k < sampler->vocab_size || sampler->sampling.top_p < 1;
}

void alloy_sampler_open(alloy_sampler *sampler, const alloy_kernels *kernels, int64_t vocab_size)
{
    *sampler = (alloy_sampler){.kernels = kernels, .vocab_size = vocab_size};
}

/* `array`, or where it is NULL a new one of [vocab_size] elements, all zero. */
static void *room(const alloy_sampler *sampler, void *array, size_t size)
{
    return array ? array : alloy_memory_zeroed((size_t)sampler->vocab_size, size);
}

alloy_status alloy_sampler_set(alloy_sampler *sampler, const alloy_sampling *sampling)
{
    alloy_status status = check(sampling);
    if (status)
        return status;
    sampler->sampling = with_defaults(*sampling, sampler->vocab_size);
    sampler->penalises = penalises(&sampler->sampling);
    sampler->scores = room(sampler, sampler->scores, sizeof *sampler->scores);
    sampler->weights = room(sampler, sampler->weights, sizeof *sampler->weights);
    if (sampler->penalises) {
        sampler->occurrences = room(sampler, sampler->occurrences, sizeof *sampler->occurrences);
        sampler->seen = room(sampler, sampler->seen, sizeof *sampler->seen);
    }
    bool sound =
        sampler->scores && sampler->weights && (!sampler->penalises || (sampler->occurrences && sampler->seen));
    if (sound && sampler->sampling.temperature > 0 && ranks(sampler))
        return alloy_sampler_ranks(sampler);
    return sound ? ALLOY_OK : ALLOY_NOMEM;
}

alloy_status alloy_sampler_ranks(alloy_sampler *sampler)
{
    sampler->candidates = room(sampler, sampler->candidates, sizeof *sampler->candidates);
    return sampler->candidates ? ALLOY_OK : ALLOY_NOMEM;
}

void alloy_sampler_close(alloy_sampler *sampler)
{
    alloy_memory_free(sampler->scores);
    alloy_memory_free(sampler->weights);
    alloy_memory_free(sampler->occurrences);
    alloy_memory_free(sampler->seen);
    alloy_memory_free(sampler->candidates);
    *sampler = (alloy_sampler){0};
}

/* ---- Penalties --------------------------------------------------------------------------------------------------- */

static void penalise(alloy_sampler *sampler, int64_t id)
{
    const alloy_sampling *s = &sampler->sampling;
    float *score = &sampler->scores[id];
    if (sampler->seen[id])
        *score = *score < 0 ? *score * (float)s->repetition_penalty : *score / (float)s->repetition_penalty;
    if (sampler->occurrences[id]) {
        *score -= (float)s->frequency_penalty * (float)sampler->occurrences[id];
        *score -= (float)s->presence_penalty;
    }
    sampler->seen[id] = 0; /* each id once, and clean for the next call */
    sampler->occurrences[id] = 0;
}

/* Each id of the history is treated once, however often it occurs: `penalise` forgets it. */
static void apply_penalties(alloy_sampler *sampler, const alloy_history *history)
{
    if (!sampler->penalises)
        return;
    for (int64_t i = 0; i < history->prompt_count; i++)
        sampler->seen[history->prompt[i]] = 1;
    for (int64_t i = 0; i < history->output_count; i++) {
        sampler->seen[history->output[i]] = 1;
        sampler->occurrences[history->output[i]]++;
    }
    for (int64_t i = 0; i < history->prompt_count; i++)
        if (sampler->seen[history->prompt[i]])
            penalise(sampler, history->prompt[i]);
    for (int64_t i = 0; i < history->output_count; i++)
        if (sampler->seen[history->output[i]])
            penalise(sampler, history->output[i]);
}

/* ---- Ranking ----------------------------------------------------------------------------------------------------- */

static bool precedes(const alloy_candidate *a, const alloy_candidate *b)
{
    return a->score > b->score || (a->score == b->score && a->id < b->id);
}

/* Restores "a parent precedes its children" below `at`. */
static void sink(alloy_candidate *heap, int64_t count, int64_t at)
{
    alloy_candidate moving = heap[at];
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && precedes(&heap[child + 1], &heap[child]))
            child++;
        if (!precedes(&heap[child], &moving))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

/* All ids with their scores and weights as a heap, the best on top. */
static void heap_of_all(alloy_sampler *sampler, const float *scores)
{
    for (int64_t i = 0; i < sampler->vocab_size; i++)
        sampler->candidates[i] = (alloy_candidate){.score = scores[i], .weight = sampler->weights[i], .id = i};
    for (int64_t i = sampler->vocab_size / 2 - 1; i >= 0; i--)
        sink(sampler->candidates, sampler->vocab_size, i);
}

/* Takes the best of those left (`*count`) off the heap and keeps it in the place that has become free: after k calls
 * the last k places hold the k best, the best last. */
static const alloy_candidate *pop(alloy_candidate *heap, int64_t *count)
{
    alloy_candidate best = heap[0];
    *count -= 1;
    heap[0] = heap[*count];
    heap[*count] = best;
    if (*count > 1)
        sink(heap, *count, 0);
    return &heap[*count];
}

/* ---- Drawing ----------------------------------------------------------------------------------------------------- */

static int64_t largest(const float *scores, int64_t count)
{
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}

/* weights[i] = exp((scores[i] - most) / temperature): the likeliest has 1. */
static void weigh(alloy_sampler *sampler, const float *scores, float most, float temperature)
{
    for (int64_t i = 0; i < sampler->vocab_size; i++)
        sampler->weights[i] = (scores[i] - most) / temperature;
    sampler->kernels->vector.exp(sampler->weights, sampler->weights, sampler->vocab_size);
}

/* `uniform` in [0, 1) chooses among all ids whose weight is at least `least`. */
static int64_t draw_unranked(const alloy_sampler *sampler, float least, double uniform)
{
    double total = 0, sum = 0;
    for (int64_t i = 0; i < sampler->vocab_size; i++)
        total += sampler->weights[i] >= least ? (double)sampler->weights[i] : 0;
    int64_t last = 0;
    for (int64_t i = 0; i < sampler->vocab_size; i++) {
        if (sampler->weights[i] < least || sampler->weights[i] == 0)
            continue;
        last = i;
        sum += (double)sampler->weights[i];
        if (sum > uniform * total)
            break;
    }
    return last;
}

/* What top-p measures against: the weights of all ids, or of the k best, which are then popped already. */
static double weight_of_top_k(alloy_sampler *sampler, int64_t *left)
{
    double total = 0;
    if (sampler->sampling.top_k == sampler->vocab_size) {
        for (int64_t i = 0; i < sampler->vocab_size; i++)
            total += (double)sampler->weights[i];
        return total;
    }
    for (int64_t k = 0; k < sampler->sampling.top_k; k++)
        total += (double)pop(sampler->candidates, left)->weight;
    return total;
}

/* An id is kept when those before it do not reach top_p (so the likeliest always is) and it is at least min_p of the
 * likeliest. */
static int64_t draw_ranked(alloy_sampler *sampler, float least, double uniform)
{
    heap_of_all(sampler, sampler->scores);
    const alloy_candidate *ranked =
        sampler->candidates + sampler->vocab_size; /* the k-th best, from 1, is ranked[-k] */
    int64_t left = sampler->vocab_size;
    double limit = weight_of_top_k(sampler, &left) * sampler->sampling.top_p, kept_weight = 0;
    int64_t kept = 0;
    while (kept < sampler->sampling.top_k && (kept == 0 || kept_weight < limit)) {
        const alloy_candidate *next =
            kept < sampler->vocab_size - left ? &ranked[-kept - 1] : pop(sampler->candidates, &left);
        if (next->weight < least)
            break;
        kept_weight += (double)next->weight;
        kept++;
    }
    double sum = 0;
    for (int64_t k = 1; k < kept; k++) {
        sum += (double)ranked[-k].weight;
        if (sum > uniform * kept_weight)
            return ranked[-k].id;
    }
    return ranked[-kept].id;
}

static alloy_status not_finite(const float *scores, int64_t count, const alloy_history *history, const char *what)
{
    int64_t id = 0;
    while (id + 1 < count && isfinite(scores[id]))
        id++;
    return alloy_fail(ALLOY_RANGE, "the logit of id %lld at position %lld is %s%s: no token can be chosen",
                      (long long)id, (long long)(history->prompt_count + history->output_count),
                      isnan(scores[id]) ? "NaN" : "infinite", what);
}

alloy_status alloy_sampler_next(alloy_sampler *sampler, const float *logits, const alloy_history *history, int64_t *id)
{
    const alloy_sampling *s = &sampler->sampling;
    if (!sampler->kernels->all_finite(logits, sampler->vocab_size))
        return not_finite(logits, sampler->vocab_size, history, "");
    memcpy(sampler->scores, logits, (size_t)sampler->vocab_size * sizeof *logits);
    apply_penalties(sampler, history);
    if (sampler->penalises && !sampler->kernels->all_finite(sampler->scores, sampler->vocab_size))
        return not_finite(sampler->scores, sampler->vocab_size, history, " after penalties");
    *id = largest(sampler->scores, sampler->vocab_size);
    if ((float)s->temperature == 0)
        return ALLOY_OK;
    weigh(sampler, sampler->scores, sampler->scores[*id], (float)s->temperature);
    uint64_t position = (uint64_t)(history->prompt_count + history->output_count);
    double uniform = alloy_random_uniform(s->seed, history->sequence, position);
    float least = (float)s->min_p * sampler->weights[*id];
    *id = ranks(sampler) ? draw_ranked(sampler, least, uniform) : draw_unranked(sampler, least, uniform);
    return ALLOY_OK;
}

alloy_status alloy_sampler_logprobs(alloy_sampler *sampler, const float *logits, int64_t chosen, float *chosen_logprob,
                                    alloy_logprob *likeliest, int64_t count)
{
    alloy_status status = alloy_sampler_ranks(sampler);
    if (status)
        return status;
    float most = logits[largest(logits, sampler->vocab_size)];
    weigh(sampler, logits, most, 1);
    double total = 0;
    for (int64_t i = 0; i < sampler->vocab_size; i++)
        total += (double)sampler->weights[i];
    double log_total = alloy_log64(total);
    *chosen_logprob = (float)((double)logits[chosen] - (double)most - log_total);
    heap_of_all(sampler, logits);
    int64_t left = sampler->vocab_size;
    for (int64_t i = 0; i < count; i++) {
        const alloy_candidate *next = pop(sampler->candidates, &left);
        likeliest[i] =
            (alloy_logprob){.id = next->id, .logprob = (float)((double)next->score - (double)most - log_total)};
    }
    return ALLOY_OK;
}
