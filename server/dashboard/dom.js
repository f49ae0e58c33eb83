// Elements from data. Whatever comes from the API becomes text here, never markup.

// One element: attributes by name, `on...` listeners, `style` as an object, then its children.
// Children are nodes, texts, lists of these, or nothing.
export function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (value === undefined || value === null || value === false) {
            continue;
        }
        if (name.startsWith('on')) {
            node.addEventListener(name.slice(2), value);
        } else if (name === 'style') {
            Object.assign(node.style, value);
        } else if (name === 'value' || name === 'checked' || name === 'disabled') {
            node[name] = value;
        } else {
            node.setAttribute(name, value === true ? '' : value);
        }
    }
    add(node, children);
    return node;
}

export function add(node, children) {
    for (const child of [children].flat(Infinity)) {
        if (child !== undefined && child !== null && child !== false) {
            node.append(child);
        }
    }
    return node;
}

export function replace(node, ...children) {
    node.replaceChildren();
    return add(node, children);
}

// A number that the API returned, written by `format`; what it was stands in the element's value.
export function figure(value, format) {
    if (value === null || value === undefined) {
        return el('span', {class: 'none'}, '–');
    }
    const node = el('data', {title: String(value)}, format(value));
    node.setAttribute('value', String(value));
    return node;
}

let last = 0;

// An id that no other element of the page has.
export function fresh(prefix) {
    last += 1;
    return `${prefix}-${last}`;
}
