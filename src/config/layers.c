/* Layers: which modules stand at each depth, and the config that each of them sees.
 *
 * layer_types and ffn_types are lists, {"pattern": [...], "repeat": n}, or follow from a rule of the family. Names are
 * numbers while layers are built: equal names have equal numbers.
 *
 * A module's view is the config, what layer_overrides says for the module's name laid upon it, and what it says for the
 * depth upon that. Views that come from the same overrides are one: models of thousands of layers have a handful. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/names.h"
#include "base/status.h"
#include "config/source.h"

enum { MOST_DEPTH_DIGITS = 6, MOST_KNOWN = 16 };

/* ---- Lists ------------------------------------------------------------------------------------------------------- */

struct list {
    int64_t *numbers; /* [count] of names; freed by who made it */
    int64_t count, capacity;
};

static void add_name(alloy_config_reader *reader, const char *name, int64_t *number)
{
    alloy_status status = alloy_name_table_add(&reader->names, name, strlen(name), number);
    if (status && status != ALLOY_FORMAT) /* FORMAT: it was there already */
        reader->json.status = status;
}

/* What Alloy calls a mixer that layer_types may hold, in `pairs`; NULL where it is not there. */
static const char *translated(const char *const *pairs, const char *name)
{
    for (; pairs && *pairs; pairs += 2)
        if (strcmp(pairs[0], name) == 0)
            return pairs[1];
    return NULL;
}

static void refuse_name(alloy_config_reader *reader, const char *key, const char *const *pairs, const char *name)
{
    const char *known[MOST_KNOWN];
    char listed[256] = "";
    size_t count = 0, used = 0;
    for (; *pairs && count < MOST_KNOWN && used < sizeof listed; pairs += 2) {
        used += (size_t)snprintf(listed + used, sizeof listed - used, "%s\"%s\"", count ? ", " : "", pairs[0]);
        known[count++] = pairs[0];
    }
    const char *nearest = alloy_nearest_name(name, known, count);
    alloy_json_fail(&reader->json, ALLOY_FORMAT, "%s: %s has no \"%s\", expected one of: %s%s%s%s", key,
                    reader->family->model_type, alloy_printable(name, strlen(name)), listed,
                    nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

/* Appends the array at the reader. */
static void read_names(alloy_config_reader *reader, const alloy_field *field, struct list *list)
{
    alloy_json *json = &reader->json;
    const char *const *pairs = strcmp(field->key, "layer_types") == 0       ? reader->family->mixers
                               : strcmp(field->key, "mlp_layer_types") == 0 ? reader->family->ffns
                                                                            : NULL;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        const char *name = alloy_read_name(json, reader->arena, field->key);
        const char *own = name ? translated(pairs, name) : NULL;
        if (name && pairs && !own && reader->family->fields)
            refuse_name(reader, field->key, pairs, name);
        if (!json->status && list->count == ALLOY_MOST_LAYERS)
            alloy_json_fail(json, ALLOY_RANGE, "%s has more than %d entries", field->key, (int)ALLOY_MOST_LAYERS);
        int64_t *grown =
            json->status ? NULL : alloy_memory_grow(list->numbers, list->count, &list->capacity, sizeof *grown);
        if (!grown && !json->status)
            json->status = ALLOY_NOMEM;
        if (json->status)
            return;
        list->numbers = grown;
        add_name(reader, own ? own : name, &list->numbers[list->count]);
        list->count++;
    }
}

/* {"pattern": [...], "repeat": n} */
static void read_pattern(alloy_config_reader *reader, const alloy_field *field, struct list *list)
{
    static const alloy_field repeat = ALLOY_ROW("repeat", INTEGER, 0, 0, 1, ALLOY_MOST_LAYERS, NULL);
    alloy_json *json = &reader->json;
    alloy_json_string_view key;
    int64_t times = 0;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        if (alloy_json_key_is(&key, "pattern"))
            read_names(reader, field, list);
        else if (alloy_json_key_is(&key, "repeat"))
            alloy_field_read(json, reader->arena, &repeat, &times);
        else
            alloy_json_fail(json, ALLOY_FORMAT, "%s: unknown \"%s\", expected \"pattern\" and \"repeat\"", field->key,
                            alloy_printable(key.bytes, key.size));
    }
    if (json->status)
        return;
    int64_t once = list->count, total = once * times; /* at most 10^10 */
    if (total < 1 || total > ALLOY_MOST_LAYERS) {
        json->status = alloy_reader_fail(reader, total < 1 ? ALLOY_FORMAT : ALLOY_RANGE,
                                         "%s: a pattern of %lld and a repeat of %lld, expected 1..%d layers",
                                         field->key, (long long)once, (long long)times, (int)ALLOY_MOST_LAYERS);
        return;
    }
    int64_t *grown = alloy_memory_resize(list->numbers, (size_t)total, sizeof *grown);
    if (!grown) {
        json->status = ALLOY_NOMEM;
        return;
    }
    list->numbers = grown;
    for (list->count = total; once < total; once++)
        grown[once] = grown[once % (total / times)];
}

/* Reads a list that waits. */
static alloy_status read_list(alloy_config_reader *reader, const alloy_json_string_view *value,
                              const alloy_field *field, struct list *list)
{
    alloy_json *json = &reader->json;
    alloy_read_again(reader, value);
    alloy_json_type type = alloy_json_peek(json);
    if (type == ALLOY_JSON_OBJECT)
        read_pattern(reader, field, list);
    else if (type == ALLOY_JSON_ARRAY)
        read_names(reader, field, list);
    else if (!json->status)
        alloy_json_fail(json, ALLOY_FORMAT, "%s: expected a list of names, or {\"pattern\": [...], \"repeat\": n}",
                        field->key);
    return json->status;
}

/* What a family has at a depth; NULL where it leaves that to lists. */
typedef const char *family_rule(const alloy_family *family, const alloy_source *source, int64_t layer);

static const char *family_mixer(const alloy_family *family, const alloy_source *source, int64_t layer)
{
    if (family->mixer_at)
        return family->mixer_at(source, layer);
    bool slides = family->sliding_mixer && layer >= source->max_window_layers;
    return slides && alloy_source_has(source, "sliding_window") ? family->sliding_mixer : family->mixer;
}

static const char *family_ffn(const alloy_family *family, const alloy_source *source, int64_t layer)
{
    return family->ffn_at ? family->ffn_at(source, layer) : family->ffn;
}

/* One kind of module at every depth: from the file's list, else by the family's rule. */
static alloy_status list_kind(alloy_config_reader *reader, alloy_source *source, const char *key,
                              const alloy_json_string_view *value, family_rule *rule, struct list *list)
{
    int64_t *layers = &source->config.num_hidden_layers;
    if (alloy_source_has(source, key)) {
        alloy_status status = read_list(reader, value, alloy_source_field(alloy_source_row(key)), list);
        if (status)
            return status;
        if (*layers == 0)
            *layers = list->count;
        if (list->count > *layers && reader->family->cuts_lists)
            list->count = *layers;
        if (list->count == *layers && list->count > 0)
            return ALLOY_OK;
        return alloy_reader_fail(reader, ALLOY_FORMAT,
                                 "%s has %lld entries, num_hidden_layers is %lld: expected one a layer", key,
                                 (long long)list->count, (long long)*layers);
    }
    if (*layers == 0 || !rule(reader->family, source, 0))
        return alloy_reader_fail(reader, ALLOY_FORMAT, "%s is missing, expected a list of the layers' modules", key);
    list->numbers = alloy_memory_new((size_t)*layers, sizeof *list->numbers);
    if (!list->numbers)
        return ALLOY_NOMEM;
    for (int64_t i = 0; i < *layers; i++)
        add_name(reader, rule(reader->family, source, i), &list->numbers[i]);
    list->count = *layers;
    return reader->json.status;
}

static int64_t *keep_list(alloy_config_reader *reader, const struct list *list)
{
    int64_t *kept = alloy_arena_take(reader->arena, (size_t)list->count, sizeof *kept);
    return kept ? memcpy(kept, list->numbers, (size_t)list->count * sizeof *kept) : NULL;
}

alloy_status alloy_list_layers(alloy_config_reader *reader, alloy_source *source)
{
    struct list mixers = {0}, ffns = {0};
    bool has_ffns = reader->family->ffns;
    alloy_status status = list_kind(reader, source, "layer_types", &source->layer_types, family_mixer, &mixers);
    if (!status)
        status = list_kind(reader, source, has_ffns ? "mlp_layer_types" : "ffn_types",
                           has_ffns ? &source->mlp_layer_types : &source->ffn_types, family_ffn, &ffns);
    if (!status) {
        reader->mixers = keep_list(reader, &mixers);
        reader->ffns = keep_list(reader, &ffns);
        status = reader->mixers && reader->ffns ? ALLOY_OK : ALLOY_NOMEM;
    }
    alloy_memory_free(mixers.numbers);
    alloy_memory_free(ffns.numbers);
    return status;
}

/* ---- Overrides --------------------------------------------------------------------------------------------------- */

/* A view made for a depth. */
struct view {
    const struct override *module; /* the module's part of it, or NULL */
    const alloy_config *config;
    struct view *next;
};

/* What layer_overrides says for one name or depth. */
struct override {
    alloy_json_string_view value;
    struct override *same; /* the first of those with the same bytes: its views serve this one too */
    struct view *views;
};

/* A depth. */
struct depth {
    struct override *override; /* or NULL */
};

/* A name of the lists. */
struct module {
    const char *name;
    struct override *override; /* or NULL */
    const alloy_config *view;  /* where the depth says nothing; NULL until it is needed */
};

struct building {
    alloy_config_reader *reader;
    const alloy_source *source;
    struct module *modules; /* [names] */
    struct depth *depths;   /* [layers] */
    struct depth *sorted;   /* [said] those that have an override, by its bytes */
    int64_t said;
    const alloy_config *plain; /* the view that no override touches */
};

/* The depth that a key means; -1 where it is no number. */
static int64_t depth_of(const char *key, size_t size)
{
    int64_t depth = 0;
    if (size == 0 || size > MOST_DEPTH_DIGITS || (key[0] == '0' && size > 1))
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (key[i] < '0' || key[i] > '9')
            return -1;
        depth = depth * 10 + (key[i] - '0');
    }
    return depth;
}

/* The place of an override: a module's or a depth's. NULL and the reader failed where no layer has it. */
static struct override **place_of(struct building *b, const char *key, size_t size)
{
    alloy_config_reader *reader = b->reader;
    int64_t layers = b->source->config.num_hidden_layers, depth = depth_of(key, size);
    if (depth >= 0 && depth < layers)
        return &b->depths[depth].override;
    const char *own = translated(reader->family->mixers, key);
    int64_t number = own ? alloy_name_table_find(&reader->names, own, strlen(own))
                         : alloy_name_table_find(&reader->names, key, size);
    if (number >= 0)
        return &b->modules[number].override;
    if (depth >= 0)
        alloy_json_fail(&reader->json, ALLOY_RANGE, "layer_overrides: no layer %lld, expected 0..%lld",
                        (long long)depth, (long long)layers - 1);
    else
        alloy_json_fail(&reader->json, ALLOY_FORMAT,
                        "layer_overrides: no layer has a module \"%s\", expected a name of layer_types or "
                        "ffn_types, or a depth in 0..%lld",
                        alloy_printable(key, size), (long long)layers - 1);
    return NULL;
}

static void add_override(struct building *b, const alloy_json_string_view *key)
{
    alloy_json *json = &b->reader->json;
    alloy_text name = {0};
    if (alloy_json_unescape(key, &name)) {
        json->status = ALLOY_NOMEM;
        return;
    }
    bool is_object = alloy_json_peek(json) == ALLOY_JSON_OBJECT;
    alloy_json_string_view value = alloy_json_raw(json);
    struct override **place = json->status ? NULL : place_of(b, alloy_text_get(&name), name.size);
    if (place && (*place || !is_object)) {
        alloy_json_fail(json, ALLOY_FORMAT, "layer_overrides: \"%s\" %s",
                        alloy_printable(alloy_text_get(&name), name.size),
                        is_object ? "is given twice, by two of its names" : "must be an object of fields");
    } else if (place) {
        *place = alloy_arena_take_zeroed(b->reader->arena, 1, sizeof **place);
        if (*place)
            **place = (struct override){.value = value};
        else
            json->status = ALLOY_NOMEM;
    }
    alloy_text_free(&name);
}

static int compare_overrides(const void *a, const void *b)
{
    const alloy_json_string_view *x = &((const struct depth *)a)->override->value,
                                 *y = &((const struct depth *)b)->override->value;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    int order = memcmp(x->bytes, y->bytes, x->size);
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Finds the depths that say the same. */
static void join_equal_depths(struct building *b)
{
    for (int64_t i = 0; i < b->source->config.num_hidden_layers; i++)
        if (b->depths[i].override)
            b->sorted[b->said++] = b->depths[i];
    qsort(b->sorted, (size_t)b->said, sizeof *b->sorted, compare_overrides);
    for (int64_t i = 0; i < b->said; i++) {
        struct override *now = b->sorted[i].override, *before = i > 0 ? b->sorted[i - 1].override : now;
        bool same = before->value.size == now->value.size &&
                    memcmp(before->value.bytes, now->value.bytes, now->value.size) == 0;
        now->same = same && i > 0 ? before->same : now;
    }
}

static alloy_status read_overrides(struct building *b)
{
    alloy_json *json = &b->reader->json;
    alloy_json_string_view key;
    if (!alloy_source_has(b->source, "layer_overrides"))
        return ALLOY_OK;
    alloy_read_again(b->reader, &b->source->layer_overrides);
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key))
        add_override(b, &key);
    if (!json->status)
        join_equal_depths(b);
    return json->status;
}

/* ---- Views ------------------------------------------------------------------------------------------------------- */

static alloy_status lay(alloy_config_reader *reader, alloy_source *view, const struct override *override)
{
    if (!override)
        return ALLOY_OK;
    alloy_source upper = {.config.extra = view->config.extra};
    alloy_status status = alloy_read_override(reader, &override->value, &upper);
    if (status)
        return status;
    alloy_source_lay(view, &upper);
    view->config.extra = upper.config.extra;
    return ALLOY_OK;
}

/* A new view of a module (NULL: of any that has no override) at a depth. NULL after a failure. */
static const alloy_config *make_view(struct building *b, const struct module *module, const struct override *depth)
{
    alloy_source view = *b->source;
    view.config.layers = NULL;
    alloy_status status = lay(b->reader, &view, module ? module->override : NULL);
    if (!status)
        status = lay(b->reader, &view, depth);
    if (!status)
        status = alloy_source_resolve(b->reader, &view);
    struct alloy_config *kept = status ? NULL : alloy_arena_take(b->reader->arena, 1, sizeof *kept);
    return kept ? memcpy(kept, &view.config, sizeof *kept) : NULL;
}

/* The view at a depth that says something. */
static const alloy_config *view_at_depth(struct building *b, const struct module *module, struct override *depth)
{
    for (const struct view *view = depth->views; view; view = view->next)
        if (view->module == module->override)
            return view->config;
    struct view *view = alloy_arena_take(b->reader->arena, 1, sizeof *view);
    const alloy_config *config = view ? make_view(b, module, depth) : NULL;
    if (!config)
        return NULL;
    *view = (struct view){module->override, config, depth->views};
    depth->views = view;
    return config;
}

static const alloy_config *view_of(struct building *b, struct module *module, int64_t layer)
{
    if (b->depths[layer].override)
        return view_at_depth(b, module, b->depths[layer].override->same);
    if (!module->view)
        module->view = module->override ? make_view(b, module, NULL) : b->plain;
    return module->view;
}

/* ---- Layers ------------------------------------------------------------------------------------------------------ */

static alloy_status name_modules(struct building *b)
{
    for (int64_t i = 0; i < b->reader->names.count; i++) {
        size_t size;
        const char *name = alloy_name_table_get(&b->reader->names, i, &size);
        b->modules[i].name = alloy_arena_copy(b->reader->arena, name, size);
        if (!b->modules[i].name)
            return ALLOY_NOMEM;
    }
    return ALLOY_OK;
}

static alloy_status fill_layers(struct building *b, alloy_layer *layers)
{
    b->plain = make_view(b, NULL, NULL);
    for (int64_t i = 0; b->plain && i < b->source->config.num_hidden_layers; i++) {
        struct module *mixer = &b->modules[b->reader->mixers[i]], *ffn = &b->modules[b->reader->ffns[i]];
        layers[i] = (alloy_layer){.mixer = mixer->name, .ffn = ffn->name};
        layers[i].mixer_config = view_of(b, mixer, i);
        layers[i].ffn_config = layers[i].mixer_config ? view_of(b, ffn, i) : NULL;
        if (!layers[i].ffn_config)
            return alloy_last_status();
    }
    return b->plain ? ALLOY_OK : alloy_last_status();
}

alloy_status alloy_build_layers(alloy_config_reader *reader, alloy_source *source)
{
    size_t layers = (size_t)source->config.num_hidden_layers, names = (size_t)reader->names.count;
    struct building b = {.reader = reader, .source = source};
    alloy_layer *kept = alloy_arena_take(reader->arena, layers, sizeof *kept);
    b.modules = alloy_memory_zeroed(names, sizeof *b.modules);
    b.depths = alloy_memory_zeroed(layers, sizeof *b.depths);
    b.sorted = alloy_memory_zeroed(layers, sizeof *b.sorted);
    alloy_status status = kept && b.modules && b.depths && b.sorted ? ALLOY_OK : ALLOY_NOMEM;
    if (!status)
        status = name_modules(&b);
    if (!status)
        status = read_overrides(&b);
    if (!status)
        status = fill_layers(&b, kept);
    alloy_memory_free(b.modules);
    alloy_memory_free(b.depths);
    alloy_memory_free(b.sorted);
    source->config.layers = status ? NULL : kept;
    return status;
}
