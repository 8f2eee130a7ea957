/* What is mapped, looked up by address: what a handler of SIGBUS asks (F1 to F4). */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/file.h"
#include "base/mapping.h"
#include "base/memory.h"

static bool found(const void *address, const char *path, uint64_t offset)
{
    char name[600];
    uint64_t at;
    return alloy_mapping_find(address, name, sizeof name, &at) && strcmp(name, path) == 0 && at == offset;
}

static bool is_mapped(const void *address)
{
    char name[600];
    uint64_t at;
    return alloy_mapping_find(address, name, sizeof name, &at);
}

static void f2_an_address_leads_to_its_file_and_byte(void **state)
{
    (void)state;
    char *folder = test_folder(), a[256], b[256];
    snprintf(a, sizeof a, "%s", write_text(folder, "a", "hello"));
    snprintf(b, sizeof b, "%s", write_text(folder, "b", "worlds"));
    alloy_file one, other, read;
    expect_ok(alloy_file_open(&one, a, 100, true));
    expect_ok(alloy_file_open(&other, b, 100, true));
    expect_ok(alloy_file_open(&read, a, 100, false));
    const uint8_t *first = one.data, *second = other.data;
    assert_true(found(first, a, 0) && found(first + 4, a, 4) && found(second + 5, b, 5));
    assert_false(is_mapped(first + 5));
    assert_false(is_mapped(second + 6));
    assert_false(is_mapped(read.data)); /* memory: no page of it can be lost */
    assert_false(is_mapped(NULL));
    alloy_file_close(&one);
    assert_false(is_mapped(first));
    assert_true(found(second, b, 0));
    alloy_file_close(&other);
    alloy_file_close(&read);
    assert_false(is_mapped(second));
    remove_folder(folder);
}

static void a_part_of_a_file_has_the_bytes_of_the_file(void **state)
{
    (void)state;
    static const char bytes[100];
    alloy_mapping *part;
    expect_ok(alloy_mapping_add(&part, (uintptr_t)(bytes + 10), 20, 4096, "x.so"));
    assert_true(found(bytes + 10, "x.so", 4096) && found(bytes + 29, "x.so", 4096 + 19));
    assert_false(is_mapped(bytes + 9));
    assert_false(is_mapped(bytes + 30));
    alloy_mapping_remove(part);
    alloy_mapping_remove(NULL);
}

/* A handler writes the name to a terminal as it is. */
static void names_are_printable_and_cut(void **state)
{
    (void)state;
    static const char bytes[1];
    char name[4];
    uint64_t at;
    alloy_mapping *part;
    expect_ok(alloy_mapping_add(&part, (uintptr_t)bytes, 1, 0, "a\x1b[2J"));
    assert_true(found(bytes, "a\\x1B[2J", 0));
    assert_true(alloy_mapping_find(bytes, name, sizeof name, &at));
    expect_text(name, "a\\x");
    alloy_mapping_remove(part);
}

static void want_of_memory_closes_the_file(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = write_text(folder, "a", "hello");
    alloy_status status = ALLOY_NOMEM;
    for (int64_t n = 0; status == ALLOY_NOMEM && n < 10; n++) {
        alloy_file file;
        alloy_memory_fail_after(n);
        status = alloy_file_open(&file, path, 100, true);
        alloy_memory_fail_after(-1);
        assert_true(status ? !file.data : is_mapped(file.data));
        alloy_file_close(&file);
    }
    expect_ok(status);
    remove_folder(folder);
}

enum { ROUNDS = 20000 };

static const char shared[64];
static atomic_int ended; /* threads */

static void *come_and_go(void *argument)
{
    const char *bytes = argument;
    for (int i = 0; i < ROUNDS; i++) {
        alloy_mapping *part;
        if (alloy_mapping_add(&part, (uintptr_t)bytes, 8, 0, "part"))
            break; /* no memory: not all rounds */
        sched_yield();
        alloy_mapping_remove(part);
    }
    atomic_fetch_add(&ended, 1);
    return argument;
}

/* Who looks up meets mappings that others add and remove: what it finds is whole, and is not freed under it. */
static void looking_up_goes_on_while_others_map_and_unmap(void **state)
{
    (void)state;
    alloy_mapping *stays;
    pthread_t threads[2];
    expect_ok(alloy_mapping_add(&stays, (uintptr_t)(shared + 48), 8, 7, "stays"));
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, (void *)(shared + 16 * i)), 0);
    int seen = 0, looks = 0;
    for (; atomic_load(&ended) < 2 || looks < ROUNDS; looks++) {
        assert_true(found(shared + 49, "stays", 8));
        char name[16];
        uint64_t at;
        bool here = alloy_mapping_find(shared + 3, name, sizeof name, &at);
        assert_true(!here || (strcmp(name, "part") == 0 && at == 3));
        seen += here;
    }
    for (int i = 0; i < 2; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
    assert_false(is_mapped(shared) || is_mapped(shared + 16));
    alloy_mapping_remove(stays);
    assert_false(is_mapped(shared + 48));
    print_message("met %d times in %d\n", seen, looks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f2_an_address_leads_to_its_file_and_byte),
        cmocka_unit_test(a_part_of_a_file_has_the_bytes_of_the_file),
        cmocka_unit_test(names_are_printable_and_cut),
        cmocka_unit_test(want_of_memory_closes_the_file),
        cmocka_unit_test(looking_up_goes_on_while_others_map_and_unmap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
