import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "figures" / "tanimoto_landscapes.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("tanimoto_landscapes", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def coefficient(name, p, truth):
    """Equations 1 to 3 of the paper for two pixels."""
    both = p @ truth
    if name == "D1":
        return 2 * both / (p.sum() + truth.sum())
    squares = p @ p + truth @ truth
    return 2 * both / squares if name == "D2" else both / (squares - both)


def loss(name, complement, p, truth):
    score = coefficient(name, p, truth)
    if complement:  # equation 4
        score = (score + coefficient(name, 1 - p, 1 - truth)) / 2
    return 1 - score


@pytest.mark.parametrize("complement", [False, True])
@pytest.mark.parametrize("name", ["D1", "D2", "D3"])
@pytest.mark.parametrize("truth", [(1.0, 0.0), (0.25, 0.85)])
def test_gradients_and_laplacians_equal_the_papers_equations(script, name, complement, truth):
    points = torch.tensor([[0.3, 0.6], [0.9, 0.2], [0.5, 0.5]], dtype=torch.float64)
    gradient, laplacian = script.landscape((name, complement), points, truth)
    step = 1e-4
    for p, slope, curvature in zip(points.numpy(), gradient.numpy(), laplacian.numpy()):
        sides = np.array(
            [
                [loss(name, complement, p + s * step * e, np.array(truth)) for s in (-1, 0, 1)]
                for e in np.eye(2)
            ]
        )
        np.testing.assert_allclose(slope, (sides[:, 2] - sides[:, 0]) / (2 * step), atol=1e-6)
        bends = (sides[:, 0] - 2 * sides[:, 1] + sides[:, 2]) / step**2
        np.testing.assert_allclose(curvature, bends.sum(), atol=1e-5)


def test_with_its_complement_tanimoto_descends_straightest_to_the_target(script):
    truth, points = (1.0, 0.0), script.grid(15)
    towards = torch.tensor(truth, dtype=torch.float64) - points
    straight = {}
    for one in script.FIGURES[3][1]:
        gradient, _ = script.landscape(one, points, truth)
        straight[one] = torch.cosine_similarity(-gradient, towards).mean().item()
    for name in ("D2", "D3"):
        assert straight[name, True] > straight[name, False]
    assert max(straight, key=straight.get)[1]
    assert min(straight, key=straight.get) == ("D1", False)


def test_each_figure_is_written(script, tmp_path):
    script.main(["--output", str(tmp_path), "--resolution", "9", "--dpi", "50"])
    sizes = {path.name: Image.open(path).size for path in tmp_path.iterdir()}
    assert sorted(sizes) == [f"tanimoto_landscapes_{number}.png" for number in (3, 4, 5)]
    assert sizes["tanimoto_landscapes_3.png"][0] > 2 * sizes["tanimoto_landscapes_4.png"][0]
