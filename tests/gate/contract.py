"""openapi.yaml and the route table are equal, and the contract holds together by itself.

Usage: contract.py ROOT SERVER_PROGRAM
"""

import pathlib
import re
import subprocess
import sys

import jsonschema
import yaml

from tap import Report

METHODS = ("get", "put", "post", "delete", "patch")
ROUTE = re.compile(r"^(GET|PUT|POST|DELETE|PATCH)\s+(/\S*)", re.MULTILINE)


class Loader(yaml.SafeLoader):
    """YAML without timestamps: a date in an example is a string, as it is in JSON."""


Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def nodes(value, pointer="#"):
    """(pointer, node) of every object in the document."""
    if isinstance(value, dict):
        yield pointer, value
        for key, below in value.items():
            yield from nodes(below, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from nodes(below, f"{pointer}/{i}")


def resolve(document, pointer):
    """The node that a local reference means; KeyError where there is none."""
    node = document
    for part in pointer.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def dangling(document):
    against = []
    for pointer, node in nodes(document):
        if isinstance(node.get("$ref"), str):
            try:
                resolve(document, node["$ref"])
            except (KeyError, TypeError):
                against.append(f"{pointer}: {node['$ref']}")
    return against


def examples(document, media):
    """(name, value) of a media type's examples."""
    if "example" in media:
        yield "example", media["example"]
    for name, example in media.get("examples", {}).items():
        example = resolve(document, example["$ref"]) if "$ref" in example else example
        yield name, example["value"]


def unfit_examples(document):
    against = []
    resolver = jsonschema.RefResolver.from_schema(document)
    for pointer, node in nodes(document):
        for media in node.get("content", {}).values() if isinstance(node.get("content"), dict) else ():
            for name, value in examples(document, media):
                check = jsonschema.Draft202012Validator(media.get("schema", {}), resolver=resolver)
                against += [f"{pointer} {name}: {error.json_path}: {error.message[:200]}"
                            for error in check.iter_errors(value)]
    return against


def main():
    root, server = pathlib.Path(sys.argv[1]), sys.argv[2]
    document = yaml.load((root / "openapi.yaml").read_text(), Loader)
    operations = {(method.upper(), re.sub(r"\{[^}]*\}", "{}", path)): operation
                  for path, item in document["paths"].items()
                  for method, operation in item.items() if method in METHODS}
    printed = subprocess.run([server, "--print-routes"], capture_output=True, text=True, check=True)
    routes = {(method, re.sub(r"\{[^}]*\}", "{}", path))
              for method, path in ROUTE.findall(printed.stdout)}
    ids = [operation.get("operationId") for operation in operations.values()]
    report = Report()
    report.claim("the_server_prints_its_routes", [] if routes else [printed.stdout or "nothing"])
    report.claim("every_route_is_in_the_contract",
                 [" ".join(route) for route in sorted(routes - operations.keys())])
    report.claim("every_operation_of_the_contract_is_a_route",
                 [" ".join(route) for route in sorted(operations.keys() - routes)])
    report.claim("the_contract_is_openapi_3_1",
                 [] if str(document["openapi"]).startswith("3.1.") else [str(document["openapi"])])
    report.claim("every_operation_has_an_id_of_its_own",
                 sorted({str(i) for i in ids if i is None or ids.count(i) > 1}))
    report.claim("every_reference_resolves", dangling(document))
    report.claim("every_example_fits_its_schema", unfit_examples(document))
    report.finish()


if __name__ == "__main__":
    main()
