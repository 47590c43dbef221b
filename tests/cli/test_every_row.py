"""Every row and sweep of the papers' tables: commands parse, and rows train on tiny data."""

import json
import re
import shlex
import shutil
import sys
from itertools import product
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentError

from lightning_seg import cli, testing
from lightning_seg.cli.config_parsing import faithful_parsing
from lightning_seg.cli.segmentation_cli import SegmentationCLI
from lightning_seg.config_files import resolve_short_names
from lightning_seg.data import ISPRSDataModule
from lightning_seg.experiments.sweep import plan, read_spec

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
sys.path.append(str(ROOT / "docs"))

import make_experiments  # noqa: E402

ROWS = make_experiments.rows()
each_row = pytest.mark.parametrize("name", ROWS)


def words_of(command):
    """Return a command's words without the program."""
    return shlex.split(command)[1:]


def fit_words(row):
    """Return the words of the command that trains a row."""
    return words_of(make_experiments.fit_command(row))


def runs():
    """Yield name and commands of every row and of every sweep's runs, fit first."""
    for name, row in ROWS.items():
        yield name, [fit_words(row), words_of(make_experiments.measure_command(row))]
    for path in sorted((CONFIGS / "sweep").glob("*.yaml")):
        spec = read_spec(yaml.safe_load(path.read_text()))
        for run in plan(spec):
            commands = [run.command(step, spec.sweep_dir) for step in run.steps]
            yield f"{path.stem}/{run.name}", commands


def value_of(option, words):
    """Return the value that words give to an option."""
    return words[words.index(option) + 1]


def in_place_of_its_file(fit, words):
    """Return an evaluation with the options of its fit in place of the run's config.yaml.

    The file holds these options, but writing and reading it takes longer than parsing them.
    """
    stage, _, _, *options = words
    return [stage, *fit[1:], *options]


def first_of_a_kind():
    """Return all commands by name, and the names of those that differ in kind from earlier ones.

    Of a kind are fits with the same files and option names over an experiment, and evaluations
    with the same options over an experiment.
    """
    commands, seen, first = {}, set(), set()
    for run, (fit, *evaluations) in runs():
        experiment, folder = value_of("--config", fit), value_of("--run_dir", fit)
        said = {word.partition("=")[0] for word in fit if word[:2] == "--" or ".yaml" in word}
        kinds = {f"{run} fit": said}
        commands[f"{run} fit"] = fit
        for words in evaluations:
            commands[f"{run} {words[0]}"] = in_place_of_its_file(fit, words)
            kinds[f"{run} {words[0]}"] = {" ".join(words).replace(folder, "")}
        for name, kind in kinds.items():
            new = {(experiment, part) for part in kind} - seen
            first |= {name} if new else set()
            seen |= new
    return commands, first


# The first of a kind are parsed at once, the others with the slow tests.
COMMANDS, FIRST = first_of_a_kind()

# Where the configurations look for each dataset.
DATA = {
    "camvid": testing.write_camvid,
    "vaihingen": testing.write_vaihingen,
    "potsdam": testing.write_potsdam,
    "AerialImageDataset": testing.write_inria,
    "dfc2015": testing.write_dfc2015,
    "sunrgbd": testing.write_sunrgbd,
    "VOCdevkit/VOC2012": testing.write_voc,
    "cityscapes": testing.write_cityscapes,
    "helen": testing.write_helen,
    "CelebAMask-HQ": testing.write_celebamask_hq,
}

ISPRS = ("vaihingen", "potsdam")

# Encoders that are too large for two steps of crops of some 500 pixels.
REPLACED = {"resnet50", "resnet101", "resnet34", "wide_resnet50_2", "xception71"}


def test_docs_experiments_is_up_to_date():
    assert make_experiments.PAGE.read_text(encoding="utf-8") == make_experiments.page()


@pytest.fixture(scope="module")
def parsers():
    """Return the parsers of the command line's stages by name; building them takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lightning-seg", "fit", "--help"])
        patch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit):
            cli.main()
    return {parser.prog.split()[-1]: parser for parser in SegmentationCLI.parsers}


@pytest.fixture
def parse(parsers):
    """Return a function that parses the words of a command."""

    def call(words):
        stage, *options = resolve_short_names(words)
        with faithful_parsing():
            return parsers[stage].parse_args(options)

    return call


@pytest.mark.parametrize(
    "name", [n if n in FIRST else pytest.param(n, marks=pytest.mark.slow) for n in COMMANDS]
)
def test_every_command_of_a_row_or_sweep_parses(name, parse):
    words = COMMANDS[name]
    assert parse(words).run_dir == value_of("--run_dir", words)


# Adjacent options, each a name and a value.
OPTION = r"--[a-z][\w.]*\w\+?[= ](?:'[^']*'|[^\s'`]+)"
QUOTED = re.compile(rf"(?:lightning-seg (\w+) )?({OPTION}(?: \\? ?{OPTION})*)")


def quoted(text):
    """Yield the commands and options that a text quotes, as a stage and words."""
    for stage, options in QUOTED.findall(" ".join(text.split())):
        if "..." not in options:
            words = shlex.split(options.replace("\\", " ").rstrip(".,;:)"))
            yield stage or "fit", [word.rstrip(".,;:)") for word in words]


def comments(path):
    lines = path.read_text().splitlines()
    return " ".join(line.strip(" #") for line in lines if line.lstrip().startswith("#"))


def base(path):
    """Return the experiment that a configuration's comment is about, and the configuration."""
    experiment = {
        "overlay/epl": "epl/voc_pspnet",
        "overlay/resunet_a": "resunet_a/potsdam",
        "method": "epl/voc_pspnet",
    }.get(path.parent.relative_to(CONFIGS).as_posix())
    if experiment:
        return ["--config", experiment, "--config", str(path)]
    whole = path.is_relative_to(CONFIGS / "experiment")
    return ["--config", str(path) if whole else "camvid/unet"]


WITH_OPTIONS = [
    path
    for folder in ("experiment", "overlay", "method", "network", "inference")
    for path in sorted((CONFIGS / folder).rglob("*.yaml"))
    if list(quoted(comments(path)))
]


def names(words):
    """Return the option names among words, with a dot at the end; --config can be repeated."""
    return [f"{word}." for word in words if word.startswith("--") and word != "--config"]


def beside(groups):
    """Return groups of options, merged unless one contains another, for fewer commands."""
    merged = []
    for words in groups:
        for other in merged:
            pairs = product(names(words), names(other))
            if not any(a.startswith(b) or b.startswith(a) for a, b in pairs):
                other += words
                break
        else:
            merged.append(list(words))
    return merged


@pytest.mark.parametrize("path", WITH_OPTIONS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_options_in_a_configurations_comment_parse(path, parse):
    found = list(quoted(comments(path)))
    for words in beside(words for stage, words in found if stage == "fit"):
        parse(["fit", *base(path), *words])
    for stage, words in found:
        if stage != "fit":
            parse(in_place_of_its_file(["fit", *base(path)], [stage, *words]))


def notes():
    """Yield what the notes of papers and tables quote, with the rows that they are about."""
    for path in make_experiments.table_files():
        paper = yaml.safe_load(path.read_text())
        every = [row for table in paper["tables"] for row in table["rows"]]
        for part, rows in [(paper, every), *((t, t["rows"]) for t in paper["tables"])]:
            for stage, words in quoted(part.get("notes", "")):
                yield pytest.param(stage, words, rows, id=" ".join([path.stem, *words]))


@pytest.mark.parametrize(("stage", "words", "rows"), list(notes()))
def test_what_notes_quote_parses_with_one_of_their_rows(stage, words, rows, parse):
    if stage != "fit":
        [row] = [row for row in rows if f"runs/{row['run']}/" in value_of("--config", words)]
        parse(in_place_of_its_file(fit_words(row), [stage, *words]))
        return
    refusals = []
    for row in {row["fit"].split("--model")[0]: row for row in reversed(rows)}.values():
        try:
            parse([*fit_words(row), *words])
        except ArgumentError as error:
            refusals.append(f"{row['run']}: {error}")
        else:
            return
    pytest.fail("\n".join(refusals[:3]))


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Tiny copies of all datasets, in the folders that the configurations name."""
    root = tmp_path_factory.mktemp("datasets")
    for folder, write in DATA.items():
        # Folds ask for the tiles of the whole benchmark, or for ten faces.
        every = {"tiles": ISPRSDataModule(area=folder).tiles} if folder in ISPRS else {}
        if folder == "CelebAMask-HQ":
            every = {"more": 8}
        # Crops of 96 x 96 pad no frame of CamVid; it has larger ones.
        size = (96, 128) if folder == "camvid" else (80, 96)
        write(root / "data" / folder, size=size, **every)
    return root / "data"


def small(config):
    """Return options that shrink a row but keep its method."""
    options = {
        "data.batch_size": 2,
        "data.num_workers": 0,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.precision": "32-true",
        "trainer.max_steps": 2,
        "trainer.limit_val_batches": 1,
        "trainer.accumulate_grad_batches": 1,
        "trainer.enable_progress_bar": "false",
        "trainer.enable_model_summary": "false",
    }
    data = config["data"]["init_args"]
    if data.get("crop_size"):
        options |= {"data.crop_size": 64, "data.samples_per_epoch": 4}
    if data.get("val_region"):  # what is left of a tiny tile
        options |= {"data.crop_size": 24, "data.crop_stride": 12}
    if data.get("train_transforms"):
        options["data.train_transforms"] = json.dumps([cut(t) for t in data["train_transforms"]])
    network = config["model"]["init_args"].get("network", {"init_args": {}})
    if "pretrained" in network["init_args"]:
        options |= {"model.network.pretrained": "false", "model.network.weights": "null"}
    if network["init_args"].get("encoder") in REPLACED:
        options["model.network.encoder"] = "test_resnet"
    if "initial_filters" in network["init_args"]:
        options["model.network.initial_filters"] = 4
    if "size" in (config["model"]["init_args"].get("inference") or {}):
        options["model.inference.size"] = "[64,64]"
    return [f"--{name}={value}" for name, value in options.items()]


def cut(transform):
    """Return the transform with crops of at most 96 pixels per side."""
    given = transform["init_args"]
    sides = {side: min(given[side], 96) for side in ("height", "width") if side in given}
    return {**transform, "init_args": given | sides}


def kind(config):
    """Return the parts of a row without their settings."""
    model, data = config["model"]["init_args"], config["data"]["class_path"]
    network, head = (model.get(part, {}).get("class_path") for part in ("network", "head"))
    losses = [t["loss"]["class_path"] for t in (model.get("losses") or {}).values() if t]
    return str((network, head, losses, data))


@each_row
@pytest.mark.slow
def test_a_row_trains(name, run, workplace, datasets):
    (workplace / "data").symlink_to(datasets)
    fit_two_steps(name, run)


def fit_two_steps(name, run):
    row = ROWS[name]
    if "after" in row:
        fit_two_steps(row["after"], run)
        for checkpoint in Path("runs", row["after"], "checkpoints").glob("last.ckpt"):
            shutil.copy(checkpoint, checkpoint.with_name("best.ckpt"))
    words = fit_words(row)
    status, out, err = run(*words, "--print_config")
    config = yaml.safe_load(out)
    status, _, err = run(*words, *small(config))
    assert status == 0, err
    assert Path("runs", row["run"], "checkpoints", "last.ckpt").is_file()
