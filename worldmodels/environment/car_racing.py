"""CarRacing-v3 with the picture drawn straight at 64x64 (see `picture`)."""

from typing import Any

import Box2D
import gymnasium
import numpy as np
from Box2D import _Box2D
from gymnasium import spaces
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.envs.box2d.car_racing import CarRacing

from worldmodels.environment.canvas import HEIGHT
from worldmodels.environment.car import FastCar, memory_is_known, read_pose
from worldmodels.environment.pose import PHASE_UNIT, POSE_DTYPE, draw_pose
from worldmodels.environment.resize import SIZE
from worldmodels.environment.track import NEVER, RED, WHITE, Track, survey, track_of

ENV_ID = "WorldModels/CarRacing-v3"
BORDER_COLOURS = {WHITE: (255, 255, 255), RED: (255, 0, 0)}
_INDICES = tuple(range(10000))  # of tiles, one object each: the bindings never let go of one


class Tile:
    """What Gymnasium keeps of a road tile."""

    __slots__ = ("color", "idx", "road_friction", "road_visited")

    def __init__(self, idx: int, color: np.ndarray):
        self.idx, self.color = idx, color
        self.road_visited, self.road_friction = False, 1.0


class TileListener(Box2D.b2ContactListener):
    """Gymnasium's FrictionDetector for tiles that are fixtures of one body."""

    def __init__(self, env: "DrawnCarRacing"):
        super().__init__()
        self.env = env

    def BeginContact(self, contact: Box2D.b2Contact) -> None:
        tile, other = self._sides(contact)
        if tile is None:
            return
        self.env.touch(tile)
        if other is None:
            return
        other.tiles.add(tile)
        if not tile.road_visited:
            tile.road_visited = True
            self.env.reward += 1000.0 / len(self.env.track)
            self.env.tile_visited_count += 1

    def EndContact(self, contact: Box2D.b2Contact) -> None:
        tile, other = self._sides(contact)
        if tile is not None and other is not None:
            other.tiles.remove(tile)

    def _sides(self, contact: Box2D.b2Contact) -> tuple[Tile | None, Any]:
        """The tile, and the wheel that touches it: None for the hull."""
        first, second = contact.fixtureA, contact.fixtureB
        index = first.userData
        if index is None:
            index, second = second.userData, first
        if index is None or not self.env.road:
            return None, None
        return self.env.road[index], second.body.userData


class DrawnCarRacing(CarRacing):
    """Gymnasium's CarRacing-v3: its tracks, physics, rewards and ends, its picture drawn anew.

    ## Observation
    uint8 [64, 64, 3]: rows 0:84 of the picture, resized as Pillow's BILINEAR.

    ## Action
    float32 [3]: steering in [-1, 1], gas in [0, 1], brake in [0, 1]. An action that is not finite
    is refused with ValueError, since Gymnasium would pass it on to the physics.

    ## Reward
    -0.1 a frame, +1000/N for each of the N tiles visited first, -100 for leaving the playfield:
    all N tiles in 732 frames give 1000 - 73.2 = 926.8.

    ## End
    `terminated` when all tiles are visited or the playfield is left. There is no horizon here:
    `gymnasium.make` adds one of 1,000 steps.

    `render_mode="rgb_array"` gives Gymnasium's own picture of 600x400 for videos. Without a render
    mode the same physics runs faster: see `FastCar`. The tiles are sensors on one body in place of
    one each, which makes a reset ten times as fast; sensors have no part in the motion.
    """

    polygons: Track
    road: list[Tile]  # type: ignore[assignment]
    track: Any
    touched_at: np.ndarray  # [N] uint16: the frame at which each tile was first touched
    frame: int  # 0 is what `reset` returns

    def __init__(self, render_mode: str | None = None):
        super().__init__(render_mode=render_mode)
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.pose = np.zeros((), dtype=POSE_DTYPE)
        self._angles = np.zeros(4)  # of the wheels
        self._shape = Box2D.b2PolygonShape(vertices=[(0, 0), (1, 0), (1, -1), (0, -1)])
        self._fixture = Box2D.b2FixtureDef(shape=self._shape, isSensor=True)

    @property
    def car(self) -> Car | None:
        """Gymnasium builds one at each reset; unless its skid marks are shown, it is made fast."""
        return self._car

    @car.setter
    def car(self, car: Car | None) -> None:
        if car is not None and self.render_mode is None and memory_is_known():
            car = FastCar.take_over(car)
        self._car = car

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        self._seed = seed
        return super().reset(seed=seed, options=options)

    def _create_track(self) -> bool:
        """Take the seed's track, surveyed once, and lay its tiles as sensors on one body."""
        if self._seed is None:
            self.polygons = survey(self.np_random)
        else:
            self.polygons = track_of(self._seed)
            self.np_random.bit_generator.state = self.polygons.random_state
        tiles = self.polygons.tiles
        self.track = self.polygons.line
        shades: np.ndarray = (0.01 * (np.arange(len(self.track)) % 3) * 255)[:, None]
        self.tile_colors = self.road_color + shades  # a row a tile
        self.road = [Tile(index, color) for index, color in enumerate(self.tile_colors)]
        self.road_poly = [
            (corners, self.tile_colors[tile] if tile >= 0 else BORDER_COLOURS[tile])
            for corners, tile in zip(self.polygons.corners, tiles)
        ]
        self.touched_at = np.full(len(self.road), NEVER)
        self.frame = -1
        self.world.contactListener_bug_workaround = TileListener(self)  # Gymnasium's name: held
        self.world.contactListener = self.world.contactListener_bug_workaround
        self._ground = self.world.CreateStaticBody()
        for index, corners in zip(_INDICES, self.polygons.corners[tiles >= 0].tolist()):
            for vertex, (x, y) in enumerate(corners):
                _Box2D.b2PolygonShape_set_vertex(self._shape, vertex, x, y)
            _Box2D.b2PolygonShape___set_vertices_internal(self._shape)
            _Box2D.b2FixtureDef___SetUserData(self._fixture, index)
            _Box2D.b2Body___CreateFixture(self._ground, self._fixture)
        return True

    def _destroy(self) -> None:
        if not self.road:
            return
        self.road = []
        self.world.DestroyBody(self._ground)
        assert self.car is not None
        self.car.destroy()

    def touch(self, tile: Tile) -> None:
        """A wheel or the hull has come upon a tile: it takes the colour of the road."""
        tile.color[:] = self.road_color
        if self.touched_at[tile.idx] == NEVER:
            self.touched_at[tile.idx] = self.frame + 1  # the frame that shows it

    def step(self, action: np.ndarray | None):  # type: ignore[override]
        if action is not None and not np.isfinite(action).all():
            raise ValueError(f"action {action} is not finite (frame {self.frame} of the episode)")
        return super().step(action)  # type: ignore[arg-type]

    def _render(self, mode: str):
        return self._draw() if mode == "state_pixels" else super()._render(mode)

    def official_picture(self) -> np.ndarray:
        """Gymnasium's own picture of this moment, uint8 [96, 96, 3]."""
        if isinstance(self.car, FastCar):
            self.car.publish()
        return super()._render("state_pixels")

    def _draw(self) -> np.ndarray:
        """Take down the pose of this frame and draw it: called once a step by Gymnasium's."""
        self.frame += 1
        car, pose = self._car, self.pose
        assert car is not None
        if isinstance(car, FastCar):
            read_pose(car.bodies, pose["hull"], self._angles)
            phases = car.phase
        else:
            pose["hull"] = (*car.hull.position, car.hull.angle)
            self._angles[:] = [wheel.angle - car.hull.angle for wheel in car.wheels]
            phases = np.array([wheel.phase for wheel in car.wheels])
        pose["wheel_angle"] = self._angles
        pose["wheel_phase"] = (phases / PHASE_UNIT).astype(np.int64) & 255
        pose["on_road"] = sum(bool(wheel.tiles) for wheel in car.wheels)
        observation = np.empty((SIZE, SIZE, 3), dtype=np.uint8)
        draw_pose(self.polygons, self.touched_at, self.frame, pose, observation)
        return observation


def register() -> None:
    """Make `gymnasium.make(ENV_ID)` known, with CarRacing-v3's horizon of 1,000 steps."""
    if ENV_ID not in gymnasium.registry:
        entry_point = f"{__name__}:{DrawnCarRacing.__name__}"
        gymnasium.register(ENV_ID, entry_point, max_episode_steps=1000)


def make_official(**options: Any) -> gymnasium.Env:
    """Gymnasium's own CarRacing-v3 with the observation cropped and resized by Pillow."""
    return gymnasium.wrappers.TransformObservation(
        gymnasium.make("CarRacing-v3", **options),
        preprocess,
        spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
    )


def preprocess(observation: np.ndarray) -> np.ndarray:
    """Crop rows 0:84 of [96, 96, 3] uint8 and resize to [64, 64, 3] with Pillow's BILINEAR."""
    from PIL import Image

    crop = Image.fromarray(observation[:HEIGHT])
    return np.asarray(crop.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
