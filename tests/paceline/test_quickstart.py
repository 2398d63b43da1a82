"""What runs when nothing is configured: one repository, its assumptions said aloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collector.errors import ConfigError
from paceline.wiring import configuration


def test_release_tags_are_deployments(repository: Any, tmp_path: Path) -> None:
    """With release tags each tagged commit is a deployment, and the note says so."""
    repository.commit(at=1)
    repository.tag("v1.2.3")

    found = configuration(None, {"PACELINE_REPO": str(repository.path)}, tmp_path)

    assert found.sources[0].model_dump()["deployments"]["rule"] == "tags"
    assert "each commit that carries a release tag (like v1.2.3) counts as one production deployment" in found.notes[0]


def test_without_tags_the_default_branch_is_deployed(repository: Any, tmp_path: Path) -> None:
    """Without a release tag each commit of the default branch is a deployment, and the note says so."""
    repository.commit(at=1)
    repository.tag("nightly")

    found = configuration(None, {"PACELINE_REPO": str(repository.path)}, tmp_path)

    assert found.sources[0].model_dump()["deployments"]["rule"] == "branch"
    assert "no release tag" in found.notes[0]


def test_the_repository_one_stands_in_is_found(repository: Any) -> None:
    """From a folder inside a repository, that repository is read, and data stay in the working directory."""
    repository.commit(at=1)
    inside = repository.path / "a" / "b"
    inside.mkdir(parents=True)

    found = configuration(None, {}, inside)

    assert found.sources[0].model_dump()["repository"] == str(repository.path)
    assert found.data_dir.parent == inside / ".paceline"
    assert len(found.slos) >= 1


@pytest.mark.parametrize("asked", ["", "nowhere"])
def test_no_repository_is_a_mistake(tmp_path: Path, asked: str) -> None:
    """Where there is no repository, the answer says what to give."""
    with pytest.raises(ConfigError, match=r"there is no Git repository at .*; expected the path or URL"):
        configuration(None, {"PACELINE_REPO": asked}, tmp_path)


def test_two_repositories_do_not_share_a_store(new_repository: Any, tmp_path: Path) -> None:
    """Two repositories of one name in different places keep their data apart."""
    places = [new_repository("a/shop"), new_repository("b/shop")]

    found = [configuration(None, {"PACELINE_REPO": str(p.path)}, tmp_path).data_dir for p in places]

    assert len(set(found)) == 2


def test_a_settings_file_beside_wins_over_the_repository(repository: Any) -> None:
    """`./paceline.yaml` is taken where it stands; PACELINE_REPO asks for the quickstart all the same."""
    repository.commit(at=1)
    (repository.path / "paceline.yaml").write_text("timezone: Asia/Tokyo", encoding="utf-8")

    assert configuration(None, {}, repository.path).settings.timezone == "Asia/Tokyo"
    assert configuration(None, {"PACELINE_REPO": "."}, repository.path).settings.timezone == "UTC"
