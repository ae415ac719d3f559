"""Op table: sums of products over named axes."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES"]

Shape = tuple[int, ...]


def case(subscripts: str, *shapes: Shape, empty: Any = (), **fields: Any) -> Case:
    return Case(
        f"einsum: {subscripts} of {' '.join(map(str, shapes))}",
        "einsum",
        lambda *operands: T.einsum(subscripts, *operands),
        lambda *operands: np.einsum(subscripts, *operands),
        tuple(map(Arg, shapes)),
        integers=("bool", "int8", "int64"),
        empty=empty,
        **fields,
    )


def by_lists(name: str, arguments: Any, *shapes: Shape) -> Case:
    return Case(
        f"einsum: lists, {name}",
        "einsum",
        lambda *operands: T.einsum(*arguments(*operands)),
        lambda *operands: np.einsum(*arguments(*operands)),
        tuple(map(Arg, shapes)),
    )


CASES: list[Case] = [
    # one operand
    case("ij->ji", (2, 3), empty=(((0, 3),),)),
    case("ij->", (2, 3), empty=(((0, 3),),)),
    case("ij->j", (2, 3)),
    case("ba", (2, 3)),
    case("ii", (3, 3), empty=(((0, 0),),)),
    case("ii->i", (3, 3)),
    case("iji->ij", (2, 3, 2)),
    case("iii->i", (2, 2, 2)),
    case("iijj->ji", (2, 2, 3, 3)),
    case("...", (2, 3)),
    case("...ij->...ji", (2, 3, 2)),
    case("...i->i...", (2, 3, 2)),
    case("i...->...", (2, 3, 2)),
    case("", ()),
    # two
    case("ij,jk->ik", (2, 3), (3, 2), empty=(((0, 3), (3, 2)), ((2, 0), (0, 3)))),
    case("ij,jk", (2, 3), (3, 2)),
    case("ij,kj->ki", (2, 3), (4, 3)),
    case("i,i", (3,), (3,), empty=(((0,), (0,)),)),
    case("i,j->ij", (2,), (3,)),
    case("i,j->ji", (2,), (3,)),
    case("ij,ij->ij", (2, 3), (2, 3)),
    case("ij,ji->", (2, 3), (3, 2)),
    case("bij,bjk->bik", (2, 2, 3), (2, 3, 2), empty=(((0, 2, 3), (0, 3, 2)),)),
    case("bij,bj->bi", (2, 2, 3), (2, 3)),
    case("bi,bi->b", (2, 3), (2, 3)),
    case("ijk,lkj->il", (2, 3, 2), (2, 2, 3)),
    case("ij,k->ik", (2, 3), (2,)),
    case("ij,k->k", (2, 3), (2,)),
    case("ii,ij->j", (2, 2), (2, 3)),
    case("ij,jj->i", (2, 3), (3, 3)),
    case(",ij->ji", (), (2, 3)),
    case(",", (), ()),
    case("...ij,...jk->...ik", (3, 2, 2), (2, 1, 2, 2)),
    case("...i,...i->...", (2, 3), (3,)),
    case("i...,...j->ij...", (2, 2), (2, 3)),
    case(" i j , j -> i ", (2, 3), (3,)),
    # extents of 1
    case("ij,jk->ik", (2, 1), (3, 2)),
    case("i,i->i", (1,), (3,)),
    case("i,i->", (3,), (1,)),
    case("ij,ij->j", (1, 3), (2, 1)),
    case("i,i", (1,), (1,)),
    # three and more
    case("ij,jk,kl->il", (2, 3), (3, 2), (2, 3)),
    case("i,ij,j->", (2,), (2, 3), (3,)),
    case("bi,bj,ijk->bk", (2, 2), (2, 3), (2, 3, 2), order=1),
    case("i,i,i->i", (3,), (3,), (1,), order=1),
    case("ab,bc,cd,de->ae", (2, 2), (2, 1), (1, 2), (2, 2), order=1),
    case("a,b,c->cab", (2,), (1,), (3,), order=1),
    by_lists("two", lambda x, y: (x, [0, 1], y, [1, 2], [2, 0]), (2, 3), (3, 2)),
    by_lists("implicit", lambda x: (x, [1, 0]), (2, 3)),
    by_lists("ellipsis", lambda x, y: (x, [..., 0], y, [0, ...], [...]), (2, 3), (3, 2)),
]
