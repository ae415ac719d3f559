"""cuDNN as Theano reached it: a program that asks whether it is there gets the answer no, and its reason."""

__all__ = ["dnn_available", "dnn_present"]


class _Absent:
    """A question that is answered with no; called with or without the name of a device, as in Theano."""

    avail = False
    msg = "tinygraph does not use cuDNN; tinygraph.tensor.nnet has convolution, pooling and normalisation"

    def __call__(self, context_name: str | None = None) -> bool:
        return self.avail


dnn_available = dnn_present = _Absent()
