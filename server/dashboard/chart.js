// Charts by uPlot, which is there only where the build had it: lines, points, intervals; the
// nearest point told in words, and all points as a table.
import {el, figure, fresh, replace} from './dom.js';
import {plain, seconds} from './format.js';

const HEIGHT_PX = 300;
const NEAR_PX = 40;
const TICK_PX = 70; // that a number beside an axis takes
const drawn = new Set();
let probe = null;

// A colour of the style sheet as canvas takes it.
function colour(name) {
    probe ??= document.body.appendChild(el('i', {hidden: true}));
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
}

let asked = null;

// The library once it has come; null where the build had none. It is asked for with the first
// chart.
function library() {
    const name = document.querySelector('meta[name=charts]')?.content;
    asked ??= new Promise((resolve) => {
        const come = () => resolve(window.uPlot ?? null);
        if (name) {
            document.head.append(el('script', {src: name, onload: come, onerror: come}));
        } else {
            come();
        }
    });
    return asked;
}

// Drawn anew in the colours of the theme.
export const recolour = () => drawn.forEach((plot) => plot.redraw(true));

// One row a point, by x, so that points of the same x stand side by side; only its own series has a
// value in a row.
function rowsOf(series) {
    const rows = series.flatMap((one, at) => one.points.map((point) => ({...point, at})));
    return rows.filter(({x, y}) => Number.isFinite(x) && Number.isFinite(y))
        .sort((a, b) => a.x - b.x);
}

function aligned(rows, series) {
    return [
        rows.map(({x}) => x),
        ...series.map((_, at) => rows.map((row) => (row.at === at ? row.y : null)))
    ];
}

// Ends of an axis: all values and intervals with a little air, whatever is zoomed.
function ends(rows, axis, isLog, also) {
    const values = rows.flatMap((row) => [row[axis], ...(row[`${axis}s`] ?? [])])
                       .concat(also ?? [])
                       .filter((value) => Number.isFinite(value) && (!isLog || value > 0));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    if (isLog) {
        return [low / 1.15, high * 1.15];
    }
    const air = (high - low || Math.abs(high) || 1) * 0.06;
    return [low >= 0 && low < (high - low) ? 0 : low - air, high + air];
}

// Places of numbers on a logarithmic axis: round ones, few enough to be read.
const DECADES = Array.from({length: 60}, (_, i) => 10 ** (i - 24));
const ROUND = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1]].map(
    (steps) => DECADES.flatMap((decade) => steps.map((step) => step * decade)));
const CLOCK = [
    1,    2,    5,     10,    20,    30,    60,     120,    300,    600,     1200,    1800,
    3600, 7200, 14400, 28800, 43200, 86400, 172800, 345600, 864000, 1728000, 4320000, 8640000
];
const SPARSE_CLOCK = [1, 10, 60, 600, 3600, 14400, 86400, 864000, 8640000];

function logPlaces(isTime) {
    return (plot, _, low, high) => {
        const within = (steps) => steps.filter((step) => step >= low && step <= high);
        const tries = isTime && high > 60 ? [CLOCK, SPARSE_CLOCK, ...ROUND.slice(1)] : ROUND;
        const most = Math.max(3, Math.min(9, plot.width / TICK_PX));
        return within(tries.find((steps) => within(steps).length <= most) ?? tries.at(-1));
    };
}

const WHOLE_STEPS =
    DECADES.filter((decade) => decade >= 1).flatMap((decade) => [decade, 2 * decade, 5 * decade]);

function axis({label, format = plain}, isLog, isWhole) {
    return {
        label,
        stroke: () => colour('muted'),
        grid: {stroke: () => colour('line'), width: 1},
        ticks: {stroke: () => colour('line'), width: 1},
        font: '12px system-ui',
        labelFont: '13px system-ui',
        size: 58,
        labelSize: 22,
        ...(isLog ? {splits: logPlaces(format === seconds), filter: (_, ticks) => ticks} : {}),
        ...(isWhole && !isLog ? {incrs: WHOLE_STEPS} : {}),
        values: (_, ticks) => ticks.map((tick) => (tick === null ? '' : format(tick)))
    };
}

function drawWhiskers(plot, rows, series) {
    const {ctx} = plot;
    ctx.save();
    for (const row of rows) {
        ctx.strokeStyle = colour(series[row.at].colour);
        ctx.globalAlpha = 0.45;
        ctx.lineWidth = devicePixelRatio;
        const [px, py] = [plot.valToPos(row.x, 'x', true), plot.valToPos(row.y, 'y', true)];
        ctx.beginPath();
        if (row.ys) {
            ctx.moveTo(px, plot.valToPos(row.ys[0], 'y', true));
            ctx.lineTo(px, plot.valToPos(row.ys[1], 'y', true));
        }
        if (row.xs) {
            ctx.moveTo(plot.valToPos(row.xs[0], 'x', true), py);
            ctx.lineTo(plot.valToPos(row.xs[1], 'x', true), py);
        }
        ctx.stroke();
    }
    ctx.restore();
}

// Where x and y are equal: what a perfect prediction would lie on.
function drawDiagonal(plot) {
    const {ctx, bbox} = plot;
    const ends = [
        Math.max(plot.scales.x.min, plot.scales.y.min),
        Math.min(plot.scales.x.max, plot.scales.y.max)
    ];
    ctx.save();
    ctx.strokeStyle = colour('muted');
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.beginPath();
    ctx.moveTo(plot.valToPos(ends[0], 'x', true), plot.valToPos(ends[0], 'y', true));
    ctx.lineTo(plot.valToPos(ends[1], 'x', true), plot.valToPos(ends[1], 'y', true));
    ctx.stroke();
    ctx.restore();
}

// The row nearest to the pointer, if one is near.
function nearest(plot, rows) {
    const {left, top} = plot.cursor;
    let best = null;
    let least = NEAR_PX;
    for (const row of rows) {
        const distance =
            Math.hypot(plot.valToPos(row.x, 'x') - left, plot.valToPos(row.y, 'y') - top);
        if (distance < least) {
            least = distance;
            best = row;
        }
    }
    return best;
}

function seriesOptions(one) {
    const stroke = () => colour(one.colour);
    const isLine = one.kind !== 'points';
    return {
        label: one.label,
        stroke,
        width: isLine ? 2 : 0,
        spanGaps: true,
        dash: one.dash ? [6, 4] : undefined,
        paths: isLine ? undefined : () => null,
        points: {
            show: one.kind !== 'line',
            size: one.size ?? 7,
            width: 1.5,
            stroke,
            fill: () => colour(one.hollow ? 'card' : one.colour)
        }
    };
}

function options(uPlot, spec, rows, told, width) {
    const isLog = {x: spec.x.log ?? false, y: spec.y.log ?? false};
    const whole = rows.every(({x}) => Number.isInteger(x));
    const scale = (name) => ({
        time: false,
        distr: isLog[name] ? 3 : 1,
        range: () => ends(rows, name, isLog[name], spec[name].also)
    });
    return {
        width,
        height: spec.height ?? HEIGHT_PX,
        legend: {show: false},
        cursor: {points: {show: false}, drag: {x: false, y: false}},
        scales: {x: scale('x'), y: scale('y')},
        axes: [{...axis(spec.x, isLog.x, whole), size: 40}, axis(spec.y, isLog.y, false)],
        series: [{}, ...spec.series.map(seriesOptions)],
        hooks: {
            drawAxes: [(plot) => {
                drawWhiskers(plot, rows, spec.series);
                if (spec.diagonal) {
                    drawDiagonal(plot);
                }
            }],
            setCursor: [(plot) => {
                const row = plot.cursor.left >= 0 ? nearest(plot, rows) : null;
                replace(told, row ? inWords(spec, row) : '');
                plot.over.style.cursor = row?.href ? 'pointer' : '';
            }]
        }
    };
}

// What a point is called: a text, or what a function makes of it.
const worded = ({label = ''}) => (typeof label === 'function' ? label() : label);

function inWords(spec, row) {
    return [
        spec.series[row.at].label, row.label ? [', ', worded(row)] : '', ': ',
        figure(row.x, spec.x.format ?? plain), ', ', figure(row.y, spec.y.format ?? plain)
    ];
}

function numbers(spec, rows) {
    const shown = rows.slice(0, 500);
    return el(
        'table', {},
        el('thead', {},
           el('tr', {},
              ['Series', 'Point', spec.x.label, spec.y.label].map(
                  (label) => el('th', {scope: 'col'}, label)))),
        el('tbody', {},
           shown.map(
               (row) =>
                   el('tr', {}, el('th', {scope: 'row', class: 'text'}, spec.series[row.at].label),
                      el('td', {class: 'text'}, worded(row)),
                      el('td', {}, figure(row.x, spec.x.format ?? plain)),
                      el('td', {}, figure(row.y, spec.y.format ?? plain))))));
}

function key(series) {
    return el(
        'ul', {class: 'key'},
        series.filter(({points}) => points.length > 0)
            .map(
                (one) =>
                    el('li', {}, el('i', {
                           class: `swatch ${one.kind ?? 'both'}${one.hollow ? ' hollow' : ''}`,
                           style: {color: `var(--${one.colour})`}
                       }),
                       one.label)));
}

function begin(uPlot, spec, rows, place, told) {
    const widthOf = () => Math.max(240, Math.floor(place.clientWidth));
    const plot =
        new uPlot(options(uPlot, spec, rows, told, widthOf()), aligned(rows, spec.series), place);
    plot.root.setAttribute('aria-hidden', 'true');
    drawn.add(plot);
    const sized = new ResizeObserver(() => {
        if (!place.isConnected) {
            sized.disconnect();
            drawn.delete(plot);
            plot.destroy();
        } else if (plot.width !== widthOf()) {
            plot.setSize({width: widthOf(), height: spec.height ?? HEIGHT_PX});
        }
    });
    sized.observe(place);
}

// A chart with its key, the nearest point in words and a table. spec: {title, note, x, y, series};
// an axis: {label, format, log}; a series: {label, colour: 's0'.., kind: 'line'|'points', points};
// a point: {x, y, xs: [low, high], ys, label}; `diagonal` draws where x and y are equal.
export function chart(spec) {
    spec.series.forEach((one, at) => {
        one.colour ??= `s${at % 8}`;
    });
    const rows = rowsOf(spec.series);
    const id = fresh('chart');
    const place = el('div', {class: 'plot'});
    const told = el('p', {class: 'told'});
    const fold =
        el('details', {
            ontoggle: () => {
                if (fold.open && fold.children.length === 1) {
                    fold.append(el(
                        'div',
                        {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': spec.title},
                        numbers(spec, rows)));
                }
            }
        },
           el('summary', {}, 'Numbers'));
    const node =
        el('section', {class: 'card wide chart', 'aria-labelledby': id}, el('h3', {id}, spec.title),
           spec.note ? el('p', {class: 'hint'}, spec.note) : null);
    if (rows.length === 0) {
        node.append(el('p', {class: 'empty'}, 'Nothing to draw.'));
        return node;
    }
    node.append(key(spec.series), place, told, fold);
    library().then((uPlot) => {
        if (uPlot) {
            begin(uPlot, spec, rows, place, told);
        } else {
            place.remove();
            fold.open = true;
        }
    });
    return node;
}
