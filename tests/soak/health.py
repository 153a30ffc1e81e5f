"""What a process holds, sampled over time: memory and open files."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Health:
    """Samples of one process, oldest first."""

    memory_kib: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def take(self, pid: int) -> None:
        """Look at it now."""
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        self.memory_kib.append(int(line.split()[1]))
        self.files.append(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))

    def growth_share(self) -> float:
        """How much the memory grew, as a share of what it was."""
        return _growth(self.memory_kib) / statistics.median(self.memory_kib)

    def files_grown(self) -> float:
        """How many more files are open."""
        return _growth(self.files)


def _growth(values: Sequence[int]) -> float:
    """Median of the last quarter less that of the second: the first one is warming up."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter])
