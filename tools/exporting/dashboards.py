"""Grafana's dashboards as JSON, written from the plain data of `observing.panels`.

Source of the form: Grafana, "Dashboard JSON model" (schema version 39, Grafana 11).
"""

from typing import Any, Final

from observing.panels import DASHBOARDS, PANELS_PER_ROW, Dashboard, Panel

from exporting.workspace import as_json

FOLDER: Final = "deploy/observability/grafana/dashboards"
_SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
_COLUMNS: Final = 24
_WIDTH: Final = _COLUMNS // PANELS_PER_ROW
_HEIGHT: Final = 8


def pages() -> dict[str, str]:
    """One JSON file per dashboard."""
    return {f"{FOLDER}/{board.uid}.json": as_json(_board(board)) for board in DASHBOARDS}


def _board(board: Dashboard) -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    top = 0
    for heading, row in board.rows:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": heading,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
            }
        )
        top += 1
        for place, panel in enumerate(row):
            line, column = divmod(place, PANELS_PER_ROW)
            grid = {"x": column * _WIDTH, "y": top + line * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
            panels.append(_panel(panel, len(panels) + 1, grid))
        top += _HEIGHT * -(-len(row) // PANELS_PER_ROW)
    return {
        "uid": board.uid,
        "title": board.title,
        "tags": ["ledgerlink"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {"list": []},
        "links": [
            {
                "title": "LedgerLink",
                "type": "dashboards",
                "tags": ["ledgerlink"],
                "asDropdown": True,
                "includeVars": False,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "panels": panels,
    }


def _panel(panel: Panel, number: int, grid: dict[str, int]) -> dict[str, Any]:
    """One panel; what it says of an empty one stands in its description."""
    description = " ".join(
        part for part in (panel.meaning, f"May be empty: {panel.idle}." if panel.idle else "") if part
    )
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": description,
        "datasource": _SOURCE,
        "gridPos": grid,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "range": True,
            }
            for place, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": {"unit": panel.unit, **_look(panel)}, "overrides": []},
        "options": _options(panel),
    }


def _look(panel: Panel) -> dict[str, Any]:
    """Curves stand on nothing, except those of budgets, which may be overdrawn."""
    return {} if panel.kind == "stat" or panel.unit == "percentunit" else {"min": 0}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "none",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "value_and_name",
            "percentChangeColorMode": "standard",
            "showPercentChange": False,
            "wideLayout": True,
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
