/* A TLS client that trusts one certificate: the one that the server was given. Names and issuers do
 * not matter between two programs that read the same file. */
#include "server/http/tls_ask.h"

#include "server/http/tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PAUSES_MAX = 8 };

struct client {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
};

static void client_release(struct client *client)
{
    if (client->session != NULL) {
        gnutls_deinit(client->session);
    }
    if (client->credentials != NULL) {
        gnutls_certificate_free_credentials(client->credentials);
    }
}

/* Whether the peer showed the first certificate of the text. */
static bool is_ours(gnutls_session_t session, const char *pem)
{
    unsigned count = 0;
    const gnutls_datum_t *shown = gnutls_certificate_get_peers(session, &count);
    const gnutls_datum_t text = {(unsigned char *)(uintptr_t)pem, (unsigned)strlen(pem)};
    gnutls_x509_crt_t *certs = NULL;
    unsigned ours = 0;
    if (shown == NULL || count == 0 ||
        gnutls_x509_crt_list_import2(&certs, &ours, &text, GNUTLS_X509_FMT_PEM, 0) < 0) {
        return false;
    }
    const bool same = ours > 0 && gnutls_x509_crt_equals2(certs[0], &shown[0]) != 0;
    for (unsigned i = 0; i < ours; i++) {
        gnutls_x509_crt_deinit(certs[i]);
    }
    gnutls_free(certs);
    return same;
}

static int shake_hands(struct client *client, int peer)
{
    int code = gnutls_init(&client->session, GNUTLS_CLIENT);
    if (code == GNUTLS_E_SUCCESS) {
        code = gnutls_certificate_allocate_credentials(&client->credentials);
    }
    if (code == GNUTLS_E_SUCCESS) {
        code = gnutls_priority_set_direct(client->session, LQ_TLS_PRIORITIES, NULL);
    }
    if (code == GNUTLS_E_SUCCESS) {
        code = gnutls_credentials_set(client->session, GNUTLS_CRD_CERTIFICATE, client->credentials);
    }
    if (code != GNUTLS_E_SUCCESS) {
        return code;
    }
    gnutls_transport_set_int(client->session, peer);
    do {
        code = gnutls_handshake(client->session);
    } while (code < 0 && gnutls_error_is_fatal(code) == 0 && code != GNUTLS_E_AGAIN);
    return code;
}

static enum lq_code exchange(const struct client *client, const char *question, char *answer,
                             size_t size, struct lq_error *err)
{
    if (gnutls_record_send(client->session, question, strlen(question)) < 0) {
        return lq_fail(err, LQ_ESTORE, NULL, "cannot ask over TLS");
    }
    size_t used = 0;
    ssize_t got = 1;
    for (int pauses = 0; used < size - 1 && got > 0 && pauses < PAUSES_MAX;) {
        got = gnutls_record_recv(client->session, answer + used, size - 1 - used);
        used += got > 0 ? (size_t)got : 0;
        if (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED) {
            pauses++; /* tickets of TLS 1.3 come first, and are no answer */
            got = 1;
        }
    }
    answer[used] = '\0';
    return used > 0
               ? LQ_OK
               : lq_fail(err, LQ_ESTORE, NULL, "no answer over TLS: %s", gnutls_strerror((int)got));
}

static enum lq_code ask(struct client *client, int peer, const char *pem, const char *question,
                        char *answer, size_t size, struct lq_error *err)
{
    const int code = shake_hands(client, peer);
    if (code != GNUTLS_E_SUCCESS) {
        return lq_fail(err, LQ_ESTORE, NULL, "no TLS handshake: %s", gnutls_strerror(code));
    }
    if (!is_ours(client->session, pem)) {
        return lq_fail(err, LQ_ESTORE, NULL, "the server shows another certificate");
    }
    return exchange(client, question, answer, size, err);
}

enum lq_code lq_tls_ask(int peer, const char *cert_path, const char *question, char *answer,
                        size_t size, struct lq_error *err)
{
    char *pem = NULL;
    LQ_TRY(lq_tls_read_cert(cert_path, &pem, err));
    struct client client = {0};
    const enum lq_code code = ask(&client, peer, pem, question, answer, size, err);
    client_release(&client);
    free(pem);
    return code;
}
