/* Finds and loads modules of backends. Which device of them is used is decided in rig.c. */
#include "kernels/measure/backends.h"

#include "kernels/measure/library_file.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
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
static bool find_module(char path[LQ_LIBRARY_PATH_MAX])
{
    static const char *const PLACES[] = {"", "../cuda/"}; /* from the program's folder */
    enum { FOLDER_MAX = LQ_LIBRARY_PATH_MAX - 64 };
    char folder[FOLDER_MAX];
    const bool is_known = own_folder(folder, sizeof folder);
    for (size_t i = 0; is_known && i < sizeof PLACES / sizeof *PLACES; i++) {
        snprintf(path, LQ_LIBRARY_PATH_MAX, "%s%s%s", folder, PLACES[i], MODULE);
        if (exists(path)) {
            return true;
        }
    }
    snprintf(path, LQ_LIBRARY_PATH_MAX, "%s/%s", LQ_MODULE_DIR, MODULE);
    return exists(path);
}

static enum lq_code refuse(const char *path, const char *why, struct lq_error *err)
{
    return lq_library_refuse("the CUDA module", path, why, err);
}

static enum lq_code load(const char *path, const struct lq_backend **out, struct lq_error *err)
{
    char name[LQ_LIBRARY_PATH_MAX];
    LQ_TRY(lq_library_check("the CUDA module", path, name, err));
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
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
    char found[LQ_LIBRARY_PATH_MAX];
    const char *path = module != NULL ? module : find_module(found) ? found : NULL;
    if (path == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL,
                       "this build has no CUDA module: %s is neither beside the program nor in %s; "
                       "it is built where nvcc of CUDA 13 is found",
                       MODULE, LQ_MODULE_DIR);
    }
    return load(path, out, err);
}

enum lq_code lq_backend_check(const char *name, struct lq_error *err)
{
    for (size_t i = 0; LQ_BACKEND_NAMES[i] != NULL; i++) {
        if (strcmp(LQ_BACKEND_NAMES[i], name) == 0) {
            return LQ_OK;
        }
    }
    return lq_fail(err, LQ_EFIELD, NULL, "no backend is called \"%.32s\"; `probe` lists them",
                   name);
}

enum lq_code lq_backend_get(const char *name, const char *module, const struct lq_backend **out,
                            struct lq_error *err)
{
    LQ_TRY(lq_backend_check(name, err));
    if (strcmp(name, "cpu") == 0) {
        *out = lq_cpu_backend();
        return LQ_OK;
    }
    return get_cuda(module, out, err);
}

bool lq_backend_is_there(const char *name, const char *module)
{
    char found[LQ_LIBRARY_PATH_MAX];
    return strcmp(name, "cpu") == 0 || module != NULL || find_module(found);
}
