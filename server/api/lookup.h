/* A catalog as decoders see it. */
#pragma once

#include "server/json/lookup.h"
#include "server/store/catalog.h"

/* The lookup of a snapshot; it lives as long as the snapshot. */
struct lq_lookup lq_catalog_lookup(const struct lq_catalog *catalog);
