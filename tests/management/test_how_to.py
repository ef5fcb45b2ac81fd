"""The commands of the page for those who run the gateway, as they are printed there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.fix_gateway import REPOSITORY, Gateway

PAGE = REPOSITORY / "docs" / "how-to" / "accounts-and-keys.md"
TIMEOUT_S = 120
# The installed command, in this installation.
MODELWAY = """\
modelway() {{ {python} -m modelway.cli "$@" --data-dir {data_dir}; }}
"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_of_the_page_work_as_printed(gateway: Gateway) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert len(blocks) >= 6
    script = MODELWAY.format(python=sys.executable, data_dir=gateway.data_dir) + "".join(blocks)

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("http://127.0.0.1:8080", gateway.base_url)],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY / "src"), "HOME": str(gateway.folder)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"action":"budget.create"' in done.stdout
    assert "nightly report" in done.stdout
    assert done.stdout.count("sk-mw-") == done.stdout.count("…") + 1, "one text, of the key that was made"
