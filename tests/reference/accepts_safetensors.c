/* For safetensors_equality.py: does the library accept these files?
 *
 *     accepts_safetensors --cases FOLDER    writes tests/attacks/safetensors_cases.h into FOLDER, a file each
 *     accepts_safetensors                   reads paths, one a line; prints "0" (accepted), or a status and its text */
#include <stdio.h>
#include <string.h>

#include "attacks/safetensors_cases.h"
#include "files/safetensors.h"

static int write_cases(const char *folder)
{
    for (int i = 0; i < SAFETENSORS_CASES; i++) {
        char path[4096];
        size_t size;
        uint8_t *bytes = safetensors_case_bytes(&safetensors_cases[i], &size);
        snprintf(path, sizeof path, "%s/%03d.safetensors", folder, i);
        FILE *file = fopen(path, "wb");
        if (!bytes || !file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
            return 1;
        free(bytes);
    }
    return 0;
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "--cases") == 0)
        return write_cases(arguments[2]);
    for (char path[4096]; fgets(path, sizeof path, stdin);) {
        path[strcspn(path, "\n")] = 0;
        alloy_safetensors file;
        alloy_status status = alloy_safetensors_open(&file, path, true);
        alloy_safetensors_close(&file);
        if (status)
            printf("%d %s\n", status, alloy_error());
        else
            printf("0\n");
        fflush(stdout);
    }
    return 0;
}
