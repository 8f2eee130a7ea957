/* Loading plug-ins (src/modules/plugin.c): a sound one registers its modules, and every fault of a file is an error
 * that names the file, found before any code of it runs where that can be. The ids L1 to L5 are those of the list of
 * bad inputs.
 *
 * The fixtures are copied into a folder that this user alone may write to, whatever the umask was when they were
 * built. */
#include "support.h"

#include "alloy/extend.h"

#include <elf.h>

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = test_folder();
    unsetenv("ALLOY_FIXTURE_RAN");
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* A copy of a file in the folder, under its own name. */
static char *copy(const char *from)
{
    size_t size;
    char *bytes = read_whole(from, &size);
    char *path = write_file(folder, strrchr(from, '/') + 1, bytes, size);
    chmod(path, 0644);
    free(bytes);
    return path;
}

static char *fixture(const char *name)
{
    return copy(path_in(FIXTURES, name));
}

static void expect_nothing_ran(void)
{
    assert_null(getenv("ALLOY_FIXTURE_RAN"));
}

/* ---- Sound ones -------------------------------------------------------------------------------------------------- */

static void a_sound_plugin_registers_its_modules(void **state)
{
    (void)state;
    assert_null(alloy_ffn_by_name("fixture"));
    expect_ok(alloy_plugin_load(fixture("sound.so")));
    const alloy_ffn *ffn = alloy_ffn_by_name("fixture");
    assert_non_null(ffn);
    expect_text(ffn->summary, "gives back what it gets");
}

static void loading_the_same_file_twice_is_loading_it_once(void **state)
{
    (void)state;
    char *path = copy(MAMBA2);
    expect_ok(alloy_plugin_load(path));
    expect_ok(alloy_plugin_load(path));
    assert_non_null(alloy_mixer_by_name("mamba2"));
}

static void a_link_to_a_plugin_is_followed(void **state)
{
    (void)state;
    char *path = fixture("linked.so"), *link = path_in(folder, "link.so");
    assert_int_equal(symlink(path, link), 0);
    expect_ok(alloy_plugin_load(link));
    assert_non_null(alloy_ffn_by_name("linked"));
}

/* ---- L1: not there, or no path ----------------------------------------------------------------------------------- */

static void l1_a_missing_plugin_is_named(void **state)
{
    (void)state;
    expect_failure(alloy_plugin_load(path_in(folder, "nowhere.so")), ALLOY_FORMAT, "nowhere.so", "No such file");
    expect_failure(alloy_plugin_load(path_in(folder, "no/folder.so")), ALLOY_FORMAT, "no/folder.so", "No such file");
}

static void l5_a_bare_name_is_not_searched_for(void **state)
{
    (void)state;
    expect_failure(alloy_plugin_load("sound.so"), ALLOY_TRUST, "sound.so", "'/'");
    expect_failure(alloy_plugin_load("libm.so.6"), ALLOY_TRUST, "libm.so.6", "'/'");
    expect_failure(alloy_plugin_load(""), ALLOY_ARG, "path");
}

/* ---- L2: not a shared object of this machine --------------------------------------------------------------------- */

static void l2_what_is_not_elf_is_refused(void **state)
{
    (void)state;
    expect_failure(alloy_plugin_load(
                       write_text(folder, "script.so", "#!/bin/sh\necho hello, this is no shared object, of course\n")),
                   ALLOY_FORMAT, "script.so", "not an ELF file");
    expect_failure(alloy_plugin_load(write_text(folder, "empty.so", "")), ALLOY_FORMAT, "empty.so", "not an ELF file");
    expect_failure(alloy_plugin_load(write_file(folder, "short.so", ELFMAG, SELFMAG)), ALLOY_FORMAT, "short.so",
                   "not an ELF file");
}

/* The sound fixture with another header. */
static char *patched(const char *name, void (*patch)(Elf64_Ehdr *))
{
    size_t size;
    char *bytes = read_whole(path_in(FIXTURES, "sound.so"), &size);
    Elf64_Ehdr header;
    memcpy(&header, bytes, sizeof header);
    patch(&header);
    memcpy(bytes, &header, sizeof header);
    char *path = write_file(folder, name, bytes, size);
    free(bytes);
    return path;
}

static void for_another_machine(Elf64_Ehdr *header)
{
    header->e_machine = EM_S390;
}

static void of_32_bits(Elf64_Ehdr *header)
{
    header->e_ident[EI_CLASS] = ELFCLASS32;
}

static void a_program(Elf64_Ehdr *header)
{
    header->e_type = ET_EXEC;
}

static void l2_another_processors_code_is_refused(void **state)
{
    (void)state;
    expect_failure(alloy_plugin_load(patched("s390.so", for_another_machine)), ALLOY_FORMAT, "s390.so",
                   "another processor");
    expect_failure(alloy_plugin_load(patched("i386.so", of_32_bits)), ALLOY_FORMAT, "i386.so", "another processor");
    expect_failure(alloy_plugin_load(patched("program.so", a_program)), ALLOY_FORMAT, "program.so",
                   "not a shared object");
    expect_nothing_ran();
}

static void l2_a_truncated_object_is_refused(void **state)
{
    (void)state;
    size_t size;
    char *bytes = read_whole(path_in(FIXTURES, "sound.so"), &size);
    char *path = write_file(folder, "cut.so", bytes, 100);
    free(bytes);
    expect_failure(alloy_plugin_load(path), ALLOY_FORMAT, "cut.so");
}

static void l2_an_unresolved_symbol_is_named(void **state)
{
    (void)state;
    expect_failure(alloy_plugin_load(fixture("unresolved.so")), ALLOY_FORMAT, "unresolved.so", "no_library_has_this");
}

/* ---- L3: without the symbols of a plug-in, or of another version ------------------------------------------------- */

static void l3_missing_symbols_are_named(void **state)
{
    (void)state;
    expect_failure(alloy_plugin_load(fixture("no_info.so")), ALLOY_FORMAT, "no_info.so", "no symbol alloy_plugin;");
    expect_failure(alloy_plugin_load(fixture("no_init.so")), ALLOY_FORMAT, "no_init.so", "no symbol alloy_plugin_init");
}

static void l3_another_version_is_told_by_its_numbers(void **state)
{
    (void)state;
    expect_failure(alloy_plugin_load(fixture("other_abi.so")), ALLOY_FORMAT, "other_abi.so", "ABI version 0", "has 1",
                   "recompile");
    expect_failure(alloy_plugin_load(fixture("larger_mixer.so")), ALLOY_FORMAT, "larger_mixer.so", "alloy_mixer",
                   "bytes", "recompile");
}

/* ---- L4: its init fails, its names are taken --------------------------------------------------------------------- */

static void l4_an_init_that_fails_is_an_error(void **state)
{
    (void)state;
    expect_failure(alloy_plugin_load(fixture("fails.so")), ALLOY_FORMAT, "fails.so", "alloy_plugin_init", "failed");
}

static void l4_a_name_that_is_taken_is_an_error(void **state)
{
    (void)state;
    expect_failure(alloy_plugin_load(fixture("clash.so")), ALLOY_FORMAT, "clash.so", "qwen3_mlp");
}

/* ---- L5: files that somebody else could have written ------------------------------------------------------------- */

static void l5_a_file_that_others_may_write_is_not_opened(void **state)
{
    (void)state;
    char *path = fixture("sound.so");
    chmod(path, 0664);
    expect_failure(alloy_plugin_load(path), ALLOY_TRUST, "sound.so", "writable by its group");
    chmod(path, 0646);
    expect_failure(alloy_plugin_load(path), ALLOY_TRUST, "sound.so", "writable by everybody");
    expect_nothing_ran();
}

static void l5_a_folder_that_others_may_write_is_not_opened(void **state)
{
    (void)state;
    char *path = fixture("sound.so");
    chmod(folder, 0770);
    expect_failure(alloy_plugin_load(path), ALLOY_TRUST, folder, "writable by its group");
    chmod(folder, 0777);
    expect_failure(alloy_plugin_load(path), ALLOY_TRUST, folder, "writable by everybody");
    chmod(folder, 0700);
    expect_nothing_ran();
}

static void a_link_is_judged_by_both_its_folders(void **state)
{
    (void)state;
    char *open_folder = path_in(folder, "open"), *link = path_in(folder, "open/link.so");
    mkdir(open_folder, 0700);
    assert_int_equal(symlink(fixture("sound.so"), link), 0);
    chmod(open_folder, 0777);
    expect_failure(alloy_plugin_load(link), ALLOY_TRUST, "open", "writable by everybody");

    char *target = write_file(folder, "open/target.so", "", 0), *outside = path_in(folder, "outside.so");
    assert_int_equal(symlink(target, outside), 0);
    expect_failure(alloy_plugin_load(outside), ALLOY_TRUST, "open", "writable by everybody");
    expect_nothing_ran();
}

static void a_file_of_another_user_is_not_opened(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give a file away */
    char *path = fixture("sound.so");
    assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
    expect_failure(alloy_plugin_load(path), ALLOY_TRUST, "sound.so", "user 12345");
    expect_nothing_ran();
}

static void only_regular_files_are_opened(void **state)
{
    (void)state;
    char *fifo = path_in(folder, "fifo.so"), *inner = path_in(folder, "folder.so");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(mkdir(inner, 0700), 0);
    expect_failure(alloy_plugin_load(fifo), ALLOY_TRUST, "fifo.so", "not a regular file");
    expect_failure(alloy_plugin_load(inner), ALLOY_TRUST, "folder.so", "not a regular file");
    expect_failure(alloy_plugin_load("/dev/null"), ALLOY_TRUST, "/dev/null");
}

#define test(name) cmocka_unit_test_setup_teardown(name, make_folder, drop_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(l5_a_file_that_others_may_write_is_not_opened),
        test(l5_a_folder_that_others_may_write_is_not_opened),
        test(a_link_is_judged_by_both_its_folders),
        test(a_file_of_another_user_is_not_opened),
        test(only_regular_files_are_opened),
        test(l1_a_missing_plugin_is_named),
        test(l5_a_bare_name_is_not_searched_for),
        test(l2_what_is_not_elf_is_refused),
        test(l2_another_processors_code_is_refused),
        test(l2_a_truncated_object_is_refused),
        test(l2_an_unresolved_symbol_is_named),
        test(l3_missing_symbols_are_named),
        test(l3_another_version_is_told_by_its_numbers),
        test(l4_an_init_that_fails_is_an_error),
        test(l4_a_name_that_is_taken_is_an_error),
        test(a_sound_plugin_registers_its_modules),
        test(loading_the_same_file_twice_is_loading_it_once),
        test(a_link_to_a_plugin_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
