/* Internet addresses: IPv4 and IPv6 in one form, and ranges of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

/* Sixteen bytes as in IPv6; an IPv4 address is mapped (RFC 4291, 2.5.5.2). */
struct lq_ip {
    unsigned char bytes[16];
};

struct lq_ip_range {
    struct lq_ip base;
    int bits; /* 0..128, of the mapped form */
};

/* Reads an address as proxies write it: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80. */
bool lq_ip_parse(const char *text, size_t size, struct lq_ip *ip);

/* The address of an IPv4 or IPv6 socket; all zero for any other. */
struct lq_ip lq_ip_of(const struct sockaddr *address);

/* Whom a limit counts as one: an IPv4 address, the /64 of an IPv6 one (what a host is given). */
struct lq_ip lq_ip_site(struct lq_ip ip);

/* A hash that nobody can aim at without knowing the seed. */
uint64_t lq_ip_hash(struct lq_ip ip, const uint64_t seed[2]);

/* Reads ADDRESS or ADDRESS/BITS. */
bool lq_ip_range_parse(const char *text, struct lq_ip_range *range);
bool lq_ip_range_has(const struct lq_ip_range *range, struct lq_ip ip);
