"""The fixture `frozen_clock`: the clock stands still for a test, and can be moved in it.

    def test_expiry(frozen_clock):
        session = Session(minutes=5)
        frozen_clock.tick(timedelta(minutes=6))
        assert session.expired

    @pytest.mark.frozen_clock("2030-01-01")      # where it starts; without it: where it is
    def test_new_year(frozen_clock): ...
"""

import pytest

import time_chaos


def pytest_configure(config):
    config.addinivalue_line("markers", "frozen_clock(at): where the fixture frozen_clock starts")


@pytest.fixture
def frozen_clock(request):
    marker = request.node.get_closest_marker("frozen_clock")
    with time_chaos.freeze(*(marker.args if marker else ())) as clock:
        yield clock
