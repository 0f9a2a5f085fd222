"""Figures out of what the driver found and the processes used, and the table that people read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_HEAD = (
    *("variant", "users", "overhead p50 / p95 ms", "first text p50 / p95 ms", "delta p50 / p95 ms"),
    *("CPU s per 1,000 tokens: web / all", "peak RSS MB", "wire bytes per text byte", "failed", "differing"),
)


def figures(
    findings: Mapping[str, Any], cpu: Mapping[str, float], peak: Mapping[str, int], all_cpu: float
) -> dict[str, Any]:
    """`cpu` in seconds and `peak` in bytes by process name; `all_cpu` is what the whole machine used."""
    thousands = findings["tokens"] / 1000 or float("nan")
    parley = sum(cpu[name] for name in ("web", "redis", "postgres"))
    seconds = findings["seconds"]
    times = {
        "overhead": findings["overheads"],
        "first_text": findings["first_texts"],
        "delta": findings["deltas"],
        "watched": findings["watched"],
    }
    return {
        **{f"{name}_ms": _percentiles(values) for name, values in times.items()},
        "turns": findings["turns"],
        "tokens": findings["tokens"],
        "failed": len(findings["failures"]),
        "failures": sorted(set(findings["failures"]))[:5],
        "differing": findings["differing"],
        "differences": findings["differences"][:5],
        "cut_short": findings["cut_short"],
        "cpu_s_per_1000_tokens": {
            **{name: round(cpu[name] / thousands, 4) for name in ("web", "redis", "postgres")},
            "all": round(parley / thousands, 4),
        },
        "peak_rss_mb": {name: round(size / 2**20) for name, size in peak.items()},
        "wire_bytes_per_text_byte": round(findings["wire_bytes"] / max(1, findings["text_bytes"]), 2),
        "cores": {
            "web": round(cpu["web"] / seconds, 2),
            "driver": round(findings["cpu"] / seconds, 2),
            "upstream": round(cpu["upstream"] / seconds, 2),
            "others": round((all_cpu - parley - findings["cpu"] - cpu["upstream"]) / seconds, 2),
        },
    }


def _percentiles(seconds: Sequence[float]) -> list[float] | None:
    """p50, p95 and p99 in milliseconds."""
    return [round(float(value) * 1000, 2) for value in np.percentile(seconds, [50, 95, 99])] if seconds else None


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table."""
    lines = [_HEAD, tuple("---" for _ in _HEAD), *map(_line, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    cpu = row["cpu_s_per_1000_tokens"]
    return (
        row["variant"],
        str(row["users"]),
        *(_pair(row[f"{name}_ms"]) for name in ("overhead", "first_text", "delta")),
        f"{cpu['web']:.3f} / {cpu['all']:.3f}",
        str(row["peak_rss_mb"]["web"]),
        str(row["wire_bytes_per_text_byte"]),
        f"{row['failed']} of {row['turns']}",
        str(row["differing"]),
    )


def _pair(values: Sequence[float] | None) -> str:
    return f"{values[0]:.1f} / {values[1]:.1f}" if values else "–"
