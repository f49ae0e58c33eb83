/* Prices times hours. Which offers exist is the catalog's business. */
#include "core/finetune/cost.h"

#include "core/base/units.h"

struct lq_cost lq_cost_of(const struct lq_offer *offer, int64_t gpu_count, double duration_s)
{
    const int64_t instances = (gpu_count + offer->gpu_count - 1) / offer->gpu_count;
    return (struct lq_cost){
        .instances = instances,
        .idle_gpus = instances * offer->gpu_count - gpu_count,
        .usd_per_gpu_h = offer->instance_usd_per_h / (double)offer->gpu_count,
        .cost_usd =
            (double)instances * offer->instance_usd_per_h * duration_s / LQ_SECONDS_PER_HOUR,
    };
}

struct lq_cost lq_cost_of_replica(const struct lq_offer *offer, int64_t gpu_count,
                                  double duration_s)
{
    const int64_t replicas = offer->gpu_count / gpu_count;
    struct lq_cost cost = lq_cost_of(offer, gpu_count, duration_s);
    if (replicas > 0) {
        cost.idle_gpus = offer->gpu_count - replicas * gpu_count;
        cost.cost_usd /= (double)replicas;
    }
    return cost;
}
