#!/usr/bin/env python3
"""The local stack: LocalStack, DynamoDB Local, the gate, the functions, the HTTP front, the tick and the stream pump.

  stack.py up [--without part,part] [--param Name=value ...]
  stack.py down | status
  stack.py logs [part] [--lines N]
  stack.py tick on|off|once [FUNCTION]      without FUNCTION: every function that the switch drives
  stack.py pump|standby on|off [FUNCTION]   pump: the table's stream; standby: the stream of standby ticks
  stack.py kill FUNCTION
  stack.py start FUNCTION [--env NAME=value ...]     run it again for a second copy
  stack.py publish [FOLDER] | facts | confirm

Parts: localstack, dynamodb, gate, lambda, functions, driver.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from brevet_local import places  # noqa: E402


def in_tests_venv() -> None:
    """Restarts this script in the tools' own Python, which has the packages that the rest imports."""
    python = places.TESTS_VENV / "bin" / "python"
    if Path(sys.prefix).resolve() == places.TESTS_VENV.resolve():
        return
    if not python.exists():
        raise SystemExit(f"the tools are not installed: {places.TESTS_VENV} does not exist; run `make tools`")
    os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up")
    up.add_argument("--without", default="", metavar="part,part")
    up.add_argument("--param", action="append", default=[], metavar="Name=value")
    commands.add_parser("down")
    commands.add_parser("status")
    commands.add_parser("facts")
    logs = commands.add_parser("logs")
    logs.add_argument("part", nargs="?")
    logs.add_argument("--lines", type=int, default=30)
    for name, choices in (("tick", ["on", "off", "once"]), ("pump", ["on", "off"]), ("standby", ["on", "off"])):
        switch = commands.add_parser(name)
        switch.add_argument("what", choices=choices)
        switch.add_argument("function", nargs="?")
    commands.add_parser("kill").add_argument("function")
    start = commands.add_parser("start")
    start.add_argument("function")
    start.add_argument("--env", action="append", default=[], metavar="NAME=value")
    commands.add_parser("confirm")
    commands.add_parser("dev")
    commands.add_parser("publish").add_argument("folder", nargs="?", type=Path, default=places.CATALOGUE)
    return parser.parse_args()


def main() -> int:
    """Runs one command; returns the exit code."""
    chosen = arguments()
    in_tests_venv()
    from brevet_local import catalogue, dev, functions, process, service, stack, switches, template, tick  # noqa: PLC0415

    try:
        match chosen.command:
            case "up":
                without = set(filter(None, chosen.without.split(",")))
                if unknown := without - set(stack.PARTS):
                    names = ", ".join(sorted(unknown))
                    raise process.Trouble(f"--without: unknown part {names}; the parts are {', '.join(stack.PARTS)}")
                given = dict(pair.split("=", 1) for pair in chosen.param if "=" in pair)
                if len(given) != len(chosen.param):
                    raise process.Trouble(f"--param must be Name=value; you gave {', '.join(chosen.param)}")
                stack.up(without, given)
            case "down":
                return 0 if stack.down() else 1
            case "status":
                return 0 if stack.status() else 3
            case "facts":
                json.dump(stack.facts(), sys.stdout, indent=2)
                print()
            case "logs":
                parts = [chosen.part] if chosen.part else sorted(log.stem for log in places.LOGS.glob("*.log"))
                for part in parts:
                    print(f"==> {part} <==\n{process.tail(part, chosen.lines)}\n")
            case "tick" if chosen.what == "once":
                facts = stack.facts()
                selected = switches.driven(facts, "tick", chosen.function)
                all_ok = True
                for schedule in (one for one in facts["schedules"] if one["function"] in selected):
                    answer = tick.once(facts, schedule)
                    print(f"{schedule['function']}: {answer.outcome} {json.dumps(answer.payload)} {answer.detail}".rstrip())
                    all_ok = all_ok and answer.outcome == "ok"
                return 0 if all_ok else 1
            case "tick" | "pump" | "standby":
                selected = switches.driven(stack.facts(), chosen.command, chosen.function)
                within_s = switches.longest_event_s(stack.facts())
                switches.turn(chosen.command, chosen.what == "on", selected, within_s)
                print(f"{chosen.command}: {chosen.what} for {', '.join(selected)}")
            case "kill":
                functions.of(stack.facts(), chosen.function)
                print(f"{chosen.function}: {functions.kill(chosen.function)} killed")
            case "start":
                more = dict(one.split("=", 1) for one in chosen.env)
                print(f"started {functions.start(stack.facts(), chosen.function, stack.gated(), more).name}")
            case "confirm":
                print(f"confirmed table {service.confirm(stack.facts(), stack.gated(), first=False)}")
            case "dev":
                print(f"bundle {dev.prepare(stack.facts(), stack.gated())}: the example catalogue, with issuers in {dev.FOLDER}")
                print(f"\nTry it:\n\n{dev.commands()}")
            case "publish":
                print(f"bundle {catalogue.publish(stack.facts(), stack.gated(), chosen.folder)}")
    except (process.Trouble, template.Unresolvable) as problem:
        print(f"stack: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
