"""Figures: how much is going on in a deployment, read from the bus."""

from stretto.shared.figures.figures import Figures, Lately, Queue, RoleFigures, RunFigures
from stretto.shared.figures.reader import FigureReader

__all__ = ["FigureReader", "Figures", "Lately", "Queue", "RoleFigures", "RunFigures"]
