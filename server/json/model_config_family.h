/* What the families of config.json share: a blueprint that a family fills from its own keys, and
 * the traits by which most transformers differ. */
#pragma once

#include "core/arch/model.h"
#include "core/arch/model_limits.h"
#include "server/json/model_config_reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A model before its layers are grouped: up to two mixers and two feed-forward parts, and which of
 * them each layer has. Zero means the first. */
struct lq_blueprint {
    struct lq_model *model;  /* sizes, embedding and head are filled in place */
    int64_t layers;          /* 1..LQ_MODEL_LAYERS_MAX */
    int64_t norm_parameters; /* of every layer */
    struct lq_mixer mixer[2];
    struct lq_ffn ffn[2];
    unsigned char mixer_of[LQ_MODEL_LAYERS_MAX];
    unsigned char ffn_of[LQ_MODEL_LAYERS_MAX];
};

/* A switch of the configuration: `key` where there is one, else `fallback` for every model. */
struct lq_switch {
    const char *key;
    bool fallback;
};

enum lq_qk_norm {
    LQ_QK_NORM_NONE,
    LQ_QK_NORM_HEAD,        /* a weight per element of one head, for q and for k */
    LQ_QK_NORM_HEAD_BIASED, /* the same with biases */
    LQ_QK_NORM_FULL         /* a weight per element of all heads */
};

/* Which layers attend only to a window, and how wide it is. */
struct lq_window_rule {
    const char *key;            /* NULL = the family has no windows */
    int64_t tokens;             /* where the key is absent; null in the file means none */
    struct lq_switch on;        /* a key that turns windows on; none = they are */
    const char *full_first_key; /* so many first layers attend to everything */
    int64_t full_period;        /* and so does every n-th layer; 0 = none */
    const char *full_period_key;
};

struct lq_family;
typedef void (*lq_family_decode)(const struct lq_family *family, const struct lq_reader *reader,
                                 struct lq_blueprint *blueprint);

/* A row per model_type. Families with keys of their own use `decode`, `tied` and little else. */
struct lq_family {
    const char *type;
    const char *alias; /* model_type of the language model where it stands alone, or NULL */
    lq_family_decode decode;
    lq_family_decode ffn;  /* of a transformer */
    bool nested;           /* the language model may stand under text_config */
    bool tied;             /* default of tie_word_embeddings */
    bool mla;              /* latent attention */
    bool gated;            /* MLPs of three matrices */
    bool norm_biased;      /* LayerNorm with a bias */
    bool corrected_router; /* a score-correction bias per expert */
    enum lq_qk_norm qk_norm;
    /* sizes that published files leave out; 0 = required */
    int64_t vocab_size;
    int64_t heads;
    int64_t kv_heads;       /* 0 = as many as heads */
    int64_t head_size;      /* 0 = hidden size / heads */
    int64_t q_rank;         /* MLA: default of q_lora_rank; null in the file: a full-rank query */
    int64_t norms;          /* of hidden size, per layer */
    int64_t dense_first;    /* default of first_k_dense_replace */
    int64_t shared_experts; /* default of n_shared_experts */
    const char *experts_key;
    const char *expert_size_key;
    struct lq_window_rule window;
    struct lq_switch qk_norm_on;
    struct lq_switch qkv_bias;
    struct lq_switch o_bias;
    struct lq_switch mlp_bias;
    struct lq_switch head_bias;
};

/* model_config_family.c: the table. The row of a type, or NULL where it is not supported. */
const struct lq_family *lq_family_find(const char *type);
/* Writes the supported types, comma-separated. */
void lq_family_list(char *out, size_t size);

/* model_config_attention.c: a transformer by its traits. */
void lq_decode_transformer(const struct lq_family *family, const struct lq_reader *reader,
                           struct lq_blueprint *blueprint);
/* hidden_size, vocab_size, num_hidden_layers and max_position_embeddings. */
void lq_decode_sizes(const struct lq_family *family, const struct lq_reader *reader,
                     struct lq_blueprint *blueprint);
/* Heads and head size into mixer[0]. */
void lq_decode_heads(const struct lq_family *family, const struct lq_reader *reader,
                     struct lq_blueprint *blueprint);
/* Heads under any key: checks that kv_heads divides heads and fills an attention mixer. */
struct lq_mixer lq_attention(const struct lq_reader *reader, const char *kv_key, int64_t heads,
                             int64_t kv_heads, int64_t head_size);
/* hidden / heads, with a fault at `key` where that is not whole. */
int64_t lq_head_size(const struct lq_reader *reader, const char *key, int64_t hidden,
                     int64_t heads);
/* Bias parameters of the attention projections. */
int64_t lq_attention_biases(const struct lq_mixer *mixer, int64_t hidden, bool qkv, bool o);
/* Token embedding and head, shared where the file or the family's default ties them. */
void lq_decode_embeddings(const struct lq_family *family, const struct lq_reader *reader,
                          struct lq_blueprint *blueprint);
bool lq_read_switch(const struct lq_reader *reader, struct lq_switch which);

/* model_config_ffn.c: the feed-forward parts of transformers. Dense goes to ffn[0], MoE to ffn[1].
 */
void lq_decode_dense(const struct lq_family *family, const struct lq_reader *reader,
                     struct lq_blueprint *blueprint);
void lq_decode_experts(const struct lq_family *family, const struct lq_reader *reader,
                       struct lq_blueprint *blueprint); /* every layer */
void lq_decode_gpt_oss_experts(const struct lq_family *family, const struct lq_reader *reader,
                               struct lq_blueprint *blueprint);
void lq_decode_qwen_experts(const struct lq_family *family, const struct lq_reader *reader,
                            struct lq_blueprint *blueprint);
void lq_decode_deepseek_experts(const struct lq_family *family, const struct lq_reader *reader,
                                struct lq_blueprint *blueprint);
void lq_decode_llama4_experts(const struct lq_family *family, const struct lq_reader *reader,
                              struct lq_blueprint *blueprint);
/* One MLP of `size` with biases or not. */
struct lq_ffn lq_dense_ffn(int64_t size, int64_t hidden, bool gated, bool biased);
/* Experts, their size and the top-k under the family's keys. */
struct lq_ffn lq_read_experts(const struct lq_family *family, const struct lq_reader *reader);

/* model_config_own.c and model_config_ssm.c: families with keys of their own. */
void lq_decode_dbrx(const struct lq_family *family, const struct lq_reader *reader,
                    struct lq_blueprint *blueprint);
void lq_decode_mpt(const struct lq_family *family, const struct lq_reader *reader,
                   struct lq_blueprint *blueprint);
void lq_decode_falcon(const struct lq_family *family, const struct lq_reader *reader,
                      struct lq_blueprint *blueprint);
void lq_decode_opt(const struct lq_family *family, const struct lq_reader *reader,
                   struct lq_blueprint *blueprint);
void lq_decode_gpt2(const struct lq_family *family, const struct lq_reader *reader,
                    struct lq_blueprint *blueprint);
void lq_decode_mamba(const struct lq_family *family, const struct lq_reader *reader,
                     struct lq_blueprint *blueprint);
void lq_decode_jamba(const struct lq_family *family, const struct lq_reader *reader,
                     struct lq_blueprint *blueprint);
void lq_decode_blackmamba(const struct lq_family *family, const struct lq_reader *reader,
                          struct lq_blueprint *blueprint);
