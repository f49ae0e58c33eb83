// Quantities as text: a unit that suits their size and as many digits as can be read. Nothing else
// is done to a number on its way from the API to the page.

const GROUPED = new Intl.NumberFormat('en', {maximumSignificantDigits: 4, useGrouping: true});
const WHOLE = new Intl.NumberFormat('en', {maximumFractionDigits: 0});
const CENTS = new Intl.NumberFormat('en', {minimumFractionDigits: 2, maximumFractionDigits: 2});

// The largest unit of `steps` ([size, name], falling) that the value reaches; else the last one.
function scaled(value, steps) {
    const [size, name] = steps.find(([least]) => Math.abs(value) >= least) ?? steps.at(-1);
    return `${GROUPED.format(value / size)}${name}`;
}

const BYTES =
    [[2 ** 40, ' TiB'], [2 ** 30, ' GiB'], [2 ** 20, ' MiB'], [2 ** 10, ' KiB'], [1, ' B']];
const TIMES = [
    [86400 * 3, ' d'], [3600, ' h'], [60, ' min'], [1, ' s'], [1e-3, ' ms'], [1e-6, ' µs'],
    [1e-9, ' ns']
];
const PREFIXES = [[1e12, ' T'], [1e9, ' G'], [1e6, ' M'], [1e3, ' k'], [1, '']];
const COUNTS = [[1e12, ' T'], [1e9, ' B'], [1e6, ' M'], [1, '']]; // as 7 B parameters, 2 T tokens

export const plain = (value) => (typeof value === 'number' ? GROUPED.format(value) : String(value));
export const whole = (value) => WHOLE.format(value);
export const bytes = (value) => scaled(value, BYTES);
export const seconds = (value) => (value === 0 ? '0 s' : scaled(value, TIMES));
export const hours = (value) => `${GROUPED.format(value)} h`;
export const short = (value) => (value === 0 ? '0' : scaled(value, PREFIXES));
export const count = (value) => (value === 0 ? '0' : scaled(value, COUNTS));
export const percent = (value) => `${GROUPED.format(value * 100)} %`;
export const times = (value) => `${GROUPED.format(value)}×`;

// Dollars to the cent where cents matter.
export function usd(value) {
    if (Math.abs(value) >= 1e4) {
        return `$${scaled(value, [[1e9, ' billion'], [1e6, ' million'], [1, '']])}`;
    }
    return Math.abs(value) >= 0.1 || value === 0 ? `$${CENTS.format(value)}` :
                                                   `$${GROUPED.format(value)}`;
}

// Prices of hours differ in their third digit.
const RATE = new Intl.NumberFormat('en', {minimumFractionDigits: 2, maximumFractionDigits: 4});
export const usdPerHour = (value) => `$${RATE.format(value)}`;

// FLOPs are read as powers of ten.
export const flop = (value) => Number(value.toPrecision(4)).toExponential().replace('e+', 'e');

// How a member of an answer is written, by the unit that ends its name.
export function byName(name) {
    const endings = [
        ['_bytes', bytes], ['_usd', usd], ['_per_s', short], ['_s', seconds], ['_flop', flop],
        ['_tokens', whole], ['parameters', count], ['tokens', count], ['_ratio', times],
        ['usd_per_million_tokens', usd]
    ];
    return (endings.find(([end]) => name.endsWith(end)) ?? [null, plain])[1];
}

// A name without underscores, and without the unit where the number beside it has one.
export const words = (name) => name.replace(/(?<!_per)_(bytes|s|usd)$/, '')
                                   .replace(/_per_s$/, ' per second')
                                   .replaceAll('_', ' ');
