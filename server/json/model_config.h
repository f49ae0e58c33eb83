/* Turns a Hugging Face config.json, as published, into the model that estimates are made of.
 * Keys that say nothing about size are ignored; a missing one takes the default of its family's
 * configuration class; wrong types and absurd sizes are faults with a JSON Pointer. */
#pragma once

#include "core/arch/model.h"
#include "server/json/faults.h"

#include <jansson.h>

/* What a model is called that a request brings along; no stored model has this id. */
#define LQ_INLINE_MODEL "inline"

/* Decodes one document.
 * id: the model's name, copied (cut to LQ_ID_MAX - 1) · config: any JSON value, borrowed ·
 * pointer: where it stands, "" at the root · out: filled on success, unspecified otherwise.
 * Errors: LQ_EFIELD, one fault per bad field; LQ_OK leaves `faults` as it was. */
LQ_MUST_USE enum lq_code lq_model_decode_json(const char *id, const json_t *config,
                                              const char *pointer, struct lq_model *out,
                                              struct lq_faults *faults);

/* The same from text, with the first fault only. Fits struct lq_hooks.
 * Errors: LQ_ESYNTAX (not JSON), LQ_EFIELD. */
LQ_MUST_USE enum lq_code lq_model_decode(const char *id, const char *config_json,
                                         struct lq_model *out, struct lq_error *err);
