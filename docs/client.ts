// An example client in TypeScript: a typed question to llmquote and its typed answer. The types in
// contract.ts are made of openapi.yaml:
// npx openapi-typescript openapi.yaml --default-non-nullable=false -o contract.ts
import type {components} from './contract';

type Job = components['schemas']['Job'];
type Estimate = components['schemas']['Estimate'];
type Problem = components['schemas']['Problem'];

export async function estimate(server: string, job: Job): Promise<Estimate> {
    const response = await fetch(
        `${server}/v1/estimates`,
        {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(job)});
    if (!response.ok) {
        const problem = await response.json() as Problem;
        const faults = problem.errors?.map(({pointer, detail}) => `${pointer}: ${detail}`) ?? [];
        throw new Error([problem.detail, ...faults].join('\n'));
    }
    return await response.json() as Estimate;
}

export const job: Job = {
    model: 'mixtral-8x7b',
    gpu: 'A40',
    method: {kind: 'qlora', rank: 16, targets: ['experts', 'router']},
    dataset: {queries: 15000, lengths: {name: 'xia2024-math'}, cutoff_tokens: 1024},
    epochs: 10,
};

// One line about a job, with the cheapest offer where there is one.
export function inWords({model, gpu, batch_size, duration_s, cost, basis, interval}: Estimate):
    string {
    const [low, high] = interval.duration_s;
    const price = cost[0] ? `$${cost[0].cost_usd} at ${cost[0].provider}` : 'unpriced';
    return `${model} on ${gpu}: batch ${batch_size}, ${duration_s} s (${low} to ${high}), ${
        price}; ${basis.kind}`;
}
