/* Finds and loads modules of backends. Which device of them is used is decided in rig.c. */
#include "kernels/measure/backends.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MODULE[] = "llmquote-cuda.so";

const char *const LQ_BACKEND_NAMES[] = {"cuda", "cpu", NULL};

typedef const struct lq_backend *backend_fn(void);

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* The folder of this program, with its last '/'; false where the system does not tell. */
static bool own_folder(char *folder, size_t size)
{
    const ssize_t length = readlink("/proc/self/exe", folder, size - 1);
    if (length <= 0 || (size_t)length >= size - 1) {
        return false;
    }
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        slash[1] = '\0';
    }
    return slash != NULL;
}

/* Where the module is: beside the program, where the build puts it, where it is installed. */
static bool find_module(char path[LQ_MODULE_PATH_MAX])
{
    static const char *const PLACES[] = {"", "../cuda/"}; /* from the program's folder */
    enum { FOLDER_MAX = LQ_MODULE_PATH_MAX - 64 };
    char folder[FOLDER_MAX];
    const bool is_known = own_folder(folder, sizeof folder);
    for (size_t i = 0; is_known && i < sizeof PLACES / sizeof *PLACES; i++) {
        snprintf(path, LQ_MODULE_PATH_MAX, "%s%s%s", folder, PLACES[i], MODULE);
        if (exists(path)) {
            return true;
        }
    }
    snprintf(path, LQ_MODULE_PATH_MAX, "%s/%s", LQ_MODULE_DIR, MODULE);
    return exists(path);
}

/* What is wrong with a module that cannot be loaded: the loader's own words. */
static enum lq_code refuse(const char *path, const char *why, struct lq_error *err)
{
    return lq_fail(err, LQ_EDEVICE, NULL, "the CUDA module %.120s cannot be loaded: %.200s", path,
                   why != NULL ? why : "it is none");
}

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

static enum lq_code check_file(const char *path, struct lq_error *err)
{
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO would wait */
    if (file < 0) {
        return refuse(path, strerror(errno), err);
    }
    const char *fault = fault_of(file);
    close(file);
    return fault != NULL ? refuse(path, fault, err) : LQ_OK;
}

static enum lq_code load(const char *path, const struct lq_backend **out, struct lq_error *err)
{
    LQ_TRY(check_file(path, err));
    /* a path without '/' would be searched for among the system's libraries */
    char here[LQ_MODULE_PATH_MAX + 2];
    snprintf(here, sizeof here, "%s%s", strchr(path, '/') == NULL ? "./" : "", path);
    void *library = dlopen(here, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return refuse(path, dlerror(), err);
    }
    backend_fn *get = NULL;
    void *symbol = dlsym(library, LQ_CUDA_BACKEND_SYMBOL);
    memcpy(&get, &symbol, sizeof get); /* POSIX: a symbol's address may be a function's */
    const struct lq_backend *backend = get != NULL ? get() : NULL;
    if (backend == NULL) {
        dlclose(library);
        return refuse(path,
                      "it has no " LQ_CUDA_BACKEND_SYMBOL ": it is of another version of llmquote, "
                      "or none of its modules",
                      err);
    }
    *out = backend;
    return LQ_OK;
}

static enum lq_code get_cuda(const char *module, const struct lq_backend **out,
                             struct lq_error *err)
{
    char found[LQ_MODULE_PATH_MAX];
    const char *path = module != NULL ? module : find_module(found) ? found : NULL;
    if (path == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL,
                       "this build has no CUDA module: %s is neither beside the program nor in %s; "
                       "it is built where nvcc of CUDA 13 is found",
                       MODULE, LQ_MODULE_DIR);
    }
    return load(path, out, err);
}

static bool is_known(const char *name)
{
    for (size_t i = 0; LQ_BACKEND_NAMES[i] != NULL; i++) {
        if (strcmp(LQ_BACKEND_NAMES[i], name) == 0) {
            return true;
        }
    }
    return false;
}

enum lq_code lq_backend_get(const char *name, const char *module, const struct lq_backend **out,
                            struct lq_error *err)
{
    if (!is_known(name)) {
        return lq_fail(err, LQ_EFIELD, NULL, "no backend is called \"%.32s\"; `probe` lists them",
                       name);
    }
    if (strcmp(name, "cpu") == 0) {
        *out = lq_cpu_backend();
        return LQ_OK;
    }
    return get_cuda(module, out, err);
}

bool lq_backend_is_there(const char *name, const char *module)
{
    char found[LQ_MODULE_PATH_MAX];
    return strcmp(name, "cpu") == 0 || module != NULL || find_module(found);
}
