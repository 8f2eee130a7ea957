/* Tokenizers by a grammar (fuzz/tokenizer_generator.h) with their time and memory watched: opening takes no more than a
 * constant and so much a byte of the file, encoding and decoding so much a byte of the text, whatever the file is.
 *
 *     build/release/tests/tokenizer_generated                        as a test
 *     build/release/tests/tokenizer_generated COUNT [SEED [FIRST]]   so many files, from number FIRST of a seed
 *
 * The second way prints what took longest and most, and ends with 1 when a bound was passed; the file and its text are
 * written to the temporary folder. Each bound is far above what any call should take: what passes it runs away. */
#include "tokenizer/fixture.h"

#include <signal.h>

#include "base/memory.h"
#include "fuzz/tokenizer_generator.h"
#include "fuzz/tokenizer_target.h"

/* Bounds: seconds of processor time, and bytes. */
#define SECONDS 1.0
#define SECONDS_A_BYTE 10e-6
#define OPEN_BYTES ((size_t)24 << 20) /* 96 patterns, whose tables take 200 kB each */
#define OPEN_BYTES_A_BYTE 512         /* normalized added tokens may be 64 times as long, in two buffers */
#define CALL_BYTES ((size_t)64 << 20)
#define CALL_BYTES_A_BYTE 4096 /* a text may grow 65 times, and takes 60 bytes a byte of what it became */

enum call { OPEN, ENCODE, DECODE, CALLS };
static const char *const call_names[CALLS] = {"open", "encode", "decode"};

/* The extremes of a campaign. */
struct extremes {
    double seconds[CALLS];
    size_t bytes[CALLS];
    uint64_t slowest[CALLS], largest[CALLS];  /* numbers of files */
    uint64_t opened, refused, limits, passed; /* files; calls that ended with LIMIT; bounds that were passed */
};

struct trial {
    uint64_t seed, number;
    const alloy_text *json, *text;
    struct extremes *extremes;
    double began;
    bool passed; /* a bound */
};

static volatile unsigned long long current_seed, current_number;

static void begin_call(struct trial *trial)
{
    alloy_memory_watch(true);
    trial->began = processor_seconds();
}

static void end_call(struct trial *trial, enum call call, size_t input, alloy_status status)
{
    double seconds = processor_seconds() - trial->began;
    size_t bytes = alloy_memory_peak();
    alloy_memory_watch(false);
    struct extremes *e = trial->extremes;
    e->limits += call != OPEN && status == ALLOY_LIMIT;
    if (seconds > e->seconds[call])
        e->seconds[call] = seconds, e->slowest[call] = trial->number;
    if (bytes > e->bytes[call])
        e->bytes[call] = bytes, e->largest[call] = trial->number;
    size_t most = call == OPEN ? OPEN_BYTES + OPEN_BYTES_A_BYTE * input : CALL_BYTES + CALL_BYTES_A_BYTE * input;
    bool slow = !ALLOY_TEST_SLOW && seconds > SECONDS + SECONDS_A_BYTE * (double)input;
    if (!slow && bytes <= most)
        return;
    trial->passed = true;
    printf("seed %llu, file %llu: %s of %zu bytes took %.3f s and %zu bytes (%s)\n", (unsigned long long)trial->seed,
           (unsigned long long)trial->number, call_names[call], input, seconds, bytes, alloy_status_name(status));
}

static void write_trial(const struct trial *trial)
{
    const char *folder = getenv("TMPDIR");
    const alloy_text *const parts[] = {trial->json, trial->text};
    for (int i = 0; i < 2; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/alloy-tokenizer-%llu-%llu.%s", folder && *folder ? folder : "/tmp",
                 (unsigned long long)trial->seed, (unsigned long long)trial->number, i ? "txt" : "json");
        FILE *file = fopen(path, "wb");
        if (file) {
            fwrite(alloy_text_get(parts[i]), 1, parts[i]->size, file);
            fclose(file);
        }
    }
}

/* Bytes of the tokens, and one for each. */
static size_t decoded_from(const alloy_tokenizer *tokenizer, const alloy_ids *ids)
{
    size_t total = 0, size;
    for (int64_t i = 0; i < ids->count; i++) {
        alloy_tokenizer_token(tokenizer, ids->ids[i], &size);
        total += size + 1;
    }
    return total;
}

static void try_text(struct trial *trial, const alloy_tokenizer *tokenizer)
{
    alloy_ids ids = {0};
    char *text;
    size_t size;
    unsigned flags = (unsigned)(trial->number & 3);
    begin_call(trial);
    alloy_status status = alloy_tokenizer_encode(tokenizer, trial->text->bytes, trial->text->size, flags, &ids);
    end_call(trial, ENCODE, trial->text->size, status);
    check_error(status);
    PROMISE(!status || (status == ALLOY_LIMIT && ids.count == 0));
    PROMISE((size_t)ids.count <= 65 * trial->text->size + ((size_t)1 << 20) + 2 * 1024);
    size_t tokens = decoded_from(tokenizer, &ids);
    begin_call(trial);
    status = alloy_tokenizer_decode(tokenizer, ids.ids, ids.count, flags & 1, &text, &size);
    end_call(trial, DECODE, tokens, status);
    check_error(status);
    PROMISE(!status || status == ALLOY_LIMIT);
    PROMISE(size <= 65 * tokens + ((size_t)1 << 20) + 65536); /* tokens shown normalized may be longer than they are */
    alloy_free(text);
    alloy_ids_free(&ids);
}

/* Generates a file and its text and tries them; false where a bound was passed. */
static bool try_number(uint64_t seed, uint64_t number, struct extremes *extremes)
{
    static alloy_text json, text;
    generate_tokenizer(seed, number, &json, &text);
    struct trial trial = {.seed = seed, .number = number, .json = &json, .text = &text, .extremes = extremes};
    current_seed = seed;
    current_number = number;
    int descriptor = memfd_create("generated", 0);
    PROMISE(descriptor >= 0 && write(descriptor, json.bytes, json.size) == (ssize_t)json.size);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    alloy_tokenizer *tokenizer;
    begin_call(&trial);
    alloy_status status = alloy_tokenizer_open(&tokenizer, path);
    end_call(&trial, OPEN, json.size, status);
    check_error(status);
    PROMISE(!status || status == ALLOY_FORMAT || status == ALLOY_LIMIT);
    extremes->opened += !status;
    extremes->refused += status != ALLOY_OK;
    if (!status)
        try_text(&trial, tokenizer);
    alloy_tokenizer_close(tokenizer);
    close(descriptor);
    extremes->passed += trial.passed;
    if (trial.passed)
        write_trial(&trial);
    return !trial.passed;
}

static void no_tokenizer_runs_away(void **state)
{
    (void)state;
    struct extremes extremes = {0};
    for (uint64_t number = 0; number < (ALLOY_TEST_SLOW ? 300 : 1500); number++)
        if (!try_number(1, number, &extremes))
            fail_msg("file %llu passed a bound", (unsigned long long)number);
    assert_true(extremes.opened > extremes.refused / 2); /* the grammar is one of tokenizers */
    assert_true(extremes.limits > 0);                    /* and some would run away */
}

static void say_where(int signal_number)
{
    char line[160];
    int size = snprintf(line, sizeof line, "seed %llu, file %llu: a promise was broken (signal %d)\n", current_seed,
                        current_number, signal_number);
    if (write(STDERR_FILENO, line, (size_t)size) < 0)
        _exit(2);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static int campaign(uint64_t count, uint64_t seed, uint64_t first)
{
    struct extremes e = {0};
    signal(SIGABRT, say_where);
    signal(SIGSEGV, say_where);
    for (uint64_t i = 0; i < count; i++)
        try_number(seed, first + i, &e);
    printf(
        "%llu tokenizers of seed %llu: %llu opened, %llu refused, %llu calls ended with LIMIT, %llu passed a bound\n",
        (unsigned long long)count, (unsigned long long)seed, (unsigned long long)e.opened,
        (unsigned long long)e.refused, (unsigned long long)e.limits, (unsigned long long)e.passed);
    for (int call = 0; call < CALLS; call++)
        printf("%s: at most %.3f s (file %llu) and %.1f MiB (file %llu)\n", call_names[call], e.seconds[call],
               (unsigned long long)e.slowest[call], (double)e.bytes[call] / 1048576,
               (unsigned long long)e.largest[call]);
    return e.passed > 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_tokenizer_runs_away)};
    if (argc > 1)
        return campaign(strtoull(argv[1], NULL, 10), argc > 2 ? strtoull(argv[2], NULL, 10) : 1,
                        argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
