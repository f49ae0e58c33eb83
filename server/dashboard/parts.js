// What answers are made of on the page: cards, bars, badges, tables, texts to copy.
import {el, figure, fresh, replace} from './dom.js';
import {percent, plain} from './format.js';

const EVIDENCE = {
    calibrated: 'measured on this model, method, GPU and stack',
    transferred: 'measured elsewhere, carried over by physics',
    prior: 'no measurement: physics with stated efficiencies',
};

// How honest the number is.
export function badge(kind) {
    return el('span', {class: `badge ${kind}`, title: EVIDENCE[kind] ?? ''}, kind);
}

export const meaning = (kind) => EVIDENCE[kind] ?? '';

// A range as a bar from `low` to `high` with a mark at the value; the ends stand beside it.
export function range([low, high], value, format) {
    const width = high - low;
    const at = width > 0 ? Math.min(100, Math.max(0, 100 * (value - low) / width)) : 50;
    return el(
        'span', {class: 'range'}, figure(low, format),
        el('span', {class: 'track', 'aria-hidden': 'true'}, el('i', {style: {left: `${at}%`}})),
        figure(high, format));
}

// A quantity with its interval.
export function card(label, value, format, interval, level) {
    return el(
        'div', {class: 'card'}, el('h3', {}, label), el('p', {class: 'big'}, figure(value, format)),
        interval ? el('p', {class: 'interval'}, range(interval, value, format),
                      el('span', {class: 'level'}, figure(level, percent), ' interval')) :
                   null);
}

// Shares of a whole as a stacked bar and its legend. `items`: [{name, value, note}].
export function stack(title, items, format, {whole, heading = 'Part'} = {}) {
    const id = fresh('stack');
    const shown = items.filter(({value}) => value > 0);
    const sum = shown.reduce((total, {value}) => total + value, 0);
    const rest = whole > sum ? whole - sum : 0; // the width of what is free; not shown as a number
    const colour = (i) => `var(--s${i % 8})`;
    const bar =
        el('div', {class: 'stack', 'aria-hidden': 'true'},
           shown.map(({name, value}, i) => el('i', {
                         title: `${name}: ${format(value)}`,
                         class: i >= 8 ? 'striped' : '',
                         style: {flexGrow: value / (sum + rest), background: colour(i)}
                     })),
           rest > 0 ? el('i', {class: 'free', style: {flexGrow: rest / (sum + rest)}}) : null);
    const rows = shown.map(
        ({name, value, note}, i) =>
            el('tr', {},
               el('th', {scope: 'row'},
                  el('i',
                     {class: `swatch${i >= 8 ? ' striped' : ''}`, style: {background: colour(i)}}),
                  name),
               el('td', {}, figure(value, format)),
               note === undefined ? null : el('td', {class: 'text'}, note)));
    const hasNotes = shown.some(({note}) => note !== undefined);
    return el(
        'section', {class: 'card wide', 'aria-labelledby': id}, el('h3', {id}, title), bar,
        el('table', {class: 'legend'},
           el('thead', {class: 'sr'},
              el('tr', {}, el('th', {scope: 'col'}, heading), el('th', {scope: 'col'}, 'Value'),
                 hasNotes ? el('th', {scope: 'col'}, 'Bound by') : null)),
           el('tbody', {}, rows)));
}

function cell(column, row) {
    const value = column.get(row);
    if (value instanceof Node) {
        return value;
    }
    return typeof value === 'number'          ? figure(value, column.format ?? plain) :
        value === null || value === undefined ? el('span', {class: 'none'}, '–') :
                                                String(value);
}

function compare(a, b) {
    if (a === b) {
        return 0;
    }
    const empty = (v) => v === null || v === undefined;
    return empty(a) ? 1 : empty(b) ? -1 : a < b ? -1 : 1;
}

// A table whose headers sort it. `columns`: [{label, get(row), format, sort(row), text}]; `first`
// rows are shown until the rest is asked for. `rowClass(row)` and `onRow(row)` may be given.
export function table(caption, columns, rows, {first = 50, rowClass, empty = 'None.'} = {}) {
    if (rows.length === 0) {
        return el('p', {class: 'empty'}, `${caption}: ${empty}`);
    }
    let order = rows;
    let shown = first;
    const body = el('tbody');
    const heads = columns.map(
        (column) =>
            el('th', {scope: 'col', class: column.text ? 'text' : ''},
               el('button', {type: 'button', onclick: () => sort(column)}, column.label)));
    const rest =
        el('button', {
            type: 'button',
            class: 'more',
            onclick: () => {
                shown = order.length;
                fill();
            }
        },
           'Show all rows');
    function fill() {
        replace(
            body,
            order.slice(0, shown).map(
                (row) =>
                    el('tr', {class: rowClass?.(row)},
                       columns.map(
                           (column) =>
                               el('td', {class: column.text ? 'text' : ''}, cell(column, row))))));
        rest.hidden = order.length <= shown;
    }
    function sort(column) {
        const head = heads[columns.indexOf(column)];
        const falls = head.getAttribute('aria-sort') === 'ascending';
        const key = column.sort ?? column.get;
        order = [...rows].sort((a, b) => compare(key(a), key(b)) * (falls ? -1 : 1));
        heads.forEach((other) => other.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', falls ? 'descending' : 'ascending');
        fill();
    }
    fill();
    return el(
        'div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption},
        el('table', {}, el('caption', {}, caption), el('thead', {}, el('tr', {}, heads)), body),
        rest);
}

// Sentences with a code: warnings of an answer.
export function warnings(list) {
    return list.length === 0 ?
        null :
        el('section', {class: 'card wide'}, el('h3', {}, 'Mind'),
           el('ul', {class: 'warnings'},
              list.map(({code, detail}) => el('li', {}, el('code', {}, code), ' ', detail))));
}

// A JSON value as nested lists of names and values.
export function tree(value) {
    if (value === null || typeof value !== 'object') {
        return typeof value === 'number' ? figure(value, plain) :
                                           el('span', {}, String(value ?? '–'));
    }
    if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) {
        return value.length === 0 ?
            el('span', {}, 'none') :
            el('span', {}, value.map((item, i) => [i > 0 ? ', ' : '', tree(item)]));
    }
    return el(
        'dl', {},
        Object.entries(value).map(
            ([name, item]) =>
                el('div', {}, el('dt', {}, name.replaceAll('_', ' ')), el('dd', {}, tree(item)))));
}

export const fold = (title, ...children) =>
    el('details', {class: 'card wide'}, el('summary', {}, title), children);

const quoted = (text) => `'${text.replaceAll('\'', '\'\\\'\'')}'`;

const asCurl = (url, body) => `curl -s ${quoted(url)} -H 'Content-Type: application/json' \\
  -d ${quoted(JSON.stringify(body))}`;

const asPython = (url, body) => `import json, urllib.request

body = json.loads(r'''${JSON.stringify(body).replaceAll('\'', '\\u0027')}''')
request = urllib.request.Request(${JSON.stringify(url)}, json.dumps(body).encode(),
                                 {"Content-Type": "application/json"})
print(json.dumps(json.load(urllib.request.urlopen(request)), indent=1))`;

function copyButton(label, text, code, told) {
    return el(
        'button', {
            type: 'button',
            onclick: async () => {
                code.hidden = false;
                code.textContent = text();
                try {
                    await navigator.clipboard.writeText(code.textContent);
                    told.textContent = 'Copied.';
                } catch { // no clipboard outside secure contexts: the text is there to be taken
                    getSelection().selectAllChildren(code);
                    told.textContent = 'Selected; copy it with the keyboard.';
                }
            }
        },
        label);
}

// The question as it can be asked elsewhere.
export function copies(path, body) {
    const url = new URL(path, location.origin).href;
    const code = el('pre', {hidden: true, tabindex: '0'});
    const told = el('span', {role: 'status'});
    return el(
        'section', {class: 'copies'},
        copyButton('Copy as curl', () => asCurl(url, body), code, told),
        copyButton('Copy as Python', () => asPython(url, body), code, told), told, code);
}
