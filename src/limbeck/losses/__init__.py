"""Losses as functions: student first, teacher second. They reduce only where the literature agrees how."""

from limbeck.losses.adversarial import critic_loss, fool_loss
from limbeck.losses.contrastive import patch_contrast
from limbeck.losses.distillation import batch_sum, performance_weights, soft_label_divergence, soft_region_entropy
from limbeck.losses.information import barlow_twins
from limbeck.losses.regions import cascade_region_attention, patch_presence, region_means, region_pool, resize_masks
from limbeck.losses.relations import attention_distance, class_relation, relation_matrix
from limbeck.losses.segmentation import (
    binary_cross_entropy_dice,
    cross_entropy,
    cross_entropy_dice,
    deep_supervision,
    dice_jaccard_cross_entropy,
    region_dice,
    resize_labels,
    soft_dice,
    soft_label_dice,
)

__all__ = [
    "attention_distance",
    "barlow_twins",
    "batch_sum",
    "binary_cross_entropy_dice",
    "cascade_region_attention",
    "class_relation",
    "critic_loss",
    "cross_entropy",
    "cross_entropy_dice",
    "deep_supervision",
    "dice_jaccard_cross_entropy",
    "fool_loss",
    "patch_contrast",
    "patch_presence",
    "performance_weights",
    "region_dice",
    "region_means",
    "region_pool",
    "relation_matrix",
    "resize_labels",
    "resize_masks",
    "soft_dice",
    "soft_label_dice",
    "soft_label_divergence",
    "soft_region_entropy",
]
