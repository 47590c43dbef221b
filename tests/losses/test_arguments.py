"""Arguments that losses refuse, as modules and as functions."""

import inspect
import math

import pytest
from loss_contract import LABEL_MAPS, random_logits

from lightning_seg import losses
from lightning_seg.errors import InputError
from lightning_seg.losses import WeightedLoss
from lightning_seg.networks import EdgeNetwork

NAN, INF = math.nan, math.inf
REFUSED = [
    ("CrossEntropyLoss", {"label_smoothing": 1.5}),
    ("CrossEntropyLoss", {"label_smoothing": -0.1}),
    ("CrossEntropyLoss", {"label_smoothing": NAN}),
    ("CrossEntropyLoss", {"reduction": "sum"}),
    ("FocalLoss", {"gamma": -1.0}),
    ("FocalLoss", {"gamma": NAN}),
    ("FocalLoss", {"gamma": INF}),
    ("FocalLoss", {"activation": "tanh"}),
    ("FocalLoss", {"reduction": "sum"}),
    ("FocalLoss", {"preset": "monai"}),
    ("DiceLoss", {"average": "weighted"}),
    ("DiceLoss", {"smooth": -1.0}),
    ("DiceLoss", {"smooth": NAN}),
    ("DiceLoss", {"smooth": INF}),
    ("DiceLoss", {"reduction": "sum"}),
    ("DiceLoss", {"preset": "monai"}),
    ("DiceLoss", {"classes": [1, 1]}),
    ("DiceLoss", {"absent": "one"}),
    ("DiceLoss", {"absent": "zero"}),
    ("GeneralizedDiceLoss", {"volume_weights": "square"}),
    ("GeneralizedDiceLoss", {"volumes": "epoch"}),
    ("GeneralizedDiceLoss", {"smooth": -1.0}),
    ("JaccardLoss", {"average": "weighted"}),
    ("JaccardLoss", {"smooth": -1.0}),
    ("JaccardLoss", {"reduction": "sum"}),
    ("JaccardLoss", {"preset": "monai"}),
    ("JaccardLoss", {"classes": [1, 1]}),
    ("JaccardLoss", {"absent": "zero"}),
    ("ComboLoss", {"average": "weighted"}),
    ("ComboLoss", {"smooth": -1.0}),
    ("ComboLoss", {"reduction": "sum"}),
    ("ComboLoss", {"preset": "monai"}),
    ("ComboLoss", {"classes": [1, 1]}),
    ("DiceFocalLoss", {"average": "weighted"}),
    ("DiceFocalLoss", {"gamma": -1.0}),
    ("DiceFocalLoss", {"smooth": INF}),
    ("DiceFocalLoss", {"reduction": "sum"}),
    ("DiceFocalLoss", {"preset": "monai"}),
    ("DiceFocalLoss", {"classes": [1, 1]}),
    ("LovaszSoftmaxLoss", {"classes": "some"}),
    ("LovaszSoftmaxLoss", {"reduction": "sum"}),
    ("DistanceTransformLoss", {"metric": "cityblock"}),
    ("DistanceTransformLoss", {"reduce": "mean"}),
    ("DistanceTransformLoss", {"void": "drop"}),
    ("DistanceTransformLoss", {"classes": [1, 1]}),
    ("BoundaryLoss", {"void": "drop"}),
    ("BoundaryLoss", {"classes": []}),
    ("SemedaLoss", {"weights": (1.0, 2.0)}),
    ("SemedaLoss", {"weights": (1.0, -2.0, 0.0)}),
    ("SemedaLoss", {"weights": (1.0, NAN, 0.0)}),
    ("SemedaLoss", {"weights": (1.0, INF, 0.0)}),
    ("SemedaLoss", {"weights": (0.0, 0.0, 0.0)}),
    ("SemedaLoss", {"reduction": "sum"}),
    ("PointLoss", {"kernel_size": 6}),
    ("PointLoss", {"kernel_size": 7.0}),
    ("PointLoss", {"kernel_size": 0}),
    ("PointLoss", {"kernel_size": -3}),
    ("PointLoss", {"splitter": "D"}),
    ("PointLoss", {"norm": "l3"}),
    ("PointLoss", {"padding": "edge"}),
    ("EquipotentialLineLoss", {"kernel_size": 6}),
    ("EquipotentialLineLoss", {"kernel_size": 7.0}),
    ("EquipotentialLineLoss", {"kernel_size": 1}),
    ("EquipotentialLineLoss", {"splitter": "D"}),
    ("EquipotentialLineLoss", {"mu": 3}),
    ("EquipotentialLineLoss", {"mu": 0}),
    ("EquipotentialLineLoss", {"mu": 10.0}),
    ("EquipotentialLineLoss", {"padding": "edge"}),
    ("EquipotentialLineLoss", {"reduce": "max"}),
]
FUNCTIONS = {
    "CrossEntropyLoss": losses.cross_entropy,
    "FocalLoss": losses.focal,
    "DiceLoss": losses.dice,
    "GeneralizedDiceLoss": losses.generalized_dice,
    "JaccardLoss": losses.jaccard,
    "ComboLoss": losses.combo,
    "DiceFocalLoss": losses.dice_focal,
    "LovaszSoftmaxLoss": losses.lovasz_softmax,
    "DistanceTransformLoss": losses.distance_transform_loss,
    "BoundaryLoss": losses.boundary_loss,
    "SemedaLoss": losses.semeda,
    "PointLoss": losses.point_loss,
    "EquipotentialLineLoss": losses.equipotential_line_loss,
}

each_refusal = pytest.mark.parametrize(
    ("name", "arguments"), REFUSED, ids=[f"{n}-{next(iter(a.items()))}" for n, a in REFUSED]
)


@each_refusal
def test_modules_name_the_argument_and_its_value(name, arguments):
    given = {"edge_network": EdgeNetwork(4)} if name == "SemedaLoss" else {}
    with pytest.raises(ValueError, match=next(iter(arguments))) as error:
        getattr(losses, name)(**given, **arguments)
    (value,) = arguments.values()
    numbers = value if isinstance(value, tuple | list) else [value]
    assert all(str(number) in str(error.value) for number in numbers)


@each_refusal
def test_functions_refuse_what_modules_refuse(name, arguments):
    given = {"edge_network": EdgeNetwork(4)} if name == "SemedaLoss" else {}
    with pytest.raises(ValueError, match=next(iter(arguments))):
        FUNCTIONS[name](random_logits((2, 4, 9, 7)), LABEL_MAPS["blocks"], **given, **arguments)


@pytest.mark.parametrize("arguments", [{"smooth": -1.0}, {"smooth": INF}, {"volumes": "epoch"}])
@pytest.mark.parametrize("made", [losses.TanimotoLoss, losses.MapTanimotoLoss])
def test_tanimoto_refuses_arguments_of_its_formula(made, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        made(**arguments)


@pytest.mark.parametrize("weight", [NAN, INF, -INF])
def test_a_terms_weight_must_be_finite(weight):
    with pytest.raises(ValueError, match="expected a finite number"):
        WeightedLoss(losses.DiceLoss(), weight=weight)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_modules_and_functions_take_the_same_arguments_with_the_same_defaults(name):
    def arguments(call):
        known = inspect.signature(call).parameters.values()
        return {p.name: p.default for p in known if p.default is not p.empty}

    of_module = arguments(getattr(losses, name))
    of_function = arguments(FUNCTIONS[name])
    assert set(of_function) - set(of_module) <= {"distance"}
    for argument, default in of_module.items():
        assert of_function[argument] == default


@pytest.mark.parametrize(
    "loss",
    [
        losses.BoundaryLoss([4]),
        losses.DistanceTransformLoss(classes=[4]),
        losses.DiceLoss(classes=[4]),
        losses.JaccardLoss(classes=[4]),
        losses.ComboLoss(classes=[4]),
        losses.DiceFocalLoss(classes=[4]),
    ],
)
def test_classes_out_of_range_are_refused_before_data_is_read(loss):
    loss.check_channels(5)
    with pytest.raises(InputError, match="there are 4 classes: labels 0 to 3"):
        loss.check_channels(4)
