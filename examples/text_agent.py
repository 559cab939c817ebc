"""Play puzzles by text: as a language model would, or yourself.

    python examples/text_agent.py                                  # a scripted agent solves 4x4 Sudokus
    python examples/text_agent.py --human --env HRM/Maze-7x7-v0    # you type the answers

The agent sees the text of ``env.obs_to_text`` alone, and its reply goes through ``env.action_from_text``. Replace
``solve`` by a call of a language model; an error of a malformed reply names line and cell, to be sent back to it.
"""

import argparse
from collections.abc import Callable

import gymnasium as gym

import hrm_envs  # noqa: F401  (registers the ids)

#: Replies that are malformed in a row before an agent gives up.
MOST_MISTAKES = 5


def solve(prompt: str) -> str:
    """Reply to the prompt of a 4x4 Sudoku: its solution, found by trying digits cell by cell."""
    rows = prompt.partition("Puzzle:\n")[2].split()[:4]
    grid = [list(row) for row in rows]

    def fill(cell: int) -> bool:
        row, column = divmod(cell, 4)
        if cell == 16:
            return True
        if grid[row][column] != ".":
            return fill(cell + 1)
        box = [grid[row // 2 * 2 + r][column // 2 * 2 + c] for r in (0, 1) for c in (0, 1)]
        taken = {*grid[row], *(line[column] for line in grid), *box}
        for digit in sorted(set("1234") - taken):
            grid[row][column] = digit
            if fill(cell + 1):
                return True
        grid[row][column] = "."
        return False

    fill(0)
    return "\n".join("".join(row) for row in grid)


def ask(prompt: str) -> str:
    """Show the prompt to a person, and read lines until an empty one."""
    print(prompt)
    print("Your answer, then an empty line:")
    lines = []
    while line := input():
        lines.append(line)
    return "\n".join(lines)


def play(env: gym.Env, agent: Callable[[str], str], seed: int | None) -> bool:
    """Play one puzzle; an agent whose reply is malformed is told why, and asked again. True if it is solved."""
    game = env.unwrapped
    obs, _ = env.reset(seed=seed)
    terminated, info, mistakes = False, {}, 0
    prompt = game.obs_to_text(obs)
    while not terminated:
        try:
            action = game.action_from_text(agent(prompt))
        except ValueError as error:
            mistakes += 1
            if mistakes == MOST_MISTAKES:
                return False
            prompt = f"{game.obs_to_text(obs)}\nYour reply cannot be read: {error}\n"
            continue
        obs, _, terminated, _, info = env.step(action)
        prompt = f"{game.obs_to_text(obs)}\nThe score of your last answer is {info['score']:.2f}.\n"
    return bool(info["is_success"])


def main(arguments: list[str] | None = None) -> float:
    """Play several puzzles and print how many were solved; returns their share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--env", default="HRM/Sudoku-4x4-v0", help="Gymnasium id; the scripted agent solves the default"
    )
    parser.add_argument("--human", action="store_true", help="read the answers from standard input")
    parser.add_argument("--episodes", type=int, default=5, help="number of puzzles")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of puzzles")
    options = parser.parse_args(arguments)
    env = gym.make(options.env, split="test", num_puzzles=options.episodes)
    solved = 0
    for episode in range(options.episodes):
        success = play(env, ask if options.human else solve, options.seed if episode == 0 else None)
        solved += success
        print("solved" if success else "not solved")
    print(f"solved {solved} of {options.episodes}")
    return solved / options.episodes


if __name__ == "__main__":
    main()
