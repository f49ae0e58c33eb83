/* Names of models, modules and optimizers as tools have them -> the catalog's. How a log is laid
 * out stands in the importers. */
#include "kernels/import/config.h"

#include "kernels/import/file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { REPOSITORY_MAX = 256 };

/* Ids of migrations/seed/models. A repository's last part, in small letters and without what does
 * not change the sizes (below), is one of them or one of the other spellings. */
static const char *const MODELS[] = {"deepseek-moe-16b",
                                     "deepseek-v2-lite",
                                     "deepseek-v3",
                                     "falcon-40b",
                                     "falcon-7b",
                                     "gemma-2-27b",
                                     "gemma-2-9b",
                                     "gemma-3-12b",
                                     "gemma-3-1b",
                                     "gemma-3-27b",
                                     "gemma-3-4b",
                                     "glm-4.5",
                                     "glm-4.5-air",
                                     "gpt-oss-120b",
                                     "gpt-oss-20b",
                                     "jamba-v0.1",
                                     "llama-2-13b",
                                     "llama-2-70b",
                                     "llama-2-7b",
                                     "llama-3.1-405b",
                                     "llama-3.1-70b",
                                     "llama-3.1-8b",
                                     "llama-3.2-1b",
                                     "llama-3.2-3b",
                                     "mamba-2.8b",
                                     "mistral-7b-v0.1",
                                     "mistral-7b-v0.3",
                                     "mixtral-8x22b",
                                     "mixtral-8x7b",
                                     "mpt-30b",
                                     "mpt-7b",
                                     "opt-1.3b",
                                     "opt-13b",
                                     "opt-6.7b",
                                     "opt-66b",
                                     "phi-3.5-moe",
                                     "pythia-1.4b",
                                     "pythia-12b",
                                     "pythia-2.8b",
                                     "pythia-410m",
                                     "pythia-6.9b",
                                     "qwen1.5-moe-a2.7b",
                                     "qwen2.5-0.5b",
                                     "qwen2.5-1.5b",
                                     "qwen2.5-14b",
                                     "qwen2.5-32b",
                                     "qwen2.5-72b",
                                     "qwen2.5-7b",
                                     "qwen3-0.6b",
                                     "qwen3-1.7b",
                                     "qwen3-235b-a22b",
                                     "qwen3-30b-a3b",
                                     "qwen3-32b",
                                     "qwen3-8b",
                                     "qwen3-coder-480b-a35b"};
static const struct {
    const char *name;
    const char *id;
} SPELLINGS[] = {
    {"mixtral-8x7b-v0.1", "mixtral-8x7b"},
    {"mixtral-8x22b-v0.1", "mixtral-8x22b"},
    {"blackmamba-1.5b", "blackmamba-1.5b"},
    {"blackmamba-2.8b", "blackmamba-2.8b"},
    {"dbrx", "dbrx"},
    {"olmoe-1b-7b-0924", "olmoe-1b-7b"},
    {"llama-4-scout-17b-16e", "llama-4-scout"},
    {"llama-4-maverick-17b-128e", "llama-4-maverick"},
    {"kimi-k2", "kimi-k2"},
    {"deepseek-v2-lite-chat", "deepseek-v2-lite"},
    /* torchtune.models.X.Y, its lora_ and qlora_ left out */
    {"llama3_1_8b", "llama-3.1-8b"},
    {"llama3_1_70b", "llama-3.1-70b"},
    {"llama3_1_405b", "llama-3.1-405b"},
    {"llama3_2_1b", "llama-3.2-1b"},
    {"llama3_2_3b", "llama-3.2-3b"},
    {"llama2_7b", "llama-2-7b"},
    {"llama2_13b", "llama-2-13b"},
    {"llama2_70b", "llama-2-70b"},
    {"mistral_7b", "mistral-7b-v0.1"},
    {"qwen2_5_0_5b", "qwen2.5-0.5b"},
    {"qwen2_5_1_5b_base", "qwen2.5-1.5b"},
    {"qwen2_5_1_5b_instruct", "qwen2.5-1.5b"},
    {"qwen2_5_7b_base", "qwen2.5-7b"},
    {"qwen2_5_7b_instruct", "qwen2.5-7b"},
    {"qwen2_5_14b_base", "qwen2.5-14b"},
    {"qwen2_5_14b_instruct", "qwen2.5-14b"},
    {"qwen2_5_32b_base", "qwen2.5-32b"},
    {"qwen2_5_32b_instruct", "qwen2.5-32b"},
    {"qwen2_5_72b_base", "qwen2.5-72b"},
    {"qwen2_5_72b_instruct", "qwen2.5-72b"},
    {"gemma2_9b", "gemma-2-9b"},
    {"gemma2_27b", "gemma-2-27b"},
};

/* What follows a model's name and leaves its sizes as they are. */
static const char *const SUFFIXES[] = {"-unsloth", "-bnb-4bit", "-instruct", "-chat", "-base",
                                       "-hf",      "-it",       "-pt",       "-0924", "-2407"};

static const char *find_model(const char *name)
{
    for (size_t i = 0; i < sizeof SPELLINGS / sizeof SPELLINGS[0]; i++) {
        if (strcmp(SPELLINGS[i].name, name) == 0) {
            return SPELLINGS[i].id;
        }
    }
    for (size_t i = 0; i < sizeof MODELS / sizeof MODELS[0]; i++) {
        if (strcmp(MODELS[i], name) == 0) {
            return MODELS[i];
        }
    }
    return NULL;
}

/* Cuts one suffix off; false where there is none. */
static bool cut_suffix(char *name)
{
    const size_t size = strlen(name);
    for (size_t i = 0; i < sizeof SUFFIXES / sizeof SUFFIXES[0]; i++) {
        const size_t cut = strlen(SUFFIXES[i]);
        if (size > cut && strcmp(name + size - cut, SUFFIXES[i]) == 0) {
            name[size - cut] = '\0';
            return true;
        }
    }
    return false;
}

/* The last part in small letters; "mixtral-8x7b-instruct-v0.1" has its version behind the suffix.
 */
static const char *match_model(const char *name)
{
    char low[REPOSITORY_MAX];
    const char *last = strrchr(name, '/');
    last = last != NULL                                              ? last + 1
           : strrchr(name, '.') != NULL && strchr(name, '_') != NULL ? strrchr(name, '.') + 1
                                                                     : name;
    size_t size = 0;
    for (; last[size] != '\0' && size + 1 < sizeof low; size++) {
        low[size] = (char)tolower((unsigned char)last[size]);
    }
    low[size] = '\0';
    static const char *const PREFIXES[] = {"meta-", "qlora_", "lora_"};
    char *begin = low;
    for (size_t i = 0; i < sizeof PREFIXES / sizeof PREFIXES[0]; i++) {
        if (strncmp(begin, PREFIXES[i], strlen(PREFIXES[i])) == 0) {
            begin += strlen(PREFIXES[i]);
        }
    }
    char *instruct = strstr(begin, "-instruct-v");
    if (instruct != NULL) {
        memmove(instruct, instruct + strlen("-instruct"), strlen(instruct) - 8);
    }
    const char *id = find_model(begin);
    while (id == NULL && cut_suffix(begin)) {
        id = find_model(begin);
    }
    return id;
}

/* Whether a name is a place on a machine: such a folder may hold anything. */
static bool is_path(const char *name)
{
    const char *slash = strchr(name, '/');
    return strchr("/.~", name[0]) != NULL || strchr(name, '\\') != NULL ||
           (slash != NULL && strchr(slash + 1, '/') != NULL);
}

void lq_import_say_model(struct lq_import_run *run, const char *from, const char *name)
{
    if (lq_fact_known(&run->facts, LQ_FACT_MODEL)) {
        return;
    }
    const char *id = is_path(name) ? NULL : match_model(name);
    if (id == NULL) {
        lq_notice(&run->notices, "model: %.48s says \"%.80s\", which is no model of the catalog",
                  from, name);
        return;
    }
    lq_fact_say(&run->facts, LQ_FACT_MODEL, from, "%s", id);
    if (strstr(name, "bnb-4bit") != NULL) { /* double-quantised nf4, as Unsloth uploads them */
        lq_fact_say(&run->facts, LQ_FACT_QUANTIZATION, from, "nf4-dq");
    }
}

/* Module names of Transformers, torchtune and others -> targets. */
static const struct {
    const char *module;
    const char *target;
} MODULES[] = {
    {"q_proj", "q"},
    {"k_proj", "k"},
    {"v_proj", "v"},
    {"o_proj", "o"},
    {"output_proj", "o"},
    {"query_key_value", "q,k,v"},
    {"qkv_proj", "q,k,v"},
    {"Wqkv", "q,k,v"},
    {"c_attn", "q,k,v"},
    {"dense", "o"},
    {"gate_proj", "gate"},
    {"up_proj", "up"},
    {"down_proj", "down"},
    {"gate_up_proj", "gate,up"},
    {"w1", "gate"},
    {"w3", "up"},
    {"w2", "down"},
    {"dense_h_to_4h", "up"},
    {"dense_4h_to_h", "down"},
    {"fc1", "up"},
    {"fc2", "down"},
    {"gate", "router"}, /* Mixtral's and Qwen's block_sparse_moe.gate: PEFT names modules so */
    {"router", "router"},
    {"embed_tokens", "embedding"},
    {"lm_head", "head"},
    {"in_proj", "in_proj"},
    {"x_proj", "x_proj"},
    {"dt_proj", "dt_proj"},
    {"all-linear", "all-linear"},
    {"all", "all-linear"},
    {"mlp", "mlp"},
};

static const char *find_target(const char *module, bool mamba)
{
    const char *last = strrchr(module, '.');
    module = last != NULL ? last + 1 : module;
    if (strcmp(module, "out_proj") == 0) { /* OPT's output, Mamba's too */
        return mamba ? "out_proj" : "o";
    }
    for (size_t i = 0; i < sizeof MODULES / sizeof MODULES[0]; i++) {
        if (strcmp(MODULES[i].module, module) == 0) {
            return MODULES[i].target;
        }
    }
    return NULL;
}

void lq_import_say_targets(struct lq_import_run *run, const char *from, const char *modules)
{
    static const char BETWEEN[] = ",;[]\"' \t\r\n";
    char targets[LQ_FACT_TEXT_MAX] = "";
    size_t at = 0;
    const bool mamba = strstr(modules, "in_proj") != NULL || strstr(modules, "x_proj") != NULL;
    for (const char *c = modules; *(c += strspn(c, BETWEEN)) != '\0';) {
        char module[REPOSITORY_MAX];
        const size_t size = strcspn(c, BETWEEN);
        snprintf(module, sizeof module, "%.*s", (int)(size < 255 ? size : 255), c);
        const char *target = find_target(module, mamba);
        if (target == NULL || at + strlen(target) + 2 > sizeof targets) {
            lq_notice(&run->notices,
                      "targets: %.48s names the module \"%.60s\", which is not known", from,
                      module);
            return;
        }
        at +=
            (size_t)snprintf(targets + at, sizeof targets - at, "%s%s", at > 0 ? "," : "", target);
        c += size;
    }
    if (at > 0) {
        lq_fact_say(&run->facts, LQ_FACT_TARGETS, from, "%s", targets);
    }
}

void lq_import_say_optimizer(struct lq_import_run *run, const char *from, const char *name)
{
    /* Transformers' optim, the class names behind torchtune's optimizer._component_ */
    static const struct {
        const char *name;
        const char *optimizer;
    } OPTIMIZERS[] = {
        {"adamw_torch", "adamw"},
        {"adamw_torch_fused", "adamw"},
        {"adamw_hf", "adamw"},
        {"adamw_apex_fused", "adamw"},
        {"adamw", "adamw"},
        {"adamw_8bit", "adamw-8bit"},
        {"adamw_bnb_8bit", "adamw-8bit"},
        {"adamw8bit", "adamw-8bit"},
        {"paged_adamw_8bit", "paged-adamw-8bit"},
        {"pagedadamw8bit", "paged-adamw-8bit"},
        {"adafactor", "adafactor"},
        {"sgd", "sgd"},
    };
    char low[64];
    const char *last = strrchr(name, '.');
    last = last != NULL ? last + 1 : name;
    size_t size = 0;
    for (; last[size] != '\0' && size + 1 < sizeof low; size++) {
        low[size] = (char)tolower((unsigned char)last[size]);
    }
    low[size] = '\0';
    for (size_t i = 0; i < sizeof OPTIMIZERS / sizeof OPTIMIZERS[0]; i++) {
        if (strcmp(OPTIMIZERS[i].name, low) == 0) {
            lq_fact_say(&run->facts, LQ_FACT_OPTIMIZER, from, "%s", OPTIMIZERS[i].optimizer);
            return;
        }
    }
    lq_notice(&run->notices, "optimizer: %.48s says \"%.60s\", which no point can say", from, name);
}
