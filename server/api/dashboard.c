/* Serves the embedded dashboard: its page and the files that the page asks for. */
#include "server/api/dashboard.h"

#include "server/dashboard/assets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The page runs its own modules and asks its own server, nothing else; charts size themselves by
 * the style objects of scripts, which `style-src` leaves alone. */
static const char PAGE_POLICY[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/* Both codings of a file have an ETag of their own (RFC 9110, 8.8.3.3). */
static enum lq_code reply_asset(const struct lq_request *request, const struct lq_asset *asset,
                                struct lq_reply *reply)
{
    const bool compressed = request->accepts_gzip;
    snprintf(reply->etag, sizeof reply->etag, "\"%s%s\"", asset->hash, compressed ? "-gzip" : "");
    reply->varies_by_encoding = true;
    const char *known = request->if_none_match;
    if (known != NULL && (strstr(known, reply->etag) != NULL || strcmp(known, "*") == 0)) {
        reply->status = 304;
        return LQ_OK;
    }
    reply->content_type = asset->type;
    reply->content_encoding = compressed ? "gzip" : NULL;
    reply->body = compressed ? asset->gzip : asset->data;
    reply->body_size = compressed ? asset->gzip_size : asset->size;
    reply->body_lasts = true;
    return LQ_OK;
}

enum lq_code lq_dashboard_get(struct lq_call *call, struct lq_reply *reply)
{
    reply->content_policy = PAGE_POLICY;
    return reply_asset(call->request, &LQ_DASHBOARD_PAGE, reply);
}

static int compare_name(const void *name, const void *asset)
{
    return strcmp(name, ((const struct lq_asset *)asset)->name);
}

enum lq_code lq_assets_get(struct lq_call *call, struct lq_reply *reply)
{
    const struct lq_asset *asset =
        bsearch(call->request->param, LQ_DASHBOARD_ASSETS, LQ_DASHBOARD_ASSET_COUNT,
                sizeof LQ_DASHBOARD_ASSETS[0], compare_name);
    if (asset == NULL) {
        lq_faults_add(call->faults, LQ_ENOTFOUND, "", "there is no such file; load the page again");
        return LQ_ENOTFOUND;
    }
    reply->is_immutable = true;
    return reply_asset(call->request, asset, reply);
}
