"""CarRacing: Gymnasium's environment with our picture, one at a time and in batches.

`interface` lists the modules through which the rest of the code knows it; `picture` draws, and
`physics` moves. May import `pipeline` and `runtime`.

Registers the environment, by name only, so that nothing here imports it:
`gymnasium.make("worldmodels.environment:WorldModels/CarRacing-v3")` needs no call before it.
"""

import gymnasium

if "WorldModels/CarRacing-v3" not in gymnasium.registry:
    gymnasium.register(
        "WorldModels/CarRacing-v3",
        entry_point="worldmodels.environment.car_racing:DrawnCarRacing",
        vector_entry_point="worldmodels.interop.vector_env:CarRacingVectorEnv",
        max_episode_steps=1000,  # as CarRacing-v3
    )
