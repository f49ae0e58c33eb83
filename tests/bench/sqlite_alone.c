/* The yardstick of ingest_bench.py: rows like those of posted points into the server's own table,
 * so many a transaction, as durable as the server's, by SQLite on one thread and nothing else. */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static sqlite3 *database;

static void check(int code)
{
    if (code != SQLITE_OK && code != SQLITE_DONE) {
        fprintf(stderr, "sqlite_alone: %s\n", sqlite3_errmsg(database));
        exit(1);
    }
}

static void run(const char *sql)
{
    check(sqlite3_exec(database, sql, NULL, NULL, NULL));
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const char INSERT_SETTING[] =
    "INSERT INTO settings VALUES (1000, 'llama-3.1-8b', 'L40S', 'torchtune', 1, 'lora', 16, 127,"
    " 'none', 0, 'bf16', 'adamw', 'full', 'flash', 0, 3, 1, 1, 1, 1, 1, 0, 0, 1)"
    " ON CONFLICT DO NOTHING";

static const char INSERT[] =
    "INSERT INTO calibrations (digest_key, content_sha256_hex, is_shipped, setting_number,"
    " active_experts_count, batch_size_rows, accumulation_steps_count, sequence_tokens, lengths_id,"
    " padding, cutoff_tokens, padding_multiple_tokens, row_tokens, queries_per_row, step_time_s,"
    " is_out_of_memory, source, dataset, measured_at_utc, document_json, posted_by, stored_at_utc)"
    " VALUES (?1, ?2, 0, 1000, 0, 4, 1, 512, '', 'longest', 0, 8,"
    " 512.0, 1.0, ?3, 0, 'bench', '', '2026-07-20T10:00:00Z',"
    " '{\"batch_size\":4,\"device\":{\"driver\":\"570.86\",\"name\":\"L40S\"},\"gpu\":\"L40S\","
    "\"measured_at\":\"2026-07-20T10:00:00Z\",\"method\":{\"kind\":\"lora\",\"rank\":16},"
    "\"model\":\"llama-3.1-8b\",\"sequence_tokens\":512,\"source\":\"bench\",\"stack\":"
    "\"torchtune\","
    "\"step_time_s\":0.208016}', 'bench', '2026-07-20T10:00:00Z') ON CONFLICT DO NOTHING";

/* Ids at random places, as digests are. Source: splitmix64, Steele et al., OOPSLA 2014. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void insert(sqlite3_stmt *statement, uint64_t *state)
{
    char content[80];
    const unsigned long long a = next_random(state);
    const unsigned long long b = next_random(state);
    snprintf(content, sizeof content, "%016llx%016llx%016llx%016llx", a, b, ~a, ~b);
    check(sqlite3_bind_int64(statement, 1, (sqlite3_int64)a));
    check(sqlite3_bind_text(statement, 2, content, -1, SQLITE_STATIC));
    check(sqlite3_bind_double(statement, 3, 0.2 + 1e-21 * (double)b));
    check(sqlite3_step(statement));
    check(sqlite3_reset(statement));
}

/* usage: sqlite_alone DATABASE ROWS_A_COMMIT SECONDS; prints rows per second */
int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: sqlite_alone DATABASE ROWS_A_COMMIT SECONDS\n");
        return 2;
    }
    const int rows = atoi(argv[2]);
    const double seconds = atof(argv[3]);
    sqlite3_stmt *statement = NULL;
    uint64_t state = 1;
    long inserted = 0;
    check(sqlite3_open(argv[1], &database));
    run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;"
        "PRAGMA wal_autocheckpoint = 4000");
    run(INSERT_SETTING);
    check(sqlite3_prepare_v2(database, INSERT, -1, &statement, NULL));
    const double start_s = now_s();
    while (now_s() < start_s + seconds) {
        run("BEGIN IMMEDIATE");
        for (int i = 0; i < rows; i++) {
            insert(statement, &state);
        }
        run("COMMIT");
        inserted += rows;
    }
    printf("%.1f\n", (double)inserted / (now_s() - start_s));
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return 0;
}
