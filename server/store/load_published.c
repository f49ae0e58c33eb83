/* Published profiles and accuracies from their tables into a snapshot. A bar of a figure and a
 * curve are read with their number of rows; the rows follow, all in one list, in the same order. */
#include "server/store/seed.h"
#include "server/store/snapshot.h"

/* The figures, without the study that the paper leaves out; a bar is what these four columns tell
 * apart. */
#define BARS "published_breakdowns WHERE figure LIKE 'Fig.%'"
#define BAR "figure, model_label, run_label, batch_size_rows"
#define CURVES "published_accuracies AS a"
#define CURVE "model_label, sparsity_label, test_set"

/* The items of all bars, one behind the other. Labels of one kernel differ between the figures by
 * an underscore. */
static enum lq_code load_items(struct lq_loader *loader, struct lq_profile_item *items,
                               size_t capacity, struct lq_error *err)
{
    static const char SELECT_ITEMS[] =
        "SELECT replace(item_label, '_(', '('), metric_value *"
        " CASE metric_unit WHEN 'us' THEN 1e-6 WHEN '%' THEN 0.01 ELSE 1.0 END"
        " FROM " BARS " ORDER BY min(rowid) OVER (PARTITION BY " BAR "), rowid";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_ITEMS, &statement, err));
    bool failed = false;
    bool row = true;
    for (size_t i = 0; i < capacity; i++) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        items[i].name = lq_load_text(loader, statement, 0, &failed);
        items[i].value = lq_column_number(statement, 1);
    }
    return failed ? lq_load_out_of_memory(err) : LQ_OK;
}

static enum lq_code read_profile(struct lq_loader *loader, const struct lq_statement *statement,
                                 struct lq_profile *profile, struct lq_error *err)
{
    bool failed = false;
    *profile = (struct lq_profile){
        .figure = lq_load_text(loader, statement, 0, &failed),
        .model = lq_xia2024_model(lq_load_text(loader, statement, 1, &failed)),
        .run = lq_load_text(loader, statement, 2, &failed),
        .batch_size = lq_column_count(statement, 3),
        .active_experts = lq_column_count(statement, 4),
        .sequence_tokens = lq_column_count(statement, 5),
        .level = lq_load_text(loader, statement, 6, &failed),
        .metric = lq_load_text(loader, statement, 7, &failed),
        .source = lq_load_text(loader, statement, 8, &failed),
        .note = lq_load_text(loader, statement, 9, &failed),
        .count = (size_t)lq_column_count(statement, 10),
    };
    return failed ? lq_load_out_of_memory(err) : LQ_OK;
}

static enum lq_code load_profiles(struct lq_loader *loader, struct lq_error *err)
{
    static const char SELECT_BARS[] =
        "SELECT " BAR ", active_experts_count, CAST(sequence_tokens AS INTEGER), level_label,"
        " metric_label, source, note, count(*) FROM " BARS " GROUP BY " BAR " ORDER BY min(rowid)";
    struct lq_published *out = &loader->snapshot->catalog.published;
    void *bars;
    void *items;
    size_t capacity;
    size_t item_count;
    LQ_TRY(lq_load_list(loader, "(SELECT DISTINCT " BAR " FROM " BARS ")",
                        sizeof(struct lq_profile), &bars, &capacity, err));
    LQ_TRY(lq_load_list(loader, BARS, sizeof(struct lq_profile_item), &items, &item_count, err));
    LQ_TRY(load_items(loader, items, item_count, err));
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_BARS, &statement, err));
    struct lq_profile *profiles = bars;
    const struct lq_profile_item *next = items;
    bool row = true;
    out->profiles = profiles;
    while (out->profile_count < capacity) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        struct lq_profile *profile = &profiles[out->profile_count];
        LQ_TRY(read_profile(loader, statement, profile, err));
        profile->items = next;
        next += profile->count;
        out->profile_count++;
    }
    return LQ_OK;
}

/* The accuracies of all curves, one behind the other. */
static enum lq_code load_accuracies(struct lq_loader *loader, double *accuracies, size_t capacity,
                                    struct lq_error *err)
{
    static const char SELECT_ACCURACIES[] =
        "SELECT accuracy_share FROM " CURVES " ORDER BY min(rowid) OVER (PARTITION BY " CURVE
        "), epoch_number";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_ACCURACIES, &statement, err));
    bool row = true;
    for (size_t i = 0; i < capacity; i++) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        accuracies[i] = lq_column_number(statement, 0);
    }
    return LQ_OK;
}

static enum lq_code read_curve(struct lq_loader *loader, const struct lq_statement *statement,
                               struct lq_accuracy_curve *curve, struct lq_error *err)
{
    bool failed = false;
    *curve = (struct lq_accuracy_curve){
        .model = lq_xia2024_model(lq_load_text(loader, statement, 0, &failed)),
        .run = lq_load_text(loader, statement, 1, &failed),
        .test_set = lq_load_text(loader, statement, 2, &failed),
        .source = lq_load_text(loader, statement, 3, &failed),
        .count = (size_t)lq_column_count(statement, 4),
        .active_experts = lq_column_count(statement, 5),
    };
    return failed ? lq_load_out_of_memory(err) : LQ_OK;
}

static enum lq_code load_curves(struct lq_loader *loader, struct lq_error *err)
{
    /* the accuracies say "dense" or "sparse"; how many experts that is, the profiles say */
    static const char SELECT_CURVES[] =
        "SELECT " CURVE ", source, count(*), (SELECT max(active_experts_count)"
        " FROM published_breakdowns AS b"
        " WHERE b.model_label = a.model_label AND b.run_label = a.sparsity_label)"
        " FROM " CURVES " GROUP BY " CURVE " ORDER BY min(rowid)";
    struct lq_published *out = &loader->snapshot->catalog.published;
    void *list;
    void *accuracies;
    size_t capacity;
    size_t accuracy_count;
    LQ_TRY(lq_load_list(loader, "(SELECT DISTINCT " CURVE " FROM " CURVES ")",
                        sizeof(struct lq_accuracy_curve), &list, &capacity, err));
    LQ_TRY(lq_load_list(loader, CURVES, sizeof(double), &accuracies, &accuracy_count, err));
    LQ_TRY(load_accuracies(loader, accuracies, accuracy_count, err));
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(loader->database, SELECT_CURVES, &statement, err));
    struct lq_accuracy_curve *curves = list;
    const double *next = accuracies;
    bool row = true;
    out->curves = curves;
    while (out->curve_count < capacity) {
        LQ_TRY(lq_load_next(loader, statement, &row, err));
        if (!row) {
            break;
        }
        struct lq_accuracy_curve *curve = &curves[out->curve_count];
        LQ_TRY(read_curve(loader, statement, curve, err));
        curve->accuracy = next;
        next += curve->count;
        out->curve_count++;
    }
    return LQ_OK;
}

enum lq_code lq_load_published(struct lq_loader *loader, struct lq_error *err)
{
    LQ_TRY(load_profiles(loader, err));
    return load_curves(loader, err);
}
