"""Requests drawn from openapi.yaml: valid ones from its schemas and examples, and such made worse."""
import copy
import dataclasses
import json
import string
import sys
import urllib.parse

# Values nest 900 deep, and a worse one may put four such into each other: copying takes two calls a level.
sys.setrecursionlimit(20_000)

DEPTH_MAX = 6  # of what is drawn from a schema
TEXTS = ["", "x", "\u00e9\u4e2d\U0001f600", "\ud800", "a\0b", "../../etc/passwd", "'; DROP TABLE points;--", "%00", "A" * 300,
         "NaN", "-0", "1e400", "\u202e", "null", "{}", " mixtral-8x7b", "mixtral-8x7b\n"]
NUMBERS = [0, -1, 1, 2, 0.5, -0.0, 1e-300, 1e300, 1.7976931348623157e308, 5e-324, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -2**63,
           10**400, 1e-9, 65536, 65537, 1e15, float("nan"), float("inf"), float("-inf")]
HEADERS = [("Content-Type", "text/plain"), ("Content-Type", "application/json; charset=latin-1"),
           ("Content-Type", "application/problem+json"), ("Authorization", "Bearer "), ("Authorization", "Bearer lqt_x"),
           ("Authorization", "Basic YTpi"), ("If-None-Match", "*"), ("If-None-Match", '"x", W/"y"'),
           ("Idempotency-Key", "k" * 300), ("Idempotency-Key", "k"), ("X-Request-Id", "a b"), ("X-Request-Id", "r" * 65),
           ("Accept", "text/html"), ("Expect", "200-ok"), ("X-Long", "x" * 9000), ("Origin", "http://elsewhere")]


@dataclasses.dataclass
class Request:
    """One request; `template` is its path in the contract, None where it has none."""
    method: str
    template: str
    path: str
    headers: dict
    body: object = None  # bytes, or None
    valid: bool = True  # nothing was made worse
    document: object = None  # the body as a value, where it is one

    def __str__(self):
        body = f" --data-binary {self.body[:1500]!r}" if self.body is not None else ""
        headers = {name: value for name, value in self.headers.items() if name != "Authorization"}
        return f"{self.method} {self.path[:600]!r} {headers}{body}"


class Drawer:
    """Draws requests; every choice follows from `random`."""

    def __init__(self, contract, random, ids):
        self.contract, self.random, self.ids = contract, random, ids
        self.operations = sorted(contract.operations)
        self.draw_value = {"object": self.an_object, "array": self.an_array, "string": self.a_text,
                           "integer": self.an_integer, "number": self.a_number,
                           "boolean": lambda *_: random.random() < 0.5, "null": lambda *_: None}

    # ---- values of a schema

    def value(self, schema, name="", depth=0):
        schema = self.contract.resolve(schema)
        if name in self.ids and self.random.random() < 0.9:
            return self.random.choice(self.ids[name])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if "default" in schema and self.random.random() < 0.3:
            return copy.deepcopy(schema["default"])
        for choice in ("oneOf", "anyOf"):
            if choice in schema and "properties" not in schema:
                return self.value(self.random.choice(schema[choice]), name, depth)
        kind = schema.get("type", "object" if "properties" in schema else "null")
        kind = self.random.choice(kind) if isinstance(kind, list) else kind
        drawn = self.draw_value[kind](schema, name, depth)
        for part in schema.get("allOf", []) if kind == "object" else ():
            part = self.value(part, name, depth + 1)
            drawn = {**(part if isinstance(part, dict) else {}), **drawn}  # else it only forbids
        return drawn

    def an_object(self, schema, _, depth):
        properties = schema.get("properties", {})
        wanted = set(schema.get("required", []))
        share = self.random.choice((0.05, 0.3, 0.8)) if depth < DEPTH_MAX else 0.0
        return {name: self.value(below, name, depth + 1) for name, below in properties.items()
                if name in wanted or self.random.random() < share}

    def an_array(self, schema, name, depth):
        least = schema.get("minItems", 0)
        count = min(schema.get("maxItems", 5), least + self.random.choice((0, 1, 1, 2, 4)))
        prefix = schema.get("prefixItems", [])
        drawn = [self.value(below, name, depth + 1) for below in prefix]
        if prefix:
            return drawn
        below = schema.get("items", {"type": "number"})
        return [self.value(below if isinstance(below, dict) else {"type": "number"}, name, depth + 1)
                        for _ in range(count)]

    def a_text(self, schema, *_):
        least, most = schema.get("minLength", 1), min(schema.get("maxLength", 24), 24)
        if schema.get("format") == "date-time":
            return "2026-03-01T12:00:00Z"
        return "".join(self.random.choices(string.ascii_lowercase + string.digits + "-", k=self.random.randint(
            least, max(least, most))))

    def bounds(self, schema):
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        return least, max(least, schema.get("maximum", schema.get("exclusiveMaximum", 1e6)))

    def an_integer(self, schema, *_):
        least, most = map(int, self.bounds(schema))
        return self.random.choice((least, most, self.random.randint(least, min(most, least + 16)),
                                   self.random.randint(least, most)))

    def a_number(self, schema, *_):
        least, most = self.bounds(schema)
        return self.random.choice((least, most, least + (most - least) * self.random.random(),
                                   min(most, least + self.random.random() * 10)))

    # ---- requests

    def valid(self):
        method, template = self.random.choice(self.operations)
        operation = self.contract.operations[method, template][1]
        item = self.contract.document["paths"][template]
        request = Request(method, template, template, {})
        query = []
        for parameter in map(self.contract.resolve, [*item.get("parameters", []), *operation.get("parameters", [])]):
            kind = template.split("/")[2] if template.count("/") > 1 else ""
            name = parameter["name"] if parameter["in"] != "path" else f"/{kind}"
            text = str(self.value(parameter["schema"], name))
            if parameter["in"] == "path":
                request.path = request.path.replace("{id}", urllib.parse.quote(text or "x", safe=""))
            elif parameter["in"] == "query" and self.random.random() < 0.3:
                query.append((parameter["name"], text))
            elif parameter["in"] == "header" and self.random.random() < 0.3:
                request.headers[parameter["name"]] = text
        if query:
            request.path += "?" + urllib.parse.urlencode(query)
        if "requestBody" in operation:
            self.add_body(request, self.contract.resolve(operation["requestBody"])["content"])
        return request

    def add_body(self, request, content):
        media = self.random.choice(sorted(content))
        examples = [self.contract.resolve(one)["value"] for one in content[media].get("examples", {}).values()]
        request.headers["Content-Type"] = media
        if media != "application/json":
            request.body = self.random.choice(examples).encode()
            return
        drawn = examples and self.random.random() < 0.5
        request.document = (copy.deepcopy(self.random.choice(examples)) if drawn
                            else self.value(content[media]["schema"]))
        request.body = json.dumps(request.document).encode()

    # ---- made worse

    def worse(self):
        request = self.valid()
        request.valid = False
        ways = [self.worse_header, self.worse_path, self.worse_query, self.worse_method]
        if request.document is not None:
            ways += 8 * [self.worse_document] + 2 * [self.worse_text]
        elif request.body is not None:
            ways += 4 * [self.worse_text]
        self.random.choice(ways)(request)
        return request

    def places(self, value):
        """(container, key) of everything in a document."""
        found, todo = [], [value]
        while todo:
            node = todo.pop()
            if isinstance(node, (dict, list)):
                for key in list(node) if isinstance(node, dict) else range(len(node)):
                    found.append((node, key))
                    todo.append(node[key])
        return found

    def odd_value(self):
        deep = []
        for _ in range(self.random.choice((3, 31, 40, 900))):
            deep = [deep]
        return self.random.choice([
            self.random.choice(TEXTS), self.random.choice(NUMBERS), None, True, {}, [], deep, [[1, 2], [3]],
            {"kind": "lora"}, {"name": "xia2024-math"}, [1] * 3000, {str(i): i for i in range(300)}])

    def worse_document(self, request):
        document = request.document
        for _ in range(self.random.choice((1, 1, 1, 2, 4))):
            places = self.places(document)
            if not places or self.random.random() < 0.1:
                if isinstance(document, dict):
                    document[self.random.choice(("extra", "", "__proto__", "\u00e9", "a/b~c", "gpu"))] = self.odd_value()
                continue
            node, key = self.random.choice(places)
            change = self.random.randrange(5)
            if change == 0:
                del node[key]
            elif change == 1 and isinstance(node[key], (int, float)):
                node[key] = node[key] * self.random.choice((-1, 0, 1e3, 1e9, 1e-9, 1.5))
            elif change == 2:
                node[key] = copy.deepcopy(self.random.choice(places)[0])
            elif change == 3 and isinstance(node, dict):
                node[str(key) + self.random.choice(("_", "s", "\0"))] = node[key]
            else:
                node[key] = self.odd_value()
        request.body = json.dumps(document).encode()

    def worse_text(self, request):
        body = bytearray(request.body)
        for _ in range(self.random.choice((1, 1, 3))):
            at = self.random.randrange(len(body) + 1)
            change = self.random.randrange(4)
            if change == 0:
                body[at:at + 1] = bytes([self.random.randrange(256)])
            elif change == 1:
                del body[at:at + self.random.randrange(1, 20)]
            elif change == 2:
                body[at:at] = self.random.choice((b"\0", b"\xff\xfe", b'"', b"{", b"[" * 5000, b"1e999", b",,", b"\\ud800"))
            else:
                body = body[:at]
        request.body, request.document = bytes(body), None

    def worse_header(self, request):
        for name, value in self.random.sample(HEADERS, self.random.choice((1, 2))):
            request.headers[name] = value

    def worse_path(self, request):
        odd = self.random.choice(("/", "//", "/..", "%00", "%", "%2f", "/x/y", "?", "#a", ";a=b", "x" * 5000, "%ff", "..%2f"))
        at = self.random.randrange(1, len(request.path) + 1)
        request.path, request.template = request.path[:at] + odd + request.path[at:], None

    def worse_query(self, request):
        pairs = [(self.random.choice(("limit", "cursor", "model", "gpu", "at", "version", "status", "x", "")),
                  str(self.random.choice(TEXTS[:8] + NUMBERS[:14]))) for _ in range(self.random.choice((1, 2, 20)))]
        text = urllib.parse.urlencode(pairs, errors="surrogatepass")
        request.path += ("&" if "?" in request.path else "?") + text

    def worse_method(self, request):
        request.method = self.random.choice(("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "get",
                                             "BREW", "M" * 40))
        if (request.method, request.template) not in self.contract.operations:
            request.template = None
