/* Values and members as all answers write them. */
#pragma once

#include <jansson.h>
#include <math.h>
#include <stdint.h>

/* null for no text, which is NULL or "", and for no number, which is none above 0. */
static inline json_t *lq_text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

static inline json_t *lq_number_or_null(double number)
{
    return number > 0.0 ? json_real(number) : json_null();
}

/* The nearest integer; what is larger than an integer holds is the largest. */
static inline int64_t lq_whole(double value)
{
    return value < 9e18 ? llround(value) : INT64_MAX;
}

/* The setters check neither name nor text: both must be known to be UTF-8, as the program's own
 * words and ids are. What may be cut off within a character is set as lq_text_or_null makes it. */
static inline void lq_set_real(json_t *object, const char *name, double value)
{
    json_object_set_new_nocheck(object, name, json_real(value));
}

static inline void lq_set_count(json_t *object, const char *name, int64_t value)
{
    json_object_set_new_nocheck(object, name, json_integer(value));
}

/* Bytes, requests, devices: a fraction of one means nothing. */
static inline void lq_set_whole(json_t *object, const char *name, double value)
{
    lq_set_count(object, name, lq_whole(value));
}

/* null for "". */
static inline void lq_set_text(json_t *object, const char *name, const char *text)
{
    json_object_set_new_nocheck(object, name,
                                text[0] != '\0' ? json_string_nocheck(text) : json_null());
}
