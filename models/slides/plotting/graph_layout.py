"""Lay graphs out in ranks, with edges that cross no box.

After Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system
structures" (1981): cycles are broken, nodes ranked by their longest path, long edges and labels get
boxes of their own in the ranks they pass, and ranks are ordered by barycenters.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.slides.layout import Box

Point = tuple[float, float]
Size = tuple[float, float]
_SWEEPS = 12
_CURVE = 14  # straight pieces of a bend


@dataclass(frozen=True)
class GraphEdge:
    """An edge between two node numbers; ``label`` is the size of its text, if any."""

    source: int
    target: int
    label: Size | None = None


@dataclass(frozen=True)
class EdgeRoute:
    """The path of an edge: one line, or two with its label's box between them."""

    lines: tuple[tuple[Point, ...], ...]
    label: Box | None


@dataclass(frozen=True)
class GraphLayout:
    """A layout from (0, 0) to ``size`` in pixels; ``ranks`` holds each node's rank."""

    nodes: tuple[Box, ...]
    routes: tuple[EdgeRoute, ...]
    size: Size
    ranks: tuple[int, ...]

    def mirrored(self) -> GraphLayout:
        """Return the layout from right to left."""
        width = self.size[0]

        def turned(box: Box) -> Box:
            return Box(width - box.right, box.y, box.width, box.height)

        routes = (
            EdgeRoute(
                tuple(tuple((width - x, y) for x, y in line) for line in route.lines),
                turned(route.label) if route.label else None,
            )
            for route in self.routes
        )
        nodes = tuple(turned(box) for box in self.nodes)
        return GraphLayout(nodes, tuple(routes), self.size, self.ranks)


@dataclass
class _Cell:
    """A box in a rank: a node, a passing edge, or a label. ``across`` is its center."""

    along: float
    width: float
    node: bool
    across: float = 0.0
    before: list[_Cell] = field(default_factory=list)
    after: list[_Cell] = field(default_factory=list)


def layout_graph(
    sizes: Sequence[Size], links: Sequence[GraphEdge], *, down: bool, gap: float, rank_gap: float
) -> GraphLayout:
    """Lay out boxes of ``sizes`` in ranks from left to right, or from top to bottom with ``down``.

    ``gap`` is the distance between boxes of a rank, ``rank_gap`` the minimum distance of ranks, in
    pixels.
    """
    # Worked out as if to the right: along is x, across is y. Turned at the end.
    turned = [(h, w) if down else (w, h) for w, h in sizes]
    reversed_links = _back_links(len(sizes), links)
    forward = [
        (link.target, link.source) if index in reversed_links else (link.source, link.target)
        for index, link in enumerate(links)
    ]
    stride = 2 if any(link.label for link in links) else 1
    ranks = [rank * stride for rank in _assign_ranks(len(sizes), forward)]
    columns: list[list[_Cell]] = [[] for _ in range(max(ranks) + 1)]
    nodes = [_Cell(w, h, node=True) for w, h in turned]
    for cell, rank in zip(nodes, ranks, strict=True):
        columns[rank].append(cell)
    chains: list[list[_Cell]] = []
    labels: list[_Cell | None] = []
    for link, (first, last) in zip(links, forward, strict=True):
        chain, label = _chain(link, nodes, ranks, first, last, columns, down, gap)
        chains.append(chain)
        labels.append(label)
    _reduce_crossings(columns)
    _place_across(columns, gap)
    starts, total = _rank_spans(columns, rank_gap)
    rank_of = {id(cell): rank for rank, column in enumerate(columns) for cell in column}
    low = min(cell.across - cell.width / 2 for column in columns for cell in column)
    high = max(cell.across + cell.width / 2 for column in columns for cell in column)

    def box(cell: _Cell) -> Box:
        start, depth = starts[rank_of[id(cell)]]
        x = start + (depth - cell.along) / 2
        y = cell.across - cell.width / 2 - low
        return Box(y, x, cell.width, cell.along) if down else Box(x, y, cell.along, cell.width)

    ports = _Ports(chains)
    routes: list[EdgeRoute] = []
    for index, (chain, label) in enumerate(zip(chains, labels, strict=True)):
        lines = _lines(chain, label, starts, rank_of, ports, low)
        if index in reversed_links:
            lines = [line[::-1] for line in lines[::-1]]
        if down:
            lines = [[(y, x) for x, y in line] for line in lines]
        routes.append(EdgeRoute(tuple(map(tuple, lines)), box(label) if label else None))
    size = (high - low, total) if down else (total, high - low)
    order = sorted(set(ranks))
    compact = tuple(order.index(rank) for rank in ranks)
    return GraphLayout(tuple(box(cell) for cell in nodes), tuple(routes), size, compact)


def _back_links(count: int, links: Sequence[GraphEdge]) -> set[int]:
    """Return the edges that close a cycle when the nodes are visited in order."""
    leaving: list[list[int]] = [[] for _ in range(count)]
    for index, link in enumerate(links):
        leaving[link.source].append(index)
    state = [0] * count  # 0 unseen, 1 on the way here, 2 done
    back: set[int] = set()

    def visit(node: int) -> None:
        state[node] = 1
        for index in leaving[node]:
            target = links[index].target
            if state[target] == 1:
                back.add(index)
            elif state[target] == 0:
                visit(target)
        state[node] = 2

    for node in range(count):
        if state[node] == 0:
            visit(node)
    return back


def _assign_ranks(count: int, links: Sequence[tuple[int, int]]) -> list[int]:
    ranks = [0] * count
    for _ in range(count):
        for source, target in links:
            ranks[target] = max(ranks[target], ranks[source] + 1)
    # A source far from what it leads to moves up to it.
    for node in range(count):
        targets = [ranks[b] for a, b in links if a == node]
        if targets and not any(b == node for _, b in links):
            ranks[node] = min(targets) - 1
    return ranks


def _chain(
    link: GraphEdge, nodes: list[_Cell], ranks: list[int], first: int, last: int,
    columns: list[list[_Cell]], down: bool, gap: float,
) -> tuple[list[_Cell], _Cell | None]:  # fmt: skip
    """Return the cells that an edge passes, and the cell of its label."""
    chain = [nodes[first]]
    label: _Cell | None = None
    middle = (ranks[first] + ranks[last]) // 2
    for rank in range(ranks[first] + 1, ranks[last]):
        cell = _Cell(0.0, gap * 0.4, node=False)
        if link.label and rank == middle:
            along, width = link.label[::-1] if down else link.label
            cell = label = _Cell(along, width, node=False)
        columns[rank].append(cell)
        chain.append(cell)
    chain.append(nodes[last])
    for a, b in itertools.pairwise(chain):
        a.after.append(b)
        b.before.append(a)
    return chain, label


def _reduce_crossings(columns: list[list[_Cell]]) -> None:
    """Reduce crossings: move each cell to the mean position of its neighbors in the next rank."""
    best, fewest = [list(column) for column in columns], _crossings(columns)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for column in columns[1:] if forward else columns[-2::-1]:
            place = {id(c): i for other in columns for i, c in enumerate(other)}

            def mean(cell: _Cell, place: dict[int, int] = place, f: bool = forward) -> float:
                near = cell.before if f else cell.after
                at = [place[id(other)] for other in near] or [place[id(cell)]]
                return sum(at) / len(at)

            column.sort(key=mean)
        crossings = _crossings(columns)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    columns[:] = best


def _crossings(columns: list[list[_Cell]]) -> int:
    count = 0
    for left, right in itertools.pairwise(columns):
        place = {id(cell): index for index, cell in enumerate(right)}
        ends = [(i, place[id(b)]) for i, a in enumerate(left) for b in a.after if id(b) in place]
        for index, (a, b) in enumerate(ends):
            count += sum((a - c) * (b - d) < 0 for c, d in ends[index + 1 :])
    return count


def _place_across(columns: list[list[_Cell]], gap: float) -> None:
    """Move cells towards the middle of their neighbors, at least ``gap`` apart."""
    for column in columns:
        total = sum(cell.width for cell in column) + gap * (len(column) - 1)
        at = -total / 2
        for cell in column:
            cell.across = at + cell.width / 2
            at += cell.width + gap
    for sweep in range(2 * _SWEEPS):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            targets = [
                sum(near.across for near in (*c.before, *c.after)) / len((*c.before, *c.after))
                if c.before or c.after
                else c.across
                for c in column
            ]
            _place_column(column, targets, gap)


def _place_column(column: list[_Cell], targets: list[float], gap: float) -> None:
    """Place cells as near to ``targets`` as order and gaps allow: the mean of two greedy passes."""
    down, up = list(targets), list(targets)
    for index in range(1, len(column)):
        apart = (column[index - 1].width + column[index].width) / 2 + gap
        down[index] = max(down[index], down[index - 1] + apart)
        back = len(column) - 1 - index
        apart = (column[back].width + column[back + 1].width) / 2 + gap
        up[back] = min(up[back], up[back + 1] - apart)
    for cell, a, b in zip(column, down, up, strict=True):
        cell.across = (a + b) / 2


def _rank_spans(
    columns: list[list[_Cell]], between: float
) -> tuple[list[tuple[float, float]], float]:
    """Return where each rank starts and its depth, and where the last rank ends."""
    starts: list[tuple[float, float]] = []
    at = 0.0
    for column in columns:
        depth = max((cell.along for cell in column), default=0.0)
        starts.append((at, depth))
        # Ranks that only edges and their labels pass need less room around them.
        at += depth + (between if any(cell.node for cell in column) else between * 0.8)
    last_start, last_depth = starts[-1]
    return starts, last_start + last_depth


class _Ports:
    """The points where edges leave and enter a node: side by side, in the order of their ends."""

    def __init__(self, chains: list[list[_Cell]]) -> None:
        self.at: dict[tuple[int, int, bool], float] = {}
        ends: dict[tuple[int, bool], list[tuple[float, int]]] = {}
        nodes: dict[int, _Cell] = {}
        for index, chain in enumerate(chains):
            for node, near, leaving in ((chain[0], chain[1], True), (chain[-1], chain[-2], False)):
                nodes[id(node)] = node
                ends.setdefault((id(node), leaving), []).append((near.across, index))
        for (key, leaving), links in ends.items():
            room = nodes[key].width * 0.6
            for place, (_, index) in enumerate(sorted(links)):
                share = (place + 1) / (len(links) + 1) - 0.5
                self.at[index, key, leaving] = nodes[key].across + share * room
        self.chains = {id(chain): index for index, chain in enumerate(chains)}

    def of(self, chain: list[_Cell], cell: _Cell, leaving: bool) -> float:
        if not cell.node:
            return cell.across
        return self.at[self.chains[id(chain)], id(cell), leaving]


def _lines(
    chain: list[_Cell], label: _Cell | None, starts: list[tuple[float, float]],
    rank_of: dict[int, int], ports: _Ports, low: float,
) -> list[list[Point]]:  # fmt: skip
    """Route an edge: it bends between ranks and follows its own cell inside a rank."""
    lines: list[list[Point]] = [[]]
    for a, b in itertools.pairwise(chain):
        start, depth = starts[rank_of[id(a)]]
        leave = start + depth
        enter, next_depth = starts[rank_of[id(b)]]
        y0, y1 = ports.of(chain, a, True) - low, ports.of(chain, b, False) - low
        if a.node or a is label:
            lines[-1].append((start + (depth + a.along) / 2, y0))
        lines[-1] += _bend((leave, y0), (enter, y1))
        if b.node or b is label:
            lines[-1].append((enter + (next_depth - b.along) / 2, y1))
        if b is label:
            lines.append([])
    return lines


def _bend(a: Point, b: Point) -> list[Point]:
    """Draw an S curve from ``a`` to ``b`` that starts and ends along the direction of the ranks."""
    if abs(a[1] - b[1]) < 0.5:
        return [a, b]
    steps = [index / _CURVE for index in range(_CURVE + 1)]
    return [
        (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * (3 * t * t - 2 * t**3)) for t in steps
    ]
