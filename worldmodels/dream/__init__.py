"""The dream: M as an environment, the record it learns from, and C's training inside it.

May import `ppo` and `evolution`, and what they may; of these two, a module `by_X` imports X only.
`record_critic` serves PPO alone.
Importing it registers `WorldModels/Dream-v0` with Gymnasium, for `gymnasium.make_vec`; its
arguments are those of `environment.Dream`.
"""

import gymnasium

if "WorldModels/Dream-v0" not in gymnasium.registry:
    gymnasium.register(
        id="WorldModels/Dream-v0",
        vector_entry_point="worldmodels.dream.environment:Dream",
    )
