"""Rules of practice without noise, in which only a lost car costs."""

from worldmodels.driving.limits import Limits
from worldmodels.real.segment import Rules

STILL = Rules(
    steps=24,
    hold=1,
    noise=0,
    limits=Limits(100, 100),
    discount=1,
    lost_cost=50,
    missed_cost=0,
    replay_share=0,
    replay_tracks=3,
)
