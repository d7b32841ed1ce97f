import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hagnifinder.baselines.otalora import nuclear_area_px2, nuclei_mask
from hagnifinder.baselines.registry import SYSTEMS
from hagnifinder.baselines.system import Facts
from hagnifinder.baselines.zaveri import LocalBinaryPatterns
from hagnifinder.cli import main
from hagnifinder.data.batches import PatchSampler, ReadAhead, read_crops
from hagnifinder.data.crops import (
    centre_crop,
    paper_crop,
    plain_crop,
    shuffled_crop,
    stripped_crop,
    zoomed_crop,
)
from hagnifinder.data.patches import Patch, manifest_bytes, read_manifest
from hagnifinder.data.splits import Split
from hagnifinder.errors import DataError, ModelError
from hagnifinder.evaluation.sides import sides
from hagnifinder.evaluation.systems import Answer, controls, score, scores_markdown
from hagnifinder.files import write_atomically
from hagnifinder.training.systems import load_system, plan_of, train_system
from tests.hagnifinder.drawn import draw_tissue, group_on

LEVELS = (5.0, 10.0, 20.0)


def write_built(folder: Path, *, tiles: int = 2) -> Path:
    """A built data set of drawn tissue: two patients on every side, three levels."""
    import hashlib

    import cv2

    patches = []
    for side in Split:
        for number in range(2):
            slide = group_on(side, number)
            for tile in range(tiles):
                for level_x in LEVELS:
                    pixels = draw_tissue(240, 240, nucleus_px=8.0 * level_x / 10.0, seed=number * 10 + tile)
                    path = f"patches/{slide}/t{tile}-{level_x:g}x.png"
                    data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
                    write_atomically(folder / path, data)
                    organ = "lung" if number else "skin"
                    digest = hashlib.sha256(data).hexdigest()
                    patches.append(
                        Patch(path, slide, f"Drawn/{slide}", organ, "Drawn", f"t{tile}", level_x, 10 / level_x, 0.25,
                              40.0, 0, 0, 960, 240, "area", 1.0, "", digest)
                    )  # fmt: skip
    write_atomically(folder / "manifest.csv", manifest_bytes(patches))
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_built(tmp_path_factory.mktemp("built"))


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_trains_two_steps_and_says_a_magnification(name: str, tmp_path: Path) -> None:
    data = write_built(tmp_path / "built", tiles=1)
    out = tmp_path / "run"
    done = CliRunner().invoke(
        main, ["train", name, str(data), "--out", str(out), "--steps", "2", "--batch", "2", "--device", "cpu"]
    )
    assert done.exit_code == 0, done.output

    trained = load_system(out / f"{name}.safetensors")
    crops, _ = read_crops(data, read_manifest(data)[:3], centre_crop)
    with torch.no_grad():
        from hagnifinder.training.systems import outputs_of

        alone = trained.network.magnification_x(outputs_of(trained.network, crops[:1]))
        together = trained.network.magnification_x(outputs_of(trained.network, crops))
    assert together.shape == (3,)
    assert torch.isfinite(together).all()
    assert torch.allclose(alone[0], together[0], atol=1e-3)
    assert trained.card["samples_seen"] == 4
    assert trained.card["starting_weights"]
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2]


@pytest.mark.parametrize("name", ["wang", "zaveri-lbp"])
def test_a_run_that_was_resumed_ends_with_the_same_weights(name: str, data: Path, tmp_path: Path) -> None:
    plan = plan_of(name, samples=12, batch=4)

    straight = train_system(plan, data, tmp_path / "a")
    train_system(plan, data, tmp_path / "b", steps=1)
    resumed = train_system(plan, data, tmp_path / "b", resume=True, loaders=3)

    assert straight.read_bytes() == resumed.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hagnifinder-r18", "hagnifinder-v11"])
def test_a_sane_network_begins_among_the_levels_and_the_paper_s_at_zero(name: str) -> None:
    levels = torch.linspace(1, 40, 40)
    torch.manual_seed(3)
    network = SYSTEMS[name].build(Facts(tuple(levels.tolist()), (), pretrained=False)).eval()
    crops = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        assert float(network(crops).abs().max()) < 6
        network.begin_at(levels)
        assert 1 < float(network(crops).mean()) < 40
    assert SYSTEMS[name].arms["sane"].begins_at_levels and not SYSTEMS[name].arms["code"].begins_at_levels


def test_the_paper_s_rounds_are_resumed_too(data: Path, tmp_path: Path) -> None:
    plan = plan_of("hagnifinder-r18", "code", samples=6, batch=2)

    straight = train_system(plan, data, tmp_path / "a")
    train_system(plan, data, tmp_path / "b", steps=2)
    resumed = train_system(plan, data, tmp_path / "b", resume=True)

    assert straight.read_bytes() == resumed.read_bytes()
    assert bool(load_system(straight).network.net.scaling.is_frozen)


def test_another_run_s_folder_and_another_system_s_name_are_refused(data: Path, tmp_path: Path) -> None:
    train_system(plan_of("zaveri-lbp", batch=4, samples=8), data, tmp_path, steps=1)

    with pytest.raises(DataError, match="--resume"):
        train_system(plan_of("zaveri-lbp", batch=4, samples=8), data, tmp_path)
    with pytest.raises(DataError, match="another recipe"):
        train_system(plan_of("zaveri-lbp", batch=4, samples=8, seed=9), data, tmp_path, resume=True)
    with pytest.raises(DataError, match="is no system"):
        plan_of("alexnet")
    with pytest.raises(DataError, match="has no arm"):
        plan_of("wang", "code")
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError):
        load_system(tmp_path / "x.safetensors")


def test_a_patch_deleted_under_a_running_training_costs_one_sentence_and_no_work(tmp_path: Path) -> None:
    folder = write_built(tmp_path / "built", tiles=1)
    plan = plan_of("zaveri-lbp", batch=4, samples=40)
    train_system(plan, folder, tmp_path / "run", steps=1)
    gone = {p.path: (folder / p.path).read_bytes() for p in read_manifest(folder)}
    for path in gone:
        (folder / path).unlink()

    arguments = ["train", "zaveri-lbp", str(folder), "--out", str(tmp_path / "run"), "--resume"]
    done = CliRunner().invoke(main, [*arguments, "--batch", "4", "--samples", "40"])
    assert done.exit_code == 2
    assert "cannot be read any more" in done.output and "Traceback" not in done.output

    for path, content in gone.items():
        (folder / path).write_bytes(content)
    resumed = train_system(plan, folder, tmp_path / "run", resume=True)
    assert resumed.read_bytes() == train_system(plan, folder, tmp_path / "straight").read_bytes()


def test_batches_are_the_same_on_every_call_whoever_reads_them(data: Path) -> None:
    patches = read_manifest(data)
    sampler = PatchSampler(data, patches, LEVELS, ("lung", "skin"), plain_crop, seed=3)

    ahead = ReadAhead(sampler, 5, last=4, threads=3)
    for number in range(4):
        a, b = sampler.batch(number, 5), ahead.batch(number)
        assert torch.equal(a.crops, b.crops) and torch.equal(a.level_x, b.level_x)
    ahead.close()
    # An epoch shows every patch once.
    order = [i for n in range(len(patches) // 6) for i in sampler._chosen(n, 6)]
    assert sorted(order) == list(range(len(patches)))
    balanced = PatchSampler(data, patches[:4], LEVELS, (), plain_crop, balanced=True)
    counts = np.bincount(np.concatenate([balanced._level[balanced._chosen(n, 32)] for n in range(20)]))
    assert counts.max() < 1.4 * counts.min()


def test_crops_have_the_scale_their_label_says() -> None:
    ramp = np.tile(np.linspace(0, 240, 480), (480, 1))
    patch = np.repeat(ramp[..., None], 3, axis=2).astype(np.uint8)

    for seed in range(12):
        for crop in (stripped_crop, zoomed_crop, plain_crop):
            pixels, zoom = crop(patch, np.random.default_rng(seed))
            assert pixels.shape == (224, 224, 3)
            grey = pixels.mean(axis=2)
            slope = max(abs(np.polyfit(np.arange(224), grey.mean(axis=axis), 1)[0]) for axis in (0, 1))
            if crop is not zoomed_crop:  # the colours of the other one vary
                assert slope == pytest.approx(0.5 / zoom, rel=0.04)
    zooms = [zoomed_crop(patch, np.random.default_rng(s))[1] for s in range(60)]
    assert min(zooms) < 0.9 and max(zooms) > 1.2 and 20 <= sum(z == 1.0 for z in zooms) <= 40
    assert {stripped_crop(patch[:224, :224], np.random.default_rng(s))[1] >= 1.0 for s in range(9)} == {True}


def test_the_paper_s_turns_leave_black_corners_and_plain_crops_none() -> None:
    patch = np.full((256, 256, 3), 200, np.uint8)

    black = [(paper_crop(patch, np.random.default_rng(s))[0] == 0).mean() for s in range(20)]

    assert max(black) > 0.01
    assert all((plain_crop(patch, np.random.default_rng(s))[0] == 200).all() for s in range(5))


def test_shuffled_blocks_keep_every_pixel() -> None:
    patch = draw_tissue(224, 224)

    shuffled, _ = shuffled_crop(patch, np.random.default_rng(0))

    assert not np.array_equal(shuffled, patch)
    assert np.array_equal(np.sort(shuffled.ravel()), np.sort(patch.ravel()))


def test_sides_keep_what_their_protocol_keeps_apart(data: Path) -> None:
    patches = read_manifest(data)

    p1, p2 = sides(patches, "P1"), sides(patches, "P2")

    assert {p1.count(s) for s in (Split.TEST, Split.CALIBRATION)} == {round(0.2 * len(patches))}
    tiles = {}
    for patch, side in zip(patches, p1, strict=True):
        tiles.setdefault((patch.slide_id, patch.tile), set()).add(side)
    assert any(len(found) > 1 for found in tiles.values())  # the leak
    of_patient = {}
    for patch, side in zip(patches, p2, strict=True):
        of_patient.setdefault(patch.patient, set()).add(side)
    assert all(len(found) == 1 for found in of_patient.values())


def patch_of(patient: str, organ: str) -> Patch:
    return Patch("p.png", patient, patient, organ, "", "t", 10.0, 1.0, 0.25, 40.0, 0, 0, 9, 9, "area", 1.0, "", "")


def test_an_organ_that_tests_was_never_trained_on() -> None:
    patches = [patch_of(f"{organ}-{n}", organ) for organ in ("a", "b", "c", "d", "e", "f") for n in range(4)]
    patches.append(patch_of("a-0", "b"))  # a patient with two organs

    found = sides(patches, "P3")

    whole = {}
    for patch, side in zip(patches, found, strict=True):
        whole.setdefault(patch.patient, set()).add(side)
    assert all(len(s) == 1 for s in whole.values())
    trained = {p.organ for p, s in zip(patches[:-1], found[:-1], strict=True) if s is Split.TRAIN}
    tested = {p.organ for p, s in zip(patches[:-1], found[:-1], strict=True) if s is Split.TEST}
    assert tested and not (tested & trained - {"a", "b"})


def test_one_slide_cannot_fill_three_sides() -> None:
    for protocol in ("P2", "P3"):
        with pytest.raises(DataError, match="cannot fill three sides"):
            sides([patch_of("one", "skin")] * 20, protocol)


def answers(said: list[float], level: list[float]) -> list[Answer]:
    return [
        Answer(f"{i}.png", f"s{i % 3}", f"p{i % 3}", "skin", x, 10 / x, y)
        for i, (x, y) in enumerate(zip(level, said, strict=True))
    ]


def test_scores_are_what_a_pencil_gives() -> None:
    row = score("drawn", answers([4.3, 10.9, 26.0, 40.0], [4.0, 10.0, 20.0, 40.0]))

    assert row.acc["0.5"][0] == 0.5
    assert row.acc["1"][0] == 0.75
    assert row.acc["5"][0] == 0.75
    assert row.within == {"5%": 0.25, "10%": 0.75, "25%": 0.75}
    assert row.four == {"4": (1.0, 1.0), "10": (1.0, 1.0), "20": (0.0, 1.0), "40": (1.0, 1.0)}
    assert row.mae_um == pytest.approx((10 / 4 - 10 / 4.3 + 1 - 10 / 10.9 + 0.5 - 10 / 26) / 4, abs=1e-4)
    # Exactly one away is right, whatever a reciprocal makes of it.
    assert (
        score("edge", answers([float(x - 1) for x in range(4, 41)], [float(x) for x in range(4, 41)])).acc["1"][0]
        == 1.0
    )
    low, high = row.acc["1"][1:]
    assert 0.0 <= low <= 0.75 <= high <= 1.0
    assert "75.0%" in scores_markdown([row])
    assert math.isnan(score("one level", answers([10.0, 11.0], [10.0, 10.0])).r2)


def test_controls_are_fitted_apart_from_what_they_are_asked(data: Path) -> None:
    found = controls(data, "P2")

    assert set(found) == {"mean", "nuclei size", "power spectrum", "patch size"}
    assert {len(rows) for rows in found.values()} == {12}
    mean = score("mean", found["mean"])
    assert score("nuclei size", found["nuclei size"]).median_log2 < mean.median_log2
    # All patches are alike in size here: nothing can be told from it.
    assert score("patch size", found["patch size"]).median_log2 == pytest.approx(mean.median_log2, abs=0.01)
    assert all(10 / 1.2 <= a.level_x * a.mpp_um <= 10 * 1.2 for a in controls(data, "P4")["mean"])


def test_evaluate_writes_tables_and_refuses_a_split_the_model_has_seen(data: Path, tmp_path: Path) -> None:
    weights = train_system(plan_of("zaveri-lbp", samples=64, batch=16), data, tmp_path / "run")
    arguments = ["evaluate", str(weights), str(data), "--out", str(tmp_path / "out"), "--protocol"]

    done = CliRunner().invoke(main, [*arguments, "P2", "--controls"])
    stripped = CliRunner().invoke(main, [*arguments[:3], "--protocol", "P4"])
    leaky = CliRunner().invoke(main, [*arguments, "P1"])
    missing = CliRunner().invoke(main, [*arguments[:3], "--protocol", "P5"])

    assert done.exit_code == 0, done.output
    assert "shuffled tissue" in done.output and "20x within 1" in done.output
    result = json.loads((tmp_path / "out" / "results.json").read_text())
    assert result["rows"][0]["patches"] == 12
    with (tmp_path / "out" / "answers.csv").open(newline="") as lines:
        assert len(list(csv.DictReader(lines))) == 12
    assert stripped.exit_code == 0, stripped.output
    assert (leaky.exit_code, missing.exit_code) == (2, 2)
    assert "trained under P2" in leaky.output
    assert "data not available" in missing.output


def test_breakhis_is_scored_by_slope_and_class(data: Path, tmp_path: Path) -> None:
    from tests.hagnifinder.test_breakhis import write_breakhis

    weights = train_system(plan_of("zaveri-lbp", samples=32, batch=16), data, tmp_path / "run")
    folder = write_breakhis(tmp_path / "breakhis", n_patients=6)

    done = CliRunner().invoke(main, ["evaluate", str(weights), str(folder), "--protocol", "P5"])

    assert done.exit_code == 0, done.output
    assert "slope" in done.output
    assert "0.000 (0.000 to 0.000)" in done.output.replace("-0.000", "0.000")  # blank photographs have no scale


@pytest.mark.parametrize("nucleus_px", [8.0, 14.0, 24.0])
def test_nuclear_area_is_about_that_of_the_drawn_nuclei(nucleus_px: float) -> None:
    area = nuclear_area_px2(draw_tissue(224, 224, nucleus_px=nucleus_px, seed=3))

    drawn = math.pi / 4 * nucleus_px * nucleus_px * 2 / 2.6
    assert 0.7 < area / drawn < 2.5  # nuclei that touch count as one
    assert math.isnan(nuclear_area_px2(np.full((64, 64, 3), 255, np.uint8)))
    assert set(np.unique(nuclei_mask(draw_tissue(64, 64)))) == {0, 1}


def test_local_binary_patterns_sum_to_one_and_tell_texture() -> None:
    lbp = LocalBinaryPatterns()
    flat, noisy = torch.zeros(1, 3, 32, 32), torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    found = lbp(torch.cat([flat, noisy]))

    assert found.shape == (2, 59)
    assert torch.allclose(found.sum(dim=1), torch.ones(2))
    assert found[0].max() == 1.0
    assert found[1].max() < 0.8


def test_otalora_s_blend_finds_the_better_regressor() -> None:
    network = SYSTEMS["otalora-shallow"].build(Facts((5.0, 40.0), ()))
    level = torch.linspace(1, 40, 60)
    noise = torch.randn(60, generator=torch.Generator().manual_seed(1))
    outputs = torch.stack([(level + 8 * noise) / 40, (21.0 * (level / 5) ** 1.8) / 1000], dim=1)

    network.fit(outputs, level)

    assert (network.magnification_x(outputs) - level).abs().mean() < 1.0
    assert float(network.line[1]) == pytest.approx(1 / 1.8, rel=0.05)
