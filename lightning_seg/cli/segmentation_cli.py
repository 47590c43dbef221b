"""Lightning's commands ``fit``, ``validate``, ``test`` and ``predict``."""

import inspect
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

# Lightning still uses deprecated names of jsonargparse.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

import torch
from jsonargparse import ArgumentError
from jsonargparse._util import import_object
from jsonargparse.typing import register_type
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ModelSummary, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from torch.multiprocessing import ProcessExitedException

# Imported so that configurations can name their classes without a module path.
from lightning_seg import data, heads, inference, losses, networks, tasks  # noqa: F401
from lightning_seg.callbacks import (
    AtomicCheckpointIO,
    BoundaryMetrics,
    ExactResume,
    FiniteTraining,
    PredictionPanels,
    RunRecord,
    StopOnSignal,
)
from lightning_seg.callbacks.run_record import run_folder
from lightning_seg.checkpoints import CHECKPOINTS, find_checkpoints
from lightning_seg.cli.checkpoint_config import with_checkpoint_config
from lightning_seg.cli.config_errors import explain, first_cause
from lightning_seg.cli.config_parsing import faithful_parsing
from lightning_seg.cli.entry import COMMANDS
from lightning_seg.cli.lost_process import raise_if_process_lost
from lightning_seg.cli.monitors import MonitorCheck
from lightning_seg.cli.precision import warn_of_slow_precision
from lightning_seg.cli.run_folder import (
    CONFIG,
    lock_run_folder,
    refuse_foreign_folder,
    refuse_second_run,
)
from lightning_seg.cli.terminal import ParameterSummary, ShortProgressBar, best_score
from lightning_seg.errors import InputError
from lightning_seg.files import write_atomically
from lightning_seg.networks import no_pretrained_weights
from lightning_seg.prediction import PredictionFiles
from lightning_seg.prediction.predict import plan_prediction
from lightning_seg.score_names import mode_of
from lightning_seg.tasks import Ensemble

register_type(torch.device)  # a setting of Lightning's weight averaging

FROM_DATA = ("num_classes", "in_channels", "multi_label")

# Where each command writes its configuration; a resumed fit that of RESUMED.
_CONFIGS = {
    "fit": CONFIG,
    "validate": f"val/{CONFIG}",
    "test": f"test/{CONFIG}",
    "predict": f"predict/{CONFIG}",
}
_RESUMED = f"resumed/{CONFIG}"


class RunConfig(SaveConfigCallback):
    """Save the configuration in one self-contained file in the run's folder."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the configuration, with the content of all files that it names."""
        text = self.parser.dump(self.config, skip_none=False)
        write_atomically(run_folder(trainer) / self.config_filename, text)


class SegmentationCLI(LightningCLI):
    """LightningCLI in subclass mode, with one folder per run.

    ``run_dir`` receives the config, checkpoints (``last``, and ``best`` by boundary IoU or
    ``best_by``), scores, pictures and TensorBoard files. ``--ckpt_path last`` and ``best`` refer to
    the checkpoints in ``run_dir``; ``auto`` resumes if there is one and starts a new run if not.
    Several checkpoints, ``[a.ckpt, b.ckpt]`` or a pattern, are evaluated as an `Ensemble`.
    """

    parsers: ClassVar[list[LightningArgumentParser]] = []
    _lock: IO[str] | None = None
    _checkpoints: list[str]

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Return a parser that accepts no abbreviations and raises instead of exiting."""
        parser = super().init_parser(**kwargs, allow_abbrev=False, exit_on_error=False)
        self.parsers.append(parser)
        return parser

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.usage = f"lightning-seg {subcommand} --config FILE.yaml [--OPTION VALUE ...]"
        parser.description = (
            f"{COMMANDS[subcommand]} Settings come from configuration files (complete ones are in "
            "configs/experiment); later files and options override earlier ones. For the settings "
            f"of a class: lightning-seg {subcommand} --model.help SegmentationTask."
        )
        if subcommand in ("validate", "test"):
            parser.set_defaults({"verbose": False})  # BoundaryMetrics prints the one table
        if subcommand == "predict":
            parser.set_defaults({"return_predictions": False})  # they are written
        return parser

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        super()._add_subcommands(parser, **kwargs)
        for choice in parser._subcommands_action._choices_actions:  # type: ignore[union-attr]
            choice.help = COMMANDS[choice.dest]

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse options exactly as given."""
        with faithful_parsing():
            super().parse_arguments(parser, args)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's folder, its callbacks and the links from the data to the model."""
        parser.add_argument(
            "--run_dir",
            type=str,
            default="runs/unnamed",
            help="Folder of this run: config, checkpoints, scores, pictures, TensorBoard files.",
        )
        parser.link_arguments("run_dir", "trainer.default_root_dir")
        for name in ("num_classes", "in_channels"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        parser.link_arguments(
            "data", "model.init_args.multi_label", compute_fn=_multi_label, apply_on="instantiate"
        )
        parser.add_argument(
            "--best_by",
            type=str | None,
            default=None,
            help="The logged value that chooses the checkpoint `best`. Default: val/boundary_iou, "
            "or val/loss without boundary_metrics.",
        )
        parser.add_argument(
            "--best_mode",
            type=Literal["max", "min"] | None,
            default=None,
            help="Whether the largest or the smallest value is best. Default: by the name; losses, "
            "errors and distances are better if small.",
        )
        for key, callback, about in (
            ("boundary_metrics", BoundaryMetrics, "Metrics of boundaries and regions"),
            ("panels", PredictionPanels, "Pictures of predictions"),
            (
                "finite_training",
                FiniteTraining,
                "Stop, or skip a step, if a gradient is not finite",
            ),
        ):
            default = {"class_path": f"lightning_seg.callbacks.{callback.__name__}"}
            help = f"{about}; null for none."
            parser.add_argument(f"--{key}", type=callback | None, default=default, help=help)
            parser.callback_keys.append(key)
        parser.add_argument(
            "--predictions",
            type=PredictionFiles,
            default=PredictionFiles(),
            help="Files written by predict.",
        )

    def _parse_ckpt_path(self) -> None:
        # Lightning would override the command line with the checkpoint's hyper-parameters.
        return

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint; lock the run's folder, and raise if two runs would share it."""
        config = self.config[self.subcommand]
        _refuse_given_by_data(config.model)
        if not config.run_dir:
            raise InputError("--run_dir is empty. Name the run's folder: --run_dir runs/NAME.")
        run_dir = Path(config.run_dir)
        self._checkpoints = find_checkpoints(config.get("ckpt_path"), run_dir)
        config.ckpt_path = next(iter(self._checkpoints), None)
        if len(self._checkpoints) > 1:
            _check_ensemble(str(self.subcommand), self._checkpoints, run_dir)
            config.ckpt_path = f"[{', '.join(self._checkpoints)}]"
        filename = _CONFIGS[str(self.subcommand)]
        if self.subcommand != "fit":
            if config.ckpt_path is None:
                raise InputError(
                    f"{self.subcommand} needs a checkpoint: --ckpt_path best, last or a path"
                )
            refuse_foreign_folder(run_dir)
        elif not config.trainer.fast_dev_run:
            self._lock = lock_run_folder(run_dir)
            own = (run_dir / CHECKPOINTS).resolve()
            if config.ckpt_path and Path(config.ckpt_path).resolve().parent == own:
                filename = _RESUMED
            else:
                refuse_second_run(run_dir)
        self.save_config_kwargs = {"config_filename": filename, "save_to_log_dir": False}

    def instantiate_classes(self) -> None:
        """Create data, model and trainer, without pretrained weights if a checkpoint is loaded."""
        followed = self._get(self.config, "ckpt_path") is not None
        try:
            with no_pretrained_weights() if followed else nullcontext():
                super().instantiate_classes()
        except ValueError as error:
            raise InputError(first_cause(error)) from error
        if len(self._checkpoints) > 1:
            inference = getattr(self.model, "inference", None)
            safe = self._get(self.config, "weights_only") is not False
            self.model = Ensemble.from_checkpoints(self._checkpoints, weights_only=safe)
            self.model.inference = inference  # of the configuration; None is whole images
            self.model.check_data(self.datamodule)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        # The members of an ensemble are loaded already.
        return kwargs | ({"ckpt_path": None} if len(self._checkpoints) > 1 else {})

    def before_predict(self) -> None:
        """Set up windowed prediction, which reads and writes images of any size row by row."""
        files: PredictionFiles = self._get(self.config_init, "predictions")
        plan = plan_prediction(
            self.model,
            self.datamodule,
            self._predictions,
            files,
            self.trainer.precision,
            Path(self._get(self.config, "run_dir")),
        )
        self.model, self.datamodule = plan.model, plan.data
        self.trainer.callbacks.extend(plan.callbacks)  # type: ignore[attr-defined]

    @property
    def _predictions(self) -> Path:
        files: PredictionFiles = self._get(self.config_init, "predictions")
        return Path(files.output_dir or Path(self._get(self.config, "run_dir"), "predictions"))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Create the trainer with the run's logger, checkpoints and records."""
        config = self._get(self.config, "trainer")
        run_dir = self._get(self.config, "run_dir")
        if config.logger in (None, True):
            # Each test would add a file of events beside those of the fit.
            fitting = self.subcommand == "fit"
            logger = TensorBoardLogger(run_dir, name="", version="") if fitting else False
            kwargs.setdefault("logger", logger)
        plugins = self._get(self.config_init, "trainer").get("plugins") or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        kwargs.setdefault("plugins", [*plugins, AtomicCheckpointIO()])
        metrics = self._get(self.config, "boundary_metrics")
        best_by = self._get(self.config, "best_by")
        best_by = best_by or ("val/loss" if metrics is None else "val/boundary_iou")
        mode = self._get(self.config, "best_mode") or mode_of(best_by)
        self.trainer_defaults |= {"callbacks": _callbacks(run_dir, best_by, mode, config)}
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, TypeError) as error:
            raise InputError(f"trainer: {error}") from error
        warn_of_slow_precision(trainer)
        return trainer

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> Trainer:
        given = config["callbacks"] or []
        given = given if isinstance(given, list) else [given]
        config = config | {"callbacks": [ExactResume(), *given]}  # first, see its docstring
        callbacks = [c for c in callbacks if c is not None]
        for setting, kind, ours in (
            ("enable_progress_bar", ProgressBar, ShortProgressBar),
            ("enable_model_summary", ModelSummary, ParameterSummary),
        ):
            wanted = config.get(setting) is not False and not config.get("barebones")
            if wanted and not any(isinstance(c, kind) for c in given):
                callbacks.append(ours())
        return super()._instantiate_trainer(config, callbacks)

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except RuntimeError as error:
            raise_if_process_lost(error, self.trainer)
            raise
        if self._lock is not None:
            self._lock.close()
        if self.trainer.is_global_zero:
            run_dir = Path(self._get(self.config, "run_dir"))
            if subcommand == "fit" and (best := best_score(self.trainer, run_dir)):
                print(best)
            callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
            metrics = [callback for callback in callbacks if isinstance(callback, BoundaryMetrics)]
            for page in (page for callback in metrics for page in callback.report_pages):
                print(f"{'Report:':13}{page}")
            _say_where(run_dir, self._predictions)


def _check_ensemble(subcommand: str, checkpoints: Sequence[str], run_dir: Path) -> None:
    """Raise if several checkpoints cannot be used, or results would replace those of a member."""
    if subcommand == "fit":
        raise InputError(
            f"fit resumes one checkpoint, but --ckpt_path names {len(checkpoints)}. Name one."
        )
    if run_dir.resolve() in (Path(path).resolve().parent.parent for path in checkpoints):
        raise InputError(
            f"--run_dir {run_dir} is the folder of one of the ensemble's members. Give the "
            "ensemble's results a folder of their own: --run_dir runs/NAME."
        )


def _callbacks(run_dir: str, best_by: str, mode: str, trainer_config: Any) -> list[Any]:
    callbacks: list[Any] = [RunRecord(run_dir), MonitorCheck()]
    if trainer_config.enable_checkpointing is False:
        return [*callbacks, StopOnSignal(None)]
    folder = Path(run_dir, CHECKPOINTS)
    last = ModelCheckpoint(
        folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True
    )
    best = ModelCheckpoint(
        folder,
        filename="best",
        monitor=best_by,
        mode=mode,
        enable_version_counter=False,
    )
    stop = StopOnSignal(folder / "last.ckpt", "Continue with --ckpt_path last (or auto).")
    return [*callbacks, best, last, stop]


def _say_where(run_dir: Path, predictions: Path) -> None:
    folders = {
        "Pictures": run_dir / "pictures",
        "Predictions": predictions,
        "Checkpoints": run_dir / CHECKPOINTS,
    }
    lines = [f"{name + ':':13}{path}" for name, path in folders.items() if path.is_dir()]
    if any(run_dir.glob("events.out.tfevents*")):
        lines.append(f"{'TensorBoard:':13}tensorboard --host 127.0.0.1 --logdir {run_dir}")
    print("\n".join(lines))


def _multi_label(source: object) -> bool:
    return getattr(source, "multi_label", False)  # other people's DataModules may lack it


def _refuse_given_by_data(model: Any) -> None:
    """Raise if the user set a value that a link would silently override."""
    parameters = inspect.signature(import_object(model.class_path)).parameters
    for name in FROM_DATA:
        given = model.init_args.get(name)
        if given is not None and given != parameters[name].default:
            raise InputError(
                f"model.{name} is set to {given}, but the model takes it from the data. "
                f"Remove it, or set data.{name} if the data has that setting."
            )


def run(argv: list[str]) -> None:
    """Run one of the four commands."""
    SegmentationCLI.parsers.clear()
    sys.argv[1:] = argv  # Lightning reads them there, also in processes that it starts
    try:
        sys.argv[1:] = with_checkpoint_config(argv)
        SegmentationCLI(
            LightningModule,
            LightningDataModule,
            save_config_callback=RunConfig,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=42,
            trainer_defaults={"num_sanity_val_steps": 0},  # data and classes have their own checks
            auto_configure_optimizers=False,
        )
    except (ArgumentError, UnicodeDecodeError) as error:
        actions = [action for parser in SegmentationCLI.parsers for action in parser._actions]
        types = {o: getattr(a, "_typehint", None) for a in actions for o in a.option_strings}
        raise InputError(explain(str(error), sys.argv[1:], types)) from error
    except SIGTERMException:
        sys.exit(128 + signal.SIGTERM)  # Lightning would exit with status 0
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning's status is 1
            sys.exit(128 + signal.SIGINT)
        raise
    except ProcessExitedException as error:  # of ddp_spawn and ddp_fork
        if error.exit_code < 0:
            raise InputError(f"a training process was ended by {error.signal_name}") from error
        sys.exit(error.exit_code)
    except MisconfigurationException as error:
        raise InputError(" ".join(str(error).split())) from error
    except RuntimeError as error:
        if "loading state_dict" not in str(error):
            raise
        reason = " ".join(str(error).split())[:400]
        raise InputError(
            f"the checkpoint does not fit the configured model ({reason} ...). Use the config.yaml "
            "of the checkpoint's own run."
        ) from error
