"""Losses as functions: student first, teacher second. They reduce only where the literature agrees how."""

from limbeck.losses.adversarial import critic_loss, fool_loss
from limbeck.losses.contrastive import patch_contrast
from limbeck.losses.distillation import performance_weights, soft_label_divergence, soft_region_entropy
from limbeck.losses.information import barlow_twins
from limbeck.losses.regions import cascade_region_attention, patch_presence, region_means, resize_masks
from limbeck.losses.relations import class_relation, relation_distance, relation_matrix
from limbeck.losses.segmentation import (
    binary_cross_entropy_dice,
    cross_entropy_dice,
    dice_jaccard_cross_entropy,
    soft_dice,
)

__all__ = [
    "barlow_twins",
    "binary_cross_entropy_dice",
    "cascade_region_attention",
    "class_relation",
    "critic_loss",
    "cross_entropy_dice",
    "dice_jaccard_cross_entropy",
    "fool_loss",
    "patch_contrast",
    "patch_presence",
    "performance_weights",
    "region_means",
    "relation_distance",
    "relation_matrix",
    "resize_masks",
    "soft_dice",
    "soft_label_divergence",
    "soft_region_entropy",
]
