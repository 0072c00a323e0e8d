"""The timeline board: resolution schedules edited as tracks over the denoising steps."""

from ui.timeline.board import Board, BoardTrack, board_of, parse_board, snapped, with_steps
from ui.timeline.timeline import Timeline

__all__ = ["Board", "BoardTrack", "Timeline", "board_of", "parse_board", "snapped", "with_steps"]
