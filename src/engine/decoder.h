/* The decoder stack: the forward of a whole model over one batch, in whichever reading its pass is (decoder.c). */
#ifndef ALLOY_ENGINE_DECODER_H
#define ALLOY_ENGINE_DECODER_H

#include "checkpoint/model.h"
#include "ops/pass.h"

/* Sees each layer's output, [tokens, streams * hidden]. */
typedef void alloy_layer_function(void *user, int64_t layer, const alloy_tensor *h);

typedef struct alloy_decode {
    const alloy_state *states; /* [layers] */
    const int64_t *layers;     /* [layer_count] those that are walked, rising; NULL: all */
    int64_t layer_count;
    const int64_t *ids;  /* [tokens]; NULL in count */
    const int64_t *rows; /* [row_count] rows of the batch whose logits are wanted; NULL in count */
    int64_t row_count;
    void *logits;                     /* [row_count, vocab] of the backend's dtype; NULL in count */
    alloy_layer_function *each_layer; /* may be NULL */
    void *user;
} alloy_decode;

/* Errors are left in the pass. Nothing is left in the pass's arena. */
void alloy_decoder_forward(alloy_pass *p, const alloy_model *m, const alloy_decode *decode);

#endif
