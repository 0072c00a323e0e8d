"""The levels of a hierarchical patch model side by side, with their tiles and seams.

Imports `ui.shared` alone. Start with `pyramid_value` (what is shown, made of a report), then `pyramid.js`;
`level.js` is one level's picture, `tiles.js` its tiles and what each of them sees below.
"""
