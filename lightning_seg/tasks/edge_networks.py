"""Check that SEMEDA's edge networks match the classes of the data."""

from lightning.pytorch import LightningModule

from lightning_seg.errors import InputError
from lightning_seg.losses import SemedaLoss
from lightning_seg.networks import EdgeNetwork
from lightning_seg.networks.edge_network import RECIPE


def check_edge_networks(module: LightningModule) -> None:
    """Raise if a loss of ``module`` has an edge network trained on other classes.

    Compares class names and their order if both the edge network and the DataModule have them.
    `SemedaLoss` checks their number.
    """
    names = getattr(getattr(module.trainer, "datamodule", None), "class_names", None)
    for loss in module.modules():
        if isinstance(loss, SemedaLoss) and loss.edge_network is not None:
            _check_names(loss.edge_network, names)


def _check_names(network: EdgeNetwork, names: tuple[str, ...] | None) -> None:
    if names is None or network.class_names is None or tuple(names) == network.class_names:
        return
    raise InputError(
        f"the edge network was trained on the classes {', '.join(network.class_names)}, but the "
        f"data have {', '.join(names)}, in this order. {RECIPE}"
    )
