"""Two gigabytes of domain records are read in a small part of that memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SIZE = 2_000_000_000
RECORD = (
    '{"domain": "%s", "label": "%s", "first_seen": "2026-11-21T09:30:00Z", "last_seen": "2026-11-21T10:45:00Z", '
    '"ttl": 300, "answers": [{"type": "A", "data": "192.0.2.17"}, {"type": "AAAA", "data": "2001:db8::17"}], '
    '"name_servers": ["ns1.example.net", "ns2.example.net"], "registrar": "Example Registrar, Inc.", '
    '"registered": "2019-04-02", "sources": ["passive-dns", "certificate-transparency"], "queries": 18204, '
    '"asn": {"number": 64496, "name": "EXAMPLE-AS", "country": "CH"}}'
)
READ = """
import json, re, sys, time
from pathlib import Path
from onnxpress.training.data.json_file import JsonFile
from onnxpress.training.data.table import Reading

started = time.monotonic()
table = JsonFile(path=sys.argv[1], target="label").load(Reading(numbers=("ttl",), texts=("domain",)))
seconds = time.monotonic() - started
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
domains = table.columns["domain"]
print(json.dumps({
    "rows": len(table.target), "seconds": seconds, "peak": peak, "first": domains[0], "last": domains[-1],
    "different": len(set(domains)), "dga": int((table.target == "dga").sum()),
}))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_gigabytes_of_domain_records_need_a_third_of_that_memory(tmp_path: Path) -> None:
    """A fresh process reads them; its peak of resident memory is the kernel's own figure."""
    pytest.importorskip("ijson")
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of resident memory is read from /proc")
    free = shutil.disk_usage(tmp_path).free
    if free < 2 * SIZE:
        pytest.skip(
            f"needs {2 * SIZE / 1e9:.0f} GB of free disk for a file of {SIZE / 1e9:.0f}, there are {free / 1e9:.1f}"
        )
    path, rows = tmp_path / "domains.json", 0
    try:
        with path.open("w") as file:
            file.write("[")
            written = 1
            while written < SIZE:
                block = ",\n".join(
                    RECORD % (f"host-{number:08d}.example.com", "legit" if number % 3 else "dga")
                    for number in range(rows, rows + 10_000)
                )
                written += file.write((",\n" if rows else "") + block)
                rows += 10_000
            file.write("]")
        done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=300)
    finally:
        path.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert (found["rows"], found["different"], found["dga"]) == (rows, rows, -(-rows // 3))
    assert (found["first"], found["last"]) == ("host-00000000.example.com", f"host-{rows - 1:08d}.example.com")
    assert found["peak"] < SIZE / 3
