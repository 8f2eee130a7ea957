/* Added tokens (added.h), with the rules of the `tokenizers` library (0.23).
 *
 * Finding them. There are two sets. Tokens with `normalized` false are looked for by their content in the user's text.
 * What lies between them is normalized, stretch by stretch, and in the result tokens with `normalized` true are looked
 * for by the normalized form of their content. Whether a token is special makes no difference. A set is searched from
 * left to right: of the tokens that begin at the leftmost place where one does, the longest is taken, and the search
 * goes on after its content. Its flags are applied only then:
 *
 *   special      with ALLOY_ENCODE_SPECIAL_AS_TEXT it is passed over
 *   single_word  it is passed over where a word character stands next to its content
 *   lstrip       it takes the white space before it, up to the end of the token before
 *   rstrip       it takes all white space after it; the search does not know, and finds tokens of white space there
 *
 * What is passed over is text; shorter tokens inside it are not looked for. A token that nothing is left of, because
 * the one before took its place, is passed over too; where it would end before it begins, the library panics. The text
 * between two tokens reaches from the end of the first, rstrip included, to the start of the second.
 *
 * Of two tokens with the same normalized form the first listed is found. (In the library the order of a hash table
 * decides, which differs from run to run. Before 0.23 it was the first special one, then the first listed.)
 *
 * Ids (load.c). A content that is a token of the model has its id. Others are numbered in the order of the list, from
 * the number of the model's tokens on, whatever the file says. A content that is listed twice is refused.
 *
 * Decoding (load.c, tokenizer.c). A token with `normalized` decodes to its normalized form. Without special tokens,
 * tokens are left out whose decoded text is the content of a special token. So a special token that the normalizer
 * changes stays, and a token that it changes into the content of a special one is left out. */
#include "tokenizer/added.h"

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "tokenizer/class_map.h"

enum { STEPS_A_NODE = 4 };

void alloy_added_set_open(alloy_added_set *set)
{
    *set = (alloy_added_set){.seed = alloy_hash_key_new().low | 1, .only_first = -2};
}

void alloy_added_set_close(alloy_added_set *set)
{
    alloy_memory_free(set->tokens);
    alloy_memory_free(set->token_of_node);
    alloy_memory_free(set->edges);
    alloy_code_set_free(&set->word);
    *set = (alloy_added_set){0};
}

/* ---- The tree ---------------------------------------------------------------------------------------------------- */

static struct alloy_added_edge *edge_place(const alloy_added_set *set, uint64_t from)
{
    uint64_t hash = (from ^ from >> 23) * set->seed;
    size_t mask = set->edge_slots - 1, slot = (size_t)(hash >> 32) & mask;
    while (set->edges[slot].from != 0 && set->edges[slot].from != from)
        slot = (slot + 1) & mask;
    return &set->edges[slot];
}

static uint32_t child(const alloy_added_set *set, uint32_t node, uint8_t byte)
{
    return node == 0 ? set->first[byte] : edge_place(set, ((uint64_t)node << 8 | byte) + 1)->to;
}

static bool grow_edges(alloy_added_set *set)
{
    if (2 * (set->edge_count + 1) <= set->edge_slots)
        return true;
    alloy_added_set old = *set;
    set->edge_slots = old.edge_slots ? 2 * old.edge_slots : 64;
    set->edges = alloy_memory_zeroed(set->edge_slots, sizeof *set->edges);
    if (!set->edges) {
        *set = old;
        return false;
    }
    for (size_t i = 0; i < old.edge_slots; i++)
        if (old.edges[i].from != 0)
            *edge_place(set, old.edges[i].from) = old.edges[i];
    alloy_memory_free(old.edges);
    return true;
}

/* A new node; 0 when memory is short (or for the root). */
static uint32_t new_node(alloy_added_set *set)
{
    int32_t *nodes = alloy_memory_grow(set->token_of_node, set->node_count, &set->node_capacity, sizeof *nodes);
    if (!nodes)
        return 0;
    set->token_of_node = nodes;
    nodes[set->node_count] = -1;
    return (uint32_t)set->node_count++;
}

/* The node behind `node` by this byte, made if needed; 0 when memory is short. */
static uint32_t make_child(alloy_added_set *set, uint32_t node, uint8_t byte)
{
    if (!grow_edges(set))
        return 0;
    uint32_t there = child(set, node, byte);
    if (there != 0)
        return there;
    there = new_node(set);
    if (there == 0)
        return 0;
    if (node == 0) {
        set->first[byte] = there;
    } else {
        *edge_place(set, ((uint64_t)node << 8 | byte) + 1) =
            (struct alloy_added_edge){((uint64_t)node << 8 | byte) + 1, there};
        set->edge_count++;
    }
    return there;
}

static alloy_status make_word_set(alloy_added_set *set)
{
    if (set->word.count > 0)
        return ALLOY_OK;
    alloy_code_set_add_word(&set->word);
    alloy_code_set_add_list(&set->word, alloy_unicode_join_control);
    return set->word.failed ? ALLOY_NOMEM : ALLOY_OK;
}

alloy_status alloy_added_set_add(alloy_added_set *set, const char *text, size_t size, const alloy_added_token *token)
{
    if (size == 0)
        return alloy_fail(ALLOY_FORMAT, "an added token without text");
    if (size > ALLOY_ADDED_MOST_BYTES)
        return alloy_fail(ALLOY_LIMIT, "added token \"%s\": %zu bytes, at most %d are allowed",
                          alloy_printable(text, size), size, ALLOY_ADDED_MOST_BYTES);
    if (set->node_count == 0) {
        new_node(set);
        if (set->node_count == 0)
            return ALLOY_NOMEM;
    }
    alloy_added_token *grown = alloy_memory_grow(set->tokens, set->token_count, &set->token_capacity, sizeof *grown);
    if (!grown)
        return ALLOY_NOMEM;
    set->tokens = grown;
    uint32_t node = 0;
    for (size_t i = 0; i < size; i++)
        if ((node = make_child(set, node, (uint8_t)text[i])) == 0)
            return ALLOY_NOMEM;
    if (token->single_word && make_word_set(set))
        return ALLOY_NOMEM;
    set->only_first = set->only_first == -2 || set->only_first == (uint8_t)text[0] ? (uint8_t)text[0] : -1;
    if (set->token_of_node[node] >= 0)
        return ALLOY_OK;
    set->token_of_node[node] = (int32_t)set->token_count;
    grown[set->token_count++] = *token;
    return ALLOY_OK;
}

/* ---- Searching --------------------------------------------------------------------------------------------------- */

/* The next token at or behind `from`: its bytes are [*start, *end). NULL: none, or *status is a failure. */
static const alloy_added_token *find_next(const alloy_added_set *set, const char *text, size_t size, size_t from,
                                          alloy_budget *budget, size_t *start, size_t *end, alloy_status *status)
{
    const uint8_t *s = (const uint8_t *)text;
    uint64_t steps = 0;
    const alloy_added_token *found = NULL;
    *status = ALLOY_OK;
    if (set->only_first == -2)
        return NULL;
    for (size_t at = from; at < size; at++) {
        if (set->only_first >= 0) {
            const uint8_t *hit = memchr(s + at, set->only_first, size - at);
            if (!hit)
                break;
            at = (size_t)(hit - s);
        }
        int32_t best = -1;
        uint32_t node = set->first[s[at]];
        for (size_t i = at + 1; node != 0; node = child(set, node, s[i++])) {
            if (set->token_of_node[node] >= 0) {
                best = set->token_of_node[node];
                *end = i;
            }
            if (i == size)
                break;
            steps += STEPS_A_NODE;
        }
        if (steps > budget->steps)
            break;
        if (best >= 0) {
            *start = at;
            found = &set->tokens[best];
            break;
        }
    }
    *status = alloy_budget_charge(budget, steps, "the search for added_tokens");
    return *status ? NULL : found;
}

/* Start of the character that ends at `end` > 0. */
static size_t character_before(const uint8_t *s, size_t end)
{
    size_t at = end - 1;
    while (at > 0 && (s[at] & 0xC0) == 0x80)
        at--;
    return at;
}

static bool stands_alone(const alloy_added_set *set, const uint8_t *s, size_t size, size_t start, size_t end)
{
    size_t length;
    if (start > 0 && alloy_code_set_has(&set->word, alloy_code_at(s + character_before(s, start), &length)))
        return false;
    return end == size || !alloy_code_set_has(&set->word, alloy_code_at(s + end, &length));
}

/* Where the white space that ends at `end` begins, but not before `least`. */
static size_t space_before(const uint8_t *s, size_t end, size_t least)
{
    size_t length;
    while (end > least) {
        size_t at = character_before(s, end);
        if (!alloy_unicode_has(alloy_unicode_white_space, alloy_code_at(s + at, &length)))
            break;
        end = at;
    }
    return end;
}

static size_t space_behind(const uint8_t *s, size_t size, size_t start)
{
    size_t length;
    while (start < size && alloy_unicode_has(alloy_unicode_white_space, alloy_code_at(s + start, &length)))
        start += length;
    return start;
}

alloy_status alloy_added_divide(const alloy_added_set *set, const char *text, size_t size, bool skip_special,
                                alloy_budget *budget, alloy_stretch_function *take, void *user)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t done = 0, from = 0, start = 0, end = 0;
    size_t space_start = 1,
           space_end = 0; /* white space behind a token, walked over once however many tokens lie in it */
    const alloy_added_token *token;
    alloy_status status;
    while ((token = find_next(set, text, size, from, budget, &start, &end, &status))) {
        from = end;
        if ((skip_special && token->special) || (token->single_word && !stands_alone(set, s, size, start, end)))
            continue;
        if (token->left_strip)
            start = done < start ? space_before(s, start, done) : done;
        if (token->right_strip) {
            if (end < space_start || end > space_end) {
                space_start = end;
                space_end = space_behind(s, size, end);
            }
            end = space_end;
        }
        if (start >= end) /* white space that the token before has taken already */
            continue;
        status = done < start ? take(user, NULL, done, start) : ALLOY_OK;
        if (!status)
            status = take(user, token, start, end);
        if (status)
            return status;
        done = end;
    }
    return done < size && !status ? take(user, NULL, done, size) : status;
}
