"""Fixtures for tests of losses."""

import pytest

pytest.register_assert_rewrite("device_checks", "loss_contract", "reference_values")

import reference_values  # noqa: E402


@pytest.fixture(params=reference_values.CASES)
def reference_case(request):
    """Logits, labels and loss values; see `reference_values`."""
    return reference_values.reference_case(request.param)
