import os

from engine.cli.commands import main
from engine.cuda_allocator import let_segments_grow
from engine.waiting_threads import let_threads_sleep

let_segments_grow(os.environ)
let_threads_sleep(os.environ)
main()
