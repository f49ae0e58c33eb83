/* Tells what is wrong with a certificate or key. The handshakes with clients are the HTTP
 * library's. */
#include "server/http/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEM_MAX_BYTES = 1024 * 1024 };

static enum lq_code read_file(const char *path, char **text, struct lq_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return lq_fail(err, LQ_EFILE, NULL, "%s: %s", path, strerror(errno));
    }
    char *made = malloc(PEM_MAX_BYTES + 1);
    size_t size = made != NULL ? fread(made, 1, PEM_MAX_BYTES + 1, file) : 0;
    const int failed = ferror(file) != 0 ? errno : 0;
    fclose(file);
    if (made == NULL || failed != 0 || size > PEM_MAX_BYTES) {
        free(made);
        return lq_fail(err, LQ_EFILE, NULL, "%s: %s", path,
                       failed != 0 ? strerror(failed) : "cannot be read, or is over 1 MiB");
    }
    made[size] = '\0';
    *text = made;
    return LQ_OK;
}

static gnutls_datum_t datum(char *text)
{
    return (gnutls_datum_t){.data = (unsigned char *)text, .size = (unsigned)strlen(text)};
}

static enum lq_code check_cert(const char *path, char *text, struct lq_error *err)
{
    gnutls_datum_t pem = datum(text);
    gnutls_x509_crt_t *certs = NULL;
    unsigned count = 0;
    int failed = gnutls_x509_crt_list_import2(&certs, &count, &pem, GNUTLS_X509_FMT_PEM, 0);
    if (failed < 0 || count == 0) {
        return lq_fail(err, LQ_EFILE, NULL, "%s: is no certificate in PEM: %s", path,
                       failed < 0 ? gnutls_strerror(failed) : "it is empty");
    }
    for (unsigned i = 0; i < count; i++) {
        gnutls_x509_crt_deinit(certs[i]);
    }
    gnutls_free(certs);
    return LQ_OK;
}

static enum lq_code check_key(const char *path, char *text, struct lq_error *err)
{
    gnutls_datum_t pem = datum(text);
    gnutls_x509_privkey_t key = NULL;
    int failed = gnutls_x509_privkey_init(&key);
    if (failed == 0) {
        failed = gnutls_x509_privkey_import2(key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
        gnutls_x509_privkey_deinit(key);
    }
    return failed < 0
               ? lq_fail(err, LQ_EFILE, NULL, "%s: is no private key in PEM without a password: %s",
                         path, gnutls_strerror(failed))
               : LQ_OK;
}

/* Loads both together, which finds a key that belongs to another certificate. */
static enum lq_code check_pair(const char *cert_path, const char *key_path,
                               const struct lq_tls *tls, struct lq_error *err)
{
    gnutls_certificate_credentials_t pair = NULL;
    gnutls_datum_t cert = datum(tls->cert);
    gnutls_datum_t key = datum(tls->key);
    int failed = gnutls_certificate_allocate_credentials(&pair);
    if (failed == 0) {
        failed =
            gnutls_certificate_set_x509_key_mem2(pair, &cert, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
        gnutls_certificate_free_credentials(pair);
    }
    if (failed == GNUTLS_E_CERTIFICATE_KEY_MISMATCH) {
        return lq_fail(err, LQ_EFILE, NULL, "%s: is not the key of the certificate in %s", key_path,
                       cert_path);
    }
    return failed < 0 ? lq_fail(err, LQ_EFILE, NULL, "%s and %s: %s", cert_path, key_path,
                                gnutls_strerror(failed))
                      : LQ_OK;
}

enum lq_code lq_tls_read_cert(const char *path, char **pem, struct lq_error *err)
{
    return read_file(path, pem, err);
}

enum lq_code lq_tls_read(const char *cert_path, const char *key_path, struct lq_tls *tls,
                         struct lq_error *err)
{
    LQ_TRY(read_file(cert_path, &tls->cert, err));
    LQ_TRY(read_file(key_path, &tls->key, err));
    LQ_TRY(check_cert(cert_path, tls->cert, err));
    LQ_TRY(check_key(key_path, tls->key, err));
    return check_pair(cert_path, key_path, tls, err);
}

void lq_tls_free(struct lq_tls *tls)
{
    if (tls->key != NULL) {
        explicit_bzero(tls->key, strlen(tls->key));
    }
    free(tls->key);
    free(tls->cert);
    *tls = (struct lq_tls){0};
}
