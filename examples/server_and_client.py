"""Split inference: a server that finishes what a client begins, both on this machine.

    python examples/server_and_client.py   # needs the extra `serve`

In real life the server runs elsewhere and stays up, with TLS or tokens: midstream serve --model streets-r16 --host ...
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import midstream as ms

MODEL = "streets-r16"  # ships with midstream, and so does a profile of it
PROFILE = Path(ms.__file__).parent / "models" / "weights" / f"{MODEL}.profile"


def start_server() -> tuple[subprocess.Popen[str], str]:
    """The server as a process of its own, and the address at which it can be reached."""
    command = [sys.executable, "-m", "midstream", "serve", "--model", MODEL, "--profile", str(PROFILE), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    for line in server.stderr:  # its log: a JSON object a line
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("event") == "serving":
            return server, entry["address"]
    raise SystemExit(f"the server ended with exit code {server.wait()}")


def main() -> None:
    images = [ms.data.read_image(file.path) for file in ms.data.load("scenes:4,0").images]
    server, address = start_server()
    try:
        # The client loads the network for its front; nothing of the image but the bitstream leaves this process.
        with ms.serve.Client(address, MODEL, codec="calibrated", profile=PROFILE, quality=10) as client:
            for answer in client.stream(images):  # in order, several in flight
                found = answer.found()
                sure = [client.classes[label] for label in found.labels[found.scores > 0.5]]
                objects = ", ".join(f"{count} {name}" for name, count in Counter(sure).most_common())
                print(f"scene {answer.frame}: {answer.size:,} bytes sent, {1e3 * answer.latency_s:.0f} ms: {objects}")
    finally:
        server.terminate()  # SIGTERM: what is in flight is finished and answered
        server.communicate(timeout=60)


if __name__ == "__main__":
    main()
