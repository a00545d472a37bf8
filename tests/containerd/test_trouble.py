"""Kills at any moment, many applies at once, clients that go away, encrypted layers, a registry."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tarfiles
from debian import ctd_decoder
from oci import busybox_layers, oci_archive
from stack import Stack, containerd_programs, running

IMAGE = "example.test/busybox:1"
Program = Callable[[str], str]

KILLS = 20


def peak_kilobytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


@pytest.mark.parametrize("mode", ["lcow", "overlay"])
def test_kills_at_any_moment_lose_nothing_and_leave_nothing(
    newest_programs: Path, busybox: Path, tmp_path: Path, mode: str
) -> None:
    """Service, containerd or both are killed in the middle of an import, which succeeds once they are back."""
    layers = busybox_layers(busybox)
    layers += [tarfiles.archive(tarfiles.regular(f"data/{n}", os.urandom(4 << 20))) for n in range(3)]
    archive = tmp_path / "image.tar"
    oci_archive(archive, IMAGE, layers)
    chance = random.Random(mode)
    with running(Stack(newest_programs, mode)) as stack:
        arguments = ("image", "import", "--snapshotter", "layerdisk", archive)
        for turn in range(KILLS // 2):  # and as many in the other mode
            importing = threading.Thread(
                target=stack.ctr,
                args=arguments,
                kwargs={"check": False},
            )
            importing.start()
            time.sleep(chance.uniform(0.05, 0.9))
            victims = chance.choice([("service",), ("containerd",), ("service", "containerd")])
            for victim in victims:
                stack.kill(getattr(stack, victim), signal.SIGKILL)
            importing.join()
            if "service" in victims:
                stack.start_service()
            if "containerd" in victims:
                stack.start_containerd()
            # containerd connects to its plugins again within seconds.
            stack.wait_until(lambda: not stack.ctr(*arguments, check=False).returncode, 20)
            assert len([key for key in stack.snapshots() if key.startswith("sha256:")]) == len(layers), turn
            names = {name for directory in stack.root.glob("snapshots/*") for name in os.listdir(directory)}
            assert names <= {"layer.vhd", "fs", "work"}, turn
            if turn % 3 == 2:
                stack.ctr("image", "rm", "--sync", IMAGE)
                for lease in str(stack.ctr("leases", "ls", "-q").stdout).split():
                    stack.ctr("leases", "rm", "--sync", lease)
                for key in stack.snapshots():
                    stack.ctr("snapshots", "--snapshotter", "layerdisk", "rm", key)
                stack.wait_until(lambda: not stack.files() and not stack.mounts() and not stack.loops())


def test_fifty_applies_at_once(newest_programs: Path, busybox: Path, tmp_path: Path) -> None:
    """Eight images, in namespaces enough for fifty imports at the same time."""
    base = busybox_layers(busybox)[:1]
    archives = []
    for number in range(8):
        own = tarfiles.archive(tarfiles.regular("own", os.urandom(1 << 20)), tarfiles.regular(f"f{number}"))
        archives.append(tmp_path / f"{number}.tar")
        oci_archive(archives[-1], f"example.test/many:{number}", [*base, own])
    with running(Stack(newest_programs, "lcow")) as stack:
        assert stack.service is not None
        descriptors = f"/proc/{stack.service.pid}/fd"
        stack.ctr("-n", "warm", "image", "import", "--snapshotter", "layerdisk", archives[0])
        before = len(os.listdir(descriptors))
        results: list[int] = []

        def work(number: int) -> None:
            arguments = ["-n", f"ns{number}", "image", "import", "--snapshotter", "layerdisk"]
            results.append(stack.ctr(*arguments, archives[number % 8], check=False).returncode)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [0] * 50, stack.service_log()[-3000:]
        disks = list(stack.root.glob("snapshots/*/layer.vhd"))
        assert len(disks) == 102
        assert len({disk.stat().st_ino for disk in disks}) == 9
        assert peak_kilobytes(stack.service.pid) < 400 << 10
        time.sleep(1)  # connections and threads that just ended
        # a database connection for each thread of the pool that answered, three files each
        assert len(os.listdir(descriptors)) < before + 3 * 64


def test_a_client_that_goes_away_ends_its_apply(newest_programs: Path, tmp_path: Path) -> None:
    layers = [tarfiles.archive(tarfiles.regular("large", os.urandom(1 << 20) * 512))]
    archive = tmp_path / "large.tar"
    oci_archive(archive, IMAGE, layers, "")
    with running(Stack(newest_programs, "lcow")) as stack:
        command: list[str | Path] = [
            stack._programs / "ctr",
            "--address",
            stack.directory / "c.sock",
            "image",
            "import",
            "--local",
        ]
        importing = subprocess.Popen(
            [*command, "--snapshotter", "layerdisk", archive], stdout=subprocess.DEVNULL
        )
        stack.wait_until(lambda: any(stack.root.glob("snapshots/1")))
        time.sleep(0.1)
        importing.kill()
        importing.wait()
        stack.wait_until(lambda: b"code=CANCELLED" in stack.service_log())
        stack.wait_until(lambda: not list(stack.root.glob("snapshots/*/.*")))


@pytest.fixture(scope="module")
def keys(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    openssl = program("openssl")
    (directory / "right").mkdir()
    (directory / "none").mkdir()
    private, public = directory / "right" / "key.pem", directory / "public.pem"
    subprocess.run([openssl, "genrsa", "-out", private, "2048"], check=True, capture_output=True)
    subprocess.run(
        [openssl, "rsa", "-in", private, "-pubout", "-out", public], check=True, capture_output=True
    )
    return directory


@pytest.fixture(scope="module")
def encrypted(program: Program, keys: Path, busybox: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("encrypted")
    oci_archive(directory / "plain.tar", IMAGE, busybox_layers(busybox))
    key = f"--encryption-key=jwe:{keys / 'public.pem'}"
    made = f"oci-archive:{directory / 'encrypted.tar'}:{IMAGE}"
    source = f"oci-archive:{directory / 'plain.tar'}"
    subprocess.run([program("skopeo"), "copy", "--quiet", key, source, made], check=True)
    return directory / "encrypted.tar"


@pytest.mark.parametrize("has_key", [True, False], ids=["right key", "no key"])
def test_encrypted_layers(
    newest_programs: Path, encrypted: Path, keys: Path, tmp_path: Path, has_key: bool
) -> None:
    processors = tmp_path / "processors.toml"
    arguments = ["--decryption-keys-path", str(keys / ("right" if has_key else "none"))]
    tables = [
        {
            "accepts": [f"application/vnd.oci.image.layer.v1.tar{suffix}+encrypted"],
            "returns": f"application/vnd.oci.image.layer.v1.tar{suffix}",
            "path": ctd_decoder(),
            "args": arguments,
        }
        for suffix in ("+gzip", "")
    ]
    text = ""
    for name, table in zip(("tar.gzip", "tar"), tables, strict=True):
        text += f'[stream_processors."io.containerd.ocicrypt.decoder.v1.{name}"]\n'
        text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
    processors.write_text(text)
    with running(Stack(newest_programs, "lcow", "--processors", str(processors))) as stack:
        done = stack.ctr("image", "import", "--local", "--snapshotter", "layerdisk", encrypted, check=False)
        if has_key:
            assert done.returncode == 0, (done.stderr, stack.service_log())
            assert len(stack.snapshots()) == 3
        else:
            assert done.returncode != 0
            assert str(keys) not in done.stderr
            stack.wait_until(lambda: not list(stack.root.glob("snapshots/*/layer.vhd")))


# The transfer service of 1.7 takes no registry without TLS.
@pytest.mark.parametrize(("version", "local"), [("2.1", False), ("2.1", True), ("1.7", True)])
def test_images_are_pulled_from_a_registry(
    image: Callable[[str], Path], registry: str, program: Program, version: str, local: bool
) -> None:
    name = f"{registry}/busybox:1"
    copy = ["copy", "--quiet", "--dest-tls-verify=false", f"oci-archive:{image('+gzip')}", f"docker://{name}"]
    subprocess.run([program("skopeo"), *copy], check=True)
    transfer = "--local" if local else "--local=false"
    with running(Stack(containerd_programs(version), "overlay")) as stack:
        stack.ctr("image", "pull", transfer, "--plain-http", "--snapshotter", "layerdisk", name)
        assert len(stack.snapshots()) == 3
        seen = stack.ctr("run", "--rm", "--snapshotter", "layerdisk", name, "c", "/bin/cat", "/etc/b")
        assert seen.stdout == "TWO\n"
        stack.ctr("image", "rm", "--sync", name)
        stack.wait_until(lambda: not stack.files() and not stack.mounts() and not stack.loops())
