"""Charts and diagrams of Office files as text: their title, and what they show as a table (ECMA-376 part 1, 21)."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from retrieval.extraction.builder import TextBuilder
from retrieval.extraction.package import Package, attribute, child, every

MAX_POINTS = 10_000


def write_charts(builder: TextBuilder, package: Package, name: str, frame: Element) -> bool:
    """Write the charts and diagrams that `frame`, in the part `name`, refers to. Says whether there was one."""
    targets = {relation.identifier: relation.target for relation in package.relations(name)}
    found = False
    for chart in every(frame, "chart"):
        if (target := targets.get(attribute(chart, "id"), "")) in package:
            _write_chart(builder, package.part(target))
            found = True
    for diagram in every(frame, "relIds"):
        if (target := targets.get(attribute(diagram, "dm"), "")) in package:
            builder.lines(_points(package.part(target)))
            found = True
    return found


def _write_chart(builder: TextBuilder, part: Element) -> None:
    for title in (child(part, "chart", "title"), *every(part, "valAx"), *every(part, "catAx")):
        if title is not None:
            builder.block(_text(title))
    series = list(every(part, "ser"))
    columns = [_values(one, "val") or _values(one, "yVal") for one in series]
    labels = next((found for one in series if (found := _values(one, "cat") or _values(one, "xVal"))), {})
    rows = sorted({index for column in columns for index in column})
    builder.table(
        [
            ["", *(_name(one) for one in series)],
            *([labels.get(index, ""), *(column.get(index, "") for column in columns)] for index in rows),
        ]
    )


def _name(series: Element) -> str:
    name = child(series, "tx")
    return "" if name is None else " ".join(node.text or "" for node in every(name, "v"))


def _values(series: Element, kind: str) -> dict[int, str]:
    """The cached values by their index."""
    found = child(series, kind)
    points = [] if found is None else [point for point in every(found, "pt") if point.get("idx", "").isdigit()]
    texts = {int(point.get("idx", "")): next((node.text or "" for node in every(point, "v")), "") for point in points}
    return dict(list(texts.items())[:MAX_POINTS])


def _text(node: Element) -> str:
    return " ".join("".join(inner.text or "" for inner in every(node, "t")).split())


def _points(diagram: Element) -> Iterator[str]:
    return (text for point in every(diagram, "pt") if (text := _text(point)))
