"""CarRacing's rewards: STEP_COST is taken off in every step, and LAP_REWARD is shared out among
the N tiles of the track, each paid when it is first visited.

All N tiles in 732 steps give 1000 - 73.2 = 926.8. Leaving the playfield costs 100 and ends the
episode. Source: Gymnasium 1.4.0 `envs/box2d/car_racing.py`.
"""

STEP_COST = 0.1  # points per step
LAP_REWARD = 1000.0  # points for all tiles
