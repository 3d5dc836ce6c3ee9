"""Results of Ha & Schmidhuber 2018 on CarRacing: table 1, and the log of their code's search."""

MEAN, STD, TRACKS = 906, 21, 100
HIDDEN_MEAN, HIDDEN_STD = 788, 141  # V and C with a hidden layer
V_MEAN, V_STD = 632, 251  # V and C
RECORDED_STEPS = 1e7  # 10,000 episodes of at most 1,000 frames
MINUTES, HARDWARE = 67_100, "64 cores"
RETURNS = {
    25: 823,
    50: 867,
    200: 880,
    625: 895,
    1800: 900.5,
}  # by generation, 1,024 episodes each
ENV_STEPS = 1.72e9  # in all 1,800 generations; about as many in each, since no episode is cut off
