/* Stop texts in a text that grows piece by piece. */
#include "support.h"

#include "engine/stop.h"

/* What is shown and where it stops when `pieces` come one after the other. */
struct shown {
    char text[256];
    bool stopped;
};

static struct shown feed(const char *const *stops, int64_t count, const char *const *pieces, int piece_count)
{
    struct shown shown = {0};
    char text[256] = "";
    size_t size = 0, out = 0, at;
    alloy_stops open;
    expect_ok(alloy_stops_open(&open, stops, count));
    for (int i = 0; i < piece_count; i++) {
        size_t known = size;
        memcpy(text + size, pieces[i], strlen(pieces[i]));
        size += strlen(pieces[i]);
        shown.stopped = alloy_stops_find(&open, text, known, size, &at);
        size_t end = shown.stopped ? at : size - alloy_stops_held(&open, text, size);
        assert_true(end >= out); /* what has been shown is never taken back */
        memcpy(shown.text, text, end);
        out = end;
        if (shown.stopped)
            break;
    }
    alloy_stops_close(&open);
    return shown;
}

static void a_stop_text_is_found_across_pieces(void **state)
{
    (void)state;
    const char *const stops[] = {"END"};
    struct shown shown = feed(stops, 1, (const char *const[]){"one E", "N", "Dtwo"}, 3);
    assert_true(shown.stopped);
    expect_text(shown.text, "one ");
}

static void what_may_begin_a_stop_text_is_held_back(void **state)
{
    (void)state;
    const char *const stops[] = {"\n\nUser:", "END"};
    expect_text(feed(stops, 2, (const char *const[]){"hello\n"}, 1).text, "hello");
    expect_text(feed(stops, 2, (const char *const[]){"hello\n", "world EN"}, 2).text, "hello\nworld ");
    expect_text(feed(stops, 2, (const char *const[]){"hello\n", "\nUs", "ual"}, 3).text, "hello\n\nUsual");
}

static void a_stop_text_that_repeats_its_beginning_is_found(void **state)
{
    (void)state;
    const char *const stops[] = {"aab"};
    struct shown shown = feed(stops, 1, (const char *const[]){"a", "a", "a", "b"}, 4);
    assert_true(shown.stopped);
    expect_text(shown.text, "a");
}

static void the_earliest_of_several_counts(void **state)
{
    (void)state;
    const char *const stops[] = {"cd", "bcde", "xyz"};
    struct shown shown = feed(stops, 3, (const char *const[]){"abcdef"}, 1);
    assert_true(shown.stopped);
    expect_text(shown.text, "a");
}

static void p10_characters_are_never_cut(void **state)
{
    (void)state;
    const char *const stops[] = {"é!"};
    expect_text(feed(stops, 1, (const char *const[]){"caf", "é"}, 2).text, "caf");
    expect_text(feed(stops, 1, (const char *const[]){"caf", "è"}, 2).text, "cafè");
}

static void stop_texts_that_cannot_be_meant_are_refused(void **state)
{
    (void)state;
    alloy_stops stops;
    char long_text[ALLOY_LONGEST_STOP + 2];
    memset(long_text, 'a', sizeof long_text);
    long_text[sizeof long_text - 1] = 0;
    const char *many[ALLOY_MOST_STOPS + 1];
    for (int i = 0; i <= ALLOY_MOST_STOPS; i++)
        many[i] = "x";
    expect_failure(alloy_stops_open(&stops, (const char *const[]){""}, 1), ALLOY_ARG, "stop text 0", "empty");
    expect_failure(alloy_stops_open(&stops, (const char *const[]){"\xC3"}, 1), ALLOY_ARG, "UTF-8");
    expect_failure(alloy_stops_open(&stops, (const char *const[]){long_text}, 1), ALLOY_LIMIT, "1025", "1024");
    expect_failure(alloy_stops_open(&stops, many, ALLOY_MOST_STOPS + 1), ALLOY_LIMIT, "65", "64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_text_is_found_across_pieces),
        cmocka_unit_test(what_may_begin_a_stop_text_is_held_back),
        cmocka_unit_test(a_stop_text_that_repeats_its_beginning_is_found),
        cmocka_unit_test(the_earliest_of_several_counts),
        cmocka_unit_test(p10_characters_are_never_cut),
        cmocka_unit_test(stop_texts_that_cannot_be_meant_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
