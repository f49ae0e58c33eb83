// The view Serve: what serving a model takes, and how speed and waiting change with the requests
// that run at once.
import {chart} from './chart.js';
import {ids} from './catalog.js';
import {el, figure, replace} from './dom.js';
import * as f from './format.js';
import {names, number} from './job.js';
import * as p from './parts.js';
import {workbench} from './workbench.js';

const AT_ONCE = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const MORE = 'More settings';

function fields() {
    const [models, gpus, providers] = ['models', 'gpus', 'providers'].map(ids);
    const text = (key, label, more) => ({key, label, pointers: [`/${key}`], ...more});
    const count = (key, label, more) => text(key, label, {kind: 'number', ...more});
    const select = (key, label, options, more) => text(
        key, label, {kind: 'select', options: [['', 'default'], ...options], group: MORE, ...more});
    return [
        text('model', 'Model', {initial: 'mixtral-8x7b', suggestions: models}),
        text('gpu', 'GPU', {initial: 'A100-80GB-SXM', suggestions: gpus}),
        count('gpu_count', 'GPUs', {hint: 'The cheapest number where empty'}),
        count(
            'prompt_tokens', 'Tokens of a prompt',
            {pointers: ['/traffic', '/traffic/prompt_tokens']}),
        count('output_tokens', 'Tokens of an answer', {pointers: ['/traffic/output_tokens']}),
        count('max_concurrent_requests', 'Requests at once, at most'),
        select(
            'quantization', 'Quantization', ['none', 'nf4-dq', 'nf4', 'int4', 'int8'],
            {group: undefined}),
        count('max_serving_gpu_count', 'GPUs, at most', {group: MORE}),
        select('precision', 'Precision', ['bf16', 'fp16', 'fp32', 'fp8']),
        select('kv_precision', 'Precision of the cache', ['bf16', 'fp16', 'fp32', 'fp8', 'int8']),
        count('active_experts', 'Active experts', {group: MORE}),
        select(
            'expert_parallel', 'Whole experts on each device', [['true', 'yes'], ['false', 'no']]),
        select('stack', 'Software stack', ['vllm', 'gpt-fast', 'hf-2023', 'hf-2024', 'roofline']),
        text(
            'providers', 'Providers',
            {group: MORE, suggestions: providers, hint: 'Ids with commas'}),
        count('usd_per_gpu_hour', 'Own price, $ per GPU and hour', {group: MORE}),
        count('confidence', 'Level of intervals', {group: MORE}),
    ];
}

const NUMBERS = [
    'gpu_count', 'max_concurrent_requests', 'max_serving_gpu_count', 'active_experts',
    'usd_per_gpu_hour', 'confidence'
];
const TEXTS = ['quantization', 'precision', 'kv_precision', 'stack'];

function servingOf(values) {
    const asked = {model: values.model, gpu: values.gpu};
    TEXTS.filter((key) => values[key]).forEach((key) => {
        asked[key] = values[key];
    });
    NUMBERS.filter((key) => values[key]).forEach((key) => {
        asked[key] = number(values[key]);
    });
    if (values.expert_parallel) {
        asked.expert_parallel = values.expert_parallel === 'true';
    }
    if (values.providers) {
        asked.providers = names(values.providers);
    }
    for (const key of ['prompt_tokens', 'output_tokens']) {
        if (values[key]) {
            asked.traffic = {...asked.traffic, [key]: number(values[key])};
        }
    }
    return asked;
}

// The question itself, and the same at other numbers of requests at once.
function questions(values) {
    const asked = servingOf(values);
    return [asked, ...AT_ONCE.map((most) => ({...asked, max_concurrent_requests: most}))].map(
        (body) => ['/v1/servings', body]);
}

function speed(curve) {
    const reached = curve.filter(
        (one, i) =>
            i === 0 || one.max_concurrent_requests !== curve[i - 1].max_concurrent_requests);
    return chart({
        title: 'Speed against waiting',
        x: {label: 'Time between two tokens of a request', format: f.seconds, log: true},
        y: {label: 'Tokens per second, all requests', format: f.short, log: true},
        series: [{
            label: 'requests at once',
            points: reached.map((one) => ({
                                    x: one.token_latency_s,
                                    y: one.tokens_per_s,
                                    ys: one.interval.tokens_per_s,
                                    label: () =>
                                        [figure(one.max_concurrent_requests, f.whole),
                                         ' at once, GPUs: ', figure(one.gpu_count, f.whole)]
                                }))
        }]
    });
}

function headline(serving) {
    const {interval, basis} = serving;
    return [
        el('h2', {}, `${serving.model} on ${serving.gpu_count} × ${serving.gpu}`),
        el('p', {class: 'evidence'}, p.badge(basis.kind), ' ', p.meaning(basis.kind), ' · ',
           'measured runs: ', figure(basis.points, f.whole),
           basis.sources.length > 0 ? `, of ${basis.sources.join(', ')}` : ''),
        el('div', {class: 'cards'},
           p.card(
               'A million tokens', serving.usd_per_million_output_tokens, f.usd,
               interval.usd_per_million_output_tokens, interval.level),
           p.card(
               'Tokens per second', serving.tokens_per_s, f.short, interval.tokens_per_s,
               interval.level),
           p.card('Requests at once', serving.max_concurrent_requests, f.whole),
           p.card('Between two tokens', serving.token_latency_s, f.seconds),
           p.card('A prompt alone', serving.prompt_latency_s, f.seconds),
           p.card('Requests per second', serving.requests_per_s, f.plain)),
        el('p', {class: 'hint'}, `Bound by ${serving.bound}; requests at once limited by `,
           `${serving.limited_by.replaceAll('_', ' ')}.`)
    ];
}

function memory({memory: held}) {
    const node = p.stack(
        'Memory of a device',
        [{name: 'weights', value: held.weights_bytes}, {name: 'KV cache', value: held.kv_bytes}],
        f.bytes, {whole: held.capacity_bytes});
    node.append(
        el('p', {class: 'hint'}, figure(held.total_bytes, f.bytes), ' of ',
           figure(held.usable_bytes, f.bytes), ' that can be used; a request takes ',
           figure(held.kv_bytes_per_request, f.bytes)));
    return node;
}

function counts({options}) {
    return p.table(
        'Numbers of GPUs',
        [
            {label: 'GPUs', get: (row) => row.gpu_count, format: f.whole},
            {label: 'Requests at once', get: (row) => row.max_concurrent_requests, format: f.whole},
            {label: 'Tokens/s', get: (row) => row.tokens_per_s, format: f.short},
            {label: 'One pass', get: (row) => row.decode_latency_s, format: f.seconds},
            {
                label: 'A million tokens',
                get: (row) => row.usd_per_million_output_tokens,
                format: f.usd
            },
            {label: 'Bound by', text: true, get: (row) => row.bound},
            {label: 'Why not', text: true, get: (row) => row.detail},
        ],
        options);
}

function offers({cost}) {
    return p.table(
        'Offers',
        [
            {label: 'Provider', text: true, get: (row) => row.provider},
            {label: 'Instance', text: true, get: (row) => row.instance_type},
            {label: 'Region', text: true, get: (row) => row.region},
            {label: '$ per GPU h', get: (row) => row.usd_per_gpu_hour, format: f.usdPerHour},
            {
                label: 'A million tokens',
                get: (row) => row.usd_per_million_output_tokens,
                format: f.usd
            },
            {
                label: 'Price of',
                text: true,
                get: (row) => (row.stale ? `${row.price_date}, stale` : row.price_date)
            },
        ],
        cost, {first: 8, empty: 'nobody prices this GPU.'});
}

function draw(node, [serving, ...curve], values, [body]) {
    const shares = Object.entries(serving.time_shares).map(([name, value]) => ({name, value}));
    replace(
        node, headline(serving), p.copies('/v1/servings', body), speed(curve),
        el('div', {class: 'halves'}, memory(serving),
           p.stack('Where time goes', shares, f.percent)),
        counts(serving), offers(serving), p.warnings(serving.warnings),
        p.fold('What was assumed', p.tree(serving.assumptions)));
}

export async function open(page) {
    return workbench(page, {fields: fields(), questions, draw});
}
