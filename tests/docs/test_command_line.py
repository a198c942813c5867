from __future__ import annotations

import click

from tests.support.documentation import ROOT, commands, logproof_calls, pages, root_command


def _leaves() -> dict[str, click.Command]:
    return {name: command for name, command in commands().items() if not isinstance(command, click.Group)}


def _options(command: click.Command) -> set[str]:
    return {flag for parameter in command.params for flag in [*parameter.opts, *parameter.secondary_opts]}


def test_every_command_and_option_has_help() -> None:
    silent = [name for name, command in commands().items() if not command.help]
    silent += [
        f"{name} {option.opts[0]}"
        for name, command in commands().items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]

    assert silent == []


def test_help_of_each_command_fits_a_terminal_and_starts_with_a_sentence() -> None:
    for name, command in commands().items():
        short = command.get_short_help_str(limit=200)
        assert short[:1].isupper(), f"{name}: {short}"
        assert not short.endswith("..."), f"{name}: {short}"
        assert len(short) <= 80, f"{name}: {short}"


def test_help_shows_no_marks_of_its_formatter() -> None:
    marked = [name for name, command in commands().items() if "\\" in (command.help or "")]

    assert marked == []
    assert "\\" not in (root_command().help or "")


def test_contract_commands_exist() -> None:
    promised = [
        "append",
        "bench",
        "demo",
        "export",
        "fsck",
        "get",
        "head",
        "import",
        "key",
        "log",
        "prove",
        "serve",
        "verify",
        "version",
    ]

    assert [name for name in promised if name not in commands()] == []


def test_every_command_is_in_the_documentation() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages())

    assert [name for name in _leaves() if f"logproof {name}" not in text] == []


def test_documented_commands_and_options_exist() -> None:
    known = commands()
    wrong = []
    for page in pages():
        for words in logproof_calls(page):
            command: click.Command = root_command()
            path: list[str] = []
            on_its_own = False
            for word in words:
                if isinstance(command, click.Group) and not word.startswith("-") and not on_its_own:
                    path.append(word)
                    command = known.get(" ".join(path), click.Command(None))
                elif word.startswith("--"):
                    option = word.partition("=")[0]
                    # A group that does something by itself, once it has an option of its own.
                    on_its_own = isinstance(command, click.Group) and command.invoke_without_command
                    if option != "--help" and option not in _options(command) | _options(root_command()):
                        wrong.append(f"{page.relative_to(ROOT)}: logproof {' '.join(path)} has no {option}")
            if path and " ".join(path) not in known:
                wrong.append(f"{page.relative_to(ROOT)}: there is no `logproof {' '.join(path)}`")

    assert wrong == []
