"""The agent SDK (Agent, TaskContext, worker) and the specialists, one file each."""

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.human_answer import HumanAnswer

__all__ = ["Agent", "HumanAnswer", "TaskContext"]
