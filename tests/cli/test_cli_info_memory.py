"""``skscan info`` says what a step of training needs."""

import json
import re

STAGES = (("simclr", 512, 32), ("moco", 256, 224), ("scan", 128, 32), ("self-label", 1000, 32))


def test_info_shows_the_memory_of_training(skscan):
    printed = json.loads(skscan("info", "--json").stdout)
    for stage, batch, side in STAGES:
        text = printed[f"memory_of_a_{stage}_step"]
        pattern = rf"(.*) GiB \({batch} images of {side} px; (.*) GiB with micro_batch_size=32\)"
        whole, parts = map(float, re.fullmatch(pattern, text).groups())
        assert 0 < parts < whole < 40
