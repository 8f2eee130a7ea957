/* `alloy roofline` as users run it: published lines byte for byte, the shape of JSON and CSV, numbers that pass 2^63,
 * and an error that says the way out for every invalid flag, config and chip. */
#include "cli/spawn.h"

#include <dirent.h>

#define CONFIGS ALLOY_SOURCE_DIR "/examples/configs/"
#define README CONFIGS "readme.json"

static const char MY_DEVICE[] = "{\"name\": \"my-device\", \"memory_bandwidth\": 8e12, "
                                "\"peaks\": {\"bf16\": 2250e12, \"fp32\": 80e12, \"fp8\": 4500e12}}";

/* The answer begins with these lines. */
static void expect_opening(const struct answer *answer, const char *lines)
{
    expect_code(answer, ALLOY_OK);
    if (strncmp(answer->out, lines, strlen(lines)) != 0)
        fail_msg("%s printed\n%s\nexpected it to begin with\n%s", answer->line, answer->out, lines);
}

/* ---- Published lines --------------------------------------------------------------------------------------------- */

static void a_report_opens_with_the_published_lines(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", README, "--mode", "prefill", "--batch", "1", "--seq-len", "4096",
                               "--hardware", "H100");
    expect_opening(&answer, "Roofline | H100-SXM5 | bf16 | prefill (B=1, Q=4096)\n"
                            "------------------------------------------------------------------------------\n"
                            "TOTAL: 10.18 TFLOPs / 3.77 GB / AI = 2703.7\n"
                            "H100-SXM5: compute=10.30 ms, memory=1.12 ms -> bottleneck=compute (10.30 ms / forward)\n"
                            "exact: 9.37 TFLOPs / 5.57 GB / AI = 1681.1 -> bottleneck=compute (9.46 ms / forward)\n");
    forget(&answer);
}

static void every_mode_says_its_lengths(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", README);
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "Roofline | H100-SXM5 | bf16 | prefill (B=1, Q=4096)\n");
    expect_in(answer.out, "Roofline | H100-SXM5 | bf16 | mini-prefill (B=1, Q=512, cache=2048)\n");
    expect_in(answer.out, "Roofline | H100-SXM5 | bf16 | decode (B=1, cache=4096)\n");
    forget(&answer);
    answer = run(plainly, "roofline", README, "--sequences", "4096+0,32x1+8192", "--hardware", "a100");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "Roofline | A100-80GB-SXM | bf16 | ragged (4096+0,32x1+8192)\n");
    forget(&answer);
    answer = run(plainly, "roofline", README, "--weight-dtype", "fp8", "--at", "decode:7", "--batch", "3");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "Roofline | H100-SXM5 | bf16 (weights fp8) | decode (B=3, cache=7)\n");
    forget(&answer);
}

static void several_chips_are_compared(void **state)
{
    (void)state;
    char *folder = test_folder(), *device = write_text(folder, "my-device.json", MY_DEVICE), list[8192];
    snprintf(list, sizeof list, "H100,Ascend910C,%s", device);
    struct answer once = run(plainly, "roofline", README, "--hardware", list),
                  each = run(plainly, "roofline", README, "--hardware", "H100", "--hardware", "Ascend910C",
                             "--hardware", device);
    expect_code(&once, ALLOY_OK);
    expect_text(once.out,
                "H100        prefill: 10.30 ms (compute) mini:  1.26 ms (compute) decode:  702 us (memory)\n"
                "Ascend910C  prefill: 13.43 ms (compute) mini:  1.65 ms (compute) decode:  735 us (memory)\n"
                "my-device   prefill:  4.53 ms (compute) mini:  0.55 ms (compute) decode:  294 us (memory)\n");
    expect_text(each.out, once.out);
    forget(&once), forget(&each);
    remove_folder(folder);
}

/* ---- Pages and drawings ------------------------------------------------------------------------------------------ */

static void a_page_and_a_drawing_are_written_beside_the_report(void **state)
{
    (void)state;
    char *folder = test_folder(), *page = path_in(folder, "page.html"), *drawing = path_in(folder, "drawing.svg");
    struct answer answer = run(plainly, "roofline", README, "--html", page, "--svg", drawing),
                  alone = run(plainly, "roofline", README);
    expect_code(&answer, ALLOY_OK);
    expect_text(answer.out, alone.out);
    expect_in(answer.err, "page.html");
    static const struct {
        char *flag, *opening;
    } documents[] = {{"--html", "<!DOCTYPE html>\n"}, {"--svg", "<svg xmlns="}};
    for (int i = 0; i < 2; i++) {
        size_t size;
        char *bytes = read_whole(i == 0 ? page : drawing, &size);
        struct answer printed = run(plainly, "roofline", README, documents[i].flag, "-");
        expect_opening(&printed, documents[i].opening);
        expect_text(printed.out, bytes);
        forget(&printed);
        free(bytes);
    }
    forget(&answer), forget(&alone);
    remove_folder(folder);
}

static void standard_output_takes_one_document(void **state)
{
    (void)state;
    struct answer two = run(plainly, "roofline", README, "--html", "-", "--svg", "-");
    expect_error(&two, ALLOY_ARG, "standard output");
    struct answer csv = run(plainly, "roofline", README, "--csv", "--html", "-");
    expect_error(&csv, ALLOY_ARG, "--html -");
    struct answer list = run(plainly, "roofline", "--list", "--svg", "x.svg");
    expect_error(&list, ALLOY_ARG, "--list");
    struct answer nowhere = run(plainly, "roofline", README, "--html", "/nowhere/page.html");
    expect_error(&nowhere, ALLOY_IO, "/nowhere/page.html");
    forget(&two), forget(&csv), forget(&list), forget(&nowhere);
}

/* Where a weight's name leaves the figures no room, it has a line of its own. */
static void reports_fit_100_columns(void **state)
{
    (void)state;
    static const char *const configs[] = {CONFIGS "deepseek-v4-flash.json", CONFIGS "hybrid-10t.json", README};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        struct answer answer =
            run(plainly, "roofline", (char *)(uintptr_t)configs[i], "--level", "4", "--accounting", "both");
        expect_code(&answer, ALLOY_OK);
        for (const char *line = answer.out; *line;) {
            size_t size = strcspn(line, "\n");
            if (size > 100)
                fail_msg("%s: a line of %zu characters: %.*s", configs[i], size, (int)size, line);
            line += size + (line[size] == '\n');
        }
        forget(&answer);
    }
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* The value at a path of keys and indices ("results.0.total.flops") as it stands in the document; free() it. */
static char *value_at(const char *text, const char *path)
{
    alloy_json json;
    bool found = true;
    alloy_json_open(&json, "stdout", text, strlen(text));
    for (const char *part = path; found && *part;
         part += part[strcspn(part, ".")] ? strcspn(part, ".") + 1 : strlen(part)) {
        char name[64];
        alloy_json_string_view key;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(part, "."), part);
        found = false;
        if (alloy_json_peek(&json) == ALLOY_JSON_ARRAY) {
            alloy_json_array(&json);
            for (int i = 0; !found && alloy_json_next_item(&json); i++)
                if (!(found = i == atoi(name)))
                    alloy_json_skip(&json);
        } else {
            alloy_json_object(&json);
            while (!found && alloy_json_next_key(&json, &key))
                if (!(found = alloy_json_key_is(&key, name)))
                    alloy_json_skip(&json);
        }
    }
    alloy_json_string_view raw = {0};
    if (found)
        raw = alloy_json_raw(&json);
    char *copy = found && json.status == ALLOY_OK ? strndup(raw.bytes, raw.size) : NULL;
    alloy_json_close(&json);
    if (!copy)
        fail_msg("%s is missing in\n%.2000s", path, text);
    return copy;
}

static void expect_at(const struct answer *answer, const char *path, const char *expected)
{
    char *value = value_at(answer->out, path);
    if (strcmp(value, expected) != 0)
        fail_msg("%s: %s is %s, expected %s", answer->line, path, value, expected);
    free(value);
}

static double number_at(const struct answer *answer, const char *path)
{
    char *value = value_at(answer->out, path);
    double number = atof(value);
    free(value);
    return number;
}

/* roofline.md's figures: classic totals by hand, exact ones of the same config. */
static void json_has_every_quantity(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", README, "--accounting", "exact", "--at", "prefill:4096", "--json");
    expect_code(&answer, ALLOY_OK);
    expect_json(&answer);
    expect_at(&answer, "config.model_type", "\"alloy\"");
    expect_at(&answer, "config.num_hidden_layers", "16");
    expect_at(&answer, "results.0.hardware", "\"H100-SXM5\"");
    expect_at(&answer, "results.0.label", "\"H100\"");
    expect_at(&answer, "results.0.mode", "\"prefill\"");
    expect_at(&answer, "results.0.accounting", "\"exact\"");
    expect_at(&answer, "results.0.sequences.0.tokens", "4096");
    expect_at(&answer, "results.0.total.tensor_flops", "9360441868288");
    expect_at(&answer, "results.0.total.bytes_read", "3933460992");
    expect_at(&answer, "results.0.total.bytes_written", "1640483328");
    expect_at(&answer, "results.0.total.bytes", "5573944320");
    expect_at(&answer, "results.0.bounds.bottleneck", "\"compute\"");
    expect_at(&answer, "results.0.memory.cache", "16777216"); /* 4 layers x 4096 x 2 x 2 heads x 128 x 2 B */
    static const char *const bounds[] = {"results.0.bounds.overlap", "results.0.bounds.per_module",
                                         "results.0.bounds.serial"};
    double before = 0;
    for (int i = 0; i < 3; i++) {
        double bound = number_at(&answer, bounds[i]);
        assert_true(bound >= before);
        before = bound;
    }
    static const char *const present[] = {"results.0.total.intensity",          "results.0.total.read.router",
                                          "results.0.total.written.indexer",    "results.0.bounds.tensor_seconds",
                                          "results.0.bounds.vector_seconds",    "results.0.bounds.memory_seconds",
                                          "results.0.bounds.tokens_per_second", "results.0.bounds.joules_per_token",
                                          "results.0.bounds.price_per_token",   "results.0.memory.total",
                                          "results.0.memory.fits.batch",        "results.0.memory.fits.context",
                                          "results.0.kinds.0.modules",          "results.0.modules.0.bytes_read",
                                          "results.0.modules.66.name"};
    for (size_t i = 0; i < sizeof present / sizeof *present; i++)
        free(value_at(answer.out, present[i]));
    forget(&answer);
}

/* Rows of an array of a result sum to the total. */
static void expect_sum(const struct answer *answer, const char *rows, const char *field)
{
    char path[128], total[128];
    char *array;
    snprintf(path, sizeof path, "results.0.%s", rows);
    array = value_at(answer->out, path);
    alloy_json json;
    alloy_json_string_view key;
    int64_t sum = 0;
    alloy_json_open(&json, rows, array, strlen(array));
    alloy_json_array(&json);
    while (alloy_json_next_item(&json)) {
        alloy_json_object(&json);
        while (alloy_json_next_key(&json, &key))
            if (alloy_json_key_is(&key, field))
                sum += alloy_json_int64(&json);
            else
                alloy_json_skip(&json);
    }
    expect_ok(alloy_json_close(&json));
    free(array);
    snprintf(path, sizeof path, "results.0.total.%s", field);
    snprintf(total, sizeof total, "%lld", (long long)sum);
    expect_at(answer, path, total);
}

static void rows_of_json_sum_to_the_total(void **state)
{
    (void)state;
    static const char *const rows[] = {"kinds", "modules", "ops"};
    struct answer answer =
        run(plainly, "roofline", CONFIGS "composed.json", "--at", "mini-prefill:70+33", "--level", "4", "--json");
    expect_code(&answer, ALLOY_OK);
    for (int i = 0; i < 3; i++) {
        expect_sum(&answer, rows[i], "flops");
        expect_sum(&answer, rows[i], "bytes_read");
        expect_sum(&answer, rows[i], "bytes_written");
    }
    forget(&answer);
}

/* 200 layers of 10T parameters, a million tokens, 64 sequences: 4.5e19 FLOPs. */
static void numbers_beyond_53_bits_keep_all_digits(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", CONFIGS "hybrid-10t.json", "--batch", "64", "--at",
                               "prefill:1048576", "--hardware", "B200", "--json");
    expect_code(&answer, ALLOY_OK);
    char *number = value_at(answer.out, "results.0.total.flops"),
         *digits = value_at(answer.out, "results.0.total.flops_digits");
    size_t size = strlen(digits) - 2; /* without its quotes */
    char rounded[64];
    snprintf(rounded, sizeof rounded, "%c.%.15s", digits[1], digits + 2);
    assert_true(size > 19);
    assert_true(strspn(digits + 1, "0123456789") == size);
    if (strncmp(number, rounded, strlen(rounded)) != 0 || strcspn(number, "e") != 18 ||
        atoi(number + 20) != (int)size - 1)
        fail_msg("%s is not %s with 17 digits", number, digits);
    free(number), free(digits);
    forget(&answer);
}

/* ---- CSV --------------------------------------------------------------------------------------------------------- */

static void csv_has_a_row_a_module(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", README, "--sequences", "1+7,2x3+0", "--csv", "--level", "1");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "hardware,mode,sequences,accounting,level,kind,name,layer,modules,op,weight,flops,");
    expect_in(answer.out, "\nH100-SXM5,ragged,\"1+7,2x3+0\",classic,1,total,total,,");
    forget(&answer);
    answer = run(plainly, "roofline", README, "--at", "decode:5", "--csv", "--level", "3");
    expect_code(&answer, ALLOY_OK);
    int lines = 0, commas = 0, first = -1;
    for (const char *c = answer.out; *c; c++) {
        commas += *c == ',';
        if (*c != '\n')
            continue;
        first = first < 0 ? commas : first;
        assert_int_equal(commas, first);
        commas = 0;
        lines++;
    }
    assert_int_equal(lines, 1 + 1 + 6 + 35); /* headings, total, kinds, 16 x 2 modules and 3 around them */
    forget(&answer);
}

/* ---- Accountings and other flags --------------------------------------------------------------------------------- */

static void both_accountings_are_itemised(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", README, "--accounting", "both", "--at", "prefill:4096");
    expect_opening(&answer, "Roofline | H100-SXM5 | bf16 | prefill (B=1, Q=4096)\n");
    static const char *const parts[] = {" | exact\n",
                                        "From classic to exact",
                                        "visible pairs, not the rectangle",
                                        "form of the delta rule",
                                        "the last token of each sequence, not every one",
                                        "norms and sums before modules",
                                        "state in fp32"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        expect_in(answer.out, parts[i]);
    forget(&answer);
}

static void text_fits_a_hundred_columns(void **state)
{
    (void)state;
    static const char *const configs[] = {"readme", "composed", "hybrid-10t", "deepseek-v4-flash", "qwen3-235b-a22b"};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        char path[1024];
        snprintf(path, sizeof path, CONFIGS "%s.json", configs[i]);
        struct answer answer = run(plainly, "roofline", path, "--accounting", "both", "--level", "3", "--efficiency",
                                   "compute=0.6,memory=0.8,overhead=3us");
        expect_code(&answer, ALLOY_OK);
        for (char *line = answer.out, *end; (end = strchr(line, '\n')); line = end + 1)
            if (end - line > 100)
                fail_msg("%s: %d columns: %.*s", configs[i], (int)(end - line), (int)(end - line), line);
        forget(&answer);
    }
}

static void an_estimate_is_called_one(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", README, "--at", "prefill:4096", "--efficiency",
                               "compute=0.5,memory=0.8,overhead=1us", "--json"),
                  text = run(plainly, "roofline", README, "--at", "prefill:4096", "--efficiency", "compute=0.5");
    expect_code(&answer, ALLOY_OK);
    double seconds = number_at(&answer, "results.0.estimate.seconds"),
           expected =
               2 * number_at(&answer, "results.0.bounds.overlap") + 1e-6 * number_at(&answer, "results.0.estimate.ops");
    if (!(seconds > expected * (1 - 1e-12) && seconds < expected * (1 + 1e-12)))
        fail_msg("estimate: %.17g s, expected %.17g s", seconds, expected);
    expect_in(text.out, "estimate (not a bound): 20.59 ms / forward at compute 0.5, memory 1\n");
    forget(&answer), forget(&text);
}

static void explanations_show_numbers_and_sources(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", README, "--at", "prefill:64", "--explain", "lm_head"),
                  all = run(plainly, "roofline", README, "--at", "prefill:64", "--explain"),
                  json = run(plainly, "roofline", README, "--explain", "--accounting", "exact", "--json"),
                  bad = run(plainly, "roofline", README, "--explain=lm_haed");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "A multiply-add is 2 FLOPs");
    expect_in(answer.out, "2 * 64 * 32000 * 2048 = 8,388,608,000\n");
    expect_in(answer.out, "H100-SXM5: published preset");
    assert_null(strstr(answer.out, "qwen3_mlp"));
    expect_in(all.out, "layers.0.qwen3_5_gdn\n");
    expect_in(all.out, "layers.0.qwen3_mlp\n");
    expect_code(&json, ALLOY_OK);
    expect_json(&json);
    expect_error(&bad, ALLOY_ARG, "\"lm_haed\"", "qwen3_5_gdn", "lm_head");
    forget(&answer), forget(&all), forget(&json), forget(&bad);
}

static void all_chips_are_listed(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", "--list"), json = run(plainly, "roofline", "--list", "--json"),
                  one = run(plainly, "roofline", "--list", "--hardware", "mi300x");
    expect_code(&answer, ALLOY_OK);
    for (int i = 0; alloy_chip_at(i); i++)
        expect_in(answer.out, alloy_chip_at(i)->name);
    expect_in(answer.out, "published preset");
    expect_json(&json);
    expect_at(&json, "chips.0.name", "\"A100-40GB-SXM\"");
    free(value_at(json.out, "chips.0.source"));
    expect_in(one.out, "MI300X");
    assert_null(strstr(one.out, "H100-SXM5"));
    forget(&answer), forget(&json), forget(&one);
}

static void routing_of_a_run_is_read_from_its_file(void **state)
{
    (void)state;
    char *folder = test_folder(), *config = write_text(folder, "c.json",
                                                       "{\"model_type\": \"alloy\", \"vocab_size\": 64, "
                                                       "\"hidden_size\": 32, \"num_hidden_layers\": 2, "
                                                       "\"layer_types\": [\"qwen3_attention\", \"qwen3_attention\"], "
                                                       "\"ffn_types\": [\"qwen3_mlp\", \"qwen3_moe\"], "
                                                       "\"num_attention_heads\": 2, \"intermediate_size\": 64, "
                                                       "\"num_experts\": 4, \"num_experts_per_tok\": 1, "
                                                       "\"moe_intermediate_size\": 16}");
    char *two = write_text(folder, "two.json", "{\"1\": [3, 0, 5, 0]}"),
         *short_one = write_text(folder, "short.json", "{\"1\": [3, 0, 5]}"),
         *none = write_text(folder, "none.json", "{}"), *other = write_text(folder, "other.json", "{\"2\": [1]}");
    struct answer given = run(plainly, "roofline", config, "--accounting", "exact", "--at", "prefill:8", "--routing",
                              two, "--json"),
                  worst = run(plainly, "roofline", config, "--accounting", "exact", "--at", "prefill:8", "--routing",
                              "worst", "--json");
    expect_code(&given, ALLOY_OK);
    expect_code(&worst, ALLOY_OK);
    /* two experts fewer, of 3 x 32 x 16 elements of the default dtype's 2 bytes */
    double bytes =
        number_at(&worst, "results.0.total.read.weights") - number_at(&given, "results.0.total.read.weights");
    assert_true(bytes == 2 * 3 * 32 * 16 * 2);
    forget(&given), forget(&worst);
    const struct {
        const char *file, *word;
    } bad[] = {{short_one, "3 experts"}, {none, "no tokens of layer 1"}, {other, "\"2\" is no layer"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct answer answer = run(plainly, "roofline", config, "--routing", (char *)bad[i].file);
        expect_error(&answer, ALLOY_ARG, bad[i].word);
        forget(&answer);
    }
    remove_folder(folder);
}

/* ---- Models ------------------------------------------------------------------------------------------------------ */

static void a_models_folder_tells_its_dtypes(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", MOBY, "--at", "decode:100");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "weights as stored");
    forget(&answer);
}

static void every_example_opens(void **state)
{
    (void)state;
    DIR *folder = opendir(CONFIGS);
    assert_non_null(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[1024];
        if (!strstr(entry->d_name, ".json"))
            continue;
        snprintf(path, sizeof path, CONFIGS "%s", entry->d_name);
        struct answer info = run(plainly, "info", path), roofline = run(plainly, "roofline", path);
        expect_code(&info, ALLOY_OK);
        expect_code(&roofline, ALLOY_OK);
        expect_in(roofline.out, "TOTAL: ");
        forget(&info), forget(&roofline);
        count++;
    }
    closedir(folder);
    assert_true(count >= 16);
}

/* Every size at the end of its range, and a batch as large as there may be. */
static void huge_dimensions_overflow_nothing(void **state)
{
    (void)state;
    char *folder = test_folder(),
         *config = write_text(folder, "huge.json",
                              "{\"model_type\": \"alloy\", \"vocab_size\": 1048576, \"hidden_size\": 1048576, "
                              "\"num_hidden_layers\": 1000, \"max_position_embeddings\": 1000000, "
                              "\"layer_types\": {\"pattern\": [\"qwen3_attention\"], \"repeat\": 1000}, "
                              "\"ffn_types\": {\"pattern\": [\"qwen3_moe\"], \"repeat\": 1000}, "
                              "\"num_attention_heads\": 65536, \"num_key_value_heads\": 65536, \"head_dim\": 512, "
                              "\"num_experts\": 65536, \"num_experts_per_tok\": 65536, "
                              "\"moe_intermediate_size\": 1048576}");
    static const char *const points[] = {"prefill:4294967296", "mini-prefill:137438953+68719476736",
                                         "decode:68719476736"};
    for (int i = 0; i < 3; i++) {
        struct answer answer =
            run(plainly, "roofline", config, "--accounting", "both", "--json", "--at", (char *)points[i]);
        expect_code(&answer, ALLOY_OK);
        for (int r = 0; r < 2; r++) {
            char path[64];
            snprintf(path, sizeof path, "results.%d.total.flops", r);
            assert_true(number_at(&answer, path) > 1e21);
            snprintf(path, sizeof path, "results.%d.total.bytes", r);
            assert_true(number_at(&answer, path) > 1e15);
        }
        assert_null(strstr(answer.out, ": -"));
        forget(&answer);
    }
    struct answer answer = run(plainly, "roofline", config, "--at", "prefill:9223372036854775807");
    expect_error(&answer, ALLOY_LIMIT, "2^40 new tokens");
    forget(&answer);
    remove_folder(folder);
}

/* ---- What is refused --------------------------------------------------------------------------------------------- */

static void flags_that_cannot_be_meant_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *words[6];
        const char *says;
        int code;
    } bad[] = {
        {{"--mode", "training"}, "prefill mini-prefill decode", ALLOY_ARG},
        {{"--batch", "0"}, "--batch is \"0\"", ALLOY_ARG},
        {{"--seq-len", "1e3"}, "--seq-len is \"1e3\"", ALLOY_ARG},
        {{"--mode", "decode", "--seq-len", "7"}, "--seq-len says nothing of --mode decode", ALLOY_ARG},
        {{"--mode", "prefill", "--kv-cache-len", "7"}, "--kv-cache-len says nothing of --mode prefill", ALLOY_ARG},
        {{"--mode", "prefill", "--chunk-len", "7"}, "--chunk-len says nothing of --mode prefill", ALLOY_ARG},
        {{"--at", "prefill"}, "expected prefill:4096", ALLOY_ARG},
        {{"--at", "prefill:0"}, "expected prefill:4096", ALLOY_ARG},
        {{"--at", "decode:-1"}, "expected prefill:4096", ALLOY_ARG},
        {{"--at", "mini-prefill:512"}, "expected prefill:4096", ALLOY_ARG},
        {{"--at", "prefill:4", "--mode", "decode"}, "in one way", ALLOY_ARG},
        {{"--at", "prefill:4", "--sequences", "1+1"}, "in one way", ALLOY_ARG},
        {{"--at", "decode:2199023255552"}, "2,199,023,255,552 cached tokens and 1 new ones", ALLOY_LIMIT},
        {{"--at", "decode:9223372036854775806", "--page", "4096"}, "2^40 tokens", ALLOY_LIMIT},
        {{"--sequences", "4096"}, "\"4096\" is not like", ALLOY_ARG},
        {{"--sequences", "1+1,"}, "is not like", ALLOY_ARG},
        {{"--sequences", "0x1+1"}, "\"0x1+1\" is not like", ALLOY_ARG},
        {{"--sequences", "1+1", "--batch", "2"}, "--batch says nothing of --sequences", ALLOY_ARG},
        {{"--hardware", "H1000"}, "did you mean H100", ALLOY_ARG},
        {{"--hardware", "H100,,A100"}, "names nothing", ALLOY_ARG},
        {{"--hardware", ""}, "names nothing", ALLOY_ARG},
        {{"--hardware", "H100,A100,H100"}, "names H100 twice", ALLOY_ARG},
        {{"--hardware", "H100", "--hardware", "h100-sxm5"}, "h100-sxm5 is H100", ALLOY_ARG},
        {{"--hardware", "none/such.json"}, "none/such.json", ALLOY_IO},
        {{"--hardware", "A100", "--compute-dtype", "fp8"}, "A100-80GB-SXM has no fp8 peak", ALLOY_ARG},
        {{"--accounting", "exakt"}, "classic exact both", ALLOY_ARG},
        {{"--dtype", "fp7"}, "--dtype: \"fp7\"", ALLOY_ARG},
        {{"--weight-dtype", "bf17"}, "--weight-dtype: \"bf17\"", ALLOY_ARG},
        {{"--kv-dtype", "f33"}, "--kv-dtype: \"f33\"", ALLOY_ARG},
        {{"--compute-dtype", "x"}, "--compute-dtype: \"x\"", ALLOY_ARG},
        {{"--level", "5"}, "--level is \"5\"", ALLOY_ARG},
        {{"--routing", "uneven"}, "even, worst, best, zipf:S (S from 0 to 10) or a file", ALLOY_ARG},
        {{"--routing", "zipf:"}, "\"zipf:\"", ALLOY_ARG},
        {{"--routing", "zipf:abc"}, "\"zipf:abc\"", ALLOY_ARG},
        {{"--routing", "zipf:-1"}, "\"zipf:-1\"", ALLOY_ARG},
        {{"--routing", "zipf:11"}, "\"zipf:11\"", ALLOY_ARG},
        {{"--routing", "no/such/file"}, "no/such/file", ALLOY_IO},
        {{"--delta", "loop"}, "step chunk", ALLOY_ARG},
        {{"--fusion", "all"}, "module op", ALLOY_ARG},
        {{"--logits", "none"}, "last all", ALLOY_ARG},
        {{"--page", "0"}, "--page", ALLOY_ARG},
        {{"--efficiency", "compute=1.5"}, "\"compute=1.5\"", ALLOY_ARG},
        {{"--efficiency", "compute=0"}, "\"compute=0\"", ALLOY_ARG},
        {{"--efficiency", "overhead=3"}, "\"overhead=3\"", ALLOY_ARG},
        {{"--efficiency", "speed=1"}, "\"speed=1\"", ALLOY_ARG},
        {{"--efficiency", ""}, "--efficiency", ALLOY_ARG},
        {{"--hardwear", "H100"}, "--hardware", ALLOY_ARG},
        {{"--json", "--csv"}, "one of --json, --csv", ALLOY_ARG},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *words[10] = {ALLOY_COMMAND, (char *)"roofline", (char *)README};
        for (int w = 0; w < 6; w++)
            words[3 + w] = (char *)bad[i].words[w];
        struct answer answer = run_words(plainly, words);
        if (strcmp(bad[i].words[0], "--json") == 0) {
            expect_code(&answer, bad[i].code); /* told as a document too */
            expect_in(answer.err, bad[i].says);
        } else {
            expect_error(&answer, bad[i].code, bad[i].says);
        }
        forget(&answer);
    }
}

static void a_forward_is_named_by_its_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *words[6], *name;
    } cases[] = {
        {{"--at", "decode:0"}, "prefill (B=1, Q=1)"},
        {{"--at", "mini-prefill:1+7"}, "decode (B=1, cache=7)"},
        {{"--at", "mini-prefill:5+7"}, "mini-prefill (B=1, Q=5, cache=7)"},
        {{"--mode", "mini-prefill", "--chunk-len", "5", "--kv-cache-len", "0"}, "prefill (B=1, Q=5)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *words[10] = {ALLOY_COMMAND, (char *)"roofline", (char *)README};
        for (int w = 0; w < 6; w++)
            words[3 + w] = (char *)cases[i].words[w];
        struct answer answer = run_words(plainly, words);
        expect_code(&answer, ALLOY_OK);
        expect_in(answer.out, cases[i].name);
        forget(&answer);
    }
}

/* On 80 GB: weights are 2.45 GB, a token's cache 4 KB. */
static void what_does_not_fit_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *model, *at, *says;
    } cases[] = {
        {README, "decode:4096", "; there fit 2591 such sequences, or one on 18928948 cached tokens\n"},
        {README, "decode:15000000", "; there fits 1 such sequence, or one on 18928948 cached tokens\n"},
        {README, "decode:1000000000", "; no such sequence fits, but one on 18928948 cached tokens does\n"},
        {README, "prefill:1000000000", "; no such sequence fits\n"},
        {ALLOY_SOURCE_DIR "/examples/configs/hybrid-10t.json", "decode:1", "; the weights alone do not fit\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer answer = run(plainly, "roofline", (char *)cases[i].model, "--at", (char *)cases[i].at);
        expect_code(&answer, ALLOY_OK);
        expect_in(answer.out, cases[i].says);
        forget(&answer);
    }
}

static void configs_and_chips_that_are_not_sound_are_refused(void **state)
{
    (void)state;
    char *folder = test_folder(), *empty = write_text(folder, "empty.json", ""),
         *unknown = write_text(folder, "unknown.json", "{\"model_type\": \"qwen9\"}"),
         *zero = write_text(folder, "zero.json", "{\"model_type\": \"qwen3\", \"vocab_size\": 8, \"hidden_size\": 0}"),
         *chip =
             write_text(folder, "chip.json", "{\"name\": \"x\", \"memory_bandwidth\": 0, \"peaks\": {\"bf16\": 1}}"),
         *peaks =
             write_text(folder, "peaks.json", "{\"name\": \"x\", \"memory_bandwidth\": 1e9, \"peaks\": {\"bf17\": 1}}");
    struct {
        const char *model, *chip;
        int code;
        const char *says;
    } bad[] = {
        {"no/such", "H100", ALLOY_IO, "no/such"},        {empty, "H100", ALLOY_FORMAT, "empty.json"},
        {unknown, "H100", ALLOY_FORMAT, "qwen9"},        {zero, "H100", ALLOY_RANGE, "hidden_size"},
        {README, chip, ALLOY_RANGE, "memory_bandwidth"}, {README, peaks, ALLOY_FORMAT, "bf17"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct answer answer = run(plainly, "roofline", (char *)bad[i].model, "--hardware", (char *)bad[i].chip);
        expect_error(&answer, bad[i].code, bad[i].says);
        forget(&answer);
    }
    struct answer answer = run(plainly, "roofline");
    expect_error(&answer, ALLOY_ARG, "MODEL is missing");
    forget(&answer);
    remove_folder(folder);
}

/* Nothing that only other commands need is loaded. */
static void the_command_links_few_libraries(void **state)
{
    (void)state;
    FILE *list = popen("ldd " ALLOY_COMMAND, "r");
    assert_non_null(list);
    for (char line[512]; fgets(line, sizeof line, list);) {
        assert_null(strstr(line, "libcurl"));
        assert_null(strstr(line, "libmpi"));
    }
    pclose(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_fit_100_columns),
        cmocka_unit_test(a_report_opens_with_the_published_lines),
        cmocka_unit_test(every_mode_says_its_lengths),
        cmocka_unit_test(several_chips_are_compared),
        cmocka_unit_test(a_page_and_a_drawing_are_written_beside_the_report),
        cmocka_unit_test(standard_output_takes_one_document),
        cmocka_unit_test(json_has_every_quantity),
        cmocka_unit_test(rows_of_json_sum_to_the_total),
        cmocka_unit_test(numbers_beyond_53_bits_keep_all_digits),
        cmocka_unit_test(csv_has_a_row_a_module),
        cmocka_unit_test(both_accountings_are_itemised),
        cmocka_unit_test(text_fits_a_hundred_columns),
        cmocka_unit_test(an_estimate_is_called_one),
        cmocka_unit_test(explanations_show_numbers_and_sources),
        cmocka_unit_test(all_chips_are_listed),
        cmocka_unit_test(routing_of_a_run_is_read_from_its_file),
        cmocka_unit_test(a_models_folder_tells_its_dtypes),
        cmocka_unit_test(every_example_opens),
        cmocka_unit_test(huge_dimensions_overflow_nothing),
        cmocka_unit_test(flags_that_cannot_be_meant_are_refused),
        cmocka_unit_test(a_forward_is_named_by_its_lengths),
        cmocka_unit_test(what_does_not_fit_is_said),
        cmocka_unit_test(configs_and_chips_that_are_not_sound_are_refused),
        cmocka_unit_test(the_command_links_few_libraries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
