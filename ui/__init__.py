"""The page: Gradio in a FastAPI app. It loads no torch, and of the engine only modules that load none.

`main` starts the studio, `page` puts the views in their places. Packages import only from those before them: `shared`,
the widgets (`comparator`, `figures`, `picture`, `pyramid`, `timeline`), the views (`library`, `studio`), `server`.
"""
