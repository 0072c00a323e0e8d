"""The levels of a hierarchical patch model side by side, with their tiles and seams."""
