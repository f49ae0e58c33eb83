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

export const ids = async (name) => (await catalog(name)).map((entry) => entry.id);

export const forget = () => kept.clear();
