"""Hypothesis profiles: `dev` is quick, `ci` digs deeper, `nightly` for hours; `HYPOTHESIS_PROFILE` chooses."""

import os

from hypothesis import HealthCheck, Phase, settings

# No deadlines: a busy machine is not a bug, and the tests measure nothing.
settings.register_profile(
    "dev", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "ci",
    max_examples=1_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=20_000)

# A planted bug must be found by chance again each time, not remembered from an earlier run; that it
# is found is enough, nobody will read the example.
settings.register_profile(
    "planted",
    settings.get_profile("dev"),
    database=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
