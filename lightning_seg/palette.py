"""Class colours."""

Color = tuple[int, int, int]


def distinct_colors(count: int) -> tuple[Color, ...]:
    """Return ``count`` distinct RGB colours of the PASCAL VOC palette; index 0 is black.

    Each 3-bit group of the index, lowest first, gives one bit of R, G and B, from bit 7 downward.

    Example:
        >>> distinct_colors(3)
        ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    """
    return tuple(_voc_color(index) for index in range(count))


def layer_colors(count: int) -> tuple[Color, ...]:
    """Return ``count`` distinct RGB colours without black, for labels that may overlap."""
    return distinct_colors(count + 1)[1:]


def _voc_color(index: int) -> Color:
    channels = [0, 0, 0]
    for group in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * group + channel) & 1) << (7 - group)
    return channels[0], channels[1], channels[2]
