"""The skeleton of a section as a graph: branches with their course and width, joined at nodes.

0. Thinning after Guo and Hall (Comm. ACM 32 (1989) 359), and not after Zhang and Suen (1984) as ``Section.skeleton``:
   theirs eats lines up that run near 45 degrees and are an even number of pixels wide, whole straight roots of 160
   pixels among them.
1. Tracing. Two pixels of the skeleton are linked if they are 4-neighbours, or diagonal ones without a common
   4-neighbour in the skeleton (m-adjacency, Rosenfeld 1970). One link makes a free end, three or more a junction;
   junction pixels that are linked are one node, at their mean place. Branches run from node to node; a ring without
   a node is a branch too. Lone pixels are dropped.
2. Pruning. A branch that ends freely no farther from its junction than ``SPUR`` times the local radius there is a
   bump of the outline, not a root: a true branch must reach out of the disc that fills its parent. The shortest
   at each junction goes first, and what it leaves behind is joined again.
3. Merging. Two junctions nearer than the local radius are one node: two roots that cross meet in four branches.
4. Parts with two free ends that are shorter than they are wide are grains, not roots, and are dropped.
5. The staircase of pixels is smoothed away: the coordinates along a branch, continued by point reflection at its ends
   (so that these stay, and straight lines stay straight), are filtered with a Gaussian of ``SMOOTHING`` pixels. The
   length of a straight line is then right within 0.5 % at any angle; a bow of radius R pixels is shortened by
   about SMOOTHING^2 / (2 R^2), 2 % at R = 10.
6. Thinning stops at the centre of a round tip (within a pixel), and about one radius before the edge of the picture,
   where a root is cut off flat. A free end that near to the edge is no tip: its branch goes on straight to the edge.

The radius is ``Section.distance``. All lengths are in ``Section.unit``; pixels need not be square.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from morphogen.evaluation.section import Section

SMOOTHING = 2.0
"""Standard deviation of the filter along a branch, pixels."""

SPUR = 1.25
"""A free branch no longer than this many local radii is a spur."""

TO_THE_EDGE = 1.5
"""An end no farther from the edge than this many radii, and a pixel, is cut off by it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A piece of the skeleton between two nodes.

    Attributes:
        points: ``(n, 2)`` smoothed course, y down and x from the upper left corner of the picture.
        radii: ``(n,)`` distance from the centre of each pixel of the skeleton to the nearest one outside the phase.
        nodes: numbers of the nodes at its first and last point; -1, -1 for a ring.
        along: ``(n,)`` arc length from the first point.
    """

    points: Floats
    radii: Floats
    nodes: tuple[int, int]
    along: Floats


@dataclass(frozen=True, slots=True, eq=False)
class SkeletonGraph:
    """Branches and nodes.

    Attributes:
        branches: all of them.
        places: ``(m, 2)`` y and x of the nodes.
        radii: ``(m,)`` local radius at the nodes.
        degrees: ``(m,)`` how many branches meet: 1 at a free end, 3 at a branch point, 4 at a crossing, 0 for a node
            that was pruned away.
        at_edge: ``(m,)`` free ends that the edge of the picture cuts off.
    """

    branches: tuple[Branch, ...]
    places: Floats
    radii: Floats
    degrees: NDArray[np.intp]
    at_edge: NDArray[np.bool_]

    @property
    def length(self) -> float:
        """Length of all branches together."""
        return float(sum(branch.along[-1] for branch in self.branches))


@lru_cache(maxsize=8)  # the descriptors of one section are read one after the other, of a few sections at a time
def skeleton_graph(section: Section) -> SkeletonGraph:
    """The graph of a section that is not all phase; without branches where there is no phase."""
    return graph_of_skeleton(section.skeleton, section.distance, section.pixel)


def graph_of_skeleton(
    skeleton: NDArray[np.bool_], distance: Floats, pixel: tuple[float, float] = (1.0, 1.0)
) -> SkeletonGraph:
    """The graph of a skeleton.

    Args:
        skeleton: ``(height, width)``, lines one pixel wide.
        distance: ``(height, width)`` local radius on them, in the unit of ``pixel``.
        pixel: height and width of a pixel.
    """
    graph = _Graph(skeleton, distance, pixel)
    graph.prune()
    graph.merge()
    graph.drop_grains()
    field = np.array(skeleton.shape) * pixel
    degrees = np.array([len(graph.at[node]) for node in range(len(graph.places))], dtype=np.intp)
    to_edge = np.minimum(graph.places, field - graph.places).min(axis=1)
    at_edge = (degrees == 1) & (to_edge <= TO_THE_EDGE * graph.radii + max(pixel))
    return SkeletonGraph(
        branches=tuple(_branch(path, at_edge, field) for path in graph.paths.values()),
        places=graph.places,
        radii=graph.radii,
        degrees=degrees,
        at_edge=at_edge,
    )


@dataclass(slots=True, eq=False)
class _Path:
    """A branch before it is smoothed."""

    points: Floats
    radii: Floats
    nodes: tuple[int, int]

    def to(self, node: int) -> "_Path":
        """The same path, with that node at its end."""
        return self if self.nodes[1] == node else self.backwards()

    def backwards(self) -> "_Path":
        return _Path(self.points[::-1], self.radii[::-1], self.nodes[::-1])


class _Graph:
    """Paths that are pruned and merged; ``at`` lists the paths at each node (a loop twice)."""

    def __init__(self, skeleton: NDArray[np.bool_], distance: Floats, pixel: tuple[float, float]) -> None:
        linked = _links(skeleton)
        count = (linked >= 0).sum(axis=1)
        pixels: Floats = (np.argwhere(skeleton) + 0.5) * np.array(pixel)
        radii = distance[skeleton]
        node = _nodes(linked, count)
        sizes = np.bincount(node[node >= 0])
        inside = node >= 0
        self.places = np.stack(
            [np.bincount(node[inside], weights=pixels[inside, axis]) / sizes for axis in (0, 1)], axis=1
        )
        self.radii = np.zeros(len(sizes))
        np.maximum.at(self.radii, node[inside], radii[inside])

        self.paths: dict[int, _Path] = {}
        self.at: dict[int, list[int]] = {k: [] for k in range(len(sizes))}
        for walk in _walks(linked, count, node):
            points, (first, last) = pixels[walk], (int(node[walk[0]]), int(node[walk[-1]]))
            if first >= 0:
                points[0], points[-1] = self.places[first], self.places[last]
            self.add(_Path(points, radii[walk], (first, last)))

    def add(self, path: _Path) -> None:
        number = len(self.paths) if not self.paths else next(reversed(self.paths)) + 1
        self.paths[number] = path
        for node in path.nodes:
            if node >= 0:
                self.at[node].append(number)

    def remove(self, number: int) -> _Path:
        path = self.paths.pop(number)
        for node in path.nodes:
            if node >= 0:
                self.at[node].remove(number)
        return path

    def join(self, node: int) -> None:
        """Make one path of the two that meet in a node."""
        if len(self.at[node]) != 2 or self.at[node][0] == self.at[node][1]:
            return
        first, second = (self.remove(number).to(node) for number in tuple(self.at[node]))
        second = second.backwards()
        points = np.concatenate([first.points, second.points[1:]])
        radii = np.concatenate([first.radii, second.radii[1:]])
        self.add(_Path(points, radii, (first.nodes[0], second.nodes[1])))

    def apart(self, path: _Path) -> float:
        """Straight distance between the nodes of a path."""
        return math.dist(self.places[path.nodes[0]], self.places[path.nodes[1]])

    def prune(self) -> None:
        while True:
            spurs: dict[int, tuple[float, int]] = {}
            for number, path in self.paths.items():
                for tip, fork in (path.nodes, path.nodes[::-1]):
                    if tip >= 0 and len(self.at[tip]) == 1 and len(self.at[fork]) > 2:
                        reach = self.apart(path)
                        if reach <= SPUR * self.radii[fork]:
                            spurs[fork] = min(spurs.get(fork, (math.inf, 0)), (reach, number))
            if not spurs:
                return
            for fork, (_, number) in spurs.items():
                self.remove(number)
                self.join(fork)

    def merge(self) -> None:
        short = {}
        for number, path in self.paths.items():
            a, b = path.nodes
            if a < 0 or len(self.at[a]) < 3 or len(self.at[b]) < 3:
                continue
            radius = max(self.radii[a], self.radii[b])
            # The way round a hole between two near junctions is no link between them.
            if self.apart(path) < radius and np.hypot(*np.diff(path.points, axis=0).T).sum() < 2 * radius:
                short[number] = (a, b)
        if not short:
            return
        ends = np.array(list(short.values()))
        size = len(self.places)
        links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
        group = connected_components(links, directed=False)[1]
        for number in short:
            self.remove(number)
        members: dict[int, list[int]] = {}
        for node in np.unique(ends).tolist():
            members.setdefault(int(group[node]), []).append(node)
        for nodes in members.values():
            kept = nodes[0]
            self.places[kept] = self.places[nodes].mean(axis=0)
            self.radii[kept] = self.radii[nodes].max()
            for number in {number for node in nodes for number in self.at[node]}:
                path = self.remove(number)
                for _ in range(2):
                    if path.nodes[1] in nodes:
                        points = np.concatenate([path.points, self.places[kept][None]])
                        radii = np.concatenate([path.radii, path.radii[-1:]])
                        path = _Path(points, radii, (path.nodes[0], kept))
                    path = path.backwards()
                self.add(path)
            self.join(kept)

    def drop_grains(self) -> None:
        for number, path in list(self.paths.items()):
            a, b = path.nodes
            alone = a >= 0 and len(self.at[a]) == len(self.at[b]) == 1
            if alone and self.apart(path) < 2 * path.radii.max():
                self.remove(number)


def _links(skeleton: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Numbers of the linked pixels of each pixel of the skeleton, ``(n, 8)``, in scan order; -1 for none."""
    padded = np.pad(skeleton, 1)
    y, x = np.nonzero(padded)
    number = np.full(padded.shape, -1, dtype=np.intp)
    number[y, x] = np.arange(len(y))
    found = [number[y + dy, x + dx] for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0))]
    for dy, dx in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        shared = padded[y + dy, x] | padded[y, x + dx]
        found.append(np.where(shared, -1, number[y + dy, x + dx]))
    return np.stack(found, axis=1)


def _nodes(linked: NDArray[np.intp], count: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number of the node that each pixel belongs to, ``(n,)``; -1 on the way between nodes."""
    ends, junction = np.flatnonzero(count == 1), count >= 3
    node = np.full(len(count), -1, dtype=np.intp)
    node[ends] = np.arange(len(ends))
    start, which = np.nonzero(junction[:, None] & (linked >= 0))
    stop = linked[start, which]
    both = junction[stop]
    links = coo_array((np.ones(both.sum()), (start[both], stop[both])), shape=(len(count), len(count)))
    cluster = connected_components(links, directed=False)[1] if len(count) else node
    node[junction] = len(ends) + np.unique(cluster[junction], return_inverse=True)[1]
    return node


def _walks(linked: NDArray[np.intp], count: NDArray[np.intp], node: NDArray[np.intp]) -> list[list[int]]:
    """The pixels of each path, from node to node; a ring comes back to its first pixel."""
    neighbours = [[other for other in row if other >= 0] for row in linked.tolist()]
    belongs = node.tolist()
    seen = node >= 0
    walks, arrived = [], set()

    def walk(start: int, step: int) -> list[int]:
        path = [start, step]
        while belongs[path[-1]] < 0 and path[-1] != start:
            one, other = neighbours[path[-1]]
            path.append(other if one == path[-2] else one)
        seen[path] = True
        return path

    for start in np.flatnonzero(node >= 0).tolist():
        for step in neighbours[start]:
            if (start, step) not in arrived and belongs[step] != belongs[start]:
                walks.append(walk(start, step))
                arrived.add((walks[-1][-1], walks[-1][-2]))
    for start in np.flatnonzero(~seen & (count == 2)).tolist():
        if not seen[start]:
            walks.append(walk(start, neighbours[start][0]))
    return walks


def _branch(path: _Path, at_edge: NDArray[np.bool_], field: Floats) -> Branch:
    points, radii = _smoothed(path.points, closed=path.nodes[0] < 0), path.radii
    for node in reversed(path.nodes):  # turned round after each, so that the node is that of the last point
        if node >= 0 and at_edge[node]:
            way = points[-1] - points[max(0, len(points) - 1 - math.ceil(4 * SMOOTHING))]
            points = np.concatenate([points, _on_the_edge(points[-1], way, field)[None]])
            radii = np.append(radii, radii[-1])
        points, radii = points[::-1], radii[::-1]
    along = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    return Branch(points, radii, path.nodes, along)


def _smoothed(points: Floats, closed: bool) -> Floats:
    last = len(points) - 1
    reach = min(math.ceil(3 * SMOOTHING), last)  # short branches have a shorter filter
    if reach < 2:
        return points
    if closed:
        before, after = points[-1 - reach : -1], points[1 : 1 + reach]
    else:
        before, after = 2 * points[0] - points[reach:0:-1], 2 * points[-1] - points[-2 : -2 - reach : -1]
    continued = np.concatenate([before, points, after])
    weights = _gaussian(reach)
    return np.stack([np.convolve(continued[:, axis], weights, mode="valid") for axis in (0, 1)], axis=1)


@lru_cache(maxsize=16)
def _gaussian(reach: int) -> Floats:
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / min(SMOOTHING, reach / 3)) ** 2)
    normed: Floats = weights / weights.sum()
    return normed


def _on_the_edge(end: Floats, way: Floats, field: Floats) -> Floats:
    """Where a straight way from an end meets the edge, or the nearest point of the edge, where that is much nearer."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(way > 0, (field - end) / way, np.where(way < 0, -end / way, np.inf))
    met = end + way * shares.min() if np.isfinite(shares).any() else end
    gaps = np.stack([end, field - end])  # (2, 2): to the top and left, to the bottom and right
    side, axis = np.unravel_index(gaps.argmin(), gaps.shape)
    if 0 < math.dist(end, met) <= 2 * gaps.min():
        return met
    nearest = end.copy()
    nearest[axis] = field[axis] * side
    return nearest
