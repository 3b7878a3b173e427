"""The `neuro` command. This file knows the list of commands and how a command ends; each command has a module of its own.

Nothing heavy is imported here or at the top of a command's module, so that `neuro --help` stays quick, and a command that is
named first is the only one that is read.
Exit status: 0 done, 2 a mistake of the caller's (one paragraph on standard error), 130 interrupted.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Any

import typer

from neuro.cli.interrupt import INTERRUPTED, TERMINATED, end_now, ends_within_a_second
from neuro.compiling import sparing
from neuro.errors import NeuroError

EXAMPLES = """
Examples:

\b
  neuro demo
      train, convert, emulate and compare on handwritten digits
  neuro run mine:net --weights w.safetensors --data test.npz
      the same for a network of your own; --data holds arrays x and, for the accuracy, y
  neuro compare mine:net --data test.npz --machine a100 --machine mine.toml --batch 1 --batch 256
      the chip beside machines and batch sizes of your choice
  neuro run network.safetensors --data test.npz --chip loihi1-nahuku --report out.html --json out.json
      a saved spiking network on another chip, results as a page and as JSON
  neuro sweep mine:net --data test.npz --code rate,graded --timesteps 4,8,16 --out found
      many settings, and which of them are worth considering; --resume goes on after an interruption

Exit status: 0 done; 2 a mistake in the request, explained in one paragraph; 130 interrupted with Ctrl-C.
"""

# Each is a module with a function of its name and EXAMPLES, or with a Typer `app` of commands.
COMMANDS = ("demo", "run", "compare", "sweep", "stream", "optimise", "inspect", "faults", "chips", "machines", "keywords")


def _version(wanted: bool) -> None:
    if wanted:
        from neuro import __version__

        typer.echo(f"neuro-emulator {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_version)]


def _before_every_command(version: Version = False) -> None:
    """Options that stand before a command."""


def app_of(names: Iterable[str]) -> typer.Typer:
    """The command line with these commands."""
    made = typer.Typer(
        help="A trained network goes in; spikes on an emulated neuromorphic chip come out, with accuracy, energy and latency.",
        epilog=EXAMPLES,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        callback=_before_every_command,
    )
    for name in names:
        module = import_module(f"neuro.cli.{name}")
        if hasattr(module, "app"):
            made.add_typer(module.app, name=name)
        else:
            made.command(epilog=module.EXAMPLES)(getattr(module, name))
    return made


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = app_of(COMMANDS)
    return globals()["app"]


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """A warning as one paragraph, without the place in our code that raised it."""
    print(f"neuro: warning: {message}", file=sys.stderr)


def main() -> None:
    """Run one command and end the process with its exit status."""
    warnings.showwarning = _show_warning
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        with ends_within_a_second(), sparing():
            app_of([first] if first in COMMANDS else COMMANDS)(prog_name="neuro")
    except NeuroError as error:
        print(f"neuro: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code in (INTERRUPTED, TERMINATED):
            end_now(end.code)
        raise
