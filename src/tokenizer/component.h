/* One component of a tokenizer.json, {"type": "Split", ...}: its fields by name, whatever component it is, so that each
 * reader takes those that it knows. A Sequence is given as its items, in order and with sequences inside it opened. */
#ifndef ALLOY_TOKENIZER_COMPONENT_H
#define ALLOY_TOKENIZER_COMPONENT_H

#include "base/text.h"
#include "tokenizer/pattern.h"
#include "tokenizer/tokenizer.h"

typedef struct alloy_component {
    const char *name; /* of the part, for messages */
    alloy_budget *budget;
    alloy_text type;
    alloy_text pattern;      /* of {"String": ...} or {"Regex": ...} */
    bool has_pattern, regex; /* which one */
    alloy_text content, behavior, prepend, replacement, prepend_scheme, delimiter, charsmap;
    bool has_content, has_prepend_scheme, has_charsmap;
    bool invert, add_prefix_space, has_add_prefix_space, use_regex, split, individual_digits, strip_left, strip_right;
    int64_t start, stop, length;
    alloy_part single, special_tokens; /* of TemplateProcessing; size 0: absent */
} alloy_component;

typedef alloy_status alloy_component_function(void *target, const alloy_component *component);

/* Reads a component and hands it (or, of a Sequence, each of its items) to `take`. */
alloy_status alloy_component_read(alloy_part part, alloy_component_function *take, void *target);

bool alloy_component_is(const alloy_component *component, const char *type);

/* FORMAT: "type" is not supported here, and what is. */
alloy_status alloy_component_unsupported(const alloy_component *component, const char *known);

/* FORMAT unless the text (of the field `field`) is exactly one character. */
alloy_status alloy_component_one_character(const alloy_component *component, const char *field, const alloy_text *text);

/* The component's pattern, compiled. */
alloy_status alloy_component_pattern(const alloy_component *component, alloy_pattern *pattern);

/* Metaspace's way of putting its character in front: "always", "first" or "never", also in the older spelling. */
typedef enum alloy_prepend { ALLOY_PREPEND_ALWAYS, ALLOY_PREPEND_FIRST, ALLOY_PREPEND_NEVER } alloy_prepend;
alloy_status alloy_component_prepend(const alloy_component *component, alloy_prepend *prepend);

/* A copy of a text that a step keeps. */
alloy_status alloy_component_copy(alloy_text *to, const alloy_text *from);

#endif
