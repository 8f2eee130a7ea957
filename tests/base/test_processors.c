/* How many processors there are for this process: affinity, and quotas of control groups of both versions, from files
 * as the system writes them and from files that are not so. */
#include "support.h"

#include <sched.h>
#include <sys/stat.h>

#include "base/processors.h"
#include "base/threads.h"

/* The quota, where files of `folder` stand for the system's: cgroup, and a mountinfo that mounts trees there. */
static int quota_in(const char *folder, const char *groups, const char *mount)
{
    char mounts[8192];
    snprintf(mounts, sizeof mounts,
             "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
             "23 22 0:5 / /proc rw - proc proc rw\n"
             "%s",
             mount);
    write_text(folder, "cgroup", groups);
    write_text(folder, "mountinfo", mounts);
    char *groups_path = path_in(folder, "cgroup"), *mounts_path = path_in(folder, "mountinfo");
    return alloy_processor_quota(groups_path, mounts_path);
}

/* A line of mountinfo: `root` of a tree seen at folder/place. */
static char *mount_line(const char *root, const char *folder, const char *place, const char *type, const char *options)
{
    static char line[4096];
    snprintf(line, sizeof line, "31 22 0:28 %s %s/%s rw,nosuid shared:9 master:1 - %s %s %s\n", root, folder, place,
             type, type, options);
    return line;
}

static void version_2_the_least_quota_up_to_the_root_holds(void **state)
{
    (void)state;
    char *folder = test_folder();
    char *mount = mount_line("/", folder, "tree", "cgroup2", "rw,nsdelegate");
    write_text(folder, "tree/a/b/cpu.max", "max 100000\n");
    assert_int_equal(quota_in(folder, "0::/a/b\n", mount), 0);
    write_text(folder, "tree/a/cpu.max", "400000 100000\n");
    assert_int_equal(quota_in(folder, "0::/a/b\n", mount), 4);
    write_text(folder, "tree/a/b/cpu.max", "150000 100000\n");
    assert_int_equal(quota_in(folder, "0::/a/b\n", mount), 2); /* one and a half: two threads can use it */
    write_text(folder, "tree/cpu.max", "10000 100000\n");
    assert_int_equal(quota_in(folder, "0::/a/b\n", mount), 1);
    assert_int_equal(quota_in(folder, "0::/\n", mount), 1);
    remove_folder(folder);
}

static void version_1_has_a_file_for_the_quota_and_one_for_the_period(void **state)
{
    (void)state;
    char *folder = test_folder();
    const char *groups = "9:name=systemd:/\n4:memory:/far\n3:cpuset:/a\n2:cpu,cpuacct:/a\n";
    char *mount = mount_line("/", folder, "tree", "cgroup", "rw,cpu,cpuacct");
    write_text(folder, "tree/a/cpu.cfs_quota_us", "-1\n");
    write_text(folder, "tree/a/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota_in(folder, groups, mount), 0);
    write_text(folder, "tree/a/cpu.cfs_quota_us", "300000\n");
    assert_int_equal(quota_in(folder, groups, mount), 3);
    assert_int_equal(quota_in(folder, "3:cpuset,cpuacct:/a\n", mount), 0); /* not the controller of quotas */
    assert_int_equal(quota_in(folder, groups, mount_line("/", folder, "tree", "cgroup", "rw,cpuset")),
                     0); /* another tree */
    assert_int_equal(remove(path_in(folder, "tree/a/cpu.cfs_period_us")), 0);
    assert_int_equal(quota_in(folder, groups, mount_line("/", folder, "tree", "cgroup", "rw,cpu")), 0);
    remove_folder(folder);
}

static void both_versions_hold_where_both_are_mounted(void **state)
{
    (void)state;
    char *folder = test_folder();
    char both[8192];
    write_text(folder, "one/cpu.cfs_quota_us", "500000\n");
    write_text(folder, "one/cpu.cfs_period_us", "100000\n");
    write_text(folder, "two/x/cpu.max", "600000 100000\n");
    snprintf(both, sizeof both, "%s", mount_line("/", folder, "one", "cgroup", "rw,cpu"));
    strcat(both, mount_line("/", folder, "two", "cgroup2", "rw"));
    assert_int_equal(quota_in(folder, "2:cpu:/\n0::/x\n", both), 5);
    write_text(folder, "two/x/cpu.max", "200000 100000\n");
    assert_int_equal(quota_in(folder, "2:cpu:/\n0::/x\n", both), 2);
    remove_folder(folder);
}

/* A container sees its own group at the mount point, whatever its path is called outside. */
static void in_a_container_the_mount_point_is_the_group(void **state)
{
    (void)state;
    char *folder = test_folder();
    write_text(folder, "my tree/cpu.max", "700000 100000\n");
    write_text(folder, "my tree/inner/cpu.max", "300000 100000\n");
    char *mount = mount_line("/docker/abc", folder, "my\\040tree", "cgroup2", "rw");
    assert_int_equal(quota_in(folder, "0::/docker/abc\n", mount), 7);
    assert_int_equal(quota_in(folder, "0::/docker/abc/inner\n", mount), 3);
    assert_int_equal(quota_in(folder, "0::/docker/abcdef/inner\n", mount), 7); /* not below /docker/abc */
    assert_int_equal(quota_in(folder, "0::/elsewhere\n", mount), 7);
    assert_int_equal(quota_in(folder, "0::/\n", mount), 7);
    assert_int_equal(quota_in(folder, "0::/docker/abc/../../inner\n", mount), 7);
    remove_folder(folder);
}

static void files_that_are_not_as_expected_set_no_limit(void **state)
{
    (void)state;
    static const char *const quotas[] = {
        "",       "\n",    "max\n",   "100000\n",  "-5 100000\n",  "0 100000\n", "1 0\n",
        "1 -1\n", "x y\n", "1e3 1\n", "nan inf\n", "100000 max\n", "max max",    "99999999999999999999999999 1"};
    char *folder = test_folder();
    char mount[4096];
    snprintf(mount, sizeof mount, "%s", mount_line("/", folder, "tree", "cgroup2", "rw"));
    for (size_t i = 0; i < sizeof quotas / sizeof *quotas; i++) {
        write_text(folder, "tree/cpu.max", quotas[i]);
        int quota = quota_in(folder, "0::/\n", mount);
        if (quota != 0 && quota != ALLOY_MOST_THREADS)
            fail_msg("cpu.max of \"%s\" is a quota of %d", quotas[i], quota);
    }
    write_text(folder, "tree/cpu.max", "200000 100000\n");
    static const char *const groups[] = {"",     "\n",  ":",     "0",       "0:",      "0:x",
                                         "::::", "cpu", "1:cpu", "0:cpu,:", "\xff\n\0"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        quota_in(folder, groups[i], mount);
    static const char *const mounts[] = {"- \n", "1 2 3 4 5 6 -\n", "1 2 3 4 5 6 - cgroup2\n", "1 2 - cgroup2 a b\n",
                                         "1 2 3 \\777 \\1 6 - cgroup2 \\04 \\\n"};
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++)
        assert_int_equal(quota_in(folder, "0::/\n", mounts[i]), 0);
    remove_folder(folder);
}

static void lines_of_any_length_and_other_kinds_of_files_are_harmless(void **state)
{
    (void)state;
    char *folder = test_folder();
    char mount[4096];
    snprintf(mount, sizeof mount, "%s", mount_line("/", folder, "tree", "cgroup2", "rw"));
    write_text(folder, "tree/cpu.max", "200000 100000\n");
    char *groups = calloc(1, 40000);
    assert_non_null(groups);
    strcpy(groups, "0::/"); /* a path that fits no line is skipped, and the next line is read */
    memset(groups + 4, 'a', 30000);
    strcat(groups, "\n0::/\n");
    assert_int_equal(quota_in(folder, groups, mount), 2);
    strcpy(groups, "0::"); /* as long as a line may be: deeper than any path */
    for (int i = 0; i < 2040; i++)
        strcat(groups, "/a");
    strcat(groups, "\n");
    assert_int_equal(quota_in(folder, groups, mount), 2);
    free(groups);
    assert_int_equal(remove(path_in(folder, "tree/cpu.max")), 0);
    assert_int_equal(mkfifo(path_in(folder, "tree/cpu.max"), 0600), 0);
    assert_int_equal(quota_in(folder, "0::/\n", mount), 0);
    assert_int_equal(mkfifo(path_in(folder, "fifo"), 0600), 0);
    char *fifo = path_in(folder, "fifo");
    assert_int_equal(alloy_processor_quota(fifo, fifo), 0);
    assert_int_equal(alloy_processor_quota(folder, folder), 0);
    assert_int_equal(alloy_processor_quota("/nowhere", "/nowhere"), 0);
    remove_folder(folder);
}

static void the_affinity_mask_holds(void **state)
{
    (void)state;
    cpu_set_t before, one;
    int all = alloy_processors();
    assert_in_range(all, 1, ALLOY_MOST_THREADS);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(alloy_processors(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(alloy_processors(), all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_2_the_least_quota_up_to_the_root_holds),
        cmocka_unit_test(version_1_has_a_file_for_the_quota_and_one_for_the_period),
        cmocka_unit_test(both_versions_hold_where_both_are_mounted),
        cmocka_unit_test(in_a_container_the_mount_point_is_the_group),
        cmocka_unit_test(files_that_are_not_as_expected_set_no_limit),
        cmocka_unit_test(lines_of_any_length_and_other_kinds_of_files_are_harmless),
        cmocka_unit_test(the_affinity_mask_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
