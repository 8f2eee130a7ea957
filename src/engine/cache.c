/* Caches (alloy.h, cache.h). */
#include "engine/cache.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/status.h"
#include "engine/session.h"

/* An empty cache like `like`, whose own state is not looked at. */
static alloy_status new_cache(alloy_cache **out, const alloy_cache *like)
{
    alloy_cache *cache = alloy_memory_zeroed(1, sizeof *cache);
    alloy_state_block *blocks =
        cache ? alloy_memory_zeroed((size_t)like->model->config.num_hidden_layers, sizeof *blocks) : NULL;
    if (!blocks) {
        alloy_memory_free(cache);
        return ALLOY_NOMEM;
    }
    *cache = *like;
    cache->blocks = blocks;
    cache->ids = NULL;
    cache->length = cache->id_room = 0;
    alloy_pages_hold(cache->pages);
    *out = cache;
    return ALLOY_OK;
}

/* Can this machine hold a sequence of `length` tokens? Its allocator would say yes to any size, and the kernel end the
 * process later, when the memory is used. */
static alloy_status check_room(const alloy_model *model, int64_t length, int64_t chunk, alloy_dtype rows_dtype)
{
    size_t bytes = 0, layer, machine = alloy_memory_of_machine();
    bool fits = true;
    for (int64_t i = 0; i < model->config.num_hidden_layers && fits; i++)
        fits = alloy_state_bytes_at(model->layers[i].state, rows_dtype, length, chunk, &layer) &&
               alloy_size_add(bytes, layer, &bytes);
    if (!fits)
        return alloy_fail(ALLOY_LIMIT, "a cache of %lld tokens takes more than 2^64 bytes", (long long)length);
    if (bytes > machine)
        return alloy_fail(ALLOY_LIMIT, "a cache of %lld tokens takes %zu bytes, this machine has %zu",
                          (long long)length, bytes, machine);
    return ALLOY_OK;
}

alloy_status alloy_cache_open(alloy_cache **out, const alloy_session *session, int64_t context)
{
    *out = NULL;
    int64_t most = session->model->config.max_position_embeddings;
    if (context < 0)
        return alloy_fail(ALLOY_RANGE, "context: %lld tokens, expected 1 or more (0: the model's %lld)",
                          (long long)context, (long long)most);
    alloy_status status = context ? check_room(session->model, context, session->chunk, session->kv_dtype) : ALLOY_OK;
    return status ? status
                  : new_cache(out, &(alloy_cache){.model = session->model,
                                                  .pages = session->pages,
                                                  .context = context ? context : most,
                                                  .chunk = session->chunk,
                                                  .rows_dtype = session->kv_dtype});
}

void alloy_cache_close(alloy_cache *cache)
{
    if (!cache)
        return;
    for (int64_t i = 0; i < cache->model->config.num_hidden_layers; i++)
        alloy_state_free(&cache->blocks[i], cache->pages);
    alloy_pages_close(cache->pages);
    alloy_memory_free(cache->blocks);
    alloy_memory_free(cache->ids);
    alloy_memory_free(cache);
}

int64_t alloy_cache_length(const alloy_cache *cache)
{
    return cache->length;
}

const int64_t *alloy_cache_ids(const alloy_cache *cache)
{
    return cache->ids;
}

uint64_t alloy_cache_bytes(const alloy_cache *cache)
{
    uint64_t bytes = 0;
    for (int64_t i = 0; i < cache->model->config.num_hidden_layers; i++)
        bytes += alloy_state_bytes(&cache->blocks[i], cache->model->layers[i].state, cache->rows_dtype);
    return bytes;
}

/* Room for the ids of `length` tokens: at first 4,096, then it doubles. */
static bool make_id_room(alloy_cache *cache, int64_t length)
{
    enum { AT_FIRST = 4096 };
    int64_t room = cache->id_room ? 2 * cache->id_room : AT_FIRST;
    room = room < length ? length : room;
    int64_t *ids = length > cache->id_room ? alloy_memory_resize(cache->ids, (size_t)room, sizeof *ids) : cache->ids;
    if (length <= cache->id_room || !ids)
        return length <= cache->id_room;
    cache->ids = ids;
    cache->id_room = room;
    return true;
}

void alloy_cache_push(alloy_cache *cache, const int64_t *ids, int64_t count)
{
    if (count > 0)
        memcpy(cache->ids + cache->length, ids, (size_t)count * sizeof *ids);
    cache->length += count;
}

alloy_status alloy_cache_copy(alloy_cache **out, const alloy_cache *cache)
{
    *out = NULL;
    alloy_cache *copy;
    alloy_status status = new_cache(&copy, cache);
    if (status)
        return status;
    for (int64_t i = 0; i < cache->model->config.num_hidden_layers && !status; i++)
        status = alloy_state_copy(&copy->blocks[i], &cache->blocks[i], cache->model->layers[i].state, cache->rows_dtype,
                                  cache->length);
    if (!status && !make_id_room(copy, cache->length))
        status = ALLOY_NOMEM;
    if (status) {
        alloy_cache_close(copy);
        return status;
    }
    alloy_cache_push(copy, cache->ids, cache->length);
    *out = copy;
    return ALLOY_OK;
}

/* Can every layer's state be cut in place? */
static const char *layer_that_cannot_be_cut(const alloy_model *model)
{
    for (int64_t i = 0; i < model->config.num_hidden_layers; i++) {
        const alloy_state_spec *spec = model->layers[i].state;
        for (int j = 0; j < spec->count; j++)
            if (spec->part[j].kind == ALLOY_STATE_FIXED || spec->part[j].window > 0)
                return model->layers[i].mixer->name;
    }
    return NULL;
}

static void cut(alloy_cache *cache, int64_t length)
{
    for (int64_t i = 0; i < cache->model->config.num_hidden_layers; i++)
        alloy_state_cut(&cache->blocks[i], cache->model->layers[i].state, cache->rows_dtype, cache->pages, length);
    cache->length = length;
}

alloy_status alloy_cache_truncate(alloy_cache *cache, int64_t length)
{
    if (length < 0 || length > cache->length)
        return alloy_fail(ALLOY_RANGE, "truncate to %lld tokens: the cache holds %lld", (long long)length,
                          (long long)cache->length);
    if (length == cache->length)
        return ALLOY_OK;
    const char *mixer = layer_that_cannot_be_cut(cache->model);
    if (length > 0 && mixer)
        return alloy_fail(
            ALLOY_UNSUPPORTED,
            "truncate to %lld tokens: the state of %s cannot be cut; begin anew and compute the prefix again",
            (long long)length, mixer);
    cut(cache, length);
    return ALLOY_OK;
}

alloy_status alloy_cache_reserve(alloy_cache *cache, int64_t length)
{
    alloy_status status = check_room(cache->model, length, cache->chunk, cache->rows_dtype);
    if (!status && !make_id_room(cache, length))
        status = ALLOY_NOMEM;
    for (int64_t i = 0; i < cache->model->config.num_hidden_layers && !status; i++)
        status = alloy_state_reserve(&cache->blocks[i], cache->model->layers[i].state, cache->rows_dtype, cache->pages,
                                     cache->length, length, cache->chunk);
    return status;
}

void alloy_cache_clear(alloy_cache *cache)
{
    cut(cache, 0);
}
