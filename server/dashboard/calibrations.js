// The view Calibrations: which models are measured on which GPUs, the fits made from the points
// with their residuals, the newest points, and who sent them.
import {ask, list} from './api.js';
import {catalog} from './catalog.js';
import {chart} from './chart.js';
import {el, figure, replace} from './dom.js';
import * as f from './format.js';
import * as p from './parts.js';
import * as state from './state.js';
import {latest, problemBox} from './workbench.js';

const PAGES = 20; // of 1000 points, looked through for the newest
const NEWEST = 40;

const link = (values, text) => el('a', {href: state.address('calibrations', values)}, text);

// The best measured fit of a model on a GPU: a cell of the map says how many points that one has.
function cells(fits) {
    const map = new Map();
    for (const fit of fits) {
        const key = `${fit.identity.model}\n${fit.identity.gpu}`;
        if ((map.get(key)?.points ?? 0) < fit.points) {
            map.set(key, fit);
        }
    }
    return map;
}

// The fit of one setting with the most points: what is shown where none was asked for.
const best = (fits) =>
    fits.filter(({scope, estimator}) => scope === 'identity' && estimator === 'default')
        .reduce((a, b) => (a && a.points >= b.points ? a : b), null);

function coverage(fits, values) {
    const own =
        fits.filter(({scope, estimator}) => scope === 'identity' && estimator === 'default');
    if (own.length === 0) {
        return el(
            'p', {class: 'card empty'}, 'Nothing has been measured yet: every quote is a prior.');
    }
    const models = [...new Set(own.map(({identity}) => identity.model))].sort();
    const gpus = [...new Set(own.map(({identity}) => identity.gpu))].sort();
    const map = cells(own);
    const at = (model, gpu) => {
        const fit = map.get(`${model}\n${gpu}`);
        return el(
            'td', {},
            fit ? el('a', {
                href: state.address('calibrations', {model, gpu, fit: fit.id}),
                'aria-label': `${model} on ${gpu}: ${fit.points} points`,
                'aria-current': values.model === model && values.gpu === gpu ? 'true' : undefined
            },
                     figure(fit.points, f.whole)) :
                  null);
    };
    return el(
        'div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Coverage'},
        el('table', {class: 'map'},
           el('caption', {}, 'What is measured: points of the best measured setting'),
           el('thead', {},
              el('tr', {}, el('td', {}),
                 gpus.map((gpu) => el('th', {scope: 'col'}, el('span', {}, gpu))))),
           el('tbody', {},
              models.map(
                  (model) =>
                      el('tr', {}, el('th', {scope: 'row'}, model),
                         gpus.map((gpu) => at(model, gpu)))))));
}

function fitTable(fits, values) {
    const chosen = fits.filter(
        (fit) => (!values.model || fit.identity?.model === values.model) &&
            (!values.gpu || fit.identity?.gpu === values.gpu));
    const heading =
        values.model ? `Fits of ${values.model}${values.gpu ? ` on ${values.gpu}` : ''}` : 'Fits';
    return [
        p.table(
            heading,
            [
                {
                    label: 'Fit',
                    text: true,
                    sort: (row) => row.id,
                    get: (row) => link({...values, fit: row.id}, row.id)
                },
                {label: 'Estimator', text: true, get: (row) => row.estimator},
                {label: 'Of', text: true, get: (row) => row.scope},
                {label: 'Points', get: (row) => row.points, format: f.whole},
                {label: 'Mean error', get: (row) => row.mape, format: f.percent},
                {label: 'Bias', get: (row) => row.bias, format: f.percent},
                {label: 'Newest point', text: true, get: (row) => row.newest_point_at},
                {label: 'Sources', text: true, get: (row) => row.sources.join(', ')},
            ],
            chosen, {first: 12, rowClass: (row) => (row.id === values.fit ? 'chosen' : '')}),
        values.model ? el('p', {}, link({}, 'Show all fits')) : null
    ];
}

function residuals(fit) {
    const points = fit.residuals.map(
        (one) => ({...one, label: `${one.calibration}, batch ${one.batch_size}`}));
    const predicted = [{
        label: 'points',
        colour: 's0',
        kind: 'points',
        points: points.map(
            (one) => ({x: one.queries_per_s, y: one.predicted_queries_per_s, label: one.label}))
    }];
    const errors = [{
        label: 'points',
        colour: 's1',
        kind: 'points',
        points: points.map((one) => ({x: one.batch_size, y: one.relative_error, label: one.label}))
    }];
    return el(
        'div', {class: 'halves'}, chart({
            title: 'Predicted against measured',
            series: predicted,
            diagonal: true,
            x: {label: 'Measured queries/s', format: f.plain, log: true},
            y: {label: 'Predicted queries/s', format: f.plain, log: true}
        }),
        chart({
            title: 'Residuals',
            series: errors,
            x: {label: 'Batch size', format: f.plain},
            y: {label: 'Relative error', format: f.percent, also: [0]}
        }));
}

function coefficients(fit) {
    const rows =
        Object.entries(fit.coefficients).map(([name, value]) => ({
                                                 name,
                                                 value,
                                                 error:
                                                     fit.relative_standard_errors?.[name] ?? null,
                                                 prior: fit.prior?.[name] ?? null
                                             }));
    return p.table(
        'Coefficients',
        [
            {label: 'Name', text: true, get: (row) => row.name},
            {label: 'Value', get: (row) => row.value},
            {label: 'Standard error', get: (row) => row.error, format: f.percent},
            {label: 'Of the next wider scope', get: (row) => row.prior},
        ],
        rows);
}

function oneFit(fit) {
    return [
        el('h2', {}, fit.id), el('p', {class: 'hint'}, fit.formula),
        fit.residuals.length > 0 ?
            residuals(fit) :
            el('p', {class: 'hint'}, 'Residuals are kept for throughput fits of one setting only.'),
        coefficients(fit)
    ];
}

function newest({entries, complete}) {
    const rows = entries.slice(-NEWEST).reverse();
    return [
        p.table(
            'Newest points',
            [
                {label: 'Point', text: true, get: (row) => row.id},
                {label: 'Model', text: true, get: (row) => row.model},
                {label: 'GPU', text: true, get: (row) => row.gpu},
                {label: 'GPUs', get: (row) => row.gpu_count, format: f.whole},
                {label: 'Method', text: true, get: (row) => row.method.kind},
                {label: 'Stack', text: true, get: (row) => row.stack},
                {label: 'Batch', get: (row) => row.batch_size, format: f.whole},
                {label: 'Queries/s', get: (row) => row.queries_per_s},
                {label: 'Step', get: (row) => row.step_time_s, format: f.seconds},
                {label: 'Measured', text: true, get: (row) => row.measured_at},
                {label: 'Source', text: true, get: (row) => row.source},
                {
                    label: 'Counts',
                    text: true,
                    get: (row) =>
                        (row.excluded        ? 'no: excluded' :
                             row.implausible ? 'no: implausible' :
                             row.outlier     ? 'no: an outlier' :
                                               'yes')
                },
            ],
            rows, {first: 12}),
        complete ?
            null :
            el('p', {class: 'hint'},
               'There are more points than this page looks through; the newest may be among those.')
    ];
}

// Who posted, with what they measured last: points come in the order in which they were stored.
function workers({entries}) {
    const last = new Map();
    for (const point of entries.filter(({shipped}) => !shipped)) {
        const key = `${point.token}\n${point.stack}\n${point.gpu}`;
        last.delete(key);
        last.set(key, point);
    }
    return p.table(
        'Workers',
        [
            {label: 'Token', text: true, get: (row) => row.token},
            {label: 'Stack', text: true, get: (row) => row.stack},
            {label: 'GPU', text: true, get: (row) => row.gpu},
            {label: 'Last model', text: true, get: (row) => row.model},
            {label: 'Last measured', text: true, get: (row) => row.measured_at},
            {label: 'Source', text: true, get: (row) => row.source},
        ],
        [...last.values()].reverse(), {empty: 'nobody has posted a point to this server.'});
}

function stacks(list) {
    const rows = list.flatMap(({id, sources}) => sources.map((one) => ({stack: id, ...one})));
    return p.table(
        'Evidence by software stack',
        [
            {label: 'Stack', text: true, get: (row) => row.stack},
            {label: 'Source', text: true, get: (row) => row.source},
            {label: 'Points', get: (row) => row.points, format: f.whole},
            {label: 'Whole runs', get: (row) => row.runs, format: f.whole},
            {label: 'Largest batches', get: (row) => row.capacities, format: f.whole},
        ],
        rows, {first: 12});
}

export async function open({node, view, group, values: first}) {
    let values = first;
    const [{entries: fits}, points, all] = await Promise.all([
        list('/v1/fits', 'fits'), list('/v1/calibrations', 'calibrations', {most: PAGES}),
        catalog('stacks')
    ]);
    const [map, detail, table] =
        [el('div'), el('div', {class: 'pane'}), el('div', {class: 'pane'})];
    const show = latest(async (signal) => {
        replace(map, coverage(fits, values));
        replace(table, fitTable(fits, values));
        const id = values.fit ?? best(fits)?.id;
        replace(
            detail, id ? oneFit(await ask(`/v1/fits/${encodeURIComponent(id)}`, {signal})) : null);
    }, (problem, again) => replace(detail, problemBox(problem, [], again)));
    function fill(wanted) {
        values = wanted;
        state.write(view, group, ['model', 'gpu', 'fit'], values);
        show();
    }
    node.append(
        el('div', {class: 'pane'}, el('h2', {}, 'Calibrations'), map, detail, table, newest(points),
           workers(points), stacks(all)));
    fill(values);
    return {fill, stop: show.stop};
}
