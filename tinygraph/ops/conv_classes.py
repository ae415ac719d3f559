"""Convolutions and their gradients as objects that take their settings first and their operands later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tinygraph.ops.conv_arguments import Fields, forward, settings, to_inputs, to_weights

__all__ = [
    "AbstractConv2d",
    "AbstractConv2d_gradInputs",
    "AbstractConv2d_gradWeights",
    "AbstractConv3d",
    "AbstractConv3d_gradInputs",
    "AbstractConv3d_gradWeights",
]


@dataclass(frozen=True)
class AbstractConv:
    """A convolution, or a gradient of one, whose settings are given before its operands.

    Parameters
    ----------
    imshp, kshp
        Shapes of the images and filters, as far as they are known.
    border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared
        As for ``conv2d``.
    """

    imshp: Any = None
    kshp: Any = None
    border_mode: Any = "valid"
    subsample: Any = 1
    filter_flip: bool = True
    filter_dilation: Any = 1
    num_groups: int = 1
    unshared: bool = False

    spatial: ClassVar[int] = 2

    def _fields(self) -> Fields:
        return settings(
            self.spatial,
            type(self).__name__,
            self.border_mode,
            self.subsample,
            self.filter_flip,
            self.filter_dilation,
            self.num_groups,
            self.unshared,
        )

    def _around(self, claimed: Any, leading: int, shape: Any) -> list[Any]:
        """A whole shape from its spatial extents, and its leading extents as far as they are claimed."""
        spatial = shape if isinstance(shape, (tuple, list)) else [shape[axis] for axis in range(self.spatial)]
        return [*([None] * leading if claimed is None else claimed[:leading]), *spatial]


class AbstractConv2d(AbstractConv):
    """``conv2d``: called with images and filters."""

    def __call__(self, img: Any, kern: Any) -> Any:
        return forward(self._fields(), img, kern, self.imshp, self.kshp)


class AbstractConv2d_gradInputs(AbstractConv):
    """``conv2d_grad_wrt_inputs``: called with filters, the cotangent of the output, and the extents of the images.

    >>> import tinygraph.tensor as T
    >>> w, g = T.tensor("float32", (8, 3, 5, 5)), T.tensor("float32", (None, 8, 7, 7))
    >>> AbstractConv2d_gradInputs(border_mode="half", subsample=(2, 2))(w, g, (14, 14)).type.shape
    (None, 3, 14, 14)
    """

    def __call__(self, kern: Any, topgrad: Any, shape: Any) -> Any:
        return to_inputs(self._fields(), topgrad, kern, self._around(self.imshp, 2, shape), self.kshp)


class AbstractConv2d_gradWeights(AbstractConv):
    """``conv2d_grad_wrt_weights``: called with images, the cotangent of the output, and the extents of the filters."""

    def __call__(self, img: Any, topgrad: Any, shape: Any) -> Any:
        leading = 2 + (self.spatial if self.unshared else 0)
        return to_weights(self._fields(), img, topgrad, self._around(self.kshp, leading, shape), self.imshp)


class AbstractConv3d(AbstractConv2d):
    """``conv3d``: called with images and filters."""

    spatial = 3


class AbstractConv3d_gradInputs(AbstractConv2d_gradInputs):
    """``conv3d_grad_wrt_inputs``: called with filters, the cotangent of the output, and the extents of the images."""

    spatial = 3


class AbstractConv3d_gradWeights(AbstractConv2d_gradWeights):
    """``conv3d_grad_wrt_weights``: called with images, the cotangent of the output, and the extents of the filters."""

    spatial = 3
