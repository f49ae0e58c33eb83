/* Parameter counts of every model of the catalog against migrations/seed/models/index.csv, to the
 * unit, and of the configurations that come with the measurements. */
#include "server/json/model_config.h"
#include "tests/unit/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef LQ_SEED_DIR
#error "LQ_SEED_DIR must name migrations/seed"
#endif

enum { ROWS = 62, TEXT_MAX = 65536 };

/* A row of the index; its source: computed_total_params and computed_active_params, exact. */
struct row {
    char id[LQ_ID_MAX];
    char file[128];
    int64_t total;
    int64_t active; /* 0 where the model is dense: then the total */
};

static char text[TEXT_MAX];

static void read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    size_t size = fread(text, 1, TEXT_MAX - 1, file);
    ck_assert_msg(feof(file), "%s is too long", path);
    fclose(file);
    text[size] = '\0';
}

static int64_t cell_number(const char *cell)
{
    return *cell != '\0' ? strtoll(cell, NULL, 10) : 0;
}

/* The first six cells, none of which is quoted. */
static struct row parse_row(char *line)
{
    char *cells[6] = {0};
    for (int i = 0; i < 6; i++) {
        cells[i] = strsep(&line, ",");
        ck_assert_ptr_nonnull(cells[i]);
    }
    struct row row = {.total = cell_number(cells[4]), .active = cell_number(cells[5])};
    snprintf(row.id, sizeof row.id, "%s", cells[0]);
    snprintf(row.file, sizeof row.file, "%s", cells[1]);
    return row;
}

/* Fills up to ROWS + 1 rows, so that one too many shows. */
static int read_index(struct row rows[ROWS + 1])
{
    read_file(LQ_SEED_DIR "/models/index.csv");
    char *rest = text;
    strsep(&rest, "\n"); /* header */
    int n = 0;
    while (rest != NULL && *rest != '\0' && n <= ROWS) {
        rows[n++] = parse_row(strsep(&rest, "\n"));
    }
    return n;
}

static struct lq_model decode_file(const char *id, const char *path)
{
    read_file(path);
    struct lq_model model;
    struct lq_error err = {0};
    enum lq_code code = lq_model_decode(id, text, &model, &err);
    ck_assert_msg(code == LQ_OK, "%s: %s: %s", id, err.pointer, err.detail);
    return model;
}

START_TEST(the_index_lists_62_models)
{
    struct row rows[ROWS + 1];
    ck_assert_int_eq(read_index(rows), ROWS);
}
END_TEST

START_TEST(computed_parameters_equal_the_index)
{
    struct row rows[ROWS + 1];
    ck_assert_int_gt(read_index(rows), _i);
    const struct row *row = &rows[_i];
    char path[512];
    snprintf(path, sizeof path, "%s/%s", LQ_SEED_DIR, row->file);
    struct lq_model model = decode_file(row->id, path);
    struct lq_parameters got = lq_model_parameters(&model, 0);
    int64_t active = row->active > 0 ? row->active : row->total;
    ck_assert_int_gt(row->total, 0);
    ck_assert_msg(got.total == row->total && got.active == active,
                  "%s: total %lld, want %lld; active %lld, want %lld", row->id,
                  (long long)got.total, (long long)row->total, (long long)got.active,
                  (long long)active);
}
END_TEST

/* Counts by hand from the shapes; that of phi-1.5 is also its checkpoint's. */
static const struct {
    const char *id;
    int64_t total;
} MEASURED[] = {
    {"codellama-34b", 33743970304}, {"internlm-7b", 7321423872}, {"internlm-20b", 20088714240},
    {"phi-1.5", 1418270720},        {"qwen-1.8b", 1836681216},   {"qwen-7b", 7720931328},
    {"qwen-14b", 14166676480},      {"qwen-72b", 72285954048},   {"stablelm-alpha-3b", 3637321728},
};

START_TEST(models_of_the_measurements_decode)
{
    char path[512];
    snprintf(path, sizeof path, "%s/measured/models/%s.json", LQ_SEED_DIR, MEASURED[_i].id);
    struct lq_model model = decode_file(MEASURED[_i].id, path);
    ck_assert_int_eq(lq_model_parameters(&model, 0).total, MEASURED[_i].total);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models");
    TCase *tests = tcase_create("models");
    tcase_add_test(tests, the_index_lists_62_models);
    tcase_add_loop_test(tests, computed_parameters_equal_the_index, 0, ROWS);
    tcase_add_loop_test(tests, models_of_the_measurements_decode, 0,
                        sizeof MEASURED / sizeof *MEASURED);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
