// The view Quote: one fine-tuning job, and what it will take.
import {el, figure, replace} from './dom.js';
import * as f from './format.js';
import {jobFields, jobOf} from './job.js';
import * as p from './parts.js';
import {workbench} from './workbench.js';

const MEMORY = [
    ['weights', 'weights_bytes'], ['adapter', 'adapter_bytes'], ['gradients', 'gradient_bytes'],
    ['optimizer', 'optimizer_bytes'], ['activations', 'activation_bytes'],
    ['logits', 'logits_bytes'], ['communication', 'communication_bytes'],
    ['overhead', 'overhead_bytes']
];

function headline({cost, duration_s, throughput, interval, batch_size, max_batch_size, memory}) {
    const cheapest = cost[0];
    const level = interval.level;
    return el(
        'div', {class: 'cards'},
        cheapest ?
            p.card(
                `Cost, ${cheapest.provider}`, cheapest.cost_usd, f.usd, interval.cost_usd, level) :
            el('div', {class: 'card'}, el('h3', {}, 'Cost'), el('p', {class: 'big'}, 'unpriced')),
        p.card('Duration', duration_s, f.seconds, interval.duration_s, level),
        p.card(
            'Queries per second', throughput.queries_per_s, f.plain, interval.queries_per_s, level),
        p.card('Largest batch', max_batch_size, f.whole, interval.max_batch_size, level),
        p.card('Batch used', batch_size, f.whole),
        p.card('Memory at the peak', memory.total_bytes, f.bytes, interval.memory_bytes, level));
}

function evidence({basis}) {
    const link = basis.fit ?
        el('a', {href: `#calibrations?${new URLSearchParams({fit: basis.fit})}`}, basis.fit) :
        null;
    return el(
        'p', {class: 'evidence'}, p.badge(basis.kind), ' ', p.meaning(basis.kind), ' · ',
        'points: ', figure(basis.points, f.whole),
        basis.sources.length > 0 ? `, of ${basis.sources.join(', ')}` : '',
        link ? [' · fit ', link] : null,
        basis.memory ? [' · memory ', p.badge(basis.memory.kind)] : null);
}

function memoryBar({memory}) {
    const items = MEMORY.map(([name, key]) => ({name, value: memory[key]}));
    const node =
        p.stack('Memory of the fullest device', items, f.bytes, {whole: memory.capacity_bytes});
    node.append(
        el('p', {class: 'hint'}, figure(memory.total_bytes, f.bytes), ' of ',
           figure(memory.capacity_bytes, f.bytes), `; fullest at: ${memory.peak}; longest row `,
           figure(memory.longest_row_tokens, f.whole), ' tokens'));
    return node;
}

function stepTime({step_time: step}) {
    const items = step.terms.map(
        ({name, time_s, bound}) => ({name: name.replaceAll('_', ' '), value: time_s, note: bound}));
    items.sort((a, b) => b.value - a.value);
    const node = p.stack('One step, by kernel', items, f.seconds);
    node.append(
        el('p', {class: 'hint'}, 'Step ', figure(step.total_s, f.seconds), ': forward ',
           figure(step.forward_s, f.seconds), ', backward ', figure(step.backward_s, f.seconds),
           ', optimizer ', figure(step.optimizer_s, f.seconds), '; experts ',
           figure(step.moe_share, f.percent)));
    return node;
}

function offers({cost}) {
    return p.table(
        'Offers',
        [
            {label: 'Provider', text: true, get: (row) => row.provider},
            {label: 'Instance', text: true, get: (row) => row.instance_type},
            {label: 'Region', text: true, get: (row) => row.region},
            {label: '$ per GPU h', get: (row) => row.usd_per_gpu_hour, format: f.usdPerHour},
            {label: 'Idle GPUs', get: (row) => row.idle_gpu_count, format: f.whole},
            {label: 'Cost', get: (row) => row.cost_usd, format: f.usd},
            {
                label: 'Price of',
                text: true,
                get: (row) => (row.stale ? `${row.price_date}, stale` : row.price_date)
            },
        ],
        cost, {first: 8, empty: 'nobody prices this GPU. A price of your own can be given.'});
}

function suggestions({suggested_calibrations: list}) {
    return list.length === 0 ? null :
                               p.fold('Measure this to narrow the interval', list.map(p.tree));
}

// The right half: the whole estimate.
function draw(node, [estimate], values, [body]) {
    const layout = Object.entries(estimate.layout).filter(([, value]) => value > 1);
    replace(
        node, el('h2', {}, `${estimate.model} on ${estimate.gpu}`), evidence(estimate),
        headline(estimate), p.copies('/v1/estimates', body),
        el('div', {class: 'halves'}, memoryBar(estimate), stepTime(estimate)),
        layout.length > 0 ? el('p', {class: 'hint'}, 'Layout: ',
                               layout.map(
                                   ([name, value], i) =>
                                       [i > 0 ? ', ' : '', `${name.replaceAll('_', ' ')} `,
                                        figure(value, f.whole)])) :
                            null,
        offers(estimate), p.warnings(estimate.warnings), suggestions(estimate),
        p.fold('What was assumed', p.tree(estimate.assumptions)),
        p.fold('Versions: the same again needs these', p.tree(estimate.versions)));
}

export async function open(page) {
    return workbench(
        page,
        {fields: jobFields(), draw, questions: (values) => [['/v1/estimates', jobOf(values)]]});
}
