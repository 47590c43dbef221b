import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from lightning_seg.cli.commands import sweep
from lightning_seg.errors import InputError
from lightning_seg.experiments.sweep import plan, read_spec

ROOT = Path(__file__).parents[2]

THESIS = """\
sweep_dir: runs/faces
fit_args: --config faces.yaml
axes:
  loss: {dice: --config dice.yaml, combo: --config combo.yaml}
  network: {unet: --config unet.yaml, deeplab: --config deeplab.yaml}
  encoder:
    resnet34: --model.network.encoder resnet34
    resnet50: [--model.network.encoder, resnet50]
    mobilenet:
      fit_args: --model.network.encoder mobilenetv2_100
      evaluate_args: --data.eval_batch_size 2
seeds: [1, 2]
evaluate: test
"""


def runs_of(text):
    return plan(read_spec(yaml.safe_load(text)))


def commands(run, resume=False):
    folder = Path("runs")
    return [" ".join(run.command(step, folder, resume)) for step in run.steps]


def test_every_combination_is_a_run_with_its_own_name():
    names = [run.name for run in runs_of(THESIS)]
    assert len(set(names)) == len(names) == 2 * 2 * 3 * 2
    assert names[0] == "dice/unet/resnet34/seed1"
    assert "combo/deeplab/mobilenet/seed2" in names


def test_the_first_seed_of_every_run_comes_before_the_second():
    seeds = [run.labels["seed"] for run in runs_of(THESIS)]
    assert seeds == ["1"] * 12 + ["2"] * 12


def test_a_run_fits_and_then_evaluates_its_own_best_checkpoint():
    run = next(r for r in runs_of(THESIS) if r.name == "combo/unet/mobilenet/seed2")
    fit, test = commands(run)
    assert fit == (
        "fit --config faces.yaml --config combo.yaml --config unet.yaml --model.network.encoder "
        "mobilenetv2_100 --seed_everything 2 --run_dir runs/combo/unet/mobilenet/seed2"
    )
    assert test == (
        "test --config runs/combo/unet/mobilenet/seed2/config.yaml --run_dir "
        "runs/combo/unet/mobilenet/seed2 --ckpt_path best --data.eval_batch_size 2"
    )


def test_a_resumed_run_uses_its_last_checkpoint():
    assert commands(runs_of(THESIS)[0], resume=True)[0].endswith("seed1 --ckpt_path last")


@pytest.mark.parametrize(
    ("evaluate", "stages"),
    [
        ("none", ["fit"]),
        ("validate", ["fit", "validate"]),
        ("[validate, test]", ["fit", "validate", "test"]),
    ],
)
def test_stages_after_the_fit_can_be_chosen(evaluate, stages):
    (run,) = runs_of(f"{{sweep_dir: a, evaluate: {evaluate}}}")
    assert run.name == "seed1"
    assert [step.stage for step in run.steps] == stages


def test_grids_are_named_by_their_option_and_value():
    runs = runs_of(
        "{sweep_dir: a, grid: {model.init_args.losses.line.weight: [0.1, 1e-3],"
        " model.network.decoder_channels: [[16, 8], null]}}"
    )
    assert [run.name for run in runs] == [
        "line.weight=0.1/network.decoder_channels=16_8/seed1",
        "line.weight=0.1/network.decoder_channels=null/seed1",
        "line.weight=1e-3/network.decoder_channels=16_8/seed1",
        "line.weight=1e-3/network.decoder_channels=null/seed1",
    ]
    first = runs[0].steps[0].arguments
    assert "--model.init_args.losses.line.weight=0.1" in first
    assert "--model.network.decoder_channels=[16, 8]" in first


def test_folds_may_be_a_number():
    runs = runs_of("{sweep_dir: a, folds: 3}")
    assert [run.name for run in runs] == ["fold1/seed1", "fold2/seed1", "fold3/seed1"]
    words = ("--data.fold", "2", "--data.folds", "3")
    assert runs[1].steps[0].arguments[:4] == words
    parsed = sweep._parser().parse_args(["--folds", "3", "--sweep_dir", "a"])
    assert plan(read_spec(sweep._content(parsed, []))) == runs


@pytest.mark.parametrize("none", ["null", "false", "[]"])
def test_without_folds_there_are_runs(none):
    assert len(runs_of(f"{{sweep_dir: a, folds: {none}}}")) == 1


def test_folds_are_files_named_by_their_stem_or_named_options():
    files = runs_of("{sweep_dir: a, seeds: [1, 2], folds: [x/fold0.yaml, x/fold1.yaml]}")
    named = runs_of(
        "{sweep_dir: a, seeds: [1, 2], folds: {fold0: --data.fold 0, fold1: --data.fold 1}}"
    )
    assert [run.name for run in files] == [run.name for run in named]
    assert [run.name for run in files] == [
        "fold0/seed1",
        "fold1/seed1",
        "fold0/seed2",
        "fold1/seed2",
    ]
    assert files[0].steps[0].arguments[:2] == ("--config", "x/fold0.yaml")
    assert named[0].steps[0].arguments[:2] == ("--data.fold", "0")


SEMEDA = """\
sweep_dir: runs
fit_args: --config base.yaml
axes:
  method:
    cross_entropy: --config cross_entropy.yaml
    semeda: >-
      --config semeda.yaml
      --model.losses.semeda.loss.edge_network={edge_network}/checkpoints/best.ckpt
folds: [fold0.yaml, fold1.yaml]
before:
  edge_network: {fit_args: --config edge.yaml, per: [fold]}
seeds: [3, 4]
"""


def test_a_prerequisite_runs_first_and_once_per_value_of_its_axes():
    runs = runs_of(SEMEDA)
    first = [run for run in runs if run.name.startswith("before/")]
    assert runs[:2] == first
    assert [run.name for run in first] == [
        "before/edge_network/fold0",
        "before/edge_network/fold1",
    ]
    assert commands(first[1]) == [
        "fit --config edge.yaml --config fold1.yaml --seed_everything 3 "
        "--run_dir runs/before/edge_network/fold1"
    ]


def test_braces_around_a_prerequisites_name_give_its_folder():
    runs = {run.name: run for run in runs_of(SEMEDA)}
    reader = runs["semeda/fold1/seed4"]
    assert reader.needs == {"edge_network": "before/edge_network/fold1"}
    path = "runs/before/edge_network/fold1/checkpoints/best.ckpt"
    assert f"--model.losses.semeda.loss.edge_network={path}" in commands(reader)[0]
    assert runs["cross_entropy/fold1/seed4"].needs == {}


def test_a_prerequisite_can_have_a_prerequisite():
    runs = {
        run.name: run
        for run in runs_of(
            "{sweep_dir: runs, seeds: [1, 2], fit_args: '--model.weights {second}/w',"
            " before: {first: --config a.yaml,"
            " second: {fit_args: '--model.weights {first}/w', per: [seed]}}}"
        )
    }
    assert set(runs) == {
        *("before/first", "before/second/seed1", "before/second/seed2", "seed1", "seed2")
    }
    assert runs["seed2"].needs == {"second": "before/second/seed2"}
    assert runs["before/second/seed2"].needs == {"first": "before/first"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "--sweep_dir"),
        ("{sweep_dir: a, overlays: {}}", "has no 'overlays'"),
        ("{sweep_dir: a, axes: {m: {}}}", "axes.m has no values"),
        ("{sweep_dir: a, axes: {m: [x.yaml]}}", "axes.m is ['x.yaml'], but must map names"),
        ("{sweep_dir: a, axes: {m: {a/b: --x}}}", "'a/b' cannot be a name"),
        ("{sweep_dir: a, axes: {m: {before: --x}}}", "'before' cannot be a name"),
        ("{sweep_dir: a, axes: {m: {..: --x}}}", "'..' cannot be a name"),
        ("{sweep_dir: a, axes: {m: {x: {fits: --x}}}}", "axes.m.x has no 'fits'"),
        ("{sweep_dir: a, axes: {m: {x: 3}}}", "axes.m.x is 3, but must be command-line arguments"),
        ("{sweep_dir: a, axes: {seed: {x: --x}}}", "axes.seed"),
        ("{sweep_dir: a, grid: {m.x: 3}}", "grid.m.x is 3, but must be a list"),
        ("{sweep_dir: a, grid: {m.x: ['1 2', '1,2']}}", "two values are called m.x=1_2"),
        ("{sweep_dir: a, grid: {a.m.x: [1], b.m.x: [2]}}", "the axis m.x is already defined"),
        ("{sweep_dir: a, folds: [a/f.yaml, b/f.yaml]}", "have the same name"),
        ("{sweep_dir: a, seeds: [1, 1]}", "seeds is [1, 1]"),
        ("{sweep_dir: a, seeds: [one]}", "seeds is ['one']"),
        ("{sweep_dir: a, evaluate: fit}", "evaluate is 'fit'"),
        ("{sweep_dir: a, devices_per_run: 0}", "devices_per_run is 0"),
        ('{sweep_dir: a, fit_args: "--x \'y"}', "cannot be split into words"),
        ("{sweep_dir: a, before: {e: --config e.yaml}}", "before.e is used by no run"),
        ("{sweep_dir: a, before: {e: {per: [m]}}}", "before.e.per names m"),
        ("{sweep_dir: a, before: {e: {per: 3}}}", "before.e.per is 3, but must be a text"),
        ("{sweep_dir: 2024}", "sweep_dir is 2024, but must be a text"),
        ("{sweep_dir: a, ckpt_path: [best]}", "ckpt_path is ['best'], but must be a text"),
        ("{sweep_dir: a, folds: 0}", "folds is 0"),
        ("{sweep_dir: a, devices_per_run: true}", "devices_per_run is True"),
        ("{sweep_dir: a, evaluate: [test, test]}", "evaluate names 'test' twice"),
        (
            "{sweep_dir: a, fit_args: '{f}', seeds: [1], folds: [x.yaml],"
            " before: {e: {per: [fold]}, f: '{e}'}}",
            "Add fold to its own per",
        ),
    ],
)
def test_an_invalid_sweep_file_is_refused(text, expected):
    with pytest.raises(InputError) as error:
        runs_of(text)
    assert expected in str(error.value)


def test_a_single_axis_may_be_a_word_and_an_empty_checkpoint_is_the_best():
    runs = runs_of(
        "{sweep_dir: a, ckpt_path: , fit_args: '--model.weights {e}', folds: 2,"
        " before: {e: {fit_args: '--config e.yaml', per: fold}}}"
    )
    assert [run.name for run in runs][:2] == ["before/e/fold1", "before/e/fold2"]
    assert runs[-1].steps[-1].arguments == ("--ckpt_path", "best")


def printed(capsys, *words):
    sweep.run([*words, "--print"])
    return capsys.readouterr().out


def test_a_command_line_describes_the_same_sweep_as_a_file(tmp_path, capsys):
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "sweep_dir: a\nfit_args: --config base.yaml\nfinal_args: --trainer.max_epochs 3\n"
        "axes: {overlay: {ce: --config ce.yaml, epl: --config p.yaml --config l.yaml}}\n"
        "grid: {model.losses.line.weight: [0.1, 0.2]}\nfolds: [fold0.yaml, fold1.yaml]\n"
        "seeds: [1, 2]\nevaluate: [validate, test]\nckpt_path: last\n"
    )
    overlays = ("--overlay", "ce=ce.yaml", "--overlay", "epl=p.yaml,l.yaml")
    words = (
        *("--config", "base.yaml", *overlays, "--grid", "model.losses.line.weight=0.1,0.2"),
        *("--folds", "fold0.yaml", "fold1.yaml", "--seeds", "1", "2", "--sweep_dir", "a"),
        *("--evaluate", "validate", "test", "--ckpt_path", "last"),
    )
    given = [*words, "--print", "--", "--trainer.max_epochs", "3"]
    sweep.run(given)
    assert capsys.readouterr().out == printed(capsys, str(spec))


@pytest.mark.parametrize(
    ("only", "fits"),
    [
        (["m/seed2"], ["before/e", "m/seed2"]),
        (["m"], ["before/e", "m/seed1", "m/seed2"]),
        (["ce/", "m/seed1"], ["before/e", "ce/seed1", "m/seed1", "ce/seed2"]),
        (["ce"], ["ce/seed1", "ce/seed2"]),
    ],
)
def test_a_run_or_a_folder_of_runs_is_chosen_with_its_dependencies(only, fits, tmp_path, capsys):
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "sweep_dir: a\nseeds: [1, 2]\nbefore: {e: --config e.yaml}\n"
        "axes: {overlay: {ce: '', ce2: '', m: '--model.edges {e}'}}\n"
    )
    text = printed(capsys, str(spec), *(word for name in only for word in ("--only", name)))
    assert re.findall(r" fit .*--run_dir a/(\S+)", text) == fits


def test_options_after_the_dashes_override_the_overlays(capsys):
    overlay = ("--overlay", "ce=ce.yaml", "--grid", "x=1,2")
    sweep.run(["--sweep_dir", "a", "--config", "base.yaml", *overlay, "--print", "--", "--lr", "1"])
    first = capsys.readouterr().out.splitlines()[3]
    assert first.startswith("lightning-seg fit --config base.yaml --config ce.yaml --x=1 --lr 1 ")


def test_the_command_line_overrides_the_file(tmp_path, capsys):
    spec = tmp_path / "spec.yaml"
    spec.write_text("{sweep_dir: a, seeds: [1, 2], evaluate: test, fit_args: --config a.yaml}\n")
    sweep.run([str(spec), "--seeds", "7", "--evaluate", "none", "--print", "--", "--x", "1"])
    assert "fit --config a.yaml --x 1 --seed_everything 7 --run_dir a/seed7\n" in (
        printed := capsys.readouterr().out
    )
    assert "seed1" not in printed
    assert "lightning-seg test" not in printed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["missing.yaml"], "missing.yaml cannot be read"),
        (["--overlay", "a.yaml", "--sweep_dir", "a"], "write NAME=FILE.yaml"),
        (["--overlay", "a=b", "--overlay", "a=c", "--sweep_dir", "a"], "a is already defined"),
        (["--grid", "x", "--sweep_dir", "a"], "write OPTION=VALUE,VALUE"),
        (["--grid", "x=[1", "--sweep_dir", "a"], "cannot be read as comma-separated values"),
        (["--only", "seed9", "--sweep_dir", "a"], "no such run; runs are seed1"),
        (["--jobs", "0", "--sweep_dir", "a"], "--jobs is 0"),
    ],
)
def test_an_invalid_sweep_command_is_refused(words, expected):
    with pytest.raises(InputError) as error:
        sweep.run(words)
    assert expected in str(error.value)


def test_devices_and_threads_are_divided_among_parallel_runs():
    each = sweep.environments(None, 3, ["0", "1", "4", "5"], 2)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in each] == ["0,1", "4,5"]
    assert {one["OMP_NUM_THREADS"] for one in each} == {"3"}
    shared = sweep.environments(3, None, ["0", "1"], 1)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in shared] == ["0", "1", "0"]
    assert sweep.environments(None, None, [], 1) == [{}]
    with pytest.raises(InputError, match="3 devices cannot be divided into 2 per run"):
        sweep.environments(None, None, ["0", "1", "2"], 2)


def blocks(language):
    """Return the examples of docs/sweeps.md in one language."""
    text = (ROOT / "docs" / "sweeps.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def assert_configs_exist(words):
    files = [file for option, file in pairwise(words) if option == "--config"]
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_the_documented_file_is_a_valid_sweep_of_36_runs():
    runs = runs_of(blocks("yaml")[0])
    assert len(runs) == 36
    for run in runs:
        assert_configs_exist(run.steps[0].arguments)


def test_the_documented_command_is_a_valid_sweep_of_four_runs(capsys):
    words = shlex.split(blocks("sh")[0].replace("\\\n", " "))
    assert words[:2] == ["lightning-seg", "sweep"]
    sweep.run(["--print", "bash", *words[2:]])
    fits = [line for line in capsys.readouterr().out.splitlines() if " fit " in line]
    assert len(fits) == 4
    for line in fits:
        assert_configs_exist(shlex.split(line))
