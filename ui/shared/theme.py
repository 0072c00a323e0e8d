"""The studio's look: a Gradio theme whose colours are the variables of style.css, and the page's head."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

# Gradio confines media rules of `css` to what lies inside this element: the rule for itself stands in the head.
NARROW = "@media (max-width: 700px) { .main.app { padding-inline: .25rem !important; } }"
HERE = Path(__file__).parent
TITLE = "Resolute: see what a resolution schedule costs"

_BOTH = {  # the same variable in both themes: it changes by itself
    "body_background_fill": "var(--paper)",
    "body_text_color": "var(--ink)",
    "body_text_color_subdued": "var(--soft)",
    "background_fill_primary": "var(--card)",
    "background_fill_secondary": "var(--hush)",
    "border_color_accent": "var(--focus)",
    "border_color_primary": "var(--line)",
    "color_accent_soft": "var(--hush)",
    "link_text_color": "var(--focus)",
    "link_text_color_hover": "var(--focus)",
    "link_text_color_visited": "var(--focus)",
    "link_text_color_active": "var(--focus)",
    "block_background_fill": "transparent",
    "block_border_color": "var(--line)",
    "block_border_width": "0px",
    "block_info_text_color": "var(--soft)",
    "block_label_background_fill": "transparent",
    "block_label_text_color": "var(--soft)",
    "block_title_text_color": "var(--soft)",
    "block_shadow": "none",
    "panel_background_fill": "transparent",
    "input_background_fill": "var(--card)",
    "input_background_fill_focus": "var(--card)",
    "input_background_fill_hover": "var(--card)",
    "input_border_color": "var(--edge)",
    "input_border_color_focus": "var(--focus)",
    "input_border_color_hover": "var(--soft)",
    "input_placeholder_color": "var(--soft)",
    "input_shadow": "none",
    "input_shadow_focus": "0 0 0 2px color-mix(in srgb, var(--focus) 35%, transparent)",
    "checkbox_background_color": "var(--card)",
    "checkbox_background_color_selected": "var(--focus)",
    "checkbox_border_color": "var(--edge)",
    "checkbox_label_background_fill": "transparent",
    "checkbox_label_text_color": "var(--ink)",
    "button_primary_background_fill": "var(--ink)",
    "button_primary_background_fill_hover": "color-mix(in srgb, var(--ink) 86%, var(--paper))",
    "button_primary_text_color": "var(--card)",
    "button_primary_text_color_hover": "var(--card)",
    "button_primary_border_color": "var(--ink)",
    "button_primary_shadow": "none",
    "button_primary_shadow_hover": "none",
    "button_primary_shadow_active": "none",
    "button_secondary_background_fill": "var(--card)",
    "button_secondary_background_fill_hover": "var(--hush)",
    "button_secondary_text_color": "var(--ink)",
    "button_secondary_text_color_hover": "var(--ink)",
    "button_secondary_border_color": "var(--edge)",
    "button_secondary_shadow": "none",
    "button_secondary_shadow_hover": "none",
    "button_secondary_shadow_active": "none",
    "button_cancel_background_fill": "var(--card)",
    "button_cancel_background_fill_hover": "var(--hush)",
    "button_cancel_text_color": "var(--error)",
    "button_cancel_text_color_hover": "var(--error)",
    "button_cancel_border_color": "var(--error)",
    "button_cancel_shadow": "none",
    "button_cancel_shadow_hover": "none",
    "button_cancel_shadow_active": "none",
    "table_border_color": "var(--line)",
    "error_background_fill": "var(--card)",
    "error_text_color": "var(--error)",
    "loader_color": "var(--focus)",
    "slider_color": "var(--focus)",
}
_ONE = {
    "color_accent": "var(--focus)",
    "block_title_text_size": "12px",
    "block_title_text_weight": "500",
    "block_label_text_size": "12px",
    "block_padding": "0px",
    "block_radius": "4px",
    "input_radius": "4px",
    "input_padding": "7px 10px",
    "container_radius": "4px",
    "button_large_radius": "4px",
    "button_medium_radius": "4px",
    "button_small_radius": "4px",
    "button_border_width": "1px",
    "input_border_width": "1px",
    "button_large_text_weight": "600",
    "layout_gap": "16px",
    "form_gap_width": "0px",
}


def theme() -> gr.themes.Base:
    """A theme of system fonts and flat surfaces; nothing is fetched for it."""
    base = gr.themes.Base(
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        radius_size="sm",
        text_size="md",
    )
    known = type(base).set.__code__.co_varnames
    dark = {f"{name}_dark": value for name, value in _BOTH.items() if f"{name}_dark" in known}
    return base.set(**{name: value for name, value in (_BOTH | _ONE).items() if name in known}, **dark)


def css() -> str:
    """All styles of the page outside the widgets."""
    return (HERE / "style.css").read_text("utf-8")


def head() -> str:
    """The mark as favicon, and the script for theme, dropped files and links."""
    mark = (HERE / "mark.svg").read_text("utf-8").replace("#", "%23").replace('"', "'").replace("\n", "")
    script = (HERE / "head.js").read_text("utf-8")
    return (
        f'<link rel="icon" href="data:image/svg+xml,{mark}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{NARROW}</style>\n"
        f"<script>{script}</script>"
    )
