/* Looks at a shared object from outside. Who loads which stands in backends.c and kernels/cuda. */
#include "kernels/measure/library_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether all that a shared object's own tables speak of is in the file: mapping what is cut short
 * would end the program by SIGBUS. */
static bool is_whole(const Elf64_Ehdr *head, const Elf64_Phdr *segments, int64_t file_bytes)
{
    if (head->e_shoff + (uint64_t)head->e_shnum * head->e_shentsize > (uint64_t)file_bytes) {
        return false;
    }
    for (size_t i = 0; i < head->e_phnum; i++) {
        if (segments[i].p_offset + segments[i].p_filesz > (uint64_t)file_bytes) {
            return false;
        }
    }
    return true;
}

/* What keeps an open file from being loaded; NULL: nothing that can be seen from outside. */
static const char *fault_of(int file)
{
    enum { SEGMENTS_MAX = 64 };
    struct stat about;
    Elf64_Ehdr head;
    Elf64_Phdr segments[SEGMENTS_MAX];
    if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
        return "it is no file";
    }
    if (pread(file, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
        head.e_phentsize != sizeof segments[0] || head.e_phnum > SEGMENTS_MAX) {
        return "it is no shared object";
    }
    const size_t table = head.e_phnum * sizeof segments[0];
    if (pread(file, segments, table, (off_t)head.e_phoff) != (ssize_t)table ||
        !is_whole(&head, segments, about.st_size)) {
        return "it is cut short";
    }
    return NULL;
}

enum lq_code lq_library_refuse(const char *what, const char *path, const char *why,
                               struct lq_error *err)
{
    return lq_fail(err, LQ_EDEVICE, NULL, "%s %.120s cannot be loaded: %.200s", what, path,
                   why != NULL ? why : "it is none");
}

enum lq_code lq_library_check(const char *what, const char *path, char name[LQ_LIBRARY_PATH_MAX],
                              struct lq_error *err)
{
    const char *here = strchr(path, '/') == NULL ? "./" : "";
    if (strlen(here) + strlen(path) >= LQ_LIBRARY_PATH_MAX) {
        return lq_library_refuse(what, path, strerror(ENAMETOOLONG), err);
    }
    stpcpy(stpcpy(name, here), path);
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO would wait */
    if (file < 0) {
        return lq_library_refuse(what, path, strerror(errno), err);
    }
    const char *fault = fault_of(file);
    close(file);
    return fault != NULL ? lq_library_refuse(what, path, fault, err) : LQ_OK;
}
