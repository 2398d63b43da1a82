"""The data files that come with Paceline: in a wheel beside this module, in a checkout in `config/`."""

from __future__ import annotations

from pathlib import Path


def config_dir() -> Path:
    """The folder of the data files."""
    packaged = Path(__file__).parent / "_config"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "config"


def starter_slos() -> list[Path]:
    """The OpenSLO files that the quickstart uses."""
    return sorted((config_dir() / "slos").glob("*.yaml"))


def alert_windows() -> Path:
    """The file of the alert tiers."""
    return config_dir() / "alert-windows" / "sre-workbook.yaml"


def default_policy() -> Path:
    """The file of the error-budget policy that the gate asks unless another one is named."""
    return config_dir() / "policies" / "default.yaml"


def benchmarks() -> list[Path]:
    """The files of DORA's published numbers, one a year."""
    return sorted((config_dir() / "benchmarks").glob("*.yaml"))
