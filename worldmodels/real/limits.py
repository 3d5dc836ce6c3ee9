"""How long an episode of practice lasts on the real track."""

from worldmodels.driving.limits import Limits
from worldmodels.pipeline.params import Count, Natural, Section


class PracticeLimits(Section):
    """The section `real.practice` of params.yaml."""

    horizon: Count
    patience: Natural

    def limits(self) -> Limits:
        """The limits of an episode."""
        return Limits(self.horizon, self.patience)
