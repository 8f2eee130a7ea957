/* Fields of JSON objects, described by tables: key, type, place, range. One mechanism reads and writes the fields of
 * config.json, of rope_parameters and of generation_config.json, so that every field is checked, and reported, in the
 * same way.
 *
 * A value of the wrong type or outside its range is refused where it stands ("config.json:3:18: hidden_size is 0,
 * expected an integer in 1..1048576"), before anything is computed from it. */
#ifndef ALLOY_CONFIG_FIELDS_H
#define ALLOY_CONFIG_FIELDS_H

#include "base/arena.h"
#include "files/json.h"

typedef enum alloy_field_type {
    ALLOY_FIELD_INTEGER,  /* int64_t; RANGE for what is none, or outside least..most */
    ALLOY_FIELD_NUMBER,   /* double; RANGE likewise */
    ALLOY_FIELD_BOOL,     /* bool */
    ALLOY_FIELD_TOKENS,   /* alloy_integers: one id, or a list of at least one */
    ALLOY_FIELD_INTEGERS, /* alloy_integers: a list, kept sorted unless ORDERED */
    ALLOY_FIELD_STRING,   /* const char *; where `words` are given one of them, else FORMAT */
    ALLOY_FIELD_DTYPE,    /* alloy_dtype, by torch's names */
    ALLOY_FIELD_VALUE,    /* alloy_json_string_view: any value, as it stands in the file */
} alloy_field_type;

enum {
    ALLOY_FIELD_NULLABLE = 1, /* null is allowed: the field has no value, whatever its default */
    ALLOY_FIELD_ABOVE = 2,    /* NUMBER: least itself is outside */
    ALLOY_FIELD_COMMON = 4,   /* every family has it */
    ALLOY_FIELD_MODEL = 8,    /* of the whole model: layer_overrides cannot change it */
    /* a rule of some families that translation turns into other fields; unknown to `alloy` unless COMMON */
    ALLOY_FIELD_RULE = 16,
    ALLOY_FIELD_ORDERED = 32, /* INTEGERS: in the file's order */
};

typedef struct alloy_field {
    const char *key;
    alloy_field_type type;
    unsigned flags;
    size_t offset;            /* of the member, from the struct's beginning; bytes */
    double least, most;       /* INTEGER, NUMBER, elements of TOKENS and INTEGERS */
    const char *const *words; /* STRING: what it may be, ends with NULL; or NULL: anything */
} alloy_field;

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

/* Bytes of the member. */
size_t alloy_field_size(const alloy_field *field);

/* A string of the document as a NUL-terminated one in `arena`: not empty, no NUL within, at most 255 bytes; NULL and
 * the reader failed otherwise. */
const char *alloy_read_name(alloy_json *json, alloy_arena *arena, const char *key);

/* torch's name ("bfloat16") of a dtype that a config may ask for, else NULL. */
const char *alloy_torch_dtype_name(alloy_dtype dtype);

#endif
