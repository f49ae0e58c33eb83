// Forms from a list of fields. Values are texts, as the address keeps them; what the API says about
// a field stands beside it, found by the JSON Pointer of the fault.
//
// A field: {key, label, kind: 'text'|'number'|'select'|'area'|'check', options, suggestions,
// initial, pointers, hint, ifEmpty, shown(values), group}. `pointers` are the members that the
// field makes; options and suggestions may be promises; `ifEmpty` is said where there are no
// suggestions.
import {add, el, fresh, replace} from './dom.js';

const choice = (option) => (Array.isArray(option) ? option : [option, option]);

function fillOptions(select, options, value) {
    const all = options.map(choice);
    if (value && !all.some(([known]) => known === value)) {
        all.push([value, value]); // of a stale link: the API will say what is wrong with it
    }
    replace(select, all.map(([known, label]) => el('option', {value: known}, label)));
    select.value = value;
}

function control(field, id, listId) {
    const common = {id, name: field.key, 'aria-describedby': `${id}-fault ${id}-hint`};
    if (field.kind === 'select') {
        return el('select', common);
    }
    if (field.kind === 'area') {
        return el('textarea', {...common, rows: 5, spellcheck: 'false'});
    }
    if (field.kind === 'check') {
        return el('input', {...common, type: 'checkbox'});
    }
    return el('input', {
        ...common,
        type: 'text',
        list: listId,
        autocomplete: 'off',
        autocapitalize: 'off',
        spellcheck: 'false',
        placeholder: field.placeholder ?? '',
        inputmode: field.kind === 'number' ? 'decimal' : undefined
    });
}

class Row {
    constructor(field, changed) {
        this.field = field;
        const id = fresh('field');
        this.list = field.suggestions ? el('datalist', {id: `${id}-list`}) : null;
        this.input = control(field, id, this.list?.id);
        this.fault = el('p', {class: 'fault', id: `${id}-fault`, hidden: true});
        this.hint = el('p', {class: 'hint', id: `${id}-hint`});
        this.say(field.hint);
        const label = el('label', {for: id
        }, field.label);
        this.node = el('div', {class: `field ${field.kind}`}, label, this.input);
        add(this.node, [this.hint, this.fault, this.list]);
        this.input.addEventListener('input', changed);
        this.set(undefined);
        this.await(field.suggestions, (texts) => {
            replace(this.list, texts.map((text) => el('option', {value: text})));
            this.say(texts.length === 0 && field.ifEmpty ? field.ifEmpty : field.hint);
        });
        this.await(field.options, (options) => this.offer(options, this.input.value));
    }

    // What is there at once, or comes from the API; where it never comes the question itself fails.
    await(wanted, use) {
        if (wanted instanceof Promise) {
            wanted.then(use, () => {});
        } else if (wanted) {
            use(wanted);
        }
    }

    offer(options, value) {
        this.options = options;
        fillOptions(this.input, options, value);
    }

    say(hint) {
        this.hint.textContent = hint ?? '';
        this.hint.hidden = !hint;
    }

    get() {
        return this.field.kind === 'check' ? (this.input.checked ? '1' : '') :
                                             this.input.value.trim();
    }

    set(text) {
        const value = text ?? this.field.initial ?? '';
        if (this.field.kind === 'check') {
            this.input.checked = value === '1';
        } else if (this.field.kind === 'select') {
            fillOptions(this.input, this.options ?? [], value);
        } else if (this.input.value !== value) {
            this.input.value = value;
        }
    }

    tell(details) {
        const was = this.fault.hidden;
        this.fault.hidden = details.length === 0;
        this.input.toggleAttribute('aria-invalid', details.length > 0);
        if (details.length > 0 || !was) {
            replace(this.fault, details.map((detail) => el('span', {}, detail)));
        }
        const fold = this.node.closest('details');
        if (fold && details.length > 0) {
            fold.open = true;
        }
    }

    // How many steps of a pointer this field's own pointers share with it; -1: it is about another
    // one.
    claim(pointer) {
        const fits = (this.field.pointers ?? [])
                         .filter(
                             (own) => pointer === own || pointer.startsWith(`${own}/`) ||
                                 own.startsWith(`${pointer}/`));
        return Math.max(-1, ...fits.map((own) => own.length));
    }
}

// A form: `node`, `values()` (only what differs from the initial), `fill(values)`, `tell(errors)`
// (returns the errors that no field could show) and `assume(assumptions)` for placeholders.
export class Form {
    constructor(fields, changed) {
        this.rows = fields.map((field) => new Row(field, () => {
                                   this.adapt();
                                   changed();
                               }));
        this.node = el('form', {onsubmit: (event) => event.preventDefault(), autocomplete: 'off'});
        this.layOut();
        this.adapt();
    }

    // Fields of a group stand in one fold; the others stand open.
    layOut() {
        const folds = new Map();
        for (const row of this.rows) {
            const group = row.field.group;
            if (group && !folds.has(group)) {
                folds.set(group, el('details', {}, el('summary', {}, group)));
                this.node.append(folds.get(group));
            }
            add(group ? folds.get(group) : this.node, [row.node]);
        }
    }

    row(key) {
        return this.rows.find((row) => row.field.key === key);
    }

    all() {
        return Object.fromEntries(this.rows.map((row) => [row.field.key, row.get()]));
    }

    values() {
        const differing = this.rows.filter((row) => row.get() !== (row.field.initial ?? ''));
        return Object.fromEntries(differing.map((row) => [row.field.key, row.get()]));
    }

    fill(values) {
        this.rows.forEach((row) => row.set(values[row.field.key]));
        this.adapt();
    }

    // Hides what makes no sense beside the other values.
    adapt() {
        const values = this.all();
        for (const {field, node} of this.rows) {
            node.hidden = field.shown ? !field.shown(values) : false;
        }
    }

    tell(errors) {
        const told = new Map(this.rows.map((row) => [row, []]));
        const left = [];
        for (const error of errors) {
            const claims = this.rows.filter((row) => !row.node.hidden)
                               .map((row) => [row.claim(error.pointer), row]);
            const [best, row] = claims.reduce((a, b) => (b[0] > a[0] ? b : a), [-1, null]);
            if (best < 0) {
                left.push(error);
            } else {
                told.get(row).push(error.detail);
            }
        }
        told.forEach((details, row) => row.tell(details));
        return left;
    }

    // What the API took where nothing was said, as the placeholder of empty fields.
    assume(assumptions) {
        for (const {field, input} of this.rows) {
            const taken = assumptions[field.assumed ?? field.key];
            if (input.type === 'text' && ['string', 'number'].includes(typeof taken)) {
                input.placeholder = String(taken);
            }
        }
    }
}
