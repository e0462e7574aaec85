"""fsvae-tcja completion: what bash completes with the script that is printed."""

import shlex
import shutil
import subprocess

import pytest

from classifiers.presets import PRESETS as CLASSIFIERS
from eval.cli import PROGRAM as EVAL
from fsvae_tcja import PRESETS
from fsvae_tcja.cli import PROGRAM, main

BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    from contextlib import redirect_stdout

    path = tmp_path_factory.mktemp("completion") / "fsvae-tcja"
    with path.open("w") as file, redirect_stdout(file):
        assert main(["completion", "bash"]) == 0
    return path


@pytest.fixture
def completed(script):
    """What bash offers behind a line; the last word may be begun."""
    if BASH is None:
        pytest.skip("bash is not installed")

    def run(line):
        words = line.split(" ")
        program = f"""
source {shlex.quote(str(script))}
COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}
_fsvae_tcja
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p fsvae-tcja
"""
        done = subprocess.run([BASH, "--norc", "-c", program], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == ""
        *found, registered = done.stdout.splitlines()
        assert registered == "complete -o default -F _fsvae_tcja fsvae-tcja"  # files where it offers nothing
        return {word for word in found if word}

    return run


def test_commands_of_each_program(completed):
    assert completed("fsvae-tcja ") == set(PROGRAM.commands)
    assert completed("fsvae-tcja re") == {"reconstruct", "report"}
    assert completed("fsvae-tcja eval ") == set(EVAL.commands)
    assert completed("fsvae-tcja classify tr") == {"train"}


def test_presets(completed):
    assert completed("fsvae-tcja train ") == set(PRESETS)
    assert completed("fsvae-tcja train mnist-b") == {"mnist-best"}
    assert completed("fsvae-tcja classify train ") == set(CLASSIFIERS)
    assert completed("fsvae-tcja completion ") == {"bash", "zsh"}
    assert completed("fsvae-tcja sample fash") == {"fashion-mnist"} == completed("fsvae-tcja info f")


def test_options_at_any_place(completed):
    assert {"--seed", "--temperature", "--out"} <= completed("fsvae-tcja sample runs/mnist --")
    assert completed("fsvae-tcja sample runs/mnist --temp") == {"--temperature"}
    assert {"--model.tcja.decoder", "--model.tcja.encoder"} <= completed("fsvae-tcja train mnist --model.tcja.")
    assert "--protocol" in completed("fsvae-tcja eval score --")
    assert completed("fsvae-tcja --v") == {"--version"}


def test_elsewhere_it_leaves_the_word_to_file_names(completed):
    assert completed("fsvae-tcja sample runs/") == set() == completed("fsvae-tcja train mnist --data-root d")
    assert completed("fsvae-tcja nothing train dig") == set()


def test_zsh_takes_the_same_script(script, capsys):
    assert main(["completion", "zsh"]) == 0
    first, rest = capsys.readouterr().out.split("\n", 1)
    assert "bashcompinit" in first and rest == script.read_text()


def test_another_shell(fails):
    assert "unknown shell 'fish': choose one of ['bash', 'zsh']" in fails("completion", "fish")
