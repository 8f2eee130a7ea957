/* Every formatter of numbers takes every number: all of them with the doubles and integers at the ends of their types.
 * What is not finite is "-" (in JSON null), and no text is longer than a cell.
 *
 * Reports of random chips, lengths and efficiencies over the whole range of exponents, in every format: each is an
 * error that names the input, or a document without a number that is not finite or a coordinate outside the drawing. */
#include "support.h"

#include <float.h>
#include <math.h>

#include "base/random.h"
#include "base/table.h"
#include "cli/roofline.h"
#include "cli/table.h"
#include "files/json_fields.h"
#include "base/figures.h"
#include "roofline/markup.h"
#include "roofline/report.h"

/* ---- Formatters -------------------------------------------------------------------------------------------------- */

static const double doubles[] = {
    NAN,    -NAN,    INFINITY, -INFINITY, 0.0,     -0.0,  5e-324,  -5e-324, DBL_MIN,  -DBL_MIN, DBL_EPSILON,
    0.1,    1.0 / 3, -1.0 / 3, 1.0,       -1.0,    999.5, 999.995, 1e3,     123456.5, 1e15,     -1e15,
    0x1p53, 1e16,    1e18,     0x1p63,    -0x1p63, 1e21,  1e24,    -1e24,   1.7e38,   1e100,    -1e100,
    1e300,  -1e300,  DBL_MAX,  -DBL_MAX,  FLT_MAX, 1e-7,  1e-10,   1e-24,   1e-100,
};
enum { DOUBLES = sizeof doubles / sizeof *doubles, LONGEST = 40 };

static void quotient_of(alloy_text *out, double value)
{
    alloy_text_intensity(out, value, 1);
}

static void one_over(alloy_text *out, double value)
{
    alloy_text_intensity(out, 1, value);
}

static void fixed(alloy_text *out, double value)
{
    alloy_text_number(out, value, 'f', 2);
}

static void significant(alloy_text *out, double value)
{
    alloy_text_number(out, value, 'g', 9);
}

static void exponential(alloy_text *out, double value)
{
    alloy_text_number(out, value, 'e', 2);
}

static void short_bytes(alloy_text *out, double value)
{
    alloy_text_string(out, alloy_cli_bytes(value));
}

static void cell(alloy_text *out, double value)
{
    alloy_table table;
    alloy_table_open(&table, ">x");
    alloy_table_number(&table, value, 'g', 3);
    alloy_table_append(&table, out);
}

static void coordinate(alloy_text *out, double value)
{
    alloy_markup(out, "%f", value);
}

static void json(alloy_text *out, double value)
{
    alloy_json_writer w;
    alloy_json_writer_open(&w, out, 0);
    alloy_json_write_double(&w, value);
}

static void shortest(alloy_text *out, double value)
{
    alloy_text_double(out, value);
}

static void every_formatter_takes_every_double(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*append)(alloy_text *out, double value);
        const char *not_finite;
    } formatters[] = {
        {"flops", alloy_text_flops, "-"},
        {"bytes", alloy_text_bytes, "-"},
        {"short", alloy_text_short, "-"},
        {"seconds", alloy_text_seconds, "-"},
        {"intensity", quotient_of, "-"},
        {"fixed", fixed, "-"},
        {"significant", significant, "-"},
        {"exponential", exponential, "-"},
        {"bytes of tables", short_bytes, "-"},
        {"cell", cell, "x\n-\n"},
        {"coordinate", coordinate, "0"},
        {"json", json, "null"},
        {"1 / x", one_over, NULL},
        {"shortest", shortest, NULL},
    };
    for (size_t f = 0; f < sizeof formatters / sizeof *formatters; f++)
        for (int i = 0; i < DOUBLES; i++) {
            alloy_text out = {0};
            formatters[f].append(&out, doubles[i]);
            if (!isfinite(doubles[i]) && formatters[f].not_finite)
                expect_text(alloy_text_get(&out), formatters[f].not_finite);
            bool names_it = !isfinite(doubles[i]) && f == sizeof formatters / sizeof *formatters - 1;
            if (out.size == 0 || out.size > LONGEST ||
                (!names_it && strpbrk(alloy_text_get(&out), "nN") &&
                 (strstr(out.bytes, "nan") || strstr(out.bytes, "inf"))))
                fail_msg("%s of %g is \"%s\"", formatters[f].name, doubles[i], alloy_text_get(&out));
            alloy_text_free(&out);
        }
}

/* What the shortest form gives is read back as the same value. */
static void the_shortest_form_reads_back(void **state)
{
    (void)state;
    for (int i = 0; i < DOUBLES; i++) {
        alloy_text out = {0};
        double back;
        alloy_text_double(&out, doubles[i]);
        bool read = alloy_parse_double(out.bytes, out.size, &back);
        if (isfinite(doubles[i]) ? !read || memcmp(&back, &doubles[i], sizeof back) != 0 : read)
            fail_msg("%a is written \"%s\"", doubles[i], out.bytes);
        alloy_text_free(&out);
    }
    alloy_text out = {0};
    alloy_text_double(&out, NAN);
    alloy_text_char(&out, ' ');
    alloy_text_double(&out, INFINITY);
    alloy_text_char(&out, ' ');
    alloy_text_double(&out, -INFINITY);
    expect_text(out.bytes, "NaN Infinity -Infinity");
    alloy_text_free(&out);
}

static const alloy_wide MOST_COUNT = (alloy_wide)(~(unsigned __int128)0 >> 1);

static void every_formatter_takes_every_integer(void **state)
{
    (void)state;
    const struct {
        alloy_wide value;
        const char *grouped, *json;
    } rows[] = {
        {0, "0", "{\"n\":0}"},
        {INT64_MAX, "9,223,372,036,854,775,807", "{\"n\":9.2233720368547758e+18,\"n_digits\":\"9223372036854775807\"}"},
        {INT64_MIN, "-9,223,372,036,854,775,808",
         "{\"n\":-9.2233720368547758e+18,\"n_digits\":\"-9223372036854775808\"}"},
        {UINT64_MAX, "18,446,744,073,709,551,615",
         "{\"n\":1.8446744073709552e+19,\"n_digits\":\"18446744073709551615\"}"},
        {((int64_t)1 << 53) + 1, "9,007,199,254,740,993", "{\"n\":9007199254740993,\"n_digits\":\"9007199254740993\"}"},
        {-((int64_t)1 << 53), "-9,007,199,254,740,992", "{\"n\":-9007199254740992}"},
        {(alloy_wide)INT64_C(999999999999999999) * 10 + 9, "9,999,999,999,999,999,999",
         "{\"n\":1.0000000000000000e+19,\"n_digits\":\"9999999999999999999\"}"},
        {MOST_COUNT, "170,141,183,460,469,231,731,687,303,715,884,105,727",
         "{\"n\":1.7014118346046923e+38,\"n_digits\":\"170141183460469231731687303715884105727\"}"},
        {-MOST_COUNT - 1, "-170,141,183,460,469,231,731,687,303,715,884,105,728",
         "{\"n\":-1.7014118346046923e+38,\"n_digits\":\"-170141183460469231731687303715884105728\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        alloy_text grouped = {0}, out = {0};
        alloy_json_writer w;
        alloy_text_count(&grouped, rows[i].value, ',');
        expect_text(grouped.bytes, rows[i].grouped);
        alloy_json_writer_open(&w, &out, 0);
        alloy_json_write_object(&w);
        alloy_json_field_count(&w, "n", alloy_count_from(rows[i].value));
        alloy_json_write_object_end(&w);
        expect_text(out.bytes, rows[i].json);
        alloy_text_free(&grouped);
        alloy_text_free(&out);
    }
}

/* ---- Random reports ---------------------------------------------------------------------------------------------- */

struct draws {
    uint64_t seed, next;
};

static uint64_t draw(struct draws *d, uint64_t below)
{
    return (uint64_t)(alloy_random_uniform(d->seed, 7, d->next++) * (double)below);
}

/* A number of any exponent that a double has, or one at an end. */
static double any_number(struct draws *d)
{
    static const double ends[] = {0, 1, 5e-324, DBL_MIN, 1e24, 1.000001e24, 0.9999999, DBL_MAX, -1};
    if (draw(d, 6) == 0)
        return ends[draw(d, sizeof ends / sizeof *ends)];
    return ldexp(1 + alloy_random_uniform(d->seed, 8, d->next++), (int)draw(d, 2098) - 1074);
}

/* Half of them within what a chip may have: otherwise every chip would be refused. */
static double any_rate(struct draws *d)
{
    return draw(d, 8) == 0 ? any_number(d) : pow(10, 24 * alloy_random_uniform(d->seed, 9, d->next++));
}

static void append_chip(alloy_text *out, struct draws *d)
{
    static const char *const amounts[] = {"memory", "link", "power", "price_per_hour"};
    alloy_text_string(out, "{\"name\": \"random\", \"memory_bandwidth\": ");
    alloy_text_double(out, any_rate(d));
    alloy_text_string(out, ", \"peaks\": {\"bf16\": ");
    alloy_text_double(out, any_rate(d));
    alloy_text_string(out, "}");
    if (draw(d, 2)) {
        alloy_text_string(out, ", \"vector_peaks\": {\"bf16\": ");
        alloy_text_double(out, any_rate(d));
        alloy_text_string(out, "}");
    }
    for (size_t i = 0; i < sizeof amounts / sizeof *amounts; i++)
        if (draw(d, 2)) {
            alloy_text_format(out, ", \"%s\": ", amounts[i]);
            alloy_text_double(out, any_rate(d));
        }
    if (draw(d, 3) == 0) {
        alloy_text_string(out, ", \"cache\": ");
        alloy_text_double(out, any_rate(d));
        alloy_text_string(out, ", \"cache_bandwidth\": ");
        alloy_text_double(out, any_rate(d));
    }
    alloy_text_string(out, "}");
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

/* "nan" and "inf" as words, in any case. */
static void expect_no_word_for_what_is_not_finite(const char *text, const char *what)
{
    static const char *const words[] = {"nan", "inf", "infinity", "-nan", "-inf"};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        for (const char *at = text; (at = strcasestr(at, words[w])); at++)
            if ((at == text || !is_letter(at[-1])) && !is_letter(at[strlen(words[w])]))
                fail_msg("%s holds a number that is not finite: %.60s", what, at - (at - text > 20 ? 20 : at - text));
}

/* Numbers of attributes are in pixels or percent; no drawing is as large. Sizes are not negative. */
static void expect_sane_coordinates(const char *text, const char *what)
{
    static const char *const names[] = {" x='",  " y='", " x1='", " x2='",    " y1='",     " y2='",
                                        " dx='", " r='", " d='",  " width='", " height='", " viewBox='"};
    static const double LARGEST = 100000;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        for (const char *at = text; (at = strstr(at, names[n]));) {
            at += strlen(names[n]);
            for (; *at && *at != '\'';) {
                char *end;
                double value = strtod(at, &end);
                bool is_size = names[n][1] == 'w' || names[n][1] == 'h' || names[n][1] == 'r';
                if (end != at && (!(fabs(value) <= LARGEST) || (is_size && value < 0)))
                    fail_msg("%s: the coordinate%s%.40s", what, names[n], at);
                at = end == at ? at + 1 : end;
            }
        }
}

static void expect_json_numbers(const alloy_text *text)
{
    alloy_json json;
    alloy_json_open(&json, "report", text->bytes, text->size);
    alloy_json_skip(&json);
    expect_ok(alloy_json_close(&json));
}

/* Fields of CSV that begin like a number are finite ones. */
static void expect_csv_numbers(const char *text)
{
    for (const char *at = text; *at; at += strcspn(at, ",\n"), at += *at != 0) {
        char *end;
        double value = strtod(at, &end);
        if (end != at && !isfinite(value))
            fail_msg("CSV: %.40s", at);
    }
}

static void explain_line(void *user, const char *line)
{
    (void)user;
    expect_no_word_for_what_is_not_finite(line, "an explanation");
}

static void check_formats(const alloy_report *report)
{
    static const struct {
        const char *name;
        void (*write)(const alloy_report *report, alloy_text *out);
        bool is_drawn;
    } formats[] = {{"text", alloy_report_text, false}, {"a comparison", alloy_report_comparison, false},
                   {"JSON", alloy_report_json, false}, {"CSV", alloy_report_csv, false},
                   {"HTML", alloy_report_html, true},  {"SVG", alloy_report_svg, true}};
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        alloy_text out = {0};
        formats[f].write(report, &out);
        expect_ok(alloy_text_status(&out));
        const char *body = formats[f].is_drawn ? strstr(out.bytes, "</style>") : out.bytes;
        char *script = formats[f].is_drawn ? strstr(out.bytes, "<script>") : NULL;
        if (script)
            *script = 0;
        expect_no_word_for_what_is_not_finite(body, formats[f].name);
        if (formats[f].is_drawn)
            expect_sane_coordinates(body, formats[f].name);
        if (f == 2)
            expect_json_numbers(&out);
        if (f == 3)
            expect_csv_numbers(out.bytes);
        alloy_text_free(&out);
    }
}

/* A length of any size: small ones are likelier, so that not every forward is refused. */
static int64_t any_length(struct draws *d, int64_t least)
{
    int64_t length = (int64_t)(UINT64_C(1) << draw(d, draw(d, 4) ? 24 : 62));
    return least + (length > 1 ? (int64_t)draw(d, (uint64_t)length) : 0);
}

/* Is it an error that names the input, or nothing? */
static bool refused(alloy_status status, const char *input)
{
    if (!status)
        return false;
    if (status != ALLOY_RANGE && status != ALLOY_FORMAT && status != ALLOY_LIMIT && status != ALLOY_ARG)
        fail_msg("%s: %s: %s", input, alloy_status_name(status), alloy_error());
    assert_true(strlen(alloy_error()) > 10);
    return true;
}

static bool draw_efficiency(struct draws *d, alloy_efficiency *out)
{
    alloy_text text = {0};
    alloy_text_string(&text, "compute=");
    alloy_text_double(&text, draw(d, 2) ? any_number(d) : 1e-6);
    alloy_text_string(&text, ",memory=");
    alloy_text_double(&text, draw(d, 2) ? any_number(d) : 0.5);
    alloy_text_string(&text, ",overhead=");
    alloy_text_double(&text, draw(d, 2) ? any_number(d) : 3);
    alloy_text_string(&text, "us");
    bool taken = draw(d, 4) && !refused(alloy_cli_efficiency_read(text.bytes, out), text.bytes);
    if (!taken)
        expect_ok(alloy_cli_efficiency_read("compute=1e-6,memory=1e-6,overhead=1s", out));
    alloy_text_free(&text);
    return taken;
}

static bool check_random_report(const alloy_model *model, uint64_t seed)
{
    struct draws d = {.seed = seed};
    alloy_text text = {0};
    alloy_chip *chips[2] = {0};
    int count = 0;
    for (int i = 0; i < 2; i++) {
        alloy_text_clear(&text);
        append_chip(&text, &d);
        count += !refused(alloy_chip_parse(&chips[count], "random.json", text.bytes, text.size), text.bytes);
    }
    alloy_text_free(&text);
    const alloy_report_chip on[2] = {{"first", chips[0], false}, {"second", chips[1], true}};
    alloy_roofline_sequences sequences[2];
    for (int i = 0; i < 2; i++)
        sequences[i] = (alloy_roofline_sequences){any_length(&d, 1), any_length(&d, 1), any_length(&d, 0)};
    const alloy_report_point points[2] = {{"mini-prefill", &sequences[0], 1}, {"decode", &sequences[1], 1}};
    alloy_report_request request = {.size = sizeof(alloy_report_request),
                                    .options = {.size = sizeof(alloy_roofline_options)},
                                    .model = model,
                                    .name = "random",
                                    .both = draw(&d, 2),
                                    .points = points,
                                    .level = 1 + (int)draw(&d, 4),
                                    .point_count = 1 + (int64_t)draw(&d, 2),
                                    .chips = on,
                                    .chip_count = count};
    draw_efficiency(&d, &request.efficiency);
    alloy_report *report = NULL;
    bool drawn = count > 0 && !refused(alloy_report_open(&report, &request), "a report");
    if (drawn)
        check_formats(report);
    request.options.sequences = &sequences[0];
    request.options.sequences_count = 1;
    if (drawn)
        expect_ok(alloy_roofline_explain(model, &request.options, "", explain_line, NULL));
    alloy_report_close(report);
    for (int i = 0; i < count; i++)
        alloy_chip_close(chips[i]);
    return drawn;
}

static void reports_hold_finite_numbers_only(void **state)
{
    (void)state;
    static const char config[] =
        "{\"model_type\": \"alloy\", \"vocab_size\": 256, \"hidden_size\": 64, \"dtype\": \"bfloat16\","
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 128,"
        "\"layer_types\": [\"qwen3_attention\", \"qwen3_5_gdn\"], \"ffn_types\": [\"qwen3_mlp\", "
        "\"qwen3_mlp\"]}";
    const int runs = ALLOY_TEST_SLOW ? 60 : 400;
    alloy_config *c;
    alloy_model *model;
    char *folder = test_folder();
    expect_ok(alloy_config_open(&c, write_text(folder, "config.json", config)));
    expect_ok(alloy_model_describe(&model, c));
    int drawn = 0;
    for (int i = 0; i < runs; i++)
        drawn += check_random_report(model, (uint64_t)i);
    print_message("%d of %d reports were drawn\n", drawn, runs);
    assert_true(drawn > runs / 8);
    alloy_model_close(model);
    alloy_config_close(c);
    remove_folder(folder);
}

static void expect_share_refused(const char *text)
{
    alloy_efficiency e;
    expect_failure(alloy_cli_efficiency_read(text, &e), ALLOY_ARG, "--efficiency", text);
}

static void shares_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    expect_share_refused("compute=5e-324");
    expect_share_refused("memory=9e-7");
    expect_share_refused("compute=1.0001");
    expect_share_refused("memory=-1");
    expect_share_refused("compute=nan");
    expect_share_refused("memory=inf");
    expect_share_refused("overhead=1e300s");
    expect_share_refused("overhead=-1us");
}

/* A caller's own chip is checked as a file's is. */
static void chips_of_callers_are_checked(void **state)
{
    (void)state;
    alloy_chip chip = {.name = "mine", .memory_bandwidth = 1e12, .peak[ALLOY_PEAK_BF16] = 1e15};
    double *const figures[] = {&chip.memory_bandwidth,
                               &chip.peak[ALLOY_PEAK_BF16],
                               &chip.vector_peak[ALLOY_PEAK_BF16],
                               &chip.cache_bandwidth,
                               &chip.power,
                               &chip.price_per_hour,
                               &chip.memory};
    static const double bad[] = {NAN, INFINITY, -INFINITY, -1, DBL_MAX};
    alloy_config *c;
    alloy_model *model;
    alloy_roofline *r;
    alloy_roofline_bounds bounds;
    expect_ok(alloy_config_open(&c, ALLOY_SOURCE_DIR "/examples/configs/readme.json"));
    expect_ok(alloy_model_describe(&model, c));
    alloy_roofline_sequences one = {1, 16, 0};
    expect_ok(alloy_roofline_open(
        &r, model,
        &(alloy_roofline_options){.size = sizeof(alloy_roofline_options), .sequences = &one, .sequences_count = 1}));
    expect_ok(alloy_roofline_on(r, &chip, "bf16", &bounds));
    for (size_t f = 0; f < sizeof figures / sizeof *figures; f++)
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            double before = *figures[f];
            *figures[f] = bad[b];
            expect_failure(alloy_roofline_on(r, &chip, "bf16", &bounds), ALLOY_RANGE, "mine");
            *figures[f] = before;
        }
    alloy_roofline_close(r);
    alloy_model_close(model);
    alloy_config_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_formatter_takes_every_double),  cmocka_unit_test(the_shortest_form_reads_back),
        cmocka_unit_test(every_formatter_takes_every_integer), cmocka_unit_test(shares_that_make_no_sense_are_refused),
        cmocka_unit_test(chips_of_callers_are_checked),        cmocka_unit_test(reports_hold_finite_numbers_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
