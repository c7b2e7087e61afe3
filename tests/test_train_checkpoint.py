"""The command that the README gives makes the captioner that is shipped."""

import json

from drcap.config import Config
from drcap.pipeline import SHIPPED
from workflow import train_checkpoint


def test_the_recipe_is_that_of_the_shipped_captioner():
    shipped = Config.from_dict(json.loads((SHIPPED / "config.json").read_text()))
    assert train_checkpoint.recipe(steps=4_000, seed=0) == shipped
