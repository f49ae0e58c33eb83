"""openapi.yaml as a test needs it: which schema an answer must fit, and whether it does."""
import pathlib
import re

import jsonschema
import yaml

CONTRACT = pathlib.Path(__file__).resolve().parents[2] / "openapi.yaml"


class Contract:
    """The document, with references resolved on the way."""

    def __init__(self, path=CONTRACT):
        self.document = yaml.safe_load(path.read_text())
        self.resolver = jsonschema.RefResolver.from_schema(self.document)
        self.operations = {}
        for path_text, item in self.document["paths"].items():
            pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path_text)) + r"\Z")
            for method, operation in item.items():
                if method != "parameters":
                    self.operations[method.upper(), path_text] = (pattern, operation)

    def resolve(self, node):
        while "$ref" in node:
            node = self.resolver.resolve(node["$ref"])[1]
        return node

    def operation(self, method, path):
        """The operation that answers this request."""
        target = path.partition("?")[0]
        found = [operation for (name, _), (pattern, operation) in self.operations.items()
                 if name == method and pattern.match(target)]
        assert len(found) == 1, f"{len(found)} operations answer {method} {path}"
        return found[0]

    def fault(self, schema, value):
        check = jsonschema.Draft202012Validator(schema, resolver=self.resolver)
        error = jsonschema.exceptions.best_match(check.iter_errors(value))
        return f"{error.json_path}: {error.message[:300]}" if error is not None else None

    def undocumented(self, schemas, value, at="$"):
        """Members of answers that no applicable schema names; answers may have them, but should not."""
        schemas = self.applicable(schemas)
        if isinstance(value, list):
            below = [schema["items"] for schema in schemas if isinstance(schema.get("items"), dict)]
            for i, item in enumerate(value):
                yield from self.undocumented(below, item, f"{at}[{i}]")
        elif isinstance(value, dict) and any("properties" in schema for schema in schemas):
            for key, item in value.items():
                below = [schema["properties"][key] for schema in schemas
                         if key in schema.get("properties", {})]
                if not below:
                    yield f"{at}.{key}"
                yield from self.undocumented(below, item, f"{at}.{key}")

    def applicable(self, schemas):
        """The schemas themselves and all that they are put together from."""
        result = []
        for schema in map(self.resolve, schemas):
            result += [schema, *self.applicable(schema.get("allOf", []) + schema.get("oneOf", []))]
        return result

    def check_request(self, method, path, body):
        media = "text/csv" if isinstance(body, str) else "application/json"
        content = self.operation(method, path)["requestBody"]["content"][media]
        against = self.fault(content["schema"], body)
        assert not against, f"the request to {method} {path} breaks its schema: {against}"

    def check_answer(self, method, path, answer):
        """The status is one of the operation's, the header fields are there, the body fits."""
        responses = self.operation(method, path)["responses"]
        assert str(answer.status) in responses, f"{method} {path}: {answer.status} is not foreseen"
        response = self.resolve(responses[str(answer.status)])
        for name, header in response["headers"].items():
            value = answer.header(name)
            assert value is not None, f"{method} {path} {answer.status}: no {name}"
            against = self.fault(self.resolve(header)["schema"],
                                  int(value) if name == "Retry-After" else value)
            assert not against, f"{method} {path} {answer.status}: {name}: {against}"
        if "content" not in response:
            assert answer.body == b"", answer
            return
        media = answer.header("Content-Type").partition(";")[0]
        assert media in response["content"], answer.headers
        content = response["content"][media]
        value = answer.json if media.endswith("json") else answer.body.decode()
        against = self.fault(content["schema"], value)
        against = against or [*self.undocumented([content["schema"]], value)][:5]
        assert not against, f"{method} {path} {answer.status}: {against}"
