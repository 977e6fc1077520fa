"""The dashboards against Grafana's own types: TypeScript's compiler reads each as a literal of the type in board.ts.

Before it is believed it must name each of `PLANTED`, mistakes that Grafana would pass over in silence.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import npm
from exporting import dashboards

FOLDER: Final = Path(__file__).resolve().parent.parent / "grafana"
_HEAD: Final = 'import type { Board } from "../board.ts";\nexport const board: Board = '
_OPTIONS: Final = (
    *("--noEmit", "--strict", "--pretty", "false", "--target", "es2022", "--module", "preserve"),
    *("--moduleResolution", "bundler", "--allowImportingTsExtensions"),
)

Planting = Callable[[dict[str, Any]], object]
PLANTED: Final[Mapping[str, Planting]] = {
    "a kind of panel that there is not": lambda panel: panel.update(type="timeserie"),
    "a word that an option does not know": lambda panel: panel["options"]["legend"].update(displayMode="lists"),
    "a field that a query does not have": lambda panel: panel["targets"][0].update(legend="{{job}}"),
    "a text where a number belongs": lambda panel: panel["gridPos"].update(w="8"),
    "an option that is left out": lambda panel: panel["options"].pop("tooltip"),
}


def check() -> int:
    """Type-check every dashboard and every planted mistake; returns 1 with what is wrong."""
    npm.install(FOLDER, FOLDER, "Grafana's schema and TypeScript")
    boards = {Path(path).stem: json.loads(text) for path, text in dashboards.pages().items()}
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="checked-") as name:
        folder = Path(name)
        for uid, board in boards.items():
            _write(folder / f"{uid}.ts", board)
        wrong = [_write(folder / f"planted-{number}.ts", _planted(boards, way)) for number, way in enumerate(PLANTED)]
        command = [*npm.node(), str(FOLDER / "node_modules" / "typescript" / "bin" / "tsc"), *_OPTIONS]
        files = sorted(str(file) for file in folder.glob("*.ts"))
        said = subprocess.run([*command, *files], cwd=folder, capture_output=True, text=True, check=False).stdout
    complaints = said.splitlines()
    unseen = [
        way for way, file in zip(PLANTED, wrong, strict=True) if not any(file.name in each for each in complaints)
    ]
    found = [each for each in complaints if "error TS" in each and "planted-" not in each]
    for line in (*found, *(f"not noticed: {way}" for way in unseen)):
        print(f"dashboards-check: {line}")
    panels = sum(len(board["panels"]) for board in boards.values())
    if not found and not unseen:
        print(
            f"{len(boards)} dashboards of {panels} panels and rows fit Grafana's types; {len(PLANTED)} mistakes noticed"
        )
    return 1 if found or unseen else 0


def _write(file: Path, board: dict[str, Any]) -> Path:
    file.write_text(f"{_HEAD}{json.dumps(board)};\n")
    return file


def _planted(boards: Mapping[str, dict[str, Any]], way: str) -> dict[str, Any]:
    """Copy a dashboard and make one mistake in its first panel of curves."""
    board = json.loads(json.dumps(boards["ledgerlink-overview"]))
    PLANTED[way](next(panel for panel in board["panels"] if panel["type"] == "timeseries"))
    return board
