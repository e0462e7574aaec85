"""What the GPU is given to do, counted beside a stand-in that computes nothing: budgets that may only fall.

$FSVAE_TCJA_NULLGPU names the folder of the stand-in. The counts are exact and no time follows from them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import long

PROGRAMS = Path(__file__).with_name("nullgpu_programs.py")
FLOOR = {"sync": 0, "pageable": 0, "badgrid": 0, "triton_bad": 0, "capture_violations": 0}

BUDGETS = {  # operations outside of graphs, launches of graphs among them; nodes of graphs; bytes from the host
    "mnist": {
        "step": {"operations": 333, "graph_nodes_launched": 0, "h2d_bytes": 32 * (1024 + 8)},
        "graph": {"operations": 16, "graph_nodes_launched": 326, "h2d_bytes": 32 * (1024 + 8)},
        "draw": {"operations": 8, "graph_nodes_launched": 74, "h2d_bytes": 0},
        "scored": {"operations": 8, "graph_nodes_launched": 74, "h2d_bytes": 0},
    },
    "fsvae2022-mnist": {
        "step": {"operations": 323, "graph_nodes_launched": 316, "h2d_bytes": 250 * (1024 + 8)},
        "graph": {"operations": 14, "graph_nodes_launched": 884, "h2d_bytes": 250 * (1024 + 8)},
        "draw": {"operations": 7, "graph_nodes_launched": 157, "h2d_bytes": 0},
        "scored": {"operations": 7, "graph_nodes_launched": 157, "h2d_bytes": 0},
    },
}
LATER = {  # of preset mnist
    "prior": {"operations": 109, "h2d_bytes": 256 * (4 * 128 + 8)},
    "prior, graph": {"operations": 14, "graph_nodes_launched": 103, "h2d_bytes": 256 * (4 * 128 + 8)},
    "discriminator": {"operations": 479, "h2d_bytes": 32 * (1024 + 8)},
    "discriminator, graph": {"operations": 18, "graph_nodes_launched": 471, "h2d_bytes": 32 * (1024 + 8)},
}
DRAWS = {
    "mnist": (79, 74),
    "fsvae2022-mnist": (161, 157),
}  # operations of a pass that is not recorded, nodes of one that is


def beside_nullgpu(*arguments: str, gpus: int = 1) -> Any:
    """What a program prints in its last line."""
    folder = os.environ.get("FSVAE_TCJA_NULLGPU")
    if not folder:
        pytest.skip("set FSVAE_TCJA_NULLGPU to the folder of the stand-in for a GPU")
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "NULL_GPUS": str(gpus), "FSVAE_TCJA_BACKEND": ""}
    command = [f"{folder}/nullgpu", sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)
    if done.stderr.startswith("nullgpu:"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def short() -> Any:
    """What the programs of the short form print, all in one process; the first sees kernels that are compiled.

    The last leaves the GPU without memory.
    """
    programs = "shapes", "recordings", "budgets mnist", "draws mnist", "resumed", "lack_of_memory"
    return beside_nullgpu(str(PROGRAMS), "several", *programs)


def of(short: Any, program: str) -> Any:
    """What one of them printed."""
    assert not isinstance(short[program], str), short[program]
    return short[program]


def printed(name: str, preset: str, request: pytest.FixtureRequest) -> Any:
    """The same of a program that takes a preset: those of the long form have processes of their own."""
    if preset == "mnist":
        return of(request.getfixturevalue("short"), f"{name} {preset}")
    return beside_nullgpu(str(PROGRAMS), name, preset)


@pytest.mark.parametrize("preset", ["mnist", pytest.param("fsvae2022-mnist", marks=long)])
def test_no_step_and_no_draw_costs_more_than_before(preset, request):
    found = printed("budgets", preset, request)
    for what, budget in BUDGETS[preset].items():
        check(what, found[what], budget | {"sync": int(what in ("draw", "scored"))})  # images go to the CPU


def check(what: str, counts: dict[str, int], budget: dict[str, int]) -> None:
    above = {name: (counts[name], limit) for name, limit in (FLOOR | budget).items() if counts[name] > limit}
    assert not above, f"{what}: (found, budget) of {above}"


@long
def test_no_step_of_a_later_stage_costs_more_than_before():
    for what, counts in beside_nullgpu(str(PROGRAMS), "later_stages", "mnist").items():
        check(what, counts, LATER[what])


@pytest.mark.parametrize("preset", ["mnist", pytest.param("fsvae2022-mnist", marks=long)])
def test_a_draw_of_any_number_of_images_is_recorded(preset, request):
    """A size of passes, of which there are few, is new once; it is recorded when it comes again."""
    found, (plain, nodes) = printed("draws", preset, request), DRAWS[preset]
    check("the first pass of a size", found["first"], {"operations": plain, "sync": 1})
    check("the second", found["second"], {"operations": plain + 5, "sync": 2, "graph_nodes_launched": nodes})
    check("any number", found["any"], {"operations": 9, "sync": 1, "graph_nodes_launched": nodes})
    check("of two passes", found["two"], {"operations": 18, "sync": 2, "graph_nodes_launched": 2 * nodes})


def test_budgets_keep_what_was_promised():
    for budget in BUDGETS.values():
        assert budget["step"]["operations"] <= 500
        assert budget["draw"]["operations"] <= 40
    assert all(budget["operations"] <= 500 for budget in LATER.values())


@long
def test_the_benchmark_times_what_a_training_runs():
    found = beside_nullgpu(str(PROGRAMS), "benchmark")
    assert found["timed"] == found["run"] and found["run"]["operations"] > 0


@long
def test_a_step_of_sixteen_times_250_images_keeps_what_was_promised():
    counts = beside_nullgpu(str(PROGRAMS), "long_step")
    assert counts["operations"] <= 356 and counts["sync"] == 0 and counts["h2d_bytes"] <= 250 * (1024 + 8)


@long
def test_a_step_of_a_classifier_waits_for_nothing():
    counts = beside_nullgpu(str(PROGRAMS), "classified")
    check("a step", counts, {"operations": 149, "h2d_bytes": 16 * (1024 + 8)})


@long
def test_half_precision_launches_casts_and_little_more():
    check("a step", beside_nullgpu(str(PROGRAMS), "halves"), {"operations": 390, "h2d_bytes": 32 * (1024 + 8)})


@long
def test_a_step_with_a_code_that_is_drawn_is_one_graph():
    counts = beside_nullgpu(str(PROGRAMS), "stochastic")
    assert counts["operations"] <= BUDGETS["mnist"]["graph"]["operations"]
    assert counts["graph_nodes_launched"] > BUDGETS["mnist"]["graph"]["graph_nodes_launched"]
    assert not any(counts[name] for name in FLOOR), counts


def test_layers_of_any_size(short):
    found = of(short, "shapes")
    for name in ("plain", "wide"):
        assert (found[name]["triton_bad"], found[name]["operations"] > 0) == (0, True), name
    assert found["partial sums"] < 0.35
    assert sorted(found["kernels"]) == sorted(set(found["kernels"])), "compiled anew for another size of the batch"


def test_seeding_a_scored_source_takes_no_memory_of_a_gpu_and_says_nothing():
    program = """
import warnings; warnings.simplefilter("error")
import json, torch
from eval.randomness import isolated_randomness
torch.manual_seed(5)
with isolated_randomness(3):
    inside = torch.rand(()).item()
started = torch.cuda.is_initialized()
again = torch.cuda.initial_seed()  # starts them
torch.cuda.manual_seed(7)
with isolated_randomness(3):
    drawn = torch.cuda.initial_seed()
expected = torch.rand((), generator=torch.Generator().manual_seed(3)).item()
print(json.dumps([started, again, drawn, torch.cuda.initial_seed(), inside == expected]))
"""
    assert beside_nullgpu("-c", program, gpus=2) == [False, 5, 3, 7, True]


def test_without_a_c_compiler_the_reference_runs_and_says_why(tmp_path):
    program = f"""
import os; os.environ["PATH"], os.environ["TRITON_CACHE_DIR"] = "", {str(tmp_path)!r}
os.environ.pop("CC", None)
import json, torch
from fsvae_tcja.core import backend, lif
spikes, _ = lif(torch.ones(2, 3, device="cuda"))
print(json.dumps([backend.report()["cuda"], list(spikes.shape)]))
"""
    report, shape = beside_nullgpu("-c", program)
    assert shape == [2, 3]
    assert report.startswith("reference (triton: the package triton does not work")
    assert "Failed to find C compiler" in report and "install one, such as gcc" in report


def test_recordings_share_their_workspace_and_move_the_generator_that_they_draw_from(short):
    found = of(short, "recordings")
    assert found["bytes"] <= 2 * 64 * 64 * 4
    assert found["moved"] > 0  # so a replay behind another seed draws other numbers


def test_a_training_goes_on(short):
    assert of(short, "resumed") == [0, 0]


def test_lack_of_memory_ends_a_command_in_one_line(short):
    status, said = of(short, "lack_of_memory")
    assert status == 2 and said.startswith("error: out of memory") and said.count("\n") == 1


@long
def test_lack_of_memory_while_a_step_is_recorded_is_told_as_such():
    said = beside_nullgpu(str(PROGRAMS), "lack_of_memory_in_a_graph")
    assert said.startswith("out of memory in step 4: CUDA out of memory.") and "--batch-size" in said


@long
def test_the_second_of_two_gpus_leaves_the_first_alone():
    found = beside_nullgpu(str(PROGRAMS), "second", gpus=2)
    assert found["commands"] == {"train": 0, "sample": 0}
    assert (found["current"], found["of the first"]) == (1, 0)


def test_processes_on_a_machine_with_gpus_exchange_what_lies_on_the_cpu(tmp_path):
    program = tmp_path / "two.py"
    program.write_text(
        """
import json, torch
from fsvae_tcja.utils.processes import anywhere, gather, joined, rank, total
with joined():
    print(json.dumps([torch.cuda.is_available(), anywhere(rank() == 1), gather(rank()), total(torch.ones(2)).tolist()]))
"""
    )
    two = "-m", "torch.distributed.run", "--nproc-per-node", "2", str(program)
    assert beside_nullgpu(*two, gpus=2) == [True, True, [0, 1], [2, 2]]


@long
def test_nothing_is_refused_for_not_being_deterministic():
    assert all(beside_nullgpu(str(PROGRAMS), "deterministic"))


@long
def test_every_command():
    found = beside_nullgpu(str(PROGRAMS), "commands")
    assert found and all(status == 0 for status in found.values()), found
