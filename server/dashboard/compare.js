// The view Compare: one job over GPUs, numbers of them and providers; cost against time, the front,
// and what a budget and a deadline leave.
import {chart} from './chart.js';
import {ids} from './catalog.js';
import {el, figure, fresh, replace} from './dom.js';
import * as f from './format.js';
import {jobFields, jobOf, names, number} from './job.js';
import * as p from './parts.js';
import * as state from './state.js';
import {workbench} from './workbench.js';

const SHOWN = 200; // options asked for at once
const HOUR_S = 3600;
const HOW = 'What to compare';

function fields() {
    const gpus = ids('gpus');
    return [
        {
            key: 'budget_usd',
            label: 'Budget, $',
            kind: 'number',
            pointers: ['/budget_usd'],
            placeholder: 'none'
        },
        {
            key: 'deadline_h',
            label: 'Deadline, hours',
            kind: 'number',
            pointers: ['/deadline_s'],
            placeholder: 'none'
        },
        ...jobFields(['gpu', 'gpu_count', 'confidence']),
        {
            key: 'gpus',
            label: 'GPUs to compare',
            group: HOW,
            suggestions: gpus,
            pointers: ['/gpus', '/gpu'],
            hint: 'Ids with commas; all where empty'
        },
        {
            key: 'counts',
            label: 'How many of them',
            group: HOW,
            initial: '1, 2, 4, 8',
            pointers: ['/gpu_counts', '/gpu_count']
        },
        {
            key: 'spot',
            label: 'Spot prices',
            kind: 'select',
            group: HOW,
            pointers: ['/spot'],
            options: [['', 'no'], ['true', 'only'], ['"both"', 'beside those on demand']]
        },
        {
            key: 'objective',
            label: 'Best is',
            kind: 'select',
            group: HOW,
            pointers: ['/objective'],
            options: [['', 'cheapest'], ['time', 'fastest']]
        },
    ];
}

function comparisonOf(values) {
    const {gpu, ...asked} = jobOf(values);
    if (values.gpus) {
        asked.gpus = names(values.gpus);
    }
    asked.gpu_counts = names(values.counts).map(number);
    asked.limit = SHOWN;
    if (values.spot) {
        asked.spot = JSON.parse(values.spot);
    }
    if (values.objective) {
        asked.objective = values.objective;
    }
    return asked;
}

function bounded(asked, values) {
    const bounds = {};
    if (values.budget_usd) {
        bounds.budget_usd = number(values.budget_usd);
    }
    if (values.deadline_h) {
        const deadline = number(values.deadline_h);
        bounds.deadline_s = typeof deadline === 'number' ? deadline * HOUR_S : deadline;
    }
    return {...asked, ...bounds};
}

// With bounds the question is asked without them too: sliders run over what is then possible.
function questions(values) {
    const asked = comparisonOf(values);
    const within = bounded(asked, values);
    const both = values.budget_usd || values.deadline_h ? [within, asked] : [asked];
    return both.map((body) => ['/v1/comparisons', body]);
}

const placeOf = (option) => `${option.gpu_count} × ${option.gpu}`;
const nameOf = (option) => `${placeOf(option)}, ${option.provider}`;

function scatter(comparison) {
    const point = (option, whiskers) => ({
        x: option.duration_s,
        y: option.cost_usd,
        label: nameOf(option),
        xs: whiskers ? option.interval.duration_s : undefined,
        ys: whiskers ? option.interval.cost_usd : undefined
    });
    const kinds = [['calibrated', 's2'], ['transferred', 's1'], ['prior', 's4']];
    const series = kinds.map(
        ([kind, colour]) => ({
            label: kind,
            colour,
            kind: 'points',
            size: 7,
            hollow: true,
            points: comparison.options.filter(({basis, on_front: on}) => basis === kind && !on)
                        .map((option) => point(option))
        }));
    series.push({
        label: 'Pareto front, with intervals',
        colour: 's0',
        dash: true,
        size: 9,
        points: [
            ...comparison.front
                .filter((one) => !comparison.options.some(({rank}) => rank === one.rank))
                .map((option) => point(option)),
            ...comparison.options.filter((option) => option.on_front)
                .map((option) => point(option, true))
        ]
    });
    return chart({
        title: 'Cost against time',
        x: {label: 'Duration', format: f.seconds, log: true},
        y: {label: 'Cost', format: f.usd, log: true},
        series,
        height: 380,
        note: 'Lower and further left is better. No option beats those on the front in both.'
    });
}

function quoteLink(values, option) {
    const asked = {...values, gpu: option.gpu, gpu_count: String(option.gpu_count)};
    if (option.provider !== 'request') {
        asked.providers = option.provider;
    }
    return el('a', {href: state.address('quote', asked)}, option.gpu);
}

function options(comparison, values) {
    const share = (get) => ({get, format: f.percent});
    const both = (get, format) => (row) => {
        const [low, high] = get(row);
        return el('span', {class: 'pair'}, figure(low, format), ' to ', figure(high, format));
    };
    const columns = [
        {label: 'Rank', get: (row) => row.rank, format: f.whole},
        {label: 'GPU', text: true, get: (row) => quoteLink(values, row), sort: (row) => row.gpu},
        {label: 'Count', get: (row) => row.gpu_count, format: f.whole},
        {label: 'Provider', text: true, get: (row) => row.provider},
        {
            label: 'Instance',
            text: true,
            get: (row) => (row.spot ? `${row.instance_type}, spot` : row.instance_type)
        },
        {label: '$ per GPU h', get: (row) => row.usd_per_gpu_hour, format: f.usdPerHour},
        {label: 'Cost', get: (row) => row.cost_usd, format: f.usd},
        {
            label: 'Cost between',
            sort: (row) => row.interval.cost_usd[1],
            get: both((row) => row.interval.cost_usd, f.usd)
        },
        {label: 'Time', get: (row) => row.duration_s, format: f.seconds},
        {
            label: 'Time between',
            sort: (row) => row.interval.duration_s[1],
            get: both((row) => row.interval.duration_s, f.seconds)
        },
        {label: 'P(cheapest)', ...share((row) => row.p_cheapest)},
        ...(values.budget_usd ? [{label: 'P(in budget)', ...share((row) => row.p_in_budget)}] : []),
        ...(values.deadline_h ? [{label: 'P(in time)', ...share((row) => row.p_in_time)}] : []),
        {label: 'Evidence', text: true, get: (row) => p.badge(row.basis), sort: (row) => row.basis},
    ];
    return p.table('Options', columns, comparison.options, {
        first: 25,
        rowClass: (row) => (row.on_front ? 'front' : ''),
        empty: 'nothing keeps the bounds.'
    });
}

function infeasible(list) {
    return p.table(
        'What cannot be',
        [
            {label: 'GPU', text: true, get: (row) => row.gpu},
            {label: 'Count', get: (row) => row.gpu_count, format: f.whole},
            {label: 'Reason', text: true, get: (row) => row.reason},
            {label: 'Detail', text: true, get: (row) => row.detail},
            {
                label: 'What would help',
                text: true,
                sort: (row) => row.change?.field,
                get: (row) =>
                    (row.change ? `${row.change.field}: ${row.change.to}, ${row.change.detail}` :
                                  null)
            },
        ],
        list, {first: 8});
}

function unmet({cheapest, fastest}) {
    const line = (label, one) => el(
        'li', {}, `${label}: ${nameOf(one)}, `, figure(one.cost_usd, f.usd), ', ',
        figure(one.duration_s, f.seconds),
        one.budget_usd_missing ? [', over the budget by ', figure(one.budget_usd_missing, f.usd)] :
                                 null,
        one.deadline_s_missing ? [', late by ', figure(one.deadline_s_missing, f.seconds)] : null);
    return el(
        'section', {class: 'problem'}, el('h3', {}, 'Nothing keeps the bounds'),
        el('ul', {}, line('The cheapest', cheapest), line('The fastest', fastest)));
}

function breakEven(
    {cheapest, runner_up: next, cheapest_usd_per_gpu_hour: up, runner_up_usd_per_gpu_hour: down}) {
    return el(
        'section', {class: 'card wide'}, el('h3', {}, 'When another GPU is as cheap'),
        el('p', {}, `${nameOf(next)} costs as much as ${nameOf(cheapest)} at `,
           figure(down, f.usdPerHour), ' per GPU and hour in place of ',
           figure(next.usd_per_gpu_hour, f.usdPerHour), ', or where the cheapest takes ',
           figure(up, f.usdPerHour), ' in place of ',
           figure(cheapest.usd_per_gpu_hour, f.usdPerHour), '.'));
}

function sensitivity(all) {
    const rows =
        Object.entries(all)
            .filter(([, one]) => one)
            .flatMap(
                ([input, one]) => [one.below, one.above].map((scenario) => ({input, ...scenario})));
    return p.table(
        'If prices, lengths or epochs were others',
        [
            {label: 'Input', text: true, get: (row) => row.input},
            {label: 'Times', get: (row) => row.factor, format: f.times},
            {label: 'Today\'s best costs', get: (row) => row.cost_usd, format: f.usd},
            {
                label: 'Best then',
                text: true,
                sort: (row) => row.best?.gpu,
                get: (row) => (row.best ? nameOf(row.best) : null)
            },
            {label: 'It costs', get: (row) => row.best?.cost_usd ?? null, format: f.usd},
            {label: 'Another', text: true, get: (row) => (row.changes ? 'yes' : 'no')},
        ],
        rows);
}

// A slider over values that are possible; the last position is no bound.
class Slider {
    constructor(row, label, digits, unit) {
        this.row = row;
        this.scale = 10 ** digits / unit;
        this.unit = 10 ** digits;
        this.steps = [];
        this.input = el('input', {
            type: 'range',
            min: 0,
            max: 0,
            step: 1,
            'aria-label': label,
            id: fresh('slider'),
            oninput: () => this.move()
        });
        row.input.after(this.input);
    }

    // Rounded up, so that the option itself keeps the bound.
    text(value) {
        return String(Math.ceil(value * this.scale) / this.unit);
    }

    move() {
        const at = Number(this.input.value);
        this.row.input.value = at < this.steps.length ? this.text(this.steps[at]) : '';
        this.say();
        this.row.input.dispatchEvent(new Event('input'));
    }

    say() {
        this.input.setAttribute('aria-valuetext', this.row.input.value || 'no bound');
    }

    offer(values) {
        this.steps = [...new Set(values)].sort((a, b) => a - b);
        this.input.max = this.steps.length;
        if (document.activeElement !== this.input) {
            const bound = Number(this.row.input.value);
            const at = this.steps.findIndex((step) => Number(this.text(step)) >= bound);
            this.input.value = this.row.input.value === '' || at < 0 ? this.steps.length : at;
            this.say();
        }
    }
}

export async function open(page) {
    const sliders = [];
    function draw(node, answers, values, [body]) {
        const comparison = answers[0];
        const free = answers.at(-1);
        sliders[0]?.offer(free.options.map(({cost_usd: cost}) => cost));
        sliders[1]?.offer(free.options.map(({duration_s: duration}) => duration));
        replace(
            node,
            el('h2', {}, `${comparison.model}: `, figure(comparison.option_count, f.whole),
               ' options'),
            comparison.unmet ? unmet(comparison.unmet) : null,
            comparison.options.length > 0 ? scatter(comparison) : null,
            p.copies('/v1/comparisons', body), options(comparison, values),
            comparison.next_cursor ?
                el('p', {class: 'hint'}, 'The best of them; the API pages through all.') :
                null,
            comparison.break_even ? breakEven(comparison.break_even) : null,
            comparison.sensitivity ? sensitivity(comparison.sensitivity) : null,
            infeasible(comparison.infeasible),
            p.fold('What was assumed', p.tree(comparison.assumptions)));
    }
    const bench = workbench(page, {fields: fields(), questions, draw});
    sliders.push(
        new Slider(bench.form.row('budget_usd'), 'Budget', 2, 1),
        new Slider(bench.form.row('deadline_h'), 'Deadline', 2, HOUR_S));
    return bench;
}
