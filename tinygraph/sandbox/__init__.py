"""Old paths of Theano's: ``sandbox.rng_mrg``."""
