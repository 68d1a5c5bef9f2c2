"""The board: leaderboards of many bundles as static pages, made from the bundles alone."""

from htbench.board.site import Built, build

__all__ = ["Built", "build"]
