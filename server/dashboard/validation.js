// The view Validation: how far every estimator is from what was measured, how often intervals hold,
// and how wide they are.
import {ask, list} from './api.js';
import {chart} from './chart.js';
import {el, figure, replace} from './dom.js';
import * as f from './format.js';
import * as p from './parts.js';
import * as state from './state.js';
import {latest, problemBox} from './workbench.js';

const text = (label, get) => ({label, text: true, get});
const share = (label, get) => ({label, get, format: f.percent});
const error = (key, label) => share(label, (row) => row[key]);

function throughput(rows, values) {
    const open = (row) =>
        el('a', {href: state.address('validation', {set: row.dataset})}, row.dataset);
    return p.table(
        'Throughput, every estimator on every measured set',
        [
            {...text('Set', open), sort: (row) => row.dataset},
            text('Estimator', (row) => row.estimator),
            {label: 'Points', get: (row) => row.points, format: f.whole},
            error('mape', 'Mean error'),
            error('median_ape', 'Median'),
            error('p90_ape', '90th percentile'),
            error('bias', 'Bias'),
            {label: 'RMSE, queries/s', get: (row) => row.rmse_queries_per_s},
            share('Leave one out', (row) => row.leave_one_out?.mape ?? null),
            {
                label: 'Paper\'s RMSE',
                sort: (row) => row.printed?.rmse_queries_per_s,
                get: (row) =>
                    (row.printed ? el('span', {}, row.printed.is_bound ? 'below ' : '',
                                      figure(row.printed.rmse_queries_per_s, f.plain)) :
                                   null)
            },
            text('Seen by the fit', (row) => (row.held_out ? 'no' : 'yes')),
        ],
        rows, {first: 30, rowClass: (row) => (row.dataset === values.set ? 'chosen' : '')});
}

const GONE = {
    point: 'the point',
    identity: 'its model, method, GPU and settings',
    source: 'its whole source',
    'source-but-three-points': 'its source but three points'
};

function grades(rows) {
    const at = (level, key) => (row) =>
        row.intervals.find((one) => one.level === level)?.[key] ?? null;
    return p.table(
        'What the fits had not seen',
        [
            text('Predicted without', (row) => GONE[row.held_out] ?? row.held_out),
            text('Quantity', (row) => `${row.quantity}${row.single_gpu ? ', one GPU' : ''}`),
            {
                ...text('Evidence', (row) => (row.grade ? p.badge(row.grade) : 'all')),
                sort: (row) => row.grade
            },
            text('Source', (row) => row.source ?? 'all'),
            {label: 'Points', get: (row) => row.points, format: f.whole},
            error('median_ape', 'Median error'),
            error('p90_ape', '90th percentile'),
            error('bias', 'Bias'),
            share('90 % interval covers', at(0.9, 'coverage')),
            {label: 'its width', get: at(0.9, 'width'), format: f.times},
        ],
        rows, {first: 12});
}

// How often intervals hold against how often they should.
function coverage(rows) {
    const all = rows.filter((row) => row.grade === null && row.source === null && !row.single_gpu);
    const of = (quantity) => all.filter((row) => row.quantity === quantity);
    const draw = (quantity) => chart({
        title: `Do intervals of ${quantity} hold?`,
        diagonal: true,
        x: {label: 'Should cover', format: f.percent},
        y: {label: 'Covers', format: f.percent},
        series: of(quantity).map(
            (row) => ({
                label: `without ${GONE[row.held_out]}`,
                points: row.intervals.map((one) => ({x: one.level, y: one.coverage}))
            }))
    });
    return el('div', {class: 'halves'}, draw('throughput'), draw('memory'));
}

function batches(rows) {
    const point = (row) => ({
        x: row.max_batch_size,
        y: row.predicted_max_batch_size,
        label: `${row.model} on ${row.gpu}, ${row.stack}`
    });
    const of = (measured) => rows.filter((row) => row.measured === measured).map(point);
    return [
        chart({
            title: 'Largest batch, predicted against measured',
            diagonal: true,
            x: {label: 'Measured', format: f.plain, log: true},
            y: {label: 'Predicted', format: f.plain, log: true},
            series: [
                {label: 'measured', kind: 'points', colour: 's0', points: of(true)}, {
                    label: 'projected or stated',
                    kind: 'points',
                    colour: 's1',
                    hollow: true,
                    points: of(false)
                }
            ]
        }),
        p.table(
            'Largest batches',
            [
                text('Model', (row) => row.model),
                text('GPU', (row) => row.gpu),
                text('Stack', (row) => row.stack),
                {label: 'Longest row', get: (row) => row.longest_tokens, format: f.whole},
                {label: 'Measured', get: (row) => row.max_batch_size, format: f.whole},
                {label: 'Predicted', get: (row) => row.predicted_max_batch_size, format: f.whole},
                {label: 'Paper\'s form', get: (row) => row.xia2024_max_batch_size, format: f.whole},
                text(
                    'Within 15 % or one',
                    (row) => (row.within_15_percent_or_one_query ? 'yes' : 'no')),
                text('Source', (row) => row.source),
            ],
            rows, {first: 8})
    ];
}

function serving(rows) {
    const of = ({runs}) =>
        runs.map((run) => ({
                     x: run.tokens_per_s,
                     y: run.predicted_tokens_per_s,
                     label: `${run.model} on ${run.gpu_count} × ${run.gpu}, ${run.quantization}`
                 }));
    return [
        chart({
            title: 'Serving: generated tokens per second',
            diagonal: true,
            x: {label: 'Measured', format: f.plain, log: true},
            y: {label: 'Predicted', format: f.plain, log: true},
            series: rows.map((row) => ({label: row.stack, kind: 'points', points: of(row)}))
        }),
        p.table(
            'Serving, by stack',
            [
                text('Stack', (row) => row.stack),
                {label: 'Runs', get: (row) => row.points, format: f.whole},
                error('mape', 'Mean error'),
                error('median_ape', 'Median'),
                error('p90_ape', '90th percentile'),
                error('bias', 'Bias'),
                share('Unseen runs', (row) => row.held_out?.mape ?? null),
                share('90 % interval covers', (row) => row.interval_coverage_90),
                text('Source', (row) => row.source),
            ],
            rows)
    ];
}

function outcomes(rows) {
    return p.table(
        'Saved estimates against what happened',
        [
            text('Quantity', (row) => row.quantity),
            text('Month', (row) => row.month ?? 'all'),
            {label: 'Outcomes', get: (row) => row.outcomes, format: f.whole},
            error('median_ape', 'Median error'),
            error('p90_ape', '90th percentile'),
            error('bias', 'Bias'),
            share('Level', (row) => row.level),
            share('Covers', (row) => row.coverage),
            {label: 'Width', get: (row) => row.width, format: f.times},
        ],
        rows, {empty: 'no outcome of a saved estimate was recorded.'});
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Points of one set over their prediction by the fit of its setting.
function drawSet(set, fit) {
    return fit ? chart({
        title: `${set}: predicted against measured`,
        diagonal: true,
        x: {label: 'Measured queries/s', format: f.plain, log: true},
        y: {label: 'Predicted queries/s', format: f.plain, log: true},
        note: `All points of the setting, by the fit ${fit.id}.`,
        series: [{
            label: 'points',
            kind: 'points',
            points: fit.residuals.map((one) => ({
                                          x: one.queries_per_s,
                                          y: one.predicted_queries_per_s,
                                          label: `${one.calibration}, batch ${one.batch_size}`
                                      }))
        }]
    }) :
                 el('p', {class: 'card empty'}, `No fit has the setting of ${set}.`);
}

export async function open({node, view, group, values: first}) {
    const answer = await ask('/v1/validation');
    let values = first;
    const table = el('div');
    const place = el('div');
    const show = latest(async (signal) => {
        replace(table, throughput(answer.throughput, values));
        const set = values.set ?? answer.throughput[0]?.dataset;
        const {identity} = answer.throughput.find((row) => row.dataset === set) ?? {};
        if (!identity) {
            replace(
                place,
                set ? el('p', {class: 'problem'}, `There is no measured set ${set}.`) : null);
            return;
        }
        const {entries} = await list(
            `/v1/fits?estimator=default&model=${encodeURIComponent(identity.model)}`, 'fits',
            {signal});
        const own = entries.find((fit) => fit.scope === 'identity' && same(fit.identity, identity));
        replace(
            place,
            drawSet(
                set, own ? await ask(`/v1/fits/${encodeURIComponent(own.id)}`, {signal}) : null));
    }, (problem, again) => replace(place, problemBox(problem, [], again)));
    function fill(wanted) {
        values = wanted;
        state.write(view, group, ['set'], values);
        show();
    }
    node.append(
        el('div', {class: 'pane'}, el('h2', {}, 'Validation'), coverage(answer.grades),
           grades(answer.grades), place, table, batches(answer.max_batch), serving(answer.serving),
           outcomes(answer.outcomes)));
    fill(values);
    return {fill, stop: show.stop};
}
