"""Fingerprints, the settings file, progress lines: small parts with one rule each."""

from __future__ import annotations

import tomllib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import UsageError
from harvester.fingerprint import hamming, perceptual_hash
from harvester.progress import Progress, duration
from harvester.settings import ServiceSettings
from harvester.settings_file import to_toml, write_settings


def texture(seed):
    noise = np.random.default_rng(seed).normal(size=(300, 400, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 12)
    return np.clip(128 + 900 * smooth, 0, 255).astype(np.uint8)


def test_a_fingerprint_survives_recompression_and_resizing_but_not_another_picture():
    picture = texture(1)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)
    half = cv2.resize(picture, (200, 150), interpolation=cv2.INTER_AREA)
    own = perceptual_hash(picture)

    assert hamming(own, perceptual_hash(jpeg)) <= 4
    assert hamming(own, perceptual_hash(half)) <= 4
    assert hamming(own, perceptual_hash(texture(2))) > 12


def test_a_single_pixel_has_a_fingerprint_too():
    assert len(perceptual_hash(np.zeros((1, 1, 3), np.uint8))) == 16


plain = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.text(st.characters(exclude_categories=["Cs"])))


@given(table=st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), plain, max_size=5))
def test_settings_are_read_back_as_they_were_written(table):
    assert tomllib.loads(to_toml({"run": table})) == {"run": table}


def test_settings_of_other_commands_stay(tmp_path):
    write_settings(tmp_path, "run", {"query": 'a "quoted" \\ query\n😀', "limit": 3})
    write_settings(tmp_path, "annotate", {"models": ("a", "b")})

    tables = tomllib.loads((tmp_path / "settings.toml").read_text(encoding="utf-8"))
    assert tables["run"]["query"] == 'a "quoted" \\ query\n😀'
    assert tables["annotate"]["models"] == ["a", "b"]


def test_progress_prints_plain_lines_with_rate_time_left_and_finds(capsys):
    clock = iter([0.0, 30.0, 60.0, 60.0, 60.0]).__next__
    with Progress("articles", total=40, clock=clock) as progress:
        progress.advance(10, figures=25, he_panels=3)

    out = capsys.readouterr()
    assert out.out == ""
    assert "10 of 40 articles (" in out.err and "25 figures, 3 he panels" in out.err and "left" in out.err


def test_a_line_is_not_said_twice(capsys):
    clock = iter([0.0, 30.0, 60.0, 60.0, 60.0]).__next__
    with Progress("articles", total=10, clock=clock) as progress:
        progress.advance(10)

    assert capsys.readouterr().err.count("10 of 10 articles") == 1


def test_durations_are_said_as_people_do():
    assert [duration(s) for s in (3, 89, 600, 7200)] == ["3 s", "89 s", "10 min", "2.0 h"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HARVESTER_EUTILS_URL", "http://eutils.example.org/"),
        ("HARVESTER_PMC_BUCKET_URL", "ftp://127.0.0.1/"),
        ("HARVESTER_EUROPEPMC_URL", "https://user:secret@example.org/"),
        ("HARVESTER_EMAIL", "nobody at home"),
    ],
)
def test_a_malformed_environment_is_refused_by_name(name, value):
    with pytest.raises(UsageError, match=name):
        ServiceSettings.from_environment({name: value})


def test_the_key_raises_the_rate_and_shows_nowhere():
    settings = ServiceSettings.from_environment({"NCBI_API_KEY": "s3cret-key"})

    assert settings.eutils_per_second == 10
    assert "s3cret" not in repr(settings) and "s3cret" not in str(settings)
