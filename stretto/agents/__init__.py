"""The agent SDK (Agent, TaskContext, worker) and the specialists, one file each."""

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext

__all__ = ["Agent", "TaskContext"]
