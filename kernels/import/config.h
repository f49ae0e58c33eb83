/* Which model, method and optimizer a run's configuration names, in the catalog's terms. */
#pragma once

#include "kernels/document/log.h"
#include "kernels/import/import.h"

/* Says the model that a name stands for: a repository ("meta-llama/Llama-3.1-8B-Instruct"), or a
 * torchtune builder ("llama3_1.qlora_llama3_1_8b"). Only names of models in the shipped catalog are
 * taken, so that no path of a machine ever becomes an id; of others a notice tells. */
void lq_import_say_model(struct lq_import_run *run, const char *from, const char *name);

/* Says the targets that module names stand for: "[q_proj, v_proj]", "q_proj,v_proj", "all-linear".
 * Nothing, with a notice, where one of them is not known. */
void lq_import_say_targets(struct lq_import_run *run, const char *from, const char *modules);

/* Says the optimizer that a name of Transformers, torch or bitsandbytes stands for. */
void lq_import_say_optimizer(struct lq_import_run *run, const char *from, const char *name);

/* Says what PEFT's adapter_config.json and a model's config.json say, where they lie beside the
 * log. Errors: those of reading them; LQ_EFIELD for adapters that a point cannot say (not LoRA,
 * DoRA). */
LQ_MUST_USE enum lq_code lq_import_say_configs(const struct lq_import_source *source,
                                               struct lq_import_run *run, struct lq_error *err);
