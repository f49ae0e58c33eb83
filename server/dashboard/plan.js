// The view Plan: a training budget and a life of serving, by the number of experts: which model is
// best, and the curves behind that (Figures 3-6 of Yun et al. 2024 are its first state).
import {ids, suggested} from './catalog.js';
import {chart} from './chart.js';
import {el, figure, replace} from './dom.js';
import * as f from './format.js';
import {names, number} from './job.js';
import * as p from './parts.js';
import {workbench} from './workbench.js';

const MORE = 'More settings';

// Laws by which a budget can be divided between parameters and tokens.
async function dividing() {
    const laws = await suggested('scaling-laws');
    return laws.filter((law) => law.knows_tokens && law.quantity === 'loss').map(({id}) => id);
}

function fields() {
    const [models, gpus] = [ids('models'), ids('gpus')];
    const text = (key, label, more) => ({key, label, pointers: [`/${key}`], ...more});
    const count = (key, label, more) => text(key, label, {kind: 'number', ...more});
    return [
        count(
            'budget_flop', 'Training budget, FLOPs',
            {initial: '5.15e21', pointers: ['', '/budget_flop']}),
        count('budget_usd', 'or dollars', {hint: 'In place of FLOPs: empty the field above'}),
        text('law', 'Scaling law', {
            kind: 'select',
            options: dividing(),
            initial: 'yun2024-reconstructed',
            assumed: 'none'
        }),
        text(
            'laws', 'Other laws beside it',
            {initial: 'all-applicable', hint: 'Ids with commas, or all-applicable'}),
        text('experts', 'Experts', {initial: '1, 2, 4, 8, 16, 32, 64'}),
        count('base_experts', 'Compared with, experts'),
        text('gpu', 'GPU', {suggestions: gpus, placeholder: 'A100-40GB-SXM'}),
        count(
            'usd_per_gpu_hour', '$ per GPU and hour',
            {initial: '1.5', hint: 'The cheapest offer where empty'}),
        count('served_tokens', 'Tokens served in its life', {initial: '1e12'}),
        count(
            'prompt_tokens', 'Tokens of a prompt',
            {pointers: ['/traffic', '/traffic/prompt_tokens'], group: MORE}),
        count(
            'output_tokens', 'Tokens of an answer',
            {pointers: ['/traffic/output_tokens'], group: MORE}),
        count('max_concurrent_requests', 'Requests at once, at most', {group: MORE}),
        count('max_serving_gpu_count', 'Serving GPUs, at most', {group: MORE}),
        count('utilisation', 'Utilisation in training', {group: MORE}),
        count('required_loss', 'Loss to reach', {group: MORE}),
        text('model', 'Shares and active experts of', {suggestions: models, group: MORE}),
        count('active_experts', 'Active experts', {group: MORE}),
        count('max_total_parameters', 'Parameters, at most', {group: MORE}),
        count('max_training_tokens', 'Training tokens, at most', {group: MORE}),
        text('precision', 'Precision', {
            kind: 'select',
            group: MORE,
            options: [['', 'default'], 'bf16', 'fp16', 'fp32', 'fp8']
        }),
        text('stack', 'Serving stack', {
            kind: 'select',
            group: MORE,
            options: [['', 'default'], 'roofline', 'vllm', 'gpt-fast', 'hf-2023', 'hf-2024']
        }),
    ];
}

const NUMBERS = [
    'budget_flop', 'budget_usd', 'base_experts', 'usd_per_gpu_hour', 'served_tokens',
    'max_concurrent_requests', 'max_serving_gpu_count', 'utilisation', 'required_loss',
    'active_experts', 'max_total_parameters', 'max_training_tokens'
];
const TEXTS = ['law', 'gpu', 'model', 'precision', 'stack'];

function planOf(values) {
    const asked = {series: true, experts: names(values.experts).map(number)};
    TEXTS.filter((key) => values[key]).forEach((key) => {
        asked[key] = values[key];
    });
    NUMBERS.filter((key) => values[key]).forEach((key) => {
        asked[key] = number(values[key]);
    });
    if (values.laws) {
        asked.laws = values.laws === 'all-applicable' ? values.laws : names(values.laws);
    }
    for (const key of ['prompt_tokens', 'output_tokens']) {
        if (values[key]) {
            asked.traffic = {...asked.traffic, [key]: number(values[key])};
        }
    }
    return asked;
}

const expertsLabel = (experts) => (experts === 1 ? 'dense' : `${experts} experts`);

// One chart of `series`: a curve for each number of experts, `x` and `y` members of its points.
function curves(plan, name, title, x, y, note) {
    const series =
        plan.series[name]
            .map(({experts, points}, i) => ({
                     label: expertsLabel(experts),
                     colour: `s${i % 8}`,
                     dash: i >= 8,
                     points: points.filter((one) => one[x.key] && one[y.key])
                                 .map((one) => ({
                                          x: one[x.key],
                                          y: one[y.key],
                                          label: one.parameters ?
                                              () => ['N ', figure(one.parameters, f.count)] :
                                              ''
                                      }))
                 }))
            .filter(({points}) => points.length > 0);
    return chart({title, note, x, y, series, height: 340});
}

function charts(plan) {
    const priced = plan.price !== null;
    const cost = priced ? {
        key: 'serving_usd_per_million_tokens',
        label: '$ per million tokens',
        format: f.usd,
        log: true
    } :
                          {
                              key: 'serving_gpu_s_per_million_tokens',
                              label: 'GPU seconds per million tokens',
                              format: f.short,
                              log: true
                          };
    const loss = {key: 'loss', label: 'Loss', format: f.plain};
    const budget = {key: 'budget_flop', label: 'Training FLOPs', format: f.flop, log: true};
    const ratio = (key, label) => ({key, label, format: f.times});
    return el(
        'div', {class: 'halves'},
        curves(
            plan, 'over_training', 'Loss against serving cost at this budget', cost, loss,
            'Along a curve the model shrinks and is trained on more tokens, to the left.'),
        curves(plan, 'loss_cost', 'Loss-optimal models over budgets', cost, loss),
        curves(
            plan, 'equal_loss_budgets', 'Budget for the base\'s loss', budget,
            ratio('equal_loss_budget_ratio', 'Of the base\'s budget')),
        curves(
            plan, 'bounded_loss', 'Shrunk to the base\'s loss: size', budget,
            ratio('shrink_ratio', 'Of its loss-optimal size')),
        curves(
            plan, 'bounded_loss', 'Shrunk to the base\'s loss: serving cost', budget,
            ratio('serving_cost_ratio', 'Of the base\'s serving cost')),
        curves(plan, 'bounded_cost', 'Held to the base\'s serving cost: loss', budget, loss));
}

function recommendation({recommendation: best, status, law, ratios_of: of}) {
    return el(
        'section', {class: 'card wide'},
        el('h2', {}, best.experts === null ? 'No recommendation' : expertsLabel(best.experts)),
        el('p', {}, best.why),
        best.experts === null ?
            null :
            el('div', {class: 'cards'}, p.card('Parameters N', best.parameters, f.count),
               p.card('In all', best.total_parameters, f.count),
               p.card('Tokens', best.tokens, f.count), p.card('Loss', best.loss, f.plain),
               p.card(
                   'Training', best.training_usd ?? best.training_gpu_hours,
                   best.training_usd ? f.usd : f.hours),
               p.card('Serving a million tokens', best.serving_usd_per_million_tokens, f.usd)),
        el('p', {class: 'hint'}, `By ${law}`,
           status === 'reconstructed' ?
               ', which was reconstructed from printed results and is not the paper\'s own. ' :
               '. ',
           `Ratios are of ${of.replaceAll('-', ' ')}.`));
}

function options({options: rows}) {
    const of = (member, key) => (row) => row[member]?.[key] ?? null;
    return p.table(
        'By number of experts',
        [
            {label: 'Experts', get: (row) => row.experts, format: f.whole},
            {label: 'Loss-optimal N', get: of('loss_optimal', 'parameters'), format: f.count},
            {label: 'Tokens', get: of('loss_optimal', 'tokens'), format: f.count},
            {label: 'Loss', get: of('loss_optimal', 'loss'), format: f.plain},
            {
                label: 'Serving, $ per M tokens',
                get: of('loss_optimal', 'serving_usd_per_million_tokens'),
                format: f.usd
            },
            {label: 'Serving GPUs', get: of('loss_optimal', 'serving_gpu_count'), format: f.whole},
            {
                label: 'Budget for the base\'s loss',
                get: (row) => row.equal_loss_budget_ratio,
                format: f.times
            },
            {
                label: 'At the base\'s loss: N',
                get: of('bounded_loss', 'parameters'),
                format: f.count
            },
            {
                label: 'its serving cost',
                get: of('bounded_loss', 'serving_cost_ratio'),
                format: f.times
            },
            {label: 'At the base\'s cost: loss', get: of('bounded_cost', 'loss'), format: f.plain},
            {
                label: 'Cheapest in all: N',
                get: of('least_total_cost', 'parameters'),
                format: f.count
            },
            {
                label: 'training and serving',
                get: of('least_total_cost', 'total_usd'),
                format: f.usd
            },
        ],
        rows);
}

function claims({claims: list}) {
    return el(
        'section', {class: 'card wide'}, el('h3', {}, 'What the paper claims'),
        el('ul', {class: 'warnings'},
           list.map(
               (one) =>
                   el('li', {},
                      el('span', {class: `badge ${one.holds ? 'yes' : 'no'}`},
                         one.holds ? 'holds' : 'does not hold'),
                      ' ', one.claim.replaceAll('-', ' '),
                      `; ${one.holds_uncapped ? 'holds' : 'does not hold'} without the cap. `,
                      el('span', {class: 'hint'}, one.detail)))));
}

function laws({laws: rows, consensus}) {
    if (!rows) {
        return null;
    }
    return [
        p.table(
            'By other laws',
            [
                {label: 'Law', text: true, get: (row) => row.law},
                {label: 'Status', text: true, get: (row) => row.status},
                {label: 'Experts', get: (row) => row.recommendation.experts, format: f.whole},
                {label: 'N', get: (row) => row.recommendation.parameters, format: f.count},
                {label: 'Tokens', get: (row) => row.recommendation.tokens, format: f.count},
                {label: 'Of loss-optimal size', get: (row) => row.shrink_ratio, format: f.times},
                {
                    label: 'Base, loss-optimal N',
                    get: (row) => row.base_loss_optimal_parameters,
                    format: f.count
                },
            ],
            rows),
        consensus ? el('p', {}, consensus.robust) : null
    ];
}

function draw(node, [plan], values, [body]) {
    replace(
        node, recommendation(plan), p.copies('/v1/plans', body), charts(plan), options(plan),
        laws(plan), claims(plan), p.warnings(plan.warnings),
        p.fold('What was assumed', p.tree(plan.assumptions)),
        el('p', {class: 'hint'},
           plan.price ?
               [
                   `${plan.gpu} at `, figure(plan.price.usd_per_gpu_hour, f.usdPerHour),
                   ` an hour (${plan.price.provider})`
               ] :
               `${plan.gpu}: nobody prices it`));
}

export async function open(page) {
    return workbench(
        page, {fields: fields(), draw, questions: (values) => [['/v1/plans', planOf(values)]]});
}
