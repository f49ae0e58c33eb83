/* What a duration costs at an hourly price. */
#pragma once

#include <stdint.h>

/* One offer: an instance of `gpu_count` GPUs at a price per hour for the whole instance. */
struct lq_offer {
    int64_t gpu_count;
    double instance_usd_per_h;
};

/* The bill of a job on one offer. */
struct lq_cost {
    int64_t instances;
    int64_t idle_gpus; /* GPUs of the last instance that the job pays for and does not use */
    double usd_per_gpu_h;
    double cost_usd;
};

/* Whole instances are paid: as many as hold `gpu_count` GPUs, for `duration_s`.
 * Source for one GPU: Xia et al. 2024 section V-C, epochs * queries / throughput / 3600 * price. */
struct lq_cost lq_cost_of(const struct lq_offer *offer, int64_t gpu_count, double duration_s);

/* The bill of one of the replicas that share an instance, as many as it holds: they divide its
 * price among them, idle GPUs included. Where an instance is too small for one it is lq_cost_of. */
struct lq_cost lq_cost_of_replica(const struct lq_offer *offer, int64_t gpu_count,
                                  double duration_s);
