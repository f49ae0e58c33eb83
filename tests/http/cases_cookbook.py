"""docs/cookbook.md holds: every command in it is run as it stands and answers what it prints."""
import json
import re

import cookbook
from cases_readme import assert_within

RECIPE = re.compile(r"^## (.*?)\n.*?```sh\n(.*?)\n```\n\n```\n(.*?)\n```\n", re.M | re.S)


def printed(text):
    """The answer as the page has it, without the dots that stand for the rest."""
    return json.loads(re.sub(r",\s*\.\.\.\s*\}$", "}", text))


def case_every_recipe_is_answered_as_printed(server):
    """If they are not, and should be: tests/http/cookbook.py SERVER --write"""
    found = RECIPE.findall(cookbook.COOKBOOK.read_text())
    assert [title for title, _, _ in found] == [recipe.title for recipe in cookbook.RECIPES]
    for title, command, answer in found:
        assert_within(printed(answer), cookbook.run(command, server), title)


def case_every_command_is_what_its_recipe_makes(server):
    found = RECIPE.findall(cookbook.COOKBOOK.read_text())
    for (_, command, _), recipe in zip(found, cookbook.RECIPES):
        assert command == cookbook.command(recipe), recipe.title
