"""Styles that QGIS applies to a raster of the same name."""

from xml.etree import ElementTree

from lightning_seg.prediction.files import Classes

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"


def label_style(classes: Classes) -> str:
    """Return a QGIS layer style (.qml) with the name and colour of each class of a label raster."""
    root = ElementTree.Element("qgis", version="3.22.0", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1"
    )
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for value, name, color in zip(classes.numbers, classes.names, classes.colors, strict=True):
        ElementTree.SubElement(
            palette,
            "paletteEntry",
            value=str(value),
            color="#{:02x}{:02x}{:02x}".format(*color),
            alpha="255",
            label=name,
        )
    ElementTree.indent(root)
    return f"{_DOCTYPE}\n{ElementTree.tostring(root, encoding='unicode')}\n"
