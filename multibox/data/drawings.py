"""The six objects of the built-in data set, as polygons.

A drawing is a list of (polygon, colour), painted in order. A polygon has (N, 2) points (x, y)
within [-1, 1], y down; a colour is RGB from 0 to 255. The objects of a class vary by random numbers
from a ``numpy.random.Generator``.
"""
import colorsys

import numpy as np


def random_colour(rng, hue, saturation, value):
    """A random RGB colour, 0 to 255; hue, saturation and value are ranges within 0 to 1."""
    hue, saturation, value = (rng.uniform(*bounds) for bounds in (hue, saturation, value))
    return tuple(255 * c for c in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def rectangle(left, top, right, bottom):
    """The four corners (x, y) of a rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def ellipse(x, y, radius_x, radius_y, angle=0):
    """(32, 2) points of an ellipse around (x, y), turned clockwise by ``angle`` radians."""
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    points = np.stack([radius_x * np.cos(t), radius_y * np.sin(t)], axis=1)
    return points @ rotation(angle) + (x, y)


def rotation(angle):
    """Matrix that rotates row vectors (x, y) clockwise on the screen by ``angle`` radians."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def house(rng):
    wall = random_colour(rng, (0.02, 0.16), (0.1, 0.6), (0.7, 1))
    roof = random_colour(rng, (-0.05, 0.06), (0.5, 0.9), (0.4, 0.8))
    pane = random_colour(rng, (0.5, 0.6), (0.2, 0.5), (0.8, 1))
    door = random_colour(rng, (0, 1), (0.4, 0.9), (0.3, 0.6))
    eaves = rng.uniform(-0.3, 0.05)
    side = rng.choice([-1, 1])
    return [
        (rectangle(side * 0.5 - 0.12, -0.85, side * 0.5 + 0.12, eaves), roof),
        (rectangle(-0.8, eaves, 0.8, 1), wall),
        ([(-1, eaves), (0, -1), (1, eaves)], roof),
        (rectangle(side * 0.4 - 0.18, 0.4, side * 0.4 + 0.18, 1), door),
        (rectangle(-side * 0.4 - 0.22, 0.3, -side * 0.4 + 0.22, 0.7), pane),
        (ellipse(0, eaves - 0.28, 0.15, 0.15), pane),
    ]


def tree(rng):
    leaf = random_colour(rng, (0.22, 0.42), (0.4, 0.9), (0.35, 0.8))
    bark = random_colour(rng, (0.04, 0.1), (0.4, 0.8), (0.25, 0.5))
    trunk = rectangle(-0.12, 0.2, 0.12, 1), bark
    if rng.random() < 0.5:  # a conifer
        tiers = [(0.3, 0.75), (-0.15, 0.62), (-0.55, 0.45)]
        return [trunk] + [([(-w, y + 0.3), (0, y - 0.45), (w, y + 0.3)], leaf) for y, w in tiers]
    puffs = [(-0.4, 0), (0.4, 0), (-0.25, -0.4), (0.25, -0.4), (0, -0.1), (0, -0.6)]
    return [trunk] + [(ellipse(x, y, 0.38, 0.38), leaf) for x, y in puffs]


def car(rng):
    paint = random_colour(rng, (0, 1), (0.6, 1), (0.5, 1))
    glass = random_colour(rng, (0.5, 0.6), (0.1, 0.4), (0.7, 1))
    lamp = random_colour(rng, (0.12, 0.17), (0.5, 1), (0.9, 1))
    roof = rng.uniform(0.2, 0.45)
    body = [(-1, 0.3), (-1, 0), (-0.65, -0.08), (-0.4, -0.5), (roof, -0.5), (roof + 0.3, -0.08),
            (0.95, 0.02), (1, 0.3)]
    shapes = [
        (body, paint),
        ([(-0.53, -0.08), (-0.35, -0.4), (-0.06, -0.4), (-0.06, -0.08)], glass),
        ([(0.04, -0.08), (0.04, -0.4), (roof - 0.04, -0.4), (roof + 0.16, -0.08)], glass),
        (ellipse(0.92, 0.1, 0.06, 0.06), lamp),
    ]
    for x in (-0.55, 0.55):
        shapes.append((ellipse(x, 0.3, 0.22, 0.22), (25, 25, 30)))
        shapes.append((ellipse(x, 0.3, 0.1, 0.1), (190, 190, 195)))
    return shapes


def boat(rng):
    hull = random_colour(rng, (0, 1), (0.5, 1), (0.25, 0.7))
    sail = random_colour(rng, (0, 1), (0, 0.25), (0.85, 1))
    flag = random_colour(rng, (0, 1), (0.7, 1), (0.7, 1))
    mast = rng.uniform(-0.15, 0.1)
    return [
        (rectangle(mast - 0.04, -1, mast + 0.04, 0.5), (90, 60, 40)),
        ([(mast + 0.04, -1), (mast + 0.4, -0.9), (mast + 0.04, -0.8)], flag),
        ([(mast + 0.1, -0.7), (mast + 0.1, 0.35), (0.85, 0.35)], sail),
        ([(mast - 0.1, -0.6), (mast - 0.1, 0.35), (-0.75, 0.35)], sail),
        ([(-1, 0.5), (1, 0.5), (0.65, 1), (-0.65, 1)], hull),
    ]


def flower(rng):
    petal = random_colour(rng, (0.75, 1.05), (0.4, 0.9), (0.75, 1))
    stem = random_colour(rng, (0.25, 0.38), (0.5, 0.9), (0.3, 0.7))
    heart = random_colour(rng, (0.11, 0.16), (0.7, 1), (0.8, 1))
    n_petals = rng.integers(5, 9)
    shapes = [
        (rectangle(-0.05, -0.3, 0.05, 1), stem),
        (ellipse(0.22, 0.6, 0.25, 0.1, -0.6), stem),
        (ellipse(-0.22, 0.75, 0.25, 0.1, 0.6), stem),
    ]
    for angle in 2 * np.pi * (np.arange(n_petals) + rng.random()) / n_petals:
        x, y = 0.36 * np.cos(angle), 0.36 * np.sin(angle)
        shapes.append((ellipse(x, y - 0.38, 0.28, 1.1 / n_petals, angle), petal))
    return [*shapes, (ellipse(0, -0.38, 0.2, 0.2), heart)]


def fish(rng):
    hue = (0.02, 0.15) if rng.random() < 0.5 else (0.45, 0.65)  # a goldfish or a blue one
    scales = random_colour(rng, hue, (0.5, 1), (0.6, 1))
    fin = random_colour(rng, (0, 1), (0.5, 1), (0.5, 0.9))
    return [
        ([(0.35, 0), (1, -0.5), (0.85, 0), (1, 0.5)], fin),
        ([(-0.35, -0.3), (0.1, -0.65), (0.3, -0.25)], fin),
        ([(-0.2, 0.3), (0.15, 0.6), (0.2, 0.25)], fin),
        (ellipse(-0.25, 0, 0.75, 0.42), scales),
        (ellipse(0, 0, 0.06, 0.36), fin),
        (ellipse(0.22, 0, 0.05, 0.29), fin),
        (ellipse(-0.65, -0.1, 0.1, 0.1), (250, 250, 250)),
        (ellipse(-0.67, -0.1, 0.05, 0.05), (10, 10, 10)),
    ]


CLASSES = {draw.__name__: draw for draw in (boat, car, fish, flower, house, tree)}
