/* Settings: defaults, flags before the environment, and what is refused. */
#include "server/config.h"
#include "tests/unit/check_main.h"

#include <string.h>

static enum lq_code load(struct lq_config *config, char *argument, char *argument2,
                         struct lq_error *err)
{
    char *argv[] = {argument, argument2};
    int argc = argument == NULL ? 0 : argument2 == NULL ? 1 : 2;
    memset(err, 0, sizeof *err);
    return lq_config_load(config, argc, argv, err);
}

/* String literals as argv holds them. */
#define TEXT(literal) ((char[]){literal})

START_TEST(defaults_serve_on_the_loopback)
{
    struct lq_config config;
    struct lq_error err;
    ck_assert_int_eq(load(&config, NULL, NULL, &err), LQ_OK);
    ck_assert_str_eq(config.host, "127.0.0.1");
    ck_assert_str_eq(config.port, "8080");
    ck_assert_str_eq(config.db, "llmquote.db");
    ck_assert_int_eq(config.threads, 128);
    ck_assert_int_ge(config.job_threads, 1);
    ck_assert_int_eq(config.job_queue, 16);
    ck_assert_int_eq(config.estimate_retention_days, 365);
    ck_assert(config.log_requests);
    ck_assert_uint_eq(config.origin_count, 0);
    ck_assert(!lq_config_allows_origin(&config, ""));
    ck_assert_int_eq(config.connections, 4000);
    ck_assert_int_eq(config.connections_per_address, 512);
    ck_assert_int_eq(config.request_deadline_s, 30);
    ck_assert_uint_eq(config.proxy_count, 0);
    ck_assert(!config.reads_need_token && !config.metrics_need_token);
    ck_assert_str_eq(config.tls_cert, "");
}
END_TEST

START_TEST(rates_have_a_burst)
{
    struct lq_config config;
    struct lq_error err;
    ck_assert_int_eq(
        load(&config, TEXT("--rate-per-token=10"), TEXT("--rate-per-address=0.5:7"), &err), LQ_OK);
    ck_assert_double_eq(config.rate_per_token.per_s, 10.0);
    ck_assert_double_eq(config.rate_per_token.burst, 20.0);
    ck_assert_double_eq(config.rate_per_address.per_s, 0.5);
    ck_assert_double_eq(config.rate_per_address.burst, 7.0);
    ck_assert_int_eq(load(&config, TEXT("--rate-per-token=0"), NULL, &err), LQ_OK);
    ck_assert_double_eq(config.rate_per_token.per_s, 0.0);
    static const char *const BAD[] = {"", "-1", "x", "1:", "1:0", "1:2:3", "nan", "inf", "1 "};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        char text[16];
        strcpy(text, BAD[i]);
        ck_assert_msg(load(&config, TEXT("--rate-per-token"), text, &err) == LQ_EFIELD, "%s",
                      BAD[i]);
    }
}
END_TEST

START_TEST(proxies_are_a_list_of_ranges)
{
    struct lq_config config;
    struct lq_error err;
    struct lq_ip ip;
    ck_assert_int_eq(load(&config, TEXT("--trusted-proxy=10.0.0.0/8, ::1"),
                          TEXT("--trusted-proxy=192.0.2.1"), &err),
                     LQ_OK);
    ck_assert_uint_eq(config.proxy_count, 3);
    ck_assert(lq_ip_parse("10.1.2.3", 8, &ip) && lq_config_trusts(&config, ip));
    ck_assert(lq_ip_parse("192.0.2.2", 9, &ip) && !lq_config_trusts(&config, ip));
    ck_assert_int_eq(load(&config, TEXT("--trusted-proxy=proxy.example"), NULL, &err), LQ_EFIELD);
    ck_assert_int_eq(load(&config, TEXT("--trusted-proxy=10.0.0.0/40"), NULL, &err), LQ_EFIELD);
}
END_TEST

START_TEST(certificate_and_key_come_together)
{
    struct lq_config config;
    struct lq_error err;
    ck_assert_int_eq(load(&config, TEXT("--tls-cert=a"), TEXT("--tls-key=b"), &err), LQ_OK);
    ck_assert_str_eq(config.tls_key, "b");
    ck_assert_int_eq(load(&config, TEXT("--tls-key=b"), NULL, &err), LQ_EFIELD);
    ck_assert_str_eq(err.detail, "--tls-cert and --tls-key are needed together");
}
END_TEST

START_TEST(flags_win_over_the_environment)
{
    struct lq_config config;
    struct lq_error err;
    setenv("LLMQUOTE_DB", "from-environment", 1);
    ck_assert_int_eq(load(&config, NULL, NULL, &err), LQ_OK);
    ck_assert_str_eq(config.db, "from-environment");
    ck_assert_int_eq(load(&config, TEXT("--db"), TEXT("from-flag"), &err), LQ_OK);
    ck_assert_str_eq(config.db, "from-flag");
    ck_assert_int_eq(load(&config, TEXT("--db=x=y"), NULL, &err), LQ_OK);
    ck_assert_str_eq(config.db, "x=y");
    unsetenv("LLMQUOTE_DB");
}
END_TEST

START_TEST(addresses_are_taken_apart)
{
    struct lq_config config;
    struct lq_error err;
    ck_assert_int_eq(load(&config, TEXT("--listen"), TEXT("[::1]:0"), &err), LQ_OK);
    ck_assert_str_eq(config.host, "::1");
    ck_assert_str_eq(config.port, "0");
    ck_assert_int_eq(load(&config, TEXT("--listen"), TEXT("example.org:65535"), &err), LQ_OK);
    ck_assert_str_eq(config.host, "example.org");
    static const char *const BAD[] = {"",     ":1",     "h:",    "h:65536", "h:-1",
                                      "h:1x", "::1:80", "[]:80", "h:123456"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        char text[32];
        strcpy(text, BAD[i]);
        ck_assert_msg(load(&config, TEXT("--listen"), text, &err) == LQ_EFIELD, "%s", BAD[i]);
        ck_assert_ptr_nonnull(strstr(err.detail, "--listen takes ADDR:PORT"));
    }
}
END_TEST

START_TEST(origins_are_a_list_and_repeatable)
{
    struct lq_config config;
    struct lq_error err;
    ck_assert_int_eq(load(&config, TEXT("--cors-origin=https://a.example, http://b.example:81"),
                          TEXT("--cors-origin=app://c"), &err),
                     LQ_OK);
    ck_assert_uint_eq(config.origin_count, 3);
    ck_assert(lq_config_allows_origin(&config, "http://b.example:81"));
    ck_assert(!lq_config_allows_origin(&config, "http://b.example"));
    static const char *const BAD[] = {"*", "a.example", "https://", "https://a/", "https://*.a"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        char text[32];
        strcpy(text, BAD[i]);
        ck_assert_msg(load(&config, TEXT("--cors-origin"), text, &err) == LQ_EFIELD, "%s", BAD[i]);
    }
}
END_TEST

START_TEST(jobs_have_threads_and_a_bound_of_their_own)
{
    struct lq_config config;
    struct lq_error err;
    ck_assert_int_eq(load(&config, TEXT("--job-threads=3"), TEXT("--job-queue=1024"), &err), LQ_OK);
    ck_assert_int_eq(config.job_threads, 3);
    ck_assert_int_eq(config.job_queue, 1024);
    ck_assert_int_eq(load(&config, TEXT("--job-threads=0"), NULL, &err), LQ_EFIELD);
    ck_assert_str_eq(err.detail, "--job-threads takes 1..256|cores, got \"0\"");
    ck_assert_int_eq(load(&config, TEXT("--job-queue=1025"), NULL, &err), LQ_EFIELD);
    ck_assert_str_eq(err.detail, "--job-queue takes 1..1024, got \"1025\"");
    ck_assert_int_eq(load(&config, TEXT("--estimate-retention-days=30"), NULL, &err), LQ_OK);
    ck_assert_int_eq(config.estimate_retention_days, 30);
    ck_assert_int_eq(load(&config, TEXT("--estimate-retention-days=0"), NULL, &err), LQ_EFIELD);
    ck_assert_str_eq(err.detail, "--estimate-retention-days takes 1..36500, got \"0\"");
}
END_TEST

START_TEST(bad_settings_name_the_flag_or_variable)
{
    struct lq_config config;
    struct lq_error err;
    ck_assert_int_eq(load(&config, TEXT("--threads"), TEXT("257"), &err), LQ_EFIELD);
    ck_assert_str_eq(err.detail, "--threads takes 1..256|cores, got \"257\"");
    ck_assert_int_eq(load(&config, TEXT("--log"), NULL, &err), LQ_EFIELD);
    ck_assert_int_eq(load(&config, TEXT("--thread"), TEXT("1"), &err), LQ_EFIELD);
    ck_assert_str_eq(err.detail, "unknown argument \"--thread\"; see --help");
    setenv("LLMQUOTE_LOG", "loud", 1);
    ck_assert_int_eq(load(&config, NULL, NULL, &err), LQ_EFIELD);
    ck_assert_str_eq(err.detail, "LLMQUOTE_LOG takes none|info, got \"loud\"");
    unsetenv("LLMQUOTE_LOG");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *tests = tcase_create("config");
    tcase_add_test(tests, defaults_serve_on_the_loopback);
    tcase_add_test(tests, flags_win_over_the_environment);
    tcase_add_test(tests, addresses_are_taken_apart);
    tcase_add_test(tests, origins_are_a_list_and_repeatable);
    tcase_add_test(tests, jobs_have_threads_and_a_bound_of_their_own);
    tcase_add_test(tests, rates_have_a_burst);
    tcase_add_test(tests, proxies_are_a_list_of_ranges);
    tcase_add_test(tests, certificate_and_key_come_together);
    tcase_add_test(tests, bad_settings_name_the_flag_or_variable);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
