"""Regular outlines: straight sides and right angles where the pixels nearly have them.

Borders are cut into sides (Douglas and Peucker, 1973), lines are fitted to the pixel edges of each
side by least squares, lines near an object's main directions are turned to them, and corners are
where lines meet. Neighbours share each border, so they cannot drift apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import numpy as np

from lightning_seg.prediction.borders import Border, SharedBorders, shared_borders

# Greatest deviation from a right angle that is made one, in degrees, and for short sides.
_ANGLE = np.deg2rad(15)
_ANGLE_OF_SHORT = np.deg2rad(35)
# Lines that differ by less are taken for parallel where they meet.
_PARALLEL = np.deg2rad(15)
# Objects that share a border and whose main directions differ by less have one direction.
_SAME_DIRECTION = np.deg2rad(10)
# Least share of an outline's length that a main direction and its perpendicular have.
_SUPPORT = 0.5
# Longest sides that are tried as main direction.
_CANDIDATES = 50
_QUARTER = np.pi / 2


def regular_outlines(outlines: np.ndarray, size: tuple[int, int], tolerance: float) -> np.ndarray:
    """Return regular outlines of objects; neighbours still share their borders.

    Where the regular outline would cross itself or another one, its borders keep the corners of
    their simplification or, if those cross, their pixel edges. Borders at the edge of the image
    stay there.

    Args:
        outlines: Polygons in pixel corners, with integer coordinates, that do not overlap.
        size: Height and width of the image.
        tolerance: Tolerance in pixels: how far a straight side may be from the pixel edges, and
            half the length of the shortest side that is kept between two others.
    """
    import shapely

    if not len(outlines):
        return outlines
    shared = shared_borders(outlines, size)
    lines = [shapely.linestrings(border.points) for border in shared.borders]
    simplified = shapely.simplify(lines, tolerance, preserve_topology=False)
    plain = list(map(shapely.get_coordinates, simplified))
    levels = (
        _regular(shared, plain, tolerance),
        plain,
        [border.points.astype(np.float64) for border in shared.borders],
    )
    return _valid(shared, levels)


def noded_outlines(outlines: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the same outlines with a vertex wherever the outline of a neighbour has one."""
    import shapely

    shared = shared_borders(outlines, size)
    lines = [shapely.linestrings(border.points) for border in shared.borders]
    straight = shapely.simplify(lines, 0, preserve_topology=False)
    return shared.polygons(list(map(shapely.get_coordinates, straight)))


def _valid(shared: SharedBorders, levels: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Return polygons of the first level at which they are valid and do not overlap."""
    import shapely

    level = [0] * len(shared.borders)
    node_of = [
        None if border.closed else (tuple(border.points[0]), tuple(border.points[-1]))
        for border in shared.borders
    ]
    while True:
        # A border that keeps its pixels keeps its nodes, too, and others end there.
        fixed = {
            node
            for ends, one in zip(node_of, level, strict=True)
            if ends is not None and one > 0
            for node in ends
        }
        lines = []
        for k, ends in enumerate(node_of):
            line = levels[level[k]][k].copy()
            if ends is not None:
                for end, node in zip((0, -1), ends, strict=True):
                    if node in fixed:
                        line[end] = node
            lines.append(line)
        polygons = shared.polygons(lines)
        wrong = np.array([p is None for p in polygons]) | ~shapely.is_valid(polygons)
        if not wrong.any():
            wrong = ~shapely.is_empty(shapely.coverage_invalid_edges(polygons))
        borders = {
            k
            for number in np.flatnonzero(wrong)
            for ring in shared.rings[number]
            for k, _ in ring
            if level[k] < len(levels) - 1
        }
        if not borders:
            return polygons
        for k in borders:
            level[k] += 1


@dataclass(eq=False)
class _Side:
    """A line fitted to pixel edges.

    Args:
        moments: Number of pixel edges, and sums of x, y, x², xy and y² of their middles.
        ends: Points (N, 2) that must stay near the line.
        angle: Direction of the line, if it is given.
    """

    moments: np.ndarray
    ends: np.ndarray
    angle: float | None = None
    _merged: "_Side | None" = field(default=None, repr=False)

    @property
    def root(self) -> "_Side":
        """The side that this one has become a part of."""
        return self if self._merged is None else self._merged.root

    @property
    def centre(self) -> np.ndarray:
        """A point on the line."""
        return self.moments[1:3] / self.moments[0]

    @property
    def direction(self) -> float:
        """Angle of the line: the given one, or that of the least squares."""
        if self.angle is not None:
            return self.angle
        number, x, y, xx, xy, yy = self.moments
        covariance = xy - x * y / number
        difference = (xx - x * x / number) - (yy - y * y / number)
        return float(np.arctan2(2 * covariance, difference) / 2)

    @property
    def normal(self) -> np.ndarray:
        """Unit normal of the line."""
        return np.array([-np.sin(self.direction), np.cos(self.direction)])

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Return the distances of points (N, 2) to the line."""
        return np.abs((points - self.centre) @ self.normal)

    def feet(self, points: np.ndarray) -> np.ndarray:
        """Return the points of the line nearest to points (N, 2); merged sides keep theirs."""
        if len(points) > 2:
            return points
        return points - np.outer((points - self.centre) @ self.normal, self.normal)

    def joined(self, other: "_Side") -> "_Side":
        """Return one line for both."""
        angle = self.angle if self.angle is not None else other.angle
        ends = np.concatenate([self.feet(self.ends), other.feet(other.ends)])
        return _Side(self.moments + other.moments, ends, angle)

    def become(self, part_of: "_Side") -> None:
        """Become a part of another side."""
        self._merged = part_of


@dataclass
class _Course:
    """Sides of a border, and the points between them.

    An open border has one more point than sides, its nodes included; a closed one has as many,
    each at the start of its side.
    """

    sides: list[_Side]
    points: list[np.ndarray]
    closed: bool

    def stop(self, number: int) -> np.ndarray:
        """Return the point at the end of a side."""
        return self.points[(number + 1) % len(self.points)]

    def length(self, number: int) -> float:
        """Return the length of a side."""
        return float(np.linalg.norm(self.stop(number) - self.points[number]))


def _regular(
    shared: SharedBorders, plain: Sequence[np.ndarray], tolerance: float
) -> list[np.ndarray]:
    """Return the regular course (N, 2) of every border."""
    courses = [
        None if border.at_edge else _course(border, corners)
        for border, corners in zip(shared.borders, plain, strict=True)
    ]
    _turn(shared.borders, courses, tolerance, len(shared.rings))
    for course in courses:
        if course is not None:
            _drop_short(course, tolerance)
            _join_neighbours(course, tolerance)
    nodes = _node_positions(shared.borders, courses, tolerance)
    return [
        _drawn(border, corners, course, nodes, tolerance)
        for border, corners, course in zip(shared.borders, plain, courses, strict=True)
    ]


def _course(border: Border, corners: np.ndarray) -> _Course:
    """Fit a line to each side of a simplified border."""
    points = border.points
    width = int(points[:, 0].max()) + 1
    numbers, wanted = points @ (1, width), corners[1:-1].astype(np.int64) @ (1, width)
    order = np.argsort(numbers[:-1])
    at = [0, *order[np.searchsorted(numbers[order], wanted)].tolist(), len(points) - 1]
    middles = (points[:-1] + points[1:]) / 2
    x, y = middles.T
    each = np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y], axis=1)
    sums = np.concatenate([np.zeros((1, 6)), np.cumsum(each, axis=0)])
    sides = []
    for start, stop in pairwise(at):
        # Corners are rounded by pixels and noise.
        trim = min(2, (stop - start) // 6)
        moments = sums[stop - trim] - sums[start + trim]
        ends = points[[start + trim, stop - trim]].astype(np.float64)
        sides.append(_Side(moments, ends))
    breaks = [points[k].astype(np.float64) for k in at]
    return _Course(sides, breaks[:-1] if border.closed else breaks, border.closed)


def _turn(
    borders: Sequence[Border],
    courses: Sequence[_Course | None],
    tolerance: float,
    objects: int,
) -> None:
    """Turn sides that are nearly along a main direction of their object, or across it."""
    of_object: list[list[tuple[_Side, float]]] = [[] for _ in range(objects)]
    for border, course in zip(borders, courses, strict=True):
        if course is None:
            continue
        for number, side in enumerate(course.sides):
            for owner in border.owners:
                of_object[owner].append((side, course.length(number)))
    angles: list[np.ndarray] = []
    lengths: list[np.ndarray] = []
    for sides in of_object:
        angles.append(np.array([side.direction for side, _ in sides]))
        lengths.append(np.array([length for _, length in sides]))
    main = [_main_direction(a, n, n.sum()) for a, n in zip(angles, lengths, strict=True)]
    _unite(main, borders, angles, lengths)
    for sides, angle, at, length in zip(of_object, main, angles, lengths, strict=True):
        wanted = angle
        for _ in range(3):  # the main directions of a winged building
            if wanted is None:
                break
            free = np.array([side.angle is None for side, _ in sides], bool)
            for k in np.flatnonzero(free):
                _snap(sides[k][0], wanted, float(length[k]), tolerance)
            free = np.array([side.angle is None for side, _ in sides], bool)
            wanted = _main_direction(at[free], length[free], length[free].sum())
            if wanted is not None and length[free].sum() < 0.2 * length.sum():
                wanted = None


def _main_direction(angles: np.ndarray, lengths: np.ndarray, total: float) -> float | None:
    """Return the direction, modulo a right angle, of most of the length; None if there is none."""
    if len(angles) < 2:
        return None
    candidates = np.argsort(-lengths, kind="stable")[:_CANDIDATES]
    off = _off(angles[:, None], angles[candidates][None])
    supports = (np.abs(off) < _ANGLE) * lengths[:, None]
    best = int(supports.sum(axis=0).argmax())
    near = np.abs(off[:, best]) < _ANGLE
    if lengths[near].sum() < _SUPPORT * total or near.sum() < 2:
        return None
    # The angle of a line that is fitted to n pixels is about n^(3/2) times as exact.
    weights = lengths[near] ** 3
    return float(angles[candidates[best]] + (weights * off[near, best]).sum() / weights.sum())


def _unite(
    main: list[float | None],
    borders: Sequence[Border],
    angles: Sequence[np.ndarray],
    lengths: Sequence[np.ndarray],
) -> None:
    """Give neighbours with nearly the same main direction a common one."""
    group = list(range(len(main)))

    def root(k: int) -> int:
        while group[k] != k:
            k = group[k]
        return k

    for border in borders:
        for one, other in combinations(border.owners, 2):
            a, b = main[one], main[other]
            if a is not None and b is not None and abs(_off(a, b)) < _SAME_DIRECTION:
                group[root(other)] = root(one)
    members: dict[int, list[int]] = {}
    for k in range(len(main)):
        members.setdefault(root(k), []).append(k)
    for every in members.values():
        if len(every) > 1:
            all_angles = np.concatenate([angles[k] for k in every])
            all_lengths = np.concatenate([lengths[k] for k in every])
            common = _main_direction(all_angles, all_lengths, all_lengths.sum())
            for k in every:
                main[k] = common if common is not None else main[k]


def _snap(side: _Side, main: float, length: float, tolerance: float) -> None:
    """Turn a side to a main direction if it is near, or too short to tell."""
    off = float(_off(side.direction, main))
    moves_little = length / 2 * abs(np.sin(off)) <= tolerance / 2
    if abs(off) < _ANGLE or (moves_little and abs(off) < _ANGLE_OF_SHORT):
        side.angle = side.direction - off


def _off(angle: np.ndarray | float, other: np.ndarray | float) -> np.ndarray:
    """Return the difference of directions modulo a right angle, from -45 to 45 degrees."""
    return (np.asarray(angle) - other + _QUARTER / 2) % _QUARTER - _QUARTER / 2


def _parallel(one: _Side, other: _Side) -> bool:
    """Return whether two lines have nearly the same direction."""
    off = (one.direction - other.direction + _QUARTER) % np.pi - _QUARTER
    return bool(abs(off) < _PARALLEL)


def _drop_short(course: _Course, tolerance: float) -> None:
    """Drop sides that are too short to be more than noise of a corner or of a wall."""
    for share in (0.25, 0.5, 0.75, 1):  # the shortest first
        number = 0
        while number < len(course.sides) and len(course.sides) > (4 if course.closed else 1):
            short = course.length(number) < share * _shortest(course, number, tolerance)
            dropped = short and _drop(course, number, tolerance)
            number = max(number - 2, 0) if dropped else number + 1


def _shortest(course: _Course, number: int, tolerance: float) -> float:
    """Return the length below which a side may be noise; an oblique one may cut off a corner."""
    sides = course.sides
    beside = (sides[number - 1], sides[(number + 1) % len(sides)])
    cuts = sides[number].angle is None and all(side.angle is not None for side in beside)
    return (4 if cuts else 2) * tolerance


def _drop(course: _Course, number: int, tolerance: float) -> bool:
    """Drop a short side if its neighbours meet near it, or are one line; return whether so."""
    sides, points = course.sides, course.points
    last = len(sides) - 1
    if not course.closed and number in (0, last):
        node, beside = (0, 1) if number == 0 else (last + 1, last - 1)
        if sides[beside].distances(points[node][None])[0] > tolerance:
            return False
        del sides[number], points[1 if number == 0 else last]
        return True
    before, after = (number - 1) % len(sides), (number + 1) % len(sides)
    middle = (points[number] + course.stop(number)) / 2
    if _parallel(sides[before], sides[after]):
        line = _one_line(sides[before], sides[after], tolerance)
        if line is None:
            return False
        sides[before] = line
        for gone in sorted({number, after}, reverse=True):
            del sides[gone], points[gone]
        return True
    if np.linalg.norm(_meeting([sides[before], sides[after]], middle) - middle) > 2 * tolerance:
        return False
    points[(number + 1) % len(points)] = middle
    del sides[number], points[number]
    return True


def _join_neighbours(course: _Course, tolerance: float) -> None:
    """Join sides that follow each other on one line."""
    number = 0 if course.closed else 1
    while number < len(course.sides) and len(course.sides) > (4 if course.closed else 1):
        one, other = course.sides[number - 1], course.sides[number]
        line = _one_line(one, other, tolerance) if _parallel(one, other) else None
        if line is None:
            number += 1
            continue
        course.sides[number - 1] = line
        del course.sides[number], course.points[number]


def _one_line(one: _Side, other: _Side, tolerance: float) -> _Side | None:
    """Return one line for two sides; None if it would be too far from them."""
    line = one.joined(other)
    return line if line.distances(line.ends).max() <= tolerance else None


def _node_positions(
    borders: Sequence[Border], courses: Sequence[_Course | None], tolerance: float
) -> dict[tuple[int, ...], np.ndarray]:
    """Return the position of every node: where the lines that end there meet."""
    ends: dict[tuple[int, ...], list[_Side]] = {}
    edges: dict[tuple[int, ...], list[np.ndarray]] = {}
    for border, course in zip(borders, courses, strict=True):
        if border.closed:
            continue
        for end, beside in ((0, 1), (-1, -2)):
            node = tuple(border.points[end])
            if course is None:
                along = np.abs(border.points[beside] - border.points[end]).astype(np.float64)
                edges.setdefault(node, []).append(along)
            else:
                ends.setdefault(node, []).append(course.sides[end])
    for sides in ends.values():  # a wall goes on where another one ends at it
        for one, other in combinations(sides, 2):
            first, second = one.root, other.root
            if first is second or not _parallel(first, second):
                continue
            line = _one_line(first, second, tolerance)
            if line is not None:
                first.become(line)
                second.become(line)
    positions = {}
    for node in ends.keys() | edges.keys():
        at = np.array(node, np.float64)
        sides = list({id(side.root): side.root for side in ends.get(node, ())}.values())
        position = _corner(sides, at, tolerance, edges.get(node, ()))
        for along in edges.get(node, ()):
            position = np.where(along == 0, at, position)
        positions[node] = position
    return positions


def _corner(
    sides: Sequence[_Side],
    near: np.ndarray,
    tolerance: float,
    edges: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Return the point where lines meet, unless it is far from where the pixels have it."""
    for weight in (1e-9, 0.1):
        corner = _meeting(sides, near, weight, edges)
        if np.linalg.norm(corner - near) <= 2 * tolerance:
            return corner
    return near


def _meeting(
    sides: Sequence[_Side],
    near: np.ndarray,
    weight: float = 1e-9,
    edges: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Return the point nearest to all lines, and with a small weight to ``near``."""
    matrix, right = weight * np.eye(2), weight * near
    for side in sides:
        normal = side.normal
        matrix = matrix + np.outer(normal, normal)
        right = right + normal * (normal @ side.centre)
    for along in edges:
        across = np.diag(1e6 * (along == 0))
        matrix, right = matrix + across, right + across @ near
    return np.linalg.solve(matrix, right)


def _drawn(
    border: Border,
    corners: np.ndarray,
    course: _Course | None,
    nodes: dict[tuple[int, ...], np.ndarray],
    tolerance: float,
) -> np.ndarray:
    """Return the course (N, 2) of a border."""
    if course is None:
        inner = [corners[1:-1]]
    else:
        sides = [side.root for side in course.sides]
        first = 0 if course.closed else 1
        inner = [
            _between(sides[number - 1], sides[number], course.points[number], tolerance)
            for number in range(first, len(sides))
        ]
    if border.closed:
        drawn = np.concatenate([*inner, np.empty((0, 2))])
        return np.concatenate([drawn, drawn[:1]])
    start, stop = (nodes[tuple(border.points[end])] for end in (0, -1))
    return np.concatenate([start[None], *inner, stop[None]])


def _between(one: _Side, other: _Side, near: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the vertices (N, 2) between two sides: one, two at a step, none on one line."""
    if one is other:
        return np.empty((0, 2))
    if one.angle is not None and other.angle is not None and _parallel(one, other):
        return np.concatenate([side.feet(near[None]) for side in (one, other)])
    return _corner([one, other], near, tolerance)[None]
