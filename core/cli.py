"""The command line. Exit code 0, or 2 with one line on stderr; `--json` prints one JSON object on stdout.

Commands import what they need when they run: `list` and `curve` answer without torch.
"""

import argparse
import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from core.analysis.policy import read_policy
from core.analysis.rules import RULES, get_rule
from core.analysis.sweep import check_thresholds, exact_sweep
from core.checkpoints import (
    CHECKPOINTS,
    Card,
    checkpoint_folder,
    checkpoint_hash,
    list_checkpoints,
    load_card,
    load_network,
    load_trace,
    save_checkpoint,
    trace_path,
)
from core.errors import UserError
from core.network.placement import PLACEMENTS
from core.network.spec import EXIT_TYPES, MODELS
from core.trace import SPLITS

if TYPE_CHECKING:
    from core.data.datasets import ImageSet
    from core.network.devices import Device
    from core.network.early_exit import EarlyExitNetwork

DATA_DIR = Path("data")
DEFAULT_RULE = "confidence"
ROWS_SHOWN = 20

Result = dict[str, Any]


class _Parser(argparse.ArgumentParser):
    """An argument parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see `{self.prog} --help`)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        result = parsed.run(parsed)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    try:
        if parsed.json:
            print(json.dumps(result, allow_nan=False))
        else:
            parsed.show(result)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read us, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m core", description="Early-exit networks: look at, run, record, train, import.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str,
        summary: str,
        run: Callable[[argparse.Namespace], Result],
        show: Callable[[Result], None] = _show_fields,
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(run=run, show=show)
        added.add_argument("--json", action="store_true", help="one JSON object on stdout and nothing else")
        added.add_argument(
            "--checkpoints", type=Path, default=CHECKPOINTS, metavar="DIR", help="where checkpoints lie (checkpoints)"
        )
        return added

    def takes_images(added: argparse.ArgumentParser) -> None:
        added.add_argument("--data-dir", type=Path, help="where dataset files lie (data); test images come along")
        added.add_argument("--dataset", help="folder or zip of a checkpoint's own images, one sub-folder per class")
        added.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
        added.add_argument("--batch-size", type=_count, default=256, metavar="N", help="examples that start together")

    def takes_rule(added: argparse.ArgumentParser) -> None:
        added.add_argument("name", metavar="NAME", help="DATASET/MODEL, see list")
        added.add_argument("--rule", help=f"{', '.join(RULES)} ({DEFAULT_RULE})")
        added.add_argument("--split", choices=SPLITS, default="test")

    command("list", "checkpoints, the broken ones with their reason", _list, _show_list)

    evaluate = command("evaluate", "run a network with early exits over a split", _evaluate)
    takes_rule(evaluate)
    given = evaluate.add_mutually_exclusive_group()
    given.add_argument("--threshold", type=float, metavar="T", help="one for all exits, in 0..1")
    given.add_argument("--thresholds", type=_numbers, metavar="T1,T2,..", help="one for each early exit")
    given.add_argument("--policy", type=Path, metavar="FILE", help="rule and thresholds as the page exports them")
    takes_images(evaluate)

    takes_rule(command("curve", "the exact curve over all thresholds, from the trace", _curve, _show_curve))

    trace = command("trace", "record what every exit says about every example of a split", _trace)
    trace.add_argument("name", metavar="NAME", help="DATASET/MODEL, see list")
    trace.add_argument("--split", choices=SPLITS, help="one of them; both if not given")
    trace.add_argument("--small", action="store_true", help="the compact form, a third of the size: no temperatures")

    chart = command("map", "where each exit's features put the test images, and their neighbours", _map)
    chart.add_argument("name", metavar="NAME", help="DATASET/MODEL, see list")

    harder = command("corruptions", "record answers to test images made harder: noise, blur, ...", _corruptions)
    harder.add_argument("name", metavar="NAME", help="DATASET/MODEL, see list")
    harder.add_argument("--examples", type=_count, default=2000, metavar="N", help="the first N test images (2000)")
    features = command("features", "what exits can be refitted from: pooled features of training images", _features)
    features.add_argument("name", metavar="NAME", help="DATASET/MODEL, see list")
    features.add_argument("--examples", type=_count, default=10_000, metavar="N", help="that many images (10000)")
    for added in (trace, chart, harder, features):
        takes_images(added)

    bring = command("import-reference", "a network trained with the EENets paper's code", _import_reference)
    _add_import_arguments(bring)

    from core.training import command as training

    training.add_arguments(command("train", "train a network, or go on training it", _train))

    zoo = command("zoo", "the checkpoints the project ships: print the plan, or train what is missing", _zoo, _show_zoo)
    _add_zoo_arguments(zoo)

    benchmark = command("benchmark", "measure on this machine", _benchmark)
    benchmark.add_argument("which", choices=_benchmarks())
    return parser


def _add_import_arguments(bring: argparse.ArgumentParser) -> None:
    bring.add_argument("file", type=Path, metavar="FILE", help="its state_dict as safetensors")
    bring.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new checkpoint")
    bring.add_argument("--model", choices=MODELS, help="read off the weights if not given, as are the next two")
    bring.add_argument("--placement", choices=tuple(PLACEMENTS))
    bring.add_argument("--exit-type", choices=EXIT_TYPES)
    bring.add_argument("--size", type=int, metavar="PIXELS", help="side of the input (28 for 1 channel, 32 for 3)")
    bring.add_argument("--dataset", help="what it was trained on (mnist, cifar10)")
    bring.add_argument("--class-names", type=_words, metavar="A,B,..")
    bring.add_argument("--mean", type=_numbers, metavar="M,..", help="per channel, of pixels in 0..1")
    bring.add_argument("--std", type=_numbers, metavar="S,..")


def _add_zoo_arguments(zoo: argparse.ArgumentParser) -> None:
    what = zoo.add_mutually_exclusive_group(required=True)
    what.add_argument("--plan", action="store_true", help="names, recipes, order and estimated time")
    what.add_argument("--train", action="store_true", help="train what is missing; run again to go on")
    zoo.add_argument("--only", nargs="+", metavar="NAME", help="of these")
    zoo.add_argument("--data-dir", type=Path, default=DATA_DIR, help="where dataset files lie (data)")
    zoo.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between them, got {text!r}") from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _list(arguments: argparse.Namespace) -> Result:
    entries = list_checkpoints(arguments.checkpoints)
    return {
        "checkpoints": [
            {"name": entry.name, "problem": entry.problem} | ({} if entry.card is None else _facts(entry.card))
            for entry in entries
        ]
    }


def _facts(card: Card) -> Result:
    return {
        "title": card.title,
        "dataset": card.dataset,
        "model": card.spec.model,
        "exits": card.num_exits,
        "placement": card.spec.placement,
        "exit_type": card.spec.exit_type,
        "relative_cost": list(card.cost.relative()),
        "macs": list(card.cost.macs()),
        "metrics": {split: dict(numbers) for split, numbers in card.metrics.items()},
    }


def _evaluate(arguments: argparse.Namespace) -> Result:
    rule, thresholds, temperatures = _operating_point(arguments)

    import numpy as np

    from core.analysis.sweep import mean_cost
    from core.network.devices import pick_device
    from core.network.executor import Policy, execute

    device = pick_device(arguments.device)
    network, card = load_network(arguments.name, device.name, arguments.checkpoints)
    examples = _images(arguments, card, arguments.split)
    _say(f"running {card.title} on {len(examples)} images, {device.label}")
    images = card.preprocessing.normalise(examples.images)
    policy = Policy(rule, thresholds, temperatures)
    execute(network, images[: arguments.batch_size], policy, arguments.batch_size)  # a first batch costs more
    early = execute(network, images, policy, arguments.batch_size)
    full = execute(network, images, Policy(policy.rule, (1.0,)), arguments.batch_size)
    counts = np.bincount(early.exits, minlength=card.num_exits)
    n = len(examples)
    return {
        "checkpoint": arguments.name,
        "dataset": card.dataset,
        "split": arguments.split,
        "n": n,
        "rule": rule,
        "thresholds": list(thresholds),
        "accuracy": float((early.predicted == examples.labels).mean()),
        "relative_cost": float(mean_cost(counts, np.array(card.cost.relative()), n)),
        "exit_counts": counts.tolist(),
        "full_accuracy": float((full.predicted == examples.labels).mean()),
        "images_per_second": round(n / early.seconds, 1),
        "device": device.label,
    }


def _operating_point(
    arguments: argparse.Namespace,
) -> tuple[str, tuple[float, ...], tuple[float, ...] | None]:
    """Rule, K thresholds and temperatures: from the policy file, the flags, or the card's defaults."""
    card = load_card(arguments.name, arguments.checkpoints)
    if arguments.policy is not None:
        if arguments.rule is not None:
            raise UserError("expected --rule or --policy, got both: the policy names its rule, drop --rule")
        saved = read_policy(arguments.policy)
        weights = checkpoint_hash(checkpoint_folder(arguments.name, arguments.checkpoints))
        saved.check_checkpoint(weights, card.num_exits)
        return saved.rule, saved.thresholds, saved.temperatures
    rule = get_rule(arguments.rule or DEFAULT_RULE).name
    asked = (arguments.threshold,) if arguments.threshold is not None else arguments.thresholds
    limits = check_thresholds(card.thresholds(rule) if asked is None else asked, card.num_exits)
    return rule, tuple(limits.tolist()), None


def _curve(arguments: argparse.Namespace) -> Result:
    trace = load_trace(arguments.name, arguments.split, arguments.checkpoints, small=True)
    rule = arguments.rule or DEFAULT_RULE
    sweep = exact_sweep(trace.rule_scores(rule), trace.correct, trace.relative_cost)
    return {
        "checkpoint": arguments.name,
        "split": arguments.split,
        "n": trace.n,
        "rule": rule,
        "threshold": sweep.threshold.astype(float).tolist(),
        "accuracy": sweep.accuracy.tolist(),
        "relative_cost": sweep.relative_cost.tolist(),
    }


def _open(arguments: argparse.Namespace) -> "tuple[Path, Device, EarlyExitNetwork, Card]":
    """The folder, device, network and card that a recording needs; the card is read before torch is loaded."""
    folder = checkpoint_folder(arguments.name, arguments.checkpoints)
    load_card(arguments.name, arguments.checkpoints)

    from core.network.devices import pick_device

    device = pick_device(arguments.device)
    return folder, device, *load_network(arguments.name, device.name, arguments.checkpoints)


def _counting(split: str, n: int) -> Callable[[int], None]:
    """A progress line: `test: 512 of 10000`."""

    def report(done: int) -> None:
        _say(f"\r{split}: {done} of {n}", end="\n" if done == n else "")

    return report


def _trace(arguments: argparse.Namespace) -> Result:
    folder, device, network, card = _open(arguments)

    from core.network.tracing import record_trace

    written = {}
    for split in (arguments.split,) if arguments.split else SPLITS:
        examples = _images(arguments, card, split)
        trace = record_trace(
            network,
            examples,
            card.preprocessing,
            card.cost.relative(),
            checkpoint_hash(folder),
            split,
            arguments.batch_size,
            _counting(split, len(examples)),
        )
        (trace.compact() if arguments.small else trace).save(trace_path(folder, split))
        written[split] = {"n": trace.n, "exit_accuracy": trace.correct.mean(axis=0).tolist()}
    return {"checkpoint": arguments.name, "device": device.label, "splits": written}


def _map(arguments: argparse.Namespace) -> Result:
    folder, device, network, card = _open(arguments)

    from core.feature_map import map_path
    from core.network.features import record_feature_map

    examples = _images(arguments, card, "test")
    found = record_feature_map(
        network,
        examples,
        card.preprocessing,
        checkpoint_hash(folder),
        "test",
        batch_size=arguments.batch_size,
        report=_counting("test", len(examples)),
    )
    found.save(map_path(folder))
    return {
        "checkpoint": arguments.name,
        "device": device.label,
        "split": found.split,
        "n": found.n,
        "neighbours": found.neighbours.shape[2],
        "explained_variance": found.explained.sum(axis=1).tolist(),
        "bytes": map_path(folder).stat().st_size,
    }


def _features(arguments: argparse.Namespace) -> Result:
    if load_card(arguments.name, arguments.checkpoints).is_plain:
        raise UserError(f"expected a network with early exits, got {arguments.name}, which has none: name another one")
    folder, device, network, card = _open(arguments)

    from core.exit_features import PooledFeatures, chosen_rows, features_path
    from core.network.features import exit_features

    examples = _images(arguments, card, "training")
    rows = chosen_rows(len(examples), arguments.examples)
    report = _counting("training", len(rows))
    found = exit_features(network, examples.images[rows], card.preprocessing, arguments.batch_size, report)
    labels, ids = examples.labels[rows], examples.ids[rows]
    made = PooledFeatures.from_arrays(*found, labels, ids, checkpoint_hash(folder), "training")
    made.save(features_path(folder))
    return {
        "checkpoint": arguments.name,
        "device": device.label,
        "split": made.split,
        "n": made.n,
        "channels": [values.shape[1] for values in made.pooled],
        "bytes": features_path(folder).stat().st_size,
    }


def _corruptions(arguments: argparse.Namespace) -> Result:
    folder, device, network, card = _open(arguments)

    from dataclasses import replace

    from core.analysis.robustness import FILE
    from core.network.corrupted import record_corrupted

    whole = _images(arguments, card, "test")
    first = slice(arguments.examples)  # ids are in the order of content hashes: the first ones are a random sample
    examples = replace(whole, images=whole.images[first], labels=whole.labels[first], ids=whole.ids[first])
    found = record_corrupted(
        network,
        examples,
        card.preprocessing,
        card.cost.relative(),
        checkpoint_hash(folder),
        arguments.batch_size,
        lambda name, severity: _say(f"{name}, severity {severity}"),
    )
    found.save(folder / FILE)
    return {
        "checkpoint": arguments.name,
        "split": "test",
        "n": found.n,
        "bytes": (folder / FILE).stat().st_size,
        "device": device.label,
        "full_accuracy": {
            name: found.correct[c, :, :, -1].mean(axis=1).tolist() for c, name in enumerate(found.corruptions)
        },
    }


def _import_reference(arguments: argparse.Namespace) -> Result:
    if arguments.out.exists():
        raise UserError(
            f"expected a new folder for the checkpoint, got {arguments.out}, which exists: name another --out"
        )
    if not arguments.file.is_file():
        raise UserError(f"expected a safetensors file, got no file at {arguments.file}: check the path")

    from core.network.importer import import_reference

    network, card = import_reference(
        arguments.file,
        model=arguments.model,
        placement=arguments.placement,
        exit_type=arguments.exit_type,
        size=arguments.size,
        dataset=arguments.dataset,
        class_names=arguments.class_names,
        mean=arguments.mean,
        std=arguments.std,
    )
    save_checkpoint(arguments.out, network, card)
    _say("record its answers with `python -m core trace NAME` to explore it")
    return {"out": str(arguments.out)} | _facts(card)


def _train(arguments: argparse.Namespace) -> Result:
    from core.training import command

    return command.run(arguments)


def _zoo(arguments: argparse.Namespace) -> Result:
    from core.training import zoo

    entries = zoo.plan()
    if arguments.only:
        unknown = sorted(set(arguments.only) - {entry.name for entry in entries})
        if unknown:
            raise UserError(f"expected names of the plan, got {', '.join(unknown)}: see `python -m core zoo --plan`")
        entries = [entry for entry in entries if entry.name in arguments.only]
    if arguments.plan:
        absent = {entry.name for entry in zoo.missing(entries, arguments.checkpoints)}
        return {"plan": [zoo.to_json(entry, entry.name not in absent) for entry in entries]}
    from core.network.devices import pick_device

    device = pick_device(arguments.device).name
    return {
        "trained": zoo.train_missing(
            entries,
            arguments.data_dir,
            device,
            arguments.checkpoints,
            report=lambda line: print(json.dumps(line), file=sys.stderr),
        )
    }


def _show_zoo(result: Result) -> None:
    if "trained" in result:
        print(", ".join(result["trained"]) or "nothing was missing")
        return
    for entry in result["plan"]:
        state = "trained" if entry["trained"] else f"about {entry['estimated_minutes']:.0f} min on one core"
        recipe = entry["recipe"]
        start = f", from {recipe['parent']}" if recipe["parent"] else ""
        print(
            f"{entry['name']:34s} {entry['family']:10s} {state:28s} {recipe['epochs']} epochs, {recipe['method']}, "
            f"{recipe['loss']}, lambda {recipe['cost_weight']:g}{start}"
        )


def _benchmarks() -> list[str]:
    """Names of the modules in `core.benchmarks`; each has `run() -> dict`."""
    import core.benchmarks

    return sorted(module.name for module in pkgutil.iter_modules(core.benchmarks.__path__))


def _benchmark(arguments: argparse.Namespace) -> Result:
    module = importlib.import_module(f"core.benchmarks.{arguments.which}")
    result: Result = module.run()
    return result


def _images(arguments: argparse.Namespace, card: Card, split: str) -> "ImageSet":
    """The images of a split: from `--data-dir`, from `--dataset`, or for test those that come with the checkpoints."""
    from core.data.datasets import load_images
    from core.data.embedded import LABELS_FILE, load_embedded_set

    roots = (arguments.checkpoints, CHECKPOINTS)
    at_hand = [root for root in roots if (root / card.dataset / LABELS_FILE).is_file()]
    if split == "test" and at_hand and arguments.data_dir is None and arguments.dataset is None:
        examples = load_embedded_set(card.dataset, at_hand[0])
    else:
        examples = load_images(
            arguments.dataset or card.dataset,
            split,
            arguments.data_dir or DATA_DIR,
            channels=card.preprocessing.channels,
            size=card.preprocessing.size,
        )
        for problem in examples.problems:
            _say(f"left out: {problem}")
    shape, wanted = examples.images.shape[1:], card.spec.input_shape
    if shape != wanted:
        raise UserError(
            f"expected images of {wanted} (channels, height, width), got {shape}: give the images it was made for"
        )
    if examples.class_names != card.class_names:
        raise UserError(
            f"expected classes {', '.join(card.class_names)}, got {', '.join(examples.class_names)}: "
            "give the images it was trained for"
        )
    return examples


def _say(text: str, end: str = "\n") -> None:
    """Progress, for the person and not for the pipe."""
    print(text, end=end, file=sys.stderr, flush=True)


def _show_fields(result: Result) -> None:
    for name, value in result.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                print(f"{name + ' ' + str(inner):24s} {_brief(number)}")
        else:
            print(f"{name:24s} {_brief(value)}")


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (list, tuple)):
        return " ".join(_brief(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_brief(v)}" for name, v in value.items())
    return str(value)


def _show_list(result: Result) -> None:
    for entry in result["checkpoints"]:
        if entry["problem"]:
            print(f"{entry['name']:28s} broken: {entry['problem']}")
        else:
            accuracy = entry["metrics"].get("test", {}).get("exit_accuracy", [])
            print(
                f"{entry['name']:28s} {entry['title']:18s} {entry['exits']} exits  accuracy of each {_brief(accuracy)}"
            )
    if not result["checkpoints"]:
        print("no checkpoints")


def _show_curve(result: Result) -> None:
    """About twenty rows, evenly through the curve; `--json` has them all."""
    print(f"{'threshold':>10s} {'accuracy':>9s} {'cost':>7s}")
    rows = len(result["threshold"])
    for row in sorted({round(k * (rows - 1) / ROWS_SHOWN) for k in range(ROWS_SHOWN + 1)}):
        columns = (result[name][row] for name in ("threshold", "accuracy", "relative_cost"))
        print("{:10.5f} {:9.4f} {:7.4f}".format(*columns))
