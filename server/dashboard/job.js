// A fine-tuning job as a form: its fields, and the request that they make. Shared by the views that
// ask about a job. What is no number goes to the API as it is, which then says what it wants.
import {ids, suggested} from './catalog.js';

const MORE = 'More settings';
const is = (key, ...wanted) => (values) => wanted.includes(values[key]);

const METHODS = ['full', 'lora', 'qlora'];
const TARGETS = [
    ['', 'all linear layers'], ['attention', 'attention'], ['mlp', 'MLP'], ['experts', 'experts'],
    ['experts,router', 'experts and router'], ['q,v', 'q and v']
];
const YES_NO = [['', 'default'], ['true', 'yes'], ['false', 'no']];
const withDefault = (...options) => [['', 'default'], ...options];

async function lengthOptions() {
    const sets = await suggested('datasets');
    return [
        ...sets.map(({id}) => [id, id]), ['fixed', 'all of one length'], ['paste', 'pasted below']
    ];
}

const basics = (lengths, suggestions) =>
    [{
        key: 'model',
        label: 'Model',
        initial: 'mixtral-8x7b',
        suggestions: suggestions.models,
        pointers: ['/model'],
        hint: 'An id of the catalog, or a config.json pasted here',
        ifEmpty: 'The catalog has no models; a config.json can be pasted here'
    },
     {
         key: 'gpu',
         label: 'GPU',
         initial: 'A40',
         suggestions: suggestions.gpus,
         pointers: ['/gpu'],
         ifEmpty: 'The catalog has no GPUs'
     },
     {key: 'gpu_count', label: 'GPUs', kind: 'number', pointers: ['/gpu_count']},
     {
         key: 'method',
         label: 'Method',
         kind: 'select',
         options: METHODS,
         initial: 'qlora',
         pointers: ['/method', '/method/kind']
     },
     {
         key: 'rank',
         label: 'Rank',
         kind: 'number',
         initial: '16',
         pointers: ['/method/rank'],
         shown: is('method', 'lora', 'qlora')
     },
     {
         key: 'targets',
         label: 'Adapters on',
         kind: 'select',
         options: TARGETS,
         initial: 'experts,router',
         pointers: ['/method/targets'],
         shown: is('method', 'lora', 'qlora')
     },
     {
         key: 'active_experts',
         label: 'Active experts',
         kind: 'number',
         pointers: ['/active_experts'],
         hint: 'Per token; the model\'s own where empty'
     },
     {
         key: 'queries',
         label: 'Queries',
         kind: 'number',
         initial: '15000',
         pointers: ['/dataset/queries']
     },
     {
         key: 'lengths',
         label: 'Lengths',
         kind: 'select',
         options: lengths,
         initial: 'xia2024-math',
         pointers: ['/dataset', '/dataset/lengths', '/dataset/lengths/name']
     },
     {
         key: 'tokens',
         label: 'Tokens per query',
         kind: 'number',
         initial: '512',
         pointers: ['/dataset/lengths/fixed_tokens'],
         shown: is('lengths', 'fixed')
     },
     {
         key: 'pasted',
         label: 'Lengths in tokens',
         kind: 'area',
         initial: 'p50 174\np90 271\nmax 1470',
         pointers: [
             '/dataset/lengths', '/dataset/lengths/sample', '/dataset/lengths/histogram',
             '/dataset/lengths/quantiles'
         ],
         shown: is('lengths', 'paste'),
         hint: 'A length a line, or "tokens queries", or "p50 174" with a "max"; JSON too'
     },
     {
         key: 'cutoff_tokens',
         label: 'Cut off at tokens',
         kind: 'number',
         initial: '1024',
         pointers: ['/dataset/cutoff_tokens']
     },
     {key: 'epochs', label: 'Epochs', kind: 'number', initial: '10', pointers: ['/epochs']},
     {
         key: 'batch_size',
         label: 'Batch size',
         kind: 'number',
         pointers: ['/batch_size'],
         hint: 'Per device; the largest that fits where empty'
     },
];

const more = (suggestions) =>
    [{
        key: 'providers',
        label: 'Providers',
        group: MORE,
        suggestions: suggestions.providers,
        pointers: ['/providers'],
        hint: 'Ids with commas; all where empty'
    },
     {
         key: 'usd_per_gpu_hour',
         label: 'Own price, $ per GPU and hour',
         kind: 'number',
         group: MORE,
         pointers: ['/usd_per_gpu_hour']
     },
     {
         key: 'stack',
         label: 'Software stack',
         kind: 'select',
         group: MORE,
         options: suggestions.stacks,
         pointers: ['/stack']
     },
     {
         key: 'estimator',
         label: 'Estimator',
         kind: 'select',
         group: MORE,
         pointers: ['/estimator'],
         options: withDefault('xia2024', 'xia2024-printed', 'measured')
     },
     {
         key: 'precision',
         label: 'Precision',
         kind: 'select',
         group: MORE,
         pointers: ['/precision'],
         options: withDefault('bf16', 'fp16', 'fp32', 'fp8')
     },
     {
         key: 'optimizer',
         label: 'Optimizer',
         kind: 'select',
         group: MORE,
         pointers: ['/optimizer'],
         options: withDefault('adamw', 'adamw-8bit', 'paged-adamw-8bit', 'adafactor', 'sgd')
     },
     {
         key: 'attention',
         label: 'Attention',
         kind: 'select',
         group: MORE,
         pointers: ['/attention'],
         options: withDefault('flash', 'eager')
     },
     {
         key: 'gradient_checkpointing',
         label: 'Gradient checkpointing',
         kind: 'select',
         group: MORE,
         options: [...YES_NO, ['"selective"', 'selective']],
         pointers: ['/gradient_checkpointing']
     },
     {
         key: 'gradient_accumulation_steps',
         label: 'Accumulation steps',
         kind: 'number',
         group: MORE,
         pointers: ['/gradient_accumulation_steps']
     },
     {
         key: 'padding',
         label: 'Padding',
         kind: 'select',
         group: MORE,
         pointers: ['/dataset/padding'],
         options: withDefault('longest', 'fixed', 'packed')
     },
     {
         key: 'confidence',
         label: 'Level of intervals',
         kind: 'number',
         group: MORE,
         pointers: ['/confidence']
     },
];

// The fields of a job, without those named in `left`; `initial` are a view's own first values. What
// fields suggest comes later: the first question need not wait for it.
export function jobFields(left = [], initial = {}) {
    const suggestions = {
        models: ids('models'),
        gpus: ids('gpus'),
        providers: ids('providers'),
        stacks: ids('stacks').then((stacks) => [['', 'default'], ...stacks])
    };
    const fields = [...basics(lengthOptions(), suggestions), ...more(suggestions)];
    return fields.filter(({key}) => !left.includes(key))
        .map((field) => ({...field, initial: initial[field.key] ?? field.initial}));
}

// A number where the text is one; else the text, for the API to refuse.
export function number(text) {
    const value = Number(text.replace(/[\s_]/g, ''));
    return text !== '' && Number.isFinite(value) ? value : text;
}

export const names = (text) => text.split(/[\s,]+/).filter(Boolean);

function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        return text;
    }
}

function fromJson(value) {
    if (Array.isArray(value)) {
        return Array.isArray(value[0]) ? {histogram: value} : {sample: value};
    }
    return 'max' in value ? {quantiles: value} : value;
}

// Pasted lengths in one of the API's spellings: a sample, a histogram, quantiles.
function lengthsOf(text) {
    const value = /^[[{]/.test(text) ? parsed(text) : null;
    if (value !== null && typeof value === 'object') {
        return fromJson(value);
    }
    const lines = text.split(/\n/)
                      .map((line) => line.trim().split(/[\s,;:=]+/).filter(Boolean))
                      .filter((line) => line.length > 0);
    if (lines.some(([first]) => /^(min|max|p\d)/.test(first))) {
        const pairs = lines.flatMap(
            (line) => line.flatMap(
                (word, i) => (i % 2 === 0 ? [[word, number(line[i + 1] ?? '')]] : [])));
        return {quantiles: Object.fromEntries(pairs)};
    }
    if (lines.length > 0 && lines.every((line) => line.length === 2)) {
        return {histogram: lines.map((line) => line.map(number))};
    }
    return {sample: lines.flat().map(number)};
}

function lengths(values) {
    if (values.lengths === 'fixed') {
        return {fixed_tokens: number(values.tokens)};
    }
    return values.lengths === 'paste' ? lengthsOf(values.pasted) : {name: values.lengths};
}

function method(values) {
    const made = {kind: values.method};
    if (values.method !== 'full' && values.rank) {
        made.rank = number(values.rank);
    }
    if (values.method !== 'full' && values.targets) {
        made.targets = values.targets.includes(',') ? names(values.targets) : values.targets;
    }
    return made;
}

const NUMBERS = [
    'gpu_count', 'active_experts', 'epochs', 'batch_size', 'usd_per_gpu_hour',
    'gradient_accumulation_steps', 'confidence'
];
const TEXTS = ['gpu', 'stack', 'estimator', 'precision', 'optimizer', 'attention'];

// The API's job for these values; what is empty is left out.
export function jobOf(values) {
    const job = {model: values.model.startsWith('{') ? parsed(values.model) : values.model};
    TEXTS.filter((key) => values[key]).forEach((key) => {
        job[key] = values[key];
    });
    job.method = method(values);
    job.dataset = {lengths: lengths(values)};
    for (const key of ['queries', 'cutoff_tokens']) {
        if (values[key]) {
            job.dataset[key] = number(values[key]);
        }
    }
    if (values.padding) {
        job.dataset.padding = values.padding;
    }
    NUMBERS.filter((key) => values[key]).forEach((key) => {
        job[key] = number(values[key]);
    });
    if (values.batch_size === 'max') {
        job.batch_size = 'max';
    }
    if (values.gradient_checkpointing) {
        job.gradient_checkpointing = parsed(values.gradient_checkpointing);
    }
    if (values.providers) {
        job.providers = names(values.providers);
    }
    return job;
}
