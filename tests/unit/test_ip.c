/* Addresses and ranges: what is read, what counts as one, and which address lies where. */
#include "server/ip.h"
#include "tests/unit/check_main.h"

#include <arpa/inet.h>
#include <string.h>

static struct lq_ip ip(const char *text)
{
    struct lq_ip out;
    memset(&out, 0, sizeof out);
    ck_assert_msg(lq_ip_parse(text, strlen(text), &out), "%s", text);
    return out;
}

static bool same(const char *a, const char *b)
{
    struct lq_ip left = lq_ip_site(ip(a));
    struct lq_ip right = lq_ip_site(ip(b));
    return memcmp(&left, &right, sizeof left) == 0;
}

START_TEST(addresses_are_read_as_proxies_write_them)
{
    ck_assert(same("192.0.2.1", "192.0.2.1:8080"));
    ck_assert(same("192.0.2.1", "::ffff:192.0.2.1"));
    ck_assert(same("2001:db8::1", "[2001:db8::1]:443"));
    ck_assert(same("2001:db8::1", "[2001:db8::1]"));
    static const char *const BAD[] = {"",
                                      "unknown",
                                      "192.0.2",
                                      "192.0.2.1.5",
                                      "[::1",
                                      "[::1]x",
                                      "1:2",
                                      "_x",
                                      "::1::",
                                      "2001:db8:0:0:0:0:0:0:0:0:1",
                                      "0000000000000000000000000000000000000000000000000000000001"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct lq_ip out;
        ck_assert_msg(!lq_ip_parse(BAD[i], strlen(BAD[i]), &out), "%s", BAD[i]);
    }
}
END_TEST

START_TEST(a_site_is_an_ipv4_address_or_an_ipv6_64)
{
    ck_assert(!same("192.0.2.1", "192.0.2.2"));
    ck_assert(same("2001:db8::1", "2001:db8::ffff:1"));
    ck_assert(!same("2001:db8::1", "2001:db8:0:1::1"));
}
END_TEST

START_TEST(ranges_hold_what_they_say)
{
    static const struct {
        const char *range;
        const char *inside;
        const char *outside;
    } CASES[] = {
        {"10.0.0.0/8", "10.255.0.1", "11.0.0.1"},
        {"192.0.2.128/25", "192.0.2.200", "192.0.2.127"},
        {"192.0.2.7", "192.0.2.7", "192.0.2.6"},
        {"0.0.0.0/0", "203.0.113.1", "2001:db8::1"},
        {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
        {"::1", "::1", "::2"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct lq_ip_range range;
        ck_assert_msg(lq_ip_range_parse(CASES[i].range, &range), "%s", CASES[i].range);
        ck_assert_msg(lq_ip_range_has(&range, ip(CASES[i].inside)), "%s", CASES[i].range);
        ck_assert_msg(!lq_ip_range_has(&range, ip(CASES[i].outside)), "%s", CASES[i].range);
    }
    static const char *const BAD[] = {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x",
                                      "::/129",      "[::1]",     "host",        "/8"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct lq_ip_range range;
        ck_assert_msg(!lq_ip_range_parse(BAD[i], &range), "%s", BAD[i]);
    }
}
END_TEST

START_TEST(sockets_tell_their_address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(0xc0000201)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct lq_ip four = lq_ip_of((const struct sockaddr *)&v4);
    struct lq_ip six = lq_ip_of((const struct sockaddr *)&v6);
    struct lq_ip want4 = ip("192.0.2.1");
    struct lq_ip want6 = ip("::1");
    ck_assert_mem_eq(&four, &want4, sizeof four);
    ck_assert_mem_eq(&six, &want6, sizeof six);
    struct lq_ip none = lq_ip_of(NULL);
    ck_assert_mem_ne(&none, &want6, sizeof none);
}
END_TEST

START_TEST(hashes_depend_on_the_seed)
{
    static const uint64_t A[2] = {1, 2};
    static const uint64_t B[2] = {1, 3};
    ck_assert_uint_eq(lq_ip_hash(ip("::1"), A), lq_ip_hash(ip("::1"), A));
    ck_assert_uint_ne(lq_ip_hash(ip("::1"), A), lq_ip_hash(ip("::1"), B));
    ck_assert_uint_ne(lq_ip_hash(ip("::1"), A), lq_ip_hash(ip("::2"), A));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ip");
    TCase *tests = tcase_create("ip");
    tcase_add_test(tests, addresses_are_read_as_proxies_write_them);
    tcase_add_test(tests, a_site_is_an_ipv4_address_or_an_ipv6_64);
    tcase_add_test(tests, ranges_hold_what_they_say);
    tcase_add_test(tests, sockets_tell_their_address);
    tcase_add_test(tests, hashes_depend_on_the_seed);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
