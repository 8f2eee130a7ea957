/* Charts and the page: their markup is well-formed whatever stands in names, their figures are those of the analysis,
 * every module is drawn, and memory that runs short is an error. tests/browser looks at the page as people do. */
#include "support.h"

#include "base/memory.h"
#include "roofline/chart.h"
#include "roofline/markup.h"

/* A report over classic and exact, three forwards, two chips. */
struct fixture {
    alloy_config *config;
    alloy_model *model;
    alloy_roofline_sequences sequences[3];
    alloy_report_point points[3];
    alloy_report_chip chips[2];
    alloy_report_request request;
    alloy_report *report;
    alloy_chip hostile;
};

enum { POINTS = 3, CHIPS = 2, ACCOUNTINGS = 2 };

static const char HOSTILE[] = "</title></style></script><script>alert(1)</script>\"' onload='x&y \x01\xff\xe2\x80\xae";

static void open_report(struct fixture *f, const char *path, const char *name)
{
    *f = (struct fixture){.sequences = {{1, 4096, 0}, {1, 512, 2048}, {2, 1, 4096}}};
    static const char *const modes[POINTS] = {"prefill", "mini-prefill", "decode"};
    for (int i = 0; i < POINTS; i++)
        f->points[i] = (alloy_report_point){modes[i], &f->sequences[i], 1};
    f->hostile = *alloy_chip_by_name("MI300X");
    f->hostile.name = HOSTILE;
    f->chips[0] = (alloy_report_chip){"H100", alloy_chip_by_name("H100"), false};
    f->chips[1] = (alloy_report_chip){"mine", &f->hostile, false};
    expect_ok(alloy_config_open(&f->config, path));
    expect_ok(alloy_model_describe(&f->model, f->config));
    f->request = (alloy_report_request){.size = sizeof(alloy_report_request),
                                        .options = {.size = sizeof(alloy_roofline_options)},
                                        .model = f->model,
                                        .name = name,
                                        .both = true,
                                        .level = ALLOY_LEVEL_KINDS,
                                        .points = f->points,
                                        .point_count = POINTS,
                                        .chips = f->chips,
                                        .chip_count = CHIPS};
    expect_ok(alloy_report_open(&f->report, &f->request));
}

static void close_report(struct fixture *f)
{
    alloy_report_close(f->report);
    alloy_model_close(f->model);
    alloy_config_close(f->config);
}

static const char COMPOSED[] = ALLOY_SOURCE_DIR "/examples/configs/composed.json";

static int64_t occurrences(const char *text, const char *of)
{
    int64_t count = 0;
    for (const char *at = text; (at = strstr(at, of)); at += strlen(of))
        count++;
    return count;
}

/* ---- Markup ------------------------------------------------------------------------------------------------------ */

static void text_cannot_leave_its_place(void **state)
{
    (void)state;
    alloy_text out = {0};
    alloy_markup(&out, "<a b='%s'>%%", HOSTILE);
    expect_text(alloy_text_get(&out),
                "<a b='&lt;/title&gt;&lt;/style&gt;&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"
                "&quot;&#39; onload=&#39;x&amp;y \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd'>%");
    alloy_text_free(&out);
}

static void numbers_have_a_point_in_every_locale(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_text out = {0};
    bool comma = use_comma_locale(folder);
    alloy_markup(&out, "%f %f %f %f %f %f %lld", 1.5, -0.25, 12.0, 0.004, 1e300 * 1e300, 99.999, -7LL);
    setlocale(LC_ALL, "C");
    expect_text(alloy_text_get(&out), "1.5 -0.25 12 0 0 100 -7");
    alloy_text_free(&out);
    remove_folder(folder);
    if (!comma)
        print_message("a decimal comma: not run, there is no such locale\n");
}

static void long_text_is_cut_between_characters(void **state)
{
    (void)state;
    expect_text(alloy_markup_cut("qwen3_attention", 15), "qwen3_attention");
    expect_text(alloy_markup_cut("qwen3_attention", 5), "qwen3…");
    expect_text(alloy_markup_cut("ééé", 2), "éé…");
}

/* ---- Well-formed ------------------------------------------------------------------------------------------------- */

enum { MOST_DEPTH = 32 };

struct nesting {
    char open[MOST_DEPTH][16];
    int depth;
};

/* One tag, `at` after its '<': quoted attributes only; returns what is after its '>'. */
static const char *read_tag(struct nesting *n, const char *at)
{
    const char *tag = at;
    char name[16];
    bool closes = *at == '/';
    at += closes;
    size_t size = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    assert_in_range(size, 1, sizeof name - 1);
    memcpy(name, at, size);
    name[size] = 0;
    for (at += size; *at != '>' && *at != '/';) {
        at += strspn(at, " \n");
        size = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-:");
        char quote = at[size + 1];
        if (size == 0 || at[size] != '=' || (quote != '\'' && quote != '"'))
            fail_msg("no attribute in <%.60s", tag);
        at = strchr(at + size + 2, quote) + 1;
    }
    if (closes) {
        if (n->depth == 0 || strcmp(n->open[n->depth - 1], name) != 0)
            fail_msg("</%s> closes %s", name, n->depth ? n->open[n->depth - 1] : "nothing");
        n->depth--;
    } else if (*at != '/') {
        assert_true(n->depth < MOST_DEPTH);
        strcpy(n->open[n->depth++], name);
    }
    at += *at == '/';
    assert_int_equal(*at, '>');
    return at + 1;
}

/* Every tag is closed in its order; '&' begins an entity; style and script, whose text is ours, are passed over. */
static void expect_well_formed(const char *text)
{
    struct nesting n = {.depth = 0};
    for (const char *at = text; *at;) {
        bool raw =
            n.depth > 0 && (strcmp(n.open[n.depth - 1], "style") == 0 || strcmp(n.open[n.depth - 1], "script") == 0);
        at = raw ? strstr(at, "</") : at + strcspn(at, "<&>");
        assert_non_null(at);
        if (*at == '<')
            at = at[1] == '!' ? strchr(at, '>') + 1 : read_tag(&n, at + 1);
        else if (*at == '&')
            at += strcspn(at, ";");
        else if (*at)
            fail_msg("a lone '>' before %.60s", at);
    }
    assert_int_equal(n.depth, 0);
}

static void hostile_names_stay_text(void **state)
{
    (void)state;
    struct fixture f;
    open_report(&f, COMPOSED, HOSTILE);
    alloy_text out = {0};
    void (*const writers[])(const alloy_report *, alloy_text *) = {alloy_report_html, alloy_report_svg};
    for (int i = 0; i < 2; i++) {
        alloy_text_clear(&out);
        writers[i](f.report, &out);
        expect_ok(alloy_text_status(&out));
        assert_int_equal(strlen(alloy_text_get(&out)), out.size);
        expect_well_formed(alloy_text_get(&out));
        assert_int_equal(occurrences(alloy_text_get(&out), "<script>"), i == 0);
        assert_null(strstr(alloy_text_get(&out), "alert(1)<"));
        assert_non_null(strstr(alloy_text_get(&out), "alert(1)&lt;"));
        assert_null(strstr(alloy_text_get(&out), "nan"));
    }
    alloy_text_free(&out);
    close_report(&f);
}

/* ---- Figures ----------------------------------------------------------------------------------------------------- */

static const char *expect_next(const char *at, const char *expected)
{
    const char *found = strstr(at, expected);
    if (!found)
        fail_msg("no %s after %.200s", expected, at);
    return found;
}

static void expect_cells(const char **at, const alloy_work *work, bool exact)
{
    alloy_count values[] = {work->tensor_flops, work->vector_flops, alloy_work_read(work), alloy_work_written(work)};
    for (int i = 0; i < 4; i++) {
        alloy_text cell = {0};
        if (i == 1 && !exact)
            continue;
        alloy_text_string(&cell, "<td data-v='");
        alloy_text_count(&cell, alloy_wide_of(values[i]), 0);
        alloy_text_string(&cell, "'>");
        *at = expect_next(*at, alloy_text_get(&cell));
        alloy_text_free(&cell);
    }
}

/* Cells of the two tables of each forward, in the order of the analysis; every digit. */
static void tables_have_the_figures_of_the_analysis(void **state)
{
    (void)state;
    struct fixture f;
    open_report(&f, COMPOSED, "composed");
    alloy_text out = {0};
    alloy_report_html(f.report, &out);
    const char *at = alloy_text_get(&out);
    int forwards = 0;
    for (const alloy_report_result *r = NULL; (r = alloy_chart_forward(f.report, r)); forwards++) {
        static const struct {
            alloy_roofline_level level;
            const char *table;
        } tables[] = {{ALLOY_LEVEL_KINDS, "<table class='kinds'"}, {ALLOY_LEVEL_MODULES, "<table class='modules'"}};
        for (int t = 0; t < 2; t++) {
            at = expect_next(at, tables[t].table);
            const char *end = expect_next(at, "</table>");
            for (int64_t i = 0; i < alloy_roofline_row_count(r->roofline, tables[t].level); i++) {
                alloy_roofline_row row = alloy_roofline_row_at(r->roofline, tables[t].level, i);
                at = expect_next(at, "<tr>");
                at = expect_next(at, row.name);
                expect_cells(&at, row.work, r->accounting == ALLOY_EXACT);
            }
            assert_true(at < end);
        }
    }
    assert_int_equal(forwards, POINTS * ACCOUNTINGS);
    alloy_text_free(&out);
    close_report(&f);
}

/* A shape in the chart for each module on each chip, a group of bars for each layer and for what is around them. */
static void expect_all_drawn(const char *path, int64_t layers)
{
    struct fixture f;
    open_report(&f, path, "config");
    for (const alloy_report_result *r = NULL; (r = alloy_chart_forward(f.report, r));) {
        alloy_text out = {0};
        int64_t chips = 0, modules = alloy_roofline_row_count(r->roofline, ALLOY_LEVEL_MODULES);
        for (const alloy_report_result *on = r; on; on = alloy_chart_chip(f.report, on))
            chips++;
        assert_int_equal(chips, CHIPS);
        assert_true(alloy_chart_roofline(f.report, r, 0, &out) > 0);
        int64_t shapes = occurrences(alloy_text_get(&out), "<circle") + occurrences(alloy_text_get(&out), "<path");
        assert_int_equal(shapes - 2 * chips, chips * modules); /* the total's mark is a circle and a path */
        alloy_text_clear(&out);
        alloy_chart_layers(f.report, r, 0, &out);
        assert_int_equal(occurrences(alloy_text_get(&out), "class='layer'"), layers + 2);
        expect_well_formed(alloy_text_get(&out));
        alloy_text_free(&out);
    }
    close_report(&f);
}

static void every_module_is_drawn(void **state)
{
    (void)state;
    expect_all_drawn(ALLOY_SOURCE_DIR "/examples/configs/readme.json", 16);
    expect_all_drawn(ALLOY_SOURCE_DIR "/examples/configs/hybrid-10t.json", 200);
}

/* On an H100 989 TFLOP/s at 3.35 TB/s: what lies left of the ridge is drawn on the slope, the rest on the roof. */
static void marks_lie_on_the_roofline(void **state)
{
    (void)state;
    struct fixture f;
    open_report(&f, ALLOY_SOURCE_DIR "/examples/configs/readme.json", "readme");
    for (const alloy_report_result *r = NULL; (r = alloy_chart_forward(f.report, r));) {
        alloy_text out = {0};
        if (r->accounting == ALLOY_EXACT)
            continue;
        alloy_chart_roofline(f.report, r, 0, &out);
        double x1, y1, x2, y2, x, y;
        const char *at = expect_next(alloy_text_get(&out), "<line class='roof d0'");
        assert_int_equal(
            sscanf(at, "<line class='roof d0' x1='%lf%%' y1='%lf' x2='%lf%%' y2='%lf'", &x1, &y1, &x2, &y2), 4);
        for (int marks = 0; (at = strstr(at, "<svg class='at mark k")) && marks < 6; marks++) {
            at = expect_next(at, " x='");
            assert_int_equal(sscanf(at, " x='%lf%%' y='%lf'", &x, &y), 2);
            double expected = x < x2 ? y1 + (y2 - y1) * (x - x1) / (x2 - x1) : y2;
            if (x > 0 && (y < expected - 0.5 || y > expected + 0.5))
                fail_msg("a mark at %g%%, %g pixels; the roofline is at %g", x, y, expected);
        }
        alloy_text_free(&out);
    }
    close_report(&f);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static void short_memory_is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    open_report(&f, COMPOSED, "composed");
    void (*const writers[])(const alloy_report *, alloy_text *) = {alloy_report_html, alloy_report_svg};
    for (int i = 0; i < 2; i++)
        for (int64_t n = 0;; n++) {
            alloy_text out = {0};
            alloy_memory_fail_after(n);
            writers[i](f.report, &out);
            alloy_memory_fail_after(-1);
            alloy_status status = alloy_text_status(&out);
            alloy_text_free(&out);
            if (!status)
                break;
            assert_int_equal(status, ALLOY_NOMEM);
            assert_true(n < 1000);
        }
    close_report(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_cannot_leave_its_place),
        cmocka_unit_test(numbers_have_a_point_in_every_locale),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(hostile_names_stay_text),
        cmocka_unit_test(tables_have_the_figures_of_the_analysis),
        cmocka_unit_test(every_module_is_drawn),
        cmocka_unit_test(marks_lie_on_the_roofline),
        cmocka_unit_test(short_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
