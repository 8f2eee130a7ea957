/* A program that knows Alloy only as installed: tells the version, and what the mixer of a plug-in is, where one is
 * given. */
#include <alloy/extend.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    printf("alloy %s\n", alloy_version());
    if (argc < 2)
        return 0;
    const alloy_mixer *mixer = alloy_plugin_load(argv[1]) ? NULL : alloy_mixer_by_name("mamba2");
    if (!mixer) {
        fprintf(stderr, "%s\n", alloy_error());
        return 1;
    }
    printf("%s: %s\n", mixer->name, mixer->summary);
    return 0;
}
