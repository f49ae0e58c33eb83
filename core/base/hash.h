/* FNV-1a, 64 bits: names what data is made of; not for secrets. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LQ_HASH_START UINT64_C(0xcbf29ce484222325)

/* `hash`, carried on by the bytes. */
uint64_t lq_hash_bytes(uint64_t hash, const void *data, size_t size);
