/* Price lists as JSON, as CSV and as SkyPilot has them. */
#include "server/json/price.h"
#include "server/json/price_sheet.h"
#include "tests/unit/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct lq_gpu gpus[] = {
    {.id = "A100-40GB-SXM"}, {.id = "A40"}, {.id = "RTX-4090"}, {.id = "RTX-4090-Ti"}};
enum { GPUS = sizeof gpus / sizeof gpus[0] };

static const struct lq_gpu *find_gpu(const void *context, const char *id)
{
    (void)context;
    for (size_t i = 0; i < GPUS; i++) {
        if (strcasecmp(gpus[i].id, id) == 0) {
            return &gpus[i];
        }
    }
    return NULL;
}

/* Everything is like everything: what is the same is for the decoder to see. */
static const char *gpu_like(const void *context, const char *text, size_t k)
{
    (void)context;
    (void)text;
    return k < GPUS ? gpus[GPUS - 1 - k].id : NULL;
}

static const struct lq_lookup LOOKUP = {.gpu = find_gpu, .gpu_like = gpu_like};
static const struct lq_price_terms TERMS = {
    .provider = "mine", .date = "2026-01-02", .source = "own", .lookup = &LOOKUP};

static struct lq_price_sheet sheet;
static struct lq_faults faults;

static void tear_down(void)
{
    lq_price_sheet_release(&sheet);
}

static enum lq_code decode_json(const char *text)
{
    lq_price_sheet_release(&sheet);
    faults = (struct lq_faults){.count = 0};
    return lq_price_decode_json(text, strlen(text), &TERMS, &sheet, &faults);
}

static enum lq_code decode_csv(const char *text)
{
    lq_price_sheet_release(&sheet);
    faults = (struct lq_faults){.count = 0};
    return lq_price_decode_csv(text, strlen(text), &TERMS, &sheet, &faults);
}

static void expect_ok(enum lq_code code, size_t rows)
{
    ck_assert_msg(code == LQ_OK, "%s %s", faults.items[0].pointer, faults.items[0].detail);
    ck_assert_uint_eq(sheet.count, rows);
}

static void expect_fault(enum lq_code code, enum lq_code wanted, const char *pointer)
{
    ck_assert_int_eq(code, wanted);
    ck_assert_int_eq(faults.items[0].code, wanted);
    ck_assert_str_eq(faults.items[0].pointer, pointer);
}

START_TEST(json_rows_take_what_they_leave_out_from_the_list)
{
    expect_ok(decode_json("{\"source\": \"deal\", \"price_date\": \"2026-03\", \"prices\": ["
                          "{\"gpu\": \"a40\", \"usd_per_gpu_hour\": 0.5, \"gpu_count\": 4},"
                          "{\"gpu\": \"A100-40GB-SXM\", \"instance_spot_usd_per_hour\": 3,"
                          " \"source\": \"x\", \"price_date\": \"2025\", \"region\": \"eu\"}]}"),
              2);
    ck_assert_int_eq(sheet.layout, LQ_PRICES_JSON);
    const struct lq_price_row *row = &sheet.rows[0]; /* ascending by GPU */
    ck_assert_str_eq(row->gpu, "A100-40GB-SXM");
    ck_assert_str_eq(row->region, "eu");
    ck_assert_str_eq(row->source, "x");
    ck_assert_str_eq(row->date, "2025");
    ck_assert_uint_eq(row->place, 1);
    ck_assert_double_eq(row->usd_per_h, 0.0);
    ck_assert_double_eq(row->spot_usd_per_h, 3.0);
    ck_assert_str_eq(sheet.rows[1].gpu, "A40");
    ck_assert_str_eq(sheet.rows[1].source, "deal");
    ck_assert_str_eq(sheet.rows[1].date, "2026-03");
    ck_assert_str_eq(sheet.rows[1].instance_type, "");
    ck_assert_double_eq(sheet.rows[1].usd_per_h, 2.0);
}
END_TEST

START_TEST(csv_rows_take_what_they_leave_out_from_the_terms)
{
    expect_ok(decode_csv("gpu,gpu_count,price_usd_hour,catalog_date,region\r\n"
                         "a40,2,1,,\"e,u\"\r\nA40,1,.5,2025-07,\r\n"),
              2);
    ck_assert_int_eq(sheet.layout, LQ_PRICES_CSV);
    ck_assert_str_eq(sheet.rows[0].region, "");
    ck_assert_str_eq(sheet.rows[0].date, "2025-07");
    ck_assert_uint_eq(sheet.rows[0].place, 3);
    ck_assert_str_eq(sheet.rows[1].region, "e,u");
    ck_assert_str_eq(sheet.rows[1].date, "2026-01-02");
    ck_assert_str_eq(sheet.rows[1].source, "own");
    ck_assert_double_eq(sheet.rows[1].usd_per_h, 1.0);
    char pointer[LQ_POINTER_MAX];
    lq_price_pointer(&sheet, &sheet.rows[0], lq_price_date_member(&sheet), pointer);
    ck_assert_str_eq(pointer, "/lines/3/catalog_date");
}
END_TEST

START_TEST(texts_of_a_file_of_one_letter_fields_fit)
{
    /* the last record has no line break: the shortest file for what is copied out of it */
    expect_ok(decode_csv("gpu,gpu_count,price_usd_hour,region,instance_type,catalog_date,source\n"
                         "A40,1,1,a,b,c,d\nA40,1,1,e,f,g,h"),
              2);
    ck_assert_str_eq(sheet.rows[1].source, "h");
}
END_TEST

START_TEST(skypilot_rows_are_mapped_merged_and_counted)
{
    expect_ok(decode_csv("InstanceType,AcceleratorName,AcceleratorCount,Price,SpotPrice,Region,X\n"
                         "p4d,A100,8.0,32,12,us,\np4d,A100,8.0,31,,us,\np4d,A100,8.0,,11,us,\n"
                         "one,RTX4090,1,0.5,,eu,\n"
                         "tpu,tpu-v2,1,5,,eu,\ntpu,tpu-v2,1,5,,us,\nm5,,,1,,us,\n"
                         ",A40,1,0.3,,us,\nhalf,A40,0.5,0.3,,us,\nnone,A40,1,0,,us,\n"),
              2);
    ck_assert_int_eq(sheet.layout, LQ_PRICES_SKYPILOT);
    ck_assert_str_eq(sheet.rows[0].gpu, "A100-40GB-SXM");
    ck_assert_double_eq(sheet.rows[0].usd_per_h, 31.0);
    ck_assert_double_eq(sheet.rows[0].spot_usd_per_h, 11.0);
    ck_assert_str_eq(sheet.rows[1].gpu, "RTX-4090");
    ck_assert_uint_eq(sheet.skips.merged, 2);
    ck_assert_uint_eq(sheet.skips.without_gpu, 1);
    ck_assert_uint_eq(sheet.skips.without_machine, 1);
    ck_assert_uint_eq(sheet.skips.fractional, 1);
    ck_assert_uint_eq(sheet.skips.unpriced, 1);
    ck_assert_uint_eq(sheet.skips.unmapped, 2);
    ck_assert_uint_eq(sheet.skips.name_count, 1);
    ck_assert_str_eq(sheet.skips.names[0].name, "tpu-v2");
    ck_assert_uint_eq(sheet.skips.names[0].rows, 2);
}
END_TEST

START_TEST(more_unknown_names_than_are_kept_are_counted_all_the_same)
{
    static char text[64 * 1024];
    size_t used = (size_t)snprintf(text, sizeof text, "%s\nx,A40,1,1,r\n",
                                   "InstanceType,AcceleratorName,AcceleratorCount,Price,Region");
    for (int i = 0; i < LQ_UNMAPPED_MAX + 36; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "x,odd-%d,1,1,r\n", i);
    }
    expect_ok(decode_csv(text), 1);
    ck_assert_uint_eq(sheet.skips.unmapped, LQ_UNMAPPED_MAX + 36);
    ck_assert_uint_eq(sheet.skips.name_count, LQ_UNMAPPED_MAX);
}
END_TEST

START_TEST(names_of_accelerators_are_told_apart_by_the_instance_type)
{
    static const struct {
        const char *name;
        const char *instance;
        const char *gpu;
    } CASES[] = {
        {"A100", "p4d.24xlarge", "A100-40GB-SXM"},
        {"A100", "gpu_1x_a100", "A100-40GB-PCIe"},
        {"A100", "gpu_1x_a100_sxm4", "A100-40GB-SXM"},
        {"A100-80GB", "a2-ultragpu-1g", "A100-80GB-SXM"},
        {"A100-80GB", "Standard_NC24ads_A100_v4", "A100-80GB-PCIe"},
        {"H100", "p5.48xlarge", "H100-SXM-80GB"},
        {"H100", "Standard_NC40ads_H100_v5", "H100-NVL-94GB"},
        {"H100", "gpu_1x_h100_pcie", "H100-PCIe-80GB"},
        {"h100 sxm", "", "H100-SXM-80GB"},
        {"V100", "p3.2xlarge", "V100-SXM2-16GB"},
        {"V100", "Standard_NC6s_v3", "V100-PCIe-16GB"},
        {"V100-32GB", "p3dn.24xlarge", "V100-SXM2-32GB"},
        {"RTX6000", "gpu_1x_rtx6000", "Quadro-RTX-6000"},
        {"H100-MEGA", "a3-megagpu-8g", "H100-SXM-80GB"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        ck_assert_str_eq(lq_price_gpu(CASES[i].name, CASES[i].instance), CASES[i].gpu);
    }
    ck_assert_ptr_null(lq_price_gpu("tpu-v3-8", "tpu-vm"));
    ck_assert(lq_price_is_same_name("RTX4090", "rtx-4090"));
    ck_assert(!lq_price_is_same_name("RTX4090", "RTX-4090-Ti"));
    ck_assert(!lq_price_is_same_name("RTX4090", "RTX-409"));
}
END_TEST

START_TEST(every_fault_of_a_list_is_named)
{
    expect_fault(decode_json("{\"prices\": [{\"gpu\": \"A41\", \"usd_per_gpu_hour\": 1},"
                             " {\"gpu\": \"A40\"}, {\"gpu\": \"A40\", \"usd_per_gpu_hour\": -1}]}"),
                 LQ_EREFERENCE, "/prices/0/gpu");
    ck_assert_uint_eq(faults.count, 3);
    ck_assert_str_eq(faults.items[1].pointer, "/prices/1");
    ck_assert_str_eq(faults.items[2].pointer, "/prices/2/usd_per_gpu_hour");
    expect_fault(decode_csv("gpu,gpu_count,price_usd_hour\nA40,nan,-1\nA41,1,1\nA40,1\n"
                            "A40,1,1\nA40,1,2\n"),
                 LQ_EFIELD, "/lines/2/gpu_count");
    ck_assert_uint_eq(faults.count, 5);
    ck_assert_str_eq(faults.items[1].pointer, "/lines/2/price_usd_hour");
    ck_assert_int_eq(faults.items[2].code, LQ_EREFERENCE);
    ck_assert_str_eq(faults.items[2].pointer, "/lines/3/gpu");
    ck_assert_int_eq(faults.items[3].code, LQ_EREQUEST);
    ck_assert_str_eq(faults.items[3].pointer, "/lines/4");
    ck_assert_str_eq(faults.items[4].pointer, "/lines/6");
    ck_assert_ptr_nonnull(strstr(faults.items[4].detail, "line 5"));
}
END_TEST

START_TEST(currencies_but_the_dollar_are_refused)
{
    expect_fault(decode_json("{\"currency\": \"EUR\", \"prices\": [{\"gpu\": \"A40\","
                             " \"usd_per_gpu_hour\": 1}]}"),
                 LQ_EFIELD, "/currency");
    expect_ok(decode_csv("gpu,gpu_count,price_usd_hour,currency\nA40,1,1,usd\n"), 1);
    expect_fault(decode_csv("gpu,gpu_count,price_usd_hour,currency\nA40,1,1,GBP\n"), LQ_EFIELD,
                 "/lines/2/currency");
    expect_fault(decode_csv("gpu,gpu_count,price_eur_hour\nA40,1,1\n"), LQ_EFIELD, "/lines/1");
}
END_TEST

START_TEST(a_list_without_a_price_is_none)
{
    expect_fault(decode_csv(""), LQ_EREQUEST, "");
    expect_fault(decode_csv("\xEF\xBB\xBF"), LQ_EREQUEST, "");
    expect_fault(decode_csv("gpu,gpu_count,price_usd_hour\n"), LQ_EFIELD, "");
    expect_fault(decode_json("{\"prices\": []}"), LQ_EFIELD, "/prices");
    expect_fault(decode_json("[]"), LQ_EFIELD, "");
    expect_fault(decode_json("{"), LQ_ESYNTAX, "");
}
END_TEST

START_TEST(a_list_has_an_end)
{
    const size_t size = (size_t)(LQ_PRICES_MAX + 2) * 24;
    char *text = malloc(size);
    ck_assert_ptr_nonnull(text);
    char *end = stpcpy(text, "gpu,gpu_count,price_usd_hour,region\n");
    for (int i = 0; i <= LQ_PRICES_MAX; i++) {
        end += sprintf(end, "A40,1,1,%d\n", i);
    }
    expect_fault(decode_csv(text), LQ_ETOOLARGE, "");
    ck_assert_uint_eq(faults.count, 1);
    end[-1] = '\0';
    *strrchr(text, '\n') = '\0';
    expect_ok(decode_csv(text), LQ_PRICES_MAX);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("price");
    TCase *cases = tcase_create("price");
    tcase_add_checked_fixture(cases, NULL, tear_down);
    tcase_add_test(cases, json_rows_take_what_they_leave_out_from_the_list);
    tcase_add_test(cases, csv_rows_take_what_they_leave_out_from_the_terms);
    tcase_add_test(cases, texts_of_a_file_of_one_letter_fields_fit);
    tcase_add_test(cases, skypilot_rows_are_mapped_merged_and_counted);
    tcase_add_test(cases, more_unknown_names_than_are_kept_are_counted_all_the_same);
    tcase_add_test(cases, names_of_accelerators_are_told_apart_by_the_instance_type);
    tcase_add_test(cases, every_fault_of_a_list_is_named);
    tcase_add_test(cases, currencies_but_the_dollar_are_refused);
    tcase_add_test(cases, a_list_without_a_price_is_none);
    tcase_add_test(cases, a_list_has_an_end);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
