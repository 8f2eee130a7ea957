/* The mixer of examples/plugins/mamba2, compiled into this program as a built-in one would be, or opened as the shared
 * object that is given: how fast a model of its layers runs. `script/bench plugin` compares the two by turns.
 *
 *     bench_plugin MODEL TOKENS [PLUGIN]
 *
 * Prints tokens a second of one forward of TOKENS tokens, and of TOKENS steps after it, on one thread. */
#include <stdio.h>
#include <stdlib.h>

#include "alloy/extend.h"
#include "base/clock.h"

enum { MOST_TOKENS = 1 << 12 };

alloy_status alloy_plugin_init(void); /* of the mixer in this program */

static void expect(alloy_status status, const char *what)
{
    if (status) {
        fprintf(stderr, "bench_plugin: %s: %s\n", what, alloy_error());
        exit(1);
    }
}

int main(int count, char **arguments)
{
    int64_t tokens = count > 2 ? atoll(arguments[2]) : 0;
    if (count > 4 || tokens < 1 || tokens > MOST_TOKENS) {
        fprintf(stderr, "usage: bench_plugin MODEL TOKENS [PLUGIN], TOKENS 1 to %d\n", MOST_TOKENS);
        return 2;
    }
    expect(count == 4 ? alloy_plugin_load(arguments[3]) : alloy_plugin_init(), "plug-in");
    alloy_model *model;
    alloy_session *session;
    alloy_cache *cache;
    expect(alloy_model_open(&model, arguments[1], NULL), arguments[1]);
    expect(alloy_session_open(&session, model,
                              &(alloy_session_options){.size = sizeof(alloy_session_options), .threads = 1}),
           arguments[1]);
    expect(alloy_cache_open(&cache, session, 0), "cache");

    static int64_t ids[MOST_TOKENS];
    int64_t vocab = alloy_model_vocab_size(model);
    for (int64_t i = 0; i < tokens; i++)
        ids[i] = (i * 7919 + 13) % vocab;
    float *logits = malloc((size_t)vocab * sizeof *logits);
    if (!logits)
        return 1;
    double begin = alloy_seconds();
    expect(alloy_forward(session, &(alloy_sequence){cache, ids, tokens}, 1, logits, NULL), "prefill");
    double middle = alloy_seconds();
    for (int64_t i = 0; i < tokens; i++)
        expect(alloy_forward(session, &(alloy_sequence){cache, ids + i, 1}, 1, logits, NULL), "decode");
    double end = alloy_seconds();
    printf("%.2f %.2f\n", (double)tokens / (middle - begin), (double)tokens / (end - middle));

    free(logits);
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
    return 0;
}
