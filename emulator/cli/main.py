"""The `kubemu` command: global options, the list of verbs, and errors as one line.

Verbs live in modules of their own and are imported when called: start-up is a feature.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Any

import click

from emulator import __version__
from emulator.api.errors import EmulatorError
from emulator.cli.state import ClusterFolder, cluster_folder

VERBS = {  # verb: module
    "up": "up",
    "down": "lifecycle",
    "status": "lifecycle",
    "list": "lifecycle",
    "logs": "lifecycle",
    "apply": "objects",
    "get": "objects",
    "delete": "objects",
    "reset": "objects",
    "map": "objects",
    "run": "inside",
    "shell": "inside",
    "env": "inside",
    "resolve": "names",
    "route": "route",
    "kubeconfig": "access",
    "enable": "addons",
    "disable": "addons",
    "doctor": "doctor",
    "config": "settings",
}


@dataclass(slots=True)
class Globals:
    """The options that stand before the verb."""

    name: str | None
    output: str
    verbose: bool
    config_file: str | None

    @property
    def cluster_name(self) -> str:
        if self.name is not None:
            return self.name
        if os.environ.get("KUBEMU_NAME"):
            return os.environ["KUBEMU_NAME"]
        return str(self.file_settings().get("name", "kubemu"))

    @property
    def folder(self) -> ClusterFolder:
        return cluster_folder(self.cluster_name, os.environ)

    def file_settings(self) -> dict[str, Any]:
        """The settings of --config or ./kubemu.yaml; raises ConfigError."""
        from emulator.cli.settings import read_config_file

        return read_config_file(self.config_file).settings


class Verbs(click.Group):
    """A group that imports a verb's module only when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = VERBS.get(cmd_name)
        if module is None:
            return None
        found: click.Command = getattr(importlib.import_module(f"emulator.cli.{module}"), f"{cmd_name}_command")
        add_global_options(found)
        return found


def add_global_options(command: click.Command) -> None:
    """Let the global options stand after the verb too, as kubectl does; a verb's own option of a name wins."""
    taken = {flag for parameter in command.params for flag in parameter.opts}
    for option in global_options():
        if taken.isdisjoint(option.opts):
            command.params.append(option)


def global_options() -> list[click.Option]:
    def keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
        if value is not None and value is not False:
            setattr(ctx.obj, str(option.name).removeprefix(PREFIX), value)

    def option(field: str, *flags: str, **settings: Any) -> click.Option:
        names = (PREFIX + field, *flags)
        return click.Option(names, expose_value=False, callback=keep, hidden=True, default=None, **settings)

    return [
        option("name", "--name"),
        option("output", "-o", "--output", type=click.Choice(["text", "json"])),
        option("config_file", "--config"),
        option("verbose", "-v", "--verbose", is_flag=True),
    ]


PREFIX = "global_"  # so that they are not taken for a verb's own parameters of the same name


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--name", metavar="NAME", default=None, help="Which cluster; default kubemu.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How results are printed.")
@click.option("--config", "config_file", metavar="FILE", default=None, help="Settings; default ./kubemu.yaml.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.version_option(__version__, prog_name="kubemu")
@click.pass_context
def kubemu(ctx: click.Context, name: str | None, output: str, config_file: str | None, verbose: bool) -> None:
    """A Kubernetes service network on this machine."""
    ctx.obj = Globals(name, output, verbose, config_file)


def main() -> None:
    """Run the command line; every mistake is one line on stderr and exit status 1, usage 2, interrupted 130."""
    try:
        sys.exit(kubemu.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except EmulatorError as error:
        print(f"kubemu: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # `kubemu get ... | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a file or folder that this user may not use
        place = f"{error.filename}: " if error.filename else ""
        print(f"kubemu: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
