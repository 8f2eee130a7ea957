/* Loading plug-ins (src/modules/plugin.c): a sound one registers its modules, and every fault of a file is an error
 * that names the file, found before any code of it runs where that can be. The ids L1 to L5 are those of the list of
 * bad inputs.
 *
 * The fixtures are copied into a folder that this user alone may write to, whatever the umask was when they were
 * built. */
#include "support.h"

#include "alloy/extend.h"

#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

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

/* The same file by another name is the same; another file by a name that was used before is another. */
static void a_file_is_itself_by_any_name_and_no_other(void **state)
{
    (void)state;
    static const char *const names[] = {"no_info.so", "other_abi.so", "no_init.so"};
    static const char *const words[] = {"no symbol alloy_plugin;", "ABI version 0", "no symbol alloy_plugin_init"};
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 3; i++) { /* refused and closed: the next has the descriptor's number again */
            char plugin[300];
            snprintf(plugin, sizeof plugin, "%s", fixture(names[i]));
            expect_failure(alloy_plugin_load(plugin), ALLOY_FORMAT, names[i], words[i]);
            assert_int_equal(rename(plugin, path_in(folder, "plugin.so")), 0);
            expect_failure(alloy_plugin_load(path_in(folder, "plugin.so")), ALLOY_FORMAT, "plugin.so", words[i]);
        }
    assert_null(alloy_ffn_by_name("again"));
    char *path = fixture("again.so"), *linked = path_in(folder, "hard_link.so");
    expect_ok(alloy_plugin_load(path));
    assert_int_equal(link(path, linked), 0);
    expect_ok(alloy_plugin_load(linked)); /* else its name would be taken */
    assert_non_null(alloy_ffn_by_name("again"));
    expect_failure(alloy_plugin_load(fixture("no_info.so")), ALLOY_FORMAT, "no symbol alloy_plugin;");
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

/* The end of the last segment of an object, and the program header of a type in its bytes. */
static size_t end_of_segments(const char *bytes)
{
    size_t end = 0;
    Elf64_Ehdr header;
    memcpy(&header, bytes, sizeof header);
    for (int i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr part;
        memcpy(&part, bytes + header.e_phoff + (size_t)i * sizeof part, sizeof part);
        if (part.p_type == PT_LOAD && part.p_offset + part.p_filesz > end)
            end = part.p_offset + part.p_filesz;
    }
    return end;
}

/* L2: a segment beyond the end of the file would be SIGBUS in the loader. */
static void l2_a_truncated_object_is_refused(void **state)
{
    (void)state;
    size_t size;
    char *bytes = read_whole(path_in(FIXTURES, "sound.so"), &size);
    size_t end = end_of_segments(bytes);
    assert_in_range(end, 4096, size);
    for (size_t cut = 0; cut < end; cut += cut < 2048 ? 8 : 997)
        expect_failure(alloy_plugin_load(write_file(folder, "cut.so", bytes, cut)), ALLOY_FORMAT, "cut.so");
    char *path = write_file(folder, "cut.so", bytes, end - 1);
    expect_failure(alloy_plugin_load(path), ALLOY_FORMAT, "cut.so is truncated", "a segment of", "build it again");
    free(bytes);
    expect_nothing_ran();
}

/* L2: numbers of its headers that nothing can be. */
static void l2_impossible_headers_are_refused(void **state)
{
    (void)state;
    enum { OF_HEADER, OF_FIRST_LOAD, OF_DYNAMIC };
    static const struct {
        int of;
        size_t at, bytes;
        uint64_t value;
        const char *word;
    } rows[] = {
        {OF_HEADER, offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX, "program headers"},
        {OF_HEADER, offsetof(Elf64_Ehdr, e_phoff), 8, INT64_MAX, "program headers"},
        {OF_HEADER, offsetof(Elf64_Ehdr, e_phnum), 2, 0xFFFF, "cut.so"},
        {OF_HEADER, offsetof(Elf64_Ehdr, e_phnum), 2, 0, "no segments"},
        {OF_HEADER, offsetof(Elf64_Ehdr, e_phentsize), 2, 1, "program headers have 1 bytes"},
        {OF_FIRST_LOAD, offsetof(Elf64_Phdr, p_offset), 8, UINT64_MAX, "truncated"},
        {OF_FIRST_LOAD, offsetof(Elf64_Phdr, p_offset), 8, UINT64_MAX - 8, "truncated"},
        {OF_FIRST_LOAD, offsetof(Elf64_Phdr, p_filesz), 8, UINT64_MAX, "truncated"},
        {OF_FIRST_LOAD, offsetof(Elf64_Phdr, p_memsz), 8, 1, "impossible"},
        {OF_FIRST_LOAD, offsetof(Elf64_Phdr, p_memsz), 8, UINT64_MAX, "impossible"},
        {OF_FIRST_LOAD, offsetof(Elf64_Phdr, p_vaddr), 8, UINT64_MAX - 4096, "impossible"},
        {OF_DYNAMIC, offsetof(Elf64_Phdr, p_vaddr), 8, UINT64_MAX - 4096, "dynamic section"},
        {OF_DYNAMIC, offsetof(Elf64_Phdr, p_filesz), 8, UINT64_MAX, "dynamic section"},
        {OF_DYNAMIC, offsetof(Elf64_Phdr, p_type), 4, PT_NULL, "no dynamic section"},
    };
    size_t size;
    char *bytes = read_whole(path_in(FIXTURES, "sound.so"), &size), *changed = malloc(size);
    assert_non_null(changed);
    Elf64_Ehdr header;
    memcpy(&header, bytes, sizeof header);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t at = rows[i].at;
        Elf64_Phdr part = {0};
        for (int p = 0; rows[i].of != OF_HEADER && part.p_type != (rows[i].of == OF_DYNAMIC ? PT_DYNAMIC : PT_LOAD);
             p++) {
            assert_in_range(p, 0, header.e_phnum - 1);
            memcpy(&part, bytes + header.e_phoff + (size_t)p * sizeof part, sizeof part);
            at = rows[i].at + header.e_phoff + (size_t)p * sizeof part;
        }
        memcpy(changed, bytes, size);
        memcpy(changed + at, &rows[i].value, rows[i].bytes); /* little endian */
        expect_failure(alloy_plugin_load(write_file(folder, "cut.so", changed, size)), ALLOY_FORMAT, "cut.so",
                       rows[i].word);
    }
    free(bytes);
    free(changed);
    expect_nothing_ran();
}

static void l2_an_unresolved_symbol_is_named(void **state)
{
    (void)state;
    expect_failure(alloy_plugin_load(fixture("unresolved.so")), ALLOY_FORMAT, "unresolved.so", "no_library_has_this");
    assert_null(strstr(alloy_error(), "/proc/")); /* the file's name, not the loader's for it */
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
    expect_failure(alloy_plugin_load(fixture("other_abi.so")), ALLOY_FORMAT, "other_abi.so", "ABI version 0", "has 3",
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

/* L5: each folder on the way, however far up, and however the path leads to it. */
static void l5_every_folder_on_the_way_is_judged(void **state)
{
    (void)state;
    char top[256], path[400], round[400], here[4096];
    size_t size;
    char *bytes = read_whole(path_in(FIXTURES, "no_info.so"), &size);
    snprintf(top, sizeof top, "%s/top", folder);
    assert_int_equal(mkdir(top, 0700), 0);
    snprintf(path, sizeof path, "%s", write_file(folder, "top/middle/low/no_info.so", bytes, size));
    free(bytes);
    assert_int_equal(chmod(path, 0644) + chmod(path_in(top, "middle"), 0755) + chmod(path_in(top, "middle/low"), 0755),
                     0);
    assert_int_equal(mkdir(path_in(folder, "elsewhere"), 0700), 0);
    snprintf(round, sizeof round, "%s/elsewhere/../top/./middle//low/no_info.so", folder);
    assert_int_equal(symlink("../top/middle", path_in(folder, "elsewhere/link")), 0);
    assert_non_null(getcwd(here, sizeof here));
    for (int mode = 0; mode < 3; mode++) {
        static const mode_t modes[] = {0777, 01777, 0755};
        static const alloy_status expected[] = {ALLOY_TRUST, ALLOY_FORMAT, ALLOY_FORMAT};
        static const char *const words[] = {"top is writable by everybody", "no symbol", "no symbol"};
        assert_int_equal(chmod(top, modes[mode]), 0);
        expect_failure(alloy_plugin_load(path), expected[mode], words[mode]);
        expect_failure(alloy_plugin_load(round), expected[mode], words[mode]);
        expect_failure(alloy_plugin_load(path_in(folder, "elsewhere/link/low/no_info.so")), expected[mode],
                       words[mode]);
        assert_int_equal(chdir(path_in(top, "middle/low")), 0);
        alloy_status status = alloy_plugin_load("./no_info.so");
        assert_int_equal(chdir(here), 0);
        expect_failure(status, expected[mode], words[mode]);
    }
}

/* L5: in a sticky folder others make files, folders and links of their own. */
static void l5_folders_and_links_of_others_are_not_followed(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give them away */
    char *path = fixture("sound.so"), *shared = path_in(folder, "shared"), *link = path_in(folder, "shared/link.so"),
         *theirs = path_in(folder, "theirs");
    assert_int_equal(mkdir(shared, 0700) + chmod(shared, 01777) + symlink(path, link) + lchown(link, 12345, 12345), 0);
    expect_failure(alloy_plugin_load(link), ALLOY_TRUST, "shared/link.so", "user 12345");
    assert_int_equal(mkdir(theirs, 0755) + symlink(path, path_in(folder, "theirs/link.so")), 0);
    assert_int_equal(chown(theirs, 12345, 12345), 0);
    expect_failure(alloy_plugin_load(path_in(folder, "theirs/link.so")), ALLOY_TRUST, "theirs", "user 12345");
    expect_nothing_ran();
}

/* What was judged is what is opened, while somebody exchanges the file for another all the time. */
struct exchange {
    char one[300], other[300];
    atomic_bool stop;
};

static void *exchange_all_the_time(void *argument)
{
    struct exchange *e = argument;
    while (!atomic_load(&e->stop))
        renameat2(AT_FDCWD, e->one, AT_FDCWD, e->other, RENAME_EXCHANGE);
    return NULL;
}

static void l5_the_file_that_was_judged_is_the_one_that_is_opened(void **state)
{
    (void)state;
    enum { TIMES = 400 };
    struct exchange exchange = {0};
    pthread_t thread;
    int refused = 0;
    snprintf(exchange.one, sizeof exchange.one, "%s", fixture("no_info.so"));
    snprintf(exchange.other, sizeof exchange.other, "%s", fixture("other_abi.so"));
    chmod(exchange.other, 0666); /* never to be opened: its fault would be its ABI */
    assert_int_equal(pthread_create(&thread, NULL, exchange_all_the_time, &exchange), 0);
    for (int i = 0; i < TIMES; i++) {
        alloy_status status = alloy_plugin_load(exchange.one);
        if (status == ALLOY_FORMAT && strstr(alloy_error(), "ABI"))
            fail_msg("a file that everybody may write was opened: %s", alloy_error());
        refused += status == ALLOY_TRUST;
    }
    atomic_store(&exchange.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    print_message("refused %d times of %d\n", refused, (int)TIMES);
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
        test(l5_every_folder_on_the_way_is_judged),
        test(l5_folders_and_links_of_others_are_not_followed),
        test(l5_the_file_that_was_judged_is_the_one_that_is_opened),
        test(a_file_of_another_user_is_not_opened),
        test(only_regular_files_are_opened),
        test(l1_a_missing_plugin_is_named),
        test(l5_a_bare_name_is_not_searched_for),
        test(l2_what_is_not_elf_is_refused),
        test(l2_another_processors_code_is_refused),
        test(l2_a_truncated_object_is_refused),
        test(l2_impossible_headers_are_refused),
        test(l2_an_unresolved_symbol_is_named),
        test(l3_missing_symbols_are_named),
        test(l3_another_version_is_told_by_its_numbers),
        test(l4_an_init_that_fails_is_an_error),
        test(l4_a_name_that_is_taken_is_an_error),
        test(a_sound_plugin_registers_its_modules),
        test(loading_the_same_file_twice_is_loading_it_once),
        test(a_link_to_a_plugin_is_followed),
        test(a_file_is_itself_by_any_name_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
