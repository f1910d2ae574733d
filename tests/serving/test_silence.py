"""Nothing leaves the machine: the server lives in a network of its own, where every attempt to get out is counted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serving.publishing import publish

_PROGRAM = r"""
import ctypes, fcntl, http.client, json, os, socket, struct, subprocess, sys, time

def refused():
    "Packets that this network had no way to send: the kernel's own count, for IPv4 and IPv6."
    rows = [line.split() for line in open("/proc/net/snmp") if line.startswith("Ip:")]
    four = int(dict(zip(rows[0], rows[1]))["OutNoRoutes"])
    six = dict(line.split() for line in open("/proc/net/snmp6"))
    return four + int(six["Ip6OutNoRoutes"])

def sent():
    "Bytes that went over anything but the loopback."
    lines = [line.split() for line in open("/proc/net/dev").read().splitlines()[2:]]
    return sum(int(line[9]) for line in lines if line[0] != "lo:")

with socket.socket() as one:  # the loopback of a new network is down
    fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", 1))
environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
before = refused()
server = subprocess.Popen(
    [sys.argv[1], "serve", sys.argv[2], "--port", "0"], stdout=subprocess.PIPE, env=environment, text=True
)
port = int(server.stdout.readline().rpartition(":")[2])
body = json.dumps({"inputs": [{"name": "x", "shape": [1, 32], "datatype": "FP32", "data": [0.5] * 32}]})
statuses = []
for _ in range(20):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v2/models/tiny/infer", body)
    statuses.append(connection.getresponse().status)
    connection.close()
time.sleep(3)  # what gathers before it sends
server.terminate()
code = server.wait(60)
quiet = refused() - before
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    try:
        one.connect(("192.0.2.1", 53))
    except OSError:
        pass
print(json.dumps({"statuses": sorted(set(statuses)), "code": code, "sent": sent(), "refused": quiet,
                  "counts": refused() - before - quiet}))
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("unshare") is None, reason="needs Linux and unshare")
def test_nothing_leaves_the_machine(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        pytest.skip("this user may not make a network namespace")
    publish(tmp_path, "tiny")
    command = [sys.executable, "-c", _PROGRAM, str(Path(sys.executable).with_name("onnxpress")), str(tmp_path)]
    done = subprocess.run(["unshare", "-rn", *command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["statuses"] == [200]
    assert found["code"] == 0
    assert found["counts"] >= 1, "an attempt to get out is not counted here, so the test would prove nothing"
    assert (found["sent"], found["refused"]) == (0, 0)
