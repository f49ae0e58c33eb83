// The catalogs that pickers offer, each asked for once while the page lives.
import {list} from './api.js';

const kept = new Map();

// Entries of /v1/NAME; one failure does not stay.
export function catalog(name) {
    if (!kept.has(name)) {
        const asked = list(`/v1/${name}`, name.replaceAll('-', '_')).then(({entries}) => entries);
        asked.catch(() => kept.delete(name));
        kept.set(name, asked);
    }
    return kept.get(name);
}

// The first answer comes before what pickers suggest.
const IDLE_MOST_MS = 500;
const first = new Promise((resolve) => {
    if (window.requestIdleCallback) {
        requestIdleCallback(resolve, {timeout: IDLE_MOST_MS});
    } else {
        setTimeout(resolve, IDLE_MOST_MS);
    }
});

// The same, once the page has nothing else to do: for suggestions.
export const suggested = (name) => first.then(() => catalog(name));

export const ids = async (name) => (await suggested(name)).map((entry) => entry.id);

export const forget = () => kept.clear();
