import os

from engine.allocator import let_segments_grow
from engine.cli import main

let_segments_grow(os.environ)
main()
