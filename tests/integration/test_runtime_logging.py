from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BEGIN = (
    "import logging, sys; from gateway.runtime.logging import set_up_logging; set_up_logging();"
    "log = logging.getLogger('gateway.test');"
)


def _logged(code: str, **environment: str) -> list[str]:
    child = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return child.stderr.splitlines()


def test_a_record_is_one_line_even_with_a_traceback() -> None:
    code = "\ntry:\n    1/0\nexcept ZeroDivisionError:\n    log.exception('two\\nlines \"q\"')"
    (line,) = _logged(code)
    assert "level=error logger=gateway.test" in line
    assert 'msg="two\\nlines \\"q\\""' in line
    trace = json.loads(line.partition(" trace=")[2])
    assert trace.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_under_systemd_a_line_begins_with_its_priority() -> None:
    lines = _logged("log.info('a'); log.error('b')", JOURNAL_STREAM="8:1")
    assert [line[:3] for line in lines] == ["<6>", "<3>"]


def test_a_flood_is_cut_short_and_says_nothing_else() -> None:
    lines = _logged("[log.warning('again %d', n) for n in range(5_000)]")
    assert len(lines) == 200
    assert 'msg="again 199"' in lines[-1]


def test_an_argument_that_cannot_be_shown_is_told_and_ends_nothing() -> None:
    lines = _logged("log.error('value %d', 'x'); log.error('next')")
    assert "can't be shown" in lines[0]
    assert 'msg="next"' in lines[1]


def test_who_logs_never_waits_for_who_reads() -> None:
    # Far more than a pipe holds, and nobody reads it before the process has said "done".
    code = (
        "import gateway.runtime.logging as l; l.FLOOD_LINES = 10**9;"
        "[log.warning('x' * 1_000) for _ in range(5_000)]; print('done', flush=True);"
        "sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", BEGIN + code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "done\n"
    _, errors = child.communicate(timeout=60)
    lines = errors.splitlines()
    assert len(lines) < 5_000
    assert any("lines were left out: nobody read them" in line for line in lines)
    assert child.returncode == 0
