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

enum { STEPS_A_NODE = 8, LABEL_BYTES_A_STEP = 16 };

void alloy_added_set_open(alloy_added_set *set)
{
    *set = (alloy_added_set){.seed = alloy_hash_key_new().low | 1, .only_first = -2};
}

void alloy_added_set_close(alloy_added_set *set)
{
    alloy_memory_free(set->tokens);
    alloy_memory_free(set->nodes);
    alloy_text_free(&set->labels);
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

/* The node after `node` by this byte; 0: none. */
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
static uint32_t new_node(alloy_added_set *set, size_t label_at, size_t label_size, int32_t token)
{
    struct alloy_added_node *nodes = alloy_memory_grow(set->nodes, set->node_count, &set->node_capacity, sizeof *nodes);
    if (!nodes)
        return 0;
    set->nodes = nodes;
    nodes[set->node_count] = (struct alloy_added_node){(uint32_t)label_at, (uint32_t)label_size, token};
    return (uint32_t)set->node_count++;
}

/* Lets `byte` lead from one node to another. The table has room. */
static void set_child(alloy_added_set *set, uint32_t node, uint8_t byte, uint32_t to)
{
    if (node == 0) {
        set->first[byte] = to;
        return;
    }
    uint64_t from = ((uint64_t)node << 8 | byte) + 1;
    struct alloy_added_edge *edge = edge_place(set, from);
    set->edge_count += edge->from == 0;
    *edge = (struct alloy_added_edge){from, to};
}

/* How many bytes at the beginning of a node's label are those of the text. */
static size_t common_bytes(const alloy_added_set *set, uint32_t node, const char *text, size_t size)
{
    const struct alloy_added_node *n = &set->nodes[node];
    const char *label = set->labels.bytes + n->label_at;
    size_t most = n->label_size < size ? n->label_size : size, same = 0;
    while (same < most && label[same] == text[same])
        same++;
    return same;
}

/* Cuts the label of `node`, which `byte` leads to from `parent`: a new node takes its first `size` bytes. */
static uint32_t cut_label(alloy_added_set *set, uint32_t parent, uint8_t byte, uint32_t node, size_t size)
{
    uint32_t upper = new_node(set, set->nodes[node].label_at, size, -1);
    if (upper == 0)
        return 0;
    struct alloy_added_node *lower = &set->nodes[node];
    uint8_t next = (uint8_t)set->labels.bytes[lower->label_at + size];
    lower->label_at += (uint32_t)size + 1;
    lower->label_size -= (uint32_t)size + 1;
    set_child(set, parent, byte, upper);
    set_child(set, upper, next, node);
    return upper;
}

/* The node where a text ends, made if needed; its bytes lie in `labels` at `at`. 0 when memory is short. */
static uint32_t make_node(alloy_added_set *set, const char *text, size_t size, size_t at)
{
    uint32_t node = 0;
    for (size_t i = 0; i < size;) {
        uint8_t byte = (uint8_t)text[i++];
        if (!grow_edges(set))
            return 0;
        uint32_t next = child(set, node, byte);
        if (next == 0) {
            next = new_node(set, at + i, size - i, -1);
            if (next != 0)
                set_child(set, node, byte, next);
            return next;
        }
        size_t same = common_bytes(set, next, text + i, size - i);
        if (same < set->nodes[next].label_size && (next = cut_label(set, node, byte, next, same)) == 0)
            return 0;
        node = next;
        i += same;
    }
    return node;
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
        new_node(set, 0, 0, -1);
        if (set->node_count == 0)
            return ALLOY_NOMEM;
    }
    alloy_added_token *grown = alloy_memory_grow(set->tokens, set->token_count, &set->token_capacity, sizeof *grown);
    if (!grown)
        return ALLOY_NOMEM;
    set->tokens = grown;
    size_t at = set->labels.size;
    alloy_text_append(&set->labels, text, size);
    if (set->labels.failed || set->labels.size > UINT32_MAX)
        return alloy_fail(ALLOY_NOMEM, "out of memory: the texts of added tokens");
    uint32_t node = make_node(set, text, size, at);
    if (node == 0 || (token->single_word && make_word_set(set)))
        return ALLOY_NOMEM;
    set->only_first = set->only_first == -2 || set->only_first == (uint8_t)text[0] ? (uint8_t)text[0] : -1;
    if (set->nodes[node].token >= 0)
        return ALLOY_OK;
    set->nodes[node].token = (int32_t)set->token_count;
    grown[set->token_count++] = *token;
    return ALLOY_OK;
}

/* ---- Searching --------------------------------------------------------------------------------------------------- */

/* The longest token that begins at `at`: its index, -1 for none. Its bytes end at *end. */
static int32_t longest_at(const alloy_added_set *set, const uint8_t *s, size_t size, size_t at, size_t *end,
                          uint64_t *steps)
{
    int32_t best = -1;
    size_t i = at + 1;
    for (uint32_t node = set->first[s[at]]; node != 0; node = child(set, node, s[i++])) {
        const struct alloy_added_node *n = &set->nodes[node];
        *steps += STEPS_A_NODE + n->label_size / LABEL_BYTES_A_STEP;
        if (n->label_size > size - i || memcmp(s + i, set->labels.bytes + n->label_at, n->label_size) != 0)
            break;
        i += n->label_size;
        if (n->token >= 0) {
            best = n->token;
            *end = i;
        }
        if (i == size)
            break;
    }
    return best;
}

/* The next token at or after `from`: its bytes are [*start, *end). NULL: none, or *status is a failure. */
static const alloy_added_token *find_next(const alloy_added_set *set, const char *text, size_t size, size_t from,
                                          alloy_budget *budget, size_t *start, size_t *end, alloy_status *status)
{
    const uint8_t *s = (const uint8_t *)text;
    uint64_t steps = 0;
    const alloy_added_token *found = NULL;
    *status = ALLOY_OK;
    if (set->only_first == -2)
        return NULL;
    for (size_t at = from; at < size && !found && steps <= budget->steps; at++) {
        if (set->only_first >= 0) {
            const uint8_t *hit = memchr(s + at, set->only_first, size - at);
            if (!hit)
                break;
            at = (size_t)(hit - s);
        }
        int32_t token = longest_at(set, s, size, at, end, &steps);
        if (token >= 0) {
            *start = at;
            found = &set->tokens[token];
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
           space_end = 0; /* white space after a token, walked over once however many tokens lie in it */
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
