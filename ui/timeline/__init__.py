"""The timeline board: resolution schedules edited as tracks over the denoising steps.

Imports `ui.shared` alone. Start with `board` (the value, parsed), then `timeline.js`; `lane.js` and `levellane.js` draw
a track, `gestures.js` and `edits.js` change it, `schedule.js` knows what schedules are legal and what they cost.
"""

from ui.timeline.board import Board, BoardTrack, board_of, parse_board, snapped, with_steps
from ui.timeline.timeline import Timeline

__all__ = ["Board", "BoardTrack", "Timeline", "board_of", "parse_board", "snapped", "with_steps"]
