"""The link from end to end: firmware on an emulated core, its serial port on a socket."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import parts
import pytest
from firmware_model import ASK_DEEP_STACK, ASK_STATUS, SHAPES, Build, asking, emulated
from numpy.typing import NDArray
from verbs import PADIM, TINY, fails, run_json

from vadgen.board import load_board
from vadgen.build.emulator import Served, serving
from vadgen.errors import Exit, VadgenError
from vadgen.link import patterns
from vadgen.link.device import Device
from vadgen.link.frames import encode
from vadgen.link.messages import Begin, Hello, Result, Row
from vadgen.link.port import Port, is_port
from vadgen.pipeline.attached import monitor
from vadgen.progress import SilentProgress

EMULATED = emulated()


@pytest.fixture
def served(request: pytest.FixtureRequest, build: Build) -> Iterator[Served]:
    name = getattr(request, "param", "qemu_m7")
    with serving(build(name), load_board(name)) as served:
        yield served


def check(device: Device, pixels: NDArray[np.uint8]) -> None:
    """Scores an image and compares with what the model does, in numpy."""
    response = device.score(pixels, SHAPES)
    channel = pixels[:, :, 0].astype(int)
    cells = channel.reshape(2, 4, 2, 4).sum((1, 3)).ravel()
    assert np.array_equal(response.cells, cells)
    assert (response.score, response.is_anomalous) == (cells.max(), cells.max() > 2100)
    assert np.array_equal(response.outputs[0][..., 0], channel[::2] - 128)


def connected(port: str) -> socket.socket:
    host, _, number = port.removeprefix("socket://").rpartition(":")
    return socket.create_connection((host, int(number)), timeout=30)


@pytest.mark.parametrize("served", EMULATED, indirect=True)
def test_a_session_on_every_core(served: Served, images: NDArray[np.uint8]) -> None:
    with Port(served.port) as line:
        device = Device(line)
        identity = device.hello()
        assert (identity.board, identity.model[:4]) == ("by_hand", b"\1\2\3\0")
        for pixels in images:
            check(device, pixels)
        shallow = device.counters()
        assert (shallow.images, shallow.damaged, shallow.overruns) == (len(images), 0, 0)
        assert 200 < shallow.stack_bytes < 1500
        device.score(asking(ASK_DEEP_STACK), want_cells=False)
        assert 800 < device.counters().stack_bytes - shallow.stack_bytes < 1300
        assert device.set_threshold(7).shipped == 2100
        assert device.score(images[0]).threshold == 7
        device.reset()
        assert device.hello().threshold == 2100
        with pytest.raises(VadgenError, match="the model refused an image"):
            device.score(asking(ASK_STATUS))
        check(device, images[1])


def test_what_comes_damaged_is_survived(served: Served, images: NDArray[np.uint8]) -> None:
    """Damaged, cut, doubled, reordered and endless frames, all on one line, then a session."""
    rows = [encode(Row(5, y, 0, row.tobytes()), y + 1) for y, row in enumerate(images[0])]
    with Port(served.port) as line:
        for data in (
            b"\xff" * 3000,  # endless
            b"\0" + rows[0][:9],  # cut
            b"\0" * 50,
            encode(Begin(5, 0), 1)[:-3] + b"\1\1\0",  # damaged
            encode(Begin(5, 1), 2),
            *(rows[0], rows[0], rows[3], rows[2], rows[1], rows[7]),  # doubled, reordered
            encode(Begin(5, 1), 3),
            np.random.default_rng(0).bytes(2000),
        ):
            line.write(data)
        device = Device(line)
        for pixels in images:
            check(device, pixels)
        counters = device.counters()
        assert counters.images == len(images)
        assert counters.too_long >= 1 and counters.damaged >= 2 and counters.misplaced >= 3


def test_a_host_that_is_killed_leaves_the_device_ready(
    served: Served, images: NDArray[np.uint8]
) -> None:
    whole = encode(Begin(9, 1), 1)
    whole += b"".join(encode(Row(9, y, 0, r.tobytes()), 2 + y) for y, r in enumerate(images[0]))
    for at in (4, 31, 100, len(whole) - 1, len(whole)):
        with connected(served.port) as raw:
            raw.sendall(whole[:at])  # and gone, without having read an answer
        with Port(served.port) as line:
            check(Device(line), images[1])


def test_a_device_that_restarts_is_sent_the_image_again(
    build: Build, images: NDArray[np.uint8]
) -> None:
    """The emulator dies in the middle of an image; a new one answers behind the same line."""
    elf, board = build("qemu_m7"), load_board("qemu_m7")

    class Restarting:
        """A line that moves to a second board after some writes."""

        name = "line"

        def __init__(self, first: Port, second: Port) -> None:
            self.ports = [first, second]
            self.writes = 0

        def read(self, seconds: float) -> bytes:
            return self.ports[self.writes > 5].read(min(seconds, 0.2))

        def write(self, data: bytes) -> None:
            self.writes += 1
            self.ports[self.writes > 5].write(data)

    with (
        serving(elf, board) as one,
        serving(elf, board) as two,
        Port(one.port) as first,
        Port(two.port) as second,
    ):
        line = Restarting(first, second)
        check(Device(line), images[0])
        assert line.writes > 10


def test_a_line_that_ends_is_an_error(served: Served, images: NDArray[np.uint8]) -> None:
    with Port(served.port) as line:
        device = Device(line)
        check(device, images[0])
        served.process.kill()
        served.process.wait()
        with pytest.raises(VadgenError, match="was lost"):
            device.score(images[0])


def test_a_port_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    for name, why in (
        (f"socket://127.0.0.1:{number}", "Connection refused"),
        ("/dev/ttyNone7", "No such file or directory"),
        ("socket://nonsense", "it is no address"),
        ("a://b", "invalid URL"),
    ):
        with pytest.raises(VadgenError, match=f"{name} cannot be opened: {why}"):
            Port(name)


@pytest.mark.parametrize("name", ["/dev/ttyUSB0", "COM3", "com12", "socket://h:1", "rfc2217://h:1"])
def test_names_of_ports(name: str) -> None:
    assert is_port(name)


@pytest.mark.parametrize("name", ["host", "emulator", "COM", "comma3", "ttyUSB0"])
def test_names_of_no_ports(name: str) -> None:
    assert not is_port(name)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_emulate_answers_until_it_is_stopped(
    stop: signal.Signals, build: Build, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text('{"kind": "build", "board": "qemu_m7"}')
    shutil.copy(build("qemu_m7"), tmp_path / "firmware.elf")
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    command = [sys.executable, "-m", "vadgen", "emulate", str(tmp_path), "--listen"]
    process = subprocess.Popen(
        [*command, f"127.0.0.1:{number}"],
        stderr=subprocess.PIPE,
        text=True,
        # A background job of a shell ignores SIGINT, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stderr is not None
        assert f"socket://127.0.0.1:{number}, until Ctrl-C" in process.stderr.readline()
        with Port(f"socket://127.0.0.1:{number}") as line:
            check(Device(line), images[0])
            process.send_signal(stop)
            assert process.wait(30) == 0
            with pytest.raises(VadgenError, match="was lost"):  # the emulator is gone, too
                Device(line).hello()
    finally:
        process.kill()
        process.communicate()


# --- a build, by the command line -----------------------------------------------------------------


@pytest.mark.usefixtures("cache")
def test_verbs_over_the_serial_port(tmp_path: Path, capfd: Any) -> None:
    data, few, out = parts.write_labelled(tmp_path / "data"), tmp_path / "few", tmp_path / "out"
    shutil.copytree(data, few)
    for path in [*few.glob("test/*/*"), *few.glob("ground_truth/*/*")]:
        if not path.stem.startswith("000"):
            path.unlink()
    photo = few / "test" / "spot" / "000.png"
    argv = ("--data", data, *TINY, *PADIM, "--out", out)
    run_json(capfd, "build", "--board", "qemu_m4", *argv)
    board = load_board("qemu_m4")
    with serving(out / "firmware.elf", board) as served:
        port = served.port
        verified = run_json(capfd, "verify", out, "--on", port)
        assert verified["parity"]["board"] is True and verified["parity"]["self_test"] is True
        assert set(verified["parity_by"]["board"].values()) == {True}

        answers = [
            run_json(capfd, "infer", out, photo, "--on", on, "--map", tmp_path / on[:4])
            for on in ("host", port)
        ]
        assert answers[0]["images"][0]["score"] == answers[1]["images"][0]["score"]
        traffic = answers[1]["traffic"]
        assert answers[0]["traffic"] is None and traffic["picture_bytes"] == 32 * 32 * 3
        assert traffic["picture_bytes"] < traffic["sent_bytes"] < 2 * traffic["picture_bytes"]
        maps = [(tmp_path / name / "000.png").read_bytes() for name in ("host", "sock")]
        assert maps[0] == maps[1]

        on_host = run_json(capfd, "evaluate", out, "--data", few)
        on_board = run_json(capfd, "evaluate", out, "--data", few, "--on", port)
        assert on_host["metrics"] == on_board["metrics"]

        told = run_json(capfd, "device", out, "--port", port, "--self-test", "--threshold", "9")
        assert (told["board"], told["threshold"]) == ("qemu_m4", 9)
        assert told["threshold_is_volatile"] is True
        assert told["self_test"] == [True] * patterns.COUNT
        assert 0 < told["stack_bytes"] < told["stack_budget"] == board.stack_bytes
        assert told["images"] == 8 + 1 + 2
        told = run_json(capfd, "device", out, "--port", port, "--reset")
        assert told["threshold"] == told["shipped_threshold"] and told["images"] == 0

        listened = run_json(capfd, "monitor", out, "--port", port, "--seconds", "0.5")
        assert listened["scores"] == []
        with (out / "model.npz").open("ab") as stream:
            stream.write(b"of another build")
        error = fails(capfd, Exit.INPUT, "device", out, "--port", port)
        assert "runs another model" in error and "qemu_m4" in error and "vadgen flash" in error
    assert "cannot be opened" in fails(capfd, Exit.INPUT, "verify", out, "--on", port)
    fails(capfd, Exit.INPUT, "emulate", out, "--listen", "nowhere")
    fails(capfd, Exit.INPUT, "device", out, "--port", port, "--threshold", "-4")


def test_scores_of_a_boards_own_are_shown(tmp_path: Path) -> None:
    """A stand-in for a board with a camera answers the first question, then tells scores."""
    from vadgen.link.frames import FrameReader
    from vadgen.link.messages import Identity
    from vadgen.pipeline.identity import model_digest

    (tmp_path / "manifest.json").write_text('{"kind": "build", "board": "esp32s3"}')
    (tmp_path / "model.tflite").write_bytes(b"a network")
    identity = Identity("esp32s3", "0", model_digest(tmp_path), *[0] * 13)

    def board(listener: socket.socket) -> None:
        line, _ = listener.accept()
        with line:
            reader, asked = FrameReader(), []
            while not asked:
                asked = [f for f in reader.take(line.recv(100)) if f.message == Hello()]
            line.sendall(b"boot\r\n" + encode(identity, asked[0].sequence))
            for score in (5, 50):
                line.sendall(b"noise" + encode(Result(0, score, 10, 0, int(score > 10)), 0))
            time.sleep(1.5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=board, args=(listener,))
        thread.start()
        port = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        told = monitor(tmp_path, port, 1.0, SilentProgress())
        thread.join()
    assert (told.scores, told.anomalous) == ((5, 50), 1)
