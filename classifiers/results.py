"""The results of a training run: accuracy on the test split, which is used once, after the last epoch."""

from typing import Any

import torch

from fsvae_tcja.data import LabelledDataset
from fsvae_tcja.runtime.checkpoint import read_metadata
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.utils.atomic import write_json

from . import checkpoint
from .accuracy import evaluate
from .report.figures import save_confusion
from .train import TrainConfig, best_tested

ROWS = {
    "last": "last epoch",
    "best_validation": "best epoch by validation",
    "best_test_as_in_the_literature": "best test epoch, as the literature has it: chosen on the test split itself",
}


def write_results(run: RunFolder, config: TrainConfig, test: LabelledDataset, device: torch.device) -> dict[str, Any]:
    """Test accuracy of the last epoch and of the best by validation, written to results.json.

    pictures/confusion.png is that of the best, or of the last where nothing was kept for validation.

    With `test_every_epoch` also the best test epoch: a number chosen on the very split that it is measured on.
    """
    evaluation, weights = evaluate(checkpoint.load(run.model, device), test, config.batch_size), run.model
    epochs = config.total_epochs(read_metadata(run.model)["images"])
    results: dict[str, Any] = {
        "data": config.data,
        "n_test": len(test),
        "seed": config.seed,
        "last": {"epoch": epochs, "test_accuracy": evaluation.accuracy, "silent_outputs": evaluation.silent},
    }
    if (best := run.path / checkpoint.BEST).is_file():
        metadata = read_metadata(best)
        evaluation, weights = evaluate(checkpoint.load(best, device), test, config.batch_size), best
        results["best_validation"] = {
            "epoch": metadata["epoch"],
            "valid_accuracy": metadata["valid_accuracy"],
            "test_accuracy": evaluation.accuracy,
            "silent_outputs": evaluation.silent,
        }
    known = read_metadata(run.model).get("callbacks", {})
    if tested := known["KeepBest.tested"] if "KeepBest.tested" in known else best_tested(run):
        results["best_test_as_in_the_literature"] = tested
    which = checkpoint.weights_of(read_metadata(weights))
    title = f"{test.name} test: accuracy {evaluation.accuracy:.2%}, n = {evaluation.n:,}, {which}, seed {config.seed}"
    save_confusion(evaluation.confusion, run.pictures / "confusion.png", title, test.class_names)
    write_json(run.path / "results.json", results)
    return results


def as_text(results: dict[str, Any]) -> str:
    """The results as lines of text."""
    rows = [
        f"  {results[key]['test_accuracy']:7.2%}  {name} ({results[key]['epoch']})"
        for key, name in ROWS.items()
        if key in results
    ]
    head = f"test accuracy on {results['data']} (n = {results['n_test']:,}, seed {results['seed']}):"
    return "\n".join([head, *rows])
