"""The executor gives the answers of running each image alone, and runs only what is needed."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from core.analysis.rules import RULES, exit_scores
from core.analysis.sweep import route
from core.errors import UserError
from core.network.cost import CostTable
from core.network.devices import available_devices, pick_device
from core.network.early_exit import EarlyExitNetwork
from core.network.executor import Policy, execute, run_exit_by_exit
from core.network.registry import NetworkSpec, build_network

N = 60


def make(early: int = 4, model: str = "eenet20", side: int = 16) -> tuple[EarlyExitNetwork, CostTable]:
    torch.manual_seed(0)
    network, cost = build_network(NetworkSpec(model, early, "pareto", "pool", (3, side, side), 10))
    return network.eval(), cost


@pytest.fixture(scope="module")
def network() -> EarlyExitNetwork:
    return make()[0]


@pytest.fixture(scope="module")
def cost() -> CostTable:
    return make()[1]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    size = torch.rand(N, 1, 1, 1, generator=generator) * 3
    return torch.randn(N, 3, 16, 16, generator=generator) * size


def all_scores(network: EarlyExitNetwork, images: torch.Tensor, policy: Policy) -> np.ndarray:
    with torch.no_grad():
        outputs = network(images)
    return exit_scores(policy.rule, outputs.logits.numpy(), outputs.confidence_logits.numpy(), policy.temperatures)


def middle_thresholds(scores: np.ndarray) -> tuple[float, ...]:
    """Thresholds that spread examples over exits, each in a wide gap, so that rounding cannot move an example."""
    thresholds = []
    for first, column in zip((0.7, 0.5, 0.3, 0.2), scores[:, :-1].T, strict=True):
        ordered = np.sort(column.astype(float))
        start = int(first * N)
        widest = start + int(np.diff(ordered[start : start + N // 5]).argmax())
        thresholds.append((ordered[widest] + ordered[widest + 1]) / 2)
    return tuple(thresholds)


@pytest.mark.parametrize("temperatures", [None, (0.7, 1.5, 2.0, 0.9, 1.1)])
@pytest.mark.parametrize("rule", [name for name in RULES if name != "patience"])
def test_batched_equals_one_by_one(
    network: EarlyExitNetwork, images: torch.Tensor, rule: str, temperatures: tuple[float, ...] | None
) -> None:
    scores = all_scores(network, images, Policy(rule, (1.0,), temperatures))
    policy = Policy(rule, middle_thresholds(scores), temperatures)
    batched = execute(network, images, policy, batch_size=16)
    assert len(set(batched.exits)) >= 3
    assert (batched.exits == route(scores, policy.thresholds)).all()
    for i in range(N):
        alone = execute(network, images[i : i + 1], policy)
        assert alone.exits[0] == batched.exits[i]
        assert alone.probabilities[0] == pytest.approx(batched.probabilities[i], abs=1e-5)
        assert alone.scores[0] == pytest.approx(batched.scores[i], abs=1e-5, nan_ok=True)
    executed = np.arange(5) <= batched.exits[:, None]
    assert (np.isnan(batched.scores) == ~executed).all()
    assert batched.scores[executed] == pytest.approx(scores[executed], abs=1e-5)


def test_patience_looks_back(network: EarlyExitNetwork, images: torch.Tensor) -> None:
    scores = all_scores(network, images, Policy("patience", (1.0,)))
    for threshold in (0.5, 0.6, 0.7):
        done = execute(network, images, Policy("patience", (threshold,)), batch_size=16)
        assert (done.exits == route(scores, threshold)).all()


def test_probabilities_are_those_of_the_exit_taken(network: EarlyExitNetwork, images: torch.Tensor) -> None:
    policy = Policy("probability", middle_thresholds(all_scores(network, images, Policy("probability", (1.0,)))))
    done = execute(network, images, policy)
    with torch.no_grad():
        wanted = network(images).probabilities.numpy()[np.arange(N), done.exits]
    assert done.probabilities == pytest.approx(wanted, abs=1e-5)
    assert (done.predicted == wanted.argmax(axis=1)).all()
    assert done.probabilities.dtype == np.float32
    assert done.seconds > 0


def test_only_the_rest_goes_on(network: EarlyExitNetwork, images: torch.Tensor) -> None:
    policy = Policy("probability", middle_thresholds(all_scores(network, images, Policy("probability", (1.0,)))))
    seen: list[list[int]] = [[] for _ in network.segments]
    hooks = [
        segment.register_forward_pre_hook(lambda module, inputs, k=k: seen[k].append(len(inputs[0])))
        for k, segment in enumerate(network.segments)
    ]
    done = execute(network, images, policy, batch_size=25)
    for hook in hooks:
        hook.remove()
    assert seen[0] == [25, 25, 10]
    for k in range(1, 5):
        assert sum(seen[k]) == (done.exits >= k).sum()


@pytest.mark.parametrize(("threshold", "column"), [(1.0, 4), (0.0, 0)])
def test_the_ends_of_the_range(network: EarlyExitNetwork, images: torch.Tensor, threshold: float, column: int) -> None:
    for rule in RULES:
        assert (execute(network, images, Policy(rule, (threshold,))).exits == column).all()


def test_switched_off_exits_are_passed(network: EarlyExitNetwork, images: torch.Tensor) -> None:
    done = execute(network, images, Policy("probability", (1.0, 0.0, 1.0, 1.0)))
    assert (done.exits == 1).all()


def test_a_call_changes_nothing(network: EarlyExitNetwork, images: torch.Tensor) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    attributes = set(vars(network))
    execute(network, images, Policy("margin", (0.3,)))
    assert set(vars(network)) == attributes
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_visitors_do_not_disturb_each_other(network: EarlyExitNetwork, images: torch.Tensor) -> None:
    policies = [Policy("probability", (threshold,)) for threshold in (0.0, 0.3, 0.6, 1.0)] * 3
    alone = [execute(network, images, policy).exits for policy in policies]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda policy: execute(network, images, policy).exits, policies))
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


def test_plain_network(images: torch.Tensor) -> None:
    plain, _ = make(early=0)
    done = execute(plain, images, Policy("confidence", (0.5,)))
    assert (done.exits == 0).all()
    assert done.scores.shape == (N, 1)


def test_no_images(network: EarlyExitNetwork) -> None:
    done = execute(network, np.empty((0, 3, 16, 16), np.float32), Policy("probability", (0.5,)))
    assert done.exits.shape == (0,)
    assert done.probabilities.shape == (0, 10)
    assert done.scores.shape == (0, 5)


def test_an_image_of_nan_runs_to_the_end_and_harms_no_other(network: EarlyExitNetwork, images: torch.Tensor) -> None:
    policy = Policy("probability", (0.4,))
    broken = images.clone()
    broken[7] = math.nan
    done, clean = execute(network, broken, policy), execute(network, images, policy)
    assert done.exits[7] == 4
    others = np.arange(N) != 7
    assert done.probabilities[others] == pytest.approx(clean.probabilities[others], abs=1e-5)


@pytest.mark.parametrize(
    ("shape", "policy", "batch_size", "words"),
    [
        ((2, 3, 32, 32), Policy("probability", (0.5,)), 8, "expected preprocessed images"),
        ((3, 16, 16), Policy("probability", (0.5,)), 8, "expected preprocessed images"),
        ((2, 3, 16, 16), Policy("luck", (0.5,)), 8, "expected an exit rule"),
        ((2, 3, 16, 16), Policy("probability", (0.5, 0.5)), 8, "expected 1 threshold for all or 4"),
        ((2, 3, 16, 16), Policy("probability", (1.5,)), 8, "expected thresholds from 0 to 1"),
        ((2, 3, 16, 16), Policy("probability", (math.nan,)), 8, "expected thresholds from 0 to 1"),
        ((2, 3, 16, 16), Policy("probability", (0.5,), (1.0,)), 8, "expected 5 positive temperatures"),
        ((2, 3, 16, 16), Policy("probability", (0.5,)), 0, "expected a batch size of 1 or more"),
    ],
)
def test_bad_input_gives_one_line(
    network: EarlyExitNetwork, shape: tuple[int, ...], policy: Policy, batch_size: int, words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        execute(network, torch.zeros(shape), policy, batch_size)
    assert "\n" not in str(caught.value)


def test_bytes_are_refused(network: EarlyExitNetwork) -> None:
    with pytest.raises(UserError, match=r"of torch\.uint8"):
        execute(network, np.zeros((1, 3, 16, 16), np.uint8), Policy("probability", (0.5,)))


def test_a_network_in_training_is_refused(images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="training mode"):
        execute(make()[0].train(), images, Policy("probability", (0.5,)))


def test_bfloat16_stays_close(network: EarlyExitNetwork, images: torch.Tensor) -> None:
    exact = execute(network, images, Policy("probability", (1.0,)))
    rough = execute(network, images, Policy("probability", (1.0,)), autocast=True)
    assert rough.probabilities == pytest.approx(exact.probabilities, abs=0.1)
    assert not (rough.probabilities == exact.probabilities).all()


@pytest.mark.parametrize("rule", list(RULES))
def test_the_story_is_the_executors(
    network: EarlyExitNetwork, cost: CostTable, images: torch.Tensor, rule: str
) -> None:
    scores = all_scores(network, images, Policy(rule, (1.0,)))
    policy = Policy(rule, middle_thresholds(scores) if rule != "patience" else (0.5,))
    done = execute(network, images, policy)
    with torch.no_grad():
        outputs = network(images)
    for i in range(0, N, 7):
        story = run_exit_by_exit(network, images[i : i + 1], policy, cost, beyond=True)
        short = run_exit_by_exit(network, images[i : i + 1], policy, cost)
        assert story.exit == short.exit == done.exits[i]
        assert len(story.verdicts) == 5
        assert len(short.verdicts) == done.exits[i] + 1
        assert story.taken.probabilities == pytest.approx(done.probabilities[i], abs=1e-5)
        assert [verdict.executed for verdict in story.verdicts] == [n <= story.exit for n in range(5)]
        for n, verdict in enumerate(story.verdicts):
            assert verdict.exit == n
            assert verdict.probabilities == pytest.approx(outputs.probabilities[i, n].numpy(), abs=1e-5)
            assert verdict.confidence == pytest.approx(float(outputs.confidence[i, n]), abs=1e-5)
            assert verdict.score == pytest.approx(scores[i, n], abs=1e-5)
            assert verdict.leaves == (n == 4 or verdict.score >= verdict.threshold)
        assert story.verdicts[-1].threshold is None
        assert tuple(verdict.macs for verdict in story.verdicts) == cost.macs()
        assert tuple(verdict.relative_cost for verdict in story.verdicts) == cost.relative()
        seconds = [verdict.seconds for verdict in story.verdicts]
        assert seconds == sorted(seconds)
        assert seconds[0] > 0


def test_a_story_has_one_image(network: EarlyExitNetwork, cost: CostTable, images: torch.Tensor) -> None:
    with pytest.raises(UserError, match="expected one image, got 2"):
        run_exit_by_exit(network, images[:2], Policy("probability", (0.5,)), cost)


def test_devices() -> None:
    devices = available_devices()
    assert devices[-1].name == "cpu"
    assert devices[-1].label.startswith("CPU ")
    assert pick_device() == devices[0]
    assert pick_device("cpu") == devices[-1]
    with pytest.raises(UserError, match=r"expected a device of this machine .*cpu.* or auto, got 'tpu'"):
        pick_device("tpu")


def test_an_unavailable_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="got 'cuda'"):
        pick_device("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("rule", [name for name in RULES if name != "patience"])
def test_cuda_gives_the_cpus_answers(network: EarlyExitNetwork, images: torch.Tensor, rule: str) -> None:
    policy = Policy(rule, middle_thresholds(all_scores(network, images, Policy(rule, (1.0,)))))
    here = execute(network, images, policy)
    torch.backends.cudnn.allow_tf32 = False
    there = execute(network, images, policy, device="cuda")
    assert next(network.parameters()).device.type == "cpu"
    assert (there.exits == here.exits).all()
    assert there.probabilities == pytest.approx(here.probabilities, abs=1e-3)


@pytest.mark.gpu
def test_cuda_tells_the_same_story(network: EarlyExitNetwork, cost: CostTable, images: torch.Tensor) -> None:
    policy = Policy("probability", (0.5,))
    here = run_exit_by_exit(network, images[:1], policy, cost, beyond=True)
    there = run_exit_by_exit(network, images[:1], policy, cost, beyond=True, device=pick_device("cuda").name)
    assert there.exit == here.exit
    assert there.taken.probabilities == pytest.approx(here.taken.probabilities, abs=1e-3)
