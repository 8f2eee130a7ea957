/* From a neutral record to bytes: the two accountings.
 *
 * Both take an op's FLOPs, parameters and state; what stands between modules comes from the decoder. They differ in
 *
 *              exact                                       classic
 *   FLOPs      tensor and vector apart                     one figure by published conventions, all "tensor"
 *   weights    expected copies, each in its own dtype,     whole copies at the model's dtype (A_log, dt_bias: 4 bytes)
 *              block scales included
 *   state      recurrent matrices fp32                     at the activations' dtype
 *   norms      a row before each module                    the final one only
 *   tensors    between modules, or of each op              a module's input and output (mHC: an fp32 copy besides) */
#include <math.h>

#include "roofline/analysis.h"

enum { BYTE = 8, ID_BYTES = 8, F32_BITS = 32 };

/* Bytes of whole bits, rounded half to even (only formats of less than a byte can leave a rest). */
static alloy_wide bytes_of(alloy_wide bits)
{
    alloy_wide whole = bits / BYTE, rest = bits % BYTE;
    return whole + (rest > BYTE / 2 || (rest == BYTE / 2 && (whole & 1)));
}

/* Is it counted in the format that was asked for, whatever its own is? Ids never are, and in exact neither are the
 * vectors of files (norms, biases), which no format of blocks is made for. */
static bool is_cast(const alloy_roofline_terms *terms, const alloy_weight *weight)
{
    if (alloy_dtype_bits(weight->dtype) > F32_BITS)
        return false;
    if (terms->stored && weight->ndim == 1 && terms->accounting == ALLOY_EXACT)
        return false;
    return weight->keeps_f32 ? terms->accounting == ALLOY_CLASSIC : terms->weight_given;
}

int alloy_roofline_weight_bits(const alloy_roofline_terms *terms, const alloy_weight *weight)
{
    return is_cast(terms, weight) ? alloy_format_bits(terms->weight) : alloy_dtype_bits(weight->dtype);
}

alloy_wide alloy_roofline_scale_bits(const alloy_roofline_terms *terms, const alloy_weight *weight)
{
    if (weight->ndim != 2 || terms->accounting == ALLOY_CLASSIC)
        return 0;
    if (!is_cast(terms, weight))
        return (alloy_wide)alloy_weight_scale_bytes(weight) * BYTE;
    return alloy_format_scale_bits(terms->weight, weight->shape[0], weight->shape[1]);
}

/* Bits of `copies` copies, a whole number or an expectation. */
static alloy_wide weight_bytes(const alloy_roofline_terms *terms, const alloy_cost *cost, int i, bool f32)
{
    const alloy_weight *w = cost->weight[i].weight;
    alloy_wide elements = cost->weight[i].elements, whole = (alloy_wide)w->shape[0] * w->shape[1];
    double copies = cost->weight[i].copies;
    alloy_wide bits = elements * (f32 ? F32_BITS : alloy_roofline_weight_bits(terms, w)),
               scales = alloy_roofline_scale_bits(terms, w);
    if (scales)
        bits += elements == whole ? scales : (scales * elements + whole - 1) / whole;
    double nearest = rint(copies);
    if (copies == nearest)
        return bytes_of(bits * (alloy_wide)nearest);
    return (alloy_wide)rint((double)bits * copies / BYTE);
}

static void add_weights(const alloy_roofline_terms *terms, const alloy_cost *cost, bool f32, alloy_work *sum)
{
    for (int i = 0; i < cost->weights; i++)
        alloy_count_grow(&sum->read[cost->weight[i].weight->routes ? ALLOY_TRAFFIC_ROUTER : ALLOY_TRAFFIC_WEIGHTS],
                         weight_bytes(terms, cost, i, f32));
}

static void add_caches(const alloy_roofline_terms *terms, const alloy_cost *cost, alloy_work *sum)
{
    static const alloy_traffic kinds[] = {[ALLOY_CACHE_KV] = ALLOY_TRAFFIC_KV,
                                          [ALLOY_CACHE_INDEXER] = ALLOY_TRAFFIC_INDEXER,
                                          [ALLOY_CACHE_STATE] = ALLOY_TRAFFIC_STATE,
                                          [ALLOY_CACHE_CONV] = ALLOY_TRAFFIC_STATE};
    bool classic = terms->accounting == ALLOY_CLASSIC;
    int activation = alloy_format_bits(terms->activation);
    for (int i = 0; i < cost->caches; i++) {
        alloy_cache_kind kind = cost->cache[i].kind;
        int bits = kind == ALLOY_CACHE_KV                  ? alloy_format_bits(terms->kv)
                   : kind == ALLOY_CACHE_INDEXER           ? alloy_format_bits(terms->indexer)
                   : kind == ALLOY_CACHE_STATE && !classic ? F32_BITS
                                                           : activation;
        alloy_count_grow(&sum->read[kinds[kind]], bytes_of(bits * cost->cache[i].read));
        alloy_count_grow(&sum->written[kinds[kind]], bytes_of(bits * cost->cache[i].written));
    }
}

static void add_tensors(const alloy_roofline_terms *terms, const alloy_site *site, alloy_wide read, alloy_wide written,
                        alloy_work *sum)
{
    int bits = alloy_format_bits(terms->activation);
    alloy_count_grow(&sum->read[ALLOY_TRAFFIC_ACTIVATIONS], bytes_of(bits * read));
    alloy_count_grow(&sum->written[site->kind == ALLOY_SITE_HEAD ? ALLOY_TRAFFIC_LOGITS : ALLOY_TRAFFIC_ACTIVATIONS],
                     bytes_of(bits * written));
}

static void reduce_classic(const alloy_roofline_terms *terms, const alloy_site *site, const alloy_args *call,
                           const alloy_cost *exact, alloy_work *sum)
{
    alloy_classic classic;
    alloy_roofline_classic(terms, site, call, exact, &classic);
    alloy_count_grow(&sum->tensor_flops, classic.cost.tensor_flops + classic.cost.vector_flops);
    add_weights(terms, &classic.cost, classic.f32_weights, sum);
    add_caches(terms, &classic.cost, sum);
    if (!call)
        add_tensors(terms, site, classic.cost.tensors_read, classic.cost.tensors_written, sum);
    alloy_count_grow(&sum->read[ALLOY_TRAFFIC_ACTIVATIONS], classic.f32_copies * (F32_BITS / BYTE));
    alloy_count_grow(&sum->written[ALLOY_TRAFFIC_ACTIVATIONS], classic.f32_copies * (F32_BITS / BYTE));
}

static void reduce_exact(const alloy_roofline_terms *terms, const alloy_site *site, const alloy_args *call,
                         const alloy_cost *cost, alloy_work *sum)
{
    alloy_count_grow(&sum->tensor_flops, cost->tensor_flops);
    alloy_count_grow(&sum->vector_flops, cost->vector_flops);
    alloy_count_grow(&sum->read[ALLOY_TRAFFIC_ACTIVATIONS], cost->ids * ID_BYTES);
    add_weights(terms, cost, false, sum);
    add_caches(terms, cost, sum);
    if (terms->op_fusion == (call != NULL))
        add_tensors(terms, site, cost->tensors_read, cost->tensors_written, sum);
}

bool alloy_roofline_has_row(const alloy_roofline_terms *terms, const alloy_site *site)
{
    return terms->accounting == ALLOY_EXACT || site->kind != ALLOY_SITE_NORM;
}

void alloy_roofline_reduce(const alloy_roofline_terms *terms, const alloy_site *site, const alloy_args *call,
                           const alloy_cost *cost, alloy_work *sum)
{
    if (terms->accounting == ALLOY_CLASSIC)
        reduce_classic(terms, site, call, cost, sum);
    else
        reduce_exact(terms, site, call, cost, sum);
}
