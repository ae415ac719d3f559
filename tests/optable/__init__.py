"""One row for each operation; the tests of values, gradients, dtypes, layouts and sizes all read these rows."""
