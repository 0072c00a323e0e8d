"""Resolute's engine: resolution schedules, switching, running and measuring. It never imports Gradio or the page.

The packages form one order, and each imports only from those to its left; a test holds it:

    root < schedules < measuring < switching < hpdm < models < caches < sampling < reports < experiments < costs
         < comparing < jobs < cli

The files that lie here are the root (`errors`, `strict_json` and a few more); they load no torch.
`docs/architecture.md` has the picture, a walk of one comparison, and which file answers which question.
"""

__version__ = "0.1.0"
