/* Stands in for libFuzzer: runs a target over files, and those of folders, and prints TAP. A
 * finding ends the program, so the plan at the end is missing. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static size_t ran;

static void run_file(const char *path, const char *name)
{
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        fuzz_fail("cannot read %s", path);
    }
    const size_t size = (size_t)status.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1); /* exactly: reads beyond it are found */
    if (data == NULL || fread(data, 1, size, file) != size) {
        fuzz_fail("cannot read %s", path);
    }
    fclose(file);
    printf("# %s\n", name);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    printf("ok %zu - %s\n", ++ran, name);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void run_folder(const char *path)
{
    struct dirent **entries = NULL;
    const int count = scandir(path, &entries, is_visible, alphasort);
    if (count < 0) {
        fuzz_fail("cannot read %s", path);
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        run_file(file, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    setenv("FUZZ_ALL", "1", 1); /* of what is kept, everything is computed */
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode)) {
            run_folder(argv[i]);
        } else {
            run_file(argv[i], argv[i]);
        }
    }
    printf("1..%zu\n", ran);
    return ran > 0 ? 0 : 1;
}
