"""Public names keep importing from the same modules; CHANGELOG.md lists those that do not."""

from importlib import import_module

import pytest

from lightning_seg import data, testing

NAMES = {
    "callbacks": """
        AtomicCheckpointIO BoundaryMetrics CaptureForward EdgeFeatureMaps FromOutputs
        FrozenBatchNorm PotentialFields PredictionPanels PredictionWriter RunRecord
    """,
    "data": """
        CamVidDataModule CelebAMaskHQDataModule CityscapesDataModule DFC2015DataModule fake
        FolderDataModule HELENDataModule INRIADataModule ISPRSDataModule RasterDataModule
        SegmentationDataModule SUNRGBDDataModule SyntheticDataModule VOCDataModule ZoomRotate
    """,
    "experiments.comparison": """
        compare Comparison export_record find_runs Run write_comparison
    """,
    "experiments.sweep": """
        plan read_spec Run run_all Step Stopped SweepSpec
    """,
    "heads": """
        AuxiliaryHead ClassificationHead ConditionedMultiTaskHead EdgeHead Head MultiTaskHead
        PyramidPoolingHead SignedDistanceHead
    """,
    "inference": """
        SlidingWindow Stitching TestTimeAugmentation whole_image WindowLayout
    """,
    "losses": """
        anisotropic_convolution boundary_loss BoundaryLoss ClassBalance ClassWeights combo
        ComboLoss cross_entropy CrossEntropyLoss dice dice_focal DiceFocalLoss DiceLoss
        distance_transform_loss DistanceTransformLoss dual_task DualTaskLoss
        equipotential_line_loss EquipotentialLineLoss focal FocalLoss generalized_dice
        GeneralizedDiceLoss jaccard JaccardLoss Loss lovasz_softmax LovaszSoftmaxLoss
        map_binary_cross_entropy map_l1 map_tanimoto MapBinaryCrossEntropyLoss MapL1Loss
        MapTanimotoLoss MultiLabelLoss point_loss PointLoss semeda SemedaLoss sobel SobelLoss
        tanimoto TanimotoFormula TanimotoLoss WeightedLoss
    """,
    "metrics": """
        BoundaryErrors BoundaryFMeasure BoundaryIoU EMeasure MultiLabelMetric PerSampleMean
        SurfaceDistance TrimapIoU
    """,
    "metrics.functional": """
        boundary_f_counts boundary_f_scores boundary_iou boundary_iou_counts boundary_width
        ContourCounts e_measure surface_dice surface_distances SurfaceDistances tolerance_in_pixels
        trimap_iou trimap_iou_counts
    """,
    "networks": """
        BatchNorm CCNet ConvNorm DeepLabV2 DeepLabV3Plus DenseUNet EdgeNetwork Encoder FuseNet
        GSCNN Network no_pretrained_weights pretrained_weights_wanted PSANet PSPNet PSPPooling
        ResUNetA SegNet SMPNetwork TransformersNetwork Unet
    """,
    "targets": """
        boundary_distance BoundaryDistance class_boundary ClassBoundary HSV inner_distance
        InnerDistance PatchDistance rgb_to_hsv semantic_edges SemanticEdges signed_distance
        SignedDistance
    """,
    "tasks": """
        AuxiliarySupervision EdgeDetectionTask Ensemble Optimization SegmentationTask
    """,
}


@pytest.mark.parametrize("module", NAMES)
def test_public_names_import_from_the_same_module(module):
    package = import_module(f"lightning_seg.{module}")
    assert [name for name in NAMES[module].split() if not hasattr(package, name)] == []


def test_data_fake_is_the_testing_package():
    assert data.fake is testing
