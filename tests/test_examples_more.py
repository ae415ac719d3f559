"""The examples on scikit-learn's digits with convolution, loops and random streams, run as a stranger runs them."""

import re

import pytest

from tests.test_examples import check_picture, run, succeeded, test_row

test_row.__test__ = False


def first_results(output):
    """Seconds to the first result of each compiled training function, as printed."""
    return [float(seconds) for seconds in re.findall(r"first result after (\d+\.\d+) s$", output, re.MULTILINE)]


def few_labels(output):
    """Mean, least and greatest accuracy, from random weights and from learned ones."""
    rows = re.findall(r"^from .*? +(\d\.\d+) +(\d\.\d+) +(\d\.\d+)$", output, re.MULTILINE)
    assert len(rows) == 2
    return [tuple(map(float, row)) for row in rows]


@pytest.mark.parametrize(("name", "accuracy", "cost"), [("lenet_digits", 0.96, 0.15), ("lstm_digits", 0.85, 0.5)])
def test_digits_are_learned(tmp_path, name, accuracy, cost):
    output = succeeded(run(tmp_path, name, "--quick"))
    reached_cost, reached_accuracy = test_row(output)
    assert reached_accuracy >= accuracy
    assert 0 < reached_cost < cost
    assert len(first_results(output)) == 1
    check_picture(tmp_path / f"{name}.png", 2, 2)


def test_the_memory_knows_more_after_more_rows(tmp_path):
    output = succeeded(run(tmp_path, "lstm_digits", "--epochs", 5))
    shares = [float(share) for share in re.findall(r"(\d+\.\d)%", re.search(r"^right after.*$", output, re.M)[0])]
    assert len(shares) == 8
    assert shares[0] < shares[3] < shares[7]


def test_the_autoencoder_restores(tmp_path):
    output = succeeded(run(tmp_path, "autoencoder_digits", "--quick"))
    errors = dict(re.findall(r"^(damaged|restored) +(\d+\.\d+)$", output, re.MULTILINE))
    assert float(errors["restored"]) < 0.5 * float(errors["damaged"])
    for mean, least, most in few_labels(output):
        assert 0.7 < least <= mean <= most < 0.97
    check_picture(tmp_path / "autoencoder_digits.png", 2, 2)


def test_the_boltzmann_machine_restores(tmp_path):
    output = succeeded(run(tmp_path, "rbm_digits", "--quick"))
    assert float(re.search(r"up again: (\d+\.\d+)$", output, re.MULTILINE)[1]) < 0.06
    for mean, least, most in few_labels(output):
        assert 0.7 < least <= mean <= most < 0.97
    check_picture(tmp_path / "rbm_digits.png", 2, 2)


def test_the_variational_autoencoder_orders_the_plane(tmp_path):
    output = succeeded(run(tmp_path, "vae_digits", "--quick"))
    bound, restoration, divergence = map(float, re.search(r"^test +(\S+) +(\S+) +(\S+)$", output, re.M).groups())
    assert bound == pytest.approx(restoration + divergence, abs=0.002)
    assert bound < 27
    assert divergence > 1
    assert float(re.search(r"same class: (\d+\.\d)%", output)[1]) > 40  # chance: 10
    check_picture(tmp_path / "vae_digits.png", 2, 2)


def test_dropout_and_batch_normalisation(tmp_path):
    output = succeeded(run(tmp_path, "dropout_batchnorm_digits", "--epochs", 15))
    table = {row[0].strip(): row[1:] for row in re.findall(r"^(plain|dropout|batch norm) +(\d\S+) +(\S+) +(\S+) +(\S+)"
                                                           r" +\d+$", output, re.MULTILINE)}  # fmt: skip
    assert list(table) == ["plain", "dropout", "batch norm"]
    cost = {kind: float(row[0]) for kind, row in table.items()}
    assert all(float(row[3]) > 0.88 for row in table.values())
    assert cost["batch norm"] < cost["plain"] < cost["dropout"]  # fits fastest, and is hindered by noise
    assert len(first_results(output)) == 3
    check_picture(tmp_path / "dropout_batchnorm_digits.png", 2, 2)


@pytest.mark.parametrize("name", ["lenet_digits", "vae_digits"])
def test_the_seed_decides_everything(tmp_path, name):
    def outcome(seed, out):
        output = succeeded(run(tmp_path, name, "--epochs", 1, "--seed", seed, "--out", out))
        return re.sub(r"first result after \S+ s", "", output.replace(out, "")), (tmp_path / out).read_bytes()

    first = outcome(5, "first.png")
    assert outcome(5, "again.png") == first
    assert outcome(6, "other.png")[0] != first[0]
