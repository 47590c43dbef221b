"""Colours of classes."""

Color = tuple[int, int, int]


def distinct_colors(count: int) -> tuple[Color, ...]:
    """As many different RGB colours, by the PASCAL VOC palette rule (0 is black).

    The three lowest bits of each 3-bit group of the index go to R, G and B from bit 7 downward.
    """
    return tuple(_voc_color(index) for index in range(count))


def _voc_color(index: int) -> Color:
    channels = [0, 0, 0]
    for group in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * group + channel) & 1) << (7 - group)
    return channels[0], channels[1], channels[2]
