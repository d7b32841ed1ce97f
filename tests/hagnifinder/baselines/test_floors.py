import numpy as np
import pytest

from hagnifinder.baselines.floors import fit_mean, fit_ridge, fit_size_only
from hagnifinder.baselines.spectrum import RINGS, fit_spectrum, radial_spectrum
from hagnifinder.evaluation.invariance import resized
from tests.hagnifinder.drawn import draw_tissue


def test_the_mean_answers_the_same_whatever_it_sees() -> None:
    fitted = fit_mean([np.zeros((4, 5, 3), np.uint8)] * 2, [0.0, -2.0])

    assert fitted.predict([draw_tissue(30, 40), draw_tissue(90, 10)]).tolist() == [-1.0, -1.0]


def test_size_only_finds_a_scale_that_hides_in_the_size_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    pictures = [np.zeros((n, 2 * n, 3), np.uint8) for n in (16, 32, 64, 128)]

    telling = fit_size_only(pictures, [-2.0, -1.0, 0.0, 1.0], penalty=1e-6)
    silent = fit_size_only([pictures[1]] * 40, rng.normal(0, 1, 40).tolist())

    assert telling.predict([np.zeros((256, 512, 3), np.uint8)])[0] == pytest.approx(2.0, abs=0.01)
    assert len(set(silent.predict(pictures).round(9))) == 1


def test_ridge_without_penalty_is_least_squares() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(3, 2, (50, 4))
    wanted = features @ np.array([1.0, -2.0, 0.5, 0.0]) + 7.0

    assert np.allclose(fit_ridge(features, wanted, 0.0)(features), wanted)


def test_the_spectrum_ignores_contrast_and_moves_with_the_scale() -> None:
    rgb = draw_tissue(300, 300, nucleus_px=16)
    # Half the stain: half the absorbance everywhere.
    faint = (256.0 * ((rgb + 1.0) / 256.0) ** 0.5 - 1.0).astype(np.uint8)

    plain, faded, small = (radial_spectrum(p) for p in (rgb, faint, resized(rgb, 0.5)))

    assert plain.shape == (RINGS,)
    assert plain.sum() == pytest.approx(0.0, abs=1e-9)
    assert np.abs(plain - faded)[:12].max() < 0.25
    # Half the size: what was coarse is finer, so the coarse rings weigh less.
    assert small[:6].mean() < plain[:6].mean() - 0.3


def test_the_spectrum_tells_the_scale_of_drawings_it_never_saw() -> None:
    sizes = np.tile(np.geomspace(6, 30, 10), 2)
    seen = [draw_tissue(200, 200, nucleus_px=s, seed=i) for i, s in enumerate(sizes)]
    fresh = [draw_tissue(200, 200, nucleus_px=s, seed=99 + i) for i, s in enumerate(sizes)]
    wanted = np.log2(8.0 / sizes)

    errors = np.abs(fit_spectrum(seen, wanted.tolist()).predict(fresh) - wanted)

    assert np.median(errors) < 0.5 * np.median(np.abs(wanted - wanted.mean()))


def test_nothing_to_fit_is_refused() -> None:
    for fit in (fit_mean, fit_size_only, fit_spectrum):
        with pytest.raises(ValueError, match="cannot be fitted"):
            fit([], [])
