/* Which device is chosen, and the ids of those that no catalog names. */
#include "kernels/measure/backends.h"
#include "kernels/measure/rig.h"
#include "tests/unit/check_main.h"

#include <string.h>

static struct lq_error err;

static void set_up(void)
{
    err = (struct lq_error){0};
}

START_TEST(ids_are_small_words_of_the_name_and_a_cpus_cores)
{
    static const struct {
        const char *name;
        int64_t units;
        const char *id;
    } CASES[] = {
        {"Intel(R) Xeon(R) Gold 6140 CPU @ 2.30GHz", 2, "intel-xeon-gold-6140-2c"},
        {"AMD EPYC 7B13 64-Core Processor", 8, "amd-epyc-7b13-64-core-8c"},
        {"13th Gen Intel(R) Core(TM) i7-1365U", 12, "13th-gen-intel-core-i7-1365u-12c"},
        {"Neoverse-N1", 4, "neoverse-n1-4c"},
        {"  --  Virt  ", 1, "virt-1c"},
        {"", 16, "cpu-16c"},
        {"\xe6\x97\xa5\xe6\x9c\xac", 3, "cpu-3c"},
    };
    const struct lq_backend *backend = lq_cpu_backend();
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct lq_device_info info = {.units = CASES[i].units};
        char id[LQ_ID_MAX];
        strncpy(info.name, CASES[i].name, sizeof info.name - 1);
        lq_device_id(backend, &info, id);
        ck_assert_str_eq(id, CASES[i].id);
    }
}
END_TEST

START_TEST(the_longest_name_makes_an_id_that_a_catalog_takes)
{
    struct lq_device_info info = {.units = INT64_C(1000000)};
    char id[LQ_ID_MAX];
    for (size_t i = 0; i + 1 < sizeof info.name; i++) {
        info.name[i] = i % 7 == 6 ? ' ' : (char)('A' + i % 26);
    }
    lq_device_id(lq_cpu_backend(), &info, id);
    ck_assert_uint_lt(strlen(id), LQ_ID_MAX);
    ck_assert_uint_eq(strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(id));
    ck_assert_ptr_nonnull(strstr(id, "-1000000c"));
    memset(info.name, 'X', sizeof info.name - 1); /* one word of all: it is cut */
    lq_device_id(lq_cpu_backend(), &info, id);
    ck_assert_str_eq(id, "xxxxxxxxxxxxxxxxxxxxxxx-1000000c");
}
END_TEST

START_TEST(the_cpu_is_found_opened_and_closed)
{
    struct lq_rig rig;
    ck_assert_int_eq(lq_rig_find(&(struct lq_device_choice){.backend = "cpu"}, &rig, &err), LQ_OK);
    ck_assert_str_eq(rig.backend->name, "cpu");
    ck_assert_int_eq(rig.element, LQ_ELEMENT_F32);
    ck_assert_int_eq(rig.precision, LQ_PRECISION_FP32);
    ck_assert_double_gt(rig.info.memory_bytes, 0.0);
    ck_assert_ptr_null(rig.device);
    ck_assert_int_eq(lq_rig_open(&rig, &err), LQ_OK);
    ck_assert_ptr_nonnull(rig.device);
    lq_rig_close(&rig);
    ck_assert_ptr_null(rig.device);
    lq_rig_close(&rig);
    ck_assert_int_eq(lq_rig_find(&(struct lq_device_choice){.backend = NULL}, &rig, &err),
                     LQ_OK); /* the first that has one */
}
END_TEST

START_TEST(a_backend_or_number_that_there_is_not_is_told)
{
    struct lq_rig rig;
    ck_assert_int_eq(lq_rig_find(&(struct lq_device_choice){.backend = "abacus"}, &rig, &err),
                     LQ_EFIELD);
    ck_assert_ptr_nonnull(strstr(err.detail, "\"abacus\""));
    err = (struct lq_error){0};
    ck_assert_int_eq(
        lq_rig_find(&(struct lq_device_choice){.backend = "cpu", .device = 7}, &rig, &err),
        LQ_EDEVICE);
    ck_assert_ptr_nonnull(strstr(err.detail, "no number 7"));
}
END_TEST

/* Whoever changes the table gives its symbol the next number, and writes both down here. */
START_TEST(modules_of_another_interface_have_another_symbol)
{
    enum { ENTRIES = 34, GROUP_ENTRIES = 8 };
    ck_assert_uint_eq(sizeof(struct lq_backend), ENTRIES * sizeof(void *));
    ck_assert_uint_eq(sizeof(struct lq_group_functions), GROUP_ENTRIES * sizeof(void *));
    ck_assert_str_eq(LQ_CUDA_BACKEND_SYMBOL, "lq_cuda_backend_3");
}
END_TEST

START_TEST(backends_are_listed_and_got_by_name)
{
    const struct lq_backend *backend = NULL;
    ck_assert_str_eq(LQ_BACKEND_NAMES[0], "cuda"); /* a GPU is the better one */
    ck_assert_str_eq(LQ_BACKEND_NAMES[1], "cpu");
    ck_assert_ptr_null(LQ_BACKEND_NAMES[2]);
    ck_assert_int_eq(lq_backend_get("cpu", "/no/such/module", &backend, &err), LQ_OK);
    ck_assert_ptr_eq(backend, lq_cpu_backend());
    ck_assert_int_eq(lq_backend_get("cuda", "/no/such/module", &backend, &err), LQ_EDEVICE);
    ck_assert_ptr_nonnull(strstr(err.detail, "/no/such/module"));
    ck_assert(lq_backend_is_there("cpu", NULL));
    ck_assert(lq_backend_is_there("cuda", "/no/such/module")); /* it was asked for */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_rig");
    TCase *tc = tcase_create("rig");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, ids_are_small_words_of_the_name_and_a_cpus_cores);
    tcase_add_test(tc, the_longest_name_makes_an_id_that_a_catalog_takes);
    tcase_add_test(tc, the_cpu_is_found_opened_and_closed);
    tcase_add_test(tc, a_backend_or_number_that_there_is_not_is_told);
    tcase_add_test(tc, modules_of_another_interface_have_another_symbol);
    tcase_add_test(tc, backends_are_listed_and_got_by_name);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
