"""CarRacing's reward: -STEP_COST per step, and LAP_REWARD / N for each of a track's N tiles.

A car that visits all tiles in 732 steps has a return of 1000 - 0.1 * 732 = 926.8. Leaving the
playfield ends the episode. Source: Gymnasium 1.4.0 `envs/box2d/car_racing.py`.
"""

STEP_COST = 0.1
LAP_REWARD = 1000.0
LEFT_PLAYFIELD = -100.0  # the whole reward of the step that leaves it
