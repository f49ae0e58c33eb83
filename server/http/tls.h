/* The certificate and key of HTTPS: read, and checked before anybody connects. */
#pragma once

#include "core/base/error.h"

/* TLS 1.2 and 1.3, as GnuTLS's priority strings say it. */
#define LQ_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* PEM texts, new; zero-initialise. */
struct lq_tls {
    char *cert; /* NULL: no TLS */
    char *key;
};

/* Reads both files. Errors: LQ_EFILE, the file named (unreadable, no certificate, no key, a key
 * with a password, a key of another certificate). Free it in any case. */
LQ_MUST_USE enum lq_code lq_tls_read(const char *cert_path, const char *key_path,
                                     struct lq_tls *tls, struct lq_error *err);
/* Reads the certificates alone, as new text (free()). */
LQ_MUST_USE enum lq_code lq_tls_read_cert(const char *path, char **pem, struct lq_error *err);
void lq_tls_free(struct lq_tls *tls);
