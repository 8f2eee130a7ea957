/* generation_config.json: how a model's makers would have it sampled. Alloy is greedy unless it is told to follow this
 * file (--sample); its end-of-sequence ids always count.
 *
 * Absent settings take the defaults of transformers (temperature 1, top_k 50, top_p 1). temperature 0 is greedy. */
#ifndef ALLOY_CONFIG_GENERATION_H
#define ALLOY_CONFIG_GENERATION_H

#include "alloy/alloy.h"
#include "files/model_files.h"

typedef struct alloy_generation_config {
    bool do_sample;               /* false: greedy, and the next four have nothing to do */
    double temperature;           /* 0..1000000 */
    int64_t top_k;                /* 0: all. 0..2^24 */
    double top_p;                 /* above 0, at most 1 */
    double min_p;                 /* 0..1; 0: all */
    double repetition_penalty;    /* above 0, at most 1000; 1: none */
    int64_t max_length;           /* tokens of prompt and output; 0: absent */
    int64_t max_new_tokens;       /* 0: absent */
    int64_t bos_token_id;         /* -1: absent */
    int64_t pad_token_id;         /* -1: absent */
    const int64_t *eos_token_ids; /* [eos_token_count] */
    int64_t eos_token_count;      /* 0: absent, the config's count */
} alloy_generation_config;

/* Reads the generation_config.json of a model's folder; all defaults where it has none, and an error where there is one
 * that cannot be read, since its end-of-sequence ids decide where outputs end. Ids of end-of-sequence must be below
 * `vocab_size` (0: not checked). FORMAT, RANGE and LIMIT as alloy_config_open; settings that Alloy does not have are
 * ignored with one warning. */
alloy_status alloy_generation_config_open(alloy_generation_config **out, const alloy_model_files *files,
                                          int64_t vocab_size);
alloy_status alloy_generation_config_parse(alloy_generation_config **out, const char *name, const void *bytes,
                                           size_t size, int64_t vocab_size);
void alloy_generation_config_close(alloy_generation_config *config);

#endif
