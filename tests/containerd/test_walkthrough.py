"""docs/containerd.md, followed word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from stack import clean_up, containerd_programs

# Only for a guide that fails half way: nothing goes on running.
AT_THE_END = "trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT"
GUIDE = Path(__file__).parents[2] / "docs" / "containerd.md"


def test_the_guide_works_as_it_stands_there(
    image: Callable[[str], Path], registry: str, program: Callable[[str], str]
) -> None:
    install, *blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert install == "pip install 'layerdisk[containerd]'\n"  # done
    assert len(blocks) == 5
    name = f"{registry}/guide:1"
    copy = ["copy", "--quiet", "--dest-tls-verify=false", f"oci-archive:{image('+gzip')}", f"docker://{name}"]
    subprocess.run([program("skopeo"), *copy], check=True)
    path = [
        str(Path(sys.executable).parent),
        str(containerd_programs("2.1") / "usr/bin"),
        os.environ["PATH"],
        "/usr/sbin",
    ]
    environment = {**os.environ, "PATH": ":".join(path), "IMAGE": name, "PULL": "--plain-http"}
    before = set(Path("/tmp").glob("layerdisk-*"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-m", "-c", "\n".join([AT_THE_END, *blocks])],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    left = set(Path("/tmp").glob("layerdisk-*")) - before
    for directory in left:
        clean_up(directory)
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
    assert "\nhello from layer disks\n" in done.stdout
    assert re.search(r"^new$", done.stdout, re.MULTILINE)
    assert left == set()
