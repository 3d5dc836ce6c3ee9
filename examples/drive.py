"""Load a published agent and drive Gymnasium's CarRacing-v3 with it.

pip install git+https://…   # this repository; then, with a pulled model file:
python drive.py models/second/agent.safetensors
"""

import sys

import gymnasium

from worldmodels.interop.policy import Policy

if len(sys.argv) != 2:
    sys.exit("usage: python drive.py AGENT.safetensors")
policy = Policy.load(sys.argv[1])
env = gymnasium.make("CarRacing-v3")
observation, _ = env.reset(seed=7)
score, over = 0.0, False
while not over:
    observation, reward, terminated, truncated, _ = env.step(policy.act(observation))
    score, over = score + float(reward), terminated or truncated
env.close()
print(f"score {score:.1f}")
