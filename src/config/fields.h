/* Fields of JSON objects, described by tables: key, type, place, range. One mechanism reads and writes the fields of
 * config.json, of rope_parameters and of generation_config.json, so that every field is checked, and reported, in the
 * same way.
 *
 * A value of the wrong type or outside its range is refused where it stands ("config.json:3:18: hidden_size is 0,
 * expected an integer in 1..1048576"), before anything is computed from it. */
#ifndef ALLOY_CONFIG_FIELDS_H
#define ALLOY_CONFIG_FIELDS_H

#include "alloy/extend.h"
#include "base/arena.h"
#include "files/json.h"

/* A row of the library's own tables. */
#define ALLOY_ROW(name, kind, flag, at, low, high, list)                                                               \
    {                                                                                                                  \
        .key = (name), .type = ALLOY_FIELD_##kind, .flags = (flag), .offset = (at), .least = (low), .most = (high),    \
        .words = (list)                                                                                                \
    }

typedef struct alloy_integers {
    const int64_t *items; /* [count] */
    int64_t count;
} alloy_integers;

/* Where a field's value came from. */
typedef enum alloy_field_state {
    ALLOY_FIELD_ABSENT = 0, /* nowhere: zero, or a default of Alloy's own */
    ALLOY_FIELD_DEFAULT,    /* the family says so */
    ALLOY_FIELD_NULL,       /* the file says null */
    ALLOY_FIELD_GIVEN,      /* the file */
} alloy_field_state;

/* The number of the field with this key; -1 where there is none. */
int alloy_field_find(const alloy_field *fields, int count, const alloy_json_string_view *key);

/* Reads the next value into the field's member of `base`; lists and strings are put into `arena`. Failures are the
 * reader's. */
alloy_field_state alloy_field_read(alloy_json *json, alloy_arena *arena, const alloy_field *field, void *base);

/* Writes the member's value (not a VALUE). */
void alloy_field_write(alloy_json_writer *writer, const alloy_field *field, const void *base);

/* Sets the member of an INTEGER, NUMBER or BOOL; others are left alone. */
void alloy_field_set(const alloy_field *field, void *member, double value);

/* Bytes of the member. */
size_t alloy_field_size(const alloy_field *field);

/* A string of the document as a NUL-terminated one in `arena`: not empty, no NUL within, at most 255 bytes; NULL and
 * the reader failed otherwise. */
const char *alloy_read_name(alloy_json *json, alloy_arena *arena, const char *key);

/* torch's name ("bfloat16") of a dtype that a config may ask for, else NULL. */
const char *alloy_torch_dtype_name(alloy_dtype dtype);

#endif
