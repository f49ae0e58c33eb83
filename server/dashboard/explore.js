// The view Explore: one quantity of a job along one axis, a curve for each value of another one,
// and measured points over the curves (Figures 13-15 of Xia et al. 2024 are its first state).
import {list} from './api.js';
import {catalog} from './catalog.js';
import {chart} from './chart.js';
import {el, replace} from './dom.js';
import * as f from './format.js';
import {jobFields, jobOf, names, number} from './job.js';
import * as p from './parts.js';
import {workbench} from './workbench.js';

const AXES = [
    'batch_size',
    'active_experts',
    'attention',
    'confidence',
    'cutoff_tokens',
    'epochs',
    'estimator',
    'gpu',
    'gpu_count',
    'gpu_memory_bytes',
    'gradient_accumulation_steps',
    'internode_gb_s',
    'method',
    'model',
    'optimizer',
    'padding_multiple',
    'precision',
    'queries',
    'rank',
    'sequence_tokens',
    'stack',
    'usd_per_gpu_hour'
];
const NAMED =
    ['attention', 'estimator', 'gpu', 'method', 'model', 'optimizer', 'precision', 'stack'];
// Where most batch sizes were measured.
const FIRST = {
    gpu: 'A100-80GB-PCIe'
};
const QUANTITIES = [
    'queries_per_s', 'tokens_per_s', 'step_s', 'duration_s', 'cost_usd', 'memory_bytes',
    'batch_size', 'max_batch_size'
];
const choices = (list) => list.map((name) => [name, f.words(name)]);

// The job's fields stand below /job in a sweep.
const ofJob = (field) =>
    ({...field, pointers: field.pointers.map((pointer) => `/job${pointer}`), assumed: field.key});

function fields() {
    return [
        {
            key: 'x',
            label: 'Along',
            kind: 'select',
            options: choices(AXES),
            initial: 'batch_size',
            pointers: ['/axes/0/name']
        },
        {
            key: 'xs',
            label: 'From here to there',
            initial: '1..20',
            pointers: ['/axes/0'],
            hint: 'As 1..20, or 128..8192 log, or values with commas'
        },
        {
            key: 'y',
            label: 'Quantity',
            kind: 'select',
            options: choices(QUANTITIES),
            initial: 'queries_per_s'
        },
        {
            key: 'by',
            label: 'A curve for each',
            kind: 'select',
            initial: 'active_experts',
            options: [['', 'nothing else'], ...choices(AXES)],
            pointers: ['/axes/1/name']
        },
        {
            key: 'bys',
            label: 'Of these values',
            pointers: ['/axes/1'],
            shown: ({by}) => by !== '',
            hint: 'With commas; of active experts the model\'s own and all where empty'
        },
        ...jobFields(['batch_size', 'active_experts'], FIRST).map(ofJob),
    ];
}

const value = (name) => (text) => (NAMED.includes(name) ? text : number(text));

// An axis of the API from "1..20", "1..4096 log" or "1, 2, 4".
function axisOf(name, text) {
    const span = /^\s*([\d.e+_]+?)\s*\.\.\s*([\d.e+_]+)\s*(log)?\s*$/i.exec(text);
    if (!span) {
        return {name, values: names(text).map(value(name))};
    }
    const [from, to] = [number(span[1]), number(span[2])];
    const steps = span[3] ? 25 : Math.min(60, Math.max(2, Math.round(to - from) + 1));
    return {name, from, to, steps, scale: span[3] ? 'log' : 'linear'};
}

// Sparse and dense: the experts a token goes to as released, and all of them.
function expertsOf(models, id) {
    const model = models.find((one) => one.id === id.toLowerCase());
    return model && model.experts > 1 ? [...new Set([model.active_experts, model.experts])] : [];
}

function secondAxis(values, models) {
    if (!values.by || values.by === values.x) {
        return [];
    }
    const taken = names(values.bys).map(value(values.by));
    const all = taken.length === 0 && values.by === 'active_experts' ?
        expertsOf(models, values.model) :
        taken;
    return all.length === 0 ? [] : [{name: values.by, values: all}];
}

const intervalOf = (point, y) => point.interval?.[y] ?? undefined;

function curves(sweep, y) {
    const label = sweep.by ? f.words(sweep.by.name) : f.words(y);
    return sweep.series.map(
        ({by, points}, i) => ({
            label: by === null ? label : `${label} ${by}`,
            colour: `s${i % 8}`,
            by,
            points: points.filter((point) => !point.problem && typeof point.x === 'number')
                        .map((point) => ({x: point.x, y: point[y], ys: intervalOf(point, y)})),
            kind: 'line'
        }));
}

const MEASURED = {
    queries_per_s: 'queries_per_s',
    step_s: 'step_time_s',
    memory_bytes: 'peak_memory_bytes'
};
const OWN = {
    batch_size: (c) => c.batch_size,
    active_experts: (c) => c.active_experts,
    gpu: (c) => c.gpu,
    sequence_tokens: (c) => c.sequence_tokens
};

// Whether a measured point is of the job as it was assumed, but for what the axes set.
function isOf(point, sweep, values, varied) {
    const taken = sweep.assumptions;
    const lengths = values.lengths === 'fixed' ? point.sequence_tokens === Number(values.tokens) :
                                                 point.lengths?.name === values.lengths;
    return point.method.kind === values.method && point.stack === taken.stack &&
        point.gradient_checkpointing === taken.gradient_checkpointing &&
        point.gpu_count === taken.gpu_count && (varied.includes('sequence_tokens') || lengths) &&
        (varied.includes('gpu') || point.gpu.toLowerCase() === values.gpu.toLowerCase()) &&
        (varied.includes('active_experts') ||
         point.active_experts === (taken.active_experts || null));
}

// Points over the curves, in their curve's colour.
function measured(points, sweep, values, lines) {
    const varied = [sweep.x.name, sweep.by?.name].filter(Boolean);
    const member = MEASURED[values.y];
    if (!member || varied.some((name) => !(name in OWN))) {
        return [];
    }
    const fitting = points.filter((point) => point[member] && isOf(point, sweep, values, varied));
    return lines
        .map(({by, colour, label}) => ({
                 label: `${label}, measured`,
                 colour,
                 kind: 'points',
                 size: 9,
                 points: fitting.filter((point) => !sweep.by || OWN[sweep.by.name](point) === by)
                             .map((point) => ({
                                      x: OWN[sweep.x.name](point),
                                      y: point[member],
                                      label: `${point.id} (${point.source})`
                                  }))
             }))
        .filter((one) => one.points.length > 0);
}

function problems(sweep) {
    const found = sweep.series.flatMap(
        ({by, points}) =>
            points.filter(({problem}) => problem).map(({x, problem}) => ({by, x, ...problem})));
    return sweep.problems === 0 ?
        null :
        p.table(
            'Points without an answer',
            [
                {label: f.words(sweep.x.name), get: (row) => row.x},
                {label: sweep.by ? f.words(sweep.by.name) : '', get: (row) => row.by},
                {label: 'Reason', text: true, get: (row) => row.code},
                {label: 'Detail', text: true, get: (row) => row.detail},
            ],
            found, {first: 4});
}

function numbers(sweep) {
    const rows = sweep.series.flatMap(
        ({by, points}) => points.filter(({problem}) => !problem).map((point) => ({...point, by})));
    const columns = sweep.quantities.map(
        ({name}) => ({label: f.words(name), get: (row) => row[name], format: f.byName(name)}));
    return p.table(
        'All quantities',
        [
            {label: f.words(sweep.x.name), get: (row) => row.x},
            ...(sweep.by ? [{label: f.words(sweep.by.name), get: (row) => row.by}] : []),
            ...columns, {
                label: 'Evidence',
                text: true,
                get: (row) => p.badge(row.basis),
                sort: (row) => row.basis
            }
        ],
        rows, {first: 10});
}

function drawing(sweep, points, values) {
    const lines = curves(sweep, values.y);
    if (sweep.x.values.some((one) => typeof one !== 'number')) {
        return null; // names have no place on an axis: the table has them
    }
    const spread = sweep.x.values.at(-1) / sweep.x.values[0];
    return chart({
        title: `${f.words(values.y)} along ${f.words(sweep.x.name)}`,
        x: {label: f.words(sweep.x.name), format: f.short, log: spread > 100},
        y: {label: f.words(values.y), format: f.byName(values.y)},
        height: 400,
        series: [...lines, ...measured(points, sweep, values, lines)],
        note: 'Upright strokes are intervals of the estimates; dots are measured points.'
    });
}

export async function open(page) {
    const models = await catalog('models');
    const kept = new Map();
    const pointsOf = (model) => {
        if (!kept.has(model)) {
            kept.set(
                model,
                list(`/v1/calibrations?model=${encodeURIComponent(model)}`, 'calibrations')
                    .then(({entries}) => entries, () => []));
        }
        return kept.get(model);
    };
    function questions(values) {
        const {batch_size: _, ...job} = jobOf(values);
        for (const axis of [values.x, values.by]) {
            delete job[axis];
        }
        return [[
            '/v1/sweeps', {job, axes: [axisOf(values.x, values.xs), ...secondAxis(values, models)]}
        ]];
    }
    let turn = 0;
    function draw(node, [sweep], values, [body]) {
        turn += 1;
        const mine = turn;
        const place = el('div', {}, drawing(sweep, [], values));
        replace(
            node, el('h2', {}, `${f.words(values.y)} of ${values.model}`), place,
            p.copies('/v1/sweeps', body), problems(sweep), numbers(sweep),
            p.fold('What was assumed', p.tree(sweep.assumptions)));
        pointsOf(values.model).then((points) => {
            if (mine === turn && points.length > 0) {
                replace(place, drawing(sweep, points, values));
            }
        });
    }
    return workbench(page, {fields: fields(), questions, draw});
}
