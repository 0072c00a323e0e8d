import os

from engine.cli.commands import main
from engine.cuda_allocator import let_segments_grow

let_segments_grow(os.environ)
main()
