// The state of the page is its address: `#view?name=value&...`. The part behind # is not sent to
// any server, so it may be long. What a group of views was asked last is remembered while the page
// lives.

const remembered = new Map();

// What the browser keeps for this page ('localStorage', 'sessionStorage'); null where it is told
// not to.
export function storage(name) {
    try {
        return window[name];
    } catch {
        return null;
    }
}

// {view, values} of the address; values is a plain object of texts.
export function read() {
    const [view, query = ''] = location.hash.replace(/^#/, '').split(/\?(.*)/s);
    return {view, values: Object.fromEntries(new URLSearchParams(query))};
}

export function address(view, values) {
    const query = new URLSearchParams(Object.entries(values)).toString();
    return `#${view}${query ? `?${query}` : ''}`;
}

// The view now shows these values of its fields `keys`; a change inside a view adds no step to the
// history. `all` are the values with those that the address leaves out, which other views of the
// group may take for granted differently; what those were asked stays remembered.
export function write(view, group, keys, values, all = values) {
    const others = Object.entries(last(group)).filter(([key]) => !keys.includes(key));
    remembered.set(group, {...Object.fromEntries(others), ...all});
    const wanted = address(view, values);
    if (location.hash !== wanted) {
        history.replaceState(null, '', wanted);
    }
}

// What the group's views were asked last.
export const last = (group) => remembered.get(group) ?? {};
