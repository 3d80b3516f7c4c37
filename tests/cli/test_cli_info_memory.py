"""``skscan info`` says what a step of training needs."""

import json
import re


def test_info_shows_the_memory_of_training(skscan):
    printed = json.loads(skscan("info", "--json").stdout)
    for stage, batch in (("simclr", 512), ("scan", 128)):
        text = printed[f"memory_of_a_{stage}_step"]
        pattern = rf"(.*) GiB \({batch} images of 32 px; (.*) GiB with micro_batch_size=32\)"
        whole, parts = map(float, re.fullmatch(pattern, text).groups())
        assert 0 < parts < whole < 16
