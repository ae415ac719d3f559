"""Constructors of variables: every name of Theano's, its type, and how it takes names."""

import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.types import TensorType

PREFIXES = {"b": "int8", "w": "int16", "i": "int32", "l": "int64", "f": "float32", "d": "float64"}
SHAPES = {
    "scalar": (),
    "vector": (None,),
    "row": (1, None),
    "col": (None, 1),
    "matrix": (None, None),
    "tensor3": (None,) * 3,
    "tensor4": (None,) * 4,
    "tensor5": (None,) * 5,
    "tensor6": (None,) * 6,
    "tensor7": (None,) * 7,
}
PLURALS = {kind: "matrices" if kind == "matrix" else f"{kind}s" for kind in SHAPES}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixed(kind, prefix):
    make = getattr(T, prefix + kind)
    x = make("x")
    assert x.name == "x"
    assert x.type == TensorType(PREFIXES[prefix], SHAPES[kind]) == make
    assert make().name is None
    a, b = getattr(T, prefix + PLURALS[kind])("a", "b")
    assert (a.name, b.name) == ("a", "b")
    assert a.type == b.type == x.type


@pytest.mark.parametrize("kind", SHAPES)
def test_without_prefix(kind):
    make = getattr(T, kind)
    assert make("x").type == TensorType("float64", SHAPES[kind])
    assert make("x").name == make(name="x").name == "x"
    assert make("x", "int8").dtype == make(dtype="int8").dtype == "int8"
    with tg.config.change_flags(floatX="float32"):
        assert make().dtype == make(dtype="floatX").dtype == "float32"
        assert getattr(T, PLURALS[kind])(2)[1].dtype == "float32"
    assert make.__doc__


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("x", "y"), ["x", "y"]),
        (("x y",), ["x", "y"]),
        (("first  second third",), ["first", "second", "third"]),
        (("xy",), ["x", "y"]),
        ((["first", "second"],), ["first", "second"]),
        ((3,), [None, None, None]),
        ((1,), [None]),
    ],
)
def test_names_of_plurals(arguments, names):
    for several in (T.matrices, T.dscalars):
        variables = several(*arguments)
        assert isinstance(variables, list)
        assert [v.name for v in variables] == names


def test_a_single_name_makes_the_variable_itself():
    assert T.vectors("x").type == T.dvector
    assert T.ivectors("x").name == "x"


def test_tensor():
    assert T.tensor("float32", (None, 3)).type == TensorType("float32", (None, 3))
    assert T.tensor("int8", [False, True], name="x").type == TensorType("int8", (None, 1))
    x = T.tensor(dtype="floatX", broadcastable=(True, False), name="x")
    assert (x.type, x.name) == (TensorType("float64", (1, None)), "x")
    assert T.tensor("bool").ndim == 0
    with pytest.raises(DtypeError, match="mean the same"):
        T.tensor("int8", (3,), broadcastable=(False,))
    with pytest.raises(DtypeError, match="no dtype"):
        T.tensor("float31", (3,))
    with pytest.raises(ShapeError, match="whole number"):
        T.tensor("int8", (-1,))


def test_types_make_variables():
    assert T.TensorType("float32", (False, True))("x").broadcastable == (False, True)
    assert isinstance(T.dmatrix(), T.TensorVariable)
    assert isinstance(T.constant(1), T.TensorConstant)
    assert isinstance(tg.shared(1.0), T.TensorSharedVariable)


def test_as_tensor_variable():
    x = T.dvector("x")
    assert T.as_tensor_variable(x) is x
    assert T.as_tensor_variable(x, ndim=2).type.shape == (1, None)
    assert T.as_tensor_variable([1, 2], name="c").name == "c"
    assert T.as_tensor_variable([x[0], 2.0]).type.shape == (2,)
    assert T.as_tensor(1.5).dtype == "float64"


def test_every_export_exists_and_has_documentation():
    assert len(set(T.__all__)) == len(T.__all__)
    for name in T.__all__:
        thing = getattr(T, name)
        if callable(thing):
            assert thing.__doc__, name


def test_dtype_lists():
    assert T.int_dtypes == ["int8", "int16", "int32", "int64"]
    assert set(T.discrete_dtypes) == {"bool", *T.int_dtypes, *T.uint_dtypes}
    assert T.continuous_dtypes == T.float_dtypes == ["float16", "float32", "float64"]
    assert set(T.all_dtypes) == {*T.discrete_dtypes, *T.continuous_dtypes}
