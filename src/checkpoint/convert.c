/* Converting a model (alloy.h): which tensors the new files hold, under which names and in which dtype; the files
 * beside them. The bytes are made by convert_rows.c while they are written.
 *
 * The folder becomes the new model by one last call (files/folder_write.h); its config.json is written last. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/file_write.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "config/rewrite.h"
#include "files/json_fields.h"
#include "files/folder_write.h"
#include "files/safetensors.h"
#include "checkpoint/convert_rows.h"
#include "checkpoint/names.h"
#include "checkpoint/parameters.h"

enum { LONGEST_PART = 64, CHANGES = 8 };

/* The files beside the weights: config.json is made, the others are copied where the model has them. */
static const char *const beside[] = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "LICENSE",
    "chat_template.json",
    "LICENSE.txt",
    NULL,
};

struct plan {
    const alloy_model *model;
    const alloy_convert_options *options;
    alloy_naming naming;             /* of the new files */
    bool stacked;                    /* their experts */
    bool has_experts;                /* the model has routed ones */
    bool has_packed, has_fp4_expert; /* among what is written */
    bool has_power_scales;           /* in E8M0 */
    alloy_arena *arena;
    alloy_saved_tensor *saved; /* [count] */
    int64_t count, capacity;
    alloy_text unpacked;       /* JSON: names of linears that are not packed, "," between */
    const char *last_unpacked; /* NULL: none */
    uint64_t bytes, done;      /* of the new files */
    int64_t columns;           /* most of any tensor */
    struct alloy_row_scratch *scratch;
    bool stopped; /* by the progress function */
};

/* ---- What a tensor becomes --------------------------------------------------------------------------------------- */

static bool is_packed(alloy_dtype dtype)
{
    return dtype == ALLOY_F8_E4M3 || dtype == ALLOY_F4;
}

/* Does a weight of this shape go into that dtype? An expert's up and down must agree, so both sides count. */
static bool can_be_packed(const alloy_weight *w, alloy_dtype dtype, bool expert)
{
    if (dtype == ALLOY_F8_E4M3)
        return w->shape[0] % ALLOY_FP8_TILE == 0 && w->shape[1] % ALLOY_FP8_TILE == 0;
    return w->shape[1] % ALLOY_FP4_TILE == 0 && (!expert || w->shape[0] % ALLOY_FP4_TILE == 0);
}

static alloy_dtype dtype_of(const struct plan *p, const alloy_parameter *parameter, const alloy_weight *w)
{
    alloy_dtype asked = p->options->dtype;
    bool expert = parameter->experts != NULL;
    if (asked == ALLOY_DTYPE_NONE || parameter->limit > 0 || (parameter->flags & ALLOY_KEEPS_F32))
        return w->dtype;
    if (!is_packed(asked))
        return asked;
    alloy_dtype packed = asked == ALLOY_F4 && (expert || !p->has_experts) ? ALLOY_F4 : ALLOY_F8_E4M3;
    if ((parameter->flags & ALLOY_LINEAR) && can_be_packed(w, packed, expert))
        return packed;
    return is_packed(w->dtype) ? ALLOY_BF16 : w->dtype;
}

/* Are the scales of `w`, which is packed, such as would be made with scales of that dtype? */
static bool has_usual_scales(const alloy_weight *w, alloy_dtype scale_dtype)
{
    const alloy_scales *s = &w->scales;
    bool fp8 = w->dtype == ALLOY_F8_E4M3;
    return s->rows == (fp8 ? ALLOY_FP8_TILE : 1) && s->columns == (fp8 ? ALLOY_FP8_TILE : ALLOY_FP4_TILE) &&
           s->first % s->rows == 0 && (s->dtype == scale_dtype || s->dtype == ALLOY_F8_E8M0);
}

/* Sets dtypes, and whether the bytes are kept. */
static alloy_status choose(const struct plan *p, const alloy_parameter *parameter, alloy_made_tensor *t)
{
    const alloy_weight *w = t->parts[0];
    t->dtype = dtype_of(p, parameter, w);
    t->keeps = t->dtype == w->dtype;
    if (!is_packed(t->dtype))
        return ALLOY_OK;
    if (p->options->dtype == ALLOY_DTYPE_NONE) {
        t->scale_dtype = w->scales.dtype;
        if (w->scales.first % w->scales.rows == 0)
            return ALLOY_OK;
        return alloy_fail(ALLOY_UNSUPPORTED,
                          "%s: experts whose scales share tiles cannot be taken apart; choose a dtype", w->name);
    }
    t->scale_dtype = p->options->dtype == ALLOY_F4 ? ALLOY_F8_E8M0 : ALLOY_F32;
    t->keeps = t->keeps && has_usual_scales(w, t->scale_dtype);
    return ALLOY_OK;
}

/* ---- The list of tensors ----------------------------------------------------------------------------------------- */

/* A tensor as it is saved, and the plan that it is part of. */
struct planned {
    struct plan *plan;
    alloy_made_tensor made;
};

static alloy_status give_bytes(void *context, uint64_t offset, void *to, size_t size)
{
    struct planned *planned = context;
    struct plan *p = planned->plan;
    alloy_status status = alloy_made_bytes(&planned->made, offset, to, size);
    p->done += size;
    if (!status && p->options->progress && !p->options->progress(p->options->user, p->done, p->bytes)) {
        p->stopped = true;
        return alloy_fail(ALLOY_IO, "stopped");
    }
    return status;
}

/* Adds what `made` says, as a tensor of that name in the files and `ndim` dimensions. */
static alloy_status add_saved(struct plan *p, const alloy_made_tensor *made, const char *name, int ndim,
                              const uint64_t *shape)
{
    alloy_saved_tensor *grown = alloy_memory_grow(p->saved, p->count, &p->capacity, sizeof *grown);
    p->saved = grown ? grown : p->saved;
    struct planned *planned = grown ? alloy_arena_take(p->arena, 1, sizeof *planned) : NULL;
    char *copy = planned ? alloy_arena_copy(p->arena, name, strlen(name)) : NULL;
    if (!copy)
        return ALLOY_NOMEM;
    *planned = (struct planned){p, *made};
    planned->made.name = copy;
    alloy_saved_tensor *t = &p->saved[p->count++];
    *t = (alloy_saved_tensor){.name = copy, .ndim = ndim, .source = give_bytes, .context = planned};
    memcpy(t->shape, shape, (size_t)ndim * sizeof *shape);
    t->dtype = made->is_scales ? made->scale_dtype : made->dtype;
    if (t->dtype == ALLOY_F4) { /* two a byte */
        t->dtype = ALLOY_I8;
        t->shape[ndim - 1] /= 2;
    }
    p->bytes += (uint64_t)alloy_made_rows(&planned->made) * alloy_made_row_bytes(&planned->made);
    p->columns = made->columns > p->columns ? made->columns : p->columns;
    return ALLOY_OK;
}

/* The scales beside a packed tensor, X.weight. */
static alloy_status add_scales(struct plan *p, const alloy_made_tensor *weight, const char *weight_name)
{
    char name[ALLOY_LONGEST_NAME + LONGEST_PART];
    alloy_made_tensor scales = *weight;
    bool power = scales.scale_dtype == ALLOY_F8_E8M0;
    size_t base = strlen(weight_name) - strlen("weight");
    snprintf(name, sizeof name, "%.*s%s", (int)base, weight_name,
             power || p->naming == ALLOY_NAMING_RELEASE ? "scale" : "weight_scale_inv");
    scales.is_scales = true;
    p->has_packed = true;
    p->has_power_scales |= power;
    uint64_t row = alloy_made_row_bytes(&scales) * 8 / (uint64_t)alloy_dtype_bits(scales.scale_dtype);
    return add_saved(p, &scales, name, 2, (uint64_t[]){(uint64_t)alloy_made_rows(&scales), row});
}

/* Remembers a linear that is not packed, by the name of its module: that of the experts for all of them. */
static void note_unpacked(struct plan *p, const char *module, size_t size)
{
    if (p->last_unpacked && strlen(p->last_unpacked) == size && memcmp(p->last_unpacked, module, size) == 0)
        return;
    alloy_text_format(&p->unpacked, "%s\"%.*s\"", p->unpacked.size ? ", " : "", (int)size, module);
    p->last_unpacked = alloy_arena_copy(p->arena, module, size);
}

/* One tensor out of `part_count` weights that are alike. `own_name`: the library's name for it. */
static alloy_status add(struct plan *p, const alloy_parameter *parameter, const char *own_name,
                        const alloy_weight *const *parts, int64_t part_count, int ndim, const uint64_t *shape)
{
    alloy_made_tensor made = {.parts = parts, .part_count = part_count, .columns = parts[0]->shape[parts[0]->ndim - 1]};
    made.rows = 1;
    for (int i = 0; i < parts[0]->ndim - 1; i++)
        made.rows *= parts[0]->shape[i];
    char renamed[ALLOY_LONGEST_NAME];
    const char *name = alloy_name_in_files(p->naming, own_name, renamed);
    alloy_status status = choose(p, parameter, &made);
    if (!status)
        status = add_saved(p, &made, name, ndim, shape);
    if (!status && made.scale_dtype)
        status = add_scales(p, &made, name);
    if (!status && (parameter->flags & ALLOY_LINEAR) && !made.scale_dtype)
        note_unpacked(p, parameter->name,
                      parameter->experts ? strlen(parameter->name) : strlen(parameter->name) - strlen(".weight"));
    p->has_fp4_expert |= parameter->experts && made.dtype == ALLOY_F4;
    return status;
}

static alloy_status add_weight(struct plan *p, const alloy_parameter *parameter, const char *own_name,
                               const alloy_weight *w)
{
    uint64_t shape[ALLOY_MOST_DIMS];
    const alloy_weight **part = alloy_arena_take(p->arena, 1, sizeof(void *));
    if (!part)
        return ALLOY_NOMEM;
    *part = w;
    for (int i = 0; i < w->ndim; i++)
        shape[i] = (uint64_t)w->shape[i];
    return add(p, parameter, own_name, part, 1, w->ndim, shape);
}

static alloy_status add_each_expert(struct plan *p, const alloy_parameter *parameter)
{
    const alloy_expert_weights *experts = parameter->experts;
    alloy_status status = ALLOY_OK;
    for (int64_t e = 0; e < experts->count && !status; e++) {
        const alloy_weight *weights[] = {&experts->gate[e], &experts->up[e], &experts->down[e]};
        static const char *const projections[] = {"gate_proj", "up_proj", "down_proj"};
        for (int i = 0; i < 3 && !status; i++) {
            char name[ALLOY_LONGEST_NAME];
            snprintf(name, sizeof name, "%s.%lld.%s.weight", parameter->name, (long long)e, projections[i]);
            status = add_weight(p, parameter, name, weights[i]);
        }
    }
    return status;
}

/* `kinds` lists of experts' weights, one tensor: [count, kinds * rows, columns]. */
static alloy_status add_stack(struct plan *p, const alloy_parameter *parameter, const char *projection,
                              const alloy_weight *const *lists, int kinds)
{
    int64_t count = parameter->experts->count;
    const alloy_weight **parts = alloy_arena_take(p->arena, (size_t)(count * kinds), sizeof(void *));
    if (!parts)
        return ALLOY_NOMEM;
    for (int64_t i = 0; i < count * kinds; i++) {
        parts[i] = &lists[i % kinds][i / kinds];
        if (dtype_of(p, parameter, parts[i]) != dtype_of(p, parameter, parts[0]) ||
            is_packed(dtype_of(p, parameter, parts[i])))
            return alloy_fail(ALLOY_UNSUPPORTED,
                              "%s: experts in FP8 and FP4 or of different dtypes cannot be stacked; choose another "
                              "dtype or other names",
                              parts[i]->name);
    }
    char name[ALLOY_LONGEST_NAME];
    snprintf(name, sizeof name, "%s.%s", parameter->name, projection);
    return add(p, parameter, name, parts, count * kinds, 3,
               (uint64_t[]){(uint64_t)count, (uint64_t)(kinds * parts[0]->shape[0]), (uint64_t)parts[0]->shape[1]});
}

static alloy_status add_parameter(void *user, const alloy_parameter *parameter)
{
    struct plan *p = user;
    const alloy_expert_weights *e = parameter->experts;
    if (!e)
        return add_weight(p, parameter, parameter->name, parameter->weight);
    if (!p->stacked)
        return add_each_expert(p, parameter);
    alloy_status status = add_stack(p, parameter, "gate_up_proj", (const alloy_weight *const[]){e->gate, e->up}, 2);
    return status ? status : add_stack(p, parameter, "down_proj", &e->down, 1);
}

/* ---- Layouts ----------------------------------------------------------------------------------------------------- */

struct found {
    const alloy_model *model;
    bool experts, stacked;
};

static alloy_status look_for_experts(void *user, const alloy_parameter *parameter)
{
    struct found *found = user;
    char own[ALLOY_LONGEST_NAME], renamed[ALLOY_LONGEST_NAME];
    if (!parameter->experts)
        return ALLOY_OK;
    found->experts = true;
    snprintf(own, sizeof own, "%s.gate_up_proj", parameter->name);
    found->stacked |= alloy_weights_has(found->model->weights,
                                        alloy_name_in_files(alloy_naming_of(found->model->weights), own, renamed));
    return ALLOY_OK;
}

static alloy_status choose_layout(struct plan *p)
{
    struct found found = {.model = p->model};
    alloy_naming family = alloy_naming_of_family(p->model->config.model_type);
    alloy_status status = alloy_parameters_bound(p->model, look_for_experts, &found);
    p->has_experts = found.experts;
    p->naming = family;
    switch (p->options->layout) {
    case ALLOY_LAYOUT_KEPT:
        p->stacked = found.stacked && !is_packed(p->options->dtype);
        p->naming = p->stacked == found.stacked ? alloy_naming_of(p->model->weights) : family;
        if (p->naming == ALLOY_NAMING_WRAPPED)
            p->naming = ALLOY_NAMING_OWN;
        return status;
    case ALLOY_LAYOUT_TRANSFORMERS:
        return status;
    case ALLOY_LAYOUT_RELEASE:
        p->naming = ALLOY_NAMING_RELEASE;
        if (family == ALLOY_NAMING_DEEPSEEK_V4)
            return status;
        return alloy_fail(ALLOY_UNSUPPORTED, "the release names are those of deepseek_v4, this is a model of %s",
                          p->model->config.model_type);
    case ALLOY_LAYOUT_MEMORY:
        p->naming = ALLOY_NAMING_OWN;
        p->stacked = true;
        if (!is_packed(p->options->dtype))
            return status;
        return alloy_fail(ALLOY_UNSUPPORTED, "transformers reads FP8 and FP4 from the names that it saves and from "
                                             "those of the release, not from the names in memory");
    }
    return alloy_fail(ALLOY_ARG, "unknown layout %d", (int)p->options->layout);
}

/* ---- The files beside the tensors -------------------------------------------------------------------------------- */

/* JSON of quantization_config, as transformers writes it. */
static void write_quantization(alloy_text *out, const struct plan *p)
{
    alloy_text_format(out,
                      "{\n    \"quant_method\": \"fp8\",\n    \"fmt\": \"e4m3\",\n    \"activation_scheme\": "
                      "\"dynamic\",\n    \"weight_block_size\": [%d, %d],\n",
                      ALLOY_FP8_TILE, ALLOY_FP8_TILE);
    if (p->has_power_scales)
        alloy_text_string(out, "    \"scale_fmt\": \"ue8m0\",\n");
    alloy_text_format(out, "    \"modules_to_not_convert\": [%s%s\"lm_head\"]\n  }", alloy_text_get(&p->unpacked),
                      p->unpacked.size ? ", " : "");
}

static alloy_status write_config(const struct plan *p, const char *folder)
{
    alloy_config_change changes[CHANGES];
    alloy_text old = {0}, path = {0}, fresh = {0}, quantization = {0};
    alloy_dtype dtype = p->options->dtype;
    bool wrapped = alloy_naming_of(p->model->weights) == ALLOY_NAMING_WRAPPED;
    int count = 0;
    if (dtype && !is_packed(dtype))
        count = alloy_config_change_dtype(changes, count, dtype);
    if (dtype || wrapped) {
        write_quantization(&quantization, p);
        changes[count++] = (alloy_config_change){"quantization_config", p->has_packed ? quantization.bytes : NULL};
        changes[count++] = (alloy_config_change){"expert_dtype", p->has_fp4_expert ? "\"fp4\"" : NULL};
    }
    if (wrapped)
        changes[count++] =
            (alloy_config_change){"tie_word_embeddings", p->model->config.tie_word_embeddings ? "true" : "false"};
    alloy_status status = alloy_text_status(&quantization);
    status = status ? status : alloy_model_files_read(&p->model->files, beside[0], ALLOY_CONFIG_BYTES, &old);
    if (!status)
        status = (wrapped ? alloy_config_rewrite_text : alloy_config_rewrite)(&fresh, beside[0], old.bytes, old.size,
                                                                              changes, count);
    status = status ? status : alloy_path_join(&path, folder, beside[0]);
    status = status ? status : alloy_file_replace(path.bytes, fresh.bytes, fresh.size);
    alloy_text_free(&old);
    alloy_text_free(&path);
    alloy_text_free(&fresh);
    alloy_text_free(&quantization);
    return status;
}

static alloy_status copy_file(const alloy_model_files *files, const char *name, const char *folder)
{
    alloy_text to = {0};
    alloy_file_writer writer = {.descriptor = -1};
    alloy_status status = alloy_path_join(&to, folder, name);
    status = status ? status : alloy_file_create(&writer, to.bytes);
    status = status ? status : alloy_model_files_copy(files, name, &writer);
    if (status)
        alloy_file_abandon(&writer);
    else
        status = alloy_file_commit(&writer);
    alloy_text_free(&to);
    return status;
}

/* Before anything is written: can what is there be copied? */
static alloy_status check_copies(const alloy_model_files *files)
{
    alloy_status status = ALLOY_OK;
    for (int i = 1; beside[i] && !status; i++) {
        bool has;
        status = alloy_model_files_has(files, beside[i], &has);
        if (!status && has)
            status = alloy_model_files_check(files, beside[i]);
    }
    return status;
}

static alloy_status copy_files(const struct plan *p, const char *folder)
{
    alloy_status status = ALLOY_OK;
    for (int i = 1; beside[i] && !status; i++) {
        bool has;
        status = alloy_model_files_has(&p->model->files, beside[i], &has);
        if (!status && has)
            status = copy_file(&p->model->files, beside[i], folder);
    }
    return status;
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

/* Before anything is read or made. */
static alloy_status check_folder(const alloy_model *model, const char *folder, bool force)
{
    if (alloy_file_same(folder, model->files.path))
        return alloy_fail(ALLOY_IO, "%s: the model cannot be converted in its own folder; write elsewhere",
                          alloy_printable_path(folder));
    return alloy_folder_check(folder, beside, force);
}

static void report(const struct plan *p)
{
    for (int64_t i = 0; i < p->count && p->options->tensor; i++) {
        const alloy_made_tensor *t = &((const struct planned *)p->saved[i].context)->made;
        double elements = (double)(t->part_count * t->rows * t->columns);
        if (t->is_scales)
            continue;
        p->options->tensor(p->options->user, &(alloy_converted_tensor){
                                                 .name = t->name,
                                                 .from = t->parts[0]->dtype,
                                                 .to = t->dtype,
                                                 .elements = (uint64_t)elements,
                                                 .kept = t->keeps,
                                                 .largest = t->largest,
                                                 .largest_error = t->largest_error,
                                                 .rms = elements > 0 ? sqrt(t->squares / elements) : 0,
                                                 .rms_error = elements > 0 ? sqrt(t->error_squares / elements) : 0,
                                             });
    }
}

static alloy_status write_all(struct plan *p, const char *folder)
{
    alloy_status status = alloy_safetensors_write_model_locked(folder, p->saved, p->count, p->options->max_shard_size);
    if (!status)
        status = copy_files(p, folder);
    if (!status)
        status = write_config(p, folder);
    return status;
}

static alloy_status make_plan(struct plan *p)
{
    p->arena = alloy_arena_new();
    alloy_status status = p->arena ? choose_layout(p) : ALLOY_NOMEM;
    if (!status)
        status = alloy_parameters_bound(p->model, add_parameter, p);
    status = status ? status : alloy_text_status(&p->unpacked);
    if (!status && !(p->scratch = alloy_row_scratch_new(p->columns, p->model->residency)))
        status = ALLOY_NOMEM;
    for (int64_t i = 0; i < p->count; i++)
        ((struct planned *)p->saved[i].context)->made.scratch = p->scratch;
    if (!status && is_packed(p->options->dtype) && !p->has_packed)
        alloy_warn("%s: the sides of no linear divide by the size of a tile: nothing is stored in %s",
                   p->model->files.path, p->options->dtype == ALLOY_F4 ? "FP4 or FP8" : "FP8");
    return status;
}

static alloy_status check_options(const alloy_model *model, const alloy_convert_options *options)
{
    alloy_dtype dtype = options->dtype;
    if (dtype != ALLOY_DTYPE_NONE && dtype != ALLOY_F32 && dtype != ALLOY_BF16 && dtype != ALLOY_F16 &&
        !is_packed(dtype))
        return alloy_fail(ALLOY_ARG, "models are converted to F32, BF16, F16, F8_E4M3 and F4, not to %s",
                          alloy_dtype_name(dtype));
    if (!model->weights)
        return alloy_fail(ALLOY_ARG, "a model without weights cannot be converted");
    if (model->config.num_hidden_layers != model->parsed->num_hidden_layers)
        return alloy_fail(ALLOY_ARG, "a model is converted whole, not its first %lld layers",
                          (long long)model->config.num_hidden_layers);
    return ALLOY_OK;
}

alloy_status alloy_convert(const alloy_model *model, const char *folder, const alloy_convert_options *options)
{
    alloy_convert_options o;
    struct plan p = {.model = model, .options = &o};
    alloy_folder_writer out = {.lock = -1, .target_lock = -1};
    alloy_status status = alloy_options_take(&o, sizeof o, options, "alloy_convert_options");
    status = status ? status : check_options(model, p.options);
    status = status ? status : check_folder(model, folder, p.options->force);
    status = status ? status : check_copies(&model->files);
    status = status ? status : make_plan(&p);
    status = status ? status : alloy_folder_open(&out, folder, beside, p.options->force);
    status = status ? status : write_all(&p, out.path);
    status = status ? status : alloy_folder_commit(&out);
    if (status)
        alloy_folder_abandon(&out);
    if (!status)
        report(&p);
    alloy_row_scratch_free(p.scratch);
    alloy_memory_free(p.saved);
    alloy_text_free(&p.unpacked);
    alloy_arena_free(p.arena);
    return p.stopped ? ALLOY_OK : status;
}
